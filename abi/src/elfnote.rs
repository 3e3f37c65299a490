//! `public/elfnote.h`: notes by which a kernel says how it wants to be started.

use crate::layout::constants;

constants! {
    /// `XEN_ELFNOTE_INFO`: a text.
    pub XEN_ELFNOTE_INFO: u32 = 0;
    /// `XEN_ELFNOTE_ENTRY`: PV's entry.
    pub XEN_ELFNOTE_ENTRY: u32 = 1;
    /// `XEN_ELFNOTE_HYPERCALL_PAGE`: where hypercalls are wanted.
    pub XEN_ELFNOTE_HYPERCALL_PAGE: u32 = 2;
    /// `XEN_ELFNOTE_VIRT_BASE`: the virtual address of its memory.
    pub XEN_ELFNOTE_VIRT_BASE: u32 = 3;
    /// `XEN_ELFNOTE_PADDR_OFFSET`: by which the file's physical addresses are off.
    pub XEN_ELFNOTE_PADDR_OFFSET: u32 = 4;
    /// `XEN_ELFNOTE_XEN_VERSION`: the interface's version.
    pub XEN_ELFNOTE_XEN_VERSION: u32 = 5;
    /// `XEN_ELFNOTE_GUEST_OS`: the system's name.
    pub XEN_ELFNOTE_GUEST_OS: u32 = 6;
    /// `XEN_ELFNOTE_GUEST_VERSION`: the system's version.
    pub XEN_ELFNOTE_GUEST_VERSION: u32 = 7;
    /// `XEN_ELFNOTE_LOADER`: "generic".
    pub XEN_ELFNOTE_LOADER: u32 = 8;
    /// `XEN_ELFNOTE_PAE_MODE`: whether it wants PAE.
    pub XEN_ELFNOTE_PAE_MODE: u32 = 9;
    /// `XEN_ELFNOTE_FEATURES`: features that it needs or can have.
    pub XEN_ELFNOTE_FEATURES: u32 = 10;
    /// `XEN_ELFNOTE_BSD_SYMTAB`: whether its symbols are wanted.
    pub XEN_ELFNOTE_BSD_SYMTAB: u32 = 11;
    /// `XEN_ELFNOTE_HV_START_LOW`: the lowest address that the hypervisor may have.
    pub XEN_ELFNOTE_HV_START_LOW: u32 = 12;
    /// `XEN_ELFNOTE_L1_MFN_VALID`: how a valid entry is told.
    pub XEN_ELFNOTE_L1_MFN_VALID: u32 = 13;
    /// `XEN_ELFNOTE_SUSPEND_CANCEL`: whether a suspend can be cancelled.
    pub XEN_ELFNOTE_SUSPEND_CANCEL: u32 = 14;
    /// `XEN_ELFNOTE_INIT_P2M`: where its table of frames is wanted.
    pub XEN_ELFNOTE_INIT_P2M: u32 = 15;
    /// `XEN_ELFNOTE_MOD_START_PFN`: the ramdisk is told by frame.
    pub XEN_ELFNOTE_MOD_START_PFN: u32 = 16;
    /// `XEN_ELFNOTE_SUPPORTED_FEATURES`: features that it can have.
    pub XEN_ELFNOTE_SUPPORTED_FEATURES: u32 = 17;
    /// `XEN_ELFNOTE_PHYS32_ENTRY`: PVH's entry.
    pub XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
    /// `XEN_ELFNOTE_MAX`: the last.
    pub XEN_ELFNOTE_MAX: u32 = 18;
}
