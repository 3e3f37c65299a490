//! Memory is conserved: whatever the board and the domains, nothing is given twice and nothing that is not
//! there.

use plan::{Plan, Range, RangeSet};
use proptest::prelude::*;

use crate::world::{
    Files, GIB, MIB, Node, RAM_BASE, SIZES, VIRT_GICV2, VIRT_GICV3, World, domain, kernel_node,
};

/// Every frame of RAM has exactly one owner.
pub(crate) fn check_conserved(plan: &Plan, world: &World) -> Result<(), TestCaseError> {
    let mut rest = RangeSet::new();
    plan.board.memory.iter().for_each(|bank| rest.insert(*bank));
    let mut take = |range: Range, owner: &str| {
        prop_assert!(rest.contains(&range), "{owner} at {range} is not RAM or not free");
        rest.remove(range);
        Ok(())
    };
    take(world.image.outward(4096), "image")?;
    take(plan.heap, "heap")?;
    for range in &plan.boot_only {
        take(*range, "boot only")?;
    }
    for domain in &plan.domains {
        let mut guest_end = 0;
        for piece in &domain.memory {
            take(Range { base: piece.host, size: piece.size }, &domain.path)?;
            prop_assert!(piece.guest >= guest_end, "{:x?}", domain.memory);
            prop_assert!(plan::is_aligned(piece.guest | piece.host | piece.size, 4096));
            guest_end = piece.guest + piece.size;
        }
        if let Some(pv) = &domain.pv {
            take(pv.pages, "shared pages")?;
            prop_assert_eq!(pv.pages.size, world.facts.sizes.shared_pages * 4096);
            check_pv(domain, pv)?;
        }
    }
    for region in &plan.shared {
        take(region.host, &region.id)?;
    }
    for range in &plan.free {
        take(*range, "free")?;
    }
    for range in &plan.idle {
        take(*range, "idle")?;
    }
    // What is left is reserved, all of it.
    plan.board.reserved.iter().for_each(|range| rest.remove(*range));
    prop_assert!(rest.is_empty(), "lost: {:?}", rest);
    Ok(())
}

/// What is mapped at run time lies where nothing is at boot, and has tables.
fn check_pv(domain: &plan::Domain, pv: &plan::Pv) -> Result<(), TestCaseError> {
    let mut taken = vec![pv.grant_window];
    let shared = domain.shared.iter().map(|share| &share.memory);
    let seen = domain.memory.iter().chain(shared);
    taken.extend(seen.map(|piece| Range { base: piece.guest, size: piece.size }));
    for region in &pv.extended {
        prop_assert!(plan::is_aligned(region.base | region.size, plan::BLOCK_2_MIB));
        prop_assert!(region.size >= 64 * MIB);
        prop_assert!(taken.iter().all(|range| !range.overlaps(region)), "{region} in {taken:?}");
    }
    let ram: u64 = domain.memory.iter().map(|piece| piece.size).sum();
    prop_assert!(u64::from(domain.table_frames) > ram / plan::BLOCK_2_MIB + 8 + 32);
    Ok(())
}

/// Domains get what they ask for, in the banks that their tree names.
fn check_domains(plan: &Plan, asked: &[u64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(plan.domains.len(), asked.len());
    for (domain, asked) in plan.domains.iter().zip(asked) {
        let total: u64 = domain.memory.iter().map(|piece| piece.size).sum();
        prop_assert_eq!(total, *asked);
        let mut guest = RangeSet::new();
        domain.memory.iter().for_each(|piece| guest.insert(Range { base: piece.guest, size: piece.size }));
        let tree = plan::fdt::Fdt::open(&domain.tree).expect("a good tree");
        let memory = tree.root().child("memory").expect("memory");
        let cells = plan::fdt::Cells { address: 2, size: 2 };
        let mut banks = RangeSet::new();
        let reg = memory.property("reg").and_then(|reg| reg.reg(cells)).expect("reg");
        reg.for_each(|(base, size)| banks.insert(Range { base, size }));
        prop_assert_eq!(&guest, &banks);
        let placed = &domain.kernel.placed;
        let kernel = Range { base: placed.guest, size: placed.size };
        let tree = Range { base: domain.tree_at, size: plan::TREE_BYTES };
        prop_assert!(guest.contains(&kernel) && guest.contains(&tree) && !kernel.overlaps(&tree));
    }
    let needed: u64 = plan.budget.iter().map(|line| line.bytes).sum();
    prop_assert!(plan.heap.size >= needed && plan::is_aligned(plan.heap.base, plan::BLOCK_2_MIB));
    prop_assert!(plan::is_aligned(plan.heap.size, plan::FRAME_BYTES));
    Ok(())
}

/// A bank at a multiple of 64 KiB, and its size.
fn bank(number: u64) -> impl Strategy<Value = (u64, u64)> {
    let room = 0x1_0000_0000_u64 / 0x1_0000;
    (0..room / 2, 1..room / 2)
        .prop_map(move |(base, size)| (0x1_0000_0000 * (number + 1) + base * 0x1_0000, size * 0x1_0000))
}

fn a_board() -> impl Strategy<Value = World> {
    let banks = (proptest::bool::ANY, bank(0), bank(1), bank(2));
    let holes = proptest::collection::vec((0_u64..0xc0_0000, 1_u64..0x300_0000), 0..6);
    (banks, holes, proptest::bool::ANY).prop_map(|((many, first, second, third), holes, v2)| {
        let mut world = World::new(if v2 { VIRT_GICV2 } else { VIRT_GICV3 });
        world.files = Files::default();
        let low = (RAM_BASE, 0x4000_0000);
        let banks = if many { vec![low, first, second, third] } else { vec![low] };
        world.ram(&banks);
        world.reservations =
            holes.into_iter().map(|(base, size)| (0x6000_0000 + base * 1024, size)).collect();
        world
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_conserved_on_any_board(
        board in a_board(),
        sizes in proptest::collection::vec((0_u64..0x4000, 0_u32..=8), 1..8),
        vcpus in prop_oneof![1_u32..=8, 1_u32..=128],
        enhanced in prop_oneof![Just(0_u8), proptest::num::u8::ANY],
    ) {
        let mut world = board;
        let mut asked = Vec::new();
        for (number, (extra, shift)) in sizes.iter().enumerate() {
            let frames = 0x1000 + (extra << shift) % (3 << 20) + number as u64 * 7;
            asked.push(frames * 4096);
            let mut node = domain(&format!("domU{number}"), frames * 4, vcpus);
            node.children = vec![kernel_node(0x5000_0000, 2 * MIB)];
            if enhanced >> number & 1 == 1 {
                node.set("xen,enhanced", b"no-xenstore\0");
            }
            world.add(node);
        }
        match world.read() {
            Ok(plan) => {
                check_conserved(&plan, &world)?;
                check_domains(&plan, &asked)?;
            }
            Err(refusals) => {
                // Only for want of memory, or for more vCPUs than a GICv2 serves.
                let text = crate::world::words(&refusals);
                prop_assert!(text.contains("are left (of") || text.contains("overlaps reserved memory")
                    || vcpus > 8 && text.contains("GICv2 can tell only 8 apart"), "{}", text);
            }
        }
    }

    #[test]
    fn all_memory_can_be_had_to_the_last_frames(board in a_board(), seed in 0_u64..1000) {
        let mut world = board;
        let mut node = domain("domU1", 64 << 10, 1);
        node.children = vec![kernel_node(0x5000_0000, 2 * MIB)];
        world.add(node);
        let Ok(first) = world.read() else { return Ok(()) };
        let free: u64 = first.free.iter().map(|range| range.size).sum();
        // A second domain takes nearly all of the rest; its tables and objects need some, too.
        let asked = (free - 4 * MIB - (free >> 8) - seed * 4096) & !0xfff;
        let mut node = domain("domU2", asked / 1024, 1);
        node.children = vec![kernel_node(0x5000_0000, 2 * MIB)];
        world.add(node);
        let plan = world.plan();
        check_conserved(&plan, &world)?;
        check_domains(&plan, &[64 * MIB, asked])?;
    }
}

#[test]
fn a_small_system_costs_little() {
    let mut world = World::new(VIRT_GICV3);
    let mut node = domain("domU1", 64 << 10, 1);
    node.children.truncate(1);
    world.add(node);
    let plan = world.plan();
    // The hole below the image holds the heap.
    assert_eq!(plan.heap.base, RAM_BASE);
    let table = plan.board.memory.iter().map(|bank| bank.size.div_ceil(2 * MIB) * SIZES.block).sum::<u64>();
    assert!(plan.heap.size - table <= 512 << 10, "{} and {table}", plan.heap.size);
    // The domain is mapped by blocks: two roots and one table of 2 MiB entries.
    assert_eq!(plan.domains[0].table_frames, 3);
    assert_eq!(plan.domains[0].memory.len(), 1);
}

#[test]
fn a_gicv2_guest_needs_tables_for_its_cpu_interface() {
    let mut world = World::new(VIRT_GICV2);
    world.add(domain("domU1", 64 << 10, 1));
    // Two roots, RAM's level 2, and levels 2 and 3 for the interface in the first GiB.
    assert_eq!(world.plan().domains[0].table_frames, 5);
    world.facts.physical_bits = 39;
    assert_eq!(world.plan().domains[0].table_frames, 4);
}

#[test]
fn static_memory_fills_the_banks_in_its_order() {
    let mut world = World::new(VIRT_GICV3);
    world.ram(&[(RAM_BASE, 0x4000_0000), (0x1_0000_0000, 0x1_0000_0000)]);
    let ranges = [0x1_8000_0000, 0x8000_0000, 0x6000_0000, 0x1000_0000, 0x1_0000_0000, 0x7000_0000];
    let node: Node = domain("domU1", 0x10_0000_0000 >> 10 >> 4, 1).numbers("xen,static-mem", &ranges);
    world.add(node);
    let plan = world.plan();
    let pieces: Vec<_> =
        plan.domains[0].memory.iter().map(|piece| (piece.guest, piece.host, piece.size)).collect();
    assert_eq!(
        pieces,
        [
            (0x4000_0000, 0x1_8000_0000, 0x8000_0000),
            (0xc000_0000, 0x6000_0000, 0x1000_0000),
            (0xd000_0000, 0x1_0000_0000, 0x3000_0000),
            (0x2_0000_0000, 0x1_3000_0000, 0x4000_0000),
        ]
    );
    check_conserved(&plan, &world).unwrap();
}

#[test]
fn a_direct_map_has_a_bank_for_each_range() {
    let mut world = World::with_a_domain();
    world.domain().set("direct-map", &[]);
    let ranges = [0x7000_0000_u64, 64 * MIB, 0x6000_0000, 64 * MIB].map(u64::to_be_bytes).concat();
    world.domain().set("xen,static-mem", &ranges);
    let plan = world.plan();
    let domain = &plan.domains[0];
    assert!(domain.memory.iter().all(|piece| piece.guest == piece.host));
    assert_eq!(domain.memory[0].guest, 0x6000_0000);
    assert_eq!(domain.kernel.entry, 0x7000_0000);
    assert_eq!((domain.layout.uart, domain.layout.uart_interrupt), (0x900_0000, 33));
    assert_eq!((domain.layout.distributor, domain.layout.cpu_interface), (0x800_0000, 0x80a_0000));
    check_conserved(&plan, &world).unwrap();
}

#[test]
fn the_same_tree_gives_the_same_plan() {
    let mut world = World::with_a_domain();
    world.add(domain("domU2", 300 << 10, 3));
    assert_eq!(format!("{:?}", world.plan()), format!("{:?}", world.plan()));
}

#[test]
fn a_large_domain_is_placed_before_small_ones() {
    let mut world = World::new(VIRT_GICV3);
    world.ram(&[(RAM_BASE, 0x1_0000_0000)]);
    world.add(domain("domU1", 64 << 10, 1));
    world.add(domain("domU2", 2 << 20, 1));
    let plan = world.plan();
    assert_eq!(plan.domains[1].memory[0].host % (1 << 30), 0);
    assert_eq!(plan.domains[1].table_frames, 2);
    // The small one takes the smallest hole that it fits in.
    assert!(plan.domains[0].memory[0].host < plan.domains[1].memory[0].host);
}

#[test]
fn a_pool_is_as_large_as_the_owner_says_and_holds_the_map() {
    let mut world = World::with_a_domain();
    world.domain().set("xen,domain-p2m-mem-mb", &2_u32.to_be_bytes());
    let plan = world.plan();
    assert_eq!(plan.domains[0].table_frames, 512);
    let tables =
        |what: &str| plan.budget.iter().find(|line| line.what == what).map_or(0, |line| line.bytes / 4104);
    assert_eq!(tables("stage 2 tables of domain 1"), 3);
    assert_eq!(tables("spare stage 2 tables of domain 1"), 509);
    // Pages at odd addresses take a table for each 2 MiB.
    world.domain().set("memory", &(640_u64 << 10).to_be_bytes());
    world.ram(&[(RAM_BASE, GIB), (2 * GIB, GIB)]);
    world.domain().set("xen,static-mem", &[0x8000_1000_u64, 640 * MIB].map(u64::to_be_bytes).concat());
    world.domain().set("xen,domain-p2m-mem-mb", &1_u32.to_be_bytes());
    let text = world.refusals();
    assert!(
        text.contains("/chosen/domU1: xen,domain-p2m-mem-mb: is 1, but the domain's map takes 1292 KiB"),
        "{text}"
    );
    assert!(text.contains("xen,domain-p2m-mem-mb = <2>; or more"), "{text}");
    for (value, words) in [
        (&[0; 4][..], "is 0, but the domain's map takes"),
        (&[0; 8], "has 8 bytes, not the 4 of one cell"),
        (&[0xff; 4], "is 4294967295, for which the hypervisor has no memory"),
    ] {
        let mut world = World::with_a_domain();
        world.domain().set("xen,domain-p2m-mem-mb", value);
        let text = world.refusals();
        assert!(text.contains(words), "{text}");
    }
}

/// What is said of a tree whose domain has such a pool, and, by it, the largest pool that it could have.
#[track_caller]
fn most_of_pool(world: &mut World, mib: u32) -> u32 {
    world.domain().set("xen,domain-p2m-mem-mb", &mib.to_be_bytes());
    let refusals = world.read().unwrap_err();
    let [refusal] = &refusals[..] else { panic!("{refusals:?}") };
    let place = (refusal.node.as_str(), refusal.property.as_str());
    assert_eq!(place, ("/chosen/domU1", "xen,domain-p2m-mem-mb"), "{refusal}");
    assert!(
        refusal.reason.starts_with(&format!("is {mib}, for which the hypervisor has no memory (of 1 GiB"))
    );
    let most = refusal.hint.strip_prefix("at most ").and_then(|rest| rest.split_once(';')).expect("a hint").0;
    most.parse().expect("a number")
}

#[test]
fn a_pool_above_all_memory_is_told_how_large_it_could_be() {
    let heaps: [&[u64]; 3] =
        [&[], &[0x6001_0000, 300 * MIB], &[0x6001_0000, 100 * MIB, 0x7000_0000, 200 * MIB]];
    for heap in heaps {
        let mut world = World::with_a_domain();
        world
            .chosen()
            .set("xen,static-heap", &heap.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>());
        if heap.is_empty() {
            world.chosen().remove("xen,static-heap");
        }
        let most = most_of_pool(&mut world, 4096);
        // One more has no place either, or leaves too little for the domain.
        world.domain().set("xen,domain-p2m-mem-mb", &(most + 1).to_be_bytes());
        let refusals = world.refusals();
        assert!(refusals.contains(" of it for xen,domain-p2m-mem-mb"), "{heap:?}: {refusals}");
        world.domain().set("xen,domain-p2m-mem-mb", &most.to_be_bytes());
        assert_eq!(world.plan().domains[0].table_frames, most * 256);
    }
    // Without room for anything else it is not the pool.
    let mut world = World::with_a_domain();
    world.domain().set("xen,domain-p2m-mem-mb", &4_u32.to_be_bytes());
    world.facts.sizes.fixed = 2 * GIB;
    let refusals = world.refusals();
    assert!(refusals.contains("/chosen: memory: no room for the hypervisor's heap of "), "{refusals}");
}
