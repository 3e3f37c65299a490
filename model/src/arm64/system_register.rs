//! Which system register a trapped access means, and how it is emulated.
//!
//! The trap bits that lead here are those of the contract: HCR_EL2.TID3, TSC, TACR, TIDCP, TSW, with
//! MDCR_EL2.TDRA, TDOSA, TDA, TPM, TPMCR, with CPTR_EL2.TTA, TAM, with CNTHCTL_EL2.EL1PCEN clear and with
//! the interrupt controller's own traps for SGIs. What is not named here does not exist for the guest.

use core::fmt;

use super::timer::TimerRegister;
use crate::bits::{index, low_u32};

/// The number of a system register or system instruction: op0 21:20, op2 19:17, op1 16:14, CRn 13:10 and CRm 4:1, as
/// the syndrome has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemRegister(u32);

#[expect(missing_docs, reason = "the constants bear the architecture's own names (Arm ARM, D19)")]
impl SystemRegister {
    pub const DC_ISW: Self = Self::new([1, 0, 7, 6, 2]);
    pub const DC_CSW: Self = Self::new([1, 0, 7, 10, 2]);
    pub const DC_CISW: Self = Self::new([1, 0, 7, 14, 2]);

    pub const OSDTRRX_EL1: Self = Self::new([2, 0, 0, 0, 2]);
    pub const MDCCINT_EL1: Self = Self::new([2, 0, 0, 2, 0]);
    pub const MDSCR_EL1: Self = Self::new([2, 0, 0, 2, 2]);
    pub const OSDTRTX_EL1: Self = Self::new([2, 0, 0, 3, 2]);
    pub const OSECCR_EL1: Self = Self::new([2, 0, 0, 6, 2]);
    pub const MDRAR_EL1: Self = Self::new([2, 0, 1, 0, 0]);
    pub const OSLAR_EL1: Self = Self::new([2, 0, 1, 0, 4]);
    pub const OSLSR_EL1: Self = Self::new([2, 0, 1, 1, 4]);
    pub const OSDLR_EL1: Self = Self::new([2, 0, 1, 3, 4]);
    pub const DBGPRCR_EL1: Self = Self::new([2, 0, 1, 4, 4]);
    pub const DBGCLAIMSET_EL1: Self = Self::new([2, 0, 7, 8, 6]);
    pub const DBGCLAIMCLR_EL1: Self = Self::new([2, 0, 7, 9, 6]);
    pub const DBGAUTHSTATUS_EL1: Self = Self::new([2, 0, 7, 14, 6]);
    pub const MDCCSR_EL0: Self = Self::new([2, 3, 0, 1, 0]);
    pub const DBGDTR_EL0: Self = Self::new([2, 3, 0, 4, 0]);
    pub const DBGDTRRX_EL0: Self = Self::new([2, 3, 0, 5, 0]);

    pub const ID_PFR0_EL1: Self = Self::new([3, 0, 0, 1, 0]);
    pub const ID_PFR1_EL1: Self = Self::new([3, 0, 0, 1, 1]);
    pub const ID_DFR0_EL1: Self = Self::new([3, 0, 0, 1, 2]);
    pub const ID_AFR0_EL1: Self = Self::new([3, 0, 0, 1, 3]);
    pub const ID_MMFR0_EL1: Self = Self::new([3, 0, 0, 1, 4]);
    pub const ID_MMFR1_EL1: Self = Self::new([3, 0, 0, 1, 5]);
    pub const ID_MMFR2_EL1: Self = Self::new([3, 0, 0, 1, 6]);
    pub const ID_MMFR3_EL1: Self = Self::new([3, 0, 0, 1, 7]);
    pub const ID_ISAR0_EL1: Self = Self::new([3, 0, 0, 2, 0]);
    pub const ID_ISAR1_EL1: Self = Self::new([3, 0, 0, 2, 1]);
    pub const ID_ISAR2_EL1: Self = Self::new([3, 0, 0, 2, 2]);
    pub const ID_ISAR3_EL1: Self = Self::new([3, 0, 0, 2, 3]);
    pub const ID_ISAR4_EL1: Self = Self::new([3, 0, 0, 2, 4]);
    pub const ID_ISAR5_EL1: Self = Self::new([3, 0, 0, 2, 5]);
    pub const ID_MMFR4_EL1: Self = Self::new([3, 0, 0, 2, 6]);
    pub const ID_ISAR6_EL1: Self = Self::new([3, 0, 0, 2, 7]);
    pub const MVFR0_EL1: Self = Self::new([3, 0, 0, 3, 0]);
    pub const MVFR1_EL1: Self = Self::new([3, 0, 0, 3, 1]);
    pub const MVFR2_EL1: Self = Self::new([3, 0, 0, 3, 2]);
    pub const ID_PFR2_EL1: Self = Self::new([3, 0, 0, 3, 4]);
    pub const ID_DFR1_EL1: Self = Self::new([3, 0, 0, 3, 5]);
    pub const ID_MMFR5_EL1: Self = Self::new([3, 0, 0, 3, 6]);
    pub const ID_AA64PFR0_EL1: Self = Self::new([3, 0, 0, 4, 0]);
    pub const ID_AA64PFR1_EL1: Self = Self::new([3, 0, 0, 4, 1]);
    pub const ID_AA64ZFR0_EL1: Self = Self::new([3, 0, 0, 4, 4]);
    pub const ID_AA64SMFR0_EL1: Self = Self::new([3, 0, 0, 4, 5]);
    pub const ID_AA64DFR0_EL1: Self = Self::new([3, 0, 0, 5, 0]);
    pub const ID_AA64DFR1_EL1: Self = Self::new([3, 0, 0, 5, 1]);
    pub const ID_AA64ISAR0_EL1: Self = Self::new([3, 0, 0, 6, 0]);
    pub const ID_AA64ISAR1_EL1: Self = Self::new([3, 0, 0, 6, 1]);
    pub const ID_AA64ISAR2_EL1: Self = Self::new([3, 0, 0, 6, 2]);
    pub const ID_AA64MMFR0_EL1: Self = Self::new([3, 0, 0, 7, 0]);
    pub const ID_AA64MMFR1_EL1: Self = Self::new([3, 0, 0, 7, 1]);
    pub const ID_AA64MMFR2_EL1: Self = Self::new([3, 0, 0, 7, 2]);
    pub const ID_AA64MMFR3_EL1: Self = Self::new([3, 0, 0, 7, 3]);

    pub const ACTLR_EL1: Self = Self::new([3, 0, 1, 0, 1]);
    pub const PMINTENSET_EL1: Self = Self::new([3, 0, 9, 14, 1]);
    pub const PMINTENCLR_EL1: Self = Self::new([3, 0, 9, 14, 2]);
    pub const PMMIR_EL1: Self = Self::new([3, 0, 9, 14, 6]);
    pub const ICC_SGI1R_EL1: Self = Self::new([3, 0, 12, 11, 5]);
    pub const ICC_ASGI1R_EL1: Self = Self::new([3, 0, 12, 11, 6]);
    pub const ICC_SGI0R_EL1: Self = Self::new([3, 0, 12, 11, 7]);
    pub const ICC_SRE_EL1: Self = Self::new([3, 0, 12, 12, 5]);
    pub const PMCR_EL0: Self = Self::new([3, 3, 9, 12, 0]);
    pub const PMUSERENR_EL0: Self = Self::new([3, 3, 9, 14, 0]);
    pub const CNTP_TVAL_EL0: Self = Self::new([3, 3, 14, 2, 0]);
    pub const CNTP_CTL_EL0: Self = Self::new([3, 3, 14, 2, 1]);
    pub const CNTP_CVAL_EL0: Self = Self::new([3, 3, 14, 2, 2]);
}

impl SystemRegister {
    /// From op0, op1, CRn, CRm and op2; bits that do not fit their field are dropped.
    pub const fn new([op0, op1, crn, crm, op2]: [u32; 5]) -> Self {
        Self((op0 & 3) << 20 | (op2 & 7) << 17 | (op1 & 7) << 14 | (crn & 0xf) << 10 | (crm & 0xf) << 1)
    }

    /// From the syndrome of exception class 0x18.
    #[inline]
    pub const fn from_syndrome(syndrome: u64) -> Self {
        Self(low_u32(syndrome & 0x3f_fc1e))
    }

    /// The packed number: op0 15:14, op1 13:11, CRn 10:7, CRm 6:3, op2 2:0, as the instruction itself has them.
    pub const fn bits(self) -> u32 {
        self.0 >> 6 & 0xc000 | self.0 >> 3 & 0x3f80 | self.0 << 2 & 0x78 | self.0 >> 17 & 7
    }

    /// Whether it is among the identity registers: op0 3, op1 0, CRn 0, CRm 1 to 7 with op2 0 to 7.
    #[inline]
    const fn is_identity(self) -> bool {
        self.0 & 0x31_fc10 == 3 << 20 && self.0 & 7 << 1 != 0
    }

    /// Its place among them: CRm 5:3 and op2 2:0.
    #[inline]
    pub(crate) fn identity_index(self) -> usize {
        index((self.0 >> 1 & 7) << 3 | self.0 >> 17 & 7)
    }
}

impl fmt::Display for SystemRegister {
    /// As assemblers take it: `S3_0_C1_C0_1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.bits();
        write!(
            f,
            "S{}_{}_C{}_C{}_{}",
            number >> 14,
            number >> 11 & 7,
            number >> 7 & 0xf,
            number >> 3 & 0xf,
            number & 7
        )
    }
}

/// How a trapped access to a system register is emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulation {
    /// Read from [`super::identity::Identity`].
    Identity,
    /// Reads as zero, writes are ignored.
    ReadAsZeroWriteIgnored,
    /// Reads as this; there are no writes.
    ReadValue(u64),
    /// Write only, and without effect.
    WriteIgnored,
    /// Written to generate an SGI. Undefined for a domain with a GICv2.
    Sgi(SgiGroup),
    /// ICC_SRE_EL1: reads as 7 (system registers, no bypass), writes are ignored. Undefined for a domain
    /// with a GICv2.
    InterruptSystemRegisterEnable,
    /// The physical timer.
    PhysicalTimer(TimerRegister),
    /// Cache maintenance by set and way.
    SetWay,
    /// The register does not exist, or not for this direction: an undefined instruction.
    Undefined,
}

/// Which SGIs a register of the GICv3 CPU interface generates.
///
/// A guest sees a single security state, in which ICC_ASGI1R_EL1 (group 1 of the other state) reaches
/// the same SGIs as ICC_SGI0R_EL1: those configured as group 0 (IHI 0069, "Forwarding an SGI to a target
/// PE").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiGroup {
    /// Those of group 0.
    Group0,
    /// Those of group 1.
    Group1,
}

/// How this access is emulated.
#[inline]
pub fn classify(register: SystemRegister, write: bool) -> Emulation {
    if register.is_identity() {
        return if write { Emulation::Undefined } else { Emulation::Identity };
    }
    classify_others(register, write)
}

fn classify_others(register: SystemRegister, write: bool) -> Emulation {
    use SystemRegister as S;
    match register {
        S::CNTP_CTL_EL0 => Emulation::PhysicalTimer(TimerRegister::Control),
        S::CNTP_CVAL_EL0 => Emulation::PhysicalTimer(TimerRegister::Compare),
        S::CNTP_TVAL_EL0 => Emulation::PhysicalTimer(TimerRegister::Value),
        S::ICC_SGI1R_EL1 if write => Emulation::Sgi(SgiGroup::Group1),
        S::ICC_ASGI1R_EL1 | S::ICC_SGI0R_EL1 if write => Emulation::Sgi(SgiGroup::Group0),
        S::ICC_SRE_EL1 => Emulation::InterruptSystemRegisterEnable,
        S::ACTLR_EL1 => Emulation::ReadAsZeroWriteIgnored,
        S::DC_ISW | S::DC_CSW | S::DC_CISW if write => Emulation::SetWay,
        other => match other.bits() >> 14 {
            2 => debug(other, write),
            3 => performance(other),
            _ => Emulation::Undefined,
        },
    }
}

/// The debug registers (op0 2): there, but dead. The OS lock is implemented and not locked
/// (OSLSR_EL1.OSLM = 0b10).
fn debug(register: SystemRegister, write: bool) -> Emulation {
    use SystemRegister as S;
    match register {
        S::OSLAR_EL1 if write => Emulation::WriteIgnored,
        S::OSLSR_EL1 if !write => Emulation::ReadValue(1 << 3),
        S::MDCCSR_EL0 | S::MDRAR_EL1 | S::DBGAUTHSTATUS_EL1 if !write => Emulation::ReadValue(0),
        S::OSDLR_EL1
        | S::MDSCR_EL1
        | S::MDCCINT_EL1
        | S::OSDTRRX_EL1
        | S::OSDTRTX_EL1
        | S::OSECCR_EL1
        | S::DBGPRCR_EL1
        | S::DBGCLAIMSET_EL1
        | S::DBGCLAIMCLR_EL1
        | S::DBGDTR_EL0
        | S::DBGDTRRX_EL0 => Emulation::ReadAsZeroWriteIgnored,
        // DBGBVR, DBGBCR, DBGWVR and DBGWCR: op1 0, CRn 0, any CRm, op2 4 to 7.
        other if other.bits() & 0x3f84 == 4 => Emulation::ReadAsZeroWriteIgnored,
        _ => Emulation::Undefined,
    }
}

/// The performance monitors: absent as the identity registers have it, but as many guests touch them
/// all the same, they read as zero.
fn performance(register: SystemRegister) -> Emulation {
    use SystemRegister as S;
    const MONITORS: u32 = SystemRegister::PMCR_EL0.bits();
    /// PMEVCNTR<n>_EL0, PMEVTYPER<n>_EL0 and PMCCFILTR_EL0: op1 3, CRn 14, CRm 8 to 15.
    const EVENTS: u32 = SystemRegister::new([3, 3, 14, 8, 0]).bits();
    let known = matches!(register, S::PMINTENSET_EL1 | S::PMINTENCLR_EL1 | S::PMMIR_EL1)
        // CRm 12 to 14 and every op2 of each.
        || register.bits().wrapping_sub(MONITORS) < 24
        || register.bits().wrapping_sub(EVENTS) < 64;
    if known { Emulation::ReadAsZeroWriteIgnored } else { Emulation::Undefined }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    /// The syndrome of an access, built field by field as the Arm ARM draws it.
    fn syndrome([op0, op1, crn, crm, op2]: [u64; 5]) -> u64 {
        0x18 << 26 | 1 << 25 | op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1
    }

    #[test]
    fn the_syndrome_and_the_constructor_agree_on_every_register() {
        for number in 0..=0xffff {
            let fields = [number >> 14, number >> 11 & 7, number >> 7 & 0xf, number >> 3 & 0xf, number & 7];
            let register = SystemRegister::new(fields);
            assert_eq!(register.bits(), number);
            assert_eq!(SystemRegister::from_syndrome(syndrome(fields.map(u64::from)) | 0x3e1), register);
        }
    }

    #[test]
    fn a_register_is_shown_as_assemblers_take_it() {
        assert_eq!(format!("{}", SystemRegister::ACTLR_EL1), "S3_0_C1_C0_1");
        assert_eq!(format!("{}", SystemRegister::ICC_SGI1R_EL1), "S3_0_C12_C11_5");
    }

    #[test]
    fn all_identity_registers_are_read_only_and_reserved_ones_are_among_them() {
        for crm in 1..8 {
            for op2 in 0..8 {
                let register = SystemRegister::new([3, 0, 0, crm, op2]);
                assert_eq!(classify(register, false), Emulation::Identity);
                assert_eq!(classify(register, true), Emulation::Undefined);
            }
        }
        for outside in [[3, 0, 0, 0, 7], [3, 0, 0, 8, 0], [3, 1, 0, 1, 0], [2, 0, 0, 1, 0]] {
            assert_ne!(classify(SystemRegister::new(outside), false), Emulation::Identity);
        }
    }

    #[test]
    fn the_contracts_registers_are_emulated_as_it_says() {
        use Emulation::*;
        use SystemRegister as S;
        let rows = [
            (S::ACTLR_EL1, ReadAsZeroWriteIgnored, ReadAsZeroWriteIgnored),
            (S::OSLAR_EL1, Undefined, WriteIgnored),
            (S::OSLSR_EL1, ReadValue(8), Undefined),
            (S::OSDLR_EL1, ReadAsZeroWriteIgnored, ReadAsZeroWriteIgnored),
            (S::MDSCR_EL1, ReadAsZeroWriteIgnored, ReadAsZeroWriteIgnored),
            (S::MDCCSR_EL0, ReadValue(0), Undefined),
            (S::PMUSERENR_EL0, ReadAsZeroWriteIgnored, ReadAsZeroWriteIgnored),
            (S::ICC_SGI1R_EL1, Undefined, Sgi(SgiGroup::Group1)),
            (S::ICC_ASGI1R_EL1, Undefined, Sgi(SgiGroup::Group0)),
            (S::ICC_SGI0R_EL1, Undefined, Sgi(SgiGroup::Group0)),
            (S::ICC_SRE_EL1, InterruptSystemRegisterEnable, InterruptSystemRegisterEnable),
            (S::DC_CISW, Undefined, SetWay),
            (S::CNTP_CTL_EL0, PhysicalTimer(TimerRegister::Control), PhysicalTimer(TimerRegister::Control)),
        ];
        for (register, read, write) in rows {
            assert_eq!(classify(register, false), read, "{register}");
            assert_eq!(classify(register, true), write, "{register}");
        }
    }

    #[test]
    fn breakpoints_and_counters_are_dead_and_what_is_between_is_undefined() {
        for number in 0..16 {
            for op2 in 4..8 {
                let register = SystemRegister::new([2, 0, 0, number, op2]);
                assert_eq!(classify(register, true), Emulation::ReadAsZeroWriteIgnored, "{register}");
            }
            let trace = SystemRegister::new([2, 1, 0, number, 4]);
            assert_eq!(classify(trace, true), Emulation::Undefined);
        }
        for crm in 0..16 {
            for op2 in 0..8 {
                let dead = |fields| {
                    classify(SystemRegister::new(fields), false) == Emulation::ReadAsZeroWriteIgnored
                };
                assert_eq!(dead([3, 3, 9, crm, op2]), (12..15).contains(&crm));
                assert_eq!(dead([3, 3, 14, crm, op2]), crm >= 8);
            }
        }
    }

    #[test]
    fn unknown_registers_are_undefined() {
        for fields in [[3, 0, 11, 0, 0], [3, 0, 15, 2, 0], [3, 0, 2, 1, 0], [3, 0, 5, 4, 0], [0, 0, 0, 0, 0]]
        {
            for write in [false, true] {
                assert_eq!(classify(SystemRegister::new(fields), write), Emulation::Undefined);
            }
        }
    }
}
