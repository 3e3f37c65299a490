//! Memory: gaps that nobody can use, banks that say a thing twice, sizes that cost block mappings, files whose size
//! was guessed.

use plan::fdt::{Cells, Fdt, Node};
use plan::{BLOCK_2_MIB, Bytes, FRAME_BYTES, Plan, Range, is_aligned};

use super::{Domain, Kind, modules};
use crate::remark::{Level, Remark};

pub(super) fn advise(fdt: &Fdt<'_>, domains: &[Domain<'_>], plan: Option<&Plan>, remarks: &mut Vec<Remark>) {
    banks(fdt, remarks);
    gaps(fdt, domains, remarks);
    for domain in domains {
        blocks(domain, remarks);
        files(&domain.path, &domain.node, domain.cells, remarks);
    }
    if let Some(chosen) = fdt.chosen() {
        files("/chosen", &chosen, chosen.cells(fdt.root().cells(Cells::DEFAULT)), remarks);
    }
    dom0_below_4_gib(plan, remarks);
}

/// The ranges in a property that is a list of addresses and sizes.
fn ranges(node: &Node<'_>, property: &str, cells: Cells) -> Vec<Range> {
    let entries = node.property(property).and_then(|value| value.reg(cells)).into_iter().flatten();
    entries.filter_map(|(base, size)| Range::new(base, size)).collect()
}

/// Memory nodes that overlap, or whose ends lie within a page.
fn banks(fdt: &Fdt<'_>, remarks: &mut Vec<Remark>) {
    let root = fdt.root();
    let is_memory =
        |node: &Node<'_>| node.property("device_type").and_then(|kind| kind.text()) == Some("memory");
    let mut known: Vec<(Range, String)> = Vec::new();
    for node in root.children().filter(|node| is_memory(node) && node.is_enabled()) {
        let path = format!("/{}", node.name());
        for range in ranges(&node, "reg", root.cells(Cells::DEFAULT)) {
            if !is_aligned(range.base, FRAME_BYTES) || !is_aligned(range.size, FRAME_BYTES) {
                let reason =
                    format!("{range} does not begin and end at a page: what is beside whole pages is lost");
                remarks.push(Remark::new(Level::Warning, &path, "reg", reason).hint("multiples of 0x1000"));
            }
            if let Some((other, other_path)) = known.iter().find(|(other, _)| other.overlaps(&range)) {
                let reason = format!("{range} overlaps the RAM at {other}: it is taken for one");
                let remark = Remark::new(Level::Warning, &path, "reg", reason).beside(other_path, "reg");
                remarks.push(remark.hint("each byte of RAM stands in one memory node"));
            }
            known.push((range, path.clone()));
        }
    }
}

/// Less than 2 MiB between two static ranges is too little for a domain and breaks a block of whoever gets it.
fn gaps(fdt: &Fdt<'_>, domains: &[Domain<'_>], remarks: &mut Vec<Remark>) {
    let Some(chosen) = fdt.chosen() else { return };
    let cells = chosen.cells(fdt.root().cells(Cells::DEFAULT));
    let mut all: Vec<(Range, &str)> = Vec::new();
    for domain in domains {
        let ranges = ranges(&domain.node, "xen,static-mem", cells);
        all.extend(ranges.into_iter().map(|range| (range, domain.path.as_str())));
    }
    all.sort_by_key(|(range, _)| range.base);
    for pair in all.windows(2) {
        let [(below, below_path), (above, path)] = pair else { continue };
        let gap = above.base.checked_sub(below.end()).filter(|gap| (1..BLOCK_2_MIB).contains(gap));
        if let Some(gap) = gap {
            let reason = format!(
                "a gap of {} lies before {above}, behind {below}: too little for anybody",
                Bytes(gap)
            );
            let remark = Remark::new(Level::Warning, path, "xen,static-mem", reason);
            let hint = format!("let it begin at {:#x}, or leave 2 MiB and more", below.end());
            remarks.push(remark.hint(hint).beside(below_path, "xen,static-mem"));
        }
    }
}

/// Memory that is no multiple of 2 MiB; of static memory the plan says it.
fn blocks(domain: &Domain<'_>, remarks: &mut Vec<Remark>) {
    let kib = domain.node.property("memory").and_then(|value| value.u64());
    let bytes = kib.and_then(|kib| kib.checked_mul(1024)).filter(|bytes| is_aligned(*bytes, FRAME_BYTES));
    if let Some(bytes) = bytes
        && domain.node.property("xen,static-mem").is_none()
        && !is_aligned(bytes, BLOCK_2_MIB)
    {
        let rest = bytes & (BLOCK_2_MIB - 1);
        let reason = format!(
            "{} is no multiple of 2 MiB: the last {} are mapped in 4 KiB pages",
            Bytes(bytes),
            Bytes(rest)
        );
        let hint =
            format!("memory = <{:#x} {:#x}>;", (bytes - rest) >> 42, ((bytes - rest) >> 10) & 0xffff_ffff);
        remarks.push(Remark::new(Level::Warning, &domain.path, "memory", reason).hint(hint));
    }
}

/// A size of all ones is a limit that somebody wrote in place of the file's size; and bootargs of a ramdisk are read
/// by nobody.
fn files(path: &str, node: &Node<'_>, cells: Cells, remarks: &mut Vec<Remark>) {
    for (kind, module) in modules(node) {
        let path = format!("{path}/{}", module.name());
        let reg = module.property("reg").and_then(|value| value.reg(cells)?.next());
        if let Some((_, size)) = reg
            && size >= 0xfff
            && size.checked_add(1).is_some_and(u64::is_power_of_two)
        {
            let reason = format!("the size {size:#x} looks like a limit, not like the size of a file");
            let hint = "the exact size in bytes; what is packed cannot be unpacked otherwise";
            remarks.push(Remark::new(Level::Warning, &path, "reg", reason).hint(hint));
        }
        if kind == Kind::Ramdisk && module.property("bootargs").is_some() {
            let reason = "bootargs of a ramdisk are read by nobody".to_owned();
            let hint = "they belong to the kernel's module";
            remarks.push(Remark::new(Level::Warning, &path, "bootargs", reason).hint(hint));
        }
    }
}

/// Devices that reach 4 GiB only need memory there.
fn dom0_below_4_gib(plan: Option<&Plan>, remarks: &mut Vec<Remark>) {
    let dom0 = plan.and_then(|plan| plan.domains.iter().find(|domain| domain.id == 0));
    if let Some(dom0) = dom0
        && dom0.memory.iter().all(|piece| piece.host >= 1 << 32)
    {
        let reason =
            "dom0 has no memory below 4 GiB: devices that reach no further cannot be used".to_owned();
        let hint = "leave room there: move modules and static memory above";
        remarks.push(Remark::new(Level::Warning, "/chosen", "", reason).hint(hint));
    }
}
