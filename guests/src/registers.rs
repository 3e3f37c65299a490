//! System registers and instructions of the processor as safe functions.
#![expect(unsafe_code, reason = "system registers and barriers are instructions")]

use core::arch::asm;

macro_rules! readable {
    ($($(#[$doc:meta])* $name:ident = $register:literal;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name() -> u64 {
            let value: u64;
            // SAFETY: reading this register changes nothing that Rust relies on.
            unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nostack)) };
            value
        }
    )*};
}

macro_rules! writable {
    ($($(#[$doc:meta])* $name:ident = $register:literal;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name(value: u64) {
            // SAFETY: the register belongs to the guest; none of those listed moves or unmaps memory of Rust.
            unsafe { asm!(concat!("msr ", $register, ", {}"), "isb", in(reg) value, options(nostack)) };
        }
    )*};
}

macro_rules! instructions {
    ($($(#[$doc:meta])* $name:ident = $instruction:literal;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: a hint, a barrier or a mask; memory and general registers stay as they are.
            unsafe { asm!($instruction, options(nostack)) };
        }
    )*};
}

readable! {
    /// CNTVCT_EL0 after all earlier instructions.
    counter_now = "cntvct_el0";
    /// CNTPCT_EL0.
    physical_counter_now = "cntpct_el0";
    /// CNTFRQ_EL0, in Hz.
    counter_frequency = "cntfrq_el0";
    /// CNTV_CTL_EL0.
    virtual_timer_control = "cntv_ctl_el0";
    /// CNTV_CVAL_EL0.
    virtual_timer_compare = "cntv_cval_el0";
    /// CNTV_TVAL_EL0.
    virtual_timer_value = "cntv_tval_el0";
    /// CNTP_CTL_EL0.
    physical_timer_control = "cntp_ctl_el0";
    /// CNTP_CVAL_EL0.
    physical_timer_compare = "cntp_cval_el0";
    /// CNTP_TVAL_EL0.
    physical_timer_value = "cntp_tval_el0";
    /// MPIDR_EL1.
    mpidr = "mpidr_el1";
    /// MIDR_EL1.
    midr = "midr_el1";
    /// ID_AA64MMFR0_EL1.
    memory_features = "id_aa64mmfr0_el1";
    /// ID_AA64PFR0_EL1.
    processor_features = "id_aa64pfr0_el1";
    /// ICC_SRE_EL1.
    gic_system_registers = "S3_0_C12_C12_5";
    /// ICC_IAR1_EL1: acknowledges.
    gic_acknowledge = "S3_0_C12_C12_0";
    /// ICC_HPPIR1_EL1.
    gic_highest_pending = "S3_0_C12_C12_2";
    /// ICC_RPR_EL1.
    gic_running_priority = "S3_0_C12_C11_3";
    /// ICC_PMR_EL1.
    gic_priority_mask = "S3_0_C4_C6_0";
    /// ICC_BPR1_EL1.
    gic_binary_point = "S3_0_C12_C12_3";
    /// ICC_CTLR_EL1.
    gic_control = "S3_0_C12_C12_4";
    /// ICC_IGRPEN1_EL1.
    gic_group_enable = "S3_0_C12_C12_7";
    /// ISR_EL1: which of SError, IRQ and FIQ are pending.
    pending_exceptions = "isr_el1";
    /// TPIDR_EL1, where the runtime keeps the vCPU's index.
    thread_word = "tpidr_el1";
    /// DAIF: what is masked.
    interrupt_mask = "daif";
    /// CPACR_EL1.
    coprocessor_access = "cpacr_el1";
    /// SCTLR_EL1.
    system_control = "sctlr_el1";
}

writable! {
    /// CNTV_CTL_EL0.
    set_virtual_timer_control = "cntv_ctl_el0";
    /// CNTV_CVAL_EL0.
    set_virtual_timer_compare = "cntv_cval_el0";
    /// CNTV_TVAL_EL0.
    set_virtual_timer_value = "cntv_tval_el0";
    /// CNTP_CTL_EL0.
    set_physical_timer_control = "cntp_ctl_el0";
    /// CNTP_CVAL_EL0.
    set_physical_timer_compare = "cntp_cval_el0";
    /// CNTP_TVAL_EL0.
    set_physical_timer_value = "cntp_tval_el0";
    /// ICC_SRE_EL1.
    set_gic_system_registers = "S3_0_C12_C12_5";
    /// ICC_EOIR1_EL1.
    gic_end = "S3_0_C12_C12_1";
    /// ICC_DIR_EL1.
    gic_deactivate = "S3_0_C12_C11_1";
    /// ICC_PMR_EL1.
    set_gic_priority_mask = "S3_0_C4_C6_0";
    /// ICC_BPR1_EL1.
    set_gic_binary_point = "S3_0_C12_C12_3";
    /// ICC_CTLR_EL1.
    set_gic_control = "S3_0_C12_C12_4";
    /// ICC_IGRPEN1_EL1.
    set_gic_group_enable = "S3_0_C12_C12_7";
    /// ICC_SGI1R_EL1.
    gic_send_sgi = "S3_0_C12_C11_5";
    /// CPACR_EL1.
    set_coprocessor_access = "cpacr_el1";
}

instructions! {
    /// Waits for an interrupt.
    wfi = "dsb sy\nwfi";
    /// Waits for an event.
    wfe = "wfe";
    /// Sends an event to all vCPUs.
    sev = "sev";
    /// Hints that another thread may run.
    yield_hint = "yield";
    /// Completes all memory accesses.
    dsb = "dsb sy";
    /// Makes earlier register writes visible to later instructions.
    isb = "isb";
    /// Masks IRQ and FIQ.
    mask_interrupts = "msr daifset, #3";
    /// Unmasks IRQ.
    unmask_interrupts = "msr daifclr, #2";
    /// Unmasks SError.
    unmask_errors = "msr daifclr, #4";
}

/// The virtual counter, not read before earlier instructions have finished.
#[inline(always)]
#[must_use]
pub fn counter() -> u64 {
    isb();
    counter_now()
}

/// The physical counter, not read before earlier instructions have finished.
#[inline(always)]
#[must_use]
pub fn physical_counter() -> u64 {
    isb();
    physical_counter_now()
}

/// The index of the vCPU that asks: its place among the cpu nodes of the tree.
#[inline(always)]
#[must_use]
pub fn cpu_index() -> usize {
    thread_word() as usize
}

/// Writes the cache lines of `bytes` bytes at `address` back to memory and makes them visible to instruction fetch.
pub fn publish_code(address: usize, bytes: usize) {
    let mut line = address & !15;
    while line < address + bytes {
        // SAFETY: cleaning a line of own memory loses nothing.
        unsafe { asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", in(reg) line, options(nostack)) };
        line += 16;
    }
    dsb();
    isb();
}
