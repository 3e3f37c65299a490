//! Loads and stores where a device stands, or nothing.

use machine::contract::Machine;
use model::arm64::exception;
use model::arm64::gic::{Attention, Gic, Place};
use model::arm64::{MmioAccess, Trap};

use crate::cpu::{Current, Local};
use crate::hypervisor::{Hypervisor, Level};

/// Bytes of the distributor's window: GICv2 and GICv3.
const DISTRIBUTOR: u64 = 0x1_0000;
/// Bytes of one redistributor.
const REDISTRIBUTOR: u64 = 0x2_0000;
/// Bytes of the UART's window.
const UART: u64 = 0x1000;

/// Finds whose address it is and lets that device answer.
#[inline]
pub(super) fn handle<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    trap: &Trap,
    access: MmioAccess,
) {
    let Some(current) = local.current.as_mut() else { return };
    let layout = &current.domain.layout;
    let in_uart = access.ipa.wrapping_sub(layout.uart);
    if in_uart < UART && current.domain.has_uart {
        uart(hypervisor, local, access, in_uart);
        step(local, trap);
    } else if let Some((place, offset)) = controller(current, access.ipa, hypervisor.gic_v3) {
        interrupts(hypervisor, local, access, place, offset);
        step(local, trap);
    } else if !hypervisor.machine.is_shown(&current.domain.map, access.ipa) {
        // Where there is something by now, a map was just being changed: the guest tries again.
        nothing_there(hypervisor, current, trap, access);
    }
}

/// The access is done: on to the next instruction.
#[inline]
fn step<M: Machine>(local: &mut Local<'_, M>, trap: &Trap) {
    if let Some(current) = local.current.as_mut() {
        exception::advance(&mut current.state.registers, trap);
    }
}

/// The part of the interrupt controller at this address, and the offset in it.
fn controller<M: Machine>(current: &Current<'_, M>, ipa: u64, gic_v3: bool) -> Option<(Place, u64)> {
    let layout = &current.domain.layout;
    let offset = ipa.wrapping_sub(layout.distributor);
    // A GICv2 distributor is one page; behind it, at the guest's address, comes its CPU interface.
    if offset < DISTRIBUTOR.min(layout.cpu_interface.wrapping_sub(layout.distributor)) {
        return Some((Place::Distributor, offset));
    }
    if !gic_v3 {
        return None;
    }
    let offset = ipa.wrapping_sub(layout.cpu_interface);
    let vcpu = usize::try_from(offset >> 17).ok()?;
    if vcpu >= current.domain.vcpus.len() {
        return None;
    }
    Some((Place::Redistributor(vcpu), offset & REDISTRIBUTOR.wrapping_sub(1)))
}

fn interrupts<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    access: MmioAccess,
    place: Place,
    offset: u64,
) {
    let Some(current) = local.current.as_mut() else { return };
    let (index, domain) = (current.vcpu.index, current.domain);
    let state = &mut *current.state;
    let fold = Gic::wants_fold(place, offset);
    if fold {
        hypervisor.machine.read_lists(&mut state.registers);
    }
    let (mut attention, mut stale) = (Attention::NONE, false);
    let known = {
        let mut interrupts = domain.interrupts.lock();
        if fold {
            attention |= interrupts.fold(index, &mut state.registers.lists);
        }
        let known = if access.write {
            let value = access.value(&state.registers);
            let outcome = interrupts.write(index, place, offset, (access.size, value));
            attention |= outcome.attention;
            outcome.known
        } else {
            let answer = interrupts.read(index, place, offset, access.size);
            access.complete(&mut state.registers, answer.value);
            answer.known
        };
        if interrupts.needs_refill(index) {
            if !fold {
                hypervisor.machine.read_lists(&mut state.registers);
            }
            attention |= interrupts.refill(index, &mut state.registers.lists);
            stale = true;
        }
        known
    };
    if stale {
        hypervisor.machine.write_lists(&state.registers);
        hypervisor.note_timer(current);
        hypervisor.release_physical(current, local.index);
    }
    if !known {
        unknown_register(hypervisor, current, access, offset);
    }
    let others = attention.without(index);
    if !others.is_empty() {
        hypervisor.notify(domain, others, local.index);
    }
}

/// The register does not exist, or not in this width. It read as zero, or nothing was written.
fn unknown_register<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    access: MmioAccess,
    offset: u64,
) {
    let what = if access.write { "write to" } else { "read of" };
    let (vcpu, bytes) = (current.vcpu.index, access.size.bytes());
    hypervisor.say_of(
        current.domain,
        Level::Debug,
        format_args!("v{vcpu}: {what} interrupt controller register {offset:#x}, {bytes} bytes: ignored"),
    );
}

fn uart<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, access: MmioAccess, offset: u64) {
    let Some(current) = local.current.as_mut() else { return };
    let domain = current.domain;
    let Some(console) = &domain.console else { return };
    let registers = &mut current.state.registers;
    let attention = {
        let mut console = console.lock();
        let before = console.uart.output();
        if access.write {
            let byte = console.uart.write(offset, access.size, access.value(registers));
            if let Some(byte) = byte {
                hypervisor.console().transmit(&hypervisor.machine, &mut console, byte);
            }
        } else {
            let value = console.uart.read(offset, access.size);
            access.complete(registers, value);
            console.feed();
        }
        if before == console.uart.output() {
            return;
        }
        hypervisor.set_uart_line(domain, &console)
    };
    hypervisor.notify(domain, attention, local.index);
}

fn nothing_there<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &mut Current<'_, M>,
    trap: &Trap,
    access: MmioAccess,
) {
    let (vcpu, pc, ipa) = (current.vcpu.index, current.state.registers.pc, access.ipa);
    let what = if access.write { "store to" } else { "load from" };
    hypervisor.say_of(
        current.domain,
        Level::Warning,
        format_args!("v{vcpu}: {what} IPA {ipa:#x} at pc {pc:#x}: nothing is there"),
    );
    let address = trap.fault_address;
    super::raise(hypervisor, current, |registers| exception::data_abort(registers, address));
}
