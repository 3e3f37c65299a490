//! How many stage 2 tables each domain is given.
//!
//! A plain domain's map never changes, so it gets exactly the tables that [`stage2`] counts. A domain with PV
//! interfaces changes its map while it runs, and may do so only with tables of its own, so that no domain can
//! take another's. It therefore gets a reserve:
//!
//! - as many tables as it takes to map all of its RAM in single pages, since it may give up any of them;
//! - tables for its grant window, in single pages;
//! - [`FOREIGN_TABLES`] for other domains' pages that it maps, which is 64 MiB of them at scattered places;
//! - [`LOOSE_TABLES`] for the pages that a toolstack puts beside its RAM, and the upper tables on their way.
//!
//! dom0 serves all others and maps their pages all the time: it gets [`CONTROL_TABLES`] in place of the last two.

use crate::range::FRAME_BYTES;
use crate::shape::{GuestMemory, Range};
use crate::stage2::{self, Mapping};

/// Bytes of a table, with what is noted of it beside: the number of its entries, and a place among those to
/// spare.
const TABLE_BYTES: u64 = FRAME_BYTES.saturating_add(8);
/// Level 3 tables for foreign pages, each for 2 MiB of guest addresses.
const FOREIGN_TABLES: u32 = 32;
/// Tables for single pages at fixed places, such as the xenstore page.
const LOOSE_TABLES: u32 = 4;

/// Tables for what dom0 maps of others: 512 MiB at scattered places.
const CONTROL_TABLES: u32 = 256;

/// What is mapped, or may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map<'a> {
    pub(crate) ipa_bits: u8,
    pub(crate) memory: &'a [GuestMemory],
    /// The virtual CPU interface of a GICv2.
    pub(crate) interface: Option<Mapping>,
    /// The grant window of a domain with PV interfaces.
    pub(crate) grant_window: Option<Range>,
    /// The host's registers that dom0 sees at their own addresses.
    pub(crate) hardware: Option<&'a [Range]>,
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
    let mmio = map.hardware.unwrap_or(&[]).iter().map(|range| Mapping {
        guest: range.base,
        host: range.base,
        size: range.size,
        pages_only: false,
    });
    let devices = merged(mmio, map.interface.into_iter());
    let boot = stage2::table_frames(map.ipa_bits, merged(ram(map.memory, false), devices.clone()));
    let reserve = match map.hardware {
        Some(_) => CONTROL_TABLES,
        None => FOREIGN_TABLES.saturating_add(LOOSE_TABLES),
    };
    let spare = map.grant_window.map_or(0, |window| {
        let window = Mapping { guest: window.base, host: window.base, size: window.size, pages_only: true };
        let beside = merged(devices.clone(), core::iter::once(window));
        let split = stage2::table_frames(map.ipa_bits, merged(ram(map.memory, true), beside));
        split.saturating_sub(boot).saturating_add(reserve)
    });
    Tables { boot, spare }
}

/// A domain's RAM as mappings.
fn ram(memory: &[GuestMemory], pages_only: bool) -> impl Iterator<Item = Mapping> + Clone {
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

/// Bytes of so many table frames.
pub(crate) fn bytes(frames: u32) -> u64 {
    u64::from(frames).saturating_mul(TABLE_BYTES)
}

#[cfg(test)]
mod tests;
