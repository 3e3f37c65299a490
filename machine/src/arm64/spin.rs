//! What a lock needs of the board: a pause while waiting. The order of locks is a matter of host tests.
#![expect(unsafe_code, reason = "one hint instruction")]

/// Waits a little.
#[inline]
pub(crate) fn pause() {
    super::system::barrier!("yield");
}

pub(crate) mod held {
    //! The board keeps no account of held locks.
    use crate::lock::Rank;

    #[inline]
    pub(crate) const fn enter(_rank: Rank) {}

    #[inline]
    pub(crate) const fn leave(_rank: Rank) {}
}
