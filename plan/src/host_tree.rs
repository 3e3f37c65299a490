//! dom0's view of the host: which nodes of the host's device tree it gets, which devices it drives, and the tree
//! that it is given.
//!
//! dom0's tree is the host's, node by node in the host's order, as Xen 4.17 makes it. Left out are nodes that the
//! hypervisor uses itself or replaces at the end: its console, memory, processors, firmware calls, boot
//! modules, IOMMUs, other interrupt controllers, and everything that uses a private interrupt, since only
//! timers have those in a guest. Interrupt controller, timer and `/chosen` are written anew in their places.
//!
//! [`Visits`] walks the tree and says what becomes of each node; [`resources`] collects what the nodes that stay
//! need, and [`writing`] makes the tree. Both see the same nodes.

pub(crate) mod assigned;
pub(crate) mod resources;
pub(crate) mod writing;

use crate::board::{self, gic, interrupt, timer};
use crate::fdt::{Cells, Fdt, Node, Property, Trail, Walk};
use crate::guest_tree::{GIC_PHANDLE, Wiring};
use crate::modules::Kind;
use crate::shape::{Board, Range};

/// Devices that a guest cannot have, because nothing emulates what they need.
const LEFT_OUT: [&str; 6] = [
    "xen,xen",
    "arm,cortex-a7-pmu",
    "arm,cortex-a15-pmu",
    "arm,cortex-a53-edac",
    "arm,armv8-pmuv3",
    "arm,armv7-timer-mem",
];
/// IOMMUs: devices are driven without, since dom0's guest addresses are the host's.
const IOMMUS: [&str; 6] =
    ["arm,mmu-400", "arm,mmu-401", "arm,mmu-500", "arm,smmu-v1", "arm,smmu-v2", "arm,smmu-v3"];

/// The host as dom0 will see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'a, 'b> {
    pub(crate) fdt: Fdt<'a>,
    pub(crate) board: &'b Board,
    /// The node of the interrupt controller that the hypervisor drives.
    gic: Option<Node<'a>>,
    /// There is an IOMMU, and so are properties that speak of it.
    has_iommu: bool,
}

/// What becomes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is left out with all below it.
    Drop,
    /// Its properties and children are looked at one by one.
    Keep,
    /// `/chosen`, whose properties are sorted out.
    Chosen,
    /// The interrupt controller; its children are left out, but for what [`writing`] makes of them.
    Controller,
    /// The timer; written anew.
    Timer,
}

impl<'a, 'b> Host<'a, 'b> {
    pub(crate) fn new(fdt: Fdt<'a>, board: &'b Board) -> Self {
        let has_iommu = fdt.walk().any(|(_, node)| is_any(&node, &IOMMUS));
        Self { fdt, board, gic: board::controller(&fdt), has_iommu }
    }

    /// The phandle of the interrupt controller.
    fn gic_phandle(&self) -> Option<u32> {
        self.gic?.phandle()
    }

    /// How children of the root say addresses and interrupts.
    fn wiring(&self) -> Wiring {
        Wiring {
            cells: self.fdt.root().cells(Cells::DEFAULT),
            gic_phandle: self.gic_phandle().unwrap_or(GIC_PHANDLE),
            interrupt_cells: self.gic.map_or(3, |gic| interrupt::cells(&gic)),
        }
    }

    /// Where the addresses end that the root can say, if they end before `reach`.
    pub(crate) fn reach(&self, reach: u64) -> u64 {
        if self.wiring().cells.address == 1 { reach.min(1 << 32) } else { reach }
    }

    /// What becomes of a node, looked at by itself.
    fn fate(&self, depth: usize, node: &Node<'a>, trail: &Trail<'a>) -> Fate {
        if Some(*node) == self.gic {
            return Fate::Controller;
        }
        if depth == 1 && matches!(node.name(), "cpus" | "psci" | "hypervisor") {
            return Fate::Drop;
        }
        if depth == 1 && node.name() == "chosen" {
            return Fate::Chosen;
        }
        let is_memory = node.property("device_type").is_some_and(|kind| kind.text() == Some("memory"));
        if is_memory || Kind::of(node).is_some() || is_any(node, &LEFT_OUT) || is_any(node, &IOMMUS) {
            return Fate::Drop;
        }
        for name in node.property("compatible").into_iter().flat_map(|names| names.strings()) {
            if timer::is_timer(name) {
                return Fate::Timer;
            }
            if gic::is_controller(name) || name.starts_with("arm,psci") {
                return Fate::Drop;
            }
        }
        let uses_private = || self.uses_private_interrupt(node, trail);
        if self.is_console(node, trail) || uses_private() { Fate::Drop } else { Fate::Keep }
    }

    /// Whether the node is the hypervisor's console.
    fn is_console(&self, node: &Node<'a>, trail: &Trail<'a>) -> bool {
        let Some(uart) = self.board.uart else { return false };
        node.is_compatible("arm,pl011") && registers(node, trail).any(|range| range.overlaps(&uart.registers))
    }

    /// Whether the node has an interrupt that belongs to each processor.
    fn uses_private_interrupt(&self, node: &Node<'a>, trail: &Trail<'a>) -> bool {
        let mut found = false;
        self.each_interrupt(node, trail, |kind, _, _| found |= matches!(kind, 1 | 3));
        found
    }

    /// Calls `act` with kind, number and flags of each interrupt of the node that goes to the interrupt controller.
    fn each_interrupt(&self, node: &Node<'a>, trail: &Trail<'a>, mut act: impl FnMut(u32, u32, u32)) {
        let Some((gic, phandle)) = self.gic.zip(self.gic_phandle()) else { return };
        let width = interrupt::cells(&gic);
        if let Some(extended) = node.property("interrupts-extended") {
            self.each_extended(extended, (phandle, width), &mut act);
        } else if let Some(interrupts) = node.property("interrupts")
            && trail.interrupt_parent() == Some(phandle)
        {
            let mut cells = interrupts.cells();
            while let Some([kind, number, flags]) = take(&mut cells, width) {
                act(kind, number, flags);
            }
        }
    }

    /// The entries of `interrupts-extended`, each of which names its controller.
    fn each_extended(
        &self,
        extended: Property<'a>,
        (gic, width): (u32, usize),
        act: &mut impl FnMut(u32, u32, u32),
    ) {
        let mut cells = extended.cells();
        while let Some(phandle) = cells.next() {
            if phandle == gic {
                let Some([kind, number, flags]) = take(&mut cells, width) else { return };
                act(kind, number, flags);
                continue;
            }
            let Some(width) =
                self.fdt.find_phandle(phandle).and_then(|other| cell(&other, "#interrupt-cells"))
            else {
                return;
            };
            if width > 0 && cells.nth(width.saturating_sub(1)).is_none() {
                return;
            }
        }
    }
}

/// A property of one small number.
fn cell(node: &Node<'_>, name: &str) -> Option<usize> {
    let value = node.property(name)?.u32()?;
    usize::try_from(value).ok().filter(|value| *value <= 16)
}

/// Takes `width` cells, at least three, and gives the first three.
fn take(cells: &mut impl Iterator<Item = u32>, width: usize) -> Option<[u32; 3]> {
    let entry = [cells.next()?, cells.next()?, cells.next()?];
    for _ in 3..width {
        cells.next()?;
    }
    Some(entry)
}

/// A number of one or two cells.
fn number(cells: &mut impl Iterator<Item = u32>, count: u32) -> Option<u64> {
    (0..count).try_fold(0_u64, |value, _| Some(value.checked_shl(32)? | u64::from(cells.next()?)))
}

/// Whether `compatible` lists any of the names.
fn is_any(node: &Node<'_>, names: &[&str]) -> bool {
    node.property("compatible").is_some_and(|list| names.iter().any(|name| list.lists(name)))
}

/// The `reg` of a node as host addresses; entries that are no addresses of the processor are left out.
fn registers<'a, 't>(node: &Node<'a>, trail: &'t Trail<'a>) -> impl Iterator<Item = Range> + use<'a, 't> {
    let entries = node.property("reg").and_then(|reg| reg.reg(trail.cells()));
    entries.into_iter().flatten().filter_map(move |(address, size)| {
        // Most buses without sizes (I2C, SPI) have no `ranges` either, and end here or in the translation.
        Range::new(trail.translate(address, size)?, size)
    })
}

/// A node that stays.
#[derive(Clone, Copy, Debug)]
struct Visit<'a> {
    depth: usize,
    node: Node<'a>,
    fate: Fate,
    /// dom0 drives the device: neither it nor a bus above is kept for another domain. A disabled device is dom0's,
    /// too, as under Xen: its owner may enable it while dom0 runs.
    used: bool,
}

/// Walks the nodes that stay.
#[derive(Debug)]
struct Visits<'a, 'b> {
    host: Host<'a, 'b>,
    walk: Walk<'a>,
    /// The way to the node visited last.
    trail: Trail<'a>,
    /// Depth of the node all below which is left out.
    dropped: Option<usize>,
    /// Depth of the node all below which is not used.
    unused: Option<usize>,
}

impl<'a, 'b> Visits<'a, 'b> {
    fn new(host: Host<'a, 'b>) -> Self {
        let trail = Trail::at_root(host.fdt);
        Self { host, walk: host.fdt.walk(), trail, dropped: None, unused: None }
    }

    /// The next node.
    fn advance(&mut self) -> Option<Visit<'a>> {
        loop {
            let (depth, node) = self.walk.next()?;
            if self.dropped.is_some_and(|above| depth > above) {
                continue;
            }
            self.dropped = None;
            self.trail.enter(depth, &node);
            let fate = self.host.fate(depth, &node, &self.trail);
            // What stands below these is not copied.
            if matches!(fate, Fate::Drop | Fate::Controller | Fate::Timer) {
                self.dropped = Some(depth);
            }
            if fate == Fate::Drop {
                continue;
            }
            if self.unused.is_some_and(|above| depth <= above) {
                self.unused = None;
            }
            let usable = !is_passed_through(&node) && !node.is_compatible("xen,domain");
            if !usable && self.unused.is_none() {
                self.unused = Some(depth);
            }
            return Some(Visit { depth, node, fate, used: self.unused.is_none() });
        }
    }
}

/// Whether the owner keeps a device for another domain.
fn is_passed_through(node: &Node<'_>) -> bool {
    node.property("xen,passthrough").is_some()
}
