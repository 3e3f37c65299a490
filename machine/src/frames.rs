//! Who owns which frame: host memory as values that cannot be copied.
//!
//! A [`FrameRange`] is the ownership of some 4 KiB frames of host RAM. It is not `Clone`: whoever has one
//! is the only one, and page tables take it instead of a bare number. All of them come out of one
//! [`FramePool`], which hands out each frame once. That is construction; how frames change hands while
//! guests run is told in [`table`].

mod bits;
mod buddies;
pub mod shelf;
pub mod table;

use alloc::vec::Vec;
use plan::Range;
pub use table::{Block, FrameTable, GuestFrame, Held, LARGEST_ORDER, MOST_OWNERS, NO_DOMAIN, OwnerIndex};

/// Bytes of a frame.
pub const FRAME_SIZE: u64 = 4096;
/// The same, as a length of memory.
pub const FRAME_BYTES: usize = FRAME_SIZE as usize;

/// The ownership of consecutive frames of host RAM.
#[derive(Debug, PartialEq, Eq)]
pub struct FrameRange {
    base: u64,
    size: u64,
}

impl FrameRange {
    /// Host-physical address of the first byte.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Bytes, a multiple of [`FRAME_SIZE`] and not 0.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Why frames were not handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimError {
    /// Not whole frames, or none.
    Unaligned,
    /// Not RAM that the pool was made of.
    NotRam,
    /// In use.
    InUse,
    /// No memory to remember the claim in.
    OutOfMemory,
}

/// Host RAM that has not been handed out yet.
#[derive(Debug)]
pub struct FramePool {
    free: Vec<Range>,
    all: Vec<Range>,
}

impl FramePool {
    /// A pool of the given ranges, which the caller owns. Parts that are no whole frames, and parts that
    /// overlap an earlier range, are left out.
    pub(crate) fn new(ranges: &[Range]) -> Self {
        let mut pool = FramePool { free: Vec::new(), all: Vec::new() };
        for range in ranges {
            let base = range.base.next_multiple_of(FRAME_SIZE);
            let end = range.base.saturating_add(range.size) & !(FRAME_SIZE - 1);
            if base < end && !pool.all.iter().any(|known| known.overlaps(&Range { base, size: end - base })) {
                pool.free.push(Range { base, size: end - base });
                pool.all.push(Range { base, size: end - base });
            }
        }
        pool
    }

    /// Hands out exactly these frames.
    ///
    /// # Errors
    /// See [`ClaimError`]; the pool is unchanged then.
    pub fn claim(&mut self, range: Range) -> Result<FrameRange, ClaimError> {
        if range.size == 0 || !range.base.is_multiple_of(FRAME_SIZE) || !range.size.is_multiple_of(FRAME_SIZE)
        {
            return Err(ClaimError::Unaligned);
        }
        if !self.all.iter().any(|known| known.contains(&range)) {
            return Err(ClaimError::NotRam);
        }
        let index = self.free.iter().position(|known| known.contains(&range)).ok_or(ClaimError::InUse)?;
        self.free.try_reserve(1).map_err(|_| ClaimError::OutOfMemory)?;
        let from = self.free.swap_remove(index);
        let before = range.base - from.base;
        let after = (from.base + from.size) - (range.base + range.size);
        if before > 0 {
            self.free.push(Range { base: from.base, size: before });
        }
        if after > 0 {
            self.free.push(Range { base: range.base + range.size, size: after });
        }
        Ok(FrameRange { base: range.base, size: range.size })
    }

    /// Takes what is left of a range out of the pool, for good: it will be nobody's.
    ///
    /// # Errors
    /// [`ClaimError::OutOfMemory`].
    pub fn withhold(&mut self, range: Range) -> Result<(), ClaimError> {
        let end = range.base.saturating_add(range.size);
        while let Some(known) = self.free.iter().find(|known| known.overlaps(&range)) {
            let base = known.base.max(range.base);
            let size = known.base.saturating_add(known.size).min(end).saturating_sub(base);
            // It is given to nobody.
            let _ = self.claim(Range { base, size })?;
        }
        Ok(())
    }

    /// Bytes that have not been handed out.
    pub fn free_bytes(&self) -> u64 {
        self.free.iter().map(|range| range.size).sum()
    }
}

#[cfg(test)]
mod tests;
