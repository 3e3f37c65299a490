//! RAM, and the parts of it that are not ours.

use alloc::format;
use alloc::vec::Vec;

use super::{MOST_BANKS, Survey, path_of, registers};
use crate::fdt::{Fdt, Node};
use crate::range::{FRAME_BYTES, RangeSet};
use crate::shape::Range;

/// All memory nodes, in whole frames.
pub(super) fn ram(survey: &mut Survey<'_, '_>, nodes: &[Node<'_>]) -> RangeSet {
    let mut ram = RangeSet::new();
    for node in nodes {
        for range in ranges(survey, node).into_iter().flatten() {
            if let Some(frames) = range.inward(FRAME_BYTES) {
                add(survey, &mut ram, frames, node);
            }
        }
    }
    if ram.is_empty() && survey.report.refusals.is_empty() {
        survey.report.refuse(
            "/",
            "memory",
            "no memory node has any RAM",
            "a child of the root with device_type = \"memory\" and a reg property",
        );
    }
    ram
}

/// Whether a child of the root describes RAM.
pub(super) fn is_memory(node: &Node<'_>) -> bool {
    node.property("device_type").is_some_and(|kind| kind.text() == Some("memory")) && node.is_enabled()
}

fn add(survey: &mut Survey<'_, '_>, set: &mut RangeSet, range: Range, node: &Node<'_>) {
    if set.len() < MOST_BANKS {
        set.insert(range);
    } else {
        refuse(survey, node);
    }
}

fn refuse(survey: &mut Survey<'_, '_>, node: &Node<'_>) {
    let reason = format!("more than {MOST_BANKS} separate ranges");
    survey.report.refuse(&path_of(node), "reg", reason, "merge neighbours");
}

/// The ranges of one node, of which none is left out in silence.
fn ranges(survey: &mut Survey<'_, '_>, node: &Node<'_>) -> Vec<Option<Range>> {
    let mut ranges = registers(survey, node, MOST_BANKS.saturating_add(1));
    if ranges.len() > MOST_BANKS {
        refuse(survey, node);
        ranges.clear();
    }
    ranges
}

/// `/memreserve/` entries and the children of `/reserved-memory`, in whole frames.
pub(super) fn reserved(survey: &mut Survey<'_, '_>, parent: Option<Node<'_>>) -> RangeSet {
    let mut reserved = RangeSet::new();
    let fdt: Fdt<'_> = survey.fdt;
    let root = fdt.root();
    for range in fdt.reservations().filter_map(|(base, size)| Range::new(base, size)) {
        add(survey, &mut reserved, range.outward(FRAME_BYTES), &root);
    }
    let children: Vec<Node<'_>> = match parent {
        Some(parent) => parent.children().filter(Node::is_enabled).collect(),
        None => Vec::new(),
    };
    for node in children {
        if node.property("reg").is_none() {
            survey.report.warn(&path_of(&node), "has no reg: a reservation without a place is not made");
            continue;
        }
        for range in ranges(survey, &node).into_iter().flatten() {
            add(survey, &mut reserved, range.outward(FRAME_BYTES), &node);
        }
    }
    reserved
}
