//! `public/device_tree_defs.h`: numbers in the device trees that a toolstack or a hypervisor makes for guests.

use crate::layout::constants;

constants! {
    /// `GUEST_PHANDLE_GIC`: the interrupt controller.
    pub GUEST_PHANDLE_GIC: u32 = 65_000;
    /// `GUEST_PHANDLE_IOMMU`: the IOMMU.
    pub GUEST_PHANDLE_IOMMU: u32 = 65_001;
    /// `GUEST_ROOT_ADDRESS_CELLS`: cells of an address.
    pub GUEST_ROOT_ADDRESS_CELLS: u32 = 2;
    /// `GUEST_ROOT_SIZE_CELLS`: cells of a size.
    pub GUEST_ROOT_SIZE_CELLS: u32 = 2;
    /// `DT_IRQ_TYPE_NONE`: an interrupt of no known kind.
    pub DT_IRQ_TYPE_NONE: u32 = 0;
    /// `DT_IRQ_TYPE_EDGE_RISING`: an edge.
    pub DT_IRQ_TYPE_EDGE_RISING: u32 = 1;
    /// `DT_IRQ_TYPE_EDGE_FALLING`: an edge.
    pub DT_IRQ_TYPE_EDGE_FALLING: u32 = 2;
    /// `DT_IRQ_TYPE_EDGE_BOTH`: both edges.
    pub DT_IRQ_TYPE_EDGE_BOTH: u32 = 3;
    /// `DT_IRQ_TYPE_LEVEL_HIGH`: a level.
    pub DT_IRQ_TYPE_LEVEL_HIGH: u32 = 4;
    /// `DT_IRQ_TYPE_LEVEL_LOW`: a level.
    pub DT_IRQ_TYPE_LEVEL_LOW: u32 = 8;
    /// `DT_IRQ_TYPE_LEVEL_MASK`: both levels.
    pub DT_IRQ_TYPE_LEVEL_MASK: u32 = 12;
    /// `DT_IRQ_TYPE_SENSE_MASK`: the kind's bits.
    pub DT_IRQ_TYPE_SENSE_MASK: u32 = 15;
    /// `DT_IRQ_TYPE_INVALID`: no kind.
    pub DT_IRQ_TYPE_INVALID: u32 = 16;
}
