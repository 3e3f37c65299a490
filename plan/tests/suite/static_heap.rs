//! `xen,static-heap`: what has no place of its owner's choice lies there, and nowhere else.

use plan::{Plan, Range};

use crate::placement::check_conserved;
use crate::world::{GIB, MIB, RAM_BASE, VIRT_GICV3, World, domain};

fn set(world: &mut World, ranges: &[(u64, u64)]) {
    let bytes: Vec<u8> =
        ranges.iter().flat_map(|(base, size)| [*base, *size]).flat_map(u64::to_be_bytes).collect();
    world.chosen().set("xen,static-heap", &bytes);
}

/// 2 GiB, a heap of these ranges, a domain with static memory and one without.
fn world(ranges: &[(u64, u64)]) -> World {
    let mut world = World::new(VIRT_GICV3);
    world.ram(&[(RAM_BASE, 2 * GIB)]);
    world.add(domain("domU1", 64 << 10, 1).numbers("xen,static-mem", &[0x9000_0000, 64 * MIB]));
    world.add(domain("domU2", 64 << 10, 1).texts("xen,enhanced", &["no-xenstore"]));
    set(&mut world, ranges);
    world
}

/// Everything that was placed by rule lies in these ranges.
fn check_inside(plan: &Plan, ranges: &[(u64, u64)]) {
    let inside = |range: Range| {
        let known = |(base, size): &(u64, u64)| Range { base: *base, size: *size }.contains(&range);
        assert!(ranges.iter().any(known), "{range}");
    };
    inside(plan.heap);
    plan.free.iter().copied().for_each(inside);
    for domain in plan.domains.iter().filter(|domain| !domain.is_static) {
        domain.memory.iter().for_each(|piece| inside(Range { base: piece.host, size: piece.size }));
        domain.pv.iter().for_each(|pv| inside(pv.pages));
    }
}

#[test]
fn heap_domains_and_free_memory_lie_in_the_ranges_and_the_rest_is_nobodys() {
    for ranges in [&[(0x6000_0000, 512 * MIB)][..], &[(0x6001_0000, 3 * MIB), (0xa000_0000, 66 * MIB)]] {
        let world = world(ranges);
        let plan = world.plan();
        check_inside(&plan, ranges);
        check_conserved(&plan, &world).unwrap();
        let idle: u64 = plan.idle.iter().map(|range| range.size).sum();
        assert!(idle > GIB && plan.idle.iter().all(|range| !range.overlaps(&plan.heap)));
        assert_eq!(world.warnings(), "");
        // The memory of planning would be outside: nobody gets it.
        assert_eq!(plan.planning, None);
    }
    // Whoever says nothing loses nothing.
    let mut all = world(&[]);
    all.chosen().remove("xen,static-heap");
    assert!(all.plan().idle.is_empty() && all.plan().static_heap.is_empty());
}

#[test]
fn a_heap_need_not_begin_at_2_mib() {
    let plan = world(&[(0x6001_0000, 80 * MIB)]).plan();
    assert_eq!(plan.heap.base, 0x6001_0000);
}

#[test]
fn dom0_lies_in_the_ranges_too() {
    let ranges = [(0x6000_0000, 512 * MIB)];
    let mut world = world(&ranges);
    world.add_dom0();
    let plan = world.plan();
    check_inside(&plan, &ranges);
    check_conserved(&plan, &world).unwrap();
}

#[test]
fn what_is_wrong_is_refused_by_name_and_number() {
    let rows: [(&[(u64, u64)], &str); 8] = [
        (&[(0x6000_1000, 64 * MIB)], "xen,static-heap: 0x60001000 + 0x4000000 is empty, not 64 KiB aligned"),
        (&[(0x6000_0000, 0)], "0x60000000 + 0x0 is empty"),
        (&[(0x6000_0000, 4096)], "not 64 KiB aligned"),
        (&[(u64::MAX - 0xffff, 64 * MIB)], "beyond the address space"),
        (&[(0x6000_0000, 64 * MIB), (0x6100_0000, 64 * MIB)], "overlaps 0x60000000..0x64000000"),
        (&[(0xc000_0000, 64 * MIB)], "0xc0000000..0xc4000000 does not lie in RAM"),
        (&[(0x9200_0000, 64 * MIB)], "overlaps xen,static-mem of /chosen/domU1"),
        (&[(0x5000_0000, 64 * MIB)], "overlaps the module /chosen/domU1/module@50000000"),
    ];
    for (ranges, expected) in rows {
        let text = world(ranges).refusals();
        assert!(text.contains("/chosen: xen,static-heap: ") && text.contains(expected), "{text}");
    }
    for bytes in [0, 4, 12, 24] {
        let mut world = world(&[]);
        world.chosen().set("xen,static-heap", &vec![0; bytes]);
        let text = world.refusals();
        assert!(text.contains(&format!("has {bytes} bytes, which is no list of 2 address and 2 size cells")));
    }
}

#[test]
fn a_heap_that_is_too_small_is_refused_with_what_is_missing() {
    let mut small = world(&[(0x6000_0000, 512 * MIB)]);
    small.chosen().remove_child("domU2");
    let needed = small.plan().heap.size;
    set(&mut small, &[(0x6000_0000, needed - 0x2_0000), (0xa000_0000, 0x10_0000)]);
    let text = small.refusals();
    let missing = "but the largest has";
    assert!(text.contains("xen,static-heap: the hypervisor needs") && text.contains(missing), "{text}");
    assert!(text.contains("128 KiB are missing"), "{text}");
    // Enough for the hypervisor, but not for a domain without a place.
    let text = world(&[(0x6000_0000, 32 * MIB)]).refusals();
    assert!(text.contains("/chosen/domU2: memory: asks for 64 MiB, but "), "{text}");
    assert!(text.contains("32 MiB of them in xen,static-heap"), "{text}");
}
