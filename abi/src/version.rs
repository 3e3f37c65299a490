//! `public/version.h`: the sub-operations of `xen_version`.

/// `XENVER_version`: major version in bits 31:16, minor in 15:0; no buffer.
pub const XENVER_VERSION: u64 = 0;
/// The version of the interface that is spoken: Xen 4.17.
pub const VERSION: u64 = 4 << 16 | 17;
