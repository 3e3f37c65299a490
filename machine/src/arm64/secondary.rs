//! The other processors: started by firmware, brought up by boot.s, handed to the hypervisor's loop.
#![expect(unsafe_code, reason = "hands a processor its stack")]

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use alloc::boxed::Box;

use super::board::Board;
use super::system::barrier;
use super::{firmware, translation};
use crate::contract::Machine;

unsafe extern "C" {
    fn secondary_start();
}

/// What boot.s reads at the secondary entry, uncached.
#[repr(C, align(64))]
struct Orders {
    stack_top: u64,
    index: u64,
}

/// The hypervisor's loop, for all processors.
pub(crate) type Loop = &'static (dyn Fn(usize) + Sync);

static STARTED: AtomicBool = AtomicBool::new(false);
static LOOP: AtomicPtr<Loop> = AtomicPtr::new(core::ptr::null_mut());
static BOARD: AtomicPtr<Board> = AtomicPtr::new(core::ptr::null_mut());
/// Is a processor of another kind than the boot processor.
static STRANGER: AtomicBool = AtomicBool::new(false);

/// Why a processor does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// Firmware will not start it, and says so by this number.
    Refused(i64),
    /// Firmware has started it, and it never came.
    Late,
    /// It is of another kind than the boot processor (MIDR_EL1), and nobody has asked for such (`hmp-unsafe`).
    OtherKind,
}

impl fmt::Display for NotStarted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(out, "firmware says {error}"),
            Self::Late => out.write_str("it was started and never came"),
            Self::OtherKind => out.write_str("it is not like the boot processor, and there is no hmp-unsafe"),
        }
    }
}

static READY: AtomicUsize = AtomicUsize::new(1);

#[repr(C, align(4096))]
struct Stack([u8; translation::STACK_SIZE as usize]);

/// Starts every processor but the first; each runs `act` with its index. Calls `failed` with the index
/// and the reason for one that does not run.
pub(crate) fn start_all(board: &'static Board, act: Loop, mut failed: impl FnMut(usize, NotStarted)) {
    if STARTED.swap(true, Ordering::AcqRel) {
        return;
    }
    LOOP.store(Box::leak(Box::new(act)), Ordering::Release);
    BOARD.store(core::ptr::from_ref(board).cast_mut(), Ordering::Release);
    for (index, mpidr) in (0..board.processors().len()).zip(board.processors()).skip(1) {
        match start(index, *mpidr) {
            Ok(()) => {
                if !is_ready(index, board.frequency()) {
                    failed(index, NotStarted::Late);
                } else if STRANGER.swap(false, Ordering::AcqRel) {
                    failed(index, NotStarted::OtherKind);
                }
            }
            Err(error) => {
                READY.store(index.wrapping_add(1), Ordering::Release);
                failed(index, NotStarted::Refused(error));
            }
        }
    }
}

/// Interrupts every processor that has started, this one too (which has interrupts masked and never
/// hears of it).
pub(crate) fn call_all() {
    // SAFETY: null, or the board, which lives for ever.
    let Some(board) = (unsafe { BOARD.load(Ordering::Acquire).as_ref() }) else { return };
    for index in 0..board.processors().len() {
        board.kick(index);
    }
}

/// Waits for ten seconds at most: long for a processor, short for its owner.
fn is_ready(index: usize, second: u64) -> bool {
    let start = super::system::counter();
    while READY.load(Ordering::Acquire) != index.wrapping_add(1) {
        if super::system::counter().wrapping_sub(start) > second.saturating_mul(10) {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Number of processors that have started.
pub(crate) fn started() -> usize {
    READY.load(Ordering::Relaxed)
}

fn start(index: usize, mpidr: u64) -> Result<(), i64> {
    let stack: *mut Stack = Box::leak(Box::new_uninit()).as_mut_ptr();
    let physical = translation::physical(stack.cast());
    let stack_top = translation::map_stack(index, physical).ok_or(-1_i64)?;
    let orders: &'static Orders = Box::leak(Box::new(Orders { stack_top, index: index as u64 }));
    clean(core::ptr::from_ref(orders) as usize);
    let entry = translation::physical_of_image(secondary_start as *const () as u64);
    firmware::start(mpidr, entry, translation::physical(core::ptr::from_ref(orders).cast()))
}

/// Writes a cache line back to memory.
fn clean(address: usize) {
    // SAFETY: cleaning a line of ours changes nothing that Rust sees. It is invalidated, too: on some
    // Cortex-A53 cleaning alone may lose it (819472).
    unsafe { core::arch::asm!("dc civac, {}", in(reg) address, options(nostack)) };
    barrier!("dsb sy");
}

#[unsafe(no_mangle)]
extern "C" fn secondary_processor(index: usize) -> ! {
    // SAFETY: both were set, to values that live for ever, before this processor was started.
    let board = unsafe { &*BOARD.load(Ordering::Acquire) };
    // SAFETY: as above.
    let act = unsafe { &*LOOP.load(Ordering::Acquire) };
    let is_stranger = !board.admits(super::processor::kind());
    if is_stranger {
        STRANGER.store(true, Ordering::Release);
    } else {
        board.start_processor(index);
    }
    READY.store(index + 1, Ordering::Release);
    if !is_stranger {
        act(index);
    }
    super::system::halt()
}
