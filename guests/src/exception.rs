//! Exception vectors, and faults that a test expects.
//!
//! A test that does something forbidden arms its vCPU first ([`expect_fault`]); the handler then writes down what
//! happened and goes on behind the instruction. A fault that nobody expects is reported, and the guest ends.
#![expect(unsafe_code, reason = "vectors, and jumps to addresses where nothing is")]

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::boot::MAX_CPUS;
use crate::{boot, mmio, psci, registers, report};

global_asm!(
    r#"
    .macro  vector number
    .balign 128
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    mov     x0, #\number
    b       exception_entry
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .global exception_vectors
exception_vectors:
    vector 0
    vector 1
    vector 2
    vector 3
    vector 4
    vector 5
    vector 6
    vector 7
    vector 8
    vector 9
    vector 10
    vector 11
    vector 12
    vector 13
    vector 14
    vector 15

exception_entry:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x1, elr_el1
    stp     x30, x1, [sp, #240]
    mrs     x1, spsr_el1
    mrs     x2, esr_el1
    stp     x1, x2, [sp, #256]
    mrs     x1, far_el1
    str     x1, [sp, #272]
    mov     x1, sp
    bl      {handle}
    ldp     x1, x2, [sp, #256]
    msr     spsr_el1, x1
    ldp     x30, x1, [sp, #240]
    msr     elr_el1, x1
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldp     x0, x1, [sp]
    add     sp, sp, #288
    eret
    "#,
    handle = sym handle,
);

/// What the vectors save.
#[repr(C)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Where the exception was taken from.
    pub elr: u64,
    /// The processor state there.
    pub spsr: u64,
    /// The syndrome.
    pub esr: u64,
    /// The faulting address.
    pub far: u64,
    reserved: u64,
}

/// A fault that was expected and came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
    /// ELR_EL1.
    pub elr: u64,
}

impl Fault {
    /// ESR_EL1.EC, the exception class.
    #[must_use]
    pub fn class(&self) -> u64 {
        self.esr >> 26 & 0x3f
    }

    /// ESR_EL1.DFSC or IFSC, the fault status code of an abort.
    #[must_use]
    pub fn status(&self) -> u64 {
        self.esr & 0x3f
    }
}

/// Exception class: unknown reason, which is how UNDEFINED shows.
pub const CLASS_UNKNOWN: u64 = 0x00;
/// Exception class: floating point is switched off.
pub const CLASS_FLOATING_POINT: u64 = 0x07;
/// Exception class: a trapped system register access.
pub const CLASS_SYSTEM_REGISTER: u64 = 0x18;
/// Exception class: instruction abort at the same level.
pub const CLASS_INSTRUCTION_ABORT: u64 = 0x21;
/// Exception class: PC alignment.
pub const CLASS_PC_ALIGNMENT: u64 = 0x22;
/// Exception class: data abort at the same level.
pub const CLASS_DATA_ABORT: u64 = 0x25;

/// SPSR_EL1.IL.
const ILLEGAL_STATE: u64 = 1 << 20;

struct Probe {
    armed: AtomicBool,
    came: AtomicBool,
    resume: AtomicU64,
    esr: AtomicU64,
    far: AtomicU64,
    elr: AtomicU64,
}

static PROBES: [Probe; MAX_CPUS] = [const {
    Probe {
        armed: AtomicBool::new(false),
        came: AtomicBool::new(false),
        resume: AtomicU64::new(0),
        esr: AtomicU64::new(0),
        far: AtomicU64::new(0),
        elr: AtomicU64::new(0),
    }
}; MAX_CPUS];

static ERRORS: AtomicU64 = AtomicU64::new(0);
static DYING: AtomicBool = AtomicBool::new(false);

unsafe extern "Rust" {
    safe fn guest_irq(cpu: usize);
}

extern "C" fn handle(vector: u64, frame: &mut Frame) {
    match vector {
        5 => guest_irq(registers::cpu_index()),
        7 => {
            ERRORS.fetch_add(1, Ordering::Relaxed);
        }
        4 => synchronous(frame),
        _ => fatal(vector, frame),
    }
}

fn synchronous(frame: &mut Frame) {
    let probe = &PROBES[registers::cpu_index() % MAX_CPUS];
    if !probe.armed.swap(false, Ordering::Relaxed) {
        fatal(4, frame);
    }
    probe.esr.store(frame.esr, Ordering::Relaxed);
    probe.far.store(frame.far, Ordering::Relaxed);
    probe.elr.store(frame.elr, Ordering::Relaxed);
    probe.came.store(true, Ordering::Relaxed);
    let resume = probe.resume.load(Ordering::Relaxed);
    // After an illegal return the state has IL set, and every further instruction would fault.
    frame.spsr &= !ILLEGAL_STATE;
    frame.elr = if resume == 0 { frame.elr + 4 } else { resume };
}

fn fatal(vector: u64, frame: &Frame) -> ! {
    if DYING.swap(true, Ordering::Relaxed) {
        psci::system_off();
    }
    let cpu = registers::cpu_index();
    let at = frame.elr.wrapping_sub(boot::load_address() as u64);
    report::fail(
        format_args!("exception"),
        format_args!(
            "vector {vector} on vCPU {cpu}, esr {:#x} far {:#x} at image+{at:#x}",
            frame.esr, frame.far
        ),
    );
    report::done()
}

/// Runs `operation`; the fault that one of its instructions raises, if one does. Execution goes on behind that
/// instruction, so `operation` gives its results an initial value.
pub fn expect_fault(operation: impl FnOnce()) -> Option<Fault> {
    let probe = arm(0);
    operation();
    outcome(probe)
}

fn arm(resume: u64) -> &'static Probe {
    let probe = &PROBES[registers::cpu_index() % MAX_CPUS];
    probe.came.store(false, Ordering::Relaxed);
    probe.resume.store(resume, Ordering::Relaxed);
    probe.armed.store(true, Ordering::SeqCst);
    probe
}

fn outcome(probe: &Probe) -> Option<Fault> {
    probe.armed.store(false, Ordering::SeqCst);
    let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
    probe.came.load(Ordering::Relaxed).then(|| Fault {
        esr: load(&probe.esr),
        far: load(&probe.far),
        elr: load(&probe.elr),
    })
}

/// Calls whatever is at `address` with x0 = `argument`; the fault that this raises, or else what it left in x0.
/// Execution goes on at the caller after a fault.
pub fn call_at(address: u64, argument: u64) -> Result<u64, Fault> {
    let resume: u64;
    // SAFETY: only computes the address of the label behind the call below; see there.
    unsafe { asm!("adr {}, 77f", "b 78f", "77: ret", "78:", out(reg) resume, options(nostack)) };
    let probe = arm(resume);
    let mut value = argument;
    // SAFETY: a fault leads to `77`, which returns here; all that a called function may change is declared. What is
    // called is either code written by the test or nothing that can be executed.
    unsafe { asm!("blr {}", in(reg) address, inout("x0") value, clobber_abi("C")) };
    outcome(probe).map_or(Ok(value), Err)
}

/// Reads 32 bits from `address`, or the fault that this raises.
pub fn probe_read(address: usize) -> Result<u32, Fault> {
    let mut value = 0;
    expect_fault(|| value = mmio::read32(address)).map_or(Ok(value), Err)
}

/// Writes 32 bits to `address`; the fault that this raises, if it does.
pub fn probe_write(address: usize, value: u32) -> Option<Fault> {
    expect_fault(|| mmio::write32(address, value))
}

/// How many SErrors this guest has taken.
#[must_use]
pub fn errors() -> u64 {
    ERRORS.load(Ordering::Relaxed)
}

/// The default for guests without interrupts.
pub fn unexpected_irq(cpu: usize) {
    registers::mask_interrupts();
    report::fail(
        format_args!("interrupt"),
        format_args!("vCPU {cpu} was interrupted but had asked for nothing"),
    );
    report::done();
}
