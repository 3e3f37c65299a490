//! multicall: a list of calls for one entry into the hypervisor.
//!
//! Each entry is read, served, and given its result before the next. An entry that has more to do writes
//! back its changed arguments; the list then goes on with it when the guest comes again.

use abi::errno::Errno;
use abi::hypercall as number;
use abi::layout::{Handle, Layout};
use abi::xen::MulticallEntry;
use machine::contract::Machine;

use super::{Answer, Call};
use crate::cpu::Local;
use crate::hypervisor::Hypervisor;

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
    let count = call.word(1);
    for done in 0..count {
        let entry = list.element(u64::from(done)).ok_or(Errno::Fault)?;
        if done >= AT_A_STRETCH || (done > 0 && hypervisor.must_look(local)) {
            let left = u64::from(count.saturating_sub(done));
            call.arguments = [entry.address(), left, call.argument(2), call.argument(3), call.argument(4)];
            return Err(Errno::Restart);
        }
        one(hypervisor, local, entry).inspect_err(|error| {
            if *error == Errno::Restart {
                let left = u64::from(count.saturating_sub(done));
                call.arguments = [entry.address(), left, 0, 0, 0];
            }
        })?;
    }
    Ok(0)
}

/// Serves one entry.
fn one<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    handle: Handle<MulticallEntry>,
) -> Result<(), Errno> {
    let mut bytes = MulticallEntry::zeroed();
    hypervisor.read_bytes(local.caller()?, handle.address(), bytes.as_mut())?;
    let mut entry = MulticallEntry::from_bytes(&bytes);
    let [a0, a1, a2, a3, a4, _] = entry.args;
    let mut inner = Call { arguments: [a0, a1, a2, a3, a4] };
    let answer = if entry.op == number::MULTICALL {
        Err(Errno::Inval)
    } else {
        super::serve(hypervisor, local, entry.op, &mut inner)
    };
    let current = local.caller()?;
    match answer {
        Err(Errno::Restart) => {
            let [a0, a1, a2, a3, a4] = inner.arguments;
            entry.args = [a0, a1, a2, a3, a4, entry.args.last().copied().unwrap_or(0)];
            hypervisor.write(current, handle, &entry)?;
            return Err(Errno::Restart);
        }
        Ok(value) => entry.result = value,
        Err(error) => entry.result = error.result(),
    }
    // Only the result: the guest finds its arguments as they were.
    let result: Handle<u64> = Handle::new(handle.address().wrapping_add(8));
    hypervisor.write(current, result, &entry.result)
}
