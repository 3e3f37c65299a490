//! What is refused, and in which words.

use crate::world::{
    File, KERNEL_AT, KERNEL_BYTES, MIB, Node, RAM_BASE, RAMDISK_AT, VIRT_GICV2, World, domain, gzip,
    image_header, kernel_node, ramdisk_node, words,
};

/// A fault: what is done to a good tree, and words that the complaint must have.
pub(crate) type Row = (fn(&mut World), &'static [&'static str]);

/// Every row must be refused with its words in one and the same refusal.
fn check(rows: &[Row]) {
    check_in(World::with_a_domain, rows);
}

/// The same for a good tree of whatever kind.
pub(crate) fn check_in(make: fn() -> World, rows: &[Row]) {
    for (position, row) in rows.iter().enumerate() {
        refused(make, (position, row));
    }
}

/// The same, where each fault has one complaint.
pub(crate) fn check_alone(make: fn() -> World, rows: &[Row]) {
    for (position, row) in rows.iter().enumerate() {
        let refusals = refused(make, (position, row));
        assert_eq!(refusals.len(), 1, "row {position}: {}", words(&refusals));
    }
}

fn refused(make: fn() -> World, (position, (spoil, expected)): (usize, &Row)) -> Vec<plan::Refusal> {
    let mut world = make();
    spoil(&mut world);
    let Err(refusals) = world.read() else { panic!("row {position} is not refused: {expected:?}") };
    let found = refusals.iter().any(|refusal| {
        let text = refusal.to_string();
        expected.iter().all(|word| text.contains(word))
    });
    assert!(found, "row {position}: {expected:?} is not in\n{}", words(&refusals));
    refusals
}

#[test]
fn a_good_tree_is_not_refused() {
    assert_eq!(World::with_a_domain().plan().domains.len(), 1);
}

#[test]
fn domain_properties_are_checked_one_by_one() {
    check(&[
        (
            |world| world.domain().remove("memory"),
            &["/chosen/domU1: memory: is missing", "memory = <0 65536>"],
        ),
        (|world| world.domain().set("memory", &[0, 1, 0, 0]), &["/chosen/domU1: memory: has 4 bytes"]),
        (|world| world.domain().set("memory", &[0; 8]), &["/chosen/domU1: memory: 0 KiB"]),
        (
            |world| world.domain().set("memory", &131_073_u64.to_be_bytes()),
            &["131073 KiB", "multiple of 4 KiB"],
        ),
        (|world| world.domain().set("memory", &[0xff; 8]), &["memory", "too much"]),
        (|world| world.domain().remove("cpus"), &["/chosen/domU1: cpus: is missing", "1 to 128"]),
        (|world| world.domain().set("cpus", &[0, 0, 0, 0]), &["/chosen/domU1: cpus: is 0"]),
        (|world| world.domain().set("cpus", &[0, 0, 0, 129]), &["/chosen/domU1: cpus: is 129"]),
        (|world| world.domain().set("cpus", &[0; 8]), &["/chosen/domU1: cpus: has 8 bytes"]),
        (|world| world.domain().set("nr_spis", &961_u32.to_be_bytes()), &["nr_spis: is 961", "0 to 960"]),
        (|world| world.domain().set("nr_spis", &[]), &["nr_spis: has 0 bytes"]),
        (|world| world.domain().set("direct-map", &[]), &["direct-map: needs xen,static-mem"]),
    ]);
}

#[test]
fn what_is_not_supported_yet_is_never_ignored() {
    check(&[
        (|world| world.domain().set("xsm-policy", &[]), &["xsm-policy", "not supported yet"]),
        (
            |world| {
                let node =
                    kernel_node(0x6000_0000, 99).texts("compatible", &["xen,xsm-policy", "multiboot,module"]);
                world.chosen().children.push(node);
            },
            &["/chosen/module@60000000", "xen,xsm-policy", "not supported yet"],
        ),
    ]);
}

#[test]
fn xenstore_needs_dom0_and_other_words_mean_nothing() {
    let xenstore = "/chosen/domU1: xen,enhanced: asks for xenstore, which dom0 serves, and there is no dom0";
    let hint = "write \"no-xenstore\"";
    for value in [&b""[..], b"enabled\0"] {
        let mut world = World::with_a_domain();
        world.domain().set("xen,enhanced", value);
        let text = world.refusals();
        assert!(text.contains(xenstore) && text.contains(hint), "{text}");
    }
    for (value, word) in [(&b"yes\0"[..], "is \"yes\""), (b"enabled", "is \"no text\""), (b"\0", "is \"\"")] {
        let mut world = World::with_a_domain();
        world.domain().set("xen,enhanced", value);
        let text = world.refusals();
        assert!(
            text.contains(&format!("/chosen/domU1: xen,enhanced: {word}, which means nothing")),
            "{text}"
        );
    }
    let mut world = World::with_a_domain();
    world.domain().set("xen,enhanced", b"disabled\0");
    assert_eq!(world.plan().domains[0].pv, None);
    assert_eq!(world.warnings(), "");
}

#[test]
fn shared_pages_that_find_no_place_are_refused() {
    let mut world = World::with_a_domain();
    world.domain().set("xen,enhanced", b"no-xenstore\0");
    world.facts.sizes.shared_pages = 1 << 18;
    let text = world.refusals();
    assert!(
        text.contains("/chosen/domU1: xen,enhanced: no room for the 1 GiB that the domain shares"),
        "{text}"
    );
}

fn statics(world: &mut World, numbers: &[u64]) {
    let value: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    world.domain().set("xen,static-mem", &value);
}

#[test]
fn static_memory_is_checked() {
    check(&[
        (
            |world| statics(world, &[0x6000_0000, 64 * MIB]),
            &["xen,static-mem: the ranges have 64 MiB", "asks for 128 MiB", "memory = <0x0 0x10000>"],
        ),
        (
            |world| statics(world, &[0x6000_0800, 128 * MIB]),
            &["xen,static-mem: 0x60000800", "not 4 KiB aligned"],
        ),
        (|world| statics(world, &[0x6000_0000, 0]), &["xen,static-mem: 0x60000000", "is empty"]),
        (|world| statics(world, &[!0xfff, 128 * MIB]), &["xen,static-mem", "beyond the address space"]),
        (
            |world| statics(world, &[0x6000_0000]),
            &["xen,static-mem: has 8 bytes", "cells are those of /chosen"],
        ),
        (|world| statics(world, &[]), &["xen,static-mem: has 0 bytes"]),
        (
            |world| statics(world, &[0x9000_0000, 128 * MIB]),
            &["xen,static-mem: 0x90000000..0x98000000 does not lie in RAM"],
        ),
        (|world| statics(world, &[0x7c00_0000, 128 * MIB]), &["does not lie in RAM"]),
        (
            |world| statics(world, &[RAM_BASE, 128 * MIB]),
            &["xen,static-mem", "overlaps the hypervisor's image"],
        ),
        (|world| statics(world, &[0x4800_0000, 128 * MIB]), &["xen,static-mem", "overlaps the device tree"]),
        (
            |world| statics(world, &[0x5000_0000, 128 * MIB]),
            &["xen,static-mem", "overlaps the module /chosen/domU1/module@50000000"],
        ),
        (
            |world| statics(world, &[0x6000_0000, 64 * MIB, 0x6200_0000, 64 * MIB]),
            &["xen,static-mem: 0x62000000", "overlaps xen,static-mem of /chosen/domU1"],
        ),
        (
            |world| {
                statics(world, &[0x6000_0000, 128 * MIB]);
                world.add(domain("domU2", 64 << 10, 1).numbers("xen,static-mem", &[0x6400_0000, 64 * MIB]));
            },
            &["/chosen/domU2: xen,static-mem", "overlaps xen,static-mem of /chosen/domU1"],
        ),
        (
            |world| {
                world.reservations.push((0x6100_0000, 0x1000));
                statics(world, &[0x6000_0000, 128 * MIB]);
            },
            &["xen,static-mem", "overlaps reserved memory"],
        ),
    ]);
}

#[test]
fn static_ranges_are_limited_by_the_memory_for_the_plan_only() {
    let spread = |count: u64| {
        let mut world = World::with_a_domain();
        world.facts.sizes.boot_heap = plan::Sizes::BUILT.boot_heap;
        for number in 0..2_u64 {
            let base = 0x6000_0000 + number * 0x1000_0000;
            let ranges: Vec<u64> = (0..count).flat_map(|part| [base + part * 0x8000, 0x4000]).collect();
            let node = domain(&format!("domU{}", number + 2), count * 16, 1);
            world.add(node.numbers("xen,static-mem", &ranges));
        }
        let kernel = world.files.files[0].clone();
        // A small kernel, or the domains are too small for it.
        world.files.files[0] = File { size: 0x1000, head: image_header(0, 0), ..kernel };
        for name in ["domU1", "domU2", "domU3"] {
            let node = world.tree.at(&format!("/chosen/{name}"));
            node.remove_child("module@58000000");
            node.remove_child("module@50000000");
            node.children.push(kernel_node(KERNEL_AT, 0x1000));
        }
        world
    };
    let world = spread(400);
    let plan = world.plan();
    assert_eq!(plan.domains[1].memory.len(), 400);
    crate::placement::check_conserved(&plan, &world).unwrap();
    // The third domain has no room any more, and a fourth one, which asks for little, is looked at.
    let mut world = spread(1000);
    world.add(domain("domU4", 64 << 10, 0));
    let refusals = world.read().unwrap_err();
    let [many, other] = &refusals[..] else { panic!("{refusals:?}") };
    assert_eq!((many.node.as_str(), many.property.as_str()), ("/chosen/domU3", "xen,static-mem"));
    assert!(many.reason.starts_with("has 1000 ranges, and boot has memory for a plan with "), "{many}");
    assert_eq!((other.node.as_str(), other.property.as_str()), ("/chosen/domU4", "cpus"));
    // As many as it says there is room for.
    let room: u64 = many.reason.split(' ').rev().nth(2).unwrap().parse().unwrap();
    let mut world = spread(1000);
    for (count, is_room) in [(room, true), (room + 1, false)] {
        world.tree.at("/chosen/domU3").set("xen,static-mem", &vec![0; count as usize * 16]);
        assert_eq!(world.refusals().contains("boot has memory"), !is_room, "{count}");
    }
}

#[test]
fn a_static_heap_of_too_many_ranges_is_refused_once() {
    let mut world = World::with_a_domain();
    world.facts.sizes.boot_heap = 64 << 10;
    let ranges: Vec<u64> = (0..300).flat_map(|part| [0x6000_0000 + part * 0x2_0000, 0x1_0000]).collect();
    let bytes: Vec<u8> = ranges.iter().flat_map(|number| number.to_be_bytes()).collect();
    world.chosen().set("xen,static-heap", &bytes);
    let refusals = world.read().unwrap_err();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    let text = refusals[0].to_string();
    assert!(text.starts_with("/chosen: xen,static-heap: has 300 ranges, and boot has memory for"), "{text}");
    assert!(text.ends_with("\n    hint: fewer and larger ranges"), "{text}");
}

#[test]
fn a_direct_map_takes_only_what_the_board_has() {
    let direct = |world: &mut World| {
        statics(world, &[0x6000_0000, 128 * MIB]);
        world.domain().set("direct-map", &[]);
    };
    let mut world = World::with_a_domain();
    direct(&mut world);
    assert!(world.plan().domains[0].direct_map);
    world.tree.at("/intc@8000000").set(
        "reg",
        &[0, 0x0800_0000, 0x1_0000_u64, 0x080a_0000, 0x2_0000].map(u64::to_be_bytes).concat()[8..],
    );
    world.domain().set("cpus", &[0, 0, 0, 2]);
    let refusals = world.refusals();
    assert!(refusals.contains("/chosen/domU1: cpus: the host's first redistributor region"), "{refusals}");
    assert!(refusals.contains("room for 1 vCPUs, not for 2"), "{refusals}");

    let mut world = World::with_a_domain();
    direct(&mut world);
    world.chosen().remove("stdout-path");
    let refusals = world.refusals();
    assert!(refusals.contains("/chosen/domU1: vpl011: with direct-map"), "{refusals}");

    let mut world = World::with_a_domain();
    direct(&mut world);
    world.facts.physical_bits = 32;
    world.ram(&[(RAM_BASE, 0x4000_0000), (0x1_0000_0000, 0x4000_0000)]);
    statics(&mut world, &[0x1_0000_0000, 128 * MIB]);
    let refusals = world.refusals();
    assert!(refusals.contains("beyond the 32 bits of a guest address"), "{refusals}");
}

#[test]
fn modules_are_checked() {
    check(&[
        (|world| world.kernel().remove("reg"), &["/chosen/domU1/module@50000000: reg: is missing"]),
        (
            |world| world.kernel().set("reg", &[0; 12]),
            &["module@50000000: reg: has 12 bytes", "2 address and 2 size cells"],
        ),
        (|world| world.kernel().set("reg", &[0; 32]), &["module@50000000: reg: has 32 bytes"]),
        (
            |world| world.kernel().set("reg", &[0x5000_0000, 0].map(u64::to_be_bytes).concat()),
            &["module@50000000: reg: the size 0x0 at 0x50000000 is zero"],
        ),
        // The example in Xen's own documentation.
        (
            |world| {
                world.kernel().set("reg", &[0x300_0000, 0xff_ffff].map(u64::to_be_bytes).concat());
                world.kernel().name = "module@30000000".into();
            },
            &[
                "module@30000000: reg: the address is 0x3000000, but the node's name says \"30000000\"",
                "@3000000",
            ],
        ),
        (|world| world.kernel().name = "module@nowhere".into(), &["the node's name says \"nowhere\""]),
        (|world| world.kernel().set("bootargs", b"no end"), &["module@50000000: bootargs: is not one text"]),
        (
            |world| world.kernel().set("bootargs", &[&[b'x'; 4097][..], &[0]].concat()),
            &["module@50000000: bootargs: has 4097 characters"],
        ),
    ]);
}

#[test]
fn modules_lie_in_ram_and_apart_from_all_else() {
    check(&[
        (
            |world| *world.kernel() = kernel_node(0x1_5000_0000, KERNEL_BYTES),
            &["module@150000000: reg: 0x150000000", "does not lie in RAM"],
        ),
        (
            |world| *world.kernel() = kernel_node(RAMDISK_AT - MIB, KERNEL_BYTES),
            &["reg: 0x58000000", "overlaps the module /chosen/domU1/module@57f00000"],
        ),
        (|world| *world.kernel() = kernel_node(RAM_BASE, 4 * MIB), &["overlaps the hypervisor's image"]),
        (|world| *world.kernel() = kernel_node(0x4800_1000, MIB), &["overlaps the device tree"]),
        (
            |world| {
                world.reservations.push((KERNEL_AT + 0x10_0000, 1));
            },
            &["module@50000000: reg", "overlaps reserved memory"],
        ),
        (
            |world| {
                let node = domain("domU2", 64 << 10, 1);
                world.add(node);
                *world.tree.at("/chosen/domU2/module@50000000") = kernel_node(KERNEL_AT, KERNEL_BYTES - 1);
            },
            &["/chosen/domU2/module@50000000: reg", "overlaps the module /chosen/domU1/module@50000000"],
        ),
    ]);
}

#[test]
fn a_domain_has_one_kernel_and_at_most_one_ramdisk() {
    check(&[
        (|world| world.domain().remove_child("module@50000000"), &["/chosen/domU1: has no kernel"]),
        (
            |world| world.domain().children.push(kernel_node(0x6000_0000, 4096)),
            &["module@60000000: compatible: the domain has another module of this kind already"],
        ),
        (
            |world| world.domain().children.push(ramdisk_node(0x6000_0000, 4096)),
            &["module@60000000: compatible: the domain has another module of this kind already"],
        ),
        (
            |world| {
                for base in [0x6000_0000, 0x6100_0000, 0x6200_0000] {
                    let node = kernel_node(base, 4096).texts("compatible", &["multiboot,module"]);
                    world.domain().children.push(node);
                }
            },
            &["module@62000000: compatible: a third module that does not say what it is"],
        ),
    ]);
}

fn kernel_file(world: &mut World, content: Vec<u8>) {
    let size = content.len() as u64;
    *world.kernel() = kernel_node(KERNEL_AT, size);
    world.files.files[0] = File { base: KERNEL_AT, size, head: content, tail: Vec::new() };
}

/// A file of 4 KiB that begins with `head`.
fn page(head: &[u8]) -> Vec<u8> {
    let mut page = head.to_vec();
    page.resize(4096, 0);
    page
}

#[test]
fn a_file_that_is_no_kernel_is_named_for_what_it_is() {
    check(&[
        (
            |world| kernel_file(world, page(b"")),
            &["module@50000000: reg: is not a kernel: no magic number", "arm64 Image"],
        ),
        (
            |world| kernel_file(world, vec![0; 63]),
            &["module@50000000: reg: has 63 bytes, less than the header"],
        ),
        (|world| kernel_file(world, page(&[0x27, 5, 0x19, 0x56])), &["is a uImage"]),
        (
            |world| {
                let mut head = vec![0; 0x24];
                head.extend([0x18, 0x28, 0x6f, 0x01]);
                kernel_file(world, page(&head));
            },
            &["is a 32-bit zImage"],
        ),
        (|world| kernel_file(world, page(b"MZ\0\0zimg")), &["is an EFI zboot image"]),
        (|world| kernel_file(world, page(b"\x7fELF")), &["is an ELF file"]),
        (
            |world| kernel_file(world, gzip(&page(b"text"))),
            &["is a gzip file, and what is in it is not a kernel"],
        ),
        (|world| kernel_file(world, gzip(b"short")), &["is a gzip file with less in it than the header"]),
        (
            |world| kernel_file(world, vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0]),
            &["is a gzip file that cannot be unpacked", "ends too early"],
        ),
        (
            |world| kernel_file(world, page(&[0x1f, 0x8b, 9])),
            &["is a gzip file that cannot be unpacked: not a gzip file"],
        ),
        (
            |world| kernel_file(world, page(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 7])),
            &["cannot be unpacked: the gzip data are corrupt"],
        ),
        (
            |world| {
                let mut file = gzip(&page(&image_header(0, 0x1000)));
                file.extend([0xff; 4]);
                kernel_file(world, file);
            },
            &["whose length field says 4294967295: truncated or padded"],
        ),
    ]);
}

#[test]
fn images_must_fit_in_the_domain() {
    check(&[
        (
            |world| world.domain().set("memory", &(16_u64 << 10).to_be_bytes()),
            &[
                "/chosen/domU1: memory: the kernel does not fit in the 16 MiB of RAM",
                "the kernel takes 32 MiB",
            ],
        ),
        (
            |world| world.domain().set("memory", &(34_u64 << 10).to_be_bytes()),
            &["/chosen/domU1: memory: the ramdisk does not fit in the 34 MiB of RAM"],
        ),
        (
            |world| world.files.files[0].head = image_header(u64::MAX - 4, 32 * MIB),
            &["/chosen/domU1: memory: the kernel does not fit"],
        ),
        (
            |world| world.files.files[0].head = image_header(0, u64::MAX),
            &["/chosen/domU1: memory: the kernel does not fit"],
        ),
    ]);
}

#[test]
fn memory_that_the_board_does_not_have_is_counted() {
    let mut world = World::with_a_domain();
    world.add(domain("domU2", 900 << 10, 1));
    let refusals = world.refusals();
    for word in [
        "/chosen/domU1: memory: asks for 128 MiB, but",
        "are left (of 1 GiB of RAM, image 512 KiB, heap ",
        "modules and device tree",
        "all domains ask for 1028 MiB",
        "hint: at most memory = <0x0 0x",
    ] {
        assert!(refusals.contains(word), "{word}: {refusals}");
    }
}

#[test]
fn more_memory_than_a_guest_can_address_is_refused() {
    let mut world = World::with_a_domain();
    world.facts.physical_bits = 36;
    world.domain().set("memory", &(60_u64 << 20).to_be_bytes());
    let refusals = world.refusals();
    assert!(refusals.contains("60 GiB do not fit in the guest's address space of 36 bits"), "{refusals}");
    assert!(refusals.contains("at most 59 GiB"), "{refusals}");
}

#[test]
fn a_board_that_cannot_be_driven_is_refused() {
    check(&[
        (|world| world.tree.remove_child("chosen"), &["/chosen: the node is missing"]),
        (|world| world.tree.remove_child("cpus"), &["/cpus: the node is missing"]),
        (|world| world.tree.remove_child("timer"), &["no node is the processor's timer"]),
        (|world| world.tree.remove_child("intc@8000000"), &["no node is an interrupt controller"]),
        (|world| world.tree.remove_child("memory@40000000"), &["no memory node has any RAM"]),
        (
            |world| world.facts.boot_mpidr = 5,
            &["/cpus: reg: no enabled processor has the boot processor's MPIDR 0x5"],
        ),
        (|world| world.tree.at("/cpus/cpu@0").set("status", b"disabled\0"), &["no enabled processor"]),
        (
            |world| world.tree.at("/cpus/cpu@1").set("reg", &[0; 4]),
            &["/cpus/cpu@1: reg: 0x0 is another processor's"],
        ),
        (
            |world| world.tree.at("/cpus/cpu@1").set("reg", &[1, 0, 0, 0]),
            &["/cpus/cpu@1: reg: 0x1000000 has bits outside"],
        ),
        (|world| world.tree.at("/cpus/cpu@1").remove("reg"), &["/cpus/cpu@1: reg: is missing"]),
        (|world| world.tree.at("/timer").remove("interrupts"), &["/timer: interrupts", "virt"]),
        (|world| world.tree.at("/timer").set("interrupts", &[0; 48]), &["/timer: interrupts", "hyp-phys"]),
        (
            |world| world.tree.at("/intc@8000000").set("interrupts", &[0; 12]),
            &["/intc@8000000: interrupts: the maintenance interrupt"],
        ),
        (|world| world.tree.at("/intc@8000000").remove("reg"), &["/intc@8000000: reg: is missing"]),
        (|world| world.tree.at("/intc@8000000").set("reg", &[0; 12]), &["/intc@8000000: reg: has 12 bytes"]),
        (
            |world| world.tree.at("/intc@8000000").set("#redistributor-regions", &[0, 0, 0, 3]),
            &["/intc@8000000: reg: a redistributor region is missing"],
        ),
        (
            |world| world.tree.at("/intc@8000000").set("#redistributor-regions", &[0xff; 4]),
            &["#redistributor-regions: is 4294967295"],
        ),
        (
            |world| world.tree.at("/intc@8000000").set("redistributor-stride", &[0, 0, 0, 1]),
            &["/intc@8000000: redistributor-stride"],
        ),
        (
            |world| world.tree.at("/memory@40000000").set("reg", &[0xff; 16]),
            &["/memory@40000000: reg", "beyond the 64-bit address space"],
        ),
        (
            |world| world.ram(&[(0x800_0000, 0x8000_0000)]),
            &["device registers 0x8000000..0x8010000 lie inside RAM"],
        ),
        (
            |world| world.image.base = 0x1000,
            &["the hypervisor's image at 0x1000..0x81000 does not lie in RAM"],
        ),
        (
            |world| world.reservations.push((RAM_BASE + 2 * MIB + 0x100, 16)),
            &["/reserved-memory: reg: the hypervisor's image", "overlaps reserved memory"],
        ),
        (|world| world.tree.at("/chosen").remove_child("domU1"), &["/chosen: has no domains"]),
    ]);
}

#[test]
fn a_gicv2_without_virtualization_is_refused() {
    let mut world = World::new(VIRT_GICV2);
    world.add(domain("domU1", 64 << 10, 1));
    assert_eq!(world.plan().domains.len(), 1);
    let reg = [0x0800_0000_u64, 0x1000, 0x0801_0000, 0x2000].map(u64::to_be_bytes).concat();
    world.tree.at("/intc@8000000").set("reg", &reg);
    world.tree.at("/intc@8000000").set("compatible", b"arm,cortex-a9-gic\0");
    let refusals = world.refusals();
    assert!(refusals.contains("has the distributor and the CPU interface only"), "{refusals}");
    let reg = [0x800_0000_u64, 0x1000, 0x801_0000, 0x2000, 0x803_0000, 0x1000, 0x804_0000, 0x1000];
    world.tree.at("/intc@8000000").set("reg", &reg.map(u64::to_be_bytes).concat());
    let refusals = world.refusals();
    assert!(refusals.contains("the virtual CPU interface 0x8040000..0x8041000 is too small"), "{refusals}");
}

#[test]
fn all_faults_are_told_at_once() {
    let mut world = World::with_a_domain();
    world.domain().remove("memory");
    world.domain().set("cpus", &[0; 4]);
    world.command_line("sched=rtds");
    let mut second = domain("domU2", 64 << 10, 1);
    second.remove_child("module@50000000");
    world.add(second);
    let refusals = world.refusals();
    for word in ["domU1: memory", "domU1: cpus", "domU2: has no kernel", "sched=rtds"] {
        assert!(refusals.contains(word), "{word}: {refusals}");
    }
}

#[test]
fn many_faults_are_told_up_to_a_bound() {
    let mut world = World::with_a_domain();
    for number in 2..200 {
        world.add(Node::new(&format!("domU{number}")).texts("compatible", &["xen,domain"]));
    }
    assert_eq!(world.read().unwrap_err().len(), plan::MOST_REMARKS);
}

#[test]
fn a_plan_that_would_not_fit_in_memory_during_boot_is_refused() {
    let mut world = World::with_a_domain();
    for bytes in [4095, 4096, 8191] {
        world.facts.sizes.boot_heap = bytes;
        let refusals = world.read().unwrap_err();
        let said = "the plan needs more memory than boot has for it";
        assert_eq!(
            refusals.iter().map(|refusal| refusal.reason.as_str()).collect::<Vec<_>>(),
            [said],
            "{bytes}"
        );
    }
    world.facts.sizes.boot_heap = 16 << 10;
    assert!(world.read().is_ok());
}

#[test]
fn more_domains_than_ids_are_refused() {
    let mut world = World::with_a_domain();
    for number in 2..=1024 {
        world.add(domain(&format!("domU{number}"), 4, 1));
    }
    assert!(world.refusals().contains("/chosen: has 1024 domains"));
}

#[test]
fn a_heap_without_room_is_refused_with_its_size() {
    let mut world = World::with_a_domain();
    world.facts.sizes.fixed = 2 << 30;
    let refusals = world.refusals();
    assert!(refusals.contains("/chosen: memory: no room for the hypervisor's heap of"), "{refusals}");
}

#[test]
fn a_refusal_is_one_line_and_a_hint() {
    let mut world = World::with_a_domain();
    world.domain().set("cpus", &[0; 4]);
    assert_eq!(
        world.refusals(),
        "/chosen/domU1: cpus: is 0\n    hint: cpus = <2>; 1 to 128 virtual processors, in one cell\n"
    );
}
