//! The whole of it: what all processors share.

use abi::errno::Errno;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use machine::contract::{CpuIndex, Machine, Ticks};
use machine::lock::{Guard, Lock};
use model::arm64::gic::Attention;
use model::arm64::identity::Identity;

use crate::console::{Console, Text};
use crate::domain::{Domain, End};
use crate::pool::{Pool, Seat};
use crate::runstate::Doing;
use crate::schedule::{Call, CpuSet, VcpuId};
use crate::timer::{Deadlines, NEVER};
use crate::vcpu::Vcpu;

/// What others may know and ask of a processor.
#[derive(Debug)]
pub struct Processor {
    /// Its queue of deadlines.
    pub deadlines: Deadlines,
    /// Its pool.
    pub seat: Seat,
    /// It has not started.
    pub absent: AtomicBool,
    /// What it is asked for: to ask the scheduler again, or to look at `soon`.
    wanted: AtomicU8,
    /// When it is to ask the scheduler at the latest.
    soon: AtomicU64,
}

impl Processor {
    const ASK: u8 = 1;
    const ASK_SOON: u8 = 2;

    /// One that asks the scheduler first.
    pub fn new(deadlines: Deadlines, seat: Seat) -> Self {
        let wanted = AtomicU8::new(Self::ASK);
        Processor { deadlines, seat, absent: AtomicBool::new(false), wanted, soon: AtomicU64::new(NEVER) }
    }

    /// It should ask the scheduler again.
    pub fn ask(&self) {
        self.wanted.fetch_or(Self::ASK, Ordering::SeqCst);
    }

    /// It should do so at this time.
    fn ask_by(&self, time: Ticks) {
        self.soon.fetch_min(time, Ordering::Relaxed);
        self.wanted.fetch_or(Self::ASK_SOON, Ordering::SeqCst);
    }

    /// Is it asked for anything? What comes from elsewhere in this moment comes with an interrupt.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    /// Takes what it is asked for: whether it should ask now, and the time by which it should else.
    #[inline]
    pub fn take_wanted(&self) -> (bool, Ticks) {
        let wanted = self.wanted.swap(0, Ordering::SeqCst);
        let soon = wanted & Self::ASK_SOON != 0;
        (wanted & Self::ASK != 0, if soon { self.soon.swap(NEVER, Ordering::Relaxed) } else { NEVER })
    }
}

/// Everything that is fixed after construction. Nothing in here grows.
#[derive(Debug)]
pub struct Hypervisor<M: Machine> {
    /// The machine.
    pub machine: M,
    /// The domains, by index.
    pub domains: Vec<Domain<M>>,
    /// All vCPUs, by number.
    pub vcpus: Vec<Vcpu>,
    /// The processors, by index.
    pub processors: Vec<Processor>,
    /// Who runs where: the pools, by id.
    pub pools: Vec<Pool>,
    /// The console.
    pub console: Lock<Console>,
    /// Held by whoever changes what event channels are bound to.
    pub bindings: Lock<()>,
    /// No domain's watchdog ends it before this time.
    pub watchdog: AtomicU64,
    /// Frames of RAM that the machine has, and the number of the last one.
    pub ram_frames: u64,
    /// See there.
    pub last_frame: u64,
    /// Bits of a guest address.
    pub ipa_bits: u8,
    /// Nanoseconds from 1970 to the zero of system time, as far as somebody has told.
    pub wall_clock: AtomicU64,
    /// The counter when the hypervisor started: the zero of system time.
    pub start: Ticks,
    /// Nanoseconds of a tick, times 2 to the 32nd.
    pub tick: u64,
    /// Identification registers as guests see them.
    pub identity: Identity,
    /// The options of the command line.
    pub options: plan::Options,
    /// INTID of the virtual timer's physical interrupt.
    pub virtual_timer: u32,
    /// Index of the domain that drives a device, by its interrupt's INTID.
    pub device_owners: Vec<Option<u16>>,
    /// The interrupt controller is a GICv3: guests reach it by system registers, too.
    pub gic_v3: bool,
    /// Domains that have not ended.
    pub alive: AtomicUsize,
}

/// The processor that minds the domains' watchdogs.
pub const WATCHER: CpuIndex = 0;

/// How much a line matters; see `loglvl=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something is broken.
    Error = 0,
    /// Something is odd.
    Warning = 1,
    /// Something has happened.
    Info = 2,
    /// For the curious.
    Debug = 3,
}

impl Level {
    fn number(self) -> u8 {
        match self {
            Level::Error => 0,
            Level::Warning => 1,
            Level::Info => 2,
            Level::Debug => 3,
        }
    }
}

impl<M: Machine> Hypervisor<M> {
    /// The console, locked.
    pub fn console(&self) -> Guard<'_, Console> {
        self.console.lock()
    }

    /// A line on the console.
    pub fn say(&self, level: Level, text: fmt::Arguments<'_>) {
        if level.number() <= self.options.log_level {
            let mut line = Text::new();
            let _ = line.write_fmt(text);
            let now = self.machine.now();
            self.console().say(&self.machine, now, line.as_bytes());
        }
    }

    /// A line that a guest has caused. Such lines are counted out, and dropped where the console is behind: a
    /// guest that causes many is not heard.
    pub fn say_of(&self, domain: &Domain<M>, level: Level, text: fmt::Arguments<'_>) {
        let now = self.machine.now();
        if level.number() <= self.options.guest_log_level && domain.lines.allow(now, self.machine.frequency())
        {
            let mut line = Text::new();
            let _ = write!(line, "d{}: {text}", domain.id);
            let mut console = self.console();
            // Nobody waits for the wire on a guest's behalf.
            if !console.is_crowded() {
                console.say(&self.machine, now, line.as_bytes());
            }
        }
    }

    /// The vCPU with this number.
    pub fn vcpu(&self, id: VcpuId) -> Option<&Vcpu> {
        self.vcpus.get(usize::try_from(id).ok()?)
    }

    /// A domain's vCPU by its number in the domain.
    pub fn vcpu_of(&self, domain: &Domain<M>, index: usize) -> Option<&Vcpu> {
        let number = domain.vcpus.start.checked_add(index).filter(|number| domain.vcpus.contains(number))?;
        self.vcpus.get(number)
    }

    /// This processor has not started: nobody runs on it.
    pub fn leave_out(&self, cpu: CpuIndex) {
        let Some(processor) = self.processors.get(cpu) else { return };
        processor.absent.store(true, Ordering::Relaxed);
        if let Some(pool) = self.pools.get(processor.seat.pool) {
            pool.remove(processor.seat);
        }
    }

    /// The processors of a pool that have started.
    pub fn processors_of(&self, pool: &Pool) -> CpuSet {
        let started = |cpu: &CpuIndex| {
            self.processors.get(*cpu).is_some_and(|processor| !processor.absent.load(Ordering::Relaxed))
        };
        let cpus = pool.cpus.iter().copied().filter(started);
        cpus.fold(CpuSet::NONE, |all, cpu| all.or(CpuSet::of(cpu)))
    }

    /// Makes a processor ask the scheduler again.
    pub fn call(&self, cpu: CpuIndex, from: CpuIndex) {
        let Some(processor) = self.processors.get(cpu) else { return };
        processor.ask();
        if cpu != from {
            self.machine.kick(cpu);
        }
    }

    /// Lets a vCPU run that waits; does nothing for one that does not. Whether it waited.
    pub fn wake(&self, vcpu: &Vcpu, from: CpuIndex) -> bool {
        let waited = vcpu.unblock();
        if waited {
            self.make_runnable(vcpu, from);
        }
        waited
    }

    /// Tells the scheduler that a vCPU can run.
    pub fn make_runnable(&self, vcpu: &Vcpu, from: CpuIndex) {
        if let Some(call) = self.runnable(vcpu) {
            self.answer(call, from);
        }
    }

    /// The same; what the scheduler wants for it is left to the caller, into which this is compiled.
    #[inline(always)]
    pub fn runnable(&self, vcpu: &Vcpu) -> Option<Call> {
        let now = self.machine.now();
        vcpu.runstate.lock().change(Doing::Runnable, now);
        self.pools.get(vcpu.seat.pool)?.wake(vcpu.seat, now)
    }

    /// Makes a processor do what the scheduler wants.
    pub fn answer(&self, Call { cpu, by }: Call, from: CpuIndex) {
        let Some(processor) = self.processors.get(cpu) else { return };
        if by == 0 {
            processor.ask();
        } else {
            processor.ask_by(by);
        }
        if cpu != from {
            self.machine.kick(cpu);
        }
    }

    /// Tells vCPUs of a domain that their interrupts have changed: one that waits wakes, one that runs
    /// elsewhere is kicked.
    pub fn notify(&self, domain: &Domain<M>, attention: Attention, from: CpuIndex) {
        for index in attention.iter() {
            if let Some(vcpu) = self.vcpu_of(domain, index) {
                self.notify_one(vcpu, vcpu.call(), from);
            }
        }
    }

    /// Tells one vCPU, which runs there if it runs, and has been told to look.
    #[inline]
    pub fn notify_one(&self, vcpu: &Vcpu, running_on: Option<CpuIndex>, from: CpuIndex) {
        // Who waited does not go on in its guest before the scheduler has been asked.
        if self.wake(vcpu, from) {
            return;
        }
        if let Some(cpu) = running_on.filter(|cpu| *cpu != from) {
            self.machine.kick(cpu);
        }
    }

    /// Ends a domain for a reason that its end does not say, and the machine with the last one.
    pub fn finish_for(&self, domain: &Domain<M>, end: End, from: CpuIndex, why: fmt::Arguments<'_>) {
        if !domain.finish(end) {
            return;
        }
        if let Some(console) = &domain.console {
            let mut console = console.lock();
            self.console().finish_line(&self.machine, &mut console);
        }
        // Its devices may go on asking, and nobody else could make them stop.
        for (intid, owner) in (0..=u32::MAX).zip(&self.device_owners) {
            if owner.is_some_and(|owner| usize::from(owner) == domain.index) {
                self.machine.silence(intid);
            }
        }
        self.say(Level::Error, format_args!("d{} has {end}{why}", domain.id));
        for vcpu in self.vcpus.get(domain.vcpus.clone()).unwrap_or_default() {
            if let Some(cpu) = vcpu.running_on() {
                self.call(cpu, from);
            }
        }
        if domain.is_control() {
            self.control_has_ended(end);
        } else if let Some(control) = self.control_domain() {
            self.raise_virq(control, abi::xen::VIRQ_DOM_EXC, from);
        }
        if self.alive.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.last_has_ended();
        }
    }

    /// The domain that controls the others, if there is one.
    pub fn control_domain(&self) -> Option<&Domain<M>> {
        self.domains.first().filter(|domain| domain.is_control())
    }

    /// Nobody can control anything any more: the machine ends the way in which dom0 did.
    fn control_has_ended(&self, end: End) {
        let broken = matches!(end, End::Crash | End::Watchdog);
        if broken && self.options.noreboot {
            self.say(Level::Error, format_args!("Hardware Dom0 crashed: 'noreboot' set - not rebooting"));
            return;
        }
        if end == End::PowerOff {
            self.say(Level::Error, format_args!("Hardware Dom0 halted: halting machine"));
            self.empty_console();
            self.machine.power_off();
        }
        let what = if broken { "crashed" } else { "shutdown" };
        self.say(Level::Error, format_args!("Hardware Dom0 {what}: rebooting machine"));
        self.empty_console();
        self.machine.reset();
    }

    /// Ends a domain, and the machine with the last one.
    pub fn finish(&self, domain: &Domain<M>, end: End, from: CpuIndex) {
        self.finish_for(domain, end, from, format_args!(""));
    }

    fn last_has_ended(&self) {
        if self.options.noreboot {
            self.say(
                Level::Error,
                format_args!("The last domain has ended; the machine stays on ('noreboot')"),
            );
            return;
        }
        self.say(Level::Error, format_args!("The last domain has ended: power off"));
        self.empty_console();
        self.machine.power_off();
    }

    /// Writes out all that waits for the console.
    pub fn empty_console(&self) {
        let mut console = self.console();
        console.use_polling();
        console.drain(&self.machine);
    }

    /// A domain's watchdog is to end it at this time, unless it is fed.
    pub fn watch(&self, deadline: Ticks, from: CpuIndex) {
        if self.watchdog.fetch_min(deadline, Ordering::AcqRel) > deadline {
            self.call(WATCHER, from);
        }
    }

    /// When to look at the watchdogs.
    pub fn watchdogs_earliest(&self) -> Ticks {
        self.watchdog.load(Ordering::Acquire)
    }

    /// Ends the domains whose watchdogs have not been fed in time.
    pub fn end_unfed(&self, now: Ticks) {
        if self.watchdogs_earliest() > now {
            return;
        }
        self.watchdog.store(NEVER, Ordering::Release);
        for domain in self.domains.iter().filter(|domain| domain.lives()) {
            match domain.watchdogs.earliest() {
                Some(deadline) if deadline <= now => self.finish(domain, End::Watchdog, WATCHER),
                Some(deadline) => {
                    self.watchdog.fetch_min(deadline, Ordering::AcqRel);
                }
                None => {}
            }
        }
    }

    /// Whether events and memory may pass between two domains: without `xsm=dummy` only between dom0 and
    /// others, and within one.
    ///
    /// # Errors
    /// `EPERM`.
    pub fn may_talk(&self, one: &Domain<M>, other: &Domain<M>) -> Result<(), Errno> {
        let talk = self.options.xsm == plan::Xsm::Dummy
            || one.index == other.index
            || one.is_control()
            || other.is_control();
        if talk { Ok(()) } else { Err(Errno::Perm) }
    }

    /// Takes bytes that a guest writes to the hypervisor's console by hypercall; how many. Where there is no
    /// room the rest has to wait.
    pub fn write_console(&self, domain: &Domain<M>, bytes: &[u8]) -> usize {
        let Some(guest) = &domain.console else { return bytes.len() };
        let mut guest = guest.lock();
        let mut console = self.console();
        let mut taken = 0_usize;
        for byte in bytes {
            if guest.stalled() && !console.flush(&self.machine, &mut guest) {
                break;
            }
            console.transmit(&self.machine, &mut guest, *byte);
            taken = taken.saturating_add(1);
        }
        taken
    }

    /// What was typed for a domain that has no UART; how many bytes.
    pub fn read_console(&self, domain: &Domain<M>, into: &mut [u8]) -> usize {
        domain.console.as_ref().map_or(0, |console| console.lock().take_typed(into))
    }

    /// The domain with this id.
    pub fn domain_of(&self, id: u16) -> Option<&Domain<M>> {
        let first = self.domains.first()?.id;
        self.domains.get(usize::from(id.checked_sub(first)?)).filter(|domain| domain.exists())
    }

    /// The domains from this id on.
    pub fn domains_from(&self, id: u16) -> impl Iterator<Item = &Domain<M>> {
        self.domains.iter().filter(move |domain| domain.id >= id && domain.exists())
    }

    /// System time: nanoseconds since the hypervisor started.
    #[inline]
    pub fn system_time(&self, now: Ticks) -> u64 {
        self.nanoseconds(now.saturating_sub(self.start))
    }

    /// So many ticks in nanoseconds.
    #[inline]
    pub fn nanoseconds(&self, ticks: Ticks) -> u64 {
        let scaled = u128::from(ticks).wrapping_mul(u128::from(self.tick));
        u64::try_from(scaled >> 32).unwrap_or(u64::MAX)
    }

    /// The counter at a system time, rounded up.
    pub fn ticks_at(&self, system_time: u64) -> Ticks {
        const SECOND: u64 = 1_000_000_000;
        let frequency = self.machine.frequency();
        let (seconds, rest) = (system_time / SECOND, system_time % SECOND);
        let part = rest.saturating_mul(frequency).div_ceil(SECOND);
        seconds.saturating_mul(frequency).saturating_add(part).saturating_add(self.start)
    }

    /// Tells all domains what time of day it was at the zero of system time.
    pub fn set_wall_clock(&self, nanoseconds: u64) {
        const SECOND: u64 = 1_000_000_000;
        self.wall_clock.store(nanoseconds, Ordering::Relaxed);
        let rest = u32::try_from(nanoseconds % SECOND).unwrap_or(0);
        for pv in self.domains.iter().filter_map(|domain| domain.pv.as_ref()) {
            pv.set_wall_clock(&self.machine, nanoseconds / SECOND, rest);
        }
    }

    /// A time on this machine.
    pub fn ticks(&self, milliseconds: u64) -> Ticks {
        self.machine.frequency().saturating_mul(milliseconds).checked_div(1000).unwrap_or(0)
    }
}
