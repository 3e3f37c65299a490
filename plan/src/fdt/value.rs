//! What properties say: numbers, texts, and lists of addresses in cells.

use super::{big_endian_u32, big_endian_u64, bytes_to_nul};

/// A property of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    pub(crate) name: &'a [u8],
    /// Its value, uninterpreted.
    pub value: &'a [u8],
}

impl<'a> Property<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        core::str::from_utf8(self.name).unwrap_or("")
    }

    /// The value as one cell; `None` if it has another length.
    #[must_use]
    pub fn u32(&self) -> Option<u32> {
        if self.value.len() == 4 { big_endian_u32(self.value, 0) } else { None }
    }

    /// The value as one 64-bit number; `None` if it has another length.
    #[must_use]
    pub fn u64(&self) -> Option<u64> {
        if self.value.len() == 8 { big_endian_u64(self.value, 0) } else { None }
    }

    /// The value as one or two cells.
    #[must_use]
    pub fn u32_or_u64(&self) -> Option<u64> {
        self.u32().map(u64::from).or_else(|| self.u64())
    }

    /// The value as one text; `None` if it is not UTF-8 with one NUL, at its end.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        let bytes = bytes_to_nul(self.value, 0)?;
        if bytes.len().checked_add(1)? != self.value.len() {
            return None;
        }
        core::str::from_utf8(bytes).ok()
    }

    /// The value as a list of texts. Entries that are not UTF-8 are left out.
    pub fn strings(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.value
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty())
            .filter_map(|entry| core::str::from_utf8(entry).ok())
    }

    /// Whether one of the texts of the value is `text`.
    #[must_use]
    pub fn lists(&self, text: &str) -> bool {
        self.value.split(|byte| *byte == 0).any(|entry| entry == text.as_bytes())
    }

    /// The cells of the value; a rest that is no whole cell is left out.
    pub fn cells(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.value.as_chunks().0.iter().map(|cell| u32::from_be_bytes(*cell))
    }

    /// The value as a list of address and size pairs; `None` if its length does not divide into them.
    #[must_use]
    pub fn reg(&self, cells: Cells) -> Option<RegEntries<'a>> {
        let length = self.value.len();
        let whole = match cells.entry_cells()? {
            1 => length.is_multiple_of(4),
            2 => length.is_multiple_of(8),
            3 => length.is_multiple_of(12),
            _ => length.is_multiple_of(16),
        };
        whole.then_some(RegEntries { rest: self.value, cells })
    }
}

/// How many cells addresses and sizes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// Cells of an address: 1 or 2 can be read.
    pub address: u32,
    /// Cells of a size: 0, 1 or 2 can be read.
    pub size: u32,
}

impl Cells {
    /// What a node sees where no ancestor says anything (Devicetree Specification 0.4, 2.3.5).
    pub const DEFAULT: Self = Self { address: 2, size: 1 };

    /// Cells of one address and size, 1 to 4; `None` if they cannot be read.
    const fn entry_cells(self) -> Option<u32> {
        match (self.address, self.size) {
            (address @ 1..=2, size @ 0..=2) => address.checked_add(size),
            _ => None,
        }
    }
}

/// Takes a number of `cells` cells (0, 1 or 2) off the front of `rest`.
pub(super) fn take_cells(rest: &mut &[u8], cells: u32) -> Option<u64> {
    let (value, bytes) = match cells {
        0 => (0, 0),
        1 => (u64::from(big_endian_u32(rest, 0)?), 4),
        2 => (big_endian_u64(rest, 0)?, 8),
        _ => return None,
    };
    *rest = rest.get(bytes..)?;
    Some(value)
}

/// Iterator over address and size pairs.
#[derive(Clone, Debug)]
pub struct RegEntries<'a> {
    rest: &'a [u8],
    cells: Cells,
}

impl RegEntries<'_> {
    /// Pairs that are to come.
    pub(crate) fn left(&self) -> u64 {
        let bytes = u64::from(self.cells.address.saturating_add(self.cells.size)).saturating_mul(4);
        u64::try_from(self.rest.len()).unwrap_or(u64::MAX).checked_div(bytes).unwrap_or(0)
    }
}

impl Iterator for RegEntries<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        if self.rest.is_empty() {
            return None;
        }
        let address = take_cells(&mut self.rest, self.cells.address)?;
        let size = take_cells(&mut self.rest, self.cells.size)?;
        Some((address, size))
    }
}
