//! Running instructions from where there are none.

use guests::exception::{CLASS_INSTRUCTION_ABORT, CLASS_PC_ALIGNMENT, CLASS_UNKNOWN, Fault, call_at};
use guests::{gic, mmu, platform, report, uart};

use super::faults;

/// Lets instructions be fetched from `address` as far as stage 1 is concerned, and calls it.
fn call(address: u64) -> Option<Fault> {
    let gib = (address >> 30) as usize;
    let is_memory =
        platform::get().memory[..platform::get().banks].iter().any(|(base, _)| base >> 30 == address >> 30);
    if !is_memory {
        mmu::set_block(gib, mmu::Block::DeviceWithFetch);
    }
    let fault = call_at(address, 0).err();
    if !is_memory {
        mmu::set_block(gib, mmu::Block::Device);
    }
    fault
}

pub(super) fn all() {
    let aborts = [CLASS_INSTRUCTION_ABORT];
    for (name, address) in [
        ("uart", uart::register(0) as u64),
        ("gicd", gic::distributor(0) as u64),
        ("host_uart", 0x0900_0000),
        ("host_gic", 0x0800_0000),
        ("null", 0),
        ("hole", 0x3_0000_0000),
        ("high", 0xff_ffff_f000),
    ] {
        let fault = call(address);
        faults(format_args!("fetch.{name}"), fault, &aborts);
        let at = fault.map_or(0, |fault| fault.far);
        report::equal(format_args!("fetch.{name}.fault_address"), at, address);
    }
    for address in [0x5000_0000u64, 0x6000_0000, 0x7fff_f000] {
        if !platform::get().is_memory(address) {
            faults(format_args!("fetch.foreign_memory.{address:#x}"), call(address), &aborts);
        }
    }
    // The CPU interface of a GICv2 is left out: stage 2 lets the guest at the hardware, whose registers might make
    // a program of their own.
    let odd = call_at(guests::boot::load_address() as u64 + 2, 0).err();
    faults("fetch.unaligned", odd, &[CLASS_PC_ALIGNMENT]);
    let unmapped = call_at(0x00ff_0000_0000_0000, 0).err();
    faults("fetch.no_stage_1", unmapped, &[CLASS_INSTRUCTION_ABORT, CLASS_UNKNOWN]);
}
