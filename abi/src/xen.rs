//! `public/xen.h`: what all other headers build on. Domain ids, virtual interrupts, `console_io`, `vm_assist`,
//! multicalls, the clock that guests read. The pages that differ between the architectures are in `arch_arm` and
//! `arch_x86_64`.

use crate::layout::{Handle, constants, layout};

constants! {
    // Domain ids with a meaning.
    /// `DOMID_FIRST_RESERVED`: the first that no domain has.
    pub DOMID_FIRST_RESERVED: u16 = 0x7ff0;
    /// `DOMID_SELF`: the domain that asks.
    pub DOMID_SELF: u16 = 0x7ff0;
    /// `DOMID_IO`: whose memory is devices' registers.
    pub DOMID_IO: u16 = 0x7ff1;
    /// `DOMID_XEN`: whose memory is the hypervisor's, where it is shared.
    pub DOMID_XEN: u16 = 0x7ff2;
    /// `DOMID_COW`: whose memory is shared until written.
    pub DOMID_COW: u16 = 0x7ff3;
    /// `DOMID_INVALID`: no domain.
    pub DOMID_INVALID: u16 = 0x7ff4;
    /// `DOMID_IDLE`: the hypervisor's own.
    pub DOMID_IDLE: u16 = 0x7fff;
    /// `DOMID_MASK`: the bits that are a domain id.
    pub DOMID_MASK: u16 = 0x7fff;

    // Virtual interrupts.
    /// `VIRQ_TIMER`: (vCPU) the vCPU's timer.
    pub VIRQ_TIMER: u32 = 0;
    /// `VIRQ_DEBUG`: (vCPU) somebody asks the guest to say how it is.
    pub VIRQ_DEBUG: u32 = 1;
    /// `VIRQ_CONSOLE`: (global) bytes have come in at the hypervisor's console.
    pub VIRQ_CONSOLE: u32 = 2;
    /// `VIRQ_DOM_EXC`: (global) a domain has stopped or is gone.
    pub VIRQ_DOM_EXC: u32 = 3;
    /// `VIRQ_TBUF`: (global) the trace has records.
    pub VIRQ_TBUF: u32 = 4;
    /// `VIRQ_DEBUGGER`: (global) a domain is paused for its debugger.
    pub VIRQ_DEBUGGER: u32 = 6;
    /// `VIRQ_XENOPROF`: (vCPU) the old profiler has a sample.
    pub VIRQ_XENOPROF: u32 = 7;
    /// `VIRQ_CON_RING`: (global) the hypervisor's console has new lines.
    pub VIRQ_CON_RING: u32 = 8;
    /// `VIRQ_PCPU_STATE`: (global) a processor came or went.
    pub VIRQ_PCPU_STATE: u32 = 9;
    /// `VIRQ_MEM_EVENT`: (global) a memory event.
    pub VIRQ_MEM_EVENT: u32 = 10;
    /// `VIRQ_ARGO`: (global) a message has come.
    pub VIRQ_ARGO: u32 = 11;
    /// `VIRQ_ENOMEM`: (global) the host's memory is low.
    pub VIRQ_ENOMEM: u32 = 12;
    /// `VIRQ_XENPMU`: (vCPU) a performance counter.
    pub VIRQ_XENPMU: u32 = 13;
    /// `VIRQ_ARCH_0`: the first that is the architecture's own.
    pub VIRQ_ARCH_0: u32 = 16;
    /// `VIRQ_ARCH_7`: the last that is the architecture's own.
    pub VIRQ_ARCH_7: u32 = 23;
    /// `NR_VIRQS`: one more than the last.
    pub NR_VIRQS: u32 = 24;

    // console_io.
    /// `CONSOLEIO_write`: prints.
    pub CONSOLEIO_WRITE as "CONSOLEIO_write": u32 = 0;
    /// `CONSOLEIO_read`: takes what was typed.
    pub CONSOLEIO_READ as "CONSOLEIO_read": u32 = 1;

    // vm_assist.
    /// `VMASST_CMD_enable`: asks for a favour.
    pub VMASST_CMD_ENABLE as "VMASST_CMD_enable": u32 = 0;
    /// `VMASST_CMD_disable`: no longer wants it.
    pub VMASST_CMD_DISABLE as "VMASST_CMD_disable": u32 = 1;
    /// `VMASST_TYPE_4gb_segments`: segments of 4 GiB for 32-bit PV.
    pub VMASST_TYPE_4GB_SEGMENTS as "VMASST_TYPE_4gb_segments": u32 = 0;
    /// `VMASST_TYPE_4gb_segments_notify`: a trap where they are emulated.
    pub VMASST_TYPE_4GB_SEGMENTS_NOTIFY as "VMASST_TYPE_4gb_segments_notify": u32 = 1;
    /// `VMASST_TYPE_writable_pagetables`: writes to page tables are emulated.
    pub VMASST_TYPE_WRITABLE_PAGETABLES as "VMASST_TYPE_writable_pagetables": u32 = 2;
    /// `VMASST_TYPE_pae_extended_cr3`: page tables above 4 GiB.
    pub VMASST_TYPE_PAE_EXTENDED_CR3 as "VMASST_TYPE_pae_extended_cr3": u32 = 3;
    /// `VMASST_TYPE_architectural_iopl`: EFLAGS.IOPL as the processor has it.
    pub VMASST_TYPE_ARCHITECTURAL_IOPL as "VMASST_TYPE_architectural_iopl": u32 = 4;
    /// `VMASST_TYPE_runstate_update_flag`: `XEN_RUNSTATE_UPDATE` is set while a runstate area is written.
    pub VMASST_TYPE_RUNSTATE_UPDATE_FLAG as "VMASST_TYPE_runstate_update_flag": u32 = 5;
    /// `VMASST_TYPE_m2p_strict`: the table of machine frames is not visible to user mode.
    pub VMASST_TYPE_M2P_STRICT as "VMASST_TYPE_m2p_strict": u32 = 32;

    // vcpu_time_info.flags.
    /// `XEN_PVCLOCK_TSC_STABLE_BIT`: the time stamp counter is good on all processors.
    pub XEN_PVCLOCK_TSC_STABLE_BIT: u32 = 1;
    /// `XEN_PVCLOCK_GUEST_STOPPED`: the guest was stopped by its host.
    pub XEN_PVCLOCK_GUEST_STOPPED: u32 = 2;

    // start_info.flags, of PV and PVH.
    /// `SIF_PRIVILEGED`: the domain is privileged.
    pub SIF_PRIVILEGED: u32 = 1;
    /// `SIF_INITDOMAIN`: it is the first one.
    pub SIF_INITDOMAIN: u32 = 2;
    /// `SIF_MULTIBOOT_MOD`: mod_start is a list of modules.
    pub SIF_MULTIBOOT_MOD: u32 = 4;
    /// `SIF_MOD_START_PFN`: mod_start is a frame number.
    pub SIF_MOD_START_PFN: u32 = 8;
    /// `SIF_VIRT_P2M_4TOOLS`: tools understand the table in virtual memory.
    pub SIF_VIRT_P2M_4TOOLS: u32 = 16;
    /// `SIF_PM_MASK`: power management.
    pub SIF_PM_MASK: u32 = 0xff00;
}

layout! {
    /// `struct multicall_entry`: one hypercall of several. Fields are as wide as a register of 64 bits, also
    /// for 32-bit Arm guests.
    pub struct MulticallEntry: "struct multicall_entry", 64 {
        /// The hypercall's number.
        0 => pub op: u64,
        /// OUT: what it answered.
        8 => pub result: u64,
        /// Its arguments.
        16 => pub args: [u64; 6],
    }

    /// `struct vcpu_time_info`: a clock made of the processor's counter, for x86 guests.
    pub struct VcpuTimeInfo: "struct vcpu_time_info", 32 {
        /// Odd while it is written.
        0 => pub version: u32,
        /// C's padding.
        4 => pub pad0: u32,
        /// Counter at the time of writing.
        8 => pub tsc_timestamp: u64,
        /// Nanoseconds since boot at that time.
        16 => pub system_time: u64,
        /// From counts to nanoseconds, in 1/2^32.
        24 => pub tsc_to_system_mul: u32,
        /// By which counts are shifted before.
        28 => pub tsc_shift: i8,
        /// `XEN_PVCLOCK_*`.
        29 => pub flags: u8,
        /// C's padding.
        30 => pub pad1: [u8; 2],
    }

    /// `struct xenctl_bitmap`: a bitmap of the toolstack's. Bit n is bit n mod 8 of byte n div 8.
    pub struct XenctlBitmap: "struct xenctl_bitmap", 16 {
        /// Its bytes.
        0 => pub bitmap: Handle<u8>,
        /// How many bits there are.
        8 => pub nr_bits: u32,
    }
}
