//! Calls of firmware: the guest's PSCI is ours, and none of it reaches the board's.

use core::sync::atomic::Ordering;

use machine::contract::Machine;
use model::arm64::psci::{self, Call, CpuOn};
use model::arm64::{Registers, affinity};

use crate::cpu::{Current, Local};
use crate::domain::End;
use crate::hypervisor::Hypervisor;
use crate::schedule::Leaving;
use crate::vcpu::Start;

/// Serves the call of the loaded vCPU; the instruction lies behind it already.
#[inline]
pub(super) fn handle<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>) {
    let Some(current) = local.current.as_mut() else { return };
    let registers = &mut current.state.registers;
    let arguments = [0, 1, 2, 3].map(|number| registers.general(number));
    match psci::decode(&arguments) {
        Call::Version => registers.set_general(0, psci::PSCI_VERSION),
        Call::CpuSuspend => {
            registers.set_general(0, 0);
            hypervisor.wait(local);
        }
        Call::CpuOff => off(hypervisor, local),
        Call::CpuOn(order) => {
            let answer = on(hypervisor, current, local.index, order);
            current.state.registers.set_general(0, answer.cast_unsigned());
        }
        Call::AffinityInfo { target, level } => {
            let answer = affinity_info(hypervisor, current, target, level);
            current.state.registers.set_general(0, answer);
        }
        Call::SystemOff => end(hypervisor, local, End::PowerOff),
        Call::SystemReset => end(hypervisor, local, End::Reboot),
        other => say(registers, other),
    }
}

/// The calls that only ask.
fn say(registers: &mut Registers, call: Call) {
    let answer = match call {
        Call::MigrateInfoType => psci::MIGRATE_NOT_REQUIRED,
        Call::Features { function } => psci::features(function).cast_unsigned(),
        Call::SmcccVersion => psci::SMCCC_VERSION,
        Call::ArchFeatures { function } => psci::Workarounds::UNKNOWN.features(function).cast_unsigned(),
        Call::Workaround1 | Call::Workaround2 { .. } | Call::Workaround3 => return,
        Call::HypervisorCallCount => psci::HYPERVISOR_CALL_COUNT,
        Call::StandardCallCount => psci::STANDARD_CALL_COUNT,
        Call::HypervisorUid => return several(registers, &psci::HYPERVISOR_UID),
        Call::StandardUid => return several(registers, &psci::STANDARD_UID),
        Call::HypervisorRevision => return several(registers, &psci::HYPERVISOR_REVISION),
        Call::StandardRevision => return several(registers, &psci::STANDARD_REVISION),
        _ => psci::UNKNOWN_FUNCTION,
    };
    registers.set_general(0, answer);
}

fn several(registers: &mut Registers, values: &[u64]) {
    for (number, value) in (0_u8..).zip(values) {
        registers.set_general(number, *value);
    }
}

fn end<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, end: End) {
    let Some(current) = &local.current else { return };
    hypervisor.finish(current.domain, end, local.index);
    local.leave(Leaving::Blocked);
}

/// CPU_OFF. A domain whose last vCPU is off can never run again: it has powered off.
fn off<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>) {
    let Some(current) = &local.current else { return };
    current.vcpu.power.switch_off();
    if current.domain.online.fetch_sub(1, Ordering::AcqRel) == 1 {
        hypervisor.finish(current.domain, End::PowerOff, local.index);
    }
    local.leave(Leaving::Blocked);
}

fn on<M: Machine>(hypervisor: &Hypervisor<M>, current: &Current<'_, M>, cpu: usize, order: CpuOn) -> i64 {
    let index = match order.vcpu(current.domain.vcpus.len()) {
        Ok(index) => index,
        Err(error) => return error,
    };
    let Some(vcpu) = hypervisor.vcpu_of(current.domain, index) else { return psci::INVALID_PARAMETERS };
    if !vcpu.power.switch_on(Start { entry: order.entry, argument: order.context }) {
        return psci::ALREADY_ON;
    }
    current.domain.online.fetch_add(1, Ordering::AcqRel);
    hypervisor.make_runnable(vcpu, cpu);
    psci::SUCCESS
}

fn affinity_info<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    target: u64,
    level: u64,
) -> u64 {
    let vcpu = affinity::vcpu(target, current.domain.vcpus.len());
    match vcpu.and_then(|index| hypervisor.vcpu_of(current.domain, index)) {
        Some(vcpu) if level == 0 && vcpu.power.is_off() => psci::AFFINITY_OFF,
        Some(_) if level == 0 => psci::AFFINITY_ON,
        _ => psci::INVALID_PARAMETERS.cast_unsigned(),
    }
}
