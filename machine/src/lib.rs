//! Real hardware behind a safe face.
//!
//! This crate holds all the unsafe code of the image; what leaves it is sound for any safe caller. It
//! has two machines that satisfy one [`contract`]: the Arm64 board, and (on a host) the simulated one on
//! which the whole hypervisor is tested. What needs no hardware is compiled and tested on both: locks,
//! frames and stage 2 tables.
//!
//! This file is the only one in the crate that asks what it is compiled for.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod contract;
pub mod frames;
pub mod lock;
pub mod stage2;

#[cfg(target_os = "none")]
pub mod arm64;
#[cfg(target_os = "none")]
use arm64::spin::{self as spin_hint, held};

#[cfg(not(target_os = "none"))]
pub mod sim;
#[cfg(not(target_os = "none"))]
use sim::spin::{self as spin_hint, held};
