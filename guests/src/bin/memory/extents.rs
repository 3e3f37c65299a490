//! Lists of extents: long ones, wrong ones, and lists that end where nothing is.

use guests::mmu::{self, Page};
use guests::report;
use guests::xen::memory::{DECREASE_RESERVATION, POPULATE_PHYSMAP, Reservation};
use guests::xen::{self, DOMID_SELF, MEMORY_OP, Pages};

use super::{accounted, decrease, look, populate, read, spare, write};

/// Frames for the long lists.
static LIST: Pages<4> = Pages::new();

fn list(count: usize) -> &'static mut [u64] {
    // SAFETY: the only user at a time; a list lives in the pages for it.
    #[expect(unsafe_code, reason = "a long list does not fit on the stack")]
    unsafe {
        core::slice::from_raw_parts_mut(LIST.address() as *mut u64, count)
    }
}

fn ask(command: u64, request: Reservation) -> i64 {
    let mut request = request;
    xen::op(MEMORY_OP, command, &mut request)
}

pub(super) fn all() {
    long();
    mixed();
    over_what_is_there();
    handles();
    flags();
    continuation();
}

/// Lists that take long enough to be interrupted.
fn long() {
    const COUNT: usize = 1_500;
    for (page, frame) in list(COUNT).iter_mut().enumerate() {
        *frame = spare(1024 + page as u64);
        write(*frame, 0x5555);
    }
    report::equal("long.decrease", decrease(list(COUNT), 0), COUNT as i64);
    accounted("long.decreased");
    look("long.first", spare(1024));
    look("long.last", spare(1024 + COUNT as u64 - 1));
    look("long.next", spare(1024 + COUNT as u64));
    report::equal("long.populate", populate(list(COUNT), 0), COUNT as i64);
    accounted("long.populated");
    let any = (0..COUNT as u64).fold(0, |any, page| any | read(spare(1024 + page)));
    report::strict("long.is_empty", any == 0);
    let kept = (0..COUNT).all(|page| list(COUNT)[page] == spare(1024 + page as u64));
    report::check("long.frames_are_told", kept);
    let mut blocks = [spare(1024), spare(1536), spare(2048)];
    report::equal("long.decrease_blocks", decrease(&mut blocks, 9), 3);
    report::equal("long.populate_blocks", populate(&mut blocks, 9), 3);
    accounted("long.blocks");
}

/// Wrong extents between right ones.
fn mixed() {
    let good = spare(10);
    let uart = guests::platform::get().uart.base as u64 / 4096;
    for (name, bad) in [
        ("hole", xen::free_frame()),
        ("device", uart),
        ("interrupt_controller", guests::platform::get().gic.distributor as u64 / 4096),
        ("beyond_40_bits", 1 << 28),
        ("beyond_48_bits", 1 << 36),
        ("highest", u64::MAX),
        ("the_same_again", good),
    ] {
        let mut frames = [good, bad, good + 1];
        report::fact(format_args!("mixed.{name}.decrease"), decrease(&mut frames, 0));
        accounted(name);
        look("mixed.second_good_one", good + 1);
        let mut frames = [good, good + 1];
        report::fact(format_args!("mixed.{name}.populate_good"), populate(&mut frames, 0));
        accounted(name);
    }
    for (name, bad) in [("device", uart), ("beyond_40_bits", 1 << 28), ("beyond_44_bits", 1 << 32)] {
        report::equal("mixed.decrease_two", decrease(&mut [good, good + 1], 0), 2);
        let mut frames = [good, bad, good + 1];
        // Nothing is said while there is memory where the UART was.
        let populated = populate(&mut frames, 0);
        let decreased = decrease(&mut [bad], 0);
        report::fact(format_args!("mixed.{name}.populate"), populated);
        report::fact(format_args!("mixed.{name}.decrease_bad"), decreased);
        accounted(name);
        // Whatever is left to fill is filled.
        report::fact(format_args!("mixed.{name}.populate_rest"), populate(&mut [good + 1], 0));
        accounted(name);
        let first = guests::exception::probe_read(super::address(good)).is_ok();
        let second = guests::exception::probe_read(super::address(good + 1)).is_ok();
        report::fact(format_args!("mixed.{name}.there"), format_args!("{first} {second}"));
    }
}

/// Where no page can be, a page must not be lost either; Xen 4.17 counts it as the domain's from then on.
pub(super) fn nowhere() {
    for (name, bad, frame) in [("beyond_48_bits", 1 << 36, spare(90)), ("highest", u64::MAX, spare(91))] {
        report::equal("nowhere.decrease", decrease(&mut [frame], 0), 1);
        report::fact(format_args!("nowhere.{name}.populate"), populate(&mut [bad], 0));
        report::strict(format_args!("nowhere.{name}.is_not_lost"), populate(&mut [frame], 0) == 1);
        report::fact(format_args!("nowhere.{name}.decrease"), decrease(&mut [bad], 0));
    }
}

/// A page where one is already.
fn over_what_is_there() {
    let (there, given) = (spare(20), spare(21));
    write(there, 0x3333);
    report::equal("over.decrease", decrease(&mut [given], 0), 1);
    report::fact("over.populate", populate(&mut [there], 0));
    report::check("over.another_page", read(there) != 0x3333);
    accounted("over.populated");
    report::fact("over.decrease_it", decrease(&mut [there], 0));
    accounted("over.decreased");
    report::fact("over.populate_both", populate(&mut [there, given], 0));
    accounted("over.both");
}

fn handles() {
    let own = Reservation { extents: 0, count: 1, order: 0, flags: 0, domain: DOMID_SELF };
    for (name, command) in [("decrease", DECREASE_RESERVATION), ("populate", POPULATE_PHYSMAP)] {
        report::fact(format_args!("handles.{name}.null"), ask(command, own));
        report::fact(format_args!("handles.{name}.none"), ask(command, Reservation { count: 0, ..own }));
        for count in [1u64 << 20, 1 << 32, 1 << 40, 1 << 57, 1 << 58, 1 << 63, u64::MAX] {
            report::fact(
                format_args!("handles.{name}.{count:#x}"),
                ask(command, Reservation { count, ..own }),
            );
        }
        report::fact(
            format_args!("handles.{name}.beyond"),
            ask(command, Reservation { extents: 1 << 48, ..own }),
        );
        report::fact(format_args!("handles.{name}.argument_null"), xen::op_at(MEMORY_OP, command, 0));
        for domain in [1u16, 0, 2, 9, 0x7ff1, 0x7ff2, 0x7ff4, 0xffff] {
            let mut frames = [spare(30)];
            let extents = frames.as_mut_ptr() as u64;
            let answer = ask(command, Reservation { extents, domain, ..own });
            report::fact(format_args!("handles.{name}.of_domain.{domain:#x}"), answer);
        }
        accounted(name);
    }
    // A list that goes on where nothing is: two of three.
    let window = mmu::set_window(0, Page::Writable(LIST.frame(0)));
    mmu::set_window(1, Page::Unmapped);
    list(512)[510..].copy_from_slice(&[spare(31), spare(32)]);
    let request = Reservation { extents: window as u64 + 510 * 8, count: 3, ..own };
    report::fact("handles.decrease.into_unmapped", ask(DECREASE_RESERVATION, request));
    accounted("handles.decrease.into_unmapped");
    report::fact("handles.populate.into_unmapped", ask(POPULATE_PHYSMAP, request));
    accounted("handles.populate.into_unmapped");
    // A list that cannot be written back.
    report::equal("handles.decrease", decrease(&mut [spare(33), spare(34)], 0), 2);
    list(2).copy_from_slice(&[spare(33), spare(34)]);
    let window = mmu::set_window(0, Page::ReadOnly(LIST.frame(0)));
    let request = Reservation { extents: window as u64, count: 2, ..own };
    report::fact("handles.populate.read_only", ask(POPULATE_PHYSMAP, request));
    accounted("handles.populate.read_only");
    report::fact("handles.populate.again", populate(&mut [spare(34)], 0));
    accounted("handles");
}

fn flags() {
    let mut frames = [spare(40)];
    let extents = frames.as_mut_ptr() as u64;
    for flags in [
        32u32,
        1,
        64,
        0xff,
        1 << 8,
        2 << 8,
        9 << 8,
        1 << 16,
        1 << 17,
        1 << 8 | 1 << 17,
        9 << 8 | 1 << 17,
        1 << 18,
        1 << 19,
        0x8000_0000,
    ] {
        report::equal("flags.decrease", decrease(&mut [spare(40)], 0), 1);
        let request = Reservation { extents, count: 1, order: 0, flags, domain: DOMID_SELF };
        let answer = ask(POPULATE_PHYSMAP, request);
        report::fact(format_args!("flags.{flags:#x}"), answer);
        if answer != 1 {
            report::equal("flags.populate", populate(&mut [spare(40)], 0), 1);
        }
    }
    let request = Reservation { extents, count: 1, order: 0, flags: u32::MAX, domain: DOMID_SELF };
    report::fact("flags.decrease_with_all", ask(DECREASE_RESERVATION, request));
    report::equal("flags.populate_at_last", populate(&mut [spare(40)], 0), 1);
    accounted("flags");
}

/// What Xen puts into the operation's upper bits to go on later, put there by hand.
fn continuation() {
    let mut frames = [spare(50), spare(51), spare(52)];
    let mut request =
        Reservation { extents: frames.as_mut_ptr() as u64, count: 3, order: 0, flags: 0, domain: DOMID_SELF };
    for start in [2u64, 3, 4, 1 << 20, 1 << 57] {
        let command = DECREASE_RESERVATION | start << 6;
        report::fact(
            format_args!("continuation.decrease.{start:#x}"),
            xen::op(MEMORY_OP, command, &mut request),
        );
        accounted("continuation");
        let command = POPULATE_PHYSMAP | start << 6;
        report::fact(
            format_args!("continuation.populate.{start:#x}"),
            xen::op(MEMORY_OP, command, &mut request),
        );
        accounted("continuation");
    }
    for command in [2u64, 3, 4, 7, 14, 15, 23] {
        let mut domain = [DOMID_SELF; 32];
        report::fact(
            format_args!("continuation.other.{command}"),
            xen::op(MEMORY_OP, command | 1 << 6, &mut domain),
        );
    }
}
