//! platform_op: the machine's clock, which dom0 sets. The rest of it is for another architecture.
//!
//! Source: `public/platform.h`; what is refused, and how, was seen on 4.17.

use abi::errno::Errno;
use abi::layout::{Field, Handle};
use abi::platform::{PlatformOp, Settime64, XENPF_INTERFACE_VERSION, XENPF_SETTIME64};
use machine::contract::Machine;

use super::{Answer, Call};
use crate::cpu::Local;
use crate::hypervisor::Hypervisor;

const NANOSECONDS: u64 = 1_000_000_000;

/// `HYPERVISOR_platform_op(op)`.
///
/// # Errors
/// `EACCES` for another version of the interface, `EPERM` for everybody but dom0, `ENOSYS` for what there is
/// not, `EINVAL`.
#[inline(never)]
pub(super) fn platform_op<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let current = local.caller()?;
    let handle: Handle<PlatformOp> = Handle::new(call.argument(0));
    let order = hypervisor.read(current, handle)?;
    if order.interface_version != XENPF_INTERFACE_VERSION {
        return Err(Errno::Acces);
    }
    if !current.domain.is_control() {
        return Err(Errno::Perm);
    }
    if order.cmd != XENPF_SETTIME64 {
        return Err(Errno::NoSys);
    }
    let time = Settime64::load(&order.u);
    if time.mbz != 0 {
        return Err(Errno::Inval);
    }
    // The time when system time was zero.
    let now = time.secs.checked_mul(NANOSECONDS).and_then(|now| now.checked_add(u64::from(time.nsecs)));
    let start = now.and_then(|now| now.checked_sub(time.system_time)).ok_or(Errno::Inval)?;
    hypervisor.set_wall_clock(start);
    Ok(0)
}
