//! The ledger: all that `xenite plan` tells, once. Text, JSON and picture are three ways to show it, so they agree.
//!
//! It adds nothing to the plan but names: every byte of the host's RAM has one owner here, every device of the host one
//! (`plan_devices`), every place in a guest one meaning. Its fields are the JSON's, and its comments the schema's.

use plan::{Bytes, Domain, GicRegions, Plan, Range};
use schemars::JsonSchema;
use serde::Serialize;

use crate::desk::Desk;
use crate::plan_devices::{self, Device, Owner};
use crate::plan_memory::{self, Stretch};

/// What boot will do with a system, as `xenite plan --json` tells it. Addresses and sizes are in bytes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ledger {
    /// Version of this form. It changes where a field goes or means something else, not where one is added.
    pub(crate) format: u32,
    /// Name of the file that was read.
    pub(crate) system: String,
    /// What the tree does not say, and what was assumed of it.
    pub(crate) assumed: Assumed,
    /// What the hypervisor says on its console at boot, line by line.
    pub(crate) console: Vec<String>,
    /// One number over the whole plan, in hexadecimal; the last line of `console` has it, too.
    pub(crate) fingerprint: String,
    /// Host processors, the one that boots first.
    pub(crate) processors: Vec<Processor>,
    /// CPU pools.
    pub(crate) pools: Vec<Pool>,
    /// RAM banks of the host.
    pub(crate) banks: Vec<Place>,
    /// Every byte of the host's RAM with its owner, in order of addresses.
    pub(crate) memory: Vec<Stretch>,
    /// Devices of the host with their owners, in the order of the tree.
    pub(crate) devices: Vec<Device>,
    /// The domains, dom0 first.
    pub(crate) domains: Vec<Guest>,
    /// Static event channels.
    pub(crate) channels: Vec<Channel>,
    /// How the hypervisor's heap is spent.
    pub(crate) heap: Heap,
    /// What is legal but surely not meant.
    pub(crate) warnings: Vec<String>,
}

/// What was assumed of the board.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Assumed {
    /// Where the hypervisor's image lies, with all the memory that it zeroes for itself.
    pub(crate) image: Place,
    /// Where the device tree lies; null where nothing was said about it.
    pub(crate) tree: Option<Place>,
    /// Affinity fields of the processor that boots.
    pub(crate) boot_mpidr: u64,
    /// Bits of a physical address.
    pub(crate) physical_bits: u8,
    /// Shared interrupts of the host's interrupt controller.
    pub(crate) spis: u32,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(crate) struct Place {
    /// First byte.
    pub(crate) base: u64,
    /// Length, at least 1.
    pub(crate) size: u64,
}

impl From<Range> for Place {
    fn from(range: Range) -> Self {
        Self { base: range.base, size: range.size }
    }
}

impl Place {
    pub(crate) const fn end(self) -> u64 {
        self.base.saturating_add(self.size)
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.base < other.end() && other.base < self.end()
    }
}

/// A host processor.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Processor {
    /// Its number.
    pub(crate) number: usize,
    /// Affinity fields of its MPIDR_EL1.
    pub(crate) mpidr: u64,
}

/// Processors that share a scheduler, and the domains that run on them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Pool {
    /// Its name.
    pub(crate) name: String,
    /// Its scheduler, by Xen's name.
    pub(crate) scheduler: String,
    /// Numbers of its processors.
    pub(crate) processors: Vec<usize>,
    /// Ids of its domains.
    pub(crate) domains: Vec<u16>,
}

/// A domain.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Guest {
    /// Its id.
    pub(crate) id: u16,
    /// Path of its node.
    pub(crate) path: String,
    /// Virtual processors.
    pub(crate) vcpus: u16,
    /// Its weight among the domains of its pool.
    pub(crate) weight: u16,
    /// The most that it gets, in percent of one processor; 0 for no limit.
    pub(crate) cap: u16,
    /// Bytes of RAM.
    pub(crate) memory: u64,
    /// Shared interrupts of its interrupt controller.
    pub(crate) spis: u16,
    /// Its RAM is at the host's addresses.
    pub(crate) direct_map: bool,
    /// Whether it has PV interfaces, and xenstore with them.
    pub(crate) pv: Interface,
    /// Stage 2 table frames that its map may need.
    pub(crate) table_frames: u32,
    /// Guest address of its kernel's first instruction.
    pub(crate) entry: u64,
    /// What it sees, in order of guest addresses; what lies in RAM comes behind that RAM.
    pub(crate) map: Vec<GuestPlace>,
    /// Its interrupts, by INTID.
    pub(crate) interrupts: Vec<GuestInterrupt>,
}

impl Guest {
    /// Its interrupts in words; devices that differ only in their place are one kind, and their interrupts a span.
    pub(crate) fn interrupt_words(&self) -> String {
        let kind =
            |interrupt: &GuestInterrupt| interrupt.source.split('@').next().unwrap_or_default().to_owned();
        let follows = |one: &GuestInterrupt, next: &GuestInterrupt| {
            one.intid + 1 == next.intid && kind(one) == kind(next)
        };
        let words: Vec<String> = self
            .interrupts
            .chunk_by(follows)
            .filter_map(|span| match (span.first()?, span.last()?) {
                (first, last) if first.intid == last.intid => {
                    Some(format!("{} {}", first.intid, first.source))
                }
                (first, last) => Some(format!("{}-{} {}", first.intid, last.intid, kind(first))),
            })
            .collect();
        words.join(", ")
    }
}

/// PV interfaces of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Interface {
    /// None.
    None,
    /// Event channels and grants.
    NoXenstore,
    /// Xenstore as well.
    Xenstore,
}

/// What a domain finds at a guest address.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GuestPlace {
    /// First guest address.
    pub(crate) base: u64,
    /// Length.
    pub(crate) size: u64,
    /// What it is.
    pub(crate) kind: PlaceKind,
    /// Host address of the first byte: of RAM and registers, where they lie; of images, where their module is; null where nothing is
    /// mapped at the start or the hypervisor plays the device.
    pub(crate) host: Option<u64>,
    /// Paths of the host's devices whose registers these are.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) devices: Vec<String>,
}

impl GuestPlace {
    pub(crate) const fn end(&self) -> u64 {
        self.base.saturating_add(self.size)
    }
}

/// Kinds of places in a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PlaceKind {
    /// RAM.
    Ram,
    /// Memory that domains share.
    SharedMemory,
    /// The kernel, unpacked, in RAM.
    Kernel,
    /// The ramdisk, in RAM.
    Ramdisk,
    /// The guest's device tree, in RAM.
    DeviceTree,
    /// The interrupt controller's distributor.
    Distributor,
    /// The interrupt controller's CPU interface (GICv2).
    CpuInterface,
    /// The interrupt controller's redistributors (GICv3).
    Redistributors,
    /// The virtual UART.
    Uart,
    /// Where the guest may put its grant table.
    GrantWindow,
    /// What the guest may fill with other domains' pages.
    Extended,
    /// A device of the host.
    HostDevice,
}

impl PlaceKind {
    /// It lies in RAM.
    pub(crate) const fn is_in_ram(self) -> bool {
        matches!(self, Self::Kernel | Self::Ramdisk | Self::DeviceTree)
    }

    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Ram => "RAM",
            Self::SharedMemory => "shared memory",
            Self::Kernel => "kernel",
            Self::Ramdisk => "ramdisk",
            Self::DeviceTree => "device tree",
            Self::Distributor => "GIC distributor",
            Self::CpuInterface => "GIC CPU interface",
            Self::Redistributors => "GIC redistributors",
            Self::Uart => "UART",
            Self::GrantWindow => "grant table window",
            Self::Extended => "extended region",
            Self::HostDevice => "registers of the host",
        }
    }
}

/// An interrupt that a domain can get.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GuestInterrupt {
    /// Its INTID, the same for the guest and, of a host's device, for the host.
    pub(crate) intid: u32,
    /// Where it comes from.
    pub(crate) source: String,
}

/// A static event channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Channel {
    /// Its two ends.
    pub(crate) ends: [ChannelEnd; 2],
}

/// An end of a static event channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChannelEnd {
    /// Id of its domain.
    pub(crate) domain: u16,
    /// Its port.
    pub(crate) port: u32,
}

/// The hypervisor's heap.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Heap {
    /// First byte.
    pub(crate) base: u64,
    /// Bytes in all.
    pub(crate) size: u64,
    /// What it is for.
    pub(crate) budget: Vec<BudgetLine>,
    /// Bytes that no line needs; the heap is rounded up.
    pub(crate) spare: u64,
}

/// A line of the budget.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BudgetLine {
    /// What for.
    pub(crate) what: String,
    /// Bytes.
    pub(crate) bytes: u64,
}

impl Ledger {
    /// Enters a plan.
    pub(crate) fn new(plan: &Plan, desk: &Desk, system: &str) -> Self {
        let mut console = vec![format!("(XEN) {}", plan::BANNER)];
        let fingerprint = plan::fingerprint(plan, desk.image);
        plan::account(plan, (desk.image, fingerprint), |line| console.push(format!("(XEN) {line}")));
        let devices = plan_devices::of(plan, &desk.blob);
        Self {
            format: 1,
            system: system.to_owned(),
            assumed: Assumed {
                image: desk.image.into(),
                tree: desk.tree_at().map(Place::from),
                boot_mpidr: desk.facts.boot_mpidr,
                physical_bits: desk.facts.physical_bits,
                spis: desk.facts.spis,
            },
            console,
            fingerprint: format!("{fingerprint:016x}"),
            processors: plan
                .board
                .cpus
                .iter()
                .enumerate()
                .map(|(number, cpu)| Processor { number, mpidr: cpu.mpidr })
                .collect(),
            pools: pools(plan),
            banks: plan.board.memory.iter().map(|bank| Place::from(*bank)).collect(),
            memory: plan_memory::of(plan, desk),
            domains: plan.domains.iter().map(|domain| guest(domain, &plan.board.gic, &devices)).collect(),
            devices,
            channels: channels(plan),
            heap: heap(plan),
            warnings: plan.warnings.iter().map(|warning| warning.to_string()).collect(),
        }
    }
}

fn pools(plan: &Plan) -> Vec<Pool> {
    let of = |id: usize| plan.domains.iter().filter(move |domain| domain.pool == id).map(|domain| domain.id);
    let pool = |(id, pool): (usize, &plan::Pool)| Pool {
        name: format!("Pool-{id}"),
        scheduler: pool.scheduler.name().to_owned(),
        processors: pool.cpus.clone(),
        domains: of(id).collect(),
    };
    plan.pools.iter().enumerate().map(pool).collect()
}

fn guest(domain: &Domain, gic: &GicRegions, devices: &[Device]) -> Guest {
    Guest {
        id: domain.id,
        path: domain.path.clone(),
        vcpus: domain.vcpus,
        weight: domain.share.weight,
        cap: domain.share.cap,
        memory: domain.memory.iter().map(|piece| piece.size).sum(),
        spis: domain.spis,
        direct_map: domain.direct_map,
        pv: match &domain.pv {
            None => Interface::None,
            Some(pv) if pv.xenstore => Interface::Xenstore,
            Some(_) => Interface::NoXenstore,
        },
        table_frames: domain.table_frames,
        entry: domain.kernel.entry,
        map: map(domain, gic, devices),
        interrupts: interrupts(domain, devices),
    }
}

fn map(domain: &Domain, gic: &GicRegions, devices: &[Device]) -> Vec<GuestPlace> {
    let mut map = Vec::new();
    let mut add =
        |kind, base, size, host| map.push(GuestPlace { base, size, kind, host, devices: Vec::new() });
    for piece in &domain.memory {
        add(PlaceKind::Ram, piece.guest, piece.size, Some(piece.host));
    }
    for share in &domain.shared {
        let memory = share.memory;
        add(PlaceKind::SharedMemory, memory.guest, memory.size, Some(memory.host));
    }
    let kernel = domain.kernel.placed;
    add(PlaceKind::Kernel, kernel.guest, kernel.size, Some(kernel.module.base));
    if let Some(ramdisk) = domain.ramdisk {
        add(PlaceKind::Ramdisk, ramdisk.guest, ramdisk.size, Some(ramdisk.module.base));
    }
    let tree = u64::try_from(domain.tree.len()).unwrap_or(u64::MAX);
    add(PlaceKind::DeviceTree, domain.tree_at, tree, None);
    let layout = &domain.layout;
    let (distributor_bytes, interface) = match gic {
        GicRegions::V2 { .. } => (0x1000, PlaceKind::CpuInterface),
        GicRegions::V3 { .. } => (0x1_0000, PlaceKind::Redistributors),
    };
    add(PlaceKind::Distributor, layout.distributor, distributor_bytes, None);
    add(interface, layout.cpu_interface, layout.cpu_interface_size, None);
    if domain.vpl011 {
        add(PlaceKind::Uart, layout.uart, 0x1000, None);
    }
    for one in domain.hardware.iter().flat_map(|hardware| &hardware.mmio) {
        add(PlaceKind::HostDevice, one.guest, one.size, Some(one.host));
    }
    if let Some(pv) = &domain.pv {
        add(PlaceKind::GrantWindow, pv.grant_window.base, pv.grant_window.size, None);
        pv.extended.iter().for_each(|range| add(PlaceKind::Extended, range.base, range.size, None));
    }
    for place in map.iter_mut().filter(|place| place.kind == PlaceKind::HostDevice) {
        let at = Place { base: place.host.unwrap_or(place.base), size: place.size };
        place.devices = devices.iter().filter(|one| one.is_at(at)).map(|one| one.path.clone()).collect();
    }
    // RAM before what lies in it.
    map.sort_by_key(|place| (place.base, place.kind.is_in_ram(), core::cmp::Reverse(place.size)));
    map
}

fn interrupts(domain: &Domain, devices: &[Device]) -> Vec<GuestInterrupt> {
    let mut interrupts = Vec::new();
    let mut add = |intid, source: &str| interrupts.push(GuestInterrupt { intid, source: source.to_owned() });
    let [virtual_timer, physical_timer] = domain.timers;
    add(virtual_timer, "virtual timer");
    add(physical_timer, "physical timer");
    if let Some(pv) = &domain.pv {
        add(pv.event_interrupt, "event channels");
    }
    if domain.vpl011 {
        add(domain.layout.uart_interrupt, "UART");
    }
    for interrupt in domain.hardware.iter().flat_map(|hardware| &hardware.interrupts) {
        let device = devices.iter().find(|device| {
            device.owner == Owner::Domain(domain.id) && device.interrupts.contains(&interrupt.intid)
        });
        add(interrupt.intid, device.map_or("the host", |device| device.path.as_str()));
    }
    interrupts.sort_by_key(|interrupt| interrupt.intid);
    interrupts
}

fn channels(plan: &Plan) -> Vec<Channel> {
    let end = |end: plan::ChannelEnd| ChannelEnd {
        domain: plan.domains.get(end.domain).map_or(0, |domain| domain.id),
        port: end.port,
    };
    plan.channels.iter().map(|channel| Channel { ends: channel.ends.map(end) }).collect()
}

fn heap(plan: &Plan) -> Heap {
    let budget: Vec<BudgetLine> =
        plan.budget.iter().map(|line| BudgetLine { what: line.what.clone(), bytes: line.bytes }).collect();
    let needed = budget.iter().map(|line| line.bytes).sum();
    Heap { base: plan.heap.base, size: plan.heap.size, budget, spare: plan.heap.size.saturating_sub(needed) }
}

/// A number of bytes in the largest unit that says it exactly.
pub(crate) fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

/// A number of bytes in the largest unit of which there is one, to a tenth.
pub(crate) fn about(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = (0..5_u32).rev().find(|unit| bytes >> (10 * unit) > 0).unwrap_or(0);
    let name = UNITS.get(unit as usize).copied().unwrap_or_default();
    let one = 1_u64 << (10 * unit);
    if bytes.is_multiple_of(one) {
        format!("{} {name}", bytes / one)
    } else {
        format!("{:.1} {name}", bytes as f64 / one as f64)
    }
}

/// Numbers as spans: 0-3, 6.
pub(crate) fn spans(numbers: &[usize]) -> String {
    let spans: Vec<String> = numbers
        .chunk_by(|one, next| one + 1 == *next)
        .filter_map(|span| match (span.first()?, span.last()?) {
            (first, last) if first == last => Some(first.to_string()),
            (first, last) => Some(format!("{first}-{last}")),
        })
        .collect();
    spans.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{about, spans};

    #[test]
    fn a_size_is_told_to_a_tenth_of_its_unit() {
        assert_eq!([about(0), about(1023), about(1024)], ["0 bytes", "1023 bytes", "1 KiB"]);
        assert_eq!([about(156_928 << 10), about(2 << 30)], ["153.2 MiB", "2 GiB"]);
    }

    #[test]
    fn numbers_that_follow_one_another_are_a_span() {
        assert_eq!(spans(&[0, 1, 2, 3, 6, 8, 9]), "0-3, 6, 8-9");
        assert_eq!(spans(&[]), "");
    }
}
