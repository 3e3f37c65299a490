//! add_to_physmap, its batches, and remove_from_physmap.

use guests::report;
use guests::xen::memory::{self, AddToPhysmap, AddToPhysmapBatch, RemoveFromPhysmap};
use guests::xen::{self, DOMID_SELF, MEMORY_OP};

use super::{accounted, look, populate, spare, write};

/// A frame behind all memory.
fn hole(pages: u64) -> u64 {
    xen::free_frame() + 0x100 + pages
}

pub(super) fn all() {
    spaces();
    targets();
    domains();
    batch();
    remove();
}

fn add(space: u32, index: u64, frame: u64) -> i64 {
    memory::add_to_physmap(space, index, frame)
}

fn spaces() {
    for index in [0u64, 1, 2, 1 << 32, u64::MAX] {
        report::fact(format_args!("add.shared_info.{index:#x}"), add(0, index, hole(0)));
    }
    for index in [0u64, 1, 2, 62, 63, 64, 65, 1000, 0x8000_0000, 0x8000_0001, 1 << 32, u64::MAX] {
        report::fact(format_args!("add.grant_table.{index:#x}"), add(1, index, hole(1)));
    }
    look("add.grant_table.content", hole(1));
    report::fact("add.grant_table.remove", memory::remove_from_physmap(hole(1)));
    for space in [2u32, 3] {
        for (name, index) in [("own", spare(60)), ("hole", hole(9)), ("zero", 0), ("highest", u64::MAX)] {
            report::fact(format_args!("add.space_{space}.{name}"), add(space, index, hole(2)));
        }
    }
    for space in [4u32, 5, 6, 7, 255, u32::MAX] {
        report::fact(format_args!("add.space_{space}.zero"), add(space, 0, hole(2)));
        report::fact(format_args!("add.space_{space}.own"), add(space, spare(60), hole(2)));
    }
    look("add.nothing_there", hole(2));
    report::fact("add.null", xen::op_at(MEMORY_OP, memory::ADD_TO_PHYSMAP, 0));
    accounted("add.spaces");
}

/// Where things are mapped to.
fn targets() {
    report::fact("targets.at_a_second_place", add(0, 0, hole(3)));
    look("targets.second_place", hole(3));
    report::fact("targets.at_the_same_place", add(0, 0, hole(0)));
    report::fact("targets.remove", memory::remove_from_physmap(hole(0)));
    look("targets.removed", hole(0));
    report::fact("targets.remove_again", memory::remove_from_physmap(hole(0)));
    report::fact("targets.then_at_the_second_place", add(0, 0, hole(3)));
    report::fact("targets.remove_from_the_second", memory::remove_from_physmap(hole(3)));
    for (first, second) in [(0u64, 0u64), (0, 1), (63, 63)] {
        report::fact(format_args!("targets.grant_{first}"), add(1, first, hole(11)));
        report::fact(format_args!("targets.grant_{second}_elsewhere"), add(1, second, hole(12)));
        report::fact(format_args!("targets.grant_{second}_there"), add(1, second, hole(11)));
        report::fact("targets.grant_remove", memory::remove_from_physmap(hole(11)));
        report::fact("targets.grant_remove_elsewhere", memory::remove_from_physmap(hole(12)));
    }
    // A page of one kind over a page of another.
    report::fact("targets.kinds.shared_info", add(0, 0, hole(13)));
    report::fact("targets.kinds.grant_over_it", add(1, 5, hole(13)));
    report::fact("targets.kinds.shared_info_elsewhere", add(0, 0, hole(14)));
    report::fact("targets.kinds.shared_info_over_grant", add(0, 0, hole(13)));
    for place in [13, 14] {
        report::fact("targets.kinds.remove", memory::remove_from_physmap(hole(place)));
    }
    for (name, frame) in [
        ("beyond_40_bits", 1u64 << 28),
        ("beyond_44_bits", 1 << 32),
        ("beyond_48_bits", 1 << 36),
        ("highest", u64::MAX),
    ] {
        report::fact(format_args!("targets.{name}"), add(0, 0, frame));
        report::fact(format_args!("targets.{name}.remove"), memory::remove_from_physmap(frame));
    }
    // Over memory: the page there is no longer seen, and is still the domain's.
    let there = spare(61);
    write(there, 0x4444);
    report::fact("targets.over_memory", add(0, 0, there));
    look("targets.over_memory.look", there);
    accounted("targets.over_memory");
    report::fact("targets.over_memory.remove", memory::remove_from_physmap(there));
    accounted("targets.over_memory.removed");
    look("targets.over_memory.removed", there);
    report::fact("targets.over_memory.populate", populate(&mut [there], 0));
    accounted("targets.over_memory.populated");
}

fn domains() {
    for domain in [1u16, 0, 2, 9, 0x7ff1, 0x7ff2, 0x7ff4, 0xffff] {
        let mut request = AddToPhysmap { domain, size: 0, space: 0, index: 0, frame: hole(4) };
        let answer = xen::op(MEMORY_OP, memory::ADD_TO_PHYSMAP, &mut request);
        report::fact(format_args!("add.of_domain.{domain:#x}"), answer);
        let mut request = RemoveFromPhysmap { domain, frame: hole(4) };
        let answer = xen::op(MEMORY_OP, memory::REMOVE_FROM_PHYSMAP, &mut request);
        report::fact(format_args!("remove.of_domain.{domain:#x}"), answer);
    }
}

fn batch() {
    let mut indices = [0u64, 1, 0, 0];
    let mut frames = [hole(5), hole(6), 1 << 28, hole(7)];
    let mut errors = [77i32; 4];
    let good = AddToPhysmapBatch {
        domain: DOMID_SELF,
        space: 0,
        size: 4,
        extra: 0,
        indices: indices.as_mut_ptr() as u64,
        frames: frames.as_mut_ptr() as u64,
        errors: errors.as_mut_ptr() as u64,
    };
    let mut say = |name: core::fmt::Arguments<'_>, request: AddToPhysmapBatch| {
        errors.fill(77);
        let mut request = request;
        let answer = xen::op(MEMORY_OP, memory::ADD_TO_PHYSMAP_BATCH, &mut request);
        report::fact(format_args!("batch.{name}"), format_args!("{answer} {errors:?}"));
    };
    say(format_args!("shared_info"), good);
    say(format_args!("shared_info_again"), good);
    report::fact("batch.remove", memory::remove_from_physmap(hole(5)));
    say(format_args!("none"), AddToPhysmapBatch { size: 0, ..good });
    say(
        format_args!("none_and_null"),
        AddToPhysmapBatch { size: 0, indices: 0, frames: 0, errors: 0, ..good },
    );
    say(format_args!("with_extra"), AddToPhysmapBatch { extra: 1, ..good });
    say(format_args!("grant_table"), AddToPhysmapBatch { space: 1, ..good });
    for space in [2u16, 3, 5, 6, 0xffff] {
        say(format_args!("space.{space}"), AddToPhysmapBatch { space, ..good });
    }
    for foreign in [DOMID_SELF, 1, 0, 2, 9, 0x7ff1, 0x7ff2] {
        say(format_args!("foreign.{foreign:#x}"), AddToPhysmapBatch { space: 4, extra: foreign, ..good });
    }
    say(format_args!("indices_null"), AddToPhysmapBatch { indices: 0, ..good });
    say(format_args!("frames_null"), AddToPhysmapBatch { frames: 0, ..good });
    say(format_args!("errors_null"), AddToPhysmapBatch { errors: 0, ..good });
    say(format_args!("of_domain_1"), AddToPhysmapBatch { domain: 1, ..good });
    say(format_args!("of_domain_9"), AddToPhysmapBatch { domain: 9, ..good });
    for place in [5, 6, 7] {
        report::fact("batch.remove_all", memory::remove_from_physmap(hole(place)));
    }
    report::fact("batch.null", xen::op_at(MEMORY_OP, memory::ADD_TO_PHYSMAP_BATCH, 0));
    accounted("batch");
}

fn remove() {
    let there = spare(62);
    write(there, 0x8888);
    report::fact("remove.memory", memory::remove_from_physmap(there));
    accounted("remove.memory");
    look("remove.memory.look", there);
    report::fact("remove.memory.decrease", super::decrease(&mut [there], 0));
    accounted("remove.memory.decreased");
    report::fact("remove.memory.populate", populate(&mut [there], 0));
    accounted("remove.memory.populated");
    report::fact("remove.hole", memory::remove_from_physmap(hole(10)));
    report::fact(
        "remove.device",
        memory::remove_from_physmap(guests::platform::get().uart.base as u64 / 4096),
    );
    report::fact("remove.null", xen::op_at(MEMORY_OP, memory::REMOVE_FROM_PHYSMAP, 0));
}
