//! `public/hvm/hvm_op.h`: a domain's parameters and what else `hvm_op` does.

use crate::layout::{constants, layout};

constants! {
    /// `HVMOP_set_param`: [`HvmParam`]: sets one.
    pub HVMOP_SET_PARAM as "HVMOP_set_param": u32 = 0;
    /// `HVMOP_get_param`: [`HvmParam`]: reads one.
    pub HVMOP_GET_PARAM as "HVMOP_get_param": u32 = 1;
    /// `HVMOP_flush_tlbs`: flushes all TLBs of the domain.
    pub HVMOP_FLUSH_TLBS as "HVMOP_flush_tlbs": u32 = 5;
    /// `HVMOP_pagetable_dying`: x86: a page table goes away.
    pub HVMOP_PAGETABLE_DYING as "HVMOP_pagetable_dying": u32 = 9;
    /// `HVMOP_get_time`: [`HvmGetTime`].
    pub HVMOP_GET_TIME as "HVMOP_get_time": u32 = 10;
    /// `HVMOP_xentrace`: a trace record.
    pub HVMOP_XENTRACE as "HVMOP_xentrace": u32 = 11;
    /// `HVMOP_set_mem_access`: no more.
    pub HVMOP_SET_MEM_ACCESS as "HVMOP_set_mem_access": u32 = 12;
    /// `HVMOP_get_mem_access`: no more.
    pub HVMOP_GET_MEM_ACCESS as "HVMOP_get_mem_access": u32 = 13;
    /// `HVMOP_get_mem_type`: [`HvmGetMemType`].
    pub HVMOP_GET_MEM_TYPE as "HVMOP_get_mem_type": u32 = 15;
    /// `HVMOP_set_evtchn_upcall_vector`: [`HvmEvtchnUpcallVector`].
    pub HVMOP_SET_EVTCHN_UPCALL_VECTOR as "HVMOP_set_evtchn_upcall_vector": u32 = 23, X86;
    /// `HVMOP_guest_request_vm_event`: an event for the monitor.
    pub HVMOP_GUEST_REQUEST_VM_EVENT as "HVMOP_guest_request_vm_event": u32 = 24;
    /// `HVMOP_altp2m`: alternative maps.
    pub HVMOP_ALTP2M as "HVMOP_altp2m": u32 = 25;
    /// `HVMOP_ALTP2M_INTERFACE_VERSION`: their version.
    pub HVMOP_ALTP2M_INTERFACE_VERSION: u32 = 1;

    // What a frame is.
    /// `HVMMEM_ram_rw`: RAM.
    pub HVMMEM_RAM_RW as "HVMMEM_ram_rw": u16 = 0;
    /// `HVMMEM_ram_ro`: RAM that is not to be written.
    pub HVMMEM_RAM_RO as "HVMMEM_ram_ro": u16 = 1;
    /// `HVMMEM_mmio_dm`: a device's, for its model.
    pub HVMMEM_MMIO_DM as "HVMMEM_mmio_dm": u16 = 2;
    /// `HVMMEM_unused`: no longer in use.
    pub HVMMEM_UNUSED as "HVMMEM_unused": u16 = 3;
    /// `HVMMEM_ioreq_server`: writes are for a device model.
    pub HVMMEM_IOREQ_SERVER as "HVMMEM_ioreq_server": u16 = 4;

    // How a device model wants buffered requests.
    /// `HVM_IOREQSRV_BUFIOREQ_OFF`: not at all.
    pub HVM_IOREQSRV_BUFIOREQ_OFF: u8 = 0;
    /// `HVM_IOREQSRV_BUFIOREQ_LEGACY`: with two pointers.
    pub HVM_IOREQSRV_BUFIOREQ_LEGACY: u8 = 1;
    /// `HVM_IOREQSRV_BUFIOREQ_ATOMIC`: with both pointers in one word.
    pub HVM_IOREQSRV_BUFIOREQ_ATOMIC: u8 = 2;
}

layout! {
    /// `struct xen_hvm_param`: a parameter.
    pub struct HvmParam: "struct xen_hvm_param", 16 {
        /// IN: whose.
        0 => pub domid: u16,
        /// C's padding.
        2 => pub pad: u16,
        /// IN: `HVM_PARAM_*`.
        4 => pub index: u32,
        /// IN or OUT: its value.
        8 => pub value: u64,
    }

    /// `struct xen_hvm_get_time`: the domain's system time.
    pub struct HvmGetTime: "struct xen_hvm_get_time", 8 {
        /// OUT: nanoseconds.
        0 => pub now: u64,
    }

    /// `struct xen_hvm_get_mem_type`: what a frame is.
    pub struct HvmGetMemType: "struct xen_hvm_get_mem_type", 16 {
        /// IN: whose.
        0 => pub domid: u16,
        /// OUT: `HVMMEM_*`.
        2 => pub mem_type: u16,
        /// C's padding.
        4 => pub pad: [u16; 2],
        /// IN: the frame.
        8 => pub pfn: u64,
    }

    /// `struct xen_hvm_evtchn_upcall_vector`: a vCPU's vector for events.
    pub struct HvmEvtchnUpcallVector: "struct xen_hvm_evtchn_upcall_vector", 8, X86 {
        /// IN: the vCPU.
        0 => pub vcpu: u32,
        /// IN: the vector.
        4 => pub vector: u8,
    }
}
