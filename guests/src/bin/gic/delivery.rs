//! Delivery on one vCPU: pending, enable, priority, mask, active state, end of interrupt, preemption.

use core::sync::atomic::Ordering;

use guests::{gic, platform, registers, report, timer};

use super::{FIRST_SPI, HANDLED, JOURNALS, NEST_ON, NEST_RAISES, RUNNING, drained_is, journal_is};

const A: u32 = FIRST_SPI;
const B: u32 = FIRST_SPI + 1;
const C: u32 = FIRST_SPI + 2;

/// With interrupts masked in the processor: the acknowledge register tells what is pending.
pub(super) fn by_hand() {
    report::equal("spurious_when_nothing_is_pending", gic::intid_of(gic::acknowledge()), gic::SPURIOUS);
    report::equal("highest_pending_when_nothing_is", gic::highest_pending(), gic::SPURIOUS);
    report::equal("running_priority_when_idle", gic::running_priority(), 0xff);
    for intid in [A, B, C] {
        gic::enable(intid);
    }
    pending();
    priorities();
    mask();
    active();
    split();
    self_sgis();
    wakes();
}

fn pending() {
    gic::set_pending(A);
    drained_is("pending.by_software", &[A]);
    drained_is("pending.once", &[]);
    gic::set_pending(A);
    gic::set_pending(A);
    drained_is("pending.twice_is_once", &[A]);
    gic::disable(A);
    gic::set_pending(A);
    report::strict("pending.reads_back", gic::is_pending(A));
    drained_is("pending.disabled_does_not_come", &[]);
    gic::enable(A);
    drained_is("pending.comes_when_enabled", &[A]);
    gic::disable(A);
    gic::set_pending(A);
    gic::clear_pending(A);
    report::check("pending.cleared_reads_back", !gic::is_pending(A));
    gic::enable(A);
    // Xen 4.17 does not take a pending state back.
    let mut taken = [0; 4];
    report::strict("pending.cleared_does_not_come", super::drain(&mut taken) == 0);
}

fn priorities() {
    for (intid, priority) in [(A, 0x80), (B, 0x40), (C, 0xc0)] {
        gic::set_priority(intid, priority);
    }
    for intid in [A, B, C] {
        gic::set_pending(intid);
    }
    report::equal("priority.highest_pending", gic::highest_pending(), B);
    drained_is("priority.order", &[B, A, C]);
    for intid in [C, A, B] {
        gic::set_pending(intid);
    }
    drained_is("priority.order_does_not_depend_on_arrival", &[B, A, C]);
    gic::set_priority(C, 0x20);
    for intid in [A, B, C] {
        gic::set_pending(intid);
    }
    drained_is("priority.order_follows_a_change", &[C, B, A]);
    // While B is active, A (lower) is not signalled, C (higher) is.
    gic::set_pending(B);
    let raw = gic::acknowledge();
    report::equal("preemption.first", gic::intid_of(raw), B);
    report::equal("preemption.running_priority", gic::running_priority() & 0xf8, 0x40);
    gic::set_pending(A);
    report::equal("preemption.lower_waits", gic::intid_of(gic::acknowledge()), gic::SPURIOUS);
    gic::set_pending(C);
    let inner = gic::acknowledge();
    report::equal("preemption.higher_comes", gic::intid_of(inner), C);
    gic::end(inner);
    gic::end(raw);
    drained_is("preemption.lower_comes_at_the_end", &[A]);
    report::equal("preemption.running_priority_after", gic::running_priority(), 0xff);
}

fn mask() {
    gic::set_priority(A, 0x80);
    gic::set_pending(A);
    for (mask, open) in [(0x00, false), (0x40, false), (0x80, false), (0x88, true)] {
        gic::set_mask(mask);
        let raw = gic::acknowledge();
        let came = gic::intid_of(raw) == A;
        report::equal(format_args!("mask.{mask:#x}"), u32::from(came), u32::from(open));
        if came {
            gic::end(raw);
        }
    }
    gic::set_mask(0xff);
    drained_is("mask.nothing_left", &[]);
}

fn active() {
    gic::set_pending(A);
    let raw = gic::acknowledge();
    report::equal("active.taken", gic::intid_of(raw), A);
    report::strict("active.reads_back", gic::is_active(A));
    report::strict("active.is_no_longer_pending", !gic::is_pending(A));
    // Pending again while active: comes once more, but not before the end.
    gic::set_pending(A);
    report::equal("active.again_waits", gic::intid_of(gic::acknowledge()), gic::SPURIOUS);
    gic::end(raw);
    drained_is("active.again_comes_once", &[A]);
    report::check("active.is_over", !gic::is_active(A));
}

fn split() {
    gic::set_split(true);
    gic::set_priority(A, 0x40);
    gic::set_priority(B, 0x80);
    gic::set_pending(A);
    let raw = gic::acknowledge();
    report::equal("split.taken", gic::intid_of(raw), A);
    gic::set_pending(B);
    report::equal("split.lower_waits", gic::intid_of(gic::acknowledge()), gic::SPURIOUS);
    gic::end(raw);
    report::equal("split.running_priority_dropped", gic::running_priority(), 0xff);
    gic::set_pending(A);
    let other = gic::acknowledge();
    report::equal("split.other_comes_before_deactivation", gic::intid_of(other), B);
    gic::end(other);
    gic::deactivate(other);
    report::equal("split.same_waits_for_deactivation", gic::intid_of(gic::acknowledge()), gic::SPURIOUS);
    gic::deactivate(raw);
    let again = gic::acknowledge();
    report::equal("split.same_comes_after_deactivation", gic::intid_of(again), A);
    gic::end(again);
    gic::deactivate(again);
    gic::set_split(false);
    drained_is("split.nothing_left", &[]);
    gic::set_priority(A, 0xa0);
    gic::set_priority(B, 0xa0);
}

fn self_sgis() {
    for sgi in 0..16 {
        gic::enable(sgi);
        gic::set_priority(sgi, 0x80);
    }
    for target in [gic::Target::Own, gic::Target::Cpu(0)] {
        for sgi in [0u32, 1, 7, 15] {
            gic::send_sgi(sgi, target);
            drained_is("sgi.to_self", &[sgi]);
        }
    }
    gic::send_sgi(5, gic::Target::Own);
    gic::send_sgi(5, gic::Target::Own);
    drained_is("sgi.twice_is_once", &[5]);
    gic::set_priority(2, 0x60);
    gic::set_priority(9, 0x20);
    for sgi in [1, 2, 9] {
        gic::send_sgi(sgi, gic::Target::Own);
    }
    drained_is("sgi.order", &[9, 2, 1]);
    gic::send_sgi(4, gic::Target::Others);
    if platform::get().cpus == 1 {
        drained_is("sgi.to_others_does_not_reach_the_sender", &[]);
    }
}

/// WFI returns for each kind of pending interrupt, masked in the processor as it is.
fn wakes() {
    gic::set_pending(A);
    registers::wfi();
    drained_is("wfi.returns_for_an_spi", &[A]);
    gic::send_sgi(3, gic::Target::Own);
    registers::wfi();
    drained_is("wfi.returns_for_an_sgi", &[3]);
    let timer_intid = platform::get().timers[2];
    gic::enable(timer_intid);
    let start = registers::counter();
    timer::arm(5_000);
    registers::wfi();
    report::check("wfi.sleeps", registers::counter() - start >= timer::ticks(4_900));
    let raw = gic::acknowledge();
    report::equal("wfi.returns_for_a_ppi", gic::intid_of(raw), timer_intid);
    timer::disarm();
    gic::end(raw);
    // An interrupt that is not enabled does not end the sleep: the timer does.
    gic::disable(B);
    gic::set_pending(B);
    let start = registers::counter();
    timer::arm(20_000);
    registers::wfi();
    report::check(
        "wfi.does_not_return_for_a_disabled_one",
        registers::counter() - start >= timer::ticks(19_000),
    );
    timer::disarm();
    let mut taken = [0; 4];
    super::drain(&mut taken);
    gic::enable(B);
    drained_is("wfi.disabled_one_comes_later", &[B]);
}

/// With interrupts let into the processor.
pub(super) fn by_handler() {
    JOURNALS[0].clear();
    gic::enable(A);
    gic::enable(B);
    gic::set_priority(A, 0xa0);
    gic::set_pending(A);
    journal_is("handler.spi", 0, &[A]);
    report::equal("handler.running_priority", RUNNING.load(Ordering::SeqCst) & 0xf8, 0xa0);
    for (name, priority, expected) in [
        ("handler.higher_preempts", 0x40, [A, B, A + HANDLED]),
        ("handler.equal_waits", 0xa0, [A, A + HANDLED, B]),
        ("handler.lower_waits", 0xc0, [A, A + HANDLED, B]),
    ] {
        gic::set_priority(B, priority);
        NEST_RAISES.store(B, Ordering::SeqCst);
        NEST_ON.store(A, Ordering::SeqCst);
        gic::set_pending(A);
        journal_is(name, 0, &expected);
    }
    // The binary point takes bits out of the comparison: with 0x80 and 0xa0 in one group there is no preemption.
    gic::set_binary_point(6);
    gic::set_priority(B, 0x80);
    NEST_ON.store(A, Ordering::SeqCst);
    gic::set_pending(A);
    journal_is("handler.same_group_waits", 0, &[A, A + HANDLED, B]);
    gic::set_binary_point(0);
    gic::set_priority(B, 0xa0);
}
