//! Calls to the firmware by the SMC Calling Convention, and PSCI on top of it (Arm DEN0022, DEN0028).
#![expect(unsafe_code, reason = "HVC and SMC are instructions")]

use core::arch::asm;
use core::sync::atomic::Ordering;

use crate::platform::{self, Conduit};
use crate::{boot, registers};

/// PSCI_VERSION.
pub const VERSION: u64 = 0x8400_0000;
/// CPU_SUSPEND, 64-bit.
pub const CPU_SUSPEND: u64 = 0xc400_0001;
/// CPU_OFF.
pub const CPU_OFF: u64 = 0x8400_0002;
/// CPU_ON, 64-bit.
pub const CPU_ON: u64 = 0xc400_0003;
/// AFFINITY_INFO, 64-bit.
pub const AFFINITY_INFO: u64 = 0xc400_0004;
/// MIGRATE_INFO_TYPE.
pub const MIGRATE_INFO_TYPE: u64 = 0x8400_0006;
/// SYSTEM_OFF.
pub const SYSTEM_OFF: u64 = 0x8400_0008;
/// SYSTEM_RESET.
pub const SYSTEM_RESET: u64 = 0x8400_0009;
/// PSCI_FEATURES.
pub const FEATURES: u64 = 0x8400_000a;

/// x0 to x3 after a call.
pub type Answer = [u64; 4];

macro_rules! conduit {
    ($(#[$doc:meta])* $name:ident = $instruction:literal) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(arguments: [u64; 4]) -> Answer {
            let [mut x0, mut x1, mut x2, mut x3] = arguments;
            // SAFETY: by the calling convention only x0 to x17 change.
            unsafe {
                asm!(
                    $instruction,
                    inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3,
                    inout("x4") 0u64 => _, inout("x5") 0u64 => _, inout("x6") 0u64 => _, inout("x7") 0u64 => _,
                    out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _,
                    out("x14") _, out("x15") _, out("x16") _, out("x17") _,
                    options(nostack)
                );
            }
            [x0, x1, x2, x3]
        }
    };
}

conduit! {
    /// HVC #0 with four arguments.
    hvc = "hvc #0"
}
conduit! {
    /// SMC #0 with four arguments.
    smc = "smc #0"
}

/// A call through the conduit that the tree names.
#[must_use]
pub fn call(arguments: [u64; 4]) -> Answer {
    match platform::get().conduit {
        Conduit::Hvc => hvc(arguments),
        Conduit::Smc => smc(arguments),
    }
}

/// CPU_ON of vCPU `cpu` (its place in the tree); it runs the guest's `secondary` with `word`. The raw answer.
#[must_use]
pub fn start(cpu: usize, word: u64) -> i64 {
    start_with(cpu, word, 0)
}

/// As [`start`], with `high` in the upper 56 bits of the context id, whose low byte is the vCPU's index.
#[must_use]
pub fn start_with(cpu: usize, word: u64, high: u64) -> i64 {
    boot::WORDS[cpu].store(word, Ordering::SeqCst);
    registers::dsb();
    let context = high << 8 | cpu as u64;
    call([CPU_ON, platform::get().affinities[cpu], boot::secondary_address(), context])[0] as i64
}

/// AFFINITY_INFO of vCPU `cpu`: 0 on, 1 off.
#[must_use]
pub fn state(cpu: usize) -> i64 {
    call([AFFINITY_INFO, platform::get().affinities[cpu], 0, 0])[0] as i64
}

/// CPU_OFF. Returns only if it is refused.
pub fn cpu_off() {
    let _refused = call([CPU_OFF, 0, 0, 0]);
}

/// Waits, for at most `microseconds`, until AFFINITY_INFO says that vCPU `cpu` is off; whether it is.
pub fn wait_off(cpu: usize, microseconds: u64) -> bool {
    crate::timer::wait_for(microseconds, || state(cpu) == 1)
}

/// SYSTEM_OFF. Returns only if it is refused.
pub fn system_off() {
    let _refused = call([SYSTEM_OFF, 0, 0, 0]);
}

/// SYSTEM_RESET. Returns only if it is refused.
pub fn system_reset() {
    let _refused = call([SYSTEM_RESET, 0, 0, 0]);
}
