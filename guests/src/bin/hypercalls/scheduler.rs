//! sched_op: what needs no event channels. Sleeping and polling for events are in the guest for these.

use guests::{report, xen};

fn ask(command: u64, address: u64) -> i64 {
    xen::op_at(xen::SCHED_OP, command, address)
}

pub(super) fn all() {
    report::fact("sched_op.yield", ask(0, 0));
    report::fact("sched_op.yield.pointer_is_ignored", ask(0, 1 << 48));
    for command in [8u64, 9, 63, 0xffff_ffff] {
        let mut buffer = [0u64; 8];
        report::fact(format_args!("sched_op.unknown.{command}"), ask(command, xen::handle(&mut buffer)));
    }
    for command in [2u64, 3, 4, 5, 6, 7] {
        report::fact(format_args!("sched_op.{command}.null"), ask(command, 0));
    }
    for domain in [0u64, 1, 2, 9, 0x7ff0, 0x7ff4] {
        let mut request = [domain];
        report::fact(format_args!("sched_op.remote_shutdown.{domain:#x}"), ask(4, xen::handle(&mut request)));
    }
    for reason in [0u64, 1, 5, 6, 0xffff_ffff] {
        let mut request = [reason];
        report::fact(format_args!("sched_op.shutdown_code.{reason:#x}"), ask(5, xen::handle(&mut request)));
    }
    let mut request = [0u64];
    report::fact("sched_op.shutdown_code.0", ask(5, xen::handle(&mut request)));
    for processor in [0i32, 1, 99, -1] {
        let mut request = [processor, 0];
        report::fact(format_args!("sched_op.pin_override.{processor}"), ask(7, xen::handle(&mut request)));
    }
    watchdog();
    poll();
}

/// sched_watchdog: one made, poked and taken away, all of them, one too many.
fn watchdog() {
    let dog = |id: u32, seconds: u32| {
        let mut request = u64::from(id) | u64::from(seconds) << 32;
        ask(6, xen::handle(&mut request))
    };
    // None of no time is left out: it fires at once and ends the domain.
    report::fact("watchdog.poke_none", dog(1, 10));
    report::fact("watchdog.stop_none", dog(1, 0));
    report::fact("watchdog.make", dog(0, 600));
    report::fact("watchdog.make_second", dog(0, 600));
    report::fact("watchdog.make_third", dog(0, 600));
    report::fact("watchdog.poke", dog(1, 600));
    for id in [3u32, 4, 33, 0xffff_ffff] {
        report::fact(format_args!("watchdog.poke.{id}"), dog(id, 600));
        report::fact(format_args!("watchdog.stop.{id}"), dog(id, 0));
    }
    report::fact("watchdog.stop", dog(1, 0));
    report::fact("watchdog.stop_second", dog(2, 0));
    report::fact("watchdog.stop_again", dog(1, 0));
}

/// sched_poll: errors, and time running out.
fn poll() {
    let poll = |ports: u64, count: u32, timeout: u64| {
        let mut request = [ports, u64::from(count), timeout];
        ask(3, xen::handle(&mut request))
    };
    let mut ports = [0u32; 130];
    let address = xen::handle(&mut ports);
    report::fact("poll.none", poll(0, 0, 1));
    report::fact("poll.null", poll(0, 1, 1));
    report::fact("poll.port_zero", poll(address, 1, 1));
    report::fact("poll.128_ports", poll(address, 128, 1));
    report::fact("poll.129_ports", poll(address, 129, 1));
    ports[0] = 5;
    report::fact("poll.free_port", poll(xen::handle(&mut ports), 1, 1));
    ports[0] = 0xffff_ffff;
    report::fact("poll.no_port", poll(xen::handle(&mut ports), 1, 1));
    ports[0] = 4096;
    report::fact("poll.port_4096", poll(xen::handle(&mut ports), 1, 1));
}
