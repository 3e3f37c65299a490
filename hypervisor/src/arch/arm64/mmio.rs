//! Loads and stores where a device stands, or nothing.

use machine::contract::Machine;
use model::arm64::exception;
use model::arm64::gic::{Attention, Gic, Place};
use model::arm64::{MmioAccess, uart};

use crate::cpu::{Current, Local};
use crate::hypervisor::{Hypervisor, Level};

/// Bytes of the distributor's window: GICv2 and GICv3.
const DISTRIBUTOR: u64 = 0x1_0000;
/// Bytes of one redistributor.
const REDISTRIBUTOR: u64 = 0x2_0000;
/// Bytes of the UART's window.
const UART: u64 = 0x1000;

/// Finds whose address it is and lets that device answer. `address` is the guest's own.
#[inline(always)]
pub(super) fn handle<M: Machine>(
    hypervisor: &Hypervisor<M>,
    local: &mut Local<'_, M>,
    access: MmioAccess,
    address: u64,
) {
    let Some(current) = local.current.as_mut() else { return };
    let in_uart = access.ipa.wrapping_sub(current.domain.layout.uart);
    if in_uart < UART && current.domain.has_uart {
        serial(hypervisor, local, access, in_uart);
    } else if let Some((place, offset)) = controller(current, access.ipa, hypervisor.gic_v3) {
        if access.write() || Gic::wants_fold(place, offset) {
            interrupts(hypervisor, local, access, place, offset);
        } else {
            look(hypervisor, current, access, place, offset);
        }
    } else if !hypervisor.machine.is_shown(&current.domain.map, access.ipa) {
        // Where there is something by now, a map was just being changed: the guest tries again.
        nothing_there(hypervisor, current, access, address);
    }
}

/// The part of the interrupt controller at this address, and the offset in it.
#[inline]
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

/// A load that changes nothing and has nothing to do with what is in list registers.
#[inline(never)]
fn look<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &mut Current<'_, M>,
    access: MmioAccess,
    place: Place,
    offset: u64,
) {
    exception::advance(&mut current.state.registers, access.syndrome);
    let answer = current.domain.interrupts.lock().read(current.vcpu.index, place, offset, access.size());
    access.complete(&mut current.state.registers, answer.value);
    if !answer.known {
        unknown_register(hypervisor, current, access, offset);
    }
}

#[inline(never)]
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
    exception::advance(&mut state.registers, access.syndrome);
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
        let known = if access.write() {
            let value = access.value(&state.registers);
            let outcome = interrupts.write(index, place, offset, (access.size(), value));
            attention |= outcome.attention;
            outcome.known
        } else {
            let answer = interrupts.read(index, place, offset, access.size());
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
#[cold]
fn unknown_register<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &Current<'_, M>,
    access: MmioAccess,
    offset: u64,
) {
    let what = if access.write() { "write to" } else { "read of" };
    let (vcpu, bytes) = (current.vcpu.index, access.size().bytes());
    hypervisor.say_of(
        current.domain,
        Level::Debug,
        format_args!("v{vcpu}: {what} interrupt controller register {offset:#x}, {bytes} bytes: ignored"),
    );
}

#[inline(never)]
fn serial<M: Machine>(hypervisor: &Hypervisor<M>, local: &mut Local<'_, M>, access: MmioAccess, offset: u64) {
    let Some(current) = local.current.as_mut() else { return };
    let domain = current.domain;
    let registers = &mut current.state.registers;
    exception::advance(registers, access.syndrome);
    let Some(console) = &domain.console else { return };
    let attention = {
        let mut console = console.lock();
        if !access.write() && offset != uart::DR {
            access.complete(registers, console.uart.read(offset, access.size()));
            return;
        }
        let before = console.uart.output();
        if access.write() {
            let byte = console.uart.write(offset, access.size(), access.value(registers));
            if let Some(byte) = byte {
                hypervisor.console().transmit(&hypervisor.machine, &mut console, byte);
            }
        } else {
            access.complete(registers, console.uart.read(offset, access.size()));
            console.feed();
        }
        if before == console.uart.output() {
            return;
        }
        hypervisor.set_uart_line(domain, &console)
    };
    hypervisor.notify(domain, attention, local.index);
}

#[inline(never)]
fn nothing_there<M: Machine>(
    hypervisor: &Hypervisor<M>,
    current: &mut Current<'_, M>,
    access: MmioAccess,
    address: u64,
) {
    let (vcpu, pc, ipa) = (current.vcpu.index, current.state.registers.pc, access.ipa);
    let what = if access.write() { "store to" } else { "load from" };
    hypervisor.say_of(
        current.domain,
        Level::Warning,
        format_args!("v{vcpu}: {what} IPA {ipa:#x} at pc {pc:#x}: nothing is there"),
    );
    super::raise(hypervisor, current, |registers| exception::data_abort(registers, address));
}
