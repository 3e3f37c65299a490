//! Changes of a map while its guest runs: a leaf comes, a leaf goes, a block is taken apart.
//!
//! The architecture wants a valid entry to be made invalid, and to have left all translation caches,
//! before another takes its place (Arm ARM D8.13.1, break-before-make). The caches are the machine's: it
//! gives a function that empties them, which is called with the entry invalid. A guest that touches the
//! address in that moment faults, and its machine looks here again before anybody believes it.
//!
//! Whether there are tables enough is known before anything changes.

use core::sync::atomic::Ordering;

use crate::contract::{Hidden, Showing};
use crate::frames::{Block, FrameTable};

use super::{
    ADDRESS, DEVICE, ENTRIES, Kind, MapError, NORMAL, Stage2, TABLE, VALID, WRITABLE, index, leaf_bits,
    leaf_size,
};

/// What must leave the translation caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Whatever is known of the page at this guest address.
    Page(u64),
    /// All of the domain's: a table is gone, or a block.
    Everything,
}

/// A leaf that is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Host address, a multiple of its size.
    pub host: u64,
    /// What it is.
    pub kind: Kind,
    /// Whether the guest may write to it.
    pub writable: bool,
    /// 2: 2 MiB; 3: 4 KiB.
    pub level: u8,
}

/// A leaf of 4 KiB that is gone, and out of all caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Host address.
    pub host: u64,
    /// What it was.
    pub kind: Kind,
}

impl Leaf {
    fn entry(self) -> u64 {
        let attributes = if self.kind == Kind::Device { DEVICE } else { NORMAL };
        let access = if self.writable { attributes } else { attributes & !WRITABLE };
        self.host | access | self.kind.bits() | leaf_bits(self.level())
    }

    const fn level(self) -> u32 {
        self.level as u32
    }
}

impl Showing<'_> {
    /// The map has the count from now on, where it has one of its own.
    #[inline]
    fn into_map(self) {
        if let Showing::Ram(frame) | Showing::Shared(frame) | Showing::Foreign(frame) = self {
            frame.into_map();
        }
    }
}

/// Where the way to a leaf ends: the table, and the level whose entry there is invalid, or a leaf.
struct End {
    table: usize,
    level: u32,
    entry: u64,
}

impl Stage2 {
    /// Shows a leaf at `ipa`. What 4 KiB leaf was there is gone then, and returned.
    ///
    /// # Errors
    /// [`MapError::Occupied`] where a leaf of 2 MiB would replace what is there, or what a grant shows would be
    /// replaced by something else; nothing has changed.
    pub fn insert(
        &mut self,
        ipa: u64,
        leaf: Leaf,
        flush: &mut dyn FnMut(Flush),
    ) -> Result<Option<Removed>, MapError> {
        let size = leaf_size(leaf.level());
        if !(ipa | leaf.host).is_multiple_of(size) || !(2..=3).contains(&leaf.level) {
            return Err(MapError::Unaligned);
        }
        if leaf.level == 2 && self.bare == Some(ipa) {
            self.bare = None;
            self.prune(ipa, flush);
        }
        // What is left of the way is made of new tables; a block on it is taken apart into them.
        let end = self.way_to(ipa, leaf.level(), flush)?;
        let occupied = end.entry & VALID != 0;
        // What a grant shows goes with the grant alone.
        let granted = Kind::of(end.entry) == Kind::Granted && leaf.kind != Kind::Granted;
        if occupied && (leaf.level == 2 || granted) {
            return Err(MapError::Occupied);
        }
        let table = self.open(ipa, leaf.level(), end, flush)?;
        let removed = if occupied { self.clear(table, ipa, flush) } else { None };
        self.put(table, ipa, leaf)?;
        Ok(removed)
    }

    /// The same for a page where there is nothing, in a table that is there, as nearly always. False, and nothing has
    /// changed, where it is otherwise.
    #[inline(always)]
    pub(super) fn fill(&mut self, ipa: u64, leaf: Leaf) -> bool {
        if leaf.level != 3 || !(ipa | leaf.host).is_multiple_of(leaf_size(3)) {
            return false;
        }
        let Some(End { table, level: 3, entry }) = self.end_of(ipa, 3) else { return false };
        entry & VALID == 0 && self.put(table, ipa, leaf).is_ok()
    }

    /// Puts a leaf where nothing is in its table.
    #[inline(always)]
    fn put(&mut self, table: usize, ipa: u64, leaf: Leaf) -> Result<(), MapError> {
        let entry = self.entry(table, index(ipa, leaf.level())).ok_or(MapError::OutOfRange)?;
        entry.store(leaf.entry(), Ordering::Release);
        self.count_up(table);
        if leaf.kind == Kind::Ram {
            self.ram = self.ram.saturating_add(leaf_size(leaf.level()));
        }
        Ok(())
    }

    /// Takes the 4 KiB at `ipa` away if they are of such a kind; a block that they are part of is taken apart.
    ///
    /// # Errors
    /// [`MapError::OutOfTables`] for a block that cannot be taken apart; nothing has changed.
    pub fn remove(
        &mut self,
        ipa: u64,
        kinds: &[Kind],
        flush: &mut dyn FnMut(Flush),
    ) -> Result<Option<Removed>, MapError> {
        let is_it = |end: &End| end.entry & VALID != 0 && kinds.contains(&Kind::of(end.entry));
        let Some(end) = self.end_of(ipa, 3).filter(is_it) else { return Ok(None) };
        let table = if end.level == 3 { end.table } else { self.take_apart(ipa, flush)? };
        let removed = self.clear(table, ipa, flush);
        self.note_bare(table, ipa, flush);
        Ok(removed)
    }

    /// Takes the block apart that has `ipa`: the table of its page.
    #[inline(never)]
    fn take_apart(&mut self, ipa: u64, flush: &mut dyn FnMut(Flush)) -> Result<usize, MapError> {
        let end = self.way_to(ipa, 3, flush)?;
        self.open(ipa, 3, end, flush)
    }

    /// Takes 2 MiB of the domain's RAM at `ipa` away where they are shown as one, or as a part of more: their
    /// host address.
    pub fn remove_block(&mut self, ipa: u64, flush: &mut dyn FnMut(Flush)) -> Option<u64> {
        let is_it = |end: &End| {
            let whole = end.entry & VALID != 0 && end.entry & 0b10 == 0;
            whole && Kind::of(end.entry) == Kind::Ram
        };
        self.end_of(ipa, 2).filter(is_it).filter(|_| ipa.is_multiple_of(leaf_size(2)))?;
        let end = self.way_to(ipa, 2, flush).ok()?;
        let table = self.open(ipa, 2, end, flush).ok()?;
        let entry = self.entry(table, index(ipa, 2))?.swap(0, Ordering::AcqRel);
        flush(Flush::Everything);
        self.count_down(table);
        self.ram = self.ram.saturating_sub(leaf_size(2));
        Some(entry & ADDRESS & !(leaf_size(2) - 1))
    }

    /// The end of the way to `ipa` on `level` or above, with tables enough to make the rest of it.
    #[inline]
    fn way_to(&mut self, ipa: u64, level: u32, flush: &mut dyn FnMut(Flush)) -> Result<End, MapError> {
        let end = self.end_of(ipa, level).ok_or(MapError::OutOfRange)?;
        if end.level == level || level.saturating_sub(end.level) as usize <= self.tables_at_hand() {
            return Ok(end);
        }
        // An empty table that was left where it is may help. The way may have led through it.
        if let Some(bare) = self.bare.take() {
            self.prune(bare, flush);
        }
        let end = self.end_of(ipa, level).ok_or(MapError::OutOfRange)?;
        let enough = level.saturating_sub(end.level) as usize <= self.tables_at_hand();
        if enough { Ok(end) } else { Err(MapError::OutOfTables) }
    }

    /// Is there an empty table for pages on the way to `ipa`?
    pub(super) fn is_bare(&self, ipa: u64) -> bool {
        let end = self.end_of(ipa, 3).filter(|end| end.level == 3);
        end.is_some_and(|end| self.live.get(end.table) == Some(&0))
    }

    /// A page of this table is gone: if it was the last, the table may go when the next one is empty.
    #[inline]
    fn note_bare(&mut self, table: usize, ipa: u64, flush: &mut dyn FnMut(Flush)) {
        if self.live.get(table).is_none_or(|live| *live != 0) {
            return;
        }
        let here = ipa & !(leaf_size(2) - 1);
        if let Some(before) = self.bare.replace(here).filter(|before| *before != here) {
            self.prune(before, flush);
        }
    }

    /// Follows the way to `ipa` down to `deepest`, or to where it ends.
    #[inline(always)]
    fn end_of(&self, ipa: u64, deepest: u32) -> Option<End> {
        let mut table = self.root_of(ipa)?;
        for level in 1..=3_u32 {
            let entry = self.entry(table, index(ipa, level))?.load(Ordering::Relaxed);
            if level == deepest || entry & VALID == 0 || entry & 0b10 == 0 {
                return Some(End { table, level, entry });
            }
            table = self.table_index(entry)?;
        }
        None
    }

    /// Makes the tables from an end down to `level`; the table there.
    fn open(
        &mut self,
        ipa: u64,
        level: u32,
        end: End,
        flush: &mut dyn FnMut(Flush),
    ) -> Result<usize, MapError> {
        let mut table = end.table;
        let mut block = end.entry;
        for at in end.level..level {
            let next = self.take_table().ok_or(MapError::OutOfTables)?;
            if block & VALID != 0 {
                block = self.part(block, at, next, ipa);
            }
            let address = self.table_address(next);
            let entry = self.entry(table, index(ipa, at)).ok_or(MapError::OutOfRange)?;
            if entry.swap(0, Ordering::AcqRel) & VALID == 0 {
                self.count_up(table);
            } else {
                flush(Flush::Everything);
            }
            let entry = self.entry(table, index(ipa, at)).ok_or(MapError::OutOfRange)?;
            entry.store(address | TABLE, Ordering::Release);
            table = next;
        }
        Ok(table)
    }

    /// Fills a new table with the parts of a block of `level`; the part that `ipa` is in.
    fn part(&mut self, block: u64, level: u32, table: usize, ipa: u64) -> u64 {
        let below = level.wrapping_add(1);
        let size = leaf_size(below);
        let host = block & ADDRESS & !(leaf_size(level) - 1);
        let attributes = block & !ADDRESS & !0b11;
        let part = |number: usize| {
            host.wrapping_add((number as u64).wrapping_mul(size)) | attributes | leaf_bits(below)
        };
        if let Some(entries) = self.tables.get(table) {
            for (number, entry) in entries.0.iter().enumerate() {
                entry.store(part(number), Ordering::Release);
            }
        }
        if let Some(live) = self.live.get_mut(table) {
            *live = ENTRIES as u16;
        }
        part(index(ipa, below))
    }

    /// Takes a leaf of level 3 out of its table and out of the caches.
    fn clear(&mut self, table: usize, ipa: u64, flush: &mut dyn FnMut(Flush)) -> Option<Removed> {
        let entry = self.entry(table, index(ipa, 3))?.swap(0, Ordering::AcqRel);
        if entry & VALID == 0 {
            return None;
        }
        flush(Flush::Page(ipa & !(leaf_size(3) - 1)));
        self.count_down(table);
        let kind = Kind::of(entry);
        if kind == Kind::Ram {
            self.ram = self.ram.saturating_sub(leaf_size(3));
        }
        Some(Removed { host: entry & ADDRESS, kind })
    }

    /// Gives tables on the way to `ipa` back that are empty.
    #[cold]
    #[inline(never)]
    fn prune(&mut self, ipa: u64, flush: &mut dyn FnMut(Flush)) {
        for deepest in [2, 1] {
            let Some(end) = self.end_of(ipa, deepest) else { return };
            if end.level != deepest || end.entry & TABLE != TABLE {
                return;
            }
            let Some(below) = self.table_index(end.entry) else { return };
            if self.live.get(below).is_none_or(|live| *live != 0) {
                return;
            }
            if let Some(entry) = self.entry(end.table, index(ipa, deepest)) {
                entry.store(0, Ordering::Release);
            }
            flush(Flush::Everything);
            self.count_down(end.table);
            if let Ok(table) = u32::try_from(below) {
                // It has room for all tables.
                self.spare.push(table);
            }
        }
    }
}

impl Stage2 {
    /// Shows a frame at `ipa`, in the place of what was there.
    ///
    /// # Errors
    /// See [`MapError`]; nothing has changed, and what was to be shown is dropped.
    #[inline(always)]
    pub(crate) fn show(
        &mut self,
        table: &'static FrameTable,
        (ipa, what, writable): (u64, Showing<'_>, bool),
        mut flush: impl FnMut(Flush),
    ) -> Result<Option<Hidden>, MapError> {
        let (kind, host) = match &what {
            Showing::Ram(frame) => (Kind::Ram, frame.address()),
            Showing::Shared(frame) => (Kind::Shared, frame.address()),
            Showing::Foreign(frame) => (Kind::Foreign, frame.address()),
            Showing::Granted(frame) => (Kind::Granted, frame.address()),
        };
        let leaf = Leaf { host, kind, writable, level: 3 };
        if self.fill(ipa, leaf) {
            what.into_map();
            return Ok(None);
        }
        let replaced = self.replace(table, (ipa, leaf), &mut flush);
        if replaced.is_ok() {
            what.into_map();
        }
        replaced
    }

    /// Shows a leaf in the place of what was there, which comes out.
    #[inline(never)]
    fn replace(
        &mut self,
        table: &'static FrameTable,
        (ipa, leaf): (u64, Leaf),
        flush: &mut dyn FnMut(Flush),
    ) -> Result<Option<Hidden>, MapError> {
        Ok(self.insert(ipa, leaf, flush)?.map(|removed| hidden(table, removed)))
    }

    /// Shows 2 MiB of the domain's RAM as one leaf.
    pub(crate) fn show_block(
        &mut self,
        ipa: u64,
        block: Block,
        flush: &mut dyn FnMut(Flush),
    ) -> Result<(), Block> {
        let leaf = Leaf { host: block.address(), kind: Kind::Ram, writable: true, level: 2 };
        if block.left() as usize != ENTRIES || self.insert(ipa, leaf, flush).is_err() {
            return Err(block);
        }
        for frame in block {
            frame.into_map();
        }
        Ok(())
    }

    /// Hides what is shown at `ipa`, if it is of such a kind.
    ///
    /// # Errors
    /// See [`MapError`]; nothing has changed.
    pub(crate) fn hide(
        &mut self,
        table: &'static FrameTable,
        (ipa, kinds): (u64, &[Kind]),
        flush: &mut dyn FnMut(Flush),
    ) -> Result<Option<Hidden>, MapError> {
        Ok(self.remove(ipa, kinds, flush)?.map(|removed| hidden(table, removed)))
    }

    /// Hides 2 MiB of the domain's RAM that are shown as one.
    pub(crate) fn hide_block(
        &mut self,
        table: &'static FrameTable,
        ipa: u64,
        flush: &mut dyn FnMut(Flush),
    ) -> Option<Block> {
        table.block_from_map(self.remove_block(ipa, flush)?)
    }
}

impl Stage2 {
    /// Hides the granted frame at `host`, where it is what is shown at `ipa`.
    pub(crate) fn hide_granted(&mut self, ipa: u64, host: u64, flush: &mut dyn FnMut(Flush)) -> bool {
        // A single frame is a leaf of its own, which needs no tables to go.
        let is_it = |end: &End| end.entry & VALID != 0 && end.level == 3;
        let Some(end) = self.end_of(ipa, 3).filter(is_it) else { return false };
        if Kind::of(end.entry) != Kind::Granted || end.entry & ADDRESS != host {
            return false;
        }
        let removed = self.clear(end.table, ipa, flush);
        self.note_bare(end.table, ipa, flush);
        removed.is_some()
    }
}

impl Stage2 {
    /// The first guest address that shows something.
    pub(crate) fn first_shown(&self) -> Option<u64> {
        (0..self.root_tables).find_map(|half| {
            let base = (half as u64).wrapping_shl(39);
            self.first_in(self.root.checked_add(half)?, 1, base)
        })
    }

    /// The same in a table of `level` whose first entry is for the address `base`. Three levels deep.
    fn first_in(&self, table: usize, level: u32, base: u64) -> Option<u64> {
        for number in 0..ENTRIES {
            let entry = self.entry(table, number)?.load(Ordering::Relaxed);
            let ipa = base.wrapping_add((number as u64).wrapping_mul(leaf_size(level)));
            if entry & VALID == 0 {
                continue;
            }
            if level == 3 || entry & 0b10 == 0 {
                return Some(ipa);
            }
            if let Some(found) =
                self.table_index(entry).and_then(|below| self.first_in(below, level.wrapping_add(1), ipa))
            {
                return Some(found);
            }
        }
        None
    }
}

/// What is out of a map, with the count that the map had.
fn hidden(table: &'static FrameTable, removed: Removed) -> Hidden {
    let frame = if removed.kind.is_counted() { table.out_of_map(removed.host) } else { None };
    Hidden { kind: removed.kind, frame }
}
