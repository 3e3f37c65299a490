//! memory_op: what physical memory a domain has, and what is where in it.
//!
//! The low six bits of the command say what is to be done, the others how far it is: extents, or items, that
//! are done already. A guest that puts something there by hand has skipped them.
//!
//! Source: `public/memory.h`; what is refused, and how, was seen on 4.17.

mod physmap;
mod reservation;

use abi::errno::Errno;
use abi::layout::Handle;
use abi::memory::{self as op, MemoryDomain, VnumaTopologyInfo};
use machine::contract::Machine;
use machine::frames::FRAME_SIZE as FRAME;

use super::{Answer, Call, own_or_controlled};
use crate::cpu::{Current, Local};
use crate::hypervisor::Hypervisor;

/// Bits of the command that say what is to be done.
const OPERATION_BITS: u32 = 6;
/// `XENMEM_RDM_ALL`.
const RDM_ALL: u32 = 1;

/// `HYPERVISOR_memory_op(cmd, argument)`.
///
/// # Errors
/// `ENOSYS` for an unknown sub-operation; others where the sub-operation says so.
#[inline(never)]
pub(super) fn memory_op<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let command = call.argument(0);
    let operation = u32::try_from(command & 0x3f).map_err(|_| Errno::NoSys)?;
    let start = command >> OPERATION_BITS;
    match operation {
        op::XENMEM_DECREASE_RESERVATION | op::XENMEM_POPULATE_PHYSMAP | op::XENMEM_INCREASE_RESERVATION => {
            return reservation::change(hypervisor, local, call, (operation, start));
        }
        _ => {}
    }
    let current = local.caller()?;
    let argument = call.argument(1);
    match operation {
        op::XENMEM_MAXIMUM_RAM_PAGE
        | op::XENMEM_CURRENT_RESERVATION
        | op::XENMEM_MAXIMUM_RESERVATION
        | op::XENMEM_MAXIMUM_GPFN => {
            if start != 0 {
                return Err(Errno::Inval);
            }
            number(hypervisor, current, operation, argument)
        }
        op::XENMEM_ADD_TO_PHYSMAP => physmap::add(hypervisor, local, call, start),
        op::XENMEM_ADD_TO_PHYSMAP_BATCH => physmap::add_batch(hypervisor, local, call, start),
        op::XENMEM_REMOVE_FROM_PHYSMAP => physmap::remove(hypervisor, current, start, Handle::new(argument)),
        op::XENMEM_ACQUIRE_RESOURCE => physmap::acquire_resource(hypervisor, local, call, start),
        op::XENMEM_EXCHANGE => reservation::exchange(hypervisor, current, Handle::new(argument)),
        op::XENMEM_CLAIM_PAGES => reservation::claim(hypervisor, current, start, Handle::new(argument)),
        // No two domains have a page in common without knowing.
        op::XENMEM_GET_SHARING_FREED_PAGES | op::XENMEM_GET_SHARING_SHARED_PAGES => Ok(0),
        op::XENMEM_GET_VNUMAINFO => {
            let handle: Handle<VnumaTopologyInfo> = Handle::new(argument);
            own_or_controlled(hypervisor, current.domain, hypervisor.read(current, handle)?.domid)?;
            Err(Errno::OpNotSupp)
        }
        op::XENMEM_RESERVED_DEVICE_MEMORY_MAP => no_reserved_memory(hypervisor, current, argument),
        _ => Err(Errno::NoSys),
    }
}

/// Comes back for the rest: `done` extents or items are done.
fn again(call: &mut Call, operation: u32, done: u64) -> Answer {
    if let Some(command) = call.arguments.first_mut() {
        *command = done << OPERATION_BITS | u64::from(operation);
    }
    Err(Errno::Restart)
}

/// The sub-operations that answer a number.
fn number<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    operation: u32,
    argument: u64,
) -> Answer {
    if operation == op::XENMEM_MAXIMUM_RAM_PAGE {
        let end = |range: plan::Range| range.base.saturating_add(range.size) / FRAME;
        return Ok(hypervisor.machine.frames().ranges().map(end).max().unwrap_or(0));
    }
    let handle: Handle<MemoryDomain> = Handle::new(argument);
    let domain = own_or_controlled(hypervisor, current.domain, hypervisor.read(current, handle)?.domid)?;
    Ok(match operation {
        op::XENMEM_CURRENT_RESERVATION => domain.frames.current(),
        op::XENMEM_MAXIMUM_RESERVATION => domain.frames.most(),
        _ => domain.top(),
    })
}

/// `XENMEM_reserved_device_memory_map`: no device needs memory at a certain place.
fn no_reserved_memory<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    argument: u64,
) -> Answer {
    let (flags, entries): (Handle<u32>, Handle<u32>) =
        (Handle::new(argument), Handle::new(argument.wrapping_add(4)));
    if hypervisor.read(current, flags)? & !RDM_ALL != 0 {
        return Err(Errno::Inval);
    }
    hypervisor.write(current, entries, &0)?;
    Ok(0)
}
