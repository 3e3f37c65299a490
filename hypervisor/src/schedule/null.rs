//! One vCPU for each processor, for good: no decisions, no interruptions.
//!
//! A vCPU gets the first processor of its affinity that has none when it first wakes; one that comes too late
//! waits until one becomes free, which happens when an owner in dom0 moves a vCPU to another free processor.

use alloc::vec::Vec;

use machine::contract::{CpuIndex, Ticks};

use super::{Affinity, Call, Choice, CpuSet, Leaving, Scheduler, Taken, VcpuId};

/// The scheduler behind `sched=null`.
#[derive(Debug)]
pub struct Null {
    /// Each processor's vCPU.
    owners: Vec<Option<Owner>>,
    /// The processors that have none yet.
    free: CpuSet,
    affinities: Vec<Affinity>,
    /// vCPUs that can run and have no processor, in the order in which they came.
    waiting: Vec<VcpuId>,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    vcpu: VcpuId,
    awake: bool,
    /// It was woken while it was on its way to sleep.
    woken: bool,
    /// It moves to this processor when its own asks next.
    to: Option<CpuIndex>,
}

impl Null {
    /// Bytes for each vCPU.
    pub const BYTES_PER_VCPU: usize = size_of::<Affinity>().saturating_add(size_of::<VcpuId>());

    /// For so many vCPUs and processors. `None` where there is no memory.
    pub fn try_new(vcpus: usize, cpus: usize) -> Option<Self> {
        let (mut owners, mut affinities, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        owners.try_reserve_exact(cpus).ok()?;
        owners.resize(cpus, None);
        affinities.try_reserve_exact(vcpus).ok()?;
        affinities.resize(vcpus, Affinity::FREE);
        waiting.try_reserve_exact(vcpus).ok()?;
        Some(Null { owners, free: CpuSet::up_to(cpus), affinities, waiting })
    }

    fn affinity(&self, vcpu: VcpuId) -> Affinity {
        let index = usize::try_from(vcpu).unwrap_or(usize::MAX);
        self.affinities.get(index).copied().unwrap_or(Affinity::FREE)
    }

    fn cpu_of(&self, vcpu: VcpuId) -> Option<CpuIndex> {
        self.owners.iter().position(|owner| owner.is_some_and(|owner| owner.vcpu == vcpu))
    }

    /// Gives a free processor away, if the affinity has one.
    fn take(&mut self, affinity: Affinity) -> Option<CpuIndex> {
        let cpu = affinity.choose_from(self.free)?;
        self.free.set(cpu, false);
        Some(cpu)
    }

    fn settle(&mut self, cpu: CpuIndex, owner: Owner) {
        if let Some(place) = self.owners.get_mut(cpu) {
            *place = Some(owner);
        }
    }

    /// Gives a processor that has become free to the first who waits for it.
    fn give(&mut self, cpu: CpuIndex) {
        let first = self.waiting.iter().copied().find(|vcpu| self.affinity(*vcpu).hard.contains(cpu));
        match first {
            Some(vcpu) => {
                self.waiting.retain(|waiting| *waiting != vcpu);
                self.settle(cpu, Owner { vcpu, awake: true, woken: false, to: None });
            }
            None => self.free.set(cpu, true),
        }
    }
}

impl Scheduler for Null {
    fn wake(&mut self, vcpu: VcpuId, _now: Ticks) -> Option<Call> {
        let affinity = *self.affinities.get(usize::try_from(vcpu).ok()?)?;
        if let Some(cpu) = self.cpu_of(vcpu) {
            let owner = self.owners.get_mut(cpu)?.as_mut()?;
            owner.woken = owner.awake;
            owner.awake = true;
            return if owner.woken { None } else { Some(Call::now(cpu)) };
        }
        if self.waiting.contains(&vcpu) {
            return None;
        }
        let cpu = self.take(affinity);
        match cpu {
            Some(cpu) => self.settle(cpu, Owner { vcpu, awake: true, woken: false, to: None }),
            // There is room for all of them.
            None => self.waiting.push(vcpu),
        }
        cpu.map(Call::now)
    }

    fn remove(&mut self, cpu: CpuIndex) {
        self.free.set(cpu, false);
    }

    fn choose(&mut self, cpu: CpuIndex, leaving: Leaving, _now: Ticks) -> Choice {
        let Some(Some(owner)) = self.owners.get_mut(cpu) else { return Choice::default() };
        if leaving == Leaving::Blocked {
            owner.awake = owner.woken;
        }
        owner.woken = false;
        let moving = *owner;
        let Some(to) = moving.to else {
            let vcpu = owner.awake.then_some(owner.vcpu);
            return Choice { vcpu, rests: vcpu.is_none(), ..Choice::default() };
        };
        self.settle(to, Owner { to: None, ..moving });
        if let Some(place) = self.owners.get_mut(cpu) {
            *place = None;
        }
        self.give(cpu);
        let next = self.owners.get(cpu).copied().flatten();
        Choice { vcpu: next.map(|owner| owner.vcpu), call: Some(to), ..Choice::default() }
    }

    fn set_affinity(
        &mut self,
        vcpu: VcpuId,
        affinity: Affinity,
        _now: Ticks,
    ) -> Result<Option<CpuIndex>, Taken> {
        let Some(index) = usize::try_from(vcpu).ok().filter(|index| *index < self.affinities.len()) else {
            return Ok(None);
        };
        let mut asks = None;
        if let Some(cpu) = self.cpu_of(vcpu) {
            let owner = self.owners.get(cpu).copied().flatten();
            let moving = owner.and_then(|owner| owner.to);
            if !affinity.hard.contains(moving.unwrap_or(cpu)) {
                // One move at a time.
                let to =
                    if moving.is_none() { self.take(affinity).ok_or(Taken)? } else { return Err(Taken) };
                if let Some(Some(owner)) = self.owners.get_mut(cpu) {
                    owner.to = Some(to);
                }
                asks = Some(cpu);
            }
        } else if self.waiting.contains(&vcpu) {
            asks = self.take(affinity);
            if let Some(cpu) = asks {
                self.waiting.retain(|waiting| *waiting != vcpu);
                self.settle(cpu, Owner { vcpu, awake: true, woken: false, to: None });
            }
        }
        if let Some(place) = self.affinities.get_mut(index) {
            *place = affinity;
        }
        Ok(asks)
    }
}
