//! Xen's interface as data: numbers, layouts and error numbers of Xen 4.17's public headers.
//!
//! One module for each public header. Nothing here does anything.
#![no_std]
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

pub mod arch_arm;
pub mod errno;
pub mod hypercall;
pub mod version;
