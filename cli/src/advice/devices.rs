//! Devices of the host in the hands of domains: registers and interrupts that a guest's node promises and nobody gives,
//! and devices that reach memory by addresses which are not the guest's.

use plan::fdt::{Fdt, Node, Trail};
use plan::{Domain, Plan, Range};

use crate::remark::{Level, Remark};

/// Devices that are nothing but registers and interrupts, by the first words of `compatible`.
const WITHOUT_DMA: [&str; 12] = [
    "arm,pl011",
    "arm,pl031",
    "arm,pl061",
    "arm,sp804",
    "arm,sp805",
    "arm,sbsa-uart",
    "ns16550",
    "snps,dw-apb",
    "fixed-",
    "gpio",
    "syscon",
    "simple-",
];

pub(super) fn advise(plan: Option<&Plan>, remarks: &mut Vec<Remark>) {
    let domains = plan.into_iter().flat_map(|plan| &plan.domains);
    for domain in domains.filter(|domain| domain.id != 0 && domain.hardware.is_some()) {
        let Ok(fdt) = Fdt::open(&domain.tree) else { continue };
        let mut trail = Trail::at_root(fdt);
        for (depth, node) in fdt.walk() {
            trail.enter(depth, &node);
            if depth > 1
                && trail.nodes().nth(1).is_some_and(|top| top.name() == "passthrough")
                && node.is_enabled()
            {
                device(domain, (&fdt, &node, &trail), remarks);
            }
        }
    }
}

fn device(domain: &Domain, (fdt, node, trail): (&Fdt<'_>, &Node<'_>, &Trail<'_>), remarks: &mut Vec<Remark>) {
    let Some(hardware) = &domain.hardware else { return };
    let mut odd = |reason: String, hint: &str| {
        let reason = format!("the guest's node {} {reason}", trail.path());
        remarks.push(Remark::new(Level::Warning, &domain.path, "", reason).hint(hint));
    };
    let registers = node.property("reg").and_then(|reg| reg.reg(trail.cells())).into_iter().flatten();
    let registers: Vec<Range> =
        registers.filter_map(|(base, size)| Range::new(trail.translate(base, size)?, size)).collect();
    let is_there = |range: &Range| {
        let mut given = hardware.mmio.iter().filter_map(|one| Range::new(one.guest, one.size));
        given.any(|given| given.contains(range))
    };
    for range in registers.iter().filter(|range| !is_there(range)) {
        odd(
            format!("has registers at {range}, where the domain is given none"),
            "xen,reg and reg name the same guest addresses",
        );
    }
    let controller = fdt.root().children().find(|node| node.name().starts_with("interrupt-controller@"));
    let is_gic = controller.and_then(|gic| gic.phandle()) == trail.interrupt_parent();
    let cells: Vec<u32> = node.property("interrupts").map_or(Vec::new(), |value| value.cells().collect());
    let mut its = false;
    for entry in cells.chunks_exact(3).filter(|entry| is_gic && entry.first() == Some(&0)) {
        let number = entry.get(1).copied().unwrap_or(0);
        let comes =
            hardware.interrupts.iter().any(|interrupt| Some(interrupt.intid) == number.checked_add(32));
        its |= comes;
        if !comes {
            odd(
                format!("waits for interrupt {number}, which the domain does not get"),
                "the numbers are those of the host's node, which xen,path names",
            );
        }
    }
    let compatible = node.property("compatible").and_then(|names| names.strings().next()).unwrap_or("");
    let has_dma = !WITHOUT_DMA.iter().any(|known| compatible.starts_with(known));
    if !domain.direct_map && has_dma && (its || registers.iter().any(is_there)) {
        odd(
            format!(
                "({compatible:?}) is of a device that may read and write memory by the host's addresses, which are not the guest's"
            ),
            "direct-map; with xen,static-mem makes them one, if the device does so",
        );
    }
}
