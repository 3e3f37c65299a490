//! The interrupts that a vCPU is owed: a bitmap by INTID with a summary word.

use crate::bits::{Ones, index};

/// Words of 64 INTIDs; INTIDs end at 1019.
const WORDS: usize = 16;

/// A set of INTIDs below 1024.
#[derive(Clone, Debug, Default)]
pub(super) struct Owed {
    words: [u64; WORDS],
    /// Bit n: word n is not zero.
    summary: u64,
}

impl Owed {
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.summary == 0
    }

    #[inline]
    pub(super) fn insert(&mut self, intid: usize) {
        let (place, bit) = split(intid);
        if let Some(word) = self.words.get_mut(place) {
            *word |= bit;
            self.summary |= summary_bit(place);
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, intid: usize) {
        let (place, bit) = split(intid);
        if let Some(word) = self.words.get_mut(place) {
            *word &= !bit;
            if *word == 0 {
                self.summary &= !summary_bit(place);
            }
        }
    }

    /// The INTID, if there is just one.
    #[inline]
    pub(super) fn only(&self) -> Option<usize> {
        let mut places = self.places();
        let place = places.next()?;
        let mut word = self.word(place);
        let bit = word.next()?;
        (places.0 == 0 && word.0 == 0).then(|| intid_of(place, bit))
    }

    /// Whether there are at most `most`.
    #[inline]
    pub(super) fn at_most(&self, most: usize) -> bool {
        self.iter().nth(most).is_none()
    }

    /// The places whose words are not zero.
    #[inline]
    pub(super) const fn places(&self) -> Ones {
        Ones(self.summary)
    }

    /// The INTIDs of one word, less 64 times its place.
    #[inline]
    pub(super) fn word(&self, place: u32) -> Ones {
        Ones(self.words.get(index(place)).copied().unwrap_or(0))
    }

    /// The INTIDs, lowest first.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.places().flat_map(|place| self.word(place).map(move |bit| intid_of(place, bit)))
    }
}

/// The INTID of a bit in a word.
#[inline]
pub(super) fn intid_of(place: u32, bit: u32) -> usize {
    index(place.wrapping_shl(6) | bit)
}

/// The word of an INTID and its bit there.
#[inline]
const fn split(intid: usize) -> (usize, u64) {
    let [low, ..] = intid.to_le_bytes();
    (intid >> 6, 1_u64.rotate_left(low_six(low)))
}

/// Bits 5 to 0.
const fn low_six(byte: u8) -> u32 {
    u32::from_le_bytes([byte & 63, 0, 0, 0])
}

#[inline]
const fn summary_bit(place: usize) -> u64 {
    let [low, ..] = place.to_le_bytes();
    1_u64.rotate_left(low_six(low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0_usize..1100), 0..300)) {
            let mut owed = Owed::default();
            let mut model = BTreeSet::new();
            for (insert, intid) in steps {
                if insert {
                    owed.insert(intid);
                    if intid < 1024 {
                        model.insert(intid);
                    }
                } else {
                    owed.remove(intid);
                    model.remove(&intid);
                }
                prop_assert_eq!(owed.is_empty(), model.is_empty());
            }
            prop_assert!(owed.at_most(model.len()));
            prop_assert_eq!(owed.only(), model.first().copied().filter(|_| model.len() == 1));
            prop_assert!(model.is_empty() || !owed.at_most(model.len() - 1));
            prop_assert_eq!(owed.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
