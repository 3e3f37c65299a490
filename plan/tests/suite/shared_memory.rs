//! Memory that domains share: what is joined, what guests are told, and what is refused.

use plan::{GuestMemory, Plan, Range, SharedRegion, SharedView};

use crate::golden::{observed, text_of};
use crate::placement::check_conserved;
use crate::refusals::check_alone;
use crate::world::{GIB, MIB, Node, RAM_BASE, VIRT_GICV2, VIRT_GICV3, World, domain};

const AT: u64 = 0x9800_0000;

/// A node with these numbers in its place, in two cells each.
fn share(name: &str, id: &str, role: Option<&str>, place: &[u64]) -> Node {
    let node = Node::new(name)
        .texts("compatible", &["xen,domain-shared-memory-v1"])
        .texts("xen,shm-id", &[id])
        .numbers("xen,shared-mem", place);
    match role {
        Some(role) => node.texts("role", &[role]),
        None => node,
    }
}

/// 2 GiB, and domains that all have the region "one" at the same place; one for each role.
fn world_of(roles: &[Option<&str>]) -> World {
    let mut world = World::new(VIRT_GICV3);
    world.ram(&[(RAM_BASE, 2 * GIB)]);
    for (number, role) in roles.iter().enumerate() {
        let node = share("shm@98000000", "one", *role, &[AT, 0x5000_0000, 2 * MIB]);
        world.add(domain(&format!("domU{}", number + 1), 64 << 10, 1).child(node));
    }
    world
}

/// The first domain owns, the second borrows.
fn world() -> World {
    world_of(&[Some("owner"), Some("borrower")])
}

/// `world` with a dom0 of 128 MiB that has the region at its own address.
fn with_dom0(role: &str) -> World {
    let mut world = world_of(&[Some("borrower"), Some("borrower")]);
    world.add_dom0();
    world.add(share("shm@98000000", "one", Some(role), &[AT, AT, 2 * MIB]));
    world
}

fn node(world: &mut World) -> &mut Node {
    world.tree.at("/chosen/domU2/shm@98000000")
}

fn place(world: &mut World, place: &[u64]) {
    let bytes: Vec<u8> = place.iter().flat_map(|number| number.to_be_bytes()).collect();
    node(world).set("xen,shared-mem", &bytes);
}

fn roles(plan: &Plan) -> Vec<Vec<bool>> {
    let owns = |domain: &plan::Domain| domain.shared.iter().map(|share| share.is_owner).collect();
    plan.domains.iter().map(owns).collect()
}

#[test]
fn an_owner_and_a_borrower_have_one_region() {
    let world = world();
    let plan = world.plan();
    let region = SharedRegion { id: "one".into(), host: Range { base: AT, size: 2 * MIB }, owner: Some(0) };
    assert_eq!(plan.shared, [region]);
    let memory = GuestMemory { guest: 0x5000_0000, host: AT, size: 2 * MIB };
    assert_eq!(plan.domains[0].shared, [SharedView { region: 0, memory, is_owner: true }]);
    assert_eq!(plan.domains[1].shared, [SharedView { region: 0, memory, is_owner: false }]);
    check_conserved(&plan, &world).unwrap();
    assert_eq!(world.warnings(), "");
    // The order of the tree does not matter, and nobody needs to be the owner.
    assert_eq!(world_of(&[Some("borrower"), Some("owner")]).plan().shared[0].owner, Some(1));
    let nobodys = world_of(&[None, None, None]).plan();
    assert_eq!(nobodys.shared[0].owner, None);
    assert_eq!(roles(&nobodys), [[false], [false], [false]]);
    // Who borrows where others say nothing borrows from nobody.
    assert_eq!(world_of(&[Some("borrower"), None]).plan().shared[0].owner, None);
}

#[test]
fn many_domains_share_many_regions_and_one_domain_sees_one_region_twice() {
    let mut world = world_of(&[None; 7]);
    let domain = world.tree.at("/chosen/domU3");
    domain.children.push(share("again", "one", None, &[AT, 0x4a00_0000, 2 * MIB]));
    for number in 0..12_u64 {
        let at = AT + (number + 1) * 2 * MIB;
        for name in ["domU1", "domU5"] {
            let node = share(&format!("more@{at:x}"), &format!("more{number}"), None, &[at, at, 4096]);
            world.tree.at(&format!("/chosen/{name}")).children.push(node);
        }
    }
    let plan = world.plan();
    assert_eq!(plan.shared.len(), 13);
    let seen: Vec<usize> = plan.domains.iter().map(|domain| domain.shared.len()).collect();
    assert_eq!(seen, [13, 1, 2, 1, 13, 1, 1]);
    let guests: Vec<u64> = plan.domains[2].shared.iter().map(|share| share.memory.guest).collect();
    assert_eq!(guests, [0x4a00_0000, 0x5000_0000]);
    check_conserved(&plan, &world).unwrap();
}

#[test]
fn dom0_shares_at_its_own_address_with_and_without_being_the_owner() {
    for role in ["owner", "borrower"] {
        let mut world = with_dom0(role);
        if role == "borrower" {
            world.tree.at("/chosen/domU1/shm@98000000").set("role", b"owner\0");
        }
        let plan = world.plan();
        assert_eq!(plan.shared[0].owner, Some(usize::from(role == "borrower")));
        let text = text_of(&plan.domains[0].tree);
        let node = "\t\txen-shmem@98000000 {\n\t\t\tcompatible = \"xen,shared-memory-v1\";\n\
                    \t\t\treg = <0x00 0x98000000 0x00 0x200000>;\n\t\t\txen,id = \"one\";";
        assert!(text.contains("\treserved-memory {\n\t\tranges;") && text.contains(node), "{text}");
        let region = Range { base: AT, size: 2 * MIB };
        let pv = plan.domains[0].pv.as_ref().unwrap();
        assert!(pv.extended.iter().all(|extended| !extended.overlaps(&region)), "{pv:?}");
        assert!(
            plan.domains[0]
                .memory
                .iter()
                .all(|piece| piece.host >= AT + 2 * MIB || piece.host + piece.size <= AT)
        );
        check_conserved(&plan, &world).unwrap();
    }
}

#[test]
fn the_hosts_own_reserved_memory_takes_what_dom0_shares() {
    let mut world = with_dom0("owner");
    let node = Node::new("reserved-memory")
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .bytes("ranges", &[])
        .child(Node::new("buffer@7e000000").numbers("reg", &[0x7e00_0000, 0x10_0000]));
    world.tree.children.insert(1, node);
    let text = text_of(&world.plan().domains[0].tree);
    assert_eq!(text.matches("reserved-memory {").count(), 1, "{text}");
    let node = text.split("reserved-memory {").nth(1).unwrap().split("\n\t};").next().unwrap();
    assert!(node.contains("buffer@7e000000 {") && node.contains("xen-shmem@98000000 {"), "{node}");
}

#[test]
fn guests_get_the_trees_that_xen_gave() {
    let mut world = World::new(VIRT_GICV3);
    world.ram(&[(RAM_BASE, 2 * GIB)]);
    let direct = domain("domU1", 131_072, 1)
        .bytes("direct-map", &[])
        .texts("xen,enhanced", &["no-xenstore"])
        .numbers("xen,static-mem", &[0x9000_0000, 128 * MIB])
        .child(share("shm@98000000", "shm-0", Some("owner"), &[AT, AT, 2 * MIB]))
        .child(share("shm@99000000", "shm-1", None, &[0x9900_0000, 0x9900_0000, MIB]));
    let other = domain("domU2", 131_072, 1)
        .texts("xen,enhanced", &["no-xenstore"])
        .child(share("shm@50000000", "shm-0", Some("borrower"), &[AT, 0x5000_0000, 2 * MIB]))
        .child(share("shm@51000000", "shm-1", None, &[0x9900_0000, 0x5100_0000, MIB]));
    world.add(direct);
    world.add(other);
    let plan = world.plan();
    check_conserved(&plan, &world).unwrap();
    let text = include_str!("../data/observed-directmap-static.dts");
    // Xen names other domains' memory as extended regions.
    let line = text.lines().find(|line| line.contains("0x38000000")).unwrap();
    let text = text.replace(line, "\t\treg = <0x00 0x38000000 0x00 0x1000000>;");
    assert_eq!(text_of(&plan.domains[0].tree), observed(&text, &[]));
    let text = include_str!("../data/observed-shm-passthrough.dts");
    let text = text.replace("phandle = <0x01>", "phandle = <0xfde8>");
    let text = text.replace("interrupt-parent = <0x01>", "interrupt-parent = <0xfde8>");
    // Xen tells the guest to put others' pages where the shared memory is; here it is left out.
    let regions = "0x00 0x48000000 0x00 0x8000000 0x00 0x51200000 0x00 0xaee00000 0x02 0x00 0xfe 0x00";
    let text = text.replace("0x00 0x48000000 0x00 0xb8000000 0x02 0x00 0xfe 0x00", regions);
    assert_eq!(text_of(&plan.domains[1].tree), observed(&text, &["passthrough"]));
}

#[test]
fn cells_are_those_of_the_domains_node() {
    let mut world = world();
    let domain = world.tree.at("/chosen/domU2");
    domain.set("#address-cells", &1_u32.to_be_bytes());
    domain.set("#size-cells", &1_u32.to_be_bytes());
    for module in ["module@50000000", "module@58000000"] {
        let module = world.tree.at(&format!("/chosen/domU2/{module}"));
        let (_, reg) = module.properties.iter().find(|(name, _)| name == "reg").unwrap();
        let short = [&reg[4..8], &reg[12..16]].concat();
        module.set("reg", &short);
    }
    let cells: Vec<u8> =
        [0x9800_0000_u32, 0x5000_0000, 0x20_0000].iter().flat_map(|cell| cell.to_be_bytes()).collect();
    node(&mut world).set("xen,shared-mem", &cells);
    assert_eq!(world.plan().domains[1].shared[0].memory.host, AT);
}

#[test]
fn names_roles_and_numbers_are_checked_one_by_one() {
    const PATH: &str = "/chosen/domU2/shm@98000000: ";
    check_alone(
        world,
        &[
            (|world| node(world).remove("xen,shm-id"), &[PATH, "xen,shm-id: is missing", "15 characters"]),
            (
                |world| node(world).set("xen,shm-id", b"sixteen letters!\0"),
                &["\"sixteen letters!\", which has 16"],
            ),
            (|world| node(world).set("xen,shm-id", b"\0"), &["xen,shm-id: is \"\", which has 0"]),
            (|world| node(world).set("xen,shm-id", &[0, 0, 0, 1]), &["xen,shm-id: is no text"]),
            (
                |world| node(world).set("role", b"user\0"),
                &["role: is \"user\", which means nothing", "\"owner\""],
            ),
            (|world| node(world).set("role", b"owner"), &["role: is \"no text\""]),
            (
                |world| node(world).remove("xen,shared-mem"),
                &["xen,shared-mem: is missing", "2 cells of host"],
            ),
            (|world| place(world, &[AT, 2 * MIB]), &["has 16 bytes, so there is no host address"]),
            (|world| place(world, &[AT]), &["xen,shared-mem: has 8 bytes"]),
            (|world| place(world, &[AT, 0x5000_0000, 2 * MIB, 0]), &["xen,shared-mem: has 32 bytes"]),
            (|world| place(world, &[AT, 0x5000_0000, 0]), &["empty", "multiples of 0x1000"]),
            (
                |world| place(world, &[AT + 1, 0x5000_0000, 2 * MIB]),
                &["host 0x98000001", "not 4 KiB aligned"],
            ),
            (|world| place(world, &[AT, 0x5000_0800, 2 * MIB]), &["guest 0x50000800", "not 4 KiB aligned"]),
            (|world| place(world, &[AT, 0x5000_0000, MIB + 1]), &["size 0x100001"]),
            (|world| place(world, &[AT, u64::MAX - 4095, 2 * MIB]), &["beyond the address space"]),
        ],
    );
}

#[test]
fn uses_that_contradict_one_another_are_refused() {
    check_alone(
        world,
        &[
            (
                |world| place(world, &[AT, 0x5000_0000, MIB]),
                &["\"one\" is at 0x98000000..0x98100000 here, but at"],
            ),
            (
                |world| place(world, &[AT + MIB, 0x5000_0000, 2 * MIB]),
                &["0x98000000..0x98200000 in /chosen/domU1/shm"],
            ),
            (
                |world| node(world).set("xen,shm-id", b"two\0"),
                &["0x98000000..0x98200000 overlaps", "is \"one\" of /chosen/domU1/shm@98000000"],
            ),
            (
                |world| node(world).set("role", b"owner\0"),
                &["role: \"one\" has an owner already, /chosen/domU1"],
            ),
            (
                |world| node(world).remove("role"),
                &["/chosen/domU2", "role: is missing", "/chosen/domU1 owns it"],
            ),
            (
                |world| world.tree.at("/chosen/domU1/shm@98000000").set("role", b"borrower\0"),
                &["/chosen/domU1", "role: is \"borrower\", but \"one\" has no owner"],
            ),
            (
                |world| {
                    let again = share("again", "one", Some("borrower"), &[AT, 0x5010_0000, 2 * MIB]);
                    world.tree.at("/chosen/domU2").children.push(again);
                },
                &[
                    "/chosen/domU2/again",
                    "guest address 0x50100000..0x50300000 overlaps \"one\" of the domain's",
                ],
            ),
        ],
    );
}

#[test]
fn host_memory_must_be_ram_that_nobody_else_has() {
    fn both(world: &mut World, at: u64) {
        for name in ["domU1", "domU2"] {
            let node = world.tree.at(&format!("/chosen/{name}/shm@98000000"));
            let bytes: Vec<u8> = [at, 0x5000_0000, 2 * MIB].iter().flat_map(|n| n.to_be_bytes()).collect();
            node.set("xen,shared-mem", &bytes);
        }
    }
    check_alone(
        world,
        &[
            (|world| both(world, 0xc000_0000), &["/chosen/domU1/shm@98000000", "does not lie in RAM"]),
            (|world| both(world, RAM_BASE + 2 * MIB), &["overlaps the hypervisor's image"]),
            (|world| both(world, 0x5000_0000), &["overlaps the module /chosen/domU1/module@50000000"]),
            (|world| both(world, 0x4800_0000), &["overlaps the device tree"]),
            (
                |world| {
                    let static_memory = [AT - 62 * MIB, 64 * MIB].map(u64::to_be_bytes).concat();
                    world.domain().set("xen,static-mem", &static_memory);
                },
                &["overlaps xen,static-mem of /chosen/domU1"],
            ),
        ],
    );
}

#[test]
fn guest_addresses_must_be_nobodys() {
    check_alone(
        world,
        &[
            (|world| place(world, &[AT, 0x4200_0000, 2 * MIB]), &["overlaps the domain's RAM at 0x40000000"]),
            (|world| place(world, &[AT, 0x2200_0000, 2 * MIB]), &["overlaps the UART"]),
            (
                |world| place(world, &[AT, 0x0300_0000, 2 * MIB]),
                &["overlaps the interrupt controller at 0x3001000"],
            ),
            (|world| place(world, &[AT, 0x0400_0000, 2 * MIB]), &["interrupt controller at 0x3020000"]),
            (
                |world| place(world, &[AT, (1 << 40) - MIB, 2 * MIB]),
                &["is out of reach", "end at 0x10000000000"],
            ),
            (
                |world| {
                    world.tree.at("/chosen/domU2").set("xen,enhanced", b"no-xenstore\0");
                    place(world, &[AT, 0x3860_0000, 2 * MIB]);
                },
                &["overlaps the grant table's window"],
            ),
            (
                |world| {
                    world.tree.at("/chosen/domU2").set("xen,enhanced", b"no-xenstore\0");
                    place(world, &[AT, 0x3900_0000, 2 * MIB]);
                },
                &["overlaps pages of xenstore and the console"],
            ),
        ],
    );
    // A domain without PV interfaces has no window.
    let mut world = world();
    place(&mut world, &[AT, 0x3860_0000, 2 * MIB]);
    world.plan();
    check_alone(
        || with_dom0("owner"),
        &[(
            |world| {
                let node = world.tree.at("/chosen/shm@98000000");
                node.set("xen,shared-mem", &[AT, 0x1_0000_0000, 2 * MIB].map(u64::to_be_bytes).concat());
            },
            &["/chosen/shm@98000000", "guest address 0x100000000 is not the host's 0x98000000"],
        )],
    );
    check_alone(
        world_of_dom0s_share,
        &[(|_| {}, &["/chosen/shm: compatible: is shared memory of dom0, and there is no"])],
    );
}

/// Shared memory in `/chosen` where there is no dom0.
fn world_of_dom0s_share() -> World {
    let mut world = world();
    world.add(share("shm", "two", None, &[0x9a00_0000, 0x9a00_0000, MIB]));
    world
}

#[test]
fn what_is_odd_is_said() {
    let mut lonely = world_of(&[Some("owner")]);
    lonely.tree.at("/chosen/domU1/shm@98000000").set("colour", b"red\0");
    let text = lonely.warnings();
    assert!(text.contains("/chosen/domU1/shm@98000000: unknown property \"colour\" is ignored"), "{text}");
    assert!(text.contains("\"one\" is shared with nobody: no other node names it"), "{text}");
    let mut crooked = world();
    place(&mut crooked, &[AT, 0x5000_1000, 2 * MIB]);
    assert!(crooked.warnings().contains("0x50001000 and host address 0x98000000 differ below 2 MiB"));
}

#[test]
fn a_gicv2_guests_shared_memory_stays_off_its_cpu_interface() {
    let mut world = World::new(VIRT_GICV2);
    let node = |guest| share("shm", "one", None, &[0x7000_0000, guest, 0x1000]);
    world.add(domain("domU1", 64 << 10, 1).child(node(0x0300_4000)));
    world.add(domain("domU2", 64 << 10, 1).child(node(0x0300_3000)));
    let text = world.refusals();
    assert!(
        text.contains("/chosen/domU2/shm") && text.contains("the interrupt controller at 0x3002000"),
        "{text}"
    );
    assert!(!text.contains("/chosen/domU1"), "{text}");
}

#[test]
fn tables_are_counted_for_what_is_shared() {
    let plan = world().plan();
    // Two roots, and a level 2 table with blocks of RAM and of the region.
    assert_eq!(plan.domains[0].table_frames, 3);
    let mut crooked = world();
    place(&mut crooked, &[AT, 0x5000_1000, 2 * MIB]);
    let plan = crooked.plan();
    // Two level 3 tables more.
    assert_eq!(plan.domains[1].table_frames, 5);
}
