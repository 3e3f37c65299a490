//! The two-level layout, seen with interrupts masked: pending bits, masks, selector, the upcall's flag and its level.

use core::sync::atomic::Ordering;

use guests::xen::DOMID_SELF;
use guests::xen::event::{self, word64};
use guests::{gic, platform, report};

use crate::layout::{
    self, clear_pending, clear_selector, clear_upcall, is_pending, mask, selector, shared, upcall_pending,
};

pub(super) fn all() {
    first_slot();
    registration();
    let port = event::bind_ipi(0).unwrap_or(0);
    report::equal("two_level.bind_ipi", port, 1);
    sending(port);
    masking(port);
    unmasking(port);
    self_loop();
    words();
    report::equal("two_level.close", event::close(port), 0);
}

fn shared_words(array: usize) -> (u64, u64) {
    let words = (0..64).map(|index| word64(shared() + array + index * 8).load(Ordering::SeqCst));
    words.fold((u64::MAX, 0), |(all, any), word| (all & word, any | word))
}

/// Before its vcpu_info is placed, the first vCPU has the slot in shared_info.
fn first_slot() {
    let (all, any) = shared_words(event::SHARED_MASK);
    report::fact("shared_info.masks", format_args!("{all:#x} {any:#x}"));
    let (all, any) = shared_words(event::SHARED_PENDING);
    report::fact("shared_info.pending", format_args!("{all:#x} {any:#x}"));
    let slot = |index: usize| word64(shared() + index * 8).load(Ordering::SeqCst);
    report::fact("shared_info.slot", format_args!("{:#x} {:#x}", slot(0), slot(1)));
    report::fact(
        "shared_info.time",
        format_args!("{:#x} {:#x} {:#x} {:#x}", slot(2), slot(3), slot(4), slot(5)),
    );
    let clock = shared() + event::SHARED_WALL_CLOCK;
    let word = |index: usize| event::word32(clock + index * 4).load(Ordering::SeqCst);
    report::fact("shared_info.wall_clock_version", word(0));
    guests::say!("note shared_info.wall_clock {} {} {}", word(1), word(2), word(3));
    let rest = (clock + 16..shared() + 4096).step_by(8).map(|address| word64(address).load(Ordering::SeqCst));
    report::fact("shared_info.rest", format_args!("{:#x}", rest.fold(0, |any, word| any | word)));
    // Ports that were sent to in the tests before are forgotten.
    for index in 0..64 {
        word64(shared() + event::SHARED_PENDING + index * 8).store(0, Ordering::SeqCst);
    }
    word64(shared()).store(0, Ordering::SeqCst);
    word64(shared() + 8).store(0, Ordering::SeqCst);
    let port = event::bind_ipi(0).unwrap_or(0);
    layout::unmask_quietly(port);
    report::fact("first_slot.send", event::send(port));
    report::fact("first_slot.after_send", format_args!("{:#x} {:#x}", slot(0), slot(1)));
    report::check("first_slot.pending", is_pending(port));
    report::fact("first_slot.close", event::close(port));
    report::check("first_slot.close_clears_pending", !is_pending(port));
    report::fact("first_slot.after_close", format_args!("{:#x} {:#x}", slot(0), slot(1)));
}

/// vcpu_info moves to a page of our own.
fn registration() {
    let slot = |index: usize| word64(shared() + index * 8).load(Ordering::SeqCst);
    word64(shared()).store(0, Ordering::SeqCst);
    word64(shared() + 8).store(0x40, Ordering::SeqCst);
    layout::place_information(0);
    report::fact("registration.upcall_pending", upcall_pending(0));
    report::fact("registration.selector", format_args!("{:#x}", selector(0)));
    report::fact("registration.old_slot", format_args!("{:#x} {:#x}", slot(0), slot(1)));
    clear_upcall(0);
    clear_selector(0);
}

fn is_level_high() -> bool {
    gic::is_pending(platform::get().events)
}

fn state(name: &str, port: u32) {
    report::fact(
        format_args!("two_level.{name}"),
        format_args!(
            "pending {} masked {} selector {:#x} upcall {}",
            is_pending(port),
            layout::is_masked(port),
            selector(0),
            upcall_pending(0)
        ),
    );
}

fn forget(port: u32) {
    clear_pending(port);
    clear_selector(0);
    clear_upcall(0);
}

fn sending(port: u32) {
    layout::unmask_quietly(port);
    state("before", port);
    report::equal("two_level.send", event::send(port), 0);
    state("sent", port);
    report::strict("two_level.sent.interrupt_is_pending", is_level_high());
    report::equal("two_level.send_pending", event::send(port), 0);
    state("sent_again", port);
    // The guest takes the bit and the selector, but leaves the flag.
    clear_pending(port);
    clear_selector(0);
    report::equal("two_level.send_with_flag_left", event::send(port), 0);
    state("sent_with_flag_left", port);
    forget(port);
    report::equal(
        "two_level.send_with_selector",
        {
            word64(layout::information(0) + 8).store(1, Ordering::SeqCst);
            event::send(port)
        },
        0,
    );
    state("sent_with_selector_left", port);
    forget(port);
}

fn masking(port: u32) {
    mask(port);
    report::equal("two_level.masked.send", event::send(port), 0);
    state("masked.sent", port);
    forget(port);
    layout::unmask_quietly(port);
    state("masked.unmasked_quietly", port);
}

fn unmasking(port: u32) {
    mask(port);
    report::equal("two_level.unmask.send", event::send(port), 0);
    report::equal("two_level.unmask", event::unmask(port), 0);
    state("unmasked", port);
    forget(port);
    report::equal("two_level.unmask_without_event", event::unmask(port), 0);
    state("unmasked_without_event", port);
    mask(port);
    report::equal("two_level.unmask_masked_without_event", event::unmask(port), 0);
    state("unmasked_masked_without_event", port);
    report::equal("two_level.unmask_unmasked.send", event::send(port), 0);
    clear_selector(0);
    clear_upcall(0);
    // Pending and not masked: there is nothing to unmask, so nothing is told again.
    report::equal("two_level.unmask_unmasked", event::unmask(port), 0);
    state("unmasked_unmasked", port);
    forget(port);
}

/// A channel whose ends are both ours.
fn self_loop() {
    let first = event::alloc_unbound(DOMID_SELF, DOMID_SELF).unwrap_or(0);
    layout::unmask_quietly(first);
    let second = event::bind_interdomain(DOMID_SELF, first).unwrap_or(0);
    report::fact("self_loop.ports", format_args!("{first} {second}"));
    state("self_loop.bound.first", first);
    state("self_loop.bound.second", second);
    layout::unmask_quietly(second);
    forget(first);
    forget(second);
    report::equal("self_loop.send_first", event::send(first), 0);
    state("self_loop.sent_first.first", first);
    state("self_loop.sent_first.second", second);
    forget(second);
    report::equal("self_loop.send_second", event::send(second), 0);
    state("self_loop.sent_second.first", first);
    state("self_loop.sent_second.second", second);
    report::equal("self_loop.close", event::close(second), 0);
    state("self_loop.closed.first", first);
    report::equal("self_loop.close_first", event::close(first), 0);
    state("self_loop.closed_first.first", first);
    forget(first);
}

/// Ports in other words: 63, 64, and the last.
fn words() {
    let mut port = 0;
    while let Ok(made) = event::bind_ipi(0) {
        port = made;
        layout::unmask_quietly(made);
        if ![63, 64, 127, 128, 1022, 1023].contains(&made) {
            continue;
        }
        report::equal(format_args!("two_level.word.{made}"), event::send(made), 0);
        report::check(format_args!("two_level.word.{made}.pending"), is_pending(made));
        report::equal(format_args!("two_level.word.{made}.selector"), selector(0), 1 << (made / 64));
        forget(made);
    }
    report::fact("two_level.last_port", port);
    for made in 2..=port {
        event::close(made);
    }
    forget(1);
}
