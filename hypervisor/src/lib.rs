//! Xenite: domains, vCPUs, schedulers, hypercalls.
//!
//! Everything here is portable: it knows a machine by its contract, guests by the model and the owner's
//! wishes by the plan. `main.rs` is the story of a boot, [`cpu`] the one loop, [`arch`] what traps mean.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::string_slice
    )
)]

extern crate alloc;

pub mod arch;
pub mod console;
pub mod construct;
pub mod control;
pub mod cpu;
pub mod domain;
pub mod event;
pub mod grant;
pub mod guest;
pub mod heap;
pub mod home;
pub mod hypercall;
pub mod hypervisor;
pub mod interrupt;
pub mod keys;
pub mod memory;
pub mod pool;
pub mod pv;
pub mod runstate;
pub mod schedule;
pub mod sizes;
pub mod timer;
pub mod vcpu;

/// The version, as the banner and faults name it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
