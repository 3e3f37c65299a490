//! RAM of the simulated machine: a frame takes memory of the host once it has been written.

use std::collections::HashMap;

use plan::{Modules, Range};

use crate::frames::{FRAME_BYTES as FRAME, FRAME_SIZE};

/// What a byte holds that nobody has written: whoever forgets to clear memory sees it.
pub const UNTOUCHED: u8 = 0xa5;

/// Simulated RAM.
#[derive(Debug, Default)]
pub struct Memory {
    banks: Vec<Range>,
    /// Frames that were written; without content where they are all zero.
    frames: HashMap<u64, Option<Box<[u8; FRAME]>>>,
}

impl Memory {
    /// RAM in these banks, of whole frames.
    pub fn new(banks: &[Range]) -> Self {
        Memory { banks: banks.to_vec(), frames: HashMap::new() }
    }

    /// Copies bytes out. False where not all of it is RAM.
    pub fn read(&self, at: u64, into: &mut [u8]) -> bool {
        if !self.holds(at, into.len() as u64) {
            return false;
        }
        for (number, offset, part) in parts(at, into.len()) {
            let into = &mut into[part.clone()];
            match self.frames.get(&number) {
                None => into.fill(UNTOUCHED),
                Some(None) => into.fill(0),
                Some(Some(frame)) => into.copy_from_slice(&frame[offset..offset + part.len()]),
            }
        }
        true
    }

    /// Copies bytes in. False where not all of it is RAM.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> bool {
        if !self.holds(at, bytes.len() as u64) {
            return false;
        }
        for (number, offset, part) in parts(at, bytes.len()) {
            let frame = self.frames.entry(number).or_insert_with(|| Some(Box::new([UNTOUCHED; FRAME])));
            let frame = frame.get_or_insert_with(|| Box::new([0; FRAME]));
            frame[offset..offset + part.len()].copy_from_slice(&bytes[part]);
        }
        true
    }

    /// Makes whole frames zero. False where not all of it is RAM.
    pub(super) fn clear(&mut self, range: Range) -> bool {
        if !self.holds(range.base, range.size) {
            return false;
        }
        for number in range.base / FRAME_SIZE..(range.base + range.size) / FRAME_SIZE {
            self.frames.insert(number, None);
        }
        true
    }

    fn holds(&self, at: u64, size: u64) -> bool {
        let inside = |bank: &Range| {
            at >= bank.base && at.checked_add(size).is_some_and(|end| end <= bank.base + bank.size)
        };
        size == 0 || self.banks.iter().any(inside)
    }
}

/// What of so many bytes lies in which frame, and where in it.
fn parts(at: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let address = at.checked_add(done as u64).filter(|_| done < bytes)?;
        let offset = (address % FRAME_SIZE) as usize;
        let part = done..bytes.min(done + FRAME - offset);
        done = part.end;
        Some((address / FRAME_SIZE, offset, part))
    })
}

impl Modules for Memory {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        Memory::read(self, at, into)
    }
}
