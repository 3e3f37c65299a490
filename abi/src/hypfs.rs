//! `public/hypfs.h`: the hypervisor's file system.

use crate::layout::{constants, layout};

constants! {
    /// `XEN_HYPFS_VERSION`: what [`XEN_HYPFS_OP_GET_VERSION`] answers.
    pub XEN_HYPFS_VERSION: u64 = 1;
    /// `XEN_HYPFS_MAX_PATHLEN`: bytes of the longest path, its zero included.
    pub XEN_HYPFS_MAX_PATHLEN: u64 = 1024;
    /// `XEN_HYPFS_OP_get_version`: the version.
    pub XEN_HYPFS_OP_GET_VERSION as "XEN_HYPFS_OP_get_version": u32 = 0;
    /// `XEN_HYPFS_OP_read`: an entry and its content.
    pub XEN_HYPFS_OP_READ as "XEN_HYPFS_OP_read": u32 = 1;
    /// `XEN_HYPFS_OP_write_contents`: a new content.
    pub XEN_HYPFS_OP_WRITE_CONTENTS as "XEN_HYPFS_OP_write_contents": u32 = 2;

    // direntry.type.
    /// `XEN_HYPFS_TYPE_DIR`: a directory, of [`HypfsDirlistentry`].
    pub XEN_HYPFS_TYPE_DIR: u8 = 0;
    /// `XEN_HYPFS_TYPE_BLOB`: bytes.
    pub XEN_HYPFS_TYPE_BLOB: u8 = 1;
    /// `XEN_HYPFS_TYPE_STRING`: a string that ends with a zero.
    pub XEN_HYPFS_TYPE_STRING: u8 = 2;
    /// `XEN_HYPFS_TYPE_UINT`: an integer without a sign.
    pub XEN_HYPFS_TYPE_UINT: u8 = 3;
    /// `XEN_HYPFS_TYPE_INT`: an integer with a sign.
    pub XEN_HYPFS_TYPE_INT: u8 = 4;
    /// `XEN_HYPFS_TYPE_BOOL`: one byte, 0 or 1.
    pub XEN_HYPFS_TYPE_BOOL: u8 = 5;

    // direntry.encoding.
    /// `XEN_HYPFS_ENC_PLAIN`: as it is.
    pub XEN_HYPFS_ENC_PLAIN: u8 = 0;
    /// `XEN_HYPFS_ENC_GZIP`: compressed.
    pub XEN_HYPFS_ENC_GZIP: u8 = 1;
    /// `offsetof(struct xen_hypfs_dirlistentry, name)`: where a name begins.
    pub HYPFS_DIRLISTENTRY_NAME as "offsetof(struct xen_hypfs_dirlistentry, name)": usize = 14;
}

layout! {
    /// `struct xen_hypfs_direntry`: an entry.
    pub struct HypfsDirentry: "struct xen_hypfs_direntry", 12 {
        /// `XEN_HYPFS_TYPE_*`.
        0 => pub kind as "type": u8,
        /// `XEN_HYPFS_ENC_*`.
        1 => pub encoding: u8,
        /// C's padding.
        2 => pub pad: u16,
        /// Bytes of its content.
        4 => pub content_len: u32,
        /// Bytes that may be written; 0 if none.
        8 => pub max_write_len: u32,
    }

    /// `struct xen_hypfs_dirlistentry`: an entry in a directory. Its name follows at
    /// [`HYPFS_DIRLISTENTRY_NAME`].
    pub struct HypfsDirlistentry: "struct xen_hypfs_dirlistentry", 16 {
        /// The entry.
        0 => pub e: HypfsDirentry,
        /// Bytes to the next one; 0 if there is none.
        12 => pub off_next: u16,
    }
}
