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
    assert_eq!(take_heap(&mut set, 2 * MIB), Some(Range { base: 0x4000_0000, size: 2 * MIB }));
    assert_eq!(take_heap(&mut set, MIB), Some(Range { base: 0x5020_0000, size: MIB }));
    assert_eq!(take_heap(&mut set, MIB), Some(Range { base: 0x6000_0000, size: MIB }));
    assert_eq!(take_heap(&mut set, GIB), None);
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
