//! Exceptions that the hypervisor raises in a guest, and the step over an instruction that it emulated.
//!
//! Source: Arm ARM, AArch64.TakeException and the descriptions of SPSR_EL1 and ESR_EL1. The target is
//! always EL1 in AArch64.

use super::Registers;
use crate::bits::bit;

/// SPSR.M, the whole of it: level, stack pointer, execution state.
const MODE: u64 = 0x1f;
/// EL1 with its own stack pointer.
const EL1H: u64 = 0b0_0101;
/// SPSR.M[4]: AArch32.
const AARCH32: u64 = 1 << 4;
/// D, A, I and F.
const MASKS: u64 = 0xf << 6;
/// SPSR.SSBS (AArch64).
const SSBS: u64 = 1 << 12;
/// SPSR.PAN.
const PAN: u64 = 1 << 22;
/// SPSR.DIT.
const DIT: u64 = 1 << 24;
/// N, Z, C and V.
const CONDITIONS: u64 = 0xf << 28;
/// SPSR.SS: software step.
const SOFTWARE_STEP: u64 = 1 << 21;
/// SPSR.BTYPE.
const BRANCH_TYPE: u64 = 3 << 10;
/// SCTLR_EL1.SPAN: an exception leaves PSTATE.PAN as it is.
const SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS: the value of PSTATE.SSBS after an exception.
const DSSBS: u64 = 1 << 44;
/// ESR.IL: always set for the exceptions raised here.
const LONG: u64 = 1 << 25;
/// Fault status: synchronous external abort, not on a table walk.
const EXTERNAL: u64 = 0x10;

/// The guest executed an undefined instruction (class 0).
pub fn undefined(registers: &mut Registers) {
    take(registers, LONG);
}

/// A load or store of the guest found nobody: external abort at this virtual address (FAR_EL2).
pub fn data_abort(registers: &mut Registers, fault_address: u64) {
    registers.system.far_el1 = fault_address;
    let class = if from_el0(registers) { 0x24 } else { 0x25 };
    take(registers, class << 26 | LONG | EXTERNAL);
}

/// An instruction fetch of the guest found nobody: external abort at this virtual address (FAR_EL2).
pub fn instruction_abort(registers: &mut Registers, fault_address: u64) {
    registers.system.far_el1 = fault_address;
    let class = if from_el0(registers) { 0x20 } else { 0x21 };
    take(registers, class << 26 | LONG | EXTERNAL);
}

/// Steps over the instruction that trapped with this syndrome (ESR_EL2), when it was emulated or is about to be.
#[inline]
pub fn advance(registers: &mut Registers, syndrome: u64) {
    if registers.pstate & AARCH32 == 0 {
        // An instruction of A64 has 4 bytes.
        registers.pc = registers.pc.wrapping_add(4);
        registers.pstate &= !(SOFTWARE_STEP | BRANCH_TYPE);
    } else {
        advance_aarch32(registers, syndrome);
    }
}

/// Moves the IT state of T32 on, too: IT[1:0] is in bits 26:25, IT[7:2] in bits 15:10.
#[cold]
fn advance_aarch32(registers: &mut Registers, syndrome: u64) {
    const LOW: u64 = 3 << 25;
    const HIGH: u64 = 0x3f << 10;
    // ESR_EL2.IL: not a short instruction of T32.
    registers.pc = registers.pc.wrapping_add(if bit(syndrome, 25) { 4 } else { 2 });
    let state = (registers.pstate & HIGH) >> 8 | (registers.pstate & LOW) >> 25;
    let next = if state & 7 == 0 { 0 } else { state & 0xe0 | state << 1 & 0x1f };
    registers.pstate &= !(LOW | HIGH | SOFTWARE_STEP);
    registers.pstate |= (next & 0xfc) << 8 | (next & 3) << 25;
}

fn from_el0(registers: &Registers) -> bool {
    registers.pstate & AARCH32 != 0 || registers.pstate & MODE == 0
}

fn take(registers: &mut Registers, syndrome: u64) {
    let old = registers.pstate;
    registers.system.esr_el1 = syndrome;
    registers.system.elr_el1 = registers.pc;
    registers.system.spsr_el1 = old;
    registers.pc = registers.system.vbar_el1.wrapping_add(vector(old));

    let mut new = old & (CONDITIONS | DIT | PAN) | MASKS | EL1H;
    if registers.system.sctlr_el1 & SPAN == 0 {
        new |= PAN;
    }
    if registers.system.sctlr_el1 & DSSBS != 0 {
        new |= SSBS;
    }
    registers.pstate = new;
}

/// Offset of the synchronous vector for an exception from this state.
const fn vector(pstate: u64) -> u64 {
    match pstate & MODE {
        mode if mode & AARCH32 != 0 => 0x600,
        0 => 0x400,
        EL1H => 0x200,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm64::test_registers::registers;

    #[test]
    fn the_vector_depends_on_where_the_guest_was() {
        for (pstate, offset) in [(0x3c4, 0), (0x3c5, 0x200), (0x3c0, 0x400), (0x1d0, 0x600)] {
            let mut registers = registers();
            registers.pstate = pstate;
            registers.pc = 0x1234;
            registers.system.vbar_el1 = 0xffff_8000_0000_0800;
            registers.system.sctlr_el1 = SPAN;
            undefined(&mut registers);
            assert_eq!(registers.pc, 0xffff_8000_0000_0800 + offset);
            assert_eq!(registers.system.elr_el1, 0x1234);
            assert_eq!(registers.system.spsr_el1, pstate);
            assert_eq!(registers.system.esr_el1, 0x0200_0000);
            assert_eq!(registers.pstate, 0x3c5);
        }
    }

    #[test]
    fn pan_is_set_unless_span_says_to_leave_it() {
        let mut registers = registers();
        undefined(&mut registers);
        assert_eq!(registers.pstate & PAN, PAN);
        registers.system.sctlr_el1 = SPAN;
        registers.pstate = 0x5;
        undefined(&mut registers);
        assert_eq!(registers.pstate & PAN, 0);
        registers.pstate = PAN | 0x5;
        undefined(&mut registers);
        assert_eq!(registers.pstate & PAN, PAN);
    }

    #[test]
    fn flags_and_dit_survive_and_everything_else_starts_afresh() {
        let mut registers = registers();
        registers.system.sctlr_el1 = SPAN;
        // UAO, IL, SS, BTYPE, SSBS, TCO and the flags, from EL0.
        registers.pstate = 0xf000_0000 | 1 << 25 | DIT | 1 << 23 | 1 << 21 | 1 << 20 | SSBS | 3 << 10;
        undefined(&mut registers);
        assert_eq!(registers.pstate, 0xf000_0000 | DIT | MASKS | EL1H);
        registers.system.sctlr_el1 = SPAN | DSSBS;
        undefined(&mut registers);
        assert_eq!(registers.pstate & SSBS, SSBS);
    }

    #[test]
    fn aborts_tell_the_level_and_the_address() {
        let mut registers = registers();
        data_abort(&mut registers, 0xdead_0004);
        assert_eq!(registers.system.esr_el1, 0x9600_0010);
        assert_eq!(registers.system.far_el1, 0xdead_0004);
        registers.pstate = 0;
        data_abort(&mut registers, 1);
        assert_eq!(registers.system.esr_el1, 0x9200_0010);
        instruction_abort(&mut registers, 2);
        assert_eq!(registers.system.esr_el1, 0x8600_0010);
        registers.pstate = 0x10;
        instruction_abort(&mut registers, 3);
        assert_eq!(registers.system.esr_el1, 0x8200_0010);
        assert_eq!(registers.system.far_el1, 3);
    }

    #[test]
    fn the_step_has_the_length_of_the_instruction() {
        let mut registers = registers();
        registers.pc = 0x1000;
        advance(&mut registers, 1 << 25);
        assert_eq!(registers.pc, 0x1004);
        registers.pstate = 0x30;
        advance(&mut registers, 0);
        assert_eq!(registers.pc, 0x1006);
        registers.pc = u64::MAX;
        advance(&mut registers, 0);
    }

    #[test]
    fn a_step_in_aarch32_moves_the_if_then_state() {
        let mut registers = registers();
        // ITTE EQ: IT = 0000_0110 -> condition 000, mask 00110; two steps later one instruction is left.
        registers.pstate = 0x30 | (0b0000_0110 & 0xfc) << 8 | (0b0000_0110 & 3) << 25;
        advance(&mut registers, 0);
        assert_eq!(registers.pstate, 0x30 | (0b0000_1100 & 0xfc) << 8);
        advance(&mut registers, 0);
        assert_eq!(registers.pstate, 0x30 | (0b0001_1000 & 0xfc) << 8);
        advance(&mut registers, 0);
        assert_eq!(registers.pstate, 0x30);
    }
}
