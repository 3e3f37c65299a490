//! Who owns each byte of the host's RAM.
//!
//! All claims are laid over the banks, the strongest on top, so that the stretches cover the banks without gap or
//! overlap, whatever the plan says.

use plan::{FRAME_BYTES, Plan, Range};
use schemars::JsonSchema;
use serde::Serialize;

use crate::desk::Desk;
use crate::plan_ledger::spans;

/// A stretch of the host's RAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Stretch {
    /// First byte.
    pub(crate) base: u64,
    /// Length.
    pub(crate) size: u64,
    /// What it is for.
    #[serde(rename = "use")]
    pub(crate) purpose: Use,
    /// The domain that owns it, or shares it with the hypervisor; null where it is no domain's.
    pub(crate) domain: Option<u16>,
    /// The same in words.
    pub(crate) label: String,
}

impl Stretch {
    pub(crate) const fn end(&self) -> u64 {
        self.base.saturating_add(self.size)
    }
}

/// What RAM is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Use {
    /// The hypervisor's image.
    Image,
    /// Its end, in which the plan is made; free when the domains are constructed.
    Planning,
    /// The hypervisor's heap.
    Heap,
    /// A domain's RAM.
    Ram,
    /// Pages that a domain shares with the hypervisor.
    SharedPages,
    /// Memory that domains share.
    SharedMemory,
    /// The device tree of the host, which stays where it is.
    DeviceTree,
    /// A module; free when the domains are constructed.
    Module,
    /// The firmware's or a device's.
    Reserved,
    /// Nobody's.
    Free,
    /// RAM that is none of these, such as the rest of a frame.
    Unused,
}

/// Bytes that are used like this.
pub(crate) fn bytes_of(memory: &[Stretch], purpose: Use) -> u64 {
    memory.iter().filter(|stretch| stretch.purpose == purpose).map(|stretch| stretch.size).sum()
}

/// Every byte of the banks, in order.
pub(crate) fn of(plan: &Plan, desk: &Desk) -> Vec<Stretch> {
    let claims = claims(plan, desk);
    let mut stretches: Vec<Stretch> = Vec::new();
    for bank in &plan.board.memory {
        let mut edges = vec![bank.base, bank.end()];
        for (range, _) in &claims {
            edges.extend(
                [range.base, range.end()].into_iter().filter(|edge| (bank.base..bank.end()).contains(edge)),
            );
        }
        edges.sort_unstable();
        edges.dedup();
        for edge in edges.array_windows() {
            let [base, end] = *edge;
            let owner = claims.iter().find(|(range, _)| range.base <= base && end <= range.end());
            let owner = owner.map_or((Use::Unused, None, "not used".to_owned()), |(_, owner)| owner.clone());
            push(&mut stretches, (base, end), owner);
        }
    }
    stretches
}

/// Adds a stretch, or lengthens the last one.
fn push(
    stretches: &mut Vec<Stretch>,
    (base, end): (u64, u64),
    (purpose, domain, label): (Use, Option<u16>, String),
) {
    let size = end.saturating_sub(base);
    match stretches.last_mut() {
        Some(last) if last.end() == base && last.purpose == purpose && last.label == label => {
            last.size += size
        }
        _ => stretches.push(Stretch { base, size, purpose, domain, label }),
    }
}

type Claim = (Range, (Use, Option<u16>, String));

/// All claims, the strongest first.
fn claims(plan: &Plan, desk: &Desk) -> Vec<Claim> {
    let planning =
        plan.planning.map(|range| (range, (Use::Planning, None, "image, for planning".to_owned())));
    let mut claims: Vec<Claim> = planning.into_iter().collect();
    claims.extend([
        (desk.image, (Use::Image, None, "image of the hypervisor".to_owned())),
        (plan.heap, (Use::Heap, None, "heap of the hypervisor".to_owned())),
    ]);
    for domain in &plan.domains {
        for piece in &domain.memory {
            let range = Range { base: piece.host, size: piece.size };
            let label = format!("domain {}: RAM at guest {:#x}", domain.id, piece.guest);
            claims.push((range, (Use::Ram, Some(domain.id), label)));
        }
        if let Some(pv) = &domain.pv {
            let label = format!("shared with domain {}", domain.id);
            claims.push((pv.pages, (Use::SharedPages, Some(domain.id), label)));
        }
    }
    for region in &plan.shared {
        let owner = region.owner.and_then(|owner| plan.domains.get(owner)).map(|owner| owner.id);
        let whose = owner.map_or("nobody's".to_owned(), |owner| format!("domain {owner}'s"));
        let label = format!("shared memory \"{}\", {whose}", region.id);
        claims.push((region.host, (Use::SharedMemory, owner, label)));
    }
    if let Some(tree) = desk.tree_at() {
        claims.push((frames(tree), (Use::DeviceTree, None, "device tree".to_owned())));
    }
    claims.extend(modules(plan));
    let rest = |range: &Range| (*range, (Use::Module, None, "module".to_owned()));
    claims.extend(plan.boot_only.iter().map(rest));
    let reserved = plan.board.reserved.iter();
    claims.extend(reserved.map(|range| (*range, (Use::Reserved, None, "reserved".to_owned()))));
    claims.extend(plan.free.iter().map(|range| (*range, (Use::Free, None, "free".to_owned()))));
    claims
}

/// The modules, each with the domains that start from it.
fn modules(plan: &Plan) -> Vec<Claim> {
    let mut found: Vec<(Range, &str, Vec<usize>)> = Vec::new();
    for domain in &plan.domains {
        let ramdisk = domain.ramdisk.map(|ramdisk| (ramdisk.module, "ramdisk"));
        for (range, what) in [(domain.kernel.placed.module, "kernel")].into_iter().chain(ramdisk) {
            let id = usize::from(domain.id);
            match found.iter_mut().find(|(known, _, _)| *known == range) {
                Some((_, _, domains)) => domains.push(id),
                None => found.push((range, what, vec![id])),
            }
        }
    }
    found
        .into_iter()
        .map(|(range, what, domains)| {
            let plural = if domains.len() > 1 { "s" } else { "" };
            let label = format!("{what} of domain{plural} {}", spans(&domains));
            (frames(range), (Use::Module, None, label))
        })
        .collect()
}

/// A range in whole frames.
const fn frames(range: Range) -> Range {
    let base = range.base & !(FRAME_BYTES - 1);
    let end = range.base.saturating_add(range.size).saturating_add(FRAME_BYTES - 1) & !(FRAME_BYTES - 1);
    Range { base, size: end.saturating_sub(base) }
}
