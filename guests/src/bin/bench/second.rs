//! Operations between two vCPUs.
#![expect(unsafe_code, reason = "the sequences are assembly")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use guests::{boot, gic, platform, psci, registers, report, timer};

use super::sample;

/// What the second vCPU does: 0 returns at once, 1 looks for SGIs, 2 sleeps for them, 3 leaves.
static MODE: AtomicU64 = AtomicU64::new(0);
/// The counter on the second vCPU when it took its last SGI.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The second vCPU: takes SGIs by hand, interrupts masked.
pub(super) fn run(_cpu: usize, word: u64) {
    if word == 0 {
        return;
    }
    gic::start_cpu();
    gic::enable(1);
    TAKEN.store(1, Ordering::SeqCst);
    loop {
        match MODE.load(Ordering::SeqCst) {
            3 => return,
            2 => registers::wfi(),
            _ => registers::yield_hint(),
        }
        if registers::pending_exceptions() & 0x80 != 0 {
            let now = registers::counter();
            gic::end(gic::acknowledge());
            TAKEN.store(now, Ordering::SeqCst);
        }
    }
}

pub(super) fn all() {
    starts();
    MODE.store(2, Ordering::SeqCst);
    report::equal("bench.cpu_on", psci::start(1, 1), 0);
    timer::wait_for(1_000_000, || TAKEN.load(Ordering::SeqCst) != 0);
    timer::spin(1_000);
    sample("sgi.cross_entry_wfi", || cross(20_000));
    MODE.store(1, Ordering::SeqCst);
    cross(20_000);
    if platform::flag("bench.two_pcpus") {
        sample("sgi.cross_entry_running", || cross(0));
    }
    MODE.store(3, Ordering::SeqCst);
    gic::send_sgi(1, gic::Target::Cpu(1));
    report::check("bench.cpu_off", psci::wait_off(1, 1_000_000));
}

/// CPU_ON: until the call returns, and until the other's first instruction; the caller sleeps at once.
fn starts() {
    // The word that the second vCPU finds is the one that this call leaves.
    report_if_refused(psci::start(1, 0));
    psci::wait_off(1, 1_000_000);
    let mut calls = [0u64; 50];
    let mut entries = [0u64; 50];
    gic::enable(platform::get().timers[2]);
    for (call, entry) in calls.iter_mut().zip(&mut entries) {
        super::settle();
        timer::arm(1_000);
        let (start, end, answer) = turn_on(platform::get().affinities[1], boot::secondary_address());
        *call = end - start - 1;
        timer::disarm();
        report_if_refused(answer);
        psci::wait_off(1, 1_000_000);
        *entry = boot::entry(1).counter.load(Ordering::SeqCst).saturating_sub(start);
        // Taken by hand: the timer's interrupt, if it has become pending meanwhile.
        let raw = gic::acknowledge();
        if gic::intid_of(raw) != gic::SPURIOUS {
            gic::end(raw);
        }
    }
    gic::disable(platform::get().timers[2]);
    report::samples("psci.cpu_on.call", &mut calls);
    report::samples("psci.cpu_on.entry", &mut entries);
}

/// CPU_ON of the vCPU with this affinity, then asleep at once until an interrupt: the physical counter before and
/// after the call, and the answer.
fn turn_on(affinity: u64, entry: u64) -> (u64, u64, i64) {
    let (start, end, answer): (u64, u64, i64);
    // SAFETY: the call changes no more than x0 to x17.
    unsafe {
        asm!("isb", "mrs x20, cntpct_el0", "hvc #0", "mrs x21, cntpct_el0", "wfi",
             inout("x0") psci::CPU_ON => answer, inout("x1") affinity => _, inout("x2") entry => _,
             inout("x3") 1u64 => _, out("x20") start, out("x21") end, clobber_abi("C"), options(nostack));
    }
    (start, end, answer)
}

fn report_if_refused(answer: i64) {
    if answer != 0 {
        report::equal("bench.cpu_on_again", answer, 0);
    }
}

/// An SGI to the other; the sender sleeps for `microseconds` meanwhile, or looks.
fn cross(microseconds: u64) -> u64 {
    TAKEN.store(0, Ordering::SeqCst);
    if microseconds > 0 {
        gic::enable(platform::get().timers[2]);
        timer::arm(microseconds);
    }
    let start = registers::counter();
    gic::send_sgi(1, gic::Target::Cpu(1));
    while TAKEN.load(Ordering::SeqCst) == 0 {
        if microseconds > 0 {
            registers::wfi();
            timer::disarm();
            let raw = gic::acknowledge();
            if gic::intid_of(raw) != gic::SPURIOUS {
                gic::end(raw);
            }
            if TAKEN.load(Ordering::SeqCst) == 0 {
                timer::arm(microseconds);
            }
        } else {
            registers::yield_hint();
        }
    }
    timer::disarm();
    TAKEN.load(Ordering::SeqCst) - start
}
