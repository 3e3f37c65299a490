//! Guest device trees, compared with those that genuine Xen 4.17 gave to its guests.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use plan::fdt::{Fdt, Node as FdtNode};

use crate::devices;
use crate::world::{GIB, MIB, Node, RAM_BASE, VIRT_GICV2, VIRT_GICV3, World, domain};

/// A value as `dtc -O dts` guesses it.
fn value(bytes: &[u8]) -> String {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ' || *byte == 0;
    let nuls = bytes.iter().filter(|byte| **byte == 0).count();
    if bytes.last() == Some(&0) && bytes.iter().all(is_text) && nuls <= bytes.len() - nuls {
        let text = String::from_utf8_lossy(&bytes[..bytes.len() - 1]);
        return format!(" = \"{}\"", text.replace('\0', "\\0"));
    }
    assert_eq!(bytes.len() % 4, 0);
    let cells = bytes.chunks(4).map(|cell| u32::from_be_bytes(cell.try_into().unwrap()));
    format!(" = <{}>", cells.map(|cell| format!("{cell:#04x}")).collect::<Vec<_>>().join(" "))
}

/// The text of a node as `dtc -I dtb -O dts` prints it.
fn decompile(node: &FdtNode<'_>, depth: usize, out: &mut String) {
    let tabs = "\t".repeat(depth);
    let name = if depth == 0 { "/" } else { node.name() };
    writeln!(out, "{tabs}{name} {{").unwrap();
    for property in node.properties() {
        let text = if property.value.is_empty() { String::new() } else { value(property.value) };
        writeln!(out, "{tabs}\t{}{text};", property.name()).unwrap();
    }
    for child in node.children() {
        writeln!(out).unwrap();
        decompile(&child, depth + 1, out);
    }
    writeln!(out, "{tabs}}};").unwrap();
}

pub(crate) fn text_of(tree: &[u8]) -> String {
    let mut text = String::from("/dts-v1/;\n\n");
    decompile(&Fdt::open(tree).unwrap().root(), 0, &mut text);
    text
}

/// An observed tree without the nodes of features that are not there yet.
pub(crate) fn observed(text: &str, without: &[&str]) -> String {
    let mut left = String::new();
    let mut skipping = false;
    for line in text.lines() {
        let opens = line.strip_prefix('\t').and_then(|rest| rest.strip_suffix(" {"));
        skipping |= opens.is_some_and(|name| without.contains(&name));
        if !skipping {
            left.push_str(line);
            left.push('\n');
        }
        if skipping && line == "\t};" {
            skipping = false;
        }
    }
    // Each removed node leaves the empty line before it.
    while left.contains("\n\n\n") {
        left = left.replace("\n\n\n", "\n\n");
    }
    left.replace("\n\n};", "\n};")
}

#[test]
fn a_guest_of_192_mib_and_two_vcpus_gets_the_tree_that_xen_gave() {
    let mut world = World::new(VIRT_GICV3);
    world.add(domain("domU1", 196_608, 2));
    let expected = observed(include_str!("../data/observed-enhanced.dts"), &["hypervisor"]);
    assert_eq!(text_of(&world.plan().domains[0].tree), expected);
    let node = world.domain();
    node.set("xen,enhanced", b"no-xenstore\0");
    let pv = world.plan().domains[0].clone();
    assert_eq!(text_of(&pv.tree), include_str!("../data/observed-enhanced.dts"));
    let pv = pv.pv.unwrap();
    assert!(!pv.xenstore && pv.event_interrupt == 31 && pv.grant_window.base == 0x3800_0000);
}

/// The `reg` line of the tree of an enhanced domain whose RAM is `memory_kib`.
fn hypervisor_reg(mut world: World) -> String {
    world.domain().set("xen,enhanced", b"no-xenstore\0");
    let text = text_of(&world.plan().domains[0].tree);
    let node = &text[text.find("hypervisor {").expect("a node")..];
    let reg = &node[node.find("reg = ").expect("a reg")..];
    reg[..reg.find(';').unwrap()].to_owned()
}

#[test]
fn extended_regions_are_what_ram_leaves_as_far_as_guest_addresses_reach() {
    let large = |memory_kib, bits| {
        let mut world = World::new(VIRT_GICV3);
        world.ram(&[(RAM_BASE, (8 * GIB).min((1_u64 << bits) - RAM_BASE))]);
        world.facts.physical_bits = bits;
        world.add(domain("domU1", memory_kib, 1));
        world
    };
    let window = "reg = <0x00 0x38000000 0x00 0x1000000";
    // Whole 2 MiB; no second bank with 32 bits.
    let reg = hypervisor_reg(large(131_076, 32));
    assert_eq!(reg, format!("{window} 0x00 0x48200000 0x00 0xb7e00000>"));
    // What is below 64 MiB is not worth a word.
    let reg = hypervisor_reg(large((3 << 20) - (63 << 10), 36));
    assert_eq!(reg, format!("{window} 0x02 0x00 0x0e 0x00>"));
    let reg = hypervisor_reg(large(4 << 20, 40));
    assert_eq!(reg, format!("{window} 0x02 0x40000000 0xfd 0xc0000000>"));
    let mut off = large(131_072, 40);
    off.command_line("ext_regions=0");
    assert_eq!(hypervisor_reg(off), format!("{window}>"));
}

#[test]
fn a_direct_map_is_told_of_no_memory_that_others_have() {
    let direct = |base: u64| {
        let mut world = World::new(VIRT_GICV3);
        world.ram(&[(0x2000_0000, 4 * GIB)]);
        let node = domain("domU1", 131_072, 1).bytes("direct-map", &[]);
        world.add(node.numbers("xen,static-mem", &[base, 128 * MIB]));
        hypervisor_reg(world)
    };
    assert_eq!(direct(0x9000_0000), "reg = <0x00 0x38000000 0x00 0x1000000>");
    // Its own RAM is where the grant window would be: the image's place is nobody's.
    assert_eq!(direct(0x3800_0000), "reg = <0x00 0x40200000 0x00 0x40000>");
}

#[test]
fn a_guest_with_a_direct_map_gets_the_tree_that_xen_gave() {
    let mut world = World::new(VIRT_GICV3);
    world.ram(&[(RAM_BASE, 2 * GIB)]);
    let node = domain("domU1", 131_072, 1)
        .bytes("direct-map", &[])
        .numbers("xen,static-mem", &[0x9000_0000, 128 * MIB]);
    world.add(node);
    world.domain().set("xen,enhanced", b"no-xenstore\0");
    let text = include_str!("../data/observed-directmap-static.dts");
    // Xen names other domains' memory and the controller's neighbours as extended regions; here there are none.
    let line = text.lines().find(|line| line.contains("0x38000000")).unwrap();
    let text = text.replace(line, "\t\treg = <0x00 0x38000000 0x00 0x1000000>;");
    let expected = observed(&text, &["reserved-memory"]);
    assert_eq!(text_of(&world.plan().domains[0].tree), expected);
}

#[test]
fn a_guest_of_128_mib_gets_the_tree_that_xen_gave() {
    let mut world = World::new(VIRT_GICV3);
    world.add(domain("domU1", 131_072, 1));
    let text = include_str!("../data/observed-shm-passthrough.dts");
    // The partial tree chooses another phandle for the controller.
    devices::give(&mut world, &devices::clock());
    world.domain().set("xen,enhanced", b"no-xenstore\0");
    let expected = observed(text, &["reserved-memory"]);
    assert_eq!(text_of(&world.plan().domains[0].tree), expected);
}

#[test]
fn a_guest_of_a_gicv2_board_sees_a_gic_400() {
    let mut world = World::new(VIRT_GICV2);
    let mut node = domain("domU1", 131_072, 1);
    node.remove("vpl011");
    node.remove_child("module@58000000");
    world.add(node);
    let text = text_of(&world.plan().domains[0].tree);
    assert!(text.contains("compatible = \"arm,gic-400\""));
    assert!(text.contains("reg = <0x00 0x3001000 0x00 0x1000 0x00 0x3002000 0x00 0x2000>"));
    assert!(text.contains("linux,initrd-start = <0x00 0x00>;\n\t\tlinux,initrd-end = <0x00 0x00>;"));
    assert!(!text.contains("sbsa-uart"));
}

#[test]
fn frequencies_of_the_host_are_passed_on_and_vcpu_16_begins_a_cluster() {
    let mut world = World::new(VIRT_GICV3);
    let cpu = world.tree.at("/cpus/cpu@0");
    cpu.set("clock-frequency", &[0x3b, 0x9a, 0xca, 0]);
    world.tree.at("/timer").set("clock-frequency", &[0, 0, 0xfa, 0]);
    world.add(domain("domU1", 131_072, 17));
    let text = text_of(&world.plan().domains[0].tree);
    assert_eq!(text.matches("clock-frequency = <0x3b9aca00>").count(), 17);
    assert!(text.contains("cpu@f {") && text.contains("cpu@100 {") && !text.contains("cpu@10 {"));
    assert!(text.contains("current-speed") && text.contains("clock-frequency = <0xfa00>"));
}

#[test]
fn memory_beyond_3_gib_is_a_second_bank_at_8_gib() {
    let mut world = World::new(VIRT_GICV3);
    world.ram(&[(RAM_BASE, 8 * GIB)]);
    world.add(domain("domU1", 4 << 20, 1));
    let plan = world.plan();
    let text = text_of(&plan.domains[0].tree);
    assert!(text.contains("reg = <0x00 0x40000000 0x00 0xc0000000 0x02 0x00 0x00 0x40000000>"));
    let pieces: Vec<(u64, u64)> =
        plan.domains[0].memory.iter().map(|piece| (piece.guest, piece.size)).collect();
    assert_eq!(pieces, [(0x4000_0000, 3 * GIB), (0x2_0000_0000, GIB)]);
    let aligned = |piece: &plan::GuestMemory| piece.host % GIB == piece.guest % GIB;
    assert!(plan.domains[0].memory.iter().all(aligned), "{:x?}", plan.domains[0].memory);
    // Two roots; a table only for the level 1 entry that holds no RAM block: none.
    assert_eq!(plan.domains[0].table_frames, 2);
}

/// Runs `dtc` over a blob; `None` where there is no `dtc`.
fn dtc(blob: &[u8]) -> Option<(bool, String)> {
    let mut child = Command::new("dtc")
        .args(["-I", "dtb", "-O", "dts", "-q", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(blob).ok()?;
    let output = child.wait_with_output().ok()?;
    Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[test]
fn dtc_reads_the_trees_that_are_written() {
    let tree = World::with_a_domain().plan().domains[0].tree.clone();
    if let Some((success, text)) = dtc(&tree) {
        assert!(success);
        assert_eq!(text, text_of(&tree));
    }
}

#[test]
fn a_written_tree_reads_back_as_it_was() {
    let node = Node::new("").child(Node::new("a@1").cells("reg", &[1]).child(Node::new("b")));
    let mut world = World::new(VIRT_GICV3);
    world.tree = node;
    world.reservations = vec![(0x1000, 0x2000), (1 << 40, 1)];
    let blob = world.blob();
    let fdt = Fdt::open(&blob).unwrap();
    assert_eq!(fdt.reservations().collect::<Vec<_>>(), [(0x1000, 0x2000), (1 << 40, 1)]);
    assert_eq!(fdt.find("/a/b").unwrap().name(), "b");
    assert_eq!(fdt.find("/a@1").unwrap().property("reg").unwrap().u32(), Some(1));
    assert!(fdt.find("/a@2").is_none() && fdt.find("a@1").is_none());
}
