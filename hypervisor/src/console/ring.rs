//! Bytes on their way to the UART: a ring of fixed size.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// The ring. Its length is a power of two.
#[derive(Debug)]
pub struct Ring {
    bytes: Box<[u8]>,
    /// Bytes ever written, and ever read.
    written: usize,
    read: usize,
}

impl Ring {
    /// An empty ring of 2^`order` bytes. `None` where there is no memory.
    pub fn try_new(order: u32) -> Option<Self> {
        let size = 1_usize.checked_shl(order)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).ok()?;
        bytes.resize(size, 0);
        Some(Ring { bytes: bytes.into_boxed_slice(), written: 0, read: 0 })
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.written.wrapping_sub(self.read)
    }

    /// Bytes that fit.
    pub fn room(&self) -> usize {
        self.bytes.len().wrapping_sub(self.waiting())
    }

    /// Appends a byte; false where there is no room.
    pub fn push(&mut self, byte: u8) -> bool {
        if self.room() == 0 {
            return false;
        }
        let at = self.written & self.bytes.len().wrapping_sub(1);
        if let Some(slot) = self.bytes.get_mut(at) {
            *slot = byte;
        }
        self.written = self.written.wrapping_add(1);
        true
    }

    /// The oldest bytes, as far as they lie together.
    pub fn oldest(&self) -> &[u8] {
        let at = self.read & self.bytes.len().wrapping_sub(1);
        let end = at.saturating_add(self.waiting()).min(self.bytes.len());
        self.bytes.get(at..end).unwrap_or_default()
    }

    /// Bytes ever written.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Appends a byte; where there is no room the oldest one is forgotten.
    pub fn push_over(&mut self, byte: u8) {
        if self.room() == 0 {
            self.advance(1);
        }
        self.push(byte);
    }

    /// Copies out what was written from the byte with this number on, as far as it is still there.
    pub fn copy_from(&self, number: usize, into: &mut [u8]) -> usize {
        let mut copied = 0_usize;
        for place in into {
            let at = number.wrapping_add(copied);
            let ahead = self.written.wrapping_sub(at);
            if ahead == 0 || ahead > self.waiting() {
                break;
            }
            let index = at & self.bytes.len().wrapping_sub(1);
            *place = self.bytes.get(index).copied().unwrap_or(0);
            copied = copied.saturating_add(1);
        }
        copied
    }

    /// Forgets the oldest `count` bytes.
    pub fn advance(&mut self, count: usize) {
        self.read = self.read.wrapping_add(count.min(self.waiting()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_the_order_in_which_they_went_in() {
        let mut ring = Ring::try_new(4).unwrap();
        let mut expected = std::collections::VecDeque::new();
        for round in 0..100_u8 {
            for byte in 0..round % 17 {
                let fits = expected.len() < 16;
                assert_eq!(ring.push(byte), fits);
                if fits {
                    expected.push_back(byte);
                }
            }
            let count = ring.oldest().len().min(usize::from(round % 5));
            let taken: Vec<u8> = ring.oldest()[..count].to_vec();
            assert_eq!(taken, expected.drain(..count).collect::<Vec<_>>());
            ring.advance(count);
            assert_eq!(ring.waiting(), expected.len());
        }
    }
}
