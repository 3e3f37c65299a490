//! Tells its device tree byte for byte, so that whoever has foretold it can compare.
#![no_std]
#![no_main]

use core::fmt;
use core::sync::atomic::Ordering;

use guests::tree::Tree;
use guests::{boot, report, say};

/// Bytes in a line.
const LINE: usize = 48;

guests::guest!(main);

/// Bytes as hexadecimal digits.
struct Digits<'a>(&'a [u8]);

impl fmt::Display for Digits<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

fn main() {
    let at = boot::entry(0).x[0].load(Ordering::Relaxed) as usize;
    let bytes = Tree::bytes(at);
    report::check("tree.found", bytes.is_some());
    let bytes = bytes.unwrap_or_default();
    say!("tree of {} bytes at {at:#x}", bytes.len());
    for (number, line) in bytes.chunks(LINE).enumerate() {
        say!("tree {:06x} {}", number * LINE, Digits(line));
    }
}
