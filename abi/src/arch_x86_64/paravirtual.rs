//! Of x86's headers and `public/xen.h`: what only PV guests have: page tables that they ask to change, handlers,
//! segments, and their registers.

use crate::layout::{constants, layout};

constants! {
    // vcpu_guest_context.flags.
    /// `VGCF_i387_valid`: the FPU's state is there.
    pub VGCF_I387_VALID as "VGCF_i387_valid": u64 = 1;
    /// `VGCF_in_kernel`: it was in its kernel.
    pub VGCF_IN_KERNEL as "VGCF_in_kernel": u64 = 4;
    /// `VGCF_failsafe_disables_events`: of the callback.
    pub VGCF_FAILSAFE_DISABLES_EVENTS as "VGCF_failsafe_disables_events": u64 = 8;
    /// `VGCF_syscall_disables_events`: of the callback.
    pub VGCF_SYSCALL_DISABLES_EVENTS as "VGCF_syscall_disables_events": u64 = 16;
    /// `VGCF_online`: the vCPU runs.
    pub VGCF_ONLINE as "VGCF_online": u64 = 32;
    /// `VGCF_in_syscall`: iret_context.flags: back by SYSRET.
    pub VGCF_IN_SYSCALL as "VGCF_in_syscall": u64 = 0x100;

    // A PV guest's address space.
    /// `HYPERVISOR_VIRT_START`: the hypervisor's part begins.
    pub HYPERVISOR_VIRT_START: u64 = 0xffff_8000_0000_0000;
    /// `HYPERVISOR_VIRT_END`: and ends.
    pub HYPERVISOR_VIRT_END: u64 = 0xffff_8800_0000_0000;
    /// `MACH2PHYS_VIRT_START`: the table of machine frames begins.
    pub MACH2PHYS_VIRT_START: u64 = 0xffff_8000_0000_0000;
    /// `MACH2PHYS_VIRT_END`: and ends.
    pub MACH2PHYS_VIRT_END: u64 = 0xffff_8040_0000_0000;
    /// `FIRST_RESERVED_GDT_PAGE`: pages of the GDT that are the guest's.
    pub FIRST_RESERVED_GDT_PAGE: u16 = 14;
    /// `FLAT_RING3_CS32`: a flat segment.
    pub FLAT_RING3_CS32: u16 = 0xe023;
    /// `FLAT_RING3_CS64`: a flat segment.
    pub FLAT_RING3_CS64: u16 = 0xe033;
    /// `FLAT_RING3_DS32`: a flat segment.
    pub FLAT_RING3_DS32: u16 = 0xe02b;
    /// `FLAT_RING3_SS64`: a flat segment.
    pub FLAT_RING3_SS64: u16 = 0xe02b;

    // set_segment_base.
    /// `SEGBASE_FS`: FS.
    pub SEGBASE_FS: u32 = 0;
    /// `SEGBASE_GS_USER`: the program's GS.
    pub SEGBASE_GS_USER: u32 = 1;
    /// `SEGBASE_GS_KERNEL`: the kernel's GS.
    pub SEGBASE_GS_KERNEL: u32 = 2;
    /// `SEGBASE_GS_USER_SEL`: the program's GS, as a selector.
    pub SEGBASE_GS_USER_SEL: u32 = 3;

    // mmu_update: the low two bits of ptr.
    /// `MMU_NORMAL_PT_UPDATE`: a page table entry.
    pub MMU_NORMAL_PT_UPDATE: u32 = 0;
    /// `MMU_MACHPHYS_UPDATE`: an entry of the table of machine frames.
    pub MMU_MACHPHYS_UPDATE: u32 = 1;
    /// `MMU_PT_UPDATE_PRESERVE_AD`: a page table entry, but not its accessed and dirty bits.
    pub MMU_PT_UPDATE_PRESERVE_AD: u32 = 2;
    /// `MMU_PT_UPDATE_NO_TRANSLATE`: a page table entry, as it is.
    pub MMU_PT_UPDATE_NO_TRANSLATE: u32 = 3;

    // mmuext_op.cmd.
    /// `MMUEXT_PIN_L1_TABLE`: a frame stays a page table.
    pub MMUEXT_PIN_L1_TABLE: u32 = 0;
    /// `MMUEXT_PIN_L2_TABLE`: a frame stays a page table.
    pub MMUEXT_PIN_L2_TABLE: u32 = 1;
    /// `MMUEXT_PIN_L3_TABLE`: a frame stays a page table.
    pub MMUEXT_PIN_L3_TABLE: u32 = 2;
    /// `MMUEXT_PIN_L4_TABLE`: a frame stays a page table.
    pub MMUEXT_PIN_L4_TABLE: u32 = 3;
    /// `MMUEXT_UNPIN_TABLE`: it need not.
    pub MMUEXT_UNPIN_TABLE: u32 = 4;
    /// `MMUEXT_NEW_BASEPTR`: the kernel's page tables.
    pub MMUEXT_NEW_BASEPTR: u32 = 5;
    /// `MMUEXT_TLB_FLUSH_LOCAL`: flushes.
    pub MMUEXT_TLB_FLUSH_LOCAL: u32 = 6;
    /// `MMUEXT_INVLPG_LOCAL`: flushes one page.
    pub MMUEXT_INVLPG_LOCAL: u32 = 7;
    /// `MMUEXT_TLB_FLUSH_MULTI`: flushes on some vCPUs.
    pub MMUEXT_TLB_FLUSH_MULTI: u32 = 8;
    /// `MMUEXT_INVLPG_MULTI`: flushes one page on some vCPUs.
    pub MMUEXT_INVLPG_MULTI: u32 = 9;
    /// `MMUEXT_TLB_FLUSH_ALL`: flushes on all vCPUs.
    pub MMUEXT_TLB_FLUSH_ALL: u32 = 10;
    /// `MMUEXT_INVLPG_ALL`: flushes one page on all vCPUs.
    pub MMUEXT_INVLPG_ALL: u32 = 11;
    /// `MMUEXT_FLUSH_CACHE`: writes caches back.
    pub MMUEXT_FLUSH_CACHE: u32 = 12;
    /// `MMUEXT_SET_LDT`: the LDT.
    pub MMUEXT_SET_LDT: u32 = 13;
    /// `MMUEXT_NEW_USER_BASEPTR`: the program's page tables.
    pub MMUEXT_NEW_USER_BASEPTR: u32 = 15;
    /// `MMUEXT_CLEAR_PAGE`: a page of zeros.
    pub MMUEXT_CLEAR_PAGE: u32 = 16;
    /// `MMUEXT_COPY_PAGE`: a copy of a page.
    pub MMUEXT_COPY_PAGE: u32 = 17;
    /// `MMUEXT_FLUSH_CACHE_GLOBAL`: writes all processors' caches back.
    pub MMUEXT_FLUSH_CACHE_GLOBAL: u32 = 18;
    /// `MMUEXT_MARK_SUPER`: frames of a large page.
    pub MMUEXT_MARK_SUPER: u32 = 19;
    /// `MMUEXT_UNMARK_SUPER`: frames of no large page.
    pub MMUEXT_UNMARK_SUPER: u32 = 20;

    // update_va_mapping's flags.
    /// `UVMF_NONE`: no flush.
    pub UVMF_NONE: u64 = 0;
    /// `UVMF_TLB_FLUSH`: flushes.
    pub UVMF_TLB_FLUSH: u64 = 1;
    /// `UVMF_INVLPG`: flushes the page.
    pub UVMF_INVLPG: u64 = 2;
    /// `UVMF_FLUSHTYPE_MASK`: these.
    pub UVMF_FLUSHTYPE_MASK: u64 = 3;
    /// `UVMF_MULTI`: on the vCPUs of a mask.
    pub UVMF_MULTI: u64 = 0;
    /// `UVMF_LOCAL`: here.
    pub UVMF_LOCAL: u64 = 0;
    /// `UVMF_ALL`: on all vCPUs.
    pub UVMF_ALL: u64 = 4;
}

layout! {
    /// `struct trap_info`: an exception's handler.
    pub struct TrapInfo: "struct trap_info", 16 {
        /// The exception; an entry of zeros ends the list.
        0 => pub vector: u8,
        /// Privilege in bits 1:0, bit 2 masks events.
        1 => pub flags: u8,
        /// Code segment.
        2 => pub cs: u16,
        /// Its address.
        8 => pub address: u64,
    }

    /// `struct iret_context`: what IRET takes from the stack.
    pub struct IretContext: "struct iret_context", 72 {
        /// RAX.
        0 => pub rax: u64,
        /// R11.
        8 => pub r11: u64,
        /// RCX.
        16 => pub rcx: u64,
        /// [`VGCF_IN_SYSCALL`].
        24 => pub flags: u64,
        /// RIP.
        32 => pub rip: u64,
        /// CS.
        40 => pub cs: u64,
        /// RFLAGS.
        48 => pub rflags: u64,
        /// RSP.
        56 => pub rsp: u64,
        /// SS.
        64 => pub ss: u64,
    }

    /// `struct mmu_update`: a page table entry.
    pub struct MmuUpdate: "struct mmu_update", 16 {
        /// Its machine address, with what to do in the low two bits.
        0 => pub ptr: u64,
        /// Its value.
        8 => pub val: u64,
    }

    /// `struct mmuext_op`: an operation on page tables.
    pub struct MmuextOp: "struct mmuext_op", 24 {
        /// `MMUEXT_*`.
        0 => pub cmd: u32,
        /// A frame or an address.
        8 => pub arg1: u64,
        /// A number, a frame or a handle of a mask.
        16 => pub arg2: u64,
    }

    /// `struct cpu_user_regs`: a vCPU's general registers.
    pub struct CpuUserRegs: "struct cpu_user_regs", 200 {
        /// R15.
        0 => pub r15: u64,
        /// R14.
        8 => pub r14: u64,
        /// R13.
        16 => pub r13: u64,
        /// R12.
        24 => pub r12: u64,
        /// RBP.
        32 => pub rbp: u64,
        /// RBX.
        40 => pub rbx: u64,
        /// R11.
        48 => pub r11: u64,
        /// R10.
        56 => pub r10: u64,
        /// R9.
        64 => pub r9: u64,
        /// R8.
        72 => pub r8: u64,
        /// RAX.
        80 => pub rax: u64,
        /// RCX.
        88 => pub rcx: u64,
        /// RDX.
        96 => pub rdx: u64,
        /// RSI.
        104 => pub rsi: u64,
        /// RDI.
        112 => pub rdi: u64,
        /// The hypervisor's own.
        120 => pub error_code: u32,
        /// The hypervisor's own.
        124 => pub entry_vector: u32,
        /// RIP.
        128 => pub rip: u64,
        /// CS.
        136 => pub cs: u16,
        /// C's padding.
        138 => pub pad0 as "_pad0": [u16; 1],
        /// The mask of events at the time.
        140 => pub saved_upcall_mask: u8,
        /// C's padding.
        141 => pub pad1 as "_pad1": [u8; 3],
        /// RFLAGS.
        144 => pub rflags: u64,
        /// RSP.
        152 => pub rsp: u64,
        /// SS.
        160 => pub ss: u16,
        /// C's padding.
        162 => pub pad2 as "_pad2": [u16; 3],
        /// ES.
        168 => pub es: u16,
        /// C's padding.
        170 => pub pad3 as "_pad3": [u16; 3],
        /// DS.
        176 => pub ds: u16,
        /// C's padding.
        178 => pub pad4 as "_pad4": [u16; 3],
        /// FS.
        184 => pub fs: u16,
        /// C's padding.
        186 => pub pad5 as "_pad5": [u16; 3],
        /// GS.
        192 => pub gs: u16,
        /// C's padding.
        194 => pub pad6 as "_pad6": [u16; 3],
    }

    /// `struct vcpu_guest_context`: a vCPU's registers, as PV and the toolstack see them.
    pub struct VcpuGuestContext: "struct vcpu_guest_context", 5168 {
        /// The FPU, as FXSAVE has it.
        0 => pub fpu_ctxt: [u8; 512],
        /// `VGCF_*`.
        512 => pub flags: u64,
        /// General registers.
        520 => pub user_regs: CpuUserRegs,
        /// Handlers of exceptions.
        720 => pub trap_ctxt: [TrapInfo; 256],
        /// The LDT.
        4816 => pub ldt_base: u64,
        /// Its entries.
        4824 => pub ldt_ents: u64,
        /// Frames of the GDT.
        4832 => pub gdt_frames: [u64; 16],
        /// Its entries.
        4960 => pub gdt_ents: u64,
        /// The kernel's stack.
        4968 => pub kernel_ss: u64,
        /// The kernel's stack.
        4976 => pub kernel_sp: u64,
        /// CR0 to CR7.
        4984 => pub ctrlreg: [u64; 8],
        /// DR0 to DR7.
        5048 => pub debugreg: [u64; 8],
        /// The entry for events.
        5112 => pub event_callback_eip: u64,
        /// The entry for a state that cannot be restored.
        5120 => pub failsafe_callback_eip: u64,
        /// The entry for SYSCALL.
        5128 => pub syscall_callback_eip: u64,
        /// Favours.
        5136 => pub vm_assist: u64,
        /// FS.
        5144 => pub fs_base: u64,
        /// The kernel's GS.
        5152 => pub gs_base_kernel: u64,
        /// The program's GS.
        5160 => pub gs_base_user: u64,
    }
}
