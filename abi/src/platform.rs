//! `public/platform.h`: the machine, for the hardware domain: its clock, and the frame of all `platform_op`.

use crate::layout::{constants, layout};

constants! {
    /// `XENPF_INTERFACE_VERSION`: the version that callers must speak.
    pub XENPF_INTERFACE_VERSION: u32 = 0x0300_0001;
    /// `XENPF_settime32`: [`Settime32`].
    pub XENPF_SETTIME32 as "XENPF_settime32": u32 = 17;
    /// `XENPF_settime64`: [`Settime64`].
    pub XENPF_SETTIME64 as "XENPF_settime64": u32 = 62;
    /// `offsetof(struct xen_platform_op, u)`: where the operation's own part is.
    pub PLATFORM_OP_U as "offsetof(struct xen_platform_op, u)": usize = 8;
}

layout! {
    /// `struct xen_platform_op`: an operation.
    pub struct PlatformOp: "struct xen_platform_op", 136 {
        /// IN: `XENPF_*`.
        0 => pub cmd: u32,
        /// IN: [`XENPF_INTERFACE_VERSION`].
        4 => pub interface_version: u32,
        /// The operation's own part.
        8 => pub u: [u8; 128],
    }

    /// `struct xenpf_settime32`: the wall clock, as it once was.
    pub struct Settime32: "struct xenpf_settime32", 16 {
        /// IN: seconds since 1970.
        0 => pub secs: u32,
        /// IN: and nanoseconds,
        4 => pub nsecs: u32,
        /// IN: at this system time.
        8 => pub system_time: u64,
    }

    /// `struct xenpf_settime64`: the wall clock.
    pub struct Settime64: "struct xenpf_settime64", 24 {
        /// IN: seconds since 1970.
        0 => pub secs: u64,
        /// IN: and nanoseconds,
        8 => pub nsecs: u32,
        /// IN: zero.
        12 => pub mbz: u32,
        /// IN: at this system time.
        16 => pub system_time: u64,
    }
}
