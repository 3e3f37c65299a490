//! cache_flush: by address and by reference, and what is wrong with it.

use guests::report;
use guests::xen::grant::{self, CacheFlush, PERMIT_ACCESS, READ_ONLY};
use guests::xen::{self, Pages};

use super::table::{self, OWN};

static PAGES: Pages<1> = Pages::new();

const CLEAN: u32 = 1;
const INVALIDATE: u32 = 2;
const BY_REFERENCE: u32 = 1 << 31;

fn flush(name: core::fmt::Arguments<'_>, what: u64, offset: u16, length: u16, operation: u32) {
    let mut request = [CacheFlush { what, offset, length, operation }];
    report::fact(name, grant::ask(grant::CACHE_FLUSH, &mut request));
}

pub(super) fn all() {
    let own = PAGES.address() as u64;
    table::grant(30, PERMIT_ACCESS, OWN, PAGES.frame(0));
    table::grant(31, PERMIT_ACCESS | READ_ONLY, OWN, PAGES.frame(0));
    for operation in [0u32, CLEAN, INVALIDATE, CLEAN | INVALIDATE, 4, 8, 1 << 30] {
        flush(format_args!("flush.own.{operation:#x}"), own, 0, 64, operation);
        flush(format_args!("flush.reference.{operation:#x}"), 30, 0, 64, operation | BY_REFERENCE);
        flush(format_args!("flush.read_only_reference.{operation:#x}"), 31, 0, 64, operation | BY_REFERENCE);
    }
    for (offset, length) in [
        (0u16, 0u16),
        (0, 4096),
        (1, 1),
        (63, 2),
        (4095, 1),
        (1, 4096),
        (4096, 0),
        (4096, 1),
        (0, 4097),
        (65_535, 65_535),
    ] {
        flush(format_args!("flush.range.{offset}.{length}"), own, offset, length, CLEAN);
        flush(
            format_args!("flush.range.reference.{offset}.{length}"),
            30,
            offset,
            length,
            CLEAN | BY_REFERENCE,
        );
    }
    let uart = guests::platform::get().uart.base as u64;
    for (name, address) in [
        ("unaligned", own + 8),
        ("hole", (xen::free_frame() + 0x900) * xen::PAGE),
        ("table", xen::free_frame() * xen::PAGE),
        ("device", uart),
        ("zero", 0),
        ("beyond", 1 << 48),
        ("highest", u64::MAX),
    ] {
        flush(format_args!("flush.{name}"), address, 0, 64, CLEAN);
    }
    for reference in [32u64, 0, 64 * 512, 0xffff_ffff] {
        flush(format_args!("flush.bad_reference.{reference:#x}"), reference, 0, 64, CLEAN | BY_REFERENCE);
    }
    let good = CacheFlush { what: own, offset: 0, length: 64, operation: CLEAN };
    let mut requests = [good; 8];
    report::fact("flush.eight", grant::ask(grant::CACHE_FLUSH, &mut requests));
    requests[3].operation = 8;
    report::fact("flush.eight_with_a_bad_one", grant::ask(grant::CACHE_FLUSH, &mut requests));
    report::fact("flush.none", grant::ask(grant::CACHE_FLUSH, &mut requests[..0]));
}
