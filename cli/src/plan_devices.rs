//! The host's devices by name, and who drives each.
//!
//! The plan knows ranges and interrupts, the tree knows names; a device belongs to whoever has its registers or, where it
//! has none, its interrupts.

use plan::fdt::{Fdt, Node, Trail};
use plan::{GicRegions, Plan, Range};
use schemars::JsonSchema;
use serde::Serialize;

use crate::plan_ledger::{Place, spans};

/// A device of the host.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Device {
    /// Path of its node.
    pub(crate) path: String,
    /// What it is: the first word of `compatible`, empty where there is none.
    pub(crate) compatible: String,
    /// Its registers, as the processor sees them.
    pub(crate) registers: Vec<Place>,
    /// Of a PCI bridge, the addresses of what is behind it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) windows: Vec<Place>,
    /// Its interrupts at the host's interrupt controller, by INTID.
    pub(crate) interrupts: Vec<u32>,
    /// Who drives it.
    pub(crate) owner: Owner,
}

/// Who drives a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Owner {
    /// The hypervisor.
    Hypervisor,
    /// The domain with this id.
    Domain(u16),
    /// Nobody.
    Nobody,
}

impl Device {
    /// It has something there.
    pub(crate) fn is_at(&self, place: Place) -> bool {
        self.registers.iter().chain(&self.windows).any(|one| one.overlaps(place))
    }
}

/// Devices of one kind and one owner, in words.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The path of the one, or how many there are of what.
    pub(crate) name: String,
    /// Where they are, and their interrupts.
    pub(crate) detail: String,
    pub(crate) owner: Owner,
}

/// Devices by kinds, in the order of the first of each.
pub(crate) fn kinds(devices: &[Device]) -> Vec<Kind> {
    let mut kinds: Vec<(&Device, Vec<&Device>)> = Vec::new();
    for device in devices {
        let same = |(first, _): &&mut (&Device, _)| {
            first.owner == device.owner && first.compatible == device.compatible
        };
        match kinds.iter_mut().find(same) {
            Some((_, rest)) => rest.push(device),
            None => kinds.push((device, vec![device])),
        }
    }
    kinds.iter().map(|(first, all)| kind(first, all)).collect()
}

fn kind(first: &Device, all: &[&Device]) -> Kind {
    let name = match all.len() {
        1 => first.path.clone(),
        count => format!("{count} \u{d7} {}", first.compatible),
    };
    let registers = all.iter().flat_map(|device| &device.registers);
    let base = registers.clone().map(|place| place.base).min();
    let end = registers.map(|place| place.end()).max();
    let mut detail = base.zip(end).map_or(String::new(), |(base, end)| format!("{base:#x}..{end:#x} "));
    let intids = all.iter().flat_map(|device| &device.interrupts);
    let mut intids: Vec<usize> = intids.filter_map(|intid| usize::try_from(*intid).ok()).collect();
    intids.sort_unstable();
    intids.dedup();
    if !intids.is_empty() {
        detail.push_str(&format!("INTID {}", spans(&intids)));
    }
    Kind { name, detail, owner: first.owner }
}

/// All devices of a tree.
pub(crate) fn of(plan: &Plan, blob: &[u8]) -> Vec<Device> {
    let Ok(fdt) = Fdt::open(blob) else { return Vec::new() };
    let mut trail = Trail::at_root(fdt);
    let mut devices = Vec::new();
    let controller = fdt.root().property("interrupt-parent").and_then(|parent| parent.u32());
    for (depth, node) in fdt.walk() {
        trail.enter(depth, &node);
        let top = trail.nodes().nth(1).map_or("", |top| top.name());
        let is_none = depth == 0 || ["cpus", "chosen", "aliases"].contains(&top);
        let is_memory = node.property("device_type").and_then(|kind| kind.text()) == Some("memory");
        if is_none || is_memory || !node.is_enabled() {
            continue;
        }
        let registers = registers(&node, &trail);
        let mut interrupts =
            if trail.interrupt_parent() == controller { interrupts(&node) } else { Vec::new() };
        interrupts.extend(mapped(&node, &fdt, controller));
        interrupts.sort_unstable();
        interrupts.dedup();
        if registers.is_empty() && interrupts.is_empty() {
            continue;
        }
        let owner = owner(plan, &node, (&registers, &interrupts));
        devices.push(Device {
            path: trail.path(),
            compatible: compatible(&node),
            registers: registers.into_iter().map(Place::from).collect(),
            windows: windows(&node, &trail),
            interrupts,
            owner,
        });
    }
    devices
}

fn compatible(node: &Node<'_>) -> String {
    let first = node.property("compatible").and_then(|property| property.strings().next());
    first.unwrap_or("").to_owned()
}

fn registers(node: &Node<'_>, trail: &Trail<'_>) -> Vec<Range> {
    let entries = node.property("reg").and_then(|property| property.reg(trail.cells()));
    let place = |(base, size)| Range::new(trail.translate(base, size)?, size);
    entries.into_iter().flatten().filter_map(place).collect()
}

/// The windows of a PCI bridge: entries of `ranges` are an address of three cells there, one here, and a size.
fn windows(node: &Node<'_>, trail: &Trail<'_>) -> Vec<Place> {
    if node.property("device_type").and_then(|kind| kind.text()) != Some("pci") {
        return Vec::new();
    }
    let here = usize::try_from(trail.cells().address).unwrap_or(2);
    let words: Vec<u32> = node.property("ranges").map_or(Vec::new(), |ranges| ranges.cells().collect());
    let number = |cells: &[u32]| cells.iter().fold(0_u64, |number, cell| number << 32 | u64::from(*cell));
    let window = |entry: &[u32]| {
        let (base, size) = entry.get(3..)?.split_at_checked(here)?;
        let (base, size) = (number(base), number(size));
        Some(Place { base: trail.translate(base, size)?, size })
    };
    words.chunks_exact(3 + here + 2).filter_map(window).collect()
}

/// INTIDs of `interrupts` in the GIC's three cells (or four, where there are partitions).
fn interrupts(node: &Node<'_>) -> Vec<u32> {
    let cells: Vec<u32> =
        node.property("interrupts").map_or(Vec::new(), |property| property.cells().collect());
    let width = if cells.len().is_multiple_of(3) { 3 } else { 4 };
    cells.chunks(width).filter_map(intid).collect()
}

fn intid(cells: &[u32]) -> Option<u32> {
    match *cells {
        [0, number, ..] => number.checked_add(32),
        [1, number, ..] => number.checked_add(16),
        _ => None,
    }
}

/// INTIDs in a bridge's `interrupt-map` that go to the interrupt controller.
fn mapped(node: &Node<'_>, fdt: &Fdt<'_>, controller: Option<u32>) -> Vec<u32> {
    let Some(map) = node.property("interrupt-map") else { return Vec::new() };
    let cells = |node: &Node<'_>, name: &str| {
        let value = node.property(name).and_then(|property| property.u32()).unwrap_or(0);
        usize::try_from(value).unwrap_or(0)
    };
    let below = cells(node, "#address-cells") + cells(node, "#interrupt-cells");
    let words: Vec<u32> = map.cells().collect();
    let mut rest = words.as_slice();
    let mut found = Vec::new();
    // Each entry: what the device says, whom it goes to, and what that one hears.
    while let Some([parent, above @ ..]) = rest.get(below..) {
        let Some(to) = fdt.find_phandle(*parent) else { return found };
        let (unit, width) = (cells(&to, "#address-cells"), cells(&to, "#interrupt-cells"));
        let Some(heard) = above.get(unit..unit + width) else { return found };
        found.extend(Some(heard).filter(|_| Some(*parent) == controller).and_then(intid));
        rest = above.get(unit + width..).unwrap_or_default();
    }
    found
}

fn owner(plan: &Plan, node: &Node<'_>, (registers, interrupts): (&[Range], &[u32])) -> Owner {
    let mut own: Vec<Range> = plan.board.uart.iter().map(|uart| uart.registers).collect();
    match &plan.board.gic {
        GicRegions::V2 { distributor, cpu_interface, control, virtual_interface, .. } => {
            own.extend([distributor, cpu_interface, control, virtual_interface]);
        }
        GicRegions::V3 { distributor, redistributors, .. } => {
            own.push(*distributor);
            own.extend(redistributors);
        }
    }
    let meets = |ranges: &[Range]| registers.iter().any(|one| ranges.iter().any(|other| one.overlaps(other)));
    if meets(&own) || node.is_compatible("arm,armv8-timer") || node.is_compatible("arm,armv7-timer") {
        return Owner::Hypervisor;
    }
    let drives = |hardware: &plan::Hardware| {
        let its = |intid: &u32| hardware.interrupts.iter().any(|interrupt| interrupt.intid == *intid);
        let places = hardware.mmio.iter().filter_map(|one| Range::new(one.host, one.size));
        meets(&places.collect::<Vec<Range>>()) || registers.is_empty() && interrupts.iter().any(its)
    };
    let domain = plan.domains.iter().find(|domain| domain.hardware.as_ref().is_some_and(drives));
    domain.map_or(Owner::Nobody, |domain| Owner::Domain(domain.id))
}
