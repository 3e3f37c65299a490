//! What a guest says, in lines that a test runner reads.
//!
//! `ok NAME`, `FAIL NAME: DETAIL`, `fact NAME VALUE` (must be equal under every right hypervisor), `figure NAME
//! MEDIAN MIN MAX` (measured, not compared), `note TEXT` (for people, not compared); at the end `DONE P passed, F
//! failed` and power off.

use core::fmt::{Arguments, Display, LowerHex};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::{platform, psci, registers, say};

static PASSED: AtomicU32 = AtomicU32::new(0);
static FAILED: AtomicU32 = AtomicU32::new(0);

/// A check that went well.
pub fn pass(name: Arguments<'_>) {
    PASSED.fetch_add(1, Ordering::Relaxed);
    say!("ok {name}");
}

/// A check that failed, and what was seen.
pub fn fail(name: Arguments<'_>, detail: Arguments<'_>) {
    FAILED.fetch_add(1, Ordering::Relaxed);
    say!("FAIL {name}: {detail}");
}

/// A check by condition.
pub fn check(name: impl Display, good: bool) -> bool {
    if good {
        pass(format_args!("{name}"));
    } else {
        fail(format_args!("{name}"), format_args!("does not hold"));
    }
    good
}

/// A check that a value is the expected one; both are printed in hexadecimal if not.
pub fn equal<T: PartialEq + LowerHex>(name: impl Display, seen: T, expected: T) -> bool {
    let good = seen == expected;
    if good {
        pass(format_args!("{name}"));
    } else {
        fail(format_args!("{name}"), format_args!("{seen:#x} instead of {expected:#x}"));
    }
    good
}

/// A check that a value lies in a closed range.
pub fn within(name: impl Display, seen: u64, low: u64, high: u64) -> bool {
    let good = (low..=high).contains(&seen);
    if good {
        pass(format_args!("{name}"));
    } else {
        fail(format_args!("{name}"), format_args!("{seen} is not in {low}..={high}"));
    }
    good
}

/// A check of what the architecture asks for but Xen 4.17 is known not to do. It counts only with the word `strict`
/// on the command line; without it, what was seen is a note.
pub fn strict(name: impl Display, good: bool) {
    if platform::flag("strict") {
        check(format_args!("strict.{name}"), good);
    } else {
        say!("note {name} {}", if good { "holds" } else { "does not hold" });
    }
}

/// Something that every right hypervisor answers alike.
pub fn fact(name: impl Display, value: impl Display) {
    say!("fact {name} {value}");
}

/// A measured figure.
pub fn figure(name: impl Display, median: u64, min: u64, max: u64) {
    say!("figure {name} {median} {min} {max}");
}

/// A measured figure from samples, which are sorted.
pub fn samples(name: impl Display, values: &mut [u64]) {
    values.sort_unstable();
    if let (Some(min), Some(max), Some(median)) =
        (values.first(), values.last(), values.get(values.len() / 2))
    {
        figure(name, *median, *min, *max);
    }
}

/// Says how it went and powers off.
pub fn done() -> ! {
    say!("DONE {} passed, {} failed", PASSED.load(Ordering::Relaxed), FAILED.load(Ordering::Relaxed));
    psci::system_off();
    loop {
        registers::wfi();
    }
}
