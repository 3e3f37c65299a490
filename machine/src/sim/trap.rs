//! Traps as the simulated processor reports them.

use model::arm64::{Cause, Trap};

/// A synchronous exception of this class.
pub(super) fn synchronous(class: u64, iss: u64) -> Trap {
    Trap { cause: Cause::Synchronous, syndrome: class << 26 | 1 << 25 | iss, fault_address: 0, fault_page: 0 }
}

/// A fetch from where there is nothing.
pub(super) fn fetch_abort(pc: u64) -> Trap {
    Trap { fault_address: pc, fault_page: pc & !0xfff, ..synchronous(0x20, 7) }
}
