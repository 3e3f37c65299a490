//! What the hypervisor asks of firmware: PSCI by SMC (Arm DEN0022), and nothing else.

use core::sync::atomic::{AtomicBool, Ordering};

use super::system;

const CPU_ON: u32 = 0xc400_0003;
const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;

static THERE: AtomicBool = AtomicBool::new(false);

/// Firmware answers PSCI by SMC.
pub(crate) fn found() {
    THERE.store(true, Ordering::Relaxed);
}

/// Whether it does.
pub(crate) fn is_there() -> bool {
    THERE.load(Ordering::Relaxed)
}

/// Starts the processor with this MPIDR at a physical address.
pub(crate) fn start(mpidr: u64, entry: u64, argument: u64) -> Result<(), i64> {
    match system::smc(CPU_ON, [mpidr, entry, argument]) {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Ends the machine; stays where firmware will not.
pub(crate) fn power_off() -> ! {
    system::smc(SYSTEM_OFF, [0; 3]);
    system::halt()
}

/// Starts the machine anew; stays where firmware will not.
pub(crate) fn reset() -> ! {
    system::smc(SYSTEM_RESET, [0; 3]);
    system::halt()
}
