//! The one loop: choose a vCPU, enter its guest, act on why it came back.
//!
//! Each processor has a [`Local`] that nobody else sees: the vCPU that is loaded, with the lock on its
//! registers, and what the processor's timer is set to. A turn of the loop does one thing and returns,
//! so a test can drive several processors in any order it likes.

use core::sync::atomic::Ordering;

use machine::contract::{CpuIndex, Machine, Ticks};
use machine::lock::Guard;
use model::arm64::Cause;
use model::arm64::gic::Attention;

use crate::arch;
use crate::domain::Domain;
use crate::hypervisor::{Hypervisor, Processor, WATCHER};
use crate::pool::Pool;
use crate::pv::Pv;
use crate::runstate::Doing;
use crate::schedule::{Choice, Leaving};
use crate::vcpu::{Power, State, Vcpu};

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
    /// When to ask the scheduler again.
    pub limit: Option<Ticks>,
    /// What becomes of the loaded vCPU when the scheduler is asked.
    leaving: Leaving,
    /// What the timer is set to, and whether that may be out of date.
    armed: Option<Ticks>,
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
            limit: None,
            leaving: Leaving::Runnable,
            armed: None,
            rearm: true,
            refill: false,
            stale: true,
        })
    }

    /// The loaded vCPU's interrupts have changed.
    pub fn refill(&mut self) {
        (self.refill, self.stale) = (true, true);
    }

    /// The timer has fired and is off.
    pub fn deadline_has_passed(&mut self) {
        self.armed = None;
        self.rearm();
    }

    /// A deadline has changed.
    pub fn rearm(&mut self) {
        (self.rearm, self.stale) = (true, true);
    }

    /// The loaded vCPU stops running, in this way.
    pub fn leave(&mut self, leaving: Leaving) {
        self.leaving = leaving;
        self.processor.reschedule.store(true, Ordering::Relaxed);
    }
}

/// What a vCPU does that gives its processor up for good.
fn idle_state(vcpu: &Vcpu) -> Doing {
    if *vcpu.power.lock() == Power::Off { Doing::Offline } else { Doing::Blocked }
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
        // Whoever sets it from elsewhere interrupts, and then it is seen.
        if local.processor.reschedule.load(Ordering::Relaxed) {
            local.processor.reschedule.store(false, Ordering::SeqCst);
            self.switch(local);
            // Putting one vCPU to sleep may have woken it, or another: look again before going on.
            return;
        }
        let called = local.current.as_ref().is_some_and(|current| current.vcpu.is_called());
        if local.stale || called {
            self.bring_up_to_date(local);
            return;
        }
        let Some(current) = local.current.as_mut() else {
            self.machine.idle(local.index);
            self.interrupt(local);
            return;
        };
        let trap = self.machine.run(local.index, &mut current.state.registers);
        if trap.cause == Cause::Interrupt {
            self.interrupt(local);
        } else {
            arch::handle(self, local, trap);
        }
    }

    /// Sets the timer and fills the list registers anew, where that is needed.
    #[inline(never)]
    fn bring_up_to_date(&self, local: &mut Local<'_, M>) {
        local.stale = false;
        if local.rearm {
            self.arm(local);
        }
        let refill = core::mem::take(&mut local.refill);
        if let Some(current) = local.current.as_mut()
            && (current.vcpu.called() || refill)
        {
            self.refresh_lists(local.index, current);
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
            let [intid, _] = current.domain.timers;
            let interrupts = current.domain.interrupts.lock();
            registers.timer.in_flight =
                interrupts.physical_in_flight(current.vcpu.index, intid, &registers.lists);
        }
    }

    /// Asks the scheduler, and does what it says.
    #[inline(never)]
    fn switch<'h>(&'h self, local: &mut Local<'h, M>) {
        let now = self.machine.now();
        let mut leaving = core::mem::replace(&mut local.leaving, Leaving::Runnable);
        if local.current.as_ref().is_some_and(|current| !current.domain.lives()) {
            leaving = Leaving::Blocked;
        }
        if leaving != Leaving::Blocked
            && let Some(current) = local.current.as_ref().filter(|current| current.domain.is_paused())
        {
            current.vcpu.hold();
            // As in `load`.
            if current.domain.is_paused() || !current.vcpu.let_go() {
                leaving = Leaving::Blocked;
            }
        }
        let Choice { vcpu, until, call } = local.pool.choose(local.processor.seat, leaving, now);
        local.limit = until;
        local.rearm();
        if let Some(other) = call {
            self.call(other, local.index);
        }
        if let (Some(current), Some(next)) = (&local.current, vcpu)
            && current.vcpu.id == next
            && current.domain.lives()
            && leaving != Leaving::Blocked
        {
            return;
        }
        if let Some(current) = local.current.take() {
            self.unload(local.index, current, leaving);
        }
        if let Some(next) = vcpu.and_then(|id| self.vcpu(id)) {
            local.current = self.load(local.index, next);
            if local.current.is_none() {
                local.leave(Leaving::Blocked);
            }
        }
    }

    /// Takes a vCPU off this processor.
    fn unload(&self, cpu: CpuIndex, mut current: Current<'_, M>, leaving: Leaving) {
        let vcpu = current.vcpu;
        self.machine.save(cpu, &mut current.state.registers);
        let owed = current.domain.interrupts.lock().fold(vcpu.index, &mut current.state.registers.lists);
        self.note_timer(&mut current);
        self.release_physical(&mut current, cpu);
        vcpu.set_running_on(None);
        self.account(&current, if leaving == Leaving::Blocked { idle_state(vcpu) } else { Doing::Runnable });
        self.notify(current.domain, owed.without(vcpu.index), cpu);
        if leaving == Leaving::Blocked && current.domain.lives() {
            self.put_to_sleep(cpu, current, owed.contains(vcpu.index));
        }
    }

    /// Leaves a blocked vCPU's earliest deadline behind, or wakes it where something has come already.
    fn put_to_sleep(&self, cpu: CpuIndex, current: Current<'_, M>, owed: bool) {
        let vcpu = current.vcpu;
        let timer = &current.state.registers.timer;
        let ahead = [
            timer.deadline().filter(|_| !timer.in_flight),
            current.state.pending_physical_deadline(),
            current.state.poll_deadline,
        ];
        let deadline = ahead.into_iter().flatten().min();
        if owed || deadline.is_some_and(|deadline| deadline <= self.machine.now()) {
            drop(current);
            self.wake(vcpu, cpu);
        } else if let (Some(deadline), Some(processor)) = (deadline, self.processors.get(cpu)) {
            vcpu.set_deadline_on(cpu);
            processor.deadlines.set(vcpu.id, deadline);
        }
    }

    /// Puts a vCPU on this processor; `None` for one that cannot run (any more).
    fn load<'h>(&'h self, cpu: CpuIndex, vcpu: &'h Vcpu) -> Option<Current<'h, M>> {
        let domain = self.domains.get(vcpu.domain)?;
        let state = vcpu.state.lock();
        if let Some(processor) = vcpu.take_deadline().and_then(|cpu| self.processors.get(cpu)) {
            processor.deadlines.forget(vcpu.id);
        }
        let mut current = Current { vcpu, domain, state };
        if domain.is_paused() {
            vcpu.hold();
            // Unless the pause has ended in this moment, and nobody has seen that it is held.
            if domain.is_paused() || !vcpu.let_go() {
                return None;
            }
        }
        if !domain.lives() || !self.start_if_ordered(&mut current) {
            return None;
        }
        vcpu.unblock();
        self.end_poll(domain, vcpu);
        current.state.poll_deadline = None;
        self.account(&current, Doing::Running);
        vcpu.set_running_on(Some(cpu));
        vcpu.called();
        self.update_timers(&mut current);
        let others = domain.interrupts.lock().refill(vcpu.index, &mut current.state.registers.lists);
        self.notify(domain, others, cpu);
        self.note_timer(&mut current);
        self.machine.load(cpu, &mut current.state.registers, &domain.map);
        self.release_physical(&mut current, cpu);
        Some(current)
    }

    /// The vCPU does something else from now on, and its guest is to know.
    fn account(&self, current: &Current<'_, M>, doing: Doing) {
        let now = self.system_time(self.machine.now());
        let mut runstate = current.vcpu.runstate.lock();
        runstate.change(doing, now);
        if runstate.has_area() {
            let flagged = current.domain.pv.as_ref().is_some_and(Pv::wants_update_flag);
            runstate.publish(&self.machine, flagged);
        }
    }

    /// Gives a vCPU that was just switched on its first registers. False where it is off.
    fn start_if_ordered(&self, current: &mut Current<'_, M>) -> bool {
        let mut power = current.vcpu.power.lock();
        match *power {
            Power::Off => false,
            Power::On(None) => true,
            Power::On(Some(start)) => {
                *power = Power::On(None);
                arch::start(&mut current.state.registers, start);
                current.state.physical_timer = Default::default();
                true
            }
        }
    }

    /// Raises what the timers of a vCPU that did not run have come to meanwhile.
    fn update_timers(&self, current: &mut Current<'_, M>) {
        let now = self.machine.now();
        let [virtual_timer, physical_timer] = current.domain.timers;
        let index = current.vcpu.index;
        let state = &mut *current.state;
        if !state.registers.timer.in_flight && state.registers.timer.output(now) {
            state.registers.timer.in_flight = true;
            // What it is owed is put in right after this.
            let _ =
                current.domain.interrupts.lock().inject_physical(index, virtual_timer, self.virtual_timer);
        }
        let high = state.physical_timer.output(now);
        if high != state.physical_line {
            state.physical_line = high;
            let _ = current.domain.interrupts.lock().set_line(physical_timer, index, high);
        }
    }

    /// Sets the processor's timer to the earliest of all that it has to do in time.
    fn arm(&self, local: &mut Local<'_, M>) {
        local.rearm = false;
        let guest = local.current.as_ref().and_then(|current| current.state.pending_physical_deadline());
        let watchdog = if local.index == WATCHER { self.watchdogs_earliest() } else { None };
        let ahead = [local.limit, local.processor.deadlines.earliest(), guest, watchdog];
        let earliest = ahead.into_iter().flatten().min();
        if earliest != local.armed {
            local.armed = earliest;
            self.machine.set_deadline(local.index, earliest);
        }
    }

    /// Is there something to do on this processor that a long call is to make way for?
    #[inline]
    pub fn must_look(&self, local: &Local<'_, M>) -> bool {
        local.processor.reschedule.load(Ordering::Relaxed) || self.machine.is_interrupted(local.index)
    }

    /// The loaded vCPU waits for an interrupt: it sleeps, unless one is there.
    pub fn wait(&self, local: &mut Local<'_, M>) {
        let Some(current) = local.current.as_mut() else { return };
        current.vcpu.block();
        let registers = &mut current.state.registers;
        self.machine.read_lists(registers);
        let (mut others, mut stale) = (Attention::NONE, false);
        let deliverable = {
            let mut interrupts = current.domain.interrupts.lock();
            // What came for an interrupt that is in a list register shows only after a fold.
            if interrupts.needs_refill(current.vcpu.index) {
                others = interrupts.refill(current.vcpu.index, &mut registers.lists);
                stale = true;
            }
            interrupts.deliverable(current.vcpu.index, &registers.lists)
        };
        if stale {
            self.machine.write_lists(&current.state.registers);
            self.release_physical(current, local.index);
            self.notify(current.domain, others, local.index);
        }
        self.note_timer(current);
        if deliverable {
            current.vcpu.unblock();
        } else {
            local.leave(Leaving::Blocked);
        }
    }
}
