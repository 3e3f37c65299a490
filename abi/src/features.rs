//! `public/features.h`: what `XENVER_get_features` answers, as numbers of bits.

use crate::layout::constants;

constants! {
    /// `XENFEAT_writable_page_tables`: a PV guest may have its page tables writable.
    pub XENFEAT_WRITABLE_PAGE_TABLES as "XENFEAT_writable_page_tables": u32 = 0;
    /// `XENFEAT_writable_descriptor_tables`: the same of descriptor tables.
    pub XENFEAT_WRITABLE_DESCRIPTOR_TABLES as "XENFEAT_writable_descriptor_tables": u32 = 1;
    /// `XENFEAT_auto_translated_physmap`: the guest's frame numbers are translated: always, on Arm.
    pub XENFEAT_AUTO_TRANSLATED_PHYSMAP as "XENFEAT_auto_translated_physmap": u32 = 2;
    /// `XENFEAT_supervisor_mode_kernel`: the kernel runs in ring 0.
    pub XENFEAT_SUPERVISOR_MODE_KERNEL as "XENFEAT_supervisor_mode_kernel": u32 = 3;
    /// `XENFEAT_pae_pgdir_above_4gb`: PAE page tables may be above 4 GiB.
    pub XENFEAT_PAE_PGDIR_ABOVE_4GB as "XENFEAT_pae_pgdir_above_4gb": u32 = 4;
    /// `XENFEAT_mmu_pt_update_preserve_ad`: `MMU_PT_UPDATE_PRESERVE_AD` is known.
    pub XENFEAT_MMU_PT_UPDATE_PRESERVE_AD as "XENFEAT_mmu_pt_update_preserve_ad": u32 = 5;
    /// `XENFEAT_highmem_assist`: for 32-bit PV.
    pub XENFEAT_HIGHMEM_ASSIST as "XENFEAT_highmem_assist": u32 = 6;
    /// `XENFEAT_gnttab_map_avail_bits`: `GNTMAP_guest_avail*` is known.
    pub XENFEAT_GNTTAB_MAP_AVAIL_BITS as "XENFEAT_gnttab_map_avail_bits": u32 = 7;
    /// `XENFEAT_hvm_callback_vector`: events can come as a vector.
    pub XENFEAT_HVM_CALLBACK_VECTOR as "XENFEAT_hvm_callback_vector": u32 = 8;
    /// `XENFEAT_hvm_safe_pvclock`: the clock is good in HVM guests.
    pub XENFEAT_HVM_SAFE_PVCLOCK as "XENFEAT_hvm_safe_pvclock": u32 = 9;
    /// `XENFEAT_hvm_pirqs`: event channels for emulated devices' interrupts.
    pub XENFEAT_HVM_PIRQS as "XENFEAT_hvm_pirqs": u32 = 10;
    /// `XENFEAT_dom0`: the guest is the hardware domain.
    pub XENFEAT_DOM0 as "XENFEAT_dom0": u32 = 11;
    /// `XENFEAT_memory_op_vnode_supported`: `XENMEMF_vnode` is known.
    pub XENFEAT_MEMORY_OP_VNODE_SUPPORTED as "XENFEAT_memory_op_vnode_supported": u32 = 13;
    /// `XENFEAT_ARM_SMCCC_supported`: hypercalls by the SMC calling convention are answered.
    pub XENFEAT_ARM_SMCCC_SUPPORTED as "XENFEAT_ARM_SMCCC_supported": u32 = 14;
    /// `XENFEAT_linux_rsdp_unrestricted`: the RSDP may be anywhere.
    pub XENFEAT_LINUX_RSDP_UNRESTRICTED as "XENFEAT_linux_rsdp_unrestricted": u32 = 15;
    /// `XENFEAT_not_direct_mapped`: guest frame numbers are not those of the machine.
    pub XENFEAT_NOT_DIRECT_MAPPED as "XENFEAT_not_direct_mapped": u32 = 16;
    /// `XENFEAT_direct_mapped`: guest frame numbers are those of the machine.
    pub XENFEAT_DIRECT_MAPPED as "XENFEAT_direct_mapped": u32 = 17;
    /// `XENFEAT_NR_SUBMAPS`: words of 32 features.
    pub XENFEAT_NR_SUBMAPS: u32 = 1;
}
