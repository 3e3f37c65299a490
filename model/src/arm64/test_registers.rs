//! Registers to start a test with.
use super::{Lists, Registers, SystemRegisters, VectorRegisters, VirtualTimer};

/// EL1h with everything masked, all else zero.
pub(crate) fn registers() -> Registers {
    Registers {
        x: [0; 31],
        pc: 0x4000_0000,
        pstate: 0x3c5,
        system: SystemRegisters::default(),
        timer: VirtualTimer::default(),
        lists: Lists::default(),
        vector: VectorRegisters { v: [[0; 2]; 32] },
    }
}
