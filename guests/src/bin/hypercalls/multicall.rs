//! multicall: one, several, nested, and wrong ones.

use guests::mmu::{self, Page};
use guests::xen::{self, Pages};
use guests::{mmio, report, say};

/// multicall_entry.
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    number: u64,
    result: u64,
    arguments: [u64; 6],
}

impl Entry {
    const fn new(number: u64, command: u64, address: u64) -> Self {
        Self { number, result: 0x1234_5678, arguments: [command, address, 0x33, 0x44, 0x55, 0x66] }
    }
}

static PAGE: Pages<1> = Pages::new();

fn run(entries: &mut [Entry]) -> i64 {
    xen::call(xen::MULTICALL, [entries.as_mut_ptr() as u64, entries.len() as u64, 0, 0, 0])
}

pub(super) fn all() {
    let version = Entry::new(xen::XEN_VERSION, 0, 0);
    report::fact("multicall.none", run(&mut []));
    let mut one = [version];
    report::fact("multicall.one", run(&mut one));
    report::fact("multicall.one.result", one[0].result as i64);
    say!("note multicall.arguments_afterwards {:#x} {:x?}", one[0].number, one[0].arguments);
    let mut eight = [version; 8];
    report::fact("multicall.eight", run(&mut eight));
    report::check("multicall.eight.results", eight.iter().all(|entry| entry.result == one[0].result));
    // Wrong ones between good ones: each has its own answer, and the others are made all the same.
    let mut mixed = [
        version,
        Entry::new(63, 0, 0),
        Entry::new(xen::XEN_VERSION, 99, 0),
        Entry::new(xen::XEN_VERSION, 6, 0),
        Entry::new(u64::MAX, 0, 0),
        Entry::new(xen::XEN_VERSION | 1 << 32, 0, 0),
        Entry::new(xen::SCHED_OP, 0, 0),
        version,
    ];
    report::fact("multicall.mixed", run(&mut mixed));
    for (place, entry) in mixed.iter().enumerate() {
        report::fact(format_args!("multicall.mixed.{place}"), entry.result as i64);
    }
    nested();
    pointers();
}

fn nested() {
    let mut inner = [Entry::new(xen::XEN_VERSION, 0, 0)];
    let address = xen::handle(&mut inner);
    let mut outer = [Entry::new(xen::MULTICALL, address, 1), Entry::new(xen::XEN_VERSION, 0, 0)];
    report::fact("multicall.nested", run(&mut outer));
    report::fact("multicall.nested.result", outer[0].result as i64);
    report::fact("multicall.nested.inner", inner[0].result as i64);
    report::fact("multicall.nested.next", outer[1].result as i64);
}

fn pointers() {
    let version = Entry::new(xen::XEN_VERSION, 0, 0);
    let at = |address: u64, count: u64| xen::call(xen::MULTICALL, [address, count, 0, 0, 0]);
    report::fact("multicall.null", at(0, 1));
    report::fact("multicall.null_none", at(0, 0));
    report::fact("multicall.beyond", at(1 << 48, 1));
    let window = mmu::set_window(8, Page::Writable(PAGE.frame(0)));
    mmu::set_window(9, Page::Unmapped);
    let last = PAGE.address() + 4096 - 64;
    for (place, word) in [version.number, version.result, 0, 0].into_iter().enumerate() {
        mmio::write64(last + place * 8, word);
    }
    report::fact("multicall.into_unmapped", at(window as u64 + 4096 - 64, 2));
    report::fact("multicall.into_unmapped.first", mmio::read64(last + 8) as i64);
    mmio::write64(last + 8, 0x1234_5678);
    mmu::set_window(8, Page::ReadOnly(PAGE.frame(0)));
    report::fact("multicall.read_only", at(window as u64 + 4096 - 64, 1));
    report::fact("multicall.read_only.result", mmio::read64(last + 8) as i64);
    report::fact("multicall.count_in_upper_half", at(0, 1 << 32));
}
