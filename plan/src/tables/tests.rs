//! What a reserve holds, counted by hand.

use super::*;
use crate::range::{BLOCK_1_GIB, BLOCK_2_MIB};

const RESERVE: u32 = FOREIGN_TABLES + LOOSE_TABLES;
const WINDOW: Range = Range { base: 0x3800_0000, size: 0x100_0000 };

fn piece(guest: u64, host: u64, size: u64) -> GuestMemory {
    GuestMemory { guest, host, size }
}

fn plain(memory: &[GuestMemory]) -> Map<'_> {
    Map {
        ipa_bits: 40,
        memory,
        interface: None,
        grant_window: None,
        hardware: &[],
        extended: &[],
        mortal: false,
        pool: None,
    }
}

fn count_of(memory: &[GuestMemory], grant_window: Option<Range>) -> Tables {
    count(&Map { grant_window, ..plain(memory) })
}

#[test]
fn a_plain_domain_has_no_spare_tables() {
    let memory = [piece(0x4000_0000, 0x8000_0000, 8 * BLOCK_2_MIB)];
    assert_eq!(count_of(&memory, None), Tables { boot: 3, spare: 0 });
}

#[test]
fn a_plain_domain_that_may_be_destroyed_has_tables_for_its_end() {
    let memory = [piece(0x4000_0000, 0x8000_0000, 8 * BLOCK_2_MIB)];
    assert_eq!(count(&Map { mortal: true, ..plain(&memory) }), Tables { boot: 3, spare: 2 });
}

#[test]
fn a_pool_that_the_owner_wants_has_as_many_tables_as_he_says() {
    let memory = [piece(0x4000_0000, 0x8000_0000, 8 * BLOCK_2_MIB)];
    for grant_window in [None, Some(WINDOW)] {
        let map = Map { grant_window, pool: Some(of_pool(1)), ..plain(&memory) };
        assert_eq!(count(&map), Tables { boot: 3, spare: 253 });
    }
    assert_eq!(count(&Map { pool: Some(1), ..plain(&memory) }), Tables { boot: 3, spare: 0 });
    assert_eq!(of_pool(u32::MAX), u32::MAX);
}

#[test]
fn every_block_can_be_split_and_the_window_be_filled() {
    let memory = [piece(0x4000_0000, 0x8000_0000, 8 * BLOCK_2_MIB)];
    // Eight level 3 tables for RAM; for the window eight of them and a level 2.
    assert_eq!(count_of(&memory, Some(WINDOW)), Tables { boot: 3, spare: 8 + 9 + RESERVE });
    // RAM that is mapped in single pages anyway needs no more than it has.
    let memory = [piece(0x4000_0000, 0x8000_1000, 8 * BLOCK_2_MIB)];
    assert_eq!(count_of(&memory, Some(WINDOW)), Tables { boot: 11, spare: 9 + RESERVE });
}

#[test]
fn a_gib_is_split_down_to_pages() {
    let memory = [piece(0x4000_0000, 0x8000_0000, BLOCK_1_GIB)];
    assert_eq!(count_of(&memory, Some(WINDOW)), Tables { boot: 2, spare: 1 + 512 + 9 + RESERVE });
}

#[test]
fn a_window_shares_tables_with_what_lies_beside_it() {
    let interface = Mapping { guest: 0x0300_2000, host: 0x0804_0000, size: 0x2000, pages_only: true };
    let memory = [piece(0x4000_0000, 0x8000_0000, BLOCK_2_MIB)];
    let (interface, grant_window) = (Some(interface), Some(WINDOW));
    let map = Map { interface, grant_window, ..plain(&memory) };
    // The level 2 table of the first GiB is there for the interface already.
    assert_eq!(count(&map), Tables { boot: 5, spare: 1 + 8 + RESERVE });
    // A window above RAM.
    let window = Some(Range { base: 0x8000_0000, size: 0x4_0000 });
    assert_eq!(count_of(&memory, window), Tables { boot: 3, spare: 1 + 2 + RESERVE });
}

#[test]
fn registers_are_mapped_in_blocks_where_they_can_be() {
    let memory = [piece(0x8000_0000, 0x8000_0000, BLOCK_1_GIB)];
    let mmio = [piece(0x900_0000, 0x900_0000, 0x1000), piece(0x1000_0000, 0x1000_0000, BLOCK_2_MIB)];
    let window = Range { base: 0x4020_0000, size: 0x4_0000 };
    let map = Map { grant_window: Some(window), hardware: &mmio, ..plain(&memory) };
    // Level 2 for the first GiB and level 3 for its one page; then RAM split, and the window's two.
    assert_eq!(count(&map), Tables { boot: 4, spare: 1 + 512 + 2 + RESERVE });
}

#[test]
fn dom0_can_fill_its_extended_regions_with_single_pages() {
    let memory = [piece(0x4800_0000, 0x4800_0000, BLOCK_2_MIB)];
    let window = Range { base: 0x4020_0000, size: 0x4_0000 };
    let extended =
        [Range { base: 0x5000_0000, size: 64 << 20 }, Range { base: 0x8_0000_0000, size: 64 << 20 }];
    let map = Map { grant_window: Some(window), extended: &extended, ..plain(&memory) };
    // Level 3 for RAM and the window; 32 of them for each region, and a level 2 for the one that is far away.
    assert_eq!(count(&map), Tables { boot: 3, spare: 1 + 1 + 32 + 33 + LOOSE_TABLES });
}

#[test]
fn dom0_on_a_large_board_can_fill_a_quarter_of_its_extended_regions() {
    let memory = [piece(0x4800_0000, 0x4800_0000, BLOCK_2_MIB)];
    let window = Range { base: 0x4020_0000, size: 0x4_0000 };
    for (mib, foreign) in [(100, 50 + 1), (384, 80 + 48), (1024, 80 + 128), (8192, 80 + (4096 + 8) / 4)] {
        let extended = [Range { base: 0x8000_0000, size: mib << 20 }];
        let map = Map { grant_window: Some(window), extended: &extended, ..plain(&memory) };
        // All of 100 MiB are 50 tables and one above them.
        assert_eq!(count(&map), Tables { boot: 3, spare: 1 + 1 + foreign + LOOSE_TABLES }, "{mib} MiB");
    }
}

#[test]
fn two_lists_become_one_in_guest_order() {
    let at = |guest| Mapping { guest, host: 0, size: FRAME_BYTES, pages_only: false };
    let both = merged([at(1), at(4)].into_iter(), [at(2), at(3), at(5)].into_iter());
    let order: alloc::vec::Vec<u64> = both.clone().map(|mapping| mapping.guest).collect();
    assert_eq!(order, [1, 2, 3, 4, 5]);
    assert_eq!(both.count(), 5);
}
