//! Pools of processors: how they are numbered, who is in which, and what is refused.

use plan::{Pool, Scheduler, Share};

use crate::refusals::{Row, check_in};
use crate::world::{Node, VIRT_GICV3, World, domain};

/// Phandle of a processor, and of the node of a pool.
const fn cpu(number: u32) -> u32 {
    0x700 + number
}
const ONE: u32 = 0x101;
const TWO: u32 = 0x102;

fn pool_node(name: &str, phandle: u32, cpus: &[u32]) -> Node {
    Node::new(name)
        .texts("compatible", &["xen,cpupool"])
        .cells("phandle", &[phandle])
        .cells("cpupool-cpus", cpus)
}

/// Four processors, no pools and no domains.
fn four() -> World {
    let mut world = World::new(VIRT_GICV3);
    let cpus = world.tree.at("/cpus");
    cpus.children.retain(|child| !child.name.starts_with("cpu"));
    for number in 0..4 {
        let node = Node::new(&format!("cpu@{number}"))
            .texts("device_type", &["cpu"])
            .texts("compatible", &["arm,cortex-a57"])
            .texts("enable-method", &["psci"])
            .cells("reg", &[number])
            .cells("phandle", &[cpu(number)]);
        cpus.children.push(node);
    }
    world
}

/// A pool of processors 2 and 3 with the null scheduler, and a domain in each pool.
fn pooled() -> World {
    let mut world = four();
    world.add(pool_node("quiet", ONE, &[cpu(3), cpu(2)]).texts("cpupool-sched", &["null"]));
    world.add(domain("domU1", 64 << 10, 1));
    world.add(domain("domU2", 64 << 10, 2).cells("domain-cpupool", &[ONE]));
    world
}

fn pool(path: &str, scheduler: Scheduler, cpus: &[usize]) -> Pool {
    Pool { path: path.into(), scheduler, cpus: cpus.to_vec() }
}

#[test]
fn without_a_pool_all_processors_and_domains_are_in_one() {
    let mut world = four();
    world.add(domain("domU1", 64 << 10, 1));
    world.command_line("sched=null");
    let plan = world.plan();
    assert_eq!(plan.pools, [pool("", Scheduler::Null, &[0, 1, 2, 3])]);
    assert_eq!((plan.domains[0].pool, plan.domains[0].share), (0, Share { weight: 256, cap: 0 }));
}

#[test]
fn the_pool_with_the_boot_processor_changes_places_with_the_first() {
    let plan = pooled().plan();
    let expected = [pool("", Scheduler::Fair, &[0, 1]), pool("/chosen/quiet", Scheduler::Null, &[2, 3])];
    assert_eq!(plan.pools, expected);
    assert_eq!([plan.domains[0].pool, plan.domains[1].pool], [0, 1]);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert_eq!(plan.pools[1].numbers().to_string(), "2-3");

    let mut world = four();
    world.add(pool_node("first", ONE, &[cpu(1)]));
    world.add(pool_node("second", TWO, &[cpu(3)]));
    world.add(pool_node("boot", 0x103, &[cpu(0), cpu(2)]));
    for (name, phandle) in [("domU1", ONE), ("domU2", TWO), ("domU3", 0x103)] {
        world.add(domain(name, 64 << 10, 1).cells("domain-cpupool", &[phandle]));
    }
    let plan = world.plan();
    let paths: Vec<&str> = plan.pools.iter().map(|pool| pool.path.as_str()).collect();
    assert_eq!(paths, ["/chosen/boot", "/chosen/second", "/chosen/first"]);
    let of_domains: Vec<usize> = plan.domains.iter().map(|domain| domain.pool).collect();
    assert_eq!(of_domains, [2, 1, 0]);
    assert_eq!(plan.pools[0].numbers().to_string(), "0,2");
}

#[test]
fn dom0_is_in_the_first_pool_and_has_as_many_vcpus_as_that_has_processors() {
    let mut world = pooled();
    world.add_dom0();
    world.chosen().set("xenite,sched-weight", &512_u32.to_be_bytes());
    world.chosen().set("xenite,sched-cap", &200_u32.to_be_bytes());
    let plan = world.plan();
    let dom0 = &plan.domains[0];
    assert_eq!((dom0.id, dom0.pool, dom0.vcpus), (0, 0, 2));
    assert_eq!(dom0.share, Share { weight: 512, cap: 200 });
    let said = world.warnings();
    assert!(said.contains("/chosen: xenite,sched-cap: 200 % limits nothing: 2 vCPUs"), "{said}");
}

#[test]
fn weights_and_caps_are_read_and_what_makes_no_sense_is_said() {
    let mut world = pooled();
    world.tree.at("/chosen/domU1").set("xenite,sched-weight", &65_535_u32.to_be_bytes());
    world.tree.at("/chosen/domU1").set("xenite,sched-cap", &25_u32.to_be_bytes());
    let share = world.plan().domains[0].share;
    assert_eq!(share, Share { weight: 65_535, cap: 25 });
    world.tree.at("/chosen/domU2").set("xenite,sched-weight", &1_u32.to_be_bytes());
    world.chosen().set("xenite,sched-cap", &25_u32.to_be_bytes());
    let said = world.warnings();
    assert!(said.contains("/chosen/domU2: weight and cap mean nothing to the null scheduler"), "{said}");
    assert!(said.contains("are dom0's and there is no dom0"), "{said}");
}

#[test]
fn a_pool_that_nobody_uses_and_one_with_too_many_vcpus_are_warnings() {
    let mut world = pooled();
    world.tree.at("/chosen/domU1").set("domain-cpupool", &ONE.to_be_bytes());
    let said = world.warnings();
    assert!(said.contains("the pool of all other processors is unused"), "{said}");
    assert!(said.contains("there are 3 vCPUs and 2 processors"), "{said}");
    let mut world = pooled();
    world.tree.at("/chosen/domU2").remove("domain-cpupool");
    let said = world.warnings();
    assert!(said.contains("/chosen/quiet: the pool is unused: no domain runs on processors 2-3"), "{said}");
}

#[test]
fn a_processor_of_another_kind_is_used_by_wish_only() {
    let mut world = pooled();
    world.tree.at("/cpus/cpu@1").set("compatible", b"arm,cortex-a53\0");
    let plan = world.plan();
    assert_eq!(plan.board.cpus.iter().map(|cpu| cpu.mpidr).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(plan.pools[1].cpus, [1, 2]);
    let said = world.warnings();
    assert!(said.contains("/cpus/cpu@1: is \"arm,cortex-a53\" and the boot processor"), "{said}");
    assert!(said.contains("it is not used without hmp-unsafe"), "{said}");
    world.command_line("hmp-unsafe=1");
    assert_eq!(world.plan().board.cpus.len(), 4);
    assert!(world.warnings().contains("a vCPU must stay on one kind"), "{}", world.warnings());
}

/// Every row must be refused with its words in one and the same refusal.
fn check(rows: &[Row]) {
    check_in(pooled, rows);
}

fn quiet(world: &mut World) -> &mut Node {
    world.tree.at("/chosen/quiet")
}

fn set_cpus(world: &mut World, cells: &[u32]) {
    let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
    quiet(world).set("cpupool-cpus", &bytes);
}

#[test]
fn each_fault_of_a_pool_is_refused_where_it_is() {
    check(&[
        (|world| quiet(world).remove("cpupool-cpus"), &["/chosen/quiet: cpupool-cpus: is missing", "hint"]),
        (|world| quiet(world).set("cpupool-cpus", &[]), &["quiet: cpupool-cpus: has 0 bytes"]),
        (|world| quiet(world).set("cpupool-cpus", &[0; 6]), &["quiet: cpupool-cpus: has 6 bytes"]),
        (|world| set_cpus(world, &[cpu(2), cpu(2)]), &["names /cpus/cpu@2", "/chosen/quiet has already"]),
        (
            |world| world.add(pool_node("other", TWO, &[cpu(3)])),
            &[
                "/chosen/other: cpupool-cpus: names /cpus/cpu@3 (processor 3), which /chosen/quiet has already",
            ],
        ),
        (|world| set_cpus(world, &[0x999]), &["phandle 0x999 belongs to no processor"]),
        (|world| set_cpus(world, &[ONE]), &["phandle 0x101 belongs to no processor"]),
        (
            |world| world.tree.at("/cpus/cpu@3").set("status", b"disabled\0"),
            &["names /cpus/cpu@3, which is not used"],
        ),
        (|world| world.command_line("maxcpus=3"), &["names /cpus/cpu@3, which is not used", "maxcpus="]),
        (
            |world| world.tree.at("/cpus/cpu@3").set("compatible", b"arm,cortex-a53\0"),
            &["names /cpus/cpu@3, which is not used", "hmp-unsafe"],
        ),
        (|world| set_cpus(world, &[cpu(2); 129]), &["name more than 128 processors"]),
        (
            |world| quiet(world).set("cpupool-sched", b"fifo\0"),
            &["quiet: cpupool-sched: is \"fifo\", which is no scheduler"],
        ),
        (
            |world| quiet(world).set("cpupool-sched", b"rtds\0"),
            &["quiet: cpupool-sched: is rtds, which is not supported"],
        ),
        (|world| quiet(world).set("cpupool-sched", &[1, 2]), &["cpupool-sched: is \"no text\""]),
    ]);
}

#[test]
fn each_fault_of_a_domain_is_refused_where_it_is() {
    check(&[
        (
            |world| world.tree.at("/chosen/domU2").set("domain-cpupool", &[0; 8]),
            &["/chosen/domU2: domain-cpupool: has 8 bytes"],
        ),
        (
            |world| world.tree.at("/chosen/domU2").set("domain-cpupool", &0x999_u32.to_be_bytes()),
            &["/chosen/domU2: domain-cpupool: phandle 0x999 belongs to no xen,cpupool node"],
        ),
        (
            |world| world.tree.at("/chosen/domU2").set("domain-cpupool", &cpu(0).to_be_bytes()),
            &["/chosen/domU2: domain-cpupool: phandle 0x700 belongs to no xen,cpupool node", "hint"],
        ),
        (
            |world| world.tree.at("/chosen/domU1").set("xenite,sched-weight", &[0; 4]),
            &["/chosen/domU1: xenite,sched-weight: is 0", "1 to 65535"],
        ),
        (
            |world| world.tree.at("/chosen/domU1").set("xenite,sched-weight", &65_536_u32.to_be_bytes()),
            &["xenite,sched-weight: is 65536"],
        ),
        (
            |world| world.tree.at("/chosen/domU1").set("xenite,sched-cap", &[0; 2]),
            &["/chosen/domU1: xenite,sched-cap: has 2 bytes"],
        ),
        (
            |world| world.tree.at("/chosen/domU1").set("xenite,sched-cap", &65_536_u32.to_be_bytes()),
            &["xenite,sched-cap: is 65536"],
        ),
    ]);
}
