//! Names for addresses: the table that the build writes into the image's reserved area.
//!
//! Layout (little endian): magic, count, 128 pairs of bytes, per function its offset in the image, in order, and then
//! the packed names, each ended by a zero byte. A byte below 128 is a letter, any other stands for one of the pairs.
//! Empty until the build has filled it.
#![expect(unsafe_code, reason = "bounds of a linker-made area")]

use core::fmt::{self, Write};
use core::ptr::addr_of;

unsafe extern "C" {
    static __symbols_start: u8;
    static __symbols_end: u8;
    static __image_start: u8;
}

const MAGIC: u32 = 0x5053_4e58;
/// Where the pairs are, and where the offsets.
const PAIRS: usize = 8;
const OFFSETS: usize = PAIRS + 256;

/// A function's name.
pub(crate) struct Name(&'static [u8]);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| spell(f, *byte))
    }
}

/// Writes what a byte of a name stands for.
fn spell(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    let Some(pair) = byte.checked_sub(128) else { return f.write_char(char::from(byte)) };
    let parts = table().get(PAIRS + 2 * usize::from(pair)..).and_then(|pairs| pairs.first_chunk::<2>());
    // A pair is made of earlier ones: this ends, whatever the table says.
    parts.into_iter().flatten().filter(|part| **part < byte).try_for_each(|part| spell(f, *part))
}

/// Name of the function that holds `address`, and the distance from its start.
pub(crate) fn resolve(address: u64) -> Option<(Name, u64)> {
    let table = table();
    let offset = u32::try_from(address.checked_sub(addr_of!(__image_start) as u64)?).ok()?;
    if word(table, 0)? != MAGIC {
        return None;
    }
    let (offsets, names) = table.get(OFFSETS..)?.split_at_checked(word(table, 4)? as usize * 4)?;
    let (offsets, _) = offsets.as_chunks();
    let found = offsets.partition_point(|start| u32::from_le_bytes(*start) <= offset).checked_sub(1)?;
    let start = u32::from_le_bytes(*offsets.get(found)?);
    Some((Name(names.split(|byte| *byte == 0).nth(found)?), u64::from(offset - start)))
}

fn word(table: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*table.get(at..)?.first_chunk()?))
}

fn table() -> &'static [u8] {
    let start = addr_of!(__symbols_start);
    let size = addr_of!(__symbols_end) as usize - start as usize;
    // SAFETY: the linker script reserves exactly this read-only area. The volatile-like opacity of
    // `black_box` keeps the compiler from assuming that it is still empty.
    unsafe { core::slice::from_raw_parts(core::hint::black_box(start), size) }
}
