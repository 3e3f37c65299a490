//! multicall: a list of calls for one entry into the hypervisor.
//!
//! Each entry is read, served, and given its result before the next. A page of the caller's own that it lies in is
//! looked up once, and held until the list leaves it or comes to an entry that may change the caller's map: the result
//! of that one goes where the map then says. Whatever another vCPU does meanwhile, such a page is nobody else's as long
//! as it is held. Where the page is another domain's, which may get it back at any time, each entry and each result is
//! looked up. An entry that has more to do writes back its changed arguments; the list then goes on with it when the
//! guest comes again.

use abi::errno::Errno;
use abi::hypercall as number;
use abi::layout::{Handle, Layout};
use abi::xen::MulticallEntry;
use machine::contract::Machine;
use machine::frames::{FRAME_BYTES, FRAME_SIZE, GuestFrame};

use super::{Answer, Call};
use crate::cpu::{Current, Local};
use crate::hypervisor::Hypervisor;

/// The last place in a page where an entry is not in two.
const LAST: usize = FRAME_BYTES.saturating_sub(MulticallEntry::SIZE);
/// Where the result is in an entry.
const RESULT: usize = 8;
/// The same, as a distance of addresses.
const RESULT_BYTES: u64 = 8;
/// Entries between two looks at what else there is to do.
const AT_A_STRETCH: u32 = 16;

/// `HYPERVISOR_multicall(list, count)`.
///
/// # Errors
/// `EFAULT` for an entry that cannot be read or given its result; `ERESTART` inside.
#[inline(never)]
pub(super) fn multicall<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let list: Handle<MulticallEntry> = Handle::new(call.argument(0));
    let (count, mut done) = (call.word(1), 0);
    while done < count {
        let entry = list.element(u64::from(done)).ok_or(Errno::Fault)?;
        let served = match hold(hypervisor, local.caller()?, entry.address()) {
            Some(page) => in_page(hypervisor, local, page, (&mut done, count), list),
            None => one(hypervisor, local, entry).map(|()| done = done.saturating_add(1)),
        };
        if served == Err(Errno::Restart)
            || served.is_ok() && done < count && is_to_pause(hypervisor, local, done)
        {
            let next = list.element(u64::from(done)).ok_or(Errno::Fault)?;
            let [_, _, c, d, e] = call.arguments;
            call.arguments = [next.address(), u64::from(count.saturating_sub(done)), c, d, e];
            return Err(Errno::Restart);
        }
        served?;
    }
    Ok(0)
}

/// Whether the caller has to come again for what is left.
#[inline]
fn is_to_pause<M: Machine>(hypervisor: &Hypervisor<M>, local: &Local<'_, M>, done: u32) -> bool {
    done >= AT_A_STRETCH || hypervisor.must_look(local)
}

/// The page of an entry, and where in it the entry is; `None` where two pages have it, or none of the caller's own does
/// that it could write.
fn hold<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    address: u64,
) -> Option<(GuestFrame, usize)> {
    let offset = usize::try_from(address & (FRAME_SIZE - 1)).ok().filter(|offset| *offset <= LAST)?;
    let frame = hypervisor.machine.hold_guest(&current.state.registers, &current.domain.map, address)?;
    Some((frame, offset))
}

/// Serves the entries that a page has, until it has no more, or until one has been served that may take it from the
/// caller, or it is time to look what else there is to do.
#[inline]
fn in_page<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    (frame, mut at): (GuestFrame, usize),
    (done, count): (&mut u32, u32),
    list: Handle<MulticallEntry>,
) -> Result<(), Errno> {
    let machine = &hypervisor.machine;
    loop {
        let mut bytes = MulticallEntry::zeroed();
        machine.read_frame(&frame, at, &mut bytes);
        let mut entry = MulticallEntry::from_bytes(&bytes);
        // Memory and grant operations change the caller's map.
        if matches!(entry.op, number::MEMORY_OP | number::GRANT_TABLE_OP) {
            drop(frame);
            one(hypervisor, local, list.element(u64::from(*done)).ok_or(Errno::Fault)?)?;
            *done = done.wrapping_add(1);
            return Ok(());
        }
        if serve(hypervisor, local, &mut entry) == Err(Errno::Restart) {
            machine.write_frame(&frame, at, &entry.to_bytes());
            return Err(Errno::Restart);
        }
        machine.write_frame(&frame, at.wrapping_add(RESULT), &entry.result.to_le_bytes());
        *done = done.wrapping_add(1);
        at = at.wrapping_add(MulticallEntry::SIZE);
        if *done >= count || at > LAST || is_to_pause(hypervisor, local, *done) {
            return Ok(());
        }
    }
}

/// Serves an entry that two pages have, or one of another domain's, or whose page it may take away.
#[cold]
#[inline(never)]
fn one<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    handle: Handle<MulticallEntry>,
) -> Result<(), Errno> {
    let mut entry = hypervisor.read(local.caller()?, handle)?;
    if serve(hypervisor, local, &mut entry) == Err(Errno::Restart) {
        hypervisor.write(local.caller()?, handle, &entry)?;
        return Err(Errno::Restart);
    }
    let result: Handle<u64> = Handle::new(handle.address().wrapping_add(RESULT_BYTES));
    hypervisor.write(local.caller()?, result, &entry.result)
}

/// Serves an entry, which then has its result: only that is for the guest, who finds its arguments as they were.
///
/// # Errors
/// `ERESTART` for one that has more to do: its arguments say what.
#[inline]
fn serve<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    entry: &mut MulticallEntry,
) -> Result<(), Errno> {
    let [a0, a1, a2, a3, a4, last] = entry.args;
    let mut inner = Call { arguments: [a0, a1, a2, a3, a4] };
    let answer = match entry.op {
        number::MULTICALL => Err(Errno::Inval),
        op => super::serve(hypervisor, local, op, &mut inner),
    };
    entry.result = match answer {
        Ok(value) => value,
        Err(Errno::Restart) => {
            let [a0, a1, a2, a3, a4] = inner.arguments;
            entry.args = [a0, a1, a2, a3, a4, last];
            return Err(Errno::Restart);
        }
        Err(error) => error.result(),
    };
    Ok(())
}
