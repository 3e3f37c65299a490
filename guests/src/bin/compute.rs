//! A busy loop of a known number of instructions: what a hypervisor takes away from a guest that asks for nothing.
//!
//! `compute.seconds=N` repeats the loop; `compute.sleep_ms=N` is the pause before (1000 by default, so that the work
//! after boot is over); `compute.instructions=N` is the length of the loop.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "the loop is counted in instructions")]

use core::arch::asm;

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

fn main() {
    let instructions = platform::number("compute.instructions", 62_500_000).max(2);
    boot::interrupts_on();
    sleep(platform::number("compute.sleep_ms", 1_000));
    for _ in 0..platform::number("compute.seconds", 1) {
        let (start, end) = spin(instructions / 2);
        // The second reading of the counter is not the loop's.
        let elapsed = end - start - 1;
        let stolen = elapsed.saturating_sub(instructions);
        report::figure("compute.start", start, start, start);
        report::figure("compute.end", end, end, end);
        report::figure("compute.elapsed", elapsed, elapsed, elapsed);
        let steal_per_s = stolen * 62_500_000 / instructions;
        report::figure("compute.steal_per_s", steal_per_s, steal_per_s, steal_per_s);
        let overhead_ppm = stolen * 1_000_000 / instructions;
        report::figure("compute.overhead_ppm", overhead_ppm, overhead_ppm, overhead_ppm);
    }
    report::check("compute", true);
}
