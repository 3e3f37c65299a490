//! The calling convention: numbers, and which registers a call leaves alone.
#![expect(unsafe_code, reason = "registers across a call are seen in assembly alone")]

use core::arch::asm;

use guests::{report, say, xen};

/// The hypercalls of Arm. The others up to 63 do not exist.
const KNOWN: [u64; 17] = [7, 12, 13, 17, 18, 20, 21, 24, 27, 29, 32, 33, 34, 35, 36, 41, 42];

pub(super) fn all() {
    for number in (0..64).filter(|number| !KNOWN.contains(number)) {
        report::fact(format_args!("unknown.{number}"), xen::call(number, [0; 5]));
    }
    for number in [64, 100, 0x1000, 0x8000_0011, 0xffff_ffff, 1 << 32 | 17, 1 << 63 | 17, u64::MAX] {
        report::fact(format_args!("unknown.{number:#x}"), xen::call(number, [0; 5]));
    }
    for (name, number, command) in [
        ("xen_version", xen::XEN_VERSION, 0u64),
        ("xen_version_unknown", xen::XEN_VERSION, 99),
        ("unknown", 63, 0),
        ("sched_yield", xen::SCHED_OP, 0),
        ("memory_op", xen::MEMORY_OP, 2),
    ] {
        preserved(name, number, command);
    }
    // The upper half of a sub-operation.
    report::fact("high_half.xen_version", xen::call(xen::XEN_VERSION, [1 << 32, 0, 0, 0, 0]));
    report::fact("high_half.sched_op", xen::call(xen::SCHED_OP, [1 << 32, 0, 0, 0, 0]));
    report::fact("high_half.memory_op", xen::call(xen::MEMORY_OP, [1 << 32 | 2, 0, 0, 0, 0]));
}

/// Xen promises x5 to x15 and x17 to x30; what it does to the arguments and to the number is for people.
fn preserved(name: &str, number: u64, command: u64) {
    let (x1, x2, x3, x4, x16, changed): (u64, u64, u64, u64, u64, u64);
    // SAFETY: sets and compares registers that are all declared; x18 and x19, x29 belong to the compiler and keep
    // their values, or the guest dies.
    unsafe {
        asm!(
            "mov x5, #5", "mov x6, #6", "mov x7, #7", "mov x8, #8", "mov x9, #9", "mov x10, #10", "mov x11, #11",
            "mov x12, #12", "mov x13, #13", "mov x14, #14", "mov x15, #15", "mov x17, #17", "mov x20, #20",
            "mov x21, #21", "mov x22, #22", "mov x23, #23", "mov x24, #24", "mov x25, #25", "mov x26, #26",
            "mov x27, #27", "mov x28, #28", "mov x30, #30",
            "hvc #0xea1",
            "sub x5, x5, #5", "sub x6, x6, #6", "sub x7, x7, #7", "sub x8, x8, #8", "sub x9, x9, #9",
            "sub x10, x10, #10", "sub x11, x11, #11", "sub x12, x12, #12", "sub x13, x13, #13",
            "sub x14, x14, #14", "sub x15, x15, #15", "sub x17, x17, #17", "sub x20, x20, #20",
            "sub x21, x21, #21", "sub x22, x22, #22", "sub x23, x23, #23", "sub x24, x24, #24",
            "sub x25, x25, #25", "sub x26, x26, #26", "sub x27, x27, #27", "sub x28, x28, #28",
            "sub x30, x30, #30",
            "orr x5, x5, x6", "orr x5, x5, x7", "orr x5, x5, x8", "orr x5, x5, x9", "orr x5, x5, x10",
            "orr x5, x5, x11", "orr x5, x5, x12", "orr x5, x5, x13", "orr x5, x5, x14", "orr x5, x5, x15",
            "orr x5, x5, x17", "orr x5, x5, x20", "orr x5, x5, x21", "orr x5, x5, x22", "orr x5, x5, x23",
            "orr x5, x5, x24", "orr x5, x5, x25", "orr x5, x5, x26", "orr x5, x5, x27", "orr x5, x5, x28",
            "orr x5, x5, x30",
            inout("x0") command => _, inout("x1") 0u64 => x1, inout("x2") 0x22u64 => x2, inout("x3") 0x33u64 => x3,
            inout("x4") 0x44u64 => x4, inout("x16") number => x16, out("x5") changed,
            out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _, out("x25") _, out("x26") _,
            out("x27") _, out("x28") _, clobber_abi("C"), options(nostack)
        );
    }
    report::equal(format_args!("preserved.{name}"), changed, 0);
    say!("note preserved.{name} x1 {x1:#x} x2 {x2:#x} x3 {x3:#x} x4 {x4:#x} x16 {x16:#x}");
}
