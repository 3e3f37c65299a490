//! grant_table_op: mapping, unmapping and copying what domains grant, and the table itself.
//!
//! Most operations are lists. Each element is read, served and given its result before the next, and judged for
//! itself: nothing that was found right for one counts for another. A long list is left for the guest to come
//! back with what remains of it.
//!
//! Source: `public/grant_table.h`; what is refused, and how, was seen on 4.17.

mod caches;
mod copy;
mod mapping;
mod table;

use abi::errno::Errno;
use abi::grant_table as grant;
use abi::layout::{Handle, Layout};
use machine::contract::Machine;

use super::{Answer, Call};
use crate::cpu::{Current, Local};
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;

/// Elements between two looks at what else there is to do.
const AT_A_STRETCH: u32 = 16;
/// Bits of the command that say what to do. Those above are a continuation's, and no business of guests.
const COMMAND: u32 = 0xf_ffff;

/// `HYPERVISOR_grant_table_op(cmd, list, count)`.
///
/// # Errors
/// `ENOSYS` for an unknown sub-operation, `EINVAL` for a count that is negative or not one where it must be;
/// others where the sub-operation says so.
#[inline(never)]
pub(super) fn grant_table_op<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let command = call.word(0);
    let negative = i32::try_from(call.word(2)).is_err();
    if negative || (command & COMMAND != command && command & COMMAND != grant::GNTTABOP_CACHE_FLUSH) {
        return Err(Errno::Inval);
    }
    match command & COMMAND {
        grant::GNTTABOP_MAP_GRANT_REF => each::<_, _, 16>(hypervisor, local, call, mapping::map),
        grant::GNTTABOP_UNMAP_GRANT_REF => each::<_, _, 16>(hypervisor, local, call, mapping::unmap),
        grant::GNTTABOP_UNMAP_AND_REPLACE => each::<_, _, 0>(hypervisor, local, call, mapping::replace),
        grant::GNTTABOP_COPY => each::<_, _, 32>(hypervisor, local, call, copy::copy),
        grant::GNTTABOP_SWAP_GRANT_REF => each::<_, _, 0>(hypervisor, local, call, table::swap),
        grant::GNTTABOP_CACHE_FLUSH => each::<_, _, 0>(hypervisor, local, call, caches::flush),
        grant::GNTTABOP_QUERY_SIZE => one(hypervisor, local, call, table::query_size),
        grant::GNTTABOP_SETUP_TABLE => one(hypervisor, local, call, table::setup),
        grant::GNTTABOP_GET_STATUS_FRAMES => one(hypervisor, local, call, table::status_frames),
        grant::GNTTABOP_SET_VERSION => table::set_version(hypervisor, local, call),
        grant::GNTTABOP_GET_VERSION => table::get_version(hypervisor, local, call),
        grant::GNTTABOP_TRANSFER => Err(Errno::OpNotSupp),
        _ => Err(Errno::NoSys),
    }
}

/// Serves a list. `ANSWER` says where the answer begins in an element that is worth its own copies from and to the guest;
/// 0 for all others.
#[inline(always)]
fn each<M: Machine, T: Layout, const ANSWER: usize>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    call: &mut Call,
    serve: impl Fn(&Hypervisor<M>, &Current<'_, M>, &mut T) -> Result<(), Errno> + Copy,
) -> Answer {
    let list = Handle::new(call.argument(1));
    if ANSWER != 0 && call.word(2) == 1 {
        return element::<_, _, ANSWER>(hypervisor, local, list, serve);
    }
    each_of::<_, _, ANSWER>(hypervisor, local, (call, list), serve)
}

/// Serves a list that may have any length.
#[inline(never)]
fn each_of<M: Machine, T: Layout, const ANSWER: usize>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    (call, list): (&mut Call, Handle<T>),
    serve: impl Fn(&Hypervisor<M>, &Current<'_, M>, &mut T) -> Result<(), Errno> + Copy,
) -> Answer {
    let count = call.word(2);
    for done in 0..count {
        let place = list.element(u64::from(done)).ok_or(Errno::Fault)?;
        if done >= AT_A_STRETCH || (done > 0 && hypervisor.must_look(local)) {
            let left = u64::from(count.saturating_sub(done));
            let [command, _, _, third, fourth] = call.arguments;
            call.arguments = [command, place.address(), left, third, fourth];
            return Err(Errno::Restart);
        }
        element::<_, _, ANSWER>(hypervisor, local, place, serve)?;
    }
    Ok(0)
}

/// Serves an element of a list: a function of its own for each kind, so that none pays for another's variables.
#[inline(never)]
fn element<M: Machine, T: Layout, const ANSWER: usize>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    place: Handle<T>,
    serve: impl Fn(&Hypervisor<M>, &Current<'_, M>, &mut T) -> Result<(), Errno> + Copy,
) -> Answer {
    let current = local.caller()?;
    if ANSWER == 0 {
        let mut order = hypervisor.read(current, place)?;
        serve(hypervisor, current, &mut order)?;
        hypervisor.write(current, place, &order)?;
    } else {
        let mut order = hypervisor.read_often(current, place)?;
        serve(hypervisor, current, &mut order)?;
        hypervisor.write_from::<T, ANSWER>(current, place, &order)?;
    }
    Ok(0)
}

/// Serves what is no list.
///
/// # Errors
/// `EINVAL` where the guest says that it is one.
#[inline(never)]
fn one<M: Machine, T: Layout>(
    hypervisor: &Hypervisor<M>,
    local: &Local<'_, M>,
    call: &Call,
    serve: impl Fn(&Hypervisor<M>, &Current<'_, M>, &mut T) -> Result<(), Errno> + Copy,
) -> Answer {
    if call.word(2) != 1 {
        return Err(Errno::Inval);
    }
    let current = local.caller()?;
    let place: Handle<T> = Handle::new(call.argument(1));
    let mut order = hypervisor.read(current, place)?;
    serve(hypervisor, current, &mut order)?;
    hypervisor.write(current, place, &order)?;
    Ok(0)
}

/// The status of a result.
fn status(result: Result<(), i16>) -> i16 {
    result.err().unwrap_or(grant::GNTST_OKAY)
}

/// A domain whose grants the caller may reach for, by its id: `DOMID_SELF` is none here.
///
/// # Errors
/// `GNTST_bad_domain`, `GNTST_permission_denied`.
fn granter<'h, M: Machine>(
    hypervisor: &'h Hypervisor<M>,
    caller: &Domain<M>,
    id: u16,
) -> Result<&'h Domain<M>, i16> {
    let domain = hypervisor.domain_of(id).ok_or(grant::GNTST_BAD_DOMAIN)?;
    hypervisor.may_talk(caller, domain).map_err(|_| grant::GNTST_PERMISSION_DENIED)?;
    Ok(domain)
}

/// A domain whose table the caller asks for: its own, or any for the control domain.
///
/// # Errors
/// `GNTST_bad_domain`, `GNTST_permission_denied`.
fn table_of<'h, M: Machine>(
    hypervisor: &'h Hypervisor<M>,
    caller: &'h Domain<M>,
    id: u16,
) -> Result<&'h Domain<M>, i16> {
    super::own_or_controlled(hypervisor, caller, id).map_err(|error| match error {
        Errno::Perm => grant::GNTST_PERMISSION_DENIED,
        _ => grant::GNTST_BAD_DOMAIN,
    })
}
