//! EL2's own address space after boot: what is mapped where, and the changes to it.
//!
//! | virtual | what |
//! |---|---|
//! | 0x7f80_0000_0000 | the image (boot.s), 2 MiB |
//! | 0x7f80_0020_0000 | processor stacks, a 64 KiB slot each, guard below |
//! | 0x7f80_4000_0000 | device registers |
//! | 0x7f80_8000_0000 | the heap, after the plan is known |
//! | 0x7f80_c000_0000 | the window onto memory that is not ours, during construction |
//! | 0x4000_0000_0000 + physical | all RAM that is not ours, after construction |
//!
//! Tables beyond those of `boot.s` come from a fixed pool. Only the boot processor changes mappings, and
//! only during construction; the lock says so to the compiler.
#![expect(unsafe_code, reason = "the hypervisor's own translation tables")]

use core::ptr::{addr_of, addr_of_mut};
use core::sync::atomic::{AtomicU64, Ordering};

use plan::Range;

use super::system::barrier;
use crate::lock::{Lock, Rank};

unsafe extern "C" {
    static mut root: [u64; 512];
    static mut image_l1: [u64; 512];
    static mut image_l3: [u64; 512];
    static __image_start: u8;
    static __image_end: u8;
    static boot_stack_guard: u8;
    static emergency_stack_guard: u8;
}

static HEAP_AT: AtomicU64 = AtomicU64::new(0);
static HEAP_PHYSICAL: AtomicU64 = AtomicU64::new(0);

const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;
const LARGE_BLOCK: u64 = 1 << 30;
const TABLES: usize = 64;
/// Where the heap appears.
pub(crate) const HEAP: u64 = 0x7f80_8000_0000;
const STACKS: u64 = 0x7f80_0020_0000;
const DEVICES: u64 = 0x7f80_4000_0000;
const WINDOW: u64 = 0x7f80_c000_0000;
const AREA: u64 = 1 << 30;
/// Where physical address 0 would be seen; only RAM that is not ours is.
pub(crate) const FOREIGN: u64 = 1 << 46;
/// Physical addresses that have a place behind [`FOREIGN`].
const FOREIGN_LIMIT: u64 = 0x3f80_0000_0000;
/// Index of the image's table in the root.
const IMAGE_ROOT: usize = 255;

/// What kind of memory a mapping shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Ours: write-back, read and write.
    Normal,
    /// Registers: Device-nGnRE.
    Device,
    /// Not ours: write-back, read only.
    ReadOnly,
    /// Guest RAM while it is filled: not cached, so that a guest with its MMU off sees it.
    Uncached,
}

impl Memory {
    const fn attributes(self) -> u64 {
        const NEVER_EXECUTE: u64 = 1 << 54;
        const ACCESSED: u64 = 1 << 10;
        const SHARED: u64 = 0b11 << 8;
        const ONE: u64 = 1 << 6;
        let kind = match self {
            Memory::Normal => SHARED,
            Memory::Device => 3 << 2,
            Memory::ReadOnly => SHARED | 1 << 7,
            Memory::Uncached => SHARED | 2 << 2,
        };
        NEVER_EXECUTE | ACCESSED | ONE | kind
    }
}

#[repr(C, align(4096))]
struct Pool([[u64; 512]; TABLES]);

/// Outside of [`SPACE`], so that the image's file does not carry its zeros.
static mut POOL: Pool = Pool([[0; 512]; TABLES]);

/// How far the pool of tables and the device area are used.
struct Space {
    used: usize,
    devices: u64,
    /// Physical minus virtual address of the image.
    offset: u64,
}

static SPACE: Lock<Space> = Lock::new(Rank::Machine, Space { used: 0, devices: DEVICES, offset: 0 });

/// The image's virtual range.
pub(crate) fn image() -> (u64, u64) {
    (addr_of!(__image_start) as u64, addr_of!(__image_end) as u64)
}

/// Tells where the image was loaded, and takes the guard pages under its stacks away.
pub(crate) fn start(image_at: u64) {
    let mut space = SPACE.lock();
    space.offset = image_at.wrapping_sub(image().0);
    for guard in [addr_of!(boot_stack_guard), addr_of!(emergency_stack_guard)] {
        write_entry(addr_of_mut!(image_l3).cast(), ((guard as u64 >> 12) & 511) as usize, 0);
    }
    flush();
}

/// Takes pages out of the image's map: they are not ours any more.
pub(crate) fn hide_of_image(pages: Range) {
    let _space = SPACE.lock();
    for page in (pages.base..pages.base + pages.size).step_by(PAGE as usize) {
        write_entry(addr_of_mut!(image_l3).cast(), ((page >> 12) & 511) as usize, 0);
    }
    flush();
}

/// Physical address of something in the image.
pub(crate) fn physical_of_image(address: u64) -> u64 {
    address.wrapping_add(SPACE.lock().offset)
}

/// Where the heap is, for [`physical`].
pub(crate) fn set_heap(heap: Range, address: u64) {
    HEAP_AT.store(address, Ordering::Relaxed);
    HEAP_PHYSICAL.store(heap.base, Ordering::Release);
}

/// Host-physical address of something of ours, in the image or in the heap.
pub(crate) fn physical(address: *const u8) -> u64 {
    let address = address as u64;
    if address < HEAP {
        return physical_of_image(address);
    }
    HEAP_PHYSICAL.load(Ordering::Acquire).wrapping_add(address.wrapping_sub(HEAP_AT.load(Ordering::Relaxed)))
}

/// Maps a device's registers for good; its virtual address.
pub(crate) fn map_device(range: Range, memory: Memory) -> Option<usize> {
    let mut space = SPACE.lock();
    let (start, end) = pages(range)?;
    // Equal offsets into 2 MiB let a large region take blocks.
    let base = (space.devices.next_multiple_of(BLOCK)) + (start % BLOCK);
    let base = if end - start < BLOCK { space.devices } else { base };
    if base + (end - start) > DEVICES + AREA {
        return None;
    }
    space.map(base, start, end - start, memory)?;
    space.devices = base + (end - start);
    usize::try_from(base + range.base % PAGE).ok()
}

/// Maps the heap.
pub(crate) fn map_heap(range: Range) -> Option<()> {
    SPACE.lock().map(HEAP + range.base % BLOCK, range.base, range.size, Memory::Normal)
}

/// Maps a processor's stack of 16 KiB at the top of its slot; the virtual address of its top.
pub(crate) fn map_stack(cpu: usize, physical: u64) -> Option<u64> {
    const SLOT: u64 = 64 << 10;
    let top = STACKS + (cpu as u64 + 1) * SLOT;
    SPACE.lock().map(top - STACK_SIZE, physical, STACK_SIZE, Memory::Normal)?;
    Some(top)
}

/// Is this in the stack of one of the first `processors`?
pub(crate) fn is_stack(address: u64, processors: usize) -> bool {
    const SLOT: u64 = 64 << 10;
    let Some(offset) = address.checked_sub(STACKS) else { return false };
    offset / SLOT < processors as u64 && (SLOT - STACK_SIZE..SLOT - 16).contains(&(offset % SLOT))
}

/// Bytes of a processor's stack.
pub(crate) const STACK_SIZE: u64 = 16 << 10;

/// Shows memory that is not ours for good, each byte at its physical address plus [`FOREIGN`]. To be
/// called when nothing is written past the caches any more.
pub(crate) fn map_foreign(range: Range) -> Option<()> {
    let end = range.base.checked_add(range.size)?;
    if end > FOREIGN_LIMIT {
        return None;
    }
    SPACE.lock().map(FOREIGN + range.base, range.base, range.size, Memory::Normal)
}

/// Lets `act` see physical memory through the window, as a virtual address; at most 254 MiB at a time.
pub(crate) fn with_window<R>(range: Range, memory: Memory, act: impl FnOnce(usize) -> R) -> Option<R> {
    with_windows([(range, memory)], |[at]| act(at))
}

/// The same with several ranges.
pub(crate) fn with_windows<R, const N: usize>(
    shown: [(Range, Memory); N],
    act: impl FnOnce([usize; N]) -> R,
) -> Option<R> {
    let mut space = SPACE.lock();
    let mut places = [None; N];
    for ((range, memory), (number, place)) in shown.into_iter().zip((0..).zip(&mut places)) {
        *place = space.show(number, range, memory);
    }
    let all = places.iter().all(Option::is_some);
    let result = all.then(|| act(places.map(|place| place.map_or(0, |(at, _)| at as usize))));
    for (at, size) in places.into_iter().flatten() {
        space.unmap(at & !(PAGE - 1), size);
    }
    result
}

/// First byte of the range's first page and of the page behind its last; `None` where that is no place
/// in 48 bits of address, or more than one area.
fn pages(range: Range) -> Option<(u64, u64)> {
    let start = range.base & !(PAGE - 1);
    let end = range.base.checked_add(range.size)?.checked_next_multiple_of(PAGE)?;
    (end <= 1 << 48 && end - start <= AREA).then_some((start, end))
}

/// Makes EL2's own translation tables read-only, for good: from here on not even the hypervisor can map
/// anything, or make anything executable. An attempt is a fault.
pub(crate) fn seal() {
    const READ_ONLY: u64 = 1 << 7;
    let space = SPACE.lock();
    let level3 = addr_of_mut!(image_l3).cast::<u64>();
    let pool = addr_of_mut!(POOL) as u64;
    let first = addr_of!(root) as u64;
    let boot = (first..=level3 as u64).step_by(PAGE as usize);
    // The table that says so comes last: it closes itself.
    for page in (pool..pool + TABLES as u64 * PAGE).step_by(PAGE as usize).chain(boot) {
        let index = ((page >> 12) & 511) as usize;
        write_entry(level3, index, read_entry(level3, index) | READ_ONLY);
        flush();
    }
    drop(space);
}

/// Completes table writes and drops stale translations on all processors.
fn flush() {
    barrier!("dsb ishst");
    // Entered at another level we live just long enough to say so.
    match super::system::level() {
        2 => barrier!("tlbi alle2is"),
        3 => barrier!("tlbi alle3is"),
        _ => barrier!("tlbi vmalle1is"),
    }
    barrier!("dsb ish");
    barrier!("isb");
}

impl Space {
    /// Maps `[va, va + size)`, whole pages, in blocks where both addresses allow.
    fn map(&mut self, va: u64, physical: u64, size: u64, memory: Memory) -> Option<()> {
        let mut done = 0;
        while done < size {
            let (at, to) = (va + done, physical + done);
            if at >> 39 != IMAGE_ROOT as u64
                && (at | to).is_multiple_of(LARGE_BLOCK)
                && size - done >= LARGE_BLOCK
            {
                let table = self.level1(at)?;
                write_entry(table, ((at >> 30) & 511) as usize, to | memory.attributes() | 0b01);
                done += LARGE_BLOCK;
                continue;
            }
            let block = at.is_multiple_of(BLOCK) && to.is_multiple_of(BLOCK) && size - done >= BLOCK;
            let table = self.level2(at)?;
            let index = ((at >> 21) & 511) as usize;
            // A table that is there stays there: it came out of a pool that has no way back.
            if block && read_entry(table, index) & 0b11 != 0b11 {
                write_entry(table, index, to | memory.attributes() | 0b01);
                done += BLOCK;
            } else {
                let table = self.level3(table, index)?;
                // All pages of this table at once: a guest's RAM has hundreds before and behind its blocks.
                for index in (at >> 12) & 511..512 {
                    if done == size {
                        break;
                    }
                    write_entry(table, index as usize, (physical + done) | memory.attributes() | 0b11);
                    done += PAGE;
                }
            }
        }
        flush();
        Some(())
    }

    /// Shows a range in one of two windows: its virtual address, and the bytes of its pages.
    fn show(&mut self, number: u64, range: Range, memory: Memory) -> Option<(u64, u64)> {
        const WIDTH: u64 = AREA / 4;
        let (start, end) = pages(range)?;
        // What takes blocks stays away from where small ranges have left tables.
        let is_large = u64::from(end - start >= BLOCK);
        let base = WINDOW + (2 * number + is_large) * WIDTH + start % BLOCK;
        if number > 1 || end - start > WIDTH - BLOCK {
            return None;
        }
        let shown = self.map(base, start, end - start, memory);
        if shown.is_none() {
            self.unmap(base, end - start);
        }
        shown.map(|()| (base + range.base % PAGE, end - start))
    }

    /// Takes a mapping away again; its tables stay.
    fn unmap(&mut self, va: u64, size: u64) {
        let mut at = va;
        while at < va + size {
            let Some(table) = self.level2(at) else { return };
            let index = ((at >> 21) & 511) as usize;
            let entry = read_entry(table, index);
            let end = ((at & !(BLOCK - 1)) + BLOCK).min(va + size);
            if entry & 0b11 == 0b11 {
                let table = self.virtual_of(entry);
                (at..end).step_by(PAGE as usize).for_each(|at| write_entry(table, (at >> 12) as usize, 0));
            } else {
                write_entry(table, index, 0);
            }
            at = end;
        }
        flush();
    }

    fn level2(&mut self, va: u64) -> Option<*mut u64> {
        let table = self.level1(va)?;
        self.below(table, ((va >> 30) & 511) as usize)
    }

    fn level1(&mut self, va: u64) -> Option<*mut u64> {
        let index = ((va >> 39) & 511) as usize;
        if index == IMAGE_ROOT {
            return Some(addr_of_mut!(image_l1).cast());
        }
        self.below(addr_of_mut!(root).cast(), index)
    }

    fn level3(&mut self, level2: *mut u64, index: usize) -> Option<*mut u64> {
        let entry = read_entry(level2, index);
        // A block left by nobody can be here: the window is empty before and after each use.
        if entry & 0b11 == 0b01 {
            return None;
        }
        self.below(level2, index)
    }

    /// The table that an entry points to, made where there is none.
    fn below(&mut self, table: *mut u64, index: usize) -> Option<*mut u64> {
        let entry = read_entry(table, index);
        if entry & 1 != 0 {
            return Some(self.virtual_of(entry));
        }
        if self.used == TABLES {
            return None;
        }
        let next = addr_of_mut!(POOL).cast::<u64>().wrapping_add(self.used * 512);
        self.used += 1;
        write_entry(table, index, (next as u64).wrapping_add(self.offset) | 0b11);
        Some(next)
    }

    fn virtual_of(&self, entry: u64) -> *mut u64 {
        (entry & 0x0000_ffff_ffff_f000).wrapping_sub(self.offset) as *mut u64
    }
}

fn read_entry(table: *mut u64, index: usize) -> u64 {
    // SAFETY: `table` is one of boot.s's or the pool's tables, and every index is masked to 511.
    unsafe { table.wrapping_add(index & 511).read_volatile() }
}

fn write_entry(table: *mut u64, index: usize, value: u64) {
    // SAFETY: as in `read_entry`; what the entry shows is decided by the callers in this file, which
    // keep to the areas of the table above.
    unsafe { table.wrapping_add(index & 511).write_volatile(value) };
}
