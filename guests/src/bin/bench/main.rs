//! What operations cost, in ticks of the counter; under QEMU's `-icount shift=4` a tick is an instruction.
//!
//! Every measured sequence is assembly, so that the compiler does not matter. A plain operation is the difference of
//! two readings of the counter around it, less one for the reading itself. An interrupt's `.entry` is from the
//! raising instruction (or the deadline) to the first instruction of the handler, `.eoi` to after its end.
//! `bench.samples=N`, `bench.sleep_ms=N` (pause before, 1000 by default).
#![no_std]
#![no_main]

mod interrupts;
mod paravirtual;
mod plain;
mod second;

use guests::{boot, gic, mmio, platform, registers, report, timer};

guests::guest!(main, irq, second::run);

/// Samples of one figure at most.
const SAMPLES: usize = 1_000;

fn irq(_cpu: usize) {
    let raw = gic::acknowledge();
    timer::disarm();
    if gic::intid_of(raw) != gic::SPURIOUS {
        gic::end(raw);
    }
}

fn main() {
    boot::interrupts_on();
    pause(platform::number("bench.sleep_ms", 1_000));
    registers::mask_interrupts();
    plain::all();
    interrupts::all();
    paravirtual::all();
    if platform::get().cpus > 1 {
        second::all();
    }
    report::check("bench", true);
}

/// Sleeps, so that the work after boot is over.
fn pause(milliseconds: u64) {
    gic::enable(platform::get().timers[2]);
    timer::sleep(milliseconds * 1_000);
    gic::disable(platform::get().timers[2]);
}

/// Lets the hypervisor tidy up after the last interrupt, so that the next measured trap does not have to.
fn settle() {
    let _ = mmio::read32(gic::distributor(gic::CTLR));
}

/// Takes samples of `measure` and prints their figure; the first ones, which warm up, do not count.
fn sample(name: &str, mut measure: impl FnMut() -> u64) {
    let count = (platform::number("bench.samples", 200) as usize).clamp(1, SAMPLES);
    for _ in 0..3 {
        measure();
    }
    let mut values = [0u64; SAMPLES];
    for value in &mut values[..count] {
        *value = measure();
    }
    report::samples(name, &mut values[..count]);
}
