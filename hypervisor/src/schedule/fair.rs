//! Preemptive and fair: every vCPU gets time by its weight.
//!
//! Each vCPU has a virtual run time that grows while it runs, the slower the heavier it is; the one with
//! the least runs next. One queue serves all processors, so fairness holds across them. A vCPU that
//! wakes starts no further behind than one slice: sleeping earns a quick turn and not a hoard. A running
//! vCPU gets a time limit only while the queue has somebody in it.

use alloc::vec::Vec;

use machine::contract::{CpuIndex, Ticks};

use super::{Choice, Leaving, Scheduler, VcpuId};
use crate::heap::IndexedHeap;

/// The weight of a vCPU whose domain says nothing (Xen's default, 256).
pub const DEFAULT_WEIGHT: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asleep,
    Queued,
    Running,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    virtual_time: u64,
    weight: u32,
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
    /// The running vCPU has a time limit.
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
    queue: IndexedHeap,
    /// No runnable vCPU is behind this virtual time; it never decreases.
    floor: u64,
    slice: Ticks,
    /// Nobody is preempted earlier: who wakes often must not make the others pay for switches.
    patience: Ticks,
}

impl Fair {
    /// For so many vCPUs and processors, with slices of `slice` ticks. `None` where there is no memory.
    pub fn try_new(vcpus: usize, cpus: usize, slice: Ticks) -> Option<Self> {
        let asleep =
            Entry { virtual_time: 0, weight: DEFAULT_WEIGHT, state: State::Asleep, woken: false, cpu: 0 };
        let (mut entries, mut processors) = (Vec::new(), Vec::new());
        entries.try_reserve_exact(vcpus).ok()?;
        entries.resize(vcpus, asleep);
        processors.try_reserve_exact(cpus).ok()?;
        processors.resize(cpus, Processor::default());
        Some(Fair {
            entries,
            processors,
            queue: IndexedHeap::try_new(vcpus)?,
            floor: 0,
            slice,
            patience: slice >> 3,
        })
    }

    /// Gives a vCPU another weight.
    pub fn set_weight(&mut self, vcpu: VcpuId, weight: u32) {
        if let Some(entry) = self.entry(vcpu) {
            entry.weight = weight.max(1);
        }
    }

    fn entry(&mut self, vcpu: VcpuId) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(vcpu).ok()?)
    }

    fn enqueue(&mut self, vcpu: VcpuId) {
        let earliest = self.floor.saturating_sub(self.slice);
        let Some(entry) = self.entry(vcpu) else { return };
        entry.virtual_time = entry.virtual_time.max(earliest);
        entry.state = State::Queued;
        entry.woken = false;
        let key = entry.virtual_time;
        self.queue.insert(vcpu, key);
    }

    /// Charges what has run since the processor last asked.
    fn charge(&mut self, cpu: CpuIndex, now: Ticks) {
        let Some(processor) = self.processors.get_mut(cpu) else { return };
        let ran = now.saturating_sub(processor.since);
        processor.since = now;
        let Some(vcpu) = processor.running else { return };
        let Some(entry) = self.entry(vcpu) else { return };
        let scaled = ran.saturating_mul(u64::from(DEFAULT_WEIGHT)).checked_div(u64::from(entry.weight));
        entry.virtual_time = entry.virtual_time.saturating_add(scaled.unwrap_or(ran));
    }

    /// Charges everybody and brings the floor up to the least of those who can run: who comes back from
    /// sleep is compared with them as they are now.
    fn raise_floor(&mut self, now: Ticks) {
        for cpu in 0..self.processors.len() {
            self.charge(cpu, now);
        }
        let running = self.processors.iter().filter_map(|processor| {
            let vcpu = usize::try_from(processor.running?).ok()?;
            self.entries.get(vcpu).map(|entry| entry.virtual_time)
        });
        let queued = self.queue.first().map(|(_, key)| key);
        if let Some(least) = running.chain(queued).min() {
            self.floor = self.floor.max(least);
        }
    }

    /// What the processor runs goes on if it has only just begun.
    fn keep(&mut self, cpu: CpuIndex, leaving: Leaving, now: Ticks) -> Option<Choice> {
        let patience = self.patience;
        let processor = self.processors.get_mut(cpu)?;
        let running = processor.running.filter(|_| leaving == Leaving::Runnable)?;
        let until = processor.chosen.saturating_add(patience);
        if now >= until {
            return None;
        }
        processor.called = false;
        processor.limited = true;
        if let Some(entry) = self.entry(running) {
            entry.woken = false;
        }
        // It was asked because somebody waits; another processor may be free to take that one sooner.
        Some(Choice { vcpu: Some(running), until: Some(until), call: self.limit_another() })
    }

    /// Puts back what the processor ran, unless it sleeps.
    fn put_back(&mut self, cpu: CpuIndex, leaving: Leaving) {
        let Some(vcpu) = self.processors.get_mut(cpu).and_then(|processor| processor.running.take()) else {
            return;
        };
        let behind = self.queue.first().map_or(0, |(_, key)| key.saturating_add(1));
        let Some(entry) = self.entry(vcpu) else { return };
        entry.cpu = cpu;
        if leaving == Leaving::Blocked && !entry.woken {
            entry.state = State::Asleep;
            return;
        }
        if leaving == Leaving::Yielding {
            entry.virtual_time = entry.virtual_time.max(behind);
        }
        self.enqueue(vcpu);
    }

    /// A processor that runs without a time limit although somebody waits. It is called, and calls the
    /// next such one when it asks.
    fn limit_another(&mut self) -> Option<CpuIndex> {
        let unlimited =
            |processor: &Processor| processor.running.is_some() && !processor.limited && !processor.called;
        let cpu = self.processors.iter().position(unlimited)?;
        self.processors.get_mut(cpu)?.called = true;
        Some(cpu)
    }

    /// The processor that should take a vCPU which has just been queued.
    fn processor_for(&mut self, vcpu: VcpuId) -> Option<CpuIndex> {
        let (last, key) = self.entry(vcpu).map(|entry| (entry.cpu, entry.virtual_time))?;
        let idle =
            |processor: &Processor| processor.running.is_none() && !processor.called && !processor.absent;
        if self.processors.get(last).is_some_and(idle) {
            return Some(last);
        }
        let mut all = 0..self.processors.len();
        if let Some(cpu) = all.find(|cpu| self.processors.get(*cpu).is_some_and(idle)) {
            return Some(cpu);
        }
        // All are busy: the one that has had most yields at once if it is far ahead, else at its limit.
        let mut ahead: Option<(u64, CpuIndex, bool)> = None;
        for (cpu, processor) in (0..self.processors.len()).zip(&self.processors) {
            if processor.called {
                continue;
            }
            let Some(running) = processor.running.and_then(|running| usize::try_from(running).ok()) else {
                continue;
            };
            let Some(entry) = self.entries.get(running) else { continue };
            if ahead.is_none_or(|(most, ..)| entry.virtual_time > most) {
                ahead = Some((entry.virtual_time, cpu, processor.limited));
            }
        }
        let (most, cpu, limited) = ahead?;
        let at_once = !limited || most > key.saturating_add(self.slice >> 1);
        if at_once { Some(cpu) } else { self.limit_another() }
    }
}

impl Scheduler for Fair {
    fn wake(&mut self, vcpu: VcpuId, now: Ticks) -> Option<CpuIndex> {
        let entry = self.entry(vcpu)?;
        match entry.state {
            State::Queued => return None,
            State::Running => {
                entry.woken = true;
                return None;
            }
            State::Asleep => {}
        }
        self.raise_floor(now);
        self.enqueue(vcpu);
        let cpu = self.processor_for(vcpu)?;
        self.processors.get_mut(cpu)?.called = true;
        Some(cpu)
    }

    fn remove(&mut self, cpu: CpuIndex) {
        if let Some(processor) = self.processors.get_mut(cpu) {
            processor.absent = true;
        }
    }

    fn choose(&mut self, cpu: CpuIndex, leaving: Leaving, now: Ticks) -> Choice {
        self.raise_floor(now);
        if let Some(choice) = self.keep(cpu, leaving, now) {
            return choice;
        }
        self.put_back(cpu, leaving);
        let chosen = self.queue.first();
        if let Some((vcpu, _)) = chosen {
            self.queue.remove(vcpu);
            if let Some(entry) = self.entry(vcpu) {
                entry.state = State::Running;
                entry.cpu = cpu;
            }
        }
        let limited = chosen.is_some() && !self.queue.is_empty();
        let Some(processor) = self.processors.get_mut(cpu) else { return Choice::default() };
        let running = chosen.map(|(vcpu, _)| vcpu);
        *processor = Processor { running, since: now, chosen: now, limited, called: false, absent: false };
        let call = if limited { self.limit_another() } else { None };
        Choice { vcpu: running, until: limited.then(|| now.saturating_add(self.slice)), call }
    }
}

#[cfg(test)]
mod tests;
