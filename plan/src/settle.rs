//! Places heap, shared pages and domains, until the heap is large enough for the tables that their places take.

use alloc::vec::Vec;

use crate::assemble::{Draft, ipa_bits};
use crate::budget::{self, Cost};
use crate::claims::Ground;
use crate::input::Input;
use crate::placement::{self, Demand, NoRoom};
use crate::range::{FRAME_BYTES, RangeSet, insert_sorted_by_key};
use crate::shape::{Board, BudgetLine, GicRegions, GuestMemory, Range};
use crate::stage2::Mapping;
use crate::tables::{self, Map, Tables};

/// Everything placed, at a heap size that suffices.
pub(crate) struct Settled {
    pub(crate) heap: Range,
    pub(crate) memory: Vec<Vec<GuestMemory>>,
    /// The shared pages of each domain that has PV interfaces.
    pub(crate) pages: Vec<Option<Range>>,
    pub(crate) costs: Vec<Cost>,
    pub(crate) lines: Vec<BudgetLine>,
    pub(crate) open: RangeSet,
}

/// How often heap and domains are placed anew until the heap is large enough.
const MOST_ROUNDS: usize = 8;

/// Places everything; what found no place if that cannot be.
pub(crate) fn settle(
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
    let map = (ipa_bits(&input.facts), drafts.first().is_some_and(|draft| draft.wanted.is_dom0));
    let mut heap_bytes = 0;
    for _ in 0..MOST_ROUNDS {
        let mut open = ground.open.clone();
        // The first round only finds out how large the heap must be.
        let heap = match heap_bytes {
            0 => None,
            bytes => Some(
                placement::take_heap(&mut open, bytes, ground.heap_align()).ok_or(Failure::Heap(bytes))?,
            ),
        };
        let pages = shared_pages(input, drafts, &mut open).map_err(Failure::Pages)?;
        let memory =
            placement::place(&mut open, &demands).map_err(|room| Failure::Domain(room, heap_bytes))?;
        let costs: Vec<Cost> = drafts
            .iter()
            .zip(&memory)
            .map(|(draft, memory)| Cost {
                vcpus: draft.wanted.vcpus,
                spis: draft.spis,
                is_dom0: draft.wanted.is_dom0,
                pv: draft.interface.is_some(),
                pieces: pieces(draft, memory),
                tables: tables(map, board, draft, memory),
            })
            .collect();
        let lines = budget::lines(&input.facts.sizes, board, &costs);
        let needed = budget::heap_bytes(&lines, ground.heap_granule());
        match heap.filter(|heap| heap.size >= needed) {
            Some(heap) => return Ok(Settled { heap, memory, pages, costs, lines, open }),
            None => heap_bytes = needed.max(heap_bytes),
        }
    }
    Err(Failure::Heap(heap_bytes))
}

/// Pieces of a domain's memory, and those that stay its own whatever it does.
fn pieces(draft: &Draft<'_, '_>, memory: &[GuestMemory]) -> [u64; 2] {
    let own = if draft.wanted.static_memory.is_empty() { 0 } else { memory.len() };
    [memory.len(), own]
        .map(|count| u64::try_from(count.saturating_add(draft.shared.len())).unwrap_or(u64::MAX))
}

/// What found no place.
pub(crate) enum Failure {
    /// The heap, with so many bytes.
    Heap(u64),
    /// A domain, beside a heap of so many bytes.
    Domain(NoRoom, u64),
    /// The shared pages of the domain at this position.
    Pages(usize),
}

/// The shared pages of each domain that has PV interfaces; the position of the first that finds no place.
fn shared_pages(
    input: &Input<'_>,
    drafts: &[Draft<'_, '_>],
    open: &mut RangeSet,
) -> Result<Vec<Option<Range>>, usize> {
    let bytes = input.facts.sizes.shared_pages.saturating_mul(FRAME_BYTES);
    let mut pages = Vec::with_capacity(drafts.len());
    for (position, draft) in (0..drafts.len()).zip(drafts) {
        pages.push(match draft.interface {
            Some(_) => Some(placement::take_pages(open, bytes).ok_or(position)?),
            None => None,
        });
    }
    Ok(pages)
}

/// Tables of a domain: for its RAM, the virtual CPU interface of a GICv2, and what PV interfaces add.
fn tables(
    (ipa_bits, mortal): (u8, bool),
    board: &Board,
    draft: &Draft<'_, '_>,
    memory: &[GuestMemory],
) -> Tables {
    let layout = &draft.layout;
    let interface = match &board.gic {
        GicRegions::V2 { virtual_interface, .. } => Some(Mapping {
            guest: layout.cpu_interface,
            host: virtual_interface.base,
            size: layout.cpu_interface_size,
            pages_only: true,
        }),
        GicRegions::V3 { .. } => None,
    };
    let grant_window = draft.interface.as_ref().map(|interface| interface.grant_window);
    let hardware = draft.hardware.as_ref().map_or([].as_slice(), |hardware| hardware.mmio.as_slice());
    let extended = match &draft.interface {
        Some(interface) if draft.wanted.is_dom0 => interface.extended.as_slice(),
        _ => &[],
    };
    // What it shares is mapped, and given up, as its own RAM is.
    let mut whole = memory.to_vec();
    for share in &draft.shared {
        insert_sorted_by_key(&mut whole, share.memory, |piece| piece.guest);
    }
    let memory = whole.as_slice();
    let pool = draft.wanted.pool_mib.map(tables::of_pool);
    tables::count(&Map { ipa_bits, memory, interface, grant_window, hardware, extended, mortal, pool })
}
