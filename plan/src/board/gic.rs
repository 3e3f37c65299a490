//! The interrupt controller: GICv2 with virtualization, or GICv3.

use alloc::format;
use alloc::vec::Vec;

use super::{Survey, interrupt, registers};
use crate::fdt::Node;
use crate::range::is_aligned;
use crate::shape::{GicRegions, Range};

/// Bytes of the virtual CPU interface that a guest of a GICv2 is given: two pages, with GICV_DIR in the second.
pub const GIC_V2_CPU_INTERFACE_BYTES: u64 = 0x2000;
/// Bytes of one GICv3 redistributor: the control frame and the SGI frame.
pub const GIC_V3_REDISTRIBUTOR_BYTES: u64 = 0x2_0000;
/// INTID of the maintenance interrupt where the tree is silent (Base System Architecture, PPI assignments).
const MAINTENANCE: u32 = 25;
/// Most redistributor regions.
const MOST_REGIONS: usize = 32;

const V2: [&str; 4] = ["arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a7-gic", "arm,cortex-a9-gic"];
const V3: &str = "arm,gic-v3";

/// Whether `compatible` has the name of a controller that this module reads.
pub(crate) fn is_controller(compatible: &str) -> bool {
    compatible == V3 || V2.contains(&compatible)
}

pub(super) fn read(survey: &mut Survey<'_, '_>, node: Option<Node<'_>>) -> Option<GicRegions> {
    let Some(node) = node else {
        survey.report.refuse(
            "/",
            "compatible",
            "no node is an interrupt controller that is known",
            "arm,gic-400, arm,cortex-a15-gic, arm,cortex-a7-gic or arm,gic-v3",
        );
        return None;
    };
    let maintenance = maintenance(survey, &node)?;
    if node.is_compatible(V3) { v3(survey, &node, maintenance) } else { v2(survey, &node, maintenance) }
}

fn maintenance(survey: &mut Survey<'_, '_>, node: &Node<'_>) -> Option<u32> {
    if node.property("interrupts").is_none() {
        return Some(MAINTENANCE);
    }
    let intid =
        interrupt::intid(node, interrupt::cells(node), 0).filter(|intid| interrupt::is_private(*intid));
    if intid.is_none() {
        let reason = "the maintenance interrupt is no private interrupt";
        survey.refuse_at(node, "interrupts", reason, "<1 9 4> on nearly every board");
    }
    intid
}

/// The region `range`, if it is there and has at least `least` bytes.
fn region(
    survey: &mut Survey<'_, '_>,
    node: &Node<'_>,
    range: Option<Option<&Range>>,
    least: u64,
    what: &str,
) -> Option<Range> {
    let found = range.flatten().copied();
    let good = found.filter(|range| range.size >= least && is_aligned(range.base, 0x1000));
    if good.is_none() {
        let reason = match found {
            Some(range) => format!("{what} {range} is too small or not page aligned"),
            None => format!("{what} is missing"),
        };
        survey.refuse_at(node, "reg", reason, &format!("{what} takes {least:#x} bytes"));
    }
    good
}

fn v2(survey: &mut Survey<'_, '_>, node: &Node<'_>, maintenance: u32) -> Option<GicRegions> {
    let list = registers(survey, node, 4);
    if list.len() == 2 {
        let reason = "has the distributor and the CPU interface only";
        let hint = "a GICv2 without virtual interface control and virtual CPU interface cannot serve guests";
        survey.refuse_at(node, "reg", reason, hint);
        return None;
    }
    let mut take = |position: usize, least, what| {
        region(survey, node, list.get(position).map(Option::as_ref), least, what)
    };
    let distributor = take(0, 0x1000, "the distributor");
    let cpu_interface = take(1, GIC_V2_CPU_INTERFACE_BYTES, "the CPU interface");
    let control = take(2, 0x1000, "the virtual interface control");
    let virtual_interface = take(3, GIC_V2_CPU_INTERFACE_BYTES, "the virtual CPU interface");
    Some(GicRegions::V2 {
        distributor: distributor?,
        cpu_interface: cpu_interface?,
        control: control?,
        virtual_interface: virtual_interface?,
        maintenance,
    })
}

fn v3(survey: &mut Survey<'_, '_>, node: &Node<'_>, maintenance: u32) -> Option<GicRegions> {
    let count = node.property("#redistributor-regions").and_then(|value| value.u32()).unwrap_or(1);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count == 0 || count > MOST_REGIONS {
        let reason = format!("is {count}");
        survey.refuse_at(node, "#redistributor-regions", reason, "1 to 32 are supported");
        return None;
    }
    let stride = node.property("redistributor-stride").map_or(Some(0), |value| value.u32_or_u64());
    let stride = stride.filter(|stride| {
        *stride == 0 || (*stride >= GIC_V3_REDISTRIBUTOR_BYTES && is_aligned(*stride, 0x1_0000))
    });
    let Some(stride) = stride else {
        let reason = "is no stride that a redistributor fits in";
        survey.refuse_at(node, "redistributor-stride", reason, "a multiple of 0x10000 from 0x20000 up");
        return None;
    };
    let list = registers(survey, node, count.saturating_add(1));
    let distributor = region(survey, node, list.first().map(Option::as_ref), 0x1_0000, "the distributor");
    let mut redistributors = Vec::new();
    for position in 1..=count {
        let least = GIC_V3_REDISTRIBUTOR_BYTES;
        let range =
            region(survey, node, list.get(position).map(Option::as_ref), least, "a redistributor region")?;
        redistributors.push(range);
    }
    Some(GicRegions::V3 { distributor: distributor?, redistributors, stride, maintenance })
}
