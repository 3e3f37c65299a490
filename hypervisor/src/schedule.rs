//! Who runs where, and for how long: the contract of a scheduler.
//!
//! A scheduler is a plain data structure behind one lock; it knows no registers and no hardware. It is
//! told when a vCPU wakes and asked, by a processor, what to run next. It answers with a vCPU and a time
//! limit, and a limit is only set where somebody waits: a vCPU that is alone is interrupted by nobody.

pub mod fair;
pub mod null;

use machine::contract::{CpuIndex, Ticks};

/// Number of a vCPU in the whole machine.
pub type VcpuId = u32;

/// What happens to the vCPU that a processor ran until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It could go on.
    Runnable,
    /// It could go on, but lets others go first.
    Yielding,
    /// It waits for an event; [`Scheduler::wake`] brings it back.
    Blocked,
}

/// What a processor does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The vCPU to run; none: idle.
    pub vcpu: Option<VcpuId>,
    /// Ask again at this time. `None`: run until something happens.
    pub until: Option<Ticks>,
    /// Another processor that should ask again: somebody waits, and it has no time limit yet.
    pub call: Option<CpuIndex>,
}

/// The contract. A processor index or vCPU number that the scheduler was not made for is ignored.
pub trait Scheduler: Send + core::fmt::Debug {
    /// A vCPU can run (again). Answers with the processor that should ask again, if any.
    fn wake(&mut self, vcpu: VcpuId, now: Ticks) -> Option<CpuIndex>;

    /// This processor never asks: it did not start. To be said before any vCPU wakes.
    fn remove(&mut self, cpu: CpuIndex);

    /// What `cpu` runs next, `leaving` being said of what it ran until now. From now on the chosen vCPU
    /// is that processor's until it asks again.
    fn choose(&mut self, cpu: CpuIndex, leaving: Leaving, now: Ticks) -> Choice;
}
