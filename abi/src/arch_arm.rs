//! `public/arch-arm.h`: the guest's physical memory map and its interrupts, the pages that it shares, a vCPU's
//! registers.

use crate::layout::{constants, layout};
use crate::xen::VcpuTimeInfo;

constants! {
    /// `XEN_HYPERCALL_TAG`: the immediate of HVC.
    pub XEN_HYPERCALL_TAG: u16 = 0xea1;

    // The map of a domain's physical memory.
    /// `GUEST_VIRTIO_MMIO_BASE`.
    pub GUEST_VIRTIO_MMIO_BASE: u64 = 0x0200_0000;
    /// `GUEST_VIRTIO_MMIO_SIZE`.
    pub GUEST_VIRTIO_MMIO_SIZE: u64 = 0x0010_0000;
    /// `GUEST_GICD_BASE`: GICv2.
    pub GUEST_GICD_BASE: u64 = 0x0300_1000;
    /// `GUEST_GICD_SIZE`: GICv2.
    pub GUEST_GICD_SIZE: u64 = 0x1000;
    /// `GUEST_GICC_BASE`: GICv2.
    pub GUEST_GICC_BASE: u64 = 0x0300_2000;
    /// `GUEST_GICC_SIZE`: GICv2.
    pub GUEST_GICC_SIZE: u64 = 0x2000;
    /// `GUEST_GICV3_GICD_BASE`.
    pub GUEST_GICV3_GICD_BASE: u64 = 0x0300_1000;
    /// `GUEST_GICV3_GICD_SIZE`.
    pub GUEST_GICV3_GICD_SIZE: u64 = 0x1_0000;
    /// `GUEST_GICV3_RDIST_REGIONS`.
    pub GUEST_GICV3_RDIST_REGIONS: u64 = 1;
    /// `GUEST_GICV3_GICR0_BASE`.
    pub GUEST_GICV3_GICR0_BASE: u64 = 0x0302_0000;
    /// `GUEST_GICV3_GICR0_SIZE`.
    pub GUEST_GICV3_GICR0_SIZE: u64 = 0x0100_0000;
    /// `GUEST_VPCI_ECAM_BASE`.
    pub GUEST_VPCI_ECAM_BASE: u64 = 0x1000_0000;
    /// `GUEST_VPCI_ECAM_SIZE`.
    pub GUEST_VPCI_ECAM_SIZE: u64 = 0x1000_0000;
    /// `GUEST_ACPI_BASE`.
    pub GUEST_ACPI_BASE: u64 = 0x2000_0000;
    /// `GUEST_ACPI_SIZE`.
    pub GUEST_ACPI_SIZE: u64 = 0x0200_0000;
    /// `GUEST_PL011_BASE`.
    pub GUEST_PL011_BASE: u64 = 0x2200_0000;
    /// `GUEST_PL011_SIZE`.
    pub GUEST_PL011_SIZE: u64 = 0x1000;
    /// `GUEST_VPCI_MEM_ADDR`.
    pub GUEST_VPCI_MEM_ADDR: u64 = 0x2300_0000;
    /// `GUEST_VPCI_MEM_SIZE`.
    pub GUEST_VPCI_MEM_SIZE: u64 = 0x1000_0000;
    /// `GUEST_GNTTAB_BASE`: a region kept free for the grant table.
    pub GUEST_GNTTAB_BASE: u64 = 0x3800_0000;
    /// `GUEST_GNTTAB_SIZE`.
    pub GUEST_GNTTAB_SIZE: u64 = 0x0100_0000;
    /// `GUEST_MAGIC_BASE`: the toolstack's pages: console, xenstore, events of memory, device models.
    pub GUEST_MAGIC_BASE: u64 = 0x3900_0000;
    /// `GUEST_MAGIC_SIZE`.
    pub GUEST_MAGIC_SIZE: u64 = 0x0100_0000;
    /// `GUEST_RAM_BANKS`: banks of RAM.
    pub GUEST_RAM_BANKS: u64 = 2;
    /// `GUEST_RAM0_BASE`.
    pub GUEST_RAM0_BASE: u64 = 0x4000_0000;
    /// `GUEST_RAM0_SIZE`.
    pub GUEST_RAM0_SIZE: u64 = 0xc000_0000;
    /// `GUEST_VPCI_PREFETCH_MEM_ADDR`.
    pub GUEST_VPCI_PREFETCH_MEM_ADDR: u64 = 0x1_0000_0000;
    /// `GUEST_VPCI_PREFETCH_MEM_SIZE`.
    pub GUEST_VPCI_PREFETCH_MEM_SIZE: u64 = 0x1_0000_0000;
    /// `GUEST_RAM1_BASE`.
    pub GUEST_RAM1_BASE: u64 = 0x2_0000_0000;
    /// `GUEST_RAM1_SIZE`.
    pub GUEST_RAM1_SIZE: u64 = 0xfe_0000_0000;
    /// `GUEST_RAM_MAX`: RAM of both banks.
    pub GUEST_RAM_MAX: u64 = 0xfe_c000_0000;
    /// `GUEST_MAX_VCPUS`.
    pub GUEST_MAX_VCPUS: u32 = 128;

    // Interrupts of a domain.
    /// `GUEST_TIMER_VIRT_PPI`.
    pub GUEST_TIMER_VIRT_PPI: u32 = 27;
    /// `GUEST_TIMER_PHYS_S_PPI`.
    pub GUEST_TIMER_PHYS_S_PPI: u32 = 29;
    /// `GUEST_TIMER_PHYS_NS_PPI`.
    pub GUEST_TIMER_PHYS_NS_PPI: u32 = 30;
    /// `GUEST_EVTCHN_PPI`.
    pub GUEST_EVTCHN_PPI: u32 = 31;
    /// `GUEST_VPL011_SPI`.
    pub GUEST_VPL011_SPI: u32 = 32;
    /// `GUEST_VIRTIO_MMIO_SPI_FIRST`.
    pub GUEST_VIRTIO_MMIO_SPI_FIRST: u32 = 33;
    /// `GUEST_VIRTIO_MMIO_SPI_LAST`.
    pub GUEST_VIRTIO_MMIO_SPI_LAST: u32 = 43;

    // xen_arch_domainconfig.
    /// `XEN_LEGACY_MAX_VCPUS`: vCPUs whose vcpu_info is in shared_info.
    pub XEN_LEGACY_MAX_VCPUS: u32 = 1;
    /// `XEN_DOMCTL_CONFIG_GIC_NATIVE`: the GIC's version is the board's.
    pub XEN_DOMCTL_CONFIG_GIC_NATIVE: u8 = 0;
    /// `XEN_DOMCTL_CONFIG_GIC_V2`: a GICv2.
    pub XEN_DOMCTL_CONFIG_GIC_V2: u8 = 1;
    /// `XEN_DOMCTL_CONFIG_GIC_V3`: a GICv3.
    pub XEN_DOMCTL_CONFIG_GIC_V3: u8 = 2;
    /// `XEN_DOMCTL_CONFIG_TEE_NONE`: no trusted execution environment.
    pub XEN_DOMCTL_CONFIG_TEE_NONE: u16 = 0;
    /// `XEN_DOMCTL_CONFIG_TEE_OPTEE`: OP-TEE.
    pub XEN_DOMCTL_CONFIG_TEE_OPTEE: u16 = 1;
    /// `VGCF_online`: vcpu_guest_context.flags: the vCPU runs.
    pub VGCF_ONLINE as "VGCF_online": u32 = 1;

    // A vCPU's state at its start.
    /// `PSR_MODE_EL1h`.
    pub PSR_MODE_EL1H as "PSR_MODE_EL1h": u64 = 5;
    /// `PSR_MODE_SVC`.
    pub PSR_MODE_SVC: u64 = 0x13;
    /// `PSR_MODE_BIT`.
    pub PSR_MODE_BIT: u64 = 0x10;
    /// `PSR_THUMB`.
    pub PSR_THUMB: u64 = 0x20;
    /// `PSR_FIQ_MASK`.
    pub PSR_FIQ_MASK: u64 = 0x40;
    /// `PSR_IRQ_MASK`.
    pub PSR_IRQ_MASK: u64 = 0x80;
    /// `PSR_ABT_MASK`.
    pub PSR_ABT_MASK: u64 = 0x100;
    /// `PSR_GUEST32_INIT`: PSTATE of a 32-bit guest.
    pub PSR_GUEST32_INIT: u64 = 0x4000_01d3;
    /// `PSR_GUEST64_INIT`: PSTATE of a 64-bit guest.
    pub PSR_GUEST64_INIT: u64 = 0x1c5;
    /// `SCTLR_GUEST_INIT`: SCTLR_EL1.
    pub SCTLR_GUEST_INIT: u64 = 0x00c5_0078;
    /// `offsetof(struct vcpu_guest_core_regs, x30)`: the last of `x`.
    pub VCPU_GUEST_CORE_REGS_X30 as "offsetof(struct vcpu_guest_core_regs, x30)": usize = 240;

    // Offsets in pages that are shared.
    /// `offsetof(struct shared_info, vcpu_info)`.
    pub SHARED_INFO_VCPU_INFO as "offsetof(struct shared_info, vcpu_info)": usize = 0;
    /// `offsetof(struct shared_info, evtchn_pending)`.
    pub SHARED_INFO_EVTCHN_PENDING as "offsetof(struct shared_info, evtchn_pending)": usize = 48;
    /// `offsetof(struct shared_info, evtchn_mask)`.
    pub SHARED_INFO_EVTCHN_MASK as "offsetof(struct shared_info, evtchn_mask)": usize = 560;
    /// `offsetof(struct shared_info, wc_version)`: odd while the wall clock is written.
    pub SHARED_INFO_WC_VERSION as "offsetof(struct shared_info, wc_version)": usize = 1072;
    /// `offsetof(struct shared_info, wc_sec)`.
    pub SHARED_INFO_WC_SEC as "offsetof(struct shared_info, wc_sec)": usize = 1076;
    /// `offsetof(struct shared_info, wc_nsec)`.
    pub SHARED_INFO_WC_NSEC as "offsetof(struct shared_info, wc_nsec)": usize = 1080;
    /// `offsetof(struct shared_info, wc_sec_hi)`.
    pub SHARED_INFO_WC_SEC_HI as "offsetof(struct shared_info, wc_sec_hi)": usize = 1084;
    /// `sizeof(struct shared_info)`.
    pub SHARED_INFO_SIZE as "sizeof(struct shared_info)": usize = 1088;
    /// `offsetof(struct vcpu_info, evtchn_upcall_pending)`.
    pub VCPU_INFO_EVTCHN_UPCALL_PENDING as "offsetof(struct vcpu_info, evtchn_upcall_pending)": usize = 0;
    /// `offsetof(struct vcpu_info, pad0)`: where x86 has the mask. On Arm nobody looks at it.
    pub VCPU_INFO_EVTCHN_UPCALL_MASK as "offsetof(struct vcpu_info, pad0)": usize = 1;
    /// `offsetof(struct vcpu_info, evtchn_pending_sel)`.
    pub VCPU_INFO_EVTCHN_PENDING_SEL as "offsetof(struct vcpu_info, evtchn_pending_sel)": usize = 8;
    /// `offsetof(struct vcpu_info, time)`.
    pub VCPU_INFO_TIME as "offsetof(struct vcpu_info, time)": usize = 16;
    /// `sizeof(struct vcpu_info)`.
    pub VCPU_INFO_SIZE as "sizeof(struct vcpu_info)": usize = 48;
}

layout! {
    /// `struct vcpu_info`: what a vCPU shares.
    pub struct VcpuInfo: "struct vcpu_info", 48 {
        /// Not zero: an event waits.
        0 => pub evtchn_upcall_pending: u8,
        /// X86's mask.
        1 => pub pad0: u8,
        /// Words of evtchn_pending with bits in them.
        8 => pub evtchn_pending_sel: u64,
        /// Not used on Arm.
        16 => pub time: VcpuTimeInfo,
    }

    /// `struct shared_info`: what a domain shares.
    pub struct SharedInfo: "struct shared_info", 1088 {
        /// Of vCPU 0.
        0 => pub vcpu_info: [VcpuInfo; 1],
        /// A bit for each port: an event has come.
        48 => pub evtchn_pending: [u64; 64],
        /// A bit for each port: it is not to be told.
        560 => pub evtchn_mask: [u64; 64],
        /// Odd while the wall clock is written.
        1072 => pub wc_version: u32,
        /// Seconds since 1970 at boot, low 32 bits.
        1076 => pub wc_sec: u32,
        /// And nanoseconds.
        1080 => pub wc_nsec: u32,
        /// High 32 bits.
        1084 => pub wc_sec_hi: u32,
    }

    /// `struct xen_arch_domainconfig`: what a new domain shall be like.
    pub struct ArchDomainconfig: "struct xen_arch_domainconfig", 12 {
        /// IN and OUT: `XEN_DOMCTL_CONFIG_GIC_*`.
        0 => pub gic_version: u8,
        /// IN: `XEN_DOMCTL_CONFIG_TEE_*`.
        2 => pub tee_type: u16,
        /// IN: shared interrupts.
        4 => pub nr_spis: u32,
        /// OUT: the frequency that the tree must tell; 0 if the counter's register is right.
        8 => pub clock_frequency: u32,
    }

    /// `struct vcpu_guest_core_regs`: a vCPU's general registers.
    pub struct VcpuGuestCoreRegs: "struct vcpu_guest_core_regs", 312 {
        /// X0 to X30.
        0 => pub x as "": [u64; 31],
        /// The program counter.
        248 => pub pc64: u64,
        /// PSTATE.
        256 => pub cpsr: u64,
        /// SPSR_EL1, SPSR_svc.
        264 => pub spsr_el1: u64,
        /// Of AArch32.
        272 => pub spsr_fiq: u32,
        /// Of AArch32.
        276 => pub spsr_irq: u32,
        /// Of AArch32.
        280 => pub spsr_und: u32,
        /// Of AArch32.
        284 => pub spsr_abt: u32,
        /// SP_EL0.
        288 => pub sp_el0: u64,
        /// SP_EL1.
        296 => pub sp_el1: u64,
        /// ELR_EL1.
        304 => pub elr_el1: u64,
    }

    /// `struct vcpu_guest_context`: a vCPU's registers, as the toolstack sees them.
    pub struct VcpuGuestContext: "struct vcpu_guest_context", 352 {
        /// [`VGCF_ONLINE`].
        0 => pub flags: u32,
        /// General registers.
        8 => pub user_regs: VcpuGuestCoreRegs,
        /// SCTLR_EL1.
        320 => pub sctlr: u64,
        /// TCR_EL1.
        328 => pub ttbcr: u64,
        /// TTBR0_EL1.
        336 => pub ttbr0: u64,
        /// TTBR1_EL1.
        344 => pub ttbr1: u64,
    }
}
