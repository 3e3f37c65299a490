//! The one loop: choose a vCPU, enter its guest, act on why it came back.
//!
//! Each processor has a [`Local`] that nobody else sees: the vCPU that is loaded, with the lock on its
//! registers, and what the processor's timer is set to. A turn of the loop does one thing and returns,
//! so a test can drive several processors in any order it likes.

mod rest;
mod switch;

use machine::contract::{CpuIndex, Machine, Ticks};
use machine::lock::Guard;
use model::arm64::gic::{Gic, Raise};
use model::arm64::{Cause, Registers};

use crate::arch;
use crate::domain::Domain;
use crate::hypervisor::{Hypervisor, Processor, WATCHER};
use crate::pool::Pool;
use crate::schedule::Leaving;
use crate::timer::NEVER;
use crate::vcpu::{State, Told, Vcpu};

/// What belongs to one processor alone.
#[derive(Debug)]
pub struct Local<'h, M: Machine> {
    /// Which processor this is.
    pub index: CpuIndex,
    /// What others see of it.
    pub processor: &'h Processor,
    /// Its pool.
    pool: &'h Pool,
    /// The vCPU that is loaded.
    pub current: Option<Current<'h, M>>,
    /// One that sleeps and is loaded all the same, while the processor does nothing.
    rested: Option<Current<'h, M>>,
    /// When to ask the scheduler again, or [`NEVER`].
    pub limit: Ticks,
    /// What becomes of the loaded vCPU when the scheduler is asked.
    leaving: Leaving,
    /// What the timer is set to, and whether that may be out of date.
    armed: Ticks,
    rearm: bool,
    /// The loaded vCPU's list registers are out of date.
    refill: bool,
    /// One of the two is.
    stale: bool,
}

/// The vCPU that is loaded on a processor.
#[derive(Debug)]
pub struct Current<'h, M: Machine> {
    /// The vCPU.
    pub vcpu: &'h Vcpu,
    /// Its domain.
    pub domain: &'h Domain<M>,
    /// Its registers, which are this processor's for as long as they are loaded.
    pub state: Guard<'h, State>,
}

impl<'h, M: Machine> Local<'h, M> {
    /// A processor that has nothing to do yet. `None` for an index that the hypervisor does not know.
    pub fn new(hypervisor: &'h Hypervisor<M>, index: CpuIndex) -> Option<Self> {
        let processor = hypervisor.processors.get(index)?;
        Some(Local {
            index,
            processor,
            pool: hypervisor.pools.get(processor.seat.pool)?,
            current: None,
            rested: None,
            limit: NEVER,
            leaving: Leaving::Runnable,
            armed: NEVER,
            rearm: true,
            refill: false,
            stale: true,
        })
    }

    /// The loaded vCPU's interrupts have changed.
    pub fn refill(&mut self) {
        (self.refill, self.stale) = (true, true);
    }

    /// A vCPU that stops running here looks at its interrupts itself when it runs again, if they have changed. Whether they
    /// have.
    #[inline]
    fn leave_refill(&mut self, vcpu: &Vcpu) -> bool {
        let refill = core::mem::take(&mut self.refill);
        if refill {
            vcpu.call();
        }
        refill
    }

    /// The timer has fired and is off.
    pub fn deadline_has_passed(&mut self) {
        self.armed = NEVER;
        self.rearm();
    }

    /// A deadline has changed.
    pub fn rearm(&mut self) {
        (self.rearm, self.stale) = (true, true);
    }

    /// Something is to be done at this time: the timer may not stand later.
    #[inline]
    fn due(&mut self, time: Ticks) {
        if time < self.armed {
            self.rearm();
        }
    }

    /// The scheduler is to be asked at this time at the latest.
    #[inline]
    pub fn ask_by(&mut self, time: Ticks) {
        self.limit = self.limit.min(time);
        self.due(time);
    }

    /// The loaded vCPU stops running, in this way.
    pub fn leave(&mut self, leaving: Leaving) {
        self.leaving = leaving;
        self.processor.ask();
    }
}

/// Is the timer's interrupt still on its way, or has the guest ended it?
#[inline]
fn note_timer(interrupts: &Gic, [intid, _]: [u32; 2], vcpu: usize, registers: &mut Registers) {
    if registers.timer.in_flight {
        registers.timer.in_flight = interrupts.physical_in_flight(vcpu, intid, &registers.lists);
    }
}

impl<M: Machine> Hypervisor<M> {
    /// Runs a processor for ever.
    pub fn run(&self, index: CpuIndex) {
        let Some(mut local) = Local::new(self, index) else { return };
        loop {
            self.turn(&mut local);
        }
    }

    /// One turn: enters the guest once, sleeps once, or brings something up to date.
    #[inline]
    pub fn turn<'h>(&'h self, local: &mut Local<'h, M>) {
        // Whoever asks from elsewhere interrupts, and then it is seen.
        if local.processor.is_wanted() {
            let (now, soon) = local.processor.take_wanted();
            if now {
                self.switch(local);
                local.due(local.limit);
            } else {
                local.ask_by(soon);
            }
            if local.index == WATCHER {
                local.due(self.watchdogs_earliest());
            }
            // Putting one vCPU to sleep may have woken it, or another: look again before going on.
            return;
        }
        let called = local.current.as_ref().is_some_and(|current| current.vcpu.is_called());
        if local.stale || called {
            self.bring_up_to_date(local);
            return;
        }
        let Some(current) = local.current.as_mut() else {
            self.idle(local);
            return;
        };
        let trap = self.machine.run(local.index, &mut current.state.registers);
        if trap.cause == Cause::Interrupt {
            self.interrupt(local);
        } else {
            arch::handle(self, local, trap);
        }
    }

    /// Sleeps until something happens, and takes it.
    #[inline(never)]
    fn idle<'h>(&'h self, local: &mut Local<'h, M>) {
        if local.armed < self.earliest(local) {
            // Nobody is woken for a time limit that is of no account any more.
            local.rearm();
            return;
        }
        self.machine.idle(local.index);
        match local.rested.take() {
            None => self.interrupt(local),
            Some(rested) => self.interrupt_rested(local, rested),
        }
    }

    /// Sets the timer and fills the list registers anew, where that is needed.
    #[inline(never)]
    fn bring_up_to_date(&self, local: &mut Local<'_, M>) {
        local.stale = false;
        if local.rearm {
            self.arm(local);
        }
        if let Some(current) = local.current.as_ref() {
            self.hear_news(local, current.vcpu.take_news());
        }
        if core::mem::take(&mut local.refill)
            && let Some(current) = local.current.as_mut()
        {
            self.refresh_lists(local.index, current);
        }
    }

    /// Acts on what the loaded vCPU was told.
    #[inline]
    fn hear_news(&self, local: &mut Local<'_, M>, told: Told) {
        let pv = local.current.as_ref().and_then(|current| current.domain.pv.as_ref());
        if let Some(pv) = pv.filter(|_| told.of_upcall()) {
            self.raise_here(local, Raise::Pulse(pv.event_interrupt));
        }
        if let Some(current) = local.current.as_ref().filter(|_| told.of_interrupts()) {
            local.refill |= current.domain.interrupts.lock().needs_refill(current.vcpu.index);
        }
    }

    /// Brings the loaded vCPU's list registers up to date.
    fn refresh_lists(&self, cpu: CpuIndex, current: &mut Current<'_, M>) {
        let registers = &mut current.state.registers;
        self.machine.read_lists(registers);
        let (others, releases) = {
            let mut interrupts = current.domain.interrupts.lock();
            let others = interrupts.refill(current.vcpu.index, &mut registers.lists);
            (others, interrupts.has_release(current.vcpu.index))
        };
        self.note_timer(current);
        self.machine.write_lists(&current.state.registers);
        if releases {
            self.release_physical(current, cpu);
        }
        if !others.is_empty() {
            self.notify(current.domain, others, cpu);
        }
    }

    /// Ends physical interrupts whose virtual ones the guest made go away without ending them.
    pub fn release_physical(&self, current: &mut Current<'_, M>, cpu: CpuIndex) {
        loop {
            let release = current.domain.interrupts.lock().take_release(current.vcpu.index);
            let Some(intid) = release else { return };
            self.machine.release(cpu, intid);
            self.note_timer(current);
        }
    }

    /// Is the timer's interrupt still on its way, or has the guest ended it?
    pub fn note_timer(&self, current: &mut Current<'_, M>) {
        let registers = &mut current.state.registers;
        if registers.timer.in_flight {
            let interrupts = current.domain.interrupts.lock();
            note_timer(&interrupts, current.domain.timers, current.vcpu.index, registers);
        }
    }

    /// The earliest of all that the processor has to do in time.
    #[inline]
    fn earliest(&self, local: &Local<'_, M>) -> Ticks {
        let guest = local.current.as_ref().and_then(|current| current.state.pending_physical_deadline());
        let watchdog = if local.index == WATCHER { self.watchdogs_earliest() } else { NEVER };
        let own = local.limit.min(local.processor.deadlines.earliest()).min(watchdog);
        own.min(guest.unwrap_or(NEVER))
    }

    /// Sets the processor's timer to that. A time limit that is lifted leaves it where it is: it costs less to be
    /// interrupted by it at times than to set the timer at each switch.
    fn arm(&self, local: &mut Local<'_, M>) {
        local.rearm = false;
        let earliest = self.earliest(local);
        if earliest != local.armed {
            local.armed = earliest;
            self.machine.set_deadline(local.index, Some(earliest).filter(|time| *time != NEVER));
        }
    }

    /// Is there something to do on this processor that a long call is to make way for?
    #[inline]
    pub fn must_look(&self, local: &Local<'_, M>) -> bool {
        local.processor.is_wanted() || self.machine.is_interrupted(local.index)
    }

    /// The loaded vCPU waits for an interrupt: it sleeps, unless one is there.
    pub fn wait(&self, local: &mut Local<'_, M>) {
        if self.has_to_wait(local) {
            local.leave(Leaving::Blocked);
        }
    }

    /// The same at once: the caller has nothing more to do with it.
    #[inline]
    pub fn wait_now<'h>(&'h self, local: &mut Local<'h, M>) {
        if self.has_to_wait(local) {
            local.leaving = Leaving::Blocked;
            self.switch(local);
            local.due(local.limit);
        }
    }

    /// The loaded vCPU is on its way to sleep, unless something is there for it.
    #[inline]
    fn has_to_wait(&self, local: &mut Local<'_, M>) -> bool {
        let Some(current) = local.current.as_mut() else { return false };
        current.vcpu.block();
        let registers = &mut current.state.registers;
        self.machine.read_lists(registers);
        // All else that it is owed is in its list registers, unless there is no room for it.
        let lists = &registers.lists;
        let sleeps =
            !(current.vcpu.is_called() || lists.has_pending() || lists.more && self.is_owed(current));
        if !sleeps {
            current.vcpu.unblock();
        }
        sleeps
    }

    #[inline(never)]
    fn is_owed(&self, current: &Current<'_, M>) -> bool {
        let interrupts = current.domain.interrupts.lock();
        interrupts.deliverable(current.vcpu.index, &current.state.registers.lists)
    }
}
