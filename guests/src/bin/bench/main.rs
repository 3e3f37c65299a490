//! What operations cost, in ticks of the counter; under QEMU's `-icount shift=4` a tick is an instruction.
//!
//! Every measured sequence is assembly, so that the compiler does not matter. A plain operation is the difference of
//! two readings of the counter around it, less one for the reading itself. An interrupt's `.entry` is from the
//! raising instruction (or the deadline) to the first instruction of the handler, `.eoi` to after its end.
//! `bench.samples=N`, `bench.sleep_ms=N` (pause before, 1000 by default), `bench.only=NAME,NAME` (these figures alone).
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "marks are instructions")]

mod events;
mod grants;
mod hypercall;
mod interrupts;
mod lateness;
mod memory;
mod pair;
mod plain;
mod running;
mod second;
mod upcall;

use core::fmt::{self, Display, Write};

use guests::{boot, gic, mmio, platform, registers, report, timer, xen};

guests::guest!(main, irq, second::run);

/// Samples of one figure at most.
const SAMPLES: usize = 500;
/// Samples that do not count.
const WARM_UP: usize = 3;

fn irq(_cpu: usize) {
    timer::disarm();
    take();
}

fn main() {
    boot::interrupts_on();
    pause(platform::number("bench.sleep_ms", 1_000));
    registers::mask_interrupts();
    match platform::number("bench.port", 0) {
        0 if platform::get().cpus > 1 => second::all(),
        0 => alone(),
        port => pair::all(port as u32),
    }
    report::equal("bench.refused", hypercall::refused(), 0);
}

/// What one vCPU of one domain can measure.
fn alone() {
    plain::all();
    interrupts::all();
    if xen::is_there() {
        hypercall::all();
        events::all();
        memory::all();
        grants::own();
        lateness::all();
    }
}

/// Sleeps, so that the work of the hypervisor and of others is over.
fn pause(milliseconds: u64) {
    gic::enable(platform::get().timers[2]);
    timer::sleep(milliseconds * 1_000);
    timer::disarm();
    // Whoever has interrupts masked finds the timer's pending.
    take();
    gic::disable(platform::get().timers[2]);
}

/// Takes the interrupt that is pending, by hand.
fn take() {
    let raw = gic::acknowledge();
    if gic::intid_of(raw) != gic::SPURIOUS {
        gic::end(raw);
    }
}

/// Lets the hypervisor tidy up after the last interrupt, so that the next measured trap does not have to.
fn settle() {
    let _ = mmio::read32(gic::distributor(gic::CTLR));
}

/// How many samples a figure has.
fn samples() -> usize {
    (platform::number("bench.samples", 200) as usize).clamp(1, SAMPLES)
}

/// How often a figure's operation is made: the first ones, which warm up, do not count.
fn rounds() -> usize {
    samples() + WARM_UP
}

/// A move into the zero register, which does nothing.
macro_rules! mark {
    ($number:literal) => {
        // SAFETY: nothing changes.
        unsafe { core::arch::asm!(concat!("movz xzr, #", $number), options(nostack)) }
    };
}

/// Takes samples of `measure` and prints their figure.
fn sample(name: impl Display, measure: impl FnMut() -> u64) {
    sample_few(name, SAMPLES, measure);
}

/// As [`sample`], for what takes so long that `most` samples are enough.
fn sample_few(name: impl Display, most: usize, mut measure: impl FnMut() -> u64) {
    if !is_wanted(&name) {
        return;
    }
    for _ in 0..WARM_UP {
        measure();
    }
    let mut values = [0u64; SAMPLES];
    let values = &mut values[..samples().min(most)];
    // Whoever watches the guest's instructions sees by these two which samples are a figure's.
    mark!("0x6b31");
    for value in &mut *values {
        *value = measure();
    }
    mark!("0x6b32");
    report::samples(name, values);
}

/// Whether a figure is asked for: its name is the text behind `bench.only=`, or there is no such word.
fn is_wanted(name: impl Display) -> bool {
    let Some(only) = platform::argument("bench.only") else { return true };
    only.split(',').any(|only| {
        let mut rest = Rest(Some(only));
        write!(rest, "{name}").is_ok() && rest.0 == Some("")
    })
}

/// What is left of a text when what is written has been taken from its start; nothing once something else was.
struct Rest<'text>(Option<&'text str>);

impl Write for Rest<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.and_then(|rest| rest.strip_prefix(text));
        Ok(())
    }
}
