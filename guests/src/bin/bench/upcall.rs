//! Events taken by hand: the pages in which the hypervisor says that there are some, read and cleared without a
//! handler, interrupts masked.

use core::sync::atomic::Ordering;

use guests::xen::event::{self, word64};
use guests::xen::{self, Pages, memory};

/// vcpu_info.
static INFORMATION: Pages<1> = Pages::new();

/// Maps shared_info and places vcpu_info; whether both were granted.
pub(super) fn prepare() -> bool {
    if memory::add_to_physmap(memory::SPACE_SHARED_INFO, 0, xen::free_frame()) != 0 {
        return false;
    }
    let mut place = [INFORMATION.frame(0), 0];
    // It can be placed once; whoever prepares again finds it there.
    xen::call(xen::VCPU_OP, [10, 0, xen::handle(&mut place), 0, 0]);
    true
}

/// The address of shared_info.
fn shared() -> usize {
    (xen::free_frame() * xen::PAGE) as usize
}

/// The address of vcpu_info, which begins with the byte that says whether an event is pending.
pub(super) fn information() -> usize {
    INFORMATION.address()
}

/// The address of the word with the pending bit of one of the first 64 ports.
pub(super) fn pending() -> usize {
    shared() + event::SHARED_PENDING
}

/// Takes back all that says that this port, one of the first 64, is pending.
pub(super) fn clear(port: u32) {
    word64(pending()).fetch_and(!(1 << port), Ordering::SeqCst);
    word64(information() + 8).store(0, Ordering::SeqCst);
    word64(information()).store(0, Ordering::SeqCst);
}

/// Makes the port's bit pending by hand.
pub(super) fn set(port: u32) {
    word64(pending()).fetch_or(1 << port, Ordering::SeqCst);
}

/// Whether the port, one of the first 64, is pending.
pub(super) fn is_pending(port: u32) -> bool {
    word64(pending()).load(Ordering::SeqCst) & 1 << port != 0
}

/// Masks the port, or lets it through.
pub(super) fn mask(port: u32, masked: bool) {
    let word = word64(shared() + event::SHARED_MASK);
    if masked {
        word.fetch_or(1 << port, Ordering::SeqCst);
    } else {
        word.fetch_and(!(1 << port), Ordering::SeqCst);
    }
}
