//! Which architecture's traps the guests of this build make.
//!
//! Arm64 is the only one yet. It is chosen on every host, too: the simulated machine runs Arm guests.

pub mod arm64;

pub use arm64::{handle, reset_registers, start};
