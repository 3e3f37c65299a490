//! Mapping what the domain grants to itself, and unmapping it.

use guests::xen::grant::{self, HOST_MAP, MAP_READ_ONLY, Map, PERMIT_ACCESS, READ_ONLY, UNTOUCHED, Unmap};
use guests::xen::{self, DOMID_SELF, GRANT_TABLE_OP, Pages};
use guests::{exception, mmio, platform, report};

use super::table::{self, OTHERS, OWN, flags, revoke};

static PAGES: Pages<4> = Pages::new();

/// The frame number `pages` behind memory, for mappings.
fn hole(pages: u64) -> u64 {
    xen::free_frame() + 0x400 + pages
}

fn at(pages: u64) -> u64 {
    hole(pages) * xen::PAGE
}

fn map(domain: u16, reference: u32, map_flags: u32, address: u64) -> (i64, Map) {
    let mut request = [Map {
        address,
        flags: map_flags,
        reference,
        domain,
        status: UNTOUCHED,
        handle: 0x77,
        device_address: 0,
    }];
    (grant::ask(grant::MAP, &mut request), request[0])
}

fn unmap(handle: u32, address: u64) -> (i64, i16) {
    let mut request = [Unmap { address, device_address: 0, handle, status: UNTOUCHED }];
    (grant::ask(grant::UNMAP, &mut request), request[0].status)
}

fn mapped(name: core::fmt::Arguments<'_>, (answer, seen): (i64, Map)) {
    report::fact(name, format_args!("{answer} status {} handle {:#x}", seen.status, seen.handle));
    if seen.status == 0 {
        let (answer, status) = unmap(seen.handle, seen.address);
        if (answer, status) != (0, 0) {
            report::fact("then_unmap", format_args!("{answer} status {status}"));
        }
    }
}

pub(super) fn all() {
    once();
    read_only();
    references();
    targets();
    handles();
    revoked();
    many();
    limits();
}

/// One page, written through both of its addresses.
fn once() {
    table::grant(8, PERMIT_ACCESS, OWN, PAGES.frame(0));
    mmio::write64(PAGES.address(), 0x1111);
    let (answer, seen) = map(OWN, 8, HOST_MAP, at(0));
    report::fact("map", format_args!("{answer} status {} handle {}", seen.status, seen.handle));
    report::fact("map.flags_of_the_entry", format_args!("{:#x}", flags(8)));
    report::equal("map.shows_the_page", mmio::read64(at(0) as usize), 0x1111);
    mmio::write64(at(0) as usize, 0x2222);
    report::equal("map.writes_the_page", mmio::read64(PAGES.address()), 0x2222);
    let (answer, second) = map(OWN, 8, HOST_MAP, at(1));
    report::fact("map.twice", format_args!("{answer} status {} handle {}", second.status, second.handle));
    report::equal("map.twice.shows_the_page", mmio::read64(at(1) as usize), 0x2222);
    report::fact("unmap", format_args!("{:?}", unmap(seen.handle, at(0))));
    report::check("unmap.is_gone", exception::probe_read(at(0) as usize).is_err());
    report::fact("unmap.flags_of_the_entry", format_args!("{:#x}", flags(8)));
    report::equal("unmap.the_other_stays", mmio::read64(at(1) as usize), 0x2222);
    report::fact("unmap.again", format_args!("{:?}", unmap(seen.handle, at(0))));
    report::fact("unmap.second", format_args!("{:?}", unmap(second.handle, at(1))));
    report::fact("unmap.flags_at_last", format_args!("{:#x}", flags(8)));
    report::check("unmap.the_page_is_ours", {
        mmio::write64(PAGES.address(), 3);
        mmio::read64(PAGES.address()) == 3
    });
    if seen.device_address != PAGES.address() as u64 {
        guests::say!("note map.device_address differs from the guest's");
    }
}

fn read_only() {
    for (name, entry, how) in [
        ("map_ro_of_rw", PERMIT_ACCESS, HOST_MAP | MAP_READ_ONLY),
        ("map_ro_of_ro", PERMIT_ACCESS | READ_ONLY, HOST_MAP | MAP_READ_ONLY),
        ("map_rw_of_ro", PERMIT_ACCESS | READ_ONLY, HOST_MAP),
    ] {
        table::grant(8, entry, OWN, PAGES.frame(0));
        let (answer, seen) = map(OWN, 8, how, at(0));
        report::fact(format_args!("{name}"), format_args!("{answer} status {}", seen.status));
        report::fact(format_args!("{name}.flags_of_the_entry"), format_args!("{:#x}", flags(8)));
        if seen.status != 0 {
            continue;
        }
        // Under Xen 4.17 a store to what is mapped for reading never ends.
        if platform::flag("strict") {
            let fault = exception::probe_write(at(0) as usize, 1);
            report::strict(
                format_args!("{name}.write_faults"),
                fault.is_some_and(|fault| fault.class() == exception::CLASS_DATA_ABORT),
            );
        }
        report::check(format_args!("{name}.read"), exception::probe_read(at(0) as usize).is_ok());
        // A second, writable one beside it.
        let (_, second) = map(OWN, 8, HOST_MAP, at(1));
        report::fact(
            format_args!("{name}.writable_beside"),
            format_args!("{} {:#x}", second.status, flags(8)),
        );
        if second.status == 0 {
            report::fact(
                format_args!("{name}.unmap_writable"),
                format_args!("{:?} {:#x}", unmap(second.handle, at(1)), flags(8)),
            );
        }
        report::fact(
            format_args!("{name}.unmap"),
            format_args!("{:?} {:#x}", unmap(seen.handle, at(0)), flags(8)),
        );
    }
}

/// Entries and references that are not what they should be.
fn references() {
    for (name, entry, domain, frame) in [
        ("invalid", 0u16, OWN, PAGES.frame(0)),
        ("transfer", grant::ACCEPT_TRANSFER, OWN, PAGES.frame(0)),
        ("transitive", grant::TRANSITIVE, OWN, PAGES.frame(0)),
        ("sub_page", PERMIT_ACCESS | grant::SUB_PAGE, OWN, PAGES.frame(0)),
        ("all_flags", 0xfffd, OWN, PAGES.frame(0)),
        ("says_it_is_read", PERMIT_ACCESS | grant::READING, OWN, PAGES.frame(0)),
        ("says_it_is_written", PERMIT_ACCESS | grant::WRITING, OWN, PAGES.frame(0)),
        ("for_another", PERMIT_ACCESS, 5, PAGES.frame(0)),
        ("for_self", PERMIT_ACCESS, DOMID_SELF, PAGES.frame(0)),
        ("of_a_hole", PERMIT_ACCESS, OWN, hole(9)),
        ("of_a_device", PERMIT_ACCESS, OWN, platform::get().uart.base as u64 / 4096),
        ("of_frame_zero", PERMIT_ACCESS, OWN, 0),
        ("of_the_last_frame", PERMIT_ACCESS, OWN, 0xffff_ffff),
        ("of_the_table", PERMIT_ACCESS, OWN, xen::free_frame()),
    ] {
        table::grant(8, entry, domain, frame);
        mapped(format_args!("entry.{name}"), map(OWN, 8, HOST_MAP, at(0)));
        report::fact(format_args!("entry.{name}.flags"), format_args!("{:#x}", flags(8)));
    }
    table::grant(8, PERMIT_ACCESS, OWN, PAGES.frame(0));
    for reference in [9u32, 511, 512, 64 * 512 - 1, 64 * 512, 100_000, u32::MAX] {
        mapped(format_args!("reference.{reference}"), map(OWN, reference, HOST_MAP, at(0)));
    }
    for domain in OTHERS.into_iter().chain([OWN, DOMID_SELF]) {
        mapped(format_args!("map.of_domain.{domain:#x}"), map(domain, 8, HOST_MAP, at(0)));
    }
    for how in [0u32, 1, 3, 2 | 8, 2 | 16, 1 << 5 | 2, 1 << 16 | 2, 4, u32::MAX] {
        mapped(format_args!("map.with_flags.{how:#x}"), map(OWN, 8, how, at(0)));
    }
    report::fact("references.flags_at_the_end", format_args!("{:#x}", flags(8)));
}

/// Where a mapping is to appear.
fn targets() {
    for (name, address) in [
        ("unaligned", at(0) + 1),
        ("zero", 0),
        ("beyond_40_bits", 1 << 40),
        ("beyond_48_bits", 1 << 48),
        ("highest", u64::MAX - 4095),
    ] {
        mapped(format_args!("target.{name}"), map(OWN, 8, HOST_MAP, address));
    }
    // Over memory: the page there is out of sight.
    mmio::write64(PAGES.address() + 4096, 0x4444);
    let (_, seen) = map(OWN, 8, HOST_MAP, PAGES.address() as u64 + 4096);
    report::fact("target.over_memory", seen.status);
    if seen.status == 0 {
        report::equal(
            "target.over_memory.shows",
            mmio::read64(PAGES.address() + 4096),
            mmio::read64(PAGES.address()),
        );
        report::fact(
            "target.over_memory.unmap",
            format_args!("{:?}", unmap(seen.handle, PAGES.address() as u64 + 4096)),
        );
        report::check("target.over_memory.is_empty", exception::probe_read(PAGES.address() + 4096).is_err());
    }
    // Over another mapping.
    table::grant(9, PERMIT_ACCESS, OWN, PAGES.frame(2));
    let (_, first) = map(OWN, 8, HOST_MAP, at(0));
    let (_, second) = map(OWN, 9, HOST_MAP, at(0));
    report::fact("target.over_a_mapping", format_args!("{} {}", first.status, second.status));
    mmio::write64(PAGES.address(), 0x88);
    mmio::write64(PAGES.address() + 8192, 0x99);
    report::fact("target.over_a_mapping.shows", format_args!("{:#x}", mmio::read64(at(0) as usize)));
    report::fact("target.over_a_mapping.unmap_first", format_args!("{:?}", unmap(first.handle, at(0))));
    report::fact("target.over_a_mapping.unmap_second", format_args!("{:?}", unmap(second.handle, at(0))));
    report::fact("target.over_a_mapping.flags", format_args!("{:#x} {:#x}", flags(8), flags(9)));
}

fn handles() {
    for handle in [5u32, 1000, 1023, 1024, 0xffff, u32::MAX] {
        report::fact(format_args!("handle.{handle}"), format_args!("{:?}", unmap(handle, at(0))));
    }
    let (_, seen) = map(OWN, 8, HOST_MAP, at(0));
    report::fact("handle.made", seen.handle);
    report::fact("handle.wrong_address", format_args!("{:?}", unmap(seen.handle, at(1))));
    report::fact("handle.address_zero", format_args!("{:?} {:#x}", unmap(seen.handle, 0), flags(8)));
    report::fact("handle.then_right", format_args!("{:?} {:#x}", unmap(seen.handle, at(0)), flags(8)));
    let (_, one) = map(OWN, 8, HOST_MAP, at(0));
    let (_, two) = map(OWN, 8, HOST_MAP, at(1));
    let (_, three) = map(OWN, 8, HOST_MAP, at(2));
    report::fact("handle.three", format_args!("{} {} {}", one.handle, two.handle, three.handle));
    unmap(two.handle, at(1));
    unmap(one.handle, at(0));
    let (_, four) = map(OWN, 8, HOST_MAP, at(0));
    let (_, five) = map(OWN, 8, HOST_MAP, at(1));
    report::fact("handle.reused", format_args!("{} {}", four.handle, five.handle));
    // Unmapping and replacing is for others.
    let mut request = [at(0), at(3), u64::from(four.handle) | 0x5a5a << 32];
    let answer = grant::ask(grant::UNMAP_AND_REPLACE, core::slice::from_mut(&mut request));
    report::fact("unmap_and_replace", format_args!("{answer} status {}", (request[2] >> 32) as u16 as i16));
    let mut request = [at(0), 0, u64::from(four.handle) | 0x5a5a << 32];
    let answer = grant::ask(grant::UNMAP_AND_REPLACE, core::slice::from_mut(&mut request));
    report::fact(
        "unmap_and_replace.nothing",
        format_args!("{answer} status {}", (request[2] >> 32) as u16 as i16),
    );
    for (handle, place) in [(four.handle, 0), (five.handle, 1), (three.handle, 2)] {
        report::fact("handle.unmap", format_args!("{:?}", unmap(handle, at(place))));
    }
}

/// A grant that is taken back while it is mapped.
fn revoked() {
    let (_, seen) = map(OWN, 8, HOST_MAP, at(0));
    revoke(8);
    mmio::write64(PAGES.address(), 0x77);
    report::equal("revoked.still_shows", mmio::read64(at(0) as usize), 0x77);
    report::fact("revoked.flags", format_args!("{:#x}", flags(8)));
    mapped(format_args!("revoked.map_again"), map(OWN, 8, HOST_MAP, at(1)));
    // Granted anew, with another frame.
    table::grant(8, PERMIT_ACCESS, OWN, PAGES.frame(2));
    let (_, second) = map(OWN, 8, HOST_MAP, at(1));
    mmio::write64(PAGES.address() + 8192, 0x66);
    report::fact("revoked.granted_anew", format_args!("{} {:#x}", second.status, flags(8)));
    if second.status == 0 {
        report::fact("revoked.granted_anew.shows", format_args!("{:#x}", mmio::read64(at(1) as usize)));
        report::fact(
            "revoked.granted_anew.unmap",
            format_args!("{:?} {:#x}", unmap(second.handle, at(1)), flags(8)),
        );
    }
    report::fact("revoked.unmap", format_args!("{:?} {:#x}", unmap(seen.handle, at(0)), flags(8)));
    table::grant(8, PERMIT_ACCESS, OWN, PAGES.frame(0));
    // The page is given back while it is mapped.
    let (_, seen) = map(OWN, 8, HOST_MAP, at(0));
    let mut frames = [PAGES.frame(0)];
    report::fact(
        "given_back.decrease",
        xen::memory::reserve(xen::memory::DECREASE_RESERVATION, &mut frames, 0),
    );
    report::check("given_back.still_shows", exception::probe_read(at(0) as usize).is_ok());
    report::fact("given_back.populate", xen::memory::reserve(xen::memory::POPULATE_PHYSMAP, &mut frames, 0));
    mmio::write64(at(0) as usize, 0x1357);
    report::check("given_back.is_another_page", exception::probe_read(PAGES.address()) != Ok(0x1357));
    report::fact("given_back.unmap", format_args!("{:?} {:#x}", unmap(seen.handle, at(0)), flags(8)));
    report::fact(
        "given_back.populate_again",
        xen::memory::reserve(xen::memory::POPULATE_PHYSMAP, &mut frames, 0),
    );
    // What is mapped is given back where it is mapped.
    let (_, seen) = map(OWN, 8, HOST_MAP, at(0));
    let mut frames = [hole(0)];
    report::fact(
        "mapping.decrease",
        format_args!(
            "{} status {}",
            xen::memory::reserve(xen::memory::DECREASE_RESERVATION, &mut frames, 0),
            seen.status
        ),
    );
    report::fact("mapping.remove", xen::memory::remove_from_physmap(hole(0)));
    report::fact("mapping.is_there", exception::probe_read(at(0) as usize).is_ok());
    report::fact("mapping.unmap", format_args!("{:?} {:#x}", unmap(seen.handle, at(0)), flags(8)));
}

/// Many in one call, wrong ones between them.
fn many() {
    const NONE: Map = Map {
        address: 0,
        flags: HOST_MAP,
        reference: 8,
        domain: OWN,
        status: UNTOUCHED,
        handle: 0,
        device_address: 0,
    };
    let mut requests = [NONE; 16];
    for (place, request) in requests.iter_mut().enumerate() {
        request.address = at(16 + place as u64);
        if place % 4 == 2 {
            request.reference = 400;
        }
    }
    report::fact("many.map", grant::ask(grant::MAP, &mut requests));
    report::fact("many.map.status", format_args!("{:?}", requests.map(|request| request.status)));
    report::fact("many.map.handles", format_args!("{:?}", requests.map(|request| request.handle)));
    let mut back = requests.map(|request| Unmap {
        address: request.address,
        device_address: 0,
        handle: if request.status == 0 { request.handle } else { 900 },
        status: UNTOUCHED,
    });
    report::fact("many.unmap", grant::ask(grant::UNMAP, &mut back));
    report::fact("many.unmap.status", format_args!("{:?}", back.map(|request| request.status)));
    // A list of which a part cannot be read.
    let window = guests::mmu::set_window(0, guests::mmu::Page::Writable(PAGES.frame(3)));
    guests::mmu::set_window(1, guests::mmu::Page::Unmapped);
    let last = PAGES.address() + 4 * 4096 - 32;
    for (word, value) in
        [at(0), u64::from(HOST_MAP) | 8 << 32, u64::from(OWN) | 0x5a5a << 16, 0].into_iter().enumerate()
    {
        mmio::write64(last + word * 8, value);
    }
    let arguments = [grant::MAP, window as u64 + 4096 - 32, 2, 0, 0];
    report::fact("many.into_unmapped", xen::call(GRANT_TABLE_OP, arguments));
    let word = mmio::read64(last + 16);
    report::fact("many.into_unmapped.first", format_args!("status {}", (word >> 16) as u16 as i16));
    report::fact("many.into_unmapped.unmap", format_args!("{:?}", unmap((word >> 32) as u32, at(0))));
}

/// As many mappings as there can be.
fn limits() {
    let mut made = 0u64;
    let mut status;
    loop {
        let (_, seen) = map(OWN, 8, HOST_MAP | MAP_READ_ONLY, at(0x100 + made));
        status = seen.status;
        if status != 0 || made > 2_000 {
            break;
        }
        made += 1;
    }
    report::fact("limits.mappings", format_args!("{made} then status {status}"));
    let mut failed = 0;
    for handle in 0..1_100 {
        let (_, status) = unmap(handle, 0);
        failed += u64::from(status != 0);
    }
    guests::say!("note limits.unmap_without_address failed {failed} of 1100");
    let mut left = 0;
    for place in 0..made {
        // The handle is not known any more: whichever fits.
        left += u64::from(exception::probe_read(at(0x100 + place) as usize).is_ok());
    }
    report::fact("limits.left_without_address", left);
    report::fact("limits.flags", format_args!("{:#x}", flags(8)));
}
