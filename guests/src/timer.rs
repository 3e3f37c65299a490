//! Time: the virtual counter, waiting, and the virtual timer.

use crate::registers;

/// Ticks of the counter in `microseconds`.
#[must_use]
pub fn ticks(microseconds: u64) -> u64 {
    registers::counter_frequency() * microseconds / 1_000_000
}

/// Waits by looking at the counter.
pub fn spin(microseconds: u64) {
    let end = registers::counter() + ticks(microseconds);
    while registers::counter() < end {
        registers::yield_hint();
    }
}

/// Waits until `condition` holds, for at most `microseconds`; whether it came to hold.
pub fn wait_for(microseconds: u64, mut condition: impl FnMut() -> bool) -> bool {
    let end = registers::counter() + ticks(microseconds);
    loop {
        if condition() {
            return true;
        }
        if registers::counter() > end {
            return condition();
        }
        registers::yield_hint();
    }
}

/// Arms the virtual timer for `microseconds` from now.
pub fn arm(microseconds: u64) {
    registers::set_virtual_timer_compare(registers::counter() + ticks(microseconds));
    registers::set_virtual_timer_control(1);
}

/// Switches the virtual timer off.
pub fn disarm() {
    registers::set_virtual_timer_control(0);
}

/// Sleeps for `microseconds`. Interrupts are masked meanwhile, so that the timer's cannot be taken before the sleep
/// begins; whoever had them unmasked gets it afterwards, others find it pending.
pub fn sleep(microseconds: u64) {
    let unmasked = registers::interrupt_mask() & 0x80 == 0;
    registers::mask_interrupts();
    let end = registers::counter() + ticks(microseconds);
    registers::set_virtual_timer_compare(end);
    registers::set_virtual_timer_control(1);
    while registers::counter() < end {
        registers::wfi();
    }
    if unmasked {
        registers::unmask_interrupts();
    }
}
