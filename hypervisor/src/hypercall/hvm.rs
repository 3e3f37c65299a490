//! hvm_op: the parameters by which a domain finds its console and its xenstore.
//!
//! Source: `public/hvm/hvm_op.h`, `public/hvm/params.h`.

use core::sync::atomic::Ordering;

use abi::errno::Errno;
use abi::hvm_op::{self, HvmParam};
use abi::hvm_params::HVM_PARAM_MONITOR_RING_PFN;
use abi::layout::Handle;
use machine::contract::Machine;

use super::{Answer, Call};
use crate::cpu::Local;
use crate::hypervisor::Hypervisor;

/// `HYPERVISOR_hvm_op(op, argument)`.
///
/// # Errors
/// `ESRCH` for a domain that is not there or has no parameters, `EPERM`, `EINVAL` for a parameter that is not
/// there, `EFAULT`.
#[inline(never)]
pub(super) fn hvm_op<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let current = local.caller()?;
    if current.domain.pv.is_none() {
        return Err(Errno::NoSys);
    }
    let set = match call.word(0) {
        hvm_op::HVMOP_SET_PARAM => true,
        hvm_op::HVMOP_GET_PARAM => false,
        hvm_op::HVMOP_GUEST_REQUEST_VM_EVENT => return Err(Errno::Inval),
        _ => return Err(Errno::NoSys),
    };
    let handle: Handle<HvmParam> = Handle::new(call.argument(1));
    let mut parameter = hypervisor.read(current, handle)?;
    if parameter.index >= abi::hvm_params::HVM_NR_PARAMS {
        return Err(Errno::Inval);
    }
    let caller = current.domain;
    let target = super::own_or_controlled(hypervisor, caller, parameter.domid)?;
    if parameter.index == HVM_PARAM_MONITOR_RING_PFN && !caller.is_control() {
        return Err(Errno::Perm);
    }
    let pv = target.pv.as_ref().ok_or(Errno::Srch)?;
    let place = pv.parameter(parameter.index).ok_or(Errno::Inval)?;
    if set {
        // A domain's own parameters are told to it, not by it.
        if !caller.is_control() {
            return Err(Errno::Perm);
        }
        place.store(parameter.value, Ordering::Release);
    } else {
        parameter.value = place.load(Ordering::Acquire);
        hypervisor.write(current, handle, &parameter)?;
    }
    Ok(0)
}
