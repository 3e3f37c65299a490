//! dom0: what it is made of, its memory, its devices, and its tree compared with the one that genuine Xen 4.17 gave.

use plan::{DeviceInterrupt, Domain, Hardware, Plan, Range};
use proptest::prelude::*;

use crate::golden::text_of;
use crate::placement::check_conserved;
use crate::world::{
    GIB, KERNEL_AT, KERNEL_BYTES, MIB, Node, RAM_BASE, RAMDISK_AT, VIRT_GICV2, VIRT_GICV3, World, domain,
    kernel_node, ramdisk_node,
};

/// A board with 2 GiB, and a dom0 of 512 MiB.
fn world_of(blob: &[u8]) -> World {
    let mut world = World::new(blob);
    world.ram(&[(RAM_BASE, 2 * GIB)]);
    let chosen = world.chosen();
    chosen.set("#address-cells", &2_u32.to_be_bytes());
    chosen.set("#size-cells", &2_u32.to_be_bytes());
    chosen.set("xen,dom0-bootargs", b"console=hvc0 clk_ignore_unused\0");
    let mut kernel = kernel_node(KERNEL_AT, KERNEL_BYTES);
    kernel.remove("bootargs");
    world.add(kernel);
    world.add(ramdisk_node(RAMDISK_AT, 0xf_11e2));
    world.command_line("dom0_mem=512M");
    world
}

fn world() -> World {
    world_of(VIRT_GICV3)
}

/// Compares line by line, since the whole is long.
fn check_lines(text: &str, expected: &str) {
    for (number, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(line, expected, "line {number}");
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}

/// A domain without a ramdisk, since dom0's has another size.
fn guest(name: &str) -> Node {
    let mut node = domain(name, 131_072, 1);
    node.remove_child("module@58000000");
    node
}

/// What Linux had erased from its tree when it was asked for it.
fn erase_seeds(world: &mut World) {
    let chosen = world.chosen();
    chosen.properties.retain(|(name, _)| name != "rng-seed");
    if let Some((_, seed)) = chosen.properties.iter_mut().find(|(name, _)| name == "kaslr-seed") {
        seed.fill(0);
    }
}

#[test]
fn dom0_of_a_gicv3_board_gets_the_tree_that_xen_gave() {
    let mut world = world();
    erase_seeds(&mut world);
    check_lines(&tree_text(&world), include_str!("../data/observed-dom0-gicv3.dts"));
}

#[test]
fn dom0_of_a_gicv2_board_gets_the_tree_that_xen_gave() {
    let mut world = world_of(VIRT_GICV2);
    erase_seeds(&mut world);
    world.ram(&[(RAM_BASE, 4 * GIB)]);
    world.command_line("dom0_mem=1536M dom0_max_vcpus=3");
    // MSI_TYPER of QEMU's GICv2m: 64 interrupts from INTID 80 on.
    world.files.registers.push((0x802_0008, 80 << 16 | 64));
    let plan = world.plan();
    let text = include_str!("../data/observed-dom0-gicv2.dts");
    // Xen took 512 MiB at 0x6000_0000 and 1 GiB at 0xc000_0000, which is here in one piece.
    let text = [
        ("memory@60000000", "memory@80000000"),
        ("0x60000000 0x00 0x20000000 0x00 0xc0000000 0x00 0x40000000>", "0x80000000 0x00 0x60000000>"),
        (
            "0x1fc00000 0x00 0x80000000 0x00 0x40000000 0x01 0x00 0x00 0x40000000>",
            "0x3fc00000 0x00 0xe0000000 0x00 0x60000000>",
        ),
        ("<0x00 0x68", "<0x00 0x88"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (theirs, ours)| {
        assert!(text.contains(theirs), "{theirs}");
        text.replace(theirs, ours)
    });
    check_lines(&text_of(&plan.domains[0].tree), &text);
    let hardware = plan.domains[0].hardware.as_ref().unwrap();
    let messages = hardware.interrupts.iter().filter(|interrupt| (80..144).contains(&interrupt.intid));
    assert_eq!(messages.filter(|interrupt| interrupt.edge).count(), 64);
    assert!(mmio(&plan).iter().any(|range| range.contains(&Range { base: 0x802_0000, size: 0x1000 })));
}

/// The registers that dom0 sees, all at the host's addresses.
fn mmio(plan: &Plan) -> Vec<Range> {
    let pieces = hardware(plan).mmio.iter();
    pieces.inspect(|one| assert_eq!(one.guest, one.host)).map(|one| range(one.host, one.size)).collect()
}

fn hardware(plan: &Plan) -> &Hardware {
    plan.domains[0].hardware.as_ref().expect("dom0's devices")
}

fn range(base: u64, size: u64) -> Range {
    Range { base, size }
}

#[test]
fn dom0_drives_the_devices_of_its_tree() {
    let plan = world().plan();
    let dom0 = &plan.domains[0];
    assert_eq!((dom0.id, dom0.path.as_str(), dom0.vcpus, dom0.spis), (0, "/chosen", 2, 256));
    assert!(dom0.direct_map && !dom0.vpl011);
    assert_eq!(dom0.timers, [27, 30]);
    let hardware = hardware(&plan);
    let expected = [
        range(0, 0x800_0000),
        // Clock and switches; the console, beside them, is the hypervisor's.
        range(0x901_0000, 0x1000),
        range(0x902_0000, 0x1000),
        range(0x903_0000, 0x1000),
        range(0xa00_0000, 0x4000),
        range(0x1000_0000, 0x2f00_0000),
        range(0x40_1000_0000, 0x1000_0000),
        range(0x80_0000_0000, 0x80_0000_0000),
    ];
    assert_eq!(mmio(&plan), expected);
    let level = |intid| DeviceInterrupt { intid, edge: false };
    let mut expected = vec![level(34)];
    expected.extend((35..39).map(level));
    expected.push(level(39));
    expected.extend((48..80).map(|intid| DeviceInterrupt { intid, edge: true }));
    assert_eq!(hardware.interrupts, expected);
    check_conserved(&plan, &world()).unwrap();
}

#[test]
fn dom0s_interfaces_are_where_xen_has_them() {
    let mut world = world();
    world.command_line("dom0_mem=512M");
    let pv = world.plan().domains[0].pv.clone().unwrap();
    assert!(pv.xenstore);
    assert_eq!((pv.event_interrupt, pv.grant_window), (16, range(0x4020_0000, 0x4_0000)));
    assert_eq!(pv.extended, [range(0x4040_0000, 0x1fc0_0000), range(0x8000_0000, 0x4000_0000)]);
    world.command_line("dom0_mem=512M ext_regions=no");
    assert!(world.plan().domains[0].pv.clone().unwrap().extended.is_empty());
}

#[test]
fn the_tables_of_dom0_suffice_for_what_it_maps_of_others() {
    let plan = world().plan();
    // Two roots; level 2 for registers below 1 GiB, for RAM at 1 GiB, and for the PCI configuration space;
    // level 3 for the four single pages and the transports, and for the end of the PCI window.
    // Each table has 8 bytes beside it.
    let spare = plan.budget.iter().find(|line| line.what == "spare stage 2 tables of domain 0").unwrap();
    let boot = plan.budget.iter().find(|line| line.what == "stage 2 tables of domain 0").unwrap();
    assert_eq!(u64::from(plan.domains[0].table_frames), (spare.bytes + boot.bytes) / 4104);
    // 384 MiB and more of foreign pages, beside every block of its RAM.
    assert!(spare.bytes / 4104 >= 256 + 192, "{}", spare.bytes);
    assert!(boot.bytes / 4104 < 16, "{}", boot.bytes);
    assert!(plan.budget.iter().any(|line| line.what == "domain 0's control of the others"));
}

#[test]
fn domains_beside_dom0_have_ids_from_1_and_xenstore() {
    let mut world = world();
    world.add(guest("domU1").bytes("xen,enhanced", &[]));
    world.add(guest("domU2"));
    let plan = world.plan();
    let ids: Vec<(u16, &str)> = plan.domains.iter().map(|domain| (domain.id, domain.path.as_str())).collect();
    assert_eq!(ids, [(0, "/chosen"), (1, "/chosen/domU1"), (2, "/chosen/domU2")]);
    assert!(plan.domains[1].pv.as_ref().is_some_and(|pv| pv.xenstore));
    assert!(plan.domains[1].hardware.is_none() && plan.domains[2].pv.is_none());
    assert!(plan.budget.iter().any(|line| line.what == "objects of domain 2"));
    assert!(!plan.budget.iter().any(|line| line.what == "objects of domain 3"));
    // Xen shows the domains' nodes to dom0, without their modules.
    let text = text_of(&plan.domains[0].tree);
    assert!(text.contains("\t\tdomU1 {") && !text.contains("multiboot"), "{text}");
    check_conserved(&plan, &world).unwrap();
}

fn tree_text(world: &World) -> String {
    text_of(&world.plan().domains[0].tree)
}

#[test]
fn the_kernels_own_words_come_before_those_of_chosen() {
    let mut world = world();
    assert!(tree_text(&world).contains("bootargs = \"console=hvc0 clk_ignore_unused\""));
    world.chosen().set("bootargs", b"third\0");
    assert!(!tree_text(&world).contains("third"));
    world.chosen().remove("xen,dom0-bootargs");
    assert!(tree_text(&world).contains("bootargs = \"third\""));
    world.tree.at("/chosen/module@50000000").set("bootargs", b"first\0");
    assert!(tree_text(&world).contains("bootargs = \"first\""));
    // Without words of its own the hypervisor takes bootargs, now that dom0 has others.
    world.chosen().remove("xen,xen-bootargs");
    world.chosen().set("bootargs", b"noreboot dom0_mem=256M\0");
    let plan = world.plan();
    assert!(plan.options.noreboot);
    assert_eq!(plan.domains[0].memory.iter().map(|piece| piece.size).sum::<u64>(), 256 * MIB);
}

#[test]
fn an_initial_ramdisk_may_be_named_by_chosen() {
    let mut world = world();
    world.tree.at("/chosen").remove_child("module@58000000");
    let plan = world.plan();
    assert_eq!(plan.domains[0].ramdisk, None);
    assert!(!text_of(&plan.domains[0].tree).contains("linux,initrd"));
    world.chosen().set("linux,initrd-start", &0x5800_0000_u32.to_be_bytes());
    world.chosen().set("linux,initrd-end", &0x580f_11e2_u64.to_be_bytes());
    let ramdisk = world.plan().domains[0].ramdisk.unwrap();
    assert_eq!((ramdisk.module, ramdisk.guest), (range(0x5800_0000, 0xf_11e2), 0x6820_0000));
    assert_eq!(tree_text(&world).matches("linux,initrd-start").count(), 1);
}

#[test]
fn modules_without_a_kind_are_kernel_and_ramdisk_in_their_order() {
    let mut world = world();
    for name in ["module@50000000", "module@58000000"] {
        world.tree.at(&format!("/chosen/{name}")).set("compatible", b"xen,multiboot-module\0");
    }
    let dom0: Domain = world.plan().domains[0].clone();
    assert_eq!(dom0.kernel.placed.module.base, KERNEL_AT);
    assert_eq!(dom0.ramdisk.unwrap().module.base, RAMDISK_AT);
}

/// A device of 4 KiB with a shared interrupt.
fn device(name: &str, base: u64, interrupt: u32) -> Node {
    Node::new(name)
        .texts("compatible", &["x,device"])
        .numbers("reg", &[base, 0x1000])
        .cells("interrupts", &[0, interrupt, 4])
}

#[test]
fn what_is_kept_for_others_is_shown_but_not_driven() {
    let mut world = world();
    world.tree.children.push(device("off@b000000", 0xb00_0000, 60).texts("status", &["disabled"]));
    world.tree.children.push(device("kept@b001000", 0xb00_1000, 61).bytes("xen,passthrough", &[]));
    let below = device("below@b002000", 0xb00_2000, 62);
    let bus = Node::new("bus").texts("compatible", &["simple-bus"]).bytes("xen,passthrough", &[]);
    world.tree.children.push(bus.bytes("ranges", &[]).child(below));
    world.tree.children.push(device("on@b003000", 0xb00_3000, 63));
    let plan = world.plan();
    let driven = |base| mmio(&plan).iter().any(|mmio| mmio.contains(&range(base, 0x1000)));
    assert_eq!([0xb00_0000, 0xb00_1000, 0xb00_2000, 0xb00_3000].map(driven), [true, false, false, true]);
    let intids: Vec<u32> = hardware(&plan).interrupts.iter().map(|interrupt| interrupt.intid).collect();
    let driven = [92, 93, 94, 95].map(|intid| intids.contains(&intid));
    assert_eq!(driven, [true, false, false, true], "{intids:?}");
    let text = text_of(&plan.domains[0].tree);
    let kept = &text[text.find("kept@b001000").unwrap()..];
    let kept = &kept[..kept.find('}').unwrap()];
    assert!(kept.contains("status = \"disabled\"") && !kept.contains("passthrough"), "{kept}");
    assert!(text.contains("below@b002000"));
}

#[test]
fn what_uses_private_interrupts_or_is_the_hypervisors_is_left_out() {
    let mut world = world();
    let private = Node::new("private@b000000").texts("compatible", &["x,private"]);
    let private = private.numbers("reg", &[0xb00_0000, 0x1000]).cells("interrupts", &[1, 5, 4]);
    world.tree.children.push(private.child(Node::new("below")));
    let extended = Node::new("extended@b001000").texts("compatible", &["x,private"]);
    world.tree.children.push(extended.cells("interrupts-extended", &[0x8003, 0, 60, 4, 0x8003, 1, 6, 4]));
    let second = Node::new("second@b002000").texts("compatible", &["arm,gic-400"]);
    world.tree.children.push(second.numbers("reg", &[0xb00_2000, 0x1000]));
    let iommu = Node::new("iommu@b003000").texts("compatible", &["arm,mmu-500"]).cells("phandle", &[0x9002]);
    world.tree.children.push(iommu.numbers("reg", &[0xb00_3000, 0x1000]));
    world.tree.children.push(device("behind@b004000", 0xb00_4000, 61).cells("iommus", &[0x9002, 1]));
    let plan = world.plan();
    let text = text_of(&plan.domains[0].tree);
    for name in ["private@", "below", "extended@", "second@", "iommu", "pl011@9000000 {", "pmu"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
    assert!(text.contains("behind@b004000"));
    assert!(!mmio(&plan).iter().any(|mmio| mmio.overlaps(&range(0xb00_0000, 0x4000))));
}

#[test]
fn interrupts_behind_other_controllers_are_not_dom0s_by_number() {
    let mut world = world();
    let second = device("second@b000000", 0xb00_0000, 60).cells("phandle", &[0x9001]);
    let second = second.bytes("interrupt-controller", &[]).cells("#interrupt-cells", &[1]);
    world.tree.children.push(second);
    let behind = Node::new("behind").cells("interrupt-parent", &[0x9001]).cells("interrupts", &[0, 99, 4]);
    world.tree.children.push(behind);
    // A bridge takes the interrupts of what is below it.
    let below = Node::new("below").cells("interrupts", &[0, 98, 4]);
    world.tree.at("/pcie@10000000").children.push(below);
    let mixed = Node::new("mixed").cells("interrupts-extended", &[0x9001, 7, 0x8003, 0, 61, 1]);
    world.tree.children.push(mixed);
    let plan = world.plan();
    let found = |intid| hardware(&plan).interrupts.iter().find(|interrupt| interrupt.intid == intid).copied();
    assert_eq!(found(92), Some(DeviceInterrupt { intid: 92, edge: false }));
    assert_eq!(found(93), Some(DeviceInterrupt { intid: 93, edge: true }));
    assert_eq!((found(131), found(130)), (None, None));
}

#[test]
fn reserved_memory_of_devices_is_shown_to_dom0_and_no_other_ram() {
    let mut world = world();
    let node = Node::new("reserved-memory")
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .bytes("ranges", &[])
        .child(Node::new("buffer@7e000000").numbers("reg", &[0x7e00_0000, 0x10_0000]));
    world.tree.children.push(node);
    // A device that claims RAM which nobody has reserved.
    world.tree.children.push(device("thief@50000000", 0x5000_0000, 60));
    let plan = world.plan();
    let ram = range(RAM_BASE, 2 * GIB);
    let inside: Vec<Range> = mmio(&plan).into_iter().filter(|mmio| mmio.overlaps(&ram)).collect();
    assert_eq!(inside, [range(0x7e00_0000, 0x10_0000)]);
    let text = text_of(&plan.domains[0].tree);
    assert!(text.contains("memory@7e000000 {"), "{text}");
    check_conserved(&plan, &world).unwrap();
}

#[test]
fn devices_beyond_guest_addresses_and_odd_interrupts_are_warned_of() {
    let mut world = world();
    world.facts.physical_bits = 38;
    world.tree.children.push(device("many@b000000", 0xb00_0000, 256));
    world.tree.children.push(device("more@b002000", 0xb00_2000, 300));
    world.tree.children.push(device("shared@b001000", 0xb00_1000, 1));
    let text = world.warnings();
    assert!(text.contains("/pcie@10000000: 0x8000000000..0x10000000000 is beyond guest addresses"), "{text}");
    assert!(
        text.contains("/many@b000000: dom0 does not get interrupt 288 and 1 others: the host has no such"),
        "{text}"
    );
    assert!(
        text.contains("/shared@b001000: dom0 does not get interrupt 33: the hypervisor's console"),
        "{text}"
    );
}

#[test]
fn message_frames_without_known_interrupts_are_left_out() {
    let world = world_of(VIRT_GICV2);
    let text = world.warnings();
    assert!(text.contains("/intc@8000000/v2m@8020000: nobody says which interrupts it has"), "{text}");
    assert!(!tree_text(&world).contains("v2m"));
    let mut world = world;
    let frame = world.tree.at("/intc@8000000/v2m@8020000");
    frame.set("arm,msi-base-spi", &96_u32.to_be_bytes());
    frame.set("arm,msi-num-spis", &8_u32.to_be_bytes());
    let plan = world.plan();
    assert!(hardware(&plan).interrupts.contains(&DeviceInterrupt { intid: 103, edge: true }));
    assert!(text_of(&plan.domains[0].tree).contains("arm,msi-num-spis = <0x08>"));
}

#[test]
fn dom0_is_as_large_as_asked_for() {
    let mut world = world();
    world.command_line("");
    assert!(world.warnings().contains("/chosen: dom0 gets 512 MiB: dom0_mem= is not given"));
    for (line, vcpus) in [("dom0_max_vcpus=5", 5), ("dom0_max_vcpus=1", 1), ("dom0_max_vcpus=4-", 4), ("", 2)]
    {
        world.command_line(&format!("dom0_mem=64M {line}"));
        assert_eq!(world.plan().domains[0].vcpus, vcpus, "{line}");
    }
    let mut small = world_of(VIRT_GICV2);
    small.command_line("dom0_mem=64M dom0_max_vcpus=9");
    assert!(small.warnings().contains("dom0 gets 8 vCPUs, not 9"));
    // Memory that lies in pieces of less than a power of two.
    world.command_line("dom0_mem=700M");
    let plan = world.plan();
    assert_eq!(plan.domains[0].memory.iter().map(|piece| piece.size).sum::<u64>(), 700 * MIB);
    assert!(plan.domains[0].memory.iter().all(|piece| piece.guest == piece.host));
}

#[test]
fn a_tree_with_small_cells_gets_nodes_with_small_cells() {
    let mut world = World::new(VIRT_GICV3);
    world.ram(&[(RAM_BASE, 2 * GIB)]);
    let small =
        |bytes: &[u8]| -> Vec<u8> { bytes.chunks(8).flat_map(|number| number[4..].to_vec()).collect() };
    world.tree.set("#address-cells", &1_u32.to_be_bytes());
    world.tree.set("#size-cells", &1_u32.to_be_bytes());
    world.tree.children.retain(|node| !node.name.starts_with("pcie") && node.name != "platform-bus@c000000");
    for node in &mut world.tree.children {
        if node.name != "cpus"
            && let Some((_, reg)) = node.properties.iter_mut().find(|(name, _)| name == "reg")
        {
            *reg = small(reg);
        }
    }
    world.tree.at("/intc@8000000").children.clear();
    let mut kernel = kernel_node(KERNEL_AT, KERNEL_BYTES);
    kernel.set("reg", &[0x50, 0, 0, 0, 1, 0xe0, 0x12, 0]);
    world.add(kernel);
    world.command_line("dom0_mem=512M");
    let plan = world.plan();
    let text = text_of(&plan.domains[0].tree);
    assert!(text.contains("reg = <0x60000000 0x20000000>"), "{text}");
    assert!(
        text.contains("reg = <0x40200000 0x40000 0x40400000 0x1fc00000 0x80000000 0x40000000>"),
        "{text}"
    );
    assert!(text.contains("reg = <0x8000000 0x10000 0x80a0000 0xf60000>"), "{text}");
}

#[test]
fn a_faulty_dom0_is_refused() {
    let check = |spoil: fn(&mut World), words: &[&str]| {
        let mut world = world();
        spoil(&mut world);
        let text = world.refusals();
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    };
    check(
        |world| world.command_line("dom0_mem=3G"),
        &["/chosen: dom0_mem: dom0 asks for 3 GiB, but not so much is left", "less memory"],
    );
    check(
        |world| world.chosen().remove_child("module@50000000"),
        &["/chosen: has a ramdisk for dom0, but no kernel"],
    );
    check(
        |world| world.chosen().set("linux,initrd-start", &[0x58, 0, 0, 0]),
        &["/chosen: linux,initrd-start: dom0 has a ramdisk in a module, too"],
    );
    check(
        |world| {
            world.chosen().remove_child("module@58000000");
            world.chosen().set("linux,initrd-start", &[0x58, 0, 0, 0]);
            world.chosen().set("linux,initrd-end", &[0x57, 0, 0, 0]);
        },
        &["/chosen: linux,initrd-start: is no range"],
    );
    check(
        |world| {
            world.chosen().remove_child("module@58000000");
            world.chosen().set("linux,initrd-start", &[0x50, 0, 0, 0]);
            world.chosen().set("linux,initrd-end", &[0x51, 0, 0, 0]);
        },
        &["/chosen: linux,initrd-start: 0x50000000..0x51000000 overlaps the module /chosen/module@50000000"],
    );
    check(
        |world| world.tree.at("/chosen/module@50000000").set("reg", &[0; 4]),
        &["/chosen/module@50000000: reg: has 4 bytes"],
    );
    check(
        |world| world.chosen().set("xen,dom0-bootargs", &[b'x'; 9]),
        &["/chosen: xen,dom0-bootargs: is not one text"],
    );
    check(
        |world| world.add(ramdisk_node(0x5a00_0000, 0x1000)),
        &["/chosen/module@5a000000: compatible: the domain has another module of this kind"],
    );
    check(
        |world| world.facts.sizes.boot_heap = 16 << 10,
        &["the plan needs more memory than boot has for it"],
    );
}

/// Everything that a device of the host can have, at an address that may be anybody's.
fn a_device() -> impl Strategy<Value = Node> {
    let base = prop_oneof![
        0_u64..0x1_0000_0000,
        0x800_0000_u64..0x910_0000,
        RAM_BASE - 0x1000..RAM_BASE + GIB + 0x1000,
    ];
    let shape = (base, 1_u64..0x20_0000, 0_u32..2, 0_u32..300, 0_u8..6);
    shape.prop_map(|(base, size, kind, number, form)| {
        let node = Node::new(&format!("x@{base:x}")).numbers("reg", &[base, size]);
        let node = node.texts("compatible", &["x,random"]);
        match form {
            0 => node.texts("status", &["disabled"]),
            1 => node.bytes("xen,passthrough", &[]).cells("interrupts", &[kind, number, 4]),
            2 => node.cells("interrupts-extended", &[0x8003, kind, number, 1, 0x8004, 0]),
            3 => node
                .texts("device_type", &["pci"])
                .cells("#address-cells", &[3])
                .cells("#size-cells", &[2])
                .cells("ranges", &[0x0200_0000, 0, 0, 0, base as u32, 0, size as u32]),
            _ => node.cells("interrupts", &[kind, number, 4]),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn dom0_never_gets_what_is_not_its_own(
        devices in proptest::collection::vec(a_device(), 0..12),
        hole in (0x6000_0000_u64..0x7000_0000, 1_u64..0x10_0000),
        gic_v2 in proptest::bool::ANY,
        mib in 64_u64..900,
    ) {
        let mut world = world_of(if gic_v2 { VIRT_GICV2 } else { VIRT_GICV3 });
        world.tree.children.extend(devices);
        world.reservations.push(hole);
        world.command_line(&format!("dom0_mem={mib}M"));
        world.add(guest("domU1").texts("xen,enhanced", &["enabled"]));
        let Ok(plan) = world.read() else {
            return Err(TestCaseError::fail(world.refusals()));
        };
        check_conserved(&plan, &world)?;
        check_hardware(&plan, &world)?;
    }
}

/// Registers that dom0 sees are neither the hypervisor's nor RAM of anybody.
fn check_hardware(plan: &Plan, world: &World) -> Result<(), TestCaseError> {
    let mut foreign = vec![world.image, plan.heap];
    foreign.extend(plan.board.uart.map(|uart| uart.registers));
    match &plan.board.gic {
        plan::GicRegions::V2 { distributor, cpu_interface, control, virtual_interface, .. } => {
            foreign.extend([distributor, cpu_interface, control, virtual_interface]);
        }
        plan::GicRegions::V3 { distributor, redistributors, .. } => {
            foreign.push(*distributor);
            foreign.extend(redistributors);
        }
    }
    // No reserved memory is a device's here, so no RAM is anybody's device.
    foreign.extend(&plan.board.memory);
    let hardware = plan.domains[0].hardware.as_ref().expect("dom0's devices");
    let mut end = 0;
    for mmio in &mmio(plan) {
        prop_assert!(foreign.iter().all(|range| !range.overlaps(mmio)), "{mmio} in {foreign:?}");
        prop_assert!(plan::is_aligned(mmio.base | mmio.size, 4096) && (end == 0 || mmio.base > end));
        end = mmio.base + mmio.size;
    }
    let sorted = hardware.interrupts.windows(2).all(|pair| pair[0].intid < pair[1].intid);
    prop_assert!(sorted && hardware.interrupts.iter().all(|interrupt| (32..288).contains(&interrupt.intid)));
    prop_assert!(!hardware.interrupts.iter().any(|interrupt| interrupt.intid == 33));
    let pv = plan.domains[0].pv.as_ref().expect("dom0's interfaces");
    for region in &pv.extended {
        let own = plan.domains[0].memory.iter().map(|piece| range(piece.host, piece.size));
        prop_assert!(own.chain([pv.grant_window]).all(|range| !range.overlaps(region)), "{region}");
        prop_assert!(plan.board.memory.iter().any(|bank| bank.contains(region)));
    }
    prop_assert!(plan::fdt::Fdt::open(&plan.domains[0].tree).is_ok());
    Ok(())
}

#[test]
fn a_grant_window_that_is_longer_than_the_image_has_no_ram_in_it() {
    let mut world = world();
    // The window's 256 KiB begin in one block of 2 MiB and end in the next.
    world.image = range(0x403f_0000, 0x1_0000);
    world.command_line("dom0_mem=512M");
    let plan = world.plan();
    let pv = plan.domains[0].pv.as_ref().unwrap();
    assert_eq!(pv.grant_window, range(0x403f_0000, 0x4_0000));
    assert!(
        plan.domains[0].memory.iter().all(|piece| !range(piece.guest, piece.size).overlaps(&pv.grant_window))
    );
    assert!(pv.extended.iter().all(|region| !region.overlaps(&pv.grant_window)), "{:?}", pv.extended);
}
