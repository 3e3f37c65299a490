//! `public/sysctl.h`: the whole host, for the toolstack. Of operations that no tool needs on Arm there are the
//! numbers.

use crate::layout::{Handle, constants, layout};
use crate::physdev::PhysdevPciDevice;
use crate::xen::XenctlBitmap;

constants! {
    /// `XEN_SYSCTL_INTERFACE_VERSION`: the version that callers must speak.
    pub XEN_SYSCTL_INTERFACE_VERSION: u32 = 0x15;

    // xen_sysctl.cmd.
    /// `XEN_SYSCTL_readconsole`: [`Readconsole`].
    pub XEN_SYSCTL_READCONSOLE as "XEN_SYSCTL_readconsole": u32 = 1;
    /// `XEN_SYSCTL_tbuf_op`: [`TbufOp`].
    pub XEN_SYSCTL_TBUF_OP as "XEN_SYSCTL_tbuf_op": u32 = 2;
    /// `XEN_SYSCTL_physinfo`: [`Physinfo`].
    pub XEN_SYSCTL_PHYSINFO as "XEN_SYSCTL_physinfo": u32 = 3;
    /// `XEN_SYSCTL_sched_id`: [`SchedId`].
    pub XEN_SYSCTL_SCHED_ID as "XEN_SYSCTL_sched_id": u32 = 4;
    /// `XEN_SYSCTL_perfc_op`: counters of a debug build.
    pub XEN_SYSCTL_PERFC_OP as "XEN_SYSCTL_perfc_op": u32 = 5;
    /// `XEN_SYSCTL_getdomaininfolist`: [`Getdomaininfolist`].
    pub XEN_SYSCTL_GETDOMAININFOLIST as "XEN_SYSCTL_getdomaininfolist": u32 = 6;
    /// `XEN_SYSCTL_debug_keys`: [`DebugKeys`].
    pub XEN_SYSCTL_DEBUG_KEYS as "XEN_SYSCTL_debug_keys": u32 = 7;
    /// `XEN_SYSCTL_getcpuinfo`: [`Getcpuinfo`].
    pub XEN_SYSCTL_GETCPUINFO as "XEN_SYSCTL_getcpuinfo": u32 = 8;
    /// `XEN_SYSCTL_availheap`: [`Availheap`].
    pub XEN_SYSCTL_AVAILHEAP as "XEN_SYSCTL_availheap": u32 = 9;
    /// `XEN_SYSCTL_get_pmstat`: power management.
    pub XEN_SYSCTL_GET_PMSTAT as "XEN_SYSCTL_get_pmstat": u32 = 10;
    /// `XEN_SYSCTL_cpu_hotplug`: [`CpuHotplug`].
    pub XEN_SYSCTL_CPU_HOTPLUG as "XEN_SYSCTL_cpu_hotplug": u32 = 11;
    /// `XEN_SYSCTL_pm_op`: power management.
    pub XEN_SYSCTL_PM_OP as "XEN_SYSCTL_pm_op": u32 = 12;
    /// `XEN_SYSCTL_page_offline_op`: [`PageOfflineOp`].
    pub XEN_SYSCTL_PAGE_OFFLINE_OP as "XEN_SYSCTL_page_offline_op": u32 = 14;
    /// `XEN_SYSCTL_lockprof_op`: counters of a debug build.
    pub XEN_SYSCTL_LOCKPROF_OP as "XEN_SYSCTL_lockprof_op": u32 = 15;
    /// `XEN_SYSCTL_cputopoinfo`: [`Cputopoinfo`].
    pub XEN_SYSCTL_CPUTOPOINFO as "XEN_SYSCTL_cputopoinfo": u32 = 16;
    /// `XEN_SYSCTL_numainfo`: [`Numainfo`].
    pub XEN_SYSCTL_NUMAINFO as "XEN_SYSCTL_numainfo": u32 = 17;
    /// `XEN_SYSCTL_cpupool_op`: [`CpupoolOp`].
    pub XEN_SYSCTL_CPUPOOL_OP as "XEN_SYSCTL_cpupool_op": u32 = 18;
    /// `XEN_SYSCTL_scheduler_op`: [`SchedulerOp`].
    pub XEN_SYSCTL_SCHEDULER_OP as "XEN_SYSCTL_scheduler_op": u32 = 19;
    /// `XEN_SYSCTL_coverage_op`: counters of a debug build.
    pub XEN_SYSCTL_COVERAGE_OP as "XEN_SYSCTL_coverage_op": u32 = 20;
    /// `XEN_SYSCTL_psr_cmt_op`: x86: shares of caches.
    pub XEN_SYSCTL_PSR_CMT_OP as "XEN_SYSCTL_psr_cmt_op": u32 = 21;
    /// `XEN_SYSCTL_pcitopoinfo`: [`Pcitopoinfo`].
    pub XEN_SYSCTL_PCITOPOINFO as "XEN_SYSCTL_pcitopoinfo": u32 = 22;
    /// `XEN_SYSCTL_psr_alloc`: x86: shares of caches.
    pub XEN_SYSCTL_PSR_ALLOC as "XEN_SYSCTL_psr_alloc": u32 = 23;
    /// `XEN_SYSCTL_get_cpu_levelling_caps`: x86: [`CpuLevellingCaps`].
    pub XEN_SYSCTL_GET_CPU_LEVELLING_CAPS as "XEN_SYSCTL_get_cpu_levelling_caps": u32 = 25;
    /// `XEN_SYSCTL_get_cpu_featureset`: x86: [`CpuFeatureset`].
    pub XEN_SYSCTL_GET_CPU_FEATURESET as "XEN_SYSCTL_get_cpu_featureset": u32 = 26;
    /// `XEN_SYSCTL_livepatch_op`: patches of the hypervisor.
    pub XEN_SYSCTL_LIVEPATCH_OP as "XEN_SYSCTL_livepatch_op": u32 = 27;
    /// `XEN_SYSCTL_get_cpu_policy`: x86: [`CpuPolicy`].
    pub XEN_SYSCTL_GET_CPU_POLICY as "XEN_SYSCTL_get_cpu_policy": u32 = 29;

    // tbuf_op.cmd.
    /// `XEN_SYSCTL_TBUFOP_get_info`: where the trace is.
    pub XEN_SYSCTL_TBUFOP_GET_INFO as "XEN_SYSCTL_TBUFOP_get_info": u32 = 0;
    /// `XEN_SYSCTL_TBUFOP_set_cpu_mask`: whose trace.
    pub XEN_SYSCTL_TBUFOP_SET_CPU_MASK as "XEN_SYSCTL_TBUFOP_set_cpu_mask": u32 = 1;
    /// `XEN_SYSCTL_TBUFOP_set_evt_mask`: of what.
    pub XEN_SYSCTL_TBUFOP_SET_EVT_MASK as "XEN_SYSCTL_TBUFOP_set_evt_mask": u32 = 2;
    /// `XEN_SYSCTL_TBUFOP_set_size`: pages of each processor.
    pub XEN_SYSCTL_TBUFOP_SET_SIZE as "XEN_SYSCTL_TBUFOP_set_size": u32 = 3;
    /// `XEN_SYSCTL_TBUFOP_enable`: begins.
    pub XEN_SYSCTL_TBUFOP_ENABLE as "XEN_SYSCTL_TBUFOP_enable": u32 = 4;
    /// `XEN_SYSCTL_TBUFOP_disable`: ends.
    pub XEN_SYSCTL_TBUFOP_DISABLE as "XEN_SYSCTL_TBUFOP_disable": u32 = 5;

    // physinfo.capabilities.
    /// `XEN_SYSCTL_PHYSCAP_hvm`: domains with hardware's look.
    pub XEN_SYSCTL_PHYSCAP_HVM as "XEN_SYSCTL_PHYSCAP_hvm": u32 = 1;
    /// `XEN_SYSCTL_PHYSCAP_pv`: PV domains.
    pub XEN_SYSCTL_PHYSCAP_PV as "XEN_SYSCTL_PHYSCAP_pv": u32 = 2;
    /// `XEN_SYSCTL_PHYSCAP_directio`: devices for domains.
    pub XEN_SYSCTL_PHYSCAP_DIRECTIO as "XEN_SYSCTL_PHYSCAP_directio": u32 = 4;
    /// `XEN_SYSCTL_PHYSCAP_hap`: the hardware translates addresses.
    pub XEN_SYSCTL_PHYSCAP_HAP as "XEN_SYSCTL_PHYSCAP_hap": u32 = 8;
    /// `XEN_SYSCTL_PHYSCAP_shadow`: shadow page tables.
    pub XEN_SYSCTL_PHYSCAP_SHADOW as "XEN_SYSCTL_PHYSCAP_shadow": u32 = 16;
    /// `XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share`: devices can use the processors' map.
    pub XEN_SYSCTL_PHYSCAP_IOMMU_HAP_PT_SHARE as "XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share": u32 = 32;
    /// `XEN_SYSCTL_PHYSCAP_vmtrace`: instruction traces.
    pub XEN_SYSCTL_PHYSCAP_VMTRACE as "XEN_SYSCTL_PHYSCAP_vmtrace": u32 = 64;
    /// `XEN_SYSCTL_PHYSCAP_vpmu`: performance counters.
    pub XEN_SYSCTL_PHYSCAP_VPMU as "XEN_SYSCTL_PHYSCAP_vpmu": u32 = 128;
    /// `XEN_SYSCTL_PHYSCAP_gnttab_v1`: grants of version 1.
    pub XEN_SYSCTL_PHYSCAP_GNTTAB_V1 as "XEN_SYSCTL_PHYSCAP_gnttab_v1": u32 = 256;
    /// `XEN_SYSCTL_PHYSCAP_gnttab_v2`: grants of version 2.
    pub XEN_SYSCTL_PHYSCAP_GNTTAB_V2 as "XEN_SYSCTL_PHYSCAP_gnttab_v2": u32 = 512;

    // cpupool_op.op.
    /// `XEN_SYSCTL_CPUPOOL_OP_CREATE`: a new pool.
    pub XEN_SYSCTL_CPUPOOL_OP_CREATE: u32 = 1;
    /// `XEN_SYSCTL_CPUPOOL_OP_DESTROY`: a pool's end.
    pub XEN_SYSCTL_CPUPOOL_OP_DESTROY: u32 = 2;
    /// `XEN_SYSCTL_CPUPOOL_OP_INFO`: the first pool that is not before the given one.
    pub XEN_SYSCTL_CPUPOOL_OP_INFO: u32 = 3;
    /// `XEN_SYSCTL_CPUPOOL_OP_ADDCPU`: a processor comes.
    pub XEN_SYSCTL_CPUPOOL_OP_ADDCPU: u32 = 4;
    /// `XEN_SYSCTL_CPUPOOL_OP_RMCPU`: a processor goes.
    pub XEN_SYSCTL_CPUPOOL_OP_RMCPU: u32 = 5;
    /// `XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN`: a domain changes its pool.
    pub XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN: u32 = 6;
    /// `XEN_SYSCTL_CPUPOOL_OP_FREEINFO`: processors of no pool.
    pub XEN_SYSCTL_CPUPOOL_OP_FREEINFO: u32 = 7;
    /// `XEN_SYSCTL_CPUPOOL_PAR_ANY`: any pool or processor.
    pub XEN_SYSCTL_CPUPOOL_PAR_ANY: u32 = 0xffff_ffff;

    // cpu_hotplug.op.
    /// `XEN_SYSCTL_CPU_HOTPLUG_ONLINE`: a processor begins.
    pub XEN_SYSCTL_CPU_HOTPLUG_ONLINE: u32 = 0;
    /// `XEN_SYSCTL_CPU_HOTPLUG_OFFLINE`: a processor ends.
    pub XEN_SYSCTL_CPU_HOTPLUG_OFFLINE: u32 = 1;
    /// `XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE`: second threads begin.
    pub XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE: u32 = 2;
    /// `XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE`: second threads end.
    pub XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE: u32 = 3;

    // scheduler_op.
    /// `XEN_SYSCTL_SCHEDOP_putinfo`: sets parameters.
    pub XEN_SYSCTL_SCHEDOP_PUTINFO as "XEN_SYSCTL_SCHEDOP_putinfo": u32 = 0;
    /// `XEN_SYSCTL_SCHEDOP_getinfo`: tells parameters.
    pub XEN_SYSCTL_SCHEDOP_GETINFO as "XEN_SYSCTL_SCHEDOP_getinfo": u32 = 1;
    /// `XEN_SYSCTL_SCHED_RATELIMIT_MAX`: microseconds.
    pub XEN_SYSCTL_SCHED_RATELIMIT_MAX: u32 = 500_000;
    /// `XEN_SYSCTL_SCHED_RATELIMIT_MIN`: microseconds.
    pub XEN_SYSCTL_SCHED_RATELIMIT_MIN: u32 = 100;
    /// `XEN_SYSCTL_CSCHED_TSLICE_MAX`: milliseconds.
    pub XEN_SYSCTL_CSCHED_TSLICE_MAX: u32 = 1000;
    /// `XEN_SYSCTL_CSCHED_TSLICE_MIN`: milliseconds.
    pub XEN_SYSCTL_CSCHED_TSLICE_MIN: u32 = 1;
    /// `XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US`: microseconds.
    pub XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US: u32 = 100_000;
    /// `ARINC653_MAX_DOMAINS_PER_SCHEDULE`: entries of a schedule.
    pub ARINC653_MAX_DOMAINS_PER_SCHEDULE: u32 = 64;

    // Numbers that say "none".
    /// `XEN_INVALID_CORE_ID`: no core.
    pub XEN_INVALID_CORE_ID: u32 = 0xffff_ffff;
    /// `XEN_INVALID_SOCKET_ID`: no socket.
    pub XEN_INVALID_SOCKET_ID: u32 = 0xffff_ffff;
    /// `XEN_INVALID_NODE_ID`: no node.
    pub XEN_INVALID_NODE_ID: u32 = 0xffff_ffff;
    /// `XEN_INVALID_MEM_SZ`: no memory.
    pub XEN_INVALID_MEM_SZ: u32 = 0xffff_ffff;
    /// `XEN_INVALID_NODE_DIST`: no distance.
    pub XEN_INVALID_NODE_DIST: u32 = 0xffff_ffff;
    /// `XEN_INVALID_DEV`: no device.
    pub XEN_INVALID_DEV: u32 = 0xffff_fffe;
    /// `offsetof(struct xen_sysctl, u)`: where the operation's own part is.
    pub SYSCTL_U as "offsetof(struct xen_sysctl, u)": usize = 8;
}

layout! {
    /// `struct xen_sysctl`: an operation.
    pub struct Sysctl: "struct xen_sysctl", 136 {
        /// IN: `XEN_SYSCTL_*`.
        0 => pub cmd: u32,
        /// IN: [`XEN_SYSCTL_INTERFACE_VERSION`].
        4 => pub interface_version: u32,
        /// The operation's own part.
        8 => pub u: [u8; 128],
    }

    /// `struct xen_sysctl_readconsole`: what the hypervisor has said.
    pub struct Readconsole: "struct xen_sysctl_readconsole", 24 {
        /// IN: not zero: and forget it.
        0 => pub clear: u8,
        /// IN: not zero: from index on.
        1 => pub incremental: u8,
        /// C's padding.
        2 => pub pad0: u8,
        /// C's padding.
        3 => pub pad1: u8,
        /// IN and OUT: where to begin, where it ended.
        4 => pub index: u32,
        /// OUT: the text.
        8 => pub buffer: Handle<u8>,
        /// IN: room. OUT: bytes.
        16 => pub count: u32,
    }

    /// `struct xen_sysctl_tbuf_op`: the trace.
    pub struct TbufOp: "struct xen_sysctl_tbuf_op", 48 {
        /// IN: `XEN_SYSCTL_TBUFOP_*`.
        0 => pub cmd: u32,
        /// IN and OUT: whose.
        8 => pub cpu_mask: XenctlBitmap,
        /// IN and OUT: of what.
        24 => pub evt_mask: u32,
        /// OUT: where.
        32 => pub buffer_mfn: u64,
        /// IN and OUT: how large.
        40 => pub size: u32,
    }

    /// `struct xen_sysctl_physinfo`: what the host is like.
    pub struct Physinfo: "struct xen_sysctl_physinfo", 112 {
        /// OUT: threads of a core.
        0 => pub threads_per_core: u32,
        /// OUT: cores of a socket.
        4 => pub cores_per_socket: u32,
        /// OUT: processors that run.
        8 => pub nr_cpus: u32,
        /// OUT: the last processor there can be.
        12 => pub max_cpu_id: u32,
        /// OUT: nodes.
        16 => pub nr_nodes: u32,
        /// OUT: the last node there can be.
        20 => pub max_node_id: u32,
        /// OUT: the frequency.
        24 => pub cpu_khz: u32,
        /// OUT: `XEN_SYSCTL_PHYSCAP_*`.
        28 => pub capabilities: u32,
        /// OUT: the architecture's own.
        32 => pub arch_capabilities: u32,
        /// C's padding.
        36 => pub pad: u32,
        /// OUT: pages of RAM.
        40 => pub total_pages: u64,
        /// OUT: pages that are free.
        48 => pub free_pages: u64,
        /// OUT: pages that are not yet clean.
        56 => pub scrub_pages: u64,
        /// OUT: pages that somebody has a claim on.
        64 => pub outstanding_pages: u64,
        /// OUT: the last frame there can be.
        72 => pub max_mfn: u64,
        /// OUT: x86's features.
        80 => pub hw_cap: [u32; 8],
    }

    /// `struct xen_sysctl_sched_id`: the default scheduler.
    pub struct SchedId: "struct xen_sysctl_sched_id", 4 {
        /// OUT: `XEN_SCHEDULER_*`.
        0 => pub sched_id: u32,
    }

    /// `struct xen_sysctl_getdomaininfolist`: many domains.
    pub struct Getdomaininfolist: "struct xen_sysctl_getdomaininfolist", 24 {
        /// IN: the first one wanted.
        0 => pub first_domain: u16,
        /// IN: room.
        4 => pub max_domains: u32,
        /// OUT: a getdomaininfo each.
        8 => pub buffer: Handle<u8>,
        /// OUT: how many.
        16 => pub num_domains: u32,
    }

    /// `struct xen_sysctl_debug_keys`: keys as if typed at the console.
    pub struct DebugKeys: "struct xen_sysctl_debug_keys", 16 {
        /// IN: the keys.
        0 => pub keys: Handle<u8>,
        /// IN: how many.
        8 => pub nr_keys: u32,
    }

    /// `struct xen_sysctl_cpuinfo`: a processor.
    pub struct Cpuinfo: "struct xen_sysctl_cpuinfo", 8 {
        /// Nanoseconds that it had nothing to do.
        0 => pub idletime: u64,
    }

    /// `struct xen_sysctl_getcpuinfo`: all processors.
    pub struct Getcpuinfo: "struct xen_sysctl_getcpuinfo", 24 {
        /// IN: room.
        0 => pub max_cpus: u32,
        /// OUT: the processors.
        8 => pub info: Handle<Cpuinfo>,
        /// OUT: how many.
        16 => pub nr_cpus: u32,
    }

    /// `struct xen_sysctl_availheap`: memory that is free.
    pub struct Availheap: "struct xen_sysctl_availheap", 24 {
        /// IN: bits of the smallest address.
        0 => pub min_bitwidth: u32,
        /// IN: bits of the largest; 0 for all.
        4 => pub max_bitwidth: u32,
        /// IN: which node; -1 for all.
        8 => pub node: i32,
        /// OUT: bytes.
        16 => pub avail_bytes: u64,
    }

    /// `struct xen_sysctl_cpu_hotplug`: processors that come and go.
    pub struct CpuHotplug: "struct xen_sysctl_cpu_hotplug", 8 {
        /// IN: the processor.
        0 => pub cpu: u32,
        /// IN: `XEN_SYSCTL_CPU_HOTPLUG_*`.
        4 => pub op: u32,
    }

    /// `struct xen_sysctl_page_offline_op`: pages that are no longer used.
    pub struct PageOfflineOp: "struct xen_sysctl_page_offline_op", 24 {
        /// IN: what to do.
        0 => pub cmd: u32,
        /// IN: the first frame.
        4 => pub start: u32,
        /// IN: the last one.
        8 => pub end: u32,
        /// OUT: how each is.
        16 => pub status: Handle<u32>,
    }

    /// `struct xen_sysctl_cputopo`: where a processor is.
    pub struct Cputopo: "struct xen_sysctl_cputopo", 12 {
        /// Its core.
        0 => pub core: u32,
        /// Its socket.
        4 => pub socket: u32,
        /// Its node.
        8 => pub node: u32,
    }

    /// `struct xen_sysctl_cputopoinfo`: where all processors are.
    pub struct Cputopoinfo: "struct xen_sysctl_cputopoinfo", 16 {
        /// IN: room. OUT: how many.
        0 => pub num_cpus: u32,
        /// OUT: the processors; null asks for their number.
        8 => pub cputopo: Handle<Cputopo>,
    }

    /// `struct xen_sysctl_meminfo`: a node's memory.
    pub struct Meminfo: "struct xen_sysctl_meminfo", 16 {
        /// Bytes.
        0 => pub memsize: u64,
        /// Bytes that are free.
        8 => pub memfree: u64,
    }

    /// `struct xen_sysctl_numainfo`: all nodes.
    pub struct Numainfo: "struct xen_sysctl_numainfo", 24 {
        /// IN: room. OUT: how many.
        0 => pub num_nodes: u32,
        /// OUT: their memory.
        8 => pub meminfo: Handle<Meminfo>,
        /// OUT: distances, a row for each.
        16 => pub distance: Handle<u32>,
    }

    /// `struct xen_sysctl_pcitopoinfo`: where devices are.
    pub struct Pcitopoinfo: "struct xen_sysctl_pcitopoinfo", 24 {
        /// IN: how many. OUT: how many are done.
        0 => pub num_devs: u32,
        /// IN: the devices.
        8 => pub devs: Handle<PhysdevPciDevice>,
        /// OUT: their nodes.
        16 => pub nodes: Handle<u32>,
    }

    /// `struct xen_sysctl_cpupool_op`: pools of processors.
    pub struct CpupoolOp: "struct xen_sysctl_cpupool_op", 40 {
        /// IN: `XEN_SYSCTL_CPUPOOL_OP_*`.
        0 => pub op: u32,
        /// IN and OUT: the pool.
        4 => pub cpupool_id: u32,
        /// IN or OUT: `XEN_SCHEDULER_*`.
        8 => pub sched_id: u32,
        /// IN: the domain.
        12 => pub domid: u32,
        /// IN: the processor.
        16 => pub cpu: u32,
        /// OUT: its domains.
        20 => pub n_dom: u32,
        /// OUT: its processors.
        24 => pub cpumap: XenctlBitmap,
    }

    /// `struct xen_sysctl_arinc653_schedule.sched_entries[0]`: one turn of a schedule.
    pub struct Arinc653Entry: "__typeof__(((struct xen_sysctl_arinc653_schedule *)0)->sched_entries[0])", 32 {
        /// Whose turn.
        0 => pub dom_handle: [u8; 16],
        /// Which vCPU's.
        16 => pub vcpu_id: u32,
        /// Nanoseconds.
        24 => pub runtime: u64,
    }

    /// `struct xen_sysctl_arinc653_schedule`: a schedule.
    pub struct Arinc653Schedule: "struct xen_sysctl_arinc653_schedule", 2064 {
        /// Nanoseconds of one round.
        0 => pub major_frame: u64,
        /// Turns of one round.
        8 => pub num_sched_entries: u8,
        /// The turns.
        16 => pub sched_entries: [Arinc653Entry; 64],
    }

    /// `struct xen_sysctl_credit_schedule`: of Credit.
    pub struct CreditSchedule: "struct xen_sysctl_credit_schedule", 12 {
        /// Milliseconds of a turn.
        0 => pub tslice_ms: u32,
        /// Microseconds that nobody is taken from.
        4 => pub ratelimit_us: u32,
        /// Microseconds that keep a cache warm.
        8 => pub vcpu_migr_delay_us: u32,
    }

    /// `struct xen_sysctl_credit2_schedule`: of Credit 2.
    pub struct Credit2Schedule: "struct xen_sysctl_credit2_schedule", 4 {
        /// Microseconds that nobody is taken from.
        0 => pub ratelimit_us: u32,
    }

    /// `struct xen_sysctl_scheduler_op`: a pool's parameters of scheduling.
    pub struct SchedulerOp: "struct xen_sysctl_scheduler_op", 32 {
        /// IN: the pool.
        0 => pub cpupool_id: u32,
        /// IN: `XEN_SCHEDULER_*`.
        4 => pub sched_id: u32,
        /// IN: `XEN_SYSCTL_SCHEDOP_*`.
        8 => pub cmd: u32,
        /// IN or OUT: [`CreditSchedule`], [`Credit2Schedule`], or a handle of [`Arinc653Schedule`].
        16 => pub u: [u8; 16],
    }

    /// `struct xen_sysctl_cpu_levelling_caps`: how CPUID can be changed.
    pub struct CpuLevellingCaps: "struct xen_sysctl_cpu_levelling_caps", 4 {
        /// OUT: bits.
        0 => pub caps: u32,
    }

    /// `struct xen_sysctl_cpu_featureset`: features of x86.
    pub struct CpuFeatureset: "struct xen_sysctl_cpu_featureset", 16 {
        /// IN: which set.
        0 => pub index: u32,
        /// IN: room. OUT: words.
        4 => pub nr_features: u32,
        /// OUT: the words.
        8 => pub features: Handle<u32>,
    }

    /// `struct xen_sysctl_cpu_policy`: what CPUID and MSRs say.
    pub struct CpuPolicy: "struct xen_sysctl_cpu_policy", 32, X86 {
        /// IN: which policy.
        0 => pub index: u32,
        /// IN: room. OUT: number of leaves.
        4 => pub nr_leaves: u32,
        /// IN: room. OUT: number of MSRs.
        8 => pub nr_msrs: u32,
        /// Zero.
        12 => pub rsvd as "_rsvd": u32,
        /// OUT: [`crate::arch_x86_64::CpuidLeaf`] each.
        16 => pub leaves: Handle<u8>,
        /// OUT: [`crate::arch_x86_64::MsrEntry`] each.
        24 => pub msrs: Handle<u8>,
    }
}
