//! A small reader of flattened device trees (Devicetree Specification 0.4, chapter 5).
#![expect(unsafe_code, reason = "the tree lies at an address that the loader names")]

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// How deep a tree may nest.
const MAX_DEPTH: usize = 16;

/// A device tree in memory.
#[derive(Clone, Copy)]
pub struct Tree {
    structure: &'static [u8],
    strings: &'static [u8],
}

/// What the walk over a tree finds: a property of a node.
pub struct Property<'a> {
    /// Names of the nodes from the root (not counted) down to the property's own.
    pub path: &'a [&'static str],
    /// The property's name.
    pub name: &'static str,
    /// Its value.
    pub value: &'static [u8],
    /// The parent node's #address-cells and #size-cells.
    pub cells: (u32, u32),
}

impl Property<'_> {
    /// The name of the node, or the empty string for the root.
    #[must_use]
    pub fn node(&self) -> &'static str {
        self.path.last().copied().unwrap_or("")
    }

    /// Whether one of the strings in the value is `text`.
    #[must_use]
    pub fn lists(&self, text: &str) -> bool {
        self.value.split(|byte| *byte == 0).any(|word| word == text.as_bytes())
    }

    /// The value as one string.
    #[must_use]
    pub fn text(&self) -> &'static str {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        core::str::from_utf8(&self.value[..end]).unwrap_or("")
    }

    /// The pair of address and size at place `index` of a `reg`.
    #[must_use]
    pub fn region(&self, index: usize) -> Option<(u64, u64)> {
        let (address_cells, size_cells) = self.cells;
        let start = index * (address_cells + size_cells) as usize;
        Some((self.number(start, address_cells)?, self.number(start + address_cells as usize, size_cells)?))
    }

    /// `cells` cells from place `start` on, as one number.
    #[must_use]
    pub fn number(&self, start: usize, cells: u32) -> Option<u64> {
        (0..cells as usize).try_fold(0u64, |number, cell| {
            Some(number << 32 | u64::from(word(self.value, (start + cell) * 4)?))
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn text_at(bytes: &'static [u8], at: usize) -> &'static str {
    let rest = bytes.get(at..).unwrap_or(&[]);
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    core::str::from_utf8(&rest[..end]).unwrap_or("")
}

impl Tree {
    /// The tree at `address`, if there is one.
    #[must_use]
    pub fn at(address: usize) -> Option<Self> {
        let all = Self::bytes(address)?;
        let structure = all.get(word(all, 8)? as usize..)?;
        let strings = all.get(word(all, 12)? as usize..)?;
        Some(Self { structure, strings })
    }

    /// All bytes of the tree at `address`, if there is one.
    #[must_use]
    pub fn bytes(address: usize) -> Option<&'static [u8]> {
        if address == 0 || !address.is_multiple_of(8) {
            return None;
        }
        // SAFETY: the boot protocol promises a tree here; its header is read to see whether that is so.
        let header = unsafe { core::slice::from_raw_parts(address as *const u8, 40) };
        if word(header, 0)? != MAGIC {
            return None;
        }
        let size = word(header, 4)? as usize;
        // SAFETY: the tree itself says that it is this long, and nobody writes to it.
        Some(unsafe { core::slice::from_raw_parts(address as *const u8, size) })
    }

    /// Calls `visit` for every property.
    pub fn walk(&self, mut visit: impl FnMut(&Property<'_>)) {
        let mut path = [""; MAX_DEPTH];
        // The cells that hold for the children of the node at each depth.
        let mut cells = [(2u32, 1u32); MAX_DEPTH];
        let mut depth = 0usize;
        let mut at = 0usize;
        while let Some(token) = word(self.structure, at) {
            at += 4;
            match token {
                BEGIN_NODE if depth < MAX_DEPTH => {
                    let name = text_at(self.structure, at);
                    at = (at + name.len() + 4) & !3;
                    path[depth] = name;
                    cells[depth] = (2, 1);
                    depth += 1;
                }
                END_NODE if depth > 0 => depth -= 1,
                PROPERTY if depth > 0 => {
                    let Some(property) = self.property(at, &path[1.min(depth)..depth], &cells[..depth])
                    else {
                        return;
                    };
                    at = (at + 8 + property.value.len() + 3) & !3;
                    match property.name {
                        "#address-cells" => cells[depth - 1].0 = property.number(0, 1).unwrap_or(2) as u32,
                        "#size-cells" => cells[depth - 1].1 = property.number(0, 1).unwrap_or(1) as u32,
                        _ => {}
                    }
                    visit(&property);
                }
                NOP => {}
                _ => return,
            }
        }
    }

    fn property<'a>(
        &self,
        at: usize,
        path: &'a [&'static str],
        cells: &[(u32, u32)],
    ) -> Option<Property<'a>> {
        let bytes = word(self.structure, at)? as usize;
        let name = text_at(self.strings, word(self.structure, at + 4)? as usize);
        let value = self.structure.get(at + 8..at + 8 + bytes)?;
        // The parent's cells: the last entry but one, for the last belongs to the node itself.
        let cells = cells.iter().rev().nth(1).copied().unwrap_or((2, 1));
        Some(Property { path, name, value, cells })
    }
}
