//! The story of a boot: read, check, take, construct, run.
//!
//! The image begins in `machine` (its entry code and the first Rust); from there it comes here once and
//! stays. On a host this program only says what it is.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
mod image;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("This is Xenite {}, built for a host: the image is built by `./x build`.", hypervisor::VERSION);
}
