//! Calls of firmware: PSCI 1.1 and SMCCC 1.1, by HVC #0 or SMC #0.
//!
//! Sources: Arm DEN 0022 (PSCI) and DEN 0028 (SMCCC). A function number with bit 30 clear takes arguments
//! of 32 bits: the upper halves of the registers are ignored. The caller puts the answer into X0 (a UID
//! into X0 to X3).

use crate::arm64::affinity;
use crate::bits::{low_u8, low_u32};

/// PSCI and SMCCC: done, or present.
pub const SUCCESS: i64 = 0;
/// The function is not supported.
pub const NOT_SUPPORTED: i64 = -1;
/// An argument is invalid.
pub const INVALID_PARAMETERS: i64 = -2;
/// The guest may not do this.
pub const DENIED: i64 = -3;
/// The vCPU is on.
pub const ALREADY_ON: i64 = -4;
/// The vCPU was told to start and has not yet.
pub const ON_PENDING: i64 = -5;
/// The call failed for reasons of the implementation.
pub const INTERNAL_FAILURE: i64 = -6;
/// The vCPU does not exist or was never on.
pub const NOT_PRESENT: i64 = -7;
/// The vCPU is disabled.
pub const DISABLED: i64 = -8;
/// The entry point is not an address at which a vCPU can start.
pub const INVALID_ADDRESS: i64 = -9;

/// Answer to a number that is nobody's, as a register value.
pub const UNKNOWN_FUNCTION: u64 = u64::MAX;
/// Answer to PSCI_VERSION: 1.1.
pub const PSCI_VERSION: u64 = 0x1_0001;
/// Answer to SMCCC_VERSION: 1.1.
pub const SMCCC_VERSION: u64 = 0x1_0001;
/// AFFINITY_INFO: on.
pub const AFFINITY_ON: u64 = 0;
/// AFFINITY_INFO: off.
pub const AFFINITY_OFF: u64 = 1;
/// MIGRATE_INFO_TYPE: there is no trusted OS that would have to migrate.
pub const MIGRATE_NOT_REQUIRED: u64 = 2;
/// Call count of the hypervisor service: call count, UID and revision themselves.
pub const HYPERVISOR_CALL_COUNT: u64 = 3;
/// UID of the hypervisor service, a71812dc-c698-4369-9acf-79d18ddee667, as X0 to X3 get it
/// (`XEN_SMCCC_UID` of Xen's public header arch-arm/smccc.h; register layout of DEN 0028, 6.2).
pub const HYPERVISOR_UID: [u64; 4] = uid(0xa718_12dc_c698_4369_9acf_79d1_8dde_e667);
/// Major and minor revision of the hypervisor service, as X0 and X1 get them
/// (`XEN_SMCCC_MAJOR_REVISION`, `XEN_SMCCC_MINOR_REVISION`).
pub const HYPERVISOR_REVISION: [u64; 2] = [0, 1];
/// Call count of the standard service: twelve numbers of PSCI (three functions have two) and the three
/// general queries.
pub const STANDARD_CALL_COUNT: u64 = 15;
/// UID of the standard service, f863386f-4b39-4cbd-9220-ce1641e59f6f, as X0 to X3 get it
/// (`SSSC_SMCCC_UID`).
pub const STANDARD_UID: [u64; 4] = uid(0xf863_386f_4b39_4cbd_9220_ce16_41e5_9f6f);
/// Major and minor revision of the standard service, as X0 and X1 get them
/// (`SSSC_SMCCC_MAJOR_REVISION`, `SSSC_SMCCC_MINOR_REVISION`).
pub const STANDARD_REVISION: [u64; 2] = [0, 1];

/// Bytes 0 to 3 of the UUID go to W0, byte 0 lowest, and so on.
const fn uid(uuid: u128) -> [u64; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = uuid.to_be_bytes();
    [
        u64::from_le_bytes([a, b, c, d, 0, 0, 0, 0]),
        u64::from_le_bytes([e, f, g, h, 0, 0, 0, 0]),
        u64::from_le_bytes([i, j, k, l, 0, 0, 0, 0]),
        u64::from_le_bytes([m, n, o, p, 0, 0, 0, 0]),
    ]
}

/// A call of firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// PSCI_VERSION.
    Version,
    /// CPU_SUSPEND: wait for an interrupt. A power-down is treated as a standby, so the entry point does
    /// not matter.
    CpuSuspend,
    /// CPU_OFF: ends this vCPU.
    CpuOff,
    /// CPU_ON.
    CpuOn(CpuOn),
    /// AFFINITY_INFO.
    AffinityInfo {
        /// Affinity of the vCPU.
        target: u64,
        /// Lowest affinity level of the question; levels above 0 are answered as invalid by most.
        level: u64,
    },
    /// MIGRATE_INFO_TYPE.
    MigrateInfoType,
    /// SYSTEM_OFF.
    SystemOff,
    /// SYSTEM_RESET.
    SystemReset,
    /// PSCI_FEATURES; [`features`] has the answer.
    Features {
        /// The function asked for.
        function: u32,
    },
    /// SMCCC_VERSION.
    SmcccVersion,
    /// SMCCC_ARCH_FEATURES.
    ArchFeatures {
        /// The function asked for.
        function: u32,
    },
    /// SMCCC_ARCH_WORKAROUND_1: the trap itself is the workaround.
    Workaround1,
    /// SMCCC_ARCH_WORKAROUND_2: speculative store bypass.
    Workaround2 {
        /// Whether the mitigation shall be on.
        enable: bool,
    },
    /// SMCCC_ARCH_WORKAROUND_3: the trap itself is the workaround.
    Workaround3,
    /// Hypervisor service, call count.
    HypervisorCallCount,
    /// Hypervisor service, UID.
    HypervisorUid,
    /// Hypervisor service, revision.
    HypervisorRevision,
    /// Standard service, call count.
    StandardCallCount,
    /// Standard service, UID.
    StandardUid,
    /// Standard service, revision.
    StandardRevision,
    /// Nobody's number: X0 gets [`UNKNOWN_FUNCTION`].
    Unknown {
        /// The number.
        function: u32,
    },
}

/// The arguments of CPU_ON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuOn {
    /// Affinity of the vCPU to start.
    pub target: u64,
    /// Where it starts.
    pub entry: u64,
    /// What it finds in X0.
    pub context: u64,
}

impl CpuOn {
    /// The vCPU to start; [`INVALID_PARAMETERS`] where the domain has none such, [`INVALID_ADDRESS`]
    /// where the entry point is not the address of an instruction of AArch64 (Thumb bit included).
    pub fn vcpu(&self, vcpus: usize) -> Result<usize, i64> {
        let vcpu = affinity::vcpu(self.target, vcpus).ok_or(INVALID_PARAMETERS)?;
        if self.entry & 3 != 0 { Err(INVALID_ADDRESS) } else { Ok(vcpu) }
    }
}

/// What the guest calls, from X0 to X3.
#[inline]
pub fn decode(arguments: &[u64; 4]) -> Call {
    let function = low_u32(arguments[0]);
    // CPU_OFF and CPU_ON of PSCI 0.1 have the numbers that the device tree names and take whole registers.
    match function {
        1 => Call::CpuOff,
        2 => cpu_on(arguments),
        0x8400_0000..=0x8400_ffff => standard(function, &arguments.map(|word| word & 0xffff_ffff)),
        0xc400_0000..=0xc400_ffff => standard_64(function, arguments),
        0x8000_0000..=0x8000_ffff => architecture(function, arguments),
        0x8500_ff00 => Call::HypervisorCallCount,
        0x8500_ff01 => Call::HypervisorUid,
        0x8500_ff03 => Call::HypervisorRevision,
        _ => Call::Unknown { function },
    }
}

fn cpu_on(arguments: &[u64; 4]) -> Call {
    let [_, target, entry, context] = *arguments;
    Call::CpuOn(CpuOn { target, entry, context })
}

fn affinity_info(arguments: &[u64; 4]) -> Call {
    let [_, target, level, _] = *arguments;
    Call::AffinityInfo { target, level }
}

fn standard(function: u32, arguments: &[u64; 4]) -> Call {
    match function & 0xffff {
        0x0000 => Call::Version,
        0x0001 => Call::CpuSuspend,
        0x0002 => Call::CpuOff,
        0x0003 => cpu_on(arguments),
        0x0004 => affinity_info(arguments),
        0x0006 => Call::MigrateInfoType,
        0x0008 => Call::SystemOff,
        0x0009 => Call::SystemReset,
        0x000a => Call::Features { function: low_u32(arguments[1]) },
        0xff00 => Call::StandardCallCount,
        0xff01 => Call::StandardUid,
        0xff03 => Call::StandardRevision,
        _ => Call::Unknown { function },
    }
}

fn standard_64(function: u32, arguments: &[u64; 4]) -> Call {
    match function & 0xffff {
        0x0001 => Call::CpuSuspend,
        0x0003 => cpu_on(arguments),
        0x0004 => affinity_info(arguments),
        _ => Call::Unknown { function },
    }
}

fn architecture(function: u32, arguments: &[u64; 4]) -> Call {
    match function & 0xffff {
        0x0000 => Call::SmcccVersion,
        0x0001 => Call::ArchFeatures { function: low_u32(arguments[1]) },
        0x8000 => Call::Workaround1,
        0x7fff => Call::Workaround2 { enable: low_u32(arguments[1]) != 0 },
        0x3fff => Call::Workaround3,
        _ => Call::Unknown { function },
    }
}

/// Answer to PSCI_FEATURES: [`SUCCESS`] for every PSCI function that is answered and for SMCCC_VERSION,
/// else [`NOT_SUPPORTED`].
pub const fn features(function: u32) -> i64 {
    match function {
        0x8400_0000..=0x8400_0004
        | 0x8400_0006
        | 0x8400_0008..=0x8400_000a
        | 0xc400_0001
        | 0xc400_0003
        | 0xc400_0004
        | 0x8000_0000 => SUCCESS,
        _ => NOT_SUPPORTED,
    }
}

/// What the host's processors need, and so what SMCCC_ARCH_FEATURES answers for the three workarounds:
/// [`NOT_SUPPORTED`], 0 (required) or 1 (not required on this processor); DEN 0028, 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workarounds {
    /// SMCCC_ARCH_WORKAROUND_1.
    pub first: i64,
    /// SMCCC_ARCH_WORKAROUND_2.
    pub second: i64,
    /// SMCCC_ARCH_WORKAROUND_3.
    pub third: i64,
}

impl Workarounds {
    /// Nothing is known about the processors.
    pub const UNKNOWN: Self = Self { first: NOT_SUPPORTED, second: NOT_SUPPORTED, third: NOT_SUPPORTED };

    /// Answer to SMCCC_ARCH_FEATURES.
    pub const fn features(&self, function: u32) -> i64 {
        match function {
            0x8000_8000 => self.first,
            0x8000_7fff => self.second,
            0x8000_3fff => self.third,
            _ => NOT_SUPPORTED,
        }
    }
}

/// The vCPU that AFFINITY_INFO asks for; [`INVALID_PARAMETERS`] where the domain has none such. Only
/// level 0, one vCPU, is supported, as PSCI 1.0 and later allow.
pub fn affinity_target(target: u64, level: u64, vcpus: usize) -> Result<usize, i64> {
    if low_u8(level) != 0 || level > 0xff {
        return Err(INVALID_PARAMETERS);
    }
    affinity::vcpu(target, vcpus).ok_or(INVALID_PARAMETERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn call(function: u64) -> Call {
        decode(&[function, 0x1_0000_0102, 0x2_4000_0000, 0x3_0000_0007])
    }

    #[test]
    fn every_row_of_the_contract_is_decoded() {
        let narrow = CpuOn { target: 0x102, entry: 0x4000_0000, context: 7 };
        let wide = CpuOn { target: 0x1_0000_0102, entry: 0x2_4000_0000, context: 0x3_0000_0007 };
        let rows = [
            (0x8400_0000, Call::Version),
            (0x8400_0001, Call::CpuSuspend),
            (0xc400_0001, Call::CpuSuspend),
            (0x8400_0002, Call::CpuOff),
            (0x8400_0003, Call::CpuOn(narrow)),
            (0xc400_0003, Call::CpuOn(wide)),
            (0x8400_0004, Call::AffinityInfo { target: 0x102, level: 0x4000_0000 }),
            (0xc400_0004, Call::AffinityInfo { target: 0x1_0000_0102, level: 0x2_4000_0000 }),
            (0x8400_0006, Call::MigrateInfoType),
            (0x8400_0008, Call::SystemOff),
            (0x8400_0009, Call::SystemReset),
            (0x8400_000a, Call::Features { function: 0x102 }),
            (1, Call::CpuOff),
            (2, Call::CpuOn(wide)),
            (0x8000_0000, Call::SmcccVersion),
            (0x8000_0001, Call::ArchFeatures { function: 0x102 }),
            (0x8000_8000, Call::Workaround1),
            (0x8000_3fff, Call::Workaround3),
            (0x8000_7fff, Call::Workaround2 { enable: true }),
            (0x8500_ff00, Call::HypervisorCallCount),
            (0x8500_ff01, Call::HypervisorUid),
            (0x8500_ff03, Call::HypervisorRevision),
            (0x8400_ff00, Call::StandardCallCount),
            (0x8400_ff01, Call::StandardUid),
            (0x8400_ff03, Call::StandardRevision),
            (0x8400_0050, Call::Unknown { function: 0x8400_0050 }),
            (0x8400_0005, Call::Unknown { function: 0x8400_0005 }),
            (0xc400_0008, Call::Unknown { function: 0xc400_0008 }),
            (0, Call::Unknown { function: 0 }),
        ];
        for (function, expected) in rows {
            assert_eq!(call(function), expected, "{function:#x}");
            assert_eq!(call(function | 0xdead_0000_0000_0000), expected, "dirty upper half, {function:#x}");
        }
    }

    #[test]
    fn features_are_exactly_the_psci_functions_that_decode_knows() {
        for low in 0..0x100_u32 {
            for base in [0x8400_0000, 0xc400_0000] {
                let known = !matches!(call(u64::from(base | low)), Call::Unknown { .. });
                assert_eq!(features(base | low) == SUCCESS, known, "{:#x}", base | low);
            }
        }
        assert_eq!(features(0x8000_0000), SUCCESS);
        assert_eq!(features(0x8000_0001), NOT_SUPPORTED);
    }

    #[test]
    fn the_standard_service_counts_what_it_answers() {
        let mut count = 0;
        for base in [0x8400_0000_u64, 0xc400_0000] {
            for low in 0..0x1_0000 {
                count += u64::from(!matches!(call(base | low), Call::Unknown { .. }));
            }
        }
        assert_eq!(count, STANDARD_CALL_COUNT);
    }

    #[test]
    fn the_uids_bytes_lie_as_the_calling_convention_says() {
        assert_eq!(HYPERVISOR_UID, [0xdc12_18a7, 0x6943_98c6, 0xd179_cf9a, 0x67e6_de8d]);
        assert_eq!(STANDARD_UID, [0x6f38_63f8, 0xbd4c_394b, 0x16ce_2092, 0x6f9f_e541]);
    }

    #[test]
    fn a_vcpu_is_started_only_where_it_exists_and_at_an_instruction() {
        let on = |target, entry| CpuOn { target, entry, context: 0 }.vcpu(20);
        assert_eq!(on(0x103, 0x4000_0000), Ok(19));
        assert_eq!(on(0x104, 0x4000_0000), Err(INVALID_PARAMETERS));
        assert_eq!(on(0x1_0000, 0), Err(INVALID_PARAMETERS));
        assert_eq!(on(1, 0x4000_0001), Err(INVALID_ADDRESS));
        assert_eq!(affinity_target(0x100, 0, 20), Ok(16));
        assert_eq!(affinity_target(0x100, 1, 20), Err(INVALID_PARAMETERS));
        assert_eq!(affinity_target(0x100, 0x100, 20), Err(INVALID_PARAMETERS));
    }

    #[test]
    fn workarounds_are_answered_as_the_host_needs_them() {
        let host = Workarounds { first: 0, second: 1, third: NOT_SUPPORTED };
        assert_eq!(host.features(0x8000_8000), 0);
        assert_eq!(host.features(0x8000_7fff), 1);
        assert_eq!(host.features(0x8000_3fff), NOT_SUPPORTED);
        assert_eq!(host.features(0x8000_0000), NOT_SUPPORTED);
    }

    proptest! {
        #[test]
        fn any_call_is_decoded_and_its_target_is_in_range(arguments: [u64; 4], vcpus in 1_usize..128) {
            if let Call::CpuOn(on) = decode(&arguments) {
                prop_assert!(on.vcpu(vcpus).unwrap_or(0) < vcpus);
            }
            if let Ok(vcpu) = affinity_target(arguments[1], arguments[2], vcpus) {
                prop_assert!(vcpu < vcpus);
            }
        }
    }
}
