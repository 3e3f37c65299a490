//! What boot says of the plan that it follows.

use core::fmt;

use plan::{GicRegions, Plan, Range};

/// Calls `say` for each line of a short account of the plan. `image` is where the hypervisor itself lies.
pub fn describe(plan: &Plan, image: Range, mut say: impl FnMut(fmt::Arguments<'_>)) {
    let memory: u64 = bytes(&plan.board.memory);
    let free: u64 = bytes(&plan.free);
    let gic = match plan.board.gic {
        GicRegions::V2 { .. } => 2,
        GicRegions::V3 { .. } => 3,
    };
    say(format_args!(
        "{} processors, GICv{gic}, {} MiB of RAM, {} MiB of it free",
        plan.board.cpus.len(),
        memory >> 20,
        free >> 20
    ));
    say(format_args!(
        "kept by the hypervisor: image {} KiB, heap {} KiB",
        image.size >> 10,
        plan.heap.size >> 10
    ));
    for domain in &plan.domains {
        let size: u64 = domain.memory.iter().fold(0, |sum, memory| memory.size.saturating_add(sum));
        say(format_args!(
            "d{}: {}: {} vCPUs, {} KiB of RAM in {} pieces, kernel at {:#x}, tree at {:#x}",
            domain.id,
            domain.path,
            domain.vcpus,
            size >> 10,
            domain.memory.len(),
            domain.kernel.placed.guest,
            domain.tree_at
        ));
    }
}

fn bytes(ranges: &[Range]) -> u64 {
    ranges.iter().fold(0, |sum, range| range.size.saturating_add(sum))
}
