//! The general registers and the flags across a sleep.
#![expect(unsafe_code, reason = "general registers")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use guests::report;

use super::system::VCPUS;
use super::{after_pause, before_pause, mix};

static CHANGED: [AtomicU64; VCPUS] = [const { AtomicU64::new(0) }; VCPUS];

pub(super) fn round(cpu: usize, seed: u64, _round: u64) {
    let pattern = mix(seed ^ 0x1000);
    let changed: u64;
    before_pause();
    // SAFETY: all registers used are declared or put back; x30 and the flags among them. Each register from x1 to
    // x30 holds the pattern plus its number while the vCPU sleeps; x0 afterwards gathers the differences.
    unsafe {
        asm!(
            "stp x18, x19, [sp, #-32]!",
            "str x29, [sp, #16]",
            ".irp number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
            "add x\\number, x0, #\\number",
            ".endr",
            "dsb sy",
            "cmp xzr, xzr",
            "wfi",
            "b.ne 41f",
            ".irp number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
            "sub x\\number, x\\number, #\\number",
            "eor x\\number, x\\number, x0",
            ".endr",
            "mov x0, #0",
            "b 42f",
            "41: mov x0, #1",
            "42:",
            ".irp number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30",
            "orr x0, x0, x\\number",
            ".endr",
            "ldr x29, [sp, #16]",
            "ldp x18, x19, [sp], #32",
            inout("x0") pattern => changed,
            out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _,
            out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _,
            out("x16") _, out("x17") _, out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _,
            out("x25") _, out("x26") _, out("x27") _, out("x28") _, out("x30") _
        );
    }
    after_pause();
    CHANGED[cpu % VCPUS].fetch_add(u64::from(changed != 0), Ordering::SeqCst);
}

pub(super) fn report(cpu: usize) {
    report::equal("kept.x1_to_x30_and_flags", CHANGED[cpu % VCPUS].load(Ordering::SeqCst), 0);
}
