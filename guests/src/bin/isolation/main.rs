//! Tries everything that is not its own, and must fail at all of it, alive.
//!
//! A line `ok` stands for what every right hypervisor does; where answers may differ (which fault, or zero), the
//! answer is a note. With `isolation.quiet` the notes are left out; `isolation.storm=N` is the number of calls in a storm.
#![no_std]
#![no_main]

mod fetch;
mod instructions;
mod memory;
mod sweep;

use guests::exception::Fault;
use guests::{gic, platform, report, say};

guests::guest!(main);

fn main() {
    gic::start_distributor();
    gic::start_cpu();
    memory::all();
    instructions::all();
    fetch::all();
    sweep::all();
    storms();
    report::check("isolation.alive", true);
}

/// A note for people, unless they asked for quiet.
fn note(text: core::fmt::Arguments<'_>) {
    if !platform::flag("isolation.quiet") {
        say!("note {text}");
    }
}

/// Checks that something ended in a fault of one of these classes; says which.
fn faults(name: impl core::fmt::Display, fault: Option<Fault>, classes: &[u64]) {
    match fault {
        Some(fault) if classes.contains(&fault.class()) => {
            note(format_args!("{name} esr {:#x}", fault.esr));
            report::pass(format_args!("{name}"));
        }
        Some(fault) => {
            report::fail(format_args!("{name}"), format_args!("esr {:#x} far {:#x}", fault.esr, fault.far))
        }
        None => report::fail(format_args!("{name}"), format_args!("nothing stopped it")),
    }
}

/// Calls that mean nothing, in numbers: nobody else may suffer, and the caller goes on.
fn storms() {
    let count = platform::number("isolation.storm", 2_000);
    for turn in 0..count {
        let answer = guests::psci::hvc([0xc200_0000 | turn, turn, turn, turn]);
        if turn + 1 == count {
            report::equal("storm.hvc", answer[0] as u32, u32::MAX);
        }
    }
    for turn in 0..count {
        let answer = guests::psci::smc([0xc300_0000 | turn, turn, turn, turn]);
        if turn + 1 == count {
            report::equal("storm.smc", answer[0] as u32, u32::MAX);
        }
    }
}
