//! Says nothing, starts all its vCPUs, and sleeps on all of them for ever: company for others that measure. It needs no
//! words, since Xen has not room for the command lines of many domains.
#![no_std]
#![no_main]

use guests::{platform, psci, registers};

guests::guest!(main, irq, secondary);

const fn irq(_cpu: usize) {}

fn secondary(_cpu: usize, _word: u64) {
    loop {
        registers::wfi();
    }
}

fn main() {
    for cpu in 1..platform::get().cpus {
        let _refused = psci::start(cpu, 0);
    }
    secondary(0, 0);
}
