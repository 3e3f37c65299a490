//! Kernels told by their headers, and images placed in a guest's memory.

use super::*;

const MIB: u64 = 1 << 20;

fn module(size: u64) -> Module<'static> {
    let range = Range { base: 0x5000_0000, size };
    Module { path: String::new(), property: "reg", range, bootargs: "", has_bootargs: false }
}

fn placed(bank_mib: u64, text_offset: u64, kernel: u64, ramdisk: u64) -> Option<(u64, u64, Option<u64>)> {
    let bank = Range { base: 0x4000_0000, size: bank_mib * MIB };
    let head = Head { gzip: false, size: kernel, text_offset, extent: kernel };
    let ramdisk = (ramdisk > 0).then(|| module(ramdisk));
    let images = place(bank, &head, &module(kernel), ramdisk.as_ref()).ok()?;
    Some((images.kernel.entry, images.tree_at, images.ramdisk.map(|placed| placed.guest)))
}

#[test]
fn images_stand_where_xen_put_them_in_192_mib() {
    let expected = (0x4000_0000, 0x4800_0000, Some(0x4820_0000));
    assert_eq!(placed(192, 0, 30 * MIB, 0x11_801d), Some(expected));
}

#[test]
fn images_stand_where_xen_put_them_in_128_mib() {
    let expected = (0x4000_0000, 0x47c0_0000, Some(0x47e0_0000));
    assert_eq!(placed(128, 0, 30 * MIB, 0x11_801d), Some(expected));
}

#[test]
fn a_kernel_that_reaches_128_mib_leaves_the_end_of_the_bank() {
    assert_eq!(placed(512, 0, 128 * MIB, MIB), Some((0x4000_0000, 0x4800_0000, Some(0x4820_0000))));
    assert_eq!(placed(512, 0, 128 * MIB + 1, MIB), Some((0x4000_0000, 0x5fc0_0000, Some(0x5fe0_0000))));
}

#[test]
fn a_high_kernel_leaves_only_the_room_below() {
    assert_eq!(placed(32, 8 * MIB, 24 * MIB, MIB), Some((0x4080_0000, 0x4040_0000, Some(0x4060_0000))));
    assert_eq!(placed(32, 2 * MIB, 30 * MIB, 0), Some((0x4020_0000, 0x4000_0000, None)));
    assert_eq!(placed(32, 2 * MIB, 30 * MIB, 1), None);
}

#[test]
fn what_does_not_fit_has_no_place() {
    assert_eq!(placed(32, 0, 33 * MIB, 0), None);
    assert_eq!(placed(32, 0, 31 * MIB, 0), None);
    assert_eq!(placed(32, 0, 30 * MIB, 0), Some((0x4000_0000, 0x41e0_0000, None)));
    assert_eq!(placed(32, 1 << 40, MIB, 0), None);
    assert_eq!(placed(32, u64::MAX, MIB, 0), None);
    assert_eq!(placed(32, 0, MIB, u64::MAX), None);
}
