//! Whether each domain can be heard, and whether its kernel is told where.

use plan::fdt::{Fdt, Node};

use super::{Domain, kernel, text};
use crate::remark::{Level, Remark};

pub(super) fn advise(fdt: &Fdt<'_>, domains: &[Domain<'_>], remarks: &mut Vec<Remark>) {
    for domain in domains {
        of_domain(domain, remarks);
    }
    if let Some(chosen) = fdt.chosen()
        && let Some(kernel) = kernel(&chosen)
    {
        of_dom0(&chosen, &kernel, remarks);
    }
}

/// The consoles that a kernel is told to use: what follows `console=`, without the speed.
fn consoles(bootargs: &str) -> Vec<&str> {
    let values = bootargs.split_ascii_whitespace().filter_map(|word| word.strip_prefix("console="));
    values.map(|value| value.split(',').next().unwrap_or(value)).collect()
}

fn of_domain(domain: &Domain<'_>, remarks: &mut Vec<Remark>) {
    let node = &domain.node;
    let has_uart = node.property("vpl011").is_some();
    let has_pv = node.property("xen,enhanced").is_some_and(|value| value.text() != Some("disabled"));
    if !has_uart && !has_pv {
        let reason = "has no console: nothing that it says will be seen".to_owned();
        remarks.push(Remark::new(Level::Warning, &domain.path, "", reason).hint("vpl011; gives it a UART"));
    }
    let Some(kernel) = kernel(node) else { return };
    let path = format!("{}/{}", domain.path, kernel.name());
    // What is no text is refused.
    let bootargs = kernel.property("bootargs").map_or(Some(""), |value| value.text());
    let Some(bootargs) = bootargs else { return };
    let named = consoles(bootargs);
    let warn = |reason: String| Remark::new(Level::Warning, &path, "bootargs", reason);
    if named.is_empty() {
        if has_uart && !bootargs.contains("earlycon") {
            let reason = "names no console: Linux would not use the UART that the domain has".to_owned();
            remarks.push(warn(reason).hint("console=ttyAMA0").beside(&domain.path, "vpl011"));
        }
        return;
    }
    let works = |name: &str| match name {
        "hvc0" => has_pv,
        name => has_uart && name.starts_with("ttyAMA"),
    };
    if !named.iter().any(|name| works(name)) {
        let (what, hint) = match (has_uart, has_pv) {
            (true, _) => ("the domain's UART is ttyAMA0", "console=ttyAMA0"),
            (false, true) => ("the domain has no UART", "console=hvc0, or vpl011; in the domain's node"),
            (false, false) => ("the domain has no UART", "vpl011; in the domain's node"),
        };
        let reason = format!("names the console {}, but {what}", named.join(" and "));
        let remark = warn(reason).hint(hint);
        remarks.push(if has_uart { remark.beside(&domain.path, "vpl011") } else { remark });
    }
}

/// dom0 does not get the hypervisor's UART; it speaks by hypercalls.
fn of_dom0(chosen: &Node<'_>, kernel: &Node<'_>, remarks: &mut Vec<Remark>) {
    let own = kernel.property("bootargs").is_some();
    let property = ["xen,dom0-bootargs", "bootargs"].into_iter().find(|name| chosen.property(name).is_some());
    let (path, property, bootargs) = match property {
        _ if own => (format!("/chosen/{}", kernel.name()), "bootargs", text(kernel, "bootargs")),
        Some(name) => ("/chosen".to_owned(), name, text(chosen, name)),
        None => return,
    };
    let named = consoles(bootargs);
    if named.iter().any(|name| name.starts_with("ttyAMA")) && !named.contains(&"hvc0") {
        let reason =
            "names the console ttyAMA0, but the UART is the hypervisor's: dom0 speaks by hvc0".to_owned();
        remarks.push(Remark::new(Level::Warning, &path, property, reason).hint("console=hvc0"));
    }
}
