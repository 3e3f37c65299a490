//! Which reservation is meant: the plan keeps reserved memory as ranges without names, and a complaint says the range.
//! The node is looked for here, where there is time for it.

use plan::Range;
use plan::fdt::{Cells, Fdt};

use crate::remark::Remark;

const PARENT: &str = "/reserved-memory";

/// Gives a remark about reserved memory the node that reserves it as its other side; none, where that is no node.
pub(crate) fn named(fdt: &Fdt<'_>, remark: Remark) -> Remark {
    let Some(range) = range(&remark.reason) else { return remark };
    match node(fdt, range) {
        Some(node) => remark.beside(&node, "reg"),
        None => Remark { other: None, ..remark },
    }
}

/// The range in the words of the plan.
fn range(reason: &str) -> Option<Range> {
    let (_, words) = reason.split_once("reserved memory at ")?;
    let (base, end) = words.split_once("..")?;
    let number = |text: &str| u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok();
    Range::between(number(base)?, number(end)?)
}

/// The path of the first child of /reserved-memory with a byte in the range.
fn node(fdt: &Fdt<'_>, range: Range) -> Option<String> {
    let parent = fdt.find(PARENT)?;
    let cells = parent.cells(fdt.root().cells(Cells::DEFAULT));
    let child = parent.children().find(|child| {
        let entries = child.property("reg").and_then(|value| value.reg(cells)).into_iter().flatten();
        entries.filter_map(|(base, size)| Range::new(base, size)).any(|one| one.overlaps(&range))
    })?;
    Some(format!("{PARENT}/{}", child.name()))
}
