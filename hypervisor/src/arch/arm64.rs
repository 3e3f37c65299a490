//! What an Arm64 guest's trap means, and what is done about it.
//!
//! A trap is decoded by the model to an `Exit`; each kind has its function here or in a file below. What
//! a guest should not have done comes back to it as the exception that the architecture has for it; what
//! cannot come back ends the domain.

mod mmio;
mod psci;
mod system_register;

use machine::contract::Machine;
use model::arm64::exception;
use model::arm64::trap::{AbortReason, Exit};
use model::arm64::{Registers, Trap, VirtualTimer};

use crate::cpu::{Current, Local};
use crate::domain::End;
use crate::hypercall;
use crate::hypervisor::{Hypervisor, Level};
use crate::schedule::Leaving;
use crate::vcpu::Start;

/// EL1 with SP_EL1, and SError, IRQ and FIQ masked (`PSR_GUEST64_INIT` of `public/arch-arm.h`).
const FIRST_PSTATE: u64 = 0x1c5;
/// SCTLR_EL1 of a vCPU that starts: MMU and caches off (contract: as Xen sets it).
const FIRST_SCTLR: u64 = 0x00c5_0078;
/// HVC's immediate for Xen's hypercalls (`public/arch-arm.h`).
const XEN_HVC: u16 = 0xea1;

/// Registers of a vCPU that has never run.
pub fn reset_registers(index: usize, timer_offset: u64) -> Registers {
    let mut registers = Registers::default();
    registers.system.vmpidr_el2 = model::arm64::affinity::mpidr(index);
    registers.timer = VirtualTimer { offset: timer_offset, ..VirtualTimer::default() };
    registers
}

/// Sets a vCPU up to start; all but its identity and its clock is as after reset.
pub fn start(registers: &mut Registers, start: Start) {
    let (mpidr, offset) = (registers.system.vmpidr_el2, registers.timer.offset);
    registers.clear();
    registers.system.vmpidr_el2 = mpidr;
    registers.system.sctlr_el1 = FIRST_SCTLR;
    registers.timer.offset = offset;
    registers.pc = start.entry;
    registers.pstate = FIRST_PSTATE;
    registers.set_general(0, start.argument);
}

/// Acts on a trap of the loaded vCPU.
#[inline]
pub fn handle<'h, M: Machine>(hypervisor: &'h Hypervisor<M>, local: &mut Local<'h, M>, trap: Trap) {
    // What comes most, without looking at all that it could be.
    match trap.frequent() {
        Some(Exit::Hypercall { immediate: XEN_HVC }) => hypercall::handle(hypervisor, local),
        Some(Exit::Hypercall { immediate: 0 }) => psci::handle(hypervisor, local),
        Some(Exit::SystemRegister(access)) => system_register::handle(hypervisor, local, access),
        Some(Exit::Mmio(access)) => mmio::handle(hypervisor, local, access, trap.fault_address),
        Some(Exit::Wfi) => wait(hypervisor, local, trap.syndrome),
        _ => rare(hypervisor, local, &Trap { ..trap }),
    }
}

#[inline(never)]
fn wait<'h, M: Machine>(hypervisor: &'h Hypervisor<M>, local: &mut Local<'h, M>, syndrome: u64) {
    if let Some(current) = local.current.as_mut() {
        exception::advance(&mut current.state.registers, syndrome);
        hypervisor.wait_now(local);
    }
}

/// Acts on what comes less.
#[inline(never)]
fn rare<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, trap: &Trap) {
    let Some(current) = local.current.as_mut() else { return };
    match trap.decode() {
        Exit::Mmio(access) => mmio::handle(hypervisor, local, access, trap.fault_address),
        Exit::Wfe => {
            exception::advance(&mut current.state.registers, trap.syndrome);
            local.leave(Leaving::Yielding);
        }
        Exit::SecureCall { immediate: 0 } => {
            exception::advance(&mut current.state.registers, trap.syndrome);
            psci::handle(hypervisor, local);
        }
        Exit::Hypercall { .. } => {
            // The instruction is undefined for the guest, and the exception is taken at it.
            let pc = current.state.registers.pc;
            current.state.registers.pc = pc.wrapping_sub(4);
            raise(hypervisor, current, exception::undefined);
        }
        Exit::Interrupt => {}
        other => fault(hypervisor, local, trap, other),
    }
}

/// The rarer exits: all of them are a guest's fault.
fn fault<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, trap: &Trap, exit: Exit) {
    let Some(current) = local.current.as_mut() else { return };
    match exit {
        // A map was just being changed: the guest tries again.
        Exit::DataAbort { ipa, reason, .. } | Exit::InstructionAbort { ipa, reason }
            if was_passing(hypervisor, current, ipa, reason) => {}
        Exit::DataAbort { ipa, reason, write } => {
            let address = trap.fault_address;
            tell_abort(hypervisor, current, if write { "store to" } else { "load from" }, ipa, reason);
            raise(hypervisor, current, |registers| exception::data_abort(registers, address));
        }
        Exit::InstructionAbort { ipa, reason } => instruction_abort(hypervisor, local, trap, ipa, reason),
        Exit::SystemError { syndrome } => {
            end(hypervisor, local, format_args!("system error, syndrome {syndrome:#x}"));
        }
        Exit::Unexpected { class } => {
            end(hypervisor, local, format_args!("unexpected exception of class {class:#x}"));
        }
        _ => {
            raise(hypervisor, current, exception::undefined);
        }
    }
}

/// Was there nothing at the address for a moment only, because the domain's map was being changed?
fn was_passing<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    ipa: u64,
    reason: AbortReason,
) -> bool {
    match reason {
        AbortReason::Translation | AbortReason::NoSyndrome | AbortReason::CacheMaintenance => {
            hypervisor.machine.is_shown(&current.domain.map, ipa)
        }
        // Page tables have to be in memory.
        AbortReason::TableWalk => hypervisor.frame_at(current.domain, ipa).is_some(),
        _ => false,
    }
}

/// A fetch from where nothing is goes back to the guest, unless it was the guest's own vector that could
/// not be fetched: from there no guest ever returns.
fn instruction_abort<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    trap: &Trap,
    ipa: u64,
    reason: AbortReason,
) {
    const VECTORS: u64 = 0x800;
    let Some(current) = local.current.as_mut() else { return };
    hypervisor.machine.read_exception_registers(&mut current.state.registers);
    let base = current.state.registers.system.vbar_el1;
    let pc = current.state.registers.pc;
    if pc.wrapping_sub(base) < VECTORS {
        let words = reason.words();
        end(
            hypervisor,
            local,
            format_args!("its exception vectors at {pc:#x} cannot be fetched (IPA {ipa:#x}: {words})"),
        );
        return;
    }
    tell_abort(hypervisor, current, "fetch from", ipa, reason);
    let address = trap.fault_address;
    raise(hypervisor, current, |registers| exception::instruction_abort(registers, address));
}

/// Makes the loaded guest take an exception.
fn raise<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &mut Current<'_, M>,
    exception: impl FnOnce(&mut Registers),
) {
    let registers = &mut current.state.registers;
    hypervisor.machine.read_exception_registers(registers);
    exception(registers);
    hypervisor.machine.write_exception_registers(registers);
}

fn tell_abort<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    what: &str,
    ipa: u64,
    reason: AbortReason,
) {
    let (vcpu, pc) = (current.vcpu.index, current.state.registers.pc);
    let words = reason.words();
    hypervisor.say_of(
        current.domain,
        Level::Warning,
        format_args!("v{vcpu}: {what} IPA {ipa:#x} at pc {pc:#x}: {words}"),
    );
}

/// Ends the domain of the loaded vCPU for what it did.
fn end<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, why: core::fmt::Arguments<'_>) {
    let Some(current) = local.current.as_mut() else { return };
    let (vcpu, pc) = (current.vcpu.index, current.state.registers.pc);
    let why = format_args!(": v{vcpu}: {why}, pc {pc:#x}");
    hypervisor.finish_for(current.domain, End::Crash, local.index, why);
    local.leave(Leaving::Blocked);
}
