//! The hypervisor's own pages, given back, replaced and registered as if they were the guest's.

use guests::report;
use guests::xen::{self, event, memory};

use super::{accounted, decrease, look, populate, spare, write};

pub(super) fn all() {
    let base = xen::free_frame() + 0x200;
    for (name, space) in
        [("shared_info", memory::SPACE_SHARED_INFO), ("grant_table", memory::SPACE_GRANT_TABLE)]
    {
        let frame = base + u64::from(space);
        report::equal(format_args!("{name}.map"), memory::add_to_physmap(space, 0, frame), 0);
        write(frame, 0);
        registered(name, frame);
        report::fact(format_args!("{name}.exchange"), exchange(frame));
        report::fact(format_args!("{name}.populate_over"), populate(&mut [frame], 0));
        accounted(name);
        report::equal("shared_pages.make_room", decrease(&mut [spare(70)], 0), 1);
        report::fact(format_args!("{name}.populate_over_with_room"), populate(&mut [frame], 0));
        accounted(name);
        report::fact(format_args!("{name}.decrease_that"), decrease(&mut [frame], 0));
        accounted(name);
        report::fact(format_args!("{name}.populate_back"), populate(&mut [spare(70)], 0));
        accounted(name);
        report::fact(format_args!("{name}.map_again"), memory::add_to_physmap(space, 0, frame));
        report::fact(format_args!("{name}.remove"), memory::remove_from_physmap(frame));
        look(name, frame);
    }
    for (name, space) in
        [("shared_info", memory::SPACE_SHARED_INFO), ("grant_table", memory::SPACE_GRANT_TABLE)]
    {
        given_back(name, space, base + u64::from(space));
    }
    straddled();
}

/// Given back: the place is empty, and the page is still the hypervisor's.
fn given_back(name: &str, space: u32, frame: u64) {
    report::equal(format_args!("{name}.map_to_give_back"), memory::add_to_physmap(space, 0, frame), 0);
    report::fact(format_args!("{name}.decrease"), decrease(&mut [frame], 0));
    accounted(name);
    look(name, frame);
    // Under Xen 4.17 the page is spoiled from then on.
    let again = memory::add_to_physmap(space, 0, frame);
    report::strict(format_args!("{name}.maps_after_that"), again == 0);
    let removed = memory::remove_from_physmap(frame);
    report::strict(format_args!("{name}.removes_after_that"), removed == 0);
    guests::say!("note {name} mapped {again} removed {removed}");
}

fn exchange(frame: u64) -> i64 {
    let (mut given, mut taken) = ([frame], [frame]);
    let side =
        |extents: u64| memory::Reservation { extents, count: 1, order: 0, flags: 0, domain: xen::DOMID_SELF };
    let mut request = memory::Exchange {
        given: side(given.as_mut_ptr() as u64),
        taken: side(taken.as_mut_ptr() as u64),
        exchanged: 0,
    };
    xen::op(xen::MEMORY_OP, memory::EXCHANGE, &mut request)
}

/// As a vcpu_info, and as what event channels are written to.
fn registered(name: &str, frame: u64) {
    let mut request = [frame, 0];
    // A vCPU that is not there is refused first; the frame matters for the own one only, which has but one chance.
    report::fact(
        format_args!("{name}.vcpu_info"),
        xen::call(xen::VCPU_OP, [10, 0, xen::handle(&mut request), 0, 0]),
    );
    match event::init_control(frame, 0, 0) {
        Ok(bits) => report::fact(format_args!("{name}.init_control"), format_args!("{bits} link bits")),
        Err(error) => report::fact(format_args!("{name}.init_control"), error),
    }
    report::fact(format_args!("{name}.expand_array"), event::expand_array(frame));
    report::fact(format_args!("{name}.reset"), event::reset(xen::DOMID_SELF));
}

/// A block of 2 MiB of memory in which one page is the hypervisor's: a page of the grant table that nothing else has
/// been tried on.
fn straddled() {
    let block = spare(1024);
    report::equal("straddled.out", decrease(&mut [block + 300], 0), 1);
    let mapped = memory::add_to_physmap(memory::SPACE_GRANT_TABLE, 7, block + 300);
    report::equal("straddled.map", mapped, 0);
    report::fact("straddled.decrease", decrease(&mut [block], 9));
    accounted("straddled");
    look("straddled.before", block + 299);
    look("straddled.it", block + 300);
    look("straddled.behind", block + 301);
    memory::remove_from_physmap(block + 300);
    let mut filled = 0;
    for page in 0..512 {
        if guests::exception::probe_read(super::address(block + page)).is_err() {
            filled += populate(&mut [block + page], 0);
        }
    }
    report::fact("straddled.filled", filled);
    accounted("straddled");
}
