//! The vCPUs of a pool: their virtual times, their domains' shares, and the queues in which they wait.

use alloc::vec::Vec;

use machine::contract::{CpuIndex, Ticks};
use plan::Share;

use super::budget::Group;
use super::processors::Processor;
use super::{Affinity, CpuSet, Leaving, Pace, UNIT_WEIGHT, VcpuId};
use crate::heap::IndexedHeap;
use crate::timer::NEVER;

/// vCPUs that are parked, or taken out, at a stretch.
pub(super) const PARKED_AT_A_STRETCH: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has never been woken.
    New,
    Asleep,
    /// It was woken where it rests: its processor takes it from there.
    Due,
    /// It waits for a processor, or is parked.
    Queued,
    Running,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) virtual_time: u64,
    /// What a division by the weight has left over.
    rest: u64,
    pub(super) affinity: Affinity,
    /// The affinity leaves no processor out.
    pub(super) is_free: bool,
    /// That, and its domain has no cap: nothing but its virtual time decides on when it runs.
    pub(super) is_plain: bool,
    /// Its domain, and what that may use: only a cap needs more of the domain.
    pub(super) group: usize,
    pub(super) share: Share,
    /// What it has taken of its domain's budget and not used.
    pub(super) grant: Ticks,
    pub(super) state: State,
    /// It was woken while it was on its way to sleep.
    pub(super) woken: bool,
    /// It sleeps where it ran last, and is that processor's until that asks again.
    pub(super) rests: bool,
    /// It has had a turn.
    begun: bool,
    /// Where it ran last.
    pub(super) cpu: CpuIndex,
}

impl Entry {
    fn new(group: usize) -> Self {
        Entry {
            virtual_time: 0,
            rest: 0,
            affinity: Affinity::FREE,
            is_free: true,
            is_plain: true,
            group,
            share: Share::default(),
            grant: 0,
            state: State::New,
            woken: false,
            rests: false,
            begun: false,
            cpu: 0,
        }
    }

    pub(super) fn set_affinity(&mut self, affinity: Affinity) {
        (self.affinity, self.is_free) = (affinity, affinity == Affinity::FREE);
        self.note_plain();
    }

    fn set_share(&mut self, share: Share) {
        self.share = share;
        self.note_plain();
    }

    fn note_plain(&mut self) {
        self.is_plain = self.is_free && !self.is_capped();
    }

    /// Its domain has a cap.
    #[inline]
    pub(super) fn is_capped(&self) -> bool {
        self.share.cap != 0
    }

    /// May it run there?
    #[inline]
    pub(super) fn may_use(&self, cpu: CpuIndex) -> bool {
        self.is_free || self.affinity.hard.contains(cpu)
    }
}

/// All of them, by number in the pool.
#[derive(Debug)]
pub(super) struct Crowd {
    entries: Vec<Entry>,
    pub(super) groups: Vec<Group>,
    /// Those who wait and may run everywhere.
    pub(super) queue: IndexedHeap,
    /// Those who wait and have an affinity.
    bound: IndexedHeap,
    /// Those who wait for their domain's budget, by the time when there will be one.
    pub(super) parked: IndexedHeap,
    /// The latest virtual time of any processor.
    pub(super) time: u64,
}

impl Crowd {
    /// Bytes for each vCPU, where each could be a domain of its own.
    pub(super) const BYTES_PER_VCPU: usize = size_of::<Entry>()
        .saturating_add(size_of::<Group>())
        .saturating_add(IndexedHeap::BYTES_PER_MEMBER.saturating_mul(3));

    /// Domains of so many vCPUs each, numbered one after the other. `None` where there is no memory.
    pub(super) fn try_new(domains: &[usize]) -> Option<Self> {
        let vcpus = domains.iter().fold(0_usize, |sum, count| sum.saturating_add(*count));
        let (mut entries, mut groups) = (Vec::new(), Vec::new());
        entries.try_reserve_exact(vcpus).ok()?;
        for (group, count) in (0..domains.len()).zip(domains) {
            entries.extend((0..*count).map(|_| Entry::new(group)));
        }
        groups.try_reserve_exact(domains.len()).ok()?;
        groups.resize(domains.len(), Group::default());
        Some(Crowd {
            entries,
            groups,
            queue: IndexedHeap::try_new(vcpus)?,
            bound: IndexedHeap::try_new(vcpus)?,
            parked: IndexedHeap::try_new(vcpus)?,
            time: 0,
        })
    }

    #[inline]
    pub(super) fn get(&self, vcpu: VcpuId) -> Option<&Entry> {
        self.entries.get(usize::try_from(vcpu).ok()?)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, vcpu: VcpuId) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(vcpu).ok()?)
    }

    /// A vCPU and its domain.
    #[inline]
    pub(super) fn with_group(&mut self, vcpu: VcpuId) -> Option<(&mut Entry, &mut Group)> {
        let entry = self.entries.get_mut(usize::try_from(vcpu).ok()?)?;
        let group = self.groups.get_mut(entry.group)?;
        Some((entry, group))
    }

    /// Lets a vCPU wait that is to be at this virtual time at least.
    #[inline(always)]
    pub(super) fn enqueue(&mut self, vcpu: VcpuId, least: u64) {
        let Some(entry) = usize::try_from(vcpu).ok().and_then(|index| self.entries.get_mut(index)) else {
            return;
        };
        (entry.state, entry.woken) = (State::Queued, false);
        entry.virtual_time = entry.virtual_time.max(least);
        let queue = if entry.is_free { &mut self.queue } else { &mut self.bound };
        queue.insert(vcpu, entry.virtual_time);
    }

    /// Takes out who waits for a processor longest; who does so then stands at the virtual time in the answer.
    #[inline]
    fn take_first(&mut self, cpu: CpuIndex, idle: &CpuSet) -> Option<(VcpuId, u64)> {
        if self.bound.is_empty() {
            let vcpu = self.queue.pop()?;
            Some((vcpu, self.queue.first_key().unwrap_or(0)))
        } else {
            self.take_first_of_both(cpu, idle)
        }
    }

    #[inline(never)]
    fn take_first_of_both(&mut self, cpu: CpuIndex, idle: &CpuSet) -> Option<(VcpuId, u64)> {
        let (vcpu, _) = self.first_for(cpu, idle)?;
        self.dequeue(vcpu);
        Some((vcpu, self.first_for(cpu, idle).map_or(0, |(_, key)| key)))
    }

    /// Takes a vCPU out of the queues.
    pub(super) fn dequeue(&mut self, vcpu: VcpuId) {
        if !self.queue.remove(vcpu) {
            self.bound.remove(vcpu);
        }
    }

    /// Nobody is parked, or waits for some processors only.
    pub(super) fn is_plain(&self) -> bool {
        self.parked.is_empty() && self.bound.is_empty()
    }

    /// Somebody waits, for whatever processor.
    #[inline]
    pub(super) fn has_waiting(&self) -> bool {
        !(self.queue.is_empty() && self.bound.is_empty())
    }

    /// Who waits for this processor longest, by virtual time; `idle` are those that do nothing.
    #[inline]
    fn first_for(&self, cpu: CpuIndex, idle: &CpuSet) -> Option<(VcpuId, u64)> {
        if self.bound.is_empty() { self.queue.first() } else { self.first_of_both(cpu, idle) }
    }

    #[inline(never)]
    fn first_of_both(&self, cpu: CpuIndex, idle: &CpuSet) -> Option<(VcpuId, u64)> {
        let suits = |vcpu: VcpuId| {
            self.get(vcpu).is_some_and(|Entry { affinity: Affinity { hard, soft }, .. }| {
                hard.contains(cpu) && (soft.contains(cpu) || hard.and(*soft).and(*idle).is_empty())
            })
        };
        let bound = self.bound.first_where(suits);
        self.queue.first().into_iter().chain(bound).min_by_key(|(vcpu, key)| (*key, *vcpu))
    }

    /// The processors that somebody waits for.
    #[inline]
    pub(super) fn wanted(&self) -> CpuSet {
        if self.queue.is_empty() { self.wanted_by_bound() } else { CpuSet::ALL }
    }

    #[inline(never)]
    fn wanted_by_bound(&self) -> CpuSet {
        let hard = self.bound.members().filter_map(|vcpu| self.get(vcpu)).map(|entry| entry.affinity.hard);
        hard.fold(CpuSet::NONE, CpuSet::or)
    }

    /// One of the idle processors that somebody waits for.
    pub(super) fn wants_of(&self, idle: CpuSet) -> Option<CpuIndex> {
        if idle.is_empty() || !self.queue.is_empty() {
            return idle.first();
        }
        let mut waiting = self.bound.members().filter_map(|vcpu| self.get(vcpu));
        waiting.find_map(|entry| entry.affinity.choose_from(idle))
    }

    /// Charges what has run on a processor since it was last looked at. Answers with who runs.
    #[inline(always)]
    pub(super) fn charge(&mut self, processor: &mut Processor, now: Ticks) -> Option<&mut Entry> {
        let ran = now.saturating_sub(core::mem::replace(&mut processor.since, now));
        let entry = self.entries.get_mut(usize::try_from(processor.running?).ok()?)?;
        if entry.is_capped() {
            let beyond = ran.saturating_sub(entry.grant);
            entry.grant = entry.grant.saturating_sub(ran);
            self.groups.get_mut(entry.group)?.spend(beyond);
        }
        if processor.limited {
            let weight = u64::from(entry.share.weight);
            let scaled = ran.saturating_mul(UNIT_WEIGHT).saturating_add(entry.rest);
            let grown = scaled.checked_div(weight).unwrap_or(ran);
            entry.virtual_time = entry.virtual_time.saturating_add(grown);
            entry.rest = scaled.checked_rem(weight).unwrap_or(0);
        } else {
            // Time that nobody else wants counts the same for all weights.
            entry.virtual_time = entry.virtual_time.saturating_add(ran);
            processor.floor = processor.floor.max(entry.virtual_time);
            self.time = self.time.max(processor.floor);
        }
        Some(entry)
    }

    /// When what a processor runs has to stop for now, if it has only just begun.
    #[inline(always)]
    pub(super) fn keeps(
        &self,
        cpu: CpuIndex,
        processor: &Processor,
        pace: &Pace,
        now: Ticks,
    ) -> Option<Ticks> {
        let until = processor.chosen.saturating_add(pace.grace);
        let entry = self.get(processor.running?)?;
        if now >= until || !entry.may_use(cpu) {
            return None;
        }
        match (entry.is_capped(), entry.grant) {
            (false, _) => Some(until),
            (true, 0) => None,
            (true, grant) => Some(until.min(now.saturating_add(grant))),
        }
    }

    /// Has somebody begin, if it is his first turn.
    #[inline(never)]
    pub(super) fn welcome(&mut self, running: Option<VcpuId>, pace: &mut Pace) {
        let Some(entry) = running.and_then(|vcpu| self.get_mut(vcpu)) else { return };
        if !core::mem::replace(&mut entry.begun, true) {
            pace.newcomers = pace.newcomers.saturating_sub(1);
        }
        if pace.newcomers == 0 {
            pace.set_turn(pace.slice);
        }
    }

    /// Puts back what a processor ran, unless it sleeps.
    #[inline(never)]
    pub(super) fn put_back(&mut self, vcpu: VcpuId, (cpu, idle): (CpuIndex, &CpuSet), leaving: Leaving) {
        let behind = match leaving {
            Leaving::Yielding => self.first_for(cpu, idle).map_or(0, |(_, key)| key.saturating_add(1)),
            _ => 0,
        };
        let Some(entry) = self.get_mut(vcpu) else { return };
        entry.cpu = cpu;
        let sleeps = leaving == Leaving::Blocked && !entry.woken;
        if sleeps {
            entry.state = State::Asleep;
        }
        if entry.is_capped() {
            self.put_back_grant(vcpu, sleeps);
        }
        if !sleeps {
            self.enqueue(vcpu, behind);
        }
    }

    /// Lets the next one run in place of one that yields: what [`Self::put_back`] and [`Self::take_first`] do, where there
    /// is nothing to mind but virtual times. `None`, and nothing happens, elsewhere.
    #[inline]
    pub(super) fn pass_on(&mut self, vcpu: VcpuId, cpu: CpuIndex) -> Option<(VcpuId, u64)> {
        let (first, key) = self.queue.first().filter(|_| self.bound.is_empty())?;
        if self.get(first)?.is_capped() {
            return None;
        }
        let entry = self.get_mut(vcpu).filter(|entry| entry.is_plain)?;
        (entry.state, entry.woken, entry.cpu) = (State::Queued, false, cpu);
        entry.virtual_time = entry.virtual_time.max(key.saturating_add(1));
        let time = entry.virtual_time;
        self.queue.replace_first(vcpu, time)?;
        Some((first, self.queue.first_key().unwrap_or(0)))
    }

    /// A processor that has a vCPU resting asks: if that was woken it waits like others from now on. Else it is answered
    /// with, and could go on resting.
    #[inline(never)]
    pub(super) fn end_rest(&mut self, vcpu: VcpuId, processor: &Processor, slice: Ticks) -> Option<VcpuId> {
        let time = self.time;
        let entry = self.get_mut(vcpu)?;
        entry.rests = false;
        if entry.state == State::Due {
            let time = if entry.is_free { time } else { processor.floor };
            self.enqueue(vcpu, time.saturating_sub(slice));
            return None;
        }
        Some(vcpu).filter(|_| !entry.is_capped())
    }

    /// Has a vCPU rest, if there is one.
    #[inline]
    pub(super) fn rest(&mut self, vcpu: Option<VcpuId>) -> Option<VcpuId> {
        self.get_mut(vcpu?)?.rests = true;
        vcpu
    }

    #[inline(never)]
    fn put_back_grant(&mut self, vcpu: VcpuId, sleeps: bool) {
        let Some((entry, group)) = self.with_group(vcpu) else { return };
        group.give_back(core::mem::take(&mut entry.grant));
        group.awake = group.awake.saturating_sub(u32::from(sleeps));
    }

    /// Gives a domain another share.
    pub(super) fn set_share(&mut self, group: usize, share: Share) {
        let mut awake = 0_u32;
        for entry in self.entries.iter_mut().filter(|entry| entry.group == group) {
            entry.set_share(share);
            awake = awake.saturating_add(u32::from(!matches!(entry.state, State::New | State::Asleep)));
        }
        if let Some(group) = self.groups.get_mut(group) {
            group.set_share(share);
            group.awake = awake;
        }
    }

    /// Who runs on a processor next, and until when at most ([`NEVER`]: no limit): `first`, the answer of
    /// [`Self::pass_on`], or who waits longest. Those without a budget are parked on the way.
    #[inline]
    pub(super) fn pick(
        &mut self,
        processor: &mut Processor,
        (cpu, idle): (CpuIndex, &CpuSet),
        (pace, now): (&Pace, Ticks),
        mut first: Option<(VcpuId, u64)>,
    ) -> (Option<VcpuId>, Ticks) {
        for _ in 0..PARKED_AT_A_STRETCH {
            let first = first.take().or_else(|| self.take_first(cpu, idle));
            let Some((vcpu, next)) = first else { return (None, NEVER) };
            let Some(index) = usize::try_from(vcpu).ok() else { continue };
            let Some(entry) = self.entries.get_mut(index) else { continue };
            let mut end = NEVER;
            if entry.is_capped() {
                let Some(group) = self.groups.get_mut(entry.group) else { continue };
                let Some(grant) = group.take(pace.period, now) else {
                    let at = group.filled_at(pace.period, now);
                    self.parked.insert(vcpu, at);
                    continue;
                };
                entry.grant = grant;
                end = now.saturating_add(grant);
            }
            self.settle(vcpu, (cpu, processor), next, pace);
            return (Some(vcpu), end);
        }
        // There is more to do.
        (None, now)
    }

    /// A vCPU runs on a processor from now on, and who waits longest stands at the virtual time `next`.
    #[inline(always)]
    pub(super) fn settle(
        &mut self,
        vcpu: VcpuId,
        (cpu, processor): (CpuIndex, &mut Processor),
        next: u64,
        pace: &Pace,
    ) {
        let Some(entry) = usize::try_from(vcpu).ok().and_then(|index| self.entries.get_mut(index)) else {
            return;
        };
        let least = processor.floor.saturating_sub(pace.slice).max(next.saturating_sub(pace.most_lag));
        entry.virtual_time = entry.virtual_time.max(least);
        processor.floor = processor.floor.max(entry.virtual_time);
        self.time = self.time.max(processor.floor);
        (entry.state, entry.cpu) = (State::Running, cpu);
    }
}
