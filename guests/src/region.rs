//! Memory that domains share from the start, as the tree tells of it.

use crate::mmu::{self, Page};
use crate::platform;
use crate::tree::Tree;

const PAGE: u64 = 4096;

/// What the tree says of a region.
#[derive(Clone, Copy, Default)]
pub struct Region {
    /// Where the guest sees it.
    pub base: u64,
    /// Its size.
    pub bytes: u64,
    /// Whether its node is compatible with `xen,shared-memory-v1`.
    pub is_compatible: bool,
    /// Whether its node has the offset 0.
    pub has_offset: bool,
}

impl Region {
    /// The region with this `xen,id`; one of no bytes if there is none.
    #[must_use]
    pub fn find(id: &str) -> Self {
        let (mut found, mut current, mut node, mut named) = (Self::default(), Self::default(), "", false);
        let Some(tree) = Tree::at(platform::get().tree) else { return found };
        tree.walk(|property| {
            if property.path.first() != Some(&"reserved-memory") || property.path.len() != 2 {
                return;
            }
            if property.node() != node {
                (current, node, named) = (Self::default(), property.node(), false);
            }
            match property.name {
                "compatible" => current.is_compatible = property.lists("xen,shared-memory-v1"),
                "reg" => (current.base, current.bytes) = property.region(0).unwrap_or_default(),
                "xen,id" => named = property.text() == id,
                "xen,offset" => current.has_offset = property.value == [0; 8],
                _ => {}
            }
            if named {
                found = current;
            }
        });
        found
    }

    /// The virtual address of a word of the region, reached as Normal memory by page `window` of the window.
    #[must_use]
    pub fn word(&self, window: usize, offset: u64) -> usize {
        mmu::set_window(window, Page::Writable((self.base + offset) / PAGE)) + (offset % PAGE) as usize
    }
}
