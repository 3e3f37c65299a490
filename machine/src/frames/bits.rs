//! A set of small numbers that finds its least member in a few steps: a bit for each number, and above
//! them a bit for each word of bits that is not empty, up to a single word.

use alloc::vec::Vec;

const WORD: usize = 64;

/// The bit of a number in its word.
#[inline]
const fn bit(number: usize) -> u64 {
    1_u64.wrapping_shl((number % WORD) as u32)
}

/// A set of numbers below a limit that is fixed when it is made.
#[derive(Debug)]
pub(super) struct BitTree {
    /// All levels one after the other, the members' own bits first.
    words: Vec<u64>,
    /// Where each level begins in `words`.
    levels: [usize; Self::MOST_LEVELS],
    height: usize,
    limit: usize,
}

impl BitTree {
    /// 64 to this power is more than there are frames in 48 bits of address.
    const MOST_LEVELS: usize = 7;

    /// What rounding up to words adds at most: one at each level, and what the allocator rounds up beside.
    pub(super) const ROUNDING_BYTES: usize = (Self::MOST_LEVELS + 2) * size_of::<u64>();

    /// `bytes` of members' bits with their share of all levels above, each a 64th of the one below.
    pub(super) const fn share(bytes: usize) -> usize {
        (bytes * WORD).div_ceil(WORD - 1)
    }

    /// The empty set of numbers below `limit`; `None` where there is no memory.
    pub(super) fn try_new(limit: usize) -> Option<Self> {
        let mut levels = [0; Self::MOST_LEVELS];
        let (mut height, mut total, mut bits) = (0, 0, limit.max(1));
        for level in &mut levels {
            *level = total;
            bits = bits.div_ceil(WORD);
            total += bits;
            height += 1;
            if bits == 1 {
                break;
            }
        }
        let mut words = Vec::new();
        words.try_reserve_exact(total).ok()?;
        words.resize(total, 0);
        Some(BitTree { words, levels, height, limit })
    }

    /// Bytes that a set of numbers below `limit` takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// The word of a level that a number's bit is in.
    fn word_mut(&mut self, level: usize, index: usize) -> Option<&mut u64> {
        let at = self.levels.get(level)?.checked_add(index)?;
        self.words.get_mut(at)
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        number < self.limit
            && self.words.get(number / WORD).is_some_and(|word| word >> (number % WORD) & 1 != 0)
    }

    pub(super) fn insert(&mut self, number: usize) {
        if number >= self.limit {
            return;
        }
        let mut index = number;
        for level in 0..self.height {
            let bit = bit(index);
            index /= WORD;
            let Some(word) = self.word_mut(level, index) else { return };
            let before = *word;
            *word |= bit;
            if before != 0 {
                return;
            }
        }
    }

    pub(super) fn remove(&mut self, number: usize) {
        if number >= self.limit {
            return;
        }
        let mut index = number;
        for level in 0..self.height {
            let bit = bit(index);
            index /= WORD;
            let Some(word) = self.word_mut(level, index) else { return };
            *word &= !bit;
            if *word != 0 {
                return;
            }
        }
    }

    /// The least member.
    pub(super) fn first(&self) -> Option<usize> {
        let mut index = 0_usize;
        for level in (0..self.height).rev() {
            let word = *self.words.get(self.levels.get(level)?.checked_add(index)?)?;
            if word == 0 {
                return None;
            }
            index = index.wrapping_mul(WORD).wrapping_add(word.trailing_zeros() as usize);
        }
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_least_member_is_that_of_a_plain_set(
            limit in 1_usize..10_000,
            acts in proptest::collection::vec((any::<bool>(), 0_usize..10_000), 1..200),
        ) {
            let mut tree = BitTree::try_new(limit).expect("memory");
            let mut plain = BTreeSet::new();
            for (insert, number) in acts {
                if insert && number < limit {
                    plain.insert(number);
                    tree.insert(number);
                } else {
                    plain.remove(&number);
                    tree.remove(number);
                }
                prop_assert_eq!(tree.first(), plain.first().copied());
                prop_assert_eq!(tree.contains(number), plain.contains(&number));
            }
        }
    }

    #[test]
    fn a_bit_and_little_more_is_spent_on_each_number() {
        let tree = BitTree::try_new(1 << 18).expect("memory");
        assert!(tree.bytes() * 8 < (1 << 18) * 65 / 64 + 1024);
    }
}
