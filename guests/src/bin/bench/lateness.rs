//! How late a timer's interrupt comes that becomes due inside a long hypercall: the longest that the hypervisor goes
//! on without looking for interrupts, plus the way to the handler.
//!
//! `irqlate.X` is for an interrupt that is due after a tenth of the call, `irqlate.X.worst` the largest of those that
//! are due at even distances over the whole of it.

use guests::xen::memory::{DECREASE_RESERVATION, POPULATE_PHYSMAP};
use guests::xen::{MEMORY_OP, MULTICALL, XEN_VERSION};
use guests::{gic, platform, report};

use super::hypercall::{Entry, hypercall};
use super::interrupts::late;
use super::memory::{ask_unmeasured, request};
use super::{is_wanted, sample_few};

/// Points at which an interrupt becomes due.
const POINTS: u64 = 32;

pub(super) fn all() {
    gic::enable(platform::get().timers[2]);
    let reservation = |command, count, order| [MEMORY_OP, command, request(count, order), 0];
    for (name, count, order) in [("decrease_2m", 1, 9), ("decrease_512x4k", 512, 0)] {
        let undo = || {
            ask_unmeasured(POPULATE_PHYSMAP, count, order);
        };
        measure(name, || reservation(DECREASE_RESERVATION, count, order), undo);
    }
    for (name, count, order) in [("populate_2m", 1, 9), ("populate_512x4k", 512, 0)] {
        let before = || {
            ask_unmeasured(DECREASE_RESERVATION, count, order);
            reservation(POPULATE_PHYSMAP, count, order)
        };
        measure(name, before, || {});
    }
    let mut entries: [Entry; 64] = [[XEN_VERSION, 0, 0, 0, 0, 0, 0, 0]; 64];
    let address = entries.as_mut_ptr() as u64;
    measure("multicall64", || [MULTICALL, address, 64, 0], || {});
    gic::disable(platform::get().timers[2]);
}

/// Both figures of a call: what must be before it, which gives the call, and what takes it back.
fn measure(name: &str, before: impl Fn() -> [u64; 4], undo: impl Fn()) {
    if !is_wanted(format_args!("irqlate.{name}")) {
        return;
    }
    let whole = || {
        let [number, x0, x1, x2] = before();
        let ticks = hypercall(number, x0, x1, x2);
        undo();
        ticks
    };
    whole();
    let duration = whole();
    let once = |distance: u64| {
        let ticks = late(distance, before());
        undo();
        super::settle();
        ticks
    };
    sample_few(format_args!("irqlate.{name}"), 20, || once(duration / 10));
    let (mut least, mut most) = (u64::MAX, 0);
    for point in 0..POINTS {
        let ticks = once(duration * point / POINTS + 20);
        (least, most) = (least.min(ticks), most.max(ticks));
    }
    report::figure(format_args!("irqlate.{name}.worst"), most, least, most);
}
