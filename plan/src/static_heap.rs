//! `xen,static-heap`: the owner says which host memory is for everything whose place he has not chosen.
//!
//! The hypervisor's own heap, domains without static memory, and memory that domains ask for while they run
//! come from these ranges only. RAM that is neither there nor somebody's is nobody's, for good.

use alloc::format;
use alloc::vec::Vec;

use crate::domains::{CHOSEN, Chosen};
use crate::fdt::{Cells, Fdt};
use crate::placement::HEAP_GRANULE;
use crate::range::{Bytes, RangeSet, is_aligned};
use crate::report::Report;
use crate::shape::Range;

pub(crate) const PROPERTY: &str = "xen,static-heap";

/// Bytes that a range takes in the plan.
const RANGE_BYTES: u64 = 256;

/// The ranges; empty where the owner says nothing. Faults are reported.
pub(crate) fn read(fdt: &Fdt<'_>, chosen: &mut Chosen<'_>, report: &mut Report) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let Some(property) = fdt.chosen().and_then(|node| node.property(PROPERTY)) else { return ranges };
    let cells = fdt.root().cells(Cells::DEFAULT);
    let Some(entries) = property.reg(cells).filter(|_| !property.value.is_empty()) else {
        let reason = format!(
            "has {} bytes, which is no list of {} address and {} size cells",
            property.value.len(),
            cells.address,
            cells.size
        );
        report.refuse(CHOSEN, PROPERTY, reason, "cells are those of the root");
        return ranges;
    };
    if !chosen.spend_on_ranges((CHOSEN, PROPERTY), (entries.left(), RANGE_BYTES), report) {
        return ranges;
    }
    for (base, size) in entries {
        let range = Range::new(base, size).filter(|_| is_aligned(base | size, HEAP_GRANULE));
        let Some(range) = range else {
            let reason =
                format!("{base:#x} + {size:#x} is empty, not 64 KiB aligned, or beyond the address space");
            report.refuse(CHOSEN, PROPERTY, reason, "base and size are multiples of 0x10000");
            continue;
        };
        if let Some(other) = ranges.iter().find(|other| other.overlaps(&range)) {
            report.refuse(CHOSEN, PROPERTY, format!("{range} overlaps {other}"), "name each range once");
            continue;
        }
        ranges.push(range);
    }
    ranges
}

/// Leaves of `open` what is in the ranges.
pub(crate) fn keep_only(open: &mut RangeSet, ranges: &[Range]) {
    let mut inside = RangeSet::new();
    ranges.iter().for_each(|range| inside.insert(*range));
    let mut from = 0;
    for range in inside.iter() {
        Range::between(from, range.base).into_iter().for_each(|gap| open.remove(gap));
        from = range.end();
    }
    Range::between(from, u64::MAX).into_iter().for_each(|gap| open.remove(gap));
}

/// Says how much is missing where the hypervisor's heap of `bytes` does not fit.
pub(crate) fn refuse_heap(open: &RangeSet, bytes: u64, report: &mut Report) {
    let largest = open.iter().map(|range| range.size).max().unwrap_or(0);
    let missing = bytes.saturating_sub(largest);
    let reason = format!(
        "the hypervisor needs {} for itself in one range, but the largest has {}: {} are missing",
        Bytes(bytes),
        Bytes(largest),
        Bytes(missing)
    );
    report.refuse(CHOSEN, PROPERTY, reason, "a larger range; `xenite plan` says what the memory is for");
}
