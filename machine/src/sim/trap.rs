//! How a simulated guest's instructions trap, and what its program may look into.

use model::arm64::{Cause, Trap};

use super::guest::Surroundings;
use super::program::{Act, Insight};

/// Lets a program act on what a guest's instructions can reach.
pub(super) fn with(around: &mut Surroundings<'_>, act: Act) -> u64 {
    let now = around.machine.time();
    let registers = &mut *around.registers;
    act(&mut Insight {
        x: &mut registers.x,
        pc: &mut registers.pc,
        pstate: &mut registers.pstate,
        system: &mut around.loaded.system,
        vector: &mut around.loaded.vector,
        timer: &mut around.loaded.timer,
        vmcr: &mut around.loaded.interface.vmcr,
        now,
    })
}

/// A trap by an instruction.
pub(super) fn synchronous(class: u64, iss: u64) -> Trap {
    Trap { cause: Cause::Synchronous, syndrome: class << 26 | 1 << 25 | iss, fault_address: 0, fault_page: 0 }
}

/// A fetch from where there is nothing.
pub(super) fn fetch_abort(pc: u64) -> Trap {
    Trap { fault_address: pc, fault_page: pc & !0xfff, ..synchronous(0x20, 7) }
}
