//! What a guest sees: state machines that need no hardware to be right or wrong.
//!
//! Nothing here touches a register of the machine or calls anybody. A model takes what the guest did (a
//! trapped access, a line that changed) and answers with a value and with what the caller has to do.
//! Every function accepts every value that a guest can produce.
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

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arm64;
mod bits;
