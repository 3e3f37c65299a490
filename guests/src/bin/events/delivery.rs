//! The upcall as it arrives, on both vCPUs, awake and asleep; sleeping and polling for events. In any layout.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use guests::xen::event;
use guests::xen::{self, DOMID_SELF};
use guests::{boot, gic, platform, psci, registers, report, timer};

use crate::layout::{self, HANDLED, UPCALLS, is_pending};

/// What the second vCPU does.
const SPIN: u64 = 0;
const SLEEP: u64 = 1;
const BLOCK: u64 = 2;
const POLL: u64 = 3;
const ANSWER: u64 = 4;
const PLACE: u64 = 5;
const LEAVE: u64 = 6;

static ORDER: AtomicU64 = AtomicU64::new(SPIN);
/// How often the second vCPU has gone to sleep.
static ASLEEP: AtomicU64 = AtomicU64::new(0);
/// How often it has come back from polling.
static POLLED: AtomicU64 = AtomicU64::new(0);
/// The port that it polls.
static PORT: AtomicU32 = AtomicU32::new(0);
/// The port by which it answers.
static BACK: AtomicU32 = AtomicU32::new(0);
/// How many of the events it has answered.
static ANSWERED: AtomicU32 = AtomicU32::new(0);
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Microseconds that something may take that should come at once.
const SOON: u64 = 2_000_000;

pub(super) fn second(_cpu: usize, _word: u64) {
    boot::interrupts_on();
    gic::enable(platform::get().events);
    RUNS.store(1, Ordering::SeqCst);
    loop {
        match ORDER.load(Ordering::SeqCst) {
            SLEEP => {
                registers::mask_interrupts();
                ASLEEP.fetch_add(1, Ordering::SeqCst);
                registers::wfi();
                registers::unmask_interrupts();
            }
            BLOCK => {
                ASLEEP.fetch_add(1, Ordering::SeqCst);
                xen::call(xen::SCHED_OP, [1, 0, 0, 0, 0]);
            }
            POLL => {
                ASLEEP.fetch_add(1, Ordering::SeqCst);
                if poll(&mut [PORT.load(Ordering::SeqCst)], 0) == 0 {
                    POLLED.fetch_add(1, Ordering::SeqCst);
                    ORDER.store(SPIN, Ordering::SeqCst);
                }
            }
            ANSWER => {
                let seen = layout::count(PORT.load(Ordering::SeqCst));
                if seen != ANSWERED.swap(seen, Ordering::SeqCst) {
                    event::send(BACK.load(Ordering::SeqCst));
                }
                registers::yield_hint();
            }
            PLACE => {
                layout::place_information(1);
                ORDER.store(SPIN, Ordering::SeqCst);
            }
            LEAVE => return,
            _ => registers::yield_hint(),
        }
    }
}

/// SCHEDOP_poll, until the time `deadline` in nanoseconds of the system, or without end for 0.
fn poll(ports: &mut [u32], deadline: u64) -> i64 {
    let mut request = [ports.as_mut_ptr() as u64, ports.len() as u64, deadline];
    xen::op(xen::SCHED_OP, 3, &mut request)
}

pub(super) fn all(name: &str) {
    own(name);
    several(name);
    own_sleep(name);
    own_poll(name);
    if RUNS.load(Ordering::SeqCst) == 0 {
        start_second(name);
    }
    other(name);
    moved(name);
    pingpong(name);
    report::equal(format_args!("{name}.pending_at_the_end"), layout::upcall_pending(0), 0);
}

fn make(vcpu: u32) -> u32 {
    let port = event::bind_ipi(vcpu).unwrap_or(0);
    layout::unmask_quietly(port);
    port
}

/// An event to oneself arrives before the next instruction but one.
fn own(name: &str) {
    let port = make(0);
    layout::settle(0);
    report::equal(format_args!("{name}.own.send"), event::send(port), 0);
    timer::wait_for(1_000, || HANDLED.count() > 0);
    report::check(format_args!("{name}.own.handled_once"), HANDLED.is(&[port]));
    report::check(format_args!("{name}.own.one_upcall"), UPCALLS.is(&[1]));
    report::equal(format_args!("{name}.own.flag_is_clear"), layout::upcall_pending(0), 0);
    // Masked: nothing comes until it is unmasked.
    layout::mask(port);
    HANDLED.clear();
    event::send(port);
    timer::spin(1_000);
    report::check(format_args!("{name}.own.masked_does_not_come"), HANDLED.count() == 0);
    event::unmask(port);
    timer::wait_for(1_000, || HANDLED.count() > 0);
    report::check(format_args!("{name}.own.unmasked_comes"), HANDLED.is(&[port]));
    // Interrupts masked while it is sent, and let in afterwards.
    HANDLED.clear();
    registers::mask_interrupts();
    event::send(port);
    event::send(port);
    report::check(format_args!("{name}.own.waits_for_interrupts"), HANDLED.count() == 0);
    registers::unmask_interrupts();
    timer::wait_for(1_000, || HANDLED.count() > 0);
    report::check(format_args!("{name}.own.two_sends_are_one_event"), HANDLED.is(&[port]));
    // The flag that nobody cleared: what the interrupt does then.
    UPCALLS.clear();
    registers::mask_interrupts();
    event::send(port);
    let raw = gic::acknowledge();
    report::equal(format_args!("{name}.own.acknowledged"), gic::intid_of(raw), platform::get().events);
    gic::end(raw);
    let again = gic::acknowledge();
    report::fact(format_args!("{name}.own.flag_left_then"), gic::intid_of(again));
    if gic::intid_of(again) != gic::SPURIOUS {
        gic::end(again);
    }
    layout::settle(0);
    registers::unmask_interrupts();
    timer::spin(1_000);
    report::fact(format_args!("{name}.own.upcalls_after_settled"), UPCALLS.count());
    taken_early(name, port);
    event::close(port);
}

/// Everything is taken before the interrupt is let in: whether it comes all the same, with and without a look of
/// Xen's in between.
fn taken_early(name: &str, port: u32) {
    for (how, calls) in [("at_once", 0), ("after_a_hypercall", 1), ("after_a_sleep", 2)] {
        registers::mask_interrupts();
        event::send(port);
        layout::settle(0);
        match calls {
            1 => drop(xen::call(xen::XEN_VERSION, [0; 5])),
            2 => timer::sleep(1_000),
            _ => {}
        }
        timer::disarm();
        registers::unmask_interrupts();
        timer::spin(1_000);
        report::fact(format_args!("{name}.taken_early.{how}.upcalls"), UPCALLS.count());
    }
}

/// Several at once: one upcall, all of them.
fn several(name: &str) {
    let ports = [make(0), make(0), make(0), make(0)];
    layout::settle(0);
    registers::mask_interrupts();
    for port in [ports[2], ports[0], ports[3], ports[1]] {
        event::send(port);
    }
    registers::unmask_interrupts();
    timer::wait_for(1_000, || HANDLED.count() >= 4);
    report::fact(format_args!("{name}.several.order"), &HANDLED);
    report::equal(format_args!("{name}.several.upcalls"), UPCALLS.count() as u64, 1);
    for port in ports {
        event::close(port);
    }
}

/// SCHEDOP_block with an event at hand, and until a timer's interrupt.
fn own_sleep(name: &str) {
    let port = make(0);
    layout::settle(0);
    registers::mask_interrupts();
    event::send(port);
    let start = registers::counter();
    report::equal(format_args!("{name}.block.pending"), xen::call(xen::SCHED_OP, [1, 0, 0, 0, 0]), 0);
    report::check(
        format_args!("{name}.block.pending_does_not_sleep"),
        registers::counter() - start < timer::ticks(100_000),
    );
    layout::settle(0);
    gic::enable(platform::get().timers[2]);
    registers::unmask_interrupts();
    let ticks = layout::TICKS.load(Ordering::SeqCst);
    timer::arm(layout::TICK_MICROSECONDS);
    report::equal(format_args!("{name}.block.timer"), xen::call(xen::SCHED_OP, [1, 0, 0, 0, 0]), 0);
    report::check(format_args!("{name}.block.the_timer_wakes"), layout::TICKS.load(Ordering::SeqCst) > ticks);
    registers::mask_interrupts();
    timer::disarm();
    gic::disable(platform::get().timers[2]);
    registers::unmask_interrupts();
    event::close(port);
}

/// SCHEDOP_poll: what is pending, and time running out.
fn own_poll(name: &str) {
    let port = make(0);
    let other = make(0);
    layout::mask(port);
    layout::mask(other);
    layout::settle(0);
    event::send(port);
    report::equal(format_args!("{name}.poll.pending"), poll(&mut [port], 0), 0);
    report::equal(format_args!("{name}.poll.one_of_two"), poll(&mut [other, port], 0), 0);
    report::check(format_args!("{name}.poll.leaves_it_pending"), is_pending(port));
    layout::clear_pending(port);
    report::equal(format_args!("{name}.poll.deadline_is_over"), poll(&mut [port], 1), 0);
    report::fact(format_args!("{name}.poll.bad_port_among"), poll(&mut [port, 900], 1));
    report::fact(format_args!("{name}.poll.no_ports"), poll(&mut [], 1));
    if !layout::IS_FIFO.load(Ordering::SeqCst) || layout::word(port) & event::LINKED == 0 {
        event::close(port);
        event::close(other);
    }
}

fn start_second(name: &str) {
    // An event before the second vCPU has its vcpu_info waits in the shared bits.
    let port = make(1);
    event::send(port);
    report::check(format_args!("{name}.second.pending_before_it_runs"), is_pending(port));
    report::equal(format_args!("{name}.second.start"), psci::start(1, 0), 0);
    report::check(
        format_args!("{name}.second.runs"),
        timer::wait_for(SOON, || RUNS.load(Ordering::SeqCst) != 0),
    );
    timer::spin(10_000);
    HANDLED.clear();
    // Only the vCPU itself may place what belongs to one that runs.
    report::fact(format_args!("{name}.second.placed_by_first"), layout::try_place_information(1));
    ORDER.store(PLACE, Ordering::SeqCst);
    timer::wait_for(SOON, || ORDER.load(Ordering::SeqCst) == SPIN);
    report::check(
        format_args!("{name}.second.hears_once_it_is_placed"),
        timer::wait_for(SOON, || HANDLED.is(&[1 << 16 | port])),
    );
    event::close(port);
}

pub(super) fn stop_second() {
    ORDER.store(LEAVE, Ordering::SeqCst);
    report::check("second.leaves", psci::wait_off(1, SOON));
}

/// Lets the second vCPU do as ordered, waits until it sleeps, and sends.
fn wake(name: &str, how: &str, order: u64, port: u32) {
    HANDLED.clear();
    UPCALLS.clear();
    let before = ASLEEP.load(Ordering::SeqCst);
    ORDER.store(order, Ordering::SeqCst);
    if order != SPIN {
        timer::wait_for(SOON, || ASLEEP.load(Ordering::SeqCst) > before);
        timer::spin(3_000);
    }
    let asleep = ASLEEP.load(Ordering::SeqCst);
    report::check(format_args!("{name}.second.{how}.nothing_before"), HANDLED.count() == 0);
    report::equal(format_args!("{name}.second.{how}.send"), event::send(port), 0);
    if order == POLL {
        report::check(
            format_args!("{name}.second.{how}.comes_back"),
            timer::wait_for(SOON, || POLLED.load(Ordering::SeqCst) > 0),
        );
    } else {
        report::check(
            format_args!("{name}.second.{how}.handled_there"),
            timer::wait_for(SOON, || HANDLED.is(&[1 << 16 | port])),
        );
        report::check(format_args!("{name}.second.{how}.one_upcall"), UPCALLS.is(&[1 << 16 | 1]));
        if order != SPIN {
            let again = timer::wait_for(SOON, || ASLEEP.load(Ordering::SeqCst) > asleep);
            report::check(format_args!("{name}.second.{how}.goes_back_to_sleep"), again);
        }
    }
    ORDER.store(SPIN, Ordering::SeqCst);
    if order == SLEEP || order == BLOCK {
        // It is asleep again: one more event lets it see the order.
        event::send(port);
        timer::wait_for(SOON, || HANDLED.count() == 2);
    }
}

fn other(name: &str) {
    let port = make(1);
    wake(name, "busy", SPIN, port);
    wake(name, "wfi", SLEEP, port);
    wake(name, "block", BLOCK, port);
    // Polling looks at what is masked.
    layout::mask(port);
    PORT.store(port, Ordering::SeqCst);
    POLLED.store(0, Ordering::SeqCst);
    wake(name, "poll", POLL, port);
    layout::clear_pending(port);
    event::close(port);
}

/// A channel that moves from the first vCPU to the second and back.
fn moved(name: &str) {
    let first = event::alloc_unbound(DOMID_SELF, DOMID_SELF).unwrap_or(0);
    let second = event::bind_interdomain(DOMID_SELF, first).unwrap_or(0);
    layout::unmask_quietly(first);
    timer::spin(1_000);
    for (step, vcpu) in [0u32, 1, 0, 1].into_iter().enumerate() {
        report::equal(format_args!("{name}.moved.{step}.bind_vcpu"), event::bind_vcpu(first, vcpu), 0);
        HANDLED.clear();
        event::send(second);
        report::check(
            format_args!("{name}.moved.{step}.to_vcpu_{vcpu}"),
            timer::wait_for(SOON, || HANDLED.is(&[vcpu << 16 | first])),
        );
    }
    event::close(second);
    event::close(first);
    timer::spin(1_000);
}

/// Events there and back between the two vCPUs.
fn pingpong(name: &str) {
    const ROUNDS: u32 = 50;
    let there = make(1);
    let back = make(0);
    PORT.store(there, Ordering::SeqCst);
    BACK.store(back, Ordering::SeqCst);
    ANSWERED.store(layout::count(there), Ordering::SeqCst);
    let before = layout::count(back);
    timer::spin(1_000);
    ORDER.store(ANSWER, Ordering::SeqCst);
    let mut rounds = 0;
    for round in 1..=ROUNDS {
        event::send(there);
        if !timer::wait_for(SOON, || layout::count(back) - before >= round) {
            break;
        }
        rounds = round;
    }
    ORDER.store(SPIN, Ordering::SeqCst);
    report::equal(format_args!("{name}.pingpong"), rounds, ROUNDS);
    timer::spin(1_000);
    event::close(there);
    event::close(back);
}
