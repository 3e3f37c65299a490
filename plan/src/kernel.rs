//! What a kernel module holds, and where kernel, device tree and ramdisk go in the guest.
//!
//! A kernel is an arm64 `Image` (Linux, Documentation/arch/arm64/booting.rst), as it is or in gzip. It goes to
//! the first 2 MiB boundary in the first bank plus its `text_offset`. Device tree and ramdisk follow one another, each in whole
//! 2 MiB: at 128 MiB into the bank if they fit there and the kernel ends below; else as high in the bank as
//! they fit; else just below the kernel. `image_size` counts as taken, since a kernel uses it as BSS.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::gzip::{GzipError, Inflater};
use crate::input::Modules;
use crate::modules::Module;
use crate::range::{BLOCK_2_MIB, Bytes, align_down, align_up};
use crate::report::Report;
use crate::shape::{Kernel, Placed, Range};

const HEADER_BYTES: usize = 64;
/// What is warned of where modules cannot be looked into, as on the desk.
pub const UNSEEN: &str = "cannot be looked into here: taken for an Image of its size at offset 0";
/// Bytes that a guest's device tree is given.
pub const TREE_BYTES: u64 = BLOCK_2_MIB;
const TREE_AFTER_BYTES: u64 = 128 << 20;
/// Where a header without `image_size` (before Linux 3.17) wants the kernel.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;

/// What is known of a kernel file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) gzip: bool,
    /// Unpacked bytes.
    pub(crate) size: u64,
    pub(crate) text_offset: u64,
    /// Bytes that the kernel uses from its first byte on.
    pub(crate) extent: u64,
}

/// Where everything goes in a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Images {
    pub(crate) kernel: Kernel,
    pub(crate) ramdisk: Option<Placed>,
    pub(crate) tree_at: u64,
}

/// Looks into a kernel module; a file that is no kernel is refused.
pub(crate) fn probe(modules: &dyn Modules, module: &Module<'_>, report: &mut Report) -> Option<Head> {
    let size = module.range.size;
    let assumed = Head { gzip: false, size, text_offset: 0, extent: size };
    let mut header = [0; HEADER_BYTES];
    let there = usize::try_from(size).unwrap_or(usize::MAX).min(HEADER_BYTES);
    let (bytes, _) = header.split_at_mut_checked(there)?;
    if !modules.read(module.range.base, bytes) {
        report.warn_of(&module.path, module.property, UNSEEN);
        return Some(assumed);
    }
    let outcome = if header.starts_with(&[0x1f, 0x8b]) {
        gzip_head(modules, module.range)
    } else if there < HEADER_BYTES {
        Err(format!("has {there} bytes, less than the header of an Image"))
    } else {
        image_head(&header, size)
    };
    match outcome {
        Ok(head) => Some(head),
        Err(reason) => {
            report.refuse(&module.path, "reg", reason, "an arm64 Image, as it is or packed by gzip");
            None
        }
    }
}

fn little_endian_u64(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    header
        .split_at_checked(at)
        .and_then(|(_, rest)| rest.first_chunk())
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn image_head(header: &[u8; HEADER_BYTES], size: u64) -> Result<Head, String> {
    let magic_at = |at: usize, magic: &[u8]| header.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if !magic_at(0x38, b"ARM\x64") {
        let found = if magic_at(0, &[0x27, 0x05, 0x19, 0x56]) {
            "is a uImage"
        } else if magic_at(0x24, &[0x18, 0x28, 0x6f, 0x01]) {
            "is a 32-bit zImage"
        } else if magic_at(0, b"MZ") && magic_at(4, b"zimg") {
            "is an EFI zboot image"
        } else if magic_at(0, b"\x7fELF") {
            "is an ELF file"
        } else {
            "is not a kernel: no magic number at byte 0x38"
        };
        return Err(String::from(found));
    }
    let image_size = little_endian_u64(header, 16);
    let text_offset = if image_size == 0 { OLD_TEXT_OFFSET } else { little_endian_u64(header, 8) };
    Ok(Head { gzip: false, size, text_offset, extent: size.max(image_size) })
}

/// Unpacks the first bytes of a gzip file and takes the unpacked size from its last four.
fn gzip_head(modules: &dyn Modules, range: Range) -> Result<Head, String> {
    let mut at = range.base;
    let mut input = |into: &mut [u8]| {
        let left = usize::try_from(range.end().saturating_sub(at)).unwrap_or(usize::MAX);
        let count = left.min(into.len());
        let Some(into) = into.get_mut(..count) else { return 0 };
        at = at.saturating_add(u64::try_from(count).unwrap_or(0));
        if count > 0 && modules.read(at.saturating_sub(u64::try_from(count).unwrap_or(0)), into) {
            count
        } else {
            0
        }
    };
    let mut head = Vec::with_capacity(HEADER_BYTES);
    let mut output = |bytes: &[u8]| {
        head.extend(bytes.iter().take(HEADER_BYTES.saturating_sub(head.len())));
        head.len() < HEADER_BYTES
    };
    let outcome = Inflater::new().unpack(&mut input, &mut output);
    let Some(header) = head.first_chunk() else {
        return Err(match outcome {
            Err(error) if error != GzipError::Stopped => {
                format!("is a gzip file that cannot be unpacked: {error}")
            }
            _ => String::from("is a gzip file with less in it than the header of an Image"),
        });
    };
    let mut length = [0; 4];
    if !modules.read(range.end().saturating_sub(4), &mut length) {
        return Err(String::from("is a gzip file whose end cannot be read"));
    }
    let size = u64::from(u32::from_le_bytes(length));
    // Deflate shrinks to no less than 1/1032 and grows by less than 1/1000.
    let (least, most) = (range.size.saturating_sub(range.size / 512), range.size.saturating_mul(1032));
    if size.saturating_add(1024) < least || size > most {
        return Err(format!(
            "is a gzip file of {} whose length field says {size}: truncated or padded",
            range.size
        ));
    }
    let inner =
        image_head(header, size).map_err(|reason| format!("is a gzip file, and what is in it {reason}"))?;
    Ok(Head { gzip: true, ..inner })
}

/// Places everything in the guest's first bank; `Err` says what does not fit.
pub(crate) fn place(
    bank: Range,
    head: &Head,
    kernel: &Module<'_>,
    ramdisk: Option<&Module<'_>>,
) -> Result<Images, String> {
    let does_not_fit = |needs: &str| {
        let ramdisk = ramdisk.map_or(0, |module| module.range.size);
        format!(
            "{needs} does not fit in the {} of RAM at {:#x}: the kernel takes {} at offset {:#x} from a 2 MiB boundary, \
             the device tree 2 MiB, the ramdisk {}",
            Bytes(bank.size),
            bank.base,
            Bytes(head.extent),
            head.text_offset,
            Bytes(ramdisk)
        )
    };
    // The boot protocol wants the kernel at its offset from a 2 MiB boundary; a direct map may begin between two.
    let load = align_up(bank.base, BLOCK_2_MIB).and_then(|base| base.checked_add(head.text_offset));
    let kernel_range =
        load.and_then(|load| Range::new(load, head.extent)).filter(|range| bank.contains(range));
    let kernel_range = kernel_range.ok_or_else(|| does_not_fit("the kernel"))?;
    let ramdisk_bytes = ramdisk.map_or(Some(0), |module| align_up(module.range.size, BLOCK_2_MIB));
    let bytes = ramdisk_bytes.and_then(|bytes| bytes.checked_add(TREE_BYTES));
    let tree_at = bytes.and_then(|bytes| tree_place(bank, kernel_range, bytes));
    let tree_at = tree_at.ok_or_else(|| does_not_fit("the ramdisk"))?;
    let ramdisk = ramdisk.map(|module| Placed {
        module: module.range,
        guest: tree_at.saturating_add(TREE_BYTES),
        size: module.range.size,
    });
    let placed = Placed { module: kernel.range, guest: kernel_range.base, size: head.size };
    Ok(Images { kernel: Kernel { placed, gzip: head.gzip, entry: kernel_range.base }, ramdisk, tree_at })
}

/// Where the device tree goes, with `bytes` for it and the ramdisk.
fn tree_place(bank: Range, kernel: Range, bytes: u64) -> Option<u64> {
    let usual = bank.base.checked_add(TREE_AFTER_BYTES)?;
    if kernel.end() <= usual && usual.checked_add(bytes)? <= bank.end() {
        return Some(usual);
    }
    let fits_at =
        |at: &u64| *at >= bank.base && (*at >= kernel.end() || at.saturating_add(bytes) <= kernel.base);
    let below = |limit: u64| limit.checked_sub(bytes).map(|at| align_down(at, BLOCK_2_MIB)).filter(fits_at);
    below(bank.end()).or_else(|| below(kernel.base))
}

#[cfg(test)]
mod tests;
