//! The Arm64 board: one of the two machines.
//!
//! `boot.s` brings the processor to Rust, [`Boot`] reads the untrusted tree and modules before anything
//! is taken, and [`Boot::take`] turns a checked plan into a [`Board`] (the machine of the contract) and a
//! pool of frames. `vectors.s` enters the guest and comes back with its trap.

mod board;
mod boot;
mod device;
mod fault;
mod firmware;
mod foreign;
mod gic;
mod gic_v2;
mod gic_v3;
mod heap;
mod identity;
mod memory;
mod processor;
mod secondary;
pub(crate) mod spin;
mod symbols;
mod system;
mod translation;
mod uart;

pub use board::{Board, GuestMap};
pub use boot::{Boot, Planning, Taken, stop};
pub use fault::set_noreboot;
pub use heap::allocations;

use crate::frames::FrameTable;

/// Guests' memory is filled: RAM that is not ours is shown, for as long as the machine runs.
///
/// # Errors
/// Words, where RAM lies in so many pieces that the tables do not suffice.
pub fn show_ram(frames: &FrameTable) -> Result<(), &'static str> {
    frames.ranges().try_for_each(translation::map_foreign).ok_or("RAM lies in too many pieces to be mapped")
}

/// Construction is over, and the plan has gone: the memory that it had is free, and from now on nothing is allocated and
/// nothing is mapped. A processor that starts later would find no stack, so all have been started before.
///
/// # Errors
/// Words, where something that was allocated while planning is still there: a fault of ours.
pub fn seal(frames: &FrameTable, planning: Planning) -> Result<(), &'static str> {
    if let Planning(Some(planning)) = planning {
        let pages = heap::end_planning().ok_or("something of the plan is still in use")?;
        translation::hide_of_image(pages);
        frames.free_range(planning);
    }
    heap::seal();
    translation::seal();
    memory::forget_instructions();
    Ok(())
}
