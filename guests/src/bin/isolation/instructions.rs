//! Instructions of EL2, of debug, of the caches.
#![expect(unsafe_code, reason = "instructions that a guest may not execute")]

use core::arch::asm;

use guests::exception::{CLASS_UNKNOWN, expect_fault};
use guests::{exception, report};

use super::note;

/// The instruction is UNDEFINED to this guest.
macro_rules! undefined {
    ($($name:literal = $instruction:literal;)*) => {$(
        let fault = expect_fault(|| {
            // SAFETY: refused; were it not, that is the finding.
            unsafe { asm!($instruction, inout("x0") 0u64 => _, out("x1") _, options(nostack)) };
        });
        report::equal(concat!("undefined.", $name), fault.map_or(u64::MAX, |fault| fault.esr >> 26), CLASS_UNKNOWN);
    )*};
}

/// The instruction is carried out, or does nothing, or is refused, and the guest goes on.
macro_rules! survives {
    ($($name:literal = $instruction:literal;)*) => {$(
        let fault = expect_fault(|| {
            // SAFETY: registers without effect on memory, or maintenance that loses nothing.
            unsafe { asm!($instruction, inout("x0") 0u64 => _, out("x1") _, options(nostack)) };
        });
        note(format_args!("survives.{} {:#x}", $name, fault.map_or(0, |fault| fault.esr)));
        report::check(concat!("survives.", $name), fault.is_none_or(|fault| fault.class() == CLASS_UNKNOWN));
    )*};
}

pub(super) fn all() {
    hypervisor_registers();
    hypervisor_instructions();
    debug();
    monitors();
    caches();
    own_translation();
    report::equal("no_system_error", exception::errors(), 0);
}

fn hypervisor_registers() {
    undefined! {
        "hcr_el2.read" = "mrs x0, hcr_el2";
        "hcr_el2.write" = "msr hcr_el2, x0";
        "vttbr_el2.write" = "msr vttbr_el2, x0";
        "vtcr_el2.write" = "msr vtcr_el2, x0";
        "ttbr0_el2.write" = "msr ttbr0_el2, x0";
        "sctlr_el2.read" = "mrs x0, sctlr_el2";
        "sctlr_el2.write" = "msr sctlr_el2, x0";
        "vbar_el2.write" = "msr vbar_el2, x0";
        "elr_el2.write" = "msr elr_el2, x0";
        "spsr_el2.write" = "msr spsr_el2, x0";
        "esr_el2.read" = "mrs x0, esr_el2";
        "far_el2.read" = "mrs x0, far_el2";
        "hpfar_el2.read" = "mrs x0, hpfar_el2";
        "tpidr_el2.read" = "mrs x0, tpidr_el2";
        "tpidr_el2.write" = "msr tpidr_el2, x0";
        "vmpidr_el2.write" = "msr vmpidr_el2, x0";
        "vpidr_el2.write" = "msr vpidr_el2, x0";
        "mdcr_el2.write" = "msr mdcr_el2, x0";
        "cptr_el2.write" = "msr cptr_el2, x0";
        "hstr_el2.write" = "msr hstr_el2, x0";
        "cnthctl_el2.write" = "msr cnthctl_el2, x0";
        "cntvoff_el2.write" = "msr cntvoff_el2, x0";
        "cnthp_ctl_el2.write" = "msr cnthp_ctl_el2, x0";
        "cnthp_cval_el2.write" = "msr cnthp_cval_el2, x0";
        "sp_el1.read" = "mrs x0, sp_el1";
        "sp_el2.write" = "msr S3_6_C4_C1_0, x0";
        "ich_hcr_el2.write" = "msr S3_4_C12_C11_0, x0";
        "ich_vtr_el2.read" = "mrs x0, S3_4_C12_C11_1";
        "ich_lr0_el2.write" = "msr S3_4_C12_C12_0, x0";
        "icc_sre_el2.write" = "msr S3_4_C12_C9_5, x0";
        "scr_el3.read" = "mrs x0, scr_el3";
        "sctlr_el3.write" = "msr sctlr_el3, x0";
        "sctlr_el12.read" = "mrs x0, S3_5_C1_C0_0";
        "cntv_ctl_el02.read" = "mrs x0, S3_5_C14_C3_1";
    }
}

fn hypervisor_instructions() {
    undefined! {
        "tlbi.alle1" = "tlbi alle1";
        "tlbi.alle1is" = "tlbi alle1is";
        "tlbi.alle2" = "tlbi alle2";
        "tlbi.alle2is" = "tlbi alle2is";
        "tlbi.alle3" = "tlbi alle3";
        "tlbi.vae2" = "tlbi vae2, x0";
        "tlbi.vmalls12e1" = "tlbi vmalls12e1";
        "tlbi.vmalls12e1is" = "tlbi vmalls12e1is";
        "tlbi.ipas2e1" = "tlbi ipas2e1, x0";
        "tlbi.ipas2e1is" = "tlbi ipas2e1is, x0";
        "at.s12e1r" = "at s12e1r, x0";
        "at.s12e0w" = "at s12e0w, x0";
        "at.s1e2r" = "at s1e2r, x0";
        "at.s1e3w" = "at s1e3w, x0";
        "udf" = "udf #0";
        "dcps2" = ".inst 0xd4a00002";
        "dcps3" = ".inst 0xd4a00003";
        "hlt" = "hlt #0xf000";
    }
    // ERET with an illegal return state (EL2) sets PSTATE.IL; it stays at EL1.
    let fault = illegal_return();
    report::equal("illegal_return_to_el2", fault.map_or(u64::MAX, |fault| fault.esr >> 26), 0x0e);
}

fn illegal_return() -> Option<exception::Fault> {
    let mut state = 0u64;
    let fault = expect_fault(|| {
        // SAFETY: the return is illegal, so PSTATE.IL is set and the instruction at the return address faults at this
        // level; the handler clears IL and goes on behind it.
        unsafe {
            asm!("adr x0, 33f", "msr elr_el1, x0", "mov x0, #0x3c9", "msr spsr_el1, x0", "isb", "eret", "33: nop",
                 "mrs {0}, spsr_el1", lateout(reg) state, out("x0") _, options(nostack))
        };
    });
    note(format_args!("illegal return left spsr {state:#x}"));
    fault
}

fn debug() {
    survives! {
        "mdscr_el1.read" = "mrs x0, mdscr_el1";
        "mdscr_el1.write" = "msr mdscr_el1, x0";
        "oslar_el1.write" = "msr oslar_el1, x0";
        "oslsr_el1.read" = "mrs x0, oslsr_el1";
        "osdlr_el1.write" = "msr osdlr_el1, x0";
        "mdccsr_el0.read" = "mrs x0, mdccsr_el0";
        "dbgbvr0_el1.write" = "msr dbgbvr0_el1, x0";
        "dbgbcr0_el1.write" = "msr dbgbcr0_el1, x0";
        "dbgwvr0_el1.write" = "msr dbgwvr0_el1, x0";
        "dbgwcr0_el1.write" = "msr dbgwcr0_el1, x0";
        "dbgbcr15_el1.write" = "msr dbgbcr15_el1, x0";
        "mdrar_el1.read" = "mrs x0, mdrar_el1";
        "dbgclaimset_el1.write" = "msr dbgclaimset_el1, x0";
        "dbgauthstatus_el1.read" = "mrs x0, dbgauthstatus_el1";
        "dbgdtr_el0.read" = "mrs x0, S2_3_C0_C4_0";
        "dbgdtrtx_el0.write" = "msr S2_3_C0_C5_0, x0";
        "dcps1" = ".inst 0xd4a00001";
    }
}

fn monitors() {
    survives! {
        "pmcr_el0.read" = "mrs x0, pmcr_el0";
        "pmcr_el0.write" = "msr pmcr_el0, x0";
        "pmcntenset_el0.write" = "msr pmcntenset_el0, x0";
        "pmccntr_el0.read" = "mrs x0, pmccntr_el0";
        "pmccfiltr_el0.write" = "msr pmccfiltr_el0, x0";
        "pmselr_el0.write" = "msr pmselr_el0, x0";
        "pmxevtyper_el0.write" = "msr pmxevtyper_el0, x0";
        "pmxevcntr_el0.read" = "mrs x0, pmxevcntr_el0";
        "pmevcntr0_el0.read" = "mrs x0, pmevcntr0_el0";
        "pmuserenr_el0.read" = "mrs x0, pmuserenr_el0";
        "pmuserenr_el0.write" = "msr pmuserenr_el0, x0";
        "pmintenset_el1.write" = "msr pmintenset_el1, x0";
        "actlr_el1.read" = "mrs x0, actlr_el1";
        "actlr_el1.write" = "msr actlr_el1, x0";
        "cpuectlr_el1.read" = "mrs x0, S3_1_C15_C2_1";
        "cpuactlr_el1.read" = "mrs x0, S3_1_C15_C2_0";
        "l2ctlr_el1.read" = "mrs x0, S3_1_C11_C0_2";
        "cbar_el1.read" = "mrs x0, S3_1_C15_C3_0";
    }
}

fn caches() {
    survives! {
        "dc_csw" = "dc csw, x0";
        "dc_cisw" = "dc cisw, x0";
        "dc_isw" = "dc isw, x0";
        "ic_iallu" = "ic iallu";
        "ic_ialluis" = "ic ialluis";
        "csselr_el1.write" = "msr csselr_el1, x0";
        "ccsidr_el1.read" = "mrs x0, ccsidr_el1";
        "clidr_el1.read" = "mrs x0, clidr_el1";
    }
    for set in 0..64u64 {
        let fault = expect_fault(|| {
            // SAFETY: cleaning and invalidating a set loses nothing.
            unsafe { asm!("dc cisw, {}", in(reg) set << 6, options(nostack)) };
        });
        if fault.is_some() {
            break;
        }
    }
    report::check("survives.set_way_flood", true);
}

/// Address translation and TLB maintenance of the guest's own are its right.
fn own_translation() {
    let result: u64;
    let probe = &raw const result_place as u64;
    // SAFETY: translates an address of the guest's own.
    unsafe {
        asm!("at s1e1r, {0}", "isb", "mrs {1}, par_el1", in(reg) probe, out(reg) result, options(nostack))
    };
    report::equal("own.at_s1e1r", result & 1, 0);
    report::equal("own.at_s1e1r_address", result & 0xffff_ffff_f000, probe & !0xfff);
    // SAFETY: drops cached translations of the guest's own.
    unsafe { asm!("tlbi vmalle1", "tlbi vmalle1is", "tlbi aside1, xzr", "dsb sy", "isb", options(nostack)) };
    report::check("own.tlbi", true);
}

#[expect(non_upper_case_globals, reason = "a place, not a constant")]
static result_place: u64 = 0;
