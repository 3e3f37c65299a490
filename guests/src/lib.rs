//! The runtime of the guests: what a tiny kernel needs so that its author can write down what it tests.
//!
//! A guest is an arm64 Image in `src/bin`. It runs on whatever the device tree describes: under a hypervisor as one
//! of its domains, or at EL1 of a bare machine. [`boot`] is entered first, relocates the image, clears memory, reads
//! the tree ([`tree`], [`platform`]), switches the MMU on ([`mmu`]) and calls the guest's `main`. Everything a guest
//! says goes through [`report`], in lines that a test runner reads.
#![no_std]
#![deny(missing_docs)]

pub mod boot;
pub mod exception;
pub mod exhaust;
pub mod gic;
pub mod journal;
pub mod mmio;
pub mod mmu;
pub mod platform;
pub mod psci;
pub mod region;
pub mod registers;
pub mod report;
pub mod timer;
pub mod tree;
pub mod uart;
pub mod xen;

/// Names the functions of a guest that the runtime calls: `main` on the first vCPU; on an interrupt `irq`, with the
/// vCPU's index (interrupts are masked while it runs); on the other vCPUs `secondary`, with the vCPU's index and the
/// word given to [`psci::start`].
#[macro_export]
macro_rules! guest {
    ($main:path) => {
        $crate::guest!($main, $crate::exception::unexpected_irq);
    };
    ($main:path, $irq:path) => {
        $crate::guest!($main, $irq, $crate::boot::unexpected_secondary);
    };
    ($main:path, $irq:path, $secondary:path) => {
        #[expect(unsafe_code, reason = "the runtime finds the guest's functions by their symbol names")]
        const _: () = {
            #[unsafe(no_mangle)]
            extern "Rust" fn guest_main() {
                $main();
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn guest_irq(cpu: usize) {
                $irq(cpu);
            }
            #[unsafe(no_mangle)]
            extern "Rust" fn guest_secondary(cpu: usize, word: u64) {
                $secondary(cpu, word);
            }
        };
    };
}
