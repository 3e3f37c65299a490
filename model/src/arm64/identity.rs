//! The identity registers that a guest reads: the host's, less what a guest cannot have.
//!
//! The rule is an allow-list. A field is passed on only if it stands in [`FIELDS`], and only up to the
//! value that stands there, because that is what is known to work without help from the hypervisor (no
//! trap to configure, no state to switch that is not switched). Whatever a newer architecture adds is
//! hidden until somebody has thought about it. Hidden today, among others: EL2 and EL3, EL1 in AArch32,
//! RAS, SVE, SME, MTE, pointer authentication, MPAM, AMU, PMU, trace, SPE, BRBE, nested virtualisation,
//! LORegions, SCXTNUM, 52-bit output addresses, BBM (its TLB conflict aborts would come to EL2), and all
//! that needs HCRX_EL2, fine-grained traps or ECV.
//!
//! Source: Arm ARM, D19.2 (AArch64) and G8.2 (AArch32).

use super::SystemRegister;
use SystemRegister as S;

/// Places for op0 3, op1 0, CRn 0, CRm 0 to 7, op2 0 to 7; those of CRm 0 stay zero.
const PLACES: usize = 64;

/// A field of four bits in an identity register.
#[derive(Clone, Copy)]
struct Field {
    shift: u32,
    /// The greatest value that is passed on.
    most: u64,
    /// 0xf means "not there" and is passed on as it is.
    signed: bool,
}

/// An unsigned field.
const fn up_to(shift: u32, most: u64) -> Field {
    Field { shift, most, signed: false }
}

/// A signed field.
const fn signed(shift: u32, most: u64) -> Field {
    Field { shift, most, signed: true }
}

/// All eight fields of an AArch32 register that tells of instructions for EL0 or of nothing but EL1 in
/// AArch32, which a guest cannot enter.
const ALL_32: [Field; 8] = [
    up_to(0, 0xf),
    up_to(4, 0xf),
    up_to(8, 0xf),
    up_to(12, 0xf),
    up_to(16, 0xf),
    up_to(20, 0xf),
    up_to(24, 0xf),
    up_to(28, 0xf),
];

/// The registers of AArch32: only read on a host whose EL0 has it, elsewhere their values are unknown.
const FIELDS_32: &[(SystemRegister, &[Field])] = &[
    // State0 to State3, CSV2, DIT; not AMU and RAS.
    (S::ID_PFR0_EL1, &[up_to(0, 1), up_to(4, 3), up_to(8, 2), up_to(12, 1), up_to(16, 1), up_to(24, 1)]),
    // Programmers' model and timer; not Security, Virtualization, GIC.
    (S::ID_PFR1_EL1, &[up_to(0, 1), up_to(8, 2), up_to(16, 1)]),
    // CSV3, SSBS; not RAS_frac.
    (S::ID_PFR2_EL1, &[up_to(0, 1), up_to(4, 1)]),
    // CopDbg; not trace, not PMU.
    (S::ID_DFR0_EL1, &[up_to(0, 8)]),
    (S::ID_MMFR0_EL1, &ALL_32),
    (S::ID_MMFR1_EL1, &ALL_32),
    (S::ID_MMFR2_EL1, &ALL_32),
    (S::ID_MMFR3_EL1, &ALL_32),
    // AC2, XNX, CnP, HPDS, LSM, CCIDX; not SpecSEI, EVT.
    (S::ID_MMFR4_EL1, &[up_to(4, 1), up_to(8, 1), up_to(12, 1), up_to(16, 1), up_to(20, 1), up_to(24, 1)]),
    (S::ID_MMFR5_EL1, &[up_to(0, 1), up_to(4, 1)]),
    (S::ID_ISAR0_EL1, &ALL_32),
    (S::ID_ISAR1_EL1, &ALL_32),
    (S::ID_ISAR2_EL1, &ALL_32),
    (S::ID_ISAR3_EL1, &ALL_32),
    (S::ID_ISAR4_EL1, &ALL_32),
    (S::ID_ISAR5_EL1, &ALL_32),
    (S::ID_ISAR6_EL1, &ALL_32),
    (S::MVFR0_EL1, &ALL_32),
    (S::MVFR1_EL1, &ALL_32),
    (S::MVFR2_EL1, &ALL_32),
];

/// The registers of AArch64.
const FIELDS_64: &[(SystemRegister, &[Field])] = &[
    // EL0, EL1 (AArch64 only), FP, AdvSIMD, DIT, CSV2 without SCXTNUM, CSV3. GIC is set apart.
    (
        S::ID_AA64PFR0_EL1,
        &[up_to(0, 2), up_to(4, 1), signed(16, 1), signed(20, 1), up_to(48, 1), up_to(56, 1), up_to(60, 1)],
    ),
    // BT, SSBS, CSV2_frac without SCXTNUM.
    (S::ID_AA64PFR1_EL1, &[up_to(0, 1), up_to(4, 2), up_to(32, 1)]),
    // DebugVer, BRPs, WRPs, CTX_CMPs, DoubleLock.
    (S::ID_AA64DFR0_EL1, &[up_to(0, 9), up_to(12, 0xf), up_to(20, 0xf), up_to(28, 0xf), signed(36, 0)]),
    // AES, SHA1, SHA2, CRC32, Atomic, RDM, SHA3, SM3, SM4, DP, FHM, TS, TLB, RNDR.
    (
        S::ID_AA64ISAR0_EL1,
        &[
            up_to(4, 2),
            up_to(8, 1),
            up_to(12, 2),
            up_to(16, 1),
            up_to(20, 2),
            up_to(28, 1),
            up_to(32, 1),
            up_to(36, 1),
            up_to(40, 1),
            up_to(44, 1),
            up_to(48, 1),
            up_to(52, 2),
            up_to(56, 2),
            up_to(60, 1),
        ],
    ),
    // DPB, JSCVT, FCMA, LRCPC, FRINTTS, SB, SPECRES, BF16, DGH, I8MM.
    (
        S::ID_AA64ISAR1_EL1,
        &[
            up_to(0, 2),
            up_to(12, 1),
            up_to(16, 1),
            up_to(20, 2),
            up_to(32, 1),
            up_to(36, 1),
            up_to(40, 1),
            up_to(44, 1),
            up_to(48, 1),
            up_to(52, 1),
        ],
    ),
    // BC, CLRBHB, RPRFM, CSSC.
    (S::ID_AA64ISAR2_EL1, &[up_to(20, 1), up_to(28, 1), up_to(48, 1), up_to(52, 1)]),
    // PARange (48 bits), ASIDBits, BigEnd, SNSMem, BigEndEL0, TGran16, TGran64, TGran4, ExS.
    (
        S::ID_AA64MMFR0_EL1,
        &[
            up_to(0, 5),
            up_to(4, 2),
            up_to(8, 1),
            up_to(12, 1),
            up_to(16, 1),
            up_to(20, 1),
            signed(24, 0),
            signed(28, 0),
            up_to(44, 1),
        ],
    ),
    // HAFDBS, HPDS, PAN, SpecSEI, ETS, AFP, nTLBPA, ECBHB.
    (
        S::ID_AA64MMFR1_EL1,
        &[
            up_to(0, 2),
            up_to(12, 1),
            up_to(20, 3),
            up_to(24, 1),
            up_to(36, 2),
            up_to(44, 1),
            up_to(48, 1),
            up_to(60, 1),
        ],
    ),
    // CnP, UAO, LSM, VARange, CCIDX (CCSIDR_EL1 is not trapped), ST, AT, IDS, TTL, E0PD.
    (
        S::ID_AA64MMFR2_EL1,
        &[
            up_to(0, 1),
            up_to(4, 1),
            up_to(8, 1),
            up_to(16, 1),
            up_to(20, 1),
            up_to(28, 1),
            up_to(32, 1),
            up_to(36, 1),
            up_to(48, 1),
            up_to(60, 1),
        ],
    ),
];

/// ID_AA64PFR0_EL1.GIC.
const GIC_SHIFT: u32 = 24;

/// The identity registers of the host, as far as a guest may see anything of them.
#[derive(Clone, Debug)]
pub struct HostIdentity([u64; PLACES]);

impl HostIdentity {
    /// Asks `read` for every register of the allow-list, those of AArch32 only if the host has it. On a
    /// machine with unlike processors, `read` gives what all of them have.
    pub fn new(mut read: impl FnMut(SystemRegister) -> u64) -> Self {
        let mut values = [0; PLACES];
        let has_32 = read(S::ID_AA64PFR0_EL1) & 0xf == 2;
        let registers_32 = if has_32 { FIELDS_32 } else { &[] };
        for (register, _) in registers_32.iter().chain(FIELDS_64) {
            set(&mut values, *register, read(*register));
        }
        Self(values)
    }

    /// The value of one of them; zero for a register that is not on the allow-list.
    pub fn value(&self, register: SystemRegister) -> u64 {
        get(&self.0, register)
    }
}

/// What differs from one domain to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityOptions {
    /// The domain has a GICv3 and its system registers.
    pub gic_v3: bool,
}

/// The identity registers that a guest reads.
#[derive(Clone, Debug)]
pub struct Identity([u64; PLACES]);

impl Identity {
    /// What a guest may see of this host.
    pub fn sanitised(host: &HostIdentity, options: IdentityOptions) -> Self {
        let mut values = [0; PLACES];
        for (register, fields) in FIELDS_32.iter().chain(FIELDS_64) {
            let raw = host.value(*register);
            let value = fields.iter().fold(0, |value, field| value | field.passed(raw));
            set(&mut values, *register, value);
        }
        let mut identity = Self(values);
        if options.gic_v3 {
            let gic = up_to(GIC_SHIFT, 1).passed(host.value(S::ID_AA64PFR0_EL1));
            let others = identity.value(S::ID_AA64PFR0_EL1);
            set(&mut identity.0, S::ID_AA64PFR0_EL1, others | gic);
        }
        identity
    }

    /// What the guest reads; zero for reserved registers. Only for op0 3, op1 0, CRn 0, CRm 1 to 7.
    #[inline]
    pub fn value(&self, register: SystemRegister) -> u64 {
        get(&self.0, register)
    }
}

impl Field {
    /// The field of `raw`, in its place, as far as it is passed on.
    fn passed(self, raw: u64) -> u64 {
        let value = raw.wrapping_shr(self.shift) & 0xf;
        let value = if self.signed && value == 0xf { value } else { value.min(self.most) };
        value.wrapping_shl(self.shift)
    }
}

#[inline]
fn get(values: &[u64; PLACES], register: SystemRegister) -> u64 {
    values.get(register.identity_index()).copied().unwrap_or(0)
}

fn set(values: &mut [u64; PLACES], register: SystemRegister, value: u64) {
    if let Some(place) = values.get_mut(register.identity_index()) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V3: IdentityOptions = IdentityOptions { gic_v3: true };
    const V2: IdentityOptions = IdentityOptions { gic_v3: false };

    /// A Cortex-A57 with GICv3, as its manual (DDI 0488) and QEMU have it.
    fn cortex_a57(register: SystemRegister) -> u64 {
        match register {
            S::ID_AA64PFR0_EL1 => 0x0100_2222,
            S::ID_AA64DFR0_EL1 => 0x1030_5106,
            S::ID_AA64ISAR0_EL1 => 0x1_1120,
            S::ID_AA64MMFR0_EL1 => 0x1124,
            S::ID_PFR0_EL1 => 0x131,
            S::ID_PFR1_EL1 => 0x1001_1011,
            S::ID_DFR0_EL1 => 0x301_0066,
            S::ID_MMFR0_EL1 => 0x1020_1105,
            S::ID_ISAR5_EL1 => 0x1_1121,
            S::MVFR0_EL1 => 0x1011_0222,
            _ => 0,
        }
    }

    fn field(value: u64, shift: u32) -> u64 {
        value >> shift & 0xf
    }

    #[test]
    fn a_cortex_a57_keeps_what_linux_needs() {
        let identity = Identity::sanitised(&HostIdentity::new(cortex_a57), V3);
        assert_eq!(identity.value(S::ID_AA64PFR0_EL1), 0x0100_0012);
        assert_eq!(identity.value(S::ID_AA64DFR0_EL1), 0x1030_5006);
        assert_eq!(identity.value(S::ID_AA64ISAR0_EL1), 0x1_1120);
        assert_eq!(identity.value(S::ID_AA64MMFR0_EL1), 0x1124);
        assert_eq!(identity.value(S::ID_PFR0_EL1), 0x131);
        assert_eq!(identity.value(S::ID_PFR1_EL1), 0x1_0001);
        assert_eq!(identity.value(S::ID_DFR0_EL1), 0x6);
        assert_eq!(identity.value(S::ID_ISAR5_EL1), 0x1_1121);
        let identity = Identity::sanitised(&HostIdentity::new(cortex_a57), V2);
        assert_eq!(identity.value(S::ID_AA64PFR0_EL1), 0x12);
    }

    #[test]
    fn a_host_with_every_feature_shows_only_known_ones() {
        let all = |register| match register {
            // 0xf in the signed fields would mean that they are missing.
            S::ID_AA64PFR0_EL1 => 0xeeee_eeee_ee11_ee22,
            _ => 0xeeee_eeee_eeee_eeee,
        };
        let identity = Identity::sanitised(&HostIdentity::new(all), V3);
        let pfr0 = identity.value(S::ID_AA64PFR0_EL1);
        // EL2, EL3, RAS, SVE, SEL2, MPAM, AMU, RME.
        for shift in [8, 12, 28, 32, 36, 40, 44, 52] {
            assert_eq!(field(pfr0, shift), 0, "PFR0 bit {shift}");
        }
        assert_eq!(field(pfr0, 4), 1, "EL1 is AArch64 only");
        assert_eq!(field(pfr0, 56), 1, "no SCXTNUM");
        assert_eq!(field(pfr0, 24), 1);
        let hidden: [(_, &[u32]); 4] = [
            (S::ID_AA64ISAR1_EL1, &[4, 8, 24, 28, 56, 60]),
            // WFxT, GPA3, APA3, MOPS.
            (S::ID_AA64ISAR2_EL1, &[0, 8, 12, 16]),
            (S::ID_AA64DFR0_EL1, &[4, 8, 32, 40, 44, 48, 52]),
            // VMID, VHE, LORegions, XNX, TWED, HCX, TIDCP1, CMOW.
            (S::ID_AA64MMFR1_EL1, &[4, 8, 16, 28, 32, 40, 52, 56]),
        ];
        for (register, shift) in
            hidden.iter().flat_map(|(register, all)| all.iter().map(move |shift| (*register, *shift)))
        {
            assert_eq!(field(identity.value(register), shift), 0, "{register} bit {shift}");
        }
        assert_eq!(field(identity.value(S::ID_AA64PFR1_EL1), 8), 0, "MTE");
        assert_eq!(field(identity.value(S::ID_AA64MMFR0_EL1), 60), 0, "ECV");
        assert_eq!(identity.value(S::ID_AA64MMFR3_EL1), 0);
        assert_eq!(identity.value(S::ID_AA64ZFR0_EL1), 0);
        assert_eq!(identity.value(SystemRegister::new([3, 0, 0, 7, 7])), 0);
    }

    #[test]
    fn a_host_without_aarch32_is_not_asked_for_its_registers() {
        let host = HostIdentity::new(|register| {
            assert!(register.bits() >= S::ID_AA64PFR0_EL1.bits(), "{register} has an unknown value");
            0x11
        });
        let identity = Identity::sanitised(&host, V3);
        assert_eq!(identity.value(S::ID_ISAR0_EL1), 0);
        assert_eq!(field(identity.value(S::ID_AA64PFR0_EL1), 0), 1);
    }

    #[test]
    fn a_missing_floating_point_unit_stays_missing() {
        let host = HostIdentity::new(|_| 0x00ff_0011);
        assert_eq!(Identity::sanitised(&host, V2).value(S::ID_AA64PFR0_EL1), 0x00ff_0011);
    }

    proptest! {
        #[test]
        fn no_field_ever_grows(raw: [u64; 4]) {
            let host = HostIdentity::new(|register| raw[register.bits() as usize & 3] & !0xd | 2);
            let identity = Identity::sanitised(&host, V3);
            for crm in 1..8 {
                for op2 in 0..8 {
                    let register = SystemRegister::new([3, 0, 0, crm, op2]);
                    for shift in (0..64).step_by(4) {
                        let (ours, theirs) = (identity.value(register), host.value(register));
                        prop_assert!(field(ours, shift) <= field(theirs, shift), "{} {}", register, shift);
                    }
                }
            }
        }
    }
}
