//! How many stage 2 tables each domain is given.
//!
//! A domain changes its map with tables of its own only, so that no domain can take another's. A plain domain's
//! map stays as it is, so it gets the tables that [`stage2`] counts; where dom0 may destroy it also the
//! [`LAST_TABLES`] with which it is taken apart then. A domain with PV interfaces changes its map while it runs, so it gets a reserve:
//!
//! - as many tables as it takes to map all of its RAM in single pages, since it may give up any of them;
//! - tables for its grant window, in single pages;
//! - [`FOREIGN_TABLES`] for other domains' pages that it maps, which is 64 MiB of them at scattered places;
//! - [`LOOSE_TABLES`] for the pages that a toolstack puts beside its RAM, and the upper tables on their way.
//!
//! dom0 serves all others and maps their pages all the time: where it has given up RAM, or where its tree says that it may, in
//! its extended regions. In place of [`FOREIGN_TABLES`] it gets what it takes to fill these with single pages. They
//! are all of the RAM that it was not given, so where that is much, it gets [`CONTROL_TABLES`] and what a quarter takes.
//!
//! Where the owner says how large the pool is (`xen,domain-p2m-mem-mb`), it has all that, if that is enough for the
//! map as it is at boot.

use alloc::format;

use crate::assemble::Draft;
use crate::claims::Ground;
use crate::domains::Wanted;
pub(crate) use crate::domains::properties::POOL;
use crate::placement;
use crate::range::{Bytes, FRAME_BYTES};
use crate::report::Report;
use crate::shape::{GuestMemory, Range};
use crate::stage2::{self, Mapping};

/// Bytes of a table, with what is noted of it beside: the number of its entries, and a place among those to
/// spare.
const TABLE_BYTES: u64 = FRAME_BYTES.saturating_add(8);
/// Level 3 tables for foreign pages, each for 2 MiB of guest addresses.
const FOREIGN_TABLES: u32 = 32;
/// Tables for single pages at fixed places, such as the xenstore page.
const LOOSE_TABLES: u32 = 4;

/// Tables for what dom0 maps of others, if it can map so much, beside those for a quarter of its extended regions: 160 MiB
/// at scattered places, which is more than it can have mapped of grants.
const CONTROL_TABLES: u32 = 80;

/// Tables that taking a map apart needs at a time: a block of 1 GiB, then one of 2 MiB in it.
const LAST_TABLES: u32 = 2;

/// What is mapped, or may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'a> {
    pub(crate) ipa_bits: u8,
    pub(crate) memory: &'a [GuestMemory],
    /// The virtual CPU interface of a GICv2.
    pub(crate) interface: Option<Mapping>,
    /// The grant window of a domain with PV interfaces.
    pub(crate) grant_window: Option<Range>,
    /// The host's registers that it sees, in guest order.
    pub(crate) hardware: &'a [GuestMemory],
    /// dom0's extended regions, in guest order.
    pub(crate) extended: &'a [Range],
    /// Somebody may destroy the domain.
    pub(crate) mortal: bool,
    /// Tables that the owner wants it to have in all.
    pub(crate) pool: Option<u32>,
}

/// Table frames of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    /// For the map as it is at boot.
    pub(crate) boot: u32,
    /// For changes at run time.
    pub(crate) spare: u32,
}

impl Tables {
    /// Both together.
    pub(crate) const fn total(self) -> u32 {
        self.boot.saturating_add(self.spare)
    }
}

/// Counts the tables of a domain.
pub(crate) fn count(map: &Map<'_>) -> Tables {
    let devices = merged(pieces(map.hardware, false), map.interface.into_iter());
    let boot = stage2::table_frames(map.ipa_bits, merged(pieces(map.memory, false), devices.clone()));
    if let Some(pool) = map.pool {
        return Tables { boot, spare: pool.saturating_sub(boot) };
    }
    let spare = map.grant_window.map_or(if map.mortal { LAST_TABLES } else { 0 }, |window| {
        let beside = merged(devices.clone(), core::iter::once(in_pages(&window)));
        let mapped = merged(pieces(map.memory, true), beside);
        let split = stage2::table_frames(map.ipa_bits, mapped.clone());
        let foreign = match map.extended {
            [] => FOREIGN_TABLES,
            _ => {
                let filled = merged(mapped, map.extended.iter().map(in_pages));
                let all = stage2::table_frames(map.ipa_bits, filled).saturating_sub(split);
                all.min(CONTROL_TABLES.saturating_add(all / 4))
            }
        };
        split.saturating_sub(boot).saturating_add(foreign).saturating_add(LOOSE_TABLES)
    });
    Tables { boot, spare }
}

/// Guest addresses at which single pages are mapped.
fn in_pages(range: &Range) -> Mapping {
    Mapping { guest: range.base, host: range.base, size: range.size, pages_only: true }
}

/// A domain's RAM or registers as mappings.
fn pieces(memory: &[GuestMemory], pages_only: bool) -> impl Iterator<Item = Mapping> + Clone {
    memory.iter().map(move |piece| Mapping {
        guest: piece.guest,
        host: piece.host,
        size: piece.size,
        pages_only,
    })
}

/// Two lists in guest order as one.
fn merged(
    left: impl Iterator<Item = Mapping> + Clone,
    right: impl Iterator<Item = Mapping> + Clone,
) -> impl Iterator<Item = Mapping> + Clone {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    core::iter::from_fn(move || match (left.peek(), right.peek()) {
        (Some(first), Some(second)) if second.guest < first.guest => right.next(),
        (Some(_), _) => left.next(),
        (None, _) => right.next(),
    })
}

/// A pool that the owner wants must hold the map as it is at boot.
pub(crate) fn check_pool(wanted: &Wanted<'_>, tables: Tables, report: &mut Report) {
    let Some(mib) = wanted.pool_mib.filter(|mib| of_pool(*mib) < tables.boot) else { return };
    let needed = u64::from(tables.boot).saturating_mul(FRAME_BYTES);
    let least = tables.boot.div_ceil(256);
    let reason = format!("is {mib}, but the domain's map takes {} at boot", Bytes(needed));
    let hint = format!("{POOL} = <{least}>; or more, for changes while it runs");
    report.refuse(&wanted.path, POOL, reason, &hint);
}

/// Where a heap of `bytes` has no place since one of the pools, which are a part of it, is too large, says so and gives true.
pub(crate) fn refuse_pool(
    drafts: &[Draft<'_, '_>],
    (ground, bytes): (&Ground, u64),
    took: &str,
    report: &mut Report,
) -> bool {
    let pools = drafts.iter().filter_map(|draft| Some((draft.wanted, draft.wanted.pool_mib?)));
    let Some((wanted, mib)) = pools.max_by_key(|(_, mib)| *mib) else { return false };
    let free = drafts.iter().filter(|draft| draft.wanted.static_memory.is_empty());
    let asked = free.fold(0_u64, |sum, draft| sum.saturating_add(draft.wanted.memory));
    let largest = placement::largest_heap(&ground.open, ground.heap_align(), ground.heap_granule());
    let room = largest.min(ground.open.total().saturating_sub(asked));
    let rest = bytes.saturating_sub(pool_bytes(mib));
    let most = room.saturating_sub(rest).checked_div(pool_bytes(1)).unwrap_or(0);
    if most == 0 {
        return false;
    }
    let reason = format!("is {mib}, for which the hypervisor has no memory ({took})");
    let hint = format!("at most {most}; without it the domain has as many tables as its memory needs");
    report.refuse(&wanted.path, POOL, reason, &hint);
    true
}

/// Tables in a pool of so many MiB.
pub(crate) fn of_pool(mib: u32) -> u32 {
    mib.saturating_mul(256)
}

/// Bytes of a pool of so many MiB.
pub(crate) fn pool_bytes(mib: u32) -> u64 {
    bytes(of_pool(mib))
}

/// Bytes of so many table frames.
pub(crate) fn bytes(frames: u32) -> u64 {
    u64::from(frames).saturating_mul(TABLE_BYTES)
}

#[cfg(test)]
mod tests;
