//! How fast a guest is that only computes, window by window, while others want the same processor.
//!
//! Windows are stretches of the physical counter, which all domains read alike: `pace.start_ms=N` (1,000) is when the first
//! one begins, `pace.window_ms=N` (100) how long each is, `pace.windows=N` (20) how many there are, at most 64. So all guests
//! of a system measure the same windows. `pace.window` has the instructions of a window, `pace.total` those of all.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "the loop is counted in instructions, and the counter is read")]

use core::arch::asm;

use guests::{platform, registers, report};

guests::guest!(main);

/// Instructions between two looks at the counter.
const PIECE: u64 = 1_000;
const MOST_WINDOWS: usize = 64;

fn now() -> u64 {
    let count: u64;
    // SAFETY: reads a counter.
    unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) count, options(nostack)) };
    count
}

/// Executes [`PIECE`] instructions.
fn piece() {
    // SAFETY: counts down in a register of its own.
    unsafe { asm!("2: subs {0}, {0}, #1", "b.ne 2b", inout(reg) PIECE / 2 => _, options(nostack)) };
}

fn main() {
    let ticks = |milliseconds: u64| registers::counter_frequency() * milliseconds / 1_000;
    let start = ticks(platform::number("pace.start_ms", 1_000));
    let length = ticks(platform::number("pace.window_ms", 100)).max(1);
    let count = platform::number("pace.windows", 20).clamp(1, MOST_WINDOWS as u64) as usize;
    let mut windows = [0; MOST_WINDOWS];
    let windows = &mut windows[..count];
    report::check("pace.ready", now() < start);
    loop {
        piece();
        let Some(passed) = now().checked_sub(start) else { continue };
        match windows.get_mut((passed / length) as usize) {
            Some(window) => *window += PIECE,
            None => break,
        }
    }
    let total: u64 = windows.iter().sum();
    report::figure("pace.total", total, total, total);
    report::samples("pace.window", windows);
}
