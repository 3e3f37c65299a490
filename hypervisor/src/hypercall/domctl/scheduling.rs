//! How a domain is scheduled: its share of its pool, and where its vCPUs may run.

use abi::domctl::domain::{
    SchedCredit2, SchedulerOp, XEN_DOMCTL_SCHEDOP_GETINFO, XEN_DOMCTL_SCHEDOP_PUTINFO, XEN_SCHEDULER_CREDIT2,
};
use abi::domctl::vcpu::{Vcpuaffinity, XEN_VCPUAFFINITY_HARD, XEN_VCPUAFFINITY_SOFT};
use abi::errno::Errno;
use abi::layout::Field;
use abi::xen::XenctlBitmap;
use machine::contract::Machine;
use plan::Share;

use super::super::Answer;
use super::Order;
use super::info::vcpu_of;
use crate::cpu::{Current, Local};
use crate::hypervisor::Hypervisor;
use crate::pool::Pool;
use crate::schedule::{Affinity, CpuSet};

/// Bytes of a map of as many processors as there can be.
const MAP_BYTES: usize = 16;

/// A domain's weight and cap, told or changed.
///
/// # Errors
/// `EINVAL` for another scheduler's parameters, `EOPNOTSUPP` for parameters of single vCPUs and where the scheduler has
/// none.
pub(super) fn parameters<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    order: &Order<'_, M>,
) -> Answer {
    let (cpu, current) = (local.index, local.caller()?);
    let domain = order.controlled.domain;
    let pool = hypervisor.pools.get(domain.seat.pool).ok_or(Errno::Inval)?;
    let mut wanted: SchedulerOp = Field::load(&order.words);
    if wanted.sched_id != pool.interface_id() {
        return Err(Errno::Inval);
    }
    match wanted.cmd {
        XEN_DOMCTL_SCHEDOP_GETINFO => {
            if wanted.sched_id == XEN_SCHEDULER_CREDIT2 {
                let Share { weight, cap } = domain.share();
                SchedCredit2 { weight, cap }.store(&mut wanted.u);
            }
            order.answer(hypervisor, current, &wanted)
        }
        XEN_DOMCTL_SCHEDOP_PUTINFO if wanted.sched_id == XEN_SCHEDULER_CREDIT2 => {
            let SchedCredit2 { weight, cap } = Field::load(&wanted.u);
            // As for Xen, no weight is no change.
            let weight = if weight == 0 { domain.share().weight } else { weight };
            let share = Share { weight, cap };
            domain.set_share(share);
            pool.set_share(domain.seat, share);
            hypervisor.call_off(domain, cpu);
            Ok(0)
        }
        _ => Err(Errno::OpNotSupp),
    }
}

/// `XEN_DOMCTL_getvcpuaffinity`: as it was set, whatever the pool has of it.
///
/// # Errors
/// `ESRCH` for a vCPU that is not there, `EINVAL` where nothing is asked.
pub(super) fn affinity<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    order: &Order<'_, M>,
) -> Answer {
    let wanted = asked(order)?;
    let vcpu = vcpu_of(hypervisor, order, wanted.vcpu).ok_or(Errno::Srch)?;
    let Affinity { hard, soft } = *vcpu.affinity.lock();
    let all = CpuSet::up_to(hypervisor.processors.len());
    tell(hypervisor, current, &wanted, [hard.and(all), soft.and(all)])?;
    Ok(0)
}

/// `XEN_DOMCTL_setvcpuaffinity`; the caller hears what of it has an effect.
///
/// # Errors
/// `ESRCH` for a vCPU that is not there, `EINVAL` where nothing is asked or the pool has none of the processors,
/// `EBUSY` where the null scheduler has none left.
pub(super) fn set_affinity<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    order: &Order<'_, M>,
) -> Answer {
    let (cpu, current) = (local.index, local.caller()?);
    let wanted = asked(order)?;
    let vcpu = vcpu_of(hypervisor, order, wanted.vcpu).ok_or(Errno::Srch)?;
    let pool = hypervisor.pools.get(vcpu.seat.pool).ok_or(Errno::Srch)?;
    let online = hypervisor.processors_of(pool);
    let mut affinity = *vcpu.affinity.lock();
    if wanted.flags & XEN_VCPUAFFINITY_HARD != 0 {
        affinity.hard = read_processors(hypervisor, current, &wanted.cpumap_hard)?;
    }
    if wanted.flags & XEN_VCPUAFFINITY_SOFT != 0 {
        affinity.soft = read_processors(hypervisor, current, &wanted.cpumap_soft)?;
    }
    let hard = affinity.hard.and(online);
    if hard.is_empty() {
        return Err(Errno::Inval);
    }
    tell(hypervisor, current, &wanted, [hard, affinity.soft.and(hard)])?;
    let now = hypervisor.machine.now();
    let called = pool.set_affinity(vcpu.seat, affinity, now).map_err(|_| Errno::Busy)?;
    *vcpu.affinity.lock() = affinity;
    if let Some(other) = called {
        hypervisor.call(other, cpu);
    }
    Ok(0)
}

/// What is asked of a vCPU's affinity, if anything is.
fn asked<M: Machine>(order: &Order<'_, M>) -> Result<Vcpuaffinity, Errno> {
    let wanted: Vcpuaffinity = Field::load(&order.words);
    let both = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    if wanted.flags & both == 0 { Err(Errno::Inval) } else { Ok(wanted) }
}

/// Writes the maps that are asked for: the hard one, and the soft one.
fn tell<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    wanted: &Vcpuaffinity,
    [hard, soft]: [CpuSet; 2],
) -> Result<(), Errno> {
    let maps = [
        (XEN_VCPUAFFINITY_HARD, wanted.cpumap_hard, hard),
        (XEN_VCPUAFFINITY_SOFT, wanted.cpumap_soft, soft),
    ];
    for (flag, map, set) in maps {
        if wanted.flags & flag != 0 {
            write_processors(hypervisor, current, &map, set)?;
        }
    }
    Ok(())
}

/// Reads a map of processors, as far as there can be any.
fn read_processors<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    map: &XenctlBitmap,
) -> Result<CpuSet, Errno> {
    let mut bytes = [0_u8; MAP_BYTES];
    let room = usize::try_from(map.nr_bits.div_ceil(8)).unwrap_or(MAP_BYTES).min(MAP_BYTES);
    hypervisor.read_bytes(current, map.bitmap.address(), bytes.get_mut(..room).unwrap_or_default())?;
    let said = CpuSet::up_to(usize::try_from(map.nr_bits).unwrap_or(usize::MAX).min(128));
    Ok(CpuSet(u128::from_le_bytes(bytes)).and(said))
}

/// Writes a map of processors, as far as it has room.
pub(in super::super) fn write_processors<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    map: &XenctlBitmap,
    set: CpuSet,
) -> Result<(), Errno> {
    let said = CpuSet::up_to(usize::try_from(map.nr_bits).unwrap_or(usize::MAX).min(128));
    let bytes = set.and(said).0.to_le_bytes();
    let room = usize::try_from(map.nr_bits.div_ceil(8)).unwrap_or(MAP_BYTES).min(MAP_BYTES);
    hypervisor.write_bytes(current, map.bitmap.address(), bytes.get(..room).unwrap_or_default())
}

impl Pool {
    /// Its scheduler as the interface numbers it.
    pub fn interface_id(&self) -> u32 {
        interface_id(self.kind)
    }
}

/// A scheduler as the interface numbers it.
pub(in super::super) fn interface_id(scheduler: plan::Scheduler) -> u32 {
    match scheduler {
        plan::Scheduler::Fair => XEN_SCHEDULER_CREDIT2,
        plan::Scheduler::Null => abi::domctl::domain::XEN_SCHEDULER_NULL,
    }
}
