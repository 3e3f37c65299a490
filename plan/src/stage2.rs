//! How many frames the stage 2 tables of a domain take.
//!
//! Three levels with 4 KiB granule: level 1 entries map 1 GiB, level 2 entries 2 MiB, level 3 entries 4 KiB.
//! Up to 39 bits of guest address one level 1 table is the root; 40 bits need two, side by side in 8 KiB
//! (concatenation, Arm ARM D8.2.2). An entry maps a block where guest and host address and the length allow;
//! else it points to a table. The count is exact, so construction never lacks a frame and never has one over.

use crate::range::{BLOCK_1_GIB, BLOCK_2_MIB, align_down, align_up, is_aligned};

/// A piece of a guest map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Guest address, 4 KiB aligned.
    pub guest: u64,
    /// Host address, 4 KiB aligned.
    pub host: u64,
    /// Bytes, a multiple of 4 KiB.
    pub size: u64,
    /// Only 4 KiB pages are used, as for device registers.
    pub pages_only: bool,
}

/// Root tables for guest addresses of `ipa_bits` bits.
#[must_use]
pub const fn root_frames(ipa_bits: u8) -> u32 {
    if ipa_bits > 39 { 2 } else { 1 }
}

/// Frames of all tables of a map, its root included. The mappings are in guest order, do not overlap, and are
/// mapped one by one: a block never spans two of them.
#[must_use]
pub fn table_frames(ipa_bits: u8, mappings: impl Iterator<Item = Mapping> + Clone) -> u32 {
    let level_2 = tables(mappings.clone(), BLOCK_1_GIB);
    let level_3 = tables(mappings, BLOCK_2_MIB);
    let total = u64::from(root_frames(ipa_bits)).saturating_add(level_2).saturating_add(level_3);
    u32::try_from(total).unwrap_or(u32::MAX)
}

/// Number of blocks of `block` bytes of guest space that are touched but not mapped as a block.
fn tables(mappings: impl Iterator<Item = Mapping>, block: u64) -> u64 {
    let mut count: u64 = 0;
    // Guest address behind the last block that has its table.
    let mut counted_to: u64 = 0;
    for mapping in mappings {
        let end = mapping.guest.saturating_add(mapping.size);
        let first = align_down(mapping.guest, block);
        let behind = align_up(end, block).unwrap_or(u64::MAX);
        let mut add = |from: u64, to: u64| {
            let from = from.max(counted_to);
            if let Some(bytes) = to.checked_sub(from) {
                count = count.saturating_add(blocks_in(bytes, block));
                counted_to = to;
            }
        };
        let congruent = is_aligned(mapping.guest ^ mapping.host, block);
        let whole_from = align_up(mapping.guest, block).unwrap_or(u64::MAX);
        let whole_to = align_down(end, block);
        if mapping.pages_only || !congruent || whole_from >= whole_to {
            add(first, behind);
        } else {
            add(first, whole_from);
            add(whole_to, behind);
        }
    }
    count
}

/// `bytes`, a multiple of `block`, in blocks.
const fn blocks_in(bytes: u64, block: u64) -> u64 {
    if block == BLOCK_1_GIB { bytes / BLOCK_1_GIB } else { bytes / BLOCK_2_MIB }
}

#[cfg(test)]
mod tests;
