//! The end: a panic or an exception of the hypervisor's own.
//!
//! Says what happened, where, by which road (frame pointers and the symbol table), and in which version;
//! then stops all processors, or restarts the machine, as `noreboot` says. Writes to the UART directly and takes no
//! lock: whoever held one will not come back.
#![expect(unsafe_code, reason = "reads the stack that led here")]

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use super::system::{halt, read};
use super::uart::Uart;
use super::{firmware, symbols};

/// The version that a fault names: the whole tree has one.
const VERSION: &str = env!("CARGO_PKG_VERSION");

static NOREBOOT: AtomicBool = AtomicBool::new(true);
static FAULTED: AtomicBool = AtomicBool::new(false);
static ENDED: AtomicBool = AtomicBool::new(false);
static CONSOLE: AtomicBool = AtomicBool::new(false);
/// Written once, before `CONSOLE` is.
static mut UART: Option<Uart> = None;

/// Whether the machine stays as it is after a fault (`noreboot`).
pub fn set_noreboot(stay: bool) {
    NOREBOOT.store(stay, Ordering::Relaxed);
}

/// Where a fault is told. Opened at the first call only.
pub(crate) fn set_console(open: impl FnOnce() -> Option<Uart>) {
    static OPEN: AtomicBool = AtomicBool::new(false);
    if !OPEN.swap(true, Ordering::AcqRel) {
        let place = &raw mut UART;
        // SAFETY: only the first caller comes here, and nobody looks before it has said so.
        unsafe { place.write(open()) };
        CONSOLE.store(true, Ordering::Release);
    }
}

/// The console, without its lock.
struct Raw;

impl Write for Raw {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !CONSOLE.load(Ordering::Acquire) {
            return Ok(());
        }
        let place = &raw const UART;
        // SAFETY: written before the flag, and never again.
        let Some(uart) = (unsafe { place.read() }) else { return Ok(()) };
        for byte in text.bytes() {
            if byte == b'\n' {
                while uart.send(b"\r") == 0 {}
            }
            while uart.send(&[byte]) == 0 {}
        }
        Ok(())
    }
}

/// Writes a line to the console before there is a hypervisor.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(Raw, "{text}");
}

/// Registers at a fault, as `vectors.s` stores them.
#[repr(C)]
struct Frame {
    x: [u64; 31],
    sp: u64,
    vector: u64,
    pc: u64,
}

#[unsafe(no_mangle)]
extern "C" fn report_fault(frame: &Frame) -> ! {
    stop_others();
    let kind = match frame.vector % 4 {
        0 => "synchronous exception",
        1 => "interrupt",
        2 => "fast interrupt",
        _ => "system error",
    };
    say(format_args!(
        "\n(XEN) Xenite {}: {kind} in the hypervisor, processor {:#x}",
        VERSION,
        super::system::mpidr()
    ));
    say(format_args!(
        "(XEN) esr {:#018x} far {:#018x} hpfar {:#018x}",
        read!("esr_el2"),
        read!("far_el2"),
        read!("hpfar_el2")
    ));
    say(format_args!("(XEN) pc  {:#018x} sp  {:#018x}", frame.pc, frame.sp));
    for (index, pair) in frame.x.chunks(3).enumerate() {
        let _ = write!(Raw, "(XEN) ");
        for (offset, value) in pair.iter().enumerate() {
            let _ = write!(Raw, "x{:<2} {value:#018x} ", index * 3 + offset);
        }
        say(format_args!(""));
    }
    backtrace(frame.pc, frame.x[29]);
    end()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if FAULTED.swap(true, Ordering::AcqRel) {
        halt();
    }
    stop_others();
    say(format_args!("\n(XEN) Xenite {}: {info}", VERSION));
    // Registers and the way here are told by the one place that does.
    super::system::fault()
}

/// The hypervisor has ended: a processor that is called stops.
pub(crate) fn ended() -> bool {
    ENDED.load(Ordering::Relaxed)
}

/// Silences and calls all other processors, and gives them a moment to hear it.
fn stop_others() {
    ENDED.store(true, Ordering::SeqCst);
    super::secondary::call_all();
    let start = super::system::counter();
    while super::system::counter().wrapping_sub(start) < read!("cntfrq_el0") / 20 {
        core::hint::spin_loop();
    }
}

fn end() -> ! {
    if NOREBOOT.load(Ordering::Relaxed) || !firmware::is_there() {
        say(format_args!("(XEN) Stopped ('noreboot', no firmware to restart by, or too early to know)"));
        halt();
    }
    say(format_args!("(XEN) Restarting the machine"));
    firmware::reset()
}

/// Follows the frame pointers, as long as they go up within one stack.
fn backtrace(pc: u64, mut frame: u64) {
    const STACK: u64 = 64 << 10;
    say(format_args!("(XEN) Backtrace:"));
    if pc != 0 {
        name(pc);
    }
    for _ in 0..32 {
        if frame == 0 || !frame.is_multiple_of(8) || !plausible(frame) {
            return;
        }
        let record = frame as *const [u64; 2];
        // SAFETY: inside the image's or the stacks' area and above the last record, so mapped.
        let [next, caller] = unsafe { record.read_volatile() };
        if caller == 0 {
            return;
        }
        name(caller.wrapping_sub(4));
        if next <= frame || next - frame > STACK {
            return;
        }
        frame = next;
    }
}

/// Is this in the image, or in the stack of a processor that has started? Both are mapped.
fn plausible(frame: u64) -> bool {
    let (start, end) = super::translation::image();
    (start..end - 16).contains(&frame) || super::translation::is_stack(frame, super::secondary::started())
}

fn name(address: u64) {
    match symbols::resolve(address) {
        Some((name, offset)) => say(format_args!("(XEN)   {address:#x} {name}+{offset:#x}")),
        None => say(format_args!("(XEN)   {address:#x}")),
    }
}
