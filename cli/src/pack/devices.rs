//! Devices of the board for domains: a partial device tree (`multiboot,device-tree`) is made of the board's nodes, so that
//! nobody writes an address, an interrupt or a phandle.
//!
//! A node is copied with what is below it. Its registers, whatever buses it hangs on, come to lie in the guest where the
//! board has them; where a guest without direct map has something else there, from [`ELSEWHERE`] on. Its interrupts lead
//! to the guest's controller. Fixed clocks that it names are copied, too; a device that hangs on more of
//! the board needs a partial tree that somebody has thought about (`device-tree`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use plan::fdt::{Cells, Fdt, Node, Property, Trail, Writer};
use plan::{FRAME_BYTES, Range, align_down, align_up};

use super::complaint::Complaint;
use super::description::{Description, Domain, Spanned};
use super::files::{Module, free_name};

/// Phandle of the guest's interrupt controller; those of clocks follow.
const CONTROLLER: u32 = 1;
/// Guest addresses of devices whose own are taken, below everything from the grant table's window on.
const ELSEWHERE: u64 = 0x1000_0000;
/// What a guest without direct map has (`public/arch-arm.h`): interrupt controller, UART, and all from the window on.
const TAKEN: [Range; 3] = [
    Range { base: 0x300_0000, size: 0x110_0000 },
    Range { base: 0x2200_0000, size: 0x1000 },
    Range { base: 0x3800_0000, size: u64::MAX - 0x3800_0000 },
];
/// Properties that are written anew, or are the host's business.
const NOT_COPIED: [&str; 9] = [
    "reg",
    "interrupts",
    "interrupts-extended",
    "interrupt-parent",
    "clocks",
    "phandle",
    "linux,phandle",
    "iommus",
    "xen,passthrough",
];
/// Properties by which a device hangs on others.
const BONDS: [&str; 8] =
    ["resets", "power-domains", "pinctrl-0", "dmas", "phys", "mboxes", "interrupt-map", "assigned-clocks"];
const BOND_ENDS: [&str; 3] = ["-supply", "-gpio", "-gpios"];

/// The file with a domain's partial tree, if it has one: the owner's, or ours.
pub(crate) fn file(domain: &Domain) -> Option<PathBuf> {
    let own = domain.device_tree.as_ref().map(|tree| tree.get_ref().clone());
    own.or_else(|| domain.devices.as_ref().map(|_| format!("{}-devices.dtb", domain.name.get_ref()).into()))
}

/// Makes the partial trees of domains that name devices.
pub(crate) fn make(
    description: &Description,
    board: &Fdt<'_>,
    modules: &mut Vec<Module>,
) -> Result<(), Vec<Complaint>> {
    let mut found = Vec::new();
    for domain in description.domains.iter().filter(|domain| domain.device_tree.is_none()) {
        let (Some(devices), Some(source)) = (&domain.devices, file(domain)) else { continue };
        match Maker::new(*board, domain.is_direct()).tree(devices.get_ref()) {
            Ok(content) => {
                let name = free_name(&source, modules);
                modules.push(Module { source, name, content });
            }
            Err(complaint) => found.push(complaint),
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// The nodes of the board that dom0 must not have: those that partial trees give away, and what shares frames with them.
pub(crate) fn kept(board: &Fdt<'_>, partial_trees: &[&[u8]]) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    let mut frames: Vec<Range> = Vec::new();
    for partial in partial_trees.iter().filter_map(|blob| Fdt::open(blob).ok()) {
        for (_, node) in partial.walk() {
            let path =
                node.property("xen,path").and_then(|path| path.text()).and_then(|path| board.find(path));
            let Some(trail) = path.and_then(|node| Trail::of(&node)) else { continue };
            let device = trail.nodes().last();
            frames.extend(
                device
                    .into_iter()
                    .flat_map(|node| registers(&node, &trail))
                    .map(|one| one.outward(FRAME_BYTES)),
            );
            paths.push(trail.path());
        }
    }
    let mut trail = Trail::at_root(*board);
    for (depth, node) in board.walk() {
        trail.enter(depth, &node);
        let own = registers(&node, &trail);
        // A bus that holds the device is no neighbour.
        if own.iter().any(|one| one.size < FRAME_BYTES && frames.iter().any(|frame| frame.overlaps(one))) {
            paths.push(trail.path());
        }
    }
    paths
}

fn registers(node: &Node<'_>, trail: &Trail<'_>) -> Vec<Range> {
    let entries = node.property("reg").and_then(|reg| reg.reg(trail.cells()));
    let range = |(base, size)| Range::new(trail.translate(base, size)?, size);
    entries.into_iter().flatten().filter_map(range).collect()
}

struct Maker<'a> {
    board: Fdt<'a>,
    direct: bool,
    controller: Option<u32>,
    /// Guest addresses of frames that are not where the board has them.
    moved: BTreeMap<u64, u64>,
    next: u64,
    /// Clocks by their phandles.
    clocks: Vec<u32>,
}

impl<'a> Maker<'a> {
    fn new(board: Fdt<'a>, direct: bool) -> Self {
        let controller = board.root().property("interrupt-parent").and_then(|parent| parent.u32());
        Self { board, direct, controller, moved: BTreeMap::new(), next: ELSEWHERE, clocks: Vec::new() }
    }

    fn tree(mut self, devices: &[Spanned<String>]) -> Result<Vec<u8>, Complaint> {
        let mut tree = Writer::new();
        tree.begin("");
        two_cells(&mut tree);
        tree.begin("gic");
        tree.property_u32("phandle", CONTROLLER);
        tree.end();
        tree.begin("passthrough");
        tree.property_text("compatible", "simple-bus");
        tree.property_empty("ranges");
        two_cells(&mut tree);
        for device in devices {
            self.device(&mut tree, device)?;
        }
        for (index, phandle) in (0..).zip(&self.clocks) {
            let Some(node) = self.board.find_phandle(*phandle) else { continue };
            tree.begin(&format!("clock-{index}"));
            for property in node.properties().filter(|one| !NOT_COPIED.contains(&one.name())) {
                tree.property(property.name(), property.value);
            }
            tree.property_u32("phandle", CONTROLLER + 1 + index);
            tree.end();
        }
        Ok(tree.finish())
    }

    fn device(&mut self, tree: &mut Writer, device: &Spanned<String>) -> Result<(), Complaint> {
        let complain = |title: String, what: &str| Complaint::new(title, device.span(), what);
        let path = device.get_ref();
        let node = self.board.find(path).filter(|_| path.len() > 1);
        let Some((node, trail)) = node.and_then(|node| Some((node, Trail::of(&node)?))) else {
            return Err(complain(format!("the board has no node {path:?}"), "is not there"));
        };
        let is_bond = |name: &str| BONDS.contains(&name) || BOND_ENDS.iter().any(|end| name.ends_with(end));
        if let Some(bond) = node.properties().map(|property| property.name()).find(|name| is_bond(name)) {
            let complaint = complain(
                format!("{path} hangs on other devices of the board: {bond}"),
                "needs more than itself",
            );
            return Err(
                complaint.help("device-tree = \"FILE.dtb\" with a partial tree that has what it needs")
            );
        }
        let registers = registers(&node, &trail);
        if registers.is_empty() {
            return Err(complain(format!("{path} has no registers"), "cannot be given away"));
        }
        let name = node.name().to_owned();
        tree.begin(&name);
        for property in node.properties().filter(|one| !NOT_COPIED.contains(&one.name())) {
            tree.property(property.name(), property.value);
        }
        let places: Vec<(Range, u64)> = registers.iter().map(|range| (*range, self.guest(range))).collect();
        let reg: Vec<u64> = places.iter().flat_map(|(range, guest)| [*guest, range.size]).collect();
        tree.property_u64s("reg", &reg);
        let frames = places.iter().flat_map(|(range, guest)| {
            let whole = range.outward(FRAME_BYTES);
            [whole.base, whole.size, align_down(*guest, FRAME_BYTES)]
        });
        tree.property_u64s("xen,reg", &frames.collect::<Vec<u64>>());
        tree.property_text("xen,path", &trail.path());
        tree.property_empty("xen,force-assign-without-iommu");
        self.interrupts(tree, &node, &trail);
        self.clocks(tree, &node).map_err(|title| {
            complain(format!("{path} {title}"), "needs more than itself")
                .help("device-tree = \"FILE.dtb\" with a partial tree that has what it needs")
        })?;
        node.children().for_each(|child| copy(tree, &child));
        tree.end();
        Ok(())
    }

    /// Where the guest sees registers.
    fn guest(&mut self, range: &Range) -> u64 {
        let frames = range.outward(FRAME_BYTES);
        if self.direct || !TAKEN.iter().any(|taken| taken.overlaps(&frames)) && frames.base < ELSEWHERE {
            return range.base;
        }
        let at = *self.moved.entry(frames.base).or_insert_with(|| {
            let at = self.next;
            self.next = align_up(at + frames.size, FRAME_BYTES).unwrap_or(at);
            at
        });
        at + (range.base - frames.base)
    }

    /// Its interrupts at the host's controller, in the three cells of the guest's.
    fn interrupts(&self, tree: &mut Writer, node: &Node<'_>, trail: &Trail<'_>) {
        let width = self
            .controller
            .and_then(|phandle| self.board.find_phandle(phandle)?.property("#interrupt-cells")?.u32());
        let width = usize::try_from(width.unwrap_or(3)).unwrap_or(3);
        let extended = node.property("interrupts-extended");
        let cells: Vec<u32> = match (extended, node.property("interrupts")) {
            (Some(list), _) => {
                let cells: Vec<u32> = list.cells().collect();
                let mine = cells.chunks(width + 1).filter(|entry| entry.first().copied() == self.controller);
                mine.flat_map(|entry| entry.iter().skip(1).take(3).copied().collect::<Vec<u32>>()).collect()
            }
            (None, Some(list)) if trail.interrupt_parent() == self.controller => {
                let cells: Vec<u32> = list.cells().collect();
                cells
                    .chunks(width)
                    .flat_map(|entry| entry.iter().take(3).copied().collect::<Vec<u32>>())
                    .collect()
            }
            _ => Vec::new(),
        };
        if !cells.is_empty() {
            tree.property_cells("interrupts", &cells);
            tree.property_u32("interrupt-parent", CONTROLLER);
        }
    }

    /// Its clocks, if they are fixed.
    fn clocks(&mut self, tree: &mut Writer, node: &Node<'_>) -> Result<(), String> {
        let Some(clocks) = node.property("clocks") else { return Ok(()) };
        let mut ours = Vec::new();
        for phandle in clocks.cells() {
            let clock = self.board.find_phandle(phandle).filter(|clock| clock.is_compatible("fixed-clock"));
            if clock.is_none() {
                return Err("has a clock that is not fixed".to_owned());
            }
            let index = self.clocks.iter().position(|known| *known == phandle).unwrap_or_else(|| {
                self.clocks.push(phandle);
                self.clocks.len() - 1
            });
            ours.push(CONTROLLER + 1 + u32::try_from(index).unwrap_or(0));
        }
        tree.property_cells("clocks", &ours);
        Ok(())
    }
}

fn two_cells(tree: &mut Writer) {
    let Cells { address, size } = Cells { address: 2, size: 2 };
    tree.property_u32("#address-cells", address);
    tree.property_u32("#size-cells", size);
}

fn copy(tree: &mut Writer, node: &Node<'_>) {
    tree.begin(node.name());
    let its_own = |property: &Property<'_>| !["phandle", "linux,phandle"].contains(&property.name());
    node.properties().filter(its_own).for_each(|property| tree.property(property.name(), property.value));
    node.children().for_each(|child| copy(tree, &child));
    tree.end();
}
