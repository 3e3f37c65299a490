//! The board's interrupt controller, whichever version it is.
//!
//! All interrupts are group 1, end in two steps (priority drop at acknowledge, deactivation when the work
//! is done or by the guest), and are off until somebody owns them. Interrupt 0, a software-generated one,
//! is how processors call each other.

use model::arm64::{LIST_REGISTERS, Lists};
use plan::{DeviceInterrupt, GicRegions};

use super::device::Registers;
use super::gic_v2::GicV2;
use super::gic_v3::GicV3;

/// The INTID with which processors call each other.
pub(crate) const KICK: u32 = 0;
/// Acknowledge answers this, or more, where nothing is pending.
pub(crate) const SPURIOUS: u32 = 1020;
/// Priority of all interrupts; the number matters to nobody as long as it is one.
pub(crate) const PRIORITY: u32 = 0xa0a0_a0a0;

/// Configures how a shared interrupt is signalled (GICD_ICFGR, the same in both versions).
pub(crate) fn configure(distributor: &Registers, interrupt: DeviceInterrupt) {
    const CONFIGURATION: usize = 0xc00;
    let intid = interrupt.intid as usize;
    let offset = CONFIGURATION + intid / 16 * 4;
    let edge = 0b10 << (intid % 16 * 2);
    let value = distributor.read(offset) & !edge;
    distributor.write(offset, if interrupt.edge { value | edge } else { value });
}

/// The driver of either version.
#[derive(Debug)]
pub(crate) enum Gic {
    V2(GicV2),
    V3(GicV3),
}

/// Calls the same method of either driver.
macro_rules! either {
    ($self:expr, $gic:ident => $call:expr) => {
        match $self {
            Gic::V2($gic) => $call,
            Gic::V3($gic) => $call,
        }
    };
}

impl Gic {
    /// Takes the controller: every interrupt off, the distributor on.
    pub(crate) fn take(regions: &GicRegions, cpus: usize) -> Option<Gic> {
        Some(match regions {
            GicRegions::V2 { distributor, cpu_interface, control, .. } => {
                Gic::V2(GicV2::take([*distributor, *cpu_interface, *control], cpus)?)
            }
            GicRegions::V3 { distributor, redistributors, stride, .. } => {
                Gic::V3(GicV3::take(*distributor, redistributors, *stride, cpus)?)
            }
        })
    }

    /// Makes this processor ready: its private interrupts, its interface, `enabled` (a mask) switched on.
    pub(crate) fn start_processor(&self, cpu: usize, mpidr: u64, enabled: u32) -> bool {
        either!(self, gic => gic.start_processor(cpu, mpidr, enabled))
    }

    /// Number of list registers of this processor.
    pub(crate) fn list_registers(&self) -> usize {
        either!(self, gic => gic.list_registers()).clamp(1, LIST_REGISTERS)
    }

    /// Switches a shared interrupt on for this processor.
    pub(crate) fn own(&self, interrupt: DeviceInterrupt) {
        either!(self, gic => gic.own(interrupt));
    }

    /// Switches a shared interrupt off.
    pub(crate) fn disown(&self, intid: u32) {
        // GICD_ICENABLER, the same in both versions.
        const CLEAR_ENABLE: usize = 0x180;
        let (at, bit) = (CLEAR_ENABLE + intid as usize / 32 * 4, 1 << (intid % 32));
        either!(self, gic => gic.distributor.write(at, bit));
    }

    /// The most urgent interrupt, its priority dropped; its INTID in bits 9:0 and, on GICv2, more above.
    #[inline]
    pub(crate) fn acknowledge(&self) -> u32 {
        either!(self, gic => gic.acknowledge())
    }

    /// Ends an interrupt for good.
    #[inline]
    pub(crate) fn deactivate(&self, acknowledged: u32) {
        either!(self, gic => gic.deactivate(acknowledged));
    }

    /// Makes one of this processor's private interrupts active, or not.
    pub(crate) fn set_private_active(&self, cpu: usize, intid: u32, active: bool) {
        either!(self, gic => gic.set_private_active(cpu, intid, active));
    }

    /// Sends [`KICK`] to another processor.
    pub(crate) fn kick(&self, cpu: usize) {
        either!(self, gic => gic.kick(cpu));
    }

    /// Takes the list registers' content into `lists`.
    pub(crate) fn read_lists(&self, lists: &mut Lists) {
        either!(self, gic => gic.read_lists(lists));
    }

    /// Puts `lists` into the list registers.
    pub(crate) fn write_lists(&self, lists: &Lists) {
        either!(self, gic => gic.write_lists(lists));
    }

    /// One list register. The first two, which most interrupts are in, are an instruction where they are asked for.
    #[inline(always)]
    pub(crate) fn read_list(&self, place: usize) -> u64 {
        match (self, place) {
            (Gic::V3(gic), 0) => gic.read_list(0),
            (Gic::V3(gic), 1) => gic.read_list(1),
            _ => self.read_any_list(place),
        }
    }

    #[inline(never)]
    fn read_any_list(&self, place: usize) -> u64 {
        either!(self, gic => gic.read_list(place))
    }

    /// Writes one list register.
    #[inline(always)]
    pub(crate) fn write_list(&self, place: usize, entry: u64) {
        match (self, place) {
            (Gic::V3(gic), 0) => gic.write_list(0, entry),
            (Gic::V3(gic), 1) => gic.write_list(1, entry),
            _ => self.write_any_list(place, entry),
        }
    }

    #[inline(never)]
    fn write_any_list(&self, place: usize, entry: u64) {
        either!(self, gic => gic.write_list(place, entry));
    }

    /// Puts a vCPU's whole virtual interface on this processor.
    #[inline]
    pub(crate) fn load(&self, lists: &mut Lists) {
        either!(self, gic => gic.load(lists));
    }

    /// Takes it off again.
    pub(crate) fn save(&self, lists: &mut Lists) {
        either!(self, gic => gic.save(lists));
    }
}
