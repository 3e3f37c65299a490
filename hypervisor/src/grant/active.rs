//! The grants of a domain that are in use: by whom, how often, and which frame they are.
//!
//! A granting domain keeps its entries in pages that it writes at any time. So an entry is believed once, in
//! the step that marks it as used: the whole of it is one word of 64 bits, and the mark gets in only where
//! that word still is what was checked. From then on the frame is the one that was found then, whatever the
//! entry says, until the last user has gone; its handle lies on a shelf meanwhile.

use abi::grant_table::{
    GNTST_BAD_GNTREF, GNTST_BAD_PAGE, GNTST_GENERAL_ERROR, GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY,
    GTF_SUB_PAGE, GTF_TYPE_MASK, GTF_WRITING,
};
use alloc::vec::Vec;
use machine::contract::{Machine, Word};
use machine::frames::shelf::{Lent, Shelf};
use machine::frames::{FrameTable, GuestFrame};

use super::{ENTRIES_PER_FRAME, Refused, Use, Way};
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;

/// Users of one kind that a grant may have.
const MOST_USERS: u8 = 128;
/// Times that the guest may change an entry between the look at it and the mark.
const TRIES: u32 = 5;

/// How often a grant is used, and by which domain (an id).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Active {
    by: u16,
    /// Mappings to be read, and to be written; copies from it, and to it.
    uses: [u8; 4],
}

/// What an entry says.
#[derive(Clone, Copy, Debug)]
struct Entry {
    word: u64,
    flags: u16,
    domain: u16,
    frame: u32,
}

impl Entry {
    fn of(word: u64) -> Self {
        let [f0, f1, d0, d1, n0, n1, n2, n3] = word.to_le_bytes();
        Entry {
            word,
            flags: u16::from_le_bytes([f0, f1]),
            domain: u16::from_le_bytes([d0, d1]),
            frame: u32::from_le_bytes([n0, n1, n2, n3]),
        }
    }

    /// Does it let this domain do that?
    fn permits(&self, by: u16, how: Use) -> bool {
        self.domain == by
            && self.flags & GTF_TYPE_MASK == GTF_PERMIT_ACCESS
            && (self.flags & GTF_READONLY == 0 || !how.write)
            // Parts of a page are version 2's; a copy takes the entry as one of a whole page.
            && (self.flags & GTF_SUB_PAGE == 0 || how.way == Way::Copy)
    }
}

impl Active {
    /// The count of such uses; there is one of each kind.
    #[inline]
    fn count(&mut self, how: Use) -> Result<&mut u8, Refused> {
        let kind = if how.way == Way::Map { 0 } else { 2 };
        self.uses.get_mut(kind | usize::from(how.write)).ok_or(GNTST_GENERAL_ERROR.into())
    }

    #[inline]
    fn is_used(&self) -> bool {
        u32::from_ne_bytes(self.uses) != 0
    }

    fn is_written(&self) -> bool {
        let [_, mapped, _, copied] = self.uses;
        mapped | copied != 0
    }
}

/// A domain's grant table.
#[derive(Debug)]
pub(super) struct Table {
    /// Frames that are in use.
    pub(super) frames: usize,
    active: Vec<Active>,
    shelf: Shelf,
    /// Grants that are in use.
    pub(super) used: usize,
}

/// Marks an entry as used, if it permits that: the number of its frame, as the granting domain has it.
#[inline(always)]
fn mark<M: Machine>(
    machine: &M,
    (page, offset): (&GuestFrame, usize),
    (by, how): (u16, Use),
) -> Result<u32, i16> {
    let bits = if how.write { GTF_READING | GTF_WRITING } else { GTF_READING };
    for _ in 0..TRIES {
        let entry = Entry::of(machine.word(page, offset, Word::Load64).ok_or(GNTST_BAD_GNTREF)?);
        if !entry.permits(by, how) {
            return Err(GNTST_GENERAL_ERROR);
        }
        let marked = entry.word | u64::from(bits);
        if machine.word(page, offset, Word::Exchange64(entry.word, marked)) == Some(entry.word) {
            return Ok(entry.frame);
        }
    }
    Err(GNTST_GENERAL_ERROR)
}

#[inline(never)]
fn mark_again<M: Machine>(machine: &M, at: (&GuestFrame, usize), of: (u16, Use)) -> Result<u32, i16> {
    mark(machine, at, of)
}

/// The page and the place in it of a reference.
fn place(pages: &[GuestFrame], reference: usize) -> Option<(&GuestFrame, usize)> {
    let page = pages.get(reference.checked_div(ENTRIES_PER_FRAME)?)?;
    let offset = reference.checked_rem(ENTRIES_PER_FRAME)?.checked_mul(size_of::<u64>())?;
    Some((page, offset))
}

impl Table {
    /// Bytes of an entry.
    pub(super) const BYTES_PER_ENTRY: usize = size_of::<Active>().saturating_add(Shelf::BYTES_PER_PLACE);

    pub(super) fn try_new(table: &'static FrameTable, entries: usize, frames: usize) -> Option<Self> {
        let mut active = Vec::new();
        active.try_reserve_exact(entries).ok()?;
        active.resize_with(entries, Active::default);
        Some(Table { frames, active, shelf: Shelf::try_new(table, entries)?, used: 0 })
    }

    /// The number of an entry that is in use as a table's.
    fn number(&self, reference: u32) -> Result<usize, i16> {
        let number = usize::try_from(reference).map_err(|_| GNTST_BAD_GNTREF)?;
        if number.checked_div(ENTRIES_PER_FRAME).is_some_and(|page| page < self.frames) {
            Ok(number)
        } else {
            Err(GNTST_BAD_GNTREF)
        }
    }

    /// Begins a use of the frame that the granting domain means by its number, and lends it.
    ///
    /// # Errors
    /// `GNTST_*`; nothing has changed.
    #[inline(always)]
    pub(super) fn begin<M: Machine>(
        &mut self,
        hypervisor: &Hypervisor<M>,
        (granter, pages): (&Domain<M>, &[GuestFrame]),
        (reference, by, how): (u32, u16, Use),
    ) -> Result<Lent<'_>, Refused> {
        let machine = &hypervisor.machine;
        let number = self.number(reference)?;
        let at = place(pages, number).ok_or(GNTST_BAD_GNTREF)?;
        let active = self.active.get_mut(number).ok_or(GNTST_BAD_GNTREF)?;
        if !active.is_used() {
            let meant = mark(machine, at, (by, how))?;
            let found = hypervisor.own_frame(granter, u64::from(meant));
            let Some(frame) = found.and_then(|found| self.shelf.put(number, found).ok()) else {
                machine.word(at.0, at.1, Word::Clear16(GTF_READING | GTF_WRITING));
                return Err(GNTST_BAD_PAGE.into());
            };
            active.by = by;
            *active.count(how)? = 1;
            self.used = self.used.saturating_add(1);
            return Ok(frame);
        }
        if active.by != by || *active.count(how)? >= MOST_USERS {
            return Err(GNTST_GENERAL_ERROR.into());
        }
        let frame = self.shelf.get(number).ok_or(GNTST_GENERAL_ERROR)?;
        if how.write && !active.is_written() {
            mark_again(machine, at, (by, how))?;
        }
        let count = active.count(how)?;
        *count = count.saturating_add(1);
        Ok(frame)
    }

    /// Ends a use that came to nothing.
    #[cold]
    #[inline(never)]
    pub(super) fn take_back<M: Machine>(&mut self, machine: &M, pages: &[GuestFrame], of: (u32, Use)) {
        drop(self.end(machine, pages, of));
    }

    /// Ends a use. What comes back is to be dropped once no lock is held.
    #[inline]
    pub(super) fn end<M: Machine>(
        &mut self,
        machine: &M,
        pages: &[GuestFrame],
        (reference, how): (u32, Use),
    ) -> Option<GuestFrame> {
        let number = usize::try_from(reference).ok()?;
        let active = self.active.get_mut(number)?;
        let count = active.count(how).ok()?;
        *count = count.checked_sub(1)?;
        let (page, offset) = place(pages, number)?;
        if !active.is_used() {
            machine.word(page, offset, Word::Clear16(GTF_READING | GTF_WRITING));
            self.used = self.used.saturating_sub(1);
            return self.shelf.take(number);
        }
        if how.write && !active.is_written() {
            machine.word(page, offset, Word::Clear16(GTF_WRITING));
        }
        None
    }

    /// Exchanges two entries that nobody uses.
    ///
    /// # Errors
    /// `GNTST_bad_gntref`, `GNTST_eagain`.
    pub(super) fn swap<M: Machine>(
        &mut self,
        machine: &M,
        pages: &[GuestFrame],
        (one, other): (u32, u32),
    ) -> Result<(), i16> {
        let mut words = [0_u64; 2];
        let numbers = [self.number(one)?, self.number(other)?];
        for (number, word) in numbers.iter().zip(&mut words) {
            let (page, offset) = place(pages, *number).ok_or(GNTST_BAD_GNTREF)?;
            if self.active.get(*number).is_none_or(Active::is_used) {
                return Err(abi::grant_table::GNTST_EAGAIN);
            }
            *word = machine.word(page, offset, Word::Load64).ok_or(GNTST_BAD_GNTREF)?;
        }
        for (number, word) in numbers.iter().zip(words.iter().rev()) {
            let (page, offset) = place(pages, *number).ok_or(GNTST_BAD_GNTREF)?;
            machine.word(page, offset, Word::Store64(*word));
        }
        Ok(())
    }
}
