//! What the hypervisor's heap must hold, line by line.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::input::Sizes;
use crate::placement::HEAP_GRANULE;
use crate::range::{FRAME_BYTES, align_up};
use crate::shape::{Board, BudgetLine};
use crate::tables::{self, Tables};

/// Bytes of a note of a piece of memory.
const PIECE_BYTES: u64 = 24;

/// What one domain costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) vcpus: u16,
    pub(crate) spis: u16,
    pub(crate) is_dom0: bool,
    /// It has PV interfaces.
    pub(crate) pv: bool,
    pub(crate) tables: Tables,
    /// Pieces of memory that are its own for good.
    pub(crate) fixed_pieces: u64,
    pub(crate) tree_bytes: u64,
}

/// The lines of the budget, for domains in order.
pub(crate) fn lines(sizes: &Sizes, board: &Board, domains: &[Cost]) -> Vec<BudgetLine> {
    let mut lines = Vec::new();
    let mut line = |what: String, bytes: u64| lines.push(BudgetLine { what, bytes });
    let processors = u64::try_from(board.cpus.len()).unwrap_or(u64::MAX);
    let frames = board.memory.iter().fold(0_u64, |sum, bank| sum.saturating_add(bank.size / FRAME_BYTES));
    line(String::from("the hypervisor's own tables"), sizes.fixed);
    line(format!("the table of {frames} frames"), frames.saturating_mul(sizes.frame));
    line(format!("{processors} processors"), processors.saturating_mul(sizes.processor));
    let first = u64::from(!domains.first().is_some_and(|cost| cost.is_dom0));
    for (id, cost) in (first..=u64::MAX).zip(domains) {
        let objects = u64::from(cost.vcpus)
            .saturating_mul(sizes.vcpu)
            .saturating_add(u64::from(cost.spis).saturating_mul(sizes.spi))
            .saturating_add(cost.fixed_pieces.saturating_mul(PIECE_BYTES))
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
        line(format!("device tree of domain {id}"), cost.tree_bytes);
    }
    lines
}

/// Bytes of a heap with room for all `lines`.
pub(crate) fn heap_bytes(lines: &[BudgetLine]) -> u64 {
    let sum = lines.iter().fold(0_u64, |sum, line| sum.saturating_add(line.bytes));
    align_up(sum.max(1), HEAP_GRANULE).unwrap_or(u64::MAX)
}
