//! The properties of a domain's node, one by one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Enhanced, LATER, MOST_SPIS, MOST_VCPUS};
use crate::fdt::{Cells, Node};
use crate::range::{BLOCK_2_MIB, Bytes, FRAME_BYTES, is_aligned};
use crate::report::{Report, quoted};
use crate::shape::{Range, Share};

/// Properties that belong to features to come.
const LATER_PROPERTIES: [&str; 1] = ["xsm-policy"];

/// A domain's share of its pool's time. Xen 4.17 has no such properties: these are ours.
const WEIGHT: &str = "xenite,sched-weight";
const CAP: &str = "xenite,sched-cap";

/// Properties of a domain's node that are read, here or elsewhere.
pub const KNOWN: [&str; 16] = [
    "compatible",
    "memory",
    "cpus",
    "vpl011",
    "nr_spis",
    "#address-cells",
    "#size-cells",
    "direct-map",
    "xen,static-mem",
    "xen,enhanced",
    POOL,
    "domain-cpupool",
    WEIGHT,
    CAP,
    "phandle",
    "linux,phandle",
];

/// The property that says which host memory a domain's RAM is.
pub(crate) const STATIC_MEMORY: &str = "xen,static-mem";
/// The property that says how large a domain's pool of stage 2 tables is.
pub(crate) const POOL: &str = "xen,domain-p2m-mem-mb";

/// Looks for what is not supported and what is not known.
pub(super) fn check_names(node: &Node<'_>, path: &str, report: &mut Report) {
    for property in node.properties() {
        let name = property.name();
        if LATER_PROPERTIES.contains(&name) {
            report.refuse(path, name, String::from(LATER), "remove it");
        } else if !KNOWN.contains(&name) {
            report.warn_of(path, name, &format!("unknown property {} is ignored", quoted(name)));
        }
    }
}

/// `memory` in bytes.
pub(super) fn memory(node: &Node<'_>, path: &str, report: &mut Report) -> Option<u64> {
    let hint = "memory = <0 65536>; is 64 MiB: KiB, in two cells";
    let Some(property) = node.property("memory") else {
        report.refuse(path, "memory", "is missing", hint);
        return None;
    };
    let Some(kib) = property.u64() else {
        let reason = format!("has {} bytes, not the 8 of two cells", property.value.len());
        report.refuse(path, "memory", reason, hint);
        return None;
    };
    let bytes = kib.checked_mul(1024).filter(|bytes| *bytes != 0 && is_aligned(*bytes, FRAME_BYTES));
    if bytes.is_none() {
        let reason = format!("{kib} KiB is zero, too much, or no multiple of 4 KiB");
        report.refuse(path, "memory", reason, hint);
    }
    bytes
}

/// `cpus`.
pub(super) fn vcpus(node: &Node<'_>, path: &str, report: &mut Report) -> Option<u16> {
    let hint = "cpus = <2>; 1 to 128 virtual processors, in one cell";
    let Some(property) = node.property("cpus") else {
        report.refuse(path, "cpus", "is missing", hint);
        return None;
    };
    let Some(count) = property.u32() else {
        let reason = format!("has {} bytes, not the 4 of one cell", property.value.len());
        report.refuse(path, "cpus", reason, hint);
        return None;
    };
    if count == 0 || count > MOST_VCPUS {
        report.refuse(path, "cpus", format!("is {count}"), hint);
        return None;
    }
    u16::try_from(count).ok()
}

/// `nr_spis`; the inner `None` where it is not there.
pub(super) fn spis(node: &Node<'_>, path: &str, report: &mut Report) -> Option<Option<u32>> {
    let Some(property) = node.property("nr_spis") else { return Some(None) };
    let count = property.u32().filter(|count| *count <= MOST_SPIS);
    if count.is_none() {
        let reason = match property.u32() {
            Some(count) => format!("is {count}"),
            None => format!("has {} bytes, not the 4 of one cell", property.value.len()),
        };
        report.refuse(path, "nr_spis", reason, "0 to 960, in one cell");
    }
    count.map(Some)
}

/// `xen,domain-p2m-mem-mb`; the inner `None` where it is not there.
pub(super) fn pool_mib(node: &Node<'_>, path: &str, report: &mut Report) -> Option<Option<u32>> {
    let Some(property) = node.property(POOL) else { return Some(None) };
    let mib = property.u32();
    if mib.is_none() {
        let reason = format!("has {} bytes, not the 4 of one cell", property.value.len());
        report.refuse(path, POOL, reason, "xen,domain-p2m-mem-mb = <1>; MiB for the domain's stage 2 tables");
    }
    mib.map(Some)
}

/// `domain-cpupool`; the inner `None` where it is not there.
pub(super) fn pool(node: &Node<'_>, path: &str, report: &mut Report) -> Option<Option<u32>> {
    let Some(property) = node.property("domain-cpupool") else { return Some(None) };
    let phandle = property.u32();
    if phandle.is_none() {
        let reason = format!("has {} bytes, not the 4 of one cell", property.value.len());
        report.refuse(path, "domain-cpupool", reason, "domain-cpupool = <&pool>; the node of one pool");
    }
    phandle.map(Some)
}

/// `xenite,sched-weight` and `xenite,sched-cap`, of a domain's node or, for dom0, of `/chosen`.
pub(crate) fn share(node: &Node<'_>, path: &str, report: &mut Report) -> Option<Share> {
    let mut number = |name: &str, least: u32, otherwise: u16, hint: &str| {
        let Some(property) = node.property(name) else { return Some(otherwise) };
        let value = property.u32();
        let good = value.filter(|value| *value >= least).and_then(|value| u16::try_from(value).ok());
        if good.is_none() {
            let reason = match value {
                Some(value) => format!("is {value}"),
                None => format!("has {} bytes, not the 4 of one cell", property.value.len()),
            };
            report.refuse(path, name, reason, hint);
        }
        good
    };
    let Share { weight, cap } = Share::default();
    let weight = number(WEIGHT, 1, weight, "1 to 65535, in one cell; without it 256");
    let cap = number(CAP, 0, cap, "percent of one processor, up to 65535, in one cell; 0 for no limit");
    Some(Share { weight: weight?, cap: cap? })
}

/// A cap that cannot be reached is surely not meant.
pub(crate) fn compare_cap(share: Share, vcpus: u16, path: &str, report: &mut Report) {
    let all = u32::from(vcpus).saturating_mul(100);
    if u32::from(share.cap) >= all {
        let text = format!("{CAP}: {} % limits nothing: {vcpus} vCPUs have at most {all} %", share.cap);
        report.warn(path, &text);
    }
}

/// `xen,enhanced`; the inner `None` where it is not there or says no.
pub(super) fn enhanced(
    node: &Node<'_>,
    path: &str,
    has_dom0: bool,
    report: &mut Report,
) -> Option<Option<Enhanced>> {
    const NAME: &str = "xen,enhanced";
    let Some(property) = node.property(NAME) else { return Some(None) };
    match property.text() {
        Some("disabled") => Some(None),
        Some("no-xenstore") => Some(Some(Enhanced { xenstore: false })),
        text if property.value.is_empty() || text == Some("enabled") => {
            if has_dom0 {
                return Some(Some(Enhanced { xenstore: true }));
            }
            let reason = "asks for xenstore, which dom0 serves, and there is no dom0";
            report.refuse(path, NAME, reason, "write \"no-xenstore\" for all but xenstore");
            None
        }
        text => {
            let reason = format!("is {}, which means nothing", quoted(text.unwrap_or("no text")));
            report.refuse(path, NAME, reason, "empty, \"enabled\", \"no-xenstore\" or \"disabled\"");
            None
        }
    }
}

/// `xen,static-mem`; empty where it is not there, `None` where it is wrong.
pub(super) fn static_memory(
    node: &Node<'_>,
    path: &str,
    cells: Cells,
    report: &mut Report,
) -> Option<Vec<Range>> {
    const NAME: &str = STATIC_MEMORY;
    let Some(property) = node.property(NAME) else { return Some(Vec::new()) };
    let entries = property.reg(cells).filter(|_| !property.value.is_empty());
    let Some(entries) = entries else {
        let reason = format!(
            "has {} bytes, which is no list of {} address and {} size cells",
            property.value.len(),
            cells.address,
            cells.size
        );
        report.refuse(path, NAME, reason, "cells are those of /chosen");
        return None;
    };
    let mut ranges = Vec::new();
    for (base, size) in entries {
        let range = Range::new(base, size)
            .filter(|range| is_aligned(range.base, FRAME_BYTES) && is_aligned(range.size, FRAME_BYTES));
        let Some(range) = range else {
            let reason =
                format!("{base:#x} + {size:#x} is empty, not 4 KiB aligned, or beyond the address space");
            report.refuse(path, NAME, reason, "base and size are multiples of 0x1000; 0x200000 is better");
            return None;
        };
        if !is_aligned(range.base, BLOCK_2_MIB) || !is_aligned(range.size, BLOCK_2_MIB) {
            let text = format!("{NAME}: {range} is not 2 MiB aligned: parts of it are mapped in 4 KiB pages");
            report.warn_of(path, NAME, &text);
        }
        ranges.push(range);
    }
    Some(ranges)
}

/// `xen,static-mem` must give what `memory` asks for.
pub(super) fn compare_sum(memory: u64, ranges: &[Range], path: &str, report: &mut Report) {
    let sum = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.size));
    if sum != memory {
        let reason = format!("the ranges have {}, but memory asks for {}", Bytes(sum), Bytes(memory));
        let hint = format!("memory = <{:#x} {:#x}>; or other ranges", sum >> 42, (sum >> 10) & 0xffff_ffff);
        report.clash([(path, "xen,static-mem"), (path, "memory")], reason, &hint);
    }
}
