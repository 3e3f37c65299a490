//! A busy loop of a known number of instructions: what a hypervisor takes away from a guest that asks for nothing.
//!
//! `compute.seconds=N` repeats the loop; `compute.sleep_ms=N` is the pause before (1000 by default, so that the work
//! after boot is over) and after; `compute.instructions=N` is the length of the loop; with `compute.stream` it goes through memory.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "the loop is counted in instructions")]

use core::arch::asm;

use guests::xen::Pages;
use guests::{boot, gic, platform, report, timer};

guests::guest!(main, irq);

fn irq(_cpu: usize) {
    let raw = gic::acknowledge();
    timer::disarm();
    if gic::intid_of(raw) != gic::SPURIOUS {
        gic::end(raw);
    }
}

/// Sleeps for `milliseconds`.
fn sleep(milliseconds: u64) {
    gic::enable(platform::get().timers[2]);
    timer::sleep(milliseconds * 1_000);
    gic::disable(platform::get().timers[2]);
}

/// Executes `2 * turns` instructions; the ticks that passed meanwhile.
fn spin(turns: u64) -> (u64, u64) {
    let (start, end): (u64, u64);
    // SAFETY: counts down in registers of its own.
    unsafe {
        asm!("isb", "mrs {start}, cntpct_el0", "2: subs {turns}, {turns}, #1", "b.ne 2b", "mrs {end}, cntpct_el0",
             turns = inout(reg) turns => _, start = out(reg) start, end = out(reg) end, options(nostack));
    }
    (start, end)
}

/// Memory that is read and written.
static STREAM: Pages<16> = Pages::new();

/// Executes `6 * turns` instructions, two of which read and write 16 bytes; the ticks that passed meanwhile.
fn stream(turns: u64) -> (u64, u64) {
    let (start, end): (u64, u64);
    // SAFETY: the addresses lie in pages that nobody else uses.
    unsafe {
        asm!("isb", "mrs {start}, cntpct_el0", "2: and {place}, {turns}, #0xfff", "add {place}, {base}, {place}, lsl #4",
             "ldp {one}, {two}, [{place}]", "stp {two}, {one}, [{place}]", "subs {turns}, {turns}, #1", "b.ne 2b",
             "mrs {end}, cntpct_el0", turns = inout(reg) turns => _, start = out(reg) start, end = out(reg) end,
             place = out(reg) _, one = out(reg) _, two = out(reg) _, base = in(reg) STREAM.address(), options(nostack));
    }
    (start, end)
}

fn main() {
    let instructions = platform::number("compute.instructions", 62_500_000).max(6);
    boot::interrupts_on();
    let pause = platform::number("compute.sleep_ms", 1_000);
    sleep(pause);
    for _ in 0..platform::number("compute.seconds", 1) {
        let ((start, end), executed) = if platform::flag("compute.stream") {
            (stream(instructions / 6), instructions / 6 * 6)
        } else {
            (spin(instructions / 2), instructions / 2 * 2)
        };
        // What is printed must not take from others that still compute.
        sleep(pause);
        // The second reading of the counter is not the loop's.
        let elapsed = end - start - 1;
        let stolen = elapsed.saturating_sub(executed);
        report::figure("compute.start", start, start, start);
        report::figure("compute.end", end, end, end);
        report::figure("compute.executed", executed, executed, executed);
        report::figure("compute.elapsed", elapsed, elapsed, elapsed);
        let steal_per_s = stolen * 62_500_000 / executed;
        report::figure("compute.steal_per_s", steal_per_s, steal_per_s, steal_per_s);
        let overhead_ppm = stolen * 1_000_000 / executed;
        report::figure("compute.overhead_ppm", overhead_ppm, overhead_ppm, overhead_ppm);
    }
    report::check("compute", true);
}
