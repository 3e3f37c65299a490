//! Of `public/domctl.h`: single vCPUs.

use crate::layout::{Handle, constants, layout};
use crate::xen::XenctlBitmap;

constants! {
    // vcpuaffinity.flags.
    /// `XEN_VCPUAFFINITY_HARD`: where it may run.
    pub XEN_VCPUAFFINITY_HARD: u32 = 1;
    /// `XEN_VCPUAFFINITY_SOFT`: where it should run.
    pub XEN_VCPUAFFINITY_SOFT: u32 = 2;
    /// `XEN_VCPUAFFINITY_FORCE`: even where something else has overridden it.
    pub XEN_VCPUAFFINITY_FORCE: u32 = 4;

    // sendtrigger.trigger.
    /// `XEN_DOMCTL_SENDTRIGGER_NMI`: a non-maskable interrupt.
    pub XEN_DOMCTL_SENDTRIGGER_NMI: u32 = 0;
    /// `XEN_DOMCTL_SENDTRIGGER_RESET`: a reset.
    pub XEN_DOMCTL_SENDTRIGGER_RESET: u32 = 1;
    /// `XEN_DOMCTL_SENDTRIGGER_INIT`: INIT.
    pub XEN_DOMCTL_SENDTRIGGER_INIT: u32 = 2;
    /// `XEN_DOMCTL_SENDTRIGGER_POWER`: the power button.
    pub XEN_DOMCTL_SENDTRIGGER_POWER: u32 = 3;
    /// `XEN_DOMCTL_SENDTRIGGER_SLEEP`: the sleep button.
    pub XEN_DOMCTL_SENDTRIGGER_SLEEP: u32 = 4;
    /// `XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF`: no single steps.
    pub XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF: u32 = 0;
    /// `XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON`: single steps.
    pub XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON: u32 = 1;
}

layout! {
    /// `struct xen_domctl_vcpucontext`: a vCPU's registers.
    pub struct Vcpucontext: "struct xen_domctl_vcpucontext", 16 {
        /// IN: the vCPU.
        0 => pub vcpu: u32,
        /// IN or OUT: the architecture's vcpu_guest_context.
        8 => pub ctxt: Handle<u8>,
    }

    /// `struct xen_domctl_getvcpuinfo`: how a vCPU is.
    pub struct Getvcpuinfo: "struct xen_domctl_getvcpuinfo", 24 {
        /// IN: the vCPU.
        0 => pub vcpu: u32,
        /// OUT: whether it is up.
        4 => pub online: u8,
        /// OUT: whether it waits.
        5 => pub blocked: u8,
        /// OUT: whether it runs.
        6 => pub running: u8,
        /// OUT: nanoseconds that it has run.
        8 => pub cpu_time: u64,
        /// OUT: the processor where it is.
        16 => pub cpu: u32,
    }

    /// `struct xen_domctl_vcpuaffinity`: where a vCPU runs.
    pub struct Vcpuaffinity: "struct xen_domctl_vcpuaffinity", 40 {
        /// IN: the vCPU.
        0 => pub vcpu: u32,
        /// IN: `XEN_VCPUAFFINITY_*`.
        4 => pub flags: u32,
        /// IN and OUT: where it may.
        8 => pub cpumap_hard: XenctlBitmap,
        /// IN and OUT: where it should.
        24 => pub cpumap_soft: XenctlBitmap,
    }

    /// `struct xen_domctl_max_vcpus`: how many vCPUs are made.
    pub struct MaxVcpus: "struct xen_domctl_max_vcpus", 4 {
        /// IN: the number.
        0 => pub max: u32,
    }

    /// `struct xen_domctl_sendtrigger`: a button.
    pub struct Sendtrigger: "struct xen_domctl_sendtrigger", 8 {
        /// IN: `XEN_DOMCTL_SENDTRIGGER_*`.
        0 => pub trigger: u32,
        /// IN: the vCPU.
        4 => pub vcpu: u32,
    }

    /// `struct xen_domctl_debug_op`: the debugger's wish.
    pub struct DebugOp: "struct xen_domctl_debug_op", 8 {
        /// IN: `XEN_DOMCTL_DEBUG_OP_*`.
        0 => pub op: u32,
        /// IN: the vCPU.
        4 => pub vcpu: u32,
    }

    /// `struct xen_domctl_vcpuextstate`: a vCPU's extended registers.
    pub struct Vcpuextstate: "struct xen_domctl_vcpuextstate", 32, X86 {
        /// IN: the vCPU.
        0 => pub vcpu: u32,
        /// IN or OUT: which ones.
        8 => pub xfeature_mask: u64,
        /// IN or OUT: bytes.
        16 => pub size: u64,
        /// IN or OUT: the registers.
        24 => pub buffer: Handle<u64>,
    }

    /// `struct xen_domctl_vcpu_msr`: an MSR.
    pub struct VcpuMsr: "struct xen_domctl_vcpu_msr", 16, X86 {
        /// Its number.
        0 => pub index: u32,
        /// Zero.
        4 => pub reserved: u32,
        /// Its value.
        8 => pub value: u64,
    }

    /// `struct xen_domctl_vcpu_msrs`: a vCPU's MSRs.
    pub struct VcpuMsrs: "struct xen_domctl_vcpu_msrs", 16, X86 {
        /// IN: the vCPU.
        0 => pub vcpu: u32,
        /// IN: room. OUT: number.
        4 => pub msr_count: u32,
        /// IN or OUT: the MSRs.
        8 => pub msrs: Handle<VcpuMsr>,
    }
}
