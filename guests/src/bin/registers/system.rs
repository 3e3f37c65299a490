//! The system registers of EL1 and EL0 that a guest may write, one table.
#![expect(unsafe_code, reason = "system registers")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use guests::report;

use super::{mix, pause};

/// vCPUs that take part.
pub(super) const VCPUS: usize = 8;

/// A register: how to read and write it, and which bits a pattern may change.
struct Register {
    name: &'static str,
    read: fn() -> u64,
    write: fn(u64),
    mask: u64,
    /// Whether the value at the first entry is reset to zero and nothing has changed it since.
    zero_at_first: bool,
}

macro_rules! table {
    ($($register:literal $mask:literal $zero:literal;)*) => {
        [$(Register {
            name: $register,
            read: || {
                let value: u64;
                // SAFETY: reading it has no effect.
                unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nostack)) };
                value
            },
            write: |value| {
                // SAFETY: the mask keeps the bits that Rust code relies on as they are; the old value comes back.
                unsafe { asm!(concat!("msr ", $register, ", {}"), "isb", in(reg) value, options(nostack)) };
            },
            mask: $mask,
            zero_at_first: $zero,
        }),*]
    };
}

const COUNT: usize = 27;

/// Not here, because the code depends on them: SP_EL1, TTBR0_EL1, TCR_EL1 (but for what walks do not use), SCTLR_EL1.
/// The virtual timer makes the pauses.
static TABLE: [Register; COUNT] = table! {
    "sp_el0" 0xffff_ffff_ffff_ffff true;
    "tpidr_el0" 0xffff_ffff_ffff_ffff true;
    "tpidrro_el0" 0xffff_ffff_ffff_ffff true;
    "tpidr_el1" 0xffff_ffff_ffff_ffff false;
    "ttbr1_el1" 0x0000_ffff_ffff_f000 true;
    "mair_el1" 0xffff_ffff_ffff_0000 false;
    "amair_el1" 0xffff_ffff_ffff_ffff true;
    "contextidr_el1" 0x0000_0000_ffff_ffff true;
    "afsr0_el1" 0x0000_0000_ffff_ffff true;
    "afsr1_el1" 0x0000_0000_ffff_ffff true;
    "esr_el1" 0x0000_0000_ffff_ffff true;
    "far_el1" 0xffff_ffff_ffff_ffff true;
    "par_el1" 0x0000_ffff_ffff_f000 true;
    "elr_el1" 0xffff_ffff_ffff_fffc true;
    "spsr_el1" 0x0000_0000_f000_03cf true;
    "vbar_el1" 0x0000_ffff_ffff_f800 false;
    "cpacr_el1" 0x0000_0000_0030_0000 false;
    "cntkctl_el1" 0x0000_0000_0000_0303 false;
    "csselr_el1" 0x0000_0000_0000_0001 true;
    "cntp_cval_el0" 0xffff_ffff_ffff_ffff false;
    "actlr_el1" 0x0000_0000_ffff_ffff false;
    "mdscr_el1" 0x0000_0000_0000_1000 false;
    "dbgbvr0_el1" 0x0000_ffff_ffff_fffc false;
    "dbgwvr0_el1" 0x0000_ffff_ffff_fffc false;
    "pmuserenr_el0" 0x0000_0000_0000_000f false;
    "pmselr_el0" 0x0000_0000_0000_001f false;
    "pmccntr_el0" 0xffff_ffff_ffff_ffff false;
};

/// How often a register came back changed, the value then seen, and the one that had been written.
struct Findings {
    changed: AtomicU64,
    seen: AtomicU64,
    expected: AtomicU64,
}

static FINDINGS: [[Findings; COUNT]; VCPUS] = [const {
    [const { Findings { changed: AtomicU64::new(0), seen: AtomicU64::new(0), expected: AtomicU64::new(0) } };
        COUNT]
}; VCPUS];

/// Those that must be zero at the first entry and have not been touched by the runtime.
pub(super) fn first_values() {
    for register in TABLE.iter().filter(|register| register.zero_at_first) {
        let value = (register.read)();
        match register.name {
            // The architecture leaves the value of these at reset to the implementation.
            "esr_el1" | "far_el1" | "par_el1" => guests::say!("note first.{} {value:#x}", register.name),
            _ => {
                report::equal(format_args!("first.{}", register.name), value, 0);
            }
        }
    }
    for register in TABLE.iter().filter(|register| matches!(register.name, "cpacr_el1" | "cntkctl_el1")) {
        report::fact(format_args!("first.{}", register.name), format_args!("{:#x}", (register.read)()));
    }
}

/// Writes a pattern into all, pauses, looks, and puts the old values back.
pub(super) fn round(cpu: usize, seed: u64, round: u64) {
    let mut old = [0u64; COUNT];
    let mut written = [0u64; COUNT];
    let mut seen = [0u64; COUNT];
    for (place, register) in TABLE.iter().enumerate() {
        old[place] = (register.read)();
        let pattern = mix(seed ^ place as u64);
        (register.write)(old[place] & !register.mask | pattern & register.mask);
    }
    for (value, register) in written.iter_mut().zip(&TABLE) {
        // What came of it: some have bits that do not exist, or none at all.
        *value = (register.read)();
    }
    pause(round);
    for (value, register) in seen.iter_mut().zip(&TABLE) {
        *value = (register.read)();
    }
    for (value, register) in old.iter().zip(&TABLE) {
        (register.write)(*value);
    }
    for (place, findings) in FINDINGS[cpu % VCPUS].iter().enumerate() {
        if seen[place] != written[place] && findings.changed.fetch_add(1, Ordering::SeqCst) == 0 {
            findings.seen.store(seen[place], Ordering::SeqCst);
            findings.expected.store(written[place], Ordering::SeqCst);
        }
    }
}

/// Says what was found on a vCPU.
pub(super) fn report(cpu: usize) {
    for (register, findings) in TABLE.iter().zip(&FINDINGS[cpu % VCPUS]) {
        let changed = findings.changed.load(Ordering::SeqCst);
        if changed == 0 {
            report::pass(format_args!("kept.{}", register.name));
        } else {
            let (seen, expected) =
                (findings.seen.load(Ordering::SeqCst), findings.expected.load(Ordering::SeqCst));
            report::fail(
                format_args!("kept.{}", register.name),
                format_args!("vCPU {cpu}, {changed} times, {seen:#x} instead of {expected:#x}"),
            );
        }
    }
    super::floating::report(cpu);
    super::general::report(cpu);
}
