//! Says hello and powers off: the smallest guest, also used for counting what a boot costs.
#![no_std]
#![no_main]

use core::sync::atomic::Ordering;

use guests::{boot, platform, report, say};

guests::guest!(main);

fn main() {
    let entered = boot::entry(0).counter.load(Ordering::Relaxed);
    let platform = platform::get();
    let kib: u64 = platform.memory[..platform.banks].iter().map(|(_, bytes)| bytes >> 10).sum();
    say!("hello from a guest of {} vCPUs and {kib} KiB", platform.cpus);
    report::figure("boot.first_entry", entered, entered, entered);
    report::check("hello", true);
}
