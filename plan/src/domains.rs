//! `/chosen` and its domains: what the owner wants.
//!
//! A property of a later version is refused rather than ignored, because half a system is worse than none; a
//! property that nobody knows is named in a warning, as Xen would ignore it.

pub(crate) mod dom0;
pub(crate) mod properties;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::fdt::{Cells, Fdt, Node};
use crate::modules::{self, Kind, Module};
use crate::report::{Report, quoted};
use crate::shape::{Range, Share};
use dom0::Dom0;

/// Most domains. Domain ids have 16 bits; the bound keeps the plan small.
pub const MOST_DOMAINS: usize = 1023;
/// Most vCPUs of a domain: what the virtual interrupt controllers can number.
pub const MOST_VCPUS: u32 = 128;
/// The same, for dom0.
const MOST_DOM0_VCPUS: u16 = 128;
/// Most shared peripheral interrupts of a domain.
pub const MOST_SPIS: u32 = 960;

pub(crate) const CHOSEN: &str = "/chosen";

/// A domain as its node asks for it, each value checked by itself.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) path: String,
    /// It controls the host and drives its devices.
    pub(crate) is_dom0: bool,
    /// Bytes of RAM, whole frames.
    pub(crate) memory: u64,
    pub(crate) vcpus: u16,
    pub(crate) vpl011: bool,
    /// `nr_spis`, if it is there.
    pub(crate) spis: Option<u32>,
    pub(crate) direct_map: bool,
    /// `xen,enhanced`; `None` if it is not there or says no.
    pub(crate) enhanced: Option<Enhanced>,
    /// `xen,static-mem`, in its order; empty if it is not there.
    pub(crate) static_memory: Vec<Range>,
    /// `xen,domain-p2m-mem-mb`, if it is there.
    pub(crate) pool_mib: Option<u32>,
    /// Phandle of its pool's node, if it names one.
    pub(crate) pool: Option<u32>,
    /// Its share of the pool's time.
    pub(crate) share: Share,
    pub(crate) kernel: Module<'a>,
    pub(crate) ramdisk: Option<Module<'a>>,
    /// The partial device tree with what it is given of the host.
    pub(crate) devices: Option<Module<'a>>,
}

/// Which PV interfaces a domain asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enhanced {
    /// Xenstore, which dom0 serves.
    pub(crate) xenstore: bool,
}

/// What `/chosen` asks for.
#[derive(Debug, Default)]
pub(crate) struct Chosen<'a> {
    /// dom0, if there is one and it could be read.
    pub(crate) dom0: Option<Dom0<'a>>,
    /// The domains that could be read.
    pub(crate) domains: Vec<Wanted<'a>>,
    /// What is left of the memory for the plan.
    pub(crate) boot_heap: u64,
    /// It has been said that there is none.
    is_full: bool,
}

/// Bytes that a domain takes in the plan beside its tree: its node's and modules' paths, claims, demands.
const DOMAIN_BYTES: u64 = 4096;
/// Bytes that a range of static memory takes: in lists of ranges, claims and pieces, some of which grow by doubling.
const STATIC_RANGE_BYTES: u64 = 512;

/// Reads `/chosen`; faults are reported, and domains with faults left out.
/// `boot_heap` bytes are there for the plan.
pub(crate) fn read<'a>(fdt: &Fdt<'a>, boot_heap: u64, report: &mut Report) -> Chosen<'a> {
    let mut chosen = Chosen { dom0: None, domains: Vec::new(), boot_heap, is_full: false };
    let Some(node) = fdt.chosen() else {
        report.refuse(CHOSEN, "", "the node is missing", "it holds the domains");
        return chosen;
    };
    let root_cells = fdt.root().cells(Cells::DEFAULT);
    let cells = node.cells(root_cells);
    let has_dom0 = dom0::kernel(fdt).is_some();
    let mut modules = Modules::default();
    let mut count: usize = 0;
    for child in node.children() {
        if child.is_compatible("xen,domain") {
            count = count.saturating_add(1);
            if count <= MOST_DOMAINS
                && chosen.spend(DOMAIN_BYTES, report)
                && chosen.spend_on_static_memory(&child, cells, report)
            {
                chosen.add(domain(&child, cells, has_dom0, report), report);
            }
            continue;
        }
        let path = format!("{CHOSEN}/{}", child.name());
        if !modules.take(&child, &path, cells, report) {
            refuse_similar_nodes(&child, &path, report);
        }
    }
    if chosen.spend(DOMAIN_BYTES, report) {
        if let Some(name) = modules.devices.filled_by {
            let text = "dom0 has the host's devices without a partial device tree: the module is ignored";
            report.warn(&format!("{CHOSEN}/{name}"), text);
        }
        chosen.dom0 = dom0::read(&node, (modules.kernel, modules.ramdisk), report);
    }
    if count > MOST_DOMAINS {
        report.refuse(CHOSEN, "", format!("has {count} domains"), "at most 1023 are supported");
    }
    if count == 0 && !has_dom0 {
        let hint = "a child of /chosen with compatible = \"xen,domain\", or a kernel for dom0";
        report.refuse(CHOSEN, "", "has no domains", hint);
    }
    chosen
}

impl<'a> Chosen<'a> {
    /// Takes `bytes` from what is there for the plan; if that is too little, gives false, and says so once.
    pub(crate) fn spend(&mut self, bytes: u64, report: &mut Report) -> bool {
        let left = self.boot_heap.checked_sub(bytes);
        if left.is_none() && !core::mem::replace(&mut self.is_full, true) {
            let hint = "fewer domains or vCPUs, or shorter bootargs";
            report.refuse(CHOSEN, "", "the plan needs more memory than boot has for it", hint);
        }
        self.boot_heap = left.unwrap_or(0);
        left.is_some()
    }

    /// The same for a list of ranges, each of which takes so many bytes. One that is too long takes nothing, since it is not
    /// read.
    pub(crate) fn spend_on_ranges(
        &mut self,
        (node, property): (&str, &str),
        (ranges, bytes): (u64, u64),
        report: &mut Report,
    ) -> bool {
        let left = self.boot_heap.checked_sub(ranges.saturating_mul(bytes));
        if left.is_none() && !self.is_full {
            let room = self.boot_heap.checked_div(bytes).unwrap_or(0);
            let reason = format!("has {ranges} ranges, and boot has memory for a plan with {room} of them");
            report.refuse(node, property, reason, "fewer and larger ranges");
        }
        self.boot_heap = left.unwrap_or(self.boot_heap);
        left.is_some()
    }

    /// The same for a domain's static memory.
    fn spend_on_static_memory(&mut self, node: &Node<'_>, cells: Cells, report: &mut Report) -> bool {
        const NAME: &str = properties::STATIC_MEMORY;
        let ranges =
            node.property(NAME).and_then(|property| property.reg(cells)).map_or(0, |list| list.left());
        let path = format!("{CHOSEN}/{}", node.name());
        self.spend_on_ranges((&path, NAME), (ranges, STATIC_RANGE_BYTES), report)
    }

    /// Adds a domain, if it could be read.
    fn add(&mut self, domain: Option<Wanted<'a>>, report: &mut Report) {
        let Some(domain) = domain else { return };
        if self.domains.iter().any(|other| other.path == domain.path) {
            let hint = "each domain has a name of its own";
            report.refuse(&domain.path, "", "is the name of two domains", hint);
            return;
        }
        self.domains.push(domain);
    }
}

const LATER: &str = "is not supported yet by this version";

/// A name that is nearly a known one.
fn refuse_similar_nodes(child: &Node<'_>, path: &str, report: &mut Report) {
    if child.is_compatible("xen,evtchn") {
        let hint = "compatible = \"xen,evtchn-v1\"; xen,evtchn is its property";
        report.refuse(path, "compatible", "xen,evtchn is no node that is known", hint);
    }
}

fn domain<'a>(
    node: &Node<'a>,
    chosen_cells: Cells,
    has_dom0: bool,
    report: &mut Report,
) -> Option<Wanted<'a>> {
    let path = format!("{CHOSEN}/{}", node.name());
    let own_cells = node.cells(chosen_cells);
    properties::check_names(node, &path, report);
    let memory = properties::memory(node, &path, report);
    let vcpus = properties::vcpus(node, &path, report);
    let spis = properties::spis(node, &path, report);
    let enhanced = properties::enhanced(node, &path, has_dom0, report);
    let pool = properties::pool(node, &path, report);
    let share = properties::share(node, &path, report);
    if let (Some(share), Some(vcpus)) = (share, vcpus) {
        properties::compare_cap(share, vcpus, &path, report);
    }
    let static_memory = properties::static_memory(node, &path, chosen_cells, report);
    let pool_mib = properties::pool_mib(node, &path, report);
    let direct_map = node.property("direct-map").is_some();
    if direct_map && node.property("xen,static-mem").is_none() {
        let hint = "xen,static-mem says which host memory is mapped one to one";
        report.refuse(&path, "direct-map", "needs xen,static-mem", hint);
    }
    if let (Some(memory), Some(ranges)) = (memory, &static_memory)
        && !ranges.is_empty()
    {
        properties::compare_sum(memory, ranges, &path, report);
        if own_cells != chosen_cells {
            let text =
                "xen,static-mem is read with the cells of /chosen, which are not those in the domain's node";
            report.warn_of(&path, "xen,static-mem", text);
        }
    }
    let modules = domain_modules(node, &path, own_cells, report);
    Some(Wanted {
        memory: memory?,
        vcpus: vcpus?,
        vpl011: node.property("vpl011").is_some(),
        spis: spis?,
        direct_map,
        is_dom0: false,
        enhanced: enhanced?,
        static_memory: static_memory?,
        pool_mib: pool_mib?,
        pool: pool?,
        share: share?,
        kernel: modules.kernel.module?,
        ramdisk: modules.ramdisk.module,
        devices: modules.devices.module,
        path,
    })
}

/// The modules among the children of a domain's node.
fn domain_modules<'a>(node: &Node<'a>, path: &str, cells: Cells, report: &mut Report) -> Modules<'a> {
    let mut modules = Modules::default();
    for child in node.children() {
        let child_path = format!("{path}/{}", child.name());
        if modules.take(&child, &child_path, cells, report) {
            continue;
        }
        refuse_similar_nodes(&child, &child_path, report);
        if child
            .property("compatible")
            .is_none_or(|names| !names.strings().any(|name| name.starts_with("xen,")))
        {
            report.warn(&child_path, &format!("unknown node {} is ignored", quoted(child.name())));
        }
    }
    if !modules.kernel.is_filled() {
        let hint = "a child with compatible = \"multiboot,kernel\", \"multiboot,module\"";
        report.refuse(path, "", "has no kernel", hint);
    }
    modules
}

/// The modules among the children of a node.
#[derive(Default)]
struct Modules<'a> {
    kernel: Slot<'a>,
    ramdisk: Slot<'a>,
    devices: Slot<'a>,
    /// How many modules have come that do not say what they are.
    guessed: u8,
}

impl<'a> Modules<'a> {
    /// Takes `child`, if it is a module.
    fn take(&mut self, child: &Node<'a>, path: &str, cells: Cells, report: &mut Report) -> bool {
        let Some(kind) = Kind::of(child) else { return false };
        let guess = self.guessed;
        self.guessed = guess.saturating_add(u8::from(kind == Kind::Unknown));
        match (kind, guess) {
            (Kind::Kernel, _) | (Kind::Unknown, 0) => self.kernel.fill(child, path, cells, report),
            (Kind::Ramdisk, _) | (Kind::Unknown, 1) => self.ramdisk.fill(child, path, cells, report),
            (Kind::Devices, _) => self.devices.fill(child, path, cells, report),
            (Kind::Later(name), _) => {
                report.refuse(path, "compatible", format!("{name} {LATER}"), "remove the node");
            }
            (Kind::Unknown, _) => {
                let reason = "a third module that does not say what it is";
                report.refuse(path, "compatible", reason, "multiboot,kernel or multiboot,ramdisk");
            }
        }
        true
    }
}

/// The place of the one module of a kind.
#[derive(Default)]
struct Slot<'a> {
    module: Option<Module<'a>>,
    /// The name of the node that came, good or bad.
    filled_by: Option<&'a str>,
}

impl<'a> Slot<'a> {
    const fn is_filled(&self) -> bool {
        self.filled_by.is_some()
    }

    fn fill(&mut self, child: &Node<'a>, path: &str, cells: Cells, report: &mut Report) {
        if let Some(name) = self.filled_by {
            let parent = path.strip_suffix(child.name()).unwrap_or("");
            let other = format!("{parent}{name}");
            let reason = "the domain has another module of this kind already";
            let hint =
                "one of each kind; a node with multiboot,module alone is first a kernel, then a ramdisk";
            report.clash([(path, "compatible"), (&other, "compatible")], reason, hint);
            return;
        }
        self.filled_by = Some(child.name());
        self.module = modules::read(child, String::from(path), cells, report);
    }
}
