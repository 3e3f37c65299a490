//! sched_op: giving the processor up, waiting for events, ending, and the watchdog.
//!
//! Source: `public/sched.h`; what is refused, and how, was seen on 4.17.

use abi::errno::Errno;
use abi::layout::Handle;
use abi::sched::{self, SchedPoll, SchedRemoteShutdown, SchedShutdown, SchedWatchdog};
use machine::contract::Machine;

use super::{Answer, Call};
use crate::cpu::Local;
use crate::domain::End;
use crate::hypervisor::Hypervisor;
use crate::schedule::Leaving;
use crate::vcpu::POLLS_FOR_ANY;

/// Most ports of one poll.
const MOST_POLLED: u32 = 128;

/// `HYPERVISOR_sched_op(cmd, argument)`.
///
/// # Errors
/// `ENOSYS` for an unknown sub-operation; others where the sub-operation says so.
#[inline(never)]
pub(super) fn sched_op<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let argument = call.argument(1);
    match call.word(0) {
        sched::SCHEDOP_YIELD => {
            local.leave(Leaving::Yielding);
            Ok(0)
        }
        sched::SCHEDOP_BLOCK => block(hypervisor, local),
        sched::SCHEDOP_SHUTDOWN => shutdown(hypervisor, local, Handle::new(argument)),
        sched::SCHEDOP_POLL => poll(hypervisor, local, Handle::new(argument)),
        sched::SCHEDOP_REMOTE_SHUTDOWN => remote_shutdown(hypervisor, local, Handle::new(argument)),
        sched::SCHEDOP_SHUTDOWN_CODE => {
            // Recorded for a toolstack, which reads it when the domain has ended.
            let current = local.caller()?;
            let code: SchedShutdown = hypervisor.read(current, Handle::new(argument))?;
            current.domain.note_reason(code.reason);
            Ok(0)
        }
        sched::SCHEDOP_WATCHDOG => watchdog(hypervisor, local, Handle::new(argument)),
        sched::SCHEDOP_PIN_OVERRIDE => Err(Errno::Perm),
        _ => Err(Errno::NoSys),
    }
}

/// Waits until an event can be told; events are told from now on.
fn block<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>) -> Answer {
    let current = local.caller()?;
    if let Some(pv) = &current.domain.pv {
        let state = pv.events.lock();
        state.delivery.allow_upcalls(&hypervisor.machine, current.vcpu.index);
        let (pending, _) = state.delivery.upcall_state(&hypervisor.machine, current.vcpu.index);
        if pending {
            return Ok(0);
        }
    }
    hypervisor.wait(local);
    Ok(0)
}

fn shutdown<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    handle: Handle<SchedShutdown>,
) -> Answer {
    let current = local.caller()?;
    let reason = hypervisor.read(current, handle)?.reason;
    hypervisor.finish(current.domain, End::of_reason(reason), local.index);
    local.leave(Leaving::Blocked);
    Ok(0)
}

fn remote_shutdown<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    handle: Handle<SchedRemoteShutdown>,
) -> Answer {
    let current = local.caller()?;
    let order = hypervisor.read(current, handle)?;
    let target = super::named(hypervisor, current.domain, order.domain_id)?;
    if order.domain_id == abi::xen::DOMID_SELF || target.index == current.domain.index {
        // Not the way to end oneself.
        return Err(if order.domain_id == abi::xen::DOMID_SELF { Errno::Srch } else { Errno::Perm });
    }
    super::control(current.domain, target)?;
    hypervisor.finish(target, End::of_reason(order.reason), local.index);
    Ok(0)
}

/// Waits until one of several ports is pending, or a time has come.
///
/// # Errors
/// `EINVAL` for too many ports or one that is not in use, `EFAULT`.
fn poll<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    handle: Handle<SchedPoll>,
) -> Answer {
    let current = local.current.as_mut().ok_or(Errno::NoSys)?;
    let order = hypervisor.read(current, handle)?;
    let pv = current.domain.pv.as_ref().ok_or(Errno::NoSys)?;
    if order.nr_ports > MOST_POLLED {
        return Err(Errno::Inval);
    }
    let first = if order.nr_ports == 0 { 0 } else { hypervisor.read(current, order.ports)? };
    let (vcpu, domain) = (current.vcpu, current.domain);
    // From here on an event ends the wait that has not begun yet.
    vcpu.block();
    if order.nr_ports > 0 {
        vcpu.start_poll(if order.nr_ports == 1 { first } else { POLLS_FOR_ANY });
        pv.events.count_poller(true);
    }
    let mut found = order.timeout != 0 && hypervisor.ticks_at(order.timeout) <= hypervisor.machine.now();
    let mut wrong = None;
    for index in 0..u64::from(order.nr_ports) {
        let read = if index == 0 { Ok(first) } else { hypervisor.read_element(current, order.ports, index) };
        let port = match read {
            Ok(port) => port,
            Err(error) => {
                wrong = Some(error);
                break;
            }
        };
        let state = pv.events.lock();
        if state.channels.used(port).is_none() {
            wrong = Some(Errno::Inval);
            break;
        }
        found |= state.is_pending(&hypervisor.machine, port);
    }
    if found || wrong.is_some() {
        vcpu.unblock();
        hypervisor.end_poll(domain, vcpu);
        return wrong.map_or(Ok(0), Err);
    }
    current.state.poll_deadline = (order.timeout != 0).then(|| hypervisor.ticks_at(order.timeout));
    local.leave(Leaving::Blocked);
    Ok(0)
}

/// Starts, feeds or stops one of the domain's watchdogs.
///
/// # Errors
/// `EINVAL` for one that does not run. One more than there are gives `ENOSPC` as 32 bits, as 4.17 does.
fn watchdog<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    handle: Handle<SchedWatchdog>,
) -> Answer {
    let current = local.caller()?;
    let SchedWatchdog { id, timeout } = hypervisor.read(current, handle)?;
    let deadline =
        hypervisor.machine.now().saturating_add(hypervisor.ticks(u64::from(timeout).saturating_mul(1000)));
    let (watchdogs, cpu) = (&current.domain.watchdogs, local.index);
    let Some(index) = usize::try_from(id).ok().and_then(|id| id.checked_sub(1)) else {
        return Ok(match watchdogs.start(deadline) {
            Some(index) => {
                hypervisor.watch(deadline, cpu);
                u64::try_from(index).unwrap_or(0).saturating_add(1)
            }
            None => Errno::NoSpc.result() & u64::from(u32::MAX),
        });
    };
    let fed = if timeout == 0 { watchdogs.stop(index) } else { watchdogs.feed(index, deadline) };
    if fed { Ok(0) } else { Err(Errno::Inval) }
}
