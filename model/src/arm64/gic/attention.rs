//! A set of vCPUs.

use core::ops::{BitOr, BitOrAssign};

/// The vCPUs whose list registers no longer hold what they should.
///
/// Each of them must pass through [`super::Gic::refill`] before it enters the guest again: one that runs
/// on another processor is to be kicked, one that sleeps is to be looked at with
/// [`super::Gic::deliverable`]. For the vCPU on whose behalf the call was made it is enough to look at
/// [`super::Gic::needs_refill`] on the way back into the guest.
#[must_use = "these vCPUs have to be refilled"]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attention(pub(super) u128);

impl Attention {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// One vCPU; nobody if the number is above 127.
    #[inline]
    pub fn of(vcpu: usize) -> Self {
        Self(if vcpu < 128 { 1_u128.wrapping_shl(u32::try_from(vcpu).unwrap_or(0)) } else { 0 })
    }

    /// One vCPU by its short number; above 127 the result is unspecified.
    #[inline]
    pub(super) fn of_number(vcpu: u8) -> Self {
        Self(1_u128.wrapping_shl(u32::from(vcpu)))
    }

    /// The vCPUs from 0 to `count` - 1.
    pub fn first(count: usize) -> Self {
        let absent = u32::try_from(count).ok().and_then(|count| u128::MAX.checked_shl(count));
        Self(!absent.unwrap_or(0))
    }

    /// Nobody at all?
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this vCPU is among them.
    #[inline]
    pub fn contains(self, vcpu: usize) -> bool {
        self.0 & Self::of(vcpu).0 != 0
    }

    /// All of them but this one.
    #[inline]
    pub fn without(self, vcpu: usize) -> Self {
        Self(self.0 & !Self::of(vcpu).0)
    }

    /// Those that are in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Their numbers, lowest first.
    #[inline]
    pub const fn iter(self) -> Iter {
        Iter(self.0)
    }
}

impl BitOr for Attention {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Attention {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl IntoIterator for Attention {
    type Item = usize;
    type IntoIter = Iter;

    #[inline]
    fn into_iter(self) -> Iter {
        self.iter()
    }
}

/// The vCPUs of an [`Attention`].
#[derive(Clone, Debug)]
pub struct Iter(u128);

impl Iterator for Iter {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let number = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        usize::try_from(number).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = Attention::of(0) | Attention::of(64) | Attention::of(127) | Attention::of(128);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 64, 127]);
        assert!(set.contains(64) && !set.contains(63) && !set.contains(1000));
        assert_eq!(set.without(64).iter().collect::<Vec<_>>(), [0, 127]);
        assert!(Attention::NONE.is_empty());
    }

    #[test]
    fn the_first_are_counted() {
        assert_eq!(Attention::first(0), Attention::NONE);
        assert_eq!(Attention::first(3).iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(Attention::first(128).iter().count(), 128);
        assert_eq!(Attention::first(500).iter().count(), 128);
    }
}
