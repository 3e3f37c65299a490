//! System registers and the few instructions that have no Rust name.
#![expect(unsafe_code, reason = "reading and writing system registers")]

/// Reads a system register, by name or by its S<op0>_<op1>_C<n>_C<m>_<op2> encoding.
macro_rules! read {
    ($name:expr) => {{
        let value: u64;
        // SAFETY: reading this register has no effect on memory.
        unsafe { core::arch::asm!(concat!("mrs {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }};
}

/// Writes a system register. For registers that cannot change what EL2's own memory accesses mean.
macro_rules! write {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: the register governs guests, timers or interrupts, never EL2's own memory.
        unsafe { core::arch::asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags)) };
    }};
}

/// Completes earlier accesses and context changes.
macro_rules! barrier {
    ($name:literal) => {
        // SAFETY: a barrier only orders.
        unsafe { core::arch::asm!($name, options(nostack, preserves_flags)) }
    };
}

pub(crate) use {barrier, read, write};

/// The exception level that the processor is at, 1 to 3.
pub(crate) fn level() -> u64 {
    (read!("CurrentEL") >> 2) & 3
}

/// Sleeps until an interrupt is pending, even a masked one.
pub(crate) fn wait_for_interrupt() {
    barrier!("dsb sy");
    barrier!("wfi");
}

/// The system counter; not read ahead of earlier instructions.
#[inline]
pub(crate) fn counter() -> u64 {
    barrier!("isb");
    read!("cntpct_el0")
}

/// Affinity bits of this processor's MPIDR_EL1.
pub(crate) fn mpidr() -> u64 {
    read!("mpidr_el1") & 0xff_00ff_ffff
}

/// A secure monitor call with up to three arguments (SMCCC 1.1).
pub(crate) fn smc(function: u32, arguments: [u64; 3]) -> i64 {
    let mut x0 = u64::from(function);
    // SAFETY: firmware keeps to SMCCC: x4 and up survive, memory is changed by none of the functions
    // that `firmware` uses.
    unsafe {
        core::arch::asm!(
            "smc #0",
            inout("x0") x0, inout("x1") arguments[0] => _, inout("x2") arguments[1] => _, inout("x3") arguments[2] => _,
            lateout("x4") _, lateout("x5") _, lateout("x6") _, lateout("x7") _, lateout("x8") _, lateout("x9") _,
            lateout("x10") _, lateout("x11") _, lateout("x12") _, lateout("x13") _, lateout("x14") _, lateout("x15") _,
            lateout("x16") _, lateout("x17") _,
            options(nostack)
        );
    }
    x0.cast_signed()
}

/// Takes an exception that nobody expects.
#[inline(never)]
pub(crate) fn fault() -> ! {
    barrier!("brk #0xfa");
    halt()
}

/// Stops this processor for ever.
pub(crate) fn halt() -> ! {
    loop {
        barrier!("wfe");
    }
}
