//! Who runs where, and for how long: the contract of a scheduler.
//!
//! A scheduler serves one pool of processors. It is a plain data structure behind one lock; it knows no
//! registers, no hardware and no other pool, and numbers processors, vCPUs and domains within its pool. It is
//! told when a vCPU wakes and asked, by a processor, what to run next. It answers with a vCPU and a time
//! limit, and a limit is only set where somebody waits or has a cap: a vCPU that is alone is interrupted by nobody.

pub mod fair;
pub mod null;

use machine::contract::{CpuIndex, Ticks};
use plan::Share;

use crate::timer::NEVER;

/// Number of a vCPU: in the whole machine, or in its pool where a scheduler speaks of it.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The vCPU to run; none: idle.
    pub vcpu: Option<VcpuId>,
    /// Idle, and the vCPU that ran last here sleeps: it may rest, loaded as it is, since it runs nowhere else before this
    /// processor has asked again.
    pub rests: bool,
    /// Ask again at this time. [`NEVER`]: run until something happens.
    pub until: Ticks,
    /// Another processor that should ask again: somebody waits, and it has no time limit yet.
    pub call: Option<CpuIndex>,
}

impl Default for Choice {
    fn default() -> Self {
        Choice { vcpu: None, rests: false, until: NEVER, call: None }
    }
}

/// Which processor should ask again because somebody can run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The processor.
    pub cpu: CpuIndex,
    /// It need not before this time: what it runs has only just begun. 0: at once.
    pub by: Ticks,
}

impl Call {
    /// It should at once.
    pub fn now(cpu: CpuIndex) -> Self {
        Call { cpu, by: 0 }
    }
}

/// Processors, by number below 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuSet(pub u128);

impl CpuSet {
    /// None.
    pub const NONE: Self = CpuSet(0);
    /// All that there can be.
    pub const ALL: Self = CpuSet(u128::MAX);

    /// One.
    #[inline]
    pub fn of(cpu: CpuIndex) -> Self {
        CpuSet(if cpu < 128 { 1_u128.wrapping_shl(u32::try_from(cpu).unwrap_or(0)) } else { 0 })
    }

    /// The first so many.
    pub fn up_to(count: usize) -> Self {
        (0..count).fold(CpuSet::NONE, |all, cpu| all.or(CpuSet::of(cpu)))
    }

    /// Is this one in it?
    #[inline]
    pub fn contains(self, cpu: CpuIndex) -> bool {
        !self.and(CpuSet::of(cpu)).is_empty()
    }

    /// Those in both.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        CpuSet(self.0 & other.0)
    }

    /// Those in either.
    #[inline]
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        CpuSet(self.0 | other.0)
    }

    /// Those that are not in the other.
    #[inline]
    #[must_use]
    pub fn and_not(self, other: Self) -> Self {
        CpuSet(self.0 & !other.0)
    }

    /// Puts one in, or takes it out.
    #[inline]
    pub fn set(&mut self, cpu: CpuIndex, is_in: bool) {
        let bit = CpuSet::of(cpu).0;
        self.0 = if is_in { self.0 | bit } else { self.0 & !bit };
    }

    /// There is nobody in it.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The first one.
    #[inline]
    pub fn first(self) -> Option<CpuIndex> {
        if self.is_empty() { None } else { usize::try_from(self.0.trailing_zeros()).ok() }
    }
}

/// Where a vCPU may run, and where among these it had better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// It runs nowhere else.
    pub hard: CpuSet,
    /// It runs elsewhere only while none of these is idle.
    pub soft: CpuSet,
}

impl Affinity {
    /// Anywhere.
    pub const FREE: Self = Affinity { hard: CpuSet::ALL, soft: CpuSet::ALL };

    /// The one of these processors that it had better take.
    pub fn choose_from(self, cpus: CpuSet) -> Option<CpuIndex> {
        let allowed = cpus.and(self.hard);
        allowed.and(self.soft).first().or_else(|| allowed.first())
    }
}

/// An affinity cannot be had: every processor that it allows is somebody's for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken;

impl core::fmt::Debug for dyn Scheduler {
    /// Not of what is in it: a table of functions would carry the words for that into the image.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Scheduler")
    }
}

/// The contract. A number that the scheduler was not made for is ignored.
pub trait Scheduler: Send {
    /// A vCPU can run (again). Answers with the processor that should ask again, if any.
    fn wake(&mut self, vcpu: VcpuId, now: Ticks) -> Option<Call>;

    /// This processor never asks: it did not start. To be said before any vCPU wakes.
    fn remove(&mut self, cpu: CpuIndex);

    /// What `cpu` runs next, `leaving` being said of what it ran until now. From now on the chosen vCPU
    /// is that processor's until it asks again.
    fn choose(&mut self, cpu: CpuIndex, leaving: Leaving, now: Ticks) -> Choice;

    /// Is nobody there for whom what `cpu` runs could make way? Then it need not ask when that yields.
    fn is_alone(&self, cpu: CpuIndex) -> bool {
        let _ = cpu;
        false
    }

    /// Changes where a vCPU may run. Answers with the processor that should ask again, if any.
    ///
    /// # Errors
    /// [`Taken`]; nothing has changed.
    fn set_affinity(
        &mut self,
        vcpu: VcpuId,
        affinity: Affinity,
        now: Ticks,
    ) -> Result<Option<CpuIndex>, Taken>;

    /// Gives a domain another share of the pool. Processors that run its vCPUs should ask again.
    fn set_share(&mut self, domain: usize, share: Share) {
        let _ = (domain, share);
    }

    /// For how long nobody is preempted.
    fn patience(&self) -> Ticks {
        0
    }

    /// Changes that.
    fn set_patience(&mut self, patience: Ticks) {
        let _ = patience;
    }
}
