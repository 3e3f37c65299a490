//! Where memory is found for domains and heap.

use super::*;
use alloc::vec;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

fn open(ranges: &[(u64, u64)]) -> RangeSet {
    let mut set = RangeSet::new();
    ranges.iter().for_each(|(base, size)| set.insert(Range { base: *base, size: *size }));
    set
}

fn hosts(set: &mut RangeSet, size: u64) -> Option<Vec<(u64, u64)>> {
    let banks = [Range { base: 0x4000_0000, size }];
    let demand = Demand { banks: &banks, fixed: &[], direct: false };
    let placed = place(set, &[demand]).ok()?;
    Some(placed[0].iter().map(|piece| (piece.host, piece.size)).collect())
}

#[test]
fn the_heap_takes_the_smallest_hole_that_holds_it() {
    let mut set = open(&[(0x4000_0000, 2 * MIB), (0x5010_0000, 2 * MIB), (0x6000_0000, GIB)]);
    assert_eq!(take_heap(&mut set, 2 * MIB, BLOCK_2_MIB), Some(Range { base: 0x4000_0000, size: 2 * MIB }));
    assert_eq!(take_heap(&mut set, MIB, BLOCK_2_MIB), Some(Range { base: 0x5020_0000, size: MIB }));
    assert_eq!(take_heap(&mut set, MIB, BLOCK_2_MIB), Some(Range { base: 0x6000_0000, size: MIB }));
    assert_eq!(take_heap(&mut set, GIB, BLOCK_2_MIB), None);
}

#[test]
fn a_gib_agrees_with_its_guest_address_where_it_can() {
    let mut set = open(&[(0x4020_0000, 3 * GIB)]);
    assert_eq!(hosts(&mut set, GIB), Some(vec![(0xc000_0000, GIB)]));
    assert_eq!(hosts(&mut set, GIB), Some(vec![(0x8000_0000, GIB)]));
    // What is left above takes a small one, then what is left below.
    assert_eq!(hosts(&mut set, 2 * MIB), Some(vec![(0x1_0000_0000, 2 * MIB)]));
    assert_eq!(hosts(&mut set, 2 * MIB), Some(vec![(0x7fe0_0000, 2 * MIB)]));
}

#[test]
fn scattered_memory_is_put_together_largest_first() {
    let mut set = open(&[(0x4000_1000, 3 * MIB), (0x5000_0000, 5 * MIB), (0x6000_0000, 4 * MIB)]);
    let pieces = hosts(&mut set, 11 * MIB);
    let expected = vec![
        (0x5000_0000, 4 * MIB),
        (0x6000_0000, 4 * MIB),
        // No 2 MiB are left that agree: frames do.
        (0x4000_1000, 3 * MIB),
    ];
    assert_eq!(pieces, Some(expected));
    assert_eq!(set.total(), MIB);
    assert_eq!(hosts(&mut set, 2 * MIB), None);
}

#[test]
fn shared_pages_take_the_lowest_frames_of_the_smallest_hole() {
    let mut set = open(&[(0x4000_0000, MIB), (0x5000_3000, 0x4000), (0x6000_0000, GIB)]);
    assert_eq!(take_pages(&mut set, 0x3000), Some(Range { base: 0x5000_3000, size: 0x3000 }));
    assert_eq!(take_pages(&mut set, 0x3000), Some(Range { base: 0x4000_0000, size: 0x3000 }));
    assert_eq!(set.total(), GIB + MIB + 0x4000 - 0x6000);
    assert_eq!(take_pages(&mut set, 2 * GIB), None);
    assert_eq!(take_pages(&mut set, 0), None);
}

#[test]
fn a_refused_demand_says_what_was_left() {
    let banks = [Range { base: 0x4000_0000, size: 8 * MIB }];
    let demand = Demand { banks: &banks, fixed: &[], direct: false };
    let mut set = open(&[(0x5000_0000, 10 * MIB)]);
    let result = place(&mut set, &[demand.clone(), demand]);
    assert_eq!(result, Err(NoRoom { demand: 1, left: 2 * MIB }));
}

#[test]
fn sets_of_ranges_merge_split_and_count() {
    let mut set = open(&[(10, 10), (30, 10), (20, 10)]);
    assert_eq!(set.iter().copied().collect::<Vec<_>>(), [Range { base: 10, size: 30 }]);
    set.remove(Range { base: 15, size: 5 });
    set.remove(Range { base: 0, size: 11 });
    set.remove(Range { base: 39, size: 100 });
    assert_eq!(set.iter().map(|range| (range.base, range.end())).collect::<Vec<_>>(), [(11, 15), (20, 39)]);
    assert_eq!(set.total(), 23);
    assert_eq!(set.shared_with(&Range { base: 14, size: 10 }), 5);
    assert!(set.contains(&Range { base: 20, size: 19 }) && !set.contains(&Range { base: 14, size: 7 }));
    set.insert(Range { base: 12, size: 30 });
    assert_eq!(set.into_vec(), [Range { base: 11, size: 31 }]);
}

fn direct(set: &mut RangeSet, bytes: u64, apart: Range, reach: u64) -> Option<Vec<(u64, u64)>> {
    let banks = take_direct(set, bytes, apart, reach)?;
    Some(banks.iter().map(|bank| (bank.base, bank.size)).collect())
}

const NOWHERE: Range = Range { base: 0, size: 1 };
const REACH: u64 = 1 << 40;

#[test]
fn memory_at_its_own_address_comes_in_powers_of_two_lowest_first() {
    let mut set = open(&[(0x4040_0000, 0x3fc0_0000), (0x8000_0000, GIB)]);
    // 512 MiB, and what follows stands behind it.
    assert_eq!(direct(&mut set, 768 * MIB, NOWHERE, REACH), Some(vec![(0x6000_0000, 768 * MIB)]));
    assert_eq!(set.total(), 0x3fc0_0000 + GIB - 768 * MIB);
    // What is no whole 2 MiB is rounded up.
    assert_eq!(direct(&mut set, 3 * MIB, NOWHERE, REACH), Some(vec![(0x4040_0000, 4 * MIB)]));
    assert_eq!(direct(&mut set, 4 * GIB, NOWHERE, REACH), None);
}

#[test]
fn the_bank_with_the_first_piece_comes_first() {
    let mut set = open(&[(0x4000_0000, 4 * MIB), (0x5000_0000, 128 * MIB)]);
    assert_eq!(
        direct(&mut set, 132 * MIB, NOWHERE, REACH),
        Some(vec![(0x5000_0000, 128 * MIB), (0x4000_0000, 4 * MIB)])
    );
}

#[test]
fn the_first_piece_is_where_devices_reach_and_large_enough_for_a_kernel() {
    let mut set = open(&[(0x4000_0000, 64 * MIB), (0x8000_0000, 256 * MIB), (0x1_0000_0000, GIB)]);
    let banks = direct(&mut set.clone(), 512 * MIB, NOWHERE, REACH).unwrap();
    assert_eq!(banks[0], (0x8000_0000, 256 * MIB));
    // Where there is nothing below, it is above.
    set.remove(Range { base: 0, size: 1 << 32 });
    assert_eq!(direct(&mut set, 512 * MIB, NOWHERE, REACH), Some(vec![(0x1_0000_0000, 512 * MIB)]));
}

#[test]
fn nothing_apart_or_out_of_reach_is_taken() {
    let apart = Range { base: 0x4010_0000, size: 0x1000 };
    let mut set = open(&[(0x4000_0000, 8 * MIB), (0x1_0000_0000, GIB)]);
    assert_eq!(direct(&mut set, 2 * MIB, apart, REACH), Some(vec![(0x4020_0000, 2 * MIB)]));
    // What was kept apart stays open for others.
    assert!(set.contains(&apart));
    assert_eq!(direct(&mut set, 16 * MIB, apart, 1 << 32), None);
}
