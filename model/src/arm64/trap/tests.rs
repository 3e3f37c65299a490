//! Traps as processors report them, and arbitrary ones.

use super::*;
use crate::arm64::test_registers::registers;
use proptest::prelude::*;

fn trap(class: u64, iss: u64) -> Trap {
    Trap {
        cause: Cause::Synchronous,
        syndrome: class << 26 | 1 << 25 | iss,
        fault_address: 0xffff_0000_1234_5678,
        fault_page: 0x3_0000_1000,
    }
}

#[test]
fn calls_carry_their_immediate() {
    assert_eq!(trap(0x16, 0xea1).decode(), Exit::Hypercall { immediate: 0xea1 });
    assert_eq!(trap(0x17, 0xffff).decode(), Exit::SecureCall { immediate: 0xffff });
}

#[test]
fn a_wait_with_timeout_never_blocks() {
    let kinds = [Exit::Wfi, Exit::Wfe, Exit::Wfe, Exit::Wfe];
    for (kind, exit) in (0..).zip(kinds) {
        assert_eq!(trap(0x01, 0x1e0_0000 | kind).decode(), exit);
    }
}

#[test]
fn a_register_access_names_register_target_and_direction() {
    // MRS X7, ID_AA64MMFR0_EL1.
    let iss = 3 << 20 | 7 << 5 | 7 << 1 | 1;
    assert_eq!(register_access(iss), (SystemRegister::ID_AA64MMFR0_EL1, 7, false));
    // MSR ICC_SGI1R_EL1, XZR.
    let iss = 3 << 20 | 5 << 17 | 12 << 10 | 31 << 5 | 11 << 1;
    assert_eq!(register_access(iss), (SystemRegister::ICC_SGI1R_EL1, 31, true));
}

fn register_access(iss: u64) -> (SystemRegister, u8, bool) {
    let Exit::SystemRegister(access) = trap(0x18, iss).decode() else { panic!("{iss:#x}") };
    (access.register(), access.target(), access.write())
}

/// Address, width, direction, target, sign and width of the register.
fn device_access(iss: u64) -> (u64, AccessSize, bool, u8, bool, bool) {
    let Exit::Mmio(access) = trap(0x24, iss).decode() else { panic!("{iss:#x}") };
    let (sign_extend, sixty_four) = (access.syndrome & SIGN_EXTEND != 0, access.syndrome & SIXTY_FOUR != 0);
    (access.ipa, access.size(), access.write(), access.target(), sign_extend, sixty_four)
}

#[test]
fn a_valid_translation_fault_is_a_device_access() {
    // STR W3, level 2 translation fault.
    let iss = 1 << 24 | 2 << 22 | 3 << 16 | 1 << 6 | 0x06;
    assert_eq!(device_access(iss), (0x3_0000_1678, AccessSize::Word, true, 3, false, false));
    // LDRSB X31, level -1 translation fault.
    let iss = 1 << 24 | 1 << 21 | 31 << 16 | 1 << 15 | 0x2b;
    assert_eq!(device_access(iss), (0x3_0000_1678, AccessSize::Byte, false, 31, true, true));
}

#[test]
fn a_fault_on_the_guests_own_table_walk_is_never_a_device_access() {
    let iss = 1 << 24 | 2 << 22 | 1 << 7 | 0x06;
    let ipa = 0x3_0000_1678;
    let reason = AbortReason::TableWalk;
    assert_eq!(trap(0x24, iss).decode(), Exit::DataAbort { ipa, reason, write: false });
    assert_eq!(trap(0x20, 1 << 7 | 0x05).decode(), Exit::InstructionAbort { ipa, reason });
}

#[test]
fn other_aborts_say_why() {
    let rows = [
        (0x06, AbortReason::NoSyndrome),
        (1 << 8 | 1 << 6 | 0x06, AbortReason::CacheMaintenance),
        (1 << 24 | 0x0f, AbortReason::Permission),
        (1 << 24 | 0x09, AbortReason::AccessFlag),
        (1 << 24, AbortReason::AddressSize),
        (1 << 24 | 0x29, AbortReason::AddressSize),
        (0x10, AbortReason::External),
        (0x13, AbortReason::External),
        (0x18, AbortReason::External),
        (0x21, AbortReason::Alignment),
        (0x30, AbortReason::TlbConflict),
        (0x35, AbortReason::Atomic),
        (0x3f, AbortReason::Other(0x3f)),
    ];
    for (iss, expected) in rows {
        let Exit::DataAbort { reason, write, .. } = trap(0x24, iss).decode() else { panic!("{iss:#x}") };
        assert_eq!(reason, expected, "{iss:#x}");
        assert_eq!(write, iss & 1 << 6 != 0);
        assert!(!reason.words().is_empty());
    }
}

#[test]
fn every_class_has_its_kind() {
    let undefined = [0x00, 0x07, 0x09, 0x0a, 0x14, 0x19, 0x1a, 0x1b, 0x1d, 0x27, 0x2d];
    let aarch32 = [0x03, 0x04, 0x05, 0x06, 0x08, 0x0c, 0x11, 0x12, 0x13, 0x28, 0x38, 0x3a];
    let named = [0x01, 0x16, 0x17, 0x18, 0x20, 0x24];
    for class in 0..64_u8 {
        let exit = trap(u64::from(class), 0).decode();
        if undefined.contains(&class) {
            assert_eq!(exit, Exit::Undefined { class });
        } else if aarch32.contains(&class) {
            assert_eq!(exit, Exit::Aarch32 { class });
        } else {
            assert_eq!(exit == Exit::Unexpected { class }, !named.contains(&class), "{class:#x}");
        }
    }
}

#[test]
fn the_cause_comes_before_the_syndrome() {
    let trap = Trap { cause: Cause::Interrupt, ..trap(0x16, 1) };
    assert_eq!(trap.decode(), Exit::Interrupt);
    let trap = Trap { cause: Cause::SystemError, ..trap };
    assert_eq!(trap.decode(), Exit::SystemError { syndrome: trap.syndrome });
}

#[test]
fn a_load_fills_its_register_as_the_instruction_says() {
    let load = |size: AccessSize, sign_extend, sixty_four, value| {
        let mut registers = registers();
        registers.x[5] = u64::MAX;
        let width = u64::from(size.bytes().trailing_zeros()) << 22;
        let syndrome = width | 5 << 16 | u64::from(sign_extend) << 21 | u64::from(sixty_four) << 15;
        let access = MmioAccess { ipa: 0, syndrome };
        access.complete(&mut registers, value);
        registers.x[5]
    };
    assert_eq!(load(AccessSize::Byte, false, false, 0xff), 0xff);
    assert_eq!(load(AccessSize::Byte, true, false, 0x80), 0xffff_ff80);
    assert_eq!(load(AccessSize::Byte, true, true, 0x80), 0xffff_ffff_ffff_ff80);
    assert_eq!(load(AccessSize::Half, true, true, 0x7fff), 0x7fff);
    assert_eq!(load(AccessSize::Word, true, true, 0x8000_0000), 0xffff_ffff_8000_0000);
    assert_eq!(load(AccessSize::Word, false, false, 0xffff_ffff), 0xffff_ffff);
    assert_eq!(load(AccessSize::Double, true, true, u64::MAX), u64::MAX);
}

#[test]
fn register_31_is_zero_and_swallows() {
    let mut registers = registers();
    registers.x = [7; 31];
    registers.set_general(31, 9);
    assert_eq!(registers.general(31), 0);
    assert_eq!(registers.general(30), 7);
    assert_eq!(registers.general(255), 0);
    let access = MmioAccess { ipa: 0, syndrome: 1 << 22 | 30 << 16 | 1 << 15 | WRITE };
    registers.x[30] = 0x1_2345;
    assert_eq!(access.value(&registers), 0x2345);
}

proptest! {
    #[test]
    fn any_trap_is_decoded(cause in 0..3, syndrome: u64, fault_address: u64, fault_page: u64, value: u64) {
        let cause = [Cause::Synchronous, Cause::Interrupt, Cause::SystemError][cause as usize];
        let trap = Trap { cause, syndrome, fault_address, fault_page };
        let mut registers = registers();
        match trap.decode() {
            Exit::Mmio(access) => {
                prop_assert_eq!(syndrome & TABLE_WALK, 0);
                prop_assert!(access.target() < 32);
                access.complete(&mut registers, value);
                prop_assert!(access.value(&registers) <= access.size().mask());
            }
            Exit::SystemRegister(access) => prop_assert!(access.target() < 32),
            _ => {}
        }
    }
}
