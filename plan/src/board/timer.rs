//! The generic timer: which private interrupts it uses.

use alloc::format;

use super::{Survey, interrupt, path_of};
use crate::fdt::Node;

/// How many names of interrupts are looked at; the binding has five.
const MOST_NAMES: usize = 8;

pub(super) struct Timer {
    pub(super) virtual_timer: u32,
    pub(super) hypervisor_timer: u32,
    /// Secure and non-secure.
    pub(super) physical_timers: [u32; 2],
    pub(super) frequency: Option<u32>,
}

/// Whether `compatible` is the architecture's timer.
pub(crate) fn is_timer(compatible: &str) -> bool {
    matches!(compatible, "arm,armv8-timer" | "arm,armv7-timer")
}

pub(super) fn read(survey: &mut Survey<'_, '_>, node: Option<Node<'_>>) -> Option<Timer> {
    let Some(node) = node else {
        let reason = "no node is the processor's timer";
        survey.report.refuse("/", "compatible", reason, "arm,armv8-timer");
        return None;
    };
    // The order of the binding, unless names say otherwise.
    let virtual_timer = interrupt_of(survey, &node, "virt", 2);
    let hypervisor_timer = interrupt_of(survey, &node, "hyp-phys", 3);
    // Only dom0 hears of these, so a tree may leave them out.
    let physical_timers =
        [position_of(&node, "sec-phys", 0).unwrap_or(29), position_of(&node, "phys", 1).unwrap_or(30)];
    let frequency = node.property("clock-frequency").and_then(|value| value.u32());
    Some(Timer {
        virtual_timer: virtual_timer?,
        hypervisor_timer: hypervisor_timer?,
        physical_timers,
        frequency,
    })
}

/// The private interrupt of that name, or at that place where there are no names.
fn position_of(node: &Node<'_>, name: &str, otherwise: usize) -> Option<u32> {
    let names = node.property("interrupt-names");
    let position = match names {
        Some(names) => (0..MOST_NAMES)
            .zip(names.strings())
            .find(|(_, entry)| *entry == name)
            .map(|(position, _)| position),
        None => Some(otherwise),
    };
    position.and_then(|position| {
        let bytes = node.property("interrupts")?.value.len();
        // With a fourth cell (interrupt partitions) four entries take 64 bytes, five take 80.
        let cells = if names.is_none() && bytes == 64 { 4 } else { 3 };
        interrupt::intid(node, cells, position).filter(|intid| interrupt::is_private(*intid))
    })
}

fn interrupt_of(survey: &mut Survey<'_, '_>, node: &Node<'_>, name: &str, otherwise: usize) -> Option<u32> {
    let intid = position_of(node, name, otherwise);
    if intid.is_none() {
        let reason = format!("the private interrupt of the {name} timer is missing");
        let hint = "secure, non-secure, virtual and hypervisor timer: <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>";
        survey.report.refuse(&path_of(node), "interrupts", reason, hint);
    }
    intid
}
