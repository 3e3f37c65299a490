//! Operations between two vCPUs.
#![expect(unsafe_code, reason = "the sequences are assembly")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use guests::{boot, gic, platform, psci, registers, report, timer};

use super::hypercall::refuse_unless;
use super::{sample, sample_few, take};

/// Starts of one figure.
const STARTS: usize = 50;
/// The SGI that goes back.
const ANSWER: u32 = 2;

/// What the second vCPU does: 0 returns at once, 1 looks for SGIs, 2 sleeps for them, 3 leaves.
static MODE: AtomicU64 = AtomicU64::new(0);
/// The counter on the second vCPU when it took its last SGI.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The second vCPU: takes SGIs by hand, interrupts masked.
pub(super) fn run(_cpu: usize, word: u64) {
    gic::start_cpu();
    if word == 0 {
        // The first vCPU sleeps until it hears of this one.
        gic::send_sgi(ANSWER, gic::Target::Cpu(0));
        return;
    }
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
            gic::send_sgi(ANSWER, gic::Target::Cpu(0));
        }
    }
}

pub(super) fn all() {
    gic::enable(ANSWER);
    starts();
    MODE.store(2, Ordering::SeqCst);
    report::equal("bench.cpu_on", psci::start(1, 1), 0);
    timer::wait_for(1_000_000, || TAKEN.load(Ordering::SeqCst) != 0);
    timer::spin(1_000);
    sample("sgi.cross_entry_wfi", || cross(true).0);
    sample("sgi.cross_roundtrip_wfi", || cross(true).1);
    MODE.store(1, Ordering::SeqCst);
    cross(true);
    if platform::flag("bench.two_pcpus") {
        sample("sgi.cross_entry_running", || cross(false).0);
    }
    MODE.store(3, Ordering::SeqCst);
    gic::send_sgi(1, gic::Target::Cpu(1));
    report::check("bench.cpu_off", psci::wait_off(1, 1_000_000));
}

/// CPU_ON: until the call returns, and until the other's first instruction; the caller sleeps at once.
fn starts() {
    // The word that the second vCPU finds is the one that this call leaves.
    refuse_unless(psci::start(1, 0) == 0);
    psci::wait_off(1, 1_000_000);
    let on = |turn_on: fn(u64, u64) -> (u64, u64, u64, i64)| {
        take();
        super::settle();
        let (before, start, end, answer) = turn_on(platform::get().affinities[1], boot::secondary_address());
        refuse_unless(answer == 0);
        psci::wait_off(1, 1_000_000);
        let entry = boot::entry(1).counter.load(Ordering::SeqCst).saturating_sub(start);
        // The two readings at the start are not the call's.
        (end - before - 2, entry)
    };
    sample_few("psci.cpu_on.call", STARTS, || on(turn_on_and_return).0);
    sample_few("psci.cpu_on.entry", STARTS, || on(turn_on_and_sleep).1);
    take();
}

/// CPU_ON of the vCPU with this affinity, then asleep at once until an interrupt: the virtual and the physical counter
/// before the call, the virtual one after it, and the answer. Whoever counts instructions sees by the register of the
/// last whether a sample ends there.
macro_rules! turning_on {
    ($name:ident, $end:tt) => {
        fn $name(affinity: u64, entry: u64) -> (u64, u64, u64, i64) {
            let (before, start, end, answer): (u64, u64, u64, i64);
            // SAFETY: the call changes no more than x0 to x17.
            unsafe {
                asm!("isb", "mrs x20, cntvct_el0", "mrs x22, cntpct_el0", "hvc #0",
                     concat!("mrs ", $end, ", cntvct_el0"), "wfi",
                     inout("x0") psci::CPU_ON => answer, inout("x1") affinity => _, inout("x2") entry => _,
                     inout("x3") 1u64 => _, out("x20") before, out("x22") start, out($end) end,
                     clobber_abi("C"), options(nostack));
            }
            (before, start, end, answer)
        }
    };
}
turning_on!(turn_on_and_return, "x21");
turning_on!(turn_on_and_sleep, "x23");

/// An SGI to the other, which answers with one: ticks until the other took it, and until the answer is taken. The
/// sender sleeps meanwhile, or looks.
fn cross(asleep: bool) -> (u64, u64) {
    let start = registers::counter();
    gic::send_sgi(1, gic::Target::Cpu(1));
    while registers::pending_exceptions() & 0x80 == 0 {
        if asleep {
            registers::wfi();
        } else {
            registers::yield_hint();
        }
    }
    let end = registers::counter();
    take();
    (TAKEN.load(Ordering::SeqCst) - start, end - start)
}
