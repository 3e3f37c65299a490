//! Dies in the way that the command line chooses with `die=WAY`; nobody else may notice.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "deaths")]

use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};

use guests::{boot, gic, mmio, platform, psci, registers, report, say, timer};

guests::guest!(main, irq, secondary);

static READY: AtomicU64 = AtomicU64::new(0);

fn irq(_cpu: usize) {
    let raw = gic::acknowledge();
    timer::disarm();
    if gic::intid_of(raw) != gic::SPURIOUS {
        gic::end(raw);
    }
}

fn secondary(_cpu: usize, _word: u64) {
    READY.fetch_add(1, Ordering::SeqCst);
    let way = platform::argument("die").unwrap_or("off");
    if way == "cpu-off-all" {
        return;
    }
    loop {
        registers::wfi();
    }
}

fn main() {
    let way = platform::argument("die").unwrap_or("off");
    timer::spin(platform::number("die.after_ms", 0) * 1_000);
    for cpu in 1..platform::get().cpus {
        report::equal("cpu_on", psci::start(cpu, 0), 0);
    }
    timer::wait_for(2_000_000, || READY.load(Ordering::SeqCst) + 1 == platform::get().cpus as u64);
    say!("dying {way}");
    match way {
        "off" => psci::system_off(),
        "reset" => psci::system_reset(),
        "loop" => endless(),
        "undefined-vector" => undefined_vector(),
        "wild-store" => wild_store(),
        "instruction-abort" => instruction_abort(),
        "stack" => {
            black_box(recurse(1));
        }
        "wfi-forever" => sleep(),
        "cpu-off-all" => psci::cpu_off(),
        "smc-flood" => flood(),
        "hvc-unknown" => unknown(),
        "timer-storm" => timer_storm(),
        "sgi-storm" => sgi_storm(),
        "trap-storm" => trap_storm(),
        _ => report::fail(format_args!("die"), format_args!("unknown way {way}")),
    }
    report::fail(format_args!("die"), format_args!("still alive after {way}"));
}

fn endless() {
    registers::mask_interrupts();
    // SAFETY: nothing changes and nothing follows.
    unsafe { asm!("b .", options(noreturn)) };
}

/// Exceptions go to where nothing is, and the first of them comes at once: fetching its vector is the second.
fn undefined_vector() {
    // SAFETY: the vCPU never comes back to Rust.
    unsafe { asm!("msr vbar_el1, {0}", "isb", "udf #0", "b .", in(reg) 0x3_0000_0000u64, options(noreturn)) };
}

/// Stores where nothing is, with the handler's own stack gone as well.
fn wild_store() {
    // SAFETY: the vCPU never comes back to Rust.
    unsafe { asm!("mov sp, {0}", "str xzr, [{0}]", "b .", in(reg) 0x3_0000_0000u64, options(noreturn)) };
}

/// Runs where nothing is, without vectors.
fn instruction_abort() {
    // SAFETY: the vCPU never comes back to Rust.
    unsafe { asm!("msr vbar_el1, {0}", "isb", "br {0}", in(reg) 0x3_0000_0000u64, options(noreturn)) };
}

/// Fills memory downwards with frames until the code itself is gone.
#[expect(unconditional_recursion, reason = "that is the death")]
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    black_box(recurse(black_box(depth + 1))) + room[(depth % 64) as usize]
}

fn sleep() {
    registers::mask_interrupts();
    loop {
        registers::wfi();
    }
}

fn flood() {
    loop {
        black_box(psci::smc([0xc600_1234, 1, 2, 3]));
    }
}

fn unknown() {
    for id in (0..0x1_0000_0000u64).step_by(0x1_2345) {
        // CPU_OFF, SYSTEM_OFF and their kind would end it too early.
        if id & 0xbfff_ff00 != 0x8400_0000 && id > 2 {
            black_box(psci::hvc([id, u64::MAX, u64::MAX, u64::MAX]));
        }
    }
    psci::system_off();
}

fn timer_storm() {
    boot::interrupts_on();
    gic::enable(platform::get().timers[2]);
    loop {
        registers::set_virtual_timer_compare(0);
        registers::set_virtual_timer_control(1);
        registers::yield_hint();
    }
}

fn sgi_storm() {
    boot::interrupts_on();
    gic::enable(1);
    loop {
        gic::send_sgi(1, gic::Target::Own);
        gic::send_sgi(1, gic::Target::Others);
    }
}

fn trap_storm() {
    loop {
        black_box(mmio::read32(gic::distributor(gic::TYPER)));
    }
}
