//! Memory that domains share from the start: one fills it, the others read it and answer in it.
//!
//! `shared.id=NAME` names the region, `shared.readers=N` makes the guest the writer that waits for so many readers,
//! `shared.index=N` makes it reader N, from 1 on. `shared.again` says that the region belongs to the writer, which
//! then gives a page of it up and gets the same one back.
#![no_std]
#![no_main]

use guests::region::Region;
use guests::xen::memory;
use guests::{mmio, platform, report, say, timer};

guests::guest!(main);

const PAGE: u64 = 4096;
/// Microseconds for the others to come.
const SOON: u64 = 60_000_000;
/// What the writer says when all is written.
const WRITTEN: u64 = 0x7869_6e69_7465_0001;
/// Where readers answer, in the first page.
const ANSWERS: u64 = 64;

/// A word of the region.
fn word(region: Region, offset: u64) -> usize {
    region.word(0, offset)
}

fn pattern(offset: u64) -> u64 {
    (offset / PAGE).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ offset
}

/// Pages whose last word is not as the writer leaves it.
fn wrong_pages(region: Region) -> u64 {
    let places = (0..region.bytes / PAGE).map(|page| page * PAGE + PAGE - 8);
    places.filter(|offset| mmio::read64(word(region, *offset)) != pattern(*offset)).count() as u64
}

fn main() {
    let id = platform::argument("shared.id").unwrap_or("one");
    let region = Region::find(id);
    say!("region {id} at {:#x}, {} KiB", region.base, region.bytes >> 10);
    report::check("shared.node", region.is_compatible && region.has_offset && region.bytes > 0);
    if region.bytes == 0 {
        return;
    }
    match platform::number("shared.index", 0) {
        0 => write(region, platform::number("shared.readers", 1)),
        index => read(region, index),
    }
}

fn write(region: Region, readers: u64) {
    let places = || (0..region.bytes / PAGE).map(|page| page * PAGE + PAGE - 8);
    let dirty = places().filter(|offset| mmio::read64(word(region, *offset)) != 0).count();
    report::equal("shared.comes_empty", dirty as u64, 0);
    places().for_each(|offset| mmio::write64(word(region, offset), pattern(offset)));
    guests::registers::dsb();
    mmio::write64(word(region, 0), WRITTEN);
    for index in 1..=readers {
        let place = ANSWERS + index * 8;
        let answered = timer::wait_for(SOON, || mmio::read64(word(region, place)) == index);
        report::check(format_args!("shared.answer_of_{index}"), answered);
    }
    if platform::flag("shared.again") {
        give_up_and_get_back(region);
    }
    mmio::write64(word(region, 8), WRITTEN);
}

/// A page that its owner gives up stays where it is for the others, and comes back empty.
fn give_up_and_get_back(region: Region) {
    let mut frames = [(region.base + region.bytes) / PAGE - 1];
    report::equal("shared.decrease", memory::reserve(memory::DECREASE_RESERVATION, &mut frames, 0), 1);
    report::equal("shared.populate", memory::reserve(memory::POPULATE_PHYSMAP, &mut frames, 0), 1);
    let last = word(region, region.bytes - 8);
    report::equal("shared.comes_back_empty", mmio::read64(last), 0);
    mmio::write64(last, pattern(region.bytes - 8));
}

fn read(region: Region, index: u64) {
    let written = timer::wait_for(SOON, || mmio::read64(word(region, 0)) == WRITTEN);
    report::check("shared.written", written);
    report::equal("shared.wrong_pages", wrong_pages(region), 0);
    mmio::write64(word(region, ANSWERS + index * 8), index);
    let again = timer::wait_for(SOON, || mmio::read64(word(region, 8)) == WRITTEN);
    report::check("shared.goes_on", again);
    report::equal("shared.wrong_pages_at_the_end", wrong_pages(region), 0);
}
