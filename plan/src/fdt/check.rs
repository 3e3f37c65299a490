//! The one pass that makes a blob trustworthy in shape.

use core::fmt;

use super::{
    DEEPEST_NODE, Fdt, LARGEST_TREE_BYTES, LONGEST_NAME_BYTES, MOST_NODES, MOST_RESERVATIONS, Token, Tokens,
    big_endian_u32, bytes_to_nul, index,
};

const MAGIC: u32 = 0xd00d_feed;
const HEADER_BYTES: usize = 40;
/// The version whose format is read; the header's range of versions must include it.
const VERSION: u32 = 17;

/// Why a blob is not a device tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdtError {
    /// Byte offset in the blob.
    pub at: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What can be wrong with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Fewer bytes than a header has, or than the header promises.
    Truncated,
    /// `totalsize` is above [`LARGEST_TREE_BYTES`].
    TooLarge,
    /// The magic number is another one.
    Magic(u32),
    /// The versions in the header do not include 17.
    Version(u32),
    /// A block lies outside the blob or at an odd offset.
    Block,
    /// The memory reservation block does not end, or has too many entries.
    Reservations,
    /// A token that does not exist.
    UnknownToken(u32),
    /// The tree does not begin with its root node.
    NoRoot,
    /// A second node beside the root.
    SecondRoot,
    /// A property outside every node, or behind a child node.
    StrayProperty,
    /// A property's value reaches beyond the structure block.
    PropertyTooLong,
    /// A name without its NUL.
    NameNotTerminated,
    /// A name that is empty, too long, or has bytes that no name may have.
    Name,
    /// Nodes are nested deeper than [`DEEPEST_NODE`].
    TooDeep,
    /// More than [`MOST_NODES`] nodes.
    TooManyNodes,
    /// The structure block ends inside a node or without its end token.
    MissingEnd,
}

impl fmt::Display for FdtError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "byte {:#x}: ", self.at)?;
        match self.fault {
            Fault::Truncated => write!(out, "the blob ends before its header says so"),
            Fault::TooLarge => write!(out, "the header states more than {LARGEST_TREE_BYTES} bytes"),
            Fault::Magic(found) => write!(out, "the magic number is {found:#010x}, not {MAGIC:#010x}"),
            Fault::Version(found) => write!(out, "version {found} cannot be read, {VERSION} can"),
            Fault::Block => write!(out, "the header places a block outside the blob or out of line"),
            Fault::Reservations => write!(out, "the memory reservation block does not end"),
            Fault::UnknownToken(found) => write!(out, "unknown token {found:#x}"),
            Fault::NoRoot => write!(out, "the tree does not begin with a root node"),
            Fault::SecondRoot => write!(out, "something follows the root node"),
            Fault::StrayProperty => write!(out, "a property outside a node or behind a child node"),
            Fault::PropertyTooLong => write!(out, "a property reaches beyond its block"),
            Fault::NameNotTerminated => write!(out, "a name does not end"),
            Fault::Name => write!(out, "a name is empty, too long, or has unprintable characters"),
            Fault::TooDeep => write!(out, "nodes are nested deeper than {DEEPEST_NODE}"),
            Fault::TooManyNodes => write!(out, "more than {MOST_NODES} nodes"),
            Fault::MissingEnd => write!(out, "the structure ends inside a node or without an end token"),
        }
    }
}

const fn error(at: usize, fault: Fault) -> FdtError {
    FdtError { at, fault }
}

pub(super) fn size_from_header(header: &[u8; 8]) -> Option<usize> {
    let total = index(big_endian_u32(header, 4)?);
    let plausible = (HEADER_BYTES..=LARGEST_TREE_BYTES).contains(&total);
    (big_endian_u32(header, 0) == Some(MAGIC) && plausible).then_some(total)
}

pub(super) fn open(blob: &[u8]) -> Result<Fdt<'_>, FdtError> {
    let field = |at| big_endian_u32(blob, at).ok_or(error(at, Fault::Truncated));
    let magic = field(0)?;
    if magic != MAGIC {
        return Err(error(0, Fault::Magic(magic)));
    }
    let total = index(field(4)?);
    if total > LARGEST_TREE_BYTES {
        return Err(error(4, Fault::TooLarge));
    }
    let blob = blob.get(..total).ok_or(error(4, Fault::Truncated))?;
    let (version, compatible_with) = (field(20)?, field(24)?);
    if version < VERSION || compatible_with > VERSION {
        return Err(error(20, Fault::Version(version)));
    }
    let (structure_at, strings_at, reservations_at) =
        (index(field(8)?), index(field(12)?), index(field(16)?));
    let (strings_bytes, structure_bytes) = (index(field(32)?), index(field(36)?));
    let block = |at: usize, size: usize, align_mask: usize, named_at: usize| {
        let place = blob.get(at..at.saturating_add(size));
        place.filter(|_| at & align_mask == 0 && at >= HEADER_BYTES).ok_or(error(named_at, Fault::Block))
    };
    let structure = block(structure_at, structure_bytes, 3, 8)?;
    let strings = block(strings_at, strings_bytes, 0, 12)?;
    let rest = block(reservations_at, total.saturating_sub(reservations_at), 7, 16)?;
    let reservations = reservations(rest).ok_or(error(reservations_at, Fault::Reservations))?;
    let fdt = Fdt { structure, strings, reservations, chosen_at: None };
    let chosen_at =
        check_structure(&fdt).map_err(|(at, fault)| error(structure_at.saturating_add(at), fault))?;
    Ok(Fdt { chosen_at, ..fdt })
}

/// The entries before the first that is all zero.
fn reservations(rest: &[u8]) -> Option<&[u8]> {
    let (entries, _) = rest.as_chunks::<16>();
    let mut bytes: usize = 0;
    for entry in entries.iter().take(MOST_RESERVATIONS.saturating_add(1)) {
        if *entry == [0; 16] {
            return rest.get(..bytes);
        }
        bytes = bytes.saturating_add(16);
    }
    None
}

/// Whether `name` can stand in a path and on a console.
fn is_name(name: &[u8]) -> bool {
    let printable = |byte: &u8| byte.is_ascii_graphic() && *byte != b'/';
    !name.is_empty() && name.len() <= LONGEST_NAME_BYTES && name.iter().all(printable)
}

/// Checks the structure block, and gives the offset of `/chosen` in it.
fn check_structure(fdt: &Fdt<'_>) -> Result<Option<usize>, (usize, Fault)> {
    let mut tokens = Tokens { structure: fdt.structure, at: 0 };
    let (mut depth, mut nodes) = (0_usize, 0_usize);
    let mut behind_a_child = false;
    let mut chosen_at = None;
    loop {
        let at = tokens.at;
        let token = tokens.next().map_err(|fault| (at, fault))?;
        match token {
            Token::Begin { name } => {
                check_node(name, depth, nodes).map_err(|fault| (at, fault))?;
                if depth == 1 && name == b"chosen" {
                    chosen_at = chosen_at.or(Some(at));
                }
                depth = depth.saturating_add(1);
                nodes = nodes.saturating_add(1);
                behind_a_child = false;
            }
            Token::End => {
                depth = depth.checked_sub(1).ok_or((at, Fault::NoRoot))?;
                behind_a_child = true;
            }
            Token::Property { .. } if depth == 0 || behind_a_child => {
                return Err((at, Fault::StrayProperty));
            }
            Token::Property { name_at, .. } => {
                let name = bytes_to_nul(fdt.strings, name_at).ok_or((at, Fault::NameNotTerminated))?;
                if !is_name(name) {
                    return Err((at, Fault::Name));
                }
            }
            Token::Finish if depth > 0 => return Err((at, Fault::MissingEnd)),
            Token::Finish if nodes == 0 => return Err((at, Fault::NoRoot)),
            Token::Finish => return Ok(chosen_at),
        }
    }
}

fn check_node(name: &[u8], depth: usize, nodes: usize) -> Result<(), Fault> {
    if depth == 0 && nodes > 0 {
        return Err(Fault::SecondRoot);
    }
    if depth == 0 && !name.is_empty() {
        return Err(Fault::NoRoot);
    }
    if depth > 0 && !is_name(name) {
        return Err(Fault::Name);
    }
    if depth >= DEEPEST_NODE {
        return Err(Fault::TooDeep);
    }
    if nodes >= MOST_NODES {
        return Err(Fault::TooManyNodes);
    }
    Ok(())
}
