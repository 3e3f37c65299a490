//! The vector registers and the floating point control and status registers.
#![expect(unsafe_code, reason = "vector registers")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use guests::{registers, report};

use super::system::VCPUS;
use super::{after_pause, before_pause, mix, pause};

static CHANGED: [AtomicU64; VCPUS] = [const { AtomicU64::new(0) }; VCPUS];

/// v0 to v31.
#[repr(C, align(16))]
struct Vectors([u64; 64]);

const ENABLED: u64 = 3 << 20;

/// A line of assembly for each pair of vector registers.
macro_rules! pairs {
    ($operation:literal) => {
        concat!(
            ".arch_extension fp\n",
            $operation,
            " q0, q1, [{0}]\n",
            $operation,
            " q2, q3, [{0}, #32]\n",
            $operation,
            " q4, q5, [{0}, #64]\n",
            $operation,
            " q6, q7, [{0}, #96]\n",
            $operation,
            " q8, q9, [{0}, #128]\n",
            $operation,
            " q10, q11, [{0}, #160]\n",
            $operation,
            " q12, q13, [{0}, #192]\n",
            $operation,
            " q14, q15, [{0}, #224]\n",
            $operation,
            " q16, q17, [{0}, #256]\n",
            $operation,
            " q18, q19, [{0}, #288]\n",
            $operation,
            " q20, q21, [{0}, #320]\n",
            $operation,
            " q22, q23, [{0}, #352]\n",
            $operation,
            " q24, q25, [{0}, #384]\n",
            $operation,
            " q26, q27, [{0}, #416]\n",
            $operation,
            " q28, q29, [{0}, #448]\n",
            $operation,
            " q30, q31, [{0}, #480]"
        )
    };
}

fn load(vectors: &Vectors) {
    // SAFETY: the compiler uses no vector registers for this target; the memory is as long as what is read.
    unsafe { asm!(pairs!("ldp"), in(reg) vectors.0.as_ptr(), options(nostack)) };
}

fn store(vectors: &mut Vectors) {
    // SAFETY: the memory is as long as what is written.
    unsafe { asm!(pairs!("stp"), in(reg) vectors.0.as_mut_ptr(), options(nostack)) };
}

fn control() -> (u64, u64) {
    let (fpcr, fpsr): (u64, u64);
    // SAFETY: reading them has no effect.
    unsafe {
        asm!("mrs {0}, S3_3_C4_C4_0", "mrs {1}, S3_3_C4_C4_1", out(reg) fpcr, out(reg) fpsr, options(nostack))
    };
    (fpcr, fpsr)
}

fn set_control(fpcr: u64, fpsr: u64) {
    // SAFETY: the compiler uses no floating point for this target.
    unsafe {
        asm!("msr S3_3_C4_C4_0, {0}", "msr S3_3_C4_C4_1, {1}", "isb", in(reg) fpcr, in(reg) fpsr, options(nostack))
    };
}

/// Nobody else's numbers are in the vector registers at the start.
pub(super) fn first_values() {
    registers::set_coprocessor_access(registers::coprocessor_access() | ENABLED);
    let mut vectors = Vectors([1; 64]);
    store(&mut vectors);
    report::equal("first.v0_to_v31", vectors.0.iter().fold(0, |all, half| all | half), 0);
    let (fpcr, fpsr) = control();
    report::equal("first.fpcr", fpcr, 0);
    report::equal("first.fpsr", fpsr, 0);
}

pub(super) fn round(cpu: usize, seed: u64, round: u64) {
    registers::set_coprocessor_access(registers::coprocessor_access() | ENABLED);
    let mut vectors = Vectors([0; 64]);
    for (place, half) in vectors.0.iter_mut().enumerate() {
        *half = mix(seed ^ 0x100 ^ place as u64);
    }
    load(&vectors);
    // Rounding mode, flush-to-zero and default NaN; the cumulative exception flags.
    let (fpcr, fpsr) = (seed & 0x03c0_0000, seed >> 8 & 0x0800_009f);
    set_control(fpcr, fpsr);
    if round.is_multiple_of(2) {
        pause(round / 2);
    } else {
        // With the unit switched off for this vCPU while others use it.
        registers::set_coprocessor_access(registers::coprocessor_access() & !ENABLED);
        before_pause();
        registers::wfi();
        after_pause();
        registers::set_coprocessor_access(registers::coprocessor_access() | ENABLED);
    }
    let now = control();
    let mut seen = Vectors([0; 64]);
    store(&mut seen);
    let wrong = seen.0.iter().zip(&vectors.0).filter(|(left, right)| left != right).count();
    let control_wrong = usize::from(now != (fpcr, fpsr));
    CHANGED[cpu % VCPUS].fetch_add((wrong + control_wrong) as u64, Ordering::SeqCst);
    set_control(0, 0);
}

pub(super) fn report(cpu: usize) {
    report::equal("kept.vectors_fpcr_fpsr", CHANGED[cpu % VCPUS].load(Ordering::SeqCst), 0);
}
