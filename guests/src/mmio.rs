//! Device registers by address: single loads and stores of an exact width, in forms that leave the hypervisor a
//! complete syndrome (plain base-register addressing).
#![expect(unsafe_code, reason = "device registers are reached by address")]

use core::arch::asm;

macro_rules! access {
    ($read:ident, $write:ident, $kind:ty, $load:literal, $store:literal, $register:tt) => {
        /// Reads the device register at `address`.
        #[inline(always)]
        #[must_use]
        pub fn $read(address: usize) -> $kind {
            // A read that faults and is expected to leaves zero.
            let mut value: $kind = 0;
            // SAFETY: a guest owns its whole machine; an address without a device is answered by an exception,
            // which the exception handler reports or a probe expects.
            unsafe {
                asm!(concat!($load, " {v", $register, "}, [{a}]"), v = inout(reg) value, a = in(reg) address,
                     options(nostack))
            };
            value
        }

        /// Writes the device register at `address`.
        #[inline(always)]
        pub fn $write(address: usize, value: $kind) {
            // SAFETY: as for reading; the guests never aim a device write at memory that Rust owns.
            unsafe {
                asm!(concat!($store, " {v", $register, "}, [{a}]"), v = in(reg) value, a = in(reg) address,
                     options(nostack))
            };
        }
    };
}

access!(read8, write8, u8, "ldrb", "strb", ":w");
access!(read16, write16, u16, "ldrh", "strh", ":w");
access!(read32, write32, u32, "ldr", "str", ":w");
access!(read64, write64, u64, "ldr", "str", ":x");
