//! One extent at a time: what is given back is gone, what is asked for is empty.

use guests::report;
use guests::xen::{self, DOMID_SELF, MEMORY_OP, memory};

use super::{accounted, decrease, look, populate, read, reservation, spare, write};

pub(super) fn all() {
    numbers();
    single();
    elsewhere();
    large();
    no_room();
}

fn numbers() {
    guests::say!("note maximum_ram_page {}", xen::op_at(MEMORY_OP, memory::MAXIMUM_RAM_PAGE, 0));
    report::check("maximum_ram_page", xen::op_at(MEMORY_OP, memory::MAXIMUM_RAM_PAGE, 0) > 0);
    for (name, command) in [
        ("current_reservation", memory::CURRENT_RESERVATION),
        ("maximum_reservation", memory::MAXIMUM_RESERVATION),
        ("maximum_gpfn", memory::MAXIMUM_GPFN),
    ] {
        for domain in [DOMID_SELF, 1, 0, 2, 9, 0x7ff1, 0x7ff2, 0x7ff4, 0xffff] {
            report::fact(format_args!("{name}.{domain:#x}"), reservation(domain, command));
        }
        report::fact(format_args!("{name}.null"), xen::op_at(MEMORY_OP, command, 0));
    }
}

/// One page away, looked for, and back.
fn single() {
    let frame = spare(0);
    write(frame, 0x1111_2222_3333_4444);
    report::equal("single.decrease", decrease(&mut [frame], 0), 1);
    accounted("single.decreased");
    look("single.look", frame);
    report::fact("single.decrease_again", decrease(&mut [frame], 0));
    accounted("single.decreased_again");
    let mut frames = [frame];
    report::equal("single.populate", populate(&mut frames, 0), 1);
    report::equal("single.populate.frame_is_told", frames[0], frame);
    accounted("single.populated");
    // Xen 4.17 gives pages to a domain as they are; its guests have to empty what they give back.
    report::strict("single.is_empty", read(frame) == 0);
    report::strict("single.is_empty_to_the_end", guests::mmio::read64(super::address(frame) + 4088) == 0);
    write(frame, 0x77);
    report::equal("single.can_be_written", read(frame), 0x77);
}

/// A page goes and comes back behind all memory.
fn elsewhere() {
    let (frame, hole) = (spare(1), xen::free_frame());
    look("elsewhere.hole", hole);
    report::equal("elsewhere.decrease", decrease(&mut [frame], 0), 1);
    report::equal("elsewhere.populate", populate(&mut [hole], 0), 1);
    report::strict("elsewhere.is_empty", read(hole) == 0);
    write(hole, 0x99);
    report::equal("elsewhere.can_be_written", read(hole), 0x99);
    report::fact("elsewhere.maximum_gpfn", reservation(DOMID_SELF, memory::MAXIMUM_GPFN));
    report::equal("elsewhere.decrease_back", decrease(&mut [hole], 0), 1);
    look("elsewhere.hole_afterwards", hole);
    report::fact("elsewhere.maximum_gpfn_afterwards", reservation(DOMID_SELF, memory::MAXIMUM_GPFN));
    report::equal("elsewhere.populate_back", populate(&mut [frame], 0), 1);
    accounted("elsewhere");
}

/// Extents of 2 MiB and other orders.
fn large() {
    let block = spare(512);
    write(block, 5);
    write(block + 511, 6);
    report::equal("large.decrease", decrease(&mut [block], 9), 1);
    accounted("large.decreased");
    look("large.first", block);
    look("large.last", block + 511);
    look("large.next", block + 512);
    report::equal("large.populate", populate(&mut [block], 9), 1);
    accounted("large.populated");
    report::strict("large.is_empty", read(block) | read(block + 1) | read(block + 511) == 0);
    // A page out of the middle, and the rest stays.
    write(block, 7);
    write(block + 200, 8);
    report::equal("large.one_out", decrease(&mut [block + 100], 0), 1);
    look("large.one_out.look", block + 100);
    report::equal("large.one_out.rest", read(block) + read(block + 200), 15);
    // The whole, of which one page is missing.
    report::fact("large.with_a_hole", decrease(&mut [block], 9));
    accounted("large.with_a_hole");
    look("large.with_a_hole.first", block);
    look("large.with_a_hole.before", block + 99);
    look("large.with_a_hole.behind", block + 101);
    for page in 0..512 {
        populate(&mut [block + page], 0);
    }
    accounted("large.filled_again");
    // Orders between, and where they do not fit.
    for (order, pages) in [(1u32, 0u64), (3, 8), (4, 16)] {
        report::fact(format_args!("large.order_{order}.decrease"), decrease(&mut [block + pages], order));
        report::fact(format_args!("large.order_{order}.populate"), populate(&mut [block + pages], order));
    }
    report::fact("large.unaligned.decrease", decrease(&mut [block + 1], 1));
    report::fact("large.unaligned.populate", populate(&mut [block + 1], 1));
    accounted("large.unaligned");
    let hole = xen::free_frame();
    for order in [10u32, 11, 18, 19, 31, 32, 63, 64, u32::MAX] {
        report::fact(format_args!("large.order_{order}.populate_hole"), populate(&mut [hole], order));
        report::fact(format_args!("large.order_{order}.decrease_hole"), decrease(&mut [hole], order));
    }
    accounted("large");
}

/// More than the domain may have.
fn no_room() {
    let mut holes = [0u64; 8];
    for (place, hole) in holes.iter_mut().enumerate() {
        *hole = xen::free_frame() + 64 + place as u64;
    }
    let mut made = 0;
    while made < 2048 && populate(&mut [xen::free_frame() + 1024 + made], 0) == 1 {
        made += 1;
    }
    report::fact("no_room.beyond_the_beginning", made);
    report::fact("no_room.again", populate(&mut [xen::free_frame() + 1024 + made], 0));
    report::fact("no_room.large", populate(&mut [xen::free_frame() + 4096], 9));
    accounted("no_room");
    report::equal("no_room.decrease_three", decrease(&mut [spare(2), spare(3), spare(4)], 0), 3);
    report::fact("no_room.eight_where_three_fit", populate(&mut holes, 0));
    report::check("no_room.third", guests::exception::probe_read(super::address(holes[2])).is_ok());
    look("no_room.fourth", holes[3]);
    report::fact("no_room.decrease_eight_of_which_three_are_there", decrease(&mut holes, 0));
    report::equal("no_room.populate_three", populate(&mut [spare(2), spare(3), spare(4)], 0), 3);
    for page in 0..made {
        decrease(&mut [xen::free_frame() + 1024 + page], 0);
    }
    accounted("no_room.back");
}

/// Memory that comes without a place is lost to the domain, so this is asked last.
pub(super) fn increase() {
    let mut frames = [0u64; 2];
    report::fact("increase_reservation", memory::reserve(memory::INCREASE_RESERVATION, &mut frames, 0));
    accounted("increase_reservation");
    report::equal("increase_reservation.decrease", decrease(&mut [spare(5)], 0), 1);
    report::fact(
        "increase_reservation.with_room",
        memory::reserve(memory::INCREASE_RESERVATION, &mut frames, 0),
    );
    accounted("increase_reservation.with_room");
    report::fact("increase_reservation.populate", populate(&mut [spare(5)], 0));
    accounted("increase_reservation.afterwards");
}
