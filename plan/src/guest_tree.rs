//! The device tree that a guest is given: what Xen 4.17 gives, node by node and property by property.

use alloc::format;
use alloc::vec::Vec;

use crate::fdt::{Cells, Fdt, Writer};
use crate::host_tree::assigned;
use crate::kernel::Images;
use crate::layout::BANK_0;
use crate::pv::Interface;
use crate::range::BLOCK_1_GIB;
use crate::shape::{Board, GicRegions, Layout, Range, SharedView};
use crate::shared_memory::Region;

/// Phandle of the guest's interrupt controller, if its partial tree gives it no other.
pub(crate) const GIC_PHANDLE: u32 = 0xfde8;
/// Interrupt flags: every processor, level, low active (a private interrupt).
const PRIVATE_LEVEL_LOW: u32 = 0xf08;
/// Interrupt flags: every processor, level, high active.
const SHARED_LEVEL_HIGH: u32 = 0xf04;
const SHARED: u32 = 0;
const PRIVATE: u32 = 1;
const FIRST_PPI: u32 = 16;
const FIRST_SPI: u32 = 32;

/// What a guest's tree speaks of.
pub(crate) struct Guest<'a> {
    pub(crate) board: &'a Board,
    pub(crate) bootargs: &'a str,
    pub(crate) vcpus: u16,
    pub(crate) vpl011: bool,
    pub(crate) banks: &'a [Range],
    pub(crate) layout: &'a Layout,
    pub(crate) images: &'a Images,
    /// What it shares with other domains.
    pub(crate) shared: &'a [SharedView],
    /// The names of all regions.
    pub(crate) regions: &'a [Region<'a>],
    /// Its PV interfaces, if it has them.
    pub(crate) interface: Option<&'a Interface>,
    /// Its partial tree, if it has one.
    pub(crate) partial: Option<&'a Fdt<'a>>,
}

/// Affinity fields of a vCPU's MPIDR_EL1: sixteen to a cluster, since a GICv3 target list has 16 bits.
#[must_use]
pub const fn vcpu_affinity(vcpu: u16) -> u32 {
    let [low, high] = vcpu.to_le_bytes();
    let vcpu = u32::from_le_bytes([low, high, 0, 0]);
    (vcpu & 0xf) | ((vcpu >> 4) << 8)
}

/// An upper bound of the bytes of the tree that [`write()`] makes.
pub(crate) fn bound(guest: &Guest<'_>) -> u64 {
    let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    let each_vcpu = count(guest.board.cpu_compatible.len()).saturating_add(128);
    u64::from(guest.vcpus)
        .saturating_mul(each_vcpu)
        .saturating_add(count(guest.bootargs.len()))
        .saturating_add(count(guest.banks.len()).saturating_mul(16))
        .saturating_add(guest.interface.map_or(0, hypervisor_bound))
        .saturating_add(count(guest.shared.len()).saturating_mul(192))
        .saturating_add(count(guest.partial.map_or(0, Fdt::bytes)))
        .saturating_add(2048)
}

/// An upper bound of the bytes of [`hypervisor`].
fn hypervisor_bound(interface: &Interface) -> u64 {
    u64::try_from(interface.extended.len()).unwrap_or(u64::MAX).saturating_mul(16).saturating_add(192)
}

/// Writes the tree.
pub(crate) fn write(guest: &Guest<'_>, tree: &mut Writer) -> Vec<u8> {
    tree.restart(usize::try_from(bound(guest)).unwrap_or(0));
    tree.begin("");
    tree.property_u32("#address-cells", 2);
    tree.property_u32("#size-cells", 2);
    chosen(tree, guest);
    psci(tree);
    cpus(tree, guest);
    memory(tree, guest);
    let cells = Cells { address: 2, size: 2 };
    let wiring = Wiring { cells, gic_phandle: assigned::gic_phandle(guest.partial), interrupt_cells: 3 };
    if !guest.shared.is_empty() {
        reserved_memory(tree, &wiring, guest);
    }
    guest.partial.into_iter().for_each(|partial| devices(tree, partial));
    interrupt_controller(tree, &wiring, guest);
    timer(tree, &wiring, GUEST_TIMERS, guest.board.timer_frequency);
    if guest.vpl011 {
        uart(tree, &wiring, guest);
    }
    if let Some(interface) = guest.interface {
        hypervisor(tree, &wiring, interface);
    }
    tree.end();
    tree.finish()
}

/// The guest's part of a partial tree, without what was for the hypervisor.
fn devices(tree: &mut Writer, partial: &Fdt<'_>) {
    let mut open: usize = 0;
    for (depth, node) in assigned::nodes(partial) {
        (depth..=open).for_each(|_| tree.end());
        tree.begin(node.name());
        for property in node.properties().filter(|one| !assigned::FOR_THE_HYPERVISOR.contains(&one.name())) {
            tree.property(property.name(), property.value);
        }
        open = depth;
    }
    (0..open).for_each(|_| tree.end());
}

fn chosen(tree: &mut Writer, guest: &Guest<'_>) {
    tree.begin("chosen");
    chosen_properties(tree, guest, true);
    tree.end();
}

/// The command line, and the place of the ramdisk if there is one or if it must be said that there is none.
pub(crate) fn chosen_properties(tree: &mut Writer, guest: &Guest<'_>, ramdisk: bool) {
    let (start, end) = guest
        .images
        .ramdisk
        .map_or((0, 0), |ramdisk| (ramdisk.guest, ramdisk.guest.saturating_add(ramdisk.size)));
    if !guest.bootargs.is_empty() {
        tree.property_text("bootargs", guest.bootargs);
    }
    if ramdisk {
        tree.property_u64("linux,initrd-start", start);
        tree.property_u64("linux,initrd-end", end);
    }
}

pub(crate) fn psci(tree: &mut Writer) {
    tree.begin("psci");
    tree.property_texts("compatible", &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]);
    tree.property_text("method", "hvc");
    tree.property_u32("cpu_off", 1);
    tree.property_u32("cpu_on", 2);
    tree.end();
}

pub(crate) fn cpus(tree: &mut Writer, guest: &Guest<'_>) {
    tree.begin("cpus");
    tree.property_u32("#address-cells", 1);
    tree.property_u32("#size-cells", 0);
    for vcpu in 0..guest.vcpus {
        let affinity = vcpu_affinity(vcpu);
        tree.begin(&format!("cpu@{affinity:x}"));
        tree.property("compatible", &guest.board.cpu_compatible);
        tree.property_text("device_type", "cpu");
        tree.property_u32("reg", affinity);
        tree.property_text("enable-method", "psci");
        if let Some(frequency) = guest.board.cpu_frequency {
            tree.property_u32("clock-frequency", frequency);
        }
        tree.end();
    }
    tree.end();
}

fn memory(tree: &mut Writer, guest: &Guest<'_>) {
    let base = guest.banks.first().map_or(BANK_0.base, |bank| bank.base);
    let mut numbers = Vec::with_capacity(guest.banks.len().saturating_mul(2));
    for bank in guest.banks {
        numbers.extend_from_slice(&[bank.base, bank.size]);
    }
    tree.begin(&format!("memory@{base:x}"));
    tree.property_text("device_type", "memory");
    tree.property_u64s("reg", &numbers);
    tree.end();
}

/// A node of its own for what the guest shares with others.
pub(crate) fn reserved_memory(tree: &mut Writer, wiring: &Wiring, guest: &Guest<'_>) {
    tree.begin("reserved-memory");
    tree.property_empty("ranges");
    tree.property_u32("#address-cells", wiring.cells.address);
    tree.property_u32("#size-cells", wiring.cells.size);
    shared_memory(tree, wiring, guest);
    tree.end();
}

/// What the guest shares with others, as children of `/reserved-memory`.
pub(crate) fn shared_memory(tree: &mut Writer, wiring: &Wiring, guest: &Guest<'_>) {
    for share in guest.shared {
        let Some(region) = guest.regions.get(share.region) else { continue };
        tree.begin(&format!("xen-shmem@{:x}", share.memory.guest));
        tree.property_text("compatible", "xen,shared-memory-v1");
        wiring.reg(tree, Range::new(share.memory.guest, share.memory.size).iter());
        tree.property_text("xen,id", region.id);
        tree.property_u64("xen,offset", 0);
        tree.end();
    }
}

fn interrupt_controller(tree: &mut Writer, wiring: &Wiring, guest: &Guest<'_>) {
    let layout = guest.layout;
    let (compatible, distributor_bytes) = match guest.board.gic {
        GicRegions::V2 { .. } => ("arm,gic-400", 0x1000),
        GicRegions::V3 { .. } => ("arm,gic-v3", 0x1_0000),
    };
    tree.begin(&format!("interrupt-controller@{:x}", layout.distributor));
    tree.property_u32("#address-cells", 0);
    tree.property_u32("#interrupt-cells", 3);
    tree.property_empty("interrupt-controller");
    tree.property_text("compatible", compatible);
    let reg = [layout.distributor, distributor_bytes, layout.cpu_interface, layout.cpu_interface_size];
    tree.property_u64s("reg", &reg);
    tree.property_u32("linux,phandle", wiring.gic_phandle);
    tree.property_u32("phandle", wiring.gic_phandle);
    tree.end();
}

/// Secure physical, non-secure physical and virtual timer of a guest (`public/arch-arm.h`).
const GUEST_TIMERS: [u32; 3] = [29, 30, 27];

/// How what hangs below the root says addresses and interrupts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wiring {
    pub(crate) cells: Cells,
    pub(crate) gic_phandle: u32,
    /// Cells of an interrupt: three, or four where a host has interrupt partitions.
    pub(crate) interrupt_cells: usize,
}

impl Wiring {
    /// Private interrupts by their INTIDs, level, low active.
    fn private(&self, tree: &mut Writer, intids: &[u32]) {
        let mut cells = Vec::with_capacity(intids.len().saturating_mul(self.interrupt_cells));
        for intid in intids {
            cells.extend_from_slice(&[PRIVATE, intid.saturating_sub(FIRST_PPI), PRIVATE_LEVEL_LOW]);
            cells.extend(core::iter::repeat_n(0, self.interrupt_cells.saturating_sub(3)));
        }
        tree.property_cells("interrupts", &cells);
        tree.property_u32("interrupt-parent", self.gic_phandle);
    }

    /// Addresses and sizes; a size that one cell cannot hold is cut in parts.
    pub(crate) fn reg<'a>(&self, tree: &mut Writer, ranges: impl Iterator<Item = &'a Range>) {
        let most = if self.cells.size == 1 { BLOCK_1_GIB } else { u64::MAX };
        let mut reg = Vec::new();
        for range in ranges {
            let mut left = Some(*range);
            while let Some(range) = left {
                let part = range.size.min(most);
                push_number(&mut reg, self.cells.address, range.base);
                push_number(&mut reg, self.cells.size, part);
                left = Range::between(range.base.saturating_add(part), range.end());
            }
        }
        tree.property("reg", &reg);
    }
}

/// A number in one or two cells.
fn push_number(reg: &mut Vec<u8>, cells: u32, number: u64) {
    let bytes = number.to_be_bytes();
    let (high, low) = bytes.split_at_checked(4).unwrap_or((&[], &bytes));
    if cells != 1 {
        reg.extend_from_slice(high);
    }
    reg.extend_from_slice(low);
}

/// The timer, with the INTIDs of the secure and the non-secure physical and the virtual timer; a guest has no
/// hypervisor timer.
pub(crate) fn timer(tree: &mut Writer, wiring: &Wiring, intids: [u32; 3], frequency: Option<u32>) {
    tree.begin("timer");
    tree.property_text("compatible", "arm,armv8-timer");
    wiring.private(tree, &intids);
    if let Some(frequency) = frequency {
        tree.property_u32("clock-frequency", frequency);
    }
    tree.end();
}

fn uart(tree: &mut Writer, wiring: &Wiring, guest: &Guest<'_>) {
    let layout = guest.layout;
    tree.begin(&format!("sbsa-uart@{:x}", layout.uart));
    tree.property_text("compatible", "arm,sbsa-uart");
    tree.property_u64s("reg", &[layout.uart, 0x1000]);
    let spi = layout.uart_interrupt.saturating_sub(FIRST_SPI);
    tree.property_cells("interrupts", &[SHARED, spi, SHARED_LEVEL_HIGH]);
    tree.property_u32("interrupt-parent", wiring.gic_phandle);
    tree.property_u32("current-speed", 115_200);
    tree.end();
}

/// What a guest's driver for Xen looks for: version, grant window and extended regions, and the event interrupt.
pub(crate) fn hypervisor(tree: &mut Writer, wiring: &Wiring, interface: &Interface) {
    tree.begin("hypervisor");
    tree.property_texts("compatible", &["xen,xen-4.17", "xen,xen"]);
    wiring.reg(tree, core::iter::once(&interface.grant_window).chain(&interface.extended));
    wiring.private(tree, &[interface.event_interrupt]);
    tree.end();
}

#[cfg(test)]
mod tests;
