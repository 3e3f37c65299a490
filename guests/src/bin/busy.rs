//! Says nothing, starts all its vCPUs, and yields on all of them for ever: company for others that measure. With
//! `busy.spins` they keep their processors instead, with a hint that lets QEMU play another one at once. It needs no
//! words otherwise, since Xen has not room for the command lines of many domains.
#![no_std]
#![no_main]

use guests::{platform, psci, registers, xen};

guests::guest!(main, irq, secondary);

const fn irq(_cpu: usize) {}

fn secondary(_cpu: usize, _word: u64) {
    let spins = platform::flag("busy.spins");
    loop {
        if spins {
            registers::yield_hint();
        } else {
            xen::call(xen::SCHED_OP, [0; 5]);
        }
    }
}

fn main() {
    for cpu in 1..platform::get().cpus {
        let _refused = psci::start(cpu, 0);
    }
    secondary(0, 0);
}
