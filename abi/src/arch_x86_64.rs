//! `public/arch-x86/xen.h`, `xen-x86_64.h` and others of x86: the pages that a guest shares, what a domain is created
//! with, what CPUID and MSRs say.

pub mod paravirtual;
pub mod start;

use crate::layout::{constants, layout};
use crate::xen::VcpuTimeInfo;

constants! {
    /// `XEN_LEGACY_MAX_VCPUS`: vCPUs whose vcpu_info is in shared_info.
    pub XEN_LEGACY_MAX_VCPUS: u32 = 32;

    // arch_domainconfig.emulation_flags.
    /// `XEN_X86_EMU_LAPIC`: local APICs.
    pub XEN_X86_EMU_LAPIC: u32 = 1;
    /// `XEN_X86_EMU_HPET`: HPET.
    pub XEN_X86_EMU_HPET: u32 = 2;
    /// `XEN_X86_EMU_PM`: power management.
    pub XEN_X86_EMU_PM: u32 = 4;
    /// `XEN_X86_EMU_RTC`: RTC.
    pub XEN_X86_EMU_RTC: u32 = 8;
    /// `XEN_X86_EMU_IOAPIC`: IO-APIC.
    pub XEN_X86_EMU_IOAPIC: u32 = 16;
    /// `XEN_X86_EMU_PIC`: PIC.
    pub XEN_X86_EMU_PIC: u32 = 32;
    /// `XEN_X86_EMU_VGA`: VGA.
    pub XEN_X86_EMU_VGA: u32 = 64;
    /// `XEN_X86_EMU_IOMMU`: IOMMU.
    pub XEN_X86_EMU_IOMMU: u32 = 128;
    /// `XEN_X86_EMU_PIT`: PIT.
    pub XEN_X86_EMU_PIT: u32 = 256;
    /// `XEN_X86_EMU_USE_PIRQ`: devices' interrupts as event channels.
    pub XEN_X86_EMU_USE_PIRQ: u32 = 512;
    /// `XEN_X86_EMU_VPCI`: PCI.
    pub XEN_X86_EMU_VPCI: u32 = 1024;
    /// `XEN_X86_EMU_ALL`: all of these.
    pub XEN_X86_EMU_ALL: u32 = 0x7ff;
    /// `XEN_X86_MSR_RELAXED`: arch_domainconfig.misc_flags: unknown MSRs read as zero.
    pub XEN_X86_MSR_RELAXED: u32 = 1;
    /// `XEN_CPUID_NO_SUBLEAF`: a leaf without subleaves.
    pub XEN_CPUID_NO_SUBLEAF: u32 = 0xffff_ffff;

    // Offsets in pages that are shared.
    /// `offsetof(struct shared_info, vcpu_info)`.
    pub SHARED_INFO_VCPU_INFO as "offsetof(struct shared_info, vcpu_info)": usize = 0;
    /// `offsetof(struct shared_info, evtchn_pending)`.
    pub SHARED_INFO_EVTCHN_PENDING as "offsetof(struct shared_info, evtchn_pending)": usize = 2048;
    /// `offsetof(struct shared_info, evtchn_mask)`.
    pub SHARED_INFO_EVTCHN_MASK as "offsetof(struct shared_info, evtchn_mask)": usize = 2560;
    /// `offsetof(struct shared_info, wc_version)`: odd while the wall clock is written.
    pub SHARED_INFO_WC_VERSION as "offsetof(struct shared_info, wc_version)": usize = 3072;
    /// `offsetof(struct shared_info, wc_sec)`.
    pub SHARED_INFO_WC_SEC as "offsetof(struct shared_info, wc_sec)": usize = 3076;
    /// `offsetof(struct shared_info, wc_nsec)`.
    pub SHARED_INFO_WC_NSEC as "offsetof(struct shared_info, wc_nsec)": usize = 3080;
    /// `offsetof(struct shared_info, wc_sec_hi)`.
    pub SHARED_INFO_WC_SEC_HI as "offsetof(struct shared_info, wc_sec_hi)": usize = 3084;
    /// `offsetof(struct shared_info, arch)`.
    pub SHARED_INFO_ARCH as "offsetof(struct shared_info, arch)": usize = 3088;
    /// `sizeof(struct shared_info)`.
    pub SHARED_INFO_SIZE as "sizeof(struct shared_info)": usize = 3136;
    /// `offsetof(struct vcpu_info, evtchn_upcall_pending)`.
    pub VCPU_INFO_EVTCHN_UPCALL_PENDING as "offsetof(struct vcpu_info, evtchn_upcall_pending)": usize = 0;
    /// `offsetof(struct vcpu_info, evtchn_upcall_mask)`.
    pub VCPU_INFO_EVTCHN_UPCALL_MASK as "offsetof(struct vcpu_info, evtchn_upcall_mask)": usize = 1;
    /// `offsetof(struct vcpu_info, evtchn_pending_sel)`.
    pub VCPU_INFO_EVTCHN_PENDING_SEL as "offsetof(struct vcpu_info, evtchn_pending_sel)": usize = 8;
    /// `offsetof(struct vcpu_info, arch.cr2)`.
    pub VCPU_INFO_ARCH_CR2 as "offsetof(struct vcpu_info, arch.cr2)": usize = 16;
    /// `offsetof(struct vcpu_info, time)`.
    pub VCPU_INFO_TIME as "offsetof(struct vcpu_info, time)": usize = 32;
    /// `sizeof(struct vcpu_info)`.
    pub VCPU_INFO_SIZE as "sizeof(struct vcpu_info)": usize = 64;
}

layout! {
    /// `struct arch_vcpu_info`: a PV vCPU's page fault.
    pub struct ArchVcpuInfo: "struct arch_vcpu_info", 16 {
        /// Its address.
        0 => pub cr2: u64,
        /// C's padding.
        8 => pub pad: u64,
    }

    /// `struct vcpu_info`: what a vCPU shares.
    pub struct VcpuInfo: "struct vcpu_info", 64 {
        /// Not zero: an event waits.
        0 => pub evtchn_upcall_pending: u8,
        /// Not zero: it is not to be told.
        1 => pub evtchn_upcall_mask: u8,
        /// Words of evtchn_pending with bits in them.
        8 => pub evtchn_pending_sel: u64,
        /// PV's own.
        16 => pub arch: ArchVcpuInfo,
        /// Its clock.
        32 => pub time: VcpuTimeInfo,
    }

    /// `struct arch_shared_info`: a PV domain's table of its frames.
    pub struct ArchSharedInfo: "struct arch_shared_info", 48 {
        /// The last frame.
        0 => pub max_pfn: u64,
        /// The table, by frames.
        8 => pub pfn_to_mfn_frame_list_list: u64,
        /// Why an NMI came.
        16 => pub nmi_reason: u64,
        /// Page tables of the table.
        24 => pub p2m_cr3: u64,
        /// Its address.
        32 => pub p2m_vaddr: u64,
        /// Odd while it is written.
        40 => pub p2m_generation: u64,
    }

    /// `struct xen_arch_domainconfig`: what a new domain shall be like.
    pub struct ArchDomainconfig: "struct xen_arch_domainconfig", 8 {
        /// IN: `XEN_X86_EMU_*`.
        0 => pub emulation_flags: u32,
        /// IN: [`XEN_X86_MSR_RELAXED`].
        4 => pub misc_flags: u32,
    }

    /// `struct xen_domctl_createdomain`: a new domain, on x86.
    pub struct Createdomain: "struct xen_domctl_createdomain", 64 {
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
        /// IN: the highest version of grants.
        44 => pub grant_opts: u32,
        /// IN: bytes of an instruction trace for each vCPU.
        48 => pub vmtrace_size: u32,
        /// IN: its processors.
        52 => pub cpupool_id: u32,
        /// IN: what the architecture needs.
        56 => pub arch: ArchDomainconfig,
    }

    /// `struct xen_domctl_getdomaininfo`: what a domain is like, on x86.
    pub struct Getdomaininfo: "struct xen_domctl_getdomaininfo", 112 {
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
        /// OUT: the frame of shared_info.
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

    /// `struct xen_cpuid_leaf`: what CPUID says.
    pub struct CpuidLeaf: "struct xen_cpuid_leaf", 24 {
        /// Of this leaf
        0 => pub leaf: u32,
        /// And subleaf;
        4 => pub subleaf: u32,
        /// EAX,
        8 => pub a: u32,
        /// EBX,
        12 => pub b: u32,
        /// ECX,
        16 => pub c: u32,
        /// EDX.
        20 => pub d: u32,
    }

    /// `struct xen_msr_entry`: what an MSR says.
    pub struct MsrEntry: "struct xen_msr_entry", 16 {
        /// Its number.
        0 => pub idx: u32,
        /// Zero.
        4 => pub flags: u32,
        /// Its value.
        8 => pub val: u64,
    }
}
