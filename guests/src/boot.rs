//! From the image's first instruction to the guest's `main`, and from `CPU_ON` to its `secondary`.
//!
//! The start code keeps what the vCPU was given (the first four registers, the counter, the processor state) before
//! it changes anything, because that is part of what the guests test. It then adds the load address to the absolute
//! addresses in the image's data, clears `.bss`, sets the exception vectors and a stack, and enters Rust with the
//! MMU off; Rust reads the device tree and switches the MMU on.
#![expect(unsafe_code, reason = "start code, the panic handler's way out, and calls of the guest by symbol")]

use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::{gic, mmu, platform, psci, registers, report, uart};

/// The most vCPUs that a guest of this runtime can have.
pub const MAX_CPUS: usize = 128;

/// Bytes of stack for each vCPU.
const STACK_BYTES: usize = 16 * 1024;

global_asm!(
    r#"
    .section .head, "ax"
    .global _start
_start:
    b       start_primary
    nop
    .quad   0                       // text_offset
    .quad   __image_size
    .quad   0xa                     // flags: little-endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

    .section .text.start, "ax"
    .macro  gather
    // x30 gathers what is in the registers that should be empty.
    .irp    register, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29
    orr     x30, x30, x\register
    .endr
    .endm
    .macro  keep_state record
    // The record: x0..x3, the counter, SCTLR_EL1, CurrentEL, DAIF, SPSel, MPIDR_EL1, ELR_EL1, SPSR_EL1,
    // VBAR_EL1, TTBR0_EL1, TCR_EL1, MAIR_EL1, TPIDR_EL1, and the gathered rest.
    stp     x0, x1, [\record]
    stp     x2, x3, [\record, #16]
    mrs     x9, sctlr_el1
    stp     x20, x9, [\record, #32]
    mrs     x9, CurrentEL
    mrs     x10, daif
    stp     x9, x10, [\record, #48]
    mrs     x9, SPSel
    mrs     x10, mpidr_el1
    stp     x9, x10, [\record, #64]
    mrs     x9, elr_el1
    mrs     x10, spsr_el1
    stp     x9, x10, [\record, #80]
    mrs     x9, vbar_el1
    mrs     x10, ttbr0_el1
    stp     x9, x10, [\record, #96]
    mrs     x9, tcr_el1
    mrs     x10, mair_el1
    stp     x9, x10, [\record, #112]
    mrs     x9, tpidr_el1
    stp     x9, x30, [\record, #128]
    .endm

start_primary:
    mrs     x20, cntpct_el0         // the second instruction: when was the first one?
    gather
    adr     x21, _start
    adrp    x9, __rela_start
    add     x9, x9, :lo12:__rela_start
    adrp    x10, __rela_end
    add     x10, x10, :lo12:__rela_end
1:  cmp     x9, x10
    b.hs    2f
    ldp     x11, x12, [x9], #16
    ldr     x13, [x9], #8
    cmp     w12, #1027              // R_AARCH64_RELATIVE
    b.ne    1b
    add     x13, x13, x21
    str     x13, [x21, x11]
    b       1b
2:  adrp    x9, __bss_start
    add     x9, x9, :lo12:__bss_start
    adrp    x10, __bss_end
    add     x10, x10, :lo12:__bss_end
3:  cmp     x9, x10
    b.hs    4f
    stp     xzr, xzr, [x9], #16
    b       3b
4:  adrp    x9, {entries}
    add     x22, x9, :lo12:{entries}
    keep_state x22
    adrp    x9, exception_vectors
    add     x9, x9, :lo12:exception_vectors
    msr     vbar_el1, x9
    msr     tpidr_el1, xzr
    isb
    adrp    x9, stacks
    add     x9, x9, :lo12:stacks
    mov     x10, #{stack_bytes}
    add     sp, x9, x10
    mov     x29, xzr
    mov     x30, xzr
    mov     x1, x21
    bl      {primary}
    b       .

    .global start_by_affinity
start_by_affinity:
    // PSCI 0.1 has no context id: the index follows from the affinity, 16 vCPUs to a cluster.
    mrs     x20, cntpct_el0
    gather
    mrs     x9, mpidr_el1
    and     x23, x9, #0xf
    ubfx    x9, x9, #8, #8
    add     x23, x23, x9, lsl #4
    b       1f
    .global start_secondary
start_secondary:
    mrs     x20, cntpct_el0
    gather
    // The low byte of x0, the context id, is the vCPU's index; its record and its stack follow from that.
    and     x23, x0, #0xff
1:
    adrp    x9, {entries}
    add     x9, x9, :lo12:{entries}
    mov     x10, #{entry_bytes}
    madd    x22, x23, x10, x9
    keep_state x22
    adrp    x9, exception_vectors
    add     x9, x9, :lo12:exception_vectors
    msr     vbar_el1, x9
    msr     tpidr_el1, x23
    isb
    adrp    x9, stacks
    add     x9, x9, :lo12:stacks
    add     x11, x23, #1
    mov     x10, #{stack_bytes}
    madd    x9, x11, x10, x9
    mov     sp, x9
    mov     x29, xzr
    mov     x30, xzr
    mov     x0, x23
    bl      {secondary}
    b       .

    .section .noinit, "aw", %nobits
    .balign 4096
    .global stacks
stacks:
    .skip   {stack_bytes} * {max_cpus}
    "#,
    entries = sym ENTRIES,
    entry_bytes = const size_of::<Entry>(),
    stack_bytes = const STACK_BYTES,
    max_cpus = const MAX_CPUS,
    primary = sym primary,
    secondary = sym secondary,
);

/// What a vCPU was given at its first instruction.
#[derive(Default)]
#[repr(C)]
pub struct Entry {
    /// x0 to x3.
    pub x: [AtomicU64; 4],
    /// CNTPCT_EL0 at the image's second instruction.
    pub counter: AtomicU64,
    /// SCTLR_EL1.
    pub sctlr: AtomicU64,
    /// CurrentEL.
    pub current_el: AtomicU64,
    /// DAIF.
    pub daif: AtomicU64,
    /// SPSel.
    pub sp_select: AtomicU64,
    /// MPIDR_EL1.
    pub mpidr: AtomicU64,
    /// ELR_EL1.
    pub elr: AtomicU64,
    /// SPSR_EL1.
    pub spsr: AtomicU64,
    /// VBAR_EL1, TTBR0_EL1, TCR_EL1, MAIR_EL1, TPIDR_EL1.
    pub others: [AtomicU64; 5],
    /// x4 to x30 without x20, or-ed together.
    pub rest: AtomicU64,
}

impl Entry {
    const fn new() -> Self {
        Self {
            x: [const { AtomicU64::new(0) }; 4],
            counter: AtomicU64::new(0),
            sctlr: AtomicU64::new(0),
            current_el: AtomicU64::new(0),
            daif: AtomicU64::new(0),
            sp_select: AtomicU64::new(0),
            mpidr: AtomicU64::new(0),
            elr: AtomicU64::new(0),
            spsr: AtomicU64::new(0),
            others: [const { AtomicU64::new(0) }; 5],
            rest: AtomicU64::new(0),
        }
    }
}

static ENTRIES: [Entry; MAX_CPUS] = [const { Entry::new() }; MAX_CPUS];

/// The word that [`psci::start`] leaves for a vCPU.
pub(crate) static WORDS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

static LOAD_ADDRESS: AtomicUsize = AtomicUsize::new(0);

/// What vCPU `cpu` was given at its last start.
#[must_use]
pub fn entry(cpu: usize) -> &'static Entry {
    &ENTRIES[cpu]
}

/// Where the image was loaded.
#[must_use]
pub fn load_address() -> usize {
    LOAD_ADDRESS.load(Ordering::Relaxed)
}

unsafe extern "Rust" {
    safe fn guest_main();
    safe fn guest_secondary(cpu: usize, word: u64);
}

unsafe extern "C" {
    safe fn start_secondary();
    safe fn start_by_affinity();
}

/// Where a secondary vCPU starts, for CPU_ON with its index as the context id.
#[must_use]
pub fn secondary_address() -> u64 {
    start_secondary as *const () as usize as u64
}

/// Where a secondary vCPU starts that is given no context id (PSCI 0.1).
#[must_use]
pub fn address_without_context() -> u64 {
    start_by_affinity as *const () as usize as u64
}

extern "C" fn primary(tree: usize, load_address: usize) -> ! {
    LOAD_ADDRESS.store(load_address, Ordering::Relaxed);
    platform::discover(tree);
    mmu::build();
    mmu::enable();
    guest_main();
    report::done()
}

extern "C" fn secondary(cpu: usize) -> ! {
    mmu::enable();
    guest_secondary(cpu, WORDS[cpu].load(Ordering::SeqCst));
    psci::cpu_off();
    loop {
        registers::wfi();
    }
}

/// The default for guests without secondary vCPUs.
pub fn unexpected_secondary(cpu: usize, _word: u64) {
    report::fail(format_args!("secondary"), format_args!("vCPU {cpu} started but nobody asked for it"));
}

#[panic_handler]
fn panic(information: &core::panic::PanicInfo<'_>) -> ! {
    registers::mask_interrupts();
    uart::break_lock();
    let (file, line) = information.location().map_or(("?", 0), |place| (place.file(), place.line()));
    let cpu = registers::cpu_index();
    report::fail(format_args!("panic"), format_args!("vCPU {cpu} {file}:{line} {}", information.message()));
    report::done()
}

/// Prepares the interrupt controller for this vCPU (and, on the first, for all) and lets interrupts in.
pub fn interrupts_on() {
    if registers::cpu_index() == 0 {
        gic::start_distributor();
    }
    gic::start_cpu();
    registers::unmask_interrupts();
}
