//! Two domains: each grants pages to the other and reaches for the other's.

use guests::xen::grant::{
    self, Copy, HOST_MAP, Map, PERMIT_ACCESS, READ_ONLY, SOURCE_REFERENCE, Side, TARGET_REFERENCE, UNTOUCHED,
    Unmap,
};
use guests::xen::{self, DOMID_SELF, Pages};
use guests::{exception, mmio, platform, report, timer};

use super::table;

/// Granted to be read.
const READ: u32 = 8;
/// Granted to be written.
const WRITTEN: u32 = 9;
/// Granted, for both to say that they are done.
const DONE: u32 = 10;

static PAGES: Pages<4> = Pages::new();

const MARK: u64 = 0x6772_616e_7465_6400;

fn at() -> u64 {
    (xen::free_frame() + 0x400) * xen::PAGE
}

pub(super) fn all(other: u16) {
    mmio::write64(PAGES.address(), MARK);
    table::grant(READ, PERMIT_ACCESS | READ_ONLY, other, PAGES.frame(0));
    table::grant(WRITTEN, PERMIT_ACCESS, other, PAGES.frame(1));
    table::grant(DONE, PERMIT_ACCESS, other, PAGES.frame(2));
    if platform::flag("grants.refused") {
        // The other has had time to grant.
        timer::spin(300_000);
        refused(other);
        timer::spin(1_000_000);
        report::equal("peer.nobody_wrote", mmio::read64(PAGES.address() + 4096), 0);
        return;
    }
    let waited = timer::wait_for(20_000_000, || copy_in(other) == 0);
    report::check("peer.has_granted", waited);
    copies(other);
    mappings(other);
    let done = Side { what: u64::from(DONE), domain: other, offset: 0 };
    let own = Side { what: PAGES.frame(0), domain: DOMID_SELF, offset: 0 };
    report::fact("peer.tell", copy(own, done, 8, TARGET_REFERENCE));
    let told = timer::wait_for(20_000_000, || mmio::read64(PAGES.address() + 2 * 4096) == MARK);
    report::check("peer.was_told", told);
    report::equal("peer.was_written", mmio::read64(PAGES.address() + 4096), MARK + 1);
}

fn copy(source: Side, target: Side, length: u16, flags: u16) -> i16 {
    let mut request = [Copy { source, target, length, flags, status: UNTOUCHED }];
    let answer = grant::ask(grant::COPY, &mut request);
    if answer == 0 { request[0].status } else { i16::MAX }
}

/// Copies the first word of what the other grants for reading.
fn copy_in(other: u16) -> i16 {
    let source = Side { what: u64::from(READ), domain: other, offset: 0 };
    copy(source, Side { what: PAGES.frame(3), domain: DOMID_SELF, offset: 0 }, 8, SOURCE_REFERENCE)
}

fn map(other: u16, reference: u32, flags: u32) -> Map {
    let mut request = [Map {
        address: at(),
        flags,
        reference,
        domain: other,
        status: UNTOUCHED,
        handle: 0,
        device_address: 0,
    }];
    report::equal("peer.map.call", grant::ask(grant::MAP, &mut request), 0);
    request[0]
}

fn unmap(handle: u32) -> i16 {
    let mut request = [Unmap { address: at(), device_address: 0, handle, status: UNTOUCHED }];
    report::equal("peer.unmap.call", grant::ask(grant::UNMAP, &mut request), 0);
    request[0].status
}

fn refused(other: u16) {
    report::fact("peer.copy_from", copy_in(other));
    let own = Side { what: PAGES.frame(0), domain: DOMID_SELF, offset: 0 };
    let written = Side { what: u64::from(WRITTEN), domain: other, offset: 0 };
    report::fact("peer.copy_to", copy(own, written, 8, TARGET_REFERENCE));
    report::fact(
        "peer.copy_from_frame",
        copy(Side { what: PAGES.frame(0), domain: other, offset: 0 }, own, 8, 0),
    );
    report::fact("peer.map", map(other, READ, HOST_MAP | grant::MAP_READ_ONLY).status);
    report::fact("peer.map_written", map(other, WRITTEN, HOST_MAP).status);
    report::check("peer.nothing_is_mapped", exception::probe_read(at() as usize).is_err());
    report::equal("peer.nothing_was_read", mmio::read64(PAGES.address() + 3 * 4096), 0);
    report::equal("peer.flags", table::flags(READ) | table::flags(WRITTEN), PERMIT_ACCESS | READ_ONLY);
}

fn copies(other: u16) {
    report::equal("peer.copied", mmio::read64(PAGES.address() + 3 * 4096), MARK);
    let own = |page: usize| Side { what: PAGES.frame(page), domain: DOMID_SELF, offset: 0 };
    let theirs = |what: u64| Side { what, domain: other, offset: 0 };
    report::fact("peer.copy_to_read_only", copy(own(0), theirs(READ.into()), 8, TARGET_REFERENCE));
    report::fact("peer.copy_from_frame", copy(theirs(PAGES.frame(0)), own(3), 8, 0));
    report::fact("peer.copy_to_frame", copy(own(0), theirs(PAGES.frame(1)), 8, 0));
    report::fact("peer.copy_from_bad_reference", copy(theirs(100), own(3), 8, SOURCE_REFERENCE));
    report::fact(
        "peer.copy_there_and_there",
        copy(theirs(READ.into()), theirs(WRITTEN.into()), 8, SOURCE_REFERENCE | TARGET_REFERENCE),
    );
    // A right one by reference before one by frame number: each is judged for itself.
    let right = Copy {
        source: theirs(READ.into()),
        target: own(3),
        length: 8,
        flags: SOURCE_REFERENCE,
        status: UNTOUCHED,
    };
    let wrong =
        Copy { source: theirs(PAGES.frame(2)), target: own(3), length: 8, flags: 0, status: UNTOUCHED };
    for (name, mut requests) in [("right_wrong", [right, wrong]), ("wrong_right", [wrong, right])] {
        let answer = grant::ask(grant::COPY, &mut requests);
        report::fact(
            format_args!("peer.copy.{name}"),
            format_args!("{answer} {:?}", requests.map(|request| request.status)),
        );
    }
}

fn mappings(other: u16) {
    let seen = map(other, READ, HOST_MAP);
    report::fact("peer.map_read_only_to_write", seen.status);
    let seen = map(other, READ, HOST_MAP | grant::MAP_READ_ONLY);
    report::equal("peer.map_read_only", seen.status, 0);
    report::equal("peer.map_read_only.shows", mmio::read64(at() as usize), MARK);
    // Under Xen 4.17 a store to what is mapped for reading never ends.
    if platform::flag("strict") {
        report::strict(
            "peer.map_read_only.refuses_writes",
            exception::probe_write(at() as usize, 0).is_some(),
        );
    }
    report::equal("peer.unmap_read_only", unmap(seen.handle), 0);
    let seen = map(other, WRITTEN, HOST_MAP);
    report::equal("peer.map_to_write", seen.status, 0);
    mmio::write64(at() as usize, MARK + 1);
    // What belongs to another cannot be given back, granted on or used as the guest's own.
    let mut frames = [at() / xen::PAGE];
    report::fact(
        "peer.decrease_foreign",
        xen::memory::reserve(xen::memory::DECREASE_RESERVATION, &mut frames, 0),
    );
    report::fact("peer.foreign_is_still_there", exception::probe_read(at() as usize).is_ok());
    table::grant(11, PERMIT_ACCESS, other, at() / xen::PAGE);
    let own = Side { what: u64::from(11u32), domain: DOMID_SELF, offset: 0 };
    report::fact(
        "peer.copy_from_granted_on",
        copy(own, Side { what: PAGES.frame(3), domain: DOMID_SELF, offset: 0 }, 8, SOURCE_REFERENCE),
    );
    report::fact(
        "peer.copy_from_foreign_frame",
        copy(
            Side { what: at() / xen::PAGE, domain: DOMID_SELF, offset: 0 },
            Side { what: PAGES.frame(3), domain: DOMID_SELF, offset: 0 },
            8,
            0,
        ),
    );
    let mut request = [at() / xen::PAGE, 0];
    report::fact(
        "peer.vcpu_info_in_foreign",
        xen::call(xen::VCPU_OP, [10, 0, xen::handle(&mut request), 0, 0]),
    );
    report::fact(
        "peer.init_control_in_foreign",
        xen::event::init_control(at() / xen::PAGE, 0, 0).err().unwrap_or(0),
    );
    report::fact("peer.buffer_in_foreign", xen::op_at(xen::XEN_VERSION, 6, at() + 2048));
    report::fact("peer.remove_foreign", xen::memory::remove_from_physmap(at() / xen::PAGE));
    report::fact("peer.unmap_to_write", unmap(seen.handle));
}
