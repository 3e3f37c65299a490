//! Event channels within one domain.

use guests::xen::{self, EVENT_CHANNEL_OP, event};
use guests::{gic, platform};

use super::hypercall::{not_asleep, on};
use super::{interrupts, sample, upcall};

pub(super) fn all() {
    if !upcall::prepare() {
        return;
    }
    let Ok(port) = event::bind_ipi(0) else { return };
    upcall::clear(port);
    upcall::mask(port, true);
    let mut argument = [port, 0];
    sample("evtchn.send_masked", || {
        upcall::clear(port);
        on(EVENT_CHANNEL_OP, event::SEND, &mut argument)
    });
    upcall::set(port);
    sample("evtchn.send_pending", || on(EVENT_CHANNEL_OP, event::SEND, &mut argument));
    upcall::clear(port);
    sample("evtchn.unmask", || on(EVENT_CHANNEL_OP, event::UNMASK, &mut argument));
    gic::enable(platform::get().events);
    let own = |argument: &mut [u32; 2], end: fn((u64, u64)) -> u64| {
        upcall::clear(port);
        end(interrupts::own_event(xen::handle(argument)))
    };
    sample("evtchn.self_ipi.entry", || own(&mut argument, |(entry, _)| entry));
    sample("evtchn.self_ipi.eoi", || own(&mut argument, |(_, eoi)| eoi));
    not_asleep(port);
    gic::disable(platform::get().events);
    event::close(port);
    let mut bind = [0u32; 2];
    sample("evtchn.bind_close", || {
        bind[0] = 0;
        let ticks = on(EVENT_CHANNEL_OP, event::BIND_IPI, &mut bind);
        ticks + on(EVENT_CHANNEL_OP, event::CLOSE, &mut [bind[1], 0])
    });
}
