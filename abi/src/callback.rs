//! `public/callback.h`: where a PV guest's kernel is entered. x86 alone has such guests.

use crate::layout::{constants, layout};

constants! {
    /// `CALLBACKOP_register`: an entry point.
    pub CALLBACKOP_REGISTER as "CALLBACKOP_register": u32 = 0;
    /// `CALLBACKOP_unregister`: no such entry point.
    pub CALLBACKOP_UNREGISTER as "CALLBACKOP_unregister": u32 = 1;
    /// `CALLBACKTYPE_event`: events.
    pub CALLBACKTYPE_EVENT as "CALLBACKTYPE_event": u16 = 0;
    /// `CALLBACKTYPE_failsafe`: a state that cannot be restored.
    pub CALLBACKTYPE_FAILSAFE as "CALLBACKTYPE_failsafe": u16 = 1;
    /// `CALLBACKTYPE_syscall`: SYSCALL of a 64-bit program.
    pub CALLBACKTYPE_SYSCALL as "CALLBACKTYPE_syscall": u16 = 2;
    /// `CALLBACKTYPE_sysenter_deprecated`: SYSENTER, as it once was.
    pub CALLBACKTYPE_SYSENTER_DEPRECATED as "CALLBACKTYPE_sysenter_deprecated": u16 = 3;
    /// `CALLBACKTYPE_nmi`: a non-maskable interrupt.
    pub CALLBACKTYPE_NMI as "CALLBACKTYPE_nmi": u16 = 4;
    /// `CALLBACKTYPE_sysenter`: SYSENTER.
    pub CALLBACKTYPE_SYSENTER as "CALLBACKTYPE_sysenter": u16 = 5;
    /// `CALLBACKTYPE_syscall32`: SYSCALL of a 32-bit program.
    pub CALLBACKTYPE_SYSCALL32 as "CALLBACKTYPE_syscall32": u16 = 7;
    /// `CALLBACKF_mask_events`: events are masked on entry.
    pub CALLBACKF_MASK_EVENTS as "CALLBACKF_mask_events": u16 = 1;
}

layout! {
    /// `struct callback_register`: an entry point.
    pub struct CallbackRegister: "struct callback_register", 16 {
        /// IN: `CALLBACKTYPE_*`.
        0 => pub kind as "type": u16,
        /// IN: [`CALLBACKF_MASK_EVENTS`].
        2 => pub flags: u16,
        /// IN: its address.
        8 => pub address: u64,
    }

    /// `struct callback_unregister`: no such entry point.
    pub struct CallbackUnregister: "struct callback_unregister", 4 {
        /// IN: `CALLBACKTYPE_*`.
        0 => pub kind as "type": u16,
        /// Ignored.
        2 => pub unused as "_unused": u16,
    }
}
