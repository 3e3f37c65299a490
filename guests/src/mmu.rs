//! Stage 1 translation: everything at its own address.
//!
//! One table of 1 GiB blocks covers the first 512 GiB, a second one the next: a block that holds memory is Normal
//! write-back, every other is Device and never executed. A guest may change a block, because some tests need to
//! fetch instructions from a device.
#![expect(unsafe_code, reason = "translation tables and the registers that switch them on")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::{platform, registers};

/// What a block of 1 GiB is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Nothing: stage 1 itself refuses.
    Unmapped,
    /// Device-nGnRnE, no instruction fetch.
    Device,
    /// Device-nGnRnE, but instructions may be fetched as far as stage 1 is concerned.
    DeviceWithFetch,
    /// Normal write-back memory.
    Normal,
}

const VALID: u64 = 1;
const TABLE: u64 = 3;
const ACCESS_FLAG: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 3 << 8;
const NEVER_EXECUTE: u64 = (1 << 53) | (1 << 54);

#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

static TOP: Table = Table([const { AtomicU64::new(0) }; 512]);
static LOW: Table = Table([const { AtomicU64::new(0) }; 512]);
static HIGH: Table = Table([const { AtomicU64::new(0) }; 512]);

/// Makes the block of 1 GiB number `gib` (of 1024) what `block` says. Other vCPUs see it at once.
pub fn set_block(gib: usize, block: Block) {
    let attributes = match block {
        Block::Unmapped => 0,
        Block::Device => VALID | ACCESS_FLAG | NEVER_EXECUTE,
        Block::DeviceWithFetch => VALID | ACCESS_FLAG,
        Block::Normal => VALID | ACCESS_FLAG | INNER_SHAREABLE | (1 << 2),
    };
    let descriptor = if attributes == 0 { 0 } else { attributes | ((gib as u64) << 30) };
    let table = if gib < 512 { &LOW } else { &HIGH };
    // Break before make: the old block goes, and with it every cached copy, before the new one comes.
    table.0[gib % 512].store(0, Ordering::SeqCst);
    flush();
    table.0[gib % 512].store(descriptor, Ordering::SeqCst);
    registers::dsb();
    registers::isb();
}

/// Runs `operation` with the virtual address of a block of 1 GiB that stage 1 maps, as Device, to the far physical
/// address `physical`.
pub fn with_far_block<T>(physical: u64, operation: impl FnOnce(usize) -> T) -> T {
    const GIB: usize = 1023;
    let descriptor = physical & 0xffff_c000_0000 | VALID | ACCESS_FLAG | NEVER_EXECUTE;
    let old = HIGH.0[GIB % 512].swap(descriptor, Ordering::SeqCst);
    flush();
    let result = operation(GIB << 30);
    HIGH.0[GIB % 512].store(old, Ordering::SeqCst);
    flush();
    result
}

/// What a page of the window shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Nothing: stage 1 itself refuses.
    Unmapped,
    /// This frame, as Normal memory.
    Writable(u64),
    /// This frame, as Normal memory that stage 1 lets nobody write.
    ReadOnly(u64),
    /// This frame, as Device memory.
    Device(u64),
}

/// The virtual address of the window: 512 pages of 4 KiB, in a block where a guest has no memory.
pub const WINDOW: usize = WINDOW_GIB << 30;
const WINDOW_GIB: usize = 1022;

static WINDOW_MIDDLE: Table = Table([const { AtomicU64::new(0) }; 512]);
static WINDOW_PAGES: Table = Table([const { AtomicU64::new(0) }; 512]);

/// Makes page `index` of the window show `page`; its virtual address.
pub fn set_window(index: usize, page: Page) -> usize {
    const READ_ONLY: u64 = 1 << 7;
    let normal = TABLE | ACCESS_FLAG | INNER_SHAREABLE | NEVER_EXECUTE | (1 << 2);
    let descriptor = match page {
        Page::Unmapped => 0,
        Page::Writable(frame) => frame << 12 | normal,
        Page::ReadOnly(frame) => frame << 12 | normal | READ_ONLY,
        Page::Device(frame) => frame << 12 | TABLE | ACCESS_FLAG | NEVER_EXECUTE,
    };
    WINDOW_PAGES.0[index].store(0, Ordering::SeqCst);
    WINDOW_MIDDLE.0[0].store(WINDOW_PAGES.0.as_ptr() as u64 | TABLE, Ordering::SeqCst);
    HIGH.0[WINDOW_GIB % 512].store(WINDOW_MIDDLE.0.as_ptr() as u64 | TABLE, Ordering::SeqCst);
    flush();
    WINDOW_PAGES.0[index].store(descriptor, Ordering::SeqCst);
    registers::dsb();
    registers::isb();
    WINDOW + index * 4096
}

/// Drops all cached translations of stage 1.
pub fn flush() {
    // SAFETY: dropping cached translations loses nothing; the tables are whole.
    unsafe { asm!("dsb ishst", "tlbi vmalle1is", "dsb ish", "isb", options(nostack)) };
}

/// Fills the tables. The MMU is still off.
pub(crate) fn build() {
    let platform = platform::get();
    for (entry, table) in TOP.0.iter().zip([&LOW, &HIGH]) {
        entry.store(table.0.as_ptr() as u64 | TABLE, Ordering::Relaxed);
    }
    let device = VALID | ACCESS_FLAG | NEVER_EXECUTE;
    for (gib, entry) in LOW.0.iter().chain(HIGH.0.iter()).enumerate() {
        entry.store(((gib as u64) << 30) | device, Ordering::Relaxed);
    }
    let normal = VALID | ACCESS_FLAG | INNER_SHAREABLE | (1 << 2);
    for (base, size) in &platform.memory[..platform.banks] {
        let first = (base >> 30) as usize;
        let last = ((base + size - 1) >> 30) as usize;
        for gib in first..=last {
            let table = if gib < 512 { &LOW } else { &HIGH };
            table.0[gib % 512].store(((gib as u64) << 30) | normal, Ordering::Relaxed);
        }
    }
}

/// Switches the MMU and the caches on, on this vCPU.
pub(crate) fn enable() {
    let size = (registers::memory_features() & 15).min(5);
    // Attribute 0 Device-nGnRnE, attribute 1 Normal write-back.
    let attributes: u64 = 0xff00;
    // 48 bits from 0 on, 4 KiB granule, inner shareable write-back walks, nothing above.
    let control: u64 =
        16 | (1 << 8) | (1 << 10) | (3 << 12) | (1 << 23) | (16 << 16) | (2 << 30) | (size << 32);
    let on: u64 = 1 | (1 << 2) | (1 << 12);
    // SAFETY: the tables map everything at its own address, so the next instruction is where it was.
    unsafe {
        asm!(
            "dsb sy",
            "msr mair_el1, {attributes}",
            "msr tcr_el1, {control}",
            "msr ttbr0_el1, {top}",
            "isb",
            "tlbi vmalle1",
            "dsb nsh",
            "mrs {scratch}, sctlr_el1",
            "orr {scratch}, {scratch}, {on}",
            // Strict alignment checks on data (A) off: the tests choose their own unaligned accesses.
            "bic {scratch}, {scratch}, #2",
            "msr sctlr_el1, {scratch}",
            "isb",
            attributes = in(reg) attributes,
            control = in(reg) control,
            top = in(reg) TOP.0.as_ptr(),
            on = in(reg) on,
            scratch = out(reg) _,
            options(nostack)
        );
    }
}
