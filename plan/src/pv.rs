//! Where a domain with PV interfaces has its grant table, and which guest addresses it may fill with other
//! domains' pages (extended regions). The addresses are those of Xen's `public/arch-arm.h`.

use alloc::vec::Vec;

use crate::board::Surveyed;
use crate::domains::Wanted;
use crate::layout::{BANK_0, BANK_1};
use crate::range::{BLOCK_2_MIB, FRAME_BYTES, RangeSet, align_down};
use crate::shape::{GicRegions, GuestMemory, Layout, Pv, Range, SharedView};

/// Where a guest puts its grant table.
const GRANT_WINDOW: Range = Range { base: 0x3800_0000, size: 0x100_0000 };
/// Frames of a grant table at most, where the window lies in the place of the hypervisor's image.
const GRANT_FRAMES: u64 = 64;
/// The interrupt that says that an event has come (`GUEST_EVTCHN_PPI`).
const EVENT_INTERRUPT: u32 = 31;
/// The first interrupt that belongs to each processor.
const FIRST_PRIVATE: u32 = 16;
/// The least extended region that is worth a word.
const LEAST_EXTENDED_BYTES: u64 = 64 << 20;

/// The PV side of a domain, but for the place of the shared pages.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    pub(crate) xenstore: bool,
    pub(crate) grant_window: Range,
    pub(crate) extended: Vec<Range>,
    pub(crate) event_interrupt: u32,
}

impl Interface {
    /// Leaves registers of the host's out of the extended regions.
    pub(crate) fn avoid(&mut self, mmio: &[GuestMemory]) {
        let mut rest = RangeSet::new();
        self.extended.iter().for_each(|range| rest.insert(*range));
        mmio.iter().filter_map(guest_range).for_each(|range| rest.remove(range));
        self.extended = rest.iter().copied().filter_map(worth).collect();
    }

    /// The whole of it.
    pub(crate) fn with_pages(self, pages: Range) -> Pv {
        let Self { xenstore, grant_window, extended, event_interrupt } = self;
        Pv { xenstore, grant_window, extended, event_interrupt, pages }
    }
}

/// What a guest that wants it is told; guest addresses end at `reach`, if extended regions are wanted at all.
pub(crate) fn interface(
    wanted: &Wanted<'_>,
    (banks, layout, shared): (&[Range], &Layout, &[SharedView]),
    image: Range,
    reach: Option<u64>,
) -> Option<Interface> {
    let enhanced = wanted.enhanced?;
    // A direct map has the host's RAM around it: what is no RAM there may be a device, so nothing is said.
    let extended = match reach.filter(|_| !wanted.direct_map) {
        Some(reach) => beyond_ram(banks, shared, reach),
        None => Vec::new(),
    };
    Some(Interface {
        xenstore: enhanced.xenstore,
        grant_window: grant_window(banks, layout, (wanted, image)),
        extended,
        event_interrupt: EVENT_INTERRUPT,
    })
}

/// The usual place; if a direct map has RAM or may have a device there, the place of the hypervisor's image, where no
/// guest can have anything.
fn grant_window(banks: &[Range], layout: &Layout, (wanted, image): (&Wanted<'_>, Range)) -> Range {
    let devices = [
        Range::new(layout.distributor, 0x1_0000),
        Range::new(layout.cpu_interface, layout.cpu_interface_size),
        Range::new(layout.uart, FRAME_BYTES),
    ];
    let taken = devices.iter().flatten().chain(banks).any(|range| range.overlaps(&GRANT_WINDOW));
    let has_devices = wanted.direct_map && wanted.devices.is_some();
    if taken || has_devices { in_image(image) } else { GRANT_WINDOW }
}

/// A grant window in the place of the hypervisor's image, and behind it if that is small.
pub(crate) fn in_image(image: Range) -> Range {
    let base = align_down(image.base, FRAME_BYTES);
    Range::new(base, GRANT_FRAMES.saturating_mul(FRAME_BYTES)).unwrap_or(GRANT_WINDOW)
}

/// What dom0 is told: its extended regions are the host's RAM that it was not given, at its own address.
pub(crate) fn of_dom0(
    (surveyed, banks, shared): (&Surveyed, &[Range], &[SharedView]),
    mmio: &RangeSet,
    image: Range,
    reach: Option<u64>,
) -> Interface {
    let grant_window = in_image(image);
    let mut rest = match reach {
        Some(_) => surveyed.ram.clone(),
        None => RangeSet::new(),
    };
    let beyond = reach.and_then(|reach| Range::between(reach, u64::MAX));
    let taken = banks.iter().chain(surveyed.reserved.iter()).chain(mmio.iter()).chain(&beyond);
    taken.for_each(|range| rest.remove(*range));
    rest.remove(image.outward(BLOCK_2_MIB));
    rest.remove(grant_window);
    shared.iter().filter_map(|share| guest_range(&share.memory)).for_each(|range| rest.remove(range));
    let board = &surveyed.board;
    let [secure, physical] = board.physical_timers;
    let busy = [secure, physical, board.virtual_timer, board.hypervisor_timer, maintenance(&board.gic)];
    Interface {
        xenstore: true,
        grant_window,
        extended: rest.iter().copied().filter_map(worth).collect(),
        event_interrupt: (FIRST_PRIVATE..EVENT_INTERRUPT)
            .find(|intid| !busy.contains(intid))
            .unwrap_or(EVENT_INTERRUPT),
    }
}

/// The private interrupt of the virtual interface.
const fn maintenance(gic: &GicRegions) -> u32 {
    match gic {
        GicRegions::V2 { maintenance, .. } | GicRegions::V3 { maintenance, .. } => *maintenance,
    }
}

/// Where a domain sees something.
fn guest_range(memory: &GuestMemory) -> Option<Range> {
    Range::new(memory.guest, memory.size)
}

/// What RAM and shared memory leave of the places for RAM, up to the end of guest addresses.
fn beyond_ram(banks: &[Range], shared: &[SharedView], reach: u64) -> Vec<Range> {
    let mut rest = RangeSet::new();
    for place in [BANK_0, BANK_1] {
        let ram = banks.iter().filter(|bank| place.contains(bank)).map(Range::end).max();
        let left = Range::between(ram.unwrap_or(place.base), place.end().min(reach));
        left.into_iter().for_each(|range| rest.insert(range));
    }
    shared.iter().filter_map(|share| guest_range(&share.memory)).for_each(|range| rest.remove(range));
    rest.iter().copied().filter_map(worth).collect()
}

/// The whole 2 MiB of a range, if they are large enough for an extended region.
pub(crate) fn worth(range: Range) -> Option<Range> {
    range.inward(BLOCK_2_MIB).filter(|range| range.size >= LEAST_EXTENDED_BYTES)
}
