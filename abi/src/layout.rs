//! How a structure of Xen's interface lies in a guest's memory, said once and proven elsewhere.
//!
//! `layout!` declares structures with the offset of each field, as the C compiler of Debian's headers sees them. It makes
//! of each a plain Rust structure, which is never laid over bytes: [`Layout::from_bytes`] and [`Layout::to_bytes`] copy
//! field by field, little-endian. So alignment does not matter, every pattern of bytes is a value, and padding that goes
//! to a guest is zero. Offsets and sizes are constants: all bounds are decided while compiling, loads and stores are left.
//!
//! `constants!` declares numbers in the same way. Both also make a table of what they declare. The hypervisor does not
//! use the tables; `tests/headers.rs` makes C of them and asks two compilers whether the headers agree.

use core::fmt;
use core::marker::PhantomData;

/// Something that can be a field: its bytes are read from and written to the front of a slice.
///
/// A slice that is too short reads as zero and is not written to. Where `layout!` does it, its own check
/// ([`Structure::is_sound`]) has excluded that.
pub trait Field: Sized {
    /// Number of bytes.
    const LENGTH: usize;
    /// Whether it is an integer with a sign.
    const SIGNED: bool = false;

    /// The value that the first bytes are.
    fn load(bytes: &[u8]) -> Self;

    /// Writes the value over the first bytes.
    fn store(&self, bytes: &mut [u8]);
}

/// Something that lies in a guest's memory for itself, or in an array there.
pub trait Layout: Field + Copy {
    /// Number of bytes.
    const SIZE: usize = Self::LENGTH;
    /// An array of as many bytes.
    type Bytes: AsRef<[u8]> + AsMut<[u8]> + Copy;

    /// Room for the bytes, all zero.
    fn zeroed() -> Self::Bytes;

    /// The value that these bytes are. Each pattern of bytes is one.
    #[inline(always)]
    fn from_bytes(bytes: &Self::Bytes) -> Self {
        Self::load(bytes.as_ref())
    }

    /// The bytes of the value. Those that belong to no field are zero.
    #[inline(always)]
    fn to_bytes(&self) -> Self::Bytes {
        let mut bytes = Self::zeroed();
        self.store(bytes.as_mut());
        bytes
    }
}

macro_rules! integers {
    ($($type:ident)*) => { $(
        impl Field for $type {
            const LENGTH: usize = size_of::<$type>();
            const SIGNED: bool = <$type>::MIN != 0;

            #[inline(always)]
            fn load(bytes: &[u8]) -> Self {
                bytes.first_chunk().map_or(0, |bytes| <$type>::from_le_bytes(*bytes))
            }

            #[inline(always)]
            fn store(&self, bytes: &mut [u8]) {
                if let Some(bytes) = bytes.first_chunk_mut() {
                    *bytes = self.to_le_bytes();
                }
            }
        }

        impl Layout for $type {
            type Bytes = [u8; size_of::<$type>()];

            #[inline(always)]
            fn zeroed() -> Self::Bytes {
                [0; size_of::<$type>()]
            }
        }
    )* };
}

integers! { u8 u16 u32 u64 i8 i16 i32 i64 }

impl<T: Field, const N: usize> Field for [T; N] {
    const LENGTH: usize = N.saturating_mul(T::LENGTH);

    #[inline(always)]
    fn load(bytes: &[u8]) -> Self {
        core::array::from_fn(|index| T::load(bytes.get(index.wrapping_mul(T::LENGTH)..).unwrap_or(&[])))
    }

    #[inline(always)]
    fn store(&self, bytes: &mut [u8]) {
        for (item, bytes) in self.iter().zip(bytes.chunks_mut(T::LENGTH.max(1))) {
            item.store(bytes);
        }
    }
}

/// `XEN_GUEST_HANDLE(T)`: a guest's allegation that it has a `T`, or an array of them, at a virtual address of its own.
///
/// Nothing is known of the address. It is followed only by what copies from and to guests.
pub struct Handle<T> {
    address: u64,
    marker: PhantomData<fn() -> T>,
}

impl<T> Handle<T> {
    /// The allegation that a `T` is at `address`.
    #[must_use]
    pub const fn new(address: u64) -> Self {
        Self { address, marker: PhantomData }
    }

    /// The guest-virtual address.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.address
    }

    /// Whether it is the null pointer, by which many operations mean "none".
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.address == 0
    }

    /// The same address, said to be that of something else.
    #[must_use]
    pub const fn cast<U>(self) -> Handle<U> {
        Handle::new(self.address)
    }
}

impl<T: Layout> Handle<T> {
    /// The handle of the array's element `index`. None where that would begin beyond the end of all addresses.
    #[must_use]
    #[inline]
    pub fn element(self, index: u64) -> Option<Self> {
        let distance = index.checked_mul(u64::try_from(T::SIZE).ok()?)?;
        self.address.checked_add(distance).map(Self::new)
    }

    /// Number of bytes of `count` elements. None if no number can say it.
    #[must_use]
    #[inline]
    pub fn extent(count: u64) -> Option<u64> {
        count.checked_mul(u64::try_from(T::SIZE).ok()?)
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

impl<T> Default for Handle<T> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for Handle<T> {}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Handle({:#x})", self.address)
    }
}

impl<T> Field for Handle<T> {
    const LENGTH: usize = 8;

    #[inline(always)]
    fn load(bytes: &[u8]) -> Self {
        Self::new(u64::load(bytes))
    }

    #[inline(always)]
    fn store(&self, bytes: &mut [u8]) {
        self.address.store(bytes);
    }
}

impl<T> Layout for Handle<T> {
    type Bytes = [u8; 8];

    #[inline(always)]
    fn zeroed() -> Self::Bytes {
        [0; 8]
    }
}

/// For which architecture an item of the tables is as the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// For both.
    Both,
    /// For 64-bit Arm alone.
    Arm64,
    /// For 64-bit x86 alone.
    X86,
}

/// A field, as the table of `layout!` has it.
#[derive(Clone, Copy, Debug)]
pub struct FieldEntry {
    /// C's name, which can reach into structures. Empty where C has bit fields, of which `offsetof` knows nothing, or a
    /// field for each element of what is an array here.
    pub name: &'static str,
    /// Distance from the structure's begin in bytes.
    pub offset: usize,
    /// Number of bytes.
    pub size: usize,
    /// Whether it is an integer with a sign.
    pub signed: bool,
}

/// A structure, as the table of `layout!` has it.
#[derive(Clone, Copy, Debug)]
pub struct Structure {
    /// C's name of the type.
    pub name: &'static str,
    /// Number of bytes.
    pub size: usize,
    /// Where it is so.
    pub view: View,
    /// Its fields by ascending offset.
    pub fields: &'static [FieldEntry],
}

impl Structure {
    /// Whether the fields ascend, do not overlap and lie inside. `layout!` lets no other structure be compiled.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        let mut fields = self.fields;
        let mut end = 0;
        while let [field, rest @ ..] = fields {
            if field.offset < end {
                return false;
            }
            end = field.offset.saturating_add(field.size);
            fields = rest;
        }
        end <= self.size
    }
}

/// A number, as the table of `constants!` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of 8 bits.
    U8(u8),
    /// Of 16 bits.
    U16(u16),
    /// Of 32 bits.
    U32(u32),
    /// Of 64 bits.
    U64(u64),
    /// Of 16 bits with a sign.
    I16(i16),
    /// Of 32 bits with a sign.
    I32(i32),
    /// An offset or a size.
    Usize(usize),
}

impl From<Value> for i128 {
    fn from(value: Value) -> Self {
        match value {
            Value::U8(value) => value.into(),
            Value::U16(value) => value.into(),
            Value::U32(value) => value.into(),
            Value::U64(value) => value.into(),
            Value::I16(value) => value.into(),
            Value::I32(value) => value.into(),
            Value::Usize(value) => i128::try_from(value).unwrap_or(i128::MAX),
        }
    }
}

/// A constant, as the table of `constants!` has it.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// C's name, or an expression of C that has the value.
    pub name: &'static str,
    /// The value.
    pub value: Value,
    /// Where it is so.
    pub view: View,
}

/// Declares structures, each `pub struct Name: "C's type", size[, View] { offset => pub field[ as "C's field"]: type, }`,
/// and `STRUCTURES`, the table of them. Used once in a module.
macro_rules! layout {
    ($(
        $(#[$about:meta])*
        pub struct $name:ident: $c:literal, $size:literal $(, $view:ident)? {
            $( $(#[$note:meta])* $offset:literal => pub $field:ident $(as $alias:literal)?: $type:ty, )*
        }
    )*) => {
        /// The table of this module's structures.
        pub const STRUCTURES: &[$crate::layout::Structure] = &[$($crate::layout::Structure {
            name: $c,
            size: $size,
            view: $crate::layout::one_of!($($crate::layout::View::$view,)? $crate::layout::View::Both),
            fields: &[$($crate::layout::FieldEntry {
                name: $crate::layout::one_of!($($alias,)? stringify!($field)),
                offset: $offset,
                size: <$type as $crate::layout::Field>::LENGTH,
                signed: <$type as $crate::layout::Field>::SIGNED,
            }),*],
        }),*];

        const _: () = {
            let mut structures = STRUCTURES;
            while let [structure, rest @ ..] = structures {
                assert!(structure.is_sound(), "fields overlap, are out of order, or lie outside");
                structures = rest;
            }
        };

        $(
            $(#[$about])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name {
                $( $(#[$note])* pub $field: $type, )*
            }

            impl $crate::layout::Field for $name {
                const LENGTH: usize = $size;

                #[inline(always)]
                fn load(bytes: &[u8]) -> Self {
                    Self { $(
                        $field: $crate::layout::Field::load(bytes.get($offset..).unwrap_or(&[])),
                    )* }
                }

                #[inline(always)]
                fn store(&self, bytes: &mut [u8]) {
                    $(
                        $crate::layout::Field::store(
                            &self.$field,
                            bytes.get_mut($offset..).unwrap_or(&mut []),
                        );
                    )*
                }
            }

            impl $crate::layout::Layout for $name {
                type Bytes = [u8; $size];

                #[inline(always)]
                fn zeroed() -> Self::Bytes {
                    [0; $size]
                }
            }

            impl Default for $name {
                /// All fields zero.
                #[inline]
                fn default() -> Self {
                    <Self as $crate::layout::Layout>::from_bytes(&[0; $size])
                }
            }
        )*
    };
}

/// Declares constants, each `pub NAME[ as "C's name"]: type = value[, View];`, and `CONSTANTS`, the table of them. Used
/// once in a module.
macro_rules! constants {
    ($( $(#[$about:meta])* pub $name:ident $(as $alias:literal)?: $type:ident = $value:expr $(, $view:ident)?; )*) => {
        $( $(#[$about])* pub const $name: $type = $value; )*

        /// The table of this module's constants.
        pub const CONSTANTS: &[$crate::layout::Constant] = &[$($crate::layout::Constant {
            name: $crate::layout::one_of!($($alias,)? stringify!($name)),
            value: $crate::layout::value!($type $name),
            view: $crate::layout::one_of!($($crate::layout::View::$view,)? $crate::layout::View::Both),
        }),*];
    };
}

/// The first of one or two expressions: what was given, else the default.
macro_rules! one_of {
    ($first:expr) => {
        $first
    };
    ($first:expr, $second:expr) => {
        $first
    };
}

/// A constant as [`Value`].
macro_rules! value {
    (u8 $value:expr) => {
        $crate::layout::Value::U8($value)
    };
    (u16 $value:expr) => {
        $crate::layout::Value::U16($value)
    };
    (u32 $value:expr) => {
        $crate::layout::Value::U32($value)
    };
    (u64 $value:expr) => {
        $crate::layout::Value::U64($value)
    };
    (i16 $value:expr) => {
        $crate::layout::Value::I16($value)
    };
    (i32 $value:expr) => {
        $crate::layout::Value::I32($value)
    };
    (usize $value:expr) => {
        $crate::layout::Value::Usize($value)
    };
}

pub(crate) use {constants, layout, one_of, value};

#[cfg(test)]
mod tests {
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
}
