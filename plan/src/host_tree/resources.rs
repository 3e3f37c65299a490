//! The devices that dom0 drives: their registers and their interrupts.
//!
//! Registers come from `reg` and from the windows of PCI bridges, interrupts from `interrupts`,
//! `interrupts-extended` and `interrupt-map`. What is the hypervisor's own is never among them, and no RAM but
//! that which the tree reserves for devices.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Fate, Host, Visit, Visits, cell, is_passed_through, number, registers, take};
use crate::board::{self, Surveyed, interrupt};
use crate::fdt::{Node, Trail};
use crate::input::Input;
use crate::range::{FRAME_BYTES, RangeSet, insert_sorted_by_key};
use crate::report::Report;
use crate::shape::{DeviceInterrupt, GuestMemory, Hardware, Range};

/// Most separate ranges of registers.
pub(super) const MOST_RANGES: usize = 1024;
/// INTIDs of shared interrupts end before this.
const SHARED_END: u32 = 1020;
const FIRST_SHARED: u32 = 32;

/// What dom0 has of the host beside its memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resources {
    pub(crate) mmio: RangeSet,
    pub(crate) interrupts: Vec<DeviceInterrupt>,
    /// RAM that `/reserved-memory` keeps for devices; also in `mmio`.
    pub(crate) reserved: RangeSet,
    /// Frames of message signalled interrupts, with their interrupts.
    pub(crate) message_frames: Vec<MessageFrame>,
}

/// A GICv2m frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageFrame {
    pub(crate) phandle: Option<u32>,
    /// Its `reg` as it stands in the host's tree.
    pub(crate) reg: Vec<u8>,
    /// INTID of its first interrupt.
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Resources {
    pub(crate) fn into_hardware(self) -> Hardware {
        let same = |range: &Range| GuestMemory { guest: range.base, host: range.base, size: range.size };
        Hardware { mmio: self.mmio.iter().map(same).collect(), interrupts: self.interrupts }
    }
}

/// Collects what the nodes that stay need; guest addresses end at `reach`.
pub(crate) fn collect(
    host: Host<'_, '_>,
    surveyed: &Surveyed,
    (input, reach): (&Input<'_>, u64),
    report: &mut Report,
) -> Resources {
    let mut found = Collector {
        host,
        reach,
        host_spis: input.facts.spis,
        absent: None,
        resources: Resources::default(),
        report,
    };
    // The registers that are kept for others, and the frames that they lie in.
    let (mut kept, mut withheld) = (RangeSet::new(), RangeSet::new());
    let mut visits = Visits::new(host);
    while let Some(visit) = visits.advance() {
        if is_passed_through(&visit.node) {
            registers(&visit.node, &visits.trail).for_each(|range| {
                kept.insert(range);
                withheld.insert(range.outward(FRAME_BYTES));
            });
        }
    }
    let mut visits = Visits::new(host);
    let shares = |range: Range| {
        kept.overlapping(&range).is_none() && withheld.overlapping(&range.outward(FRAME_BYTES)).is_some()
    };
    while let Some(visit) = visits.advance() {
        if visit.used {
            found.visit(&visit, &visits.trail, input);
            if !withheld.is_empty() && registers(&visit.node, &visits.trail).any(shares) {
                let reason = "shares 4 KiB with a device that is kept from dom0 (xen,passthrough)";
                found.report.refuse(
                    &visits.trail.path(),
                    "reg",
                    reason,
                    "xen,passthrough; in this node, too",
                );
            }
        }
    }
    found.tell_absent();
    let mut resources = found.resources;
    board::registers_of(&host.board.gic).iter().for_each(|range| withheld.insert(range.outward(FRAME_BYTES)));
    if let Some(uart) = host.board.uart {
        withheld.insert(uart.registers.outward(FRAME_BYTES));
    }
    let mut ram = surveyed.ram.clone();
    for range in surveyed.reserved.iter().filter(|range| resources.reserved.overlapping(range).is_some()) {
        ram.remove(*range);
    }
    ram.iter().chain(withheld.iter()).for_each(|range| {
        resources.mmio.remove(*range);
        resources.reserved.remove(*range);
    });
    resources
}

/// A collection under way.
struct Collector<'a, 'b, 'r> {
    host: Host<'a, 'b>,
    reach: u64,
    host_spis: u32,
    /// The first interrupt that the host does not have, its device, and how many there are.
    absent: Option<(u32, Node<'a>, u32)>,
    resources: Resources,
    report: &'r mut Report,
}

impl<'a> Collector<'a, '_, '_> {
    fn visit(&mut self, visit: &Visit<'a>, trail: &Trail<'a>, input: &Input<'_>) {
        let node = &visit.node;
        match visit.fate {
            Fate::Controller => self.message_frames(node, trail, input),
            Fate::Keep => {
                let in_reserved = trail.nodes().nth(1).is_some_and(|top| top.name() == "reserved-memory");
                for range in registers(node, trail) {
                    self.add_registers(range, node);
                    if in_reserved && range.end() <= self.reach {
                        self.resources.reserved.insert(range.outward(FRAME_BYTES));
                    }
                }
                if node.property("device_type").is_some_and(|kind| kind.text() == Some("pci")) {
                    self.windows(node, trail);
                }
                let host = self.host;
                host.each_interrupt(node, trail, |kind, number, flags| {
                    self.add_interrupt(node, kind, number, flags)
                });
                self.interrupt_map(node);
            }
            Fate::Drop | Fate::Chosen | Fate::Timer => {}
        }
    }

    fn add_registers(&mut self, range: Range, node: &Node<'a>) {
        let frames = range.outward(FRAME_BYTES);
        if frames.end() > self.reach {
            let text = format!("{range} is beyond guest addresses: dom0 cannot reach it");
            self.report.warn(&board::path_of(node), &text);
        } else if self.resources.mmio.len() >= MOST_RANGES {
            let reason = format!("more than {MOST_RANGES} separate ranges of registers");
            self.report.refuse(&board::path_of(node), "reg", reason, "disable devices that are not needed");
        } else {
            self.resources.mmio.insert(frames);
        }
    }

    /// The address windows of a PCI bridge: three cells of PCI address, the parent's address, two cells of size.
    fn windows(&mut self, node: &Node<'a>, trail: &Trail<'a>) {
        let Some(ranges) = node.property("ranges") else { return };
        let parent_cells = trail.cells().address;
        let mut cells = ranges.cells();
        // What the window's PCI address is does not matter here.
        while let (Some(_), Some(_), Some(_)) = (cells.next(), cells.next(), cells.next()) {
            let (address, size) = (number(&mut cells, parent_cells.min(2)), number(&mut cells, 2));
            let (Some(address), Some(size)) = (address, size) else { return };
            let range = trail.translate(address, size).and_then(|address| Range::new(address, size));
            if let Some(range) = range {
                self.add_registers(range, node);
            }
        }
    }

    fn add_interrupt(&mut self, node: &Node<'a>, kind: u32, number: u32, flags: u32) {
        let intid = number.saturating_add(FIRST_SHARED);
        if kind != 0 || intid >= SHARED_END {
            return;
        }
        let is_consoles = self.host.board.uart.is_some_and(|uart| uart.interrupt == Some(intid));
        if is_consoles {
            let text = format!("dom0 does not get interrupt {intid}: the hypervisor's console has it");
            self.report.warn(&board::path_of(node), &text);
            return;
        }
        if number >= self.host_spis {
            let (intid, node, count) = self.absent.unwrap_or((intid, *node, 0));
            self.absent = Some((intid, node, count.saturating_add(1)));
            return;
        }
        self.add_intid(DeviceInterrupt::shared(number, flags));
    }

    /// One warning for all interrupts that the host does not have.
    fn tell_absent(&mut self) {
        let Some((intid, node, count)) = self.absent else { return };
        let others = match count.saturating_sub(1) {
            0 => String::new(),
            count => format!(" and {count} others"),
        };
        let text = format!("dom0 does not get interrupt {intid}{others}: the host has no such");
        self.report.warn(&board::path_of(&node), &text);
    }

    fn add_intid(&mut self, interrupt: DeviceInterrupt) {
        let list = &mut self.resources.interrupts;
        if !list.iter().any(|known| known.intid == interrupt.intid) {
            insert_sorted_by_key(list, interrupt, |entry| entry.intid);
        }
    }

    /// `interrupt-map`: child address and interrupt, controller, the controller's address and interrupt.
    fn interrupt_map(&mut self, node: &Node<'a>) {
        let Some(map) = node.property("interrupt-map") else { return };
        let (Some(address), Some(own)) = (cell(node, "#address-cells"), cell(node, "#interrupt-cells"))
        else {
            return;
        };
        let mut cells = map.cells();
        let skip =
            |cells: &mut dyn Iterator<Item = u32>, count: usize| (0..count).all(|_| cells.next().is_some());
        loop {
            if !skip(&mut cells, address.saturating_add(own)) {
                return;
            }
            let Some(phandle) = cells.next() else { return };
            let gic = self.host.gic.filter(|gic| gic.phandle() == Some(phandle));
            let Some(controller) = gic.or_else(|| self.host.fdt.find_phandle(phandle)) else { return };
            if !skip(&mut cells, cell(&controller, "#address-cells").unwrap_or(0)) {
                return;
            }
            if gic.is_some() {
                let Some([kind, number, flags]) = take(&mut cells, interrupt::cells(&controller)) else {
                    return;
                };
                self.add_interrupt(node, kind, number, flags);
            } else if !skip(&mut cells, cell(&controller, "#interrupt-cells").unwrap_or(0)) {
                return;
            }
        }
    }

    /// The GICv2m frames below the interrupt controller. Their interrupts stand in the tree or in the frame itself.
    fn message_frames(&mut self, gic: &Node<'a>, trail: &Trail<'a>, input: &Input<'_>) {
        for child in
            gic.children().filter(|child| child.is_compatible("arm,gic-v2m-frame") && child.is_enabled())
        {
            let mut below = *trail;
            below.enter(trail.depth().saturating_add(1), &child);
            let Some(range) = registers(&child, &below).next() else { continue };
            let stated = |name| child.property(name).and_then(|value| value.u32());
            let of_tree = stated("arm,msi-base-spi").zip(stated("arm,msi-num-spis"));
            // MSI_TYPER (Arm GICv2m, in the Server Base System Architecture).
            let of_frame = || {
                let word = input.modules.register(range.base.checked_add(8)?)?;
                Some(((word >> 16) & 0x3ff, word & 0x3ff))
            };
            let known = of_tree.or_else(of_frame).filter(|(first, count)| {
                let end = first.saturating_add(*count);
                *first >= FIRST_SHARED && *count > 0 && end <= self.host_spis.saturating_add(FIRST_SHARED)
            });
            let Some((first, count)) = known.filter(|_| range.end() <= self.reach) else {
                let text = "nobody says which interrupts it has: dom0's devices signal none by message";
                self.report.warn(&board::path_of(&child), text);
                continue;
            };
            self.add_registers(range, &child);
            for intid in first..first.saturating_add(count) {
                self.add_intid(DeviceInterrupt { intid, edge: true });
            }
            let reg = child.property("reg").map_or(Vec::new(), |reg| reg.value.to_vec());
            let frame = MessageFrame { phandle: child.phandle(), reg, first, count };
            self.resources.message_frames.push(frame);
        }
    }
}
