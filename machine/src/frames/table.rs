//! The frame table: whose each frame of RAM is, and how many hold on to it.
//!
//! Once domains can give memory back, lend it and share it, owning a range is not enough. A frame of RAM
//! then has a *record*: its owner and a count. A [`GuestFrame`] is one of that count. It cannot be copied,
//! its drop takes it back, and with the last one the frame is free and can be another domain's; so a frame
//! that somebody can still reach is never handed out again, and a count cannot be given back twice.
//! The frames that a domain's map shows each have one in the map.
//!
//! Records exist for RAM that is not the hypervisor's own, so what a [`GuestFrame`] leads to is never an
//! object of ours.
//!
//! What was unmapped must not be in any translation cache when its count is given back: machines return
//! the handle of an unmapped frame only after they have seen to that.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use plan::Range;

use super::buddies::Buddies;
pub use super::buddies::LARGEST_ORDER;
use super::{FRAME_SIZE, FramePool, FrameRange};
use crate::lock::{Lock, Rank};

/// Index of a domain, as the owner of frames.
pub type OwnerIndex = u16;

/// Holders of one frame are fewer than this.
const MOST: u32 = KEPT - 1;
/// One of the holders is the owner itself, of what it is not shown at present.
const KEPT: u32 = 1 << (OWNER_SHIFT - 1);
const OWNER_SHIFT: u32 = 20;
/// Owner of a frame that nobody owns.
const NOBODY: u32 = 0;
/// Owners are fewer than this.
pub const MOST_OWNERS: u32 = 0xffd;
/// The owner of frames that are no domain's and still not free.
pub const NO_DOMAIN: OwnerIndex = 0xffd;

/// RAM that lies together.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Number of its first frame.
    first: u64,
    frames: u64,
    /// Index of its first record.
    record: usize,
}

/// The records of all frames, and which of them are free.
#[derive(Debug)]
pub struct FrameTable {
    spans: Vec<Span>,
    records: Vec<AtomicU32>,
    free: Lock<Vec<Buddies>>,
    free_frames: AtomicU64,
}

/// One of the count of a frame: as long as it exists the frame is nobody else's.
#[derive(Debug)]
#[must_use = "the drop of a frame's handle may set the frame free"]
pub struct GuestFrame {
    table: &'static FrameTable,
    record: usize,
    /// Host-physical address.
    at: u64,
}

/// The address of a frame of which somebody else has a handle meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Held<'f> {
    at: u64,
    handle: PhantomData<&'f GuestFrame>,
}

impl Held<'_> {
    /// Host-physical address of its first byte.
    #[inline]
    pub fn address(self) -> u64 {
        self.at
    }
}

/// The owner, if there is one: a record of zeros is nobody's.
fn owner_of(record: u32) -> Option<u32> {
    (record >> OWNER_SHIFT).checked_sub(1)
}

/// The record of a frame of this owner, with a count of one.
fn owned(owner: OwnerIndex) -> u32 {
    u32::from(owner).wrapping_add(1) << OWNER_SHIFT | 1
}

fn count_of(record: u32) -> u32 {
    record & MOST
}

impl FrameTable {
    /// Bytes for the frames of 2 MiB.
    pub const BYTES_PER_BLOCK: usize =
        (size_of::<AtomicU32>() << LARGEST_ORDER).saturating_add(Buddies::BYTES_PER_BLOCK);
    /// Bytes for each of a pool's ranges beside, those of the pool's two lists while they grow with them.
    pub const BYTES_PER_RANGE: usize = size_of::<Span>()
        .saturating_add(Buddies::BYTES)
        .saturating_add(size_of::<Range>().saturating_mul(2 * 4));

    /// A table of the frames that a pool was made of; none is free yet. `None` where there is no memory.
    pub fn try_new(pool: &FramePool) -> Option<Self> {
        let (mut spans, mut total, mut free) = (Vec::new(), 0_usize, Vec::new());
        spans.try_reserve_exact(pool.all.len()).ok()?;
        free.try_reserve_exact(pool.all.len()).ok()?;
        for range in &pool.all {
            let (first, frames) = (range.base / FRAME_SIZE, range.size / FRAME_SIZE);
            spans.push(Span { first, frames, record: total });
            free.push(Buddies::try_new(first, first + frames)?);
            total += usize::try_from(frames).ok()?;
        }
        let mut records = Vec::new();
        records.try_reserve_exact(total).ok()?;
        records.resize_with(total, || AtomicU32::new(NOBODY << OWNER_SHIFT));
        Some(FrameTable {
            spans,
            records,
            free: Lock::new(Rank::Frames, free),
            free_frames: AtomicU64::new(0),
        })
    }

    /// Gives a domain frames that nobody owns: each gets a count of one, which is the caller's to keep. For
    /// construction, where `frames` proves that they are in no other hands.
    pub(crate) fn adopt(&self, frames: &FrameRange, owner: OwnerIndex) {
        // A range of a pool lies in one span.
        let Some(first) = self.record_of(frames.base / FRAME_SIZE) else { return };
        let end = first.saturating_add((frames.size / FRAME_SIZE) as usize);
        // Nobody else has them before they are published with the domain. Many at a time: there are very many.
        let (lots, rest) = self.records.get(first..end).unwrap_or_default().as_chunks::<32>();
        let adopt = |record: &AtomicU32| record.store(owned(owner), Ordering::Relaxed);
        lots.iter().for_each(|lot| lot.iter().for_each(adopt));
        rest.iter().for_each(adopt);
    }

    /// The same, as handles, one after the other.
    pub(crate) fn adopt_each(
        &'static self,
        frames: FrameRange,
        owner: OwnerIndex,
    ) -> impl Iterator<Item = GuestFrame> {
        self.adopt(&frames, owner);
        let (base, count) = (frames.base, frames.size / FRAME_SIZE);
        (0..count)
            .filter_map(move |number| self.out_of_map(base.wrapping_add(number.wrapping_mul(FRAME_SIZE))))
    }

    /// What a pool still has is free from now on.
    pub fn set_free(&self, pool: FramePool) {
        for range in &pool.free {
            self.give_run(range.base / FRAME_SIZE, range.size / FRAME_SIZE);
        }
    }

    /// Frames of the pool that construction has used itself are free from now on.
    pub fn free_range(&self, frames: FrameRange) {
        self.give_run(frames.base / FRAME_SIZE, frames.size / FRAME_SIZE);
    }

    /// Frames that follow one another are free from now on: in blocks as large as they come, since one by one they
    /// would be most of a boot.
    fn give_run(&self, mut frame: u64, mut frames: u64) {
        while frames > 0 {
            let order = frame.trailing_zeros().min(frames.ilog2()).min(LARGEST_ORDER);
            self.give(frame, order);
            frame += 1 << order;
            frames -= 1 << order;
        }
    }

    /// The ranges of RAM that have records.
    pub fn ranges(&self) -> impl Iterator<Item = Range> + '_ {
        self.spans.iter().map(|span| Range {
            base: span.first.wrapping_mul(FRAME_SIZE),
            size: span.frames.wrapping_mul(FRAME_SIZE),
        })
    }

    /// Frames that are free.
    pub fn free_frames(&self) -> u64 {
        self.free_frames.load(Ordering::Relaxed)
    }

    /// Frames in all.
    pub fn frames(&self) -> u64 {
        self.records.len() as u64
    }

    /// Takes `1 << order` free frames for a domain, the first of which is a multiple of that. Each has a
    /// count of one, which [`Block::next`] hands out. They hold whatever they held.
    pub fn take(&'static self, owner: OwnerIndex, order: u32) -> Option<Block> {
        if order > LARGEST_ORDER || u32::from(owner) >= MOST_OWNERS {
            return None;
        }
        let frame = self.free.lock().iter_mut().find_map(|buddies| buddies.take(order))?;
        // No order is larger than the largest.
        let frames = 1_u32.wrapping_shl(order);
        self.free_frames.fetch_sub(u64::from(frames), Ordering::Relaxed);
        let record = self.record_of(frame)?;
        for record in self.records.get(record..record.wrapping_add(frames as usize))? {
            record.store(owned(owner), Ordering::Release);
        }
        Some(Block { table: self, record, at: frame.wrapping_mul(FRAME_SIZE), left: frames })
    }

    /// Keeps a frame for its owner, which is not shown it any more: the frame's address matters to it.
    pub fn keep(&self, frame: GuestFrame) {
        let Some(record) = self.records.get(frame.record) else { return };
        if record.fetch_or(KEPT, Ordering::AcqRel) & KEPT == 0 {
            core::mem::forget(frame);
        }
    }

    /// What was kept for an owner of the frame at the host address `at`.
    pub fn regain(&'static self, owner: OwnerIndex, at: u64) -> Option<GuestFrame> {
        let record = self.record_of(at / FRAME_SIZE)?;
        let take = |value: u32| {
            (value & KEPT != 0 && owner_of(value) == Some(u32::from(owner))).then_some(value & !KEPT)
        };
        self.records.get(record)?.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take).ok()?;
        Some(GuestFrame { table: self, record, at: at & !(FRAME_SIZE - 1) })
    }

    /// The handles that a map holds of the frames of a whole block at `at`, taken out of the map.
    pub(crate) fn block_from_map(&'static self, at: u64) -> Option<Block> {
        Some(Block { table: self, record: self.record_of(at / FRAME_SIZE)?, at, left: 1 << LARGEST_ORDER })
    }

    /// The handle that a map holds of the frame at `at`, taken out of the map.
    pub(crate) fn out_of_map(&'static self, at: u64) -> Option<GuestFrame> {
        let record = self.record_of(at / FRAME_SIZE)?;
        Some(GuestFrame { table: self, record, at: at & !(FRAME_SIZE - 1) })
    }

    /// One more handle of the frame at a host address, if somebody has one. Whoever wants to be sure that it is
    /// still what was shown there has the map locked meanwhile.
    #[inline(always)]
    pub fn hold(&'static self, at: u64) -> Option<GuestFrame> {
        self.hold_if(at, |record| (1..MOST).contains(&count_of(record)))
    }

    /// The same, of a frame that is this domain's own: it cannot become another one's while the handle exists.
    #[inline]
    pub(crate) fn hold_own(&'static self, owner: OwnerIndex, at: u64) -> Option<GuestFrame> {
        let least = owned(owner);
        self.hold_if(at, |record| (least..least.wrapping_add(MOST - 1)).contains(&(record & !KEPT)))
    }

    #[inline(always)]
    fn hold_if(&'static self, at: u64, may: impl Fn(u32) -> bool) -> Option<GuestFrame> {
        let record = self.record_of(at / FRAME_SIZE)?;
        let counted = self.records.get(record)?.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |value| {
            may(value).then(|| value.wrapping_add(1))
        });
        counted.ok().map(|_| GuestFrame { table: self, record, at: at & !(FRAME_SIZE - 1) })
    }

    /// One more count of each frame of a range, which is the caller's to keep; false where one of them is nobody's.
    /// Those before it have been counted then.
    pub(crate) fn hold_all(&'static self, range: Range) -> bool {
        (0..range.size / FRAME_SIZE).all(|number| {
            let frame = self.hold(range.base.wrapping_add(number.wrapping_mul(FRAME_SIZE)));
            frame.map(GuestFrame::into_map).is_some()
        })
    }

    /// The handle that a shelf has of a frame, by [`GuestFrame::number_in`]; `None` for the number 0. Each
    /// may come of it once.
    pub(super) fn numbered(&'static self, number: u32) -> Option<GuestFrame> {
        let record = usize::try_from(number.checked_sub(1)?).ok()?;
        for span in &self.spans {
            let offset = record.wrapping_sub(span.record) as u64;
            if offset < span.frames {
                return Some(GuestFrame {
                    table: self,
                    record,
                    at: span.first.wrapping_add(offset).wrapping_mul(FRAME_SIZE),
                });
            }
        }
        None
    }

    /// Whether there is a record of the frame at this host address: it is RAM, and not the hypervisor's.
    #[inline]
    pub(crate) fn knows(&self, at: u64) -> bool {
        self.record_of(at / FRAME_SIZE).is_some()
    }

    #[inline(always)]
    fn record_of(&self, frame: u64) -> Option<usize> {
        for span in &self.spans {
            let offset = frame.wrapping_sub(span.first);
            if offset < span.frames {
                return Some(span.record.wrapping_add(offset as usize));
            }
        }
        None
    }

    fn give(&self, frame: u64, order: u32) {
        let Some(index) = self.spans.iter().position(|span| frame.wrapping_sub(span.first) < span.frames)
        else {
            return;
        };
        if let Some(buddies) = self.free.lock().get_mut(index) {
            buddies.give(frame, order);
        }
        self.free_frames.fetch_add(1_u64.wrapping_shl(order), Ordering::Relaxed);
    }
}

impl GuestFrame {
    /// Ends the last handle of a frame, which is nobody's then and not in the free sets yet. Another one comes back as
    /// it was.
    #[inline]
    fn end(self) -> Result<(), GuestFrame> {
        let Some(record) = self.table.records.get(self.record) else { return Err(self) };
        let now = record.load(Ordering::Relaxed);
        // Not one that the owner keeps, nor one of others.
        let last = now & (MOST | KEPT) == 1;
        let nobody = NOBODY << OWNER_SHIFT;
        if !last || record.compare_exchange(now, nobody, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return Err(self);
        }
        core::mem::forget(self);
        Ok(())
    }

    /// Host-physical address of its first byte.
    #[inline]
    pub fn address(&self) -> u64 {
        self.at
    }

    /// The frame for as long as this handle stays.
    #[inline]
    pub fn held(&self) -> Held<'_> {
        Held { at: self.at, handle: PhantomData }
    }

    /// The domain that owns it.
    pub fn owner(&self) -> Option<OwnerIndex> {
        let record = self.table.records.get(self.record)?.load(Ordering::Relaxed);
        u16::try_from(owner_of(record)?).ok()
    }

    /// How many hold it.
    pub fn count(&self) -> u32 {
        self.table.records.get(self.record).map_or(0, |record| count_of(record.load(Ordering::Relaxed)))
    }

    /// One more than the number of its record, if that is in this table.
    pub(super) fn number_in(&self, table: &'static FrameTable) -> Option<u32> {
        let known = core::ptr::eq(self.table, table);
        u32::try_from(self.record).ok().filter(|_| known)?.checked_add(1)
    }

    /// One more handle; `None` where very many have one.
    #[inline]
    pub fn try_clone(&self) -> Option<GuestFrame> {
        /// Whoever is on the way past the limit is one of fewer processors than this.
        const MARGIN: u32 = 1024;
        let record = self.table.records.get(self.record)?;
        if count_of(record.fetch_add(1, Ordering::Relaxed)) >= MOST - MARGIN {
            record.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(GuestFrame { table: self.table, record: self.record, at: self.at })
    }

    /// Puts the handle into a map, which keeps the count. What the map shows is the address.
    pub(crate) fn into_map(self) -> u64 {
        let at = self.at;
        core::mem::forget(self);
        at
    }
}

impl Drop for GuestFrame {
    #[inline]
    fn drop(&mut self) {
        let Some(record) = self.table.records.get(self.record) else { return };
        let before = record.fetch_sub(1, Ordering::AcqRel);
        if count_of(before) == 1 {
            record.store(NOBODY << OWNER_SHIFT, Ordering::Release);
            self.table.give(self.at / FRAME_SIZE, 0);
        }
    }
}

/// Frames that follow one another, each of which is to be handed out; its drop sets those free that were
/// not.
#[derive(Debug)]
pub struct Block {
    table: &'static FrameTable,
    record: usize,
    at: u64,
    left: u32,
}

impl Block {
    /// Host-physical address of the first frame that is left.
    pub fn address(&self) -> u64 {
        self.at
    }

    /// Frames that are left.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Acts on one of the frames that are left, which stays.
    pub fn lend<R>(&self, index: u32, act: impl FnOnce(&GuestFrame) -> R) -> Option<R> {
        (index < self.left).then(|| {
            let ahead = u64::from(index).wrapping_mul(FRAME_SIZE);
            let (record, at) = (self.record.wrapping_add(index as usize), self.at.wrapping_add(ahead));
            // Its count stays the block's.
            act(&ManuallyDrop::new(GuestFrame { table: self.table, record, at }))
        })
    }
}

impl Iterator for Block {
    type Item = GuestFrame;

    fn next(&mut self) -> Option<GuestFrame> {
        self.left = self.left.checked_sub(1)?;
        let frame = GuestFrame { table: self.table, record: self.record, at: self.at };
        self.record = self.record.wrapping_add(1);
        self.at = self.at.wrapping_add(FRAME_SIZE);
        Some(frame)
    }
}

impl Block {
    /// Gives at most so many of its next frames back, and says how many. Those that nobody else holds are free from
    /// then on, and what lies together is set free as one.
    pub fn give_back(&mut self, most: u32) -> u32 {
        let count = self.left.min(most);
        let (mut first, mut run) = (self.at / FRAME_SIZE, 0);
        for frame in self.by_ref().take(count as usize) {
            match frame.end() {
                Ok(()) => run += 1,
                Err(held) => {
                    let next = held.at / FRAME_SIZE + 1;
                    held.table.give_run(first, run);
                    (first, run) = (next, 0);
                }
            }
        }
        self.table.give_run(first, run);
        count
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if self.left > 0 {
            self.give_back(u32::MAX);
        }
    }
}
