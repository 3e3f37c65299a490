//! Device assignment: the partial device tree of a domain (`multiboot,device-tree`), and what it gives away of the host.
//!
//! `/gic`, `/aliases` and `/passthrough` count, as in Xen 4.17: the last two go into the guest's tree, and the first says
//! by which phandle they mean the guest's interrupt controller. Below `/passthrough` three properties are for the
//! hypervisor, and stay here:
//!
//! - `xen,reg`: the host's registers, and where the guest sees them;
//! - `xen,path`: the host's node, whose shared interrupts the guest gets under their own numbers;
//! - `xen,force-assign-without-iommu`: nothing keeps the device's own accesses to memory in bounds, and that is known.
//!
//! Xen passes over whatever is wrong in there. Here it is refused, and so is what Xen does not look at: registers and
//! interrupts that are the hypervisor's or another domain's, and guest addresses where something else is.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::resources::MOST_RANGES;
use super::{Fate, Host, Visits, number, registers};
use crate::assemble::Draft;
use crate::board::{self, Surveyed};
use crate::domains::Chosen;
use crate::fdt::{Cells, Fdt, Node, Property, Trail};
use crate::guest_tree::GIC_PHANDLE;
use crate::input::Input;
use crate::range::{FRAME_BYTES, RangeSet, insert_sorted_by_key, is_aligned};
use crate::report::{Report, quoted};
use crate::shape::{DeviceInterrupt, GuestMemory, Hardware, Range};
use crate::shared_memory::Place;

const REGISTERS: &str = "xen,reg";
const PATH: &str = "xen,path";
const FORCE: &str = "xen,force-assign-without-iommu";
/// Properties of a partial tree that a guest does not get.
pub(crate) const FOR_THE_HYPERVISOR: [&str; 3] = [REGISTERS, PATH, FORCE];
/// What is warned of where a partial tree cannot be looked into, as on the desk.
pub const UNSEEN_DEVICES: &str =
    "cannot be looked into here: what it gives the domain is not checked, and not in the domain's tree";
/// Bytes that lists of ranges and interrupts take for each byte of a partial tree, and the tree itself.
const PLAN_BYTES_PER_BYTE: u64 = 4;

/// The bytes of a domain's partial tree, if it has one that can be had.
pub(crate) fn bytes(
    (draft, input, surveyed): (&Draft<'_, '_>, &Input<'_>, &Surveyed),
    chosen: &mut Chosen<'_>,
    report: &mut Report,
) -> Option<Vec<u8>> {
    let module = draft.wanted.devices.as_ref()?;
    let Range { base, size } = Some(module.range).filter(|range| surveyed.ram.contains(range))?;
    if !chosen.spend(size.saturating_mul(PLAN_BYTES_PER_BYTE), report) {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    if input.modules.read(base, &mut bytes) {
        return Some(bytes);
    }
    report.warn_of(&module.path, module.property, UNSEEN_DEVICES);
    None
}

/// The nodes of a partial tree that its guest gets, with their depth.
pub(crate) fn nodes<'p>(partial: &Fdt<'p>) -> impl Iterator<Item = (usize, Node<'p>)> + use<'p> {
    let mut stays = false;
    partial.walk().filter(move |(depth, node)| {
        if *depth <= 1 {
            stays = *depth == 1 && matches!(node.name(), "aliases" | "passthrough");
        }
        stays
    })
}

/// The phandle by which a guest's tree means its interrupt controller.
pub(crate) fn gic_phandle(partial: Option<&Fdt<'_>>) -> u32 {
    partial.and_then(|partial| partial.find("/gic")?.phandle()).unwrap_or(GIC_PHANDLE)
}

/// A domain's devices while they are read.
pub(crate) struct Assignment<'a, 's, 'r> {
    pub(crate) host: Host<'a, 's>,
    pub(crate) surveyed: &'s Surveyed,
    pub(crate) host_spis: u32,
    /// Where the guest has what.
    pub(crate) place: &'s Place<'s>,
    /// The domain, and those before it.
    pub(crate) draft: &'s Draft<'s, 'a>,
    pub(crate) others: &'s [Draft<'s, 'a>],
    pub(crate) report: &'r mut Report,
}

/// A node of a partial tree.
struct Here<'p, 't> {
    node: &'p Node<'p>,
    trail: &'t Trail<'p>,
    /// Its place in words: the module's node, and the way in the tree there.
    path: String,
}

/// What is wrong, and what would be right.
type Fault = (String, &'static str);

impl<'a> Assignment<'a, '_, '_> {
    /// Opens a partial tree and reads what it gives away; what is wrong is reported.
    pub(crate) fn read<'p>(mut self, blob: &'p [u8]) -> Option<(Fdt<'p>, Hardware)> {
        let path = &self.draft.wanted.devices.as_ref()?.path;
        let opened = Fdt::open(blob);
        if let Err(error) = &opened {
            self.report.refuse(path, "reg", format!("{error}"), "a tree as dtc makes it, and its size");
        }
        let partial = opened.ok()?;
        if partial.find("/passthrough").is_none() {
            self.report.warn(path, "has no node /passthrough: the domain is given nothing");
        }
        let mut hardware = Hardware { mmio: Vec::new(), interrupts: Vec::new() };
        let mut trail = Trail::at_root(partial);
        for (depth, node) in partial.walk() {
            trail.enter(depth, &node);
            let top = trail.nodes().nth(1).map_or("", |top| top.name());
            let here = Here { node: &node, trail: &trail, path: format!("{path}: {}", trail.path()) };
            self.phandle(&here, &partial);
            if top == "passthrough" {
                self.wiring(&here, &partial);
                self.device(&here, &mut hardware);
            }
        }
        Some((partial, hardware))
    }

    /// No two nodes of the guest's tree may have one phandle.
    fn phandle(&mut self, here: &Here<'_, '_>, partial: &Fdt<'_>) {
        let Some(phandle) = here.node.phandle() else { return };
        let gics = phandle == gic_phandle(Some(partial)) && partial.find("/gic") != Some(*here.node);
        if gics || partial.find_phandle(phandle) != Some(*here.node) {
            let what = if gics { "the guest's interrupt controller" } else { "another node" };
            let reason = format!("{phandle:#x} is that of {what}");
            self.report.refuse(&here.path, "phandle", reason, "each node has a phandle of its own");
        }
    }

    /// Interrupts of the guest's node must lead somewhere in the guest's tree.
    fn wiring(&mut self, here: &Here<'_, '_>, partial: &Fdt<'_>) {
        const PARENT: &str = "interrupt-parent";
        let parent = here.node.property(PARENT).and_then(|parent| parent.u32());
        if let Some(phandle) = parent.filter(|phandle| *phandle != gic_phandle(Some(partial)))
            && !nodes(partial).any(|(_, node)| node.phandle() == Some(phandle))
        {
            let reason = format!("{phandle:#x} is no node that the guest gets");
            let hint = "interrupt-parent = <&gic>; and a node gic: gic {} below /";
            self.report.refuse(&here.path, PARENT, reason, hint);
        }
        // The root is the guest's own, which says nothing of interrupts.
        let has_parent = here.trail.nodes().skip(1).any(|node| node.property(PARENT).is_some());
        if here.node.property("interrupts").is_some() && !has_parent {
            let text = "its interrupts lead nowhere in the guest: interrupt-parent is missing";
            self.report.warn(&here.path, text);
        }
    }

    fn device(&mut self, here: &Here<'_, '_>, hardware: &mut Hardware) {
        let value = |name| here.node.property(name);
        let (name, hint) = match (value(REGISTERS), value(PATH), value(FORCE)) {
            (None, None, _) => return,
            (Some(reg), path, Some(_)) => return self.assign(here, (reg, path), hardware),
            (None, Some(_), _) => (REGISTERS, "host address, size, guest address of the device's registers"),
            (Some(_), None, None) => {
                (PATH, "the host's node; or xen,force-assign-without-iommu for registers alone")
            }
            (Some(_), Some(_), None) => {
                (FORCE, "no IOMMU is driven: who has a device reads and writes all memory with it, if it can")
            }
        };
        self.report.refuse(&here.path, name, "is missing", hint);
    }

    /// Gives a device with these registers to the domain, which may be that at a path of the host's tree.
    fn assign(
        &mut self,
        here: &Here<'_, '_>,
        (reg, path): (Property<'_>, Option<Property<'_>>),
        hardware: &mut Hardware,
    ) {
        let path = path.map(|path| path.text().unwrap_or(""));
        let own = match path.map(|path| self.host_device(path, hardware)).transpose() {
            Ok(own) => own,
            Err((reason, hint)) => {
                let there = path.filter(|path| self.host.fdt.find(path).is_some()).unwrap_or("");
                let reason = format!("{} {reason}", quoted(path.unwrap_or("")));
                return self.report.clash([(&here.path, PATH), (there, "")], reason, hint);
            }
        };
        let Cells { address, size } = here.trail.cells();
        let bytes = reg.value.len();
        let width = usize::try_from(address.saturating_mul(8).saturating_add(size.saturating_mul(4)));
        let whole = width.is_ok_and(|width| bytes > 0 && bytes.is_multiple_of(width));
        if !(whole && (1..=2).contains(&address) && (1..=2).contains(&size)) {
            let reason = format!(
                "has {bytes} bytes, which is no list of {address} cells of host address, {size} of size, {address} of guest address"
            );
            return self.report.refuse(&here.path, REGISTERS, reason, "cells are those of the parent node");
        }
        let mut rest = reg.cells();
        let mut next = |count| number(&mut rest, count);
        while let (Some(host), Some(size), Some(guest)) = (next(address), next(size), next(address)) {
            let piece = GuestMemory { guest, host, size };
            if let Err((reason, hint)) = self.add(piece, own.as_ref(), &mut hardware.mmio) {
                self.report.refuse(&here.path, REGISTERS, reason, hint);
            }
        }
    }

    /// Finds the host's device, takes its interrupts, and gives the frames of its registers.
    fn host_device(&mut self, path: &str, hardware: &mut Hardware) -> Result<RangeSet, Fault> {
        let node = self.host.fdt.find(path).and_then(|node| Some((node, Trail::of(&node)?)));
        let Some((node, trail)) = node else {
            return Err(("is no node of the host's tree".into(), "a path such as /pl031@9010000"));
        };
        let mut visits = Visits::new(self.host);
        let visit = core::iter::from_fn(|| visits.advance()).find(|visit| visit.node == node);
        if visit.is_none() && self.host.uses_private_interrupt(&node, &trail) {
            let reason = "has an interrupt that is private to each processor";
            return Err((reason.into(), "only shared interrupts (SPIs) are given away"));
        }
        let Some(visit) = visit.filter(|visit| visit.fate == Fate::Keep) else {
            return Err(("is the hypervisor's, or no device".into(), "a device that dom0 would have"));
        };
        if visit.used && self.others.first().is_some_and(|first| first.wanted.is_dom0) {
            let reason = "is dom0's, since its node has no xen,passthrough";
            return Err((reason.into(), "xen,passthrough; in the host's node"));
        }
        if visit.used {
            let text = "is given to a domain, but has no xen,passthrough: beside a dom0 it would be dom0's";
            self.report.warn(path, text);
        }
        let mut outcome = Ok(());
        self.host.each_interrupt(&node, &trail, |_, number, flags| {
            let interrupt = DeviceInterrupt::shared(number, flags);
            if outcome.is_ok() && !hardware.interrupts.iter().any(|other| other.intid == interrupt.intid) {
                outcome = self.interrupt(number, interrupt.intid);
                insert_sorted_by_key(&mut hardware.interrupts, interrupt, |entry| entry.intid);
            }
        });
        outcome?;
        let mut own = RangeSet::new();
        registers(&node, &trail).for_each(|range| own.insert(range.outward(FRAME_BYTES)));
        Ok(own)
    }

    /// Checks that nobody else has an interrupt, and that the guest can have it.
    fn interrupt(&self, number: u32, intid: u32) -> Result<(), Fault> {
        let has = |other: &&Draft<'_, '_>| {
            other.hardware.iter().flat_map(|had| &had.interrupts).any(|other| other.intid == intid)
        };
        let consoles = self.host.board.uart.and_then(|uart| uart.interrupt);
        let what = if number >= self.host_spis {
            "the host does not have".into()
        } else if consoles == Some(intid) {
            "is that of the hypervisor's console".into()
        } else if let Some(other) = self.others.iter().find(has) {
            format!("{} has already", other.wanted.path)
        } else if self.draft.wanted.vpl011 && self.draft.layout.uart_interrupt == intid {
            "the domain's own UART has (vpl011)".into()
        } else if number >= u32::from(self.draft.spis) {
            "is not among the domain's nr_spis".into()
        } else {
            return Ok(());
        };
        let hint = "a shared interrupt has one owner, and the same number in the guest";
        Err((format!("has interrupt {number}, which {what}"), hint))
    }

    /// Adds registers, if they are a device's of the domain alone and the guest has room for them.
    fn add(
        &self,
        piece: GuestMemory,
        own: Option<&RangeSet>,
        mmio: &mut Vec<GuestMemory>,
    ) -> Result<(), Fault> {
        let GuestMemory { guest, host, size } = piece;
        let ranges = Range::new(host, size).zip(Range::new(guest, size));
        let Some((at, seen)) = ranges.filter(|_| is_aligned(host | size | guest, FRAME_BYTES)) else {
            let what = "empty, not 4 KiB aligned, or beyond the address space";
            let reason = format!("host {host:#x}, size {size:#x}, guest {guest:#x}: {what}");
            return Err((reason, "host address, size, guest address, all multiples of 0x1000"));
        };
        // Several devices may share a frame, which all their nodes then name.
        if mmio.contains(&piece) {
            return Ok(());
        }
        self.is_free(at, own)?;
        self.has_room(seen, mmio)?;
        if mmio.len() >= MOST_RANGES {
            return Err((format!("more than {MOST_RANGES} ranges"), "fewer devices"));
        }
        insert_sorted_by_key(mmio, piece, |piece| piece.guest);
        Ok(())
    }

    /// Checks that frames of the host can be given to the domain.
    fn is_free(&self, at: Range, own: Option<&RangeSet>) -> Result<(), Fault> {
        let board = self.host.board;
        let uart = board.uart.map(|uart| uart.registers);
        let mut kept = board::registers_of(&board.gic).into_iter().chain(uart);
        let has = |other: &&Draft<'_, '_>| {
            let mmio = other.hardware.iter().flat_map(|had| &had.mmio);
            mmio.filter_map(|one| Range::new(one.host, one.size)).any(|range| range.overlaps(&at))
        };
        let is_reserved = self.surveyed.reserved.contains(&at);
        if let Some(own) = own.filter(|own| !own.contains(&at)) {
            let known = own.iter().take(4).fold(String::new(), |known, range| format!("{known} {range}"));
            let reason = format!("{at} is not all in registers of the host's device:{known}");
            Err((reason, "the reg of the host's node, in whole 4 KiB"))
        } else if let Some(ram) = self.surveyed.ram.overlapping(&at).filter(|_| !is_reserved) {
            let hint = "only devices, and what /reserved-memory keeps for them, are given away";
            Err((format!("{at} overlaps RAM {ram}"), hint))
        } else if let Some(kept) = kept.find(|kept| kept.outward(FRAME_BYTES).overlaps(&at)) {
            let hint = "interrupt controller and console stay the hypervisor's";
            Err((format!("{at} overlaps {kept}, which the hypervisor drives"), hint))
        } else if let Some(other) = self.others.iter().find(has) {
            let hint =
                "devices that share 4 KiB go to one domain; dom0 does not get what has xen,passthrough";
            Err((format!("{at} overlaps what {} has already", other.wanted.path), hint))
        } else {
            Ok(())
        }
    }

    /// Checks that nothing else is where the guest is to see registers.
    fn has_room(&self, seen: Range, mmio: &[GuestMemory]) -> Result<(), Fault> {
        let devices = mmio.iter().map(|one| (*one, "registers of another device"));
        let shared = self.draft.shared.iter().map(|share| (share.memory, "memory that the domain shares"));
        let pieces = devices.chain(shared);
        let pieces = pieces.filter_map(|(one, what)| Some((Range::new(one.guest, one.size)?, what)));
        let beyond =
            Range::between(self.place.reach, u64::MAX).map(|beyond| (beyond, "what is out of reach"));
        let mut taken = self.place.taken().into_iter().chain(pieces).chain(beyond);
        let Some((other, what)) = taken.find(|(other, _)| other.overlaps(&seen)) else { return Ok(()) };
        let reason = format!("guest address {seen} overlaps {what} at {other}");
        Err((reason, "another guest address, the last in the entry"))
    }
}
