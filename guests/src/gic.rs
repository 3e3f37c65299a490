//! The interrupt controller, GICv2 or GICv3 as the tree says, with one face (Arm IHI 0048, IHI 0069).
//!
//! Two security states do not matter here: a guest sees the non-secure side, where everything is group 1.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::boot::MAX_CPUS;
use crate::{mmio, platform, registers};

/// GICD_CTLR.
pub const CTLR: usize = 0x000;
/// GICD_TYPER.
pub const TYPER: usize = 0x004;
/// GICD_IIDR.
pub const IIDR: usize = 0x008;
/// GICD_IGROUPR.
pub const IGROUPR: usize = 0x080;
/// GICD_ISENABLER.
pub const ISENABLER: usize = 0x100;
/// GICD_ICENABLER.
pub const ICENABLER: usize = 0x180;
/// GICD_ISPENDR.
pub const ISPENDR: usize = 0x200;
/// GICD_ICPENDR.
pub const ICPENDR: usize = 0x280;
/// GICD_ISACTIVER.
pub const ISACTIVER: usize = 0x300;
/// GICD_ICACTIVER.
pub const ICACTIVER: usize = 0x380;
/// GICD_IPRIORITYR.
pub const IPRIORITYR: usize = 0x400;
/// GICD_ITARGETSR (GICv2).
pub const ITARGETSR: usize = 0x800;
/// GICD_ICFGR.
pub const ICFGR: usize = 0xc00;
/// GICD_SGIR (GICv2).
pub const SGIR: usize = 0xf00;
/// GICD_IROUTER (GICv3).
pub const IROUTER: usize = 0x6000;
/// GICR_TYPER.
pub const GICR_TYPER: usize = 0x008;
/// GICR_WAKER.
pub const GICR_WAKER: usize = 0x014;

const GICR_STRIDE: usize = 0x2_0000;
const GICR_SGI_FRAME: usize = 0x1_0000;

const GICC_CTLR: usize = 0x00;
const GICC_PMR: usize = 0x04;
const GICC_BPR: usize = 0x08;
const GICC_IAR: usize = 0x0c;
const GICC_EOIR: usize = 0x10;
const GICC_RPR: usize = 0x14;
const GICC_HPPIR: usize = 0x18;
const GICC_DIR: usize = 0x1000;

/// The INTID that means "nothing is pending".
pub const SPURIOUS: u32 = 1023;

static REDISTRIBUTORS: [AtomicUsize; MAX_CPUS] = [const { AtomicUsize::new(0) }; MAX_CPUS];

/// Whom an SGI is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The vCPU with this index.
    Cpu(usize),
    /// All others.
    Others,
    /// The sender itself, by the architecture's own way of saying so where there is one.
    Own,
}

/// 2 or 3.
#[inline(always)]
#[must_use]
pub fn version() -> u32 {
    platform::get().gic.version
}

/// The address of a distributor register.
#[inline(always)]
#[must_use]
pub fn distributor(offset: usize) -> usize {
    platform::get().gic.distributor + offset
}

/// The address of a CPU interface register (GICv2).
#[must_use]
pub fn interface(offset: usize) -> usize {
    platform::get().gic.second + offset
}

/// The redistributor of vCPU `cpu` (GICv3): the one whose GICR_TYPER names its affinity; 0 if there is none.
#[must_use]
pub fn redistributor(cpu: usize) -> usize {
    let known = REDISTRIBUTORS[cpu].load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let affinity = platform::get().affinities[cpu];
    let wanted = affinity & 0xff_ffff | (affinity >> 32 & 0xff) << 24;
    let gic = &platform::get().gic;
    let mut frame = gic.second;
    while frame < gic.second + gic.second_size {
        let kind = mmio::read64(frame + GICR_TYPER);
        if kind >> 32 == wanted {
            REDISTRIBUTORS[cpu].store(frame, Ordering::Relaxed);
            return frame;
        }
        if kind & 1 << 4 != 0 {
            break;
        }
        frame += GICR_STRIDE;
    }
    0
}

/// The address of the register bank in which vCPU `cpu` finds INTID `intid`.
fn bank(cpu: usize, intid: u32) -> usize {
    if version() == 3 && intid < 32 { redistributor(cpu) + GICR_SGI_FRAME } else { distributor(0) }
}

fn bit(register: usize, intid: u32) -> (usize, u32) {
    let base = bank(registers::cpu_index(), intid);
    (base + register + (intid / 32 * 4) as usize, 1 << (intid % 32))
}

fn set_bit(register: usize, intid: u32) {
    let (address, mask) = bit(register, intid);
    mmio::write32(address, mask);
}

fn get_bit(register: usize, intid: u32) -> bool {
    let (address, mask) = bit(register, intid);
    mmio::read32(address) & mask != 0
}

/// Enables `intid`.
pub fn enable(intid: u32) {
    set_bit(ISENABLER, intid);
}

/// Disables `intid`.
pub fn disable(intid: u32) {
    set_bit(ICENABLER, intid);
}

/// Whether `intid` is enabled.
#[must_use]
pub fn is_enabled(intid: u32) -> bool {
    get_bit(ISENABLER, intid)
}

/// Makes `intid` pending by software.
pub fn set_pending(intid: u32) {
    set_bit(ISPENDR, intid);
}

/// Takes software's pending state of `intid` back.
pub fn clear_pending(intid: u32) {
    set_bit(ICPENDR, intid);
}

/// Whether `intid` is pending.
#[must_use]
pub fn is_pending(intid: u32) -> bool {
    get_bit(ISPENDR, intid)
}

/// Makes `intid` active by software.
pub fn set_active(intid: u32) {
    set_bit(ISACTIVER, intid);
}

/// Makes `intid` inactive by software.
pub fn clear_active(intid: u32) {
    set_bit(ICACTIVER, intid);
}

/// Whether `intid` is active.
#[must_use]
pub fn is_active(intid: u32) -> bool {
    get_bit(ISACTIVER, intid)
}

/// Sets the priority of `intid`, by a byte access.
pub fn set_priority(intid: u32, priority: u8) {
    mmio::write8(bank(registers::cpu_index(), intid) + IPRIORITYR + intid as usize, priority);
}

/// The priority of `intid`.
#[must_use]
pub fn priority(intid: u32) -> u8 {
    mmio::read8(bank(registers::cpu_index(), intid) + IPRIORITYR + intid as usize)
}

/// Makes `intid` edge-triggered, or level-sensitive.
pub fn set_edge(intid: u32, edge: bool) {
    let address = bank(registers::cpu_index(), intid) + ICFGR + (intid / 16 * 4) as usize;
    let mask = 2 << (intid % 16 * 2);
    let value = mmio::read32(address);
    mmio::write32(address, if edge { value | mask } else { value & !mask });
}

/// Whether `intid` is edge-triggered.
#[must_use]
pub fn is_edge(intid: u32) -> bool {
    let address = bank(registers::cpu_index(), intid) + ICFGR + (intid / 16 * 4) as usize;
    mmio::read32(address) & 2 << (intid % 16 * 2) != 0
}

/// Sends the SPI `intid` to vCPU `cpu`.
pub fn route(intid: u32, cpu: usize) {
    if version() == 3 {
        mmio::write64(distributor(IROUTER + intid as usize * 8), platform::get().affinities[cpu]);
    } else {
        mmio::write8(distributor(ITARGETSR + intid as usize), 1 << cpu);
    }
}

/// How many INTIDs the distributor has, as GICD_TYPER says.
#[must_use]
pub fn intids() -> u32 {
    ((mmio::read32(distributor(TYPER)) & 31) + 1) * 32
}

/// Lets the distributor forward group 1 interrupts.
pub fn start_distributor() {
    if version() == 3 {
        // With a single security state interrupts start in group 0, which arrives as FIQ.
        for intid in (32..intids()).step_by(32) {
            mmio::write32(distributor(IGROUPR + (intid / 8) as usize), u32::MAX);
        }
    }
    let value = if version() == 3 { 1 << 4 | 2 } else { 1 };
    mmio::write32(distributor(CTLR), value);
}

/// Opens this vCPU's interface for all priorities.
pub fn start_cpu() {
    if version() == 3 {
        registers::set_gic_system_registers(registers::gic_system_registers() | 7);
        let waker = redistributor(registers::cpu_index()) + GICR_WAKER;
        mmio::write32(waker, mmio::read32(waker) & !2);
        mmio::write32(redistributor(registers::cpu_index()) + GICR_SGI_FRAME + IGROUPR, u32::MAX);
        registers::set_gic_control(0);
        registers::set_gic_binary_point(0);
        registers::set_gic_group_enable(1);
    } else {
        mmio::write32(interface(GICC_BPR), 0);
        mmio::write32(interface(GICC_CTLR), 1);
    }
    set_mask(0xff);
}

/// Sets the priority mask: only what is lower in number gets through.
pub fn set_mask(mask: u8) {
    if version() == 3 {
        registers::set_gic_priority_mask(u64::from(mask));
    } else {
        mmio::write32(interface(GICC_PMR), u32::from(mask));
    }
}

/// Sets the binary point: how many of a priority's lower bits do not count for preemption, less one.
pub fn set_binary_point(point: u8) {
    if version() == 3 {
        registers::set_gic_binary_point(u64::from(point));
    } else {
        mmio::write32(interface(GICC_BPR), u32::from(point));
    }
}

/// Chooses whether the end of an interrupt only drops the priority (`split`), or deactivates as well.
pub fn set_split(split: bool) {
    if version() == 3 {
        registers::set_gic_control(u64::from(split) << 1);
    } else {
        mmio::write32(interface(GICC_CTLR), 1 | u32::from(split) << 9);
    }
}

/// Acknowledges: the raw value of IAR, to be given back to [`end`]; [`intid_of`] extracts the INTID.
#[must_use]
pub fn acknowledge() -> u32 {
    if version() == 3 {
        let raw = registers::gic_acknowledge() as u32;
        registers::dsb();
        raw
    } else {
        mmio::read32(interface(GICC_IAR))
    }
}

/// The INTID in a raw value.
#[must_use]
pub fn intid_of(raw: u32) -> u32 {
    if version() == 3 { raw & 0xff_ffff } else { raw & 0x3ff }
}

/// Ends an interrupt: priority drop, and deactivation unless split.
pub fn end(raw: u32) {
    if version() == 3 {
        registers::gic_end(u64::from(raw));
    } else {
        mmio::write32(interface(GICC_EOIR), raw);
    }
}

/// Deactivates an interrupt, in split mode.
pub fn deactivate(raw: u32) {
    if version() == 3 {
        registers::gic_deactivate(u64::from(raw));
    } else {
        mmio::write32(interface(GICC_DIR), raw);
    }
}

/// The INTID that would be acknowledged next, the mask aside.
#[must_use]
pub fn highest_pending() -> u32 {
    if version() == 3 {
        registers::gic_highest_pending() as u32 & 0xff_ffff
    } else {
        mmio::read32(interface(GICC_HPPIR)) & 0x3ff
    }
}

/// The priority that this vCPU is running at, 0xff if none.
#[must_use]
pub fn running_priority() -> u8 {
    let value = if version() == 3 {
        registers::gic_running_priority()
    } else {
        u64::from(mmio::read32(interface(GICC_RPR)))
    };
    value as u8
}

/// Sends the SGI `intid`.
pub fn send_sgi(intid: u32, target: Target) {
    registers::dsb();
    let number = intid & 15;
    if version() == 3 {
        let to = |cpu: usize| {
            let affinity = platform::get().affinities[cpu];
            (affinity >> 8 & 0xff) << 16 | (affinity >> 16 & 0xff) << 32 | 1 << (affinity & 15)
        };
        let whom = match target {
            Target::Cpu(cpu) => to(cpu),
            Target::Own => to(registers::cpu_index()),
            Target::Others => 1 << 40,
        };
        registers::gic_send_sgi(whom | u64::from(number) << 24);
    } else {
        let whom = match target {
            Target::Cpu(cpu) => 1 << (16 + cpu),
            Target::Others => 1 << 24,
            Target::Own => 2 << 24,
        };
        mmio::write32(distributor(SGIR), whom | number);
    }
}
