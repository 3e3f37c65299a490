//! How four guests meet by memory that all of them share and an event channel for each two of them.
//!
//! Each guest has a word of that memory for each other one. In a round it writes the round's number into its three words and
//! rings at each of the three; then it waits until each of the others has rung for that round. It looks at a word only when
//! its writer has rung, so that an event that is lost ends the meeting. One guest leads: once those that
//! are to work have said, in a word that each has for itself, that they are ready, it says in another word when they are to begin
//! and when to stop. Each counts what it has got done meanwhile.

use core::sync::atomic::{AtomicU64, Ordering};

/// Guests at a meeting.
pub(crate) const MEMBERS: usize = 4;
/// Rounds without anything else.
pub(crate) const ROUNDS: u64 = 100;
/// Who works in which phase: one beside the leader; all beside the leader; nobody while the leader uses up whatever it can get; all
/// while it does that; and all while it sleeps.
pub(crate) const PHASES: [&[usize]; 5] = [&[2], &[0, 1, 2], &[], &[0, 1, 2], &[0, 1, 2]];
/// Where the word of the phase lies, behind those of the rounds, which are a cache line each.
pub(crate) const PHASE: u64 = LINE * 16;
const LINE: u64 = 64;
pub(crate) const PAGE: u64 = 4096;
/// Instructions between two looks at the phase.
pub(crate) const PIECE: u64 = 10_000;

/// What a member can do.
pub(crate) trait Member {
    /// A word of the memory that all share.
    fn mail(&self, offset: u64) -> &AtomicU64;
    /// A word of the picture.
    fn picture(&self, offset: u64) -> &AtomicU64;
    /// Sends an event to a member.
    fn ring(&mut self, member: usize);
    /// Waits for an event; who has sent it.
    fn listen(&mut self) -> usize;
}

/// A member at the meeting.
pub(crate) struct Meeting<M> {
    pub(crate) member: M,
    me: usize,
    round: u64,
    heard: [u64; MEMBERS],
    /// Events from each member.
    pub(crate) events: [u64; MEMBERS],
}

impl<M: Member> Meeting<M> {
    pub(crate) const fn new(member: M, me: usize) -> Self {
        Self { member, me, round: 0, heard: [0; MEMBERS], events: [0; MEMBERS] }
    }

    /// The word with which a member says that it is ready for a phase.
    pub(crate) fn ready(&self, member: usize) -> &AtomicU64 {
        self.member.mail(place(member, member))
    }

    /// One round: nobody leaves it before all have come.
    pub(crate) fn meet(&mut self) {
        self.round += 1;
        for other in (0..MEMBERS).filter(|other| *other != self.me) {
            self.member.mail(place(self.me, other)).store(self.round, Ordering::Release);
            self.member.ring(other);
        }
        self.heard[self.me] = self.round;
        while self.heard.iter().any(|heard| *heard < self.round) {
            let from = self.member.listen();
            self.events[from] += 1;
            self.heard[from] = self.member.mail(place(from, self.me)).load(Ordering::Acquire);
        }
    }

    /// A word of each page of the picture, with what is written there.
    pub(crate) fn words(&self, bytes: u64) -> impl Iterator<Item = (&AtomicU64, u64)> {
        (0..bytes / PAGE).map(|page| {
            let word = self.member.picture(page * PAGE + page % 512 * 8);
            (word, (page + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        })
    }

    /// Pages of the picture that are not as they were written.
    pub(crate) fn wrong_pages(&self, bytes: u64) -> u64 {
        self.words(bytes).filter(|(word, pattern)| word.load(Ordering::Acquire) != *pattern).count() as u64
    }
}

/// Where one member's word for another lies.
const fn place(from: usize, to: usize) -> u64 {
    LINE * (from * MEMBERS + to) as u64
}

/// Executes [`PIECE`] instructions.
pub(crate) fn piece() {
    // SAFETY: counts down in a register of its own.
    unsafe {
        core::arch::asm!("2: subs {0}, {0}, #1", "b.ne 2b", inout(reg) PIECE / 2 => _, options(nostack));
    }
}
