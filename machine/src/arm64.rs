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
pub use boot::{Boot, Taken, stop};
pub use fault::set_noreboot;
pub use heap::allocations;

/// Construction is over: from now on nothing is allocated and nothing is mapped. A processor that starts
/// later would find no stack, so all have been started before.
pub fn seal() {
    heap::seal();
    translation::seal();
    memory::forget_instructions();
}
