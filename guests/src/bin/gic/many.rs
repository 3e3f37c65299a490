//! More interrupts at once than any processor has list registers.

use guests::{gic, mmio, report};

use super::{FIRST_SPI, SPIS, drain};

const COUNT: usize = 40;

/// The priority of the SPI number `place`: 31 levels occur, out of order. The last, 0xf8, is left out: with five bits
/// of priority the mask cannot be opened for it.
fn level(place: u32) -> u8 {
    ((place * 13 % 31) << 3) as u8
}

pub(super) fn all() {
    together();
    one_by_one();
    while_some_are_active();
    again_and_again();
}

fn prepare() {
    for place in 0..COUNT as u32 {
        gic::set_priority(FIRST_SPI + place, level(place));
        gic::enable(FIRST_SPI + place);
    }
    gic::set_mask(0xff);
}

fn tidy() {
    for place in 0..SPIS {
        gic::disable(FIRST_SPI + place);
        gic::set_priority(FIRST_SPI + place, 0xa0);
    }
}

fn check(name: &str) {
    let mut taken = [0u32; 64];
    let count = drain(&mut taken);
    report::equal(format_args!("{name}.count"), count, COUNT);
    let taken = &taken[..count.min(64)];
    let each_once =
        (0..COUNT as u32).all(|place| taken.iter().filter(|intid| **intid == FIRST_SPI + place).count() == 1);
    report::check(format_args!("{name}.each_once"), each_once);
    let levels = |intid: u32| level(intid.wrapping_sub(FIRST_SPI) % 64);
    let disorder = taken.windows(2).filter(|pair| levels(pair[0]) > levels(pair[1])).count();
    // Xen 4.17 may hand out one of them too early, when a more urgent one waits outside the list registers.
    report::within(format_args!("{name}.almost_in_order"), disorder as u64, 0, 1);
    report::strict(format_args!("{name}.in_order"), disorder == 0);
}

/// All made pending by whole-word writes.
fn together() {
    prepare();
    let first = FIRST_SPI as usize / 32;
    let last = (FIRST_SPI as usize + COUNT - 1) / 32;
    for word in first..=last {
        let mask = (0..32u32).filter(|bit| {
            let intid = word as u32 * 32 + bit;
            (FIRST_SPI..FIRST_SPI + COUNT as u32).contains(&intid)
        });
        let mask = mask.fold(0u32, |mask, bit| mask | 1 << bit);
        mmio::write32(gic::distributor(gic::ISPENDR + word * 4), mask);
    }
    check("many.together");
}

fn one_by_one() {
    for place in (0..COUNT as u32).rev() {
        gic::set_pending(FIRST_SPI + place);
    }
    check("many.one_by_one");
    // Made pending while disabled, then enabled.
    for place in 0..COUNT as u32 {
        gic::disable(FIRST_SPI + place);
        gic::set_pending(FIRST_SPI + place);
    }
    for place in 0..COUNT as u32 {
        gic::enable(FIRST_SPI + place);
    }
    check("many.enabled_late");
}

/// Nested interrupts stay active while the others come and go. Xen 4.17 gives an active interrupt its list register
/// for good, and refills the others only when all but one are empty: with four, three active ones stop the flow.
fn while_some_are_active() {
    report::check("many.beside_1_active", nested(1));
    report::strict("many.beside_3_active", nested(3));
    report::strict("many.beside_8_active", nested(8));
}

fn nested(depth: usize) -> bool {
    let mut raws = [0u32; 8];
    let mut good = true;
    for (place, raw) in raws[..depth].iter_mut().enumerate() {
        let intid = FIRST_SPI + place as u32;
        gic::set_priority(intid, 0xf0 - (place as u8) * 0x10);
        gic::set_pending(intid);
        *raw = gic::acknowledge();
        good &= gic::intid_of(*raw) == intid;
    }
    for place in depth as u32..COUNT as u32 {
        gic::set_priority(FIRST_SPI + place, 0x20);
        gic::set_pending(FIRST_SPI + place);
    }
    let mut taken = [0u32; 64];
    good &= drain(&mut taken) == COUNT - depth;
    for raw in raws[..depth].iter().rev() {
        if gic::intid_of(*raw) != gic::SPURIOUS {
            gic::end(*raw);
        }
    }
    good &= gic::running_priority() == 0xff;
    good & (drain(&mut taken) == 0)
}

fn again_and_again() {
    prepare();
    let mut taken = [0u32; 64];
    let mut total = 0;
    for _ in 0..50 {
        for place in 0..COUNT as u32 {
            gic::set_pending(FIRST_SPI + place);
        }
        total += drain(&mut taken);
    }
    report::equal("many.fifty_rounds", total, 50 * COUNT);
    tidy();
}
