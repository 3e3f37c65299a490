//! Frames that are a domain's for good, because its owner has chosen them: static memory, a direct map, and memory
//! that it shares with others as its owner.
//!
//! Such a frame never becomes another domain's. One that the domain gives up is kept for it, still counts, and is
//! what the domain gets when it asks for memory at the address where it was at the beginning: the frame's *home*.

use alloc::vec::Vec;

use machine::frames::FRAME_SIZE as FRAME;
use plan::GuestMemory;

/// The homes of a domain's frames.
#[derive(Debug)]
pub struct Homes {
    /// All RAM that the domain ever has has its home in `own` or `shared`.
    all: bool,
    /// RAM, in guest order.
    own: Vec<GuestMemory>,
    /// What it owns of what it shares, in guest order.
    shared: Vec<GuestMemory>,
}

impl Homes {
    /// Those of a domain at its beginning.
    pub fn new(plan: &plan::Domain) -> Self {
        let all = plan.direct_map || plan.is_static;
        let own = plan.memory.iter().filter(|_| all).copied().collect();
        let owned = plan.shared.iter().filter(|share| share.is_owner);
        Homes { all, own, shared: owned.map(|share| share.memory).collect() }
    }

    /// No frame has a home.
    pub fn is_empty(&self) -> bool {
        !self.all && self.shared.is_empty()
    }

    /// Whether a frame of the domain's RAM, by its host address, is the domain's for good.
    pub fn keeps(&self, host: u64) -> bool {
        let holds = |piece: &GuestMemory| host.wrapping_sub(piece.host) < piece.size;
        self.all || self.shared.iter().any(holds)
    }

    /// Whether memory at a frame number can only be the frame at home there.
    pub fn rule(&self, number: u64) -> bool {
        self.all || self.at(number).is_some()
    }

    /// The host address of the frame that is at home at a frame number.
    pub fn at(&self, number: u64) -> Option<u64> {
        let guest = number.checked_mul(FRAME)?;
        let find = |pieces: &[GuestMemory]| {
            let before = pieces.partition_point(|piece| piece.guest <= guest).checked_sub(1)?;
            let piece = pieces.get(before)?;
            let offset = guest.checked_sub(piece.guest).filter(|offset| *offset < piece.size)?;
            piece.host.checked_add(offset)
        };
        find(&self.own).or_else(|| find(&self.shared))
    }
}
