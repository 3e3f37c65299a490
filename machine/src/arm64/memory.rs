//! Memory that is not ours: modules are read, guest RAM is cleared and filled.
//!
//! Guest RAM is written uncached. Nothing of it is then in a cache when the guest starts with its MMU
//! off, and no maintenance by line is needed afterwards; what firmware may have left in caches was
//! swept out by the first instructions of boot.
#![expect(unsafe_code, reason = "copies between foreign memory and ours")]

use plan::Range;

use super::system::barrier;
use super::translation::{Memory, with_window, with_windows};
use crate::frames::FrameRange;

unsafe extern "C" {
    fn clear_frames(destination: usize, bytes: usize);
}

/// The most that one window shows.
const STEP: u64 = 128 << 20;

/// Copies physical memory out. False where the range cannot be shown.
pub(crate) fn read(at: u64, into: &mut [u8]) -> bool {
    let Some(range) = range(at, into.len()) else { return into.is_empty() };
    with_window(range, Memory::ReadOnly, |source| {
        // SAFETY: the window shows `into.len()` readable bytes at `source`; `into` is ours and elsewhere.
        unsafe { core::ptr::copy_nonoverlapping(source as *const u8, into.as_mut_ptr(), into.len()) };
    })
    .is_some()
}

/// Makes all frames read as zero.
pub(crate) fn clear(frames: &mut FrameRange) -> bool {
    let mut done = 0;
    while done < frames.size() {
        let size = STEP.min(frames.size() - done);
        let shown =
            with_window(Range { base: frames.base().saturating_add(done), size }, Memory::Uncached, |to| {
                // SAFETY: the window shows `size` bytes that `frames` owns, in whole frames; the vector
                // registers it uses hold nothing of ours.
                unsafe { clear_frames(to, size as usize) };
                barrier!("dsb sy");
            });
        if shown.is_none() {
            return false;
        }
        done = done.saturating_add(size);
    }
    true
}

/// Copies bytes of ours into frames. False where they do not fit.
pub(crate) fn write(frames: &mut FrameRange, offset: u64, bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let Some(to) = inside(frames, offset, bytes.len() as u64) else { return false };
    with_window(to, Memory::Uncached, |to| {
        // SAFETY: the window shows bytes that `frames` owns; `bytes` is ours and elsewhere.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
        barrier!("dsb sy");
    })
    .is_some()
}

/// Copies a module into frames. False where it does not fit.
pub(crate) fn copy(frames: &mut FrameRange, offset: u64, module: Range) -> bool {
    let mut done = 0;
    while done < module.size {
        let size = (module.size - done).min(STEP);
        let from = Range { base: module.base.saturating_add(done), size };
        let to = inside(frames, offset.saturating_add(done), size);
        let Some(to) = to.filter(|to| !to.overlaps(&from)) else { return false };
        let copied = with_windows([(to, Memory::Uncached), (from, Memory::ReadOnly)], |[to, from]| {
            // SAFETY: the windows show `size` bytes each: `frames` owns those at `to`, and `from` is elsewhere.
            unsafe { core::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, size as usize) };
            barrier!("dsb sy");
        });
        if copied.is_none() {
            return false;
        }
        done = done.saturating_add(size);
    }
    true
}

/// Drops all cached instructions: guests' code now lies where other code may have been.
pub(crate) fn forget_instructions() {
    barrier!("dsb ish");
    barrier!("ic ialluis");
    barrier!("dsb ish");
    barrier!("isb");
}

fn range(at: u64, length: usize) -> Option<Range> {
    let size = u64::try_from(length).ok()?;
    at.checked_add(size)?;
    (size > 0).then_some(Range { base: at, size })
}

fn inside(frames: &FrameRange, offset: u64, size: u64) -> Option<Range> {
    let end = offset.checked_add(size)?;
    (end <= frames.size()).then_some(Range { base: frames.base().saturating_add(offset), size })
}
