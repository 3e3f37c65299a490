//! The guest's accesses to the distributor, and the way to the redistributors.

use super::super::affinity;
use super::bank::{Kind, Row};
use super::interrupt::{ANY, Change, NOBODY};
use super::{Answer, Attention, Gic, Outcome, PRIVATE, Place, SGIS, Version};
use crate::arm64::AccessSize;
use crate::bits::{Ones, index, low_u8};

/// GICD_CTLR.
const CTLR: u64 = 0x0;
/// GICD_TYPER.
const TYPER: u64 = 0x4;
/// GICD_IIDR.
const IIDR: u64 = 0x8;
/// GICD_TYPER2.
const TYPER2: u64 = 0xc;
/// GICD_STATUSR.
const STATUSR: u64 = 0x10;
/// GICD_SGIR of a GICv2.
const SGIR: u64 = 0xf00;
/// GICD_PIDR2 of a GICv3.
pub(super) const PIDR2_V3: u64 = 0xffe8;
/// GICD_PIDR2 of a GICv2 (ICPIDR2).
const PIDR2_V2: u64 = 0xfe8;

/// GICD_IIDR of a GICv2: implementer Arm (JEP106 code 0x3b, bank 4); product, variant and revision 0.
const IMPLEMENTER_V2: u64 = 0x43b;
/// GICD_IIDR and GICR_IIDR of a GICv3, as Xen 4.17 answers.
const IMPLEMENTER_V3: u64 = 0x34c;
/// GICD_CTLR of a GICv3: ARE (bit 4) is fixed. DS reads as zero, as with Xen 4.17: what the guest sees is
/// the view from the non-secure state.
const FIXED_CONTROL: u64 = 1 << 4;

/// What GICD_IIDR and GICR_IIDR read.
pub(super) const fn implementer(version: Version) -> u64 {
    match version {
        Version::V2 => IMPLEMENTER_V2,
        Version::V3 => IMPLEMENTER_V3,
    }
}

impl Answer {
    pub(super) const UNKNOWN: Self = Self { value: 0, known: false };
    pub(super) const ZERO: Self = Self { value: 0, known: true };

    pub(super) const fn of(value: u64) -> Self {
        Self { value, known: true }
    }
}

/// GICD_TYPER: ITLinesNumber 4:0, CPUNumber 7:5, and for a GICv3 IDbits 23:19 (10 bits); no security extension, no
/// message-based interrupts, no LPIs.
pub(super) fn kind(version: Version, vcpus: usize, spis: usize) -> u64 {
    let cpus = vcpus.min(8).saturating_sub(1);
    let value = u64::try_from(spis.div_ceil(32) & 0x1f | cpus << 5).unwrap_or(0);
    if version == Version::V3 { value | 9 << 19 } else { value }
}

impl Outcome {
    pub(super) const UNKNOWN: Self = Self { attention: Attention::NONE, known: false };
    pub(super) const IGNORED: Self = Self { attention: Attention::NONE, known: true };

    pub(super) const fn of(attention: Attention) -> Self {
        Self { attention, known: true }
    }
}

impl Gic {
    /// A load by this vCPU. Registers that do not exist, and widths that a register does not have, read as
    /// zero.
    #[inline]
    pub fn read(&self, vcpu: usize, place: Place, offset: u64, size: AccessSize) -> Answer {
        match place {
            Place::Distributor => self.read_distributor(vcpu, offset, size),
            Place::Redistributor(of) if self.has_redistributor(of) => {
                self.read_redistributor(of, offset, size)
            }
            Place::Redistributor(_) => Answer::UNKNOWN,
        }
    }

    /// A store by this vCPU. What does not exist ignores it.
    pub fn write(
        &mut self,
        vcpu: usize,
        place: Place,
        offset: u64,
        (size, value): (AccessSize, u64),
    ) -> Outcome {
        match place {
            Place::Distributor => self.write_distributor(vcpu, offset, size, value),
            Place::Redistributor(of) if self.has_redistributor(of) => {
                self.write_redistributor(of, offset, size, value)
            }
            Place::Redistributor(_) => Outcome::UNKNOWN,
        }
    }

    /// Whether an access deals with pending or active states, so that the accessing vCPU should
    /// [`fold`](Gic::fold) its list registers first, to be told, or to change, what is the case. (No
    /// interrupt is lost without it, but an interrupt in a list register reads as idle.)
    pub const fn wants_fold(place: Place, offset: u64) -> bool {
        let offset = match place {
            Place::Distributor => offset,
            Place::Redistributor(_) => offset ^ super::redistributor::SGI_FRAME,
        };
        matches!(offset, 0x200..0x400 | 0xf10..0xf30)
    }

    #[inline]
    fn has_redistributor(&self, vcpu: usize) -> bool {
        self.version == Version::V3 && vcpu < self.vcpus.len()
    }

    #[inline]
    fn read_distributor(&self, vcpu: usize, offset: u64, size: AccessSize) -> Answer {
        match (offset, size) {
            (CTLR, AccessSize::Word) => Answer::of(self.control()),
            (TYPER, AccessSize::Word) => Answer::of(self.kind),
            (IIDR, AccessSize::Word) => Answer::of(implementer(self.version)),
            (TYPER2 | STATUSR, AccessSize::Word) => Answer::ZERO,
            _ => self.read_others(vcpu, offset, size),
        }
    }

    #[inline(never)]
    fn read_others(&self, vcpu: usize, offset: u64, size: AccessSize) -> Answer {
        match Row::at(offset, size) {
            Some(row) if self.in_distributor(row) => self.read_row(vcpu, row),
            Some(_) => Answer::ZERO,
            None if self.version == Version::V2 => self.read_v2(vcpu, offset, size),
            None => self.read_v3(offset, size),
        }
    }

    fn write_distributor(&mut self, vcpu: usize, offset: u64, size: AccessSize, value: u64) -> Outcome {
        match (offset, size) {
            (CTLR, AccessSize::Word) => Outcome::of(self.set_control(value)),
            (TYPER | IIDR | TYPER2 | STATUSR, AccessSize::Word) => Outcome::IGNORED,
            _ => match Row::at(offset, size) {
                Some(row) if self.in_distributor(row) => Outcome::of(self.write_row(vcpu, row, value)),
                Some(_) => Outcome::IGNORED,
                None if self.version == Version::V2 => self.write_v2(vcpu, offset, size, value),
                None => self.write_v3(offset, size, value),
            },
        }
    }

    /// With affinity routing the distributor has no SGIs and PPIs and no target lists.
    fn in_distributor(&self, row: Row) -> bool {
        self.version == Version::V2 || !row.is_private() && row.kind != Kind::Target
    }

    fn control(&self) -> u64 {
        let fixed = if self.version == Version::V3 { FIXED_CONTROL } else { 0 };
        fixed | u64::from(self.groups)
    }

    /// All list registers are filled anew by the groups that are forwarded now.
    fn set_control(&mut self, value: u64) -> Attention {
        let groups = low_u8(value) & 3;
        if groups == self.groups {
            return Attention::NONE;
        }
        self.groups = groups;
        for cpu in &mut self.vcpus {
            cpu.dirty = true;
        }
        self.everybody
    }

    fn read_v2(&self, vcpu: usize, offset: u64, size: AccessSize) -> Answer {
        match (offset, size) {
            (0xf10..0xf30, AccessSize::Byte | AccessSize::Word) => self.read_sources(vcpu, offset, size),
            (PIDR2_V2, AccessSize::Word) => Answer::of(0x20),
            (0xfd0..0x1000, AccessSize::Word) => Answer::ZERO,
            _ => Answer::UNKNOWN,
        }
    }

    fn write_v2(&mut self, vcpu: usize, offset: u64, size: AccessSize, value: u64) -> Outcome {
        match (offset, size) {
            (SGIR, AccessSize::Word) => Outcome::of(self.generate_v2(vcpu, value)),
            (0xf10..0xf30, AccessSize::Byte | AccessSize::Word) => {
                self.write_sources(vcpu, offset, size, value)
            }
            (0xfd0..0x1000, AccessSize::Word) => Outcome::IGNORED,
            _ => Outcome::UNKNOWN,
        }
    }

    /// GICD_SGIR: filter 25:24 (0 list, 1 all others, 2 self), target list 23:16, INTID 3:0.
    fn generate_v2(&mut self, from: usize, value: u64) -> Attention {
        let targets = match value >> 24 & 3 {
            0 => Attention(u128::from(value >> 16 & 0xff)).and(self.everybody),
            1 => self.everybody.without(from),
            2 => Attention::of(from),
            _ => Attention::NONE,
        };
        let intid = usize::from(low_u8(value) & 0xf);
        let source = u8::try_from(from).unwrap_or(0);
        let mut attention = Attention::NONE;
        for vcpu in targets {
            attention |= self.signal(vcpu, intid, source);
        }
        attention
    }

    /// The vCPUs of a GICv2 as a mask.
    pub(super) fn present(&self) -> u8 {
        let [low, ..] = self.everybody.0.to_le_bytes();
        low
    }

    /// GICD_CPENDSGIR and GICD_SPENDSGIR: a byte for each SGI, a bit for each source.
    fn read_sources(&self, vcpu: usize, offset: u64, size: AccessSize) -> Answer {
        let Some(sgis) = sgis(offset, size) else { return Answer::UNKNOWN };
        Answer::of(sgis.rev().fold(0, |word, intid| {
            let mask = self.interrupt(vcpu, intid).map_or(0, |sgi| sgi.mask());
            word << 8 | u64::from(mask)
        }))
    }

    fn write_sources(&mut self, vcpu: usize, offset: u64, size: AccessSize, value: u64) -> Outcome {
        let Some(sgis) = sgis(offset, size) else { return Outcome::UNKNOWN };
        let present = self.present();
        let mut attention = Attention::NONE;
        for (intid, byte) in sgis.zip(value.to_le_bytes()) {
            let sources = byte & present;
            if offset & 0x20 == 0 {
                if let Some(sgi) = self.interrupt_mut(vcpu, intid) {
                    let change = sgi.retract(sources);
                    attention |= self.follow(vcpu, intid, change);
                }
            } else {
                for source in Ones(u64::from(sources)) {
                    attention |= self.signal(vcpu, intid, low_u8(u64::from(source)));
                }
            }
        }
        Outcome::of(attention)
    }

    fn read_v3(&self, offset: u64, size: AccessSize) -> Answer {
        match (offset, size) {
            (0x6000..0x8000, AccessSize::Word | AccessSize::Double) => self.read_route(offset, size),
            (PIDR2_V3, AccessSize::Word) => Answer::of(0x30),
            // Message-based SPIs (GICD_TYPER.MBIS is clear) and the other identification registers.
            (0x40..=0x58 | 0xffd0..0x1_0000, AccessSize::Word) => Answer::ZERO,
            _ => Answer::UNKNOWN,
        }
    }

    fn write_v3(&mut self, offset: u64, size: AccessSize, value: u64) -> Outcome {
        match (offset, size) {
            (0x6000..0x8000, AccessSize::Word | AccessSize::Double) => self.write_route(offset, size, value),
            (0x40..=0x58 | 0xffd0..0x1_0000, AccessSize::Word) => Outcome::IGNORED,
            _ => Outcome::UNKNOWN,
        }
    }

    /// GICD_IROUTER of an SPI: its affinity, and bit 31 for any vCPU. An SPI that is routed to a vCPU that
    /// does not exist reads as if it were routed to vCPU 0.
    fn route(&self, intid: usize) -> u64 {
        self.interrupt(0, intid).map_or(0, |interrupt| match interrupt.target() {
            _ if interrupt.is(ANY) => 1 << 31,
            NOBODY => 0,
            target => affinity::of_vcpu(usize::from(target)),
        })
    }

    fn read_route(&self, offset: u64, size: AccessSize) -> Answer {
        let intid = index_of_route(offset);
        if intid < PRIVATE || offset & (size.bytes().wrapping_sub(1)) != 0 {
            return Answer::UNKNOWN;
        }
        let shift = if offset & 4 != 0 { 32 } else { 0 };
        Answer::of(self.route(intid).wrapping_shr(shift) & size.mask())
    }

    /// Any vCPU means vCPU 0: the architecture leaves the choice to the controller.
    fn write_route(&mut self, offset: u64, size: AccessSize, value: u64) -> Outcome {
        let intid = index_of_route(offset);
        if intid < PRIVATE || offset & (size.bytes().wrapping_sub(1)) != 0 {
            return Outcome::UNKNOWN;
        }
        let route = match (size, offset & 4) {
            (AccessSize::Double, _) => value,
            (_, 0) => self.route(intid) & !0xffff_ffff | value & 0xffff_ffff,
            _ => self.route(intid) & 0xffff_ffff | value.wrapping_shl(32),
        };
        let any = route >> 31 & 1 != 0;
        let target = if any { Some(0) } else { affinity::vcpu(route, self.vcpus.len()) };
        let target = target.and_then(|vcpu| u8::try_from(vcpu).ok()).unwrap_or(NOBODY);
        let Some(interrupt) = self.interrupt_mut(0, intid) else { return Outcome::IGNORED };
        if any {
            interrupt.set(ANY);
        } else {
            interrupt.clear(ANY);
        }
        match interrupt.set_target(target, 0) {
            Change::None => Outcome::IGNORED,
            Change::Settle | Change::Release => Outcome::of(self.settle(0, intid)),
        }
    }
}

/// The INTID of GICD_IROUTER at this offset: 8 bytes for each.
fn index_of_route(offset: u64) -> usize {
    usize::try_from(offset.wrapping_sub(0x6000) >> 3).unwrap_or(0)
}

/// The SGIs of an access to GICD_CPENDSGIR or GICD_SPENDSGIR.
fn sgis(offset: u64, size: AccessSize) -> Option<core::ops::Range<usize>> {
    if offset & (size.bytes().wrapping_sub(1)) != 0 {
        return None;
    }
    let first = usize::from(low_u8(offset) & 0xf);
    let end = first.saturating_add(index(u32::try_from(size.bytes()).ok()?));
    (end <= SGIS).then_some(first..end)
}
