//! Registers are this vCPU's own: at the start they hold reset values, later what the guest wrote, whatever runs on
//! the same processor in between.
//!
//! Run it beside a second domain that does likewise: `registers.seed=N` makes its patterns different,
//! `registers.rounds=N` is how often each pattern is written (100 by default). With several vCPUs all take part.
#![no_std]
#![no_main]

mod floating;
mod general;
mod system;

use core::sync::atomic::{AtomicU64, Ordering};

use guests::{boot, gic, platform, psci, registers, report, timer};

guests::guest!(main, guests::exception::unexpected_irq, secondary);

/// Secondaries that have finished.
static FINISHED: AtomicU64 = AtomicU64::new(0);

fn main() {
    gic::start_distributor();
    first_values("first", 0);
    system::first_values();
    floating::first_values();
    let cpus = platform::get().cpus.min(system::VCPUS);
    for cpu in 1..cpus {
        report::equal("registers.cpu_on", psci::start(cpu, 0), 0);
    }
    exercise(0);
    let all = timer::wait_for(120_000_000, || FINISHED.load(Ordering::SeqCst) == cpus as u64 - 1);
    report::check("registers.all_vcpus_finished", all);
    for cpu in 1..cpus {
        first_values("first_of_secondary", cpu);
    }
    for cpu in 0..cpus {
        system::report(cpu);
    }
}

fn secondary(cpu: usize, _word: u64) {
    exercise(cpu);
    FINISHED.fetch_add(1, Ordering::SeqCst);
}

/// What the vCPU was given beyond what the start protocol says.
fn first_values(name: &str, cpu: usize) {
    let entry = boot::entry(cpu);
    report::equal(format_args!("{name}.x4_to_x30"), entry.rest.load(Ordering::SeqCst), 0);
    let names = ["vbar_el1", "ttbr0_el1", "tcr_el1", "mair_el1", "tpidr_el1"];
    for (register, value) in names.iter().zip(&entry.others) {
        report::equal(format_args!("{name}.{register}"), value.load(Ordering::SeqCst), 0);
    }
    report::equal(format_args!("{name}.elr_el1"), entry.elr.load(Ordering::SeqCst), 0);
    report::equal(format_args!("{name}.spsr_el1"), entry.spsr.load(Ordering::SeqCst), 0);
}

fn exercise(cpu: usize) {
    gic::start_cpu();
    gic::enable(platform::get().timers[2]);
    for round in 0..platform::number("registers.rounds", 100) {
        let seed = mix(platform::number("registers.seed", 1) << 32 | (cpu as u64) << 24 | round);
        system::round(cpu, seed, round);
        floating::round(cpu, seed, round);
        general::round(cpu, seed, round);
    }
    timer::disarm();
}

/// A number that looks random (SplitMix64's finaliser).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// Arms what makes the coming pause end: the timer, half a millisecond ahead. It stays pending; interrupts are masked.
fn before_pause() {
    timer::arm(500);
}

/// Gives the processor away, in one of several ways.
fn pause(round: u64) {
    before_pause();
    match round % 4 {
        0 => registers::wfi(),
        1 => timer::spin(1_500),
        2 => {
            registers::wfe();
            registers::wfi();
        }
        _ => {
            let _version = psci::call([psci::VERSION, 0, 0, 0]);
            registers::wfi();
        }
    }
    after_pause();
}

/// Takes the timer's interrupt, by hand.
fn after_pause() {
    timer::disarm();
    let raw = gic::acknowledge();
    if gic::intid_of(raw) != gic::SPURIOUS {
        gic::end(raw);
    }
}
