//! Guests' memory on the simulated machine: a program's addresses are its guest addresses, since its MMU is
//! off, and a word is changed while nobody else can look.

use model::arm64::Registers;

use super::{GuestMap, Sim, spin};
use crate::contract::Word;
use crate::frames::{FRAME_BYTES as FRAME, GuestFrame};

impl Sim {
    /// The registers are those of the vCPU that is loaded on the calling processor, and the map is its.
    pub(super) fn check_loaded(&self, registers: &Registers, map: &GuestMap) {
        let mut processor = self.processor(spin::processor());
        let domain = processor.loaded(registers).domain;
        assert_eq!(domain, map.domain, "the map of another domain than the loaded one's");
    }

    /// Calls `act` with host address, offset and bytes of each part that lies in one page.
    fn each_page(
        &self,
        (map, address, bytes, write): (&GuestMap, u64, usize, bool),
        mut act: impl FnMut(u64, usize, usize) -> bool,
    ) -> bool {
        let mut done = 0;
        while done < bytes {
            let at = address.wrapping_add(done as u64);
            let part = (FRAME - at as usize % FRAME).min(bytes - done);
            let tables = map.tables.lock();
            let Some(shown) = tables.shown(at).filter(|shown| shown.writable || !write) else { return false };
            if !self.frames.knows(shown.host) || !act(shown.host, done, part) {
                return false;
            }
            done += part;
        }
        true
    }

    pub(super) fn foreign_read(&self, map: &GuestMap, address: u64, into: &mut [u8]) -> bool {
        let bytes = into.len();
        self.each_page((map, address, bytes, false), |host, done, part| {
            self.memory.lock().expect("memory").read(host, &mut into[done..done + part])
        })
    }

    pub(super) fn foreign_write(&self, map: &GuestMap, address: u64, from: &[u8]) -> bool {
        self.each_page((map, address, from.len(), true), |host, done, part| {
            self.memory.lock().expect("memory").write(host, &from[done..done + part])
        })
    }

    pub(super) fn frame_read(&self, frame: &GuestFrame, offset: usize, into: &mut [u8]) -> bool {
        let fits = offset.checked_add(into.len()).is_some_and(|end| end <= FRAME);
        fits && self.memory.lock().expect("memory").read(frame.address() + offset as u64, into)
    }

    pub(super) fn frame_write(&self, frame: &GuestFrame, offset: usize, from: &[u8]) -> bool {
        let fits = offset.checked_add(from.len()).is_some_and(|end| end <= FRAME);
        fits && self.memory.lock().expect("memory").write(frame.address() + offset as u64, from)
    }

    pub(super) fn frame_word(&self, frame: &GuestFrame, offset: usize, act: Word) -> Option<u64> {
        let bytes = act.bytes();
        if !offset.is_multiple_of(bytes) || offset.checked_add(bytes)? > FRAME {
            return None;
        }
        let at = frame.address() + offset as u64;
        let mut memory = self.memory.lock().expect("memory");
        let mut word = [0; 8];
        assert!(memory.read(at, &mut word[..bytes]), "a frame of no RAM");
        let before = u64::from_le_bytes(word);
        let after = match act {
            Word::Load32 | Word::Load64 => return Some(before),
            Word::Store32(value) => u64::from(value),
            Word::Store64(value) => value,
            Word::Set32(bits) => before | u64::from(bits),
            Word::Clear32(bits) => before & !u64::from(bits),
            Word::Set64(bits) => before | bits,
            Word::Clear64(bits) => before & !bits,
            Word::Exchange32(old, new) if before == u64::from(old) => u64::from(new),
            Word::Exchange16(old, new) if before == u64::from(old) => u64::from(new),
            Word::Exchange64(old, new) if before == old => new,
            Word::Exchange64(..) | Word::Exchange32(..) | Word::Exchange16(..) => before,
            Word::Clear16(bits) => before & !u64::from(bits),
            Word::Swap8(byte) => u64::from(byte),
        };
        assert!(memory.write(at, &after.to_le_bytes()[..bytes]), "a frame of no RAM");
        Some(before)
    }
}
