//! Stage 2 maps against a plain model: what is mapped is found, and nothing else is.

use super::*;
use crate::frames::FramePool;
use plan::stage2::{Mapping, table_frames};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn empty(frames: usize, ipa_bits: u8) -> Stage2 {
    Stage2::new(frames, ipa_bits, |address| address.addr() as u64).unwrap()
}

fn frames(base: u64, size: u64) -> FrameRange {
    FramePool::new(&[Range { base, size }]).claim(Range { base, size }).unwrap()
}

/// Valid entries of all tables that are leaves, by level.
fn leaves(map: &Stage2, table: usize, level: u32, count: &mut [u64; 4]) {
    for index in 0..ENTRIES {
        let entry = map.entry(table, index).unwrap().load(Ordering::Relaxed);
        if entry & VALID == 0 {
            continue;
        }
        if level == 3 || entry & 0b10 == 0 {
            count[level as usize] += 1;
        } else {
            leaves(map, map.table_index(entry).unwrap(), level + 1, count);
        }
    }
}

fn all_leaves(map: &Stage2) -> [u64; 4] {
    let mut count = [0; 4];
    for table in map.root..map.root + map.root_tables {
        leaves(map, table, 1, &mut count);
    }
    count
}

#[test]
fn an_empty_map_translates_nothing() {
    for bits in [32, 39, 40] {
        let map = empty(2, bits);
        for ipa in [0, 0x4000_0000, (1 << 39) - 1, 1 << 39, (1 << 40) - 1, 1 << 40, u64::MAX] {
            assert_eq!(map.translate(ipa), None);
        }
    }
}

#[test]
fn the_root_is_aligned_to_its_size() {
    for _ in 0..8 {
        assert_eq!(empty(2, 40).root_address() % 0x2000, 0);
        assert_eq!(empty(1, 39).root_address() % 0x1000, 0);
    }
}

#[test]
fn leaves_are_as_large_as_both_addresses_allow() {
    let rows = [
        (GIB, 4 * GIB, GIB, [0, 1, 0, 0]),
        (GIB, 4 * GIB, 2 * MIB, [0, 0, 1, 0]),
        (GIB, 4 * GIB, 4096, [0, 0, 0, 1]),
        (GIB, 4 * GIB + 2 * MIB, GIB, [0, 0, 512, 0]),
        (GIB, 4 * GIB + 4096, 2 * MIB, [0, 0, 0, 512]),
        (GIB - 4096, 4 * GIB - 4096, GIB + 8192, [0, 1, 0, 2]),
        (GIB - 2 * MIB, 4 * GIB - 2 * MIB, GIB + 3 * MIB, [0, 1, 1, 256]),
    ];
    for (ipa, host, size, expected) in rows {
        let mut map = empty(16, 40);
        map.map(ipa, frames(host, size)).unwrap();
        assert_eq!(all_leaves(&map), expected, "{ipa:#x} -> {host:#x}, {size:#x}");
        assert_eq!(map.translate(ipa), Some((host, true)));
        assert_eq!(map.translate(ipa + size - 1), Some((host + size - 1, true)));
        assert_eq!(map.translate(ipa - 1), None);
        assert_eq!(map.translate(ipa + size), None);
        assert_eq!(map.owned_bytes(), size);
    }
}

#[test]
fn what_is_mapped_is_not_mapped_again() {
    let mut map = empty(8, 40);
    map.map(GIB, frames(4 * GIB, GIB)).unwrap();
    map.map(2 * GIB, frames(5 * GIB, 4096)).unwrap();
    assert_eq!(map.map(GIB, frames(8 * GIB, 4096)), Err(MapError::Occupied));
    assert_eq!(map.map(2 * GIB, frames(8 * GIB, 4096)), Err(MapError::Occupied));
    assert_eq!(map.map(2 * GIB, frames(8 * GIB, 2 * MIB)), Err(MapError::Occupied));
    assert_eq!(map.translate(GIB), Some((4 * GIB, true)));
    assert_eq!(map.owned_bytes(), GIB + 4096);
}

#[test]
fn a_map_ends_where_its_tables_do() {
    for (bits, limit) in [(39, 1 << 39), (40, 1 << 40)] {
        let mut map = empty(8, bits);
        assert_eq!(map.map(limit, frames(GIB, 4096)), Err(MapError::OutOfRange));
        assert_eq!(map.map(limit - 4096, frames(GIB, 8192)), Err(MapError::OutOfRange));
        assert_eq!(map.map(!0xfff, frames(GIB, 8192)), Err(MapError::OutOfRange));
        assert_eq!(map.map(0x800, frames(GIB, 4096)), Err(MapError::Unaligned));
        map.map(limit - 4096, frames(GIB, 4096)).unwrap();
        assert_eq!(map.translate(limit - 1), Some((GIB + 4095, true)));
    }
}

#[test]
fn a_map_without_tables_left_says_so() {
    let mut map = empty(2, 39);
    assert_eq!(map.map(GIB, frames(4 * GIB, 4096)), Err(MapError::OutOfTables));
    assert_eq!(map.translate(GIB), None);
    assert!(matches!(Stage2::new(1, 40, |_| 0), Err(MapError::OutOfTables)));
    assert!(matches!(Stage2::new(0, 32, |_| 0), Err(MapError::OutOfTables)));
}

#[test]
fn devices_are_told_from_ram() {
    let mut map = empty(4, 40);
    map.map_device(0x300_2000, Range { base: 0x804_0000, size: 0x2000 }).unwrap();
    assert_eq!(map.translate(0x300_3004), Some((0x804_1004, false)));
    assert_eq!(map.owned_bytes(), 0);
}

fn mappings() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let unit = || prop_oneof![Just(4096), Just(12288), Just(2 * MIB), Just(512 * MIB), Just(GIB)];
    let part = (unit(), 0_u64..4, unit(), 1_u64..4, unit(), 0_u64..3);
    prop::collection::vec(part, 1..6).prop_map(|parts| {
        let (mut guest, mut host) = (0x4000_0000, 0x1_0000_0000);
        let mut list = Vec::new();
        for (gap, gaps, size, sizes, offset, offsets) in parts {
            guest += gap * gaps;
            host += offset * offsets;
            let size = size * sizes;
            list.push((guest, host, size));
            guest += size;
            host += size;
        }
        list
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_map_agrees_with_a_plain_list_and_takes_the_tables_that_the_plan_counted(
        list in mappings(), bits in 39_u8..=40, probes in prop::collection::vec(any::<u64>(), 64),
    ) {
        let counted = list.iter().map(|(guest, host, size)| Mapping { guest: *guest, host: *host, size: *size, pages_only: false });
        let count = table_frames(bits, counted) as usize;
        let mut map = empty(count, bits);
        for (guest, host, size) in &list {
            map.map(*guest, frames(*host, *size)).unwrap();
        }
        prop_assert_eq!(map.tables_used(), count);
        let plain = |ipa: u64| {
            let found = list.iter().find(|(guest, _, size)| ipa >= *guest && ipa - guest < *size);
            found.map(|(guest, host, _)| (host + (ipa - guest), true))
        };
        let end = list.iter().map(|(guest, _, size)| guest + size).max().unwrap();
        let edges = list.iter().flat_map(|(guest, _, size)| [guest - 1, *guest, guest + size - 1, guest + size]);
        for ipa in edges.chain(probes.iter().map(|probe| probe % (end + GIB))).chain(probes.iter().copied()) {
            prop_assert_eq!(map.translate(ipa), plain(ipa), "{:#x}", ipa);
        }
        prop_assert_eq!(map.owned_bytes(), list.iter().map(|(.., size)| size).sum::<u64>());
    }
}

/// A map of blocks of RAM, with so many tables to spare.
fn blocks(spare: usize) -> Stage2 {
    let mut map = empty(2 + spare, 39);
    map.map(GIB, frames(4 * GIB, 4 * MIB)).unwrap();
    map
}

#[test]
fn a_page_is_taken_out_of_a_block_and_the_rest_stays() {
    let mut map = blocks(1);
    let mut flushed = Vec::new();
    let removed = map.remove(GIB + 0x3000, Kind::ALL, &mut |flush| flushed.push(flush)).unwrap();
    assert_eq!(removed, Some(Removed { host: 4 * GIB + 0x3000, kind: Kind::Ram }));
    assert_eq!(flushed, [Flush::Everything, Flush::Page(GIB + 0x3000)]);
    assert_eq!(map.translate(GIB + 0x3000), None);
    assert_eq!(map.translate(GIB + 0x2fff), Some((4 * GIB + 0x2fff, true)));
    assert_eq!(map.translate(GIB + 0x4000), Some((4 * GIB + 0x4000, true)));
    assert_eq!(map.owned_bytes(), 4 * MIB - 4096);
}

#[test]
fn a_block_is_not_taken_apart_without_a_table_and_nothing_changes() {
    let mut map = blocks(0);
    let unflushed: &mut dyn FnMut(Flush) = &mut |_| panic!("something changed");
    assert_eq!(map.remove(GIB, Kind::ALL, unflushed), Err(MapError::OutOfTables));
    let leaf = Leaf { host: 8 * GIB, kind: Kind::Foreign, writable: false, level: 3 };
    assert_eq!(map.insert(GIB, leaf, unflushed), Err(MapError::OutOfTables));
    assert_eq!(map.translate(GIB), Some((4 * GIB, true)));
}

#[test]
fn a_table_that_is_empty_is_free_again() {
    let mut map = blocks(1);
    for page in 0..512 {
        map.remove(GIB + page * 4096, Kind::ALL, &mut |_| ()).unwrap().unwrap();
    }
    assert_eq!(map.tables_left(), 1);
    let leaf = Leaf { host: 8 * GIB, kind: Kind::Ram, writable: true, level: 2 };
    assert_eq!(map.insert(GIB, leaf, &mut |_| ()), Ok(None));
    assert_eq!(map.insert(GIB, leaf, &mut |_| ()), Err(MapError::Occupied));
    assert_eq!(map.translate(GIB + MIB), Some((8 * GIB + MIB, true)));
    let mut flushed = Vec::new();
    assert_eq!(map.remove_block(GIB + MIB, &mut |_| ()), None, "it begins elsewhere");
    assert_eq!(map.remove_block(GIB, &mut |flush| flushed.push(flush)), Some(8 * GIB));
    assert_eq!((flushed, map.translate(GIB)), (vec![Flush::Everything], None));
}

proptest! {
    #[test]
    fn a_map_that_changes_is_that_of_a_plain_model(
        acts in proptest::collection::vec((any::<bool>(), 0_u64..4, 0_u64..6, 0_u64..4), 1..300),
    ) {
        let mut map = blocks(4);
        let mut model: std::collections::BTreeMap<u64, (u64, Kind, bool)> =
            (0..1024).map(|page| (GIB + page * 4096, (4 * GIB + page * 4096, Kind::Ram, true))).collect();
        for (number, (insert, block, page, kind)) in acts.into_iter().enumerate() {
            let ipa = GIB + block * 2 * MIB + page * 4096;
            let flushed = std::cell::Cell::new(false);
            let before = model.get(&ipa).copied();
            let mut expected = Ok(before.map(|(host, kind, _)| Removed { host, kind }));
            let outcome = if insert {
                let host = 16 * GIB + number as u64 * 4096;
                let kind = [Kind::Ram, Kind::Shared, Kind::Foreign, Kind::Granted][kind as usize];
                let leaf = Leaf { host, kind, writable: number % 2 == 0, level: 3 };
                if kind != Kind::Granted && before.is_some_and(|(_, kind, _)| kind == Kind::Granted) {
                    expected = Err(MapError::Occupied);
                } else {
                    model.insert(ipa, (host, kind, leaf.writable));
                }
                // As a map is asked on behalf of a guest, and without the short way.
                if page % 2 == 0 && map.fill(ipa, leaf) {
                    Ok(None)
                } else {
                    map.insert(ipa, leaf, &mut |_| flushed.set(true))
                }
            } else if page == 0 && kind == 0 {
                let whole = map.remove_block(ipa, &mut |_| flushed.set(true));
                for page in (0..512).filter(|_| whole.is_some()) {
                    let removed = model.remove(&(ipa + page * 4096));
                    prop_assert_eq!(removed, whole.map(|host| (host + page * 4096, Kind::Ram, true)));
                }
                prop_assert_eq!(whole.is_some(), flushed.get());
                continue;
            } else {
                model.remove(&ipa);
                map.remove(ipa, Kind::ALL, &mut |_| flushed.set(true))
            };
            let changed = expected.is_ok();
            prop_assert_eq!(outcome, expected);
            prop_assert!(!changed || before.is_none() || flushed.get(), "what was there may be cached");
        }
        for page in 0..2048 {
            let ipa = GIB + page * 4096;
            let shown = map.shown(ipa).map(|shown| (shown.host, shown.kind, shown.writable));
            prop_assert_eq!(shown, model.get(&ipa).copied());
        }
        let ram = model.values().filter(|(_, kind, _)| *kind == Kind::Ram).count() as u64 * 4096;
        prop_assert_eq!(map.owned_bytes(), ram);
    }
}

#[test]
fn a_granted_page_is_hidden_only_where_it_is_what_is_shown() {
    let mut map = blocks(3);
    let leaf = |host, kind| Leaf { host, kind, writable: true, level: 3 };
    for (ipa, kind) in [(0x1000, Kind::Granted), (0x2000, Kind::Foreign)] {
        assert_eq!(map.insert(ipa, leaf(8 * GIB, kind), &mut |_| ()), Ok(None));
    }
    let mut flushed = Vec::new();
    for (ipa, host) in [(0x1000, 9 * GIB), (0x2000, 8 * GIB), (0x3000, 8 * GIB), (GIB, 4 * GIB), (1 << 45, 0)]
    {
        assert!(!map.hide_granted(ipa, host, &mut |flush| flushed.push(flush)), "{ipa:#x}");
    }
    assert_eq!(flushed, []);
    assert!(map.hide_granted(0x1000, 8 * GIB, &mut |flush| flushed.push(flush)));
    assert_eq!((flushed, map.translate(0x1000)), (vec![Flush::Page(0x1000)], None));
    assert!(map.translate(0x2000).is_some());
}
