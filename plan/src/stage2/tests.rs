//! The count of tables against a map that is really made.

use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

const PAGE: u64 = 4096;

/// Maps page by page into a model that knows nothing of arithmetic: a unit is a block if one mapping covers
/// all of it and host and guest agree; every other touched unit needs a table.
fn naive(ipa_bits: u8, mappings: &[Mapping]) -> u32 {
    let mut tables = BTreeSet::new();
    for mapping in mappings {
        let mut at = mapping.guest;
        let end = mapping.guest + mapping.size;
        while at < end {
            let mut step = PAGE;
            for block in [BLOCK_1_GIB, BLOCK_2_MIB] {
                let host = mapping.host + (at - mapping.guest);
                let fits = !mapping.pages_only && at % block == 0 && host % block == 0 && end - at >= block;
                if fits {
                    step = block;
                    break;
                }
                tables.insert((block, at / block));
            }
            at += step;
        }
    }
    root_frames(ipa_bits) + tables.len() as u32
}

fn mappings() -> impl Strategy<Value = Vec<Mapping>> {
    // Gaps, sizes and host offsets, mostly in round numbers, so that blocks occur.
    let unit = || {
        prop_oneof![Just(PAGE), Just(3 * PAGE), Just(BLOCK_2_MIB), Just(256 * BLOCK_2_MIB), Just(BLOCK_1_GIB)]
    };
    let part = (unit(), 0_u64..4, unit(), 1_u64..4, unit(), 0_u64..3, proptest::bool::weighted(0.1));
    proptest::collection::vec(part, 1..6).prop_map(|parts| {
        let mut guest = 0x4000_0000;
        let mut list = Vec::new();
        for (gap, gaps, size, sizes, host, hosts, pages_only) in parts {
            guest += gap * gaps;
            let size = size * sizes;
            let pages_only = pages_only && size <= 1 << 30;
            list.push(Mapping { guest, host: guest + host * hosts, size, pages_only });
            guest += size;
        }
        list
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_count_is_that_of_a_naive_map(list in mappings(), ipa_bits in 32_u8..=40) {
        prop_assert_eq!(table_frames(ipa_bits, list.iter().copied()), naive(ipa_bits, &list));
    }
}

fn ram(guest: u64, host: u64, size: u64) -> Mapping {
    Mapping { guest, host, size, pages_only: false }
}

#[test]
fn forty_bits_need_two_roots() {
    assert_eq!(table_frames(40, core::iter::empty()), 2);
    assert_eq!(table_frames(39, core::iter::empty()), 1);
}

#[test]
fn a_gib_that_agrees_needs_no_further_table() {
    assert_eq!(table_frames(40, [ram(0x4000_0000, 0x8000_0000, BLOCK_1_GIB)].into_iter()), 2);
    assert_eq!(table_frames(40, [ram(0x4000_0000, 0x8020_0000, BLOCK_1_GIB)].into_iter()), 3);
    assert_eq!(table_frames(40, [ram(0x4000_0000, 0x8000_1000, BLOCK_1_GIB)].into_iter()), 3 + 512);
}

#[test]
fn neighbours_share_a_table() {
    let list = [ram(0x4000_0000, 0x8000_0000, PAGE), ram(0x4000_1000, 0x9000_0000, PAGE)];
    assert_eq!(table_frames(40, list.into_iter()), 4);
}
