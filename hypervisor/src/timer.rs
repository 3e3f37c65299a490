//! Deadlines of vCPUs that wait: one queue for each processor.
//!
//! A vCPU that blocks leaves its earliest deadline with the processor that it blocked on; whoever runs it
//! next takes it out again. The processor's own timer then stands at the earliest of its queue, its
//! time limit and its running guest's emulated timer, and nowhere else: there is no tick.

use machine::contract::{CpuIndex, Ticks};
use machine::lock::{Lock, Rank};

use crate::heap::IndexedHeap;
use crate::schedule::VcpuId;

/// The waiting vCPUs of one processor.
#[derive(Debug)]
pub struct Deadlines {
    queue: Lock<IndexedHeap>,
}

impl Deadlines {
    /// For so many vCPUs. `None` where there is no memory.
    pub fn try_new(vcpus: usize) -> Option<Self> {
        Some(Deadlines { queue: Lock::new(Rank::Deadlines, IndexedHeap::try_new(vcpus)?) })
    }

    /// Wakes `vcpu` at `deadline`.
    pub fn set(&self, vcpu: VcpuId, deadline: Ticks) {
        self.queue.lock().insert(vcpu, deadline);
    }

    /// Forgets `vcpu`.
    pub fn forget(&self, vcpu: VcpuId) {
        self.queue.lock().remove(vcpu);
    }

    /// The earliest deadline.
    pub fn earliest(&self) -> Option<Ticks> {
        self.queue.lock().first().map(|(_, deadline)| deadline)
    }

    /// Takes out one vCPU whose deadline has passed.
    pub fn expired(&self, now: Ticks) -> Option<VcpuId> {
        let mut queue = self.queue.lock();
        let (vcpu, _) = queue.first().filter(|(_, deadline)| *deadline <= now)?;
        queue.remove(vcpu);
        Some(vcpu)
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
