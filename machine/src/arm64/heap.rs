//! The hypervisor's own heap: a first-fit list of free pieces, sorted by address.
//!
//! There are two. Planning has the end of the image's own memory, enough to read the device tree and to make a
//! plan. Once there is one, all else comes out of the range that the plan chose. So when the plan has gone the first
//! heap is empty, and its memory can be RAM like any other. After construction the heap is sealed: from then on an
//! allocation is a fault of ours, and is refused and counted.
#![expect(unsafe_code, reason = "the global allocator")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::global_asm;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use plan::{Range, Sizes};

use super::translation;
use crate::lock::{Lock, Rank};

/// Bytes for planning.
pub(crate) const EARLY: usize = Sizes::BUILT.planning as usize;
const GRAIN: usize = 16;

// The image's last memory, outside of what boot clears, which would be most of that.
global_asm!(
    ".pushsection .early, \"aw\", %nobits",
    ".balign 4096",
    "early_memory: .skip {}",
    ".popsection",
    const EARLY
);

unsafe extern "C" {
    static mut early_memory: u8;
}

#[global_allocator]
static HEAP: Heap = Heap { lists: Lock::new(Rank::Machine, Lists { early: List::EMPTY, own: None }) };

static SEALED: AtomicBool = AtomicBool::new(false);
static AFTER_SEAL: AtomicU64 = AtomicU64::new(0);

struct Heap {
    lists: Lock<Lists>,
}

struct Lists {
    /// For planning.
    early: List,
    /// For all else, once there is a plan.
    own: Option<List>,
}

/// The head of a free piece lies in the piece.
struct Piece {
    size: usize,
    next: *mut Piece,
}

struct List {
    first: *mut Piece,
}

// SAFETY: the pieces belong to the list alone, and the list is behind the lock.
unsafe impl Send for List {}

/// Gives planning its memory. Called once, by the boot processor.
pub(crate) fn start() {
    let early = &raw mut early_memory;
    // SAFETY: nothing else names this memory.
    unsafe { HEAP.lists.lock().early.give(early, EARLY) };
}

/// Where that lies, as a host-physical range.
pub(crate) fn planning() -> Range {
    let base = translation::physical_of_image(&raw const early_memory as u64);
    Range { base, size: Sizes::BUILT.planning }
}

/// From now on all that is allocated comes out of this memory.
///
/// # Safety
/// `[base, base + size)` is mapped at [`translation::HEAP`] or behind, writable, and used by nobody else, for ever.
pub(crate) unsafe fn add(base: *mut u8, size: usize) {
    // SAFETY: passed on.
    unsafe { HEAP.lists.lock().own.insert(List::EMPTY).give(base, size & !(GRAIN - 1)) };
}

/// Takes the memory that planning had away from the heap, if all of it is free again: its addresses in the image. Nothing
/// of the heap refers to it any more.
pub(crate) fn end_planning() -> Option<Range> {
    let mut lists = HEAP.lists.lock();
    let first = lists.early.first;
    // SAFETY: null, or a piece on the list.
    let is_whole = unsafe { first.as_ref() }.is_some_and(|piece| piece.size == EARLY);
    is_whole.then(|| {
        lists.early = List::EMPTY;
        Range { base: first as u64, size: Sizes::BUILT.planning }
    })
}

/// From now on nothing is allocated.
pub(crate) fn seal() {
    SEALED.store(true, Ordering::Release);
}

/// Number of allocations that were asked for after the seal, and refused.
pub fn allocations() -> u64 {
    AFTER_SEAL.load(Ordering::Relaxed)
}

// SAFETY: a piece is on the list or handed out, never both, and is aligned as asked.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if SEALED.load(Ordering::Acquire) {
            AFTER_SEAL.fetch_add(1, Ordering::Relaxed);
            return null_mut();
        }
        // SAFETY: the layout is the caller's promise.
        unsafe { self.lists.lock().current().take(rounded(layout.size()), layout.align().max(GRAIN)) }
    }

    // In very many drops, none of which is in a hurry.
    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: by the trait's contract the block came from `alloc` with this layout.
        unsafe { self.lists.lock().of(pointer).give(pointer, rounded(layout.size())) };
    }
}

const fn rounded(size: usize) -> usize {
    if size == 0 { GRAIN } else { size.next_multiple_of(GRAIN) }
}

impl Lists {
    /// What is allocated from now.
    fn current(&mut self) -> &mut List {
        self.own.as_mut().unwrap_or(&mut self.early)
    }

    /// The list from which a block came.
    fn of(&mut self, block: *mut u8) -> &mut List {
        if (block as u64) < translation::HEAP { &mut self.early } else { self.current() }
    }
}

impl List {
    const EMPTY: List = List { first: null_mut() };

    /// # Safety
    /// The list's pieces are free memory of ours.
    unsafe fn take(&mut self, size: usize, align: usize) -> *mut u8 {
        let mut link: *mut *mut Piece = &raw mut self.first;
        loop {
            // SAFETY: `link` is the list's head or the link in a piece.
            let piece = unsafe { *link };
            if piece.is_null() {
                return null_mut();
            }
            // SAFETY: a piece on the list has a head.
            let Piece { size: have, next } = unsafe { piece.read() };
            let start = piece as usize;
            let at = start.next_multiple_of(align);
            let gap = at - start;
            if have >= size && gap <= have - size {
                let rest = have - gap - size;
                // SAFETY: both remainders lie inside the piece, and are multiples of the grain.
                let left = unsafe { split(piece, gap, (at + size) as *mut Piece, rest, next) };
                // SAFETY: the link is the list's.
                unsafe { *link = left };
                return at as *mut u8;
            }
            // SAFETY: as above.
            link = unsafe { &raw mut (*piece).next };
        }
    }

    /// # Safety
    /// The block is free memory of ours, not on the list, in whole grains.
    unsafe fn give(&mut self, block: *mut u8, size: usize) {
        let block: *mut Piece = block.cast();
        let mut link: *mut *mut Piece = &raw mut self.first;
        let mut before: *mut Piece = null_mut();
        let after = loop {
            // SAFETY: a link of the list, as in `take`.
            let piece = unsafe { *link };
            if piece.is_null() || piece >= block {
                break piece;
            }
            before = piece;
            // SAFETY: a piece on the list has a head.
            link = unsafe { &raw mut (*piece).next };
        };
        // SAFETY: the block is ours to write.
        unsafe { block.write(Piece { size, next: after }) };
        // SAFETY: the link is the list's.
        unsafe { *link = block };
        // SAFETY: neighbours on the list; joined where they touch.
        unsafe { join(block, after) };
        // SAFETY: as above.
        unsafe { join(before, block) };
    }
}

/// Makes what is left of a piece free again: `gap` bytes before, `rest` after. Returns the new link.
///
/// # Safety
/// Both parts are free memory of ours.
unsafe fn split(
    piece: *mut Piece,
    gap: usize,
    after: *mut Piece,
    rest: usize,
    next: *mut Piece,
) -> *mut Piece {
    let mut link = next;
    if rest > 0 {
        // SAFETY: the caller's promise.
        unsafe { after.write(Piece { size: rest, next: link }) };
        link = after;
    }
    if gap > 0 {
        // SAFETY: the caller's promise.
        unsafe { piece.write(Piece { size: gap, next: link }) };
        link = piece;
    }
    link
}

/// Joins `second` to `first` where it follows directly.
///
/// # Safety
/// Both are null or on the list, `second` behind `first`.
unsafe fn join(first: *mut Piece, second: *mut Piece) {
    if first.is_null() || second.is_null() {
        return;
    }
    // SAFETY: on the list.
    let Piece { size, .. } = unsafe { first.read() };
    if first as usize + size != second as usize {
        return;
    }
    // SAFETY: on the list.
    let Piece { size: more, next } = unsafe { second.read() };
    // SAFETY: on the list.
    unsafe { first.write(Piece { size: size + more, next }) };
}
