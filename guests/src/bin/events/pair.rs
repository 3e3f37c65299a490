//! A static event channel to another domain.

use guests::xen::event;
use guests::{gic, platform, registers, report, timer, xen};

use crate::layout;
use crate::ports;

/// Rounds there and back.
const ROUNDS: u32 = 100;
/// Microseconds for one of them; the first waits until the peer runs.
const SOON: u64 = 20_000_000;
/// Microseconds until an event of the start has been taken, and until the peer has done so as well.
const SETTLED: u64 = 100_000;
const UP: u64 = 3_000_000;

pub(super) fn all(port: u32) {
    match event::status(xen::DOMID_SELF, port) {
        Ok(seen) => {
            report::equal("pair.status", seen.status, 2);
            report::equal("pair.vcpu", seen.vcpu, 0);
            report::fact("pair.peer", format_args!("{:#x} {:#x}", seen.one, seen.two));
        }
        Err(error) => report::fact("pair.status", error),
    }
    let first = platform::flag("events.first");
    // Binding may have left an event at this end; the peer sends none yet.
    timer::spin(SETTLED);
    let before = layout::count(port);
    let pending = layout::is_pending(port) || before != 0;
    report::fact("pair.pending_at_start", pending);
    // The ports beside it are free, and the next one is the lowest.
    ports::status(format_args!("pair.port_below"), port - 1);
    let lowest = event::bind_ipi(0);
    ports::result(format_args!("pair.lowest"), lowest);
    event::close(lowest.unwrap_or(0));
    layout::unmask_quietly(port);
    // The sleeper looks at the clock from time to time.
    gic::enable(platform::get().timers[2]);
    let mut rounds = 0;
    if first {
        timer::spin(UP);
    }
    for round in 1..=ROUNDS {
        if first {
            event::send(port);
        }
        if !sleep_until(|| layout::count(port) - before >= round) {
            break;
        }
        if !first {
            event::send(port);
        }
        rounds = round;
    }
    report::equal("pair.rounds", rounds, ROUNDS);
    report::fact("pair.bind_vcpu_to_none", event::bind_vcpu(port, 9));
    report::fact("pair.close", event::close(port));
    ports::status(format_args!("pair.closed"), port);
    report::fact("pair.reset", event::reset(xen::DOMID_SELF));
    ports::status(format_args!("pair.after_reset"), port);
    timer::spin(100_000);
    report::fact("pair.send_at_last", event::send(port));
}

/// Sleeps, interrupts masked from look to sleep, until a condition holds.
fn sleep_until(condition: impl Fn() -> bool) -> bool {
    let end = registers::counter() + timer::ticks(SOON);
    while !condition() {
        if registers::counter() > end {
            return false;
        }
        registers::mask_interrupts();
        if !condition() {
            timer::arm(10_000);
            registers::wfi();
        }
        registers::unmask_interrupts();
        timer::disarm();
    }
    true
}
