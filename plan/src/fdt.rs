//! Flattened device trees: a reader that trusts nothing, and (in [`writer`]) a maker of new ones.
//!
//! [`Fdt::open`] walks the whole blob once and checks its shape: header, blocks, tokens, names, nesting. All
//! later steps may then be written plainly: nodes and properties are offsets into the checked blob, nothing
//! is allocated, and an impossible token simply ends an iteration. Format: Devicetree Specification 0.4,
//! chapter 5, version 17.
//!
//! Cells are those *seen* by a node: its parent's `#address-cells` and `#size-cells`, and where the parent
//! has none, the next ancestor's that has them, else 2 and 1.

pub mod trail;
pub mod value;
pub mod writer;

mod check;

pub use check::{Fault, FdtError};
pub use trail::Trail;
pub use value::{Cells, Property, RegEntries};
pub use writer::Writer;

/// Largest tree that is read, the limit of the arm64 boot protocol.
pub const LARGEST_TREE_BYTES: usize = 2 << 20;
/// Deepest nesting of nodes, the root included.
pub const DEEPEST_NODE: usize = 64;
/// Most nodes in a tree.
pub const MOST_NODES: usize = 16_384;
/// Longest name of a node or property.
pub const LONGEST_NAME_BYTES: usize = 255;
/// Most entries of the memory reservation block.
pub const MOST_RESERVATIONS: usize = 256;

/// The four bytes at `at`, as the big-endian number that every field of a tree is.
fn big_endian_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let (_, rest) = bytes.split_at_checked(at)?;
    rest.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}

/// The eight bytes at `at`.
fn big_endian_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let (_, rest) = bytes.split_at_checked(at)?;
    rest.first_chunk().map(|chunk| u64::from_be_bytes(*chunk))
}

/// The bytes from `at` up to a NUL; `None` where none follows. Eight at a time, since a boot reads the names of all nodes
/// again and again.
#[inline(never)]
fn bytes_to_nul(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (_, rest) = bytes.split_at_checked(at)?;
    let (words, tail) = rest.as_chunks();
    let mut length = 0_usize;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // The top bit of each byte that is zero, and perhaps of some behind the first one.
        let nul = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
        if nul != 0 {
            return rest.get(..length.saturating_add(index(nul.trailing_zeros() >> 3)));
        }
        length = length.saturating_add(8);
    }
    rest.get(..length.saturating_add(tail.iter().position(|byte| *byte == 0)?))
}

/// `at` rounded up to the next token.
const fn token_boundary(at: usize) -> usize {
    at.saturating_add(3) & !3
}

/// A number of a tree as an index; out of reach where it does not fit.
fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A checked device tree. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Fdt<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
    reservations: &'a [u8],
    /// Offset of `/chosen`, which everybody asks for and which usually stands last.
    chosen_at: Option<usize>,
}

/// One token of the structure block.
#[derive(Clone, Copy, Debug)]
enum Token<'a> {
    Begin { name: &'a [u8] },
    End,
    Property { name_at: usize, value: &'a [u8] },
    Finish,
}

/// Walks the structure block token by token; `at` is the offset of the next one.
#[derive(Clone, Copy, Debug)]
struct Tokens<'a> {
    structure: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    /// The next token that is not a NOP, or what is wrong with it.
    // One copy, like the other walkers below: inlined into every search they would be most of the crate.
    #[inline(never)]
    fn next(&mut self) -> Result<Token<'a>, Fault> {
        loop {
            let rest = self.structure.get(self.at..).and_then(|rest| rest.split_first_chunk());
            let (token, rest) = rest.ok_or(Fault::MissingEnd)?;
            let body = self.at.saturating_add(4);
            match *token {
                [0, 0, 0, 1] => {
                    let name = bytes_to_nul(rest, 0).ok_or(Fault::NameNotTerminated)?;
                    self.at = token_boundary(body.saturating_add(name.len()).saturating_add(1));
                    return Ok(Token::Begin { name });
                }
                [0, 0, 0, 2] => {
                    self.at = body;
                    return Ok(Token::End);
                }
                [0, 0, 0, 3] => {
                    let (length, rest) = rest.split_first_chunk().ok_or(Fault::PropertyTooLong)?;
                    let (name_at, rest) = rest.split_first_chunk().ok_or(Fault::PropertyTooLong)?;
                    let (length, name_at) = (u32::from_be_bytes(*length), u32::from_be_bytes(*name_at));
                    let value = rest.get(..index(length)).ok_or(Fault::PropertyTooLong)?;
                    self.at = token_boundary(body.saturating_add(8).saturating_add(value.len()));
                    return Ok(Token::Property { name_at: index(name_at), value });
                }
                [0, 0, 0, 4] => self.at = body,
                [0, 0, 0, 9] => {
                    self.at = body;
                    return Ok(Token::Finish);
                }
                other => return Err(Fault::UnknownToken(u32::from_be_bytes(other))),
            }
        }
    }

    /// Moves behind the end of the node in which `self` stands. Not by [`Tokens::next`], as nothing of it is wanted.
    #[inline(never)]
    fn leave_node(&mut self) {
        let mut depth: usize = 1;
        while depth > 0 {
            let rest = self.structure.get(self.at..).unwrap_or_default();
            let Some(([0, 0, 0, token], rest)) = rest.split_first_chunk() else { return };
            let body = match token {
                1 => bytes_to_nul(rest, 0).map_or(usize::MAX, |name| name.len().saturating_add(1)),
                3 => rest
                    .first_chunk()
                    .map_or(usize::MAX, |length| index(u32::from_be_bytes(*length)).saturating_add(8)),
                2 | 4 => 0,
                _ => return,
            };
            match token {
                1 => depth = depth.saturating_add(1),
                2 => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at = token_boundary(self.at.saturating_add(4).saturating_add(body));
        }
    }
}

impl<'a> Fdt<'a> {
    /// Checks `blob` and gives the tree in it. Bytes behind the header's `totalsize` are not looked at.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub fn open(blob: &'a [u8]) -> Result<Self, FdtError> {
        check::open(blob)
    }

    /// The `totalsize` that the header in these first bytes of a blob states, if it is a tree's header and
    /// the size is one that [`Fdt::open`] can take. For a loader that must find out how much to map.
    #[must_use]
    pub fn size_from_header(header: &[u8; 8]) -> Option<usize> {
        check::size_from_header(header)
    }

    /// Bytes of all nodes, properties and names.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.structure.len().saturating_add(self.strings.len())
    }

    /// The root node.
    #[must_use]
    pub fn root(&self) -> Node<'a> {
        self.node_at(0).unwrap_or(Node { fdt: *self, name: &[], at: usize::MAX })
    }

    /// The memory reservation block: base and size of each entry.
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        self.reservations.as_chunks::<16>().0.iter().filter_map(|entry| {
            let base = big_endian_u64(entry, 0)?;
            let size = big_endian_u64(entry, 8)?;
            Some((base, size))
        })
    }

    /// All nodes, parents before their children, in tree order.
    #[must_use]
    pub fn walk(&self) -> Walk<'a> {
        Walk { fdt: *self, tokens: Tokens { structure: self.structure, at: 0 }, depth: 0 }
    }

    /// The node at an absolute path. A component without a unit address also finds the first node of that
    /// name with one.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Node<'a>> {
        // By bytes: a search for a character would bring one of core's ways to panic with it.
        let components = path.strip_prefix('/')?.as_bytes().split(|byte| *byte == b'/');
        let mut components =
            components.filter_map(|name| core::str::from_utf8(name).ok()).filter(|name| !name.is_empty());
        let mut node = self.root();
        if path == "/chosen" || path.starts_with("/chosen/") {
            node = self.chosen()?;
            components.next();
        }
        for component in components {
            node = node.child(component)?;
        }
        Some(node)
    }

    /// The `/chosen` node, without a search.
    #[must_use]
    pub fn chosen(&self) -> Option<Node<'a>> {
        self.node_at(self.chosen_at?)
    }

    /// The node whose first token is at `at`.
    fn node_at(&self, at: usize) -> Option<Node<'a>> {
        let mut tokens = Tokens { structure: self.structure, at };
        match tokens.next() {
            Ok(Token::Begin { name }) => Some(Node { fdt: *self, name, at: tokens.at }),
            _ => None,
        }
    }

    /// The node with this phandle.
    #[must_use]
    pub fn find_phandle(&self, phandle: u32) -> Option<Node<'a>> {
        self.walk().map(|(_, node)| node).find(|node| node.phandle() == Some(phandle))
    }

    /// The name at `at` of the strings block, if it is `name`.
    fn name_at(&self, at: usize, name: &str) -> Option<&'a [u8]> {
        let (_, rest) = self.strings.split_at_checked(at)?;
        let (found, behind) = rest.split_at_checked(name.len())?;
        (found == name.as_bytes() && behind.first() == Some(&0)).then_some(found)
    }
}

/// A node of a checked tree. Two values are equal if they are the same node of the same tree.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    fdt: Fdt<'a>,
    name: &'a [u8],
    /// Offset of what follows the name in the structure block; unlike for any other node of the tree.
    at: usize,
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Node<'_> {}

impl<'a> Node<'a> {
    /// The tree that the node belongs to.
    #[must_use]
    pub fn fdt(&self) -> Fdt<'a> {
        self.fdt
    }

    /// Name with unit address, empty for the root.
    #[must_use]
    pub fn name(&self) -> &'a str {
        core::str::from_utf8(self.name).unwrap_or("")
    }

    /// What follows the `@` of the name.
    #[must_use]
    pub fn unit_address(&self) -> Option<&'a str> {
        crate::text::split_once(self.name(), b'@').map(|(_, unit)| unit)
    }

    fn tokens(&self) -> Tokens<'a> {
        Tokens { structure: self.fdt.structure, at: self.at }
    }

    /// The properties, in order.
    #[must_use]
    pub fn properties(&self) -> Properties<'a> {
        Properties { fdt: self.fdt, tokens: self.tokens() }
    }

    /// The property of that name.
    // One copy: this is asked for in a hundred places.
    #[inline(never)]
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Property<'a>> {
        let mut tokens = self.tokens();
        while let Ok(Token::Property { name_at, value }) = tokens.next() {
            if let Some(name) = self.fdt.name_at(name_at, name) {
                return Some(Property { name, value });
            }
        }
        None
    }

    /// The child nodes, in order.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        Children { fdt: self.fdt, tokens: self.tokens() }
    }

    /// The child of that name; a name without `@` also finds the first child that has it before its `@`.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<Node<'a>> {
        let mut first = None;
        for child in self.children() {
            match child.name.strip_prefix(name.as_bytes()) {
                Some([]) => return Some(child),
                Some([b'@', ..]) => first = first.or(Some(child)),
                _ => {}
            }
        }
        first
    }

    /// Whether `compatible` lists `name`.
    #[inline(never)]
    #[must_use]
    pub fn is_compatible(&self, name: &str) -> bool {
        self.property("compatible").is_some_and(|list| list.lists(name))
    }

    /// Whether `status` is absent or says that the device may be used.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.property("status")
            .and_then(|status| status.text())
            .is_none_or(|text| matches!(text, "okay" | "ok"))
    }

    /// `phandle`, or the older `linux,phandle`.
    #[must_use]
    pub fn phandle(&self) -> Option<u32> {
        self.property("phandle").or_else(|| self.property("linux,phandle"))?.u32()
    }

    /// The cells that this node's children see, where it sees `inherited` itself.
    #[inline(never)]
    #[must_use]
    pub fn cells(&self, inherited: Cells) -> Cells {
        let cell = |name, fallback| self.property(name).and_then(|value| value.u32()).unwrap_or(fallback);
        Cells {
            address: cell("#address-cells", inherited.address),
            size: cell("#size-cells", inherited.size),
        }
    }
}

/// Iterator over a node's properties.
#[derive(Clone, Debug)]
pub struct Properties<'a> {
    fdt: Fdt<'a>,
    tokens: Tokens<'a>,
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Property<'a>> {
        match self.tokens.next() {
            Ok(Token::Property { name_at, value }) => {
                Some(Property { name: bytes_to_nul(self.fdt.strings, name_at)?, value })
            }
            _ => {
                self.tokens.at = usize::MAX;
                None
            }
        }
    }
}

/// Iterator over a node's children.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    fdt: Fdt<'a>,
    tokens: Tokens<'a>,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            match self.tokens.next() {
                Ok(Token::Property { .. }) => {}
                Ok(Token::Begin { name }) => {
                    let node = Node { fdt: self.fdt, name, at: self.tokens.at };
                    self.tokens.leave_node();
                    return Some(node);
                }
                _ => {
                    self.tokens.at = usize::MAX;
                    return None;
                }
            }
        }
    }
}

/// Iterator over all nodes of a tree, with their depth (the root's is 0).
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    fdt: Fdt<'a>,
    tokens: Tokens<'a>,
    depth: usize,
}

impl Walk<'_> {
    /// Passes by what is below the node that came last.
    pub fn leave(&mut self) {
        self.tokens.leave_node();
        self.depth = self.depth.saturating_sub(1);
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (usize, Node<'a>);

    fn next(&mut self) -> Option<(usize, Node<'a>)> {
        loop {
            match self.tokens.next() {
                Ok(Token::Property { .. }) => {}
                Ok(Token::End) => self.depth = self.depth.saturating_sub(1),
                Ok(Token::Begin { name }) => {
                    let depth = self.depth;
                    self.depth = depth.saturating_add(1);
                    return Some((depth, Node { fdt: self.fdt, name, at: self.tokens.at }));
                }
                Ok(Token::Finish) | Err(_) => {
                    self.tokens.at = usize::MAX;
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
