//! Trees read and written, and damaged ones refused.

use super::check::{Fault, FdtError};
use super::*;
use alloc::vec;
use alloc::vec::Vec;

fn sample() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.begin("");
    writer.property_u32("#address-cells", 1);
    writer.begin("bus@10");
    writer.property_cells("ranges", &[0, 0x1000, 0x100, 0x200, 0x2000, 0x80]);
    writer.property_u32("phandle", 7);
    writer.begin("device@20");
    writer.property_cells("reg", &[0x20, 0x10]);
    writer.property_texts("compatible", &["one", "two"]);
    writer.end();
    writer.begin("device@30");
    writer.property_text("status", "disabled");
    writer.end();
    writer.end();
    writer.begin("other");
    writer.property_u64("wide", 1 << 40);
    writer.finish()
}

fn set_word(blob: &mut [u8], at: usize, word: u32) {
    blob[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

fn fault_of(blob: &[u8]) -> Fault {
    Fdt::open(blob).expect_err("must be refused").fault
}

/// Offset of the structure block of a blob without reservations.
const STRUCTURE_AT: usize = 56;

#[test]
fn nodes_and_properties_are_found_by_path_and_phandle() {
    let blob = sample();
    let fdt = Fdt::open(&blob).unwrap();
    let device = fdt.find("/bus/device@20").unwrap();
    assert_eq!((device.name(), device.unit_address()), ("device@20", Some("20")));
    assert!(device.is_compatible("two") && !device.is_compatible("tw") && device.is_enabled());
    assert_eq!(fdt.find_phandle(7).unwrap().name(), "bus@10");
    assert!(fdt.find_phandle(8).is_none());
    assert!(!fdt.find("/bus@10/device@30").unwrap().is_enabled());
    assert_eq!(fdt.find("/other").unwrap().property("wide").unwrap().u32_or_u64(), Some(1 << 40));
    let walked: Vec<_> = fdt.walk().map(|(depth, node)| (depth, node.name())).collect();
    assert_eq!(walked, [(0, ""), (1, "bus@10"), (2, "device@20"), (2, "device@30"), (1, "other")]);
    assert_eq!(fdt.root().children().count(), 2);
}

#[test]
fn a_trail_knows_path_cells_and_translation() {
    let blob = sample();
    let fdt = Fdt::open(&blob).unwrap();
    let device = fdt.find("/bus/device@20").unwrap();
    let trail = Trail::of(&device).unwrap();
    assert_eq!(trail.path(), "/bus@10/device@20");
    // The bus says nothing of its own, so the root's address cells are seen, and the default for sizes.
    assert_eq!(trail.cells(), Cells { address: 1, size: 1 });
    assert_eq!(trail.translate(0x20, 0x10), Some(0x1020));
    assert_eq!(trail.translate(0x210, 0x10), Some(0x2010));
    assert_eq!(trail.translate(0xf8, 0x10), None);
    assert_eq!(trail.translate(0x100, 1), None);
    assert_eq!(trail.translate(u64::MAX, 2), None);
    assert_eq!(Trail::of(&fdt.root()).unwrap().path(), "/");
}

#[test]
fn reg_is_read_by_the_cells_that_are_given() {
    let property = Property { name: b"reg", value: &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3] };
    let entries =
        |address, size| property.reg(Cells { address, size }).map(|entries| entries.collect::<Vec<_>>());
    assert_eq!(entries(1, 0), Some(vec![(1, 0), (2, 0), (3, 0)]));
    assert_eq!(entries(2, 1), Some(vec![(1 << 32 | 2, 3)]));
    assert_eq!(entries(1, 2), Some(vec![(1, 2 << 32 | 3)]));
    assert_eq!(entries(1, 1), None);
    assert_eq!(entries(3, 0), None);
    assert_eq!(entries(0, 1), None);
}

#[test]
fn texts_end_with_their_one_nul() {
    let text = |value| Property { name: b"x", value }.text();
    assert_eq!(text(b"abc\0"), Some("abc"));
    assert_eq!(text(b"abc"), None);
    assert_eq!(text(b"abc\0def\0"), None);
    assert_eq!(text(b"\xff\0"), None);
    assert_eq!(text(b""), None);
}

#[test]
fn a_header_that_lies_is_refused() {
    let good = sample();
    let with = |at, word| {
        let mut blob = good.clone();
        set_word(&mut blob, at, word);
        fault_of(&blob)
    };
    let rows = [
        (0, 0xedfe_0dd0, Fault::Magic(0xedfe_0dd0)),
        (4, 0x20_0001, Fault::TooLarge),
        (4, u32::MAX, Fault::TooLarge),
        (4, good.len() as u32 + 1, Fault::Truncated),
        (20, 16, Fault::Version(16)),
        (24, 18, Fault::Version(17)),
        (8, STRUCTURE_AT as u32 + 2, Fault::Block),
        (8, 4, Fault::Block),
        (8, !3, Fault::Block),
        (12, u32::MAX, Fault::Block),
        (16, 44, Fault::Block),
        (32, u32::MAX, Fault::Block),
        (36, u32::MAX, Fault::Block),
        (36, 8, Fault::MissingEnd),
    ];
    for (at, word, fault) in rows {
        assert_eq!(with(at, word), fault, "word {word:#x} at {at}");
    }
    assert_eq!(fault_of(&good[..39]), Fault::Truncated);
    assert_eq!(fault_of(&[]), Fault::Truncated);
}

#[test]
fn a_reservation_block_without_end_is_refused() {
    let mut blob = sample();
    let total = blob.len() as u32;
    // Sixteen bytes that are not zero are all that is left.
    blob.extend([1; 16]);
    let at = (total + 7) & !7;
    blob.resize(at as usize + 24, 1);
    set_word(&mut blob, 4, at + 24);
    set_word(&mut blob, 16, at);
    assert_eq!(fault_of(&blob), Fault::Reservations);
    let mut writer = Writer::new();
    (0..=MOST_RESERVATIONS).for_each(|_| writer.reserve(1, 1));
    writer.begin("");
    assert_eq!(fault_of(&writer.finish()), Fault::Reservations);
}

#[test]
fn tokens_out_of_order_are_refused() {
    let good = sample();
    let with = |at: usize, word| {
        let mut blob = good.clone();
        set_word(&mut blob, STRUCTURE_AT + at, word);
        fault_of(&blob)
    };
    assert_eq!(with(0, 5), Fault::UnknownToken(5));
    assert_eq!(with(0, 3), Fault::StrayProperty);
    assert_eq!(with(0, 2), Fault::NoRoot);
    assert_eq!(with(0, 9), Fault::NoRoot);
    assert_eq!(with(4, 0x6100_0000), Fault::NoRoot);
    // The root's property: its length, then where its name is.
    assert_eq!(with(12, u32::MAX), Fault::PropertyTooLong);
    assert_eq!(with(16, u32::MAX), Fault::NameNotTerminated);
    // The first child's name.
    assert_eq!(with(28, 0x0100_0000), Fault::Name);
    assert_eq!(with(28, 0), Fault::Name);
}

#[test]
fn a_property_behind_a_child_is_refused() {
    let mut writer = Writer::new();
    writer.begin("");
    writer.begin("child");
    writer.end();
    writer.property_empty("late");
    assert_eq!(fault_of(&writer.finish()), Fault::StrayProperty);
}

#[test]
fn a_second_root_is_refused() {
    let mut writer = Writer::new();
    writer.begin("");
    writer.end();
    writer.begin("");
    assert_eq!(fault_of(&writer.finish()), Fault::SecondRoot);
    assert_eq!(fault_of(&Writer::new().finish()), Fault::NoRoot);
}

#[test]
fn depth_and_number_of_nodes_are_limited() {
    let nested = |depth| {
        let mut writer = Writer::new();
        writer.begin("");
        (1..depth).for_each(|_| writer.begin("n"));
        writer.finish()
    };
    let blob = nested(DEEPEST_NODE);
    let fdt = Fdt::open(&blob).unwrap();
    let (_, deepest) = fdt.walk().last().unwrap();
    assert_eq!(Trail::of(&deepest).unwrap().path().len(), 2 * (DEEPEST_NODE - 1));
    assert_eq!(fault_of(&nested(DEEPEST_NODE + 1)), Fault::TooDeep);
    let wide = |count| {
        let mut writer = Writer::new();
        writer.begin("");
        for _ in 1..count {
            writer.begin("n");
            writer.end();
        }
        writer.finish()
    };
    assert!(Fdt::open(&wide(MOST_NODES)).is_ok());
    assert_eq!(fault_of(&wide(MOST_NODES + 1)), Fault::TooManyNodes);
}

#[test]
fn nops_are_skipped_and_bytes_behind_the_end_ignored() {
    let mut blob = sample();
    // The root's one property becomes four NOPs.
    (8..24).step_by(4).for_each(|at| set_word(&mut blob, STRUCTURE_AT + at, 4));
    blob.extend([0xee; 100]);
    let fdt = Fdt::open(&blob).unwrap();
    assert_eq!(fdt.root().properties().count(), 0);
    assert_eq!(fdt.root().children().count(), 2);
}

#[test]
fn an_error_tells_its_place() {
    let mut blob = sample();
    set_word(&mut blob, STRUCTURE_AT, 5);
    let error = Fdt::open(&blob).unwrap_err();
    assert_eq!(error, FdtError { at: STRUCTURE_AT, fault: Fault::UnknownToken(5) });
    assert_eq!(alloc::format!("{error}"), "byte 0x38: unknown token 0x5");
}

#[test]
fn the_size_in_a_header_is_believed_only_if_it_can_be_read() {
    let blob = sample();
    let mut header: [u8; 8] = *blob.first_chunk().unwrap();
    assert_eq!(Fdt::size_from_header(&header), Some(blob.len()));
    header[4..].copy_from_slice(&0x20_0001_u32.to_be_bytes());
    assert_eq!(Fdt::size_from_header(&header), None);
    assert_eq!(Fdt::size_from_header(&[0; 8]), None);
}

#[test]
fn a_name_is_stored_once() {
    let mut writer = Writer::new();
    writer.begin("");
    (0..50).for_each(|_| writer.property_empty("the-same-name"));
    let blob = writer.finish();
    assert_eq!(blob.windows(13).filter(|window| *window == b"the-same-name").count(), 1);
    assert_eq!(Fdt::open(&blob).unwrap().root().properties().count(), 50);
}
