//! The whole of it: what all processors share.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use machine::contract::{CpuIndex, Machine, Ticks};
use machine::lock::{Guard, Lock};
use model::arm64::gic::Attention;
use model::arm64::identity::Identity;

use crate::console::{Console, Text};
use crate::domain::{Domain, End};
use crate::schedule::{Scheduler, VcpuId};
use crate::timer::Deadlines;
use crate::vcpu::Vcpu;

/// What others may know and ask of a processor.
#[derive(Debug)]
pub struct Processor {
    /// Its queue of deadlines.
    pub deadlines: Deadlines,
    /// It should ask the scheduler again.
    pub reschedule: AtomicBool,
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
    /// Who runs where.
    pub scheduler: Lock<Box<dyn Scheduler>>,
    /// The console.
    pub console: Lock<Console>,
    /// Identification registers as guests see them.
    pub identity: Identity,
    /// The options of the command line.
    pub options: plan::Options,
    /// INTID of the virtual timer's physical interrupt.
    pub virtual_timer: u32,
    /// INTID of the virtual timer's interrupt as guests know it, and of the physical timer's.
    pub guest_timers: [u32; 2],
    /// The interrupt controller is a GICv3: guests reach it by system registers, too.
    pub gic_v3: bool,
    /// Domains that have not ended.
    pub alive: AtomicUsize,
}

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

    /// Makes a processor ask the scheduler again.
    pub fn call(&self, cpu: CpuIndex, from: CpuIndex) {
        let Some(processor) = self.processors.get(cpu) else { return };
        processor.reschedule.store(true, Ordering::SeqCst);
        if cpu != from {
            self.machine.kick(cpu);
        }
    }

    /// Lets a vCPU run that waits; does nothing for one that does not.
    pub fn wake(&self, vcpu: &Vcpu, from: CpuIndex) {
        if vcpu.unblock() {
            self.make_runnable(vcpu, from);
        }
    }

    /// Tells the scheduler that a vCPU can run.
    pub fn make_runnable(&self, vcpu: &Vcpu, from: CpuIndex) {
        let called = self.scheduler.lock().wake(vcpu.id, self.machine.now());
        if let Some(cpu) = called {
            self.call(cpu, from);
        }
    }

    /// Tells vCPUs of a domain that their interrupts have changed: one that waits wakes, one that runs
    /// elsewhere is kicked.
    pub fn notify(&self, domain: &Domain<M>, attention: Attention, from: CpuIndex) {
        for index in attention.iter() {
            let Some(vcpu) = self.vcpu_of(domain, index) else { continue };
            let running_on = vcpu.call();
            self.wake(vcpu, from);
            if let Some(cpu) = running_on.filter(|cpu| *cpu != from) {
                self.machine.kick(cpu);
            }
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
        self.say(Level::Error, format_args!("d{} has {end}{why}", domain.id));
        for vcpu in self.vcpus.get(domain.vcpus.clone()).unwrap_or_default() {
            if let Some(cpu) = vcpu.running_on() {
                self.call(cpu, from);
            }
        }
        if self.alive.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.last_has_ended();
        }
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

    /// A time on this machine.
    pub fn ticks(&self, milliseconds: u64) -> Ticks {
        self.machine.frequency().saturating_mul(milliseconds).checked_div(1000).unwrap_or(0)
    }
}
