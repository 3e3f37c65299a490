//! The reading as a whole: every step in its order, and the plan put together at the end.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::board::{self, Surveyed};
use crate::channels;
use crate::claims::{self, Ground};
use crate::domains::dom0::{self, Dom0};
use crate::domains::{self, CHOSEN, Chosen, Wanted};
use crate::fdt::{Fdt, Writer};
use crate::guest_tree::{self, Guest};
use crate::host_tree::assigned::{self, Assignment};
use crate::host_tree::{Host, resources, writing};
use crate::input::{Facts, Input};
use crate::kernel::{self, Images};
use crate::layout;
use crate::options;
use crate::placement;
use crate::pools::{self, Pools};
use crate::pv::{self, Interface};
use crate::range::{Bytes, FRAME_BYTES};
use crate::report::{Refusal, Report};
use crate::settle::{Failure, settle};
use crate::shape::{Board, Domain, Hardware, Layout, Options, Plan, Range, SharedView, Warning};
use crate::shared_memory::{self, Place, Region, SharedMemory};
use crate::static_heap;
use crate::tables;

/// All that there is to say about a tree.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The plan; `None` if anything is refused. Its warnings are the ones below.
    pub plan: Option<Plan>,
    /// What is wrong, as far as one fault does not hide another; at most [`crate::MOST_REMARKS`].
    pub refusals: Vec<Refusal>,
    /// What is odd, also where something is refused; at most [`crate::MOST_REMARKS`].
    pub warnings: Vec<Warning>,
}

/// Reads a host device tree and says everything about it, for a tool on the desk.
#[must_use]
pub fn examine(input: &Input<'_>) -> Findings {
    let mut report = Report::default();
    let plan = read_into(input, &mut report).filter(|_| report.refusals.is_empty());
    let plan = plan.map(|plan| Plan { warnings: report.warnings.clone(), ..plan });
    Findings { plan, refusals: report.refusals, warnings: report.warnings }
}

/// Reads a host device tree and plans everything.
///
/// # Errors
/// All that is wrong with it, as far as one fault does not hide another; at most [`crate::MOST_REMARKS`].
pub fn read(input: &Input<'_>) -> Result<Plan, Vec<Refusal>> {
    let mut report = Report::default();
    match read_into(input, &mut report) {
        Some(plan) if report.refusals.is_empty() => Ok(Plan { warnings: report.warnings, ..plan }),
        _ => Err(report.refusals),
    }
}

/// A domain whose guest side is decided.
pub(crate) struct Draft<'w, 'a> {
    pub(crate) wanted: &'w Wanted<'a>,
    pub(crate) banks: Vec<Range>,
    pub(crate) shared: Vec<SharedView>,
    pub(crate) layout: Layout,
    pub(crate) spis: u16,
    pub(crate) images: Images,
    pub(crate) interface: Option<Interface>,
    pub(crate) hardware: Option<Hardware>,
    pub(crate) timers: [u32; 2],
    pub(crate) tree: Vec<u8>,
}

impl Draft<'_, '_> {
    /// What the domain's tree speaks of.
    fn guest<'g>(
        &'g self,
        (board, regions): (&'g Board, &'g [Region<'g>]),
        interface: Option<&'g Interface>,
        partial: Option<&'g Fdt<'g>>,
    ) -> Guest<'g> {
        Guest {
            board,
            regions,
            shared: &self.shared,
            bootargs: self.wanted.kernel.bootargs,
            vcpus: self.wanted.vcpus,
            vpl011: self.wanted.vpl011,
            banks: &self.banks,
            layout: &self.layout,
            images: &self.images,
            interface,
            partial,
        }
    }
}

/// The virtual and the physical timer's interrupt of a guest (`GUEST_TIMER_VIRT_PPI`, `GUEST_TIMER_PHYS_NS_PPI`).
const GUEST_TIMERS: [u32; 2] = [27, 30];

/// What lists of devices take while dom0 is planned.
const DEVICE_LISTS_BYTES: u64 = 64 << 10;

/// Bits of a guest address on a processor with `physical_bits` bits of physical address.
pub(crate) fn ipa_bits(facts: &Facts) -> u8 {
    facts.physical_bits.clamp(32, 40)
}

/// Where guest addresses end.
fn reach(facts: &Facts) -> u64 {
    1_u64.checked_shl(u32::from(ipa_bits(facts))).unwrap_or(u64::MAX)
}

fn read_into(input: &Input<'_>, report: &mut Report) -> Option<Plan> {
    let fdt = match Fdt::open(input.tree) {
        Ok(fdt) => fdt,
        Err(error) => {
            report.refuse("", "", format!("{error}"), "a flattened device tree of version 17, at most 2 MiB");
            return None;
        }
    };
    let line = options::command_line(&fdt);
    options::check_properties(&fdt, report);
    let options = options::parse(&line, dom0::kernel(&fdt).is_some(), report);
    let surveyed = board::survey(fdt, &line, &options, input.facts.boot_mpidr, report);
    let mut chosen = domains::read(&fdt, input.facts.sizes.boot_heap, report);
    let channels = channels::read(&fdt, &mut chosen, report);
    let shared = shared_memory::read(&fdt, &mut chosen, report);
    let heap = static_heap::read(&fdt, &mut chosen, report);
    let surveyed = surveyed?;
    board::within_reach(&surveyed.board, input.facts.physical_bits, report);
    let pools = pools::read(&fdt, (&surveyed.board, &options), &mut chosen, report);
    let mut ground =
        claims::check(input, &surveyed, (chosen.dom0.as_ref(), &chosen.domains, &shared, heap), report);
    let host = Host::new(fdt, &surveyed.board);
    // Faults so far do not keep kernels and layouts from being looked at.
    let mut wanted = Vec::with_capacity(chosen.domains.len().saturating_add(1));
    let dom0 = chosen.dom0.take();
    wanted.extend(
        dom0.and_then(|dom0| with_memory(dom0, (input, &options, &pools), host, &mut ground, report)),
    );
    wanted.append(&mut chosen.domains);
    pools.check(&wanted, report);
    let scene = Scene { input, surveyed: &surveyed, options: &options, host, shared: &shared };
    let drafts = drafts(&scene, &wanted, &mut chosen, report);
    let plan = finish(input, (surveyed, options, pools), &ground, drafts, report)?;
    let paths: Vec<&str> = wanted.iter().map(|wanted| wanted.path.as_str()).collect();
    Some(Plan { channels, shared: shared.into_regions(&paths), ..plan })
}

/// What all domains are planned on.
struct Scene<'a, 's> {
    input: &'s Input<'a>,
    surveyed: &'s Surveyed,
    options: &'s Options,
    host: Host<'a, 's>,
    shared: &'s SharedMemory<'a>,
}

impl Scene<'_, '_> {
    /// Where guest addresses end, if guests are told of extended regions.
    fn extended_reach(&self) -> Option<u64> {
        self.options.ext_regions.then(|| reach(&self.input.facts))
    }

    /// What a domain sees where; guest addresses end at `reach`.
    fn place<'p>(
        &'p self,
        draft: &'p Draft<'_, '_>,
        interface: Option<&'p Interface>,
        reach: u64,
    ) -> Place<'p> {
        let (wanted, banks, layout) = (draft.wanted, draft.banks.as_slice(), &draft.layout);
        Place { wanted, banks, layout, board: &self.surveyed.board, interface, reach }
    }
}

/// dom0 with the memory that the command line wants for it, taken out of what is open.
fn with_memory<'a>(
    dom0: Dom0<'a>,
    (input, options, pools): (&Input<'_>, &Options, &Pools),
    host: Host<'a, '_>,
    ground: &mut Ground,
    report: &mut Report,
) -> Option<Wanted<'a>> {
    let bytes = dom0::memory(options, report);
    let processors = pools.list.first().map_or(0, |pool| pool.cpus.len());
    let vcpus = dom0::vcpus(options, (host.board, processors), report);
    domains::properties::compare_cap(dom0.share, vcpus, CHOSEN, report);
    let reach = host.reach(reach(&input.facts));
    let left = ground.open.total();
    let Some(banks) = placement::take_direct(&mut ground.open, bytes, pv::in_image(input.image), reach)
    else {
        let reason = format!(
            "dom0 asks for {}, but not so much is left at its own address in whole 2 MiB (of {} in all)",
            Bytes(bytes),
            Bytes(left)
        );
        report.refuse(CHOSEN, "dom0_mem", reason, "dom0_mem= in the hypervisor's command line: less memory");
        return None;
    };
    Some(dom0.into_wanted(banks, vcpus))
}

/// Decides each domain's guest side. A domain with a fault is reported and left out.
fn drafts<'w, 'a>(
    scene: &Scene<'a, '_>,
    wanted: &'w [Wanted<'a>],
    chosen: &mut Chosen<'_>,
    report: &mut Report,
) -> Vec<Draft<'w, 'a>> {
    let (input, board) = (scene.input, &scene.surveyed.board);
    let mut drafts = Vec::with_capacity(wanted.len());
    let mut writer = Writer::new();
    for wanted in wanted {
        let banks = layout::banks(wanted, ipa_bits(&input.facts), report);
        let layout = layout::devices(wanted, board, report);
        let images = banks.as_ref().and_then(|banks| images(scene, wanted, banks, report));
        let (Some(banks), Some(layout), Some(images)) = (banks, layout, images) else { continue };
        let spis = layout::spis(wanted, &layout, input.facts.spis);
        let draft = Draft {
            wanted,
            banks,
            shared: scene.shared.of_domain(&wanted.path),
            layout,
            spis,
            images,
            interface: None,
            hardware: None,
            timers: GUEST_TIMERS,
            tree: Vec::new(),
        };
        let told = if wanted.is_dom0 {
            host_side(scene, draft, chosen, report)
        } else {
            guest_side(scene, draft, (chosen, &mut writer, &drafts), report)
        };
        match told {
            Some(draft) => drafts.push(draft),
            None => return drafts,
        }
    }
    drafts
}

/// Completes a domain that has the machine of `public/arch-arm.h`; `None` if the plan becomes too large.
fn guest_side<'w, 'a>(
    scene: &Scene<'a, '_>,
    draft: Draft<'w, 'a>,
    (chosen, writer, others): (&mut Chosen<'_>, &mut Writer, &[Draft<'w, 'a>]),
    report: &mut Report,
) -> Option<Draft<'w, 'a>> {
    let (input, surveyed) = (scene.input, scene.surveyed);
    let place = (draft.banks.as_slice(), &draft.layout, draft.shared.as_slice());
    let mut interface = pv::interface(draft.wanted, place, input.image, scene.extended_reach());
    let place = scene.place(&draft, interface.as_ref(), reach(&input.facts));
    scene.shared.check_places(&place, report);
    let blob = assigned::bytes((&draft, input, surveyed), chosen, report);
    let devices = blob.as_deref().and_then(|blob| {
        let (host, host_spis) = (scene.host, input.facts.spis);
        Assignment { host, surveyed, host_spis, place: &place, draft: &draft, others, report }.read(blob)
    });
    let (partial, hardware) = devices.unzip();
    if let (Some(interface), Some(hardware)) = (&mut interface, &hardware) {
        interface.avoid(&hardware.mmio);
    }
    let board = (&surveyed.board, scene.shared.regions.as_slice());
    let guest = draft.guest(board, interface.as_ref(), partial.as_ref());
    let bound = guest_tree::bound(&guest);
    // The blob, and the structure that it is copied from where the last guest's was smaller.
    let grows = usize::try_from(bound).unwrap_or(usize::MAX) > writer.capacity();
    if !chosen.spend(bound.saturating_mul(if grows { 2 } else { 1 }), report) {
        return None;
    }
    let tree = guest_tree::write(&guest, writer);
    Some(Draft { interface, hardware, tree, ..draft })
}

/// Completes dom0, which has the host's devices; `None` if the plan becomes too large.
fn host_side<'w, 'a>(
    scene: &Scene<'a, '_>,
    draft: Draft<'w, 'a>,
    chosen: &mut Chosen<'_>,
    report: &mut Report,
) -> Option<Draft<'w, 'a>> {
    let (host, board) = (scene.host, &scene.surveyed.board);
    let reach = host.reach(reach(&scene.input.facts));
    let found = resources::collect(host, scene.surveyed, (scene.input, reach), report);
    let extended = scene.extended_reach().map(|_| reach);
    let place = (scene.surveyed, draft.banks.as_slice(), draft.shared.as_slice());
    let interface = Some(pv::of_dom0(place, &found.mmio, scene.input.image, extended));
    scene.shared.check_places(&scene.place(&draft, interface.as_ref(), reach), report);
    let guest = draft.guest((board, &scene.shared.regions), interface.as_ref(), None);
    // As above; and lists of names and of the devices' ranges and interrupts grow.
    let bytes = writing::bound(host, &guest, &found).saturating_mul(3).saturating_add(DEVICE_LISTS_BYTES);
    if !chosen.spend(bytes, report) {
        return None;
    }
    let tree = writing::write(host, &guest, &found);
    let bytes = u64::try_from(tree.len()).unwrap_or(u64::MAX);
    if bytes > kernel::TREE_BYTES {
        report.refuse("", "", format!("dom0's tree has {bytes} bytes"), "at most 2 MiB: disable devices");
    }
    let [_, physical] = board.physical_timers;
    let timers = [board.virtual_timer, physical];
    Some(Draft { interface, hardware: Some(found.into_hardware()), timers, tree, ..draft })
}

/// Looks into the kernel and places the images in the first bank.
fn images(
    scene: &Scene<'_, '_>,
    wanted: &Wanted<'_>,
    banks: &[Range],
    report: &mut Report,
) -> Option<Images> {
    // What is not RAM, which has been refused, may not even be readable.
    let kernel = Some(&wanted.kernel).filter(|kernel| scene.surveyed.ram.contains(&kernel.range))?;
    let head = kernel::probe(scene.input.modules, kernel, report)?;
    let bank = banks.first()?;
    match kernel::place(*bank, &head, &wanted.kernel, wanted.ramdisk.as_ref()) {
        Ok(images) => Some(images),
        Err(reason) => {
            let property = if wanted.is_dom0 { "dom0_mem" } else { "memory" };
            report.refuse(&wanted.path, property, reason, "more memory, or smaller files");
            None
        }
    }
}

fn finish(
    input: &Input<'_>,
    (surveyed, options, pools): (Surveyed, Options, Pools),
    ground: &Ground,
    drafts: Vec<Draft<'_, '_>>,
    report: &mut Report,
) -> Option<Plan> {
    if !report.refusals.is_empty() {
        return None;
    }
    let settled = match settle(input, &surveyed.board, ground, &drafts) {
        Ok(settled) => settled,
        Err(failure) => {
            no_room(input, &surveyed, ground, (&drafts, &failure), report);
            return None;
        }
    };
    for (draft, cost) in drafts.iter().zip(&settled.costs) {
        tables::check_pool(draft.wanted, cost.tables, report);
    }
    let mut domains = Vec::with_capacity(drafts.len());
    let first = u16::from(!drafts.first().is_some_and(|draft| draft.wanted.is_dom0));
    let placed = settled.memory.into_iter().zip(settled.pages).zip(settled.costs);
    for ((id, draft), ((memory, pages), cost)) in (first..=u16::MAX).zip(drafts).zip(placed) {
        let pv = draft.interface.zip(pages).map(|(interface, pages)| interface.with_pages(pages));
        domains.push(Domain {
            id,
            path: draft.wanted.path.clone(),
            vcpus: draft.wanted.vcpus,
            vpl011: draft.wanted.vpl011,
            direct_map: draft.wanted.direct_map,
            is_static: !draft.wanted.is_dom0 && !draft.wanted.static_memory.is_empty(),
            spis: draft.spis,
            memory,
            shared: draft.shared,
            layout: draft.layout,
            kernel: draft.images.kernel,
            ramdisk: draft.images.ramdisk,
            tree_at: draft.images.tree_at,
            tree: draft.tree,
            table_frames: cost.tables.total(),
            timers: draft.timers,
            pv,
            hardware: draft.hardware,
            pool: pools.find(draft.wanted.pool).unwrap_or(0),
            share: draft.wanted.share,
        });
    }
    Some(Plan {
        board: surveyed.board,
        options,
        heap: settled.heap,
        static_heap: ground.static_heap.clone(),
        planning: ground.planning,
        domains,
        pools: pools.list,
        channels: Vec::new(),
        shared: Vec::new(),
        warnings: Vec::new(),
        budget: settled.lines,
        free: settled.open.into_vec(),
        boot_only: ground.boot_only.iter().copied().collect(),
        idle: ground.idle.iter().copied().collect(),
        ipa_bits: ipa_bits(&input.facts),
    })
}

/// Says how much is asked for, how much is left, and what took the rest.
fn no_room(
    input: &Input<'_>,
    surveyed: &Surveyed,
    ground: &Ground,
    (drafts, failure): (&[Draft<'_, '_>], &Failure),
    report: &mut Report,
) {
    let ram = surveyed.ram.total();
    let reserved =
        surveyed.ram.iter().fold(0_u64, |sum, bank| sum.saturating_add(surveyed.reserved.shared_with(bank)));
    let asked = drafts.iter().fold(0_u64, |sum, draft| sum.saturating_add(draft.wanted.memory));
    let heap = match failure {
        Failure::Heap(bytes) | Failure::Domain(_, bytes) => *bytes,
        Failure::Pages(_) => 0,
    };
    let of_heap = match ground.static_heap.iter().fold(0_u64, |sum, range| sum.saturating_add(range.size)) {
        0 => String::new(),
        bytes => format!(", {} of them in {}", Bytes(bytes), static_heap::PROPERTY),
    };
    let pools = drafts.iter().filter_map(|draft| draft.wanted.pool_mib).map(tables::pool_bytes);
    let of_pools = match pools.fold(0_u64, u64::saturating_add) {
        0 => String::new(),
        bytes => format!(", {} of it for {}", Bytes(bytes), tables::POOL),
    };
    let took = format!(
        "of {} of RAM{of_heap}, image {}, heap {}{of_pools}, modules and device tree {}, reserved {}; all domains ask for {}",
        Bytes(ram),
        Bytes(input.image.size),
        Bytes(heap),
        Bytes(ground.boot_only.total()),
        Bytes(reserved),
        Bytes(asked),
    );
    match failure {
        Failure::Heap(bytes) if tables::refuse_pool(drafts, (ground, *bytes), &took, report) => {}
        Failure::Heap(bytes) if !ground.static_heap.is_empty() => {
            static_heap::refuse_heap(&ground.open, *bytes, report);
        }
        Failure::Heap(bytes) => {
            let reason = format!("no room for the hypervisor's heap of {} ({took})", Bytes(*bytes));
            report.refuse("/chosen", "memory", reason, "less memory for the domains");
        }
        Failure::Pages(position) => {
            let path = drafts.get(*position).map_or("", |draft| draft.wanted.path.as_str());
            let pages = Bytes(input.facts.sizes.shared_pages.saturating_mul(FRAME_BYTES));
            let reason =
                format!("no room for the {pages} that the domain shares with the hypervisor ({took})");
            report.refuse(path, "xen,enhanced", reason, "less memory for the domains");
        }
        Failure::Domain(room, _) => {
            let draft = drafts.get(room.demand);
            let path = draft.map_or(String::new(), |draft| draft.wanted.path.clone());
            let bytes = draft.map_or(0, |draft| draft.wanted.memory);
            let reason = format!("asks for {}, but {} are left ({took})", Bytes(bytes), Bytes(room.left));
            let kib = room.left >> 10;
            let hint = format!(
                "at most memory = <{:#x} {:#x}>; here, or less for the others",
                kib >> 32,
                kib & 0xffff_ffff
            );
            report.refuse(&path, "memory", reason, &hint);
        }
    }
}
