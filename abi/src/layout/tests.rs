//! What the macros make of a structure that has everything, and of numbers.
#![expect(unreachable_pub, reason = "the macros declare public items, here for the tests alone")]

use super::*;
use proptest::prelude::*;

layout! {
    /// Has everything that a structure can have, and padding in front of most of it.
    pub struct Sample: "struct sample", 64 {
        /// One byte.
        0 => pub small: u8,
        /// Behind padding.
        4 => pub signed: i32,
        /// An array of odd size.
        8 => pub bytes: [u8; 3],
        /// Another name in C.
        16 => pub handle as "type": Handle<u64>,
        /// A structure's arrays.
        24 => pub inner: [Inner; 2],
        /// Not at the end.
        56 => pub last: u16,
    }

    /// Lies in [`Sample`].
    pub struct Inner: "struct inner", 16, Arm64 {
        /// First.
        0 => pub first: u64,
        /// Last.
        8 => pub last: i16,
    }
}

constants! {
    /// A number.
    pub NUMBER as "number": i16 = -2, X86;
    /// Another.
    pub OTHER: u64 = 1 << 63;
}

/// Which bytes of a `Sample` belong to a field.
fn used(index: usize) -> bool {
    matches!(index, 0 | 4..=10 | 16..=33 | 40..=49 | 56..=57)
}

proptest! {
    #[test]
    fn bytes_become_the_same_bytes_with_padding_zero(bytes: [u8; 64]) {
        let back = Sample::from_bytes(&bytes).to_bytes();
        for (index, (before, after)) in bytes.into_iter().zip(back).enumerate() {
            prop_assert_eq!(after, if used(index) { before } else { 0 }, "byte {}", index);
        }
    }

    #[test]
    fn a_value_becomes_the_same_value(bytes: [u8; 64]) {
        let value = Sample::from_bytes(&bytes);
        prop_assert_eq!(Sample::from_bytes(&value.to_bytes()), value);
    }

    #[test]
    fn a_field_that_a_slice_has_not_whole_is_zero(bytes: [u8; 64], length in 0usize..=64) {
        let value = Sample::load(&bytes[..length]);
        let whole = Sample::from_bytes(&bytes);
        prop_assert_eq!(value.last, if length < 58 { 0 } else { whole.last });
        prop_assert_eq!(value.signed, if length < 8 { 0 } else { whole.signed });
    }

    #[test]
    fn an_element_is_where_an_array_has_it(address: u64, index: u64) {
        let exact = u128::from(address) + u128::from(index) * 16;
        let element = Handle::<Inner>::new(address).element(index);
        prop_assert_eq!(element.map(|handle| u128::from(handle.address())), (exact < 1 << 64).then_some(exact));
    }
}

#[test]
fn fields_are_little_endian_at_their_offsets() {
    let value = Sample { small: 1, signed: -2, last: 0x1234, ..Sample::default() };
    let bytes = value.to_bytes();
    assert_eq!(bytes[..8], [1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(bytes[56..58], [0x34, 0x12]);
}

#[test]
fn tables_say_what_was_declared() {
    assert_eq!((Sample::SIZE, Inner::SIZE, Handle::<Sample>::SIZE), (64, 16, 8));
    assert_eq!(STRUCTURES.len(), 2);
    assert_eq!((STRUCTURES[0].name, STRUCTURES[0].view), ("struct sample", View::Both));
    assert_eq!(STRUCTURES[1].view, View::Arm64);
    let field = STRUCTURES[0].fields[3];
    assert_eq!((field.name, field.offset, field.size), ("type", 16, 8));
    let signed: u32 = STRUCTURES[0].fields.iter().map(|field| u32::from(field.signed)).sum();
    assert_eq!((signed, STRUCTURES[0].fields[1].signed), (1, true));
    assert_eq!(STRUCTURES[0].fields[4].size, 32);
    assert_eq!((CONSTANTS[0].name, CONSTANTS[0].view), ("number", View::X86));
    assert_eq!((i128::from(CONSTANTS[0].value), CONSTANTS[1].name), (-2, "OTHER"));
    assert_eq!((i128::from(NUMBER), i128::from(OTHER)), (-2, 1 << 63));
}

#[test]
fn fields_that_overlap_or_leave_their_structure_are_not_sound() {
    const fn field(offset: usize, size: usize) -> FieldEntry {
        FieldEntry { name: "", offset, size, signed: false }
    }
    const fn with(fields: &'static [FieldEntry]) -> Structure {
        Structure { name: "", size: 8, view: View::Both, fields }
    }
    const FIRST: FieldEntry = field(0, 4);
    assert!(with(&[FIRST, const { field(4, 4) }]).is_sound());
    assert!(!with(&[FIRST, const { field(3, 4) }]).is_sound());
    assert!(!with(&[FIRST, const { field(4, 5) }]).is_sound());
    assert!(!with(&[FIRST, const { field(usize::MAX, 2) }]).is_sound());
}

#[test]
fn a_null_handle_is_known_and_a_cast_keeps_the_address() {
    assert!(Handle::<u32>::default().is_null());
    let handle = Handle::<u32>::new(0x1000);
    assert!(!handle.is_null());
    assert_eq!(handle.cast::<u8>().address(), 0x1000);
    assert_eq!(Handle::<u32>::extent(3), Some(12));
    assert_eq!(Handle::<u32>::extent(u64::MAX), None);
}
