//! What is read of a board.

use plan::{GicRegions, Pl011, Range};

use crate::world::{GIB, MIB, Node, RAM_BASE, VIRT_GICV2, VIRT_GICV3, World, domain};

#[test]
fn qemus_gicv3_board_is_read_as_it_is() {
    let board = World::with_a_domain().plan().board;
    assert_eq!(board.memory, [Range { base: RAM_BASE, size: GIB }]);
    assert!(board.reserved.is_empty());
    assert_eq!(board.cpus.iter().map(|cpu| cpu.mpidr).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(board.cpu_compatible, b"arm,cortex-a57\0");
    let expected = GicRegions::V3 {
        distributor: Range { base: 0x800_0000, size: 0x1_0000 },
        redistributors: vec![Range { base: 0x80a_0000, size: 0xf6_0000 }],
        stride: 0,
        maintenance: 25,
    };
    assert_eq!(board.gic, expected);
    assert_eq!((board.virtual_timer, board.hypervisor_timer), (27, 26));
    assert_eq!(board.timer_frequency, None);
    let uart = Pl011 { registers: Range { base: 0x900_0000, size: 0x1000 }, interrupt: Some(33) };
    assert_eq!(board.uart, Some(uart));
    assert!(board.psci);
}

#[test]
fn qemus_gicv2_board_has_four_regions() {
    let mut world = World::new(VIRT_GICV2);
    world.add(domain("domU1", 65_536, 1));
    let expected = GicRegions::V2 {
        distributor: Range { base: 0x800_0000, size: 0x1_0000 },
        cpu_interface: Range { base: 0x801_0000, size: 0x1_0000 },
        control: Range { base: 0x803_0000, size: 0x1_0000 },
        virtual_interface: Range { base: 0x804_0000, size: 0x1_0000 },
        maintenance: 25,
    };
    assert_eq!(world.plan().board.gic, expected);
}

#[test]
fn banks_are_merged_sorted_and_cut_to_whole_frames() {
    let mut world = World::with_a_domain();
    let banks =
        [(0x8_8000_0000, 0x1800), (RAM_BASE + GIB / 2, GIB / 2), (RAM_BASE, GIB / 2), (0x8_8000_4000, 0)];
    world.ram(&banks);
    let second = Node::new("memory@900000800")
        .texts("device_type", &["memory"])
        .numbers("reg", &[0x9_0000_0800, 0x2000]);
    world.tree.children.push(second);
    let expected = [(RAM_BASE, GIB), (0x8_8000_0000, 0x1000), (0x9_0000_1000, 0x1000)];
    assert_eq!(world.plan().board.memory, expected.map(|(base, size)| Range { base, size }));
}

#[test]
fn reserved_memory_is_never_given_away() {
    let mut world = World::with_a_domain();
    world.reservations = vec![(0x7000_0100, 0x10), (0x6000_0000, 2 * MIB)];
    let node = Node::new("reserved-memory")
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .bytes("ranges", &[])
        .child(Node::new("firmware@7e000000").numbers("reg", &[0x7e00_0000, 16 * MIB]))
        .child(Node::new("off@61000000").numbers("reg", &[0x6100_0000, MIB]).texts("status", &["disabled"]))
        .child(Node::new("pool").numbers("size", &[MIB]));
    world.tree.children.push(node);
    let plan = world.plan();
    let expected = [(0x6000_0000, 2 * MIB), (0x7000_0000, 0x1000), (0x7e00_0000, 16 * MIB)];
    assert_eq!(plan.board.reserved, expected.map(|(base, size)| Range { base, size }));
    assert!(world.warnings().contains("/reserved-memory/pool: has no reg"));
    for piece in &plan.domains[0].memory {
        let host = Range { base: piece.host, size: piece.size };
        assert!(plan.board.reserved.iter().all(|range| !range.overlaps(&host)));
    }
}

#[test]
fn the_boot_processor_comes_first_and_maxcpus_limits() {
    let mut world = World::with_a_domain();
    world.facts.boot_mpidr = 0x8000_0001;
    assert_eq!(world.plan().board.cpus.iter().map(|cpu| cpu.mpidr).collect::<Vec<_>>(), [1, 0]);
    world.command_line("maxcpus=1");
    assert_eq!(world.plan().board.cpus.iter().map(|cpu| cpu.mpidr).collect::<Vec<_>>(), [1]);
    world.command_line("maxcpus=7");
    assert_eq!(world.plan().board.cpus.len(), 2);
}

#[test]
fn processors_that_cannot_be_started_are_left_out() {
    let mut world = World::with_a_domain();
    world.tree.at("/cpus/cpu@1").set("enable-method", b"spin-table\0");
    assert_eq!(world.plan().board.cpus.len(), 1);
    assert!(world.warnings().contains("/cpus/cpu@1: enable-method \"spin-table\" is not supported"));
    let mut world = World::with_a_domain();
    world.tree.at("/cpus/cpu@1").set("status", b"fail\0");
    assert_eq!(world.plan().board.cpus.len(), 1);
}

#[test]
fn at_most_128_processors_are_used() {
    let mut world = World::with_a_domain();
    for cpu in 2..200_u32 {
        let node = Node::new(&format!("cpu@{cpu:x}")).texts("device_type", &["cpu"]).cells("reg", &[cpu]);
        world.tree.at("/cpus").children.push(node);
    }
    assert_eq!(world.plan().board.cpus.len(), 128);
    assert!(world.warnings().contains("only 128 processors are used"));
}

#[test]
fn two_cells_of_a_cpu_reg_carry_the_third_affinity_field() {
    let mut world = World::with_a_domain();
    let cpus = world.tree.at("/cpus");
    cpus.set("#address-cells", &[0, 0, 0, 2]);
    cpus.at("cpu@0").set("reg", &0_u64.to_be_bytes());
    cpus.at("cpu@1").set("reg", &0x01_0000_0203_u64.to_be_bytes());
    assert_eq!(world.plan().board.cpus[1].mpidr, 0x01_0000_0203);
}

#[test]
fn without_psci_by_smc_there_is_one_processor_and_a_warning() {
    let mut world = World::with_a_domain();
    world.tree.at("/psci").set("method", b"hvc\0");
    let plan = world.plan();
    assert!(!plan.board.psci && plan.board.cpus.len() == 1);
    assert!(world.warnings().contains("/psci: method is \"hvc\""));
    world.tree.remove_child("psci");
    assert!(!world.plan().board.psci);
    assert!(world.warnings().contains("no arm,psci-0.2"));
}

#[test]
fn redistributor_regions_and_stride_are_read() {
    let mut world = World::with_a_domain();
    let gic = world.tree.at("/intc@8000000");
    let reg = [0x800_0000, 0x1_0000, 0x80a_0000, 0x4_0000, 0x80_0000_0000, 0x8_0000_u64];
    gic.set("reg", &reg.map(u64::to_be_bytes).concat());
    gic.set("#redistributor-regions", &[0, 0, 0, 2]);
    gic.set("redistributor-stride", &0x4_0000_u64.to_be_bytes());
    let GicRegions::V3 { redistributors, stride, .. } = world.plan().board.gic else { panic!("GICv3") };
    assert_eq!(redistributors[1], Range { base: 0x80_0000_0000, size: 0x8_0000 });
    assert_eq!((redistributors.len(), stride), (2, 0x4_0000));
}

#[test]
fn the_main_controller_is_the_one_that_the_root_names() {
    let mut world = World::with_a_domain();
    let second =
        Node::new("gic@1000").texts("compatible", &["arm,gic-400"]).numbers("reg", &[0x1000, 0x1000]);
    world.tree.children.insert(0, second);
    assert!(matches!(world.plan().board.gic, GicRegions::V3 { .. }));
}

#[test]
fn a_uart_behind_buses_is_found_where_the_processor_sees_it() {
    let mut world = World::new(VIRT_GICV3);
    world.tree.remove_child("pl011@9000000");
    let uart = Node::new("serial@30000")
        .texts("compatible", &["arm,pl011", "arm,primecell"])
        .cells("reg", &[0x3_0000, 0x1000])
        .cells("interrupts", &[0, 7, 4]);
    let inner = Node::new("apb@100000")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[1])
        .cells("ranges", &[0, 0x10_0000, 0x1_0000, 0x3_0000, 0x18_0000, 0x1_0000])
        .child(uart);
    let outer = Node::new("soc")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[1])
        .cells("ranges", &[0, 0x0, 0x1000_0000, 0x100_0000])
        .child(inner);
    world.tree.children.push(outer);
    world.tree.at("/aliases").set("serial0", b"/soc/apb@100000/serial@30000\0");
    world.chosen().set("stdout-path", b"serial0:115200n8\0");
    world.add(domain("domU1", 65_536, 1));
    let expected = Pl011 { registers: Range { base: 0x1018_0000, size: 0x1000 }, interrupt: Some(39) };
    assert_eq!(world.plan().board.uart, Some(expected));
    world.tree.at("/soc").remove("ranges");
    assert!(world.refusals().contains("/soc/apb@100000/serial@30000: reg: 0x30000 does not pass"));
}

#[test]
fn a_console_of_another_kind_is_warned_of() {
    let mut world = World::with_a_domain();
    world.chosen().set("stdout-path", b"/fw-cfg@9020000\0");
    assert_eq!(world.plan().board.uart, None);
    assert!(world.warnings().contains("names \"/fw-cfg@9020000\", which is no enabled arm,pl011"));
    world.chosen().remove("stdout-path");
    assert!(world.warnings().contains("the hypervisor is silent"));
}

#[test]
fn a_uart_interrupt_of_another_controller_is_not_taken_for_the_gics() {
    let mut world = World::with_a_domain();
    world.tree.at("/pl011@9000000").set("interrupt-parent", &[0, 0, 0x80, 0]);
    assert_eq!(world.plan().board.uart.unwrap().interrupt, None);
    assert!(world.warnings().contains("takes no input"));
}

#[test]
fn a_console_for_complaints_is_found_in_a_tree_that_is_refused() {
    let mut world = World::with_a_domain();
    world.chosen().set("stdout-path", b"/nowhere\0");
    world.tree.remove_child("timer");
    assert!(world.read().is_err());
    let uart = plan::console(&world.blob()).expect("the first PL011");
    assert_eq!(uart.registers.base, 0x900_0000);
    assert_eq!(plan::console(b"no tree"), None);
}

#[test]
fn named_timer_interrupts_are_found_by_name() {
    let mut world = World::with_a_domain();
    let timer = world.tree.at("/timer");
    let interrupts: [u32; 15] = [1, 13, 4, 1, 14, 4, 1, 5, 4, 1, 6, 4, 1, 12, 4];
    timer.set("interrupts", &interrupts.map(u32::to_be_bytes).concat());
    timer.set("interrupt-names", b"sec-phys\0phys\0hyp-phys\0virt\0hyp-virt\0");
    let board = world.plan().board;
    assert_eq!((board.virtual_timer, board.hypervisor_timer), (22, 21));
}

#[test]
fn guests_without_a_known_processor_get_a_generic_one() {
    let mut world = World::with_a_domain();
    world.tree.at("/cpus/cpu@0").remove("compatible");
    assert_eq!(world.plan().board.cpu_compatible, b"arm,armv8\0");
    assert!(world.warnings().contains("guests get arm,armv8"));
}

#[test]
fn modules_can_be_guessed_by_their_order_and_shared() {
    let mut world = World::with_a_domain();
    let mut second = domain("domU2", 131_072, 4);
    second.children[0].set("compatible", b"multiboot,module\0");
    second.children[1].set("compatible", b"xen,multiboot-module\0");
    world.add(second);
    let plan = world.plan();
    assert_eq!(plan.domains[0].kernel, plan.domains[1].kernel);
    assert_eq!(plan.domains[0].ramdisk, plan.domains[1].ramdisk);
    assert_eq!(plan.domains[1].id, 2);
}

#[test]
fn a_unit_address_may_be_written_with_0x_or_not_at_all() {
    for name in ["module@0x50000000", "module@50000000", "kernel"] {
        let mut world = World::with_a_domain();
        world.kernel().name = name.into();
        assert_eq!(world.plan().domains.len(), 1, "{name}");
    }
}

#[test]
fn shared_interrupts_are_counted_in_whole_registers() {
    let spis = |change: fn(&mut World)| {
        let mut world = World::with_a_domain();
        change(&mut world);
        world.plan().domains[0].spis
    };
    assert_eq!(spis(|_| {}), 256);
    assert_eq!(spis(|world| world.facts.spis = 988), 960);
    assert_eq!(spis(|world| world.domain().set("nr_spis", &[0; 4])), 32);
    assert_eq!(spis(|world| world.domain().set("nr_spis", &[0, 0, 0, 33])), 64);
    let none = |world: &mut World| {
        world.domain().remove("vpl011");
        world.domain().set("nr_spis", &[0; 4]);
    };
    assert_eq!(spis(none), 0);
}

#[test]
fn unknown_properties_and_nodes_of_a_domain_are_named() {
    let mut world = World::with_a_domain();
    world.domain().set("memroy", &[0; 8]);
    world.domain().set("xen,enhanced", b"disabled\0");
    world.domain().children.push(Node::new("note"));
    world.kernel().set("load", &[]);
    let text = world.warnings();
    for word in [
        "/chosen/domU1: unknown property \"memroy\"",
        "/chosen/domU1/note: unknown node",
        "module@50000000: unknown property \"load\"",
    ] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn a_module_that_cannot_be_looked_into_is_assumed_to_be_a_kernel() {
    let mut world = World::with_a_domain();
    world.files.files.clear();
    assert!(world.warnings().contains("module@50000000: cannot be looked into here"));
    let kernel = world.plan().domains[0].kernel;
    assert_eq!((kernel.entry, kernel.gzip, kernel.placed.size), (0x4000_0000, false, 30 * MIB + 0x1200));
}

#[test]
fn a_gzip_kernel_has_its_unpacked_size() {
    let mut world = World::with_a_domain();
    let mut image = crate::world::image_header(0x8_0000, 3 * MIB);
    image.extend((0..2 * MIB).map(|byte| (byte.wrapping_mul(byte) >> 7) as u8));
    let file = crate::world::gzip(&image);
    let size = file.len() as u64;
    *world.kernel() = crate::world::kernel_node(crate::world::KERNEL_AT, size);
    world.files.files[0].size = size;
    world.files.files[0].head = file;
    let kernel = world.plan().domains[0].kernel;
    assert!(kernel.gzip);
    assert_eq!((kernel.placed.size, kernel.placed.module.size), (image.len() as u64, size));
    assert_eq!(kernel.entry, 0x4008_0000);
}
