//! All system register encodings of op0 = 2 and 3 with op1 = 0 and 3 (and a look at the others): each gives a value
//! or is UNDEFINED, none hangs.
//!
//! Which of them are there depends on the processor, so what is compared is only that the guest gets through; the
//! figures are notes. With `isolation.list` each readable one is listed.

use core::sync::atomic::{AtomicU32, Ordering};

use guests::exception::{CLASS_FLOATING_POINT, CLASS_UNKNOWN, call_at};
use guests::{platform, registers, report, say};

use super::note;

/// Two instructions, written anew for each encoding: the access and a return.
static CODE: [AtomicU32; 16] = [const { AtomicU32::new(0) }; 16];

const RET: u32 = 0xd65f_03c0;
const READ: u32 = 0xd530_0000;

/// What an encoding looks like in an instruction: op0 is 2 or 3.
fn encoding(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> u32 {
    (op0 & 1) << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5
}

/// Runs one instruction with x0 = `argument`.
fn run(instruction: u32, argument: u64) -> Result<u64, guests::exception::Fault> {
    CODE[0].store(instruction, Ordering::SeqCst);
    CODE[1].store(RET, Ordering::SeqCst);
    let address = CODE.as_ptr() as usize;
    registers::publish_code(address, 8);
    call_at(address as u64, argument)
}

#[derive(Default)]
struct Count {
    readable: u32,
    undefined: u32,
    other: u32,
    /// Over encodings that gave a value: which, not what.
    sum: u32,
}

/// Reading these has an effect that later tests would feel: ICC_IAR0_EL1, ICC_IAR1_EL1 acknowledge.
fn has_effect(word: u32) -> bool {
    [encoding(3, 0, 12, 12, 0), encoding(3, 0, 12, 8, 0), encoding(2, 3, 0, 4, 0), encoding(2, 3, 0, 5, 0)]
        .contains(&word)
}

fn sweep(op0: u32, op1: u32) -> Count {
    let mut count = Count::default();
    for number in 0..1u32 << 11 {
        let (crn, crm, op2) = (number >> 7, number >> 3 & 15, number & 7);
        let word = encoding(op0, op1, crn, crm, op2);
        if has_effect(word) {
            continue;
        }
        match run(READ | word, 0) {
            Ok(value) => {
                count.readable += 1;
                count.sum = count.sum.rotate_left(5) ^ word;
                if platform::flag("isolation.list") {
                    say!("note sysreg S{op0}_{op1}_C{crn}_C{crm}_{op2} {value:#x}");
                }
            }
            // FPCR and FPSR belong to the floating point unit, which is switched off here.
            Err(fault) if matches!(fault.class(), CLASS_UNKNOWN | CLASS_FLOATING_POINT) => {
                count.undefined += 1
            }
            Err(_) => count.other += 1,
        }
    }
    count
}

pub(super) fn all() {
    for op0 in [2u32, 3] {
        for op1 in 0..8 {
            let count = sweep(op0, op1);
            note(format_args!(
                "sweep S{op0}_{op1}: {} give a value ({:#x}), {} undefined",
                count.readable, count.sum, count.undefined
            ));
            report::equal(format_args!("sweep.S{op0}_{op1}_value_or_undefined"), count.other, 0);
            if op0 == 3 && matches!(op1, 4..=7) {
                report::equal(format_args!("sweep.S{op0}_{op1}_nothing_of_higher_levels"), count.readable, 0);
            }
        }
    }
    identification();
}

/// The whole space of identification registers reads: unallocated ones as zero.
fn identification() {
    let mut undefined = 0;
    let mut unallocated = 0;
    for crm in 1..8u32 {
        for op2 in 0..8u32 {
            match run(READ | encoding(3, 0, 0, crm, op2), 0) {
                Ok(value) if crm > 2 && crm < 4 || (crm == 4 && matches!(op2, 2 | 3 | 6 | 7)) => {
                    unallocated += u32::from(value != 0 && crm != 3);
                }
                Ok(_) => {}
                Err(_) => undefined += 1,
            }
        }
    }
    report::equal("identification.all_readable", undefined, 0);
    report::equal("identification.unallocated_is_zero", unallocated, 0);
}
