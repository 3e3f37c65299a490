//! Stage 2: which host frame stands behind which guest address (IPA).
//!
//! The tables of a domain are one allocation of exactly the frames that the plan counted, so building a
//! map can run out of tables but never of memory. RAM comes in as [`FrameRange`] handles, and the map has
//! one of the count of each frame that it shows as the domain's own (see `frames`). Leaves are as large as
//! both addresses allow (1 GiB, 2 MiB, 4 KiB). What changes while guests run is in `change.rs`. Nothing
//! here touches hardware; the same code runs on the board and on a host, where it is tested against a
//! plain model.
//!
//! Format: Arm ARM D8.3, 4 KiB granule, start at level 1 with one or two concatenated root tables.

mod change;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::frames::{FRAME_SIZE, FrameRange, FrameTable};
pub use change::{Flush, Leaf, Removed};
use plan::{GuestMemory, Range};

const ENTRIES: usize = 512;
const VALID: u64 = 1;
const TABLE: u64 = 0b11;
const LEAF_PAGE: u64 = 0b11;
const LEAF_BLOCK: u64 = 0b01;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// Access flag, inner shareable, read and write, normal write-back memory.
const NORMAL: u64 = (1 << 10) | (0b11 << 8) | (0b11 << 6) | (0b1111 << 2);
const NEVER_EXECUTE: u64 = 1 << 54;
/// Access flag, read and write, Device-nGnRE, never executable.
const DEVICE: u64 = NEVER_EXECUTE | (1 << 10) | (0b11 << 6) | (0b0001 << 2);

/// Bits that are software's, for the [`Kind`].
const KIND_SHIFT: u32 = 55;
const KIND: u64 = 0b111 << KIND_SHIFT;
/// S2AP: writable.
const WRITABLE: u64 = 0b10 << 6;

/// What a leaf shows, and so what becomes of it when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The domain's own RAM; the map has one of each frame's count.
    Ram,
    /// A page that the hypervisor shares with the domain; the map has one of its count.
    Shared,
    /// Another domain's RAM; the map has one of its count.
    Foreign,
    /// Another domain's RAM by its grant; whoever mapped it has the count.
    Granted,
    /// Registers of a device.
    Device,
}

impl Kind {
    /// All of them.
    pub const ALL: &[Kind] = &[Kind::Ram, Kind::Shared, Kind::Foreign, Kind::Granted, Kind::Device];

    const fn bits(self) -> u64 {
        let number: u64 = match self {
            Kind::Ram => 0,
            Kind::Shared => 1,
            Kind::Foreign => 2,
            Kind::Granted => 3,
            Kind::Device => 4,
        };
        number << KIND_SHIFT
    }

    const fn of(entry: u64) -> Kind {
        match (entry & KIND) >> KIND_SHIFT {
            0 => Kind::Ram,
            1 => Kind::Shared,
            2 => Kind::Foreign,
            3 => Kind::Granted,
            _ => Kind::Device,
        }
    }

    /// The map has one of the frame's count.
    pub const fn is_counted(self) -> bool {
        matches!(self, Kind::Ram | Kind::Shared | Kind::Foreign)
    }
}

/// What stands behind a guest address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Host address.
    pub host: u64,
    /// What it is.
    pub kind: Kind,
    /// The guest may write to it.
    pub writable: bool,
}

/// One table; its alignment is the architecture's.
#[derive(Debug)]
#[repr(C, align(4096))]
struct Table([AtomicU64; ENTRIES]);

/// Why a map could not be made or changed. Nothing has changed then, but for tables that were used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// An address is not a multiple of the frame size.
    Unaligned,
    /// The guest address is beyond what the tables can translate.
    OutOfRange,
    /// Something is mapped there.
    Occupied,
    /// The domain's tables are used up.
    OutOfTables,
    /// No memory for the tables.
    OutOfMemory,
}

/// The stage 2 map of one domain.
#[derive(Debug)]
pub struct Stage2 {
    tables: Vec<Table>,
    /// Host-physical address of `tables`.
    tables_at: u64,
    /// Index of the root, even where the root is two tables.
    root: usize,
    /// The tables before this index (and after `root`) are used, but for those in `spare`.
    used: usize,
    root_tables: usize,
    /// Valid entries of each table.
    live: Vec<u16>,
    /// Tables that were used and are empty again.
    spare: Vec<u32>,
    /// Where a table of level 3 has become empty last. It stays in the map, since the next page is likely to come
    /// there, until another one is empty or tables are short.
    bare: Option<u64>,
    ram: u64,
}

impl Stage2 {
    /// An empty map of `frames` tables for addresses of `ipa_bits` bits (32 to 40).
    ///
    /// `physical` gives the host-physical address of an object of ours.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`], or [`MapError::OutOfTables`] where `frames` does not even hold the root.
    pub fn new(frames: usize, ipa_bits: u8, physical: impl Fn(*const u8) -> u64) -> Result<Self, MapError> {
        let root_tables = if ipa_bits > 39 { 2 } else { 1 };
        if frames < root_tables {
            return Err(MapError::OutOfTables);
        }
        let mut tables = Vec::new();
        let count = frames.saturating_add(root_tables - 1);
        tables.try_reserve_exact(count).map_err(|_| MapError::OutOfMemory)?;
        tables.extend((0..count).map(|_| Table([const { AtomicU64::new(0) }; ENTRIES])));
        let tables_at = physical(tables.as_ptr().cast());
        let (mut live, mut spare) = (Vec::new(), Vec::new());
        live.try_reserve_exact(count).map_err(|_| MapError::OutOfMemory)?;
        live.resize(count, 0);
        spare.try_reserve_exact(count).map_err(|_| MapError::OutOfMemory)?;
        // A concatenated root is aligned to its own size; the spare table makes that possible.
        let root = usize::from(root_tables == 2 && tables_at & FRAME_SIZE != 0);
        // Where it is not needed it does not count: a domain has as many tables as were planned, wherever they lie.
        tables.truncate(root.saturating_add(frames));
        Ok(Stage2 {
            tables,
            tables_at,
            root,
            used: root.saturating_add(root_tables),
            root_tables,
            live,
            spare,
            bare: None,
            ram: 0,
        })
    }

    /// Host-physical address of the root, for VTTBR_EL2.
    pub fn root_address(&self) -> u64 {
        self.table_address(self.root)
    }

    /// Number of tables that are in use.
    pub fn tables_used(&self) -> usize {
        self.used.saturating_sub(self.root).saturating_sub(self.spare.len())
    }

    /// Bytes of the domain's own RAM.
    pub fn owned_bytes(&self) -> u64 {
        self.ram
    }

    /// Shows RAM to the guest at `ipa`; the map has one of each frame's count from now on.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn map(&mut self, ipa: u64, frames: FrameRange) -> Result<(), MapError> {
        self.map_range(ipa, frames.base(), frames.size(), NORMAL | Kind::Ram.bits())?;
        self.ram = self.ram.saturating_add(frames.size());
        Ok(())
    }

    /// Shows RAM that has an owner elsewhere to the guest at `ipa`; the map has one of each frame's count from now on.
    /// As under Xen it is no place for code.
    ///
    /// # Errors
    /// See [`MapError`]; [`MapError::OutOfRange`] also where a frame has no owner.
    pub(crate) fn map_shared(
        &mut self,
        table: &'static FrameTable,
        ipa: u64,
        frames: Range,
    ) -> Result<(), MapError> {
        if !table.hold_all(frames) {
            return Err(MapError::OutOfRange);
        }
        self.map_range(ipa, frames.base, frames.size, NORMAL | NEVER_EXECUTE | Kind::Foreign.bits())
    }

    /// Shows device registers to the guest at `ipa`.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn map_device(&mut self, ipa: u64, registers: Range) -> Result<(), MapError> {
        self.map_range(ipa, registers.base, registers.size, DEVICE | Kind::Device.bits())
    }

    /// Shows registers of the host to the domain that drives them. Whether dom0's are registers or memory is for its own
    /// tables to say.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn map_registers(&mut self, domain: u16, registers: GuestMemory) -> Result<(), MapError> {
        let GuestMemory { guest, host, size } = registers;
        let memory = if domain == 0 { NORMAL | NEVER_EXECUTE } else { DEVICE };
        self.map_range(guest, host, size, memory | Kind::Device.bits())
    }

    /// What stands behind `ipa`: the host address, and whether it is memory (and not a device).
    pub fn translate(&self, ipa: u64) -> Option<(u64, bool)> {
        self.shown(ipa).map(|shown| (shown.host, shown.kind != Kind::Device))
    }

    /// What stands behind `ipa`.
    #[inline(always)]
    pub fn shown(&self, ipa: u64) -> Option<Shown> {
        let mut table = self.root_of(ipa)?;
        for level in 1..=3_u32 {
            let size = leaf_size(level);
            let entry = self.entry(table, index(ipa, level))?.load(Ordering::Relaxed);
            if entry & VALID == 0 {
                return None;
            }
            if level == 3 || entry & 0b10 == 0 {
                let host = (entry & ADDRESS & !(size - 1)) | (ipa & (size - 1));
                return Some(Shown { host, kind: Kind::of(entry), writable: entry & WRITABLE != 0 });
            }
            table = self.table_index(entry)?;
        }
        None
    }

    fn map_range(&mut self, ipa: u64, host: u64, size: u64, attributes: u64) -> Result<(), MapError> {
        if !(ipa | host | size).is_multiple_of(FRAME_SIZE) {
            return Err(MapError::Unaligned);
        }
        let limit = (self.root_tables as u64) << 39;
        if ipa.checked_add(size).is_none_or(|end| end > limit)
            || host.checked_add(size).is_none_or(|end| end > 1 << 48)
        {
            return Err(MapError::OutOfRange);
        }
        let mut done = 0;
        while done < size {
            let level = leaf_level(ipa + done, host + done, size - done);
            self.set_leaf(ipa + done, host + done, level, attributes)?;
            done += leaf_size(level);
        }
        Ok(())
    }

    fn set_leaf(&mut self, ipa: u64, host: u64, leaf: u32, attributes: u64) -> Result<(), MapError> {
        let mut table = self.root + usize::try_from(ipa >> 39).map_err(|_| MapError::OutOfRange)?;
        for level in 1..leaf {
            table = self.descend(table, index(ipa, level))?;
        }
        let entry = self.entry(table, index(ipa, leaf)).ok_or(MapError::OutOfRange)?;
        if entry.load(Ordering::Relaxed) & VALID != 0 {
            return Err(MapError::Occupied);
        }
        entry.store(host | attributes | leaf_bits(leaf), Ordering::Release);
        self.count_up(table);
        Ok(())
    }

    /// One more valid entry in this table.
    #[inline]
    fn count_up(&mut self, table: usize) {
        if let Some(live) = self.live.get_mut(table) {
            *live = live.saturating_add(1);
        }
    }

    /// One valid entry less.
    #[inline]
    fn count_down(&mut self, table: usize) {
        if let Some(live) = self.live.get_mut(table) {
            *live = live.saturating_sub(1);
        }
    }

    /// The table below an entry, made where there is none.
    fn descend(&mut self, table: usize, index: usize) -> Result<usize, MapError> {
        let entry = self.entry(table, index).ok_or(MapError::OutOfRange)?.load(Ordering::Relaxed);
        if entry & VALID != 0 {
            return if entry & 0b10 == 0 {
                Err(MapError::Occupied)
            } else {
                self.table_index(entry).ok_or(MapError::OutOfRange)
            };
        }
        let next = self.take_table().ok_or(MapError::OutOfTables)?;
        let address = self.table_address(next);
        self.entry(table, index).ok_or(MapError::OutOfRange)?.store(address | TABLE, Ordering::Release);
        self.count_up(table);
        Ok(next)
    }

    /// An empty table that is not in use.
    fn take_table(&mut self) -> Option<usize> {
        if let Some(table) = self.spare.pop() {
            return usize::try_from(table).ok();
        }
        let next = self.used;
        (next < self.tables.len()).then(|| {
            self.used = next.wrapping_add(1);
            next
        })
    }

    /// Tables that can still be taken, with the empty one that is still in the map.
    pub fn tables_left(&self) -> usize {
        let bare = self.bare.is_some_and(|ipa| self.is_bare(ipa));
        self.tables_at_hand().saturating_add(usize::from(bare))
    }

    /// Tables that are not in the map.
    fn tables_at_hand(&self) -> usize {
        self.tables.len().saturating_sub(self.used).saturating_add(self.spare.len())
    }

    #[inline]
    fn entry(&self, table: usize, index: usize) -> Option<&AtomicU64> {
        self.tables.get(table)?.0.get(index)
    }

    fn table_address(&self, index: usize) -> u64 {
        self.tables_at.wrapping_add((index as u64).wrapping_mul(FRAME_SIZE))
    }

    /// The table that an entry leads to; no table's index where it is none of ours.
    #[inline]
    fn table_index(&self, entry: u64) -> Option<usize> {
        usize::try_from((entry & ADDRESS).wrapping_sub(self.tables_at) / FRAME_SIZE).ok()
    }

    /// The root table that has an address.
    #[inline]
    fn root_of(&self, ipa: u64) -> Option<usize> {
        let half = usize::try_from(ipa >> 39).ok()?;
        (half < self.root_tables).then(|| self.root.wrapping_add(half))
    }
}

/// What makes an entry of `level` a leaf.
const fn leaf_bits(level: u32) -> u64 {
    if level == 3 { LEAF_PAGE } else { LEAF_BLOCK }
}

/// Bytes that a leaf of `level` covers.
const fn leaf_size(level: u32) -> u64 {
    match level {
        1 => 1 << 30,
        2 => 2 << 20,
        _ => FRAME_SIZE,
    }
}

fn index(ipa: u64, level: u32) -> usize {
    ((ipa / leaf_size(level)) % ENTRIES as u64) as usize
}

/// The largest leaf for what is left of a range.
fn leaf_level(ipa: u64, host: u64, left: u64) -> u32 {
    let fits = |level| (ipa | host).is_multiple_of(leaf_size(level)) && left >= leaf_size(level);
    if fits(1) {
        1
    } else if fits(2) {
        2
    } else {
        3
    }
}

#[cfg(test)]
mod tests;
