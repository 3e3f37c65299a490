//! Xen's interface as data: numbers, layouts and error numbers of Xen 4.17's public headers.
//!
//! One module for each public header, made of two declarations that `layout` defines: `constants!` and `layout!`. The
//! names are C's, in Rust's letters: `EVTCHNOP_send` is `EVTCHNOP_SEND`, `struct evtchn_send` is `EvtchnSend`; the `xen_`
//! before a structure's name is left out. Where C has a union, the structure has its bytes, and each of the union's
//! members is a structure of its own. Nothing here does anything.
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
pub mod arch_x86_64;
pub mod callback;
pub mod device_tree_defs;
pub mod dm_op;
pub mod domctl;
pub mod elfnote;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod flask_op;
pub mod grant_table;
pub mod hvm_op;
pub mod hvm_params;
pub mod hypercall;
pub mod hypfs;
pub mod io_console;
pub mod ioreq;
pub mod layout;
pub mod memory;
pub mod physdev;
pub mod platform;
pub mod sched;
pub mod sysctl;
pub mod trace;
pub mod vcpu;
pub mod version;
pub mod xen;
pub mod xs_wire;
