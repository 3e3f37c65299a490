//! domctl: what the toolstack asks of one domain.
//!
//! Every operation comes in one frame with the interface's version and a domain. What the caller may not do it
//! hears before anything is locked: dom0 may do all of it, nobody else any. Operations that are not in the
//! table answer -ENOSYS, which the tools tell their user.
//!
//! Source: `public/domctl.h`.

pub(super) mod info;
pub(super) mod scheduling;

use abi::domctl::domain::Setdomainhandle;
use abi::domctl::memory::{Cacheflush, MaxMem};
use abi::domctl::{self as operation, DOMCTL_U, Domctl};
use abi::errno::Errno;
use abi::layout::{Field, Handle, Layout};
use abi::xen::DOMID_FIRST_RESERVED;
use machine::contract::{CacheAct, Machine};
use machine::frames::FRAME_BYTES;

use super::{Answer, Call, control};
use crate::cpu::{Current, Local};
use crate::domain::{Controlled, Domain};
use crate::hypervisor::Hypervisor;

/// Pages whose caches are maintained before other work has its turn.
const PAGES_AT_A_STRETCH: u64 = 16;

/// `HYPERVISOR_domctl(frame)`.
///
/// # Errors
/// `EACCES` for another version of the interface, `ESRCH` for no domain, `EPERM`, `ENOSYS`, `EFAULT`; others
/// where the operation says so.
#[inline(never)]
pub(super) fn domctl<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let cpu = local.index;
    let current = local.caller()?;
    let handle: Handle<Domctl> = Handle::new(call.argument(0));
    let frame = hypervisor.read(current, handle)?;
    if frame.interface_version != operation::XEN_DOMCTL_INTERFACE_VERSION {
        return Err(Errno::Acces);
    }
    let target = target(hypervisor, current.domain, &frame)?;
    let controlled = control(current.domain, target)?;
    let order = Order { frame: handle, words: frame.u, controlled };
    match frame.cmd {
        operation::XEN_DOMCTL_PAUSEDOMAIN => hypervisor.pause(controlled, cpu).map(|()| 0),
        operation::XEN_DOMCTL_UNPAUSEDOMAIN => hypervisor.unpause(controlled, cpu).map(|()| 0),
        operation::XEN_DOMCTL_DESTROYDOMAIN => destroy(hypervisor, local, &order),
        operation::XEN_DOMCTL_GETDOMAININFO => info::domain_info(hypervisor, current, &order),
        operation::XEN_DOMCTL_GETVCPUINFO => info::vcpu_info(hypervisor, current, &order),
        operation::XEN_DOMCTL_GETVCPUAFFINITY => scheduling::affinity(hypervisor, current, &order),
        operation::XEN_DOMCTL_SETVCPUAFFINITY => scheduling::set_affinity(hypervisor, local, &order),
        operation::XEN_DOMCTL_MAX_MEM => {
            let MaxMem { max_memkb } = Field::load(&order.words);
            controlled.domain.frames.set_most(max_memkb >> 2);
            Ok(0)
        }
        operation::XEN_DOMCTL_SETDOMAINHANDLE => {
            let Setdomainhandle { handle } = Field::load(&order.words);
            controlled.domain.handle.set(handle);
            Ok(0)
        }
        operation::XEN_DOMCTL_SCHEDULER_OP => scheduling::parameters(hypervisor, local, &order),
        operation::XEN_DOMCTL_CACHEFLUSH => cache_flush(hypervisor, current, &order),
        _ => Err(Errno::NoSys),
    }
}

/// An operation with its frame and the domain that it is about.
pub(super) struct Order<'d, M: Machine> {
    /// Where the frame is.
    pub(super) frame: Handle<Domctl>,
    /// The operation's own structure.
    pub(super) words: [u8; 128],
    /// The domain, and the right over it.
    pub(super) controlled: Controlled<'d, M>,
}

impl<M: Machine> Order<'_, M> {
    /// Gives the caller the operation's structure back.
    pub(super) fn answer<T: Layout>(
        &self,
        hypervisor: &Hypervisor<M>,
        current: &Current<'_, M>,
        structure: &T,
    ) -> Answer {
        let at = u64::try_from(DOMCTL_U).map_err(|_| Errno::Fault)?;
        hypervisor.write(current, Handle::new(self.frame.address().wrapping_add(at)), structure)?;
        Ok(0)
    }
}

/// The domain that an operation is about. `getdomaininfo` takes the first one from the given id on.
fn target<'h, M: Machine>(
    hypervisor: &'h Hypervisor<M>,
    caller: &'h Domain<M>,
    frame: &Domctl,
) -> Result<&'h Domain<M>, Errno> {
    match frame.cmd {
        // Nobody but the control domain could, and it cannot yet.
        operation::XEN_DOMCTL_CREATEDOMAIN if !caller.is_control() => Err(Errno::Perm),
        operation::XEN_DOMCTL_CREATEDOMAIN => Err(Errno::NoSys),
        operation::XEN_DOMCTL_GETDOMAININFO if frame.domain >= DOMID_FIRST_RESERVED => Err(Errno::Inval),
        operation::XEN_DOMCTL_GETDOMAININFO => {
            hypervisor.domains_from(frame.domain).next().ok_or(Errno::Srch)
        }
        _ => hypervisor.domain_of(frame.domain).ok_or(Errno::Srch),
    }
}

/// Ends a domain and takes back what it had, as much of it at a time as a vCPU may do at a stretch.
fn destroy<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, order: &Order<'_, M>) -> Answer {
    if order.controlled.domain.is_control() {
        return Err(Errno::Inval);
    }
    let cpu = local.index;
    while !hypervisor.relinquish(order.controlled, cpu) {
        if hypervisor.must_look(local) || hypervisor.is_still_running(order.controlled.domain) {
            return Err(Errno::Restart);
        }
    }
    Ok(0)
}

/// Writes a range of a domain's pages back to memory. What is left stands in the frame when it goes on.
fn cache_flush<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &Order<'_, M>,
) -> Answer {
    let mut range: Cacheflush = Field::load(&order.words);
    range.start_pfn.checked_add(range.nr_pfns).filter(|end| *end < 1 << 36).ok_or(Errno::Inval)?;
    for _ in 0..range.nr_pfns.min(PAGES_AT_A_STRETCH) {
        if let Some((frame, ..)) =
            hypervisor.machine.frame_at(&order.controlled.domain.map, range.start_pfn << 12)
        {
            hypervisor.machine.maintain(&frame, 0, FRAME_BYTES, CacheAct::CleanInvalidate);
        }
        range.start_pfn = range.start_pfn.saturating_add(1);
        range.nr_pfns = range.nr_pfns.saturating_sub(1);
    }
    if range.nr_pfns == 0 {
        return Ok(0);
    }
    order.answer(hypervisor, current, &range)?;
    Err(Errno::Restart)
}
