//! Of `public/domctl.h`: creating, describing and scheduling a domain as a whole.

use crate::arch_arm::ArchDomainconfig;
use crate::layout::{Handle, constants, layout};

constants! {
    // createdomain.flags.
    /// `XEN_DOMCTL_CDF_hvm`: the domain has hardware's look.
    pub XEN_DOMCTL_CDF_HVM as "XEN_DOMCTL_CDF_hvm": u32 = 1;
    /// `XEN_DOMCTL_CDF_hap`: the hardware translates its addresses.
    pub XEN_DOMCTL_CDF_HAP as "XEN_DOMCTL_CDF_hap": u32 = 2;
    /// `XEN_DOMCTL_CDF_s3_integrity`: for trusted boot.
    pub XEN_DOMCTL_CDF_S3_INTEGRITY as "XEN_DOMCTL_CDF_s3_integrity": u32 = 4;
    /// `XEN_DOMCTL_CDF_oos_off`: of shadow page tables.
    pub XEN_DOMCTL_CDF_OOS_OFF as "XEN_DOMCTL_CDF_oos_off": u32 = 8;
    /// `XEN_DOMCTL_CDF_xs_domain`: it serves xenstore.
    pub XEN_DOMCTL_CDF_XS_DOMAIN as "XEN_DOMCTL_CDF_xs_domain": u32 = 16;
    /// `XEN_DOMCTL_CDF_iommu`: it may get devices.
    pub XEN_DOMCTL_CDF_IOMMU as "XEN_DOMCTL_CDF_iommu": u32 = 32;
    /// `XEN_DOMCTL_CDF_nested_virt`: it may be a hypervisor.
    pub XEN_DOMCTL_CDF_NESTED_VIRT as "XEN_DOMCTL_CDF_nested_virt": u32 = 64;
    /// `XEN_DOMCTL_CDF_vpmu`: it sees performance counters.
    pub XEN_DOMCTL_CDF_VPMU as "XEN_DOMCTL_CDF_vpmu": u32 = 128;
    /// `XEN_DOMCTL_CDF_MAX`: the last flag.
    pub XEN_DOMCTL_CDF_MAX: u32 = 128;
    /// `XEN_DOMCTL_IOMMU_no_sharept`: createdomain.iommu_opts: devices have a map of their own.
    pub XEN_DOMCTL_IOMMU_NO_SHAREPT as "XEN_DOMCTL_IOMMU_no_sharept": u32 = 1;
    /// `XEN_DOMCTL_IOMMU_MAX`: the last of them.
    pub XEN_DOMCTL_IOMMU_MAX: u32 = 1;
    /// `XEN_DOMCTL_GRANT_version_mask`: createdomain.grant_opts: the highest version of grants.
    pub XEN_DOMCTL_GRANT_VERSION_MASK as "XEN_DOMCTL_GRANT_version_mask": u32 = 15;

    // getdomaininfo.flags.
    /// `XEN_DOMINF_dying`: it is being destroyed.
    pub XEN_DOMINF_DYING as "XEN_DOMINF_dying": u32 = 1;
    /// `XEN_DOMINF_hvm_guest`: it has hardware's look.
    pub XEN_DOMINF_HVM_GUEST as "XEN_DOMINF_hvm_guest": u32 = 2;
    /// `XEN_DOMINF_shutdown`: it has stopped, for the reason below.
    pub XEN_DOMINF_SHUTDOWN as "XEN_DOMINF_shutdown": u32 = 4;
    /// `XEN_DOMINF_paused`: somebody has paused it.
    pub XEN_DOMINF_PAUSED as "XEN_DOMINF_paused": u32 = 8;
    /// `XEN_DOMINF_blocked`: all its vCPUs wait.
    pub XEN_DOMINF_BLOCKED as "XEN_DOMINF_blocked": u32 = 16;
    /// `XEN_DOMINF_running`: one of its vCPUs runs.
    pub XEN_DOMINF_RUNNING as "XEN_DOMINF_running": u32 = 32;
    /// `XEN_DOMINF_debugged`: it has a debugger.
    pub XEN_DOMINF_DEBUGGED as "XEN_DOMINF_debugged": u32 = 64;
    /// `XEN_DOMINF_xs_domain`: it serves xenstore.
    pub XEN_DOMINF_XS_DOMAIN as "XEN_DOMINF_xs_domain": u32 = 128;
    /// `XEN_DOMINF_hap`: the hardware translates its addresses.
    pub XEN_DOMINF_HAP as "XEN_DOMINF_hap": u32 = 256;
    /// `XEN_DOMINF_shutdownmask`: the reason's bits,
    pub XEN_DOMINF_SHUTDOWNMASK as "XEN_DOMINF_shutdownmask": u32 = 255;
    /// `XEN_DOMINF_shutdownshift`: behind this many others.
    pub XEN_DOMINF_SHUTDOWNSHIFT as "XEN_DOMINF_shutdownshift": u32 = 16;
    /// `XEN_INVALID_MAX_VCPU_ID`: getdomaininfo.max_vcpu_id of a domain without vCPUs.
    pub XEN_INVALID_MAX_VCPU_ID: u32 = 0xffff_ffff;

    // Schedulers.
    /// `XEN_SCHEDULER_CREDIT`: Credit.
    pub XEN_SCHEDULER_CREDIT: u32 = 5;
    /// `XEN_SCHEDULER_CREDIT2`: Credit 2.
    pub XEN_SCHEDULER_CREDIT2: u32 = 6;
    /// `XEN_SCHEDULER_ARINC653`: ARINC 653.
    pub XEN_SCHEDULER_ARINC653: u32 = 7;
    /// `XEN_SCHEDULER_RTDS`: RTDS.
    pub XEN_SCHEDULER_RTDS: u32 = 8;
    /// `XEN_SCHEDULER_NULL`: null.
    pub XEN_SCHEDULER_NULL: u32 = 9;
    /// `XEN_DOMCTL_SCHEDRT_extra`: sched_rtds.flags: more than the budget if nobody else wants it.
    pub XEN_DOMCTL_SCHEDRT_EXTRA as "XEN_DOMCTL_SCHEDRT_extra": u32 = 1;
    /// `XEN_DOMCTL_SCHEDOP_putinfo`: sets the domain's.
    pub XEN_DOMCTL_SCHEDOP_PUTINFO as "XEN_DOMCTL_SCHEDOP_putinfo": u32 = 0;
    /// `XEN_DOMCTL_SCHEDOP_getinfo`: tells the domain's.
    pub XEN_DOMCTL_SCHEDOP_GETINFO as "XEN_DOMCTL_SCHEDOP_getinfo": u32 = 1;
    /// `XEN_DOMCTL_SCHEDOP_putvcpuinfo`: sets those of vCPUs.
    pub XEN_DOMCTL_SCHEDOP_PUTVCPUINFO as "XEN_DOMCTL_SCHEDOP_putvcpuinfo": u32 = 2;
    /// `XEN_DOMCTL_SCHEDOP_getvcpuinfo`: tells those of vCPUs.
    pub XEN_DOMCTL_SCHEDOP_GETVCPUINFO as "XEN_DOMCTL_SCHEDOP_getvcpuinfo": u32 = 3;

    // vm_event_op and monitor_op.
    /// `XEN_VM_EVENT_ENABLE`: begins.
    pub XEN_VM_EVENT_ENABLE: u32 = 0;
    /// `XEN_VM_EVENT_DISABLE`: ends.
    pub XEN_VM_EVENT_DISABLE: u32 = 1;
    /// `XEN_VM_EVENT_RESUME`: vCPUs go on.
    pub XEN_VM_EVENT_RESUME: u32 = 2;
    /// `XEN_VM_EVENT_GET_VERSION`: the version of events.
    pub XEN_VM_EVENT_GET_VERSION: u32 = 3;
    /// `XEN_DOMCTL_VM_EVENT_OP_PAGING`: the pager.
    pub XEN_DOMCTL_VM_EVENT_OP_PAGING: u32 = 1;
    /// `XEN_DOMCTL_VM_EVENT_OP_MONITOR`: the monitor.
    pub XEN_DOMCTL_VM_EVENT_OP_MONITOR: u32 = 2;
    /// `XEN_DOMCTL_VM_EVENT_OP_SHARING`: the sharer.
    pub XEN_DOMCTL_VM_EVENT_OP_SHARING: u32 = 3;
    /// `XEN_DOMCTL_MONITOR_OP_ENABLE`: begins.
    pub XEN_DOMCTL_MONITOR_OP_ENABLE: u32 = 0;
    /// `XEN_DOMCTL_MONITOR_OP_DISABLE`: ends.
    pub XEN_DOMCTL_MONITOR_OP_DISABLE: u32 = 1;
    /// `XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES`: what can be watched.
    pub XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES: u32 = 2;
    /// `offsetof(struct xen_domctl_scheduler_op, u)`: where the scheduler's own part is.
    pub SCHEDULER_OP_U as "offsetof(struct xen_domctl_scheduler_op, u)": usize = 8;
}

layout! {
    /// `struct xen_domctl_createdomain`: a new domain, on Arm. On x86 it ends otherwise:
    /// [`crate::arch_x86_64::Createdomain`].
    pub struct Createdomain: "struct xen_domctl_createdomain", 68, Arm64 {
        /// IN: its label.
        0 => pub ssidref: u32,
        /// IN: its UUID.
        4 => pub handle: [u8; 16],
        /// IN: `XEN_DOMCTL_CDF_*`.
        20 => pub flags: u32,
        /// IN: `XEN_DOMCTL_IOMMU_*`.
        24 => pub iommu_opts: u32,
        /// IN: vCPUs it may have.
        28 => pub max_vcpus: u32,
        /// IN: the last port it may have.
        32 => pub max_evtchn_port: u32,
        /// IN: frames of its grant table; negative for the host's default.
        36 => pub max_grant_frames: i32,
        /// IN: frames for its mappings; negative for the host's default.
        40 => pub max_maptrack_frames: i32,
        /// IN: [`XEN_DOMCTL_GRANT_VERSION_MASK`].
        44 => pub grant_opts: u32,
        /// IN: bytes of an instruction trace for each vCPU.
        48 => pub vmtrace_size: u32,
        /// IN: its processors.
        52 => pub cpupool_id: u32,
        /// IN and OUT: what the architecture needs.
        56 => pub arch: ArchDomainconfig,
    }

    /// `struct xen_domctl_getdomaininfo`: what a domain is like, on Arm. On x86 it ends otherwise:
    /// [`crate::arch_x86_64::Getdomaininfo`].
    pub struct Getdomaininfo: "struct xen_domctl_getdomaininfo", 120, Arm64 {
        /// OUT: the domain.
        0 => pub domain: u16,
        /// C's padding.
        2 => pub pad1: u16,
        /// OUT: `XEN_DOMINF_*`.
        4 => pub flags: u32,
        /// OUT: pages it has.
        8 => pub tot_pages: u64,
        /// OUT: pages it may have.
        16 => pub max_pages: u64,
        /// OUT: pages it has a claim on.
        24 => pub outstanding_pages: u64,
        /// OUT: pages it shares.
        32 => pub shr_pages: u64,
        /// OUT: pages that are paged out.
        40 => pub paged_pages: u64,
        /// OUT: the frame of shared_info; ~0 if there is none.
        48 => pub shared_info_frame: u64,
        /// OUT: nanoseconds that all its vCPUs have run.
        56 => pub cpu_time: u64,
        /// OUT: vCPUs that are up.
        64 => pub nr_online_vcpus: u32,
        /// OUT: the last vCPU.
        68 => pub max_vcpu_id: u32,
        /// OUT: its label.
        72 => pub ssidref: u32,
        /// OUT: its UUID.
        76 => pub handle: [u8; 16],
        /// OUT: its processors.
        92 => pub cpupool: u32,
        /// OUT: bits of its physical addresses.
        96 => pub gpaddr_bits: u8,
        /// C's padding.
        97 => pub pad2: [u8; 7],
        /// OUT: what it was created with.
        104 => pub arch_config: ArchDomainconfig,
    }

    /// `struct xen_domctl_sched_credit`: of Credit.
    pub struct SchedCredit: "struct xen_domctl_sched_credit", 4 {
        /// Its share.
        0 => pub weight: u16,
        /// Its limit in percent of a processor; 0 for none.
        2 => pub cap: u16,
    }

    /// `struct xen_domctl_sched_credit2`: of Credit 2.
    pub struct SchedCredit2: "struct xen_domctl_sched_credit2", 4 {
        /// Its share.
        0 => pub weight: u16,
        /// Its limit in percent of a processor; 0 for none.
        2 => pub cap: u16,
    }

    /// `struct xen_domctl_sched_rtds`: of RTDS.
    pub struct SchedRtds: "struct xen_domctl_sched_rtds", 12 {
        /// Microseconds.
        0 => pub period: u32,
        /// Microseconds in each period.
        4 => pub budget: u32,
        /// [`XEN_DOMCTL_SCHEDRT_EXTRA`].
        8 => pub flags: u32,
    }

    /// `struct xen_domctl_schedparam_vcpu`: of one vCPU.
    pub struct SchedparamVcpu: "struct xen_domctl_schedparam_vcpu", 16 {
        /// The scheduler's own part.
        0 => pub u: [u8; 12],
        /// The vCPU.
        12 => pub vcpuid: u32,
    }

    /// `struct xen_domctl_scheduler_op`: parameters of scheduling.
    pub struct SchedulerOp: "struct xen_domctl_scheduler_op", 24 {
        /// IN: `XEN_SCHEDULER_*`.
        0 => pub sched_id: u32,
        /// IN: `XEN_DOMCTL_SCHEDOP_*`.
        4 => pub cmd: u32,
        /// IN or OUT: [`SchedCredit`], [`SchedCredit2`], [`SchedRtds`], or [`SchedulerOpVcpus`].
        8 => pub u: [u8; 16],
    }

    /// `struct xen_domctl_scheduler_op.u.v`: those of vCPUs.
    pub struct SchedulerOpVcpus: "__typeof__(((struct xen_domctl_scheduler_op *)0)->u.v)", 16 {
        /// IN and OUT: the vCPUs.
        0 => pub vcpus: Handle<SchedparamVcpu>,
        /// IN and OUT: how many.
        8 => pub nr_vcpus: u32,
        /// Ignored.
        12 => pub padding: u32,
    }

    /// `struct xen_domctl_setdomainhandle`: a UUID.
    pub struct Setdomainhandle: "struct xen_domctl_setdomainhandle", 16 {
        /// IN: the UUID.
        0 => pub handle: [u8; 16],
    }

    /// `struct xen_domctl_setdebugging`: whether it has a debugger.
    pub struct Setdebugging: "struct xen_domctl_setdebugging", 1 {
        /// IN: not zero for yes.
        0 => pub enable: u8,
    }

    /// `struct xen_domctl_settimeoffset`: what its wall clock says.
    pub struct Settimeoffset: "struct xen_domctl_settimeoffset", 8 {
        /// IN: seconds from UTC.
        0 => pub time_offset_seconds: i64,
    }

    /// `struct xen_domctl_hypercall_init`: the page of hypercalls.
    pub struct HypercallInit: "struct xen_domctl_hypercall_init", 8 {
        /// IN: where it is wanted.
        0 => pub gmfn: u64,
    }

    /// `struct xen_domctl_address_size`: the width of its addresses.
    pub struct AddressSize: "struct xen_domctl_address_size", 4 {
        /// IN or OUT: 32 or 64.
        0 => pub size: u32,
    }

    /// `struct xen_domctl_set_target`: the domain that this one serves as a device model.
    pub struct SetTarget: "struct xen_domctl_set_target", 2 {
        /// IN: that domain.
        0 => pub target: u16,
    }

    /// `struct xen_domctl_subscribe`: a port that is told when the domain suspends.
    pub struct Subscribe: "struct xen_domctl_subscribe", 4 {
        /// IN: the port.
        0 => pub port: u32,
    }

    /// `struct xen_domctl_set_virq_handler`: who gets a global virtual interrupt.
    pub struct SetVirqHandler: "struct xen_domctl_set_virq_handler", 4 {
        /// IN: the interrupt.
        0 => pub virq: u32,
    }

    /// `struct xen_domctl_hvmcontext`: the domain's saved state.
    pub struct Hvmcontext: "struct xen_domctl_hvmcontext", 16 {
        /// IN: size of the buffer. OUT: size of the state.
        0 => pub size: u32,
        /// IN or OUT: the state.
        8 => pub buffer: Handle<u8>,
    }

    /// `struct xen_domctl_hvmcontext_partial`: one record of it.
    pub struct HvmcontextPartial: "struct xen_domctl_hvmcontext_partial", 24 {
        /// IN: which kind.
        0 => pub kind as "type": u32,
        /// IN: which one.
        4 => pub instance: u32,
        /// IN: size of the buffer. OUT: size of the record.
        8 => pub bufsz: u64,
        /// OUT: the record.
        16 => pub buffer: Handle<u8>,
    }

    /// `struct xen_domctl_tsc_info`: the time stamp counter.
    pub struct TscInfo: "struct xen_domctl_tsc_info", 24 {
        /// IN or OUT: the mode.
        0 => pub tsc_mode: u32,
        /// IN or OUT: the frequency.
        4 => pub gtsc_khz: u32,
        /// IN or OUT: how often it was restored.
        8 => pub incarnation: u32,
        /// C's padding.
        12 => pub pad: u32,
        /// IN or OUT: nanoseconds that it has counted.
        16 => pub elapsed_nsec: u64,
    }

    /// `struct xen_domctl_vm_event_op`: rings of events about memory.
    pub struct VmEventOp: "struct xen_domctl_vm_event_op", 12 {
        /// IN: `XEN_VM_EVENT_*`.
        0 => pub op: u32,
        /// IN: `XEN_DOMCTL_VM_EVENT_OP_*`.
        4 => pub mode: u32,
        /// OUT: the port or the version.
        8 => pub u: u32,
    }

    /// `struct xen_domctl_monitor_op`: what the monitor watches.
    pub struct MonitorOp: "struct xen_domctl_monitor_op", 24 {
        /// IN: `XEN_DOMCTL_MONITOR_OP_*`.
        0 => pub op: u32,
        /// IN: which events. OUT: those there are.
        4 => pub event: u32,
        /// IN: the event's own part.
        8 => pub u: [u8; 16],
    }

    /// `struct xen_domctl_cpu_policy`: what CPUID and MSRs say.
    pub struct CpuPolicy: "struct xen_domctl_cpu_policy", 40, X86 {
        /// IN: room. OUT: number of leaves.
        0 => pub nr_leaves: u32,
        /// IN: room. OUT: number of MSRs.
        4 => pub nr_msrs: u32,
        /// IN or OUT: [`crate::arch_x86_64::CpuidLeaf`] each.
        8 => pub leaves: Handle<u8>,
        /// IN or OUT: [`crate::arch_x86_64::MsrEntry`] each.
        16 => pub msrs: Handle<u8>,
        /// OUT: the leaf that is refused.
        24 => pub err_leaf: u32,
        /// OUT: the subleaf that is refused.
        28 => pub err_subleaf: u32,
        /// OUT: the MSR that is refused.
        32 => pub err_msr: u32,
    }
}
