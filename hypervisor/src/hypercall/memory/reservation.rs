//! How much memory a domain has: extents that come and go.
//!
//! These answer how many extents are done, counted from the beginning, and hardly ever an error: what is
//! wrong with the request is as good as an extent that cannot be done.

use abi::errno::Errno;
use abi::layout::Handle;
use abi::memory::{self as op, MemoryExchange, MemoryReservation};
use machine::contract::Machine;
use machine::frames::LARGEST_ORDER;
use machine::stage2::Kind;

use super::super::{Answer, Call, control, own_or_controlled};
use super::{FRAME, OPERATION_BITS, again};
use crate::cpu::{Current, Local};
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;
use crate::memory::{Change, Extent, Outcome, Progress};

/// More extents than this cannot be counted in the command.
const MOST_EXTENTS: u64 = u64::MAX >> OPERATION_BITS;

/// `XENMEM_populate_physmap`, `XENMEM_decrease_reservation`, `XENMEM_increase_reservation`.
///
/// # Errors
/// `ERESTART` inside.
#[inline]
pub(super) fn change<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
    (operation, start): (u32, u64),
) -> Answer {
    let current = local.caller()?;
    let handle: Handle<MemoryReservation> = Handle::new(call.argument(1));
    let Ok(order) = hypervisor.read_often(current, handle) else { return Ok(start) };
    let Ok(domain) = own_or_controlled(hypervisor, current.domain, order.domid) else { return Ok(start) };
    if order.nr_extents > MOST_EXTENTS || start >= order.nr_extents || order.extent_order > LARGEST_ORDER {
        return Ok(start);
    }
    if operation == op::XENMEM_INCREASE_RESERVATION {
        return Ok(increase(domain, &order, start));
    }
    let Some(limit) = host_limit(operation, order.mem_flags) else { return Ok(start) };
    let change = if operation == op::XENMEM_POPULATE_PHYSMAP { Change::Populate } else { Change::Decrease };
    for index in start..order.nr_extents {
        if index > start && hypervisor.must_look(local) {
            return again(call, operation, index);
        }
        let current = local.caller()?;
        let first = order.extent_start.element(index).map(|place| hypervisor.read_often(current, place));
        let Some(Ok(first)) = first else { return Ok(index) };
        let extent = Extent { change, domain: domain.index, first, order: order.extent_order };
        match work(hypervisor, local, extent, limit)? {
            Outcome::Done => {}
            Outcome::Failed => return Ok(index),
            Outcome::Interrupted(progress) => {
                keep(local, progress);
                return again(call, operation, index);
            }
        }
    }
    Ok(order.nr_extents)
}

fn keep<M: Machine>(local: &Local<'_, M>, progress: Progress) {
    if let Some(current) = &local.current {
        // It was taken from there before this one was begun.
        *current.vcpu.progress.lock() = Some(progress);
    }
}

/// Goes on with an extent, or begins it. Another one that the vCPU has left in the middle is given up first.
fn work<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    extent: Extent,
    limit: u64,
) -> Result<Outcome, Errno> {
    let left = local.current.as_ref().and_then(|current| current.vcpu.progress.lock().take());
    let progress = match left {
        Some(progress) if progress.extent == extent => progress,
        Some(other) => {
            let outcome = hypervisor.work_on(local, other.abandoned(), limit);
            if let Outcome::Interrupted(progress) = outcome {
                return Ok(Outcome::Interrupted(progress));
            }
            Progress::new(extent)
        }
        None if extent.order == 0 => {
            let done = hypervisor.change_page(extent, limit);
            return Ok(if done { Outcome::Done } else { Outcome::Failed });
        }
        None => Progress::new(extent),
    };
    Ok(hypervisor.work_on(local, progress, limit))
}

/// The host address below which all frames are to be; `None` where there can be none such.
fn host_limit(operation: u32, flags: u32) -> Option<u64> {
    if operation != op::XENMEM_POPULATE_PHYSMAP {
        return Some(u64::MAX);
    }
    let exact = flags & op::XENMEMF_EXACT_NODE_REQUEST != 0 && flags & 0xff00 != 0;
    if flags & op::XENMEMF_POPULATE_ON_DEMAND != 0 || exact {
        return None;
    }
    let bits = flags & op::XENMEMF_ADDRESS_BITS_MASK;
    Some(if bits == 0 { u64::MAX } else { 1_u64.checked_shl(bits).unwrap_or(u64::MAX) })
}

/// Memory without a place. A guest with a physical map cannot reach it, so it is counted and nothing else.
fn increase<M: Machine>(domain: &Domain<M>, order: &MemoryReservation, start: u64) -> u64 {
    let pages = 1_u64.checked_shl(order.extent_order).unwrap_or(u64::MAX);
    let wanted = order.nr_extents.saturating_sub(start);
    let room = domain.frames.most().saturating_sub(domain.frames.current());
    let count = room.checked_div(pages).unwrap_or(0).min(wanted);
    // Somebody else may have taken the room meanwhile.
    let counted = count.checked_mul(pages).is_some_and(|pages| domain.frames.add(pages));
    if counted { start.saturating_add(count) } else { start }
}

/// `XENMEM_exchange`: there is none where guests have a physical map of their own.
///
/// # Errors
/// `ESRCH` for no domain, `EINVAL` for a request that makes no sense or names no page; else `EOPNOTSUPP`.
pub(super) fn exchange<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    handle: Handle<MemoryExchange>,
) -> Answer {
    let order = hypervisor.read(current, handle)?;
    let (given, taken) = (order.input, order.out);
    let pages = |side: &MemoryReservation| {
        1_u64.checked_shl(side.extent_order).and_then(|pages| side.nr_extents.checked_mul(pages))
    };
    let most = given.extent_order.max(taken.extent_order);
    if order.nr_exchanged > given.nr_extents
        || pages(&given).is_none()
        || pages(&given) != pages(&taken)
        || given.domid != taken.domid
        || most > LARGEST_ORDER
    {
        return Err(Errno::Inval);
    }
    let domain = own_or_controlled(hypervisor, current.domain, given.domid)?;
    if given.nr_extents == order.nr_exchanged {
        return Ok(0);
    }
    let first = hypervisor.read_element(current, given.extent_start, order.nr_exchanged)?;
    let ipa = first.checked_mul(FRAME).ok_or(Errno::Inval)?;
    match hypervisor.frame_at(domain, ipa) {
        Some((_, Kind::Ram | Kind::Shared, _)) => Err(Errno::OpNotSupp),
        _ => Err(Errno::Inval),
    }
}

/// `XENMEM_claim_pages`: is there memory enough for a domain that is to be so large? What is there now stays
/// until somebody takes it, and the toolstack alone does.
///
/// # Errors
/// `EINVAL` for a request that makes no sense, `EPERM` for who has no domains to make, `ENOMEM`.
pub(super) fn claim<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    start: u64,
    handle: Handle<MemoryReservation>,
) -> Answer {
    if start != 0 {
        return Err(Errno::Inval);
    }
    let order = hypervisor.read(current, handle)?;
    if !order.extent_start.is_null() || order.extent_order != 0 || order.mem_flags != 0 {
        return Err(Errno::Inval);
    }
    let domain = hypervisor.domain_of(order.domid).ok_or(Errno::Inval)?;
    control(current.domain, domain)?;
    let more = order.nr_extents.saturating_sub(domain.frames.current());
    if more > hypervisor.machine.frames().free_frames() { Err(Errno::NoMem) } else { Ok(0) }
}
