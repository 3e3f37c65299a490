//! The usual case, in few instructions: two vCPUs without caps and affinities that take turns on a processor.
//!
//! Where nothing but virtual times is to be minded, these functions do what [`Fair::wake_any`] and [`Fair::choose_any`]
//! do. Elsewhere they do nothing, and answer `None`. A test holds both against each other.

use machine::contract::{CpuIndex, Ticks};

use super::crowd::State;
use super::processors::{Processors, Standing};
use super::{Call, Choice, Fair, Leaving, VcpuId};
use crate::timer::NEVER;

impl Fair {
    /// Nobody is parked or bound to processors, and nobody waits for his first turn. To be said after whatever may have
    /// changed that.
    pub(super) fn note_plain(&mut self) {
        self.plain = self.crowd.is_plain() && self.warden.is_none() && self.pace.newcomers == 0;
    }

    /// A vCPU that slept can run, where it rests or as soon as the only processor has time for it.
    #[inline]
    pub(super) fn wake_quick(&mut self, vcpu: VcpuId, now: Ticks) -> Option<Call> {
        let Fair { crowd, processors, pace, .. } = self;
        let entry = crowd.get_mut(vcpu).filter(|entry| entry.state == State::Asleep)?;
        if !entry.is_plain {
            return None;
        }
        if entry.rests {
            entry.state = State::Due;
            return processors.call(entry.cpu).map(Call::now);
        }
        let Processors { all, sets } = processors;
        let [processor] = all.as_mut_slice() else { return None };
        let begun = now < processor.chosen.saturating_add(pace.grace);
        let settled = !processor.called && !processor.limited && crowd.queue.is_empty();
        if !(self.plain && settled && begun && crowd.get(processor.running?)?.is_plain) {
            return None;
        }
        crowd.charge(processor, now);
        crowd.enqueue(vcpu, processor.floor.saturating_sub(pace.slice));
        (processor.limited, processor.called) = (true, false);
        sets.leave(processor);
        Some(Call { cpu: 0, by: processor.chosen.saturating_add(pace.grace) })
    }

    /// What rests on the processor was woken, and nobody else wants to run.
    #[inline]
    fn resume_quick(&mut self, cpu: CpuIndex, now: Ticks) -> Option<Choice> {
        let Fair { crowd, processors: Processors { all, sets }, pace, .. } = self;
        let processor = all.get_mut(cpu)?;
        let (vcpu, earliest) = (processor.resting?, crowd.time.saturating_sub(pace.slice));
        if !self.plain || crowd.has_waiting() {
            return None;
        }
        let entry = crowd.get_mut(vcpu).filter(|entry| entry.is_plain && entry.state == State::Due)?;
        (entry.rests, entry.woken) = (false, false);
        entry.virtual_time = entry.virtual_time.max(earliest);
        crowd.settle(vcpu, (cpu, processor), 0, pace);
        (processor.running, processor.resting) = (Some(vcpu), None);
        (processor.since, processor.chosen) = (now, now);
        (processor.limited, processor.called) = (false, false);
        sets.change(processor, Standing::Unlimited);
        Some(Choice { vcpu: Some(vcpu), ..Choice::default() })
    }

    /// What runs on the processor sleeps or yields, and one other waits; or what rests there goes on.
    #[inline]
    pub(super) fn choose_quick(&mut self, cpu: CpuIndex, leaving: Leaving, now: Ticks) -> Option<Choice> {
        let Fair { crowd, processors: Processors { all, sets }, pace, .. } = self;
        let processor = all.get_mut(cpu)?;
        let Some(left) = processor.running else { return self.resume_quick(cpu, now) };
        let (next, key) = crowd.queue.only()?;
        let goes_on = leaving == Leaving::Yielding;
        if !self.plain || leaving == Leaving::Runnable || !crowd.get(next)?.is_plain {
            return None;
        }
        if crowd.get(left).is_none_or(|entry| !entry.is_plain || entry.woken) {
            return None;
        }
        if goes_on && !sets.idle.or(sets.unlimited.and_not(processor.own)).is_empty() {
            return None;
        }
        let entry = crowd.charge(processor, now)?;
        entry.cpu = cpu;
        let mut behind = 0;
        if goes_on {
            behind = entry.virtual_time.max(key.saturating_add(1));
            (entry.state, entry.virtual_time) = (State::Queued, behind);
            crowd.queue.replace_first(left, behind)?;
        } else {
            entry.state = State::Asleep;
            crowd.queue.take_only();
        }
        crowd.settle(next, (cpu, processor), behind, pace);
        (processor.running, processor.since, processor.chosen) = (Some(next), now, now);
        (processor.limited, processor.called) = (goes_on, false);
        sets.change(processor, if goes_on { Standing::Busy } else { Standing::Unlimited });
        let until = if goes_on { now.saturating_add(pace.turn) } else { NEVER };
        Some(Choice { vcpu: Some(next), rests: false, until, call: None })
    }
}
