//! Grants: memory that one domain lets another one map and copy.
//!
//! A domain has both sides of it, each with a lock of its own: the table of what it grants ([`active`]), and the
//! handles of what it has mapped ([`track`]). A use begins under the granting domain's lock, and so does a mapping: it
//! has the frame that the use has, and ends that when it is unmapped. A copy is made afterwards, with a handle of its
//! own; its use is a [`Pin`], whose drop ends it.

mod active;
mod track;

use abi::grant_table::{GNTST_BAD_HANDLE, GNTST_BAD_PAGE, GNTST_GENERAL_ERROR, GNTST_NO_DEVICE_SPACE};
use active::Table;
use machine::contract::{Machine, Showing};
use machine::frames::{FRAME_SIZE as FRAME, FrameTable, GuestFrame, Held};
use machine::lock::{Lock, Rank};
use machine::stage2::Kind;
pub use track::{Mapping, Tracks};

use crate::domain::Domain;
use crate::hypervisor::Hypervisor;

/// Frames of a grant table.
pub const FRAMES: usize = 64;
/// Frames of a grant table at the beginning.
const FIRST_FRAMES: usize = 1;
/// Entries of a frame.
const ENTRIES_PER_FRAME: usize = 512;
/// Mappings of a domain that is not dom0.
pub const DOMAIN_MAPPINGS: usize = 1024;
/// Mappings of dom0.
pub const CONTROL_MAPPINGS: usize = 32768;

/// Why a use of a grant was refused: `GNTST_*`. As wide as a word, so that a result does not end in the middle of one.
#[derive(Clone, Copy, Debug)]
pub struct Refused(i64);

impl From<i16> for Refused {
    fn from(status: i16) -> Self {
        Refused(i64::from(status))
    }
}

impl From<Refused> for i16 {
    fn from(refused: Refused) -> Self {
        i16::try_from(refused.0).unwrap_or(GNTST_GENERAL_ERROR)
    }
}

/// What is done with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is mapped.
    Map,
    /// It is copied.
    Copy,
}

/// A use of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// What is done.
    pub way: Way,
    /// Written, or only read.
    pub write: bool,
}

/// The grants of a domain, and its mappings of others'.
#[derive(Debug)]
pub struct GrantTable {
    table: Lock<Table>,
    tracks: Lock<Tracks>,
}

impl GrantTable {
    /// Bytes of the tables for so many mappings.
    pub const fn bytes(mappings: usize) -> usize {
        Table::BYTES_PER_ENTRY
            .saturating_mul(FRAMES.saturating_mul(ENTRIES_PER_FRAME))
            .saturating_add(Tracks::BYTES.saturating_mul(mappings))
    }

    /// An empty table, and so many handles. `None` where there is no memory.
    pub fn try_new(frames: &'static FrameTable, mappings: usize) -> Option<Self> {
        let entries = FRAMES.checked_mul(ENTRIES_PER_FRAME)?;
        let table = Table::try_new(frames, entries, FIRST_FRAMES)?;
        Some(GrantTable {
            table: Lock::new(Rank::Grants, table),
            tracks: Lock::new(Rank::Mappings, Tracks::try_new(mappings)?),
        })
    }

    /// Frames in use.
    pub fn frames(&self) -> usize {
        self.table.lock().frames
    }

    /// Makes the table reach to the frame with this index; false where it cannot.
    pub fn grow_to(&self, index: usize) -> bool {
        if index >= FRAMES {
            return false;
        }
        let mut table = self.table.lock();
        table.frames = table.frames.max(index.saturating_add(1));
        true
    }

    /// Nobody uses a grant of the domain.
    pub fn is_unused(&self) -> bool {
        self.table.lock().used == 0
    }

    /// Mappings that the domain has of grants.
    pub fn mappings(&self) -> usize {
        self.tracks.lock().used()
    }

    /// Does the domain have the frame at this host address mapped?
    pub fn maps(&self, host: u64) -> bool {
        self.tracks.lock().maps(host)
    }
}

/// A use of a grant that has begun; its drop ends it.
#[derive(Debug)]
pub struct Pin<'h, M: Machine> {
    machine: &'h M,
    granter: &'h Domain<M>,
    reference: u32,
    how: Use,
    /// The frame.
    pub frame: GuestFrame,
}

impl<M: Machine> Drop for Pin<'_, M> {
    fn drop(&mut self) {
        end_use(self.machine, self.granter, self.reference, self.how);
    }
}

fn end_use<M: Machine>(machine: &M, granter: &Domain<M>, reference: u32, how: Use) {
    let Some(pv) = &granter.pv else { return };
    let last = pv.grants.table.lock().end(machine, &pv.grant_frames, (reference, how));
    drop(last);
}

/// A mapping that a domain wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The grant.
    pub reference: u32,
    /// Guest address.
    pub at: u64,
    /// To be written.
    pub writable: bool,
}

impl<M: Machine> Hypervisor<M> {
    /// A frame of a domain's own, by its guest frame number.
    #[inline(always)]
    pub fn own_frame(&self, domain: &Domain<M>, number: u64) -> Option<GuestFrame> {
        let (frame, kind, _) = self.machine.frame_at(&domain.map, number.checked_mul(FRAME)?)?;
        // What it has granted to itself is its own, too.
        let own = matches!(kind, Kind::Ram | Kind::Shared) || frame.owner() == Some(domain.id);
        own.then_some(frame)
    }

    /// Begins a use of a grant for the domain `by`.
    ///
    /// # Errors
    /// `GNTST_*`.
    #[inline(always)]
    pub fn pin<'h>(
        &'h self,
        granter: &'h Domain<M>,
        reference: u32,
        (by, how): (&Domain<M>, Use),
    ) -> Result<Pin<'h, M>, Refused> {
        let frame = self.begin_use(granter, (reference, by.id, how))?;
        Ok(Pin { machine: &self.machine, granter, reference, how, frame })
    }

    #[inline(never)]
    fn begin_use(&self, granter: &Domain<M>, of: (u32, u16, Use)) -> Result<GuestFrame, Refused> {
        let pv = granter.pv.as_ref().ok_or(GNTST_GENERAL_ERROR)?;
        let mut table = pv.grants.table.lock();
        let more = table.begin(self, (granter, &pv.grant_frames), of)?.try_clone();
        if more.is_none() {
            table.take_back(&self.machine, &pv.grant_frames, (of.0, of.2));
        }
        more.ok_or(GNTST_GENERAL_ERROR.into())
    }

    /// Maps a grant: the handle, and the frame's host address.
    ///
    /// # Errors
    /// `GNTST_*`.
    #[inline(always)]
    pub fn map_grant(
        &self,
        domain: &Domain<M>,
        granter: &Domain<M>,
        wanted: Wanted,
    ) -> Result<(u32, u64), i16> {
        let granting = granter.pv.as_ref().ok_or(GNTST_GENERAL_ERROR)?;
        let pages = &granting.grant_frames;
        let how = Use { way: Way::Map, write: wanted.writable };
        let mut table = granting.grants.table.lock();
        let frame = match table.begin(self, (granter, pages), (wanted.reference, domain.id, how)) {
            Ok(frame) => frame,
            Err(refused) => {
                drop(table);
                self.pass_handle(domain);
                return Err(refused.into());
            }
        };
        let mapped = self.show_granted(domain, granter, wanted, frame.held());
        if mapped.is_err() {
            table.take_back(&self.machine, pages, (wanted.reference, how));
        }
        Ok(mapped?)
    }

    /// Shows a domain the frame of a grant whose use has begun: the handle of the mapping, and the frame's host address.
    #[inline(always)]
    fn show_granted(
        &self,
        domain: &Domain<M>,
        granter: &Domain<M>,
        wanted: Wanted,
        frame: Held<'_>,
    ) -> Result<(u32, u64), Refused> {
        let mapping = Mapping {
            granter: u16::try_from(granter.index).map_err(|_| GNTST_GENERAL_ERROR)?,
            reference: wanted.reference,
            at: wanted.at & !FRAME.wrapping_sub(1),
            host: frame.address(),
            writable: wanted.writable,
        };
        let mut tracks = domain.pv.as_ref().ok_or(GNTST_GENERAL_ERROR)?.grants.tracks.lock();
        let handle = tracks.take(&mapping).ok_or(GNTST_NO_DEVICE_SPACE)?;
        match self.machine.show(&domain.map, mapping.at, Showing::Granted(frame), wanted.writable) {
            Ok(None) => {}
            Ok(Some(former)) => self.part_with(domain, former),
            Err(_) => {
                tracks.free(handle);
                return Err(GNTST_GENERAL_ERROR.into());
            }
        }
        domain.note_top(Some(mapping.at / FRAME));
        Ok((handle, mapping.host))
    }

    /// A mapping has failed that had its handle already.
    pub fn pass_handle(&self, domain: &Domain<M>) {
        if let Some(pv) = &domain.pv {
            pv.grants.tracks.lock().pass();
        }
    }

    /// Unmaps a grant that a domain says to have mapped at a guest address.
    ///
    /// # Errors
    /// `GNTST_*`; nothing has changed.
    #[inline(always)]
    pub fn unmap_grant(&self, domain: &Domain<M>, handle: u32, at: u64) -> Result<(), i16> {
        let pv = domain.pv.as_ref().ok_or(GNTST_BAD_HANDLE)?;
        if at == 0 {
            // The interface's way to say that this half of a mapping stays.
            return pv.grants.tracks.lock().get(handle).map(|_| ()).ok_or(GNTST_BAD_HANDLE);
        }
        let at = at & !FRAME.wrapping_sub(1);
        let mapping = {
            let mut tracks = pv.grants.tracks.lock();
            let mapping = tracks.get(handle).ok_or(GNTST_BAD_HANDLE)?;
            // Where something else has taken its place that stays, and the mapping, which shows nothing, too.
            if !self.machine.hide_granted(&domain.map, at, mapping.host)
                && self.machine.is_shown(&domain.map, at)
            {
                return Err(GNTST_GENERAL_ERROR);
            }
            if at != mapping.at {
                self.machine.hide_granted(&domain.map, mapping.at, mapping.host);
            }
            tracks.free(handle);
            mapping
        };
        self.forget(mapping);
        Ok(())
    }

    /// Ends the use that a mapping was.
    fn forget(&self, mapping: Mapping) {
        if let Some(granter) = self.domains.get(usize::from(mapping.granter)) {
            let how = Use { way: Way::Map, write: mapping.writable };
            end_use(&self.machine, granter, mapping.reference, how);
        }
    }

    /// Unmaps up to `budget` of what a domain that is going away has mapped of grants. True once nothing is left.
    pub fn relinquish_grants(&self, domain: &Domain<M>, budget: usize) -> bool {
        let Some(pv) = &domain.pv else { return true };
        let mut from = 0;
        for _ in 0..budget {
            let (handle, mapping) = {
                let mut tracks = pv.grants.tracks.lock();
                let Some((handle, mapping)) = tracks.next(from) else { return tracks.used() == 0 };
                self.machine.hide_granted(&domain.map, mapping.at, mapping.host);
                tracks.free(handle);
                (handle, mapping)
            };
            self.forget(mapping);
            from = handle;
        }
        pv.grants.tracks.lock().used() == 0
    }

    /// Exchanges two entries of a domain's table.
    ///
    /// # Errors
    /// `GNTST_*`.
    pub fn swap_grants(&self, domain: &Domain<M>, references: (u32, u32)) -> Result<(), i16> {
        let pv = domain.pv.as_ref().ok_or(GNTST_BAD_PAGE)?;
        pv.grants.table.lock().swap(&self.machine, &pv.grant_frames, references)
    }
}
