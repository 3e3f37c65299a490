//! The table: its size, its versions, its entries.

use guests::report;
use guests::xen::event::{word32, word64};
use guests::xen::grant::{self, QuerySize, SetupTable, UNTOUCHED};
use guests::xen::{self, DOMID_SELF, GRANT_TABLE_OP, memory};

use core::sync::atomic::Ordering;

/// Domains that are not there or not for us.
pub(super) const OTHERS: [u16; 9] = [0, 2, 9, 0x7ff1, 0x7ff2, 0x7ff4, 0x7fff, 0x8000, 0xffff];

/// The own domain's number, as the tests run it.
pub(super) const OWN: u16 = 1;

/// The frame where the first frame of the table is mapped.
fn frame() -> u64 {
    xen::free_frame()
}

/// Maps the first frame of the table.
pub(super) fn place() {
    report::equal("table.map", memory::add_to_physmap(memory::SPACE_GRANT_TABLE, 0, frame()), 0);
}

fn entry(reference: u32) -> usize {
    (frame() * xen::PAGE) as usize + reference as usize * 8
}

/// Writes an entry: the frame first, the flags last.
pub(super) fn grant(reference: u32, flags: u16, domain: u16, frame: u64) {
    let word = u64::from(flags) | u64::from(domain) << 16 | frame << 32;
    word32(entry(reference)).store(0, Ordering::SeqCst);
    word32(entry(reference) + 4).store(frame as u32, Ordering::SeqCst);
    word32(entry(reference)).store(word as u32, Ordering::SeqCst);
}

/// Takes a grant back.
pub(super) fn revoke(reference: u32) {
    word64(entry(reference)).store(0, Ordering::SeqCst);
}

/// The flags of an entry, as they are now.
pub(super) fn flags(reference: u32) -> u16 {
    word32(entry(reference)).load(Ordering::SeqCst) as u16
}

pub(super) fn all() {
    versions();
    size("before");
    setup();
    size("after_setup");
    place();
    let words = (0..512).map(|index| word64(entry(0) + index * 8).load(Ordering::SeqCst));
    report::fact("table.first_frame", format_args!("{:#x}", words.fold(0, |any, word| any | word)));
    grow();
    operations();
}

fn size(name: &str) {
    let ask = |domain: u16| {
        let mut request = [QuerySize { domain, frames: 77, most: 77, status: UNTOUCHED }];
        (grant::ask(grant::QUERY_SIZE, &mut request), request[0])
    };
    let (answer, seen) = ask(DOMID_SELF);
    report::fact(
        format_args!("query_size.{name}"),
        format_args!("{answer} status {} frames {} of {}", seen.status, seen.frames, seen.most),
    );
    if name != "before" {
        return;
    }
    for domain in OTHERS.into_iter().chain([OWN]) {
        let (answer, seen) = ask(domain);
        report::fact(
            format_args!("query_size.of_domain.{domain:#x}"),
            format_args!("{answer} status {}", seen.status),
        );
    }
    let mut request = [QuerySize { domain: DOMID_SELF, frames: 0, most: 0, status: 0 }; 2];
    report::fact("query_size.two", grant::ask(grant::QUERY_SIZE, &mut request));
    report::fact("query_size.none", grant::ask(grant::QUERY_SIZE, &mut request[..0]));
    report::fact("query_size.null", xen::call(GRANT_TABLE_OP, [grant::QUERY_SIZE, 0, 1, 0, 0]));
}

fn versions() {
    let get = |domain: u16| {
        let mut request = [u32::from(domain), 77];
        let answer = grant::ask(grant::GET_VERSION, core::slice::from_mut(&mut request));
        (answer, request[1])
    };
    report::fact("get_version", format_args!("{:?}", get(DOMID_SELF)));
    for domain in [OWN, 0, 9] {
        report::fact(format_args!("get_version.of_domain.{domain:#x}"), format_args!("{:?}", get(domain)));
    }
    for version in [0u32, 1, 2, 3, u32::MAX, 1] {
        let mut request = [version];
        let answer = grant::ask(grant::SET_VERSION, &mut request);
        report::fact(
            format_args!("set_version.{version}"),
            format_args!("{answer} version {} then {:?}", request[0], get(DOMID_SELF)),
        );
    }
    report::fact("set_version.null", xen::call(GRANT_TABLE_OP, [grant::SET_VERSION, 0, 1, 0, 0]));
    for count in [0u64, 2] {
        let mut request = [1u32; 2];
        let arguments = [grant::SET_VERSION, request.as_mut_ptr() as u64, count, 0, 0];
        report::fact(format_args!("set_version.count_{count}"), xen::call(GRANT_TABLE_OP, arguments));
    }
    for domain in [DOMID_SELF, OWN, 0, 9] {
        let mut list = [77u64; 2];
        let mut request = [1u64 | u64::from(domain) << 32 | 0x5a5a << 48, list.as_mut_ptr() as u64];
        let answer = grant::ask(grant::GET_STATUS_FRAMES, core::slice::from_mut(&mut request));
        report::fact(
            format_args!("get_status_frames.of_domain.{domain:#x}"),
            format_args!("{answer} status {} list {:?}", (request[0] >> 48) as u16 as i16, list),
        );
    }
}

fn setup() {
    for (domain, frames) in [
        (DOMID_SELF, 0u32),
        (DOMID_SELF, 1),
        (DOMID_SELF, 2),
        (DOMID_SELF, 3),
        (DOMID_SELF, 64),
        (DOMID_SELF, 65),
        (DOMID_SELF, u32::MAX),
        (OWN, 1),
        (0, 1),
        (9, 1),
    ] {
        let mut list = [0u64; 66];
        let list_address = list.as_mut_ptr() as u64;
        let mut request = [SetupTable { domain, frames, status: UNTOUCHED, list: list_address }];
        let answer = grant::ask(grant::SETUP_TABLE, &mut request);
        let written = list.iter().filter(|frame| **frame != 0).count();
        report::fact(
            format_args!("setup_table.{domain:#x}.{frames}"),
            format_args!("{answer} status {} written {written} first {:#x}", request[0].status, list[0]),
        );
    }
    let mut request = [SetupTable { domain: DOMID_SELF, frames: 1, status: UNTOUCHED, list: 0 }];
    let answer = grant::ask(grant::SETUP_TABLE, &mut request);
    report::fact("setup_table.list_null", format_args!("{answer} status {}", request[0].status));
    report::fact("setup_table.none", grant::ask(grant::SETUP_TABLE, &mut request[..0]));
}

/// Mapping a frame of the table makes it.
fn grow() {
    for index in [10u64, 63] {
        report::equal(
            "table.map_far",
            memory::add_to_physmap(memory::SPACE_GRANT_TABLE, index, frame() + index),
            0,
        );
        size(if index == 10 { "after_the_eleventh" } else { "after_the_last" });
    }
}

fn operations() {
    for command in [3u64, 4, 7, 11, 12, 13, 14, 63, 0xffff_ffff, 1 << 32] {
        let mut buffer = [0u64; 8];
        let address = buffer.as_mut_ptr() as u64;
        report::fact(
            format_args!("grant_table_op.{command}"),
            xen::call(GRANT_TABLE_OP, [command, address, 1, 0, 0]),
        );
        report::fact(
            format_args!("grant_table_op.{command}.none"),
            xen::call(GRANT_TABLE_OP, [command, address, 0, 0, 0]),
        );
    }
    for command in 0..=12u64 {
        report::fact(
            format_args!("grant_table_op.{command}.null"),
            xen::call(GRANT_TABLE_OP, [command, 0, 1, 0, 0]),
        );
    }
    for count in [1u64 << 31, 1 << 32, u64::MAX] {
        report::fact(
            format_args!("grant_table_op.count_{count:#x}"),
            xen::call(GRANT_TABLE_OP, [grant::COPY, 0, count, 0, 0]),
        );
    }
    for (one, two) in [(8u32, 9u32), (8, 8), (8, 100_000), (u32::MAX, 8)] {
        let mut request = [one, two, 0x5a5a];
        grant(8, 1, 7, 0x111);
        grant(9, 1, 8, 0x222);
        let answer = grant::ask(grant::SWAP_GRANT_REF, core::slice::from_mut(&mut request));
        report::fact(
            format_args!("swap_grant_ref.{one}.{two}"),
            format_args!(
                "{answer} status {} {:#x} {:#x}",
                request[2] as u16 as i16,
                word64(entry(8)).load(Ordering::SeqCst),
                word64(entry(9)).load(Ordering::SeqCst)
            ),
        );
    }
    let mut transfer = [0u64, u64::from(OWN) | 8 << 32, 0x5a5a];
    let answer = grant::ask(grant::TRANSFER, core::slice::from_mut(&mut transfer));
    report::fact("transfer", format_args!("{answer} status {}", transfer[2] as u16 as i16));
    revoke(8);
    revoke(9);
}
