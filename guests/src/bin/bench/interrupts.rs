//! Interrupts to oneself: from the raising instruction, or the deadline, to the handler.
#![expect(unsafe_code, reason = "the sequences and the handler are assembly")]

use core::arch::{asm, global_asm};

use guests::xen::EVENT_CHANNEL_OP;
use guests::xen::event::{self, Words};
use guests::{gic, platform};

use super::{sample, take};

/// Takes an interrupt and ends it: x11 is the address of the GICv2 CPU interface, or 0; x14 is scratch. It ends at label 4.
macro_rules! acknowledged {
    () => {
        "cbz x11, 3f
        ldr w14, [x11, #0xc]
        str w14, [x11, #0x10]
        b 4f
        3: mrs x14, S3_0_C12_C12_0
        dsb sy
        msr S3_0_C12_C12_1, x14
        4: isb"
    };
}
pub(super) use acknowledged;

// Vectors for the measured sequences only. Those run with interrupts let in and everything they use in registers:
// x15 takes the counter at entry, x13 after the end of interrupt, x12 becomes 1, x14 is scratch; x11 is the address
// of the GICv2 CPU interface, or 0.
global_asm!(
    r#"
    .section .text.vectors, "ax"
    .balign 2048
bench_vectors:
    .skip   0x200
    b       .                       // synchronous: nothing in these sequences may fault
    .balign 0x80
    b       2f
    .balign 0x80
    // As a handler would: room on the stack and one pair saved before the first look at the counter, the rest of
    // what a compiler may change after it. The lengths are those of the baseline's handler.
2:  sub     sp, sp, #256
    mrs     x15, cntvct_el0
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x29, [sp, #144]
    stp     x30, xzr, [sp, #160]
    mrs     x14, elr_el1
    mrs     x13, spsr_el1
    stp     x14, x13, [sp, #176]
    .rept   20
    nop
    .endr
    msr     cntv_ctl_el0, xzr
    "#,
    acknowledged!(),
    r#"
    mrs     x13, cntvct_el0
    add     sp, sp, #256
    mov     x12, #1
    eret
    .balign 2048
    "#
);

/// Counter values of one interrupt.
#[derive(Clone, Copy)]
struct Times {
    raised: u64,
    entry: u64,
    eoi: u64,
}

/// Runs a sequence with the vectors above; `x10` is what the sequence calls the time of raising. It has two values in x0 and
/// x1, or registers of its own choice.
macro_rules! interrupted {
    ([$($line:literal),*], $one:expr, $two:expr) => {
        interrupted!([$($line),*]; inout("x0") $one => _, inout("x1") $two => _, out("x16") _, out("x17") _)
    };
    ([$($line:literal),*]; $($registers:tt)*) => {{
        let (raised, entry, eoi): (u64, u64, u64);
        let interface = if gic::version() == 2 { gic::interface(0) } else { 0 };
        // SAFETY: the handler changes x12 to x15 only; the vectors of the runtime are back before interrupts are
        // masked for good, and none is pending then. What a hypercall among the lines writes belongs to the caller.
        unsafe {
            asm!(
                "mrs x9, vbar_el1",
                "adrp x14, bench_vectors",
                "add x14, x14, :lo12:bench_vectors",
                "msr vbar_el1, x14",
                "mov x12, #0",
                "isb",
                "msr daifclr, #2",
                $($line,)*
                "msr daifset, #2",
                "msr vbar_el1, x9",
                "isb",
                in("x11") interface, out("x9") _, out("x10") raised, out("x12") _, out("x13") eoi, out("x14") _,
                out("x15") entry, $($registers)*, options(nostack)
            );
        }
        Times { raised, entry, eoi }
    }};
}

/// An SGI to oneself, sent while interrupts are let in.
fn own_sgi(whom: u64) -> Times {
    if gic::version() == 3 {
        interrupted!(["mrs x10, cntvct_el0", "msr S3_0_C12_C11_5, x0", "isb", "5: cbz x12, 5b"], whom, 0u64)
    } else {
        interrupted!(
            ["mrs x10, cntvct_el0", "str w0, [x1]", "isb", "5: cbz x12, 5b"],
            whom,
            gic::distributor(gic::SGIR)
        )
    }
}

/// The virtual timer `distance` ticks ahead, the vCPU busy.
fn busy_timer(distance: u64) -> Times {
    interrupted!(
        [
            "mrs x10, cntvct_el0",
            "add x10, x10, x0",
            "msr cntv_cval_el0, x10",
            "mov x14, #1",
            "msr cntv_ctl_el0, x14",
            "5: cbz x12, 5b"
        ],
        distance,
        0u64
    )
}

/// The same, the vCPU asleep.
fn sleeping_timer(distance: u64) -> Times {
    interrupted!(
        [
            "mrs x10, cntvct_el0",
            "add x10, x10, x0",
            "msr cntv_cval_el0, x10",
            "mov x14, #1",
            "msr cntv_ctl_el0, x14",
            // Asleep with interrupts masked, let in afterwards.
            "5: msr daifset, #2",
            "wfi",
            "msr daifclr, #2",
            "cbz x12, 5b"
        ],
        distance,
        0u64
    )
}

/// A hypercall that is under way when the virtual timer becomes due, `distance` ticks after its start: how many ticks
/// after that the handler begins.
pub(super) fn late(distance: u64, [number, x0, x1, x2]: [u64; 4]) -> u64 {
    let times = interrupted!(
        [
            "mrs x10, cntvct_el0",
            "add x10, x10, x17",
            "msr cntv_cval_el0, x10",
            "mov x14, #1",
            "msr cntv_ctl_el0, x14",
            "hvc #0xea1",
            "5: cbz x12, 5b"
        ];
        inout("x0") x0 => _, inout("x1") x1 => _, inout("x2") x2 => _, inout("x3") 0u64 => _,
        inout("x4") 0u64 => _, inout("x16") number => _, inout("x17") distance => _
    );
    times.entry - times.raised
}

/// An event to oneself, by the structure at `argument`: ticks to the first instruction of the handler, and to after
/// the end of the interrupt.
pub(super) fn own_event(argument: u64) -> (u64, u64) {
    let times =
        interrupted!(["mov x16, #32", "mrs x10, cntvct_el0", "hvc #0xea1", "5: cbz x12, 5b"], 4u64, argument);
    (times.entry - times.raised, times.eoi - times.raised)
}

/// Looks for an interrupt, letting others run, until its handler began; when that was.
pub(super) fn look() -> u64 {
    interrupted!(["mov x10, xzr", "5: yield", "cbz x12, 5b"], 0u64, 0u64).entry
}

/// Sends an event and lets others run until the word at `answer` is not 0; the physical counter before it.
pub(super) fn send_and_look(argument: &mut Words, answer: usize) -> u64 {
    let start: u64;
    // SAFETY: the hypercall changes x0 to x4 and x16; the word is read alone.
    unsafe {
        asm!(
            "isb", "mrs x20, cntvct_el0", "mrs {start}, cntpct_el0", "hvc #0xea1",
            "5: yield", "ldr x14, [{answer}]", "cbz x14, 5b",
            start = out(reg) start, answer = in(reg) answer, out("x14") _, out("x20") _,
            inout("x0") event::SEND => _, inout("x1") core::ptr::from_mut(argument) => _, inout("x2") 0u64 => _,
            inout("x3") 0u64 => _, inout("x4") 0u64 => _, inout("x16") EVENT_CHANNEL_OP => _, options(nostack)
        );
    }
    start
}

/// The word that sends SGI 1 to the first vCPU.
fn own_word() -> u64 {
    if gic::version() == 3 { 1 << 24 | 1 } else { 2 << 24 | 1 }
}

/// Ticks of the sending alone, interrupts masked, taken afterwards.
fn send_only(whom: u64) -> u64 {
    let (start, end): (u64, u64);
    if gic::version() == 3 {
        // SAFETY: sends an SGI, which is taken below.
        unsafe {
            asm!("isb", "mrs x20, cntvct_el0", "msr S3_0_C12_C11_5, {whom}", "mrs x21, cntvct_el0",
                 whom = in(reg) whom, out("x20") start, out("x21") end, options(nostack));
        }
    } else {
        // SAFETY: as above.
        unsafe {
            asm!("isb", "mrs x20, cntvct_el0", "str {whom:w}, [{sgir}]", "mrs x21, cntvct_el0",
                 whom = in(reg) whom,
                 sgir = in(reg) gic::distributor(gic::SGIR), out("x20") start, out("x21") end, options(nostack));
        }
    }
    (end - start).saturating_sub(1)
}

pub(super) fn all() {
    let whom = own_word();
    gic::enable(1);
    sample("sgi.self.entry", || {
        let times = own_sgi(whom);
        times.entry - times.raised
    });
    sample("sgi.self.eoi", || {
        let times = own_sgi(whom);
        times.eoi - times.raised
    });
    sample("sgi.send_only", || {
        let ticks = send_only(whom);
        take();
        super::settle();
        ticks
    });
    gic::enable(platform::get().timers[2]);
    sample("timer.busy.entry", || {
        let times = busy_timer(20_000);
        times.entry - times.raised
    });
    sample("timer.busy.eoi", || {
        let times = busy_timer(20_000);
        times.eoi - times.raised
    });
    sample("timer.wfi.entry", || {
        let times = sleeping_timer(200_000);
        times.entry - times.raised
    });
    sample("timer.wfi.eoi", || {
        let times = sleeping_timer(200_000);
        times.eoi - times.raised
    });
    gic::disable(platform::get().timers[2]);
}
