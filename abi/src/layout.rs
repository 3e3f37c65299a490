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
mod tests;
