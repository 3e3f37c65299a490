//! Memory of guests while they run: copied in and out, one word at a time where a guest takes part.
//!
//! All RAM that is not the hypervisor's own is mapped in an area of its own once construction is over
//! (`translation`), so a frame's address is a sum. What is touched here is never a Rust object: nobody
//! holds a reference to it, and guests change it while we look. Hence copies and words are instructions of
//! ours, not accesses that the compiler knows.
//!
//! A [`GuestFrame`] makes an address sound to touch; an address of a guest is only believed under the lock
//! on its map, for as long as that is held.
#![expect(unsafe_code, reason = "copies between guests' memory and ours")]

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

use super::system::{barrier, read, write};
use super::translation::FOREIGN;
use crate::contract::{CacheAct, Word};
use crate::frames::{FRAME_BYTES as FRAME, FRAME_SIZE, FrameTable, GuestFrame, OwnerIndex};
use crate::stage2::Stage2;

unsafe extern "C" {
    fn copy_foreign(to: usize, from: usize, bytes: usize);
    fn clear_foreign(page: usize, by_line: bool);
}

/// From so many bytes on a copy is worth a call, and vector registers.
const MUCH: usize = 512;

/// Which way bytes go between foreign memory and ours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToUs,
    FromUs,
}

/// Makes a function that moves a value between foreign memory and ours, `AT` bytes behind either address. Only the foreign
/// side is an instruction of ours: what the compiler sees of the other side it need not store and load again.
macro_rules! mover {
    ($name:ident, $type:ty, $load:literal, $store:literal, $($word:ident),*) => {
        /// # Safety
        /// As for [`copy`].
        #[inline(always)]
        unsafe fn $name<const AT: usize>(way: Way, to: usize, from: usize) {
            $(let $word;)*
            if way == Way::ToUs {
                // SAFETY: the caller's promise.
                unsafe { asm!($load, $(out(reg) $word,)* in(reg) from, at = const AT, options(nostack, readonly, preserves_flags)) };
                // SAFETY: the caller's promise.
                unsafe { (to as *mut $type).wrapping_byte_add(AT).write_unaligned([$($word),*]) };
            } else {
                // SAFETY: the caller's promise.
                [$($word),*] = unsafe { (from as *const $type).wrapping_byte_add(AT).read_unaligned() };
                // SAFETY: the caller's promise.
                unsafe { asm!($store, $(in(reg) $word,)* in(reg) to, at = const AT, options(nostack, preserves_flags)) };
            }
        }
    };
}

mover!(pair, [u64; 2], "ldp {0}, {1}, [{2}, #{at}]", "stp {0}, {1}, [{2}, #{at}]", a, b);
mover!(word64, [u64; 1], "ldr {0}, [{1}, #{at}]", "str {0}, [{1}, #{at}]", a);
mover!(word32, [u32; 1], "ldr {0:w}, [{1}, #{at}]", "str {0:w}, [{1}, #{at}]", a);

/// Copies between foreign memory and ours: of a size that is known here, without looking at it.
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
unsafe fn transfer<const KNOWN: bool>(way: Way, to: usize, from: usize, bytes: usize) {
    macro_rules! pieces {
        ($($piece:ident $at:literal),*) => {{ $(
            // SAFETY: the caller's promise.
            unsafe { $piece::<$at>(way, to, from) };
        )* }};
    }
    match if KNOWN { bytes } else { usize::MAX } {
        4 => pieces!(word32 0),
        8 => pieces!(word64 0),
        16 => pieces!(pair 0),
        24 => pieces!(pair 0, word64 16),
        32 => pieces!(pair 0, pair 16),
        40 => pieces!(pair 0, pair 16, word64 32),
        64 => pieces!(pair 0, pair 16, pair 32, pair 48),
        // SAFETY: the caller's promise.
        _ => unsafe { copy(to, from, bytes) },
    }
}

/// Copies; what is little, without a call.
///
/// # Safety
/// `from` is readable and `to` writable for `bytes`, and neither is behind a reference that sees the other.
#[inline(always)]
unsafe fn copy(to: usize, from: usize, bytes: usize) {
    if bytes >= MUCH {
        // SAFETY: the caller's promise.
        unsafe { copy_foreign(to, from, bytes) };
        return;
    }
    // SAFETY: the caller's promise; `bytes` are read and written, and nothing else.
    unsafe {
        asm!(
            "subs {left}, {left}, #16", "b.lo 3f",
            "2:", "ldp {a}, {b}, [{from}], #16", "stp {a}, {b}, [{to}], #16",
            "subs {left}, {left}, #16", "b.hs 2b",
            // Below zero, the low four bits still say what is left.
            "3:", "tbz {left}, #3, 4f", "ldr {a}, [{from}], #8", "str {a}, [{to}], #8",
            "4:", "tbz {left}, #2, 5f", "ldr {a:w}, [{from}], #4", "str {a:w}, [{to}], #4",
            "5:", "ands {left}, {left}, #3", "b.eq 7f",
            "6:", "ldrb {a:w}, [{from}], #1", "strb {a:w}, [{to}], #1", "subs {left}, {left}, #1", "b.ne 6b", "7:",
            from = inout(reg) from => _, to = inout(reg) to => _, left = inout(reg) bytes => _,
            a = out(reg) _, b = out(reg) _, options(nostack)
        );
    }
}

/// Where a physical address of RAM that is not ours is seen. All of them have a place (`translation`).
#[inline]
const fn seen_at(physical: u64) -> usize {
    FOREIGN.wrapping_add(physical) as usize
}

/// Where a byte of a frame is seen; `None` where `bytes` from there pass the frame's end.
#[inline(always)]
fn place(frame: &GuestFrame, offset: usize, bytes: usize) -> Option<usize> {
    let end = offset.checked_add(bytes)?;
    (end <= FRAME).then(|| seen_at(frame.address()).wrapping_add(offset))
}

/// Copies out of a frame.
#[inline]
pub(crate) fn read_frame(frame: &GuestFrame, offset: usize, into: &mut [u8]) -> bool {
    let Some(from) = place(frame, offset, into.len()) else { return false };
    // SAFETY: the frame is held, so `from` is mapped RAM that is no object of ours; `into` is ours.
    unsafe { transfer::<true>(Way::ToUs, into.as_mut_ptr() as usize, from, into.len()) };
    true
}

/// Copies into a frame.
#[inline]
pub(crate) fn write_frame(frame: &GuestFrame, offset: usize, from: &[u8]) -> bool {
    let Some(to) = place(frame, offset, from.len()) else { return false };
    let ours = from.as_ptr() as usize;
    if from.len() == 8 {
        // SAFETY: as in `read_frame`, the other way round.
        unsafe { transfer::<true>(Way::FromUs, to, ours, 8) };
    } else {
        // SAFETY: as above.
        unsafe { copy(to, ours, from.len()) };
    }
    true
}

/// Copies from the second to the first.
pub(crate) fn copy_frame(to: (&GuestFrame, usize), from: (&GuestFrame, usize), bytes: usize) -> bool {
    let (Some(to), Some(from)) = (place(to.0, to.1, bytes), place(from.0, from.1, bytes)) else {
        return false;
    };
    // SAFETY: both frames are held. If they are one and overlap, the guest gets some mixture of its bytes.
    unsafe { copy(to, from, bytes) };
    true
}

/// All processors zero and clean memory by lines of 64 bytes, as nearly all do.
static BY_LINE: AtomicBool = AtomicBool::new(true);

/// Looks by what lines this processor zeroes (DCZID_EL0) and cleans (CTR_EL0), before any guest runs.
pub(crate) fn note_lines() {
    if read!("dczid_el0") != 4 || read!("ctr_el0") >> 16 & 0xf != 4 {
        BY_LINE.store(false, Ordering::Relaxed);
    }
}

/// Makes a frame read as zero, with caches or without.
pub(crate) fn clear_frame(frame: &GuestFrame) {
    let by_line = BY_LINE.load(Ordering::Relaxed);
    // SAFETY: the frame is held; its whole page is cleared.
    unsafe { clear_foreign(seen_at(frame.address()), by_line) };
}

/// A loop that loads, computes and stores a word exclusively. `{old}` becomes `{new}`.
macro_rules! update {
    ($address:expr, $load:literal, $store:literal, $compute:literal, $($operand:tt)*) => {{
        let (old, status, new): (u64, u32, u64);
        // SAFETY: the word is aligned, mapped RAM of a frame that is held, and no object of ours.
        unsafe {
            asm!(
                "2:", $load, $compute, $store, "cbnz {status:w}, 2b", "3:",
                address = in(reg) $address, old = out(reg) old, new = out(reg) new, status = out(reg) status,
                $($operand)*
                options(nostack)
            );
        }
        let _ = (status, new);
        old
    }};
}

/// Acts on one word. What is to be done is known where it is called, and no more than that is left there.
#[inline(always)]
pub(crate) fn word(frame: &GuestFrame, offset: usize, act: Word) -> Option<u64> {
    let bytes = act.bytes();
    let at = place(frame, offset, bytes).filter(|at| at.is_multiple_of(bytes))?;
    Some(match act {
        Word::Load32 => load::<4>(at),
        Word::Load64 => load::<8>(at),
        Word::Store32(value) => {
            // SAFETY: as in `update`.
            unsafe { asm!("stlr {0:w}, [{1}]", in(reg) value, in(reg) at, options(nostack)) };
            0
        }
        Word::Store64(value) => {
            // SAFETY: as in `update`.
            unsafe { asm!("stlr {0}, [{1}]", in(reg) value, in(reg) at, options(nostack)) };
            0
        }
        Word::Set32(bits) => update!(
            at, "ldaxr {old:w}, [{address}]", "stlxr {status:w}, {new:w}, [{address}]", "orr {new:w}, {old:w}, {bits:w}",
            bits = in(reg) bits,
        ),
        Word::Clear32(bits) => update!(
            at, "ldaxr {old:w}, [{address}]", "stlxr {status:w}, {new:w}, [{address}]", "bic {new:w}, {old:w}, {bits:w}",
            bits = in(reg) bits,
        ),
        Word::Set64(bits) => update!(
            at, "ldaxr {old}, [{address}]", "stlxr {status:w}, {new}, [{address}]", "orr {new}, {old}, {bits}",
            bits = in(reg) bits,
        ),
        Word::Clear64(bits) => update!(
            at, "ldaxr {old}, [{address}]", "stlxr {status:w}, {new}, [{address}]", "bic {new}, {old}, {bits}",
            bits = in(reg) bits,
        ),
        other => exchange(at, other),
    })
}

/// The acts that write only where the word is as expected, and those on small words.
#[inline(always)]
fn exchange(at: usize, act: Word) -> u64 {
    match act {
        Word::Exchange32(before, after) => update!(
            at,
            "ldaxr {old:w}, [{address}]\ncmp {old:w}, {before:w}\nmov {new:w}, {after:w}\nmov {status:w}, #0\nb.ne 3f",
            "stlxr {status:w}, {new:w}, [{address}]", "",
            before = in(reg) before, after = in(reg) after,
        ),
        Word::Exchange64(before, after) => update!(
            at,
            "ldaxr {old}, [{address}]\ncmp {old}, {before}\nmov {new}, {after}\nmov {status:w}, #0\nb.ne 3f",
            "stlxr {status:w}, {new}, [{address}]", "",
            before = in(reg) before, after = in(reg) after,
        ),
        Word::Exchange16(before, after) => update!(
            at,
            "ldaxrh {old:w}, [{address}]\ncmp {old:w}, {before:w}\nmov {new:w}, {after:w}\nmov {status:w}, #0\nb.ne 3f",
            "stlxrh {status:w}, {new:w}, [{address}]", "",
            before = in(reg) u32::from(before), after = in(reg) u32::from(after),
        ),
        Word::Clear16(bits) => update!(
            at, "ldaxrh {old:w}, [{address}]", "stlxrh {status:w}, {new:w}, [{address}]", "bic {new:w}, {old:w}, {bits:w}",
            bits = in(reg) u32::from(bits),
        ),
        Word::Swap8(byte) => update!(
            at, "ldaxrb {old:w}, [{address}]", "stlxrb {status:w}, {new:w}, [{address}]", "mov {new:w}, {byte:w}",
            byte = in(reg) u32::from(byte),
        ),
        // The others are done where this is called.
        _ => 0,
    }
}

#[inline]
fn load<const BYTES: usize>(at: usize) -> u64 {
    let value: u64;
    if BYTES == 8 {
        // SAFETY: as in `update`.
        unsafe { asm!("ldar {0}, [{1}]", out(reg) value, in(reg) at, options(nostack, readonly)) };
    } else {
        // SAFETY: as in `update`.
        unsafe { asm!("ldar {0:w}, [{1}]", out(reg) value, in(reg) at, options(nostack, readonly)) };
    }
    value
}

/// Maintains the data cache for a part of a frame, by the smallest line that there is.
pub(crate) fn maintain(frame: &GuestFrame, offset: usize, bytes: usize, act: CacheAct) -> bool {
    let Some(start) = place(frame, offset, bytes) else { return false };
    let line = 4_usize << (read!("ctr_el0") >> 16 & 0xf);
    let (mut at, end) = (start & line.wrapping_neg(), start.wrapping_add(bytes));
    if act == CacheAct::Clean && line == 64 && bytes == FRAME {
        // What is done most: a page, at the usual size of a line.
        while at < end {
            // SAFETY: four lines of mapped RAM are written back; what they hold does not change.
            unsafe {
                asm!(
                    "dc cvac, {0}", "add {1}, {0}, #64", "dc cvac, {1}", "add {1}, {0}, #128", "dc cvac, {1}",
                    "add {1}, {0}, #192", "dc cvac, {1}", in(reg) at, out(reg) _, options(nostack)
                );
            }
            at = at.wrapping_add(line.wrapping_mul(4));
        }
    }
    while at < end {
        match act {
            // SAFETY: a line of mapped RAM is written back; what it holds does not change.
            CacheAct::Clean => unsafe { asm!("dc cvac, {}", in(reg) at, options(nostack)) },
            // SAFETY: as above.
            CacheAct::CleanInvalidate => unsafe { asm!("dc civac, {}", in(reg) at, options(nostack)) },
        }
        at = at.wrapping_add(line);
    }
    barrier!("dsb sy");
    true
}

/// What the processor answers to an address translation instruction (PAR_EL1), for reading or for writing.
macro_rules! translated {
    ($read:literal, $write:literal, $address:expr, $writing:expr) => {{
        let kept = read!("par_el1");
        if $writing {
            // SAFETY: a translation changes PAR_EL1 only, which is put back below.
            unsafe { asm!($write, in(reg) $address, options(nostack)) };
        } else {
            // SAFETY: as above.
            unsafe { asm!($read, in(reg) $address, options(nostack)) };
        }
        barrier!("isb");
        let found = read!("par_el1");
        write!("par_el1", kept);
        found
    }};
}

/// The address in an answer of the processor's; `None` where there is nothing.
#[inline]
fn output(answer: u64, address: u64) -> Option<u64> {
    const FAULT: u64 = 1;
    (answer & FAULT == 0).then_some(answer & 0x000f_ffff_ffff_f000 | address & (FRAME_SIZE - 1))
}

/// Where the loaded guest's kernel would read or write: the host address, if it is memory of a guest. To
/// be believed for as long as `_map` is locked.
#[inline]
fn translate(table: &FrameTable, _map: &Stage2, address: u64, writing: bool) -> Option<usize> {
    /// Normal memory, write-back, that both stages say.
    const CACHED: u64 = 0xff;
    let answer = translated!("at s12e1r, {}", "at s12e1w, {}", address, writing);
    let found = output(answer, address)?;
    // A map shows devices as devices, and else only RAM that is not ours. What the guest itself takes for a device,
    // or reaches with its MMU off, has to be looked up.
    (answer >> 56 == CACHED || table.knows(found)).then(|| seen_at(found))
}

/// Whether there is something, and one page has it all, as nearly always.
#[inline(always)]
const fn is_in_one_page(address: u64, bytes: usize) -> bool {
    bytes != 0 && bytes <= FRAME - (address as usize & (FRAME - 1))
}

/// Copies between an address of the loaded guest's and bytes of ours.
///
/// # Safety
/// `ours` is readable, and writable if they come from the guest, for `bytes`.
#[inline(always)]
unsafe fn exchange_guest<const KNOWN: bool>(
    tables: (&FrameTable, &Stage2),
    way: Way,
    address: u64,
    ours: (usize, usize),
) -> bool {
    let (at, bytes) = ours;
    if !is_in_one_page(address, bytes) {
        // SAFETY: the caller's promise.
        return unsafe { exchange_pages(tables, way, address, ours) };
    }
    let Some(place) = translate(tables.0, tables.1, address, way == Way::FromUs) else { return false };
    let (to, from) = if way == Way::ToUs { (at, place) } else { (place, at) };
    // SAFETY: `place` is mapped RAM that the guest has for as long as its map is locked; the rest is the caller's
    // promise.
    unsafe { transfer::<KNOWN>(way, to, from, bytes) };
    true
}

/// The same, page by page.
///
/// # Safety
/// As for [`exchange_guest`].
#[cold]
#[inline(never)]
unsafe fn exchange_pages(
    tables: (&FrameTable, &Stage2),
    way: Way,
    address: u64,
    ours: (usize, usize),
) -> bool {
    let (mut at, mut left, mut address) = (ours.0, ours.1, address);
    while left > 0 {
        let part = FRAME.wrapping_sub(address as usize & (FRAME - 1)).min(left);
        // SAFETY: the caller's promise; this part lies in one page.
        if !unsafe { exchange_guest::<false>(tables, way, address, (at, part)) } {
            return false;
        }
        (at, left, address) =
            (at.wrapping_add(part), left.wrapping_sub(part), address.wrapping_add(part as u64));
    }
    true
}

/// Bytes of known size are copied by way of so many others where they are in two pages: so nobody but us has their
/// address, and they can be in registers.
const MOST_KNOWN: usize = 64;

/// Copies from an address of the loaded guest's.
#[inline(always)]
pub(crate) fn read_guest<const KNOWN: bool>(
    table: &FrameTable,
    map: &Stage2,
    address: u64,
    into: &mut [u8],
) -> bool {
    if KNOWN && !is_in_one_page(address, into.len()) {
        let mut others = [0; MOST_KNOWN];
        let Some(others) = others.get_mut(..into.len()) else { return false };
        let read = read_guest::<false>(table, map, address, others);
        into.copy_from_slice(others);
        return read;
    }
    let ours = (into.as_mut_ptr() as usize, into.len());
    // SAFETY: `into` is ours to write.
    unsafe { exchange_guest::<KNOWN>((table, map), Way::ToUs, address, ours) }
}

/// Copies to an address of the loaded guest's.
#[inline(always)]
pub(crate) fn write_guest<const KNOWN: bool>(
    table: &FrameTable,
    map: &Stage2,
    address: u64,
    from: &[u8],
) -> bool {
    if KNOWN && !is_in_one_page(address, from.len()) {
        let mut others = [0; MOST_KNOWN];
        let Some(others) = others.get_mut(..from.len()) else { return false };
        others.copy_from_slice(from);
        return write_guest::<false>(table, map, address, others);
    }
    let ours = (from.as_ptr() as usize, from.len());
    // SAFETY: `from` is ours to read.
    unsafe { exchange_guest::<KNOWN>((table, map), Way::FromUs, address, ours) }
}

/// The frame of the loaded guest's own where its kernel would write, held.
pub(crate) fn hold_guest(
    table: &'static FrameTable,
    _map: &Stage2,
    owner: OwnerIndex,
    address: u64,
) -> Option<GuestFrame> {
    // The table has no record of what is no RAM.
    table.hold_own(owner, output(translated!("at s12e1r, {}", "at s12e1w, {}", address, true), address)?)
}

/// The guest address behind an address of the loaded guest's.
pub(crate) fn guest_address(address: u64, writing: bool) -> Option<u64> {
    output(translated!("at s1e1r, {}", "at s1e1w, {}", address, writing), address)
}
