//! The timers of a vCPU: the virtual one while it does not run, and the emulated physical one.
//!
//! Both are a comparison of a counter with a register. Source: Arm ARM, D12 (the Generic Timer).

use super::VirtualTimer;
use crate::bits::sign_extended_u32;

/// CTL.ENABLE.
const ENABLE: u64 = 1;
/// CTL.IMASK.
const MASK: u64 = 2;
/// CTL.ISTATUS.
const STATUS: u64 = 4;

/// A register of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerRegister {
    /// CTL: bit 0 enable, bit 1 mask, bit 2 condition met (read only).
    Control,
    /// CVAL: the count at which the condition is met.
    Compare,
    /// TVAL: the same as a signed distance of 32 bits from now.
    Value,
}

/// The physical timer (CNTP) of a vCPU: every access traps. Counts are of the physical counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhysicalTimer {
    control: u64,
    compare: u64,
}

impl PhysicalTimer {
    /// A timer as after reset: disabled.
    pub const fn new() -> Self {
        Self { control: 0, compare: 0 }
    }

    /// What the guest reads at the count `now`.
    #[inline]
    pub const fn read(&self, register: TimerRegister, now: u64) -> u64 {
        match register {
            TimerRegister::Control if self.due(now) => self.control | STATUS,
            TimerRegister::Control => self.control,
            TimerRegister::Compare => self.compare,
            TimerRegister::Value => self.compare.wrapping_sub(now) & 0xffff_ffff,
        }
    }

    /// The guest writes at the count `now`. The deadline and the output may have changed after it.
    #[inline]
    pub const fn write(&mut self, register: TimerRegister, value: u64, now: u64) {
        match register {
            TimerRegister::Control => self.control = value & (ENABLE | MASK),
            TimerRegister::Compare => self.compare = value,
            TimerRegister::Value => self.compare = now.wrapping_add(sign_extended_u32(value)),
        }
    }

    /// The count at which the output goes high, or went high; none while it cannot.
    #[inline]
    pub const fn deadline(&self) -> Option<u64> {
        if self.control & (ENABLE | MASK) == ENABLE { Some(self.compare) } else { None }
    }

    /// The level of its interrupt line at the count `now`.
    #[inline]
    pub const fn output(&self, now: u64) -> bool {
        self.control & MASK == 0 && self.due(now)
    }

    const fn due(&self, now: u64) -> bool {
        self.control & ENABLE != 0 && now >= self.compare
    }
}

impl VirtualTimer {
    /// The count of the *physical* counter at which the output goes high, or went high; none while it
    /// cannot, or not before the physical counter wraps.
    #[inline]
    pub const fn deadline(&self) -> Option<u64> {
        if self.control & (ENABLE | MASK) != ENABLE {
            return None;
        }
        self.compare.checked_add(self.offset)
    }

    /// The level of its interrupt line when the physical counter is at `now`.
    #[inline]
    pub const fn output(&self, now: u64) -> bool {
        self.control & (ENABLE | MASK) == ENABLE && now.wrapping_sub(self.offset) >= self.compare
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_physical_timer_fires_at_its_compare_value() {
        let mut timer = PhysicalTimer::new();
        assert_eq!(timer.deadline(), None);
        timer.write(TimerRegister::Compare, 1000, 0);
        timer.write(TimerRegister::Control, ENABLE, 0);
        assert_eq!(timer.deadline(), Some(1000));
        assert!(!timer.output(999));
        assert!(timer.output(1000));
        assert_eq!(timer.read(TimerRegister::Control, 999), ENABLE);
        assert_eq!(timer.read(TimerRegister::Control, 1000), ENABLE | STATUS);
    }

    #[test]
    fn a_masked_timer_meets_its_condition_in_silence() {
        let mut timer = PhysicalTimer::new();
        timer.write(TimerRegister::Control, u64::MAX, 0);
        assert_eq!(timer.read(TimerRegister::Control, 1), ENABLE | MASK | STATUS);
        assert_eq!(timer.deadline(), None);
        assert!(!timer.output(1));
    }

    #[test]
    fn the_timer_value_is_a_signed_distance() {
        let mut timer = PhysicalTimer::new();
        timer.write(TimerRegister::Value, 0xffff_ffff_0000_0010, 0x1_0000_0000);
        assert_eq!(timer.read(TimerRegister::Compare, 0), 0x1_0000_0010);
        assert_eq!(timer.read(TimerRegister::Value, 0x1_0000_0011), 0xffff_ffff);
        timer.write(TimerRegister::Value, 0xffff_ffff, 0x1_0000_0000);
        assert_eq!(timer.read(TimerRegister::Compare, 0), 0xffff_ffff);
        timer.write(TimerRegister::Value, 0x8000_0000, 0);
        assert_eq!(timer.read(TimerRegister::Compare, 0), 0xffff_ffff_8000_0000);
    }

    #[test]
    fn a_virtual_timers_deadline_is_in_physical_ticks() {
        let timer = VirtualTimer { control: ENABLE, compare: 100, offset: 5000, ..VirtualTimer::default() };
        assert_eq!(timer.deadline(), Some(5100));
        assert!(!timer.output(5099));
        assert!(timer.output(5100));
        let masked = VirtualTimer { control: ENABLE | MASK | STATUS, ..timer };
        assert_eq!(masked.deadline(), None);
        assert!(!masked.output(u64::MAX));
    }

    #[test]
    fn a_virtual_timer_set_beyond_the_counter_never_fires() {
        let timer =
            VirtualTimer { control: ENABLE, compare: u64::MAX, offset: 5000, ..VirtualTimer::default() };
        assert_eq!(timer.deadline(), None);
        assert!(!timer.output(1 << 60));
    }
}
