//! A plan as text: host memory owner by owner, each domain's map, and the hypervisor's budget.

use std::fmt::Write as _;

use plan::{Bytes, Domain, Plan, Range};

use crate::desk::Desk;

/// Draws the whole plan.
pub(crate) fn draw(plan: &Plan, desk: &Desk) -> String {
    let mut out = format!("{}\n\n", desk.assumptions());
    host_memory(&mut out, plan, desk);
    for domain in &plan.domains {
        guest(&mut out, domain);
    }
    channels(&mut out, plan);
    budget(&mut out, plan);
    out
}

/// One line of a map.
fn line(out: &mut String, range: Range, owner: &str) {
    let size = Bytes(range.size).to_string();
    // Writing to a string does not fail.
    let _ = writeln!(out, "  {:#014x}  {:#014x}  {size:>12}  {owner}", range.base, range.end());
}

fn host_memory(out: &mut String, plan: &Plan, desk: &Desk) {
    let mut owners: Vec<(Range, String)> = Vec::new();
    let mut add = |ranges: &[Range], owner: &str| {
        owners.extend(ranges.iter().map(|range| (*range, owner.to_owned())));
    };
    add(&[desk.image], "image");
    add(&[plan.heap], "heap");
    let in_ram = |range: &&Range| plan.board.memory.iter().any(|bank| bank.overlaps(range));
    let reserved: Vec<Range> = plan.board.reserved.iter().filter(in_ram).copied().collect();
    add(&reserved, "reserved");
    add(&plan.boot_only, "modules (free after boot)");
    add(&plan.free, "free");
    for domain in &plan.domains {
        for piece in &domain.memory {
            let range = Range { base: piece.host, size: piece.size };
            add(&[range], &format!("domain {} at {:#x}", domain.id, piece.guest));
        }
        if let Some(pv) = &domain.pv {
            add(&[pv.pages], &format!("shared with domain {}", domain.id));
        }
    }
    owners.sort();
    let total: u64 = plan.board.memory.iter().map(|bank| bank.size).sum();
    let _ = writeln!(out, "host memory: {} in {} banks", Bytes(total), plan.board.memory.len());
    owners.iter().for_each(|(range, owner)| line(out, *range, owner));
}

fn guest(out: &mut String, domain: &Domain) {
    let console = if domain.vpl011 { "UART" } else { "no UART" };
    let map = if domain.direct_map { ", direct map" } else { "" };
    let pv = match &domain.pv {
        Some(pv) if pv.xenstore => ", PV with xenstore",
        Some(_) => ", PV without xenstore",
        None => "",
    };
    let _ = writeln!(
        out,
        "\ndomain {} {}: {} vCPUs, {} SPIs, {console}{map}{pv}, {} table frames",
        domain.id, domain.path, domain.vcpus, domain.spis, domain.table_frames
    );
    let mut places: Vec<(Range, String)> = Vec::new();
    for piece in &domain.memory {
        let owner = format!("RAM from host {:#x}", piece.host);
        places.push((Range { base: piece.guest, size: piece.size }, owner));
    }
    let kernel = &domain.kernel;
    let packed = if kernel.gzip { " (gzip)" } else { "" };
    let placed = [(Some(kernel.placed), format!("kernel{packed}")), (domain.ramdisk, "ramdisk".to_owned())];
    for (placed, what) in placed {
        let Some(placed) = placed else { continue };
        let owner = format!("  {what} from host {:#x}", placed.module.base);
        places.push((Range { base: placed.guest, size: placed.size }, owner));
    }
    let tree = u64::try_from(domain.tree.len()).unwrap_or(u64::MAX);
    places.push((Range { base: domain.tree_at, size: tree }, "  device tree".to_owned()));
    let layout = &domain.layout;
    places.push((Range { base: layout.distributor, size: 0x1000 }, "interrupt distributor".to_owned()));
    let interface = Range { base: layout.cpu_interface, size: layout.cpu_interface_size };
    places.push((interface, "interrupt CPU interface or redistributors".to_owned()));
    if domain.vpl011 {
        places.push((
            Range { base: layout.uart, size: 0x1000 },
            format!("UART, INTID {}", layout.uart_interrupt),
        ));
    }
    if let Some(hardware) = &domain.hardware {
        places.extend(hardware.mmio.iter().map(|range| (*range, "registers of the host".to_owned())));
    }
    if let Some(pv) = &domain.pv {
        places.push((pv.grant_window, format!("grant table window, event INTID {}", pv.event_interrupt)));
        places.extend(pv.extended.iter().map(|range| (*range, "extended region".to_owned())));
    }
    // RAM before what lies in it.
    places.sort_by_key(|(range, _)| (range.base, core::cmp::Reverse(range.size)));
    places.iter().for_each(|(range, owner)| line(out, *range, owner));
    if let Some(hardware) = &domain.hardware {
        let intids: Vec<String> =
            hardware.interrupts.iter().map(|interrupt| interrupt.intid.to_string()).collect();
        let _ = writeln!(out, "  host interrupts: {}", intids.join(" "));
    }
}

fn channels(out: &mut String, plan: &Plan) {
    if plan.channels.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nstatic event channels:");
    for channel in &plan.channels {
        let [one, other] = channel.ends.map(|end| {
            let id = plan.domains.get(end.domain).map_or(0, |domain| domain.id);
            format!("domain {id} port {}", end.port)
        });
        let _ = writeln!(out, "  {one}  <->  {other}");
    }
}

fn budget(out: &mut String, plan: &Plan) {
    let _ = writeln!(out, "\nheap: {} for", Bytes(plan.heap.size));
    for entry in &plan.budget {
        let _ = writeln!(out, "  {:>12}  {}", Bytes(entry.bytes).to_string(), entry.what);
    }
}
