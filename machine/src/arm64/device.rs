//! Device registers: mapped once, reached by offset, never behind a reference.
#![expect(unsafe_code, reason = "volatile access to mapped registers")]

use plan::Range;

use super::translation::{self, Memory};

/// A window onto a device's registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    base: usize,
    size: usize,
}

// The address is one of the device area, mapped for good and not RAM.
impl Registers {
    /// Maps a device's registers. `None` where the tables or the device area are used up.
    pub(crate) fn map(range: Range) -> Option<Registers> {
        let base = translation::map_device(range, Memory::Device)?;
        Some(Registers { base, size: usize::try_from(range.size).ok()? })
    }

    /// Bytes that are mapped.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// A part of the window.
    pub(crate) fn part(&self, offset: usize, size: usize) -> Option<Registers> {
        (offset.checked_add(size)? <= self.size).then_some(Registers { base: self.base + offset, size })
    }

    #[inline]
    fn holds(&self, offset: usize, bytes: usize) -> bool {
        offset.checked_add(bytes).is_some_and(|end| end <= self.size)
    }

    /// Reads a 32-bit register; 0 beyond the window.
    #[inline]
    pub(crate) fn read(&self, offset: usize) -> u32 {
        if !self.holds(offset, 4) {
            return 0;
        }
        let address = self.base.wrapping_add(offset) as *const u32;
        // SAFETY: inside the window, which stays mapped for ever as device memory. The explicit load
        // keeps the compiler from choosing one that a hypervisor below us could not decode.
        unsafe { address.read_volatile() }
    }

    /// Writes a 32-bit register; nothing beyond the window.
    #[inline]
    pub(crate) fn write(&self, offset: usize, value: u32) {
        if !self.holds(offset, 4) {
            return;
        }
        let address = self.base.wrapping_add(offset) as *mut u32;
        // SAFETY: as in `read`; device registers are no Rust object.
        unsafe { address.write_volatile(value) };
    }

    /// Reads a 64-bit register; 0 beyond the window.
    pub(crate) fn read_wide(&self, offset: usize) -> u64 {
        if !self.holds(offset, 8) {
            return 0;
        }
        let address = self.base.wrapping_add(offset) as *const u64;
        // SAFETY: as in `read`.
        unsafe { address.read_volatile() }
    }

    /// Writes a 64-bit register; nothing beyond the window.
    pub(crate) fn write_wide(&self, offset: usize, value: u64) {
        if !self.holds(offset, 8) {
            return;
        }
        let address = self.base.wrapping_add(offset) as *mut u64;
        // SAFETY: as in `write`.
        unsafe { address.write_volatile(value) };
    }
}
