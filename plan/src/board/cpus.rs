//! The processors.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{MOST_PROCESSORS, Survey};
use crate::fdt::{Cells, Fdt, Node};
use crate::report::quoted;
use crate::shape::{Options, Processor};

const CPUS: &str = "/cpus";
/// Aff3, Aff2, Aff1 and Aff0 of MPIDR_EL1 (Arm ARM, D23.2).
const AFFINITY_MASK: u64 = 0xff_00ff_ffff;
/// Longest `compatible` that guests are given a copy of.
const LONGEST_COMPATIBLE_BYTES: usize = 256;

/// What the `/cpus` node says.
pub(super) struct Processors {
    pub(super) cpus: Vec<Processor>,
    pub(super) compatible: Vec<u8>,
    pub(super) frequency: Option<u32>,
}

pub(super) fn read(
    survey: &mut Survey<'_, '_>,
    parent: Option<Node<'_>>,
    boot_mpidr: u64,
    psci: bool,
    options: &Options,
) -> Option<Processors> {
    let boot = boot_mpidr & AFFINITY_MASK;
    let Some(parent) = parent else {
        survey.report.refuse(CPUS, "", "the node is missing", "it lists the processors");
        return None;
    };
    let root_cells = survey.fdt.root().cells(Cells::DEFAULT);
    let cells = Cells { size: 0, ..parent.cells(root_cells) };
    let mut others: Vec<Processor> = Vec::new();
    // The nodes of the same processors, and of the one that boots.
    let mut nodes: Vec<Node<'_>> = Vec::new();
    let mut first: Option<Node<'_>> = None;
    let mut boot_node: Option<Node<'_>> = None;
    for node in parent.children().filter(is_cpu) {
        first = first.or(Some(node));
        if !node.is_enabled() {
            continue;
        }
        let Some(mpidr) = affinity(survey, &node, cells) else { continue };
        let known = others.iter().any(|cpu| cpu.mpidr == mpidr) || (boot_node.is_some() && mpidr == boot);
        if known {
            let reason = format!("{mpidr:#x} is another processor's");
            let number = |node: &Node<'_>| node.property("reg").map(|reg| reg.value.to_vec());
            let other = parent.children().find(|other| is_cpu(other) && number(other) == number(&node));
            let other = other.map_or_else(String::new, |other| path(&other));
            let places = [(path(&node), "reg"), (other, "reg")];
            let places = places.each_ref().map(|(path, name)| (path.as_str(), *name));
            survey.report.clash(places, reason, "each processor has an MPIDR of its own");
        } else if mpidr == boot {
            boot_node = Some(node);
        } else if can_start(survey, &node, psci) {
            others.push(Processor { mpidr });
            nodes.push(node);
        }
    }
    let Some(boot_node) = boot_node else {
        let reason = format!("no enabled processor has the boot processor's MPIDR {boot:#x}");
        survey.report.refuse(CPUS, "reg", reason, "its cpu node must be there, with status okay or none");
        return None;
    };
    leave_strangers_out(survey, boot_node, (&mut others, &nodes), options.hmp_unsafe);
    let limit = usize::try_from(options.max_cpus.unwrap_or(u32::MAX)).unwrap_or(usize::MAX);
    if others.len() >= MOST_PROCESSORS && limit > MOST_PROCESSORS {
        survey.report.warn(CPUS, "only 128 processors are used");
    }
    others.truncate(limit.min(MOST_PROCESSORS).saturating_sub(1));
    let mut cpus = Vec::with_capacity(others.len().saturating_add(1));
    cpus.push(Processor { mpidr: boot });
    cpus.append(&mut others);
    let compatible = compatible(survey, first);
    let frequency = first.and_then(|node| node.property("clock-frequency")?.u32());
    Some(Processors { cpus, compatible, frequency })
}

/// The first name in `compatible`: what kind of processor it is, if that is known.
fn kind<'a>(node: &Node<'a>) -> Option<&'a str> {
    node.property("compatible").and_then(|names| names.strings().next())
}

/// Leaves out the processors of another kind than the boot processor's, as Xen parks them. `nodes` are theirs.
fn leave_strangers_out(
    survey: &mut Survey<'_, '_>,
    boot: Node<'_>,
    (others, nodes): (&mut Vec<Processor>, &[Node<'_>]),
    wanted: bool,
) {
    let Some(usual) = kind(&boot) else { return };
    let mut nodes = nodes.iter();
    others.retain(|_| {
        let Some((node, other)) = nodes.next().and_then(|node| Some((node, kind(node)?))) else {
            return true;
        };
        if other == usual {
            return true;
        }
        let told = format!("is {} and the boot processor {}", quoted(other), quoted(usual));
        let rest = if wanted {
            "it is used, and a vCPU must stay on one kind (hmp-unsafe)"
        } else {
            "it is not used without hmp-unsafe"
        };
        survey.report.warn(&path(node), &format!("{told}: {rest}"));
        wanted
    });
}

/// The node of a processor by its phandle, and its MPIDR if that can be read.
pub(crate) fn processor_of<'a>(fdt: &Fdt<'a>, phandle: u32) -> Option<(Node<'a>, Option<u64>)> {
    let parent = fdt.root().child("cpus")?;
    let cells = Cells { size: 0, ..parent.cells(fdt.root().cells(Cells::DEFAULT)) };
    let node = parent.children().find(|node| is_cpu(node) && node.phandle() == Some(phandle))?;
    let entry = node.property("reg").and_then(|reg| reg.reg(cells)).and_then(|mut entries| entries.next());
    Some((node, entry.map(|(mpidr, _)| mpidr)))
}

fn is_cpu(node: &Node<'_>) -> bool {
    match node.property("device_type") {
        Some(kind) => kind.text() == Some("cpu"),
        None => node.name().starts_with("cpu@"),
    }
}

fn path(node: &Node<'_>) -> String {
    format!("{CPUS}/{}", node.name())
}

fn affinity(survey: &mut Survey<'_, '_>, node: &Node<'_>, cells: Cells) -> Option<u64> {
    let entry = node.property("reg").and_then(|reg| reg.reg(cells)).and_then(|mut entries| entries.next());
    let Some((mpidr, _)) = entry else {
        let reason = format!("is missing or has no {} cells", cells.address);
        survey.report.refuse(&path(node), "reg", reason, "one MPIDR in the #address-cells of /cpus");
        return None;
    };
    if mpidr & !AFFINITY_MASK != 0 {
        let reason = format!("{mpidr:#x} has bits outside the affinity fields");
        survey.report.refuse(&path(node), "reg", reason, "only bits 0-23 and 32-39 name a processor");
        return None;
    }
    Some(mpidr)
}

/// Whether a processor that is not running can be started.
fn can_start(survey: &mut Survey<'_, '_>, node: &Node<'_>, psci: bool) -> bool {
    // Without PSCI a warning about the whole board has been given.
    if !psci {
        return false;
    }
    let method = node.property("enable-method").and_then(|method| method.text()).unwrap_or("psci");
    if method != "psci" {
        let text = format!("enable-method {} is not supported: the processor is not used", quoted(method));
        survey.report.warn(&path(node), &text);
    }
    method == "psci"
}

/// The first processor's `compatible`, which every guest's tree repeats.
fn compatible(survey: &mut Survey<'_, '_>, first: Option<Node<'_>>) -> Vec<u8> {
    let value = first.and_then(|node| node.property("compatible")).map_or(&[][..], |property| property.value);
    if value.is_empty() || value.len() > LONGEST_COMPATIBLE_BYTES {
        survey
            .report
            .warn(CPUS, "the first processor's compatible is missing or too long: guests get arm,armv8");
        return b"arm,armv8\0".to_vec();
    }
    value.to_vec()
}
