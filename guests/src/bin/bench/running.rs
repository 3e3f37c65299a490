//! An event over a static channel to a vCPU that runs: from before the call to the first instruction of the handler.
//!
//! The two domains have no virtual counter in common, but the physical one, so that one can say when its handler began
//! and the other take the difference. It says so in the first page that it has granted. Both go through the same
//! rounds: the receiver says that it is ready and looks, the sender sends.

use core::sync::atomic::{AtomicU64, Ordering};

use guests::xen::event::{Words, word64};
use guests::{registers, timer};

use super::hypercall::refuse_unless;
use super::{grants, interrupts, rounds, sample, upcall};

/// The figure.
pub(super) const NAME: &str = "evtchn.static_running";
/// The words of the page: the round for which the receiver is ready, and when its handler began.
const READY: usize = 0;
const BEGAN: usize = 8;
/// Microseconds for the receiver to come from saying that it is ready to its loop.
const SOON: u64 = 20;
/// Microseconds for anything.
const LIMIT: u64 = 1_000_000;

fn word(page: usize, offset: usize) -> &'static AtomicU64 {
    word64(page + offset)
}

/// The sender, whose peer has granted `page`, at its port.
pub(super) fn send(port: u32, page: usize) {
    let mut argument: Words = [port, 0, 0, 0];
    let mut round = 0;
    sample(NAME, || {
        round += 1;
        let ready = timer::wait_for(LIMIT, || word(page, READY).load(Ordering::SeqCst) == round);
        refuse_unless(ready);
        timer::spin(SOON);
        word(page, BEGAN).store(0, Ordering::SeqCst);
        let start = interrupts::send_and_look(&mut argument, page + BEGAN);
        word(page, BEGAN).load(Ordering::SeqCst) - start
    });
}

/// The receiver at its port.
pub(super) fn receive(port: u32) {
    let page = grants::first();
    // Where the physical counter is, seen from the virtual one: the second reading is one instruction later.
    let physical = registers::physical_counter();
    let ahead = physical.wrapping_add(1).wrapping_sub(registers::counter_now());
    for round in 1..=rounds() as u64 {
        word(page, READY).store(round, Ordering::SeqCst);
        let entry = interrupts::look();
        upcall::clear(port);
        word(page, BEGAN).store(entry.wrapping_add(ahead), Ordering::SeqCst);
    }
}
