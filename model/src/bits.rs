//! Cutting fields out of words without a lossy conversion and without arithmetic that can stop.

/// Bits 7 to 0.
pub(crate) const fn low_u8(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// Bits 15 to 0.
pub(crate) const fn low_u16(value: u64) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// Bits 31 to 0.
pub(crate) const fn low_u32(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Bits 31 to 0 read as a signed number, to 64 bits.
pub(crate) const fn sign_extended_u32(value: u64) -> u64 {
    value.wrapping_shl(32).cast_signed().wrapping_shr(32).cast_unsigned()
}

/// Whether bit `number` is set; false for numbers above 63.
pub(crate) const fn bit(value: u64, number: u32) -> bool {
    match value.checked_shr(number) {
        Some(shifted) => shifted & 1 != 0,
        None => false,
    }
}

/// An index from a number of 32 bits.
pub(crate) fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The numbers of the bits that are set, lowest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ones(pub(crate) u64);

impl Iterator for Ones {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let number = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn fields_are_cut_where_they_lie() {
        let value = 0x8877_6655_c433_2211;
        assert_eq!(low_u8(value), 0x11);
        assert_eq!(low_u16(value), 0x2211);
        assert_eq!(low_u32(value), 0xc433_2211);
        assert_eq!(sign_extended_u32(value), 0xffff_ffff_c433_2211);
        assert_eq!(sign_extended_u32(0x7fff_ffff), 0x7fff_ffff);
    }

    #[test]
    fn a_bit_beyond_the_word_is_clear() {
        assert!(bit(1 << 63, 63));
        assert!(!bit(u64::MAX, 64));
        assert!(!bit(u64::MAX, u32::MAX));
    }

    #[test]
    fn ones_come_lowest_first() {
        assert_eq!(Ones(0x8000_0000_0000_0005).collect::<Vec<_>>(), [0, 2, 63]);
        assert_eq!(Ones(0).next(), None);
    }
}
