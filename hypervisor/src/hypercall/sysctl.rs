//! sysctl: what the toolstack asks of the machine as a whole. Dom0 alone may ask.
//!
//! Source: `public/sysctl.h`.

mod pools;

use abi::domctl::domain::Getdomaininfo;
use abi::errno::Errno;
use abi::layout::{Field, Handle, Layout};
use abi::sysctl::{
    self as operation, Cputopo, Cputopoinfo, DebugKeys, Getdomaininfolist, Meminfo, Numainfo, Physinfo,
    Readconsole, SYSCTL_U, SchedId, Sysctl,
};
use machine::contract::Machine;

use super::{Answer, Call};
use crate::cpu::{Current, Local};
use crate::hypercall::domctl::info;
use crate::hypercall::domctl::scheduling::interface_id;
use crate::hypervisor::Hypervisor;

/// Bytes of the console's history that are given at a time; the tools ask until there is nothing more.
const HISTORY_AT_A_STRETCH: u32 = 1024;
/// Bytes that are copied at a time.
const PIECE: usize = 128;
/// Domains that are described at a stretch.
const DOMAINS_AT_A_STRETCH: usize = 8;
/// Keys that are taken of one call.
const MOST_KEYS: u32 = 64;
/// Distance of a node to itself, by ACPI's convention.
const OWN_DISTANCE: u32 = 10;

/// A call with its frame.
struct Order<'c, 'h, M: Machine> {
    hypervisor: &'c Hypervisor<M>,
    current: &'c Current<'h, M>,
    frame: u64,
    words: [u8; 128],
}

impl<M: Machine> Order<'_, '_, M> {
    fn wanted<T: Field>(&self) -> T {
        T::load(&self.words)
    }

    /// Gives the caller the operation's structure back.
    fn answer<T: Layout>(&self, structure: &T) -> Answer {
        let at = u64::try_from(SYSCTL_U).map_err(|_| Errno::Fault)?;
        self.hypervisor.write(self.current, Handle::new(self.frame.wrapping_add(at)), structure)?;
        Ok(0)
    }
}

/// `HYPERVISOR_sysctl(frame)`.
///
/// # Errors
/// `EACCES` for another version of the interface, `EPERM`, `ENOSYS`, `EFAULT`; others where the operation says
/// so.
#[inline(never)]
pub(super) fn sysctl<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let current = local.caller()?;
    let handle: Handle<Sysctl> = Handle::new(call.argument(0));
    let frame = hypervisor.read(current, handle)?;
    if frame.interface_version != operation::XEN_SYSCTL_INTERFACE_VERSION {
        return Err(Errno::Acces);
    }
    if !current.domain.is_control() {
        return Err(Errno::Perm);
    }
    let order = Order { hypervisor, current, frame: handle.address(), words: frame.u };
    match frame.cmd {
        operation::XEN_SYSCTL_READCONSOLE => read_console(&order),
        operation::XEN_SYSCTL_PHYSINFO => physical(&order),
        operation::XEN_SYSCTL_SCHED_ID => {
            order.answer(&SchedId { sched_id: interface_id(hypervisor.options.scheduler) })
        }
        operation::XEN_SYSCTL_GETDOMAININFOLIST => list(&order),
        operation::XEN_SYSCTL_DEBUG_KEYS => keys(&order),
        operation::XEN_SYSCTL_CPUTOPOINFO => topology(&order),
        operation::XEN_SYSCTL_NUMAINFO => nodes(&order),
        operation::XEN_SYSCTL_CPUPOOL_OP => pools::pool(&order),
        operation::XEN_SYSCTL_SCHEDULER_OP => pools::scheduler(&order),
        _ => Err(Errno::NoSys),
    }
}

/// The console's history from an index on.
fn read_console<M: Machine>(order: &Order<'_, '_, M>) -> Answer {
    let mut wanted: Readconsole = order.wanted();
    let mut index =
        order.hypervisor.console().history_from((wanted.incremental != 0).then_some(wanted.index));
    let room = wanted.count.min(HISTORY_AT_A_STRETCH);
    let mut given = 0_u32;
    while given < room {
        let mut bytes = [0; PIECE];
        let most = usize::try_from(room.saturating_sub(given)).unwrap_or(PIECE).min(PIECE);
        let piece = bytes.get_mut(..most).ok_or(Errno::Fault)?;
        let count = order.hypervisor.console().read_history(index, piece);
        let piece = piece.get(..count).filter(|piece| !piece.is_empty());
        let Some(piece) = piece else { break };
        let at = wanted.buffer.address().wrapping_add(u64::from(given));
        order.hypervisor.write_bytes(order.current, at, piece)?;
        let count = u32::try_from(count).unwrap_or(0);
        given = given.saturating_add(count);
        index = index.wrapping_add(count);
    }
    if wanted.clear != 0 {
        order.hypervisor.console().clear_history(index);
    }
    (wanted.count, wanted.index) = (given, index);
    order.answer(&wanted)
}

/// The machine: processors, memory, what it can do.
fn physical<M: Machine>(order: &Order<'_, '_, M>) -> Answer {
    let hypervisor = order.hypervisor;
    let processors = u32::try_from(hypervisor.processors.len()).unwrap_or(0);
    order.answer(&Physinfo {
        threads_per_core: 1,
        cores_per_socket: 1,
        nr_cpus: processors,
        max_cpu_id: processors.saturating_sub(1),
        nr_nodes: 1,
        cpu_khz: u32::try_from(hypervisor.machine.frequency() / 1000).unwrap_or(0),
        capabilities: operation::XEN_SYSCTL_PHYSCAP_HVM
            | operation::XEN_SYSCTL_PHYSCAP_HAP
            | operation::XEN_SYSCTL_PHYSCAP_GNTTAB_V1,
        total_pages: hypervisor.ram_frames,
        free_pages: hypervisor.machine.frames().free_frames(),
        max_mfn: hypervisor.last_frame,
        ..Physinfo::default()
    })
}

/// The domains from an id on.
fn list<M: Machine>(order: &Order<'_, '_, M>) -> Answer {
    let mut wanted: Getdomaininfolist = order.wanted();
    let buffer: Handle<Getdomaininfo> = wanted.buffer.cast();
    let most = usize::try_from(wanted.max_domains).unwrap_or(usize::MAX).min(DOMAINS_AT_A_STRETCH);
    let mut given = 0_u32;
    // The tools ask again from behind the last one where they have room for more.
    for domain in order.hypervisor.domains_from(wanted.first_domain).take(most) {
        let info = info::describe(order.hypervisor, domain);
        order.hypervisor.write_element(order.current, (buffer, u64::from(given)), &info)?;
        given = given.saturating_add(1);
    }
    wanted.num_domains = given;
    order.answer(&wanted)
}

/// Keys as if they were typed to the hypervisor.
fn keys<M: Machine>(order: &Order<'_, '_, M>) -> Answer {
    let wanted: DebugKeys = order.wanted();
    for index in 0..wanted.nr_keys.min(MOST_KEYS) {
        let key = order.hypervisor.read_element(order.current, wanted.keys, u64::from(index))?;
        order.hypervisor.key(key);
    }
    Ok(0)
}

/// Where each processor sits: one socket, one node, and no more is known.
fn topology<M: Machine>(order: &Order<'_, '_, M>) -> Answer {
    let mut wanted: Cputopoinfo = order.wanted();
    let processors = u32::try_from(order.hypervisor.processors.len()).unwrap_or(0);
    if !wanted.cputopo.is_null() {
        for cpu in 0..processors.min(wanted.num_cpus) {
            let place = Cputopo::default();
            order.hypervisor.write_element(order.current, (wanted.cputopo, u64::from(cpu)), &place)?;
        }
    }
    wanted.num_cpus = processors;
    order.answer(&wanted)
}

/// The one node.
fn nodes<M: Machine>(order: &Order<'_, '_, M>) -> Answer {
    let mut wanted: Numainfo = order.wanted();
    let hypervisor = order.hypervisor;
    if wanted.num_nodes > 0 {
        if !wanted.meminfo.is_null() {
            let memory = Meminfo {
                memsize: hypervisor.ram_frames << 12,
                memfree: hypervisor.machine.frames().free_frames() << 12,
            };
            hypervisor.write(order.current, wanted.meminfo, &memory)?;
        }
        if !wanted.distance.is_null() {
            hypervisor.write(order.current, wanted.distance, &OWN_DISTANCE)?;
        }
    }
    wanted.num_nodes = 1;
    order.answer(&wanted)
}
