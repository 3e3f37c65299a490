//! Writes dom0's tree: the host's nodes that stay, three of them anew, and at the end what describes the virtual
//! machine.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::resources::Resources;
use super::{Fate, Host, Visit, Visits, is_passed_through};
use crate::fdt::{Node, Trail, Writer};
use crate::guest_tree::{self, Guest, Wiring};
use crate::range::RangeSet;
use crate::shape::GicRegions;

/// Properties that speak of an IOMMU.
const IOMMU_PROPERTIES: [&str; 3] = ["iommus", "iommu-map", "iommu-map-mask"];
/// Properties of `/chosen` that are meant for the hypervisor, or written anew.
const CHOSEN_PROPERTIES: [&str; 5] =
    ["bootargs", "linux,initrd-start", "linux,initrd-end", "stdout-path", "linux,stdout-path"];

/// An upper bound of the bytes of the tree that [`write()`] makes.
pub(crate) fn bound(host: Host<'_, '_>, guest: &Guest<'_>, resources: &Resources) -> u64 {
    let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let frames = count(resources.message_frames.len()).saturating_mul(256);
    let reserved = count(resources.reserved.len()).saturating_mul(16);
    count(host.fdt.bytes())
        .saturating_add(guest_tree::bound(guest))
        .saturating_add(frames)
        .saturating_add(reserved)
        .saturating_add(1024)
}

/// Writes the tree.
pub(crate) fn write(host: Host<'_, '_>, guest: &Guest<'_>, resources: &Resources) -> Vec<u8> {
    let capacity = bound(host, guest, resources);
    let mut tree = Writer::with_capacity(usize::try_from(capacity).unwrap_or(0));
    let mut visits = Visits::new(host);
    // Nodes that are open: a visit at a depth ends all from that depth on.
    let mut open: usize = 0;
    // The host's `/reserved-memory` is open and takes what dom0 shares with others; or it has.
    let (mut reserves, mut shared) = (None, guest.shared.is_empty());
    let mut has_timer = false;
    while let Some(visit) = visits.advance() {
        close(&mut tree, (&mut open, visit.depth), (&mut reserves, &mut shared), guest);
        match visit.fate {
            Fate::Controller => controller(&mut tree, host, (&visit.node, &visits.trail), resources),
            Fate::Timer if has_timer => {}
            Fate::Timer => {
                // Its interrupts are the host's.
                let [secure, physical] = host.board.physical_timers;
                let intids = [secure, physical, host.board.virtual_timer];
                guest_tree::timer(&mut tree, &host.wiring(), intids, host.board.timer_frequency);
                has_timer = true;
            }
            Fate::Keep | Fate::Chosen => {
                tree.begin(visit.node.name());
                properties(&mut tree, host, &visit);
                if visit.depth == 1 && visit.node.name() == "reserved-memory" {
                    reserves = Some(Wiring { cells: visit.node.cells(host.wiring().cells), ..host.wiring() });
                }
                if visit.fate == Fate::Chosen {
                    guest_tree::chosen_properties(&mut tree, guest, guest.images.ramdisk.is_some());
                }
                open = visit.depth.saturating_add(1);
            }
            Fate::Drop => {}
        }
    }
    close(&mut tree, (&mut open, 1), (&mut reserves, &mut shared), guest);
    machine(&mut tree, host, guest, &resources.reserved);
    if !shared {
        guest_tree::reserved_memory(&mut tree, &host.wiring(), guest);
    }
    tree.finish()
}

/// Ends the open nodes from `depth` on. What dom0 shares with others goes into the host's `/reserved-memory`, if there
/// is one.
fn close(
    tree: &mut Writer,
    (open, depth): (&mut usize, usize),
    (reserves, shared): (&mut Option<Wiring>, &mut bool),
    guest: &Guest<'_>,
) {
    while *open > depth {
        if *open == 2
            && let Some(wiring) = reserves.take()
            && !*shared
        {
            guest_tree::shared_memory(tree, &wiring, guest);
            *shared = true;
        }
        tree.end();
        *open = open.saturating_sub(1);
    }
}

/// What describes the virtual machine.
fn machine(tree: &mut Writer, host: Host<'_, '_>, guest: &Guest<'_>, reserved: &RangeSet) {
    let wiring = host.wiring();
    if let Some(interface) = guest.interface {
        guest_tree::hypervisor(tree, &wiring, interface);
    }
    guest_tree::psci(tree);
    guest_tree::cpus(tree, guest);
    let mut banks = RangeSet::new();
    guest.banks.iter().for_each(|bank| banks.insert(*bank));
    for banks in [&banks, reserved] {
        let Some(first) = banks.iter().next() else { continue };
        tree.begin(&format!("memory@{:x}", first.base));
        tree.property_text("device_type", "memory");
        wiring.reg(tree, banks.iter());
        tree.end();
    }
}

/// The properties of a node that stays.
fn properties(tree: &mut Writer, host: Host<'_, '_>, visit: &Visit<'_>) {
    let passed = is_passed_through(&visit.node);
    for property in visit.node.properties() {
        let name = property.name();
        let dropped = match visit.fate {
            Fate::Chosen => {
                CHOSEN_PROPERTIES.contains(&name)
                    || name.starts_with("xen,")
                    || name.starts_with("xenite,")
                    || name.starts_with("linux,uefi-")
            }
            _ => {
                name == "xen,passthrough"
                    || passed && name == "status"
                    || host.has_iommu && IOMMU_PROPERTIES.contains(&name)
            }
        };
        if !dropped {
            tree.property(name, property.value);
        }
    }
    if passed {
        tree.property_text("status", "disabled");
    }
}

/// The interrupt controller, which is emulated at the host's addresses.
fn controller(
    tree: &mut Writer,
    host: Host<'_, '_>,
    (node, trail): (&Node<'_>, &Trail<'_>),
    resources: &Resources,
) {
    let copy = |tree: &mut Writer, name: &str| {
        if let Some(property) = node.property(name) {
            tree.property(name, property.value);
        }
    };
    tree.begin("interrupt-controller");
    tree.property_u32("phandle", host.wiring().gic_phandle);
    copy(tree, "#address-cells");
    copy(tree, "#size-cells");
    tree.property_u32("#interrupt-cells", u32::try_from(host.wiring().interrupt_cells).unwrap_or(3));
    tree.property_empty("interrupt-controller");
    copy(tree, "compatible");
    if matches!(host.board.gic, GicRegions::V3 { .. }) {
        tree.property_u32("#redistributor-regions", 1);
    }
    // The distributor, and the CPU interface or the first region of redistributors.
    let cells = trail.cells();
    let entry = cells.address.saturating_add(cells.size).saturating_mul(8);
    let bytes = usize::try_from(entry).unwrap_or(0);
    if let Some(reg) = node.property("reg").and_then(|reg| reg.value.get(..bytes)) {
        tree.property("reg", reg);
    }
    let frames = &resources.message_frames;
    if !frames.is_empty() {
        copy(tree, "ranges");
    }
    for (number, frame) in (0..frames.len()).zip(frames) {
        let name = if number == 0 { String::from("v2m") } else { format!("v2m-{number}") };
        tree.begin(&name);
        tree.property_text("compatible", "arm,gic-v2m-frame");
        tree.property_empty("msi-controller");
        if let Some(phandle) = frame.phandle {
            tree.property_u32("phandle", phandle);
        }
        tree.property("reg", &frame.reg);
        tree.property_u32("arm,msi-base-spi", frame.first);
        tree.property_u32("arm,msi-num-spis", frame.count);
        tree.end();
    }
    tree.end();
}
