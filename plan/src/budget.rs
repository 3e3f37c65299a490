//! What the hypervisor's heap must hold, line by line.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::input::Sizes;
use crate::range::{BLOCK_2_MIB, FRAME_BYTES, align_up};
use crate::shape::{Board, BudgetLine};
use crate::tables::{self, Tables};

/// Bytes of a note of a piece of memory that is a domain's for good.
const NOTE_BYTES: u64 = 24;
/// Bytes that a piece takes in the list of what is not handed out yet, while that grows.
const PIECE_BYTES: u64 = 48;

/// What one domain costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) vcpus: u16,
    pub(crate) spis: u16,
    pub(crate) is_dom0: bool,
    /// It has PV interfaces.
    pub(crate) pv: bool,
    pub(crate) tables: Tables,
    /// Pieces of its memory, and those of them that are its own for good.
    pub(crate) pieces: [u64; 2],
}

/// The lines of the budget, for domains in order.
pub(crate) fn lines(sizes: &Sizes, board: &Board, domains: &[Cost]) -> Vec<BudgetLine> {
    let mut lines = Vec::new();
    let mut line = |what: String, bytes: u64| lines.push(BudgetLine { what, bytes });
    let processors = u64::try_from(board.cpus.len()).unwrap_or(u64::MAX);
    let frames = board.memory.iter().fold(0_u64, |sum, bank| sum.saturating_add(bank.size / FRAME_BYTES));
    line(String::from("the hypervisor's own tables"), sizes.fixed);
    line(format!("the table of {frames} frames"), frame_table(sizes, board, frames));
    let vcpus = domains.iter().fold(1_u64, |sum, cost| sum.saturating_add(u64::from(cost.vcpus)));
    let each = vcpus.saturating_mul(sizes.seat).saturating_add(sizes.processor).saturating_add(sizes.stack);
    line(format!("{processors} processors"), processors.saturating_mul(each).saturating_sub(sizes.stack));
    let first = u64::from(!domains.first().is_some_and(|cost| cost.is_dom0));
    for (id, cost) in (first..=u64::MAX).zip(domains) {
        let [pieces, own] = cost.pieces;
        let objects = u64::from(cost.vcpus)
            .saturating_mul(sizes.vcpu)
            .saturating_add(u64::from(cost.spis).saturating_mul(sizes.spi))
            .saturating_add(pieces.saturating_mul(PIECE_BYTES))
            .saturating_add(own.saturating_mul(NOTE_BYTES))
            .saturating_add(sizes.domain);
        line(format!("objects of domain {id}"), objects);
        line(format!("stage 2 tables of domain {id}"), tables::bytes(cost.tables.boot));
        if cost.tables.spare > 0 {
            line(format!("spare stage 2 tables of domain {id}"), tables::bytes(cost.tables.spare));
        }
        if cost.pv {
            line(format!("events and grants of domain {id}"), sizes.pv_domain);
        }
        if cost.is_dom0 {
            line(format!("domain {id}'s control of the others"), sizes.control_domain);
        }
    }
    lines
}

/// Bytes of the table of frames. Each range that is reserved or the hypervisor's (image, heap and tree) may cut a bank,
/// or what is left of one, in two.
fn frame_table(sizes: &Sizes, board: &Board, frames: u64) -> u64 {
    const OURS: usize = 3;
    let stretches = board.memory.len().saturating_add(board.reserved.len()).saturating_add(OURS);
    let blocks = frames.div_ceil(BLOCK_2_MIB / FRAME_BYTES);
    let stretches = u64::try_from(stretches).unwrap_or(u64::MAX).saturating_mul(sizes.stretch);
    blocks.saturating_mul(sizes.block).saturating_add(stretches)
}

/// Bytes of a heap with room for all `lines`, a multiple of `granule`.
pub(crate) fn heap_bytes(lines: &[BudgetLine], granule: u64) -> u64 {
    let sum = lines.iter().fold(0_u64, |sum, line| sum.saturating_add(line.bytes));
    align_up(sum.max(1), granule).unwrap_or(u64::MAX)
}
