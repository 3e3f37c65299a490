//! The processors.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{MOST_PROCESSORS, Survey};
use crate::fdt::{Cells, Node};
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
    let mut first: Option<Node<'_>> = None;
    let mut boot_is_there = false;
    for node in parent.children().filter(is_cpu) {
        first = first.or(Some(node));
        if !node.is_enabled() {
            continue;
        }
        let Some(mpidr) = affinity(survey, &node, cells) else { continue };
        let known = others.iter().any(|cpu| cpu.mpidr == mpidr) || (boot_is_there && mpidr == boot);
        if known {
            let reason = format!("{mpidr:#x} is another processor's");
            let number = |node: &Node<'_>| node.property("reg").map(|reg| reg.value.to_vec());
            let other = parent.children().find(|other| is_cpu(other) && number(other) == number(&node));
            let other = other.map_or_else(String::new, |other| path(&other));
            let places = [(path(&node), "reg"), (other, "reg")];
            let places = places.each_ref().map(|(path, name)| (path.as_str(), *name));
            survey.report.clash(places, reason, "each processor has an MPIDR of its own");
        } else if mpidr == boot {
            boot_is_there = true;
        } else if can_start(survey, &node, psci) {
            others.push(Processor { mpidr });
        }
    }
    if !boot_is_there {
        let reason = format!("no enabled processor has the boot processor's MPIDR {boot:#x}");
        survey.report.refuse(CPUS, "reg", reason, "its cpu node must be there, with status okay or none");
        return None;
    }
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
