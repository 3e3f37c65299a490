//! `public/version.h`: the sub-operations of `xen_version`.

use crate::layout::{constants, layout};

constants! {
    /// `XENVER_version`: major version in bits 31:16, minor in 15:0; no buffer.
    pub XENVER_VERSION as "XENVER_version": u64 = 0;
    /// `XENVER_extraversion`: the rest of the version, `xen_extraversion_t`.
    pub XENVER_EXTRAVERSION as "XENVER_extraversion": u64 = 1;
    /// `XENVER_compile_info`: [`CompileInfo`].
    pub XENVER_COMPILE_INFO as "XENVER_compile_info": u64 = 2;
    /// `XENVER_capabilities`: what guests can be had, `xen_capabilities_info_t`.
    pub XENVER_CAPABILITIES as "XENVER_capabilities": u64 = 3;
    /// `XENVER_changeset`: of what source it was made, `xen_changeset_info_t`.
    pub XENVER_CHANGESET as "XENVER_changeset": u64 = 4;
    /// `XENVER_platform_parameters`: [`PlatformParameters`].
    pub XENVER_PLATFORM_PARAMETERS as "XENVER_platform_parameters": u64 = 5;
    /// `XENVER_get_features`: [`FeatureInfo`].
    pub XENVER_GET_FEATURES as "XENVER_get_features": u64 = 6;
    /// `XENVER_pagesize`: bytes of a page; no buffer.
    pub XENVER_PAGESIZE as "XENVER_pagesize": u64 = 7;
    /// `XENVER_guest_handle`: the domain's UUID, `xen_domain_handle_t`.
    pub XENVER_GUEST_HANDLE as "XENVER_guest_handle": u64 = 8;
    /// `XENVER_commandline`: the hypervisor's command line, `xen_commandline_t`.
    pub XENVER_COMMANDLINE as "XENVER_commandline": u64 = 9;
    /// `XENVER_build_id`: the build's id, [`BuildId`] and the bytes behind it.
    pub XENVER_BUILD_ID as "XENVER_build_id": u64 = 10;
    /// `XEN_EXTRAVERSION_LEN`: bytes of `xen_extraversion_t`.
    pub EXTRAVERSION_LEN as "XEN_EXTRAVERSION_LEN": usize = 16;
    /// `XEN_CAPABILITIES_INFO_LEN`: bytes of `xen_capabilities_info_t`.
    pub CAPABILITIES_INFO_LEN as "XEN_CAPABILITIES_INFO_LEN": usize = 1024;
    /// `XEN_CHANGESET_INFO_LEN`: bytes of `xen_changeset_info_t`.
    pub CHANGESET_INFO_LEN as "XEN_CHANGESET_INFO_LEN": usize = 64;
    /// `sizeof(xen_commandline_t)`: bytes of the command line.
    pub COMMANDLINE_LEN as "sizeof(xen_commandline_t)": usize = 1024;
    /// `sizeof(xen_domain_handle_t)`: bytes of a domain's UUID.
    pub DOMAIN_HANDLE_LEN as "sizeof(xen_domain_handle_t)": usize = 16;
    /// `offsetof(struct xen_build_id, buf)`: where the id is in the answer to `XENVER_build_id`.
    pub BUILD_ID_BUF as "offsetof(struct xen_build_id, buf)": usize = 4;
}

layout! {
    /// `struct xen_compile_info`: who made it, each a string that ends with a zero.
    pub struct CompileInfo: "struct xen_compile_info", 144 {
        /// The compiler's version.
        0 => pub compiler: [u8; 64],
        /// The user.
        64 => pub compile_by: [u8; 16],
        /// The host's domain.
        80 => pub compile_domain: [u8; 32],
        /// The time.
        112 => pub compile_date: [u8; 32],
    }

    /// `struct xen_platform_parameters`: where the hypervisor is.
    pub struct PlatformParameters: "struct xen_platform_parameters", 8 {
        /// The begin of its virtual memory.
        0 => pub virt_start: u64,
    }

    /// `struct xen_feature_info`: one word of features.
    pub struct FeatureInfo: "struct xen_feature_info", 8 {
        /// IN: which word.
        0 => pub submap_idx: u32,
        /// OUT: its bits.
        4 => pub submap: u32,
    }

    /// `struct xen_build_id`: the head of the build's id.
    pub struct BuildId: "struct xen_build_id", 4 {
        /// IN: size of the buffer behind it. OUT: size of the id.
        0 => pub len: u32,
    }
}

/// The version of the interface that is spoken: Xen 4.17.
pub const VERSION: u64 = 4 << 16 | 17;
