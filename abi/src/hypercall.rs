//! `public/xen.h`: the numbers of hypercalls.

use crate::layout::constants;

constants! {
    /// `__HYPERVISOR_set_trap_table`: a PV guest's exception handlers.
    pub SET_TRAP_TABLE as "__HYPERVISOR_set_trap_table": u64 = 0, X86;
    /// `__HYPERVISOR_mmu_update`: a PV guest's page table entries.
    pub MMU_UPDATE as "__HYPERVISOR_mmu_update": u64 = 1, X86;
    /// `__HYPERVISOR_set_gdt`: a PV guest's descriptor table.
    pub SET_GDT as "__HYPERVISOR_set_gdt": u64 = 2, X86;
    /// `__HYPERVISOR_stack_switch`: a PV guest's kernel stack.
    pub STACK_SWITCH as "__HYPERVISOR_stack_switch": u64 = 3, X86;
    /// `__HYPERVISOR_set_callbacks`: a PV guest's entry points, as they once were.
    pub SET_CALLBACKS as "__HYPERVISOR_set_callbacks": u64 = 4, X86;
    /// `__HYPERVISOR_fpu_taskswitch`: a PV guest's CR0.TS.
    pub FPU_TASKSWITCH as "__HYPERVISOR_fpu_taskswitch": u64 = 5, X86;
    /// `__HYPERVISOR_sched_op_compat`: scheduling, as it once was.
    pub SCHED_OP_COMPAT as "__HYPERVISOR_sched_op_compat": u64 = 6;
    /// `__HYPERVISOR_platform_op`: the machine, for the hardware domain.
    pub PLATFORM_OP as "__HYPERVISOR_platform_op": u64 = 7;
    /// `__HYPERVISOR_set_debugreg`: a PV guest's debug registers.
    pub SET_DEBUGREG as "__HYPERVISOR_set_debugreg": u64 = 8, X86;
    /// `__HYPERVISOR_get_debugreg`: a PV guest's debug registers.
    pub GET_DEBUGREG as "__HYPERVISOR_get_debugreg": u64 = 9, X86;
    /// `__HYPERVISOR_update_descriptor`: one descriptor of a PV guest.
    pub UPDATE_DESCRIPTOR as "__HYPERVISOR_update_descriptor": u64 = 10, X86;
    /// `__HYPERVISOR_memory_op`: a domain's physical memory.
    pub MEMORY_OP as "__HYPERVISOR_memory_op": u64 = 12;
    /// `__HYPERVISOR_multicall`: several hypercalls in one.
    pub MULTICALL as "__HYPERVISOR_multicall": u64 = 13;
    /// `__HYPERVISOR_update_va_mapping`: one page of a PV guest.
    pub UPDATE_VA_MAPPING as "__HYPERVISOR_update_va_mapping": u64 = 14, X86;
    /// `__HYPERVISOR_set_timer_op`: the vCPU's single timer.
    pub SET_TIMER_OP as "__HYPERVISOR_set_timer_op": u64 = 15;
    /// `__HYPERVISOR_event_channel_op_compat`: event channels, as they once were.
    pub EVENT_CHANNEL_OP_COMPAT as "__HYPERVISOR_event_channel_op_compat": u64 = 16;
    /// `__HYPERVISOR_xen_version`: what hypervisor this is.
    pub XEN_VERSION as "__HYPERVISOR_xen_version": u64 = 17;
    /// `__HYPERVISOR_console_io`: the hypervisor's console.
    pub CONSOLE_IO as "__HYPERVISOR_console_io": u64 = 18;
    /// `__HYPERVISOR_physdev_op_compat`: devices, as they once were.
    pub PHYSDEV_OP_COMPAT as "__HYPERVISOR_physdev_op_compat": u64 = 19;
    /// `__HYPERVISOR_grant_table_op`: memory that domains share.
    pub GRANT_TABLE_OP as "__HYPERVISOR_grant_table_op": u64 = 20;
    /// `__HYPERVISOR_vm_assist`: favours that a guest asks for.
    pub VM_ASSIST as "__HYPERVISOR_vm_assist": u64 = 21;
    /// `__HYPERVISOR_update_va_mapping_otherdomain`: one page of another PV guest.
    pub UPDATE_VA_MAPPING_OTHERDOMAIN as "__HYPERVISOR_update_va_mapping_otherdomain": u64 = 22, X86;
    /// `__HYPERVISOR_iret`: a PV kernel's way back.
    pub IRET as "__HYPERVISOR_iret": u64 = 23, X86;
    /// `__HYPERVISOR_vcpu_op`: the domain's own vCPUs.
    pub VCPU_OP as "__HYPERVISOR_vcpu_op": u64 = 24;
    /// `__HYPERVISOR_set_segment_base`: a PV guest's FS and GS.
    pub SET_SEGMENT_BASE as "__HYPERVISOR_set_segment_base": u64 = 25, X86;
    /// `__HYPERVISOR_mmuext_op`: a PV guest's page tables as such.
    pub MMUEXT_OP as "__HYPERVISOR_mmuext_op": u64 = 26, X86;
    /// `__HYPERVISOR_xsm_op`: the security module.
    pub XSM_OP as "__HYPERVISOR_xsm_op": u64 = 27;
    /// `__HYPERVISOR_nmi_op`: non-maskable interrupts.
    pub NMI_OP as "__HYPERVISOR_nmi_op": u64 = 28;
    /// `__HYPERVISOR_sched_op`: yielding, blocking, shutting down.
    pub SCHED_OP as "__HYPERVISOR_sched_op": u64 = 29;
    /// `__HYPERVISOR_callback_op`: a PV guest's entry points.
    pub CALLBACK_OP as "__HYPERVISOR_callback_op": u64 = 30;
    /// `__HYPERVISOR_xenoprof_op`: the old profiler.
    pub XENOPROF_OP as "__HYPERVISOR_xenoprof_op": u64 = 31;
    /// `__HYPERVISOR_event_channel_op`: event channels.
    pub EVENT_CHANNEL_OP as "__HYPERVISOR_event_channel_op": u64 = 32;
    /// `__HYPERVISOR_physdev_op`: devices, for the hardware domain.
    pub PHYSDEV_OP as "__HYPERVISOR_physdev_op": u64 = 33;
    /// `__HYPERVISOR_hvm_op`: parameters of a domain that has hardware's look.
    pub HVM_OP as "__HYPERVISOR_hvm_op": u64 = 34;
    /// `__HYPERVISOR_sysctl`: the whole host, for the toolstack.
    pub SYSCTL as "__HYPERVISOR_sysctl": u64 = 35;
    /// `__HYPERVISOR_domctl`: domains, for the toolstack.
    pub DOMCTL as "__HYPERVISOR_domctl": u64 = 36;
    /// `__HYPERVISOR_kexec_op`: the crash kernel.
    pub KEXEC_OP as "__HYPERVISOR_kexec_op": u64 = 37;
    /// `__HYPERVISOR_tmem_op`: transcendent memory, which is gone.
    pub TMEM_OP as "__HYPERVISOR_tmem_op": u64 = 38;
    /// `__HYPERVISOR_argo_op`: messages between domains.
    pub ARGO_OP as "__HYPERVISOR_argo_op": u64 = 39;
    /// `__HYPERVISOR_xenpmu_op`: performance counters.
    pub XENPMU_OP as "__HYPERVISOR_xenpmu_op": u64 = 40;
    /// `__HYPERVISOR_dm_op`: device models.
    pub DM_OP as "__HYPERVISOR_dm_op": u64 = 41;
    /// `__HYPERVISOR_hypfs_op`: the hypervisor's file system.
    pub HYPFS_OP as "__HYPERVISOR_hypfs_op": u64 = 42;
    /// `__HYPERVISOR_arch_0`: the first that is the architecture's own.
    pub ARCH_0 as "__HYPERVISOR_arch_0": u64 = 48;
    /// `__HYPERVISOR_arch_1`: the architecture's own.
    pub ARCH_1 as "__HYPERVISOR_arch_1": u64 = 49;
    /// `__HYPERVISOR_arch_7`: the last that is the architecture's own.
    pub ARCH_7 as "__HYPERVISOR_arch_7": u64 = 55;
}
