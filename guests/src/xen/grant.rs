//! Grant tables, version 1.

/// GNTTABOP_map_grant_ref.
pub const MAP: u64 = 0;
/// GNTTABOP_unmap_grant_ref.
pub const UNMAP: u64 = 1;
/// GNTTABOP_setup_table.
pub const SETUP_TABLE: u64 = 2;
/// GNTTABOP_transfer.
pub const TRANSFER: u64 = 4;
/// GNTTABOP_copy.
pub const COPY: u64 = 5;
/// GNTTABOP_query_size.
pub const QUERY_SIZE: u64 = 6;
/// GNTTABOP_unmap_and_replace.
pub const UNMAP_AND_REPLACE: u64 = 7;
/// GNTTABOP_set_version.
pub const SET_VERSION: u64 = 8;
/// GNTTABOP_get_status_frames.
pub const GET_STATUS_FRAMES: u64 = 9;
/// GNTTABOP_get_version.
pub const GET_VERSION: u64 = 10;
/// GNTTABOP_swap_grant_ref.
pub const SWAP_GRANT_REF: u64 = 11;
/// GNTTABOP_cache_flush.
pub const CACHE_FLUSH: u64 = 12;

/// GTF_permit_access.
pub const PERMIT_ACCESS: u16 = 1;
/// GTF_accept_transfer.
pub const ACCEPT_TRANSFER: u16 = 2;
/// GTF_transitive.
pub const TRANSITIVE: u16 = 3;
/// GTF_readonly.
pub const READ_ONLY: u16 = 4;
/// GTF_reading.
pub const READING: u16 = 8;
/// GTF_writing.
pub const WRITING: u16 = 16;
/// GTF_sub_page.
pub const SUB_PAGE: u16 = 256;

/// GNTMAP_device_map.
pub const DEVICE_MAP: u32 = 1;
/// GNTMAP_host_map.
pub const HOST_MAP: u32 = 2;
/// GNTMAP_readonly.
pub const MAP_READ_ONLY: u32 = 4;

/// GNTCOPY_source_gref.
pub const SOURCE_REFERENCE: u16 = 1;
/// GNTCOPY_dest_gref.
pub const TARGET_REFERENCE: u16 = 2;

/// A status that no call leaves behind.
pub const UNTOUCHED: i16 = 0x5a5a;

/// gnttab_map_grant_ref.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Map {
    /// Where to, in bytes.
    pub address: u64,
    /// GNTMAP_ flags.
    pub flags: u32,
    /// The reference.
    pub reference: u32,
    /// Who granted.
    pub domain: u16,
    /// GNTST_.
    pub status: i16,
    /// What to unmap it with.
    pub handle: u32,
    /// The address for devices.
    pub device_address: u64,
}

/// gnttab_unmap_grant_ref.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Unmap {
    /// Where it is mapped.
    pub address: u64,
    /// The address for devices.
    pub device_address: u64,
    /// The handle.
    pub handle: u32,
    /// GNTST_.
    pub status: i16,
}

/// One side of a copy.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Side {
    /// A reference, or a frame.
    pub what: u64,
    /// Whose.
    pub domain: u16,
    /// From which byte on.
    pub offset: u16,
}

/// gnttab_copy.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Copy {
    /// Where from.
    pub source: Side,
    /// Where to.
    pub target: Side,
    /// Bytes.
    pub length: u16,
    /// GNTCOPY_ flags.
    pub flags: u16,
    /// GNTST_.
    pub status: i16,
}

/// gnttab_query_size.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct QuerySize {
    /// Whose.
    pub domain: u16,
    /// Frames that there are.
    pub frames: u32,
    /// The most that there can be.
    pub most: u32,
    /// GNTST_.
    pub status: i16,
}

/// gnttab_setup_table.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SetupTable {
    /// Whose.
    pub domain: u16,
    /// Frames that there should be.
    pub frames: u32,
    /// GNTST_.
    pub status: i16,
    /// Handle of frame numbers.
    pub list: u64,
}

/// gnttab_cache_flush.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CacheFlush {
    /// An address, or a reference.
    pub what: u64,
    /// From which byte on.
    pub offset: u16,
    /// Bytes.
    pub length: u16,
    /// GNTTAB_CACHE_ flags.
    pub operation: u32,
}

/// Makes the operation on an array of structures.
pub fn ask<T>(command: u64, requests: &mut [T]) -> i64 {
    let (address, count) = (requests.as_mut_ptr() as u64, requests.len() as u64);
    super::call(super::GRANT_TABLE_OP, [command, address, count, 0, 0])
}
