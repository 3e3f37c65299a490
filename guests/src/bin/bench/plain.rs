//! Operations that trap and return.
#![expect(unsafe_code, reason = "the sequences are assembly")]

use core::arch::asm;

use guests::exception::expect_fault;
use guests::{gic, platform, psci, uart};

use super::sample;

/// The ticks that an operation takes, with these values in x0, x1 and x16.
macro_rules! ticks {
    ($operation:literal, $x0:expr, $x1:expr, $x16:expr) => {{
        let (start, end): (u64, u64);
        // SAFETY: by the conventions of HVC and SMC no more than x0 to x17 change, all of which are declared; the
        // addresses are those of device registers.
        unsafe {
            asm!(
                "isb",
                "mrs x20, cntvct_el0",
                $operation,
                "mrs x21, cntvct_el0",
                out("x20") start, out("x21") end,
                inout("x0") $x0 => _, inout("x1") $x1 => _, inout("x16") $x16 => _,
                inout("x2") 0u64 => _, inout("x3") 0u64 => _,
                out("x4") _, out("x5") _, out("x6") _, out("x7") _, out("x8") _, out("x9") _, out("x10") _,
                out("x11") _, out("x12") _, out("x13") _, out("x14") _, out("x15") _, out("x17") _,
                options(nostack)
            );
        }
        (end - start).saturating_sub(1)
    }};
}

/// The same number for a call of the firmware.
fn call(id: u64, argument: u64) -> u64 {
    ticks!("hvc #0", id, argument, 0u64)
}

fn load(address: usize) -> u64 {
    ticks!("ldr w0, [x1]", 0u64, address, 0u64)
}

fn store(address: usize, value: u32) -> u64 {
    ticks!("str w0, [x1]", value, address, 0u64)
}

pub(super) fn all() {
    hypercalls();
    firmware();
    registers();
    devices();
}

fn hypercalls() {
    // On a bare machine nobody answers them.
    let version = || {
        let _ticks = ticks!("hvc #0xea1", 0u64, 0u64, 17u64);
    };
    if expect_fault(version).is_some() {
        return;
    }
    sample("hvc.xen_version", || ticks!("hvc #0xea1", 0u64, 0u64, 17u64));
    sample("hvc.get_features", || {
        let mut features = [0u32; 2];
        ticks!("hvc #0xea1", 6u64, features.as_mut_ptr(), 17u64)
    });
    sample("hvc.bad_number", || ticks!("hvc #0xea1", 0u64, 0u64, 100u64));
    sample("sched.yield_alone", || ticks!("hvc #0xea1", 0u64, 0u64, 29u64));
}

fn firmware() {
    sample("psci.version", || call(psci::VERSION, 0));
    let own = platform::get().affinities[0];
    sample("psci.affinity_info", || call(psci::AFFINITY_INFO, own));
    sample("smccc.version", || call(0x8000_0000, 0));
    sample("smccc.arch_features", || call(0x8000_0001, 0x8000_8000));
}

fn registers() {
    sample("sysreg.id_aa64mmfr0", || ticks!("mrs x0, id_aa64mmfr0_el1", 0u64, 0u64, 0u64));
    sample("sysreg.id_aa64zfr0", || ticks!("mrs x0, S3_0_C0_C4_4", 0u64, 0u64, 0u64));
    sample("sysreg.actlr", || ticks!("mrs x0, actlr_el1", 0u64, 0u64, 0u64));
    sample("sysreg.cntp_ctl_rd", || ticks!("mrs x0, cntp_ctl_el0", 0u64, 0u64, 0u64));
    sample("sysreg.cntp_tval_wr", || ticks!("msr cntp_tval_el0, x0", 1_000_000_000u64, 0u64, 0u64));
    sample("sysreg.cntv_set", || ticks!("msr cntv_cval_el0, x0", u64::MAX, 0u64, 0u64));
    sample("tlbi.vmalle1is", || ticks!("tlbi vmalle1is", 0u64, 0u64, 0u64));
}

fn devices() {
    let spi = 40usize;
    sample("mmio.gicd_ctlr_rd", || load(gic::distributor(gic::CTLR)));
    sample("mmio.gicd_typer_rd", || load(gic::distributor(gic::TYPER)));
    sample("mmio.gicd_isenabler_rd", || load(gic::distributor(gic::ISENABLER + 4)));
    sample("mmio.gicd_isenabler_wr", || store(gic::distributor(gic::ISENABLER + 4), 1 << (spi % 32)));
    sample("mmio.gicd_ipriorityr_rd", || load(gic::distributor(gic::IPRIORITYR + spi)));
    gic::disable(spi as u32);
    if gic::version() == 3 {
        let frame = gic::redistributor(0);
        sample("mmio.gicr_waker_rd", || load(frame + gic::GICR_WAKER));
        sample("mmio.gicr_typer_rd", || load(frame + gic::GICR_TYPER));
        sample("mmio.gicr_isenabler_wr", || store(frame + 0x1_0000 + gic::ISENABLER, 1));
    }
    sample("mmio.vpl011_fr_rd", || load(uart::register(uart::FR)));
    sample("mmio.vpl011_imsc_wr", || store(uart::register(uart::IMSC), 0));
}
