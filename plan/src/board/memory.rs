//! RAM, and the parts of it that are not ours.

use alloc::format;
use alloc::vec::Vec;

use super::{MOST_BANKS, Survey, path_of, registers};
use crate::fdt::{Fdt, Node};
use crate::range::{FRAME_BYTES, RangeSet};
use crate::shape::Range;

/// All memory nodes, in whole frames.
pub(super) fn ram(survey: &mut Survey<'_, '_>) -> RangeSet {
    let mut ram = RangeSet::new();
    let fdt: Fdt<'_> = survey.fdt;
    for node in fdt.root().children().filter(is_memory) {
        for range in registers(survey, &node, MOST_BANKS).into_iter().flatten() {
            if let Some(frames) = range.inward(FRAME_BYTES) {
                add(survey, &mut ram, frames, &node);
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

fn is_memory(node: &Node<'_>) -> bool {
    node.is_enabled()
        && node.property("device_type").and_then(|value| value.text()).is_some_and(|text| text == "memory")
}

fn add(survey: &mut Survey<'_, '_>, set: &mut RangeSet, range: Range, node: &Node<'_>) {
    if set.len() < MOST_BANKS {
        set.insert(range);
    } else {
        let reason = format!("more than {MOST_BANKS} separate ranges");
        survey.report.refuse(&path_of(node), "reg", reason, "merge neighbours");
    }
}

/// `/memreserve/` entries and the children of `/reserved-memory`, in whole frames.
pub(super) fn reserved(survey: &mut Survey<'_, '_>) -> RangeSet {
    let mut reserved = RangeSet::new();
    let fdt: Fdt<'_> = survey.fdt;
    let root = fdt.root();
    for range in fdt.reservations().filter_map(|(base, size)| Range::new(base, size)) {
        add(survey, &mut reserved, range.outward(FRAME_BYTES), &root);
    }
    let children: Vec<Node<'_>> = match root.child("reserved-memory") {
        Some(parent) => parent.children().filter(Node::is_enabled).collect(),
        None => Vec::new(),
    };
    for node in children {
        if node.property("reg").is_none() {
            survey.report.warn(&path_of(&node), "has no reg: a reservation without a place is not made");
            continue;
        }
        for range in registers(survey, &node, MOST_BANKS).into_iter().flatten() {
            add(survey, &mut reserved, range.outward(FRAME_BYTES), &node);
        }
    }
    reserved
}
