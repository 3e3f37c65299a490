//! Boot modules: the nodes that say where a loader put a kernel, a ramdisk or a partial device tree.

use alloc::format;
use alloc::string::String;

use crate::fdt::{Cells, Node};
use crate::report::{Report, quoted};
use crate::shape::Range;

/// Longest command line of a guest: twice what arm64 Linux keeps.
pub const LONGEST_BOOTARGS_BYTES: usize = 4096;

/// What a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kernel,
    Ramdisk,
    /// A partial device tree: what of the host the domain is given.
    Devices,
    /// Only `multiboot,module`: the first such is the kernel, the second the ramdisk.
    Unknown,
    /// A kind that is known but not supported, by its name.
    Later(&'static str),
}

impl Kind {
    /// The kind of a module node; `None` if the node is no module.
    pub(crate) fn of(node: &Node<'_>) -> Option<Self> {
        let compatible = node.property("compatible")?;
        let mut kind = None;
        for name in compatible.strings() {
            match name {
                "multiboot,kernel" | "xen,linux-zimage" => return Some(Self::Kernel),
                "multiboot,ramdisk" | "xen,linux-initrd" => return Some(Self::Ramdisk),
                "multiboot,device-tree" => return Some(Self::Devices),
                "xen,xsm-policy" => return Some(Self::Later("xen,xsm-policy")),
                "multiboot,module" | "xen,multiboot-module" => kind = Some(Self::Unknown),
                _ => {}
            }
        }
        kind
    }
}

/// A module as its node describes it.
#[derive(Clone, Debug)]
pub(crate) struct Module<'a> {
    pub(crate) path: String,
    /// The property that says where it lies.
    pub(crate) property: &'static str,
    /// Its bytes, host-physical.
    pub(crate) range: Range,
    pub(crate) bootargs: &'a str,
    /// `bootargs` is there, and be it empty.
    pub(crate) has_bootargs: bool,
}

/// Reads a module node whose `reg` sees `cells`; faults are reported.
pub(crate) fn read<'a>(
    node: &Node<'a>,
    path: String,
    cells: Cells,
    report: &mut Report,
) -> Option<Module<'a>> {
    let range = place(node, &path, cells, report);
    let bootargs = match node.property("bootargs").map(|value| value.text()) {
        None => Some(""),
        Some(Some(text)) if text.len() <= LONGEST_BOOTARGS_BYTES => Some(text),
        Some(Some(text)) => {
            let reason = format!("has {} characters", text.len());
            report.refuse(&path, "bootargs", reason, "at most 4096 are passed on");
            None
        }
        Some(None) => {
            report.refuse(&path, "bootargs", "is not one text", "write one quoted string");
            None
        }
    };
    for property in node.properties() {
        let known = matches!(
            property.name(),
            "compatible" | "reg" | "bootargs" | "phandle" | "linux,phandle" | "xen,uefi-binary"
        );
        if !known {
            let text = format!("unknown property {} is ignored", quoted(property.name()));
            report.warn_of(&path, property.name(), &text);
        }
    }
    let has_bootargs = node.property("bootargs").is_some();
    Some(Module { range: range?, property: "reg", bootargs: bootargs?, has_bootargs, path })
}

fn place(node: &Node<'_>, path: &str, cells: Cells, report: &mut Report) -> Option<Range> {
    let Some(reg) = node.property("reg") else {
        report.refuse(path, "reg", "is missing", "address and size of the module in memory");
        return None;
    };
    let mut entries = reg.reg(cells).into_iter().flatten();
    let (Some((base, size)), None) = (entries.next(), entries.next()) else {
        let reason = format!(
            "has {} bytes, which is not {} address and {} size cells",
            reg.value.len(),
            cells.address,
            cells.size
        );
        let hint = "#address-cells and #size-cells stand in the parent node; write one address and one size";
        report.refuse(path, "reg", reason, hint);
        return None;
    };
    if let Some(unit) = node.unit_address()
        // Many trees write the 0x that does not belong there.
        && u64::from_str_radix(unit.strip_prefix("0x").unwrap_or(unit), 16) != Ok(base)
    {
        let reason = format!("the address is {base:#x}, but the node's name says {}", quoted(unit));
        let hint = format!("reg and unit address must agree: either @{base:x}, or mend reg");
        report.clash([(path, "reg"), (path, "")], reason, &hint);
        return None;
    }
    let range = Range::new(base, size);
    if range.is_none() {
        let reason = format!("the size {size:#x} at {base:#x} is zero or reaches beyond the address space");
        report.refuse(path, "reg", reason, "the size is the file's size in bytes");
    }
    range
}
