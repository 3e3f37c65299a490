//! From a host device tree to a checked plan of all that boot will do.
//!
//! [`read`] takes a tree and a few facts ([`Input`]) and gives a [`Plan`] or says why not ([`Refusal`]).
//! It touches nothing, so the same code runs on the desk (`xenite check`) and on the board, with the same
//! words. Nothing else in the house reads a device tree.
//!
//! The steps, each in its module: [`fdt`] checks the blob; `board` reads the hardware and `options` the
//! command line; `domains`, `modules`, `pools` and `channels` read what the owner wants; `claims` finds overlaps; `layout`,
//! `pv`, `kernel` and `guest_tree` decide what a guest sees, `host_tree` what dom0 sees; `placement`, [`stage2`] and `tables` decide where
//! it lies, and `budget` what that costs. `account` puts the plan into the words that boot says.
//!
//! # How much memory a reading takes
//! All lists are bounded: 256 RAM banks, 256 reserved ranges, 128 processors,
//! 1023 domains, 64 refusals and 64 warnings of less than 1 KiB each; a tree is at most 2 MiB with 16,384 nodes.
//! What grows with the domains is counted against [`Sizes::boot_heap`] before it is taken: 4 KiB for each
//! domain, 512 bytes for each range of static memory, 384 and its path for each end of a static event channel, 768 and its path twice for each use
//! of shared memory, 256 for each range of `xen,static-heap`, 256 and its path for each pool of processors, an upper bound of each guest's tree, twice that of one that is larger than those before,
//! or three times that of dom0's, which is about the host's, with 64 KiB for the host's devices, four times a partial device tree. A tree
//! that would take more is refused. Beside this, 512 KiB cover everything else, the window of the unpacker included.

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

mod account;
mod assemble;
mod board;
mod budget;
mod channels;
mod claims;
mod domains;
pub mod fdt;
mod guest_tree;
pub mod gzip;
mod host_tree;
mod input;
mod kernel;
mod layout;
mod modules;
mod options;
mod placement;
mod pools;
mod pv;
mod range;
mod report;
mod settle;
mod shape;
mod shared_memory;
pub mod stage2;
mod static_heap;
mod tables;
mod text;

pub use account::{BANNER, account, fingerprint};
pub use assemble::{Findings, examine, read};
pub use board::{
    GIC_V2_CPU_INTERFACE_BYTES, GIC_V3_REDISTRIBUTOR_BYTES, MOST_BANKS, MOST_PROCESSORS, board, console,
    distributor,
};
pub use channels::{MOST_DOM0_PORTS, MOST_DOMAIN_PORTS};
pub use domains::properties::KNOWN as DOMAIN_PROPERTIES;
pub use domains::{MOST_DOMAINS, MOST_SPIS, MOST_VCPUS};
pub use guest_tree::vcpu_affinity;
pub use host_tree::assigned::UNSEEN_DEVICES;
pub use input::{Facts, Input, Modules, Sizes};
pub use kernel::{TREE_BYTES, UNSEEN};
pub use layout::{BANK_0, BANK_1};
pub use modules::LONGEST_BOOTARGS_BYTES;
pub use options::LONGEST_COMMAND_LINE_BYTES;
pub use placement::{HEAP_GRANULE, MOST_PIECES};
pub use range::{BLOCK_1_GIB, BLOCK_2_MIB, Bytes, FRAME_BYTES, RangeSet, align_down, align_up, is_aligned};
pub use report::{MOST_REMARKS, Place, Refusal};
pub use shape::*;
