//! Xen's paravirtual interface in one domain: events to oneself, memory, grants to oneself.
#![expect(unsafe_code, reason = "the sequences are assembly")]

use core::arch::asm;
use core::sync::atomic::Ordering;

use guests::xen::event::{self, word64};
use guests::xen::grant::{self, Copy, HOST_MAP, Map, Side, Unmap};
use guests::xen::{self, DOMID_SELF, Pages, memory};
use guests::{gic, platform};

use super::sample;

/// multicall_entry: number, result, six arguments.
type Entry = [u64; 8];

/// What is shared with Xen, and what is copied and granted.
static PAGES: Pages<4> = Pages::new();

/// The own domain's number, which mapping wants; the tests run this guest as the first.
const OWN: u16 = 1;

/// The ticks that a hypercall takes.
pub(super) fn hypercall(number: u64, x0: u64, x1: u64, x2: u64) -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: Xen changes x16 and the arguments' registers at most; what it writes belongs to the caller.
    unsafe {
        asm!(
            "isb", "mrs x20, cntvct_el0", "hvc #0xea1", "mrs x21, cntvct_el0",
            out("x20") start, out("x21") end,
            inout("x0") x0 => _, inout("x1") x1 => _, inout("x2") x2 => _, inout("x3") 0u64 => _,
            inout("x4") 0u64 => _, inout("x16") number => _, options(nostack)
        );
    }
    (end - start).saturating_sub(1)
}

fn on<T>(number: u64, command: u64, argument: &mut T) -> u64 {
    hypercall(number, command, core::ptr::from_mut(argument) as u64, 1)
}

pub(super) fn all() {
    if !xen::is_there() {
        return;
    }
    multicalls();
    events();
    reservations();
    grants();
}

fn multicalls() {
    let entry: Entry = [xen::XEN_VERSION, 0, 0, 0, 0, 0, 0, 0];
    for (name, count) in [("hvc.multicall1", 1u64), ("hvc.multicall8", 8)] {
        let mut entries = [entry; 8];
        sample(name, || hypercall(xen::MULTICALL, entries.as_mut_ptr() as u64, count, 0));
    }
}

fn shared() -> usize {
    (xen::free_frame() * xen::PAGE) as usize
}

fn events() {
    if memory::add_to_physmap(memory::SPACE_SHARED_INFO, 0, xen::free_frame()) != 0 {
        return;
    }
    let mut place = [PAGES.frame(0), 0];
    xen::call(xen::VCPU_OP, [10, 0, xen::handle(&mut place), 0, 0]);
    let Ok(port) = event::bind_ipi(0) else { return };
    let bit = 1u64 << port;
    let pending = word64(shared() + event::SHARED_PENDING);
    let masked = word64(shared() + event::SHARED_MASK);
    let clear = || {
        pending.fetch_and(!bit, Ordering::SeqCst);
        word64(PAGES.address() + 8).store(0, Ordering::SeqCst);
        word64(PAGES.address()).store(0, Ordering::SeqCst);
    };
    clear();
    masked.fetch_or(bit, Ordering::SeqCst);
    let mut argument = [port, 0];
    sample("evtchn.send_masked", || {
        clear();
        on(xen::EVENT_CHANNEL_OP, event::SEND, &mut argument)
    });
    clear();
    sample("evtchn.unmask", || on(xen::EVENT_CHANNEL_OP, event::UNMASK, &mut argument));
    gic::enable(platform::get().events);
    let mut own = |end: fn((u64, u64)) -> u64| {
        clear();
        end(super::interrupts::own_event(xen::handle(&mut argument)))
    };
    sample("evtchn.self_ipi.entry", || own(|(entry, _)| entry));
    sample("evtchn.self_ipi.eoi", || own(|(_, eoi)| eoi));
    gic::disable(platform::get().events);
    event::close(port);
}

fn reservations() {
    let (base, size) = platform::get().memory[0];
    let middle = (base + size / 2) / xen::PAGE;
    let mut frame = [middle];
    let mut request = memory::Reservation {
        extents: frame.as_mut_ptr() as u64,
        count: 1,
        order: 0,
        flags: 0,
        domain: DOMID_SELF,
    };
    let mut ask = |command: u64, order: u32| {
        request.order = order;
        on(xen::MEMORY_OP, command, &mut request)
    };
    // The first page breaks its block of 2 MiB.
    ask(memory::DECREASE_RESERVATION, 0);
    ask(memory::POPULATE_PHYSMAP, 0);
    sample("mem.decrease_4k", || {
        let ticks = ask(memory::DECREASE_RESERVATION, 0);
        ask(memory::POPULATE_PHYSMAP, 0);
        ticks
    });
    sample("mem.populate_4k", || {
        ask(memory::DECREASE_RESERVATION, 0);
        ask(memory::POPULATE_PHYSMAP, 0)
    });
    sample("mem.decrease_2m", || {
        let ticks = ask(memory::DECREASE_RESERVATION, 9);
        ask(memory::POPULATE_PHYSMAP, 9);
        ticks
    });
    sample("mem.populate_2m", || {
        ask(memory::DECREASE_RESERVATION, 9);
        ask(memory::POPULATE_PHYSMAP, 9)
    });
}

fn grants() {
    let table = xen::free_frame() + 1;
    if memory::add_to_physmap(memory::SPACE_GRANT_TABLE, 0, table) != 0 {
        return;
    }
    for (reference, page) in [(8usize, 1usize), (9, 2)] {
        let entry = u64::from(grant::PERMIT_ACCESS) | u64::from(OWN) << 16 | PAGES.frame(page) << 32;
        word64((table * xen::PAGE) as usize + reference * 8).store(entry, Ordering::SeqCst);
    }
    let address = (xen::free_frame() + 0x400) * xen::PAGE;
    let map =
        Map { address, flags: HOST_MAP, reference: 8, domain: OWN, status: 0, handle: 0, device_address: 0 };
    let pair = || {
        let mut map = map;
        let mapping = on(xen::GRANT_TABLE_OP, grant::MAP, &mut map);
        let mut unmap = Unmap { address, device_address: 0, handle: map.handle, status: 0 };
        (mapping, on(xen::GRANT_TABLE_OP, grant::UNMAP, &mut unmap))
    };
    sample("gnttab.map_self", || pair().0);
    sample("gnttab.unmap_self", || pair().1);
    for (name, kind) in [
        ("gnttab.copy4k_frame_frame", 0u16),
        ("gnttab.copy4k_ref_frame", grant::SOURCE_REFERENCE),
        ("gnttab.copy4k_frame_ref", grant::TARGET_REFERENCE),
    ] {
        let side = |by_reference: bool, reference: u64, page: usize| Side {
            what: if by_reference { reference } else { PAGES.frame(page) },
            domain: DOMID_SELF,
            offset: 0,
        };
        let mut copy = Copy {
            source: side(kind == grant::SOURCE_REFERENCE, 8, 1),
            target: side(kind == grant::TARGET_REFERENCE, 9, 2),
            length: 4096,
            flags: kind,
            status: 0,
        };
        sample(name, || on(xen::GRANT_TABLE_OP, grant::COPY, &mut copy));
    }
}
