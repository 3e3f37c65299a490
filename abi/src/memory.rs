//! `public/memory.h`: what physical memory a domain has, and what is where in it.

use crate::layout::{Handle, constants, layout};

constants! {
    /// `XENMEM_increase_reservation`: memory more.
    pub XENMEM_INCREASE_RESERVATION as "XENMEM_increase_reservation": u32 = 0;
    /// `XENMEM_decrease_reservation`: memory less.
    pub XENMEM_DECREASE_RESERVATION as "XENMEM_decrease_reservation": u32 = 1;
    /// `XENMEM_maximum_ram_page`: the host's last frame of RAM.
    pub XENMEM_MAXIMUM_RAM_PAGE as "XENMEM_maximum_ram_page": u32 = 2;
    /// `XENMEM_current_reservation`: pages that a domain has.
    pub XENMEM_CURRENT_RESERVATION as "XENMEM_current_reservation": u32 = 3;
    /// `XENMEM_maximum_reservation`: pages that it may have.
    pub XENMEM_MAXIMUM_RESERVATION as "XENMEM_maximum_reservation": u32 = 4;
    /// `XENMEM_machphys_mfn_list`: x86: frames of the table of machine frames.
    pub XENMEM_MACHPHYS_MFN_LIST as "XENMEM_machphys_mfn_list": u32 = 5;
    /// `XENMEM_populate_physmap`: memory more, at given places.
    pub XENMEM_POPULATE_PHYSMAP as "XENMEM_populate_physmap": u32 = 6;
    /// `XENMEM_add_to_physmap`: something special, at a given place.
    pub XENMEM_ADD_TO_PHYSMAP as "XENMEM_add_to_physmap": u32 = 7;
    /// `XENMEM_memory_map`: x86: the E820 map.
    pub XENMEM_MEMORY_MAP as "XENMEM_memory_map": u32 = 9;
    /// `XENMEM_machine_memory_map`: x86: the host's E820 map.
    pub XENMEM_MACHINE_MEMORY_MAP as "XENMEM_machine_memory_map": u32 = 10;
    /// `XENMEM_exchange`: memory against memory.
    pub XENMEM_EXCHANGE as "XENMEM_exchange": u32 = 11;
    /// `XENMEM_machphys_mapping`: x86: where the table of machine frames is.
    pub XENMEM_MACHPHYS_MAPPING as "XENMEM_machphys_mapping": u32 = 12;
    /// `XENMEM_set_memory_map`: x86: sets another domain's E820 map.
    pub XENMEM_SET_MEMORY_MAP as "XENMEM_set_memory_map": u32 = 13;
    /// `XENMEM_maximum_gpfn`: the largest guest frame number in use.
    pub XENMEM_MAXIMUM_GPFN as "XENMEM_maximum_gpfn": u32 = 14;
    /// `XENMEM_remove_from_physmap`: takes something away.
    pub XENMEM_REMOVE_FROM_PHYSMAP as "XENMEM_remove_from_physmap": u32 = 15;
    /// `XENMEM_set_pod_target`: x86: populate on demand.
    pub XENMEM_SET_POD_TARGET as "XENMEM_set_pod_target": u32 = 16;
    /// `XENMEM_get_pod_target`: x86: populate on demand.
    pub XENMEM_GET_POD_TARGET as "XENMEM_get_pod_target": u32 = 17;
    /// `XENMEM_get_sharing_freed_pages`: pages saved by sharing.
    pub XENMEM_GET_SHARING_FREED_PAGES as "XENMEM_get_sharing_freed_pages": u32 = 18;
    /// `XENMEM_get_sharing_shared_pages`: pages that are shared.
    pub XENMEM_GET_SHARING_SHARED_PAGES as "XENMEM_get_sharing_shared_pages": u32 = 19;
    /// `XENMEM_paging_op`: x86: paging out.
    pub XENMEM_PAGING_OP as "XENMEM_paging_op": u32 = 20;
    /// `XENMEM_access_op`: rights on frames, watched by a monitor.
    pub XENMEM_ACCESS_OP as "XENMEM_access_op": u32 = 21;
    /// `XENMEM_sharing_op`: x86: sharing of equal pages.
    pub XENMEM_SHARING_OP as "XENMEM_sharing_op": u32 = 22;
    /// `XENMEM_add_to_physmap_batch`: many somethings, at given places.
    pub XENMEM_ADD_TO_PHYSMAP_BATCH as "XENMEM_add_to_physmap_batch": u32 = 23;
    /// `XENMEM_claim_pages`: a claim on memory that is not there yet.
    pub XENMEM_CLAIM_PAGES as "XENMEM_claim_pages": u32 = 24;
    /// `XENMEM_machphys_compat_mfn_list`: x86: the same table for 32-bit guests.
    pub XENMEM_MACHPHYS_COMPAT_MFN_LIST as "XENMEM_machphys_compat_mfn_list": u32 = 25;
    /// `XENMEM_get_vnumainfo`: the domain's virtual nodes.
    pub XENMEM_GET_VNUMAINFO as "XENMEM_get_vnumainfo": u32 = 26;
    /// `XENMEM_reserved_device_memory_map`: regions that devices need mapped one to one.
    pub XENMEM_RESERVED_DEVICE_MEMORY_MAP as "XENMEM_reserved_device_memory_map": u32 = 27;
    /// `XENMEM_acquire_resource`: maps what the hypervisor has for another domain.
    pub XENMEM_ACQUIRE_RESOURCE as "XENMEM_acquire_resource": u32 = 28;

    // xen_memory_reservation.mem_flags.
    /// `XENMEMF_get_address_bits(~0u)`: bits of the largest machine address wanted; 0 for any.
    pub XENMEMF_ADDRESS_BITS_MASK as "XENMEMF_get_address_bits(~0u)": u32 = 0xff;
    /// `XENMEMF_node(0)`: the node's number plus one stands in multiples of this.
    pub XENMEMF_NODE_ONE as "XENMEMF_node(0)": u32 = 0x100;
    /// `XENMEMF_populate_on_demand`: only when it is touched.
    pub XENMEMF_POPULATE_ON_DEMAND as "XENMEMF_populate_on_demand": u32 = 0x1_0000;
    /// `XENMEMF_exact_node_request`: from this node or not at all.
    pub XENMEMF_EXACT_NODE_REQUEST as "XENMEMF_exact_node_request": u32 = 0x2_0000;
    /// `XENMEMF_vnode`: the node is a virtual one.
    pub XENMEMF_VNODE as "XENMEMF_vnode": u32 = 0x4_0000;

    // xen_add_to_physmap.space.
    /// `XENMAPSPACE_shared_info`: the shared_info page.
    pub XENMAPSPACE_SHARED_INFO as "XENMAPSPACE_shared_info": u32 = 0;
    /// `XENMAPSPACE_grant_table`: a frame of the grant table.
    pub XENMAPSPACE_GRANT_TABLE as "XENMAPSPACE_grant_table": u32 = 1;
    /// `XENMAPSPACE_gmfn`: a frame of the domain's own.
    pub XENMAPSPACE_GMFN as "XENMAPSPACE_gmfn": u32 = 2;
    /// `XENMAPSPACE_gmfn_range`: a range of those.
    pub XENMAPSPACE_GMFN_RANGE as "XENMAPSPACE_gmfn_range": u32 = 3;
    /// `XENMAPSPACE_gmfn_foreign`: a frame of another domain; in batches only.
    pub XENMAPSPACE_GMFN_FOREIGN as "XENMAPSPACE_gmfn_foreign": u32 = 4;
    /// `XENMAPSPACE_dev_mmio`: a device's page.
    pub XENMAPSPACE_DEV_MMIO as "XENMAPSPACE_dev_mmio": u32 = 5;
    /// `XENMAPIDX_grant_table_status`: in idx: a status frame of grants of version 2.
    pub XENMAPIDX_GRANT_TABLE_STATUS as "XENMAPIDX_grant_table_status": u64 = 0x8000_0000;

    // xen_mem_acquire_resource.
    /// `XENMEM_resource_ioreq_server`: the pages of a server of device accesses.
    pub XENMEM_RESOURCE_IOREQ_SERVER as "XENMEM_resource_ioreq_server": u32 = 0;
    /// `XENMEM_resource_grant_table`: frames of a grant table.
    pub XENMEM_RESOURCE_GRANT_TABLE as "XENMEM_resource_grant_table": u32 = 1;
    /// `XENMEM_resource_vmtrace_buf`: x86: a trace of instructions.
    pub XENMEM_RESOURCE_VMTRACE_BUF as "XENMEM_resource_vmtrace_buf": u32 = 2;
    /// `XENMEM_resource_grant_table_id_shared`: id: the entries.
    pub XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED as "XENMEM_resource_grant_table_id_shared": u32 = 0;
    /// `XENMEM_resource_grant_table_id_status`: id: the status frames of version 2.
    pub XENMEM_RESOURCE_GRANT_TABLE_ID_STATUS as "XENMEM_resource_grant_table_id_status": u32 = 1;
    /// `XENMEM_resource_ioreq_server_frame_bufioreq`: frame: the buffered requests.
    pub XENMEM_RESOURCE_IOREQ_SERVER_FRAME_BUFIOREQ as "XENMEM_resource_ioreq_server_frame_bufioreq": u64 = 0;
    /// `XENMEM_resource_ioreq_server_frame_ioreq(0)`: frame: the first with requests that wait for an answer.
    pub XENMEM_RESOURCE_IOREQ_SERVER_FRAME_IOREQ as "XENMEM_resource_ioreq_server_frame_ioreq(0)": u64 = 1;
}

layout! {
    /// `struct xen_memory_reservation`: frames for increasing, decreasing and populating.
    pub struct MemoryReservation: "struct xen_memory_reservation", 32 {
        /// IN: first frames of the extents. OUT: machine frames, where the guest sees those.
        0 => pub extent_start: Handle<u64>,
        /// IN: number of extents.
        8 => pub nr_extents: u64,
        /// IN: each is 2 to this power of pages.
        16 => pub extent_order: u32,
        /// IN: `XENMEMF_*`.
        20 => pub mem_flags: u32,
        /// IN: whose memory.
        24 => pub domid: u16,
    }

    /// `struct xen_memory_exchange`: for [`XENMEM_EXCHANGE`].
    pub struct MemoryExchange: "struct xen_memory_exchange", 72 {
        /// IN: what is given.
        0 => pub input as "in": MemoryReservation,
        /// IN: what is wanted.
        32 => pub out: MemoryReservation,
        /// IN: 0. OUT: extents of `input` that are done.
        64 => pub nr_exchanged: u64,
    }

    /// `struct xen_memory_domain`: a domain, for operations that need no more.
    pub struct MemoryDomain: "struct xen_memory_domain", 2 {
        /// IN: the domain.
        0 => pub domid: u16,
    }

    /// `struct xen_add_to_physmap`: for [`XENMEM_ADD_TO_PHYSMAP`].
    pub struct AddToPhysmap: "struct xen_add_to_physmap", 24 {
        /// IN: whose map.
        0 => pub domid: u16,
        /// IN: pages of a range.
        2 => pub size: u16,
        /// IN: `XENMAPSPACE_*`.
        4 => pub space: u32,
        /// IN: which one of that space.
        8 => pub idx: u64,
        /// IN: where.
        16 => pub gpfn: u64,
    }

    /// `struct xen_add_to_physmap_batch`: for [`XENMEM_ADD_TO_PHYSMAP_BATCH`].
    pub struct AddToPhysmapBatch: "struct xen_add_to_physmap_batch", 32 {
        /// IN: whose map.
        0 => pub domid: u16,
        /// IN: `XENMAPSPACE_*`.
        2 => pub space: u16,
        /// IN: number of items.
        4 => pub size: u16,
        /// IN: the foreign domain, or zero.
        6 => pub u: u16,
        /// IN: which ones.
        8 => pub idxs: Handle<u64>,
        /// IN: where.
        16 => pub gpfns: Handle<u64>,
        /// OUT: an error for each.
        24 => pub errs: Handle<i32>,
    }

    /// `struct xen_remove_from_physmap`: for [`XENMEM_REMOVE_FROM_PHYSMAP`].
    pub struct RemoveFromPhysmap: "struct xen_remove_from_physmap", 16 {
        /// IN: whose map.
        0 => pub domid: u16,
        /// IN: where.
        8 => pub gpfn: u64,
    }

    /// `struct xen_memory_map`: an E820 map, for [`XENMEM_MEMORY_MAP`].
    pub struct MemoryMap: "struct xen_memory_map", 16 {
        /// IN: entries of the buffer. OUT: entries of the map.
        0 => pub nr_entries: u32,
        /// OUT: the entries.
        8 => pub buffer: Handle<u8>,
    }

    /// `struct xen_foreign_memory_map`: for [`XENMEM_SET_MEMORY_MAP`].
    pub struct ForeignMemoryMap: "struct xen_foreign_memory_map", 24 {
        /// IN: whose map.
        0 => pub domid: u16,
        /// IN: the map.
        8 => pub map: MemoryMap,
    }

    /// `struct xen_machphys_mapping`: for [`XENMEM_MACHPHYS_MAPPING`].
    pub struct MachphysMapping: "struct xen_machphys_mapping", 24 {
        /// OUT: the table's begin.
        0 => pub v_start: u64,
        /// OUT: its end.
        8 => pub v_end: u64,
        /// OUT: its last frame.
        16 => pub max_mfn: u64,
    }

    /// `struct xen_machphys_mfn_list`: for [`XENMEM_MACHPHYS_MFN_LIST`].
    pub struct MachphysMfnList: "struct xen_machphys_mfn_list", 24 {
        /// IN: size of the list.
        0 => pub max_extents: u32,
        /// OUT: the list.
        8 => pub extent_start: Handle<u64>,
        /// OUT: its length.
        16 => pub nr_extents: u32,
    }

    /// `struct xen_pod_target`: for [`XENMEM_SET_POD_TARGET`].
    pub struct PodTarget: "struct xen_pod_target", 40 {
        /// IN: pages that shall be there.
        0 => pub target_pages: u64,
        /// OUT: pages that are.
        8 => pub tot_pages: u64,
        /// OUT: pages kept ready.
        16 => pub pod_cache_pages: u64,
        /// OUT: pages owed.
        24 => pub pod_entries: u64,
        /// IN: whose.
        32 => pub domid: u16,
    }

    /// `struct xen_mem_access_op`: for [`XENMEM_ACCESS_OP`].
    pub struct MemAccessOp: "struct xen_mem_access_op", 32 {
        /// IN: what to do.
        0 => pub op: u8,
        /// IN or OUT: the rights.
        1 => pub access: u8,
        /// IN: whose memory.
        2 => pub domid: u16,
        /// IN: number of frames.
        4 => pub nr: u32,
        /// IN: the first frame; ~0 for the default.
        8 => pub pfn: u64,
        /// IN: frames of a list.
        16 => pub pfn_list: Handle<u64>,
        /// IN: their rights.
        24 => pub access_list: Handle<u8>,
    }

    /// `struct xen_reserved_device_memory`: a region that must be mapped one to one.
    pub struct ReservedDeviceMemory: "struct xen_reserved_device_memory", 16 {
        /// OUT: its first page.
        0 => pub start_pfn: u64,
        /// OUT: its pages.
        8 => pub nr_pages: u64,
    }

    /// `struct xen_mem_acquire_resource`: for [`XENMEM_ACQUIRE_RESOURCE`].
    pub struct MemAcquireResource: "struct xen_mem_acquire_resource", 32 {
        /// IN: whose resource.
        0 => pub domid: u16,
        /// IN: `XENMEM_resource_*`.
        2 => pub kind as "type": u16,
        /// IN: which one.
        4 => pub id: u32,
        /// IN: frames wanted; 0 asks. OUT: frames there are.
        8 => pub nr_frames: u32,
        /// IN: zero.
        12 => pub pad: u32,
        /// IN: the first one wanted.
        16 => pub frame: u64,
        /// IN: where to map them. OUT: machine frames, where the guest sees those.
        24 => pub frame_list: Handle<u64>,
    }

    /// `struct xen_vmemrange`: memory of a virtual node.
    pub struct Vmemrange: "struct xen_vmemrange", 24 {
        /// First address.
        0 => pub start: u64,
        /// Address behind it.
        8 => pub end: u64,
        /// Zero.
        16 => pub flags: u32,
        /// The node.
        20 => pub nid: u32,
    }

    /// `struct xen_vnuma_topology_info`: for [`XENMEM_GET_VNUMAINFO`].
    pub struct VnumaTopologyInfo: "struct xen_vnuma_topology_info", 40 {
        /// IN: the domain.
        0 => pub domid: u16,
        /// C's padding.
        2 => pub pad: u16,
        /// IN: room. OUT: number of nodes.
        4 => pub nr_vnodes: u32,
        /// IN: room. OUT: number of vCPUs.
        8 => pub nr_vcpus: u32,
        /// IN: room. OUT: number of ranges.
        12 => pub nr_vmemranges: u32,
        /// OUT: distances.
        16 => pub vdistance: Handle<u32>,
        /// OUT: nodes of the vCPUs.
        24 => pub vcpu_to_vnode: Handle<u32>,
        /// OUT: the ranges.
        32 => pub vmemrange: Handle<Vmemrange>,
    }
}
