//! The tool as its users call it.

use std::path::PathBuf;
use std::process::{Command, Output};

use plan::fdt::{Fdt, Node, Writer};

const VIRT: &[u8] = include_bytes!("../../plan/tests/data/virt-gicv3.bin");

fn copy(node: &Node<'_>, writer: &mut Writer, add: &dyn Fn(&mut Writer)) {
    writer.begin(node.name());
    node.properties().for_each(|property| writer.property(property.name(), property.value));
    node.children().for_each(|child| copy(&child, writer, add));
    if node.name() == "chosen" {
        add(writer);
    }
    writer.end();
}

/// A file with QEMU's tree and what `add` puts into /chosen.
fn system(name: &str, add: &dyn Fn(&mut Writer)) -> PathBuf {
    let mut writer = Writer::new();
    copy(&Fdt::open(VIRT).unwrap().root(), &mut writer, add);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, writer.finish()).unwrap();
    path
}

fn module(writer: &mut Writer, name: &str, kind: &str, reg: [u64; 2]) {
    writer.begin(name);
    writer.property_texts("compatible", &[kind, "multiboot,module"]);
    writer.property_u64s("reg", &reg);
    if kind == "multiboot,kernel" {
        writer.property_text("bootargs", "console=ttyAMA0");
    }
    writer.end();
}

fn domain(writer: &mut Writer, cpus: u32) {
    writer.begin("domU1");
    writer.property_text("compatible", "xen,domain");
    writer.property_u32("#address-cells", 2);
    writer.property_u32("#size-cells", 2);
    writer.property_u64("memory", 131_072);
    writer.property_u32("cpus", cpus);
    writer.property_empty("vpl011");
    module(writer, "module@50000000", "multiboot,kernel", [0x5000_0000, 0x1e0_0000]);
    module(writer, "module@58000000", "multiboot,ramdisk", [0x5800_0000, 0x11_801d]);
    writer.end();
}

fn xenite(arguments: &[&str], system: &PathBuf) -> (i32, String, Output) {
    let output = Command::new(env!("CARGO_BIN_EXE_xenite")).args(arguments).arg(system).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap(), text, output)
}

#[test]
fn a_good_system_is_good_and_says_what_was_not_seen() {
    let path = system("good.dtb", &|writer| domain(writer, 2));
    let (status, text, _) = xenite(&["check"], &path);
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("note: 1 kernel cannot be looked into here: taken for an Image of its size"),
        "{text}"
    );
    assert!(text.contains("assumed: image at 0x40200000..0x40400000, boot processor 0x0"), "{text}");
    assert!(text.ends_with("good: 1 domain, 0 warnings\n"), "{text}");
}

#[test]
fn a_bad_system_is_refused_in_the_words_of_the_board() {
    let path = system("bad.dtb", &|writer| domain(writer, 0));
    let (status, text, _) = xenite(&["check"], &path);
    assert_eq!(status, 1);
    let expected = format!(
        "refused: /chosen/domU1: cpus: is 0\n--> {}\n = hint: cpus = <2>; 1 to 128 virtual processors, in one cell\n",
        path.display()
    );
    assert!(text.starts_with(&expected) && text.ends_with("\nrefused: 1 fault, 0 warnings\n"), "{text}");
    assert_eq!(xenite(&["plan"], &path).0, 1);
}

#[test]
fn warnings_are_told_beside_refusals() {
    let path = system("odd.dtb", &|writer| {
        domain(writer, 0);
        writer.begin("domU2");
        writer.property_text("compatible", "xen,domain");
        writer.property_empty("colour");
        writer.end();
    });
    let (_, text, _) = xenite(&["check"], &path);
    assert!(text.contains("warning: /chosen/domU2: unknown property \"colour\""), "{text}");
}

#[test]
fn a_plan_shows_every_owner() {
    let path = system("plan.dtb", &|writer| domain(writer, 2));
    let (status, text, _) = xenite(&["plan"], &path);
    assert_eq!(status, 0, "{text}");
    for word in [
        "assumed: image at 0x40200000..0x40400000",
        "host memory: 1 GiB in 1 banks",
        "0x000040000000  0x0000401",
        "domain 1: RAM at guest 0x40000000",
        "domain 1 /chosen/domU1: 128 MiB of RAM, 2 vCPUs, 256 SPIs, UART, 3 table frames",
        "kernel from host 0x50000000",
        "ramdisk from host 0x58000000",
        "32 UART",
        "stage 2 tables of domain 1",
        "free\n",
    ] {
        assert!(text.contains(word), "{word}:\n{text}");
    }
}

/// A domain with PV interfaces and one end of a channel.
fn channel_end(writer: &mut Writer, name: &str, own: u32, [port, peer]: [u32; 2]) {
    writer.begin(name);
    writer.property_text("compatible", "xen,domain");
    writer.property_u32("#address-cells", 2);
    writer.property_u32("#size-cells", 2);
    writer.property_u64("memory", 65_536);
    writer.property_u32("cpus", 1);
    writer.property_text("xen,enhanced", "no-xenstore");
    module(writer, "module@50000000", "multiboot,kernel", [0x5000_0000, 0x1e0_0000]);
    writer.begin("evtchn@0");
    writer.property_text("compatible", "xen,evtchn-v1");
    writer.property_u32("phandle", own);
    writer.property_cells("xen,evtchn", &[port, peer]);
    writer.end();
    writer.end();
}

#[test]
fn a_plan_shows_static_event_channels_as_links() {
    let path = system("channels.dtb", &|writer| {
        channel_end(writer, "domU1", 0x201, [10, 0x202]);
        channel_end(writer, "domU2", 0x202, [11, 0x201]);
    });
    let (status, text, _) = xenite(&["plan"], &path);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("static event channels:\n  domain 1 port 10  <->  domain 2 port 11\n"), "{text}");
    let alone = system("alone.dtb", &|writer| domain(writer, 2));
    assert!(!xenite(&["plan"], &alone).1.contains("event channels"));
}

#[test]
fn an_image_elsewhere_may_be_in_the_way() {
    let path = system("image.dtb", &|writer| domain(writer, 2));
    let (status, text, _) = xenite(&["check", "--image-at", "0x50000000"], &path);
    assert_eq!(status, 1);
    assert!(text.contains("overlaps the hypervisor's image at 0x50000000"), "{text}");
    let (status, text, _) = xenite(&["check", "--tree-at", "0x58000000"], &path);
    assert_eq!(status, 1);
    assert!(text.contains("overlaps the device tree at 0x58000000"), "{text}");
}

#[test]
fn wrong_usage_and_unreadable_files_are_status_2() {
    let good = system("usage.dtb", &|writer| domain(writer, 2));
    assert_eq!(xenite(&["frobnicate"], &good).0, 2);
    assert_eq!(xenite(&["check", "--image-at", "there"], &good).0, 2);
    let (status, _, output) = xenite(&["check"], &PathBuf::from("/nowhere/system.dtb"));
    assert_eq!(status, 2);
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("xenite: /nowhere/system.dtb: "));
}

#[test]
fn a_file_that_is_no_tree_is_refused() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-tree.dtb");
    std::fs::write(&path, "neither tree nor blob").unwrap();
    let (status, text, _) = xenite(&["check"], &path);
    assert_eq!(status, 1);
    assert!(text.starts_with("refused: device tree: byte 0x0: the magic number is"), "{text}");
}

#[test]
fn a_source_is_compiled_where_dtc_is_there() {
    if Command::new("dtc").arg("--version").output().is_err() {
        return;
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("source.dts");
    std::fs::write(&path, "/dts-v1/; / { chosen { }; };").unwrap();
    let (status, text, _) = xenite(&["check"], &path);
    assert_eq!(status, 1);
    assert!(text.contains("refused: /chosen: has no domains"), "{text}");
    std::fs::write(&path, "/dts-v1/; nonsense").unwrap();
    assert_eq!(xenite(&["check"], &path).0, 2);
}
