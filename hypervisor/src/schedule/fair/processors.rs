//! The processors of a pool: what each runs, and which of them do nothing or have no time limit.

use alloc::vec::Vec;

use machine::contract::{CpuIndex, Ticks};

use super::super::{CpuSet, VcpuId};

/// Which set a processor is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Idle,
    Unlimited,
    /// In none of them.
    Busy,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Processor {
    /// The set of just this one.
    pub(super) own: CpuSet,
    pub(super) running: Option<VcpuId>,
    /// Nothing runs, and this one, which did, sleeps and is nobody else's.
    pub(super) resting: Option<VcpuId>,
    pub(super) since: Ticks,
    /// When the running vCPU was chosen.
    pub(super) chosen: Ticks,
    /// Its virtual time, which never decreases.
    pub(super) floor: u64,
    /// The running vCPU has a time limit, because somebody waits.
    pub(super) limited: bool,
    /// Told to ask again, and has not yet.
    pub(super) called: bool,
    /// Never asks.
    absent: bool,
    standing: Standing,
}

/// All of them, by number in the pool.
#[derive(Debug)]
pub(super) struct Processors {
    pub(super) all: Vec<Processor>,
    pub(super) sets: Sets,
}

/// Those of whom something is wanted first.
#[derive(Debug)]
pub(super) struct Sets {
    /// Those that run nothing and have not been called.
    pub(super) idle: CpuSet,
    /// Those that run somebody without a time limit, and have not been called.
    pub(super) unlimited: CpuSet,
}

impl Sets {
    /// Keeps the sets in step with a processor that has changed.
    #[inline]
    pub(super) fn note(&mut self, processor: &mut Processor) {
        let standing = match processor.running {
            _ if processor.called || processor.absent => Standing::Busy,
            None => Standing::Idle,
            Some(_) if processor.limited => Standing::Busy,
            Some(_) => Standing::Unlimited,
        };
        self.change(processor, standing);
    }

    /// Puts the processor into the set of its new standing.
    #[inline(always)]
    pub(super) fn change(&mut self, processor: &mut Processor, standing: Standing) {
        if processor.standing != standing {
            self.leave(processor);
            processor.standing = standing;
            match standing {
                Standing::Idle => self.idle = self.idle.or(processor.own),
                Standing::Unlimited => self.unlimited = self.unlimited.or(processor.own),
                Standing::Busy => {}
            }
        }
    }

    /// The processor is in none of them: it has a time limit, or has been called.
    #[inline]
    pub(super) fn leave(&mut self, processor: &mut Processor) {
        match core::mem::replace(&mut processor.standing, Standing::Busy) {
            Standing::Idle => self.idle = self.idle.and_not(processor.own),
            Standing::Unlimited => self.unlimited = self.unlimited.and_not(processor.own),
            Standing::Busy => {}
        }
    }
}

impl Processors {
    /// So many, all idle. `None` where there is no memory.
    pub(super) fn try_new(count: usize) -> Option<Self> {
        let mut all = Vec::new();
        all.try_reserve_exact(count).ok()?;
        all.extend((0..count).map(|cpu| Processor {
            own: CpuSet::of(cpu),
            running: None,
            resting: None,
            since: 0,
            chosen: 0,
            floor: 0,
            limited: false,
            called: false,
            absent: false,
            standing: Standing::Idle,
        }));
        Some(Processors { all, sets: Sets { idle: CpuSet::up_to(count), unlimited: CpuSet::NONE } })
    }

    #[inline]
    pub(super) fn get_mut(&mut self, cpu: CpuIndex) -> Option<&mut Processor> {
        self.all.get_mut(cpu)
    }

    /// Keeps the sets in step with a processor that has changed.
    pub(super) fn note(&mut self, cpu: CpuIndex) {
        if let Some(processor) = self.all.get_mut(cpu) {
            self.sets.note(processor);
        }
    }

    /// Has the processor ask again.
    pub(super) fn call(&mut self, cpu: CpuIndex) -> Option<CpuIndex> {
        self.all.get_mut(cpu)?.called = true;
        self.note(cpu);
        Some(cpu)
    }

    /// It never asks.
    pub(super) fn remove(&mut self, cpu: CpuIndex) {
        if let Some(processor) = self.all.get_mut(cpu) {
            processor.absent = true;
        }
        self.note(cpu);
    }
}
