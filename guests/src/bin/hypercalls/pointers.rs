//! Buffers that are not what they should be.

use guests::mmu::{self, Page};
use guests::xen::{self, Pages};
use guests::{mmio, platform, report};

static PAGE: Pages<2> = Pages::new();

/// Asks for the features with the structure at `address`: Xen reads and writes 8 bytes.
fn features(address: u64) -> i64 {
    xen::op_at(xen::XEN_VERSION, 6, address)
}

/// Asks for the current reservation with the domain's number at `address`: Xen reads 2 bytes.
fn reads(address: u64) -> i64 {
    xen::op_at(xen::MEMORY_OP, xen::memory::MAXIMUM_GPFN, address)
}

/// Asks for the capabilities: Xen writes up to 1 KiB.
fn writes(address: u64) -> i64 {
    xen::op_at(xen::XEN_VERSION, 3, address)
}

pub(super) fn all() {
    let page = PAGE.address();
    let own = mmu::set_window(0, Page::Writable(PAGE.frame(0)));
    let read_only = mmu::set_window(1, Page::ReadOnly(PAGE.frame(1)));
    let device = mmu::set_window(2, Page::Device(PAGE.frame(0)));
    let unmapped = mmu::set_window(3, Page::Unmapped);
    let hole = mmu::set_window(4, Page::Writable(xen::free_frame()));
    let far = mmu::set_window(5, Page::Writable(1 << 35));
    let uart = platform::get().uart.base;
    mmio::write64(page, 0);
    mmio::write16(PAGE.address() + 4096, xen::DOMID_SELF);
    for (name, address) in [
        ("own", own as u64),
        ("own_unaligned", own as u64 + 1),
        ("own_as_device", device as u64),
        ("null", 0),
        ("one", 1),
        ("unmapped", unmapped as u64),
        ("read_only", read_only as u64),
        ("second_stage_hole", hole as u64),
        ("beyond_second_stage", far as u64),
        ("device", uart as u64),
        ("interrupt_controller", platform::get().gic.distributor as u64),
        ("last_of_48_bits", 0xffff_ffff_fff8),
        ("beyond_48_bits", 1 << 48),
        ("tagged", 0xff << 56 | own as u64),
        ("upper_half", 0xffff_0000_0000_0000 | own as u64),
        ("last", u64::MAX - 7),
        ("very_last", u64::MAX),
    ] {
        // A page that cannot be written has the domain's number, for reading, before the structure.
        let beside = if name == "read_only" { address + 8 } else { address };
        report::fact(format_args!("pointer.{name}.read_write"), features(beside));
        report::fact(format_args!("pointer.{name}.write"), writes(beside));
        if name != "own" && name != "own_unaligned" && name != "own_as_device" {
            report::fact(format_args!("pointer.{name}.read"), reads(address));
        }
        mmio::write64(page, 0);
    }
    straddling(read_only, unmapped);
}

/// Buffers of which a part is good.
fn straddling(read_only: usize, unmapped: usize) {
    let before_unmapped = mmu::set_window(2, Page::Writable(PAGE.frame(0))) + 4096;
    report::equal("pointer.windows_are_side_by_side", before_unmapped as u64, unmapped as u64);
    let before_read_only = read_only as u64;
    for (name, address) in [
        ("unmapped", before_unmapped as u64),
        ("read_only", before_read_only),
        ("own", mmu::WINDOW as u64 + 8),
    ] {
        let place = PAGE.address() + 4096 - 8;
        mmio::write64(place, 0x5a5a_5a5a_0000_0000);
        report::fact(format_args!("pointer.into_{name}.read_write_last_8"), features(address - 8));
        mmio::write64(place, 0);
        report::fact(format_args!("pointer.into_{name}.read_write_last_4"), features(address - 4));
        mmio::write64(place, 0x5a5a_5a5a_5a5a_5a5a);
        report::fact(format_args!("pointer.into_{name}.write"), writes(address - 8));
        report::fact(
            format_args!("pointer.into_{name}.what_was_written"),
            format_args!("{:#x}", mmio::read64(place)),
        );
        mmio::write8(PAGE.address() + 4095, 0xf0);
        report::fact(format_args!("pointer.into_{name}.read_last"), reads(address - 1));
    }
    mmu::set_window(1, Page::Writable(PAGE.frame(1)));
    let across = mmu::WINDOW as u64 + 4096 - 4;
    mmio::write64(PAGE.address() + 4096 - 4, 0);
    report::fact("pointer.across_two_pages.read_write", features(across));
}
