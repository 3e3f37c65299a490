//! event_channel_op: making, binding, sending and closing event channels.
//!
//! Source: `public/event_channel.h`; what is refused, and how, was seen on 4.17.

use abi::errno::Errno;
use abi::event_channel::{
    self as event, EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnBindIpi, EvtchnBindVcpu, EvtchnBindVirq,
    EvtchnClose, EvtchnExpandArray, EvtchnFifoControlBlock, EvtchnInitControl, EvtchnReset, EvtchnSend,
    EvtchnSetPriority, EvtchnStatus, EvtchnUnmask,
};
use abi::layout::{Handle, Layout};
use abi::xen::{NR_VIRQS, VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF, VIRQ_XENPMU};
use machine::contract::Machine;
use machine::frames::FRAME_BYTES;

use super::{Answer, Call};
use crate::cpu::{Current, Local};
use crate::domain::Domain;
use crate::event::channel::Binding;
use crate::hypervisor::Hypervisor;
use crate::pv::Pv;

/// `EVTCHNOP_reset_cont`: the tools' own name for a reset that goes on.
const RESET_CONTINUED: u32 = 14;
/// Ports that are closed before the guest is let in again.
const CLOSED_AT_A_STRETCH: u32 = 32;

/// `HYPERVISOR_event_channel_op(cmd, argument)`.
///
/// # Errors
/// `ENOSYS` for an unknown sub-operation; others where the sub-operation says so.
#[inline(never)]
pub(super) fn event_channel_op<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    if call.word(0) == event::EVTCHNOP_SEND {
        send(hypervisor, local, call)
    } else {
        rarer(hypervisor, local, call)
    }
}

/// What is done most.
#[inline(always)]
fn send<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, call: &Call) -> Answer {
    let current = local.caller()?;
    let domain = current.domain;
    let pv = domain.pv.as_ref().ok_or(Errno::NoSys)?;
    let EvtchnSend { port } = hypervisor.read_often(current, Handle::new(call.argument(1)))?;
    hypervisor.send(local, (domain, pv), port).map(|()| 0)
}

/// All other sub-operations.
#[inline(never)]
fn rarer<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, call: &mut Call) -> Answer {
    let cpu = local.index;
    let current = local.caller()?;
    let domain = current.domain;
    let pv = domain.pv.as_ref().ok_or(Errno::NoSys)?;
    let argument = call.argument(1);
    match call.word(0) {
        event::EVTCHNOP_UNMASK => {
            let EvtchnUnmask { port } = hypervisor.read(current, Handle::new(argument))?;
            let news = {
                let mut state = pv.events.lock();
                state.channels.get(port).or(state.channels.zeroth(port)).ok_or(Errno::Inval)?;
                state.unmask(&hypervisor.machine, port)
            };
            hypervisor.tell_from(local, (domain, pv), news);
            Ok(0)
        }
        event::EVTCHNOP_CLOSE => {
            let EvtchnClose { port } = hypervisor.read(current, Handle::new(argument))?;
            hypervisor.close(domain, port).map(|()| 0)
        }
        event::EVTCHNOP_RESET | RESET_CONTINUED => reset(hypervisor, current, call),
        event::EVTCHNOP_STATUS => status(hypervisor, current, Handle::new(argument)),
        event::EVTCHNOP_BIND_VCPU => bind_vcpu(hypervisor, current, pv, Handle::new(argument)),
        event::EVTCHNOP_INIT_CONTROL => init_control(hypervisor, current, pv, Handle::new(argument)),
        event::EVTCHNOP_EXPAND_ARRAY => {
            let news = expand_array(hypervisor, current, pv, Handle::new(argument))?;
            news.iter().for_each(|news| hypervisor.tell(domain, news, cpu));
            Ok(0)
        }
        event::EVTCHNOP_SET_PRIORITY => set_priority(hypervisor, current, pv, Handle::new(argument)),
        other => making(hypervisor, local, other, argument),
    }
}

/// The sub-operations that make a port, and write its number where the guest wants it.
fn making<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    command: u32,
    argument: u64,
) -> Answer {
    let cpu = local.index;
    let current = local.caller()?;
    let (domain, pv) = (current.domain, current.domain.pv.as_ref().ok_or(Errno::NoSys)?);
    match command {
        event::EVTCHNOP_ALLOC_UNBOUND => {
            let handle: Handle<EvtchnAllocUnbound> = Handle::new(argument);
            let mut order = hypervisor.read(current, handle)?;
            let (target, port) = alloc_unbound(hypervisor, domain, &order)?;
            order.port = port;
            made(hypervisor, current, (handle, &order), (target, port))
        }
        event::EVTCHNOP_BIND_INTERDOMAIN => {
            let handle: Handle<EvtchnBindInterdomain> = Handle::new(argument);
            let mut order = hypervisor.read(current, handle)?;
            let remote = super::named(hypervisor, domain, order.remote_dom)?;
            hypervisor.may_talk(domain, remote)?;
            order.local_port = hypervisor.bind_interdomain(domain, (remote, order.remote_port), cpu)?;
            made(hypervisor, current, (handle, &order), (domain, order.local_port))
        }
        event::EVTCHNOP_BIND_VIRQ => {
            let handle: Handle<EvtchnBindVirq> = Handle::new(argument);
            let mut order = hypervisor.read(current, handle)?;
            order.port = bind_virq(hypervisor, domain, pv, &order)?;
            made(hypervisor, current, (handle, &order), (domain, order.port))
        }
        event::EVTCHNOP_BIND_IPI => {
            let handle: Handle<EvtchnBindIpi> = Handle::new(argument);
            let mut order = hypervisor.read(current, handle)?;
            let vcpu = vcpu_number(domain, order.vcpu)?;
            order.port = {
                let _bindings = hypervisor.bindings.lock();
                pv.events.lock().channels.take(Binding::Ipi, vcpu)?
            };
            made(hypervisor, current, (handle, &order), (domain, order.port))
        }
        // No physical interrupt is a domain's by this way.
        event::EVTCHNOP_BIND_PIRQ => {
            let _: event::EvtchnBindPirq = hypervisor.read(current, Handle::new(argument))?;
            Err(Errno::NoMem)
        }
        _ => Err(Errno::NoSys),
    }
}

/// Tells the guest the number of its new port; one that cannot be told is closed again.
fn made<M: Machine, T: Layout>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    (handle, order): (Handle<T>, &T),
    (domain, port): (&Domain<M>, u32),
) -> Answer {
    if let Err(error) = hypervisor.write(current, handle, order) {
        // It was there a moment ago.
        let _ = hypervisor.close(domain, port);
        return Err(error);
    }
    Ok(0)
}

/// A vCPU of the domain by its number.
fn vcpu_number<M: Machine>(domain: &Domain<M>, vcpu: u32) -> Result<u16, Errno> {
    let number = u16::try_from(vcpu).map_err(|_| Errno::NoEnt)?;
    if usize::from(number) < domain.vcpus.len() { Ok(number) } else { Err(Errno::NoEnt) }
}

/// A port of one domain that waits for another.
fn alloc_unbound<'h, M: Machine>(
    hypervisor: &'h Hypervisor<M>,
    caller: &'h Domain<M>,
    order: &EvtchnAllocUnbound,
) -> Result<(&'h Domain<M>, u32), Errno> {
    let target = super::own_or_controlled(hypervisor, caller, order.dom)?;
    let remote = super::named(hypervisor, caller, order.remote_dom)?;
    hypervisor.may_talk(target, remote)?;
    let pv = target.pv.as_ref().ok_or(Errno::Srch)?;
    let _bindings = hypervisor.bindings.lock();
    let port = pv.events.lock().channels.take(Binding::Unbound(remote.id), 0)?;
    Ok((target, port))
}

/// Does the interrupt belong to one vCPU, and not to the whole domain?
fn is_of_one_vcpu(virq: u32) -> bool {
    matches!(virq, VIRQ_TIMER | VIRQ_DEBUG | VIRQ_XENOPROF | VIRQ_XENPMU)
}

fn bind_virq<M: Machine>(
    hypervisor: &Hypervisor<M>,
    domain: &Domain<M>,
    pv: &Pv,
    order: &EvtchnBindVirq,
) -> Result<u32, Errno> {
    let own = is_of_one_vcpu(order.virq);
    if order.virq >= NR_VIRQS || (!own && order.vcpu != 0) {
        return Err(Errno::Inval);
    }
    let vcpu = vcpu_number(domain, order.vcpu)?;
    let _bindings = hypervisor.bindings.lock();
    let mut state = pv.events.lock();
    if state.channels.of_virq(order.virq, own.then_some(vcpu)).is_some() {
        return Err(Errno::Exist);
    }
    let port = state.channels.take(Binding::Virq(order.virq), vcpu)?;
    if !own {
        state.set_virq(order.virq, port);
    }
    Ok(port)
}

/// Tells another vCPU of a port's events from now on.
fn bind_vcpu<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    pv: &Pv,
    handle: Handle<EvtchnBindVcpu>,
) -> Answer {
    let EvtchnBindVcpu { port, vcpu } = hypervisor.read(current, handle)?;
    let vcpu = vcpu_number(current.domain, vcpu)?;
    let mut state = pv.events.lock();
    state.channels.used(port).ok_or(Errno::Inval)?;
    let channel = state.channels.get_mut(port).ok_or(Errno::Inval)?;
    match channel.binding {
        Binding::Unbound(_) | Binding::Interdomain { .. } => channel.vcpu = vcpu,
        Binding::Virq(virq) if !is_of_one_vcpu(virq) => channel.vcpu = vcpu,
        _ => return Err(Errno::Inval),
    }
    Ok(0)
}

/// Says what a port is bound to.
fn status<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    handle: Handle<EvtchnStatus>,
) -> Answer {
    let mut answer = hypervisor.read(current, handle)?;
    let target = super::own_or_controlled(hypervisor, current.domain, answer.dom)?;
    let pv = target.pv.as_ref().ok_or(Errno::Srch)?;
    let channel = {
        let state = pv.events.lock();
        *state.channels.get(answer.port).or(state.channels.zeroth(answer.port)).ok_or(Errno::Inval)?
    };
    let (status, words) = match channel.binding {
        Binding::Free | Binding::Reserved => (event::EVTCHNSTAT_CLOSED, [0, 0]),
        Binding::Unbound(domain) => (event::EVTCHNSTAT_UNBOUND, [u32::from(domain), 0]),
        Binding::Interdomain { domain, port } => {
            let id = hypervisor.domains.get(usize::from(domain)).map_or(0, |domain| u32::from(domain.id));
            (event::EVTCHNSTAT_INTERDOMAIN, [id, port])
        }
        Binding::Virq(virq) => (event::EVTCHNSTAT_VIRQ, [virq, 0]),
        Binding::Ipi => (event::EVTCHNSTAT_IPI, [0, 0]),
    };
    let ([a, b, c, d], [e, f, g, h]) = (words[0].to_le_bytes(), words[1].to_le_bytes());
    (answer.status, answer.vcpu) = (status, u32::from(channel.vcpu));
    answer.u = [a, b, c, d, e, f, g, h];
    hypervisor.write(current, handle, &answer)?;
    Ok(0)
}

/// Closes all ports of a domain, and tells it of events by two levels again. The ports that are still open are
/// what is left to do.
fn reset<M: Machine>(hypervisor: &Hypervisor<M>, current: &Current<'_, M>, call: &mut Call) -> Answer {
    let EvtchnReset { dom } = hypervisor.read(current, Handle::new(call.argument(1)))?;
    let target = super::own_or_controlled(hypervisor, current.domain, dom)?;
    let pv = target.pv.as_ref().ok_or(Errno::Srch)?;
    for _ in 0..CLOSED_AT_A_STRETCH {
        let next = pv.events.lock().channels.next_used(0);
        let Some(port) = next else {
            pv.events.lock().forget_queues();
            return Ok(0);
        };
        // Somebody else may have closed it meanwhile.
        let _ = hypervisor.close(target, port);
    }
    Err(Errno::Restart)
}

/// A vCPU's control block; the first one makes the domain be told by queues.
///
/// # Errors
/// `ENOENT` for a vCPU that is not there; `EINVAL` for a place that is none, or a vCPU that has one.
fn init_control<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    pv: &Pv,
    handle: Handle<EvtchnInitControl>,
) -> Answer {
    let mut order = hypervisor.read(current, handle)?;
    let vcpu = usize::from(vcpu_number(current.domain, order.vcpu)?);
    let offset = usize::try_from(order.offset).map_err(|_| Errno::Inval)?;
    if offset > FRAME_BYTES.saturating_sub(EvtchnFifoControlBlock::SIZE) || !offset.is_multiple_of(8) {
        return Err(Errno::Inval);
    }
    let frame = super::vcpu::own_page(hypervisor, current, order.control_gfn)?;
    pv.events.lock().init_control(&hypervisor.machine, vcpu, (frame, offset))?;
    order.link_bits = event::EVTCHN_FIFO_LINK_BITS.to_le_bytes()[0];
    hypervisor.write(current, handle, &order)?;
    Ok(0)
}

/// The next page of event words.
///
/// # Errors
/// `EOPNOTSUPP` without queues, `ENOSPC` where there are enough, `EINVAL` for a page that is none.
fn expand_array<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    pv: &Pv,
    handle: Handle<EvtchnExpandArray>,
) -> Result<crate::event::NewsOfAll, Errno> {
    let order = hypervisor.read(current, handle)?;
    pv.events.lock().can_expand()?;
    let frame = super::vcpu::own_page(hypervisor, current, order.array_gfn)?;
    pv.events.lock().expand_array(&hypervisor.machine, frame)
}

/// The queue of a port from now on.
///
/// # Errors
/// `EINVAL` for no port or no priority, `ENOSYS` without queues, `EACCES` for a port that is not in use.
fn set_priority<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    pv: &Pv,
    handle: Handle<EvtchnSetPriority>,
) -> Answer {
    let order = hypervisor.read(current, handle)?;
    pv.events.lock().set_priority(order.port, order.priority)?;
    Ok(0)
}
