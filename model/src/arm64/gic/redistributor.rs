//! The guest's accesses to the redistributor of a vCPU: the frame RD_base and, 64 KiB above, SGI_base.

use super::super::affinity;
use super::bank::{Kind, Row};
use super::distributor::{PIDR2_V3, implementer};
use super::{Answer, Gic, Outcome};
use crate::arm64::AccessSize;

/// Offset of SGI_base.
pub(super) const SGI_FRAME: u64 = 0x1_0000;
/// GICR_IIDR.
const IIDR: u64 = 0x4;
/// GICR_TYPER.
const TYPER: u64 = 0x8;
/// Upper half of GICR_TYPER.
const TYPER_HIGH: u64 = 0xc;

impl Gic {
    #[inline(never)]
    pub(super) fn read_redistributor(&self, of: usize, offset: u64, size: AccessSize) -> Answer {
        if offset & SGI_FRAME != 0 {
            return match private_row(offset, size) {
                Some(row) => self.read_row(of, row),
                None => Answer::UNKNOWN,
            };
        }
        match (offset, size) {
            (TYPER, AccessSize::Double) => Answer::of(self.redistributor_type(of)),
            (TYPER, AccessSize::Word) => Answer::of(self.redistributor_type(of) & 0xffff_ffff),
            (TYPER_HIGH, AccessSize::Word) => Answer::of(self.redistributor_type(of) >> 32),
            (IIDR, AccessSize::Word) => Answer::of(implementer(self.version)),
            (PIDR2_V3, AccessSize::Word) => Answer::of(0x30),
            _ if is_dead(offset, size) => Answer::ZERO,
            _ => Answer::UNKNOWN,
        }
    }

    pub(super) fn write_redistributor(
        &mut self,
        of: usize,
        offset: u64,
        size: AccessSize,
        value: u64,
    ) -> Outcome {
        if offset & SGI_FRAME != 0 {
            return match private_row(offset, size) {
                Some(row) => Outcome::of(self.write_row(of, row, value)),
                None => Outcome::UNKNOWN,
            };
        }
        let read_only = matches!(
            (offset, size),
            (TYPER, AccessSize::Double) | (IIDR | TYPER | TYPER_HIGH | PIDR2_V3, AccessSize::Word)
        );
        if read_only || is_dead(offset, size) { Outcome::IGNORED } else { Outcome::UNKNOWN }
    }

    /// Affinity 63:32, Processor_Number 23:8, Last (bit 4); no LPIs.
    fn redistributor_type(&self, of: usize) -> u64 {
        let last = of.saturating_add(1) == self.vcpus.len();
        u64::from(affinity::packed(of)) << 32
            | u64::try_from(of & 0xffff).unwrap_or(0) << 8
            | u64::from(last) << 4
    }
}

/// Registers of RD_base that read as zero and ignore writes: CTLR, STATUSR, WAKER (always awake, as in a
/// redistributor without power management), what deals with LPIs, and identification.
const fn is_dead(offset: u64, size: AccessSize) -> bool {
    match size {
        AccessSize::Word => {
            offset & 3 == 0
                && matches!(offset, 0 | 0x10 | 0x14 | 0x40..=0x4c | 0x70..=0x7c | 0xa0..=0xc0 | 0xffd0..=0xffff)
        }
        AccessSize::Double => matches!(offset, 0x40 | 0x48 | 0x70 | 0x78 | 0xa0 | 0xb0),
        AccessSize::Byte | AccessSize::Half => false,
    }
}

/// The access to a register of SGI_base: the same layout as the distributor's first registers.
fn private_row(offset: u64, size: AccessSize) -> Option<Row> {
    Row::at(offset ^ SGI_FRAME, size).filter(|row| {
        let end = row.first.saturating_add(row.count);
        row.kind != Kind::Target && end <= super::PRIVATE
    })
}
