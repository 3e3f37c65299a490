//! How a guest knows its registers again.

use model::arm64::SystemRegisters;

/// A value that tells whose it is.
pub(super) fn stamp(domain: u16, index: usize, number: usize) -> u64 {
    u64::from(domain) << 48 | (index as u64) << 32 | 0xbeef_0000 | number as u64
}

/// All system registers that a guest owns, in the order of their declaration.
pub(super) fn words(system: &SystemRegisters) -> [u64; 26] {
    [
        system.vmpidr_el2,
        system.sctlr_el1,
        system.ttbr0_el1,
        system.ttbr1_el1,
        system.tcr_el1,
        system.mair_el1,
        system.amair_el1,
        system.vbar_el1,
        system.esr_el1,
        system.far_el1,
        system.afsr0_el1,
        system.afsr1_el1,
        system.contextidr_el1,
        system.tpidr_el0,
        system.tpidrro_el0,
        system.tpidr_el1,
        system.cpacr_el1,
        system.par_el1,
        system.cntkctl_el1,
        system.csselr_el1,
        system.sp_el0,
        system.sp_el1,
        system.elr_el1,
        system.spsr_el1,
        system.fpcr,
        system.fpsr,
    ]
}
