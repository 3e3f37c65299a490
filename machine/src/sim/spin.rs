//! What a lock needs of the simulated machine: a pause while waiting, and an account of the order in which
//! locks are taken.
//!
//! A test may drive several processors from one thread, so the account is kept for each processor. Which
//! one a thread is at the moment, it says with [`super::on_processor`].

use std::cell::{Cell, RefCell};

use crate::contract::CpuIndex;
use crate::lock::Rank;

/// Pauses in a row after which nobody will ever open the lock.
const PATIENCE: u32 = 5_000_000;

/// Ranks that there are.
const RANKS: usize = Rank::Machine as usize + 1;

thread_local! {
    static PROCESSOR: Cell<CpuIndex> = const { Cell::new(0) };
    static PAUSES: Cell<u32> = const { Cell::new(0) };
    static HELD: RefCell<Vec<(CpuIndex, Rank)>> = const { RefCell::new(Vec::new()) };
    static TAKEN: RefCell<[usize; RANKS]> = const { RefCell::new([0; RANKS]) };
}

/// The processor that this thread is.
pub(super) fn processor() -> CpuIndex {
    PROCESSOR.get()
}

/// Makes this thread another processor; answers with the one that it was.
pub(super) fn become_processor(cpu: CpuIndex) -> CpuIndex {
    PROCESSOR.replace(cpu)
}

/// The locks that are held by processors that this thread is at times.
pub fn held_locks() -> Vec<(CpuIndex, Rank)> {
    HELD.with_borrow(Vec::clone)
}

/// How often this thread has taken a lock of this rank.
pub fn times_taken(rank: Rank) -> usize {
    TAKEN.with_borrow(|counts| counts.get(rank as usize).copied().unwrap_or(0))
}

/// Waits a little.
///
/// # Panics
/// If this thread has waited so long that the lock must have been forgotten.
pub(crate) fn pause() {
    let pauses = PAUSES.get().saturating_add(1);
    PAUSES.set(pauses);
    assert!(pauses < PATIENCE, "a lock is never opened: held are {:?}", HELD.with_borrow(Vec::clone));
    std::thread::yield_now();
}

pub(crate) mod held {
    //! Which locks are held, by processor.

    use super::{HELD, PAUSES, PROCESSOR, TAKEN};
    use crate::lock::Rank;

    /// A lock is about to be taken.
    ///
    /// # Panics
    /// If this processor holds a lock of the same or of a higher rank.
    pub(crate) fn enter(rank: Rank) {
        PAUSES.set(0);
        TAKEN.with_borrow_mut(|counts| counts[rank as usize] += 1);
        let cpu = PROCESSOR.get();
        HELD.with_borrow_mut(|held| {
            let last = held.iter().rev().find(|(holder, _)| *holder == cpu).map(|(_, rank)| *rank);
            if !std::thread::panicking() {
                assert!(
                    last.is_none_or(|last| last < rank),
                    "wrong order of locks: {rank:?} while {last:?} is held"
                );
            }
            held.push((cpu, rank));
        });
    }

    /// A lock is open again. A guard may be dropped outside of its processor, when a test ends.
    pub(crate) fn leave(rank: Rank) {
        let cpu = PROCESSOR.get();
        HELD.with_borrow_mut(|held| {
            let own = held.iter().rposition(|entry| *entry == (cpu, rank));
            if let Some(at) = own.or_else(|| held.iter().rposition(|(_, known)| *known == rank)) {
                held.remove(at);
            }
        });
    }
}
