//! Chooses an address for everything that the owner has given none.
//!
//! What is to be loaded lies in one piece of RAM, at the lowest place that is free, in this order: the first
//! instructions and the tree; the hypervisor in whole 2 MiB; each file once, at multiples of 64 KiB, which are
//! the erase blocks of flash. That piece is, byte for byte, the raw image. The first 4 MiB of RAM stay free for the boot
//! loader's own tree and script, unless a window says otherwise.
//!
//! Static memory comes next, the largest first, at the top of the smallest hole that holds it, so that large blocks map it
//! and low memory stays for dom0's devices; what fits into no hole is put together from the largest. The hypervisor
//! places the rest at boot, by the same rules each time (`docs/device-tree.md`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plan::{BLOCK_1_GIB, BLOCK_2_MIB, Range, RangeSet, align_down, align_up};

use super::board::Ground;
use super::complaint::Complaint;
use super::description::{Description, Memory, Piece, Spanned, alignment};
use super::files::Files;

/// What stays free at the start of RAM.
const LOADER_BYTES: u64 = 4 << 20;
/// Erase blocks of flash.
pub(crate) const GRANULE: u64 = 64 << 10;
/// Where the tree lies in the raw image.
const TREE_OFFSET: u64 = GRANULE;
/// What a boot loader may add to the tree.
const TREE_GROWTH: u64 = GRANULE;
/// Alignment of an arm64 Image.
const IMAGE_ALIGN: u64 = BLOCK_2_MIB;
/// Guest addresses between the banks of RAM, where a domain that has no direct map sees shared memory.
const SHARED_AT: u64 = 0x1_0000_0000;

/// All addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The raw image's place.
    pub(crate) start: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// The tree's address.
    pub(crate) tree: u64,
    /// The hypervisor's address.
    pub(crate) image: u64,
    /// The address of each module, in the order of `Files::modules`, with its path in the description.
    pub(crate) modules: Vec<(PathBuf, u64)>,
    /// Static memory of each domain.
    pub(crate) domains: Vec<Vec<Range>>,
    /// The hypervisor's static heap.
    pub(crate) heap: Vec<Range>,
    /// Shared memory: its host range, and its guest address where no direct map decides.
    pub(crate) shared: Vec<(Range, u64)>,
    /// The ports of each channel.
    pub(crate) ports: Vec<[u32; 2]>,
}

impl Places {
    /// The address of a file of the description.
    pub(crate) fn of(&self, path: &Path) -> u64 {
        self.modules.iter().find(|(other, _)| other == path).map_or(0, |(_, at)| *at)
    }

    /// Whether a module's node is that of a file.
    pub(crate) fn is_at(&self, path: &Path, node: &str) -> bool {
        node == format!("module@{:x}", self.of(path))
    }

    /// Places that are as good as any, to learn how large the tree becomes.
    pub(crate) fn draft(description: &Description, files: &Files) -> Self {
        let far = 0xffff_ffff_ffff_0000;
        let range = Range { base: far, size: 1 };
        let most = |memory: Option<&Spanned<Memory>>| match memory.map(Spanned::get_ref) {
            None => Vec::new(),
            // What is chosen may come to be several pieces; so many are more than enough to try.
            Some(memory) => vec![range; memory.pieces(1).len() + MOST_PIECES],
        };
        Self {
            modules: files.modules.iter().map(|file| (file.source.clone(), far)).collect(),
            domains: description.domains.iter().map(|domain| most(domain.fixed.as_ref())).collect(),
            heap: most(description.hypervisor.heap.as_ref()),
            shared: vec![(range, far); description.shared.len()],
            ports: vec![[0, 0]; description.channels.len()],
            ..Self::default()
        }
    }
}

/// Most pieces that one domain's chosen memory is put together from.
const MOST_PIECES: usize = 16;

/// Sizes that the description does not state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The most that the tree may have.
    pub(crate) tree: u64,
    /// What the heap needs; where that is not known, a heap without a size is left to boot.
    pub(crate) heap: Option<u64>,
}

/// Chooses all addresses.
pub(crate) fn choose(
    description: &Description,
    ground: &Ground,
    files: &Files,
    sizes: Sizes,
) -> Result<Places, Vec<Complaint>> {
    let mut open = RangeSet::new();
    ground.board.memory.iter().for_each(|bank| open.insert(*bank));
    ground.board.reserved.iter().for_each(|range| open.remove(*range));
    let in_ram = |range: &Range| ground.board.memory.iter().any(|bank| bank.contains(range));
    // What is not RAM is refused by the hypervisor's rules, with better words than that there is no room.
    let stated = stated(description).into_iter().filter_map(|piece| Range::new(piece.at?, piece.size.0));
    stated.filter(in_ram).for_each(|range| open.remove(range));
    let mut places =
        load(description, (ground, &open), files, sizes.tree).map_err(|complaint| vec![complaint])?;
    if let Some(range) = Range::new(places.start, places.bytes) {
        open.remove(range);
    }
    let mut complaints = Vec::new();
    if let Some(heap) = &description.hypervisor.heap
        && (sizes.heap.is_some() || !matches!(heap.get_ref(), Memory::Auto))
    {
        let pieces = heap.get_ref().pieces(sizes.heap.unwrap_or(0));
        places.heap = take_all(&mut open, &pieces, (heap, "the hypervisor's heap"), &mut complaints);
    }
    for shared in &description.shared {
        let piece =
            Piece { at: shared.host_at.as_ref().map(|at| *at.get_ref()), size: *shared.size.get_ref() };
        let what = (&shared.size, "this shared memory");
        let host = take_all(&mut open, &[piece], what, &mut complaints).first().copied();
        places.shared.extend(host.map(|host| (host, 0)));
    }
    guest_addresses(description, &mut places);
    places.ports = ports(description);
    domains(description, &mut open, &mut places, &mut complaints);
    if complaints.is_empty() { Ok(places) } else { Err(complaints) }
}

/// The pieces whose place the owner has stated.
fn stated(description: &Description) -> Vec<Piece> {
    let heap = description.hypervisor.heap.iter();
    let fixed = description.domains.iter().filter_map(|domain| domain.fixed.as_ref());
    let mut pieces: Vec<Piece> = heap.chain(fixed).flat_map(|memory| memory.get_ref().pieces(1)).collect();
    pieces.extend(description.shared.iter().map(|shared| Piece {
        at: shared.host_at.as_ref().map(|at| *at.get_ref()),
        size: *shared.size.get_ref(),
    }));
    pieces.retain(|piece| piece.at.is_some());
    pieces
}

/// Places what is loaded.
fn load(
    description: &Description,
    (ground, open): (&Ground, &RangeSet),
    files: &Files,
    tree_bytes: u64,
) -> Result<Places, Complaint> {
    let up = |value: u64, align: u64| align_up(value, align).unwrap_or(u64::MAX);
    let image = up(TREE_OFFSET + tree_bytes + TREE_GROWTH, IMAGE_ALIGN);
    let mut next = up(image + files.image_bytes, IMAGE_ALIGN);
    let mut offsets = Vec::with_capacity(files.modules.len());
    for file in &files.modules {
        offsets.push(next);
        next = up(next + file.bytes(), GRANULE);
    }
    let mut open = open.clone();
    let board = description.board.get_ref();
    let window = board.load_window.as_ref();
    match window {
        Some(window) => {
            let Some(range) = window.get_ref().range() else {
                return Err(Complaint::new(
                    "the window reaches beyond the address space",
                    window.span(),
                    "this window",
                ));
            };
            open.remove(Range { base: 0, size: range.base.max(1) });
            open.remove(Range { base: range.end(), size: u64::MAX - range.end() });
        }
        None => {
            let first = ground.board.memory.first().map_or(0, |bank| bank.base);
            open.remove(Range { base: first, size: LOADER_BYTES });
        }
    }
    let start = open.iter().find_map(|hole| {
        let base = align_up(hole.base, IMAGE_ALIGN)?;
        hole.contains(&Range::new(base, next)?).then_some(base)
    });
    let Some(start) = start else {
        let title = format!("no {} of RAM in one piece are free for the files", plan::Bytes(next));
        let span = window.map_or_else(|| description.board.span(), Spanned::span);
        return Err(Complaint::new(title, span, "on this board")
            .help("smaller files, more memory, or static memory elsewhere"));
    };
    let modules =
        files.modules.iter().zip(offsets).map(|(file, offset)| (file.source.clone(), start + offset));
    Ok(Places {
        start,
        bytes: next,
        tree: start + TREE_OFFSET,
        image: start + image,
        modules: modules.collect(),
        ..Places::default()
    })
}

/// Takes the places of pieces that have none.
fn take_all<T>(
    open: &mut RangeSet,
    pieces: &[Piece],
    (value, what): (&Spanned<T>, &str),
    complaints: &mut Vec<Complaint>,
) -> Vec<Range> {
    let mut ranges = Vec::new();
    for piece in pieces {
        let bytes = piece.size.0;
        let one = match piece.at {
            Some(at) => Range::new(at, bytes).map(|range| vec![range]),
            None => take(open, bytes),
        };
        match one {
            Some(taken) => ranges.extend(taken),
            None => {
                let bytes = plan::Bytes(bytes);
                let left = plan::Bytes(open.total());
                let title = format!("there is no room for {bytes}: {left} of RAM are left");
                complaints.push(
                    Complaint::new(title, value.span(), what).help("less memory, or more on the board"),
                );
            }
        }
    }
    ranges
}

/// Takes `bytes` as a whole or, where no hole holds them, in large pieces.
fn take(open: &mut RangeSet, bytes: u64) -> Option<Vec<Range>> {
    let align = alignment(bytes);
    let large = if bytes >= BLOCK_1_GIB { BLOCK_1_GIB } else { align };
    if let Some(range) = best(open, bytes, large).or_else(|| best(open, bytes, align)) {
        open.remove(range);
        return Some(vec![range]);
    }
    let mut rest = open.clone();
    let (mut left, mut taken) = (bytes, Vec::new());
    while left > 0 && taken.len() < MOST_PIECES {
        let inward = rest.iter().filter_map(|hole| hole.inward(align)).max_by_key(|hole| hole.size)?;
        let size = inward.size.min(left);
        let range = Range::new(inward.end() - size, size)?;
        rest.remove(range);
        taken.push(range);
        left -= size;
    }
    if left > 0 {
        return None;
    }
    *open = rest;
    Some(taken)
}

/// The highest aligned place in the smallest hole.
fn best(open: &RangeSet, bytes: u64, align: u64) -> Option<Range> {
    let fits = |hole: &&Range| {
        hole.end().checked_sub(bytes).is_some_and(|base| align_down(base, align) >= hole.base)
    };
    let hole = open.iter().filter(fits).min_by_key(|hole| hole.size)?;
    Range::new(align_down(hole.end() - bytes, align), bytes)
}

fn guest_addresses(description: &Description, places: &mut Places) {
    let mut next = SHARED_AT;
    for ((host, guest), shared) in places.shared.iter_mut().zip(&description.shared) {
        let at = align_up(next, alignment(host.size)).unwrap_or(next);
        match &shared.guest_at {
            Some(stated) => *guest = *stated.get_ref(),
            None => {
                *guest = at;
                next = at.saturating_add(host.size);
            }
        }
    }
}

/// Ports where none are stated: the lowest that no other end of the domain has.
fn ports(description: &Description) -> Vec<[u32; 2]> {
    let mut taken: BTreeSet<(&str, u32)> = BTreeSet::new();
    for channel in &description.channels {
        let stated = channel.ports.iter().flat_map(|ports| ports.get_ref());
        taken.extend(channel.ends.get_ref().iter().map(|end| end.get_ref().as_str()).zip(stated.copied()));
    }
    let mut lists = Vec::new();
    for channel in &description.channels {
        let mut ports = [0; 2];
        for (index, (port, end)) in ports.iter_mut().zip(channel.ends.get_ref()).enumerate() {
            let stated = channel.ports.as_ref().and_then(|ports| ports.get_ref().get(index));
            let domain = end.get_ref().as_str();
            *port = stated
                .copied()
                .unwrap_or_else(|| (1..).find(|port| taken.insert((domain, *port))).unwrap_or(u32::MAX));
        }
        lists.push(ports);
    }
    lists
}

fn domains(
    description: &Description,
    open: &mut RangeSet,
    places: &mut Places,
    complaints: &mut Vec<Complaint>,
) {
    places.domains = vec![Vec::new(); description.domains.len()];
    let mut order: Vec<usize> = (0..description.domains.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(description.domains[*index].memory.get_ref().0));
    for index in order {
        let domain = &description.domains[index];
        if let Some(fixed) = &domain.fixed {
            let pieces = fixed.get_ref().pieces(domain.memory.get_ref().0);
            places.domains[index] =
                take_all(open, &pieces, (fixed, "this domain's static memory"), complaints);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(ranges: &[(u64, u64)]) -> RangeSet {
        let mut open = RangeSet::new();
        ranges.iter().for_each(|(base, size)| open.insert(Range { base: *base, size: *size }));
        open
    }

    #[test]
    fn memory_is_taken_at_the_top_of_the_smallest_hole_that_holds_it() {
        let mut open =
            holes(&[(0x4000_0000, 0x1000_0000), (0x8000_0000, 0x4000_0000), (0x2000_0000, 0x10_0000)]);
        let taken = take(&mut open, 0x800_0000).unwrap();
        assert_eq!(taken, [Range { base: 0x4800_0000, size: 0x800_0000 }]);
    }

    #[test]
    fn a_gigabyte_is_aligned_to_a_gigabyte_if_that_is_possible() {
        let mut open = holes(&[(0x4000_0000, 0xb000_0000)]);
        assert_eq!(take(&mut open, 0x4000_0000).unwrap(), [Range { base: 0x8000_0000, size: 0x4000_0000 }]);
        assert_eq!(take(&mut open, 0x4000_0000).unwrap(), [Range { base: 0x4000_0000, size: 0x4000_0000 }]);
    }

    #[test]
    fn what_no_hole_holds_is_put_together() {
        let mut open = holes(&[(0x4000_0000, 0x40_0000), (0x5000_0000, 0x40_0000)]);
        let taken = take(&mut open, 0x60_0000).unwrap();
        assert_eq!(taken.iter().map(|range| range.size).sum::<u64>(), 0x60_0000);
        assert_eq!(open.total(), 0x20_0000);
        assert!(take(&mut open, 0x60_0000).is_none());
        assert_eq!(open.total(), 0x20_0000, "what cannot be had takes nothing");
    }
}
