//! A vCPU that sleeps while its processor has nothing else to do rests there: it stays loaded.
//!
//! Most sleeps end where they began, with nobody in between, and then nothing was moved. Its virtual timer goes on in
//! hardware, and interrupts go into its list registers. To others it is on this processor, so whoever wants it off calls
//! that. Nobody else can choose it meanwhile: the scheduler wakes it here ([`Choice::rests`](crate::schedule::Choice)).

use machine::contract::{Machine, Ticks};

use super::{Current, Local};
use crate::hypervisor::Hypervisor;
use crate::runstate::Doing;

impl<M: Machine> Hypervisor<M> {
    /// Lets the loaded vCPU rest, or go on resting; `false` for one that has to go.
    #[inline(never)]
    pub(super) fn rest(&self, local: &mut Local<'_, M>, rested: bool, now: Ticks) -> bool {
        let Some(mut current) = local.current.take_if(|current| may_stay(current)) else { return false };
        if !rested {
            self.machine.read_lists(&mut current.state.registers);
            self.note_timer(&mut current);
            // A timer's interrupt that the guest has not ended may have to be taken back, which is done with the timer off.
            if current.state.registers.timer.in_flight {
                local.current = Some(current);
                return false;
            }
            local.leave_refill(current.vcpu);
            self.account(&current, Doing::Blocked, now);
            self.await_deadline(local, &current, None, now);
        }
        local.rested = Some(current);
        true
    }

    /// Takes an interrupt while a vCPU rests: what comes for that wakes it.
    #[inline]
    pub(super) fn interrupt_rested<'h>(&'h self, local: &mut Local<'h, M>, rested: Current<'h, M>) {
        local.current = Some(rested);
        self.interrupt(local);
        let Some(rested) = local.current.take() else { return };
        // A timer's interrupt is in a list register already.
        if local.leave_refill(rested.vcpu) || rested.state.registers.timer.in_flight {
            self.wake(rested.vcpu, local.index);
        }
        local.rested = Some(rested);
    }

    /// A vCPU that has rested runs again; `false` for one that may not.
    #[inline]
    pub(super) fn resume(&self, local: &mut Local<'_, M>, now: Ticks) -> bool {
        let Some(current) = local.current.as_mut() else { return false };
        let held = current.domain.is_paused() && !self.goes_on(current);
        if held || !current.domain.lives() {
            return false;
        }
        self.begin(current, now);
        if current.vcpu.take_deadline().is_some() {
            local.processor.deadlines.forget(current.vcpu.id);
            local.rearm();
        }
        self.update_physical_timer(local, now);
        true
    }
}

/// Nothing but sleep keeps it from running.
#[inline]
fn may_stay<M: Machine>(current: &Current<'_, M>) -> bool {
    current.domain.lives() && !current.domain.is_paused() && !current.vcpu.power.is_off()
}
