//! Free frames of one stretch of RAM, in blocks of powers of two: a set of free blocks for each size.
//!
//! A block that is freed joins its neighbour if that is free too, so what was taken apart for small
//! pieces is whole again when they are back. Every operation takes a few steps for each size, whatever
//! is free.
//!
//! A few single frames that were given back are kept at hand, so that one that comes and one that goes do not
//! join and split blocks of every size. Whoever wants more than one frame has them joined first.

use super::bits::BitTree;

/// Blocks are of 1 to 512 frames: 4 KiB to 2 MiB, a block of stage 2.
pub const LARGEST_ORDER: u32 = 9;
/// Single frames that are kept at hand.
const AT_HAND: usize = 16;
const ORDERS: usize = LARGEST_ORDER as usize + 1;

/// The free blocks of frames in one stretch of RAM.
#[derive(Debug)]
pub(super) struct Buddies {
    /// Number of the first frame that could be in a largest block.
    base: u64,
    sets: [BitTree; ORDERS],
    /// Single frames at hand, so many of them.
    at_hand: [u64; AT_HAND],
    count: usize,
}

impl Buddies {
    /// Bytes for the frames of a largest block: twice a bit for each frame, and the summaries' share.
    pub(super) const BYTES_PER_BLOCK: usize = BitTree::share((2 << LARGEST_ORDER) / 8);
    /// Bytes that a stretch takes beside.
    pub(super) const BYTES: usize =
        size_of::<Self>().saturating_add(BitTree::ROUNDING_BYTES.saturating_mul(ORDERS));

    /// Nothing free among the frames from `first` to before `end`. `None` where there is no memory.
    pub(super) fn try_new(first: u64, end: u64) -> Option<Self> {
        let base = first >> LARGEST_ORDER << LARGEST_ORDER;
        let frames = usize::try_from(end.checked_sub(base)?).ok()?;
        let set = |order: usize| BitTree::try_new((frames >> order) + 1);
        let [a, b, c, d, e] = [set(0)?, set(1)?, set(2)?, set(3)?, set(4)?];
        let sets = [a, b, c, d, e, set(5)?, set(6)?, set(7)?, set(8)?, set(9)?];
        Some(Buddies { base, sets, at_hand: [0; AT_HAND], count: 0 })
    }

    fn set(&mut self, order: u32) -> Option<&mut BitTree> {
        self.sets.get_mut(order as usize)
    }

    /// Takes a block of `1 << order` frames: a single one that is at hand, or the lowest of the smallest size that
    /// will do. Its first frame.
    #[inline]
    pub(super) fn take(&mut self, order: u32) -> Option<u64> {
        if order == 0
            && let Some(last) = self.count.checked_sub(1)
        {
            self.count = last;
            return self.at_hand.get(last).copied();
        }
        while let Some(last) = self.count.checked_sub(1) {
            self.count = last;
            self.join(*self.at_hand.get(last)?, 0);
        }
        self.split(order)
    }

    /// Takes a block out of the sets.
    fn split(&mut self, order: u32) -> Option<u64> {
        for found in order..=LARGEST_ORDER {
            let Some(block) = self.set(found)?.first() else { continue };
            self.set(found)?.remove(block);
            let mut number = block as u64;
            // The upper halves of what is larger than needed stay.
            for half in (order..found).rev() {
                number = number.wrapping_shl(1);
                self.set(half)?.insert(number as usize | 1);
            }
            return Some(self.base.wrapping_add(number.wrapping_shl(order)));
        }
        None
    }

    /// Gives back a block of `1 << order` frames that begins at `frame`, a multiple of its size.
    #[inline]
    pub(super) fn give(&mut self, frame: u64, order: u32) {
        if order == 0
            && let Some(place) = self.at_hand.get_mut(self.count)
        {
            *place = frame;
            self.count += 1;
            return;
        }
        self.join(frame, order);
    }

    /// Puts a block into the sets, together with its free neighbours.
    fn join(&mut self, frame: u64, order: u32) {
        let Some(offset) = frame.checked_sub(self.base) else { return };
        let mut number = (offset >> order) as usize;
        for size in order..=LARGEST_ORDER {
            let Some(set) = self.set(size) else { return };
            if size == LARGEST_ORDER || !set.contains(number ^ 1) {
                set.insert(number);
                return;
            }
            set.remove(number ^ 1);
            number >>= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_stretch_that_is_given_back_frame_by_frame_is_whole_again() {
        let mut buddies = Buddies::try_new(0x4_0003, 0x4_0003 + 2000).expect("memory");
        for frame in 0x4_0003..0x4_0003 + 2000 {
            buddies.give(frame, 0);
        }
        let blocks: Vec<u64> = std::iter::from_fn(|| buddies.take(LARGEST_ORDER)).collect();
        assert_eq!(blocks, [0x4_0200, 0x4_0400]);
    }

    proptest! {
        #[test]
        fn no_frame_is_taken_twice_and_none_is_lost(
            first in 0_u64..2000,
            frames in 1_u64..3000,
            acts in proptest::collection::vec((any::<bool>(), 0_u32..=9), 1..200),
        ) {
            let mut buddies = Buddies::try_new(first, first + frames).expect("memory");
            for frame in first..first + frames {
                buddies.give(frame, 0);
            }
            let mut taken: Vec<(u64, u32)> = Vec::new();
            let mut out = BTreeSet::new();
            for (take, order) in acts {
                if take {
                    let Some(block) = buddies.take(order) else { continue };
                    prop_assert!(block.is_multiple_of(1 << order));
                    for frame in block..block + (1 << order) {
                        prop_assert!((first..first + frames).contains(&frame));
                        prop_assert!(out.insert(frame), "frame {frame} is taken twice");
                    }
                    taken.push((block, order));
                } else if let Some((block, order)) = taken.pop() {
                    (block..block + (1 << order)).for_each(|frame| { out.remove(&frame); });
                    buddies.give(block, order);
                }
            }
            let left = std::iter::from_fn(|| buddies.take(0)).count() as u64;
            prop_assert_eq!(left + out.len() as u64, frames);
        }
    }
}
