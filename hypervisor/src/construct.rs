//! From a plan and the hardware that it names to domains that can run.
//!
//! Every table gets its final size here. What fails now fails before any guest has run, with the name of
//! the domain that it failed for; after construction nothing is missing.

use abi::hvm_params::{HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, AtomicUsize};

use machine::contract::Construction;
use machine::frames::{ClaimError, FramePool, FrameRange};
use machine::lock::{Lock, Rank};
use machine::stage2::MapError;
use model::arm64::gic::{Gic, Version};
use model::arm64::identity::{HostIdentity, Identity, IdentityOptions};
use plan::gzip::{GzipError, Inflater};
use plan::{ChannelEnd, GicRegions, Plan, Range};

use crate::arch;
use crate::console::{Console, DomainConsole, Focus};
use crate::domain::Domain;
use crate::event::channel::{Binding, PortNumber};
use crate::event::{CONTROL_PORTS, DOMAIN_PORTS, Events};
use crate::grant::{CONTROL_MAPPINGS, DOMAIN_MAPPINGS, GrantTable};
use crate::hypervisor::{Hypervisor, Processor};
use crate::pool::{Pool, Seat};
use crate::pv::Pv;
use crate::timer::Deadlines;
use crate::vcpu::{Start, Vcpu};

/// Length of a time slice in milliseconds, where vCPUs wait for each other.
const SLICE_MILLISECONDS: u64 = 4;
/// INTIDs of all interrupts that a device can have.
pub(crate) const INTERRUPTS: usize = 1020;
/// In a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// Why a system could not be constructed.
#[derive(Debug)]
pub enum Failure {
    /// The heap that the plan sized was too small: a fault of ours.
    OutOfMemory(&'static str),
    /// A domain's memory could not be taken.
    Claim(u16, ClaimError),
    /// A domain's map could not be made.
    Map(u16, MapError),
    /// A module did not fit where the plan put it, or could not be read.
    Load(u16, &'static str),
    /// A packed kernel is damaged.
    Unpack(u16, GzipError),
    /// A port of a static event channel cannot be had.
    Channel(u16, PortNumber),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::OutOfMemory(what) => write!(f, "no memory for {what}"),
            Failure::Claim(id, error) => write!(f, "d{id}: its memory cannot be taken: {error:?}"),
            Failure::Map(id, error) => write!(f, "d{id}: its memory cannot be mapped: {error:?}"),
            Failure::Load(id, what) => write!(f, "d{id}: {what} cannot be loaded"),
            Failure::Channel(id, port) => write!(f, "d{id}: port {port} cannot be bound"),
            Failure::Unpack(id, error) => write!(f, "d{id}: its kernel cannot be unpacked: {error:?}"),
        }
    }
}

/// Guest RAM that is being filled.
struct Ram<'m, M: Construction> {
    machine: &'m M,
    id: u16,
    pieces: Vec<(u64, FrameRange)>,
}

impl<'m, M: Construction> Ram<'m, M> {
    /// Takes a domain's frames, and clears them.
    fn take(machine: &'m M, frames: &mut FramePool, domain: &plan::Domain) -> Result<Self, Failure> {
        let mut pieces = Vec::new();
        for memory in &domain.memory {
            let range = Range { base: memory.host, size: memory.size };
            let mut piece = frames.claim(range).map_err(|error| Failure::Claim(domain.id, error))?;
            if !machine.clear(&mut piece) {
                return Err(Failure::Load(domain.id, "its memory"));
            }
            pieces.push((memory.guest, piece));
        }
        Ok(Ram { machine, id: domain.id, pieces })
    }

    /// Calls `act` for each piece of `[guest, guest + size)`: frames, offset in them, offset in the
    /// range, bytes. False where the range is not all RAM or `act` says so.
    fn each(
        &mut self,
        guest: u64,
        size: u64,
        mut act: impl FnMut(&M, &mut FrameRange, [u64; 3]) -> bool,
    ) -> bool {
        let mut done = 0_u64;
        for (base, frames) in &mut self.pieces {
            let at = guest.saturating_add(done);
            let Some(offset) = at.checked_sub(*base).filter(|offset| *offset < frames.size()) else {
                continue;
            };
            let bytes = size.saturating_sub(done).min(frames.size().saturating_sub(offset));
            if bytes > 0 && !act(self.machine, frames, [offset, done, bytes]) {
                return false;
            }
            done = done.saturating_add(bytes);
        }
        done == size
    }

    fn write(&mut self, guest: u64, bytes: &[u8]) -> bool {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.each(guest, size, |machine, frames, [offset, from, count]| {
            let part = usize::try_from(from).ok().zip(usize::try_from(from.saturating_add(count)).ok());
            part.and_then(|(from, to)| bytes.get(from..to))
                .is_some_and(|part| machine.write(frames, offset, part))
        })
    }

    fn copy(&mut self, guest: u64, module: Range) -> bool {
        self.each(guest, module.size, |machine, frames, [offset, from, size]| {
            machine.copy(frames, offset, Range { base: module.base.saturating_add(from), size })
        })
    }

    fn load_kernel(&mut self, kernel: &plan::Kernel, unpacker: Option<&mut Inflater>) -> Result<(), Failure> {
        let (module, guest) = (kernel.placed.module, kernel.placed.guest);
        let unpacker = match unpacker {
            Some(unpacker) if kernel.gzip => unpacker,
            _ if !kernel.gzip && self.copy(guest, module) => return Ok(()),
            _ => return Err(Failure::Load(self.id, "its kernel")),
        };
        let machine = self.machine;
        let mut read = 0_u64;
        let mut input = |into: &mut [u8]| {
            let room = u64::try_from(into.len()).unwrap_or(0);
            let count = module.size.saturating_sub(read).min(room);
            let part = usize::try_from(count).ok().and_then(|count| into.get_mut(..count));
            let at = module.base.saturating_add(read);
            let Some(part) = part.filter(|part| !part.is_empty()) else { return 0 };
            if !machine.read(at, part) {
                return 0;
            }
            read = read.saturating_add(count);
            part.len()
        };
        let mut written = 0_u64;
        let id = self.id;
        let mut output = |bytes: &[u8]| {
            let at = guest.saturating_add(written);
            written = written.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
            self.write(at, bytes)
        };
        unpacker.unpack(&mut input, &mut output).map_err(|error| Failure::Unpack(id, error))?;
        Ok(())
    }

    /// Puts kernel, ramdisk and tree in place.
    fn load(&mut self, domain: &plan::Domain, unpacker: Option<&mut Inflater>) -> Result<(), Failure> {
        self.load_kernel(&domain.kernel, unpacker)?;
        if let Some(ramdisk) = &domain.ramdisk
            && !self.copy(ramdisk.guest, ramdisk.module)
        {
            return Err(Failure::Load(domain.id, "its ramdisk"));
        }
        if self.write(domain.tree_at, &domain.tree) {
            Ok(())
        } else {
            Err(Failure::Load(domain.id, "its device tree"))
        }
    }

    /// Shows it all to the guest.
    fn map(self, map: &mut M::GuestMap) -> Result<(), Failure> {
        for (guest, frames) in self.pieces {
            self.machine.map(map, guest, frames).map_err(|error| Failure::Map(self.id, error))?;
        }
        Ok(())
    }
}

fn construct_domain<M: Construction>(
    machine: &M,
    (frames, unpacker): (&mut FramePool, Option<&mut Inflater>),
    plan: &Plan,
    domain: &plan::Domain,
    places: (usize, usize, Seat),
) -> Result<Domain<M>, Failure> {
    let tables = usize::try_from(domain.table_frames).unwrap_or(0);
    let mut map = machine
        .guest_map(domain.id, tables, domain.layout.cpu_interface)
        .map_err(|error| Failure::Map(domain.id, error))?;
    let mut ram = Ram::take(machine, frames, domain)?;
    ram.load(domain, unpacker)?;
    ram.map(&mut map)?;
    for registers in domain.hardware.iter().flat_map(|hardware| &hardware.mmio) {
        machine.map_device(&mut map, *registers).map_err(|error| Failure::Map(domain.id, error))?;
    }
    let version = match plan.board.gic {
        GicRegions::V2 { .. } => Version::V2,
        GicRegions::V3 { .. } => Version::V3,
    };
    let (vcpus, spis) = (usize::from(domain.vcpus), usize::from(domain.spis));
    let gic = Gic::try_new(version, vcpus, spis, machine.list_registers())
        .map_err(|_| Failure::OutOfMemory("an interrupt controller"))?;
    let console = if domain.vpl011 || domain.pv.is_some() {
        let console = DomainConsole::try_new(domain.id, places.0, domain.vpl011)
            .ok_or(Failure::OutOfMemory("a console"))?;
        Some(Lock::new(Rank::Uart, console))
    } else {
        None
    };
    let pv = match &domain.pv {
        Some(planned) => Some(construct_pv(machine, frames, (domain, planned), &map)?),
        None => None,
    };
    Ok(Domain::new(domain, places, Lock::new(Rank::Interrupts, gic), console, (map, pv)))
}

/// Takes and clears the pages that a domain shares with the hypervisor, and makes what works on them.
fn construct_pv<M: Construction>(
    machine: &M,
    frames: &mut FramePool,
    (domain, planned): (&plan::Domain, &plan::Pv),
    map: &M::GuestMap,
) -> Result<Pv, Failure> {
    const WHAT: &str = "its PV interfaces";
    let mut pages = frames.claim(planned.pages).map_err(|error| Failure::Claim(domain.id, error))?;
    if !machine.clear(&mut pages) {
        return Err(Failure::Load(domain.id, "its shared pages"));
    }
    let pages = machine.share(map, pages);
    let shared_info = pages.first().ok_or(Failure::OutOfMemory(WHAT))?;
    let (ports, mappings) =
        if domain.id == 0 { (CONTROL_PORTS, CONTROL_MAPPINGS) } else { (DOMAIN_PORTS, DOMAIN_MAPPINGS) };
    let events = Events::try_new(shared_info, usize::from(domain.vcpus), ports);
    let grants = GrantTable::try_new(machine.frames(), mappings);
    let pv = events.zip(grants).and_then(|both| Pv::new(planned, both, pages.into_iter()));
    pv.ok_or(Failure::OutOfMemory(WHAT))
}

fn construct_vcpus<M: Construction>(machine: &M, plan: &Plan) -> Result<Vec<Vcpu>, Failure> {
    let count =
        plan.domains.iter().fold(0_usize, |sum, domain| sum.saturating_add(usize::from(domain.vcpus)));
    let mut vcpus = Vec::new();
    vcpus.try_reserve_exact(count).map_err(|_| Failure::OutOfMemory("the vCPUs"))?;
    let start_of_time = machine.now();
    let mut seats = Seats::try_new(plan)?;
    for (number, domain) in (0..plan.domains.len()).zip(&plan.domains) {
        for index in 0..usize::from(domain.vcpus) {
            let id = u32::try_from(vcpus.len()).unwrap_or(u32::MAX);
            let registers = arch::reset_registers(index, start_of_time);
            let seat = seats.next(domain.pool);
            vcpus.push(Vcpu::new(id, (number, index), seat, registers, start_of_time));
        }
    }
    Ok(vcpus)
}

/// Gives out the numbers in each pool, one after the other.
struct Seats(Vec<u32>);

impl Seats {
    fn try_new(plan: &Plan) -> Result<Self, Failure> {
        let mut next = Vec::new();
        next.try_reserve_exact(plan.pools.len()).map_err(|_| Failure::OutOfMemory("the pools"))?;
        next.resize(plan.pools.len(), 0);
        Ok(Seats(next))
    }

    fn next(&mut self, pool: usize) -> Seat {
        let Some(next) = self.0.get_mut(pool) else { return Seat { pool, number: u32::MAX } };
        let number = *next;
        *next = number.saturating_add(1);
        Seat { pool, number }
    }
}

fn construct_pools<M: Construction>(machine: &M, plan: &Plan) -> Result<Vec<Pool>, Failure> {
    let slice = machine.frequency().saturating_mul(SLICE_MILLISECONDS).checked_div(1000).unwrap_or(1);
    let pools = (0..plan.pools.len()).map(|id| Pool::try_new(plan, id, slice));
    pools.map(|pool| pool.ok_or(Failure::OutOfMemory("the schedulers"))).collect()
}

fn construct_processors(plan: &Plan, vcpus: usize) -> Result<Vec<Processor>, Failure> {
    let mut processors = Vec::new();
    let count = plan.board.cpus.len();
    processors.try_reserve_exact(count).map_err(|_| Failure::OutOfMemory("the processors"))?;
    let mut seats = Seats::try_new(plan)?;
    for cpu in 0..count {
        let deadlines = Deadlines::try_new(vcpus).ok_or(Failure::OutOfMemory("deadlines"))?;
        let pool = plan.pools.iter().position(|pool| pool.cpus.contains(&cpu)).unwrap_or(0);
        processors.push(Processor::new(deadlines, seats.next(pool)));
    }
    Ok(processors)
}

/// Lets the interrupts of devices in, and notes whose they are.
fn route_devices<M: Construction>(machine: &M, plan: &Plan) -> Result<Vec<Option<u16>>, Failure> {
    let mut owners: Vec<Option<u16>> = Vec::new();
    owners.try_reserve_exact(INTERRUPTS).map_err(|_| Failure::OutOfMemory("devices"))?;
    owners.resize(INTERRUPTS, None);
    for (index, domain) in plan.domains.iter().enumerate() {
        let index = u16::try_from(index).map_err(|_| Failure::OutOfMemory("devices"))?;
        for interrupt in domain.hardware.iter().flat_map(|hardware| &hardware.interrupts) {
            if let Some(owner) = usize::try_from(interrupt.intid).ok().and_then(|intid| owners.get_mut(intid))
            {
                *owner = Some(index);
                machine.route(*interrupt);
            }
        }
    }
    Ok(owners)
}

/// Takes and clears what domains share, and shows it to them: first to its owner, whose RAM it is.
fn share_memory<M: Construction>(
    machine: &M,
    frames: &mut FramePool,
    domains: &mut [Domain<M>],
    plan: &Plan,
) -> Result<(), Failure> {
    for (index, region) in plan.shared.iter().enumerate() {
        let has_it = |domain: &&plan::Domain| domain.shared.iter().any(|share| share.region == index);
        let id = plan.domains.iter().find(has_it).map_or(0, |domain| domain.id);
        let mut memory = frames.claim(region.host).map_err(|error| Failure::Claim(id, error))?;
        if !machine.clear(&mut memory) {
            return Err(Failure::Load(id, "its shared memory"));
        }
        let mut memory = Some(memory);
        for is_owner in [true, false] {
            if !is_owner && let Some(nobodys) = memory.take() {
                machine.set_aside(nobodys);
            }
            for (domain, planned) in domains.iter_mut().zip(&plan.domains) {
                let shares = planned.shared.iter();
                for share in shares.filter(|share| share.region == index && share.is_owner == is_owner) {
                    let guest = share.memory.guest;
                    match memory.take() {
                        Some(owned) => machine.map(&mut domain.map, guest, owned),
                        None => machine.map_shared(&mut domain.map, guest, region.host),
                    }
                    .map_err(|error| Failure::Map(domain.id, error))?;
                }
            }
        }
    }
    Ok(())
}

/// Binds the two ends of each static event channel to each other. Whoever else may not share events (`xsm=`), these
/// two may: their owner has said so.
fn bind_channels<M: Construction>(domains: &[Domain<M>], plan: &Plan) -> Result<(), Failure> {
    let bind = |here: ChannelEnd, there: ChannelEnd| {
        let domain = domains.get(here.domain).ok_or(Failure::OutOfMemory("a static event channel"))?;
        let binding = Binding::to(there.domain, there.port);
        let bound = domain.pv.as_ref().map(|pv| pv.events.lock().channels.take_this(here.port, binding));
        match bound {
            Some(Ok(())) => Ok(()),
            _ => Err(Failure::Channel(domain.id, here.port)),
        }
    };
    for channel in &plan.channels {
        let [one, other] = channel.ends;
        bind(one, other)?;
        bind(other, one)?;
    }
    Ok(())
}

/// Constructs everything, of these frames. What unpacks kernels, if one is packed, has been made beforehand: it is not part
/// of the budget.
///
/// # Errors
/// See [`Failure`].
pub fn construct<M: Construction>(
    machine: M,
    (mut frames, mut unpacker): (FramePool, Option<Inflater>),
    plan: &Plan,
) -> Result<Hypervisor<M>, Failure> {
    let vcpus = construct_vcpus(&machine, plan)?;
    let mut domains = Vec::new();
    domains.try_reserve_exact(plan.domains.len()).map_err(|_| Failure::OutOfMemory("the domains"))?;
    let mut first_vcpu = 0_usize;
    let mut seats = Seats::try_new(plan)?;
    for (index, domain) in (0_usize..).zip(&plan.domains) {
        let places = (index, first_vcpu, seats.next(domain.pool));
        domains.push(construct_domain(&machine, (&mut frames, unpacker.as_mut()), plan, domain, places)?);
        first_vcpu = first_vcpu.saturating_add(usize::from(domain.vcpus));
    }
    share_memory(&machine, &mut frames, &mut domains, plan)?;
    bind_channels(&domains, plan)?;
    if !plan.static_heap.is_empty() {
        for range in plan.idle.iter().chain(&plan.boot_only) {
            frames.withhold(*range).map_err(|_| Failure::OutOfMemory("a list of frames"))?;
        }
    }
    machine.frames().set_free(frames);
    let device_owners = route_devices(&machine, plan)?;
    let stamps = plan.options.console_timestamps.then(|| machine.frequency());
    let console =
        Console::try_new(plan.options.console_switch, stamps).ok_or(Failure::OutOfMemory("the console"))?;
    let gic_v3 = matches!(plan.board.gic, GicRegions::V3 { .. });
    let host = HostIdentity::new(|register| machine.identity(register));
    Ok(Hypervisor {
        identity: Identity::sanitised(&host, IdentityOptions { gic_v3 }),
        alive: AtomicUsize::new(domains.len()),
        domains,
        processors: construct_processors(plan, vcpus.len())?,
        vcpus,
        pools: construct_pools(&machine, plan)?,
        console: Lock::new(Rank::Console, console),
        ram_frames: plan.board.memory.iter().fold(0_u64, |sum, bank| sum.saturating_add(bank.size >> 12)),
        last_frame: plan.board.memory.last().map_or(0, |bank| bank.base.saturating_add(bank.size) >> 12),
        ipa_bits: plan.ipa_bits,
        watchdog: AtomicU64::new(u64::MAX),
        wall_clock: AtomicU64::new(0),
        bindings: Lock::new(Rank::Bindings, ()),
        start: machine.now(),
        tick: NANOSECONDS
            .checked_shl(32)
            .and_then(|scaled| scaled.checked_div(machine.frequency()))
            .unwrap_or(0),
        options: plan.options.clone(),
        virtual_timer: plan.board.virtual_timer,
        device_owners,
        gic_v3,
        machine,
    })
}

impl<M: Construction> Hypervisor<M> {
    /// A domain that talks to xenstore finds a port for that; the page comes when somebody in dom0 has made it.
    fn offer_xenstore(&self, domain: &Domain<M>, planned: &plan::Domain) {
        const NO_PAGE_YET: u64 = u64::MAX;
        let wants = planned.pv.as_ref().is_some_and(|pv| pv.xenstore) && !domain.is_control();
        let (Some(pv), Some(control)) = (domain.pv.as_ref().filter(|_| wants), self.control_domain()) else {
            return;
        };
        let port = pv.events.lock().channels.take(Binding::Unbound(control.id), 0);
        let port = port.map_or(0, u64::from);
        for (parameter, value) in [(HVM_PARAM_STORE_EVTCHN, port), (HVM_PARAM_STORE_PFN, NO_PAGE_YET)] {
            if let Some(place) = pv.parameter(parameter) {
                place.store(value, core::sync::atomic::Ordering::Release);
            }
        }
    }

    /// Tells every domain what the plan has for it, and where it starts.
    pub fn prepare_domains(&self, plan: &Plan) {
        for channel in &plan.channels {
            // As after any binding, the end that came later is to look.
            let [_, later] = channel.ends;
            if let Some(domain) = self.domains.get(later.domain) {
                self.raise(domain, later.port, 0);
            }
        }
        for (domain, planned) in self.domains.iter().zip(&plan.domains) {
            let Some(vcpu) = self.vcpu_of(domain, 0) else { continue };
            if domain.is_control() {
                self.console().set_focus(Focus::Domain(domain.index));
            }
            if let Some(pv) = &domain.pv {
                // The hypervisor's start is the time's beginning until somebody knows better.
                pv.set_wall_clock(&self.machine, 0, 0);
            }
            self.offer_xenstore(domain, planned);
            let start = Start { entry: planned.kernel.entry, argument: planned.tree_at };
            vcpu.power.switch_on(start);
            domain.online.store(1, core::sync::atomic::Ordering::Release);
        }
    }

    /// Lets the first vCPU of every domain run.
    pub fn start_domains(&self) {
        for vcpu in self.domains.iter().filter_map(|domain| self.vcpu_of(domain, 0)) {
            self.make_runnable(vcpu, 0);
        }
    }
}
