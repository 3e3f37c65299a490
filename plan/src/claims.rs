//! Who lies where in host memory before anything is placed: the image, the tree, reserved ranges, modules,
//! static and shared memory. No two may overlap, except that domains may share a module.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::board::Surveyed;
use crate::domains::dom0::Dom0;
use crate::domains::{CHOSEN, Wanted};
use crate::input::Input;
use crate::modules::{Kind, Module};
use crate::placement::HEAP_GRANULE;
use crate::range::{BLOCK_2_MIB, FRAME_BYTES, RangeSet};
use crate::report::Report;
use crate::shape::Range;
use crate::shared_memory::{PLACE, SharedMemory};
use crate::static_heap;

const STATIC: &str = "xen,static-mem";

/// A range that is spoken for.
#[derive(Clone, Copy)]
struct Claim<'w> {
    range: Range,
    owner: Owner<'w>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner<'w> {
    Image,
    Tree,
    Reserved,
    /// A module by its node, with the property that says where it lies.
    Module(Kind, &'w str, &'static str),
    Static(&'w str),
    /// What nobody has claimed.
    Heap,
    /// Its name, and the first node that has it.
    Shared(&'w str, &'w str),
}

impl Claim<'_> {
    fn describe(&self) -> String {
        let range = self.range;
        match self.owner {
            Owner::Image => format!("the hypervisor's image at {range}"),
            Owner::Tree => format!("the device tree at {range}"),
            Owner::Reserved => format!("reserved memory at {range}"),
            Owner::Module(_, path, _) => format!("the module {path} at {range}"),
            Owner::Static(path) => format!("{STATIC} of {path} at {range}"),
            Owner::Heap => format!("{} at {range}", static_heap::PROPERTY),
            Owner::Shared(id, path) => format!("shared memory \"{id}\" of {path} at {range}"),
        }
    }

    /// The place of the claim in the tree, if it has one.
    const fn place(&self) -> (&str, &str) {
        match self.owner {
            Owner::Image | Owner::Tree => ("", ""),
            Owner::Reserved => ("/reserved-memory", "reg"),
            Owner::Module(_, path, property) => (path, property),
            Owner::Static(path) => (path, STATIC),
            Owner::Heap => (CHOSEN, static_heap::PROPERTY),
            Owner::Shared(_, path) => (path, PLACE),
        }
    }
}

/// RAM that is left after all that has its place, and what of the rest is free once the domains exist.
pub(crate) struct Ground {
    /// RAM in which heap and domains are placed.
    pub(crate) open: RangeSet,
    /// RAM that modules and the tree take during construction.
    pub(crate) boot_only: RangeSet,
    /// `xen,static-heap`; empty where all of RAM may be used.
    pub(crate) static_heap: Vec<Range>,
    /// RAM that is neither there nor anybody's.
    pub(crate) idle: RangeSet,
    /// The part of the image that is free in the end.
    pub(crate) planning: Option<Range>,
}

impl Ground {
    /// What the base of the heap is a multiple of: who has chosen the place may not have 2 MiB to lose.
    pub(crate) const fn heap_align(&self) -> u64 {
        if self.static_heap.is_empty() { BLOCK_2_MIB } else { HEAP_GRANULE }
    }

    /// What the size of the heap is a multiple of: who has chosen the place has chosen it in such steps.
    pub(crate) const fn heap_granule(&self) -> u64 {
        if self.static_heap.is_empty() { FRAME_BYTES } else { HEAP_GRANULE }
    }
}

/// Checks all claims against RAM and each other, and gives what is left.
pub(crate) fn check(
    input: &Input<'_>,
    surveyed: &Surveyed,
    (dom0, wanted, shared, heap): (Option<&Dom0<'_>>, &[Wanted<'_>], &SharedMemory<'_>, Vec<Range>),
    report: &mut Report,
) -> Ground {
    let mut claims = Vec::new();
    for range in surveyed.reserved.iter() {
        claims.push(Claim { range: *range, owner: Owner::Reserved });
    }
    image(input, surveyed, &claims, report);
    claims.push(Claim { range: input.image, owner: Owner::Image });
    claims.push(Claim { range: input.tree_at, owner: Owner::Tree });
    let modules = dom0.map(|dom0| (&dom0.kernel, dom0.ramdisk.as_ref(), None)).into_iter();
    let others =
        wanted.iter().map(|domain| (&domain.kernel, domain.ramdisk.as_ref(), domain.devices.as_ref()));
    for (kernel, ramdisk, devices) in modules.chain(others) {
        let kinds =
            [(Some(kernel), Kind::Kernel), (ramdisk, Kind::Ramdisk), (devices, Kind::Devices)].into_iter();
        for (one, kind) in kinds.filter_map(|(one, kind)| Some((one?, kind))) {
            module(one, kind, surveyed, &mut claims, report);
        }
    }
    for domain in wanted {
        for range in &domain.static_memory {
            let owner = Owner::Static(&domain.path);
            fixed_range((*range, owner), (&domain.path, "xen,static-mem"), (surveyed, &mut claims), report);
        }
    }
    for region in &shared.regions {
        let owner = Owner::Shared(region.id, &region.path);
        fixed_range((region.host, owner), (&region.path, PLACE), (surveyed, &mut claims), report);
    }
    for range in &heap {
        let claim = (*range, Owner::Heap);
        fixed_range(claim, (CHOSEN, static_heap::PROPERTY), (surveyed, &mut claims), report);
    }
    ground((input, surveyed), &claims, heap)
}

/// Whether a range lies in RAM. Of a board without RAM all that there is to say has been said.
fn in_ram(surveyed: &Surveyed, range: &Range) -> bool {
    surveyed.ram.is_empty() || surveyed.ram.contains(range)
}

fn image(input: &Input<'_>, surveyed: &Surveyed, reserved: &[Claim<'_>], report: &mut Report) {
    let image = input.image;
    if !in_ram(surveyed, &image.outward(FRAME_BYTES)) {
        let reason = format!("the hypervisor's image at {image} does not lie in RAM");
        report.refuse("/", "memory", reason, "a memory node must cover it");
    }
    if let Some(claim) = reserved.iter().find(|claim| claim.range.overlaps(&image)) {
        let reason = format!("the hypervisor's image at {image} overlaps {}", claim.describe());
        report.refuse("/reserved-memory", "reg", reason, "load the image elsewhere");
    }
}

fn module<'w>(
    module: &'w Module<'_>,
    kind: Kind,
    surveyed: &Surveyed,
    claims: &mut Vec<Claim<'w>>,
    report: &mut Report,
) {
    let range = module.range;
    let is_shared = |claim: &&Claim<'_>| {
        claim.range == range && matches!(claim.owner, Owner::Module(other, ..) if other == kind)
    };
    if claims.iter().find(is_shared).is_some() {
        return;
    }
    if !in_ram(surveyed, &range) {
        report.refuse(
            &module.path,
            module.property,
            format!("{range} does not lie in RAM"),
            "a loader puts modules into RAM",
        );
    }
    if let Some(claim) = claims.iter().find(|claim| claim.range.overlaps(&range)) {
        let reason = format!("{range} overlaps {}", claim.describe());
        let places = [(module.path.as_str(), module.property), claim.place()];
        report.clash(places, reason, "load the module elsewhere, or mend address and size");
    }
    claims.push(Claim { range, owner: Owner::Module(kind, &module.path, module.property) });
}

/// Memory whose place the owner has chosen; `node` and `property` say so.
fn fixed_range<'w>(
    (range, owner): (Range, Owner<'w>),
    (node, property): (&str, &str),
    (surveyed, claims): (&Surveyed, &mut Vec<Claim<'w>>),
    report: &mut Report,
) {
    if !in_ram(surveyed, &range) {
        report.refuse(node, property, format!("{range} does not lie in RAM"), "see the memory nodes");
    }
    if let Some(claim) = claims.iter().find(|claim| claim.range.outward(FRAME_BYTES).overlaps(&range)) {
        let reason = format!("{range} overlaps {}", claim.describe());
        report.clash([(node, property), claim.place()], reason, "static memory must be nobody else's");
    }
    claims.push(Claim { range, owner });
}

fn ground(
    (input, surveyed): (&Input<'_>, &Surveyed),
    claims: &[Claim<'_>],
    static_heap: Vec<Range>,
) -> Ground {
    let mut open = surveyed.ram.clone();
    let mut boot_only = RangeSet::new();
    for claim in claims.iter().filter(|claim| claim.owner != Owner::Heap) {
        let frames = claim.range.outward(FRAME_BYTES);
        open.remove(frames);
        if matches!(claim.owner, Owner::Module(..) | Owner::Tree) {
            boot_only.insert(frames);
        }
    }
    // What lies beside RAM, or is reserved anyway, does not become free.
    for claim in claims.iter().filter(|claim| matches!(claim.owner, Owner::Reserved | Owner::Image)) {
        boot_only.remove(claim.range.outward(FRAME_BYTES));
    }
    let mut outside = boot_only.clone();
    surveyed.ram.iter().for_each(|bank| outside.remove(*bank));
    outside.iter().for_each(|range| boot_only.remove(*range));
    let mut idle = RangeSet::new();
    if !static_heap.is_empty() {
        idle = open.clone();
        static_heap.iter().for_each(|range| idle.remove(*range));
        static_heap::keep_only(&mut open, &static_heap);
    }
    let end = input.image.end();
    let planning = Range::between(end.saturating_sub(input.facts.sizes.planning).max(input.image.base), end);
    let planning = planning.and_then(|range| range.inward(FRAME_BYTES)).filter(|_| static_heap.is_empty());
    Ground { open, boot_only, static_heap, idle, planning }
}
