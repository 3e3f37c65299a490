//! One vCPU makes way for another on a processor.
//!
//! What is taken off keeps the content of its list registers, so that a switch costs nothing for interrupts that nobody
//! has changed meanwhile. Who is put on hears first of what came: its timers, events, and what others did to its
//! interrupts.

use machine::contract::{CpuIndex, Machine, Ticks};
use model::arm64::Lists;
use model::arm64::gic::{Attention, Gic, Raise};

use super::{Current, Local, note_timer};
use crate::arch;
use crate::hypervisor::Hypervisor;
use crate::pv::Pv;
use crate::runstate::Doing;
use crate::schedule::{Choice, Leaving};
use crate::timer::NEVER;
use crate::vcpu::{State, Told, Vcpu};

/// What a vCPU does that gives its processor up.
fn doing(vcpu: &Vcpu, leaving: Leaving) -> Doing {
    match leaving {
        Leaving::Blocked if vcpu.power.is_off() => Doing::Offline,
        Leaving::Blocked => Doing::Blocked,
        _ => Doing::Runnable,
    }
}

/// The earliest of these, or [`NEVER`].
fn earliest(ahead: [Option<Ticks>; 3]) -> Ticks {
    ahead.into_iter().fold(NEVER, |earliest, time| earliest.min(time.unwrap_or(NEVER)))
}

/// Raises the event interrupt of a vCPU that is about to be loaded. What has no place in its list registers is put there
/// right after.
#[inline(never)]
fn raise_upcall(interrupts: &mut Gic, vcpu: usize, intid: u32, lists: &mut Lists) {
    let saved = |lists: &Lists, place: usize| lists.entries.get(place).copied().unwrap_or(0);
    let _ = interrupts.raise_running(vcpu, Raise::Pulse(intid), lists, (saved, |_, _| ()));
}

impl<M: Machine> Hypervisor<M> {
    /// Asks the scheduler, and does what it says.
    #[inline(never)]
    pub(super) fn switch<'h>(&'h self, local: &mut Local<'h, M>) {
        let mut leaving = core::mem::replace(&mut local.leaving, Leaving::Runnable);
        let rested = local.rested.is_some();
        if rested {
            local.current = local.rested.take();
        }
        let now = self.machine.now();
        if local.current.as_ref().is_some_and(|current| !current.domain.lives()) {
            leaving = Leaving::Blocked;
        }
        if leaving != Leaving::Blocked
            && !rested
            && let Some(current) = local.current.as_ref().filter(|current| current.domain.is_paused())
            && !self.goes_on(current)
        {
            leaving = Leaving::Blocked;
        }
        // Whoever has a limit is not alone.
        if leaving == Leaving::Yielding
            && local.limit == NEVER
            && local.current.is_some()
            && local.pool.is_alone(local.processor.seat)
        {
            return;
        }
        let Choice { vcpu, rests, until, call } = local.pool.choose(local.processor.seat, leaving, now);
        local.limit = until;
        if let Some(other) = call {
            self.call(other, local.index);
        }
        if let (Some(current), Some(next)) = (&local.current, vcpu)
            && current.vcpu.id == next
            && current.domain.lives()
            && leaving != Leaving::Blocked
            && (!rested || self.resume(local, now))
        {
            return;
        }
        if rests && (rested || leaving == Leaving::Blocked) && self.rest(local, rested, now) {
            return;
        }
        if let Some(current) = local.current.take() {
            if rested && current.vcpu.is_blocked() {
                leaving = Leaving::Blocked;
            }
            self.unload(local, current, leaving, now);
        }
        if let Some(next) = vcpu.and_then(|id| self.vcpu(id)) {
            local.current = self.load(local, next, now);
            if local.current.is_none() {
                local.leave(Leaving::Blocked);
            }
        }
    }

    /// Holds a vCPU of a paused domain, unless the pause has ended in this moment and nobody has seen that it is held:
    /// then it goes on.
    pub(super) fn goes_on(&self, current: &Current<'_, M>) -> bool {
        current.vcpu.hold();
        !current.domain.is_paused() && current.vcpu.let_go()
    }

    /// Takes a vCPU off this processor. Its list registers' content stays as it is, for when it runs again.
    #[inline]
    fn unload<'h>(
        &'h self,
        local: &mut Local<'h, M>,
        mut current: Current<'h, M>,
        leaving: Leaving,
        now: Ticks,
    ) {
        let (cpu, vcpu, domain) = (local.index, current.vcpu, current.domain);
        self.machine.save(cpu, &mut current.state.registers);
        local.leave_refill(vcpu);
        let doing = doing(vcpu, leaving);
        if doing == Doing::Offline || current.state.registers.timer.in_flight {
            self.settle_interrupts(cpu, &mut current, doing, now);
        }
        vcpu.set_running_on(None);
        self.account(&current, doing, now);
        if leaving == Leaving::Blocked && domain.lives() {
            self.put_to_sleep(local, current, now);
        }
    }

    /// Takes interrupts back from a vCPU that does not run any more: all of them from one that is off, and the timer's
    /// if its line has gone low before the guest took it.
    #[inline(never)]
    fn settle_interrupts(&self, cpu: CpuIndex, current: &mut Current<'_, M>, doing: Doing, now: Ticks) {
        let (index, [timer, _]) = (current.vcpu.index, current.domain.timers);
        let registers = &mut current.state.registers;
        let mut interrupts = current.domain.interrupts.lock();
        let mut others = Attention::NONE;
        if doing == Doing::Offline {
            others = interrupts.fold(index, &mut registers.lists);
        }
        if registers.timer.in_flight && !registers.timer.output(now) {
            interrupts.withdraw_physical(index, timer);
        }
        note_timer(&interrupts, current.domain.timers, index, registers);
        drop(interrupts);
        self.release_physical(current, cpu);
        self.notify(current.domain, others.without(index), cpu);
        // Whoever loads it looks at all of this.
        current.vcpu.call();
    }

    /// Has a vCPU that has just been put aside sleep.
    #[inline]
    fn put_to_sleep(&self, local: &mut Local<'_, M>, current: Current<'_, M>, now: Ticks) {
        let timer = &current.state.registers.timer;
        let virtual_timer = timer.deadline().filter(|_| !timer.in_flight);
        self.await_deadline(local, &current, virtual_timer, now);
    }

    /// Leaves the earliest deadline of a sleeping vCPU behind, or wakes it where something has come already. Its virtual
    /// timer's stands in `virtual_timer`, unless hardware minds that.
    #[inline(always)]
    pub(super) fn await_deadline(
        &self,
        local: &mut Local<'_, M>,
        current: &Current<'_, M>,
        virtual_timer: Option<Ticks>,
        now: Ticks,
    ) {
        let (vcpu, state) = (current.vcpu, &current.state);
        let deadline = earliest([virtual_timer, state.pending_physical_deadline(), state.poll_deadline]);
        if deadline <= now || state.registers.lists.has_pending() {
            self.wake(vcpu, local.index);
        } else if deadline != NEVER {
            vcpu.set_deadline_on(local.index);
            local.processor.deadlines.set(vcpu.id, deadline);
            local.due(deadline);
        }
    }

    /// Puts a vCPU on this processor; `None` for one that cannot run (any more).
    #[inline]
    fn load<'h>(&'h self, local: &mut Local<'h, M>, vcpu: &'h Vcpu, now: Ticks) -> Option<Current<'h, M>> {
        let cpu = local.index;
        let domain = self.domains.get(vcpu.domain)?;
        let state = vcpu.state.lock();
        if let Some(processor) = vcpu.take_deadline().and_then(|cpu| self.processors.get(cpu)) {
            processor.deadlines.forget(vcpu.id);
            local.rearm();
        }
        let mut current = Current { vcpu, domain, state };
        if domain.is_paused() && !self.goes_on(&current) {
            return None;
        }
        if !domain.lives() || vcpu.power.is_off() {
            return None;
        }
        if let Some(start) = vcpu.power.take_orders() {
            // It may have gone off and on in one moment, with its interrupts still listed.
            if current.state.registers.lists.used != 0 || current.state.registers.timer.in_flight {
                self.settle_interrupts(cpu, &mut current, Doing::Offline, now);
            }
            arch::start(&mut current.state.registers, start);
            current.state.physical_timer = Default::default();
        }
        self.begin(&mut current, now);
        vcpu.set_running_on(Some(cpu));
        let told = vcpu.take_news();
        let releases =
            !self.is_up_to_date(&mut current, told, now) && self.catch_up(cpu, &mut current, told, now);
        self.machine.load(cpu, &mut current.state.registers, &domain.map);
        if releases {
            self.release_physical(&mut current, cpu);
        }
        if let Some(deadline) = current.state.pending_physical_deadline() {
            local.due(deadline);
        }
        Some(current)
    }

    /// Is all that a vCPU which is about to be loaded is owed in its list registers? Whatever changes its interrupts tells
    /// it so, but for its timers. An event alone is most often the last one's entry again.
    #[inline(always)]
    fn is_up_to_date(&self, current: &mut Current<'_, M>, told: Told, now: Ticks) -> bool {
        if told.of_interrupts() || current.state.is_due(now) {
            return false;
        }
        let Some(pv) = current.domain.pv.as_ref().filter(|_| told.of_upcall()) else { return true };
        current.state.registers.lists.repeat(pv.event_interrupt)
    }

    /// Brings the list registers of a vCPU that is about to be loaded up to date. Whether there are physical interrupts to
    /// end.
    #[inline(never)]
    fn catch_up(&self, cpu: CpuIndex, current: &mut Current<'_, M>, told: Told, now: Ticks) -> bool {
        let (domain, index, state) = (current.domain, current.vcpu.index, &mut *current.state);
        let mut interrupts = domain.interrupts.lock();
        self.raise_timers(&mut interrupts, (domain.timers, index), state, now);
        if let Some(pv) = domain.pv.as_ref().filter(|_| told.of_upcall()) {
            raise_upcall(&mut interrupts, index, pv.event_interrupt, &mut state.registers.lists);
        }
        let stale = interrupts.needs_refill(index);
        let lists = &mut state.registers.lists;
        let others = if stale { interrupts.refill(index, lists) } else { Attention::NONE };
        note_timer(&interrupts, domain.timers, index, &mut state.registers);
        let releases = interrupts.has_release(index);
        drop(interrupts);
        if !others.is_empty() {
            self.notify(domain, others, cpu);
        }
        releases
    }

    /// From now on a vCPU runs that may have slept.
    #[inline]
    pub(super) fn begin(&self, current: &mut Current<'_, M>, now: Ticks) {
        current.vcpu.unblock();
        self.end_poll(current.domain, current.vcpu);
        current.state.poll_deadline = None;
        self.account(current, Doing::Running, now);
    }

    /// The vCPU does something else from now on, and its guest is to know.
    #[inline]
    pub(super) fn account(&self, current: &Current<'_, M>, doing: Doing, now: Ticks) {
        let mut runstate = current.vcpu.runstate.lock();
        runstate.change(doing, now);
        if runstate.has_area() {
            let flagged = current.domain.pv.as_ref().is_some_and(Pv::wants_update_flag);
            runstate.publish(self, flagged);
        }
    }

    /// Raises what the timers of a vCPU that did not run have come to meanwhile.
    #[inline]
    fn raise_timers(&self, interrupts: &mut Gic, whose: ([u32; 2], usize), state: &mut State, now: Ticks) {
        let ([virtual_timer, physical_timer], index) = whose;
        let timer = &mut state.registers.timer;
        if !timer.in_flight && timer.output(now) {
            timer.in_flight = true;
            // What it is owed is put in right after this.
            let _ = interrupts.inject_physical(index, virtual_timer, self.virtual_timer);
        }
        let high = state.physical_timer.output(now);
        if high != state.physical_line {
            state.physical_line = high;
            let _ = interrupts.set_line(physical_timer, index, high);
        }
    }
}
