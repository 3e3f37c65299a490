//! Preemptive and fair: every vCPU gets time by its weight, and no domain more than its cap.
//!
//! Each vCPU has a virtual run time that grows while it runs, the slower the heavier it is; the one with
//! the least runs next. One queue serves all processors of the pool, so fairness holds across them. vCPUs that
//! may not run everywhere have a second one, which is looked through. A running vCPU gets a time limit only while
//! somebody waits whom its processor could run.
//!
//! A processor has a virtual time, too: that at which its vCPU was chosen, or has now where nobody else wants to run
//! there. Who wakes, or comes from processors that had less to do, starts no further behind than one slice: sleeping
//! earns a quick turn and not a hoard. Time that nobody else wants counts the same for all weights, and who is
//! chosen is never further behind the next than weights explain: what is heavier than a whole processor saves nothing up.
//!
//! A domain with a cap has a budget (`budget.rs`), of which a vCPU takes a part when it is chosen. Where nothing is
//! left its vCPUs are parked until there is; one processor, the warden, asks in time to take them out again.

mod budget;
mod crowd;
mod processors;
mod quick;

use machine::contract::{CpuIndex, Ticks};
use plan::Share;

use self::crowd::{Crowd, Entry, PARKED_AT_A_STRETCH, State};
use self::processors::{Processor, Processors};
use super::{Affinity, Call, Choice, CpuSet, Leaving, Scheduler, Taken, VcpuId};
use crate::timer::NEVER;

/// The weight at which virtual time is time.
const UNIT_WEIGHT: u64 = 256;

/// Times by which it decides.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// How long somebody runs for whose processor others wait.
    slice: Ticks,
    /// How long at present: much shorter while `newcomers` wait, so that of many who begin together the last need not
    /// wait for as many slices.
    turn: Ticks,
    /// How many wait for their first turn.
    newcomers: usize,
    /// As far behind others as a vCPU can be in virtual time because of weights.
    most_lag: u64,
    /// Nobody is preempted earlier: who wakes often must not make the others pay for switches.
    patience: Ticks,
    /// The same at present: no longer than a turn.
    grace: Ticks,
    /// After so many ticks a budget is filled again.
    period: Ticks,
}

impl Pace {
    fn set_turn(&mut self, turn: Ticks) {
        (self.turn, self.grace) = (turn, self.patience.min(turn));
    }
}

/// The scheduler behind `sched=credit2`.
#[derive(Debug)]
pub struct Fair {
    crowd: Crowd,
    processors: Processors,
    /// The processor that asks in time for those who are parked, and when.
    warden: Option<(CpuIndex, Ticks)>,
    pace: Pace,
    /// See [`Self::note_plain`].
    plain: bool,
}

/// What processors have come to.
struct Survey {
    /// Their virtual time.
    floor: u64,
    /// The one, of those that have not been called, whose vCPU has had most; and how much that is.
    ahead: CpuIndex,
    most: u64,
}

impl Survey {
    const NONE: Self = Survey { floor: 0, ahead: CpuIndex::MAX, most: 0 };

    #[inline(always)]
    fn add(&mut self, cpu: CpuIndex, processor: &Processor, time: Option<u64>) {
        self.floor = processor.floor.max(self.floor);
        if let Some(time) = time
            && !processor.called
            && (time > self.most || self.ahead == CpuIndex::MAX)
        {
            (self.ahead, self.most) = (cpu, time);
        }
    }
}

impl Fair {
    /// Bytes for each vCPU, where each could be a domain of its own.
    pub const BYTES_PER_VCPU: usize = Crowd::BYTES_PER_VCPU;
    /// Bytes for each processor.
    pub const BYTES_PER_PROCESSOR: usize = size_of::<Processor>();

    /// For domains of so many vCPUs each, numbered one after the other, and so many processors, with slices of `slice`
    /// ticks. `None` where there is no memory.
    pub fn try_new(domains: &[usize], cpus: usize, slice: Ticks) -> Option<Self> {
        Some(Fair {
            crowd: Crowd::try_new(domains)?,
            processors: Processors::try_new(cpus)?,
            warden: None,
            pace: Pace {
                slice,
                turn: slice,
                newcomers: 0,
                most_lag: slice.saturating_mul(2),
                patience: slice >> 3,
                grace: slice >> 3,
                period: slice.saturating_add(slice >> 2),
            },
            plain: true,
        })
    }

    /// A processor that does nothing although somebody waits who could run there, or runs somebody without a
    /// time limit. It is called, and calls the next such one when it asks.
    fn call_another(&mut self) -> Option<CpuIndex> {
        if !self.crowd.has_waiting() {
            return None;
        }
        let idle = self.crowd.wants_of(self.processors.sets.idle);
        let cpu = idle.or_else(|| self.processors.sets.unlimited.and(self.crowd.wanted()).first())?;
        self.processors.call(cpu)
    }

    /// Charges all processors, and looks at those in `hard`.
    #[inline(always)]
    fn survey(&mut self, hard: CpuSet, now: Ticks) -> Survey {
        let Fair { crowd, processors, .. } = self;
        // Most pools that are short of time have one processor.
        if let [only] = processors.all.as_mut_slice() {
            let time = crowd.charge(only, now).map(|entry| entry.virtual_time);
            let mut survey = Survey::NONE;
            survey.add(0, only, time);
            return survey;
        }
        self.survey_all(hard, now)
    }

    #[inline(never)]
    fn survey_all(&mut self, hard: CpuSet, now: Ticks) -> Survey {
        for processor in &mut self.processors.all {
            self.crowd.charge(processor, now);
        }
        let mut survey = Survey::NONE;
        let earliest = self.crowd.time.saturating_sub(self.pace.slice);
        for (cpu, processor) in self.processors.all.iter().enumerate() {
            let running = processor.running.and_then(|running| self.crowd.get_mut(running));
            let time = running.map(|entry| {
                // Whoever had a processor to itself had no less than others, wherever it began.
                if entry.is_free && !processor.limited {
                    entry.virtual_time = entry.virtual_time.max(earliest);
                }
                entry.virtual_time
            });
            if hard.contains(cpu) {
                survey.add(cpu, processor, time);
            }
        }
        survey
    }

    /// The processor goes on with what it runs.
    #[inline(never)]
    fn keep(&mut self, cpu: CpuIndex, until: Ticks) -> Choice {
        let Some(processor) = self.processors.get_mut(cpu) else { return Choice::default() };
        (processor.called, processor.limited) = (false, true);
        let running = processor.running;
        if let Some(entry) = running.and_then(|running| self.crowd.get_mut(running)) {
            entry.woken = false;
        }
        self.processors.note(cpu);
        // It was asked because somebody waits; another processor may be free to take that one sooner.
        let call = self.call_another();
        Choice { vcpu: running, rests: false, until: self.guard(cpu, until), call }
    }

    /// Takes those out whose domains have a budget again.
    #[inline(never)]
    fn release(&mut self, now: Ticks) {
        for processor in &mut self.processors.all {
            self.crowd.charge(processor, now);
        }
        for _ in 0..PARKED_AT_A_STRETCH {
            let Some((vcpu, _)) = self.crowd.parked.first().filter(|(_, at)| *at <= now) else { return };
            self.crowd.parked.remove(vcpu);
            let time = self.time_for(vcpu);
            self.crowd.enqueue(vcpu, time.saturating_sub(self.pace.slice));
        }
    }

    /// The virtual time of the processors where a vCPU may run.
    fn time_for(&self, vcpu: VcpuId) -> u64 {
        let Some(entry) = self.crowd.get(vcpu) else { return 0 };
        let numbered = (0..self.processors.all.len()).zip(&self.processors.all);
        let allowed = numbered.filter(|(cpu, _)| entry.may_use(*cpu));
        allowed.map(|(_, processor)| processor.floor).max().unwrap_or(0)
    }

    /// Parks a vCPU that wakes, if its domain has no budget and somebody asks in time.
    #[inline(never)]
    fn park(&mut self, vcpu: VcpuId, now: Ticks) -> bool {
        let Some((entry, group)) = self.crowd.with_group(vcpu) else { return false };
        group.awake = group.awake.saturating_add(1);
        if group.has_budget(self.pace.period, now) {
            return false;
        }
        let at = group.filled_at(self.pace.period, now);
        let guarded = self.warden.is_some_and(|(_, asks)| asks <= at);
        if guarded {
            entry.state = State::Queued;
            self.crowd.parked.insert(vcpu, at);
        }
        guarded
    }

    /// Wakes a vCPU that rests on an idle processor, which takes it from there.
    #[inline]
    fn wake_resting(&mut self, vcpu: VcpuId) -> Option<Call> {
        let entry = self.crowd.get_mut(vcpu)?;
        entry.state = State::Due;
        let (cpu, is_capped) = (entry.cpu, entry.is_capped());
        if is_capped {
            let (_, group) = self.crowd.with_group(vcpu)?;
            group.awake = group.awake.saturating_add(1);
        }
        self.processors.call(cpu).map(Call::now)
    }

    /// Makes the processor the warden, if nobody asks in time for those who are parked. Answers with the time when it
    /// has to ask.
    #[inline]
    fn guard(&mut self, cpu: CpuIndex, until: Ticks) -> Ticks {
        if self.crowd.parked.is_empty() && self.warden.is_none() {
            return until;
        }
        self.guard_parked(cpu, until, self.crowd.parked.first_key().unwrap_or(NEVER))
    }

    #[inline(never)]
    fn guard_parked(&mut self, cpu: CpuIndex, until: Ticks, at: Ticks) -> Ticks {
        self.warden = self.warden.filter(|(warden, _)| *warden != cpu);
        if at == NEVER || self.warden.is_some_and(|(_, asks)| asks <= at) {
            return until;
        }
        self.warden = Some((cpu, at));
        until.min(at)
    }
}

/// An idle processor that should take a vCPU: the one where it ran last, before others.
#[inline]
fn idle_for(idle: CpuSet, affinity: Affinity, last: CpuIndex) -> Option<CpuIndex> {
    let idle = idle.and(affinity.hard);
    if idle.and(affinity.soft).contains(last) { Some(last) } else { affinity.choose_from(idle) }
}

impl Fair {
    /// See [`Scheduler::wake`].
    #[inline(never)]
    fn wake_any(&mut self, vcpu: VcpuId, now: Ticks) -> Option<Call> {
        let entry = self.crowd.get_mut(vcpu)?;
        match entry.state {
            State::Queued | State::Due => return None,
            State::Running => {
                entry.woken = true;
                return None;
            }
            State::Asleep if entry.rests => return self.wake_resting(vcpu),
            State::Asleep => {}
            State::New => {
                self.pace.newcomers = self.pace.newcomers.saturating_add(1);
                self.pace.set_turn(self.pace.slice >> 5);
            }
        }
        let Entry { affinity, is_free, cpu: last, virtual_time, .. } = *entry;
        if entry.is_capped() && self.park(vcpu, now) {
            return None;
        }
        let idle = self.processors.sets.idle;
        if is_free && !idle.is_empty() {
            // Whoever runs is charged when somebody has to wait for him.
            self.crowd.enqueue(vcpu, self.crowd.time.saturating_sub(self.pace.slice));
            let cpu = if idle.contains(last) { Some(last) } else { idle.first() };
            return self.processors.call(cpu?).map(Call::now);
        }
        let Survey { floor, ahead: cpu, most } = self.survey(affinity.hard, now);
        let own = virtual_time.max(floor.saturating_sub(self.pace.slice));
        self.crowd.enqueue(vcpu, own);
        if !idle.is_empty()
            && let Some(cpu) = idle_for(idle, affinity, last)
        {
            return self.processors.call(cpu).map(Call::now);
        }
        // All are busy: the one that has had most yields soon if it is far ahead, else at its limit.
        let Processors { all, sets } = &mut self.processors;
        let processor = all.get_mut(cpu)?;
        if processor.limited && most <= own.saturating_add(self.pace.slice >> 1) {
            return self.call_another().map(Call::now);
        }
        // Where nobody else can take who waits any sooner, and this one has only just begun, it need not even ask.
        let alone = sets.unlimited.and_not(processor.own).is_empty();
        let keeps = if alone { self.crowd.keeps(cpu, processor, &self.pace, now) } else { None };
        (processor.limited, processor.called) = (processor.limited || keeps.is_some(), keeps.is_none());
        sets.leave(processor);
        Some(Call { cpu, by: keeps.unwrap_or(0) })
    }

    /// See [`Scheduler::choose`].
    #[inline(never)]
    fn choose_any(&mut self, cpu: CpuIndex, leaving: Leaving, now: Ticks) -> Choice {
        if self.crowd.parked.first_key().is_some_and(|at| at <= now) {
            self.release(now);
        }
        let Processors { all, sets } = &mut self.processors;
        let Some(processor) = all.get_mut(cpu) else { return Choice::default() };
        let (mut goes_on, mut rests) = (false, None);
        match self.crowd.charge(processor, now) {
            // The usual way to sleep.
            Some(entry) if leaving == Leaving::Blocked && !entry.woken && !entry.is_capped() => {
                (entry.cpu, entry.state) = (cpu, State::Asleep);
                rests = processor.running;
            }
            running => goes_on = running.is_some(),
        }
        if leaving == Leaving::Runnable
            && let Some(until) = self.crowd.keeps(cpu, processor, &self.pace, now)
        {
            return self.keep(cpu, until);
        }
        let (place, mut first) = ((cpu, &sets.idle), None);
        if let Some(vcpu) = processor.running.filter(|_| goes_on) {
            if leaving == Leaving::Yielding {
                first = self.crowd.pass_on(vcpu, cpu);
            }
            if first.is_none() {
                self.crowd.put_back(vcpu, place, leaving);
            }
        } else if let Some(vcpu) = processor.resting.take() {
            rests = self.crowd.end_rest(vcpu, processor, self.pace.slice);
        }
        let (running, end) = self.crowd.pick(processor, place, (&self.pace, now), first);
        if self.pace.newcomers > 0 {
            self.crowd.welcome(running, &mut self.pace);
        }
        let waited_for = self.crowd.has_waiting();
        let limited = waited_for && running.is_some() && self.crowd.wanted().contains(cpu);
        (processor.running, processor.since, processor.chosen) = (running, now, now);
        // Who asks again at once is not idle.
        (processor.limited, processor.called) = (limited, running.is_none() && end != NEVER);
        sets.note(processor);
        if running.is_none() {
            processor.resting = self.crowd.rest(rests);
        }
        let rests = processor.resting.is_some();
        let call = if waited_for { self.call_another() } else { None };
        let slice = if limited { now.saturating_add(self.pace.turn) } else { NEVER };
        Choice { vcpu: running, rests, until: self.guard(cpu, slice.min(end)), call }
    }
}

impl Scheduler for Fair {
    fn wake(&mut self, vcpu: VcpuId, now: Ticks) -> Option<Call> {
        self.wake_quick(vcpu, now).or_else(|| {
            let call = self.wake_any(vcpu, now);
            self.note_plain();
            call
        })
    }

    fn remove(&mut self, cpu: CpuIndex) {
        self.processors.remove(cpu);
    }

    fn choose(&mut self, cpu: CpuIndex, leaving: Leaving, now: Ticks) -> Choice {
        self.choose_quick(cpu, leaving, now).unwrap_or_else(|| {
            let choice = self.choose_any(cpu, leaving, now);
            self.note_plain();
            choice
        })
    }

    fn is_alone(&self, cpu: CpuIndex) -> bool {
        // Whoever was called, or has a limit, has to ask: only that takes it back.
        let settled = |processor: &Processor| !processor.called && !processor.limited;
        !self.crowd.has_waiting() && self.processors.all.get(cpu).is_some_and(settled)
    }

    fn set_affinity(
        &mut self,
        vcpu: VcpuId,
        affinity: Affinity,
        now: Ticks,
    ) -> Result<Option<CpuIndex>, Taken> {
        let Some(entry) = self.crowd.get_mut(vcpu) else { return Ok(None) };
        entry.set_affinity(affinity);
        let (state, cpu) = (entry.state, entry.cpu);
        if state == State::Running
            && let Some(processor) = self.processors.get_mut(cpu)
        {
            self.crowd.charge(processor, now);
        }
        // Elsewhere there may be another time: what it had here is of no account there.
        let time = self.time_for(vcpu);
        let earliest = time.saturating_sub(self.pace.slice);
        if let Some(entry) = self.crowd.get_mut(vcpu) {
            entry.virtual_time = entry.virtual_time.max(earliest).min(time);
        }
        let call = match state {
            State::New | State::Asleep | State::Due => None,
            State::Running => self.processors.call(cpu),
            State::Queued if self.crowd.parked.contains(vcpu) => None,
            State::Queued => {
                self.crowd.dequeue(vcpu);
                self.crowd.enqueue(vcpu, 0);
                self.call_another()
            }
        };
        self.note_plain();
        Ok(call)
    }

    fn set_share(&mut self, domain: usize, share: Share) {
        self.crowd.set_share(domain, share);
        let lightest = self.crowd.groups.iter().map(|group| group.share.weight).min().map_or(1, u64::from);
        let step = self.pace.slice.saturating_mul(UNIT_WEIGHT).checked_div(lightest).unwrap_or(0);
        self.pace.most_lag = step.saturating_add(self.pace.slice);
    }

    fn patience(&self) -> Ticks {
        self.pace.patience
    }

    fn set_patience(&mut self, patience: Ticks) {
        self.pace.patience = patience;
        self.pace.set_turn(self.pace.turn);
    }
}

#[cfg(test)]
mod tests;
