//! The ledger as text: what boot says, host memory owner by owner, each domain's map, and who shares what.

use std::fmt::Write as _;

use crate::plan_devices::{Kind, Owner, kinds};
use crate::plan_ledger::{Guest, Interface, Ledger, PlaceKind, size};

/// Writes the whole ledger.
pub(crate) fn write(ledger: &Ledger) -> String {
    let mut out = String::new();
    assumed(&mut out, ledger);
    heading(&mut out, "what boot will say");
    ledger.console.iter().for_each(|line| put(&mut out, format_args!("  {line}")));
    let total = ledger.banks.iter().map(|bank| bank.size).sum();
    heading(&mut out, &format!("host memory: {} in {} banks", size(total), ledger.banks.len()));
    for stretch in &ledger.memory {
        range(&mut out, (stretch.base, stretch.end()), &stretch.label);
    }
    pools(&mut out, ledger);
    ledger.domains.iter().for_each(|domain| guest(&mut out, domain));
    if !ledger.channels.is_empty() {
        heading(&mut out, "static event channels:");
    }
    for channel in &ledger.channels {
        let [one, other] =
            channel.ends.each_ref().map(|end| format!("domain {} port {}", end.domain, end.port));
        put(&mut out, format_args!("  {one}  <->  {other}"));
    }
    heading(&mut out, "devices of the host:");
    kinds(&ledger.devices).iter().for_each(|kind| device(&mut out, kind));
    heading(&mut out, &format!("heap: {} at {:#x} for", size(ledger.heap.size), ledger.heap.base));
    for line in &ledger.heap.budget {
        put(&mut out, format_args!("  {:>12}  {}", size(line.bytes), line.what));
    }
    put(&mut out, format_args!("  {:>12}  spare", size(ledger.heap.spare)));
    out
}

/// Adds a line.
fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{line}");
}

fn heading(out: &mut String, text: &str) {
    put(out, format_args!("\n{text}"));
}

/// A line of a map.
fn range(out: &mut String, (base, end): (u64, u64), owner: &str) {
    let size = size(end.saturating_sub(base));
    put(out, format_args!("  {base:#014x}  {end:#014x}  {size:>12}  {owner}"));
}

fn assumed(out: &mut String, ledger: &Ledger) {
    let assumed = &ledger.assumed;
    let tree = assumed
        .tree
        .map_or(String::new(), |tree| format!(", device tree at {:#x}..{:#x}", tree.base, tree.end()));
    put(
        out,
        format_args!(
            "assumed: image at {:#x}..{:#x}{tree}, boot processor {:#x}, {} bits of physical address, {} host SPIs",
            assumed.image.base,
            assumed.image.end(),
            assumed.boot_mpidr,
            assumed.physical_bits,
            assumed.spis
        ),
    );
}

fn pools(out: &mut String, ledger: &Ledger) {
    heading(out, "processors:");
    for pool in &ledger.pools {
        let mpidr = |number: &usize| ledger.processors.get(*number).map_or(0, |processor| processor.mpidr);
        let processors: Vec<String> =
            pool.processors.iter().map(|number| format!("{number} ({:#x})", mpidr(number))).collect();
        let domains: Vec<String> = pool.domains.iter().map(u16::to_string).collect();
        let (name, scheduler) = (&pool.name, &pool.scheduler);
        let (processors, domains) = (processors.join(", "), domains.join(", "));
        put(out, format_args!("  {name}, {scheduler}: processors {processors}; domains {domains}"));
    }
}

fn guest(out: &mut String, domain: &Guest) {
    let has_uart = domain.map.iter().any(|place| place.kind == PlaceKind::Uart);
    let console = if has_uart { "UART" } else { "no UART" };
    let map = if domain.direct_map { ", direct map" } else { "" };
    let pv = match domain.pv {
        Interface::None => "",
        Interface::NoXenstore => ", PV without xenstore",
        Interface::Xenstore => ", PV with xenstore",
    };
    put(
        out,
        format_args!(
            "\ndomain {} {}: {} of RAM, {} vCPUs, {} SPIs, {console}{map}{pv}, {} table frames, entry at {:#x}",
            domain.id,
            domain.path,
            size(domain.memory),
            domain.vcpus,
            domain.spis,
            domain.table_frames,
            domain.entry
        ),
    );
    let cap = if domain.cap == 0 {
        "no cap".to_owned()
    } else {
        format!("at most {} % of a processor", domain.cap)
    };
    put(out, format_args!("  weight {}, {cap}", domain.weight));
    for place in &domain.map {
        let indent = if place.kind.is_in_ram() { "  " } else { "" };
        let words = place.kind.words();
        let label = match place.host {
            Some(host) if host != place.base => format!("{indent}{words} from host {host:#x}"),
            Some(_) if place.kind == PlaceKind::Ram => format!("{words} at the host's address"),
            _ if place.devices.is_empty() => format!("{indent}{words}"),
            _ => format!("{words}: {}", places(&place.devices)),
        };
        range(out, (place.base, place.end()), &label);
    }
    put(out, format_args!("  interrupts: {}", domain.interrupt_words()));
}

/// Paths, the many of a long list left out.
fn places(paths: &[String]) -> String {
    match paths {
        [first, .., last] if paths.len() > 3 => format!("{first} to {last}"),
        few => few.join(" "),
    }
}

fn device(out: &mut String, kind: &Kind) {
    let owner = match kind.owner {
        Owner::Hypervisor => "hypervisor".to_owned(),
        Owner::Domain(id) => format!("domain {id}"),
        Owner::Nobody => "nobody".to_owned(),
    };
    put(out, format_args!("  {owner:<12} {:<26} {}", kind.name, kind.detail.trim_end()));
}
