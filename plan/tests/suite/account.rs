//! What boot says of a plan, and the number that stands for all of it.

use plan::{Plan, Range, account, fingerprint};

use crate::world::{GIB, MIB, RAM_BASE, World};

const IMAGE: Range = Range { base: RAM_BASE + 2 * MIB, size: 2 * MIB };

fn lines(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    account(plan, (IMAGE, fingerprint(plan, IMAGE)), |line| lines.push(line.to_string()));
    lines
}

#[test]
fn an_account_has_warnings_sums_domains_and_the_fingerprint() {
    let mut world = World::with_a_domain();
    world.command_line("colour=red");
    let plan = world.plan();
    let said = lines(&plan);
    assert_eq!(said[0], format!("warning: {}", plan.warnings[0]));
    let ram: u64 = plan.board.memory.iter().map(|bank| bank.size).sum();
    assert_eq!(ram, GIB);
    assert!(said[1].starts_with("2 processors, GICv3, 1024 MiB of RAM, "), "{said:?}");
    let kept = format!(
        "kept by the hypervisor: image 1792 KiB at 0x40200000, heap {} KiB at {:#x}",
        plan.heap.size >> 10,
        plan.heap.base
    );
    assert_eq!(said[2], kept);
    let host = plan.domains[0].memory[0].host;
    assert!(said[3].starts_with("d1: /chosen/domU1: "), "{said:?}");
    assert!(
        said[3].contains(&format!(" in 1 pieces from {host:#x}, kernel at 0x40000000, tree at ")),
        "{said:?}"
    );
    assert_eq!(said[4], format!("the plan's fingerprint is {:016x}", fingerprint(&plan, IMAGE)));
    assert_eq!(said.len(), 5);
}

#[test]
fn planning_has_whole_frames_at_the_end_of_the_image() {
    let mut world = World::with_a_domain();
    world.image = IMAGE;
    let end = |world: &World| world.plan().planning;
    assert_eq!(end(&world), Some(Range { base: RAM_BASE + 4 * MIB - (256 << 10), size: 256 << 10 }));
    world.image.size -= 0x800;
    let frames = Range { base: RAM_BASE + 4 * MIB - (256 << 10), size: (256 << 10) - 4096 };
    assert_eq!(end(&world), Some(frames));
    // A small image is not less than nothing.
    world.image.size = 4096;
    assert_eq!(end(&world), Some(Range { base: world.image.base, size: 4096 }));
}

#[test]
fn one_tree_has_one_fingerprint_and_another_has_another() {
    let plan = World::with_a_domain().plan();
    assert_eq!(fingerprint(&plan, IMAGE), fingerprint(&World::with_a_domain().plan(), IMAGE));
    let elsewhere = Range { base: IMAGE.base + 2 * MIB, ..IMAGE };
    assert_ne!(fingerprint(&plan, IMAGE), fingerprint(&plan, elsewhere));
    let changes: [fn(&mut Plan); 6] = [
        |plan| plan.heap.base += 2 * MIB,
        |plan| plan.domains[0].tree[40] ^= 1,
        |plan| [47, 55].iter().for_each(|at| plan.domains[0].tree[*at] ^= 0x80),
        |plan| plan.domains[0].memory[0].host += 2 * MIB,
        |plan| plan.domains[0].vcpus += 1,
        |plan| plan.options.noreboot = true,
    ];
    for change in changes {
        let mut other = plan.clone();
        change(&mut other);
        assert_ne!(fingerprint(&plan, IMAGE), fingerprint(&other, IMAGE));
    }
}
