//! `public/grant_table.h`: memory that one domain lets another one use. Grants of version 1; of version 2 only the
//! numbers.

use crate::layout::{Handle, constants, layout};

constants! {
    /// `GNTTABOP_map_grant_ref`: maps frames.
    pub GNTTABOP_MAP_GRANT_REF as "GNTTABOP_map_grant_ref": u32 = 0;
    /// `GNTTABOP_unmap_grant_ref`: unmaps them.
    pub GNTTABOP_UNMAP_GRANT_REF as "GNTTABOP_unmap_grant_ref": u32 = 1;
    /// `GNTTABOP_setup_table`: makes a table and tells its frames.
    pub GNTTABOP_SETUP_TABLE as "GNTTABOP_setup_table": u32 = 2;
    /// `GNTTABOP_dump_table`: prints it on the console.
    pub GNTTABOP_DUMP_TABLE as "GNTTABOP_dump_table": u32 = 3;
    /// `GNTTABOP_transfer`: gives a frame away.
    pub GNTTABOP_TRANSFER as "GNTTABOP_transfer": u32 = 4;
    /// `GNTTABOP_copy`: copies between frames.
    pub GNTTABOP_COPY as "GNTTABOP_copy": u32 = 5;
    /// `GNTTABOP_query_size`: tells how large the table is.
    pub GNTTABOP_QUERY_SIZE as "GNTTABOP_query_size": u32 = 6;
    /// `GNTTABOP_unmap_and_replace`: unmaps, and maps the page from elsewhere in its place.
    pub GNTTABOP_UNMAP_AND_REPLACE as "GNTTABOP_unmap_and_replace": u32 = 7;
    /// `GNTTABOP_set_version`: chooses the version of the entries.
    pub GNTTABOP_SET_VERSION as "GNTTABOP_set_version": u32 = 8;
    /// `GNTTABOP_get_status_frames`: tells the status frames of version 2.
    pub GNTTABOP_GET_STATUS_FRAMES as "GNTTABOP_get_status_frames": u32 = 9;
    /// `GNTTABOP_get_version`: tells the version of the entries.
    pub GNTTABOP_GET_VERSION as "GNTTABOP_get_version": u32 = 10;
    /// `GNTTABOP_swap_grant_ref`: exchanges two entries.
    pub GNTTABOP_SWAP_GRANT_REF as "GNTTABOP_swap_grant_ref": u32 = 11;
    /// `GNTTABOP_cache_flush`: cleans or invalidates the caches of a granted frame.
    pub GNTTABOP_CACHE_FLUSH as "GNTTABOP_cache_flush": u32 = 12;
    /// `GNTTAB_NR_RESERVED_ENTRIES`: entries with a fixed meaning.
    pub GNTTAB_NR_RESERVED_ENTRIES: u32 = 8;
    /// `GNTTAB_RESERVED_CONSOLE`: the console's ring.
    pub GNTTAB_RESERVED_CONSOLE: u32 = 0;
    /// `GNTTAB_RESERVED_XENSTORE`: xenstore's ring.
    pub GNTTAB_RESERVED_XENSTORE: u32 = 1;

    // gnttab_map_grant_ref.flags.
    /// `GNTMAP_device_map`: for a device.
    pub GNTMAP_DEVICE_MAP as "GNTMAP_device_map": u32 = 1;
    /// `GNTMAP_host_map`: for the processors.
    pub GNTMAP_HOST_MAP as "GNTMAP_host_map": u32 = 2;
    /// `GNTMAP_readonly`: not to be written.
    pub GNTMAP_READONLY as "GNTMAP_readonly": u32 = 4;
    /// `GNTMAP_application_map`: for user mode.
    pub GNTMAP_APPLICATION_MAP as "GNTMAP_application_map": u32 = 8;
    /// `GNTMAP_contains_pte`: host_addr is a page table entry.
    pub GNTMAP_CONTAINS_PTE as "GNTMAP_contains_pte": u32 = 16;
    /// `_GNTMAP_guest_avail0`: number of the first bit for the guest's own use.
    pub GNTMAP_GUEST_AVAIL0 as "_GNTMAP_guest_avail0": u32 = 16;
    /// `GNTMAP_guest_avail_mask`: the bits for the guest's own use.
    pub GNTMAP_GUEST_AVAIL_MASK as "GNTMAP_guest_avail_mask": u32 = 0xffff_0000;

    // gnttab_cache_flush.op.
    /// `GNTTAB_CACHE_CLEAN`: cleans.
    pub GNTTAB_CACHE_CLEAN: u32 = 1;
    /// `GNTTAB_CACHE_INVAL`: invalidates.
    pub GNTTAB_CACHE_INVAL: u32 = 2;
    /// `GNTTAB_CACHE_SOURCE_GREF`: the frame is named by grant.
    pub GNTTAB_CACHE_SOURCE_GREF: u32 = 0x8000_0000;

    // grant_entry_v1.flags.
    /// `GTF_invalid`: no grant.
    pub GTF_INVALID as "GTF_invalid": u16 = 0;
    /// `GTF_permit_access`: the other one may use the frame.
    pub GTF_PERMIT_ACCESS as "GTF_permit_access": u16 = 1;
    /// `GTF_accept_transfer`: the other one may put a frame here.
    pub GTF_ACCEPT_TRANSFER as "GTF_accept_transfer": u16 = 2;
    /// `GTF_transitive`: a grant of a grant, in version 2.
    pub GTF_TRANSITIVE as "GTF_transitive": u16 = 3;
    /// `GTF_type_mask`: these four.
    pub GTF_TYPE_MASK as "GTF_type_mask": u16 = 3;
    /// `GTF_readonly`: not to be written.
    pub GTF_READONLY as "GTF_readonly": u16 = 4;
    /// `GTF_reading`: somebody reads.
    pub GTF_READING as "GTF_reading": u16 = 8;
    /// `GTF_writing`: somebody writes.
    pub GTF_WRITING as "GTF_writing": u16 = 0x10;
    /// `GTF_PWT`: x86: write-through.
    pub GTF_PWT: u16 = 0x20;
    /// `GTF_PCD`: x86: not cached.
    pub GTF_PCD: u16 = 0x40;
    /// `GTF_PAT`: x86: memory type.
    pub GTF_PAT: u16 = 0x80;
    /// `GTF_sub_page`: a part of a frame, in version 2.
    pub GTF_SUB_PAGE as "GTF_sub_page": u16 = 0x100;
    /// `GTF_transfer_committed`: a frame is on its way here.
    pub GTF_TRANSFER_COMMITTED as "GTF_transfer_committed": u16 = 4;
    /// `GTF_transfer_completed`: it has come.
    pub GTF_TRANSFER_COMPLETED as "GTF_transfer_completed": u16 = 8;

    // gnttab_copy.flags.
    /// `GNTCOPY_source_gref`: the source is named by grant.
    pub GNTCOPY_SOURCE_GREF as "GNTCOPY_source_gref": u16 = 1;
    /// `GNTCOPY_dest_gref`: the destination is named by grant.
    pub GNTCOPY_DEST_GREF as "GNTCOPY_dest_gref": u16 = 2;

    // Results of the operations.
    /// `GNTST_okay`: done.
    pub GNTST_OKAY as "GNTST_okay": i16 = 0;
    /// `GNTST_general_error`: not done.
    pub GNTST_GENERAL_ERROR as "GNTST_general_error": i16 = -1;
    /// `GNTST_bad_domain`: there is no such domain.
    pub GNTST_BAD_DOMAIN as "GNTST_bad_domain": i16 = -2;
    /// `GNTST_bad_gntref`: there is no such grant.
    pub GNTST_BAD_GNTREF as "GNTST_bad_gntref": i16 = -3;
    /// `GNTST_bad_handle`: there is no such mapping.
    pub GNTST_BAD_HANDLE as "GNTST_bad_handle": i16 = -4;
    /// `GNTST_bad_virt_addr`: nothing can be mapped at this address.
    pub GNTST_BAD_VIRT_ADDR as "GNTST_bad_virt_addr": i16 = -5;
    /// `GNTST_bad_dev_addr`: a device cannot reach it.
    pub GNTST_BAD_DEV_ADDR as "GNTST_bad_dev_addr": i16 = -6;
    /// `GNTST_no_device_space`: no more mappings.
    pub GNTST_NO_DEVICE_SPACE as "GNTST_no_device_space": i16 = -7;
    /// `GNTST_permission_denied`: the grant is for somebody or something else.
    pub GNTST_PERMISSION_DENIED as "GNTST_permission_denied": i16 = -8;
    /// `GNTST_bad_page`: the frame cannot be granted.
    pub GNTST_BAD_PAGE as "GNTST_bad_page": i16 = -9;
    /// `GNTST_bad_copy_arg`: a copy would cross the end of a page.
    pub GNTST_BAD_COPY_ARG as "GNTST_bad_copy_arg": i16 = -10;
    /// `GNTST_address_too_big`: the frame's number is too large.
    pub GNTST_ADDRESS_TOO_BIG as "GNTST_address_too_big": i16 = -11;
    /// `GNTST_eagain`: try again.
    pub GNTST_EAGAIN as "GNTST_eagain": i16 = -12;
    /// `GNTST_no_space`: no room.
    pub GNTST_NO_SPACE as "GNTST_no_space": i16 = -13;
    /// `offsetof(struct gnttab_copy_ptr, u)`: where an end of a copy has its grant or frame.
    pub GNTTAB_COPY_PTR_U as "offsetof(struct gnttab_copy_ptr, u)": usize = 0;
}

layout! {
    /// `struct grant_entry_v1`: a grant, in the page that the guest shares.
    pub struct GrantEntryV1: "struct grant_entry_v1", 8 {
        /// `GTF_*`. Changed with atomic operations, it decides over the other two.
        0 => pub flags: u16,
        /// The other domain.
        2 => pub domid: u16,
        /// The frame.
        4 => pub frame: u32,
    }

    /// `struct gnttab_map_grant_ref`: for [`GNTTABOP_MAP_GRANT_REF`].
    pub struct GnttabMapGrantRef: "struct gnttab_map_grant_ref", 32 {
        /// IN: where to map.
        0 => pub host_addr: u64,
        /// IN: `GNTMAP_*`.
        8 => pub flags: u32,
        /// IN: the grant.
        12 => pub reference as "ref": u32,
        /// IN: whose it is.
        16 => pub dom: u16,
        /// OUT: `GNTST_*`.
        18 => pub status: i16,
        /// OUT: by which it is unmapped.
        20 => pub handle: u32,
        /// OUT: the machine address.
        24 => pub dev_bus_addr: u64,
    }

    /// `struct gnttab_unmap_grant_ref`: for [`GNTTABOP_UNMAP_GRANT_REF`].
    pub struct GnttabUnmapGrantRef: "struct gnttab_unmap_grant_ref", 24 {
        /// IN: where it is mapped.
        0 => pub host_addr: u64,
        /// IN: the machine address; 0 leaves devices' mappings alone.
        8 => pub dev_bus_addr: u64,
        /// IN: what mapping gave.
        16 => pub handle: u32,
        /// OUT: `GNTST_*`.
        20 => pub status: i16,
    }

    /// `struct gnttab_setup_table`: for [`GNTTABOP_SETUP_TABLE`].
    pub struct GnttabSetupTable: "struct gnttab_setup_table", 24 {
        /// IN: whose table.
        0 => pub dom: u16,
        /// IN: frames it shall have at least.
        4 => pub nr_frames: u32,
        /// OUT: `GNTST_*`.
        8 => pub status: i16,
        /// OUT: the frames.
        16 => pub frame_list: Handle<u64>,
    }

    /// `struct gnttab_dump_table`: for [`GNTTABOP_DUMP_TABLE`].
    pub struct GnttabDumpTable: "struct gnttab_dump_table", 4 {
        /// IN: whose table.
        0 => pub dom: u16,
        /// OUT: `GNTST_*`.
        2 => pub status: i16,
    }

    /// `struct gnttab_transfer`: for [`GNTTABOP_TRANSFER`].
    pub struct GnttabTransfer: "struct gnttab_transfer", 24 {
        /// IN: the frame.
        0 => pub mfn: u64,
        /// IN: who gets it.
        8 => pub domid: u16,
        /// IN: the entry where it is awaited.
        12 => pub reference as "ref": u32,
        /// OUT: `GNTST_*`.
        16 => pub status: i16,
    }

    /// `struct gnttab_copy_ptr`: one end of a copy.
    pub struct GnttabCopyPtr: "struct gnttab_copy_ptr", 16 {
        /// IN: in the low 32 bits a grant, or in all a guest frame number, as flags say.
        0 => pub u: u64,
        /// IN: whose.
        8 => pub domid: u16,
        /// IN: where in the page.
        10 => pub offset: u16,
    }

    /// `struct gnttab_copy`: for [`GNTTABOP_COPY`].
    pub struct GnttabCopy: "struct gnttab_copy", 40 {
        /// IN: from.
        0 => pub source: GnttabCopyPtr,
        /// IN: to.
        16 => pub dest: GnttabCopyPtr,
        /// IN: bytes.
        32 => pub len: u16,
        /// IN: `GNTCOPY_*`.
        34 => pub flags: u16,
        /// OUT: `GNTST_*`.
        36 => pub status: i16,
    }

    /// `struct gnttab_query_size`: for [`GNTTABOP_QUERY_SIZE`].
    pub struct GnttabQuerySize: "struct gnttab_query_size", 16 {
        /// IN: whose table.
        0 => pub dom: u16,
        /// OUT: frames it has.
        4 => pub nr_frames: u32,
        /// OUT: frames it may have.
        8 => pub max_nr_frames: u32,
        /// OUT: `GNTST_*`.
        12 => pub status: i16,
    }

    /// `struct gnttab_unmap_and_replace`: for [`GNTTABOP_UNMAP_AND_REPLACE`].
    pub struct GnttabUnmapAndReplace: "struct gnttab_unmap_and_replace", 24 {
        /// IN: where it is mapped.
        0 => pub host_addr: u64,
        /// IN: whose mapping takes the place.
        8 => pub new_addr: u64,
        /// IN: what mapping gave.
        16 => pub handle: u32,
        /// OUT: `GNTST_*`.
        20 => pub status: i16,
    }

    /// `struct gnttab_set_version`: for [`GNTTABOP_SET_VERSION`].
    pub struct GnttabSetVersion: "struct gnttab_set_version", 4 {
        /// IN and OUT: 1 or 2.
        0 => pub version: u32,
    }

    /// `struct gnttab_get_status_frames`: for [`GNTTABOP_GET_STATUS_FRAMES`].
    pub struct GnttabGetStatusFrames: "struct gnttab_get_status_frames", 16 {
        /// IN: frames wanted.
        0 => pub nr_frames: u32,
        /// IN: whose.
        4 => pub dom: u16,
        /// OUT: `GNTST_*`.
        6 => pub status: i16,
        /// OUT: the frames.
        8 => pub frame_list: Handle<u64>,
    }

    /// `struct gnttab_get_version`: for [`GNTTABOP_GET_VERSION`].
    pub struct GnttabGetVersion: "struct gnttab_get_version", 8 {
        /// IN: whose table.
        0 => pub dom: u16,
        /// C's padding.
        2 => pub pad: u16,
        /// OUT: 1 or 2.
        4 => pub version: u32,
    }

    /// `struct gnttab_swap_grant_ref`: for [`GNTTABOP_SWAP_GRANT_REF`].
    pub struct GnttabSwapGrantRef: "struct gnttab_swap_grant_ref", 12 {
        /// IN: one entry.
        0 => pub ref_a: u32,
        /// IN: the other.
        4 => pub ref_b: u32,
        /// OUT: `GNTST_*`.
        8 => pub status: i16,
    }

    /// `struct gnttab_cache_flush`: for [`GNTTABOP_CACHE_FLUSH`].
    pub struct GnttabCacheFlush: "struct gnttab_cache_flush", 16 {
        /// IN: a machine address, or in the low 32 bits a grant, as op says.
        0 => pub a: u64,
        /// IN: begin in the page.
        8 => pub offset: u16,
        /// IN: bytes.
        10 => pub length: u16,
        /// IN: `GNTTAB_CACHE_*`.
        12 => pub op: u32,
    }
}
