//! What a domain has mapped of others' grants: the handles of its mappings.
//!
//! A handle is given out again as late as can be: what has become free waits behind all others. Dom0 has very many,
//! so a mapping is 12 bytes: a word that says what is mapped where, and whose grant it is.

use alloc::vec::Vec;

const FRAME_SHIFT: u32 = 12;
/// In a mapping's word: frame numbers of 32 bits (host) and 28 bits (guest: its addresses have 40), and flags. In
/// that of a free handle: the number of the next one.
const HOST_SHIFT: u32 = 32;
const NUMBER_SHIFT: u32 = 4;
const GUEST: u64 = (1 << HOST_SHIFT) - (1 << NUMBER_SHIFT);
const USED: u64 = 1;
const WRITABLE: u64 = 2;
/// No handle has this number.
const END: u64 = u64::MAX >> NUMBER_SHIFT;
const NONE: usize = usize::MAX >> NUMBER_SHIFT;

/// A mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Index of the domain whose grant it is.
    pub granter: u16,
    /// The grant.
    pub reference: u32,
    /// Guest address where it is mapped.
    pub at: u64,
    /// Host address of the frame.
    pub host: u64,
    /// The mapping domain may write.
    pub writable: bool,
}

/// A domain's mappings, by handle.
#[derive(Debug)]
pub struct Tracks {
    words: Vec<u64>,
    /// Granter and reference.
    grants: Vec<(u16, u16)>,
    first_free: usize,
    last_free: usize,
    used: usize,
}

impl Tracks {
    /// Bytes of a handle.
    pub(super) const BYTES: usize = size_of::<u64>().saturating_add(size_of::<(u16, u16)>());

    pub(super) fn try_new(count: usize) -> Option<Self> {
        let (mut words, mut grants) = (Vec::new(), Vec::new());
        words.try_reserve_exact(count).ok()?;
        grants.try_reserve_exact(count).ok()?;
        words.extend((1..=u64::try_from(count).ok()?).map(|next| next << NUMBER_SHIFT));
        grants.resize(count, (0, 0));
        let last_free = count.checked_sub(1)?;
        *words.get_mut(last_free)? = END << NUMBER_SHIFT;
        Some(Tracks { words, grants, first_free: 0, last_free, used: 0 })
    }

    /// Handles in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Takes the next free handle. `None` where there is none.
    #[inline(always)]
    pub fn take(&mut self, mapping: &Mapping) -> Option<u32> {
        let number = self.first_free;
        let host = u32::try_from(mapping.host >> FRAME_SHIFT).ok()?;
        let reference = u16::try_from(mapping.reference).ok()?;
        let word = self.words.get_mut(number)?;
        let next = *word >> NUMBER_SHIFT;
        let guest = mapping.at >> (FRAME_SHIFT - NUMBER_SHIFT) & GUEST;
        let writable = if mapping.writable { WRITABLE } else { 0 };
        *word = u64::from(host) << HOST_SHIFT | guest | USED | writable;
        *self.grants.get_mut(number)? = (mapping.granter, reference);
        self.first_free = usize::try_from(next).ok()?;
        self.used = self.used.saturating_add(1);
        u32::try_from(number).ok()
    }

    /// The mapping of a handle.
    #[inline]
    pub fn get(&self, handle: u32) -> Option<Mapping> {
        let number = usize::try_from(handle).ok()?;
        let word = *self.words.get(number)?;
        let (granter, reference) = *self.grants.get(number)?;
        (word & USED != 0).then(|| Mapping {
            granter,
            reference: u32::from(reference),
            at: (word & GUEST) << (FRAME_SHIFT - NUMBER_SHIFT),
            host: host_of(word),
            writable: word & WRITABLE != 0,
        })
    }

    /// Sets a handle free, behind all that are.
    #[inline]
    pub fn free(&mut self, handle: u32) {
        let Ok(number) = usize::try_from(handle) else { return };
        let Some(word) = self.words.get_mut(number).filter(|word| **word & USED != 0) else { return };
        *word = END << NUMBER_SHIFT;
        if let Some(last) = self.words.get_mut(self.last_free).filter(|_| self.first_free != NONE) {
            *last = u64::from(handle) << NUMBER_SHIFT;
        } else {
            self.first_free = number;
        }
        self.last_free = number;
        self.used = self.used.saturating_sub(1);
    }

    /// Puts the next free handle behind all others, as if it had been used.
    #[inline(never)]
    pub fn pass(&mut self) {
        let nothing = Mapping { granter: 0, reference: 0, at: 0, host: 0, writable: false };
        if let Some(handle) = self.take(&nothing) {
            self.free(handle);
        }
    }

    /// The first handle in use that is not below `from`, and its mapping.
    pub fn next(&self, from: u32) -> Option<(u32, Mapping)> {
        if self.used == 0 {
            return None;
        }
        let count = u32::try_from(self.words.len()).ok()?;
        (from..count).find_map(|handle| Some((handle, self.get(handle)?)))
    }

    /// Is there a mapping of the frame at this host address?
    pub fn maps(&self, host: u64) -> bool {
        let host = host >> FRAME_SHIFT << FRAME_SHIFT;
        self.used != 0 && self.words.iter().any(|word| word & USED != 0 && host_of(*word) == host)
    }
}

/// The host address in a word.
fn host_of(word: u64) -> u64 {
    word >> HOST_SHIFT << FRAME_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_comes_out_as_it_went_in() {
        let mut tracks = Tracks::try_new(4).expect("memory");
        let all = Mapping {
            granter: u16::MAX,
            reference: 0xffff,
            at: 0xff_ffff_f000,
            host: 0xfff_ffff_f000,
            writable: true,
        };
        let none = Mapping { granter: 0, reference: 0, at: 0, host: 0, writable: false };
        let one_each = [
            Mapping { granter: 1, ..none },
            Mapping { reference: 1, ..none },
            Mapping { at: 1 << FRAME_SHIFT, ..none },
        ];
        for mapping in [all, none].iter().chain(&one_each) {
            let handle = tracks.take(mapping).expect("a handle");
            assert_eq!(tracks.get(handle), Some(*mapping));
            tracks.free(handle);
            assert_eq!(tracks.get(handle), None);
        }
    }

    #[test]
    fn each_handle_is_given_out_once_and_the_longest_free_one_first() {
        let mut tracks = Tracks::try_new(3).expect("memory");
        let mapping = Mapping { granter: 2, reference: 8, at: 0x4000, host: 0x5000, writable: false };
        let handles: Vec<u32> = core::iter::from_fn(|| tracks.take(&mapping)).collect();
        assert_eq!((handles, tracks.used()), (alloc::vec![0, 1, 2], 3));
        tracks.free(1);
        tracks.free(0);
        assert_eq!(
            [tracks.take(&mapping), tracks.take(&mapping), tracks.take(&mapping)],
            [Some(1), Some(0), None]
        );
    }
}
