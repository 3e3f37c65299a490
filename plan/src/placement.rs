//! Chooses host memory for the hypervisor's heap and for the domains.
//!
//! Pure and deterministic: the same tree gives the same places on the desk and on the board.
//!
//! - Static memory stands where it says. It fills the guest's banks in order; with `direct-map` each range is
//!   a bank of its own.
//! - dom0 comes next, since its guest addresses are the host's: see [`take_direct`].
//! - The heap comes next: one range with a 2 MiB aligned base, at the lowest such address of the *smallest*
//!   open range that holds it. With an image 2 MiB above the start of RAM, the hole below it is that range.
//! - The pages that the hypervisor shares with domains that have PV interfaces follow, in the smallest holes.
//! - Domains follow, the largest first (equal ones in tree order), since large ones suffer most from holes.
//!   Each bank goes as a whole into the smallest open range in which guest and host address can agree modulo
//!   1 GiB (banks of 1 GiB and more) or modulo 2 MiB, at the highest such address: the rest then stays in one
//!   piece below, and low memory, which some devices need, is used last.
//! - A bank that fits nowhere as a whole takes the largest piece that there is, again and again. Only where
//!   no 2 MiB are left in one place are single frames used; so memory that is there can always be had.
//!
//! How many table frames a domain needs depends on its place, and the heap's size on the table frames. So
//! the placing is done again with the heap in its place until the heap is large enough; the second time
//! nearly always.

use alloc::vec::Vec;

use crate::range::{
    BLOCK_1_GIB, BLOCK_2_MIB, FRAME_BYTES, RangeSet, align_down, align_up, insert_sorted_by_key,
};
use crate::shape::{GuestMemory, Range};

/// Most host ranges that one domain's memory is put together from.
pub const MOST_PIECES: usize = 256;

/// Granule of the memory that an owner has chosen for the heap.
pub const HEAP_GRANULE: u64 = 64 << 10;

/// Memory that a domain asks for.
#[derive(Clone, Debug)]
pub(crate) struct Demand<'w> {
    /// The guest's banks.
    pub(crate) banks: &'w [Range],
    /// Host ranges that it must be; empty if they are free to choose.
    pub(crate) fixed: &'w [Range],
    /// Guest and host address are one.
    pub(crate) direct: bool,
}

impl Demand<'_> {
    /// Bytes asked for.
    pub(crate) fn bytes(&self) -> u64 {
        self.banks.iter().fold(0, |sum, bank| sum.saturating_add(bank.size))
    }
}

/// The position of the demand that found no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom {
    pub(crate) demand: usize,
    /// Bytes that were open when it came to this demand.
    pub(crate) left: u64,
}

/// Takes a heap of `bytes` out of `open`, with a base that is a multiple of `align`.
pub(crate) fn take_heap(open: &mut RangeSet, bytes: u64, align: u64) -> Option<Range> {
    let mut best: Option<(u64, Range)> = None;
    for range in open.iter() {
        let Some(base) = align_up(range.base, align) else { continue };
        let Some(heap) = Range::new(base, bytes).filter(|heap| range.contains(heap)) else { continue };
        if best.is_none_or(|(size, _)| range.size < size) {
            best = Some((range.size, heap));
        }
    }
    let (_, heap) = best?;
    open.remove(heap);
    Some(heap)
}

/// Bytes of the largest heap that could be taken so, in steps of `granule`.
pub(crate) fn largest_heap(open: &RangeSet, align: u64, granule: u64) -> u64 {
    let largest = open.iter().filter_map(|range| range.end().checked_sub(align_up(range.base, align)?)).max();
    align_down(largest.unwrap_or(0), granule)
}

/// dom0's first piece has so much, if it asks for so much: room for its kernel, tree and ramdisk.
const FIRST_PIECE_BYTES: u64 = 128 << 20;
/// Where the addresses end that every device can reach.
const DEVICES_REACH: u64 = 1 << 32;

/// Takes `bytes`, in whole 2 MiB, for dom0, whose guest addresses are the host's: pieces of a power of two and
/// aligned so, the largest first, each as low as possible; the first below 4 GiB, if there is room, and the others
/// above it, if there is room. The result is sorted, but the bank with the first piece comes first. Nothing in
/// `apart` is taken, and nothing from `reach` on.
pub(crate) fn take_direct(open: &mut RangeSet, bytes: u64, apart: Range, reach: u64) -> Option<Vec<Range>> {
    let mut rest = open.clone();
    rest.remove(apart);
    rest.remove(Range::between(reach, u64::MAX)?);
    let mut banks = RangeSet::new();
    let mut left = align_up(bytes, BLOCK_2_MIB)?;
    let mut first: Option<Range> = None;
    let mut pieces: usize = 0;
    while left > 0 {
        let largest = 1_u64.checked_shl(left.ilog2())?;
        let piece = match first {
            None => lowest(&rest, (largest, largest.min(FIRST_PIECE_BYTES)), (0, DEVICES_REACH))
                .or_else(|| lowest(&rest, (largest, BLOCK_2_MIB), (0, u64::MAX))),
            Some(first) => lowest(&rest, (largest, BLOCK_2_MIB), (first.base, u64::MAX))
                .or_else(|| lowest(&rest, (largest, BLOCK_2_MIB), (0, u64::MAX))),
        }?;
        first = first.or(Some(piece));
        rest.remove(piece);
        banks.insert(piece);
        left = left.checked_sub(piece.size)?;
        pieces = pieces.saturating_add(1);
        if pieces > MOST_PIECES {
            return None;
        }
    }
    banks.iter().for_each(|bank| open.remove(*bank));
    let main = banks.overlapping(&first?)?;
    let mut list = Vec::with_capacity(banks.len());
    list.push(main);
    list.extend(banks.iter().filter(|bank| **bank != main));
    Some(list)
}

/// The largest power of two from `largest` down to `least` bytes that has an aligned place between two addresses,
/// at its lowest such place.
fn lowest(open: &RangeSet, (largest, least): (u64, u64), (from, to): (u64, u64)) -> Option<Range> {
    let mut size = largest;
    while size >= least.max(1) {
        let place = |range: &Range| {
            let base = align_up(range.base.max(from), size)?;
            let end = base.checked_add(size)?;
            if end <= range.end().min(to) { Range::new(base, size) } else { None }
        };
        if let Some(piece) = open.iter().find_map(place) {
            return Some(piece);
        }
        size >>= 1;
    }
    None
}

/// Takes `bytes` of whole frames for pages that hypervisor and domain share: the lowest ones of the smallest
/// open range that has them, so that large ranges stay whole.
pub(crate) fn take_pages(open: &mut RangeSet, bytes: u64) -> Option<Range> {
    let mut best: Option<Range> = None;
    for range in open.iter().filter(|range| range.size >= bytes) {
        if best.is_none_or(|best| range.size < best.size) {
            best = Some(*range);
        }
    }
    let pages = Range::new(best?.base, bytes)?;
    open.remove(pages);
    Some(pages)
}

/// Places all demands; the results stand in the order of the demands, each in guest order.
pub(crate) fn place(open: &mut RangeSet, demands: &[Demand<'_>]) -> Result<Vec<Vec<GuestMemory>>, NoRoom> {
    let mut order: Vec<(usize, &Demand<'_>)> = Vec::with_capacity(demands.len());
    for (position, demand) in (0..demands.len()).zip(demands) {
        insert_sorted_by_key(&mut order, (position, demand), |(_, demand)| {
            core::cmp::Reverse(demand.bytes())
        });
    }
    let mut placed: Vec<Vec<GuestMemory>> = Vec::new();
    placed.resize_with(demands.len(), Vec::new);
    for (position, demand) in order {
        let left = open.total();
        let memory = if demand.fixed.is_empty() { chosen(open, demand) } else { Some(fixed(demand)) };
        let memory = memory.ok_or(NoRoom { demand: position, left })?;
        if let Some(place) = placed.get_mut(position) {
            *place = memory;
        }
    }
    Ok(placed)
}

/// Adds a piece, in guest order; one that continues the last in guest and host becomes part of it.
fn push(memory: &mut Vec<GuestMemory>, piece: GuestMemory) {
    insert_sorted_by_key(memory, piece, |piece| piece.guest);
    memory.dedup_by(|next, before| {
        let continues = before.guest.checked_add(before.size) == Some(next.guest)
            && before.host.checked_add(before.size) == Some(next.host);
        if continues {
            before.size = before.size.saturating_add(next.size);
        }
        continues
    });
}

/// Static memory: banks filled in the order of the ranges.
fn fixed(demand: &Demand<'_>) -> Vec<GuestMemory> {
    let mut memory = Vec::new();
    if demand.direct {
        for range in demand.fixed {
            push(&mut memory, GuestMemory { guest: range.base, host: range.base, size: range.size });
        }
        return memory;
    }
    let mut ranges = demand.fixed.iter().copied();
    let mut rest = ranges.next();
    for bank in demand.banks {
        let mut guest = *bank;
        while let Some(host) = rest {
            let size = host.size.min(guest.size);
            push(&mut memory, GuestMemory { guest: guest.base, host: host.base, size });
            rest = Range::between(host.base.saturating_add(size), host.end()).or_else(|| ranges.next());
            match Range::between(guest.base.saturating_add(size), guest.end()) {
                Some(left) => guest = left,
                None => break,
            }
        }
    }
    memory
}

/// Memory that may lie anywhere.
fn chosen(open: &mut RangeSet, demand: &Demand<'_>) -> Option<Vec<GuestMemory>> {
    if demand.bytes() > open.total() {
        return None;
    }
    let mut memory = Vec::new();
    let mut pieces: usize = 0;
    for bank in demand.banks {
        let mut left = Some(*bank);
        while let Some(guest) = left {
            let host = whole(open, guest).or_else(|| partly(open, guest))?;
            open.remove(host);
            push(&mut memory, GuestMemory { guest: guest.base, host: host.base, size: host.size });
            left = Range::between(guest.base.saturating_add(host.size), guest.end());
            pieces = pieces.saturating_add(1);
            if pieces > MOST_PIECES {
                return None;
            }
        }
    }
    Some(memory)
}

/// Lowest address from `least` on that agrees with `guest` modulo `block`.
fn congruent_up(least: u64, guest: u64, block: u64) -> Option<u64> {
    let offset = guest.wrapping_sub(least) & block.wrapping_sub(1);
    least.checked_add(offset)
}

/// Highest address up to `most` that agrees with `guest` modulo `block`.
fn congruent_down(most: u64, guest: u64, block: u64) -> Option<u64> {
    let offset = most.wrapping_sub(guest) & block.wrapping_sub(1);
    most.checked_sub(offset)
}

/// A place for all of `guest`, in the smallest range that has one.
fn whole(open: &RangeSet, guest: Range) -> Option<Range> {
    let in_blocks = |block: u64| {
        let mut best: Option<(u64, Range)> = None;
        for range in open.iter() {
            let Some(highest) = range.end().checked_sub(guest.size) else { continue };
            let Some(base) = congruent_down(highest, guest.base, block) else { continue };
            let Some(place) = Range::new(base, guest.size).filter(|place| range.contains(place)) else {
                continue;
            };
            if best.is_none_or(|(size, _)| range.size < size) {
                best = Some((range.size, place));
            }
        }
        best.map(|(_, place)| place)
    };
    let large = if guest.size >= BLOCK_1_GIB { in_blocks(BLOCK_1_GIB) } else { None };
    large.or_else(|| in_blocks(BLOCK_2_MIB))
}

/// The largest place for the beginning of `guest`.
fn partly(open: &RangeSet, guest: Range) -> Option<Range> {
    let largest = |block: u64, least: u64| {
        let mut best: Option<Range> = None;
        for range in open.iter() {
            let Some(base) = congruent_up(range.base, guest.base, block) else { continue };
            // Whole units, so that the next piece can agree with its guest address again.
            let room = align_down(range.end().saturating_sub(base).min(guest.size), block.min(BLOCK_2_MIB));
            let Some(place) = Range::new(base, room).filter(|place| place.size >= least) else { continue };
            if best.is_none_or(|best| place.size > best.size) {
                best = Some(place);
            }
        }
        best
    };
    largest(BLOCK_1_GIB, BLOCK_1_GIB)
        .or_else(|| largest(BLOCK_2_MIB, BLOCK_2_MIB))
        .or_else(|| largest(FRAME_BYTES, FRAME_BYTES))
}

#[cfg(test)]
mod tests;
