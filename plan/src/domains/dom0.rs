//! dom0, the domain that controls the others and drives the host's devices: its modules stand directly in
//! `/chosen`, its size on the hypervisor's command line.

use alloc::format;
use alloc::string::String;

use super::{CHOSEN, Enhanced, Slot, Wanted, properties};
use crate::board::{GIC_V2_VCPUS, GIC_V3_REDISTRIBUTOR_BYTES};
use crate::fdt::{Fdt, Node};
use crate::modules::{Kind, LONGEST_BOOTARGS_BYTES, Module};
use crate::options::DOM0_MEMORY;
use crate::range::Bytes;
use crate::report::Report;
use crate::shape::{Board, GicRegions, Options, Range, Share};

/// The node of dom0's kernel, if there is one; then there is a dom0.
pub(crate) fn kernel<'a>(fdt: &Fdt<'a>) -> Option<Node<'a>> {
    let modules = || fdt.chosen().into_iter().flat_map(|node| node.children());
    modules()
        .find(|node| Kind::of(node) == Some(Kind::Kernel))
        .or_else(|| modules().find(|node| Kind::of(node) == Some(Kind::Unknown)))
}

/// The modules of dom0.
#[derive(Clone, Debug)]
pub(crate) struct Dom0<'a> {
    pub(crate) kernel: Module<'a>,
    pub(crate) ramdisk: Option<Module<'a>>,
    pub(crate) share: Share,
}

/// Puts dom0 together from the modules of `/chosen`; `None` if there is none, or if it is faulty (reported).
pub(super) fn read<'a>(
    chosen: &Node<'a>,
    (kernel, ramdisk): (Slot<'a>, Slot<'a>),
    report: &mut Report,
) -> Option<Dom0<'a>> {
    let initrd = chosen.property("linux,initrd-start").is_some();
    let share = properties::share(chosen, CHOSEN, report);
    if !kernel.is_filled() {
        if ramdisk.is_filled() {
            let hint = "a child of /chosen with compatible = \"multiboot,kernel\", \"multiboot,module\"";
            report.refuse(CHOSEN, "", "has a ramdisk for dom0, but no kernel", hint);
        } else if initrd {
            report.warn_of(
                CHOSEN,
                "linux,initrd-start",
                "linux,initrd-start is dom0's ramdisk and there is no dom0: it is ignored",
            );
        }
        if share != Some(Share::default()) {
            report.warn(CHOSEN, "xenite,sched-weight and xenite,sched-cap are dom0's and there is no dom0");
        }
        return None;
    }
    if initrd && ramdisk.is_filled() {
        let hint = "remove the property or the module";
        let module = format!("{CHOSEN}/{}", ramdisk.filled_by.unwrap_or(""));
        let places = [(CHOSEN, "linux,initrd-start"), (&module, "compatible")];
        report.clash(places, "dom0 has a ramdisk in a module, too", hint);
    }
    let ramdisk = if initrd { initial_ramdisk(chosen, report) } else { ramdisk.module };
    let mut kernel = kernel.module?;
    if !kernel.has_bootargs {
        kernel.bootargs = bootargs(chosen, report);
    }
    Some(Dom0 { kernel, ramdisk, share: share? })
}

/// dom0's command line where its kernel's module has none.
fn bootargs<'a>(chosen: &Node<'a>, report: &mut Report) -> &'a str {
    for name in ["xen,dom0-bootargs", "bootargs"] {
        let Some(property) = chosen.property(name) else { continue };
        // What is no text has been refused already.
        let text = property.text().unwrap_or("");
        if text.len() > LONGEST_BOOTARGS_BYTES {
            report.refuse(
                CHOSEN,
                name,
                format!("has {} characters", text.len()),
                "at most 4096 are passed on",
            );
        }
        return text;
    }
    ""
}

/// The ramdisk that `linux,initrd-start` and `linux,initrd-end` name.
fn initial_ramdisk<'a>(chosen: &Node<'a>, report: &mut Report) -> Option<Module<'a>> {
    const START: &str = "linux,initrd-start";
    let number = |name| chosen.property(name).and_then(|value| value.u32_or_u64());
    let range =
        number(START).zip(number("linux,initrd-end")).and_then(|(start, end)| Range::between(start, end));
    let Some(range) = range else {
        let reason = "is no range together with linux,initrd-end";
        report.refuse(CHOSEN, START, reason, "both have one or two cells, and the end is the larger");
        return None;
    };
    Some(Module { path: String::from(CHOSEN), property: START, range, bootargs: "", has_bootargs: false })
}

/// dom0's memory in bytes.
pub(crate) fn memory(options: &Options, report: &mut Report) -> u64 {
    options.dom0_memory.unwrap_or_else(|| {
        report.warn(CHOSEN, &format!("dom0 gets {}: dom0_mem= is not given", Bytes(DOM0_MEMORY)));
        DOM0_MEMORY
    })
}

/// dom0's vCPUs: as many as its pool has processors, within what the command line says and the host's interrupt
/// controller, whose addresses dom0 sees, has room for.
pub(crate) fn vcpus(options: &Options, (board, processors): (&Board, usize), report: &mut Report) -> u16 {
    let processors = u16::try_from(processors).unwrap_or(u16::MAX);
    let (least, most) = options.dom0_vcpus.unwrap_or((1, super::MOST_DOM0_VCPUS));
    let asked = processors.max(least).min(most);
    let room = match &board.gic {
        GicRegions::V2 { .. } => GIC_V2_VCPUS,
        GicRegions::V3 { redistributors, .. } => redistributors
            .first()
            .and_then(|region| u16::try_from(region.size / GIC_V3_REDISTRIBUTOR_BYTES).ok())
            .unwrap_or(u16::MAX),
    };
    if asked > room {
        let text = format!(
            "dom0 gets {room} vCPUs, not {asked}: the host's interrupt controller has no room for more"
        );
        report.warn(CHOSEN, &text);
    }
    asked.min(room).max(1)
}

impl<'a> Dom0<'a> {
    /// dom0 as a domain whose memory is `banks` of the host, at their own addresses.
    pub(crate) fn into_wanted(self, banks: alloc::vec::Vec<Range>, vcpus: u16) -> Wanted<'a> {
        Wanted {
            path: String::from(CHOSEN),
            memory: banks.iter().fold(0, |sum, bank| sum.saturating_add(bank.size)),
            vcpus,
            vpl011: false,
            spis: None,
            direct_map: true,
            is_dom0: true,
            enhanced: Some(Enhanced { xenstore: true }),
            static_memory: banks,
            pool_mib: None,
            pool: None,
            share: self.share,
            kernel: self.kernel,
            ramdisk: self.ramdisk,
            devices: None,
        }
    }
}
