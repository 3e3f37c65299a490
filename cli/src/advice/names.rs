//! Slips in names: unit addresses, domains that are none, properties with a letter too many.

use plan::fdt::{Cells, Fdt, Node};

use super::{Domain, modules};
use crate::remark::{Level, Remark};

pub(super) fn advise(fdt: &Fdt<'_>, domains: &[Domain<'_>], remarks: &mut Vec<Remark>) {
    unit_addresses(fdt, remarks);
    not_quite_domains(fdt, remarks);
    elsewhere(fdt, remarks);
    for domain in domains {
        similar(domain, remarks);
    }
}

/// Each node with its path and the cells that its `reg` sees.
fn each<'a>(node: &Node<'a>, path: &str, cells: Cells, tell: &mut dyn FnMut(&Node<'a>, &str, Cells)) {
    let own = node.cells(cells);
    for child in node.children() {
        let path = format!("{path}/{}", child.name());
        tell(&child, &path, own);
        each(&child, &path, own, tell);
    }
}

/// A node's name says its address; modules with another one are refused, others are odd.
fn unit_addresses(fdt: &Fdt<'_>, remarks: &mut Vec<Remark>) {
    let is_module = |path: &str, node: &Node<'_>| {
        path.starts_with("/chosen/")
            && ["multiboot,module", "xen,multiboot-module", "multiboot,kernel", "multiboot,ramdisk"]
                .into_iter()
                .any(|name| node.is_compatible(name))
    };
    each(&fdt.root(), "", Cells::DEFAULT, &mut |node, path, cells| {
        let reg = node.property("reg").and_then(|value| value.reg(cells)?.next());
        let (Some(unit), Some((base, _))) = (node.unit_address(), reg) else { return };
        let Ok(said) = u64::from_str_radix(unit.strip_prefix("0x").unwrap_or(unit), 16) else { return };
        // A PCI bridge is named after its window.
        let is_bridge = node.property("device_type").and_then(|kind| kind.text()) == Some("pci");
        if said != base && !is_module(path, node) && !is_bridge {
            let reason = format!("the address is {base:#x}, but the node's name says {said:#x}");
            let remark = Remark::new(Level::Warning, path, "reg", reason);
            remarks.push(remark.hint(format!("@{base:x}, or mend reg")).beside(path, ""));
        }
    });
}

/// A child of /chosen that has what domains have, but is none: nobody reads it.
fn not_quite_domains(fdt: &Fdt<'_>, remarks: &mut Vec<Remark>) {
    let Some(chosen) = fdt.chosen() else { return };
    for node in chosen.children().filter(|node| !node.is_compatible("xen,domain")) {
        let has = |name: &str| node.property(name).is_some();
        if !modules(&node).is_empty() || (has("memory") && has("cpus")) {
            let path = format!("/chosen/{}", node.name());
            let property = if has("compatible") { "compatible" } else { "" };
            let reason = "looks like a domain, but is none: it is not started".to_owned();
            let hint = "compatible = \"xen,domain\";";
            remarks.push(Remark::new(Level::Warning, &path, property, reason).hint(hint));
        }
    }
}

/// Domains are looked for in /chosen only.
fn elsewhere(fdt: &Fdt<'_>, remarks: &mut Vec<Remark>) {
    each(&fdt.root(), "", Cells::DEFAULT, &mut |node, path, _| {
        let parent = path.rfind('/').map_or("", |at| &path[..at]);
        if node.is_compatible("xen,domain") && parent != "/chosen" {
            let reason = "is a domain outside of /chosen: it is not started".to_owned();
            let hint = "domains are children of /chosen";
            remarks.push(Remark::new(Level::Warning, path, "compatible", reason).hint(hint));
        }
    });
}

/// Adds to the warning about an unknown property the known one that it resembles.
fn similar(domain: &Domain<'_>, remarks: &mut [Remark]) {
    let unknown = |remark: &&mut Remark| {
        remark.level == Level::Warning
            && remark.node == domain.path
            && remark.reason.starts_with("unknown property")
    };
    for remark in remarks.iter_mut().filter(unknown) {
        let distance = |name: &str| strsim::damerau_levenshtein(name, &remark.property);
        let nearest =
            plan::DOMAIN_PROPERTIES.into_iter().chain(["bootargs"]).min_by_key(|name| distance(name));
        if let Some(name) = nearest.filter(|name| distance(name) <= 3) {
            remark.hint = match name {
                "bootargs" => "bootargs belong to the module of the kernel".to_owned(),
                name => format!("is {name} meant?"),
            };
        }
    }
}
