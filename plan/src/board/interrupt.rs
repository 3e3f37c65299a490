//! `interrupts` properties: cells of type, number and flags become an INTID.

use alloc::vec::Vec;

use crate::fdt::Node;

/// The entry at `position` of an `interrupts` property whose entries have `cells` cells each; `None` if there
/// is no such entry or it names no interrupt of an Arm GIC.
///
/// Type 0 is shared: INTID 32 and up. Type 1 is private: INTID 16 to 31 (binding arm,gic-v3).
pub(crate) fn intid(node: &Node<'_>, cells: usize, position: usize) -> Option<u32> {
    let property = node.property("interrupts")?;
    let entry: Vec<u32> = property.cells().skip(cells.checked_mul(position)?).take(cells).collect();
    match *entry.as_slice() {
        [0, number, _, ..] if number < 988 => number.checked_add(32),
        [1, number, _, ..] if number < 16 => number.checked_add(16),
        _ => None,
    }
}

/// Whether `intid` is private to a processor (PPI).
pub(crate) fn is_private(intid: u32) -> bool {
    (16..32).contains(&intid)
}

/// `#interrupt-cells` of an interrupt controller.
pub(crate) fn cells(controller: &Node<'_>) -> usize {
    let cells = controller.property("#interrupt-cells").and_then(|value| value.u32()).unwrap_or(3);
    usize::try_from(cells).unwrap_or(3).clamp(3, 8)
}
