//! Ranges of addresses, and sets of them.
//!
//! A [`Range`] is never empty and never wraps; [`RangeSet`] keeps ranges sorted, disjoint and merged, and
//! changes in place, so that a boot heap that cannot give back is not eaten by temporary lists.

use alloc::vec::Vec;
use core::fmt;

use crate::shape::Range;

/// Bytes in a frame of RAM, the smallest unit that is given to anyone.
pub const FRAME_BYTES: u64 = 4096;
/// Bytes that one level 2 entry of a translation table maps.
pub const BLOCK_2_MIB: u64 = 2 << 20;
/// Bytes that one level 1 entry of a translation table maps.
pub const BLOCK_1_GIB: u64 = 1 << 30;

/// `value` rounded down to a multiple of `align`, a power of two.
#[must_use]
pub const fn align_down(value: u64, align: u64) -> u64 {
    value & !align.wrapping_sub(1)
}

/// `value` rounded up to a multiple of `align`, a power of two; `None` where that is beyond 64 bits.
#[must_use]
pub const fn align_up(value: u64, align: u64) -> Option<u64> {
    match value.checked_add(align.wrapping_sub(1)) {
        Some(sum) => Some(align_down(sum, align)),
        None => None,
    }
}

/// Whether `value` is a multiple of `align`, a power of two.
#[must_use]
pub const fn is_aligned(value: u64, align: u64) -> bool {
    value & align.wrapping_sub(1) == 0
}

impl Range {
    /// The range of `size` bytes at `base`; `None` if it is empty or ends beyond 2^64 - 1.
    #[must_use]
    pub const fn new(base: u64, size: u64) -> Option<Self> {
        if size == 0 || base.checked_add(size).is_none() { None } else { Some(Self { base, size }) }
    }

    /// The range from `base` up to but without `end`; `None` if that is empty.
    #[must_use]
    pub const fn between(base: u64, end: u64) -> Option<Self> {
        match end.checked_sub(base) {
            Some(size) => Self::new(base, size),
            None => None,
        }
    }

    /// First address behind the range.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.base.saturating_add(self.size)
    }

    /// Whether the two share a byte.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.base < other.end() && other.base < self.end()
    }

    /// Whether all of `other` lies inside.
    #[must_use]
    pub const fn contains(&self, other: &Self) -> bool {
        self.base <= other.base && other.end() <= self.end()
    }

    /// The smallest range in whole units of `align` (a power of two) that holds this one.
    #[must_use]
    pub fn outward(&self, align: u64) -> Self {
        let base = align_down(self.base, align);
        let end = align_up(self.end(), align).unwrap_or(align_down(u64::MAX, align));
        Self::between(base, end).unwrap_or(*self)
    }

    /// The largest range in whole units of `align` (a power of two) inside this one, if there is any.
    #[must_use]
    pub fn inward(&self, align: u64) -> Option<Self> {
        Self::between(align_up(self.base, align)?, align_down(self.end(), align))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#x}..{:#x}", self.base, self.end())
    }
}

/// A size in bytes, printed in the largest unit that leaves no rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        if bytes != 0 && is_aligned(bytes, BLOCK_1_GIB) {
            write!(out, "{} GiB", bytes / BLOCK_1_GIB)
        } else if bytes != 0 && is_aligned(bytes, 1 << 20) {
            write!(out, "{} MiB", bytes >> 20)
        } else if bytes != 0 && is_aligned(bytes, 1024) {
            write!(out, "{} KiB", bytes >> 10)
        } else {
            write!(out, "{bytes} bytes")
        }
    }
}

/// Puts `item` into the sorted `list` at its place.
///
/// `Vec::insert` and the library's sorts carry stops; this does not, and the lists are short.
pub(crate) fn insert_sorted_by_key<T, K: Ord>(list: &mut Vec<T>, item: T, key: impl Fn(&T) -> K) {
    list.push(item);
    let mut length = list.len();
    while let Some([.., before, last]) = list.get_mut(..length) {
        if key(before) <= key(last) {
            return;
        }
        core::mem::swap(before, last);
        length = length.saturating_sub(1);
    }
}

/// Sorted, disjoint ranges; neighbours that touch are one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet(Vec<Range>);

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the bytes of `range`.
    pub fn insert(&mut self, range: Range) {
        let mut grown = range;
        self.0.retain(|old| {
            let apart = old.end() < grown.base || grown.end() < old.base;
            if !apart {
                let end = old.end().max(grown.end());
                grown = Range::between(old.base.min(grown.base), end).unwrap_or(grown);
            }
            apart
        });
        insert_sorted_by_key(&mut self.0, grown, |range| range.base);
    }

    /// Takes away the bytes of `cut`, as far as they are there.
    pub fn remove(&mut self, cut: Range) {
        let mut behind = None;
        self.0.retain_mut(|range| {
            if !range.overlaps(&cut) {
                return true;
            }
            let left = Range::between(range.base, cut.base);
            let right = Range::between(cut.end(), range.end());
            match (left, right) {
                (Some(left), right) => {
                    *range = left;
                    behind = behind.or(right);
                    true
                }
                (None, Some(right)) => {
                    *range = right;
                    true
                }
                (None, None) => false,
            }
        });
        if let Some(range) = behind {
            insert_sorted_by_key(&mut self.0, range, |range| range.base);
        }
    }

    /// The ranges, in order.
    pub fn iter(&self) -> core::slice::Iter<'_, Range> {
        self.0.iter()
    }

    /// Number of ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every byte of `range` is in the set.
    #[must_use]
    pub fn contains(&self, range: &Range) -> bool {
        self.0.iter().any(|own| own.contains(range))
    }

    /// The first range that shares a byte with `range`.
    #[must_use]
    pub fn overlapping(&self, range: &Range) -> Option<Range> {
        self.0.iter().find(|own| own.overlaps(range)).copied()
    }

    /// Bytes in the set.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, range| sum.saturating_add(range.size))
    }

    /// Bytes that are both in the set and in `range`.
    #[must_use]
    pub fn shared_with(&self, range: &Range) -> u64 {
        self.0.iter().fold(0, |sum, own| {
            let size = own.end().min(range.end()).saturating_sub(own.base.max(range.base));
            sum.saturating_add(size)
        })
    }

    /// The ranges as a list.
    #[must_use]
    pub fn into_vec(self) -> Vec<Range> {
        self.0
    }
}
