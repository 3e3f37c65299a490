//! Writes the system's device tree: the board's, with the domains in `/chosen`.
//!
//! The board's nodes are copied as they are and in their order. Of its `/chosen` stays what is the board's (the console);
//! command lines, an old ramdisk and seeds of random numbers, which are none if everybody has them, do not.

use std::path::Path;

use plan::Range;
use plan::fdt::{Fdt, Node, Writer};

use super::description::{Description, Domain, Enhanced, Spanned};
use super::devices;
use super::files::Files;
use super::place::Places;

/// Properties of `/chosen` that are not the board's, or that we write.
const NOT_THE_BOARDS: [&str; 10] = [
    "bootargs",
    "linux,initrd-start",
    "linux,initrd-end",
    "rng-seed",
    "kaslr-seed",
    "xen,xen-bootargs",
    "xen,dom0-bootargs",
    "xen,static-heap",
    "#address-cells",
    "#size-cells",
];

/// The name by which channels and shared memory call dom0.
pub(crate) const DOM0: &str = "dom0";

/// What the tree is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) board: Fdt<'a>,
    /// Nodes of the board that are kept from dom0.
    pub(crate) kept: &'a [String],
    pub(crate) description: &'a Description,
    pub(crate) files: &'a Files,
    pub(crate) places: &'a Places,
}

/// Writes the tree.
pub(crate) fn write(parts: &Parts<'_>) -> Vec<u8> {
    let mut writer = Writer::new();
    parts.board.reservations().for_each(|(base, size)| writer.reserve(base, size));
    let mut scribe = Scribe { parts, writer, first_phandle: first_free_phandle(&parts.board) };
    scribe.root();
    scribe.writer.finish()
}

/// The processors of a board, in the order of its tree.
pub(crate) fn processors<'a>(board: &Fdt<'a>) -> Vec<Node<'a>> {
    let children = board.find("/cpus").into_iter().flat_map(|cpus| cpus.children());
    children.filter(|node| node.name().starts_with("cpu@") && node.is_enabled()).collect()
}

fn first_free_phandle(board: &Fdt<'_>) -> u32 {
    board.walk().filter_map(|(_, node)| node.phandle()).max().unwrap_or(0).saturating_add(1)
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

struct Scribe<'p, 'a> {
    parts: &'p Parts<'a>,
    writer: Writer,
    first_phandle: u32,
}

impl Scribe<'_, '_> {
    fn root(&mut self) {
        let root = self.parts.board.root();
        self.writer.begin("");
        self.properties(&root, &[]);
        for child in root.children() {
            match child.name() {
                "chosen" => self.chosen(Some(&child)),
                "cpus" => self.cpus(&child),
                name => self.copy(&child, &format!("/{name}")),
            }
        }
        if root.child("chosen").is_none() {
            self.chosen(None);
        }
        self.writer.end();
    }

    fn properties(&mut self, node: &Node<'_>, but: &[&str]) {
        for property in node.properties().filter(|property| !but.contains(&property.name())) {
            self.writer.property(property.name(), property.value);
        }
    }

    fn copy(&mut self, node: &Node<'_>, path: &str) {
        self.writer.begin(node.name());
        self.properties(node, &["xen,passthrough"]);
        if node.property("xen,passthrough").is_some() || self.parts.kept.iter().any(|kept| kept == path) {
            self.writer.property_empty("xen,passthrough");
        }
        node.children().for_each(|child| self.copy(&child, &format!("{path}/{}", child.name())));
        self.writer.end();
    }

    /// The processors; those that a pool names get a phandle if they have none.
    fn cpus(&mut self, node: &Node<'_>) {
        self.writer.begin(node.name());
        self.properties(node, &[]);
        let processors = processors(&self.parts.board);
        for child in node.children() {
            let place = processors.iter().position(|other| *other == child);
            let wanted = place.filter(|place| child.phandle().is_none() && self.is_in_a_pool(*place));
            self.writer.begin(child.name());
            self.properties(&child, &[]);
            if let Some(place) = wanted {
                self.writer.property_u32("phandle", self.processor_phandle(place));
            }
            child.children().for_each(|child| self.copy(&child, ""));
            self.writer.end();
        }
        self.writer.end();
    }

    fn is_in_a_pool(&self, place: usize) -> bool {
        let processors = processors(&self.parts.board);
        let mut cpus = self.parts.description.pools.iter().flat_map(|pool| pool.cpus.get_ref());
        cpus.any(|cpu| cpu.place(&processors) == Some(place))
    }

    // New phandles: two for each channel, one for each pool, then one for each processor.

    fn end_phandle(&self, channel: usize, end: usize) -> u32 {
        self.first_phandle + number(2 * channel + end)
    }

    fn pool_phandle(&self, pool: usize) -> u32 {
        self.end_phandle(self.parts.description.channels.len(), pool)
    }

    fn processor_phandle(&self, place: usize) -> u32 {
        self.pool_phandle(self.parts.description.pools.len() + place)
    }

    fn chosen(&mut self, board: Option<&Node<'_>>) {
        let Parts { description, places, .. } = *self.parts;
        self.writer.begin("chosen");
        if let Some(node) = board {
            self.properties(node, &NOT_THE_BOARDS);
        }
        self.writer.property_u32("#address-cells", 2);
        self.writer.property_u32("#size-cells", 2);
        self.writer.property_text("xen,xen-bootargs", &command_line(description));
        if !places.heap.is_empty() {
            self.ranges("xen,static-heap", &places.heap);
        }
        if let Some(dom0) = description.dom0.as_ref().map(Spanned::get_ref) {
            self.shares_of_time(dom0.weight.as_ref(), dom0.cap.as_ref());
        }
        board.into_iter().flat_map(|node| node.children()).for_each(|child| self.copy(&child, ""));
        self.pools();
        if let Some(dom0) = description.dom0.as_ref().map(Spanned::get_ref) {
            let line = dom0.command_line.as_ref().map_or("", |line| line.get_ref().as_str());
            self.module("multiboot,kernel", dom0.kernel.get_ref(), Some(line));
            dom0.ramdisk.iter().for_each(|ramdisk| self.module("multiboot,ramdisk", ramdisk.get_ref(), None));
            self.shares(DOM0, true);
        }
        description.domains.iter().enumerate().for_each(|(index, domain)| self.domain(index, domain));
        self.writer.end();
    }

    fn shares_of_time(&mut self, weight: Option<&Spanned<u32>>, cap: Option<&Spanned<u32>>) {
        for (name, number) in [("xenite,sched-weight", weight), ("xenite,sched-cap", cap)] {
            if let Some(number) = number {
                self.writer.property_u32(name, *number.get_ref());
            }
        }
    }

    fn ranges(&mut self, name: &str, ranges: &[Range]) {
        let numbers: Vec<u64> = ranges.iter().flat_map(|range| [range.base, range.size]).collect();
        self.writer.property_u64s(name, &numbers);
    }

    fn pools(&mut self) {
        let processors = processors(&self.parts.board);
        for (index, pool) in self.parts.description.pools.iter().enumerate() {
            let places = pool.cpus.get_ref().iter().filter_map(|cpu| cpu.place(&processors));
            let phandle = |place: usize| {
                processors.get(place).and_then(Node::phandle).unwrap_or(self.processor_phandle(place))
            };
            let cpus: Vec<u32> = places.map(phandle).collect();
            self.writer.begin(&format!("cpupool-{}", pool.name.get_ref()));
            self.writer.property_text("compatible", "xen,cpupool");
            self.writer.property_cells("cpupool-cpus", &cpus);
            if let Some(scheduler) = &pool.scheduler {
                self.writer.property_text("cpupool-sched", scheduler.get_ref());
            }
            self.writer.property_u32("phandle", self.pool_phandle(index));
            self.writer.end();
        }
    }

    fn domain(&mut self, index: usize, domain: &Domain) {
        let fixed = self.parts.places.domains.get(index).cloned().unwrap_or_default();
        self.writer.begin(domain.name.get_ref());
        self.writer.property_text("compatible", "xen,domain");
        self.writer.property_u32("#address-cells", 2);
        self.writer.property_u32("#size-cells", 2);
        self.writer.property_u64("memory", domain.memory.get_ref().0 >> 10);
        self.writer.property_u32("cpus", *domain.cpus.get_ref());
        if !fixed.is_empty() {
            self.ranges("xen,static-mem", &fixed);
        }
        for (name, there) in [("direct-map", domain.is_direct()), ("vpl011", domain.has_uart())] {
            if there {
                self.writer.property_empty(name);
            }
        }
        match domain.interfaces() {
            Enhanced::No => {}
            Enhanced::Yes => self.writer.property_text("xen,enhanced", "enabled"),
            Enhanced::NoXenstore => self.writer.property_text("xen,enhanced", "no-xenstore"),
        }
        if let Some(interrupts) = &domain.interrupts {
            self.writer.property_u32("nr_spis", *interrupts.get_ref());
        }
        if let Some(tables) = &domain.page_tables {
            let mib = u32::try_from(tables.get_ref().0 >> 20).unwrap_or(u32::MAX);
            self.writer.property_u32("xen,domain-p2m-mem-mb", mib);
        }
        if let Some(pool) = &domain.pool {
            let pools = &self.parts.description.pools;
            let place = pools.iter().position(|other| other.name.get_ref() == pool.get_ref()).unwrap_or(0);
            self.writer.property_u32("domain-cpupool", self.pool_phandle(place));
        }
        self.shares_of_time(domain.weight.as_ref(), domain.cap.as_ref());
        let line = domain.command_line.as_ref().map(|line| line.get_ref().as_str());
        self.module("multiboot,kernel", domain.kernel.get_ref(), line);
        domain.ramdisk.iter().for_each(|ramdisk| self.module("multiboot,ramdisk", ramdisk.get_ref(), None));
        devices::file(domain).iter().for_each(|file| self.module("multiboot,device-tree", file, None));
        self.shares(domain.name.get_ref(), domain.is_direct());
        self.writer.end();
    }

    fn module(&mut self, kind: &str, path: &Path, bootargs: Option<&str>) {
        let at = self.parts.places.of(path);
        let file = self.parts.files.modules.iter().find(|module| module.source == path);
        self.writer.begin(&format!("module@{at:x}"));
        self.writer.property_texts("compatible", &[kind, "multiboot,module"]);
        self.writer.property_u64s("reg", &[at, file.map_or(0, super::files::Module::bytes)]);
        if let Some(bootargs) = bootargs {
            self.writer.property_text("bootargs", bootargs);
        }
        self.writer.end();
    }

    /// What a domain has together with others: ends of channels, and shared memory.
    fn shares(&mut self, name: &str, direct: bool) {
        let Parts { description, places, .. } = *self.parts;
        for (index, channel) in description.channels.iter().enumerate() {
            let ports = places.ports.get(index).copied().unwrap_or_default();
            for (end, port) in ports.into_iter().enumerate() {
                if channel.ends.get_ref().get(end).is_some_and(|domain| domain.get_ref() == name) {
                    self.writer.begin(&format!("evtchn-{}-{end}", channel.name.get_ref()));
                    self.writer.property_text("compatible", "xen,evtchn-v1");
                    self.writer.property_u32("phandle", self.end_phandle(index, end));
                    self.writer.property_cells("xen,evtchn", &[port, self.end_phandle(index, 1 - end)]);
                    self.writer.end();
                }
            }
        }
        for (index, shared) in description.shared.iter().enumerate() {
            let owner = shared.owner.as_ref().is_some_and(|owner| owner.get_ref() == name);
            if !owner && !shared.borrowers.get_ref().iter().any(|borrower| borrower.get_ref() == name) {
                continue;
            }
            let (host, guest) = places.shared.get(index).copied().unwrap_or((Range { base: 0, size: 1 }, 0));
            let guest = if direct && shared.guest_at.is_none() { host.base } else { guest };
            self.writer.begin(&format!("shm-{}", shared.name.get_ref()));
            self.writer.property_text("compatible", "xen,domain-shared-memory-v1");
            self.writer.property_text("xen,shm-id", shared.name.get_ref());
            if shared.owner.is_some() {
                self.writer.property_text("role", if owner { "owner" } else { "borrower" });
            }
            self.writer.property_u64s("xen,shared-mem", &[host.base, guest, host.size]);
            self.writer.end();
        }
    }
}

/// The hypervisor's command line, with what it says about dom0.
fn command_line(description: &Description) -> String {
    let own = description.hypervisor.command_line.as_ref();
    let mut line = own.map_or_else(String::new, |line| line.get_ref().clone());
    let dom0 = description.dom0.as_ref().map(Spanned::get_ref);
    let words = [
        dom0.and_then(|dom0| dom0.memory.as_ref())
            .map(|memory| format!("dom0_mem={}K", memory.get_ref().0 >> 10)),
        dom0.and_then(|dom0| dom0.cpus.as_ref()).map(|cpus| format!("dom0_max_vcpus={}", cpus.get_ref())),
    ];
    for word in words.into_iter().flatten() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    line
}
