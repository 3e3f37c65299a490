//! Where a refusal points: the node and property at fault, and those that it contradicts.

use crate::world::{KERNEL_AT, MIB, World, domain, kernel_node, ramdisk_node};

/// The places of the only refusal, as `NODE PROPERTY` each.
fn places(spoil: fn(&mut World)) -> (String, Option<String>) {
    let mut world = World::with_a_domain();
    spoil(&mut world);
    let refusals = world.read().expect_err("the tree is wrong");
    assert_eq!(refusals.len(), 1, "{}", crate::world::words(&refusals));
    let refusal = &refusals[0];
    let other = refusal.other.as_ref().map(|other| format!("{} {}", other.node, other.property));
    (format!("{} {}", refusal.node, refusal.property), other)
}

fn statics(world: &mut World, path: &str, numbers: &[u64]) {
    let value: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    world.tree.at(path).set("xen,static-mem", &value);
}

#[test]
fn two_ranges_that_overlap_are_both_pointed_at() {
    let found = places(|world| {
        statics(world, "/chosen/domU1", &[0x6000_0000, 128 * MIB]);
        world.add(domain("domU2", 64 << 10, 1));
        statics(world, "/chosen/domU2", &[0x6400_0000, 64 * MIB]);
    });
    let other = Some("/chosen/domU1 xen,static-mem".into());
    assert_eq!(found, ("/chosen/domU2 xen,static-mem".into(), other));
    let found = places(|world| statics(world, "/chosen/domU1", &[0x5000_0000, 128 * MIB]));
    let other = found.1.unwrap();
    assert!(other.starts_with("/chosen/domU1/module@5") && other.ends_with(" reg"), "{other}");
}

#[test]
fn a_sum_is_held_against_the_memory_that_is_asked_for() {
    let found = places(|world| statics(world, "/chosen/domU1", &[0x6000_0000, 64 * MIB]));
    assert_eq!(found, ("/chosen/domU1 xen,static-mem".into(), Some("/chosen/domU1 memory".into())));
}

#[test]
fn a_second_kernel_points_at_the_first() {
    let found = places(|world| world.domain().children.push(kernel_node(0x6000_0000, 4096)));
    let other = Some("/chosen/domU1/module@50000000 compatible".into());
    assert_eq!(found, ("/chosen/domU1/module@60000000 compatible".into(), other));
}

#[test]
fn reg_is_held_against_the_name_of_its_node() {
    let found = places(|world| world.kernel().name = "module@51000000".into());
    let other = Some("/chosen/domU1/module@51000000 ".into());
    assert_eq!(found, ("/chosen/domU1/module@51000000 reg".into(), other));
}

#[test]
fn a_fault_that_contradicts_nothing_has_one_place() {
    assert_eq!(places(|world| world.domain().remove("cpus")), ("/chosen/domU1 cpus".into(), None));
}

#[test]
fn a_warning_names_its_property() {
    let mut world = World::with_a_domain();
    world.domain().set("colour", &[]);
    let warning = world.plan().warnings[0].clone();
    assert_eq!((warning.node.as_str(), warning.property.as_str()), ("/chosen/domU1", "colour"));
    assert_eq!(warning.to_string(), "/chosen/domU1: unknown property \"colour\" is ignored");
}

#[test]
fn two_domains_of_one_name_are_refused() {
    let mut world = World::with_a_domain();
    world.add(domain("domU1", 64 << 10, 1));
    assert!(world.refusals().contains("/chosen/domU1: is the name of two domains"));
}

#[test]
fn a_kernel_begins_at_a_2_mib_boundary_also_in_a_direct_map_that_does_not() {
    let mut world = World::with_a_domain();
    world.domain().set("direct-map", &[]);
    statics(&mut world, "/chosen/domU1", &[0x6000_1000, 128 * MIB]);
    let kernel = world.plan().domains[0].kernel;
    assert_eq!(kernel.entry, 0x6020_0000);
    // What is behind the boundary must suffice.
    *world.kernel() = kernel_node(KERNEL_AT, 32 * MIB);
    *world.tree.at("/chosen/domU1/module@58000000") = ramdisk_node(0x5800_0000, 4096);
    world.domain().set("memory", &(32_u64 << 10).to_be_bytes());
    statics(&mut world, "/chosen/domU1", &[0x6000_1000, 32 * MIB]);
    let text = world.refusals();
    assert!(text.contains("/chosen/domU1: memory: the kernel does not fit"), "{text}");
}

/// Modules that must not be looked into.
struct Untouchable;

impl plan::Modules for Untouchable {
    fn read(&self, at: u64, _: &mut [u8]) -> bool {
        panic!("{at:#x} is not RAM and was read");
    }
}

#[test]
fn what_does_not_lie_in_ram_is_not_looked_into() {
    let mut world = World::with_a_domain();
    *world.kernel() = kernel_node(0x900_0000, 4096);
    let blob = world.blob();
    let refusals = world.read_blob_with(&blob, &Untouchable).expect_err("it is not in RAM");
    assert_eq!(refusals.len(), 1, "{}", crate::world::words(&refusals));
    assert!(refusals[0].reason.contains("does not lie in RAM"));
}
