//! vcpu_op: where a vCPU finds its events and its times. On Arm its power is PSCI's business.
//!
//! Source: `public/vcpu.h`; what is refused, and how, was seen on 4.17.

use abi::arch_arm::VCPU_INFO_SIZE;
use abi::errno::Errno;
use abi::layout::Handle;
use abi::vcpu::{
    VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA, VCPUOP_REGISTER_VCPU_INFO, VcpuRegisterRunstateMemoryArea,
    VcpuRegisterVcpuInfo,
};
use machine::contract::Machine;
use machine::frames::{FRAME_BYTES, FRAME_SIZE as FRAME, GuestFrame};
use machine::stage2::Kind;

use super::{Answer, Call};
use crate::cpu::{Current, Local};
use crate::event::delivery::{InfoPlace, News};
use crate::hypervisor::Hypervisor;
use crate::runstate::{AREA_BYTES, Area};
use crate::vcpu::Vcpu;

/// `HYPERVISOR_vcpu_op(cmd, vcpu, argument)`.
///
/// # Errors
/// `ENOENT` for a vCPU that is not there, `EINVAL` for what there is not on Arm; others where the
/// sub-operation says so.
#[inline(never)]
pub(super) fn vcpu_op<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    call: &mut Call,
) -> Answer {
    let cpu = local.index;
    let current = local.caller()?;
    let index = usize::try_from(call.word(1)).map_err(|_| Errno::NoEnt)?;
    let vcpu = hypervisor.vcpu_of(current.domain, index).ok_or(Errno::NoEnt)?;
    let argument = call.argument(2);
    match call.word(0) {
        VCPUOP_REGISTER_VCPU_INFO => register_info(hypervisor, current, (vcpu, cpu), Handle::new(argument)),
        VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA => {
            register_runstate(hypervisor, current, vcpu, Handle::new(argument))
        }
        _ => Err(Errno::Inval),
    }
}

/// Moves a vCPU's `vcpu_info` to a page of the guest's.
///
/// # Errors
/// `ENXIO` for an offset that is not aligned or leaves no room, `EINVAL` for a page that is no RAM of the
/// domain's own, or a vCPU that has chosen already or is another one that is on.
fn register_info<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    (vcpu, cpu): (&Vcpu, usize),
    handle: Handle<VcpuRegisterVcpuInfo>,
) -> Answer {
    let domain = current.domain;
    let pv = domain.pv.as_ref().ok_or(Errno::NoSys)?;
    let VcpuRegisterVcpuInfo { mfn, offset, .. } = hypervisor.read(current, handle)?;
    let offset = usize::try_from(offset).map_err(|_| Errno::NxIo)?;
    if offset > FRAME_BYTES.saturating_sub(VCPU_INFO_SIZE) || !offset.is_multiple_of(8) {
        return Err(Errno::NxIo);
    }
    // A vCPU that runs chooses for itself.
    if vcpu.index != current.vcpu.index && !vcpu.power.is_off() {
        return Err(Errno::Inval);
    }
    let frame = own_page(hypervisor, current, mfn)?;
    {
        let mut state = pv.events.lock();
        if state.delivery.is_placed(vcpu.index)
            || !state.delivery.place(&hypervisor.machine, vcpu.index, InfoPlace { frame, offset })
        {
            return Err(Errno::Inval);
        }
    }
    // What came before is looked at now.
    let news = News::Upcall(u16::try_from(vcpu.index).map_err(|_| Errno::Inval)?);
    hypervisor.tell(domain, news, cpu);
    Ok(0)
}

/// A handle of a page of the calling domain's own RAM, by its frame number.
///
/// # Errors
/// `EINVAL` where there is none.
pub(super) fn own_page<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    number: u64,
) -> Result<GuestFrame, Errno> {
    let ipa = number.checked_mul(FRAME).ok_or(Errno::Inval)?;
    match hypervisor.frame_at(current.domain, ipa) {
        Some((frame, Kind::Ram, true)) => Ok(frame),
        _ => Err(Errno::Inval),
    }
}

/// Keeps a copy of a vCPU's times at an address of the guest's; one that leads nowhere is no error, and gets
/// none.
fn register_runstate<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    vcpu: &Vcpu,
    handle: Handle<VcpuRegisterRunstateMemoryArea>,
) -> Answer {
    let pv = current.domain.pv.as_ref().ok_or(Errno::NoSys)?;
    let address = hypervisor.read(current, handle)?.addr;
    let area = area_at(hypervisor, current, address);
    let flagged = pv.wants_update_flag();
    // A former area's pages are given back when no lock is held.
    let mut former = area;
    {
        let mut runstate = vcpu.runstate.lock();
        runstate.swap_area(&mut former);
        runstate.publish(hypervisor, flagged);
    }
    drop(former);
    Ok(0)
}

fn area_at<M: Machine>(hypervisor: &Hypervisor<M>, current: &Current<'_, M>, address: u64) -> Option<Area> {
    let bytes = u64::try_from(AREA_BYTES).ok()?;
    let page = |address: u64| {
        let map = &current.domain.map;
        let ipa = hypervisor.machine.guest_address(&current.state.registers, map, address, true)?;
        own_page(hypervisor, current, ipa / FRAME).ok()
    };
    let offset = address % FRAME;
    let second = if offset.saturating_add(bytes) > FRAME {
        Some(page(address.checked_add(bytes)?.checked_sub(1)?)?)
    } else {
        None
    };
    Some(Area { first: (page(address)?, usize::try_from(offset).ok()?), second })
}
