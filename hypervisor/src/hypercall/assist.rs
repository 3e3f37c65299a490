//! vm_assist: how the hypervisor is to help. On Arm there is one way: a flag in runstate areas.

use core::sync::atomic::Ordering;

use abi::errno::Errno;
use abi::xen::{VMASST_CMD_DISABLE, VMASST_CMD_ENABLE, VMASST_TYPE_RUNSTATE_UPDATE_FLAG};
use machine::contract::Machine;

use super::{Answer, Call};
use crate::cpu::Local;
use crate::hypervisor::Hypervisor;

/// `HYPERVISOR_vm_assist(cmd, type)`.
///
/// # Errors
/// `EINVAL` for another type, `ENOSYS` for another command.
#[inline(never)]
pub(super) fn vm_assist<M: Machine>(_: &Hypervisor<M>, local: &mut Local<'_, M>, call: &mut Call) -> Answer {
    let current = local.caller()?;
    let pv = current.domain.pv.as_ref().ok_or(Errno::NoSys)?;
    if call.argument(1) != u64::from(VMASST_TYPE_RUNSTATE_UPDATE_FLAG) {
        return Err(Errno::Inval);
    }
    let on = match call.word(0) {
        VMASST_CMD_ENABLE => true,
        VMASST_CMD_DISABLE => false,
        _ => return Err(Errno::NoSys),
    };
    pv.runstate_update_flag.store(on, Ordering::Relaxed);
    Ok(0)
}
