//! The commands of the project as a library: what `cargo xtask` runs, and what the system tests build upon.
//!
//! One file per thing. `tools` and `sysroot` see to the tools; `image` makes what is booted; `packages`, `modules`,
//! `initrd`, `rootfs` and `tree` make a whole machine out of it; `qemu` runs that machine; the rest are the commands themselves.

pub mod bench;
pub mod check;
pub mod command;
pub mod demo;
pub mod elf;
pub mod guests;
pub mod hypercalls;
pub mod image;
pub mod initrd;
pub mod modules;
pub mod packages;
pub mod paths;
pub mod qemu;
pub mod rootfs;
pub mod run;
pub mod source;
pub mod stops;
pub mod symbols;
pub mod sysroot;
pub mod system;
pub mod test;
pub mod tidy;
pub mod tools;
pub mod tree;
pub mod uboot;
