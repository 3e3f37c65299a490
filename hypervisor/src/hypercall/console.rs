//! console_io: the hypervisor's console, for domains that have no other or are not ready to use it.

use abi::errno::Errno;
use abi::xen::{CONSOLEIO_READ, CONSOLEIO_WRITE};
use machine::contract::Machine;

use super::{Answer, Call};
use crate::cpu::Local;
use crate::hypervisor::Hypervisor;
use crate::schedule::Leaving;

/// Bytes that are copied at a time.
const PIECE: usize = 128;
/// Bytes that are taken before the guest is let in again.
const AT_A_STRETCH: u64 = 512;

/// `HYPERVISOR_console_io(cmd, count, buffer)`.
///
/// # Errors
/// `ENOSYS` for another command, `EFAULT`; `ERESTART` inside.
#[inline(never)]
pub(super) fn console_io<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    match call.word(0) {
        CONSOLEIO_WRITE => write(hypervisor, local, call),
        CONSOLEIO_READ => read(hypervisor, local, call),
        _ => Err(Errno::NoSys),
    }
}

/// Takes a guest's bytes; they appear as lines with its prefix.
fn write<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, call: &mut Call) -> Answer {
    let current = local.current.as_mut().ok_or(Errno::NoSys)?;
    let mut left = u64::from(call.word(1));
    let mut address = call.argument(2);
    let end = left.saturating_sub(AT_A_STRETCH);
    while left > end {
        let mut bytes = [0; PIECE];
        let count = usize::try_from(left.saturating_sub(end)).unwrap_or(PIECE).min(PIECE);
        let piece = bytes.get_mut(..count).ok_or(Errno::Fault)?;
        hypervisor.read_bytes(current, address, piece)?;
        let taken = hypervisor.write_console(current.domain, piece);
        let bytes = u64::try_from(taken).unwrap_or(0);
        address = address.wrapping_add(bytes);
        left = left.saturating_sub(bytes);
        if taken < count {
            // No room: others run while the wire carries on.
            local.leave(Leaving::Yielding);
            break;
        }
    }
    if left == 0 {
        return Ok(0);
    }
    call.arguments = [u64::from(CONSOLEIO_WRITE), left, address, call.argument(3), call.argument(4)];
    Err(Errno::Restart)
}

/// Gives the domain that is typed to what was typed; how many bytes.
fn read<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, call: &mut Call) -> Answer {
    let current = local.current.as_mut().ok_or(Errno::NoSys)?;
    if !current.domain.is_control() {
        return Ok(0);
    }
    let mut bytes = [0; PIECE];
    let room = usize::try_from(call.word(1)).unwrap_or(0).min(PIECE);
    let count = bytes.get_mut(..room).map_or(0, |bytes| hypervisor.read_console(current.domain, bytes));
    hypervisor.write_bytes(current, call.argument(2), bytes.get(..count).unwrap_or_default())?;
    Ok(u64::try_from(count).unwrap_or(0))
}
