//! Where a guest sees its RAM and its devices.
//!
//! Without `direct-map` these are the constants of Xen's `public/arch-arm.h`. With it they are the host's.

use alloc::format;
use alloc::vec::Vec;

use crate::board::{GIC_V2_CPU_INTERFACE_BYTES, GIC_V2_VCPUS, GIC_V3_REDISTRIBUTOR_BYTES};
use crate::domains::{MOST_SPIS, Wanted};
use crate::range::Bytes;
use crate::report::Report;
use crate::shape::{Board, GicRegions, Layout, Range};

/// First guest address of RAM bank 0, which has up to 3 GiB.
pub const BANK_0: Range = Range { base: 0x4000_0000, size: 0xc000_0000 };
/// RAM bank 1, as far as guest addresses reach.
pub const BANK_1: Range = Range { base: 0x2_0000_0000, size: 0xfe_0000_0000 };

/// Where a toolstack puts pages for xenstore and the console.
pub(crate) const MAGIC_PAGES: Range = Range { base: 0x3900_0000, size: 0x100_0000 };

const FIRST_SPI: u32 = 32;

/// The registers that a guest sees, with words for them.
pub(crate) fn registers(
    layout: &Layout,
    board: &Board,
    vpl011: bool,
) -> impl Iterator<Item = (Range, &'static str)> {
    let distributor_bytes = match board.gic {
        GicRegions::V2 { .. } => 0x1000,
        GicRegions::V3 { .. } => 0x1_0000,
    };
    let uart = if vpl011 { Range::new(layout.uart, 0x1000) } else { None };
    let controller = [
        Range::new(layout.distributor, distributor_bytes),
        Range::new(layout.cpu_interface, layout.cpu_interface_size),
    ];
    let controller = controller.into_iter().flatten().map(|range| (range, "the interrupt controller"));
    controller.chain(uart.map(|range| (range, "the UART")))
}

/// The guest's banks, in the order in which they stand in its device tree; `None` if its memory has no place
/// there (reported).
pub(crate) fn banks(wanted: &Wanted<'_>, ipa_bits: u8, report: &mut Report) -> Option<Vec<Range>> {
    let reach = 1_u64.checked_shl(u32::from(ipa_bits)).unwrap_or(u64::MAX);
    if wanted.direct_map {
        if let Some(range) = wanted.static_memory.iter().find(|range| range.end() > reach) {
            let reason = format!("{range} is beyond the {ipa_bits} bits of a guest address");
            report.refuse(&wanted.path, "xen,static-mem", reason, "direct-map needs lower host memory");
            return None;
        }
        return Some(wanted.static_memory.clone());
    }
    let first = wanted.memory.min(BANK_0.size);
    let rest = wanted.memory.saturating_sub(first);
    let room = BANK_1.end().min(reach).saturating_sub(BANK_1.base);
    if rest > room {
        let reason =
            format!("{} do not fit in the guest's address space of {ipa_bits} bits", Bytes(wanted.memory));
        let hint = format!("at most {}", Bytes(BANK_0.size.saturating_add(room)));
        report.refuse(&wanted.path, "memory", reason, &hint);
        return None;
    }
    let mut banks = Vec::with_capacity(2);
    banks.extend(Range::new(BANK_0.base, first));
    banks.extend(Range::new(BANK_1.base, rest));
    Some(banks)
}

/// The guest's devices; `None` if a direct map asks for what the board does not have (reported).
pub(crate) fn devices(wanted: &Wanted<'_>, board: &Board, report: &mut Report) -> Option<Layout> {
    let v3_bytes = 128 * GIC_V3_REDISTRIBUTOR_BYTES;
    let mut layout = match &board.gic {
        GicRegions::V2 { .. } => Layout {
            distributor: 0x0300_1000,
            cpu_interface: 0x0300_2000,
            cpu_interface_size: GIC_V2_CPU_INTERFACE_BYTES,
            uart: 0x2200_0000,
            uart_interrupt: FIRST_SPI,
        },
        GicRegions::V3 { .. } => Layout {
            distributor: 0x0300_1000,
            cpu_interface: 0x0302_0000,
            cpu_interface_size: v3_bytes,
            uart: 0x2200_0000,
            uart_interrupt: FIRST_SPI,
        },
    };
    if matches!(board.gic, GicRegions::V2 { .. }) && wanted.vcpus > GIC_V2_VCPUS {
        let reason =
            format!("{} vCPUs, but the host's GICv2 can tell only {GIC_V2_VCPUS} apart", wanted.vcpus);
        report.refuse(&wanted.path, "cpus", reason, "at most 8, or a board with a GICv3");
        return None;
    }
    if !wanted.direct_map {
        return Some(layout);
    }
    match &board.gic {
        GicRegions::V2 { distributor, cpu_interface, .. } => {
            layout.distributor = distributor.base;
            layout.cpu_interface = cpu_interface.base;
        }
        GicRegions::V3 { distributor, redistributors, .. } => {
            let region = redistributors.first()?;
            let needed = u64::from(wanted.vcpus).saturating_mul(GIC_V3_REDISTRIBUTOR_BYTES);
            if region.size < needed {
                let reason = format!(
                    "the host's first redistributor region {region} has room for {} vCPUs, not for {}",
                    region.size / GIC_V3_REDISTRIBUTOR_BYTES,
                    wanted.vcpus
                );
                report.refuse(&wanted.path, "cpus", reason, "fewer vCPUs, or no direct-map");
                return None;
            }
            layout.distributor = distributor.base;
            layout.cpu_interface = region.base;
            layout.cpu_interface_size = region.size;
        }
    }
    if wanted.vpl011 { direct_uart(wanted, board, layout, report) } else { Some(layout) }
}

/// A direct map's UART stands where the host's does.
fn direct_uart(wanted: &Wanted<'_>, board: &Board, layout: Layout, report: &mut Report) -> Option<Layout> {
    let uart = board.uart.filter(|uart| uart.registers.size >= 0x1000);
    let place = uart
        .and_then(|uart| Some((uart.registers.base, uart.interrupt.filter(|intid| *intid >= FIRST_SPI)?)));
    let Some((base, interrupt)) = place.filter(|(_, intid)| *intid < FIRST_SPI.saturating_add(MOST_SPIS))
    else {
        let reason = "with direct-map it takes the host UART's place, but the host has none that fits";
        let hint = "the host's console must be a PL011 of 4 KiB with a shared interrupt";
        report.refuse(&wanted.path, "vpl011", reason, hint);
        return None;
    };
    Some(Layout { uart: base, uart_interrupt: interrupt, ..layout })
}

/// Shared interrupts of the guest's controller: what is asked for, else the host's number; enough for the
/// UART; in whole registers of 32.
pub(crate) fn spis(wanted: &Wanted<'_>, layout: &Layout, host_spis: u32) -> u16 {
    let asked = wanted.spis.unwrap_or(host_spis).min(MOST_SPIS);
    let uart = layout.uart_interrupt.saturating_sub(FIRST_SPI).saturating_add(1);
    let needed = if wanted.vpl011 { asked.max(uart) } else { asked };
    let whole = needed.saturating_add(31) & !31;
    u16::try_from(whole.min(MOST_SPIS)).unwrap_or(0)
}
