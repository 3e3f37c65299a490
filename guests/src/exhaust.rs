//! Uses up, one by one, what a domain has of its own: stage 2 tables, memory, ports, grant tables, and handles of mappings.
//!
//! Each function takes until there is no more, gives all of it back, and says how much there was. So a guest may go round for as
//! long as it likes, and must find the same each time.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::platform;
use crate::xen::event;
use crate::xen::grant::{self, HOST_MAP, Map, PERMIT_ACCESS, QuerySize, SetupTable, UNTOUCHED, Unmap};
use crate::xen::{self, DOMID_SELF, PAGE, Pages, memory};

/// Where a guest may have memory and has none.
const FAR: u64 = 0x2_0000_0000;
const BLOCK: u64 = 2 << 20;
/// The most of anything that is tried, which is more than there is.
const MOST: usize = 2_048;
/// Pages that are moved to places of their own, each of which takes a table of its own.
const PAGES: u64 = 1_024;
/// References of the page that is mapped again and again, and how often by each.
const REFERENCES: core::ops::Range<u32> = 8..40;
const MAPPED: u32 = 64;

/// Ports, or handles, that are to be given back.
static TAKEN: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];
static PAGE_TO_MAP: Pages<1> = Pages::new();

fn change(command: u64, address: u64) -> bool {
    memory::reserve(command, &mut [address / PAGE], 0) == 1
}

/// A page of memory that the guest itself does not use.
fn own(page: u64) -> u64 {
    platform::get().memory[0].0 + (32 << 20) + page * PAGE
}

/// Gives a page up and asks for one at a far place; puts it back where there is no table.
fn move_page(page: u64) -> Option<bool> {
    if !change(memory::DECREASE_RESERVATION, own(page)) {
        return None;
    }
    let moved = change(memory::POPULATE_PHYSMAP, FAR + page * BLOCK);
    (moved || change(memory::POPULATE_PHYSMAP, own(page))).then_some(moved)
}

fn move_back(page: u64) -> bool {
    change(memory::DECREASE_RESERVATION, FAR + page * BLOCK) && change(memory::POPULATE_PHYSMAP, own(page))
}

/// Stage 2 tables: how many pages could be moved, or nothing if a page is lost.
#[must_use]
pub fn tables() -> Option<u64> {
    let mut moved = 0;
    while moved < PAGES && move_page(moved)? {
        moved += 1;
    }
    // Whoever gives places up has their tables for others.
    (0..moved).all(move_back).then_some(moved)
}

/// Memory: how many pages of those that were given up came back before there was no more.
#[must_use]
pub fn memory() -> Option<u64> {
    const GIVEN: u64 = 64;
    let given = (0..GIVEN).all(|page| change(memory::DECREASE_RESERVATION, own(page)));
    let back = (0..GIVEN).take_while(|page| change(memory::POPULATE_PHYSMAP, own(*page))).count() as u64;
    let more = change(memory::POPULATE_PHYSMAP, FAR);
    (given && !more).then_some(back)
}

/// Ports: how many could be made.
#[must_use]
pub fn ports() -> Option<u64> {
    let count = take(|_| event::alloc_unbound(DOMID_SELF, DOMID_SELF).ok());
    TAKEN[..count].iter().all(|port| event::close(port.load(Ordering::Relaxed)) == 0).then_some(count as u64)
}

/// Takes until there is no more, and keeps in mind what it has got.
fn take(one: impl Fn(u64) -> Option<u32>) -> usize {
    let got = (0..).zip(&TAKEN).map_while(|(index, place)| {
        place.store(one(index)?, Ordering::Relaxed);
        Some(())
    });
    got.count()
}

/// Frames of the grant table: how many there can be, once more than that were refused. They are never given back.
#[must_use]
pub fn grant_frames() -> Option<u64> {
    let mut size = [QuerySize { domain: DOMID_SELF, frames: 0, most: 0, status: UNTOUCHED }];
    grant::ask(grant::QUERY_SIZE, &mut size);
    let mut list = [0_u64; 256];
    let mut ask = |frames| {
        let list = list.as_mut_ptr() as u64;
        let mut request = [SetupTable { domain: DOMID_SELF, frames, status: UNTOUCHED, list }];
        grant::ask(grant::SETUP_TABLE, &mut request);
        request[0].status
    };
    (ask(size[0].most) == 0 && ask(size[0].most + 1) != 0).then_some(u64::from(size[0].most))
}

/// Handles: how often the domain, which is `domain`, could map a page that it has granted to itself.
#[must_use]
pub fn handles(domain: u16) -> Option<u64> {
    mappings(domain, PAGE)
}

/// Stage 2 tables of a domain that may not move its memory: how many places of a GiB each, and so of two tables each, it could
/// map a granted page to.
#[must_use]
pub fn far_tables(domain: u16) -> Option<u64> {
    mappings(domain, 1 << 30)
}

/// Maps a page that the domain grants to itself as often as there is room, every `step` bytes, and unmaps it.
fn mappings(domain: u16, step: u64) -> Option<u64> {
    let table = xen::free_frame() + 1;
    memory::add_to_physmap(memory::SPACE_GRANT_TABLE, 0, table);
    for reference in REFERENCES {
        let entry = event::word64((table * PAGE) as usize + reference as usize * 8);
        let granted = u64::from(PERMIT_ACCESS) | u64::from(domain) << 16 | PAGE_TO_MAP.frame(0) << 32;
        entry.store(granted, Ordering::SeqCst);
    }
    let place = |index: u64| FAR + BLOCK + index * step;
    let count = take(|index| map(domain, REFERENCES.start + index as u32 / MAPPED, place(index)));
    let unmapped = (0..).zip(&TAKEN[..count]).all(|(index, handle)| {
        let (address, handle) = (place(index), handle.load(Ordering::Relaxed));
        let mut request = [Unmap { address, device_address: 0, handle, status: UNTOUCHED }];
        grant::ask(grant::UNMAP, &mut request);
        request[0].status == 0
    });
    unmapped.then_some(count as u64)
}

fn map(domain: u16, reference: u32, address: u64) -> Option<u32> {
    let (flags, status) = (HOST_MAP, UNTOUCHED);
    let mut request = [Map { address, flags, reference, domain, status, handle: 0, device_address: 0 }];
    grant::ask(grant::MAP, &mut request);
    (request[0].status == 0).then_some(request[0].handle)
}
