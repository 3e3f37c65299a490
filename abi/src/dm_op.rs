//! `public/hvm/dm_op.h`: what a device model asks for. The operation and its arrays lie in buffers of the caller's
//! ([`DmOpBuf`]); the first one holds [`DmOp`], and may be shorter than it.

use crate::layout::{Handle, constants, layout};

constants! {
    /// `XEN_DMOP_create_ioreq_server`: [`CreateIoreqServer`].
    pub XEN_DMOP_CREATE_IOREQ_SERVER as "XEN_DMOP_create_ioreq_server": u32 = 1;
    /// `XEN_DMOP_get_ioreq_server_info`: [`GetIoreqServerInfo`].
    pub XEN_DMOP_GET_IOREQ_SERVER_INFO as "XEN_DMOP_get_ioreq_server_info": u32 = 2;
    /// `XEN_DMOP_map_io_range_to_ioreq_server`: [`IoreqServerRange`].
    pub XEN_DMOP_MAP_IO_RANGE_TO_IOREQ_SERVER as "XEN_DMOP_map_io_range_to_ioreq_server": u32 = 3;
    /// `XEN_DMOP_unmap_io_range_from_ioreq_server`: [`IoreqServerRange`].
    pub XEN_DMOP_UNMAP_IO_RANGE_FROM_IOREQ_SERVER as "XEN_DMOP_unmap_io_range_from_ioreq_server": u32 = 4;
    /// `XEN_DMOP_set_ioreq_server_state`: [`SetIoreqServerState`].
    pub XEN_DMOP_SET_IOREQ_SERVER_STATE as "XEN_DMOP_set_ioreq_server_state": u32 = 5;
    /// `XEN_DMOP_destroy_ioreq_server`: [`DestroyIoreqServer`].
    pub XEN_DMOP_DESTROY_IOREQ_SERVER as "XEN_DMOP_destroy_ioreq_server": u32 = 6;
    /// `XEN_DMOP_track_dirty_vram`: x86: [`TrackDirtyVram`].
    pub XEN_DMOP_TRACK_DIRTY_VRAM as "XEN_DMOP_track_dirty_vram": u32 = 7;
    /// `XEN_DMOP_set_pci_intx_level`: x86: [`SetPciIntxLevel`].
    pub XEN_DMOP_SET_PCI_INTX_LEVEL as "XEN_DMOP_set_pci_intx_level": u32 = 8;
    /// `XEN_DMOP_set_isa_irq_level`: x86: [`SetIsaIrqLevel`].
    pub XEN_DMOP_SET_ISA_IRQ_LEVEL as "XEN_DMOP_set_isa_irq_level": u32 = 9;
    /// `XEN_DMOP_set_pci_link_route`: x86: [`SetPciLinkRoute`].
    pub XEN_DMOP_SET_PCI_LINK_ROUTE as "XEN_DMOP_set_pci_link_route": u32 = 10;
    /// `XEN_DMOP_modified_memory`: x86: [`ModifiedMemory`].
    pub XEN_DMOP_MODIFIED_MEMORY as "XEN_DMOP_modified_memory": u32 = 11;
    /// `XEN_DMOP_set_mem_type`: x86: [`SetMemType`].
    pub XEN_DMOP_SET_MEM_TYPE as "XEN_DMOP_set_mem_type": u32 = 12;
    /// `XEN_DMOP_inject_event`: x86: [`InjectEvent`].
    pub XEN_DMOP_INJECT_EVENT as "XEN_DMOP_inject_event": u32 = 13;
    /// `XEN_DMOP_inject_msi`: x86: [`InjectMsi`].
    pub XEN_DMOP_INJECT_MSI as "XEN_DMOP_inject_msi": u32 = 14;
    /// `XEN_DMOP_map_mem_type_to_ioreq_server`: x86: [`MapMemTypeToIoreqServer`].
    pub XEN_DMOP_MAP_MEM_TYPE_TO_IOREQ_SERVER as "XEN_DMOP_map_mem_type_to_ioreq_server": u32 = 15;
    /// `XEN_DMOP_remote_shutdown`: x86: [`RemoteShutdown`].
    pub XEN_DMOP_REMOTE_SHUTDOWN as "XEN_DMOP_remote_shutdown": u32 = 16;
    /// `XEN_DMOP_relocate_memory`: x86: [`RelocateMemory`].
    pub XEN_DMOP_RELOCATE_MEMORY as "XEN_DMOP_relocate_memory": u32 = 17;
    /// `XEN_DMOP_pin_memory_cacheattr`: x86: [`PinMemoryCacheattr`].
    pub XEN_DMOP_PIN_MEMORY_CACHEATTR as "XEN_DMOP_pin_memory_cacheattr": u32 = 18;
    /// `XEN_DMOP_set_irq_level`: Arm: [`SetIrqLevel`].
    pub XEN_DMOP_SET_IRQ_LEVEL as "XEN_DMOP_set_irq_level": u32 = 19;
    /// `XEN_DMOP_nr_vcpus`: [`NrVcpus`].
    pub XEN_DMOP_NR_VCPUS as "XEN_DMOP_nr_vcpus": u32 = 20;
    /// `XEN_DMOP_IO_RANGE_PORT`: a range of ports.
    pub XEN_DMOP_IO_RANGE_PORT: u32 = 0;
    /// `XEN_DMOP_IO_RANGE_MEMORY`: a range of addresses.
    pub XEN_DMOP_IO_RANGE_MEMORY: u32 = 1;
    /// `XEN_DMOP_IO_RANGE_PCI`: a range of PCI devices.
    pub XEN_DMOP_IO_RANGE_PCI: u32 = 2;
    /// `XEN_DMOP_IOREQ_MEM_ACCESS_READ`: reads.
    pub XEN_DMOP_IOREQ_MEM_ACCESS_READ: u32 = 1;
    /// `XEN_DMOP_IOREQ_MEM_ACCESS_WRITE`: writes.
    pub XEN_DMOP_IOREQ_MEM_ACCESS_WRITE: u32 = 2;
    /// `XEN_DMOP_MEM_CACHEATTR_UC`: not cached.
    pub XEN_DMOP_MEM_CACHEATTR_UC: u32 = 0;
    /// `XEN_DMOP_MEM_CACHEATTR_WC`: write-combining.
    pub XEN_DMOP_MEM_CACHEATTR_WC: u32 = 1;
    /// `XEN_DMOP_MEM_CACHEATTR_WT`: write-through.
    pub XEN_DMOP_MEM_CACHEATTR_WT: u32 = 4;
    /// `XEN_DMOP_MEM_CACHEATTR_WP`: write-protected.
    pub XEN_DMOP_MEM_CACHEATTR_WP: u32 = 5;
    /// `XEN_DMOP_MEM_CACHEATTR_WB`: write-back.
    pub XEN_DMOP_MEM_CACHEATTR_WB: u32 = 6;
    /// `XEN_DMOP_MEM_CACHEATTR_UCM`: not cached, may be combined.
    pub XEN_DMOP_MEM_CACHEATTR_UCM: u32 = 7;
    /// `XEN_DMOP_DELETE_MEM_CACHEATTR`: no such range.
    pub XEN_DMOP_DELETE_MEM_CACHEATTR: u32 = 0xffff_ffff;
    /// `XEN_DMOP_no_gfns`: get_ioreq_server_info.flags: frame numbers are not wanted.
    pub XEN_DMOP_NO_GFNS as "XEN_DMOP_no_gfns": u16 = 1;
    /// `XEN_DMOP_EVENT_ext_int`: an external interrupt.
    pub XEN_DMOP_EVENT_EXT_INT as "XEN_DMOP_EVENT_ext_int": u8 = 0;
    /// `XEN_DMOP_EVENT_nmi`: a non-maskable interrupt.
    pub XEN_DMOP_EVENT_NMI as "XEN_DMOP_EVENT_nmi": u8 = 2;
    /// `XEN_DMOP_EVENT_hw_exc`: an exception of hardware.
    pub XEN_DMOP_EVENT_HW_EXC as "XEN_DMOP_EVENT_hw_exc": u8 = 3;
    /// `XEN_DMOP_EVENT_sw_int`: a software interrupt.
    pub XEN_DMOP_EVENT_SW_INT as "XEN_DMOP_EVENT_sw_int": u8 = 4;
    /// `XEN_DMOP_EVENT_pri_sw_exc`: ICEBP.
    pub XEN_DMOP_EVENT_PRI_SW_EXC as "XEN_DMOP_EVENT_pri_sw_exc": u8 = 5;
    /// `XEN_DMOP_EVENT_sw_exc`: INT3, INTO.
    pub XEN_DMOP_EVENT_SW_EXC as "XEN_DMOP_EVENT_sw_exc": u8 = 6;
    /// `offsetof(struct xen_dm_op, u)`: where the operation's own part is.
    pub DM_OP_U as "offsetof(struct xen_dm_op, u)": usize = 8;
}

layout! {
    /// `struct xen_dm_op`: an operation.
    pub struct DmOp: "struct xen_dm_op", 32 {
        /// IN: `XEN_DMOP_*`.
        0 => pub op: u32,
        /// C's padding.
        4 => pub pad: u32,
        /// The operation's own part.
        8 => pub u: [u8; 24],
    }

    /// `struct xen_dm_op_buf`: a buffer of the caller's.
    pub struct DmOpBuf: "struct xen_dm_op_buf", 16 {
        /// Where it is.
        0 => pub h: Handle<u8>,
        /// Bytes.
        8 => pub size: u64,
    }

    /// `struct xen_dm_op_create_ioreq_server`: a server of accesses.
    pub struct CreateIoreqServer: "struct xen_dm_op_create_ioreq_server", 6 {
        /// IN: `HVM_IOREQSRV_BUFIOREQ_*`.
        0 => pub handle_bufioreq: u8,
        /// C's padding.
        1 => pub pad: [u8; 3],
        /// OUT: its id.
        4 => pub id: u16,
    }

    /// `struct xen_dm_op_get_ioreq_server_info`: a server's pages and port.
    pub struct GetIoreqServerInfo: "struct xen_dm_op_get_ioreq_server_info", 24 {
        /// IN: its id.
        0 => pub id: u16,
        /// IN: [`XEN_DMOP_NO_GFNS`].
        2 => pub flags: u16,
        /// OUT: the port of buffered requests.
        4 => pub bufioreq_port: u32,
        /// OUT: the frame of requests.
        8 => pub ioreq_gfn: u64,
        /// OUT: the frame of buffered requests.
        16 => pub bufioreq_gfn: u64,
    }

    /// `struct xen_dm_op_ioreq_server_range`: a range that it serves.
    pub struct IoreqServerRange: "struct xen_dm_op_ioreq_server_range", 24 {
        /// IN: its id.
        0 => pub id: u16,
        /// C's padding.
        2 => pub pad: u16,
        /// IN: `XEN_DMOP_IO_RANGE_*`.
        4 => pub kind as "type": u32,
        /// IN: the first.
        8 => pub start: u64,
        /// IN: the last.
        16 => pub end: u64,
    }

    /// `struct xen_dm_op_set_ioreq_server_state`: whether it serves.
    pub struct SetIoreqServerState: "struct xen_dm_op_set_ioreq_server_state", 4 {
        /// IN: its id.
        0 => pub id: u16,
        /// IN: not zero for yes.
        2 => pub enabled: u8,
        /// C's padding.
        3 => pub pad: u8,
    }

    /// `struct xen_dm_op_destroy_ioreq_server`: a server's end.
    pub struct DestroyIoreqServer: "struct xen_dm_op_destroy_ioreq_server", 4 {
        /// IN: its id.
        0 => pub id: u16,
        /// C's padding.
        2 => pub pad: u16,
    }

    /// `struct xen_dm_op_track_dirty_vram`: dirty pages of a frame buffer.
    pub struct TrackDirtyVram: "struct xen_dm_op_track_dirty_vram", 16 {
        /// IN: number of pages.
        0 => pub nr: u32,
        /// C's padding.
        4 => pub pad: u32,
        /// IN: the first one.
        8 => pub first_pfn: u64,
    }

    /// `struct xen_dm_op_set_pci_intx_level`: a PCI device's line.
    pub struct SetPciIntxLevel: "struct xen_dm_op_set_pci_intx_level", 6 {
        /// IN: segment.
        0 => pub domain: u16,
        /// IN: bus.
        2 => pub bus: u8,
        /// IN: device.
        3 => pub device: u8,
        /// IN: which line.
        4 => pub intx: u8,
        /// IN: 0 or 1.
        5 => pub level: u8,
    }

    /// `struct xen_dm_op_set_isa_irq_level`: an ISA line.
    pub struct SetIsaIrqLevel: "struct xen_dm_op_set_isa_irq_level", 2 {
        /// IN: which one.
        0 => pub isa_irq: u8,
        /// IN: 0 or 1.
        1 => pub level: u8,
    }

    /// `struct xen_dm_op_set_pci_link_route`: where PCI's lines go.
    pub struct SetPciLinkRoute: "struct xen_dm_op_set_pci_link_route", 2 {
        /// IN: the link.
        0 => pub link: u8,
        /// IN: the ISA line; 0 for none.
        1 => pub isa_irq: u8,
    }

    /// `struct xen_dm_op_modified_memory`: memory that the model has written.
    pub struct ModifiedMemory: "struct xen_dm_op_modified_memory", 8 {
        /// IN: how many extents.
        0 => pub nr_extents: u32,
        /// IN: zero. OUT: how far it came.
        4 => pub opaque: u32,
    }

    /// `struct xen_dm_op_modified_memory_extent`: a part of it.
    pub struct ModifiedMemoryExtent: "struct xen_dm_op_modified_memory_extent", 16 {
        /// IN: pages.
        0 => pub nr: u32,
        /// C's padding.
        4 => pub pad: u32,
        /// IN: the first one.
        8 => pub first_pfn: u64,
    }

    /// `struct xen_dm_op_set_mem_type`: what frames are.
    pub struct SetMemType: "struct xen_dm_op_set_mem_type", 16 {
        /// IN: frames.
        0 => pub nr: u32,
        /// IN: `HVMMEM_*`.
        4 => pub mem_type: u16,
        /// C's padding.
        6 => pub pad: u16,
        /// IN: the first one.
        8 => pub first_pfn: u64,
    }

    /// `struct xen_dm_op_inject_event`: an event for a vCPU.
    pub struct InjectEvent: "struct xen_dm_op_inject_event", 24 {
        /// IN: the vCPU.
        0 => pub vcpuid: u32,
        /// IN: the vector.
        4 => pub vector: u8,
        /// IN: `XEN_DMOP_EVENT_*`.
        5 => pub kind as "type": u8,
        /// IN: length of the instruction.
        6 => pub insn_len: u8,
        /// C's padding.
        7 => pub pad0: u8,
        /// IN: the error code; ~0 for none.
        8 => pub error_code: u32,
        /// C's padding.
        12 => pub pad1: u32,
        /// IN: CR2 of a page fault.
        16 => pub cr2: u64,
    }

    /// `struct xen_dm_op_inject_msi`: an MSI.
    pub struct InjectMsi: "struct xen_dm_op_inject_msi", 16 {
        /// IN: its data.
        0 => pub data: u32,
        /// C's padding.
        4 => pub pad: u32,
        /// IN: its address.
        8 => pub addr: u64,
    }

    /// `struct xen_dm_op_map_mem_type_to_ioreq_server`: frames of a type that it serves.
    pub struct MapMemTypeToIoreqServer: "struct xen_dm_op_map_mem_type_to_ioreq_server", 16 {
        /// IN: its id.
        0 => pub id: u16,
        /// IN: `HVMMEM_*`.
        2 => pub kind as "type": u16,
        /// IN: `XEN_DMOP_IOREQ_MEM_ACCESS_*`.
        4 => pub flags: u32,
        /// IN: zero.
        8 => pub opaque: u64,
    }

    /// `struct xen_dm_op_remote_shutdown`: the domain's end.
    pub struct RemoteShutdown: "struct xen_dm_op_remote_shutdown", 4 {
        /// IN: `SHUTDOWN_*`.
        0 => pub reason: u32,
    }

    /// `struct xen_dm_op_relocate_memory`: frames that move.
    pub struct RelocateMemory: "struct xen_dm_op_relocate_memory", 24 {
        /// IN: pages.
        0 => pub size: u32,
        /// C's padding.
        4 => pub pad: u32,
        /// IN: from.
        8 => pub src_gfn: u64,
        /// IN: to.
        16 => pub dst_gfn: u64,
    }

    /// `struct xen_dm_op_pin_memory_cacheattr`: memory types of a range.
    pub struct PinMemoryCacheattr: "struct xen_dm_op_pin_memory_cacheattr", 24 {
        /// IN: the first page.
        0 => pub start: u64,
        /// IN: the last one.
        8 => pub end: u64,
        /// IN: `XEN_DMOP_MEM_CACHEATTR_*`.
        16 => pub kind as "type": u32,
        /// C's padding.
        20 => pub pad: u32,
    }

    /// `struct xen_dm_op_set_irq_level`: a shared interrupt's line.
    pub struct SetIrqLevel: "struct xen_dm_op_set_irq_level", 8 {
        /// IN: which one.
        0 => pub irq: u32,
        /// IN: 0 or 1.
        4 => pub level: u8,
        /// C's padding.
        5 => pub pad: [u8; 3],
    }

    /// `struct xen_dm_op_nr_vcpus`: vCPUs of the domain.
    pub struct NrVcpus: "struct xen_dm_op_nr_vcpus", 4 {
        /// OUT: how many.
        0 => pub vcpus: u32,
    }
}
