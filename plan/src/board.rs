//! The board: what the host's device tree says about memory, processors, the interrupt controller, the timer,
//! the console and the firmware.
//!
//! One walk over the tree finds the nodes of interest, each reader then looks at its own.

mod cpus;
pub(crate) mod gic;
pub(crate) mod interrupt;
mod memory;
pub(crate) mod timer;
mod uart;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::fdt::{Fdt, Node, Trail};
use crate::options::{self, CommandLine};
use crate::range::RangeSet;
use crate::report::{Refusal, Report, quoted};
use crate::shape::{Board, GicRegions, Options, Pl011, Range};

pub(crate) use cpus::processor_of;
pub use gic::{GIC_V2_CPU_INTERFACE_BYTES, GIC_V3_REDISTRIBUTOR_BYTES};

/// Most RAM banks, and most reserved ranges, that are read.
pub const MOST_BANKS: usize = 256;
/// The most vCPUs that a GICv2 serves (Arm IHI 0048, 1.4.1).
pub(crate) const GIC_V2_VCPUS: u16 = 8;
/// Most physical processors.
pub const MOST_PROCESSORS: usize = 128;

/// What a reader needs beside the node that it reads.
pub(crate) struct Survey<'a, 'r> {
    pub(crate) fdt: Fdt<'a>,
    pub(crate) report: &'r mut Report,
}

impl Survey<'_, '_> {
    /// Refuses something about `node`; its path is looked for only now, as that takes a walk.
    #[cold]
    fn refuse_at(&mut self, node: &Node<'_>, property: &str, reason: impl Into<String>, hint: &str) {
        let path = path_of(node);
        self.report.refuse(&path, property, reason, hint);
    }

    /// Warns of something about `node`.
    #[cold]
    fn warn_at(&mut self, node: &Node<'_>, text: &str) {
        let path = path_of(node);
        self.report.warn(&path, text);
    }
}

/// The board, with what of it only placement needs.
pub(crate) struct Surveyed {
    pub(crate) board: Board,
    pub(crate) ram: RangeSet,
    pub(crate) reserved: RangeSet,
}

/// The nodes that one walk finds.
#[derive(Default)]
struct Found<'a> {
    gic: Option<Node<'a>>,
    timer: Option<Node<'a>>,
    psci: Option<Node<'a>>,
    cpus: Option<Node<'a>>,
    reserved_memory: Option<Node<'a>>,
    memory: Vec<Node<'a>>,
}

impl<'a> Found<'a> {
    fn walk(fdt: &Fdt<'a>) -> Self {
        let main_gic = fdt.root().property("interrupt-parent").and_then(|value| value.u32());
        let mut found = Found::default();
        let (chosen, mut walk) = (fdt.chosen(), fdt.walk());
        while let Some((depth, node)) = walk.next() {
            if Some(node) == chosen {
                // There are no devices.
                walk.leave();
                continue;
            }
            if depth == 1 {
                found.top_level(node);
            }
            let Some(compatible) = node.property("compatible") else { continue };
            let first = |place: &mut Option<Node<'a>>| {
                if place.is_none() && node.is_enabled() {
                    *place = Some(node);
                }
            };
            for name in compatible.strings() {
                if gic::is_controller(name) {
                    // A secondary controller hangs on the main one; the root names the main one.
                    if main_gic.is_some() && node.phandle() == main_gic {
                        found.gic = Some(node);
                    }
                    first(&mut found.gic);
                } else if timer::is_timer(name) {
                    first(&mut found.timer);
                } else if name.starts_with("arm,psci") {
                    first(&mut found.psci);
                }
            }
        }
        found
    }

    /// Takes note of a child of the root that is known by its name or type.
    fn top_level(&mut self, node: Node<'a>) {
        match node.name() {
            "cpus" => self.cpus = self.cpus.or(Some(node)),
            "reserved-memory" => self.reserved_memory = self.reserved_memory.or(Some(node)),
            _ if memory::is_memory(&node) && self.memory.len() < MOST_BANKS => self.memory.push(node),
            _ => {}
        }
    }
}

/// Reads the board. `None` where so much is missing that nothing can be planned; the report then says why.
pub(crate) fn survey<'a>(
    fdt: Fdt<'a>,
    line: &CommandLine<'a>,
    options: &Options,
    boot_mpidr: u64,
    report: &mut Report,
) -> Option<Surveyed> {
    let found = Found::walk(&fdt);
    let mut survey = Survey { fdt, report };
    let ram = memory::ram(&mut survey, &found.memory);
    let reserved = memory::reserved(&mut survey, found.reserved_memory);
    let psci = psci(&mut survey, found.psci);
    let processors = cpus::read(&mut survey, found.cpus, boot_mpidr, psci, options);
    let gic = gic::read(&mut survey, found.gic);
    let timer = timer::read(&mut survey, found.timer);
    let uart = uart::read(&mut survey, line, found.gic);
    let (processors, gic, timer) = (processors?, gic?, timer?);
    let place = found.gic.map(|gic| path_of(&gic)).unwrap_or_default();
    devices_outside_ram(survey.report, (&gic, &place), uart.as_ref(), &ram);
    Some(Surveyed {
        board: Board {
            memory: ram.iter().copied().collect(),
            reserved: reserved.iter().copied().collect(),
            cpus: processors.cpus,
            cpu_compatible: processors.compatible,
            cpu_frequency: processors.frequency,
            timer_frequency: timer.frequency,
            gic,
            virtual_timer: timer.virtual_timer,
            hypervisor_timer: timer.hypervisor_timer,
            physical_timers: timer.physical_timers,
            uart,
            psci,
        },
        ram,
        reserved,
    })
}

/// The console alone, for whoever must say why the rest was refused: the UART that `dtuart=` or
/// `stdout-path` names, else the first PL011 of the tree.
#[must_use]
pub fn console(tree: &[u8]) -> Option<Pl011> {
    let fdt = Fdt::open(tree).ok()?;
    let line = options::command_line(&fdt);
    let gic = Found::walk(&fdt).gic;
    let mut report = Report::default();
    let mut survey = Survey { fdt, report: &mut report };
    uart::read(&mut survey, &line, gic).or_else(|| uart::first(&mut survey, gic))
}

/// What a board has, whatever is to run on it, for a tool that gives things their places.
///
/// # Errors
/// What the board lacks, or what is wrong with its tree.
pub fn board(tree: &[u8], boot_mpidr: u64) -> Result<Board, Vec<Refusal>> {
    let mut report = Report::default();
    let surveyed = match Fdt::open(tree) {
        Ok(fdt) => {
            let line = options::command_line(&fdt);
            let options = options::parse(&line, false, &mut Report::default());
            survey(fdt, &line, &options, boot_mpidr, &mut report)
        }
        Err(error) => {
            report.refuse("", "", format!("{error}"), "a flattened device tree of version 17, at most 2 MiB");
            None
        }
    };
    surveyed.filter(|_| report.refusals.is_empty()).map(|surveyed| surveyed.board).ok_or(report.refusals)
}

/// The node of the interrupt controller that the hypervisor drives.
pub(crate) fn controller<'a>(fdt: &Fdt<'a>) -> Option<Node<'a>> {
    Found::walk(fdt).gic
}

/// The interrupt controller's distributor alone, for whoever must ask it how many lines it has.
#[must_use]
pub fn distributor(tree: &[u8]) -> Option<Range> {
    let fdt = Fdt::open(tree).ok()?;
    let node = Found::walk(&fdt).gic;
    let mut report = Report::default();
    let mut survey = Survey { fdt, report: &mut report };
    match gic::read(&mut survey, node)? {
        GicRegions::V2 { distributor, .. } | GicRegions::V3 { distributor, .. } => Some(distributor),
    }
}

/// Whether firmware can be called.
fn psci(survey: &mut Survey<'_, '_>, node: Option<Node<'_>>) -> bool {
    let Some(node) = node else {
        survey.report.warn("/", "no arm,psci-0.2 or arm,psci-1.0 node: one processor only, and no power-off");
        return false;
    };
    if !node.is_compatible("arm,psci-0.2") && !node.is_compatible("arm,psci-1.0") {
        survey.warn_at(&node, "PSCI 0.1 is not supported: one processor only, and no power-off");
        return false;
    }
    let method = node.property("method").and_then(|method| method.text()).unwrap_or("");
    if method != "smc" {
        let text = format!(
            "method is {}, but a hypervisor calls firmware by \"smc\": one processor only, and no power-off",
            quoted(method)
        );
        survey.warn_at(&node, &text);
    }
    method == "smc"
}

/// Everything that will be mapped must have an address that the processors can form.
pub(crate) fn within_reach(board: &Board, physical_bits: u8, report: &mut Report) {
    let limit = 1_u64.checked_shl(u32::from(physical_bits.min(48))).unwrap_or(u64::MAX);
    let mut all = board.memory.clone();
    all.extend_from_slice(&registers_of(&board.gic));
    all.extend(board.uart.map(|uart| uart.registers));
    for range in all {
        if range.base.checked_add(range.size).is_none_or(|end| end > limit) {
            let reason = format!("{range} lies beyond the {physical_bits} bits of physical address");
            report.refuse("", "reg", reason, "an address that the board's processors can form");
        }
    }
}

/// The interrupt controller's registers.
pub(crate) fn registers_of(gic: &GicRegions) -> Vec<Range> {
    let mut registers: Vec<Range> = Vec::new();
    match gic {
        GicRegions::V2 { distributor, cpu_interface, control, virtual_interface, .. } => {
            registers.extend_from_slice(&[*distributor, *cpu_interface, *control, *virtual_interface]);
        }
        GicRegions::V3 { distributor, redistributors, .. } => {
            registers.push(*distributor);
            registers.extend_from_slice(redistributors);
        }
    }
    registers
}

/// Registers inside RAM would be given away as RAM.
fn devices_outside_ram(
    report: &mut Report,
    (gic, path): (&GicRegions, &str),
    uart: Option<&Pl011>,
    ram: &RangeSet,
) {
    let gic = registers_of(gic).into_iter().map(|range| (range, path, "reg"));
    let uart = uart.map(|uart| (uart.registers, "/chosen", "stdout-path"));
    for (range, node, property) in gic.chain(uart) {
        if let Some(bank) = ram.overlapping(&range) {
            let reason = format!("device registers {range} lie inside RAM {bank}");
            report.refuse(node, property, reason, "devices and memory nodes must not overlap");
        }
    }
}

/// The path of a node of the tree, for a message.
pub(crate) fn path_of(node: &Node<'_>) -> String {
    Trail::of(node).map(|trail| trail.path()).unwrap_or_default()
}

/// The `reg` of a node as ranges in the processor's address space, at most `limit` of them. Faults are
/// reported. Entries of size 0 come out as `None`.
pub(crate) fn registers(survey: &mut Survey<'_, '_>, node: &Node<'_>, limit: usize) -> Vec<Option<Range>> {
    let Some(trail) = Trail::of(node) else { return Vec::new() };
    let path = trail.path();
    let Some(reg) = node.property("reg") else {
        survey.report.refuse(&path, "reg", "is missing", "give address and size");
        return Vec::new();
    };
    let cells = trail.cells();
    let Some(entries) = reg.reg(cells) else {
        let reason = format!(
            "has {} bytes, which is no list of {} address and {} size cells",
            reg.value.len(),
            cells.address,
            cells.size
        );
        survey.report.refuse(&path, "reg", reason, "cells are those of the parent node; 1 and 2 can be read");
        return Vec::new();
    };
    let mut ranges = Vec::new();
    for (address, size) in entries.take(limit) {
        let Some(translated) = trail.translate(address, size) else {
            let reason = format!("{address:#x} does not pass through the ranges of the buses above");
            survey.report.refuse(
                &path,
                "reg",
                reason,
                "each parent bus needs a ranges property that covers it",
            );
            return Vec::new();
        };
        let range = Range::new(translated, size);
        if range.is_none() && size != 0 {
            let reason = format!("{translated:#x} + {size:#x} is beyond the 64-bit address space");
            survey.report.refuse(&path, "reg", reason, "");
        }
        ranges.push(range);
    }
    ranges
}
