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

thread_local! {
    static PROCESSOR: Cell<CpuIndex> = const { Cell::new(0) };
    static PAUSES: Cell<u32> = const { Cell::new(0) };
    static HELD: RefCell<Vec<(CpuIndex, Rank)>> = const { RefCell::new(Vec::new()) };
}

/// The processor that this thread is.
pub(super) fn processor() -> CpuIndex {
    PROCESSOR.get()
}

/// Makes this thread another processor; answers with the one that it was.
pub(super) fn become_processor(cpu: CpuIndex) -> CpuIndex {
    PROCESSOR.replace(cpu)
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

    use super::{HELD, PAUSES, PROCESSOR};
    use crate::lock::Rank;

    /// A lock is about to be taken.
    ///
    /// # Panics
    /// If this processor holds a lock of the same or of a higher rank.
    pub(crate) fn enter(rank: Rank) {
        PAUSES.set(0);
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
