//! The interrupt controller as a guest sees it, GICv2 or GICv3 as the tree says.
//!
//! Needs two vCPUs; with four, the SGI tests reach them all. Wants 64 unused SPIs from INTID 40 on.
#![no_std]
#![no_main]

mod delivery;
mod identification;
mod many;
mod several;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use guests::journal::Journal;
use guests::{boot, gic, platform, psci, registers, report, timer};

guests::guest!(main, irq, secondary);

/// The first of the SPIs that nothing raises but these tests.
const FIRST_SPI: u32 = 40;
/// How many of them there are.
const SPIS: u32 = 64;
/// vCPUs that take part.
const CPUS: usize = 4;

/// What each vCPU's handler acknowledged, in order; `HANDLED` is added when the handler is done.
static JOURNALS: [Journal; CPUS] = [const { Journal::new() }; CPUS];
/// The raw value of the last acknowledgement on each vCPU.
static RAW: [AtomicU32; CPUS] = [const { AtomicU32::new(0) }; CPUS];
/// The running priority that the last handler saw.
static RUNNING: AtomicU32 = AtomicU32::new(0);
/// An INTID for which the handler on the first vCPU makes `NEST_RAISES` pending and lets interrupts in.
static NEST_ON: AtomicU32 = AtomicU32::new(NOTHING);
static NEST_RAISES: AtomicU32 = AtomicU32::new(0);
/// The secondaries leave when this is not 0.
static LEAVE: AtomicU64 = AtomicU64::new(0);
/// How many secondaries are ready.
static READY: AtomicU64 = AtomicU64::new(0);
/// 1: the secondaries sleep while they wait, 0: they look.
static SLEEP: AtomicU64 = AtomicU64::new(0);

/// No INTID.
const NOTHING: u32 = u32::MAX;

/// Added to an INTID in the journal when its handler has finished.
const HANDLED: u32 = 10_000;

fn main() {
    identification::all();
    // All the tests without a handler acknowledge by hand, with interrupts masked in the processor.
    gic::start_distributor();
    gic::start_cpu();
    for intid in FIRST_SPI..FIRST_SPI + SPIS {
        gic::disable(intid);
        gic::set_edge(intid, true);
        gic::route(intid, 0);
        gic::set_priority(intid, 0xa0);
    }
    delivery::by_hand();
    many::all();
    boot::interrupts_on();
    delivery::by_handler();
    several::all();
}

fn irq(cpu: usize) {
    let journal = &JOURNALS[cpu % CPUS];
    let raw = gic::acknowledge();
    let intid = gic::intid_of(raw);
    journal.write(intid);
    if intid == gic::SPURIOUS {
        return;
    }
    RAW[cpu % CPUS].store(raw, Ordering::SeqCst);
    RUNNING.store(u32::from(gic::running_priority()), Ordering::SeqCst);
    if intid == platform::get().timers[2] {
        timer::disarm();
    }
    if intid == NEST_ON.load(Ordering::SeqCst) {
        NEST_ON.store(NOTHING, Ordering::SeqCst);
        gic::set_pending(NEST_RAISES.load(Ordering::SeqCst));
        registers::unmask_interrupts();
        timer::spin(2_000);
        registers::mask_interrupts();
        journal.write(intid + HANDLED);
    }
    gic::end(raw);
}

fn secondary(_cpu: usize, _word: u64) {
    for sgi in 0..16 {
        gic::enable(sgi);
    }
    boot::interrupts_on();
    READY.fetch_add(1, Ordering::SeqCst);
    while LEAVE.load(Ordering::SeqCst) == 0 {
        if SLEEP.load(Ordering::SeqCst) == 1 {
            // Masked between the look and the sleep, so that no wake-up falls in between.
            registers::mask_interrupts();
            if LEAVE.load(Ordering::SeqCst) == 0 {
                registers::wfi();
            }
            registers::unmask_interrupts();
        } else {
            registers::yield_hint();
        }
    }
    registers::mask_interrupts();
}

/// Starts all other vCPUs that take part; how many there are then.
fn start_others() -> usize {
    let cpus = platform::get().cpus.min(CPUS);
    for cpu in 1..cpus {
        report::equal("others.cpu_on", psci::start(cpu, 0), 0);
    }
    let ready = timer::wait_for(2_000_000, || READY.load(Ordering::SeqCst) == cpus as u64 - 1);
    report::check("others.ready", ready);
    cpus
}

/// Checks that the journal of a vCPU comes to hold exactly these entries.
fn journal_is(name: &str, cpu: usize, expected: &[u32]) -> bool {
    let journal = &JOURNALS[cpu];
    timer::wait_for(1_000_000, || journal.count() >= expected.len());
    timer::spin(500);
    let good = journal.is(expected);
    if good {
        report::pass(format_args!("{name}"));
    } else {
        report::fail(format_args!("{name}"), format_args!("vCPU {cpu}: {journal}"));
    }
    journal.clear();
    good
}

/// Acknowledges and ends by hand until nothing is pending; what came.
fn drain(taken: &mut [u32]) -> usize {
    let mut count = 0;
    loop {
        let raw = gic::acknowledge();
        let intid = gic::intid_of(raw);
        if intid == gic::SPURIOUS {
            return count;
        }
        if let Some(slot) = taken.get_mut(count) {
            *slot = intid;
        }
        count += 1;
        gic::end(raw);
        if count > 1_000 {
            return count;
        }
    }
}

/// Checks that exactly these are pending, in this order, and takes them.
fn drained_is(name: &str, expected: &[u32]) -> bool {
    let mut taken = [0; 64];
    let count = drain(&mut taken);
    let good = count == expected.len() && taken.iter().zip(expected).all(|(left, right)| left == right);
    if good {
        report::pass(format_args!("{name}"));
    } else {
        let shown = &taken[..count.min(8)];
        report::fail(format_args!("{name}"), format_args!("{count} came: {shown:?} instead of {expected:?}"));
    }
    good
}
