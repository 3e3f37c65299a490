//! memory_op: giving memory back and asking for it again, the physical map, and the hypervisor's own pages where a
//! guest would like them to be taken for its own.
//!
//! Wants one vCPU and 64 MiB, of which the upper 32 are played with.
#![no_std]
#![no_main]

mod extents;
mod physmap;
mod refused;
mod reservation;
mod shared_pages;

use core::sync::atomic::{AtomicI64, Ordering};

use guests::xen::{self, DOMID_SELF, MEMORY_OP, memory};
use guests::{exception, mmio, platform, report};

guests::guest!(main);

/// Pages that the domain had at the beginning.
static PAGES: AtomicI64 = AtomicI64::new(0);

fn main() {
    if !report::check("hypervisor_node", xen::is_there()) {
        return;
    }
    PAGES.store(reservation(DOMID_SELF, memory::CURRENT_RESERVATION), Ordering::Relaxed);
    reservation::all();
    extents::all();
    physmap::all();
    shared_pages::all();
    refused::all();
    accounted("at_the_end");
}

/// Asks for one of the three numbers of a domain.
fn reservation(domain: u16, command: u64) -> i64 {
    let mut domain = [domain; 4];
    xen::op(MEMORY_OP, command, &mut domain)
}

/// Says how many pages the domain has more, or less, than at the beginning.
fn accounted(name: &str) {
    let now = reservation(DOMID_SELF, memory::CURRENT_RESERVATION);
    report::fact(format_args!("pages.{name}"), now - PAGES.load(Ordering::Relaxed));
}

/// The frame `pages` behind the middle of memory, where nothing of the guest's is.
fn spare(pages: u64) -> u64 {
    let (base, size) = platform::get().memory[0];
    (base + size / 2) / xen::PAGE + pages
}

fn address(frame: u64) -> usize {
    (frame * xen::PAGE) as usize
}

fn read(frame: u64) -> u64 {
    mmio::read64(address(frame))
}

fn write(frame: u64, value: u64) {
    mmio::write64(address(frame), value);
    mmio::write64(address(frame) + 4088, value);
}

/// Says what reading from a frame does: the word there, or that there is a fault. Which of the architecture's words for it
/// is the hypervisor's choice.
fn look(name: &str, frame: u64) {
    match exception::probe_read(address(frame)) {
        Ok(value) => report::fact(name, format_args!("{value:#x}")),
        Err(fault) => report::fact(name, format_args!("fault {:#x}", fault.class())),
    }
}

fn decrease(frames: &mut [u64], order: u32) -> i64 {
    memory::reserve(memory::DECREASE_RESERVATION, frames, order)
}

fn populate(frames: &mut [u64], order: u32) -> i64 {
    memory::reserve(memory::POPULATE_PHYSMAP, frames, order)
}
