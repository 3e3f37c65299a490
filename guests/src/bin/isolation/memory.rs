//! Addresses that are not this guest's, and accesses to its own devices in unusual shapes.
#![expect(unsafe_code, reason = "loads and stores of unusual shapes")]

use core::arch::asm;

use guests::exception::{CLASS_DATA_ABORT, CLASS_UNKNOWN, Fault, expect_fault, probe_read};
use guests::{gic, mmio, mmu, platform, report, uart};

use super::{faults, note};

pub(super) fn all() {
    foreign();
    beyond();
    own_devices();
    shapes();
    more_shapes();
}

/// Whether the guest has been given what lies at `address`.
fn is_own(address: u64) -> bool {
    let platform = platform::get();
    let within =
        |base: usize, size: usize| base != 0 && (base as u64..(base + size) as u64).contains(&address);
    let first = if platform.gic.version == 3 { 0x1_0000 } else { 0x1000 };
    platform.is_memory(address)
        || within(platform.uart.base, 0x1000)
        || within(platform.gic.distributor, first)
        || within(platform.gic.second, platform.gic.second_size)
}

/// The host's devices and memory, holes, and what a hypervisor may keep for itself.
fn foreign() {
    let addresses: [u64; 34] = [
        0,
        0x1000,
        0x0200_0000,
        0x0300_0000,
        0x0300_3000,
        0x0320_0000,
        0x0400_0000,
        0x0800_0000,
        0x0801_0000,
        0x0803_0000,
        0x0808_0000,
        0x080a_0000,
        0x0900_0000,
        0x0901_0000,
        0x0902_0000,
        0x0903_0000,
        0x0a00_0000,
        0x1000_0000,
        0x2200_1000,
        0x3800_0000,
        0x3900_0000,
        0x3eff_0000,
        0x3fff_f000,
        0x4000_0000,
        0x4020_0000,
        0x5000_0000,
        0x6000_0000,
        0x7fff_f000,
        0x8000_0000,
        0xbfff_f000,
        0xffff_f000,
        0x1_0000_0000,
        0x2_0000_0000,
        0x40_1000_0000,
    ];
    for address in addresses.into_iter().filter(|address| !is_own(*address)) {
        let at = address as usize;
        let mut value = 0;
        let fault = expect_fault(|| value = mmio::read32(at));
        faults(format_args!("foreign.read.{address:#x}"), fault, &[CLASS_DATA_ABORT]);
        faults(
            format_args!("foreign.write.{address:#x}"),
            expect_fault(|| mmio::write32(at, 0)),
            &[CLASS_DATA_ABORT],
        );
        report::equal("foreign.read_gives_nothing", value, 0);
    }
    far_register();
    edges();
}

/// The fault tells the address.
fn far_register() {
    let at = 0x0900_0018usize;
    if !is_own(at as u64) {
        let fault = probe_read(at).err();
        report::equal("foreign.fault_address", fault.map_or(0, |fault| fault.far), at as u64);
        let write = expect_fault(|| mmio::write32(at, 0));
        note(format_args!(
            "foreign write bit of the syndrome {}",
            write.map_or(9, |fault| fault.esr >> 6 & 1)
        ));
    }
}

/// Just below and just above the memory.
fn edges() {
    let platform = platform::get();
    for (base, size) in &platform.memory[..platform.banks] {
        for address in [base.wrapping_sub(4), base.wrapping_sub(4096), base + size, base + size + 4096] {
            if address < 1 << 40 && !is_own(address) {
                let fault = probe_read(address as usize).err();
                faults(format_args!("edge.{address:#x}"), fault, &[CLASS_DATA_ABORT]);
            }
        }
        // The last word is there.
        let last = (base + size - 4) as usize;
        let fault = probe_read(last).err();
        report::check("edge.last_word_is_there", fault.is_none());
    }
}

/// Above 40 bits; beyond the size of physical addresses stage 1 itself refuses.
fn beyond() {
    for address in [0x7f_ffff_f000u64, 0x80_0000_0000, 0xff_ffff_f000] {
        let fault = probe_read(address as usize).err();
        faults(format_args!("beyond.{address:#x}"), fault, &[CLASS_DATA_ABORT]);
    }
    // These go to the hypervisor through a block of stage 1 that names an address far above.
    for bits in [40u32, 41, 42, 43, 44, 45, 46, 47] {
        let fault = mmu::with_far_block(1 << bits, |virtual_address| probe_read(virtual_address).err());
        faults(format_args!("beyond.{bits}_bits"), fault, &[CLASS_DATA_ABORT]);
    }
}

/// Own devices: registers that do not exist, widths that do not fit. Which fault, or zero, is the device's affair;
/// the guest goes on.
fn own_devices() {
    let bases = [
        ("gicd", gic::distributor(0), 0x1000usize),
        ("gic2", platform::get().gic.second, 0x1000),
        ("uart", uart::register(0), 0x1000),
    ];
    for (name, base, size) in bases {
        if base == 0 {
            continue;
        }
        let (mut zeros, mut values, mut aborts, mut others) = (0, 0, 0, 0);
        for offset in (0..size).step_by(4) {
            // The acknowledge register and the data register have effects.
            if (name == "gic2" && platform::get().gic.version == 2 && offset == 0xc)
                || (name == "uart" && offset == 0)
            {
                continue;
            }
            let mut value = 0;
            match expect_fault(|| value = mmio::read32(base + offset)) {
                None if value == 0 => zeros += 1,
                None => values += 1,
                Some(fault) if fault.class() == CLASS_DATA_ABORT => aborts += 1,
                Some(_) => others += 1,
            }
        }
        note(format_args!("{name} 32-bit reads: {zeros} zero, {values} not zero, {aborts} aborts"));
        report::equal(format_args!("own.{name}.read_all_words"), others, 0);
        odd_widths(name, base);
    }
}

fn odd_widths(name: &str, base: usize) {
    let mut odd = 0;
    let mut seen = [0u32; 3];
    for offset in [0usize, 4, 8, 0x18, 0x100, 0x104, 0x400, 0x800, 0xc00, 0xff8] {
        if name == "uart" && offset == 0 || platform::get().gic.version == 2 && name == "gic2" {
            continue;
        }
        let probes: [Option<Fault>; 3] = [
            expect_fault(|| {
                let _ = mmio::read64(base + (offset & !7));
            }),
            expect_fault(|| {
                let _ = mmio::read16(base + offset);
            }),
            expect_fault(|| {
                let _ = mmio::read8(base + offset + 1);
            }),
        ];
        for (slot, probe) in seen.iter_mut().zip(probes) {
            odd += u32::from(probe.is_some_and(|fault| fault.class() != CLASS_DATA_ABORT));
            *slot += u32::from(probe.is_some());
        }
    }
    note(format_args!("{name} aborts of 64, 16 and 8 bits: {seen:?}"));
    report::equal(format_args!("own.{name}.odd_widths"), odd, 0);
}

/// An access of an unusual shape to an emulated register: done, or a fault; alive in any case.
macro_rules! shape {
    ($name:literal, $address:expr, $instruction:literal) => {{
        let fault = expect_fault(|| {
            // SAFETY: at worst writes zero to a device register; the registers that change are declared.
            unsafe {
                asm!($instruction, inout("x9") $address => _, out("x10") _, out("x11") _, out("x12") _,
                     options(nostack))
            };
        });
        shape($name, fault);
    }};
}

fn shape(name: &str, fault: Option<Fault>) {
    match fault {
        None => note(format_args!("shape.{name} is carried out")),
        Some(fault) => note(format_args!("shape.{name} esr {:#x}", fault.esr)),
    }
    let good = fault.is_none_or(|fault| matches!(fault.class(), CLASS_DATA_ABORT | CLASS_UNKNOWN));
    report::check(format_args!("shape.{name}"), good);
}

/// Instructions for which the architecture gives the hypervisor no syndrome (ISV = 0), and unaligned ones.
fn shapes() {
    let base = gic::distributor(gic::ISENABLER + 4);
    let typer = gic::distributor(gic::TYPER);
    shape!("pair_load", base, "ldp w10, w11, [x9]");
    shape!("pair_store", base, "stp wzr, wzr, [x9]");
    shape!("pair_load_64", base, "ldp x10, x11, [x9]");
    shape!("post_index_load", typer, "ldr w10, [x9], #4");
    shape!("pre_index_load", typer, "ldr w10, [x9, #0]!");
    shape!("post_index_store", base, "str wzr, [x9], #4");
    shape!("exclusive_load", typer, "ldxr w10, [x9]");
    shape!("exclusive_store", base, "stxr w11, wzr, [x9]");
    shape!("acquire_load", typer, "ldar w10, [x9]");
    shape!("release_store", base, "stlr wzr, [x9]");
    shape!("signed_load", typer, "ldrsw x10, [x9]");
}

/// Cache maintenance on devices, unaligned accesses, and shapes at addresses of others.
fn more_shapes() {
    let base = gic::distributor(gic::ISENABLER + 4);
    let typer = gic::distributor(gic::TYPER);
    shape!("zero_line", uart::register(0x100), "dc zva, x9");
    shape!("clean_line", uart::register(0x100), "dc cvac, x9");
    shape!("invalidate_line", uart::register(0x100), "dc ivac, x9");
    shape!("invalidate_code", uart::register(0x100), "ic ivau, x9");
    shape!("prefetch", uart::register(0x100), "prfm pldl1keep, [x9]");
    shape!("unaligned_load", typer + 1, "ldr w10, [x9]");
    shape!("unaligned_store", base + 2, "str wzr, [x9]");
    shape!("page_edge_load", gic::distributor(0xffe), "ldr w10, [x9]");
    shape!("page_edge_pair", gic::distributor(0xffc), "ldp w10, w11, [x9]");
    shape!("foreign_pair_load", 0x0900_0000usize, "ldp w10, w11, [x9]");
    shape!("foreign_pair_store", 0x0900_0000usize, "stp wzr, wzr, [x9]");
    shape!("foreign_exclusive", 0x0900_0000usize, "ldxr w10, [x9]");
    shape!("foreign_zero_line", 0x0900_0000usize, "dc zva, x9");
    shape!("foreign_invalidate_line", 0x0900_0000usize, "dc ivac, x9");
}
