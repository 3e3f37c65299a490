//! Frames are conserved, and never handed out twice.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn range(base: u64, size: u64) -> Range {
    Range { base, size }
}

#[test]
fn each_frame_is_handed_out_once() {
    let mut pool = FramePool::new(&[range(0x1000, 0x5000)]);
    let first = pool.claim(range(0x2000, 0x2000)).unwrap();
    assert_eq!((first.base(), first.size()), (0x2000, 0x2000));
    assert_eq!(pool.claim(range(0x2000, 0x1000)), Err(ClaimError::InUse));
    assert_eq!(pool.claim(range(0x1000, 0x2000)), Err(ClaimError::InUse));
    assert_eq!(pool.claim(range(0x3000, 0x3000)), Err(ClaimError::InUse));
    assert!(pool.claim(range(0x1000, 0x1000)).is_ok());
    assert!(pool.claim(range(0x4000, 0x2000)).is_ok());
    assert_eq!(pool.free_bytes(), 0);
}

#[test]
fn what_is_no_ram_or_no_frame_is_refused() {
    let mut pool = FramePool::new(&[range(0x1000, 0x2000), range(0x3000, 0x1000)]);
    assert_eq!(pool.claim(range(0x1000, 0)), Err(ClaimError::Unaligned));
    assert_eq!(pool.claim(range(0x1800, 0x1000)), Err(ClaimError::Unaligned));
    assert_eq!(pool.claim(range(0x1000, 0x800)), Err(ClaimError::Unaligned));
    assert_eq!(pool.claim(range(0, 0x2000)), Err(ClaimError::NotRam));
    assert_eq!(pool.claim(range(0x3000, 0x2000)), Err(ClaimError::NotRam));
    assert_eq!(pool.claim(range(!0xfff, 0x2000)), Err(ClaimError::NotRam));
    assert_eq!(pool.free_bytes(), 0x3000);
}

#[test]
fn a_pool_takes_whole_frames_only_and_none_twice() {
    let ranges = [range(0x1800, 0x2000), range(0x2000, 0x1000), range(0x7fff, 2), range(0x9000, 0)];
    assert_eq!(FramePool::new(&ranges).free_bytes(), 0x1000);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_are_conserved_whatever_is_claimed(
        banks in prop::collection::vec((0_u64..96, 1_u64..40), 1..5),
        claims in prop::collection::vec((0_u64..110, 0_u64..12), 0..80),
    ) {
        let ranges: Vec<Range> = banks.iter().map(|(base, size)| range(base * FRAME_SIZE, size * FRAME_SIZE)).collect();
        let mut pool = FramePool::new(&ranges);
        // Who has which frame: nobody (false) or somebody.
        let mut model: BTreeMap<u64, bool> = BTreeMap::new();
        let mut bank_of: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, (base, size)) in banks.iter().enumerate() {
            if (*base..base + size).all(|frame| !model.contains_key(&frame)) {
                for frame in *base..base + size {
                    model.insert(frame, false);
                    bank_of.insert(frame, number);
                }
            }
        }
        let total = model.len() as u64 * FRAME_SIZE;
        let mut owned: Vec<FrameRange> = Vec::new();
        for (base, count) in claims {
            let wanted = range(base * FRAME_SIZE, count * FRAME_SIZE);
            let known = count > 0 && (base..base + count).all(|frame| bank_of.get(&frame).is_some_and(|bank| Some(bank) == bank_of.get(&base)));
            let free = known && (base..base + count).all(|frame| !model[&frame]);
            let before = pool.free_bytes();
            match pool.claim(wanted) {
                Ok(frames) => {
                    prop_assert!(free, "{:?} was handed out", frames);
                    for frame in base..base + count {
                        model.insert(frame, true);
                    }
                    owned.push(frames);
                }
                Err(error) => {
                    prop_assert!(!free, "{error:?} for free frames");
                    let expected = if count == 0 { ClaimError::Unaligned } else if known { ClaimError::InUse } else { ClaimError::NotRam };
                    prop_assert_eq!(error, expected);
                    prop_assert_eq!(pool.free_bytes(), before);
                }
            }
            let out: u64 = owned.iter().map(FrameRange::size).sum();
            prop_assert_eq!(pool.free_bytes() + out, total);
        }
    }
}

fn table(frames: u64) -> &'static FrameTable {
    let pool = FramePool::new(&[Range { base: 0x4000_0000, size: frames * FRAME_SIZE }]);
    let table = Box::leak(Box::new(FrameTable::try_new(&pool).unwrap()));
    table.set_free(pool);
    table
}

#[test]
fn what_construction_has_used_itself_can_be_a_domains_afterwards() {
    let mut pool = FramePool::new(&[Range { base: 0x4000_0000, size: 8 * FRAME_SIZE }]);
    let used = pool.claim(Range { base: 0x4000_2000, size: 4 * FRAME_SIZE }).unwrap();
    let table: &'static FrameTable = Box::leak(Box::new(FrameTable::try_new(&pool).unwrap()));
    table.set_free(pool);
    assert_eq!(table.free_frames(), 4);
    let taken: Vec<GuestFrame> = (0..4).map(|_| table.take(7, 0).unwrap().next().unwrap()).collect();
    assert!(taken.iter().all(|frame| !(0x4000_2000..0x4000_6000).contains(&frame.address())));
    table.free_range(used);
    assert_eq!(table.take(7, 0).unwrap().next().unwrap().address(), 0x4000_2000);
}

#[test]
fn a_frame_is_free_again_when_its_last_handle_is_dropped() {
    let table = table(4);
    let frame = table.take(7, 0).unwrap().next().unwrap();
    let other = frame.try_clone().unwrap();
    assert_eq!((frame.owner(), frame.count(), table.free_frames()), (Some(7), 2, 3));
    drop(frame);
    assert_eq!((other.count(), table.free_frames()), (1, 3));
    drop(other);
    assert_eq!(table.free_frames(), 4);
}

#[test]
fn frames_of_a_block_that_were_not_handed_out_are_free_again() {
    let table = table(512);
    let mut block = table.take(1, 9).unwrap();
    assert_eq!(table.free_frames(), 0);
    assert!(table.take(1, 0).is_none());
    let first = block.next();
    drop(block);
    assert_eq!(table.free_frames(), 511);
    drop(first);
    assert!(table.take(2, 9).is_some());
}

#[test]
fn what_is_given_back_of_a_block_is_free_but_for_what_others_hold() {
    let table = table(512);
    let mut block = table.take(1, 9).unwrap();
    let others: Vec<_> =
        [3, 64, 65, 511].map(|frame| table.hold(0x4000_0000 + frame * FRAME_SIZE).unwrap()).into();
    assert_eq!((block.give_back(64), block.left(), table.free_frames()), (64, 448, 63));
    assert_eq!((block.give_back(2), table.free_frames()), (2, 63));
    assert_eq!((block.give_back(1000), block.give_back(1), table.free_frames()), (446, 0, 508));
    let mut taken: Vec<_> = std::iter::from_fn(|| table.take(2, 0)).flatten().collect();
    assert_eq!(taken.len(), 508);
    assert!(
        taken
            .iter()
            .all(|frame| frame.count() == 1 && others.iter().all(|held| held.address() != frame.address()))
    );
    drop(others);
    assert_eq!(table.free_frames(), 4);
    taken.clear();
    assert!(table.take(3, 9).is_some(), "all is one block again");
}

#[test]
fn a_free_frame_cannot_be_held() {
    let table = table(1);
    assert!(table.hold(0x4000_0000).is_none());
    assert!(table.hold(0x3fff_f000).is_none());
    let block = table.take(1, 0);
    assert!(table.hold(0x4000_0000).is_some());
    drop(block);
    assert!(table.hold(0x4000_0000).is_none());
}

#[test]
fn only_a_domain_s_own_frame_is_held_as_its_own_and_not_once_more_than_can_be_counted() {
    let (table, frame) = a_frame_of(3);
    let at = frame.address();
    for other in [0, 2, 4, NO_DOMAIN] {
        assert!(table.hold_own(other, at).is_none(), "{other}");
    }
    let count = || table.hold_own(3, at).map(|held| held.count());
    assert_eq!(count(), Some(2));
    // What it is not shown at present is its own, too.
    table.keep(frame);
    assert_eq!(count(), Some(2));
    let mut held = Vec::new();
    while let Some(more) = table.hold_own(3, at) {
        held.push(more);
    }
    assert!(table.hold(at).is_none() && held.len() > 500_000);
    held.clear();
    drop(table.regain(3, at));
    assert!(table.hold_own(3, at).is_none(), "it is free");
}

fn a_frame_of(owner: OwnerIndex) -> (&'static FrameTable, GuestFrame) {
    let pool = FramePool::new(&[range(0x1000, 0x3000), range(0x8000, 0x2000)]);
    let table: &'static FrameTable = Box::leak(Box::new(FrameTable::try_new(&pool).unwrap()));
    table.set_free(pool);
    // The last of them is in the second span.
    let mut frames: Vec<GuestFrame> = std::iter::from_fn(|| table.take(owner, 0)?.next()).collect();
    (table, frames.pop().unwrap())
}

#[test]
fn what_is_put_on_a_shelf_comes_back_once_and_keeps_its_frame_meanwhile() {
    let (table, frame) = a_frame_of(3);
    let (at, free) = (frame.address(), table.free_frames());
    let mut shelf = shelf::Shelf::try_new(table, 4).unwrap();
    shelf.put(2, frame).unwrap();
    assert_eq!(shelf.get(2).map(|lent| (lent.address(), lent.owner(), lent.count())), Some((at, Some(3), 1)));
    assert!(shelf.get(1).is_none() && shelf.get(4).is_none());
    assert_eq!(table.free_frames(), free, "looking at it sets nothing free");
    let frame = shelf.take(2).unwrap();
    assert!(shelf.take(2).is_none());
    assert_eq!((frame.address(), frame.count()), (at, 1));
    drop(frame);
    assert_eq!(table.free_frames(), free + 1);
}

#[test]
fn a_shelf_gives_back_what_it_cannot_keep_and_what_it_has_at_its_end() {
    let (table, frame) = a_frame_of(3);
    let (_, foreign) = a_frame_of(3);
    let more = frame.try_clone().unwrap();
    let mut shelf = shelf::Shelf::try_new(table, 4).unwrap();
    let foreign = shelf.put(0, foreign).unwrap_err();
    let frame = shelf.put(4, frame).unwrap_err();
    shelf.put(1, frame).unwrap();
    let more = shelf.put(1, more).unwrap_err();
    assert_eq!((more.count(), foreign.count()), (2, 1));
    drop(shelf);
    assert_eq!(more.count(), 1);
}
