//! `public/xen.h`: the numbers of hypercalls.

/// `__HYPERVISOR_xen_version`.
pub const XEN_VERSION: u64 = 17;
