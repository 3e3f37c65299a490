//! Deadlines of vCPUs that wait: one queue for each processor.
//!
//! A vCPU that blocks leaves its earliest deadline with the processor that it blocked on; whoever runs it
//! next takes it out again. The processor's own timer then stands at the earliest of its queue, its
//! time limit and its running guest's emulated timer, and nowhere else: there is no tick.

use core::sync::atomic::{AtomicU64, Ordering};

use machine::contract::{CpuIndex, Ticks};
use machine::lock::{Lock, Rank};

use crate::heap::IndexedHeap;
use crate::schedule::VcpuId;

/// Later than all deadlines.
pub const NEVER: Ticks = Ticks::MAX;

/// The waiting vCPUs of one processor.
#[derive(Debug)]
pub struct Deadlines {
    queue: Lock<IndexedHeap>,
    /// The queue's first, for whoever only wants to know that.
    earliest: AtomicU64,
}

impl Deadlines {
    /// For so many vCPUs. `None` where there is no memory.
    pub fn try_new(vcpus: usize) -> Option<Self> {
        let queue = Lock::new(Rank::Deadlines, IndexedHeap::try_new(vcpus)?);
        Some(Deadlines { queue, earliest: AtomicU64::new(NEVER) })
    }

    /// Changes the queue, and says what is first then.
    fn change<T>(&self, act: impl FnOnce(&mut IndexedHeap) -> T) -> T {
        let mut queue = self.queue.lock();
        let answer = act(&mut queue);
        self.earliest.store(queue.first().map_or(NEVER, |(_, deadline)| deadline), Ordering::Release);
        answer
    }

    /// Wakes `vcpu` at `deadline`.
    pub fn set(&self, vcpu: VcpuId, deadline: Ticks) {
        self.change(|queue| queue.insert(vcpu, deadline));
    }

    /// Forgets `vcpu`.
    pub fn forget(&self, vcpu: VcpuId) {
        self.change(|queue| queue.remove(vcpu));
    }

    /// The earliest deadline, or [`NEVER`].
    #[inline]
    pub fn earliest(&self) -> Ticks {
        self.earliest.load(Ordering::Acquire)
    }

    /// Takes out one vCPU whose deadline has passed.
    pub fn expired(&self, now: Ticks) -> Option<VcpuId> {
        if self.earliest() > now {
            return None;
        }
        self.change(|queue| {
            let (vcpu, _) = queue.first().filter(|(_, deadline)| *deadline <= now)?;
            queue.remove(vcpu);
            Some(vcpu)
        })
    }
}

/// No processor, where a [`CpuIndex`] is stored in 32 bits.
pub const NO_CPU: u32 = u32::MAX;

/// A processor's index as stored.
pub fn stored(cpu: CpuIndex) -> u32 {
    u32::try_from(cpu).unwrap_or(NO_CPU)
}

/// The index that was stored.
pub fn restored(cpu: u32) -> Option<CpuIndex> {
    if cpu == NO_CPU { None } else { usize::try_from(cpu).ok() }
}
