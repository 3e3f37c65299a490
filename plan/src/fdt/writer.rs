//! Makes a flattened device tree, front to back.
//!
//! A name is stored once, however often it is used. What is left open at the end is closed, so the result is
//! always a valid tree; it has version 17 and no spare room.

use alloc::vec::Vec;

const MAGIC: u32 = 0xd00d_feed;
const HEADER_BYTES: usize = 40;

/// A length or offset as a field. A tree that does not fit in 32 bits cannot be made: its property lengths
/// are bounded by what [`super::LARGEST_TREE_BYTES`] lets a reader accept.
fn field(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A tree in the making.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    structure: Vec<u8>,
    strings: Vec<u8>,
    /// Offset and length of each name in `strings`.
    names: Vec<(usize, usize)>,
    reservations: Vec<u8>,
    open_nodes: usize,
}

impl Writer {
    /// An empty tree; the first node begun is the root, whose name is empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty tree whose structure has room for `bytes` before it must grow.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { structure: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Bytes of structure for which there is room.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.structure.capacity()
    }

    /// Begins another tree, whose structure has room for `bytes`, with the memory of the last.
    pub fn restart(&mut self, bytes: usize) {
        self.structure.clear();
        self.strings.clear();
        self.names.clear();
        self.reservations.clear();
        self.open_nodes = 0;
        self.structure.reserve_exact(bytes);
    }

    /// Adds an entry to the memory reservation block.
    pub fn reserve(&mut self, base: u64, size: u64) {
        self.reservations.extend_from_slice(&base.to_be_bytes());
        self.reservations.extend_from_slice(&size.to_be_bytes());
    }

    fn word(&mut self, word: u32) {
        self.structure.extend_from_slice(&word.to_be_bytes());
    }

    fn pad(&mut self) {
        while self.structure.len() & 3 != 0 {
            self.structure.push(0);
        }
    }

    /// Begins a node inside the one that is open.
    pub fn begin(&mut self, name: &str) {
        self.word(1);
        self.structure.extend_from_slice(name.as_bytes());
        self.structure.push(0);
        self.pad();
        self.open_nodes = self.open_nodes.saturating_add(1);
    }

    /// Ends the node begun last.
    pub fn end(&mut self) {
        if let Some(left) = self.open_nodes.checked_sub(1) {
            self.word(2);
            self.open_nodes = left;
        }
    }

    /// Adds a property to the open node; none may follow a child node.
    pub fn property(&mut self, name: &str, value: &[u8]) {
        let name_at = self.name(name);
        self.word(3);
        self.word(field(value.len()));
        self.word(field(name_at));
        self.structure.extend_from_slice(value);
        self.pad();
    }

    /// Adds a property without a value.
    pub fn property_empty(&mut self, name: &str) {
        self.property(name, &[]);
    }

    /// Adds a property of one cell.
    pub fn property_u32(&mut self, name: &str, value: u32) {
        self.property(name, &value.to_be_bytes());
    }

    /// Adds a property of one 64-bit number.
    pub fn property_u64(&mut self, name: &str, value: u64) {
        self.property(name, &value.to_be_bytes());
    }

    /// Adds a property of cells.
    pub fn property_cells(&mut self, name: &str, cells: &[u32]) {
        let mut value = Vec::with_capacity(cells.len().saturating_mul(4));
        cells.iter().for_each(|cell| value.extend_from_slice(&cell.to_be_bytes()));
        self.property(name, &value);
    }

    /// Adds a property of 64-bit numbers, as addresses and sizes of two cells are.
    pub fn property_u64s(&mut self, name: &str, numbers: &[u64]) {
        let mut value = Vec::with_capacity(numbers.len().saturating_mul(8));
        numbers.iter().for_each(|number| value.extend_from_slice(&number.to_be_bytes()));
        self.property(name, &value);
    }

    /// Adds a property of one text, with its NUL.
    pub fn property_text(&mut self, name: &str, text: &str) {
        self.property_texts(name, &[text]);
    }

    /// Adds a property of several texts, each with its NUL.
    pub fn property_texts(&mut self, name: &str, texts: &[&str]) {
        let mut value = Vec::new();
        for text in texts {
            value.extend_from_slice(text.as_bytes());
            value.push(0);
        }
        self.property(name, &value);
    }

    /// Offset of `name` in the strings block.
    fn name(&mut self, name: &str) -> usize {
        let known = self.names.iter().find(|(at, length)| {
            *length == name.len()
                && self.strings.get(*at..at.saturating_add(*length)) == Some(name.as_bytes())
        });
        if let Some((at, _)) = known {
            return *at;
        }
        let at = self.strings.len();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        self.names.push((at, name.len()));
        at
    }

    /// Ends what is open and gives the blob.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        while self.open_nodes > 0 {
            self.end();
        }
        self.word(9);
        let reservation_bytes = self.reservations.len().saturating_add(16);
        let structure_at = HEADER_BYTES.saturating_add(reservation_bytes);
        let strings_at = structure_at.saturating_add(self.structure.len());
        let total = strings_at.saturating_add(self.strings.len());
        let header = [
            MAGIC,
            field(total),
            field(structure_at),
            field(strings_at),
            field(HEADER_BYTES),
            17,
            16,
            0,
            field(self.strings.len()),
            field(self.structure.len()),
        ];
        let mut blob = Vec::with_capacity(total);
        header.iter().for_each(|word| blob.extend_from_slice(&word.to_be_bytes()));
        blob.extend_from_slice(&self.reservations);
        blob.extend_from_slice(&[0; 16]);
        blob.extend_from_slice(&self.structure);
        blob.extend_from_slice(&self.strings);
        blob
    }
}
