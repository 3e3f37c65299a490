//! What boot says of the plan that it follows. The desk says the same, from here, before there is a board.
//!
//! The last line is a fingerprint: one number over all that the plan decides and where the image lies. Whoever has the
//! plan on paper compares that number with the one on the console, and has compared everything.

use core::fmt;
use core::hash::{Hash, Hasher};

use crate::shape::{GicRegions, Plan, Range, Share};

/// What boot says first, before it has looked at anything.
pub const BANNER: &str = concat!("Xenite ", env!("CARGO_PKG_VERSION"), ": Xen 4.17's interfaces, arm64");

/// Calls `say` for each line of a short account of the plan: where the hypervisor itself lies, and what [`fingerprint`] says
/// of both.
pub fn account(plan: &Plan, (image, sum): (Range, u64), mut say: impl FnMut(fmt::Arguments<'_>)) {
    for warning in &plan.warnings {
        say(format_args!("warning: {warning}"));
    }
    let gic = match plan.board.gic {
        GicRegions::V2 { .. } => 2,
        GicRegions::V3 { .. } => 3,
    };
    say(format_args!(
        "{} processors, GICv{gic}, {} MiB of RAM, {} MiB of it free",
        plan.board.cpus.len(),
        bytes(&plan.board.memory) >> 20,
        bytes(&plan.free) >> 20
    ));
    say(format_args!(
        "kept by the hypervisor: image {} KiB at {:#x}, heap {} KiB at {:#x}",
        image.size.saturating_sub(plan.planning.map_or(0, |planning| planning.size)) >> 10,
        image.base,
        plan.heap.size >> 10,
        plan.heap.base
    ));
    let several = plan.pools.len() > 1;
    for (id, pool) in (0_usize..).zip(&plan.pools).filter(|_| several) {
        say(format_args!("pool {id}: processors {}, scheduler {}", pool.numbers(), pool.scheduler.name()));
    }
    for domain in &plan.domains {
        let size: u64 = domain.memory.iter().fold(0, |sum, memory| memory.size.saturating_add(sum));
        say(format_args!(
            "d{}: {}: {} vCPUs, {} KiB of RAM in {} pieces from {:#x}, kernel at {:#x}, tree at {:#x}",
            domain.id,
            domain.path,
            domain.vcpus,
            size >> 10,
            domain.memory.len(),
            domain.memory.first().map_or(0, |memory| memory.host),
            domain.kernel.placed.guest,
            domain.tree_at
        ));
        if let Some(hardware) = domain.hardware.as_ref().filter(|_| domain.id != 0) {
            let (ranges, interrupts) = (hardware.mmio.len(), hardware.interrupts.len());
            say(format_args!(
                "d{}: {ranges} ranges of the host's registers, {interrupts} of its interrupts",
                domain.id
            ));
        }
        if several || domain.share != Share::default() {
            let Share { weight, cap } = domain.share;
            say(format_args!("d{}: pool {}, weight {weight}, cap {cap}", domain.id, domain.pool));
        }
    }
    say(format_args!("the plan's fingerprint is {sum:016x}"));
}

fn bytes(ranges: &[Range]) -> u64 {
    ranges.iter().fold(0, |sum, range| range.size.saturating_add(sum))
}

/// One number over the whole plan, the guests' trees included, and the image's place. It is no proof against somebody who wants two
/// plans to look alike; it tells two plans apart that are not meant to.
#[must_use]
pub fn fingerprint(plan: &Plan, image: Range) -> u64 {
    let mut sum = Sum(1);
    image.hash(&mut sum);
    plan.hash(&mut sum);
    sum.finish()
}

/// A sum over words of eight bytes, since boot is counted in instructions: a product carries what differs upwards, a
/// rotation brings it down again. It is the same on each computer whose words are alike.
struct Sum(u64);

impl Hasher for Sum {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        for word in words.iter().chain((!rest.is_empty()).then_some(&last)) {
            self.write_u64(u64::from_le_bytes(*word));
        }
    }

    // Numbers, which are most of a plan, do not go through bytes.
    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(u64::try_from(number).unwrap_or(u64::MAX));
    }
}
