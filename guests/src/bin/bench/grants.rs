//! Grants: mapped, unmapped and copied, of the domain itself or of its peer.

use core::sync::atomic::Ordering;

use guests::xen::event::word64;
use guests::xen::grant::{self, Copy, HOST_MAP, Map, SOURCE_REFERENCE, Side, TARGET_REFERENCE, Unmap};
use guests::xen::{self, DOMID_SELF, GRANT_TABLE_OP, Pages, memory};

use super::hypercall::{Call, hypercall, on, refuse_unless, unmeasured};
use super::{sample, sample_few};

/// What is granted and copied.
static PAGES: Pages<16> = Pages::new();
/// The first of as many references as there are pages.
const FIRST: usize = 8;
/// How many at a time.
const MANY: usize = 16;

/// The own domain's number, which mapping wants; the tests run this guest as the first.
const OWN: u16 = 1;

/// Grants all pages to a domain; whether there is a table for it.
pub(super) fn grant_to(domain: u16) -> bool {
    let table = xen::free_frame() + 1;
    if memory::add_to_physmap(memory::SPACE_GRANT_TABLE, 0, table) != 0 {
        return false;
    }
    for page in 0..MANY {
        let entry = u64::from(grant::PERMIT_ACCESS) | u64::from(domain) << 16 | PAGES.frame(page) << 32;
        word64((table * xen::PAGE) as usize + (FIRST + page) * 8).store(entry, Ordering::SeqCst);
    }
    true
}

/// A page's place among those that are mapped.
fn place(index: usize) -> u64 {
    (xen::free_frame() + 0x400 + index as u64) * xen::PAGE
}

fn map(domain: u16, index: usize) -> Map {
    let reference = (FIRST + index) as u32;
    Map { address: place(index), flags: HOST_MAP, reference, domain, status: 0, handle: 0, device_address: 0 }
}

/// Maps so many grants of a domain in one call and unmaps them in another; the ticks of those that are measured.
fn pair<const COUNT: usize>(domain: u16, mapping: Call, unmapping: Call) -> u64 {
    let mut maps: [Map; COUNT] = core::array::from_fn(|index| map(domain, index));
    let count = COUNT as u64;
    let ticks = mapping(GRANT_TABLE_OP, grant::MAP, maps.as_mut_ptr() as u64, count);
    let mut unmaps: [Unmap; COUNT] = core::array::from_fn(|index| Unmap {
        address: place(index),
        device_address: 0,
        handle: maps[index].handle,
        status: 0,
    });
    let ticks = ticks + unmapping(GRANT_TABLE_OP, grant::UNMAP, unmaps.as_mut_ptr() as u64, count);
    refuse_unless(maps.iter().all(|map| map.status == 0) && unmaps.iter().all(|unmap| unmap.status == 0));
    ticks
}

/// Copies bytes between the first reference of a domain and an own page.
fn copy(domain: u16, length: u16, flags: u16) -> u64 {
    let side = |by_reference: bool, page: usize| {
        let own = Side { what: PAGES.frame(page), domain: DOMID_SELF, offset: 0 };
        if by_reference { Side { what: (FIRST + page) as u64, domain, offset: 0 } } else { own }
    };
    let mut copy = Copy {
        source: side(flags & SOURCE_REFERENCE != 0, 1),
        target: side(flags & TARGET_REFERENCE != 0, 2),
        length,
        flags,
        status: 0,
    };
    let ticks = on(GRANT_TABLE_OP, grant::COPY, &mut copy);
    refuse_unless(copy.status == 0);
    ticks
}

/// The domain is its own peer.
pub(super) fn own() {
    if !grant_to(OWN) {
        return;
    }
    sample("gnttab.map_self", || pair::<1>(OWN, hypercall, unmeasured));
    sample("gnttab.unmap_self", || pair::<1>(OWN, unmeasured, hypercall));
    sample_few("gnttab.map16_self", 50, || pair::<MANY>(OWN, hypercall, unmeasured));
    sample_few("gnttab.unmap16_self", 50, || pair::<MANY>(OWN, unmeasured, hypercall));
    sample("gnttab.copy4k_frame_frame", || copy(DOMID_SELF, 4096, 0));
    sample("gnttab.copy4k_ref_frame", || copy(DOMID_SELF, 4096, SOURCE_REFERENCE));
    sample("gnttab.copy4k_frame_ref", || copy(DOMID_SELF, 4096, TARGET_REFERENCE));
    sample("gnttab.copy64_ref_frame", || copy(DOMID_SELF, 64, SOURCE_REFERENCE));
    let mut version = [u64::from(DOMID_SELF), 0];
    sample("gnttab.get_version", || on(GRANT_TABLE_OP, grant::GET_VERSION, &mut version));
    let mut size = [u64::from(DOMID_SELF), 0];
    sample("gnttab.query_size", || on(GRANT_TABLE_OP, grant::QUERY_SIZE, &mut size));
}

/// The address of the first page, which is granted first.
pub(super) fn first() -> usize {
    PAGES.address()
}

/// Lets `work` have the address of the first page that a domain has granted, mapped meanwhile.
pub(super) fn with_first_of_peer(peer: u16, work: impl FnOnce(usize)) {
    let mut maps = [map(peer, 0)];
    let is_mapped = grant::ask(grant::MAP, &mut maps) == 0 && maps[0].status == 0;
    refuse_unless(is_mapped);
    if !is_mapped {
        return;
    }
    work(place(0) as usize);
    let mut unmaps = [Unmap { address: place(0), device_address: 0, handle: maps[0].handle, status: 0 }];
    refuse_unless(grant::ask(grant::UNMAP, &mut unmaps) == 0 && unmaps[0].status == 0);
}

/// Another domain has granted its pages to this one.
pub(super) fn of_peer(peer: u16) {
    sample("gnttab.map_remote", || pair::<1>(peer, hypercall, unmeasured));
    sample("gnttab.unmap_remote", || pair::<1>(peer, unmeasured, hypercall));
    sample_few("gnttab.map16_remote", 50, || pair::<MANY>(peer, hypercall, unmeasured));
    sample_few("gnttab.unmap16_remote", 50, || pair::<MANY>(peer, unmeasured, hypercall));
    sample("gnttab.copy4k_from_remote", || copy(peer, 4096, SOURCE_REFERENCE));
    sample("gnttab.copy4k_to_remote", || copy(peer, 4096, TARGET_REFERENCE));
}
