//! What a message says, and what both sides count.
//!
//! The client's messages have the odd numbers 1, 3, 5 and so on, the answer to message N the number N + 1. A payload
//! follows from lane and number alone, so either side knows what the other must have written.

use core::sync::atomic::{AtomicU64, Ordering};

/// Words of a ring page: the client's number, sum, reference of the payload and of where its answer goes (upper half),
/// reference of the board; the server's number and sum.
pub(super) const NUMBER: usize = 0;
pub(super) const SUM: usize = 1;
pub(super) const REFERENCES: usize = 2;
pub(super) const BOARD: usize = 3;
pub(super) const ANSWER: usize = 64;
pub(super) const ANSWER_SUM: usize = 65;

/// How the board, a further page, goes with a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Board {
    /// Not at all.
    Unused,
    /// Mapped to be read.
    Read,
    /// Mapped to be written.
    Written,
}

/// How the board goes with a message.
pub(super) const fn board(number: u64) -> Board {
    match number % 16 {
        1 => Board::Read,
        9 => Board::Written,
        _ => Board::Unused,
    }
}

/// Bytes of a message's payload, and where in its page it begins.
pub(super) const fn extent(number: u64) -> (u16, u16) {
    let words = 4 + number / 2 % 61;
    let offset = number / 2 * 7 % 256;
    ((words * 8) as u16, (offset * 8) as u16)
}

/// A word of the payload.
pub(super) const fn payload(lane: usize, number: u64, index: u64) -> u64 {
    let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (lane as u64) << 56;
    (seed ^ index).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(23) ^ seed
}

/// The sum over words.
pub(super) fn sum(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0x5a5a, |sum, word| sum.rotate_left(5).wrapping_add(word))
}

/// What is counted of one domain, by each of the two sides.
pub(super) struct Counts {
    /// Messages that were answered.
    pub(super) messages: AtomicU64,
    /// Bytes of payload, both ways.
    pub(super) bytes: AtomicU64,
    /// Times that a board was mapped.
    pub(super) boards: AtomicU64,
    /// Rounds: each has a port and grants of its own.
    pub(super) rounds: AtomicU64,
    /// All sums of payloads, added up.
    pub(super) sums: AtomicU64,
}

impl Counts {
    pub(super) const fn new() -> Self {
        Self {
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            boards: AtomicU64::new(0),
            rounds: AtomicU64::new(0),
            sums: AtomicU64::new(0),
        }
    }

    /// Counts a message that is right.
    pub(super) fn count(&self, number: u64, sum: u64) {
        self.messages.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(u64::from(extent(number).0) * 2, Ordering::SeqCst);
        self.boards.fetch_add(u64::from(board(number) != Board::Unused), Ordering::SeqCst);
        self.sums.fetch_add(sum, Ordering::SeqCst);
    }

    /// Prints the counts; both sides must print the same.
    pub(super) fn say(&self, domain: u64) {
        let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
        guests::say!(
            "counts of {domain}: messages {} bytes {} boards {} rounds {} sums {:#x}",
            of(&self.messages),
            of(&self.bytes),
            of(&self.boards),
            of(&self.rounds),
            of(&self.sums)
        );
    }
}
