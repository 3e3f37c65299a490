//! Copies: by frame and by reference on both sides, and what is wrong with them.

use guests::xen::grant::{
    self, Copy, PERMIT_ACCESS, READ_ONLY, SOURCE_REFERENCE, Side, TARGET_REFERENCE, UNTOUCHED,
};
use guests::xen::{DOMID_SELF, Pages};
use guests::{mmio, report, xen};

use super::table::{self, OTHERS, OWN, flags};

static PAGES: Pages<3> = Pages::new();

const SOURCE: u32 = 20;
const TARGET: u32 = 21;

fn side(what: u64, offset: u16) -> Side {
    Side { what, domain: DOMID_SELF, offset }
}

fn copy(source: Side, target: Side, length: u16, flags: u16) -> (i64, i16) {
    let mut request = [Copy { source, target, length, flags, status: UNTOUCHED }];
    let answer = grant::ask(grant::COPY, &mut request);
    (answer, request[0].status)
}

fn by_frame(page: usize, offset: u16) -> Side {
    side(PAGES.frame(page), offset)
}

fn fill() {
    for offset in (0..4096).step_by(8) {
        mmio::write64(PAGES.address() + offset, 0x0101_0101_0101_0101 * (1 + offset as u64 / 8 % 200));
        mmio::write64(PAGES.address() + 4096 + offset, 0);
    }
}

pub(super) fn all() {
    table::grant(SOURCE, PERMIT_ACCESS | READ_ONLY, OWN, PAGES.frame(0));
    table::grant(TARGET, PERMIT_ACCESS, OWN, PAGES.frame(1));
    kinds();
    lengths();
    wrong();
    batch();
}

/// All four kinds, the whole page.
fn kinds() {
    for kind in 0..4u16 {
        fill();
        let source = if kind & SOURCE_REFERENCE != 0 { side(SOURCE.into(), 0) } else { by_frame(0, 0) };
        let target = if kind & TARGET_REFERENCE != 0 { side(TARGET.into(), 0) } else { by_frame(1, 0) };
        report::fact(
            format_args!("copy.kind_{kind}"),
            format_args!("{:?}", copy(source, target, 4096, kind)),
        );
        let equal = (0..4096).step_by(8).all(|offset| {
            mmio::read64(PAGES.address() + offset) == mmio::read64(PAGES.address() + 4096 + offset)
        });
        report::check(format_args!("copy.kind_{kind}.is_whole"), equal);
        report::fact(
            format_args!("copy.kind_{kind}.flags"),
            format_args!("{:#x} {:#x}", flags(SOURCE), flags(TARGET)),
        );
    }
}

/// Offsets and lengths: what is copied, and that nothing beside it is.
fn lengths() {
    for (from, to, length) in
        [(0u16, 0u16, 0u16), (1, 3, 1), (5, 8, 100), (4095, 0, 1), (0, 4095, 1), (100, 200, 3896)]
    {
        fill();
        let answer = copy(by_frame(0, from), by_frame(1, to), length, 0);
        report::fact(format_args!("copy.length.{from}.{to}.{length}"), format_args!("{answer:?}"));
        let read = |page: usize, offset: usize| mmio::read8(PAGES.address() + page * 4096 + offset);
        let right = (0..4096usize).all(|offset| {
            let inside = offset >= usize::from(to) && offset < usize::from(to) + usize::from(length);
            let expected = if inside { read(0, offset - usize::from(to) + usize::from(from)) } else { 0 };
            read(1, offset) == expected
        });
        report::check(format_args!("copy.length.{from}.{to}.{length}.is_right"), right);
    }
    for (from, to, length) in [
        (1u16, 0u16, 4096u16),
        (0, 1, 4096),
        (4096, 0, 1),
        (0, 4096, 1),
        (0, 0, 4097),
        (0, 0, 65_535),
        (65_535, 0, 1),
        (4096, 0, 0),
        (0, 65_535, 0),
    ] {
        fill();
        let answer = copy(by_frame(0, from), by_frame(1, to), length, 0);
        report::fact(format_args!("copy.too_long.{from}.{to}.{length}"), format_args!("{answer:?}"));
        report::equal(
            format_args!("copy.too_long.{from}.{to}.{length}.wrote"),
            mmio::read64(PAGES.address() + 4096),
            0,
        );
    }
    // One page onto itself.
    fill();
    report::fact("copy.overlapping", format_args!("{:?}", copy(by_frame(0, 0), by_frame(0, 8), 64, 0)));
}

fn wrong() {
    let good = by_frame(1, 0);
    let say = |name: core::fmt::Arguments<'_>, source: Side, target: Side, kind: u16| {
        report::fact(name, format_args!("{:?}", copy(source, target, 16, kind)));
    };
    say(format_args!("copy.into_read_only"), by_frame(0, 0), side(SOURCE.into(), 0), TARGET_REFERENCE);
    say(format_args!("copy.unknown_flags"), by_frame(0, 0), good, 4);
    say(format_args!("copy.all_flags"), by_frame(0, 0), good, 0xffff);
    for reference in [22u64, 0, 64 * 512, 0xffff_ffff, 1 << 32 | 20] {
        say(format_args!("copy.from_reference.{reference:#x}"), side(reference, 0), good, SOURCE_REFERENCE);
        say(
            format_args!("copy.to_reference.{reference:#x}"),
            by_frame(0, 0),
            side(reference, 0),
            TARGET_REFERENCE,
        );
    }
    let uart = guests::platform::get().uart.base as u64 / 4096;
    for frame in [0, uart, xen::free_frame() + 0x800, xen::free_frame(), 1 << 28, 1 << 36, u64::MAX] {
        let name = if frame == xen::free_frame() { 1 } else { frame };
        say(format_args!("copy.from_frame.{name:#x}"), side(frame, 0), good, 0);
        if frame != xen::free_frame() {
            say(format_args!("copy.to_frame.{name:#x}"), by_frame(0, 0), side(frame, 0), 0);
        }
    }
    for domain in OTHERS.into_iter().chain([OWN]) {
        let other = |what: u64| Side { what, domain, offset: 0 };
        say(format_args!("copy.from_domain.{domain:#x}.frame"), other(PAGES.frame(0)), good, 0);
        say(
            format_args!("copy.from_domain.{domain:#x}.reference"),
            other(SOURCE.into()),
            good,
            SOURCE_REFERENCE,
        );
        say(format_args!("copy.to_domain.{domain:#x}.frame"), by_frame(0, 0), other(PAGES.frame(1)), 0);
        say(
            format_args!("copy.to_domain.{domain:#x}.reference"),
            by_frame(0, 0),
            other(TARGET.into()),
            TARGET_REFERENCE,
        );
    }
    for (name, entry, domain) in [
        ("for_another", PERMIT_ACCESS, 5u16),
        ("transfer", grant::ACCEPT_TRANSFER, OWN),
        ("transitive", grant::TRANSITIVE, OWN),
        ("sub_page", PERMIT_ACCESS | grant::SUB_PAGE, OWN),
        ("invalid", 0, OWN),
    ] {
        table::grant(22, entry, domain, PAGES.frame(0));
        say(format_args!("copy.entry.{name}"), side(22, 0), good, SOURCE_REFERENCE);
        report::fact(format_args!("copy.entry.{name}.flags"), format_args!("{:#x}", flags(22)));
    }
    table::revoke(22);
    report::fact("copy.flags_at_the_end", format_args!("{:#x} {:#x}", flags(SOURCE), flags(TARGET)));
}

/// Many in one call, wrong ones between them.
fn batch() {
    fill();
    let base =
        Copy { source: by_frame(0, 0), target: by_frame(1, 0), length: 8, flags: 0, status: UNTOUCHED };
    let mut requests = [base; 12];
    for (place, request) in requests.iter_mut().enumerate() {
        (request.source.offset, request.target.offset) = (place as u16 * 8, place as u16 * 8);
        match place {
            2 => request.source = side(22, 16),
            5 => request.length = 5000,
            8 => request.target.domain = 9,
            _ => {}
        }
        if place == 2 {
            request.flags = SOURCE_REFERENCE;
        }
    }
    report::fact("copy.batch", grant::ask(grant::COPY, &mut requests));
    report::fact("copy.batch.status", format_args!("{:?}", requests.map(|request| request.status)));
    for place in 0..12usize {
        report::fact(
            format_args!("copy.batch.{place}"),
            mmio::read64(PAGES.address() + 4096 + place * 8) != 0,
        );
    }
    // 200 in one call, which may be interrupted and goes on.
    fill();
    let mut requests = [base; 200];
    for (place, request) in requests.iter_mut().enumerate() {
        (request.source.offset, request.target.offset) = (place as u16 * 8, place as u16 * 8);
    }
    report::fact("copy.200", grant::ask(grant::COPY, &mut requests));
    report::check("copy.200.all", requests.iter().all(|request| request.status == 0));
    let right = (0..200).all(|place| {
        mmio::read64(PAGES.address() + place * 8) == mmio::read64(PAGES.address() + 4096 + place * 8)
    });
    report::check("copy.200.is_right", right);
}
