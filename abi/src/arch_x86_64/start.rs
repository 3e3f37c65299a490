//! `public/arch-x86/hvm/start_info.h`, `public/hvm/hvm_vcpu.h` and start_info of `public/xen.h`: with what a guest
//! and its vCPUs begin.

use crate::layout::{constants, layout};

constants! {
    // hvm_start_info.
    /// `XEN_HVM_START_MAGIC_VALUE`: its magic.
    pub XEN_HVM_START_MAGIC_VALUE: u32 = 0x336e_c578;
    /// `XEN_HVM_MEMMAP_TYPE_RAM`: RAM.
    pub XEN_HVM_MEMMAP_TYPE_RAM: u32 = 1;
    /// `XEN_HVM_MEMMAP_TYPE_RESERVED`: not to be used.
    pub XEN_HVM_MEMMAP_TYPE_RESERVED: u32 = 2;
    /// `XEN_HVM_MEMMAP_TYPE_ACPI`: ACPI's tables.
    pub XEN_HVM_MEMMAP_TYPE_ACPI: u32 = 3;
    /// `XEN_HVM_MEMMAP_TYPE_NVS`: ACPI's own.
    pub XEN_HVM_MEMMAP_TYPE_NVS: u32 = 4;
    /// `XEN_HVM_MEMMAP_TYPE_UNUSABLE`: broken.
    pub XEN_HVM_MEMMAP_TYPE_UNUSABLE: u32 = 5;
    /// `XEN_HVM_MEMMAP_TYPE_DISABLED`: off.
    pub XEN_HVM_MEMMAP_TYPE_DISABLED: u32 = 6;
    /// `XEN_HVM_MEMMAP_TYPE_PMEM`: persistent.
    pub XEN_HVM_MEMMAP_TYPE_PMEM: u32 = 7;
    /// `VCPU_HVM_MODE_32B`: vcpu_hvm_context.mode: [`VcpuHvmX8632`].
    pub VCPU_HVM_MODE_32B: u32 = 0;
    /// `VCPU_HVM_MODE_64B`: vcpu_hvm_context.mode: [`VcpuHvmX8664`].
    pub VCPU_HVM_MODE_64B: u32 = 1;
    /// `MAX_GUEST_CMDLINE`: bytes of a PV guest's command line.
    pub MAX_GUEST_CMDLINE: usize = 1024;
}

layout! {
    /// `struct start_info`: with what a PV guest begins.
    pub struct StartInfo: "struct start_info", 1168 {
        /// "xen-3.0-x86_64".
        0 => pub magic: [u8; 32],
        /// Its pages.
        32 => pub nr_pages: u64,
        /// Machine address of shared_info.
        40 => pub shared_info: u64,
        /// `SIF_*`.
        48 => pub flags: u32,
        /// Frame of xenstore's ring.
        56 => pub store_mfn: u64,
        /// Port of xenstore's ring.
        64 => pub store_evtchn: u32,
        /// Frame of the console's ring.
        72 => pub console_mfn as "console.domU.mfn": u64,
        /// Port of the console's ring.
        80 => pub console_evtchn as "console.domU.evtchn": u32,
        /// Its page tables.
        88 => pub pt_base: u64,
        /// Frames of those.
        96 => pub nr_pt_frames: u64,
        /// The table of its frames.
        104 => pub mfn_list: u64,
        /// Its ramdisk.
        112 => pub mod_start: u64,
        /// Bytes of it.
        120 => pub mod_len: u64,
        /// Its command line.
        128 => pub cmd_line: [u8; 1024],
        /// First frame of the table of frames.
        1152 => pub first_p2m_pfn: u64,
        /// Frames of it.
        1160 => pub nr_p2m_frames: u64,
    }

    /// `struct hvm_start_info`: with what a PVH guest begins.
    pub struct HvmStartInfo: "struct hvm_start_info", 56 {
        /// [`XEN_HVM_START_MAGIC_VALUE`].
        0 => pub magic: u32,
        /// 1.
        4 => pub version: u32,
        /// `SIF_*`.
        8 => pub flags: u32,
        /// Modules.
        12 => pub nr_modules: u32,
        /// Address of an array of [`HvmModlistEntry`].
        16 => pub modlist_paddr: u64,
        /// Address of the command line.
        24 => pub cmdline_paddr: u64,
        /// Address of ACPI's RSDP.
        32 => pub rsdp_paddr: u64,
        /// Address of an array of [`HvmMemmapTableEntry`].
        40 => pub memmap_paddr: u64,
        /// Its length.
        48 => pub memmap_entries: u32,
        /// Zero.
        52 => pub reserved: u32,
    }

    /// `struct hvm_modlist_entry`: a module.
    pub struct HvmModlistEntry: "struct hvm_modlist_entry", 32 {
        /// Its address.
        0 => pub paddr: u64,
        /// Its bytes.
        8 => pub size: u64,
        /// Address of its command line.
        16 => pub cmdline_paddr: u64,
        /// Zero.
        24 => pub reserved: u64,
    }

    /// `struct hvm_memmap_table_entry`: a region of memory.
    pub struct HvmMemmapTableEntry: "struct hvm_memmap_table_entry", 24 {
        /// Its address.
        0 => pub addr: u64,
        /// Its bytes.
        8 => pub size: u64,
        /// `XEN_HVM_MEMMAP_TYPE_*`.
        16 => pub kind as "type": u32,
        /// Zero.
        20 => pub reserved: u32,
    }

    /// `struct vcpu_hvm_x86_32`: registers of a vCPU that begins with 32 bits.
    pub struct VcpuHvmX8632: "struct vcpu_hvm_x86_32", 120 {
        /// EAX.
        0 => pub eax: u32,
        /// ECX.
        4 => pub ecx: u32,
        /// EDX.
        8 => pub edx: u32,
        /// EBX.
        12 => pub ebx: u32,
        /// ESP.
        16 => pub esp: u32,
        /// EBP.
        20 => pub ebp: u32,
        /// ESI.
        24 => pub esi: u32,
        /// EDI.
        28 => pub edi: u32,
        /// EIP.
        32 => pub eip: u32,
        /// EFLAGS.
        36 => pub eflags: u32,
        /// CR0.
        40 => pub cr0: u32,
        /// CR3.
        44 => pub cr3: u32,
        /// CR4.
        48 => pub cr4: u32,
        /// C's padding.
        52 => pub pad1: u32,
        /// EFER.
        56 => pub efer: u64,
        /// The segment's base.
        64 => pub cs_base: u32,
        /// The segment's base.
        68 => pub ds_base: u32,
        /// The segment's base.
        72 => pub ss_base: u32,
        /// The segment's base.
        76 => pub es_base: u32,
        /// The segment's base.
        80 => pub tr_base: u32,
        /// The segment's limit.
        84 => pub cs_limit: u32,
        /// The segment's limit.
        88 => pub ds_limit: u32,
        /// The segment's limit.
        92 => pub ss_limit: u32,
        /// The segment's limit.
        96 => pub es_limit: u32,
        /// The segment's limit.
        100 => pub tr_limit: u32,
        /// The segment's attributes.
        104 => pub cs_ar: u16,
        /// The segment's attributes.
        106 => pub ds_ar: u16,
        /// The segment's attributes.
        108 => pub ss_ar: u16,
        /// The segment's attributes.
        110 => pub es_ar: u16,
        /// The segment's attributes.
        112 => pub tr_ar: u16,
        /// C's padding.
        114 => pub pad2: [u16; 3],
    }

    /// `struct vcpu_hvm_x86_64`: registers of a vCPU that begins with 64 bits.
    pub struct VcpuHvmX8664: "struct vcpu_hvm_x86_64", 112 {
        /// RAX.
        0 => pub rax: u64,
        /// RCX.
        8 => pub rcx: u64,
        /// RDX.
        16 => pub rdx: u64,
        /// RBX.
        24 => pub rbx: u64,
        /// RSP.
        32 => pub rsp: u64,
        /// RBP.
        40 => pub rbp: u64,
        /// RSI.
        48 => pub rsi: u64,
        /// RDI.
        56 => pub rdi: u64,
        /// RIP.
        64 => pub rip: u64,
        /// RFLAGS.
        72 => pub rflags: u64,
        /// CR0.
        80 => pub cr0: u64,
        /// CR3.
        88 => pub cr3: u64,
        /// CR4.
        96 => pub cr4: u64,
        /// EFER.
        104 => pub efer: u64,
    }

    /// `struct vcpu_hvm_context`: registers of a vCPU of an HVM or PVH guest.
    pub struct VcpuHvmContext: "struct vcpu_hvm_context", 128 {
        /// `VCPU_HVM_MODE_*`.
        0 => pub mode: u32,
        /// C's padding.
        4 => pub pad: u32,
        /// [`VcpuHvmX8632`] or [`VcpuHvmX8664`].
        8 => pub cpu_regs: [u8; 120],
    }
}
