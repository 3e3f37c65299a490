//! Devices that are given to domains by partial device trees.

use plan::{DeviceInterrupt, GuestMemory, Plan};

use crate::golden::text_of;
use crate::refusals::{Row, check_alone};
use crate::world::{File, Node, VIRT_GICV2, World, domain, kernel_node};

const MODULE: &str = "module@5a000000";
const MODULE_AT: u64 = 0x5a00_0000;
const CLOCK: u64 = 0x901_0000;
const GPIO: u64 = 0x903_0000;

/// A device of the guest's that is one of the host's.
fn device(name: &str, path: &str, places: &[u64]) -> Node {
    Node::new(name)
        .texts("xen,path", &[path])
        .numbers("xen,reg", places)
        .bytes("xen,force-assign-without-iommu", &[])
}

/// A partial tree whose controller has phandle 1.
fn partial(devices: Vec<Node>) -> Node {
    let mut passthrough = Node::new("passthrough")
        .texts("compatible", &["simple-bus"])
        .bytes("ranges", &[])
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2]);
    passthrough.children = devices;
    let controller = Node::new("gic").cells("#interrupt-cells", &[3]).bytes("interrupt-controller", &[]);
    let cells = Node::new("").cells("#address-cells", &[2]).cells("#size-cells", &[2]);
    cells.child(controller.cells("phandle", &[1])).child(passthrough)
}

/// The partial tree with which Xen's guest got QEMU's clock.
pub(crate) fn clock() -> Node {
    let oscillator = Node::new("apb-pclk")
        .texts("compatible", &["fixed-clock"])
        .cells("#clock-cells", &[0])
        .cells("clock-frequency", &[24_000_000])
        .cells("phandle", &[2]);
    let clock = device("rtc@9010000", "/pl031@9010000", &[CLOCK, 0x1000, CLOCK])
        .texts("compatible", &["arm,pl031", "arm,primecell"])
        .numbers("reg", &[CLOCK, 0x1000])
        .cells("interrupts", &[0, 2, 4])
        .cells("interrupt-parent", &[1])
        .cells("clocks", &[2])
        .texts("clock-names", &["apb_pclk"]);
    partial(vec![oscillator, clock])
}

/// Gives the domain at this path a partial tree, whose file lies at an address of its own.
fn give_at(world: &mut World, path: &str, at: u64, tree: &Node) {
    let bytes = tree.blob();
    let mut node = kernel_node(at, bytes.len() as u64)
        .texts("compatible", &["multiboot,device-tree", "multiboot,module"]);
    node.remove("bootargs");
    world.tree.at(path).children.push(node);
    world.files.files.push(File { base: at, size: bytes.len() as u64, head: bytes, tail: Vec::new() });
}

/// Gives the first domain a partial tree.
pub(crate) fn give(world: &mut World, tree: &Node) {
    for path in ["/pl031@9010000", "/pl061@9030000"] {
        world.tree.at(path).set("xen,passthrough", &[]);
    }
    give_at(world, "/chosen/domU1", MODULE_AT, tree);
}

/// A world whose domain has the clock.
fn world() -> World {
    let mut world = World::with_a_domain();
    give(&mut world, &clock());
    world
}

/// The same with a dom0, which has the module `0x5000_0000`.
fn world_with_dom0() -> World {
    let mut world = world();
    let kernel = kernel_node(0x5000_0000, crate::world::KERNEL_BYTES);
    world.chosen().children.insert(0, kernel);
    world
}

/// Gives the domain of a world another partial tree.
fn change(world: &mut World, tree: &Node) {
    world.files.files.retain(|file| file.base != MODULE_AT);
    world.domain().remove_child(MODULE);
    give_at(world, "/chosen/domU1", MODULE_AT, tree);
}

/// Changes the clock's node in the partial tree.
fn spoil(world: &mut World, spoil: impl FnOnce(&mut Node)) {
    let mut tree = clock();
    spoil(tree.at("/passthrough/rtc@9010000"));
    change(world, &tree);
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Another place for the clock's registers: host address, size, guest address.
fn place(world: &mut World, places: &[u64]) {
    spoil(world, |node| node.set("xen,reg", &numbers(places)));
}

/// Another device of the host for the clock's node.
fn path(world: &mut World, path: &str) {
    let text = [path.as_bytes(), &[0]].concat();
    spoil(world, |node| node.set("xen,path", &text));
}

fn hardware(plan: &Plan, index: usize) -> &plan::Hardware {
    plan.domains[index].hardware.as_ref().expect("devices")
}

#[test]
fn a_device_of_the_host_has_its_registers_where_its_owner_wants_and_its_interrupts_where_they_are() {
    let mut world = world();
    let seen = 0x1000_0000;
    place(&mut world, &[CLOCK, 0x1000, seen]);
    let plan = world.plan();
    let hardware = hardware(&plan, 0);
    assert_eq!(hardware.mmio, [GuestMemory { guest: seen, host: CLOCK, size: 0x1000 }]);
    assert_eq!(hardware.interrupts, [DeviceInterrupt { intid: 34, edge: false }]);
    // One table for the 2 MiB around, in the GiB of the other devices.
    let mut without = World::with_a_domain();
    without.facts = world.facts;
    assert_eq!(plan.domains[0].table_frames, without.plan().domains[0].table_frames + 2);
    let mut lines = Vec::new();
    plan::account(&plan, (world.image, 0), |line| lines.push(line.to_string()));
    assert!(lines.contains(&"d1: 1 ranges of the host's registers, 1 of its interrupts".to_owned()));
}

#[test]
fn what_is_given_away_is_not_dom0s() {
    let world = world_with_dom0();
    let plan = world.plan();
    assert!(!hardware(&plan, 0).mmio.iter().any(|one| one.host <= CLOCK && CLOCK < one.host + one.size));
    assert!(!hardware(&plan, 0).interrupts.iter().any(|interrupt| interrupt.intid == 34));
    assert_eq!(hardware(&plan, 1).interrupts, [DeviceInterrupt { intid: 34, edge: false }]);
    let text = text_of(&plan.domains[0].tree);
    assert!(!text.contains("module@5a000000"), "{text}");
}

#[test]
fn aliases_go_into_the_guests_tree_and_nothing_else_does() {
    let mut world = World::new(VIRT_GICV2);
    world.add(domain("domU1", 128 << 10, 1));
    let mut tree = clock();
    tree.children.push(Node::new("aliases").texts("rtc0", &["/passthrough/rtc@9010000"]));
    tree.children.push(Node::new("__symbols__").texts("rtc", &["/passthrough/rtc@9010000"]));
    tree.at("/passthrough").children.push(Node::new("empty").child(Node::new("below")));
    give(&mut world, &tree);
    let text = text_of(&world.plan().domains[0].tree);
    assert!(text.contains("aliases {\n\t\trtc0 = \"/passthrough/rtc@9010000\";\n\t};"), "{text}");
    assert!(text.contains("\t\tempty {\n\n\t\t\tbelow {\n\t\t\t};\n\t\t};\n\t};"), "{text}");
    assert!(!text.contains("__symbols__") && !text.contains("xen,") && !text.contains("gic {"), "{text}");
    // Without a node of its own the controller keeps its phandle.
    tree.remove_child("gic");
    tree.at("/passthrough/rtc@9010000").remove("interrupt-parent");
    change(&mut world, &tree);
    assert!(text_of(&world.plan().domains[0].tree).contains("\tphandle = <0xfde8>;"));
    let warning =
        "/passthrough/rtc@9010000: its interrupts lead nowhere in the guest: interrupt-parent is missing";
    assert!(world.warnings().contains(warning), "{}", world.warnings());
}

#[test]
fn several_devices_in_a_frame_go_to_one_domain_together() {
    let mut world = World::with_a_domain();
    let place = [0xa00_3000, 0x1000, 0xa00_3000];
    let disks = ["/virtio_mmio@a003c00", "/virtio_mmio@a003e00"]
        .map(|path| device(path.strip_prefix('/').unwrap(), path, &place));
    for path in ["/virtio_mmio@a003c00", "/virtio_mmio@a003e00"] {
        world.tree.at(path).set("xen,passthrough", &[]);
    }
    give(&mut world, &partial(disks.to_vec()));
    let plan = world.plan();
    assert_eq!(hardware(&plan, 0).mmio.len(), 1);
    let intids: Vec<u32> = hardware(&plan, 0).interrupts.iter().map(|interrupt| interrupt.intid).collect();
    assert_eq!(intids, [78, 79]);
    // Dom0 would have the others there.
    world.chosen().children.insert(0, kernel_node(0x5000_0000, crate::world::KERNEL_BYTES));
    let refusals = world.refusals();
    let reason =
        "/virtio_mmio@a003a00: reg: shares 4 KiB with a device that is kept from dom0 (xen,passthrough)";
    assert!(refusals.contains(reason), "{refusals}");
}

#[test]
fn registers_alone_need_no_node_of_the_host() {
    let mut world = world();
    spoil(&mut world, |node| node.remove("xen,path"));
    let plan = world.plan();
    assert_eq!(hardware(&plan, 0).mmio.len(), 1);
    assert_eq!(hardware(&plan, 0).interrupts, []);
}

#[test]
fn without_dom0_a_device_needs_no_word_that_keeps_it_from_dom0() {
    let mut world = world();
    world.tree.at("/pl031@9010000").remove("xen,passthrough");
    let warning =
        "/pl031@9010000: is given to a domain, but has no xen,passthrough: beside a dom0 it would be dom0's";
    assert!(world.warnings().contains(warning));
    world.chosen().children.insert(0, kernel_node(0x5000_0000, crate::world::KERNEL_BYTES));
    assert!(world.refusals().contains("\"/pl031@9010000\" is dom0's, since its node has no xen,passthrough"));
}

#[test]
fn extended_regions_leave_devices_out() {
    let mut world = world();
    world.domain().set("xen,enhanced", b"no-xenstore\0");
    place(&mut world, &[CLOCK, 0x1000, 0x5000_0000]);
    let pv = world.plan().domains[0].pv.clone().unwrap();
    assert!(pv.extended.iter().all(|range| !range.contains(&plan::Range { base: 0x5000_0000, size: 1 })));
    assert_eq!(pv.extended.len(), 3);
    // The grant window of a direct map makes room.
    world.domain().set("direct-map", &[]);
    world.domain().set("xen,static-mem", &numbers(&[0x7000_0000, 128 << 20]));
    place(&mut world, &[CLOCK, 0x1000, 0x3800_0000]);
    assert_eq!(world.plan().domains[0].pv.clone().unwrap().grant_window.base, world.image.base);
}

#[test]
fn a_module_that_cannot_be_looked_into_gives_nothing_and_dom0_gets_none() {
    let mut world = world_with_dom0();
    world.files.files.retain(|file| file.base != MODULE_AT);
    let plan = world.plan();
    assert!(plan.domains[1].hardware.is_none());
    assert!(plan.warnings.iter().any(|warning| warning.text == plan::UNSEEN_DEVICES));
    let mut node = kernel_node(0x5b00_0000, 0x1000).texts("compatible", &["multiboot,device-tree"]);
    node.remove("bootargs");
    world.chosen().children.push(node);
    assert!(world.warnings().contains("/chosen/module@5b000000: dom0 has the host's devices"));
}

#[test]
fn whatever_is_wrong_with_a_device_is_refused_alone() {
    let rows: &[Row] = &[
        (
            |world| world.files.files.last_mut().unwrap().head[0] = 0,
            &["/chosen/domU1/module@5a000000: reg: "],
        ),
        (
            |world| path(world, "/nowhere"),
            &["rtc@9010000: xen,path: \"/nowhere\" is no node of the host's tree"],
        ),
        (|world| spoil(world, |node| node.set("xen,path", &[1])), &["xen,path: \"\" is no node"]),
        (|world| path(world, "/pl011@9000000"), &["\"/pl011@9000000\" is the hypervisor's, or no device"]),
        (|world| path(world, "/memory@40000000"), &["is the hypervisor's, or no device"]),
        (|world| path(world, "/intc@8000000"), &["is the hypervisor's, or no device"]),
        (|world| path(world, "/timer"), &["is the hypervisor's, or no device"]),
        (|world| spoil(world, |node| node.remove("xen,reg")), &["xen,reg: is missing"]),
        (
            |world| {
                spoil(world, |node| {
                    node.remove("xen,path");
                    node.remove("xen,force-assign-without-iommu");
                });
            },
            &["xen,path: is missing"],
        ),
        (
            |world| spoil(world, |node| node.remove("xen,force-assign-without-iommu")),
            &["xen,force-assign-without-iommu: is missing", "no IOMMU is driven"],
        ),
        (
            |world| spoil(world, |node| node.set("xen,reg", &[0; 8])),
            &["xen,reg: has 8 bytes, which is no list"],
        ),
        (|world| spoil(world, |node| node.set("xen,reg", &[])), &["xen,reg: has 0 bytes"]),
        (|world| place(world, &[CLOCK, 0, CLOCK]), &["size 0x0", "empty, not 4 KiB aligned"]),
        (|world| place(world, &[CLOCK, 0x200, CLOCK]), &["size 0x200", "not 4 KiB aligned"]),
        (|world| place(world, &[CLOCK, 0x1000, CLOCK + 4]), &["guest 0x9010004", "not 4 KiB aligned"]),
        (|world| place(world, &[CLOCK, 0x1000, u64::MAX - 0xfff]), &["beyond the address space"]),
        (
            |world| place(world, &[CLOCK, 0x2000, CLOCK]),
            &["0x9010000..0x9012000 is not all in registers of the host's device: 0x9010000..0x9011000"],
        ),
        (
            |world| place(world, &[CLOCK, 0x1000, 1 << 40]),
            &["overlaps what is out of reach at 0x10000000000"],
        ),
        (|world| place(world, &[CLOCK, 0x1000, 0x4000_0000]), &["overlaps the domain's RAM"]),
        (|world| place(world, &[CLOCK, 0x1000, 0x300_1000]), &["overlaps the interrupt controller"]),
        (|world| place(world, &[CLOCK, 0x1000, 0x2200_0000]), &["overlaps the UART"]),
    ];
    check_alone(world, rows);
}

#[test]
fn what_is_named_twice_in_the_same_way_is_there_once() {
    let mut world = world();
    let (one, other) = ([CLOCK, 0x1000, CLOCK], [CLOCK, 0x1000, CLOCK - 0x1000]);
    place(&mut world, &[one, one, other, other].concat());
    assert_eq!(hardware(&world.plan(), 0).mmio.len(), 2);
}

/// A node of registers without a device of the host.
fn registers(world: &mut World, base: u64, size: u64) {
    spoil(world, |node| {
        node.remove("xen,path");
        node.set("xen,reg", &numbers(&[base, size, 0x1000_0000]));
    });
}

#[test]
fn what_is_not_a_device_or_somebody_elses_is_not_given_away() {
    check_alone(
        world,
        &[
            (
                |world| registers(world, 0x7000_0000, 0x1000),
                &["0x70000000..0x70001000 overlaps RAM 0x40000000"],
            ),
            (|world| registers(world, 0x800_0000, 0x1_0000), &["which the hypervisor drives"]),
            (
                |world| registers(world, 0x900_0000, 0x1000),
                &["overlaps 0x9000000..0x9001000, which the hypervisor drives"],
            ),
            (
                |world| {
                    let seconds = device("gpio@9030000", "/pl061@9030000", &[GPIO, 0x1000, CLOCK]);
                    let mut tree = clock();
                    tree.at("/passthrough").children.push(seconds);
                    change(world, &tree);
                },
                &[
                    "gpio@9030000: xen,reg: guest address 0x9010000..0x9011000 overlaps registers of another device",
                ],
            ),
            (
                |world| {
                    let mut other = domain("domU2", 64 << 10, 1);
                    other.remove("vpl011");
                    world.add(other);
                    let mut tree = clock();
                    tree.at("/passthrough/rtc@9010000").remove("xen,path");
                    give_at(world, "/chosen/domU2", 0x5b00_0000, &tree);
                },
                &[
                    "/chosen/domU2/module@5b000000: /passthrough/rtc@9010000: xen,reg: ",
                    "overlaps what /chosen/domU1 has already",
                ],
            ),
            (
                |world| {
                    world.tree.at("/pl061@9030000").set("interrupts", &[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4]);
                    world.add(domain("domU2", 64 << 10, 1));
                    let tree = partial(vec![device("gpio", "/pl061@9030000", &[GPIO, 0x1000, GPIO])]);
                    give_at(world, "/chosen/domU2", 0x5b00_0000, &tree);
                },
                &["\"/pl061@9030000\" has interrupt 2, which /chosen/domU1 has already"],
            ),
        ],
    );
    check_alone(
        world_with_dom0,
        &[(|world| registers(world, 0xa00_0000, 0x1000), &["overlaps what /chosen has already"])],
    );
}

#[test]
fn an_interrupt_has_one_owner_and_a_place_in_the_guest() {
    fn interrupt(world: &mut World, kind: u8, number: u8) {
        world.tree.at("/pl031@9010000").set("interrupts", &[0, 0, 0, kind, 0, 0, 0, number, 0, 0, 0, 4]);
    }
    check_alone(
        world,
        &[
            (|world| interrupt(world, 1, 5), &["private to each processor"]),
            (|world| interrupt(world, 0, 1), &["interrupt 1, which is that of the hypervisor's console"]),
            (|world| interrupt(world, 0, 0), &["interrupt 0, which the domain's own UART has (vpl011)"]),
            (
                |world| {
                    interrupt(world, 0, 200);
                    world.facts.spis = 64;
                },
                &["interrupt 200, which the host does not have"],
            ),
            (
                |world| {
                    interrupt(world, 0, 64);
                    world.domain().set("nr_spis", &64_u32.to_be_bytes());
                },
                &["interrupt 64, which is not among the domain's nr_spis"],
            ),
        ],
    );
}

#[test]
fn phandles_are_unique_and_lead_to_what_the_guest_gets() {
    check_alone(
        world,
        &[
            (
                |world| spoil(world, |node| node.set("phandle", &[0, 0, 0, 1])),
                &["phandle: 0x1 is that of the guest's interrupt controller"],
            ),
            (
                |world| spoil(world, |node| node.set("phandle", &[0, 0, 0, 2])),
                &["phandle: 0x2 is that of another node"],
            ),
            (
                |world| spoil(world, |node| node.set("interrupt-parent", &[0, 0, 0, 9])),
                &["interrupt-parent: 0x9 is no node that the guest gets"],
            ),
        ],
    );
}

#[test]
fn a_tree_without_devices_is_named() {
    let mut world = world();
    change(&mut world, &Node::new(""));
    assert!(world.warnings().contains("has no node /passthrough: the domain is given nothing"));
}
