//! What an Arm64 guest sees of its processor and of its board.
//!
//! The way of a trap through this module: [`Trap::decode`] says what the guest wants ([`Exit`]). A system
//! register goes to [`system_register::classify`], and from there to [`identity`], [`timer`] or [`gic`];
//! an access to a device goes by its address to [`gic`] or [`uart`]; a call of firmware to [`psci`]. What
//! nobody answers becomes an exception in the guest ([`exception`]). [`list_register`] is how interrupts
//! get into the guest.

pub mod affinity;
pub mod exception;
pub mod gic;
pub mod identity;
pub mod list_register;
pub mod psci;
mod registers;
pub mod system_register;
pub mod timer;
pub mod trap;
pub mod uart;

pub use registers::*;
pub use system_register::SystemRegister;
pub use trap::{AbortReason, AccessSize, Exit, MmioAccess, SystemRegisterAccess};

#[cfg(test)]
mod test_registers;
