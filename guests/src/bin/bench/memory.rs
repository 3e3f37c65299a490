//! Memory that a domain gives back and gets again, in the middle of what it has.

use core::sync::atomic::Ordering;

use guests::platform;
use guests::xen::event::word64;
use guests::xen::memory::{self, AddToPhysmap, DECREASE_RESERVATION, POPULATE_PHYSMAP, RemoveFromPhysmap};
use guests::xen::{self, DOMID_SELF, MEMORY_OP, Pages};

use super::hypercall::{Call, hypercall, unmeasured};
use super::{sample, sample_few};

/// The list of frames, and behind it the request.
static LISTS: Pages<2> = Pages::new();

/// The frame in the middle of the domain's memory.
fn middle() -> u64 {
    let (base, size) = platform::get().memory[0];
    (base + size / 2) / xen::PAGE
}

/// The address of a request for so many extents of an order, one behind the other from the middle on.
pub(super) fn request(count: u64, order: u32) -> u64 {
    for index in 0..count {
        let frame = middle() + (index << order);
        word64(LISTS.address() + index as usize * 8).store(frame, Ordering::SeqCst);
    }
    let address = LISTS.address() + 4096;
    // xen_memory_reservation: the list, its length, order and flags, whose.
    let words = [LISTS.address() as u64, count, u64::from(order), u64::from(DOMID_SELF)];
    for (index, word) in words.into_iter().enumerate() {
        word64(address + index * 8).store(word, Ordering::SeqCst);
    }
    address as u64
}

/// The ticks that a request takes.
pub(super) fn ask(command: u64, count: u64, order: u32) -> u64 {
    hypercall(MEMORY_OP, command, request(count, order), 0)
}

/// The same, not measured.
pub(super) fn ask_unmeasured(command: u64, count: u64, order: u32) {
    unmeasured(MEMORY_OP, command, request(count, order), 0);
}

/// The ticks of giving back; then the memory comes again.
fn decrease(count: u64, order: u32) -> u64 {
    let ticks = ask(DECREASE_RESERVATION, count, order);
    ask_unmeasured(POPULATE_PHYSMAP, count, order);
    ticks
}

/// The ticks of getting again what has just been given back.
fn populate(count: u64, order: u32) -> u64 {
    ask_unmeasured(DECREASE_RESERVATION, count, order);
    ask(POPULATE_PHYSMAP, count, order)
}

pub(super) fn all() {
    mappings();
    // The first page breaks its block of 2 MiB.
    populate(1, 0);
    sample("mem.decrease_4k", || decrease(1, 0));
    sample("mem.populate_4k", || populate(1, 0));
    sample_few("mem.decrease_2m", 20, || decrease(1, 9));
    sample_few("mem.populate_2m", 20, || populate(1, 9));
    sample_few("mem.decrease_64x4k", 50, || decrease(64, 0));
    sample_few("mem.populate_64x4k", 50, || populate(64, 0));
    sample_few("mem.decrease_512x4k", 20, || decrease(512, 0));
    sample_few("mem.populate_512x4k", 20, || populate(512, 0));
}

/// A page of the hypervisor's that comes and goes: shared_info.
fn mappings() {
    let frame = xen::free_frame();
    let mut map =
        AddToPhysmap { domain: DOMID_SELF, size: 0, space: memory::SPACE_SHARED_INFO, index: 0, frame };
    let mut unmap = RemoveFromPhysmap { domain: DOMID_SELF, frame };
    let (map, unmap) = (xen::handle(&mut map), xen::handle(&mut unmap));
    let pair = |unmapping: Call, mapping: Call| {
        unmapping(MEMORY_OP, memory::REMOVE_FROM_PHYSMAP, unmap, 0)
            + mapping(MEMORY_OP, memory::ADD_TO_PHYSMAP, map, 0)
    };
    sample("mem.unmap_shared", || pair(hypercall, unmeasured));
    sample("mem.map_shared", || pair(unmeasured, hypercall));
}
