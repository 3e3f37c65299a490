//! What is legal but surely not meant.
//!
//! Boot would do all of it, so the plan does not refuse it; and since it costs nobody anything but surprise, the image
//! has no code for it. `docs/check.md` has the rules, each with its test.

use plan::Plan;
use plan::fdt::{Cells, Fdt, Node};

use crate::remark::Remark;

mod consoles;
mod devices;
mod memory;
mod names;
mod processors;

/// A domain's node with its path.
pub(crate) struct Domain<'a> {
    path: String,
    node: Node<'a>,
    /// The cells that its modules see.
    cells: Cells,
}

/// Adds advice about a tree to the remarks. The plan is there if nothing is refused.
pub(crate) fn give(fdt: &Fdt<'_>, plan: Option<&Plan>, remarks: &mut Vec<Remark>) {
    let domains = domains(fdt);
    consoles::advise(fdt, &domains, remarks);
    devices::advise(plan, remarks);
    memory::advise(fdt, &domains, plan, remarks);
    names::advise(fdt, &domains, remarks);
    processors::advise(&domains, plan, remarks);
}

/// The domains in their order.
fn domains<'a>(fdt: &Fdt<'a>) -> Vec<Domain<'a>> {
    let Some(chosen) = fdt.chosen() else { return Vec::new() };
    let cells = chosen.cells(fdt.root().cells(Cells::DEFAULT));
    let nodes = chosen.children().filter(|node| node.is_compatible("xen,domain"));
    nodes
        .map(|node| Domain { path: format!("/chosen/{}", node.name()), node, cells: node.cells(cells) })
        .collect()
}

/// What a module node is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kernel,
    Ramdisk,
    /// A partial device tree.
    Devices,
    /// By its order.
    Unknown,
}

/// The modules among the children of a node.
fn modules<'a>(node: &Node<'a>) -> Vec<(Kind, Node<'a>)> {
    let kind = |child: &Node<'a>| {
        let is = |names: [&str; 2]| names.into_iter().any(|name| child.is_compatible(name));
        if is(["multiboot,kernel", "xen,linux-zimage"]) {
            Some(Kind::Kernel)
        } else if is(["multiboot,ramdisk", "xen,linux-initrd"]) {
            Some(Kind::Ramdisk)
        } else if child.is_compatible("multiboot,device-tree") {
            Some(Kind::Devices)
        } else {
            is(["multiboot,module", "xen,multiboot-module"]).then_some(Kind::Unknown)
        }
    };
    node.children().filter_map(|child| Some((kind(&child)?, child))).collect()
}

/// The kernel among the children of a node.
fn kernel<'a>(node: &Node<'a>) -> Option<Node<'a>> {
    let modules = modules(node);
    let first = |wanted| modules.iter().find(|(kind, _)| *kind == wanted).map(|(_, node)| *node);
    first(Kind::Kernel).or_else(|| first(Kind::Unknown))
}

/// The text of a property; empty where it is not there.
fn text<'a>(node: &Node<'a>, name: &str) -> &'a str {
    node.property(name).and_then(|value| value.text()).unwrap_or("")
}
