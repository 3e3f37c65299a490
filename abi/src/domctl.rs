//! `public/domctl.h`: domains, for the toolstack. Here are the operations' numbers and their frame; their structures
//! are in the modules below, by what they are about.

pub mod device;
pub mod domain;
pub mod memory;
pub mod vcpu;

use crate::layout::{constants, layout};

constants! {
    /// `XEN_DOMCTL_INTERFACE_VERSION`: the version that callers must speak.
    pub XEN_DOMCTL_INTERFACE_VERSION: u32 = 0x15;

    // xen_domctl.cmd.
    /// `XEN_DOMCTL_createdomain`: [`domain::Createdomain`].
    pub XEN_DOMCTL_CREATEDOMAIN as "XEN_DOMCTL_createdomain": u32 = 1;
    /// `XEN_DOMCTL_destroydomain`: the domain's end; to be called again until it is done.
    pub XEN_DOMCTL_DESTROYDOMAIN as "XEN_DOMCTL_destroydomain": u32 = 2;
    /// `XEN_DOMCTL_pausedomain`: no vCPU runs.
    pub XEN_DOMCTL_PAUSEDOMAIN as "XEN_DOMCTL_pausedomain": u32 = 3;
    /// `XEN_DOMCTL_unpausedomain`: they run again.
    pub XEN_DOMCTL_UNPAUSEDOMAIN as "XEN_DOMCTL_unpausedomain": u32 = 4;
    /// `XEN_DOMCTL_getdomaininfo`: [`domain::Getdomaininfo`] of the first domain that is not before the given
    /// one.
    pub XEN_DOMCTL_GETDOMAININFO as "XEN_DOMCTL_getdomaininfo": u32 = 5;
    /// `XEN_DOMCTL_setvcpuaffinity`: [`vcpu::Vcpuaffinity`].
    pub XEN_DOMCTL_SETVCPUAFFINITY as "XEN_DOMCTL_setvcpuaffinity": u32 = 9;
    /// `XEN_DOMCTL_shadow_op`: [`memory::ShadowOp`].
    pub XEN_DOMCTL_SHADOW_OP as "XEN_DOMCTL_shadow_op": u32 = 10;
    /// `XEN_DOMCTL_max_mem`: [`memory::MaxMem`].
    pub XEN_DOMCTL_MAX_MEM as "XEN_DOMCTL_max_mem": u32 = 11;
    /// `XEN_DOMCTL_setvcpucontext`: [`vcpu::Vcpucontext`].
    pub XEN_DOMCTL_SETVCPUCONTEXT as "XEN_DOMCTL_setvcpucontext": u32 = 12;
    /// `XEN_DOMCTL_getvcpucontext`: [`vcpu::Vcpucontext`].
    pub XEN_DOMCTL_GETVCPUCONTEXT as "XEN_DOMCTL_getvcpucontext": u32 = 13;
    /// `XEN_DOMCTL_getvcpuinfo`: [`vcpu::Getvcpuinfo`].
    pub XEN_DOMCTL_GETVCPUINFO as "XEN_DOMCTL_getvcpuinfo": u32 = 14;
    /// `XEN_DOMCTL_max_vcpus`: [`vcpu::MaxVcpus`].
    pub XEN_DOMCTL_MAX_VCPUS as "XEN_DOMCTL_max_vcpus": u32 = 15;
    /// `XEN_DOMCTL_scheduler_op`: [`domain::SchedulerOp`].
    pub XEN_DOMCTL_SCHEDULER_OP as "XEN_DOMCTL_scheduler_op": u32 = 16;
    /// `XEN_DOMCTL_setdomainhandle`: [`domain::Setdomainhandle`].
    pub XEN_DOMCTL_SETDOMAINHANDLE as "XEN_DOMCTL_setdomainhandle": u32 = 17;
    /// `XEN_DOMCTL_setdebugging`: [`domain::Setdebugging`].
    pub XEN_DOMCTL_SETDEBUGGING as "XEN_DOMCTL_setdebugging": u32 = 18;
    /// `XEN_DOMCTL_irq_permission`: [`device::IrqPermission`].
    pub XEN_DOMCTL_IRQ_PERMISSION as "XEN_DOMCTL_irq_permission": u32 = 19;
    /// `XEN_DOMCTL_iomem_permission`: [`device::IomemPermission`].
    pub XEN_DOMCTL_IOMEM_PERMISSION as "XEN_DOMCTL_iomem_permission": u32 = 20;
    /// `XEN_DOMCTL_ioport_permission`: [`device::IoportPermission`].
    pub XEN_DOMCTL_IOPORT_PERMISSION as "XEN_DOMCTL_ioport_permission": u32 = 21;
    /// `XEN_DOMCTL_hypercall_init`: x86: [`domain::HypercallInit`].
    pub XEN_DOMCTL_HYPERCALL_INIT as "XEN_DOMCTL_hypercall_init": u32 = 22;
    /// `XEN_DOMCTL_settimeoffset`: [`domain::Settimeoffset`].
    pub XEN_DOMCTL_SETTIMEOFFSET as "XEN_DOMCTL_settimeoffset": u32 = 24;
    /// `XEN_DOMCTL_getvcpuaffinity`: [`vcpu::Vcpuaffinity`].
    pub XEN_DOMCTL_GETVCPUAFFINITY as "XEN_DOMCTL_getvcpuaffinity": u32 = 25;
    /// `XEN_DOMCTL_real_mode_area`: no more.
    pub XEN_DOMCTL_REAL_MODE_AREA as "XEN_DOMCTL_real_mode_area": u32 = 26;
    /// `XEN_DOMCTL_resumedomain`: a domain that had suspended goes on.
    pub XEN_DOMCTL_RESUMEDOMAIN as "XEN_DOMCTL_resumedomain": u32 = 27;
    /// `XEN_DOMCTL_sendtrigger`: [`vcpu::Sendtrigger`].
    pub XEN_DOMCTL_SENDTRIGGER as "XEN_DOMCTL_sendtrigger": u32 = 28;
    /// `XEN_DOMCTL_subscribe`: [`domain::Subscribe`].
    pub XEN_DOMCTL_SUBSCRIBE as "XEN_DOMCTL_subscribe": u32 = 29;
    /// `XEN_DOMCTL_gethvmcontext`: x86: [`domain::Hvmcontext`].
    pub XEN_DOMCTL_GETHVMCONTEXT as "XEN_DOMCTL_gethvmcontext": u32 = 33;
    /// `XEN_DOMCTL_sethvmcontext`: x86: [`domain::Hvmcontext`].
    pub XEN_DOMCTL_SETHVMCONTEXT as "XEN_DOMCTL_sethvmcontext": u32 = 34;
    /// `XEN_DOMCTL_set_address_size`: [`domain::AddressSize`].
    pub XEN_DOMCTL_SET_ADDRESS_SIZE as "XEN_DOMCTL_set_address_size": u32 = 35;
    /// `XEN_DOMCTL_get_address_size`: [`domain::AddressSize`].
    pub XEN_DOMCTL_GET_ADDRESS_SIZE as "XEN_DOMCTL_get_address_size": u32 = 36;
    /// `XEN_DOMCTL_assign_device`: [`device::AssignDevice`].
    pub XEN_DOMCTL_ASSIGN_DEVICE as "XEN_DOMCTL_assign_device": u32 = 37;
    /// `XEN_DOMCTL_bind_pt_irq`: [`device::BindPtIrq`].
    pub XEN_DOMCTL_BIND_PT_IRQ as "XEN_DOMCTL_bind_pt_irq": u32 = 38;
    /// `XEN_DOMCTL_memory_mapping`: [`device::MemoryMapping`].
    pub XEN_DOMCTL_MEMORY_MAPPING as "XEN_DOMCTL_memory_mapping": u32 = 39;
    /// `XEN_DOMCTL_ioport_mapping`: [`device::IoportMapping`].
    pub XEN_DOMCTL_IOPORT_MAPPING as "XEN_DOMCTL_ioport_mapping": u32 = 40;
    /// `XEN_DOMCTL_set_ext_vcpucontext`: x86.
    pub XEN_DOMCTL_SET_EXT_VCPUCONTEXT as "XEN_DOMCTL_set_ext_vcpucontext": u32 = 42;
    /// `XEN_DOMCTL_get_ext_vcpucontext`: x86.
    pub XEN_DOMCTL_GET_EXT_VCPUCONTEXT as "XEN_DOMCTL_get_ext_vcpucontext": u32 = 43;
    /// `XEN_DOMCTL_set_opt_feature`: no more.
    pub XEN_DOMCTL_SET_OPT_FEATURE as "XEN_DOMCTL_set_opt_feature": u32 = 44;
    /// `XEN_DOMCTL_test_assign_device`: [`device::AssignDevice`].
    pub XEN_DOMCTL_TEST_ASSIGN_DEVICE as "XEN_DOMCTL_test_assign_device": u32 = 45;
    /// `XEN_DOMCTL_set_target`: [`domain::SetTarget`].
    pub XEN_DOMCTL_SET_TARGET as "XEN_DOMCTL_set_target": u32 = 46;
    /// `XEN_DOMCTL_deassign_device`: [`device::AssignDevice`].
    pub XEN_DOMCTL_DEASSIGN_DEVICE as "XEN_DOMCTL_deassign_device": u32 = 47;
    /// `XEN_DOMCTL_unbind_pt_irq`: [`device::BindPtIrq`].
    pub XEN_DOMCTL_UNBIND_PT_IRQ as "XEN_DOMCTL_unbind_pt_irq": u32 = 48;
    /// `XEN_DOMCTL_get_device_group`: [`device::GetDeviceGroup`].
    pub XEN_DOMCTL_GET_DEVICE_GROUP as "XEN_DOMCTL_get_device_group": u32 = 50;
    /// `XEN_DOMCTL_debug_op`: [`vcpu::DebugOp`].
    pub XEN_DOMCTL_DEBUG_OP as "XEN_DOMCTL_debug_op": u32 = 54;
    /// `XEN_DOMCTL_gethvmcontext_partial`: x86: [`domain::HvmcontextPartial`].
    pub XEN_DOMCTL_GETHVMCONTEXT_PARTIAL as "XEN_DOMCTL_gethvmcontext_partial": u32 = 55;
    /// `XEN_DOMCTL_vm_event_op`: [`domain::VmEventOp`].
    pub XEN_DOMCTL_VM_EVENT_OP as "XEN_DOMCTL_vm_event_op": u32 = 56;
    /// `XEN_DOMCTL_mem_sharing_op`: x86.
    pub XEN_DOMCTL_MEM_SHARING_OP as "XEN_DOMCTL_mem_sharing_op": u32 = 57;
    /// `XEN_DOMCTL_gettscinfo`: x86: [`domain::TscInfo`].
    pub XEN_DOMCTL_GETTSCINFO as "XEN_DOMCTL_gettscinfo": u32 = 59;
    /// `XEN_DOMCTL_settscinfo`: x86: [`domain::TscInfo`].
    pub XEN_DOMCTL_SETTSCINFO as "XEN_DOMCTL_settscinfo": u32 = 60;
    /// `XEN_DOMCTL_getpageframeinfo3`: x86: [`memory::Getpageframeinfo3`].
    pub XEN_DOMCTL_GETPAGEFRAMEINFO3 as "XEN_DOMCTL_getpageframeinfo3": u32 = 61;
    /// `XEN_DOMCTL_setvcpuextstate`: x86: [`vcpu::Vcpuextstate`].
    pub XEN_DOMCTL_SETVCPUEXTSTATE as "XEN_DOMCTL_setvcpuextstate": u32 = 62;
    /// `XEN_DOMCTL_getvcpuextstate`: x86: [`vcpu::Vcpuextstate`].
    pub XEN_DOMCTL_GETVCPUEXTSTATE as "XEN_DOMCTL_getvcpuextstate": u32 = 63;
    /// `XEN_DOMCTL_set_access_required`: [`memory::SetAccessRequired`].
    pub XEN_DOMCTL_SET_ACCESS_REQUIRED as "XEN_DOMCTL_set_access_required": u32 = 64;
    /// `XEN_DOMCTL_audit_p2m`: x86.
    pub XEN_DOMCTL_AUDIT_P2M as "XEN_DOMCTL_audit_p2m": u32 = 65;
    /// `XEN_DOMCTL_set_virq_handler`: [`domain::SetVirqHandler`].
    pub XEN_DOMCTL_SET_VIRQ_HANDLER as "XEN_DOMCTL_set_virq_handler": u32 = 66;
    /// `XEN_DOMCTL_set_broken_page_p2m`: x86.
    pub XEN_DOMCTL_SET_BROKEN_PAGE_P2M as "XEN_DOMCTL_set_broken_page_p2m": u32 = 67;
    /// `XEN_DOMCTL_setnodeaffinity`: [`memory::Nodeaffinity`].
    pub XEN_DOMCTL_SETNODEAFFINITY as "XEN_DOMCTL_setnodeaffinity": u32 = 68;
    /// `XEN_DOMCTL_getnodeaffinity`: [`memory::Nodeaffinity`].
    pub XEN_DOMCTL_GETNODEAFFINITY as "XEN_DOMCTL_getnodeaffinity": u32 = 69;
    /// `XEN_DOMCTL_cacheflush`: [`memory::Cacheflush`].
    pub XEN_DOMCTL_CACHEFLUSH as "XEN_DOMCTL_cacheflush": u32 = 71;
    /// `XEN_DOMCTL_get_vcpu_msrs`: x86: [`vcpu::VcpuMsrs`].
    pub XEN_DOMCTL_GET_VCPU_MSRS as "XEN_DOMCTL_get_vcpu_msrs": u32 = 72;
    /// `XEN_DOMCTL_set_vcpu_msrs`: x86: [`vcpu::VcpuMsrs`].
    pub XEN_DOMCTL_SET_VCPU_MSRS as "XEN_DOMCTL_set_vcpu_msrs": u32 = 73;
    /// `XEN_DOMCTL_setvnumainfo`: [`memory::Vnuma`].
    pub XEN_DOMCTL_SETVNUMAINFO as "XEN_DOMCTL_setvnumainfo": u32 = 74;
    /// `XEN_DOMCTL_psr_cmt_op`: x86.
    pub XEN_DOMCTL_PSR_CMT_OP as "XEN_DOMCTL_psr_cmt_op": u32 = 75;
    /// `XEN_DOMCTL_monitor_op`: [`domain::MonitorOp`].
    pub XEN_DOMCTL_MONITOR_OP as "XEN_DOMCTL_monitor_op": u32 = 77;
    /// `XEN_DOMCTL_psr_alloc`: x86.
    pub XEN_DOMCTL_PSR_ALLOC as "XEN_DOMCTL_psr_alloc": u32 = 78;
    /// `XEN_DOMCTL_soft_reset`: the domain's fresh state with its memory kept.
    pub XEN_DOMCTL_SOFT_RESET as "XEN_DOMCTL_soft_reset": u32 = 79;
    /// `XEN_DOMCTL_vuart_op`: [`device::VuartOp`].
    pub XEN_DOMCTL_VUART_OP as "XEN_DOMCTL_vuart_op": u32 = 81;
    /// `XEN_DOMCTL_get_cpu_policy`: x86: [`domain::CpuPolicy`].
    pub XEN_DOMCTL_GET_CPU_POLICY as "XEN_DOMCTL_get_cpu_policy": u32 = 82;
    /// `XEN_DOMCTL_set_cpu_policy`: x86: [`domain::CpuPolicy`].
    pub XEN_DOMCTL_SET_CPU_POLICY as "XEN_DOMCTL_set_cpu_policy": u32 = 83;
    /// `XEN_DOMCTL_vmtrace_op`: x86.
    pub XEN_DOMCTL_VMTRACE_OP as "XEN_DOMCTL_vmtrace_op": u32 = 84;
    /// `XEN_DOMCTL_get_paging_mempool_size`: [`memory::PagingMempool`].
    pub XEN_DOMCTL_GET_PAGING_MEMPOOL_SIZE as "XEN_DOMCTL_get_paging_mempool_size": u32 = 85;
    /// `XEN_DOMCTL_set_paging_mempool_size`: [`memory::PagingMempool`].
    pub XEN_DOMCTL_SET_PAGING_MEMPOOL_SIZE as "XEN_DOMCTL_set_paging_mempool_size": u32 = 86;
    /// `XEN_DOMCTL_gdbsx_guestmemio`: x86.
    pub XEN_DOMCTL_GDBSX_GUESTMEMIO as "XEN_DOMCTL_gdbsx_guestmemio": u32 = 1000;
    /// `XEN_DOMCTL_gdbsx_pausevcpu`: x86.
    pub XEN_DOMCTL_GDBSX_PAUSEVCPU as "XEN_DOMCTL_gdbsx_pausevcpu": u32 = 1001;
    /// `XEN_DOMCTL_gdbsx_unpausevcpu`: x86.
    pub XEN_DOMCTL_GDBSX_UNPAUSEVCPU as "XEN_DOMCTL_gdbsx_unpausevcpu": u32 = 1002;
    /// `XEN_DOMCTL_gdbsx_domstatus`: x86.
    pub XEN_DOMCTL_GDBSX_DOMSTATUS as "XEN_DOMCTL_gdbsx_domstatus": u32 = 1003;
    /// `offsetof(struct xen_domctl, u)`: where the operation's own part is.
    pub DOMCTL_U as "offsetof(struct xen_domctl, u)": usize = 16;
}

layout! {
    /// `struct xen_domctl`: an operation.
    pub struct Domctl: "struct xen_domctl", 144 {
        /// IN: `XEN_DOMCTL_*`.
        0 => pub cmd: u32,
        /// IN: [`XEN_DOMCTL_INTERFACE_VERSION`].
        4 => pub interface_version: u32,
        /// IN: the domain. OUT of creation and of information: the domain, too.
        8 => pub domain: u16,
        /// Ignored.
        10 => pub pad as "_pad": [u16; 3],
        /// The operation's own part.
        16 => pub u: [u8; 128],
    }
}
