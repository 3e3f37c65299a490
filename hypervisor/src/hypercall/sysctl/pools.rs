//! What the toolstack may know of pools, and change of their schedulers.

use abi::errno::Errno;
use abi::layout::Field;
use abi::sysctl::{self as operation, CpupoolOp, Credit2Schedule, SchedulerOp};
use machine::contract::Machine;

use super::super::Answer;
use super::Order;
use crate::hypercall::domctl::scheduling::write_processors;
use crate::schedule::CpuSet;

const MICROSECONDS: u64 = 1_000_000;

/// A pool: the first one from the given number on.
///
/// # Errors
/// `ENOENT` behind the last one, `EOPNOTSUPP` for a change.
pub(super) fn pool<M: Machine>(order: &Order<'_, '_, M>) -> Answer {
    let mut wanted: CpupoolOp = order.wanted();
    let hypervisor = order.hypervisor;
    match wanted.op {
        operation::XEN_SYSCTL_CPUPOOL_OP_INFO => {
            let id = usize::try_from(wanted.cpupool_id).unwrap_or(usize::MAX);
            let pool = hypervisor.pools.get(id).ok_or(Errno::NoEnt)?;
            wanted.sched_id = pool.interface_id();
            let domains = hypervisor.domains_from(0).filter(|domain| domain.seat.pool == id);
            wanted.n_dom = domains.fold(0_u32, |count, _| count.saturating_add(1));
            write_processors(hypervisor, order.current, &wanted.cpumap, hypervisor.processors_of(pool))?;
            order.answer(&wanted)
        }
        // Every processor is in a pool.
        operation::XEN_SYSCTL_CPUPOOL_OP_FREEINFO => {
            write_processors(hypervisor, order.current, &wanted.cpumap, CpuSet::NONE)?;
            order.answer(&wanted)
        }
        _ => Err(Errno::OpNotSupp),
    }
}

/// A pool's own parameters: for how long the fair scheduler preempts nobody.
///
/// # Errors
/// `EINVAL` for another scheduler's parameters, another pool, or a time that is out of bounds; `EOPNOTSUPP` for a change
/// where there are none.
pub(super) fn scheduler<M: Machine>(order: &Order<'_, '_, M>) -> Answer {
    let mut wanted: SchedulerOp = order.wanted();
    let id = usize::try_from(wanted.cpupool_id).unwrap_or(usize::MAX);
    let pool = order.hypervisor.pools.get(id).ok_or(Errno::Inval)?;
    if wanted.sched_id != pool.interface_id() {
        return Err(Errno::Inval);
    }
    let frequency = order.hypervisor.machine.frequency();
    match (wanted.cmd, pool.kind) {
        (operation::XEN_SYSCTL_SCHEDOP_GETINFO, plan::Scheduler::Null) => {
            order.answer(&SchedulerOp { u: [0; 16], ..wanted })
        }
        (operation::XEN_SYSCTL_SCHEDOP_GETINFO, plan::Scheduler::Fair) => {
            wanted.u = [0; 16];
            let time = pool.patience().saturating_mul(MICROSECONDS).checked_div(frequency).unwrap_or(0);
            Credit2Schedule { ratelimit_us: u32::try_from(time).unwrap_or(u32::MAX) }.store(&mut wanted.u);
            order.answer(&wanted)
        }
        (operation::XEN_SYSCTL_SCHEDOP_PUTINFO, plan::Scheduler::Fair) => {
            let Credit2Schedule { ratelimit_us: time } = Field::load(&wanted.u);
            let (least, most) =
                (operation::XEN_SYSCTL_SCHED_RATELIMIT_MIN, operation::XEN_SYSCTL_SCHED_RATELIMIT_MAX);
            if time != 0 && !(least..=most).contains(&time) {
                return Err(Errno::Inval);
            }
            pool.set_patience(u64::from(time).saturating_mul(frequency).div_ceil(MICROSECONDS));
            Ok(0)
        }
        _ => Err(Errno::OpNotSupp),
    }
}
