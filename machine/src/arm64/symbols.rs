//! Names for addresses: the table that the build writes into the image's reserved area.
//!
//! Layout (little endian): magic, count, then per function its offset in the image and the offset of its
//! NUL-terminated name in the table, sorted by the first. Empty until the build has filled it.
#![expect(unsafe_code, reason = "bounds of a linker-made area")]

use core::ptr::addr_of;

unsafe extern "C" {
    static __symbols_start: u8;
    static __symbols_end: u8;
    static __image_start: u8;
}

const MAGIC: u32 = 0x584e_5359;

/// Name of the function that holds `address`, and the distance from its start.
pub(crate) fn resolve(address: u64) -> Option<(&'static str, u64)> {
    let table = table();
    let offset = u32::try_from(address.checked_sub(addr_of!(__image_start) as u64)?).ok()?;
    if word(table, 0)? != MAGIC {
        return None;
    }
    let count = word(table, 1)? as usize;
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if word(table, 2 + 2 * middle)? <= offset { low = middle + 1 } else { high = middle }
    }
    let found = low.checked_sub(1)?;
    let start = word(table, 2 + 2 * found)?;
    let name = table.get(word(table, 3 + 2 * found)? as usize..)?;
    let length = name.iter().position(|byte| *byte == 0)?;
    Some((core::str::from_utf8(name.get(..length)?).ok()?, u64::from(offset - start)))
}

fn word(table: &[u8], index: usize) -> Option<u32> {
    let bytes = table.get(index.checked_mul(4)?..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

fn table() -> &'static [u8] {
    let start = addr_of!(__symbols_start);
    let size = addr_of!(__symbols_end) as usize - start as usize;
    // SAFETY: the linker script reserves exactly this read-only area. The volatile-like opacity of
    // `black_box` keeps the compiler from assuming that it is still empty.
    unsafe { core::slice::from_raw_parts(core::hint::black_box(start), size) }
}
