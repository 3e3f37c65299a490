//! XENMEM_add_to_physmap and the like.

/// XENMEM_increase_reservation.
pub const INCREASE_RESERVATION: u64 = 0;
/// XENMEM_decrease_reservation.
pub const DECREASE_RESERVATION: u64 = 1;
/// XENMEM_maximum_ram_page.
pub const MAXIMUM_RAM_PAGE: u64 = 2;
/// XENMEM_current_reservation.
pub const CURRENT_RESERVATION: u64 = 3;
/// XENMEM_maximum_reservation.
pub const MAXIMUM_RESERVATION: u64 = 4;
/// XENMEM_populate_physmap.
pub const POPULATE_PHYSMAP: u64 = 6;
/// XENMEM_add_to_physmap.
pub const ADD_TO_PHYSMAP: u64 = 7;
/// XENMEM_exchange.
pub const EXCHANGE: u64 = 11;
/// XENMEM_maximum_gpfn.
pub const MAXIMUM_GPFN: u64 = 14;
/// XENMEM_remove_from_physmap.
pub const REMOVE_FROM_PHYSMAP: u64 = 15;
/// XENMEM_add_to_physmap_batch.
pub const ADD_TO_PHYSMAP_BATCH: u64 = 23;
/// XENMEM_acquire_resource.
pub const ACQUIRE_RESOURCE: u64 = 28;

/// XENMAPSPACE_shared_info.
pub const SPACE_SHARED_INFO: u32 = 0;
/// XENMAPSPACE_grant_table.
pub const SPACE_GRANT_TABLE: u32 = 1;

/// xen_memory_reservation.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Reservation {
    /// Handle of the frame numbers.
    pub extents: u64,
    /// How many.
    pub count: u64,
    /// Size of each: two to the power of this, in pages.
    pub order: u32,
    /// XENMEMF_ flags.
    pub flags: u32,
    /// Whose reservation.
    pub domain: u16,
}

/// xen_add_to_physmap.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AddToPhysmap {
    /// Whose map.
    pub domain: u16,
    /// Pages, for one of the spaces.
    pub size: u16,
    /// The space.
    pub space: u32,
    /// What of the space.
    pub index: u64,
    /// Where to.
    pub frame: u64,
}

/// xen_add_to_physmap_batch.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AddToPhysmapBatch {
    /// Whose map.
    pub domain: u16,
    /// The space.
    pub space: u16,
    /// How many.
    pub size: u16,
    /// The foreign domain for that space, else 0.
    pub extra: u16,
    /// Handle of 64-bit indices.
    pub indices: u64,
    /// Handle of 64-bit frame numbers.
    pub frames: u64,
    /// Handle of 32-bit answers.
    pub errors: u64,
}

/// xen_remove_from_physmap.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RemoveFromPhysmap {
    /// Whose map.
    pub domain: u16,
    /// Which frame.
    pub frame: u64,
}

/// xen_memory_exchange.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Exchange {
    /// What is given.
    pub given: Reservation,
    /// What is taken.
    pub taken: Reservation,
    /// How many were exchanged.
    pub exchanged: u64,
}

/// xen_mem_acquire_resource.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AcquireResource {
    /// Whose.
    pub domain: u16,
    /// The kind.
    pub kind: u16,
    /// Which of the kind.
    pub id: u32,
    /// How many frames.
    pub count: u32,
    /// Zero.
    pub pad: u32,
    /// The first.
    pub frame: u64,
    /// Handle of frame numbers.
    pub frames: u64,
}

/// Maps a page of a space into the caller's own physical map.
pub fn add_to_physmap(space: u32, index: u64, frame: u64) -> i64 {
    let mut request = AddToPhysmap { domain: super::DOMID_SELF, size: 0, space, index, frame };
    super::op(super::MEMORY_OP, ADD_TO_PHYSMAP, &mut request)
}

/// Takes a frame out of the caller's own physical map.
pub fn remove_from_physmap(frame: u64) -> i64 {
    let mut request = RemoveFromPhysmap { domain: super::DOMID_SELF, frame };
    super::op(super::MEMORY_OP, REMOVE_FROM_PHYSMAP, &mut request)
}

/// populate_physmap or decrease_reservation of the caller's own memory.
pub fn reserve(command: u64, extents: &mut [u64], order: u32) -> i64 {
    let mut request = Reservation {
        extents: extents.as_mut_ptr() as u64,
        count: extents.len() as u64,
        order,
        flags: 0,
        domain: super::DOMID_SELF,
    };
    super::op(super::MEMORY_OP, command, &mut request)
}
