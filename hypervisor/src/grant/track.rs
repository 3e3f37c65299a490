//! What a domain has mapped of others' grants: the handles of its mappings.
//!
//! A handle is given out again as late as can be: what has become free waits behind all others.

use alloc::vec::Vec;

const FRAME_SHIFT: u32 = 12;
/// Guest frame numbers have fewer bits than this; above are the flags.
const FLAGS_SHIFT: u32 = 48;
const USED: u64 = 1 << FLAGS_SHIFT;
const WRITABLE: u64 = 2 << FLAGS_SHIFT;
const GUEST_FRAME: u64 = (1 << FLAGS_SHIFT) - 1;
const END: u64 = GUEST_FRAME;

/// A mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Index of the domain whose grant it is.
    pub granter: u16,
    /// The grant.
    pub reference: u32,
    /// Guest address where it is mapped.
    pub at: u64,
    /// Host address of the frame.
    pub host: u64,
    /// The mapping domain may write.
    pub writable: bool,
}

#[derive(Clone, Copy, Debug)]
struct Track {
    /// Guest frame number, `USED`, `WRITABLE`; of a free one the next free one.
    place: u64,
    /// Host frame number.
    host: u32,
    granter: u16,
    reference: u16,
}

/// A domain's mappings, by handle.
#[derive(Debug)]
pub struct Tracks {
    tracks: Vec<Track>,
    first_free: usize,
    last_free: usize,
    used: usize,
}

impl Tracks {
    /// Bytes of a handle.
    pub(super) const BYTES: usize = size_of::<Track>();

    pub(super) fn try_new(count: usize) -> Option<Self> {
        let mut tracks = Vec::new();
        tracks.try_reserve_exact(count).ok()?;
        for number in 1..=u64::try_from(count).ok()? {
            tracks.push(Track { place: number, host: 0, granter: 0, reference: 0 });
        }
        let last_free = count.checked_sub(1)?;
        tracks.get_mut(last_free)?.place = END;
        Some(Tracks { tracks, first_free: 0, last_free, used: 0 })
    }

    /// Handles in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Takes the next free handle. `None` where there is none.
    #[inline(always)]
    pub fn take(&mut self, mapping: &Mapping) -> Option<u32> {
        let number = self.first_free;
        let host = u32::try_from(mapping.host >> FRAME_SHIFT).ok()?;
        let reference = u16::try_from(mapping.reference).ok()?;
        let track = self.tracks.get_mut(number)?;
        let next = track.place;
        let writable = if mapping.writable { WRITABLE } else { 0 };
        let place = mapping.at >> FRAME_SHIFT & GUEST_FRAME | USED | writable;
        *track = Track { place, host, granter: mapping.granter, reference };
        self.first_free = if next == END { usize::MAX } else { usize::try_from(next).ok()? };
        self.used = self.used.saturating_add(1);
        u32::try_from(number).ok()
    }

    /// The mapping of a handle.
    pub fn get(&self, handle: u32) -> Option<Mapping> {
        let track = self.tracks.get(usize::try_from(handle).ok()?)?;
        (track.place & USED != 0).then(|| Mapping {
            granter: track.granter,
            reference: u32::from(track.reference),
            at: (track.place & GUEST_FRAME) << FRAME_SHIFT,
            host: u64::from(track.host) << FRAME_SHIFT,
            writable: track.place & WRITABLE != 0,
        })
    }

    /// Sets a handle free, behind all that are.
    pub fn free(&mut self, handle: u32) {
        let Ok(number) = usize::try_from(handle) else { return };
        let Some(track) = self.tracks.get_mut(number).filter(|track| track.place & USED != 0) else { return };
        track.place = END;
        if let Some(last) = self.tracks.get_mut(self.last_free).filter(|_| self.first_free != usize::MAX) {
            last.place = u64::from(handle);
        } else {
            self.first_free = number;
        }
        self.last_free = number;
        self.used = self.used.saturating_sub(1);
    }

    /// Puts the next free handle behind all others, as if it had been used.
    #[inline(never)]
    pub fn pass(&mut self) {
        let nothing = Mapping { granter: 0, reference: 0, at: 0, host: 0, writable: false };
        if let Some(handle) = self.take(&nothing) {
            self.free(handle);
        }
    }

    /// The first handle in use that is not below `from`, and its mapping.
    pub fn next(&self, from: u32) -> Option<(u32, Mapping)> {
        if self.used == 0 {
            return None;
        }
        let count = u32::try_from(self.tracks.len()).ok()?;
        (from..count).find_map(|handle| Some((handle, self.get(handle)?)))
    }

    /// Is there a mapping of the frame at this host address?
    pub fn maps(&self, host: u64) -> bool {
        let Ok(host) = u32::try_from(host >> FRAME_SHIFT) else { return false };
        self.used != 0 && self.tracks.iter().any(|track| track.host == host && track.place & USED != 0)
    }
}
