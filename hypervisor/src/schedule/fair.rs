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

use alloc::vec::Vec;

use machine::contract::{CpuIndex, Ticks};
use plan::Share;

use self::budget::Group;
use super::{Affinity, Choice, CpuSet, Leaving, Scheduler, Taken, VcpuId};
use crate::heap::IndexedHeap;

/// The weight at which virtual time is time.
const UNIT_WEIGHT: u64 = 256;
/// vCPUs that are parked, or taken out, at a stretch.
const PARKED_AT_A_STRETCH: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asleep,
    /// It waits for a processor, or is parked.
    Queued,
    Running,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    virtual_time: u64,
    /// What a division by the weight has left over.
    rest: u64,
    affinity: Affinity,
    /// Its domain.
    group: usize,
    /// What it has taken of its domain's budget and not used.
    grant: Ticks,
    state: State,
    /// It was woken while it was on its way to sleep.
    woken: bool,
    /// Where it ran last.
    cpu: CpuIndex,
}

#[derive(Clone, Copy, Debug, Default)]
struct Processor {
    running: Option<VcpuId>,
    since: Ticks,
    /// When the running vCPU was chosen.
    chosen: Ticks,
    /// Its virtual time, which never decreases.
    floor: u64,
    /// The running vCPU has a time limit, because somebody waits.
    limited: bool,
    /// Told to ask again, and has not yet.
    called: bool,
    /// Never asks.
    absent: bool,
}

/// The scheduler behind `sched=credit2`.
#[derive(Debug)]
pub struct Fair {
    entries: Vec<Entry>,
    processors: Vec<Processor>,
    groups: Vec<Group>,
    /// Those who wait and may run everywhere.
    queue: IndexedHeap,
    /// Those who wait and have an affinity.
    bound: IndexedHeap,
    /// Those who wait for their domain's budget, by the time when there will be one.
    parked: IndexedHeap,
    /// Processors that run nothing and have not been called.
    idle: CpuSet,
    /// Processors that run somebody without a time limit, and have not been called.
    unlimited: CpuSet,
    /// The processor that asks in time for those who are parked, and when.
    warden: Option<(CpuIndex, Ticks)>,
    slice: Ticks,
    /// As far behind others as a vCPU can be in virtual time because of weights.
    most_lag: u64,
    /// Nobody is preempted earlier: who wakes often must not make the others pay for switches.
    patience: Ticks,
    /// After so many ticks a budget is filled again.
    period: Ticks,
}

impl Fair {
    /// Bytes for each vCPU, where each could be a domain of its own.
    pub const BYTES_PER_VCPU: usize = size_of::<Entry>()
        .saturating_add(size_of::<Group>())
        .saturating_add(IndexedHeap::BYTES_PER_MEMBER.saturating_mul(3));
    /// Bytes for each processor.
    pub const BYTES_PER_PROCESSOR: usize = size_of::<Processor>();

    /// For domains of so many vCPUs each, numbered one after the other, and so many processors, with slices of `slice`
    /// ticks. `None` where there is no memory.
    pub fn try_new(domains: &[usize], cpus: usize, slice: Ticks) -> Option<Self> {
        let vcpus = domains.iter().fold(0_usize, |sum, count| sum.saturating_add(*count));
        let (mut entries, mut processors, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        entries.try_reserve_exact(vcpus).ok()?;
        for (group, count) in (0..domains.len()).zip(domains) {
            entries.extend((0..*count).map(|_| Entry {
                virtual_time: 0,
                rest: 0,
                affinity: Affinity::FREE,
                group,
                grant: 0,
                state: State::Asleep,
                woken: false,
                cpu: 0,
            }));
        }
        processors.try_reserve_exact(cpus).ok()?;
        processors.resize(cpus, Processor::default());
        groups.try_reserve_exact(domains.len()).ok()?;
        groups.resize(domains.len(), Group::default());
        Some(Fair {
            entries,
            processors,
            groups,
            queue: IndexedHeap::try_new(vcpus)?,
            bound: IndexedHeap::try_new(vcpus)?,
            parked: IndexedHeap::try_new(vcpus)?,
            idle: CpuSet::up_to(cpus),
            unlimited: CpuSet::NONE,
            warden: None,
            slice,
            most_lag: slice.saturating_mul(2),
            patience: slice >> 3,
            period: slice.saturating_add(slice >> 2),
        })
    }

    fn entry(&mut self, vcpu: VcpuId) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(vcpu).ok()?)
    }

    fn known(&self, vcpu: VcpuId) -> Option<&Entry> {
        self.entries.get(usize::try_from(vcpu).ok()?)
    }

    /// Keeps the sets in step with a processor that has changed.
    fn note(&mut self, cpu: CpuIndex) {
        let Some(processor) = self.processors.get(cpu) else { return };
        let (runs, listens) = (processor.running.is_some(), !processor.called && !processor.absent);
        let unlimited = runs && listens && !processor.limited;
        self.idle.set(cpu, !runs && listens);
        self.unlimited.set(cpu, unlimited);
    }

    fn call(&mut self, cpu: CpuIndex) -> Option<CpuIndex> {
        self.processors.get_mut(cpu)?.called = true;
        self.note(cpu);
        Some(cpu)
    }

    fn enqueue(&mut self, vcpu: VcpuId) {
        let Some(entry) = self.entry(vcpu) else { return };
        entry.state = State::Queued;
        entry.woken = false;
        let (key, is_free) = (entry.virtual_time, entry.affinity == Affinity::FREE);
        let queue = if is_free { &mut self.queue } else { &mut self.bound };
        queue.insert(vcpu, key);
    }

    /// Who waits for this processor longest, by virtual time.
    fn first_for(&self, cpu: CpuIndex) -> Option<(VcpuId, u64)> {
        let free = self.queue.first();
        if self.bound.is_empty() {
            return free;
        }
        let suits = |vcpu: VcpuId| {
            self.known(vcpu).is_some_and(|Entry { affinity: Affinity { hard, soft }, .. }| {
                hard.contains(cpu) && (soft.contains(cpu) || hard.and(*soft).and(self.idle).is_empty())
            })
        };
        let bound = self.bound.first_where(suits);
        free.into_iter().chain(bound).min_by_key(|(vcpu, key)| (*key, *vcpu))
    }

    /// The processors that somebody waits for.
    fn wanted(&self) -> CpuSet {
        if !self.queue.is_empty() {
            return CpuSet::ALL;
        }
        let hard = self.bound.members().filter_map(|vcpu| self.known(vcpu)).map(|entry| entry.affinity.hard);
        hard.fold(CpuSet::NONE, CpuSet::or)
    }

    /// A processor that does nothing although somebody waits who could run there, or runs somebody without a
    /// time limit. It is called, and calls the next such one when it asks.
    fn call_another(&mut self) -> Option<CpuIndex> {
        if self.queue.is_empty() && self.bound.is_empty() {
            return None;
        }
        let idle = if self.idle.is_empty() {
            None
        } else if self.queue.is_empty() {
            let mut waiting = self.bound.members().filter_map(|vcpu| self.known(vcpu));
            waiting.find_map(|entry| entry.affinity.choose_from(self.idle))
        } else {
            self.idle.first()
        };
        let cpu = idle.or_else(|| self.unlimited.and(self.wanted()).first())?;
        self.call(cpu)
    }

    /// Charges what has run since the processor was last looked at.
    fn charge(&mut self, cpu: CpuIndex, now: Ticks) {
        let Some(processor) = self.processors.get_mut(cpu) else { return };
        let ran = now.saturating_sub(processor.since);
        processor.since = now;
        let Some(index) = processor.running.and_then(|vcpu| usize::try_from(vcpu).ok()) else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        let Some(group) = self.groups.get_mut(entry.group) else { return };
        let scaled = ran.saturating_mul(UNIT_WEIGHT).saturating_add(entry.rest);
        let weight = if processor.limited { u64::from(group.share.weight) } else { UNIT_WEIGHT };
        entry.virtual_time = entry.virtual_time.saturating_add(scaled.checked_div(weight).unwrap_or(ran));
        entry.rest = scaled.checked_rem(weight).unwrap_or(0);
        let beyond = ran.saturating_sub(entry.grant);
        entry.grant = entry.grant.saturating_sub(ran);
        group.spend(beyond);
        if !processor.limited {
            processor.floor = processor.floor.max(entry.virtual_time);
        }
    }

    /// The virtual time of the processors where a vCPU may run.
    fn time_for(&self, vcpu: VcpuId) -> u64 {
        let hard = self.known(vcpu).map_or(CpuSet::NONE, |entry| entry.affinity.hard);
        let numbered = (0..self.processors.len()).zip(&self.processors);
        let allowed = numbered.filter(|(cpu, _)| hard.contains(*cpu));
        allowed.map(|(_, processor)| processor.floor).max().unwrap_or(0)
    }

    /// Brings a vCPU that has not run up to that time.
    fn lift(&mut self, vcpu: VcpuId) {
        let earliest = self.time_for(vcpu).saturating_sub(self.slice);
        if let Some(entry) = self.entry(vcpu) {
            entry.virtual_time = entry.virtual_time.max(earliest);
        }
    }

    /// When what the processor runs has to stop for now, if it has only just begun and goes on.
    fn keep(&mut self, cpu: CpuIndex, leaving: Leaving, now: Ticks) -> Option<(VcpuId, Ticks)> {
        let processor = *self.processors.get(cpu)?;
        let running = processor.running.filter(|_| leaving == Leaving::Runnable)?;
        let until = processor.chosen.saturating_add(self.patience);
        let entry = *self.known(running)?;
        let capped = self.groups.get(entry.group)?.is_capped();
        if now >= until || !entry.affinity.hard.contains(cpu) || capped && entry.grant == 0 {
            return None;
        }
        self.entry(running)?.woken = false;
        let end = if capped { now.saturating_add(entry.grant) } else { until };
        Some((running, end.min(until)))
    }

    /// Puts back what the processor ran, unless it sleeps.
    fn put_back(&mut self, cpu: CpuIndex, leaving: Leaving) {
        let Some(vcpu) = self.processors.get_mut(cpu).and_then(|processor| processor.running.take()) else {
            return;
        };
        let behind = match leaving {
            Leaving::Yielding => self.first_for(cpu).map_or(0, |(_, key)| key.saturating_add(1)),
            _ => 0,
        };
        let Some(index) = usize::try_from(vcpu).ok() else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        let sleeps = leaving == Leaving::Blocked && !entry.woken;
        entry.cpu = cpu;
        if let Some(group) = self.groups.get_mut(entry.group) {
            group.give_back(core::mem::take(&mut entry.grant));
            group.awake = group.awake.saturating_sub(u32::from(sleeps));
        }
        if sleeps {
            entry.state = State::Asleep;
            return;
        }
        entry.virtual_time = entry.virtual_time.max(behind);
        self.enqueue(vcpu);
    }

    /// Takes those out whose domains have a budget again.
    fn release(&mut self, now: Ticks) {
        for _ in 0..PARKED_AT_A_STRETCH {
            let Some((vcpu, _)) = self.parked.first().filter(|(_, at)| *at <= now) else { return };
            self.parked.remove(vcpu);
            self.lift(vcpu);
            self.enqueue(vcpu);
        }
    }

    /// Who runs on the processor next, and until when at most. Those without a budget are parked on the way.
    fn pick(&mut self, cpu: CpuIndex, now: Ticks) -> (Option<VcpuId>, Option<Ticks>) {
        for _ in 0..PARKED_AT_A_STRETCH {
            let Some((vcpu, _)) = self.first_for(cpu) else { return (None, None) };
            self.queue.remove(vcpu);
            self.bound.remove(vcpu);
            let next = self.first_for(cpu).map_or(0, |(_, key)| key);
            let earliest = next.saturating_sub(self.most_lag);
            let (slice, period) = (self.slice, self.period);
            let Some(entry) = usize::try_from(vcpu).ok().and_then(|index| self.entries.get_mut(index)) else {
                continue;
            };
            let Some(group) = self.groups.get_mut(entry.group) else { continue };
            let end = if group.is_capped() {
                let Some(grant) = group.take(period, now) else {
                    self.parked.insert(vcpu, group.filled_at(period, now));
                    continue;
                };
                entry.grant = grant;
                Some(now.saturating_add(grant))
            } else {
                None
            };
            if let Some(processor) = self.processors.get_mut(cpu) {
                let floor = processor.floor.saturating_sub(slice);
                entry.virtual_time = entry.virtual_time.max(floor).max(earliest);
                processor.floor = processor.floor.max(entry.virtual_time);
            }
            (entry.state, entry.cpu) = (State::Running, cpu);
            return (Some(vcpu), end);
        }
        // There is more to do.
        (None, Some(now))
    }

    /// Makes the processor the warden, if nobody asks in time for those who are parked.
    fn guard(&mut self, cpu: CpuIndex, until: Option<Ticks>) -> Option<Ticks> {
        self.warden = self.warden.filter(|(warden, _)| *warden != cpu);
        let Some((_, at)) = self.parked.first() else { return until };
        if self.warden.is_some_and(|(_, asks)| asks <= at) {
            return until;
        }
        self.warden = Some((cpu, at));
        Some(until.map_or(at, |until| until.min(at)))
    }

    /// The processor that should take a vCPU which has just been queued.
    fn processor_for(&mut self, vcpu: VcpuId) -> Option<CpuIndex> {
        let Entry { cpu: last, virtual_time, affinity, .. } = *self.known(vcpu)?;
        let idle = self.idle.and(affinity.hard);
        if idle.and(affinity.soft).contains(last) {
            return Some(last);
        }
        if let Some(cpu) = affinity.choose_from(idle) {
            return Some(cpu);
        }
        // All are busy: the one that has had most yields at once if it is far ahead, else at its limit.
        let mut ahead: Option<(u64, CpuIndex, bool)> = None;
        for cpu in 0..self.processors.len() {
            let Some(processor) = self.processors.get(cpu).filter(|processor| !processor.called) else {
                continue;
            };
            let Some(entry) = processor.running.and_then(|running| self.known(running)) else { continue };
            let may = affinity.hard.contains(cpu);
            if may && ahead.is_none_or(|(most, ..)| entry.virtual_time > most) {
                ahead = Some((entry.virtual_time, cpu, processor.limited));
            }
        }
        let (most, cpu, limited) = ahead?;
        let at_once = !limited || most > virtual_time.saturating_add(self.slice >> 1);
        if at_once { Some(cpu) } else { self.call_another() }
    }
}

impl Scheduler for Fair {
    fn wake(&mut self, vcpu: VcpuId, now: Ticks) -> Option<CpuIndex> {
        let index = usize::try_from(vcpu).ok()?;
        let entry = self.entries.get_mut(index)?;
        match entry.state {
            State::Queued => return None,
            State::Running => {
                entry.woken = true;
                return None;
            }
            State::Asleep => {}
        }
        let group = self.groups.get_mut(entry.group)?;
        group.awake = group.awake.saturating_add(1);
        if group.is_capped() && !group.has_budget(self.period, now) {
            let at = group.filled_at(self.period, now);
            if self.warden.is_some_and(|(_, asks)| asks <= at) {
                entry.state = State::Queued;
                self.parked.insert(vcpu, at);
                return None;
            }
        }
        for cpu in 0..self.processors.len() {
            self.charge(cpu, now);
        }
        self.lift(vcpu);
        self.enqueue(vcpu);
        let cpu = self.processor_for(vcpu)?;
        self.call(cpu)
    }

    fn remove(&mut self, cpu: CpuIndex) {
        if let Some(processor) = self.processors.get_mut(cpu) {
            processor.absent = true;
        }
        self.note(cpu);
    }

    fn choose(&mut self, cpu: CpuIndex, leaving: Leaving, now: Ticks) -> Choice {
        self.charge(cpu, now);
        if self.parked.first().is_some_and(|(_, at)| at <= now) {
            self.release(now);
        }
        if let Some((running, until)) = self.keep(cpu, leaving, now) {
            if let Some(processor) = self.processors.get_mut(cpu) {
                (processor.called, processor.limited) = (false, true);
            }
            self.note(cpu);
            // It was asked because somebody waits; another processor may be free to take that one sooner.
            let call = self.call_another();
            return Choice { vcpu: Some(running), until: self.guard(cpu, Some(until)), call };
        }
        self.put_back(cpu, leaving);
        let (running, end) = self.pick(cpu, now);
        let waited_for = !(self.queue.is_empty() && self.bound.is_empty());
        let limited = running.is_some() && waited_for && self.wanted().contains(cpu);
        let Some(processor) = self.processors.get_mut(cpu) else { return Choice::default() };
        (processor.running, processor.since, processor.chosen) = (running, now, now);
        // Who asks again at once is not idle.
        (processor.limited, processor.called) = (limited, running.is_none() && end.is_some());
        self.note(cpu);
        let call = if waited_for { self.call_another() } else { None };
        let slice = limited.then(|| now.saturating_add(self.slice));
        let until = slice.into_iter().chain(end).min();
        Choice { vcpu: running, until: self.guard(cpu, until), call }
    }

    fn set_affinity(
        &mut self,
        vcpu: VcpuId,
        affinity: Affinity,
        now: Ticks,
    ) -> Result<Option<CpuIndex>, Taken> {
        let Some(entry) = self.entry(vcpu) else { return Ok(None) };
        entry.affinity = affinity;
        let (state, cpu) = (entry.state, entry.cpu);
        if state == State::Running {
            self.charge(cpu, now);
        }
        // Elsewhere there may be another time: what it had here is of no account there.
        let time = self.time_for(vcpu);
        let earliest = time.saturating_sub(self.slice);
        if let Some(entry) = self.entry(vcpu) {
            entry.virtual_time = entry.virtual_time.max(earliest).min(time);
        }
        Ok(match state {
            State::Asleep => None,
            State::Running => self.call(cpu),
            State::Queued if self.parked.contains(vcpu) => None,
            State::Queued => {
                self.queue.remove(vcpu);
                self.bound.remove(vcpu);
                self.enqueue(vcpu);
                self.call_another()
            }
        })
    }

    fn set_share(&mut self, domain: usize, share: Share) {
        if let Some(group) = self.groups.get_mut(domain) {
            group.set_share(share);
        }
        let lightest = self.groups.iter().map(|group| group.share.weight).min().map_or(1, u64::from);
        let step = self.slice.saturating_mul(UNIT_WEIGHT).checked_div(lightest).unwrap_or(0);
        self.most_lag = step.saturating_add(self.slice);
    }

    fn patience(&self) -> Ticks {
        self.patience
    }

    fn set_patience(&mut self, patience: Ticks) {
        self.patience = patience;
    }
}

#[cfg(test)]
mod tests;
