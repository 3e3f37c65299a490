//! A pool: processors, the vCPUs that run on them and nowhere else, and the scheduler that brings both together.
//!
//! A scheduler counts within its pool. Here its numbers become the machine's: so it costs what its pool is large, and
//! can name no processor and no vCPU of another one.

use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::contract::{CpuIndex, Ticks};
use machine::lock::{Lock, Rank};
use plan::{Plan, Share};

use crate::schedule::fair::Fair;
use crate::schedule::null::Null;
use crate::schedule::{Affinity, Call, Choice, CpuSet, Leaving, Scheduler, Taken, VcpuId};

/// Where somebody belongs: a pool, and the number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Index of the pool.
    pub pool: usize,
    /// The number in it.
    pub number: u32,
}

/// Processors with a scheduler of their own.
#[derive(Debug)]
pub struct Pool {
    /// Which scheduler it is.
    pub kind: plan::Scheduler,
    /// Its processors, by their number in it.
    pub cpus: Vec<CpuIndex>,
    vcpus: Vec<VcpuId>,
    scheduler: Lock<Box<dyn Scheduler>>,
}

impl Pool {
    /// Bytes for each vCPU, whatever schedules it.
    pub const BYTES_PER_VCPU: usize = Fair::BYTES_PER_VCPU.saturating_add(size_of::<VcpuId>());
    /// Bytes for each processor, which could be a pool of its own.
    pub const BYTES_PER_PROCESSOR: usize = size_of::<Pool>()
        .saturating_add(size_of::<Fair>())
        .saturating_add(Fair::BYTES_PER_PROCESSOR)
        .saturating_add(size_of::<CpuIndex>());

    /// The pool with index `id`, with slices of `slice` ticks where vCPUs share processors. `None` where there is no
    /// memory.
    pub fn try_new(plan: &Plan, id: usize, slice: Ticks) -> Option<Self> {
        let planned = plan.pools.get(id)?;
        let (mut domains, mut vcpus) = (Vec::new(), Vec::new());
        let mut next: VcpuId = 0;
        for domain in &plan.domains {
            let end = next.saturating_add(u32::from(domain.vcpus));
            if domain.pool == id {
                domains.push(usize::from(domain.vcpus));
                vcpus.extend(next..end);
            }
            next = end;
        }
        let cpus = planned.cpus.len();
        let mut scheduler: Box<dyn Scheduler> = match planned.scheduler {
            plan::Scheduler::Fair => Box::new(Fair::try_new(&domains, cpus, slice)?),
            plan::Scheduler::Null => Box::new(Null::try_new(vcpus.len(), cpus)?),
        };
        let own = plan.domains.iter().filter(|domain| domain.pool == id);
        for (number, domain) in (0..domains.len()).zip(own) {
            scheduler.set_share(number, domain.share);
        }
        Some(Pool {
            kind: planned.scheduler,
            cpus: planned.cpus.clone(),
            vcpus,
            scheduler: Lock::new(Rank::Scheduler, scheduler),
        })
    }

    fn cpu(&self, number: CpuIndex) -> Option<CpuIndex> {
        self.cpus.get(number).copied()
    }

    /// A vCPU can run (again). Answers with the processor that should ask again, if any.
    #[inline]
    pub fn wake(&self, vcpu: Seat, now: Ticks) -> Option<Call> {
        let Call { cpu, by } = self.scheduler.lock().wake(vcpu.number, now)?;
        Some(Call { cpu: self.cpu(cpu)?, by })
    }

    /// Is nobody there for whom what the processor runs could make way?
    pub fn is_alone(&self, processor: Seat) -> bool {
        self.scheduler.lock().is_alone(usize::try_from(processor.number).unwrap_or(usize::MAX))
    }

    /// What the processor runs next.
    pub fn choose(&self, processor: Seat, leaving: Leaving, now: Ticks) -> Choice {
        let number = usize::try_from(processor.number).unwrap_or(usize::MAX);
        let choice = self.scheduler.lock().choose(number, leaving, now);
        let vcpu = choice.vcpu.and_then(|vcpu| self.vcpus.get(usize::try_from(vcpu).ok()?).copied());
        Choice { vcpu, call: choice.call.and_then(|cpu| self.cpu(cpu)), ..choice }
    }

    /// This processor never asks.
    pub fn remove(&self, processor: Seat) {
        self.scheduler.lock().remove(usize::try_from(processor.number).unwrap_or(usize::MAX));
    }

    /// Gives a domain another share.
    pub fn set_share(&self, domain: Seat, share: Share) {
        self.scheduler.lock().set_share(usize::try_from(domain.number).unwrap_or(usize::MAX), share);
    }

    /// For how long nobody is preempted.
    pub fn patience(&self) -> Ticks {
        self.scheduler.lock().patience()
    }

    /// Changes that.
    pub fn set_patience(&self, patience: Ticks) {
        self.scheduler.lock().set_patience(patience);
    }

    /// The machine's processors as this pool numbers them. What it does not have is left out.
    fn inwards(&self, set: CpuSet) -> CpuSet {
        let own = (0..self.cpus.len()).zip(&self.cpus).filter(|(_, cpu)| set.contains(**cpu));
        own.fold(CpuSet::NONE, |all, (number, _)| all.or(CpuSet::of(number)))
    }

    /// Lets a vCPU run where an affinity says; numbers are the machine's. Answers with the processor that should ask
    /// again, if any.
    ///
    /// # Errors
    /// [`Taken`]; nothing has changed.
    pub fn set_affinity(
        &self,
        vcpu: Seat,
        affinity: Affinity,
        now: Ticks,
    ) -> Result<Option<CpuIndex>, Taken> {
        let all = CpuSet::up_to(self.cpus.len());
        // A set that leaves no processor out says nothing, and costs nothing.
        let inwards = |set| Some(self.inwards(set)).filter(|own| *own != all).unwrap_or(CpuSet::ALL);
        let affinity = Affinity { hard: inwards(affinity.hard), soft: inwards(affinity.soft) };
        let called = self.scheduler.lock().set_affinity(vcpu.number, affinity, now)?;
        Ok(called.and_then(|cpu| self.cpu(cpu)))
    }
}
