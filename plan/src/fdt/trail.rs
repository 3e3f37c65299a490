//! The way from the root to a node: its path, the cells that it sees, and what its addresses mean to the
//! processor.
//!
//! A flattened tree has no way up; a trail is found by one walk from the root, so make one where the
//! ancestors matter and keep it.

use alloc::string::String;

use super::value::take_cells;
use super::{Cells, DEEPEST_NODE, Fdt, Node, Token, Tokens};

/// A node with its ancestors.
#[derive(Clone, Copy, Debug)]
pub struct Trail<'a> {
    fdt: Fdt<'a>,
    /// Offsets of the names of the nodes, the root's first.
    names_at: [usize; DEEPEST_NODE],
    length: usize,
}

impl<'a> Trail<'a> {
    /// The trail of `node`; `None` only for a node of another tree.
    #[must_use]
    pub fn of(node: &Node<'a>) -> Option<Self> {
        let fdt = node.fdt;
        let mut trail = Trail { fdt, names_at: [0; DEEPEST_NODE], length: 0 };
        let mut tokens = Tokens { structure: fdt.structure, at: 0 };
        loop {
            let at = tokens.at;
            match tokens.next().ok()? {
                Token::Begin { .. } => {
                    *trail.names_at.get_mut(trail.length)? = at;
                    trail.length = trail.length.checked_add(1)?;
                    if tokens.at == node.at {
                        return Some(trail);
                    }
                }
                Token::End => trail.length = trail.length.checked_sub(1)?,
                Token::Property { .. } => {}
                Token::Finish => return None,
            }
        }
    }

    /// The trail of the root, to be led on by [`Trail::enter`].
    #[must_use]
    pub fn at_root(fdt: Fdt<'a>) -> Self {
        let mut trail = Trail { fdt, names_at: [0; DEEPEST_NODE], length: 0 };
        trail.enter(0, &fdt.root());
        trail
    }

    /// Leads on to `node` at `depth`, whose parent is the trail's node at the depth above: the way of a walk
    /// that passes every node.
    pub fn enter(&mut self, depth: usize, node: &Node<'a>) {
        // Before what follows the name stand the token and the name with its NUL, in whole words.
        let name = super::token_boundary(node.name.len().saturating_add(1));
        let at = node.at.saturating_sub(name).saturating_sub(4);
        if let Some(place) = self.names_at.get_mut(depth) {
            *place = at;
            self.length = depth.saturating_add(1);
        }
    }

    /// The depth of the node; the root's is 0.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.length.saturating_sub(1)
    }

    /// The nodes, from the root to the node itself.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = Node<'a>> + '_ {
        self.names_at.iter().take(self.length).filter_map(|at| self.fdt.node_at(*at))
    }

    /// The absolute path.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for node in self.nodes().skip(1) {
            path.push('/');
            path.push_str(node.name());
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }

    /// The cells of the node's own `reg`.
    #[must_use]
    pub fn cells(&self) -> Cells {
        self.cells_below(self.length.saturating_sub(1))
    }

    /// The cells that children of the `count`th node see.
    fn cells_below(&self, count: usize) -> Cells {
        self.nodes().take(count).fold(Cells::DEFAULT, |cells, node| node.cells(cells))
    }

    /// The phandle of the interrupt controller that the node's `interrupts` go to: `interrupt-parent` of the node,
    /// or of the nearest ancestor that has one; an ancestor that takes interrupts itself comes first.
    #[must_use]
    pub fn interrupt_parent(&self) -> Option<u32> {
        let mut is_ancestor = false;
        for node in self.nodes().rev() {
            if is_ancestor && node.property("#interrupt-cells").is_some() {
                return node.phandle();
            }
            if let Some(parent) = node.property("interrupt-parent") {
                return parent.u32();
            }
            is_ancestor = true;
        }
        None
    }

    /// Where the processor finds `size` bytes at `address` of the node's `reg`: every bus above translates
    /// with its `ranges`. `None` if one of them does not let the range through.
    #[must_use]
    pub fn translate(&self, address: u64, size: u64) -> Option<u64> {
        let mut address = address;
        let buses = self.length.saturating_sub(1);
        for position in (1..buses).rev() {
            let ranges = self.nodes().nth(position)?.property("ranges")?.value;
            if ranges.is_empty() {
                continue;
            }
            let own = self.cells_below(position.saturating_add(1));
            let above = self.cells_below(position);
            address = translate_once(ranges, own, above, (address, size))?;
        }
        Some(address)
    }
}

/// One step of a translation: `ranges` has entries of address below, address above, size.
fn translate_once(ranges: &[u8], own: Cells, above: Cells, (address, size): (u64, u64)) -> Option<u64> {
    let mut rest = ranges;
    while !rest.is_empty() {
        let below = take_cells(&mut rest, own.address)?;
        let to = take_cells(&mut rest, above.address)?;
        let length = take_cells(&mut rest, own.size)?;
        if let Some(offset) = address.checked_sub(below)
            && offset.checked_add(size).is_some_and(|end| end <= length)
        {
            return to.checked_add(offset);
        }
        if own.address == 0 && above.address == 0 && own.size == 0 {
            return None;
        }
    }
    None
}
