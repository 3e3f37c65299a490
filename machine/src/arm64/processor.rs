//! One processor: how it is set up for guests, how a vCPU is put on it and taken off, and how the guest
//! is entered.
#![expect(unsafe_code, reason = "enters the guest; moves vector registers")]

use core::arch::{asm, global_asm};

use model::arm64::{Cause, Registers, SystemRegisters, Trap, VectorRegisters};

use super::system::{barrier, read, write};

global_asm!(include_str!("vectors.s"), options(raw));
global_asm!(include_str!("boot.s"), options(raw));
global_asm!(include_str!("bytes.s"), options(raw));

/// HCR_EL2 while guests run (Arm ARM D17.2.48).
mod hcr {
    const VM: u64 = 1 << 0;
    const SWIO: u64 = 1 << 1;
    const PTW: u64 = 1 << 2;
    const FMO: u64 = 1 << 3;
    const IMO: u64 = 1 << 4;
    const AMO: u64 = 1 << 5;
    const FB: u64 = 1 << 9;
    const BSU_INNER: u64 = 1 << 10;
    const TWI: u64 = 1 << 13;
    const TWE: u64 = 1 << 14;
    const TID3: u64 = 1 << 18;
    const TSC: u64 = 1 << 19;
    const TIDCP: u64 = 1 << 20;
    const TACR: u64 = 1 << 21;
    const RW: u64 = 1 << 31;
    const TLOR: u64 = 1 << 35;
    const TERR: u64 = 1 << 36;
    /// With waiting instructions trapped, or not (`vwfi=native`).
    pub(super) const fn value(native_wait: bool) -> u64 {
        let wait = if native_wait { 0 } else { TWI | TWE };
        VM | SWIO
            | PTW
            | FMO
            | IMO
            | AMO
            | FB
            | BSU_INNER
            | TID3
            | TSC
            | TIDCP
            | TACR
            | RW
            | TLOR
            | TERR
            | wait
    }
}

/// Sets this processor up for guests of `ipa_bits` of guest address.
pub(crate) fn start(ipa_bits: u8, native_wait: bool) {
    super::foreign::note_lines();
    write!("hcr_el2", hcr::value(native_wait));
    write!("cptr_el2", 0x33ff & !(1 << 10) | 1 << 20 | 1 << 30);
    // Debug, trace, statistical profiling and performance monitors trap; all counters are the guest's
    // share, so that HPMN is never 0.
    let monitors = read!("id_aa64dfr0_el1") >> 8 & 0xf;
    let counters = if matches!(monitors, 0 | 0xf) { 0 } else { read!("pmcr_el0") >> 11 & 0x1f };
    write!("mdcr_el2", counters | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 14 | 1 << 19);
    write!("mdscr_el1", 0);
    write!("hstr_el2", 0);
    write!("hacr_el2", 0);
    write!("cnthctl_el2", 1);
    write!("cnthp_ctl_el2", 0);
    write!("cntv_ctl_el0", 0);
    write!("cntp_ctl_el0", 0);
    write!("vpidr_el2", read!("midr_el1"));
    write!("vtcr_el2", translation_control(ipa_bits));
    fine_grained_traps();
    barrier!("isb");
    barrier!("tlbi alle1");
    barrier!("dsb nsh");
    barrier!("isb");
}

/// Newer parts have more trap controls, of unknown value at reset: all to their most protective one.
fn fine_grained_traps() {
    if read!("id_aa64mmfr1_el1") >> 40 & 0xf != 0 {
        write!("s3_4_c1_c2_2", 0);
    }
    if read!("id_aa64mmfr0_el1") >> 56 & 0xf != 0 {
        write!("s3_4_c1_c1_4", 0);
        write!("s3_4_c1_c1_5", 0);
        write!("s3_4_c1_c1_6", 0);
        write!("s3_4_c3_c1_4", 0);
        write!("s3_4_c3_c1_5", 0);
        if read!("id_aa64pfr0_el1") >> 44 & 0xf != 0 {
            write!("s3_4_c3_c1_6", 0);
        }
    }
    if read!("id_aa64mmfr0_el1") >> 56 & 0xf > 1 {
        write!("s3_4_c3_c1_0", 0);
        write!("s3_4_c3_c1_1", 0);
        write!("s3_4_c3_c1_2", 0);
        write!("s3_4_c3_c1_3", 0);
        write!("s3_4_c3_c1_7", 0);
    }
    if read!("id_aa64pfr0_el1") >> 40 & 0xf != 0 {
        // MPAM2_EL2: memory partitioning is not the guests'.
        write!("s3_4_c10_c5_0", 3 << 48);
    }
}

/// VTCR_EL2: 4 KiB granule, start at level 1, write-back inner-shareable walks, 16-bit VMIDs if there.
fn translation_control(ipa_bits: u8) -> u64 {
    let physical = (read!("id_aa64mmfr0_el1") & 0xf).min(5);
    let wide_vmid = u64::from(wide_vmids());
    let size = 64_u64.saturating_sub(u64::from(ipa_bits));
    1 << 31 | wide_vmid << 19 | physical << 16 | 0b11 << 12 | 0b01 << 10 | 0b01 << 8 | 0b01 << 6 | size
}

/// Domains are told apart by 16 bits in translation caches, and not just 8.
pub(crate) fn wide_vmids() -> bool {
    read!("id_aa64mmfr1_el1") >> 4 & 0xf == 2
}

/// Which kind of processor this is: maker, part and revision (MIDR_EL1).
pub(crate) fn kind() -> u64 {
    read!("midr_el1")
}

/// Bits of physical address (PARange).
pub(crate) fn physical_bits() -> u8 {
    match read!("id_aa64mmfr0_el1") & 0xf {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}

/// The mode in PSTATE.
const MODE: u64 = 0x1f;
/// EL1 with its own stack pointer: where kernels are.
const EL1H: u64 = 5;

/// Only EL0 and EL1, AArch64 or AArch32 at EL0: nothing that safe code stores there may come back as EL2, or make
/// the return itself illegal.
#[inline(never)]
fn check_mode(registers: &mut Registers) {
    if !matches!(registers.pstate & MODE, 0 | 4 | EL1H | 0x10) {
        registers.pstate = registers.pstate & !MODE | EL1H;
    }
}

/// Enters the loaded guest until it traps.
#[inline]
pub(crate) fn run(registers: &mut Registers) -> Trap {
    if registers.pstate & MODE != EL1H {
        check_mode(registers);
    }
    let cause: u64;
    // SAFETY: the guest's stage 2 map is loaded, so it reaches its own memory only; `registers` is exclusively borrowed
    // until it is back, and x19 and x29 are kept.
    unsafe {
        asm!("bl enter_guest", inlateout("x0") core::ptr::from_mut(registers) => cause, clobber_abi("C"),
            out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _, out("x25") _, out("x26") _,
            out("x27") _, out("x28") _);
    }
    let trap = Trap { cause: Cause::Interrupt, syndrome: 0, fault_address: 0, fault_page: 0 };
    if cause == 1 {
        return trap;
    }
    let syndrome = read!("esr_el2");
    if cause != 0 {
        return Trap { cause: Cause::SystemError, syndrome, ..trap };
    }
    let trap = Trap { cause: Cause::Synchronous, syndrome, ..trap };
    // The classes from 32 on have the aborts; to the others the addresses mean nothing.
    if syndrome & 1 << 31 == 0 {
        return trap;
    }
    Trap { fault_address: read!("far_el2"), fault_page: (read!("hpfar_el2") & 0xff_ffff_fff0) << 8, ..trap }
}

/// Puts a vCPU's registers on this processor: all but general registers and the interrupt controller.
///
/// `foreign` says that another vCPU of the same domain ran here last: both may use one ASID for different
/// tables, so what is cached of the other's translations must go. `map` is the value of VTTBR_EL2.
pub(crate) fn load(registers: &Registers, map: u64, foreign: bool) {
    const NO_WALKS: u64 = 1 << 7 | 1 << 23;
    const ASID_TAGGED: u64 = 1;
    let system = &registers.system;
    // No speculative walk may mix one guest's stage 1 with another's stage 2 (A57 1319537, A72 1319367,
    // A76 1165522): walks are off until all is in place.
    write!("tcr_el1", system.tcr_el1 | NO_WALKS);
    barrier!("isb");
    write!("vttbr_el2", map);
    if foreign {
        barrier!("isb");
        barrier!("tlbi vmalle1");
        // Instructions are known by physical addresses, but in caches that have the ASID for a tag (CTR_EL0.L1Ip).
        if read!("ctr_el0") >> 14 & 3 == ASID_TAGGED {
            barrier!("ic iallu");
        }
        barrier!("dsb nsh");
    }
    if read!("id_aa64pfr0_el1") >> 28 & 0xf != 0 {
        // VDISR_EL2 by number: what a guest finds in DISR_EL1.
        write!("s3_4_c12_c1_1", 0);
    }
    write!("vmpidr_el2", system.vmpidr_el2);
    write!("sctlr_el1", system.sctlr_el1);
    write!("ttbr0_el1", system.ttbr0_el1);
    write!("ttbr1_el1", system.ttbr1_el1);
    write!("mair_el1", system.mair_el1);
    write!("amair_el1", system.amair_el1);
    write!("vbar_el1", system.vbar_el1);
    write!("esr_el1", system.esr_el1);
    write!("far_el1", system.far_el1);
    write!("afsr0_el1", system.afsr0_el1);
    write!("afsr1_el1", system.afsr1_el1);
    write!("contextidr_el1", system.contextidr_el1);
    write!("tpidr_el0", system.tpidr_el0);
    write!("tpidrro_el0", system.tpidrro_el0);
    write!("tpidr_el1", system.tpidr_el1);
    write!("cpacr_el1", system.cpacr_el1);
    write!("par_el1", system.par_el1);
    write!("cntkctl_el1", system.cntkctl_el1);
    write!("csselr_el1", system.csselr_el1);
    write!("sp_el0", system.sp_el0);
    write!("sp_el1", system.sp_el1);
    write!("elr_el1", system.elr_el1);
    write!("spsr_el1", system.spsr_el1);
    // FPCR and FPSR by number: this target has no names for them.
    write!("s3_3_c4_c4_0", system.fpcr);
    write!("s3_3_c4_c4_1", system.fpsr);
    load_vectors(&registers.vector);
    write!("cntvoff_el2", registers.timer.offset);
    write!("cntv_cval_el0", registers.timer.compare);
    write!("cntv_ctl_el0", registers.timer.control & 3);
    barrier!("isb");
    write!("tcr_el1", system.tcr_el1);
    barrier!("isb");
}

/// Drops what any processor's caches know of translations of the map with this value of VTTBR_EL2. All of it even for one
/// page: combined entries are known by addresses of the guest's own, which we do not know.
pub(crate) fn flush(map: u64) {
    let loaded = read!("vttbr_el2");
    barrier!("dsb ishst");
    if loaded != map {
        write!("vttbr_el2", map);
        barrier!("isb");
    }
    barrier!("tlbi vmalls12e1is");
    barrier!("dsb ish");
    barrier!("isb");
    if loaded != map {
        write!("vttbr_el2", loaded);
        barrier!("isb");
    }
}

/// Takes a vCPU's registers off this processor; its timer is off then.
pub(crate) fn save(registers: &mut Registers) {
    registers.timer.control = read!("cntv_ctl_el0");
    registers.timer.compare = read!("cntv_cval_el0");
    write!("cntv_ctl_el0", 0);
    barrier!("isb");
    let system = &mut registers.system;
    system.sctlr_el1 = read!("sctlr_el1");
    system.ttbr0_el1 = read!("ttbr0_el1");
    system.ttbr1_el1 = read!("ttbr1_el1");
    system.tcr_el1 = read!("tcr_el1");
    system.mair_el1 = read!("mair_el1");
    system.amair_el1 = read!("amair_el1");
    system.vbar_el1 = read!("vbar_el1");
    system.esr_el1 = read!("esr_el1");
    system.far_el1 = read!("far_el1");
    system.afsr0_el1 = read!("afsr0_el1");
    system.afsr1_el1 = read!("afsr1_el1");
    system.contextidr_el1 = read!("contextidr_el1");
    system.tpidr_el0 = read!("tpidr_el0");
    system.tpidrro_el0 = read!("tpidrro_el0");
    system.tpidr_el1 = read!("tpidr_el1");
    system.cpacr_el1 = read!("cpacr_el1");
    system.par_el1 = read!("par_el1");
    system.cntkctl_el1 = read!("cntkctl_el1");
    system.csselr_el1 = read!("csselr_el1");
    system.sp_el0 = read!("sp_el0");
    system.sp_el1 = read!("sp_el1");
    system.elr_el1 = read!("elr_el1");
    system.spsr_el1 = read!("spsr_el1");
    system.fpcr = read!("s3_3_c4_c4_0");
    system.fpsr = read!("s3_3_c4_c4_1");
    save_vectors(&mut registers.vector);
}

/// What taking an exception to EL1 reads and writes, from the processor.
pub(crate) fn read_exception_registers(system: &mut SystemRegisters) {
    system.sctlr_el1 = read!("sctlr_el1");
    system.vbar_el1 = read!("vbar_el1");
    system.esr_el1 = read!("esr_el1");
    system.far_el1 = read!("far_el1");
    system.elr_el1 = read!("elr_el1");
    system.spsr_el1 = read!("spsr_el1");
}

/// And back to it.
pub(crate) fn write_exception_registers(system: &SystemRegisters) {
    write!("esr_el1", system.esr_el1);
    write!("far_el1", system.far_el1);
    write!("elr_el1", system.elr_el1);
    write!("spsr_el1", system.spsr_el1);
}

/// Sixteen instructions, one for each pair of vector registers.
macro_rules! vector_pairs {
    ($instruction:literal) => {
        concat!(
            ".arch_extension fp\n.arch_extension simd\n",
            $instruction,
            " q0, q1, [{0}]\n",
            $instruction,
            " q2, q3, [{0}, #32]\n",
            $instruction,
            " q4, q5, [{0}, #64]\n",
            $instruction,
            " q6, q7, [{0}, #96]\n",
            $instruction,
            " q8, q9, [{0}, #128]\n",
            $instruction,
            " q10, q11, [{0}, #160]\n",
            $instruction,
            " q12, q13, [{0}, #192]\n",
            $instruction,
            " q14, q15, [{0}, #224]\n",
            $instruction,
            " q16, q17, [{0}, #256]\n",
            $instruction,
            " q18, q19, [{0}, #288]\n",
            $instruction,
            " q20, q21, [{0}, #320]\n",
            $instruction,
            " q22, q23, [{0}, #352]\n",
            $instruction,
            " q24, q25, [{0}, #384]\n",
            $instruction,
            " q26, q27, [{0}, #416]\n",
            $instruction,
            " q28, q29, [{0}, #448]\n",
            $instruction,
            " q30, q31, [{0}, #480]\n",
        )
    };
}

fn load_vectors(vectors: &VectorRegisters) {
    // SAFETY: reads 512 bytes of `vectors`; the hypervisor itself is compiled without vector registers.
    unsafe { asm!(vector_pairs!("ldp"), in(reg) vectors, options(nostack, readonly)) };
}

fn save_vectors(vectors: &mut VectorRegisters) {
    // SAFETY: writes the 512 bytes of `vectors`.
    unsafe { asm!(vector_pairs!("stp"), in(reg) vectors, options(nostack)) };
}
