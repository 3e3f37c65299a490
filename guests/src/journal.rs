//! What happened on a vCPU, in order: interrupt handlers write, tests read.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The most entries that a journal keeps; later ones are only counted.
pub const ENTRIES: usize = 128;

/// A journal of small numbers.
pub struct Journal {
    entries: [AtomicU32; ENTRIES],
    /// Places that are taken: one interrupt may come into the handler of another.
    taken: AtomicUsize,
    /// Entries that are written, for others to read.
    count: AtomicUsize,
}

impl Journal {
    /// An empty journal.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: [const { AtomicU32::new(0) }; ENTRIES],
            taken: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
        }
    }

    /// Writes an entry.
    pub fn write(&self, entry: u32) {
        let place = self.taken.fetch_add(1, Ordering::SeqCst);
        if let Some(slot) = self.entries.get(place) {
            slot.store(entry, Ordering::SeqCst);
        }
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.taken.store(0, Ordering::SeqCst);
        self.count.store(0, Ordering::SeqCst);
    }

    /// How many entries have been written.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The entry at `place`, 0 if there is none.
    #[must_use]
    pub fn get(&self, place: usize) -> u32 {
        if place < self.count() {
            self.entries.get(place).map_or(0, |slot| slot.load(Ordering::SeqCst))
        } else {
            0
        }
    }

    /// Whether exactly these entries were written, in this order.
    #[must_use]
    pub fn is(&self, expected: &[u32]) -> bool {
        self.count() == expected.len()
            && expected.iter().enumerate().all(|(place, entry)| self.get(place) == *entry)
    }

    /// How many of the entries are `entry`.
    #[must_use]
    pub fn count_of(&self, entry: u32) -> usize {
        (0..self.count().min(ENTRIES)).filter(|place| self.get(*place) == entry).count()
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Display for Journal {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{} entries:", self.count())?;
        (0..self.count().min(12)).try_for_each(|place| write!(formatter, " {}", self.get(place)))
    }
}
