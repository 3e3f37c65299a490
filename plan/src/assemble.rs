//! The reading as a whole: every step in its order, and the plan put together at the end.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::board::{self, Surveyed};
use crate::budget::{self, Cost};
use crate::claims::{self, Ground};
use crate::domains::{self, Chosen, Wanted};
use crate::fdt::Fdt;
use crate::guest_tree::{self, Guest};
use crate::input::{Facts, Input};
use crate::kernel::{self, Images};
use crate::layout;
use crate::options;
use crate::placement::{self, Demand, NoRoom};
use crate::range::{Bytes, RangeSet};
use crate::report::{Refusal, Report};
use crate::shape::{
    Board, BudgetLine, Domain, GicRegions, GuestMemory, Layout, Options, Plan, Range, Warning,
};
use crate::stage2::{self, Mapping};

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
struct Draft<'w, 'a> {
    wanted: &'w Wanted<'a>,
    banks: Vec<Range>,
    layout: Layout,
    spis: u16,
    images: Images,
    tree: Vec<u8>,
}

/// Bits of a guest address on a processor with `physical_bits` bits of physical address.
fn ipa_bits(facts: &Facts) -> u8 {
    facts.physical_bits.clamp(32, 40)
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
    let options = options::parse(&line, report);
    let surveyed = board::survey(fdt, &line, &options, input.facts.boot_mpidr, report);
    let mut chosen = domains::read(&fdt, input.facts.sizes.boot_heap, report);
    let surveyed = surveyed?;
    board::within_reach(&surveyed.board, input.facts.physical_bits, report);
    let ground = claims::check(input, &surveyed, &chosen.domains, report);
    // Faults so far do not keep kernels and layouts from being looked at.
    let wanted = core::mem::take(&mut chosen.domains);
    let drafts = drafts(input, &surveyed.board, (&wanted, &mut chosen), report);
    let vcpus: usize =
        drafts.iter().fold(0, |sum, draft| sum.saturating_add(usize::from(draft.wanted.vcpus)));
    if options.scheduler == crate::shape::Scheduler::Null && vcpus > surveyed.board.cpus.len() {
        let text = format!(
            "sched=null gives each vCPU a processor of its own, but there are {vcpus} vCPUs and {} processors: \
             those that start last wait for ever",
            surveyed.board.cpus.len()
        );
        report.warn("/chosen", &text);
    }
    finish(input, (surveyed, options), &ground, drafts, report)
}

/// Decides each domain's guest side. A domain with a fault is reported and left out.
fn drafts<'w, 'a>(
    input: &Input<'_>,
    board: &Board,
    (wanted, chosen): (&'w [Wanted<'a>], &mut Chosen<'_>),
    report: &mut Report,
) -> Vec<Draft<'w, 'a>> {
    let ipa_bits = ipa_bits(&input.facts);
    let mut drafts = Vec::new();
    for wanted in wanted {
        let banks = layout::banks(wanted, ipa_bits, report);
        let layout = layout::devices(wanted, board, report);
        let images = banks.as_ref().and_then(|banks| images(input, wanted, banks, report));
        let (Some(banks), Some(layout), Some(images)) = (banks, layout, images) else { continue };
        let guest = Guest {
            board,
            bootargs: wanted.kernel.bootargs,
            vcpus: wanted.vcpus,
            vpl011: wanted.vpl011,
            banks: &banks,
            layout: &layout,
            images: &images,
        };
        // The blob, and the structure that it is copied from.
        if !chosen.spend(guest_tree::bound(&guest).saturating_mul(2), report) {
            return drafts;
        }
        let tree = guest_tree::write(&guest);
        let spis = layout::spis(wanted, &layout, input.facts.spis);
        drafts.push(Draft { wanted, banks, layout, spis, images, tree });
    }
    drafts
}

/// Looks into the kernel and places the images in the first bank.
fn images(input: &Input<'_>, wanted: &Wanted<'_>, banks: &[Range], report: &mut Report) -> Option<Images> {
    let head = kernel::probe(input.modules, &wanted.kernel, report)?;
    let bank = banks.first()?;
    match kernel::place(*bank, &head, &wanted.kernel, wanted.ramdisk.as_ref()) {
        Ok(images) => Some(images),
        Err(reason) => {
            report.refuse(&wanted.path, "memory", reason, "more memory, or smaller files");
            None
        }
    }
}

/// Everything placed, at a heap size that suffices.
struct Settled {
    heap: Range,
    memory: Vec<Vec<GuestMemory>>,
    costs: Vec<Cost>,
    lines: Vec<BudgetLine>,
    open: RangeSet,
}

/// How often heap and domains are placed anew until the heap is large enough.
const MOST_ROUNDS: usize = 8;

fn settle(
    input: &Input<'_>,
    board: &Board,
    ground: &Ground,
    drafts: &[Draft<'_, '_>],
) -> Result<Settled, Failure> {
    let demands: Vec<Demand<'_>> = drafts
        .iter()
        .map(|draft| Demand {
            banks: &draft.banks,
            fixed: &draft.wanted.static_memory,
            direct: draft.wanted.direct_map,
        })
        .collect();
    let mut heap_bytes = 0;
    for _ in 0..MOST_ROUNDS {
        let mut open = ground.open.clone();
        // The first round only finds out how large the heap must be.
        let heap = match heap_bytes {
            0 => None,
            bytes => Some(placement::take_heap(&mut open, bytes).ok_or(Failure::Heap(bytes))?),
        };
        let memory =
            placement::place(&mut open, &demands).map_err(|room| Failure::Domain(room, heap_bytes))?;
        let costs: Vec<Cost> = drafts
            .iter()
            .zip(&memory)
            .map(|(draft, memory)| Cost {
                vcpus: draft.wanted.vcpus,
                spis: draft.spis,
                table_frames: table_frames(ipa_bits(&input.facts), board, &draft.layout, memory),
                tree_bytes: u64::try_from(draft.tree.len()).unwrap_or(u64::MAX),
            })
            .collect();
        let lines = budget::lines(&input.facts.sizes, board, &costs);
        let needed = budget::heap_bytes(&lines);
        match heap.filter(|heap| heap.size >= needed) {
            Some(heap) => return Ok(Settled { heap, memory, costs, lines, open }),
            None => heap_bytes = needed.max(heap_bytes),
        }
    }
    Err(Failure::Heap(heap_bytes))
}

/// What found no place.
enum Failure {
    /// The heap, with so many bytes.
    Heap(u64),
    /// A domain, beside a heap of so many bytes.
    Domain(NoRoom, u64),
}

/// Table frames of a domain: its RAM, and the virtual CPU interface of a GICv2.
fn table_frames(ipa_bits: u8, board: &Board, layout: &Layout, memory: &[GuestMemory]) -> u32 {
    let interface = match &board.gic {
        GicRegions::V2 { virtual_interface, .. } => Some(Mapping {
            guest: layout.cpu_interface,
            host: virtual_interface.base,
            size: layout.cpu_interface_size,
            pages_only: true,
        }),
        GicRegions::V3 { .. } => None,
    };
    let ram = memory.iter().map(|piece| Mapping {
        guest: piece.guest,
        host: piece.host,
        size: piece.size,
        pages_only: false,
    });
    let below = ram.clone().take_while(|piece| piece.guest < layout.cpu_interface);
    let above = ram.skip_while(|piece| piece.guest < layout.cpu_interface);
    stage2::table_frames(ipa_bits, below.chain(interface).chain(above))
}

fn finish(
    input: &Input<'_>,
    (surveyed, options): (Surveyed, Options),
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
    let mut domains = Vec::with_capacity(drafts.len());
    for (id, ((draft, memory), cost)) in
        (1..=u16::MAX).zip(drafts.into_iter().zip(settled.memory).zip(settled.costs))
    {
        domains.push(Domain {
            id,
            path: draft.wanted.path.clone(),
            vcpus: draft.wanted.vcpus,
            vpl011: draft.wanted.vpl011,
            direct_map: draft.wanted.direct_map,
            spis: draft.spis,
            memory,
            layout: draft.layout,
            kernel: draft.images.kernel,
            ramdisk: draft.images.ramdisk,
            tree_at: draft.images.tree_at,
            tree: draft.tree,
            table_frames: cost.table_frames,
        });
    }
    Some(Plan {
        board: surveyed.board,
        options,
        heap: settled.heap,
        domains,
        warnings: Vec::new(),
        budget: settled.lines,
        free: settled.open.into_vec(),
        boot_only: ground.boot_only.iter().copied().collect(),
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
    };
    let took = format!(
        "of {} of RAM, image {}, heap {}, modules and device tree {}, reserved {}; all domains ask for {}",
        Bytes(ram),
        Bytes(input.image.size),
        Bytes(heap),
        Bytes(ground.boot_only.total()),
        Bytes(reserved),
        Bytes(asked),
    );
    match failure {
        Failure::Heap(bytes) => {
            let reason = format!("no room for the hypervisor's heap of {} ({took})", Bytes(*bytes));
            report.refuse("/chosen", "memory", reason, "less memory for the domains");
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
