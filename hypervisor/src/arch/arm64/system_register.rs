//! Trapped system registers.

use machine::contract::Machine;
use model::arm64::SystemRegisterAccess;
use model::arm64::exception;
use model::arm64::gic::Raise;
use model::arm64::system_register::{Emulation, SgiGroup, classify};
use model::arm64::timer::TimerRegister;

use crate::cpu::Local;
use crate::hypervisor::{Hypervisor, Level};

/// ICC_SRE_EL1 of a guest: system registers on, no bypass.
const SYSTEM_REGISTERS_ONLY: u64 = 7;

/// Emulates the access.
#[inline]
pub(super) fn handle<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    access: SystemRegisterAccess,
) {
    let Some(current) = local.current.as_mut() else { return };
    let registers = &mut current.state.registers;
    match classify(access.register(), access.write()) {
        Emulation::Identity => {
            registers.set_general(access.target(), hypervisor.identity.value(access.register()));
            exception::advance(registers, access.0);
            return;
        }
        Emulation::ReadAsZeroWriteIgnored if !access.write() => registers.set_general(access.target(), 0),
        // Caches are maintained by address where it matters; by set and way nothing is promised.
        Emulation::ReadAsZeroWriteIgnored | Emulation::WriteIgnored | Emulation::SetWay => {}
        Emulation::ReadValue(value) => registers.set_general(access.target(), value),
        Emulation::PhysicalTimer(register) => timer(hypervisor, local, access, register),
        Emulation::Sgi(group) if hypervisor.gic_v3 => send(hypervisor, local, access, group),
        Emulation::InterruptSystemRegisterEnable if hypervisor.gic_v3 => {
            if !access.write() {
                registers.set_general(access.target(), SYSTEM_REGISTERS_ONLY);
            }
        }
        Emulation::Sgi(_) | Emulation::InterruptSystemRegisterEnable | Emulation::Undefined => {
            let pc = registers.pc;
            let (register, what) = (access.register(), if access.write() { "write to" } else { "read of" });
            hypervisor.say_of(
                current.domain,
                Level::Debug,
                format_args!("{what} system register {register} at pc {pc:#x}: undefined"),
            );
            super::raise(hypervisor, current, exception::undefined);
            return;
        }
    }
    if let Some(current) = local.current.as_mut() {
        exception::advance(&mut current.state.registers, access.0);
    }
}

fn timer<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    access: SystemRegisterAccess,
    register: TimerRegister,
) {
    let Some(current) = local.current.as_mut() else { return };
    let now = hypervisor.machine.now();
    let state = &mut *current.state;
    if access.write() {
        let value = state.registers.general(access.target());
        state.physical_timer.write(register, value, now);
        local.rearm();
        hypervisor.update_physical_timer(local, now);
    } else {
        let value = state.physical_timer.read(register, now);
        state.registers.set_general(access.target(), value);
    }
}

fn send<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    access: SystemRegisterAccess,
    group: SgiGroup,
) {
    let Some(current) = local.current.as_ref() else { return };
    let value = current.state.registers.general(access.target());
    hypervisor.raise_here(local, Raise::Sgi(value, group));
}
