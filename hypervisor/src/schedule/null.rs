//! One vCPU for each processor, for good: no decisions, no interruptions.
//!
//! A vCPU gets the first processor that has none when it first wakes; one that comes too late waits.

use alloc::vec::Vec;

use machine::contract::{CpuIndex, Ticks};

use super::{Choice, Leaving, Scheduler, VcpuId};

/// The scheduler behind `sched=null`.
#[derive(Debug)]
pub struct Null {
    /// Each processor's vCPU.
    owners: Vec<Option<Owner>>,
    /// The processors that have none yet.
    free: Vec<CpuIndex>,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    vcpu: VcpuId,
    awake: bool,
    /// It was woken while it was on its way to sleep.
    woken: bool,
}

impl Null {
    /// For so many processors. `None` where there is no memory.
    pub fn try_new(cpus: usize) -> Option<Self> {
        let mut owners = Vec::new();
        owners.try_reserve_exact(cpus).ok()?;
        owners.resize(cpus, None);
        let mut free = Vec::new();
        free.try_reserve_exact(cpus).ok()?;
        free.extend((0..cpus).rev());
        Some(Null { owners, free })
    }
}

impl Scheduler for Null {
    fn wake(&mut self, vcpu: VcpuId, _now: Ticks) -> Option<CpuIndex> {
        let mine = |owner: &Option<Owner>| owner.is_some_and(|owner| owner.vcpu == vcpu);
        let cpu = self.owners.iter().position(mine).or_else(|| self.free.pop())?;
        let owner = self.owners.get_mut(cpu)?.get_or_insert(Owner { vcpu, awake: false, woken: false });
        if owner.awake {
            owner.woken = true;
            return None;
        }
        owner.awake = true;
        Some(cpu)
    }

    fn remove(&mut self, cpu: CpuIndex) {
        self.free.retain(|free| *free != cpu);
    }

    fn choose(&mut self, cpu: CpuIndex, leaving: Leaving, _now: Ticks) -> Choice {
        let Some(Some(owner)) = self.owners.get_mut(cpu) else { return Choice::default() };
        if leaving == Leaving::Blocked {
            owner.awake = owner.woken;
        }
        owner.woken = false;
        Choice { vcpu: owner.awake.then_some(owner.vcpu), ..Choice::default() }
    }
}
