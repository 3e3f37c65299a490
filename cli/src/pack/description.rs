//! A system as its owner describes it: the shapes of `SYSTEM.toml`.
//!
//! Every value that a complaint may have to point at knows where it stands in the text ([`Spanned`]). A key that is
//! not known is an error with its place. An ImageBuilder configuration becomes the same shapes (see `image_builder`).

use std::fmt;
use std::path::PathBuf;

use plan::fdt::Node;
use plan::{BLOCK_2_MIB, Range};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
pub(crate) use toml::Spanned;

/// The whole system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Description {
    pub(crate) board: Spanned<Board>,
    pub(crate) hypervisor: Hypervisor,
    pub(crate) u_boot: Option<Loader>,
    pub(crate) dom0: Option<Spanned<Dom0>>,
    #[serde(default, rename = "domain")]
    pub(crate) domains: Vec<Domain>,
    #[serde(default, rename = "channel")]
    pub(crate) channels: Vec<Channel>,
    #[serde(default, rename = "shared-memory")]
    pub(crate) shared: Vec<Shared>,
    #[serde(default, rename = "pool")]
    pub(crate) pools: Vec<Pool>,
}

/// The board: a machine that QEMU plays, or a device tree.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Board {
    /// `qemu-virt`.
    pub(crate) machine: Option<Spanned<String>>,
    /// QEMU's name for its processors.
    pub(crate) cpu: Option<Spanned<String>>,
    pub(crate) cpus: Option<Spanned<u32>>,
    pub(crate) memory: Option<Spanned<Size>>,
    /// The version of its interrupt controller.
    pub(crate) gic: Option<Spanned<u32>>,
    /// A `.dtb` or `.dts`.
    pub(crate) tree: Option<Spanned<PathBuf>>,
    /// Words for QEMU: for a machine behind its own, for a tree all that make QEMU play that board.
    pub(crate) qemu: Option<Spanned<Vec<String>>>,
    /// Where files may be loaded; anywhere in RAM if nothing is said.
    pub(crate) load_window: Option<Spanned<Window>>,
}

/// A range whose place the owner states.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    pub(crate) at: u64,
    pub(crate) size: Size,
}

/// What the boot loader is told.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Loader {
    /// The command that loads a file, before address and name.
    pub(crate) load: Option<Spanned<String>>,
}

/// The hypervisor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Hypervisor {
    pub(crate) image: Spanned<PathBuf>,
    pub(crate) command_line: Option<Spanned<String>>,
    /// A static heap: its size, or its places.
    pub(crate) heap: Option<Spanned<Memory>>,
}

/// dom0.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Dom0 {
    pub(crate) kernel: Spanned<PathBuf>,
    pub(crate) ramdisk: Option<Spanned<PathBuf>>,
    pub(crate) command_line: Option<Spanned<String>>,
    pub(crate) memory: Option<Spanned<Size>>,
    pub(crate) cpus: Option<Spanned<u32>>,
    pub(crate) weight: Option<Spanned<u32>>,
    pub(crate) cap: Option<Spanned<u32>>,
}

/// A domain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Domain {
    pub(crate) name: Spanned<String>,
    pub(crate) kernel: Spanned<PathBuf>,
    pub(crate) ramdisk: Option<Spanned<PathBuf>>,
    pub(crate) command_line: Option<Spanned<String>>,
    pub(crate) memory: Spanned<Size>,
    pub(crate) cpus: Spanned<u32>,
    /// Host memory that is its own: `"auto"`, or ranges.
    #[serde(rename = "static")]
    pub(crate) fixed: Option<Spanned<Memory>>,
    pub(crate) direct_map: Option<Spanned<bool>>,
    pub(crate) vpl011: Option<Spanned<bool>>,
    pub(crate) enhanced: Option<Spanned<Enhanced>>,
    /// Shared interrupts of its interrupt controller.
    pub(crate) interrupts: Option<Spanned<u32>>,
    /// Nodes of the board whose devices it drives.
    pub(crate) devices: Option<Spanned<Vec<Spanned<String>>>>,
    /// A partial device tree of the owner's, in place of one made of the board's nodes.
    pub(crate) device_tree: Option<Spanned<PathBuf>>,
    /// Memory for its page tables.
    pub(crate) page_tables: Option<Spanned<Size>>,
    pub(crate) pool: Option<Spanned<String>>,
    /// Its share of processors that are asked for by several.
    pub(crate) weight: Option<Spanned<u32>>,
    /// The most that it gets, in hundredths of a processor.
    pub(crate) cap: Option<Spanned<u32>>,
}

/// A static event channel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Channel {
    pub(crate) name: Spanned<String>,
    pub(crate) ends: Spanned<Vec<Spanned<String>>>,
    /// The ports, in the order of the ends.
    pub(crate) ports: Option<Spanned<Vec<u32>>>,
}

/// Memory that domains share.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Shared {
    pub(crate) name: Spanned<String>,
    pub(crate) size: Spanned<Size>,
    /// Where it lies in the host.
    pub(crate) host_at: Option<Spanned<u64>>,
    /// Where its users see it.
    pub(crate) guest_at: Option<Spanned<u64>>,
    pub(crate) owner: Option<Spanned<String>>,
    pub(crate) borrowers: Spanned<Vec<Spanned<String>>>,
}

/// A pool of processors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pool {
    pub(crate) name: Spanned<String>,
    pub(crate) cpus: Spanned<Vec<Processor>>,
    pub(crate) scheduler: Option<Spanned<String>>,
}

/// A processor of the board.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a processor's position in the board's tree, from 0, or its node's name in quotes"
)]
pub(crate) enum Processor {
    /// Its position in the board's tree, from 0.
    Place(usize),
    /// The name of its node.
    Name(String),
}

impl Processor {
    /// Its position among the board's processors.
    pub(crate) fn place(&self, processors: &[Node<'_>]) -> Option<usize> {
        match self {
            Self::Place(place) => Some(*place).filter(|place| *place < processors.len()),
            Self::Name(name) => processors.iter().position(|node| node.name() == name),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => write!(out, "{place}"),
            Self::Name(name) => write!(out, "{name:?}"),
        }
    }
}

/// A number of bytes, written with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    /// `64K`, `2M`, `1G`, also with `iB` behind.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bare = text.trim().trim_end_matches("iB");
        let digits = bare.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let shift = match bare.get(digits.len()..) {
            Some("K") => 10,
            Some("M") => 20,
            Some("G") => 30,
            _ => return Err(format!("{text:?} is no size: write a number with K, M or G, as in \"256M\"")),
        };
        let number: u64 =
            digits.trim_end().parse().map_err(|_| format!("{text:?} is no size: {digits:?} is no number"))?;
        match number.checked_mul(1 << shift) {
            Some(0) => Err(format!("{text:?} is nothing")),
            Some(bytes) => Ok(Self(bytes)),
            None => Err(format!("{text:?} is more than 64 bits hold")),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Size;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a size in quotes, with K, M or G, as in \"256M\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).map_err(E::custom)
            }
        }
        from.deserialize_str(Reader)
    }
}

/// A piece of host memory; where nothing is said, its place is chosen.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Piece {
    pub(crate) at: Option<u64>,
    pub(crate) size: Size,
}

/// Host memory that is fixed before boot.
#[derive(Clone, Debug)]
pub(crate) enum Memory {
    /// As much as the owner of it has, placed by us.
    Auto,
    /// So much, placed by us.
    Bytes(Size),
    /// These pieces.
    Pieces(Vec<Piece>),
}

impl Memory {
    /// Its pieces, where `whole` is the size of all of it if none is stated.
    pub(crate) fn pieces(&self, whole: u64) -> Vec<Piece> {
        match self {
            Self::Auto => vec![Piece { at: None, size: Size(whole) }],
            Self::Bytes(size) => vec![Piece { at: None, size: *size }],
            Self::Pieces(pieces) => pieces.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Memory;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("\"auto\", a size, or a list of { at = 0x..., size = \"...\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Memory, E> {
                if text == "auto" {
                    return Ok(Memory::Auto);
                }
                Size::parse(text).map(Memory::Bytes).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Memory, A::Error> {
                let mut pieces = Vec::new();
                while let Some(piece) = list.next_element()? {
                    pieces.push(piece);
                }
                if pieces.is_empty() {
                    Err(de::Error::custom("the list is empty"))
                } else {
                    Ok(Memory::Pieces(pieces))
                }
            }
        }
        from.deserialize_any(Reader)
    }
}

/// Which PV interfaces a domain has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enhanced {
    /// None.
    No,
    /// Events, grants and xenstore, which dom0 serves.
    Yes,
    /// Events and grants.
    NoXenstore,
}

impl<'de> Deserialize<'de> for Enhanced {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Enhanced;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("true, false or \"no-xenstore\"")
            }
            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Enhanced, E> {
                Ok(if yes { Enhanced::Yes } else { Enhanced::No })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Enhanced, E> {
                match text {
                    "no-xenstore" => Ok(Enhanced::NoXenstore),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        from.deserialize_any(Reader)
    }
}

impl Window {
    /// As a range; `None` if it is none.
    pub(crate) fn range(&self) -> Option<Range> {
        Range::new(self.at, self.size.0)
    }
}

impl Domain {
    /// Whether it has a UART: yes if nothing is said.
    pub(crate) fn has_uart(&self) -> bool {
        self.vpl011.as_ref().is_none_or(|word| *word.get_ref())
    }

    /// Whether guest addresses are host addresses.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct_map.as_ref().is_some_and(|word| *word.get_ref())
    }

    /// Its PV interfaces.
    pub(crate) fn interfaces(&self) -> Enhanced {
        self.enhanced.as_ref().map_or(Enhanced::No, |word| *word.get_ref())
    }
}

/// The alignment that lets `bytes` be mapped by large blocks, if that is possible at all.
pub(crate) const fn alignment(bytes: u64) -> u64 {
    if bytes.is_multiple_of(BLOCK_2_MIB) { BLOCK_2_MIB } else { plan::FRAME_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_and_is_not_nothing() {
        assert_eq!(Size::parse("64K"), Ok(Size(64 << 10)));
        assert_eq!(Size::parse("256 MiB"), Ok(Size(256 << 20)));
        assert_eq!(Size::parse("2G"), Ok(Size(2 << 30)));
        for wrong in ["256", "M", "256m", "1T", "0M", "-1M", "99999999999999G", "1.5G", ""] {
            assert!(Size::parse(wrong).is_err(), "{wrong}");
        }
    }
}
