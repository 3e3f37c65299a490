//! `xenite pack` and `xenite run --print` as their users call them; no QEMU is needed but for the examples.

use std::path::{Path, PathBuf};
use std::process::Command;

use plan::fdt::Fdt;

const VIRT: &[u8] = include_bytes!("../../plan/tests/data/virt-gicv3.bin");

/// An arm64 Image of so many bytes, which differ from those of another number.
fn image(bytes: usize) -> Vec<u8> {
    let mut image: Vec<u8> = (0..bytes).map(|at| (at * 7 + bytes).to_le_bytes()[0]).collect();
    image[..64].fill(0);
    image[16..24].copy_from_slice(&u64::try_from(bytes).unwrap().to_le_bytes());
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    image
}

/// A folder with a board and files for its system.
struct Desk {
    folder: PathBuf,
}

/// How a call ended: its status and what it said.
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pack").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let desk = Self { folder };
        desk.put("board.dtb", VIRT);
        desk.put("xenite.img", &image(0x7_0000));
        desk.put("kernel", &image(0x12_3456));
        desk.put("other", &image(0x2_0000));
        desk.put("ramdisk", &[0x5a; 5000]);
        desk
    }

    fn put(&self, name: &str, content: &[u8]) {
        std::fs::write(self.folder.join(name), content).unwrap();
    }

    fn get(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn xenite(&self, words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xenite"));
        let output = command.args(words).current_dir(&self.folder).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { status: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Packs a description that stands behind the board and the hypervisor.
    fn pack(&self, rest: &str, to: &str) -> Said {
        self.put("system.toml", format!("{BOARD}{rest}").as_bytes());
        self.xenite(&["pack", "system.toml", "-o", to])
    }
}

const BOARD: &str = "[board]\ntree = \"board.dtb\"\n[hypervisor]\nimage = \"xenite.img\"\n";

const TWO: &str = r#"
[[domain]]
name = "one"
kernel = "kernel"
ramdisk = "ramdisk"
command-line = "console=ttyAMA0"
memory = "64M"
cpus = 1
static = "auto"
direct-map = true
enhanced = "no-xenstore"
[[domain]]
name = "two"
kernel = "other"
memory = "128M"
cpus = 2
static = [{ at = 0x50000000, size = "32M" }, { size = "96M" }]
vpl011 = false
interrupts = 64
enhanced = "no-xenstore"
[[domain]]
name = "three"
kernel = "kernel"
memory = "32M"
cpus = 1
[[channel]]
name = "bell"
ends = ["one", "two"]
[[channel]]
name = "other-bell"
ends = ["two", "one"]
ports = [1, 9]
"#;

/// A property of a node of a tree.
fn property(blob: &[u8], path: &str, name: &str) -> Option<Vec<u8>> {
    Some(Fdt::open(blob).unwrap().find(path)?.property(name)?.value.to_vec())
}

fn numbers(value: &[u8]) -> Vec<u64> {
    value.chunks(8).map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn a_packed_tree_has_the_domains_with_chosen_places_and_is_good() {
    let desk = Desk::new("tree");
    let said = desk.pack(TWO, "out");
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    assert!(said.out.contains("3 domains"), "{}", said.out);
    let tree = desk.get("out/boot/system.dtb");
    let of = |path: &str, name: &str| property(&tree, path, name);
    let expected: [(&str, &str, Option<&[u8]>); 9] = [
        ("/chosen/one", "memory", Some(&[0, 0, 0, 0, 0, 1, 0, 0])),
        ("/chosen/one", "xen,enhanced", Some(b"no-xenstore\0")),
        ("/chosen/one", "direct-map", Some(b"")),
        ("/chosen/two", "direct-map", None),
        ("/chosen/one", "vpl011", Some(b"")),
        ("/chosen/two", "vpl011", None),
        ("/chosen/two", "nr_spis", Some(&[0, 0, 0, 64])),
        ("/chosen/three", "xen,static-mem", None),
        ("/chosen", "rng-seed", None),
    ];
    for (path, name, value) in expected {
        assert_eq!(of(path, name).as_deref(), value, "{path} {name}");
    }
    let one = numbers(&of("/chosen/one", "xen,static-mem").unwrap());
    assert_eq!((one[0] % (2 << 20), one[1]), (0, 64 << 20));
    let two = numbers(&of("/chosen/two", "xen,static-mem").unwrap());
    assert_eq!((two[0], two[1], two[3]), (0x5000_0000, 32 << 20, 96 << 20));
    assert!(of("/chosen", "stdout-path").is_some());
    assert_eq!(desk.xenite(&["check", "out/boot/system.dtb"]).status, 0);
}

#[test]
fn a_channel_without_ports_has_the_lowest_that_are_free() {
    let desk = Desk::new("ports");
    assert_eq!(desk.pack(TWO, "out").status, 0);
    let tree = desk.get("out/boot/system.dtb");
    let port = |path: &str| {
        let value = property(&tree, path, "xen,evtchn").unwrap();
        u32::from_be_bytes(value[..4].try_into().unwrap())
    };
    assert_eq!([port("/chosen/one/evtchn-bell-0"), port("/chosen/two/evtchn-bell-1")], [1, 2]);
    assert_eq!([port("/chosen/two/evtchn-other-bell-0"), port("/chosen/one/evtchn-other-bell-1")], [1, 9]);
    assert!(String::from_utf8(desk.get("out/README.txt")).unwrap().contains("one port 1 <-> two port 2"));
}

#[test]
fn every_file_lies_in_the_raw_image_where_the_tree_says() {
    let desk = Desk::new("flash");
    assert_eq!(desk.pack(TWO, "out").status, 0);
    let (tree, flash) = (desk.get("out/boot/system.dtb"), desk.get("out/flash.img"));
    let number = |at: usize| u64::from_le_bytes(flash[at..at + 8].try_into().unwrap());
    let [start, bytes, tree_at, image_at] = [64, 72, 80, 88].map(number);
    assert_eq!(bytes, u64::try_from(flash.len()).unwrap());
    let at = |address: u64, length: usize| {
        let from = usize::try_from(address - start).unwrap();
        &flash[from..from + length]
    };
    assert_eq!(at(tree_at, tree.len()), tree);
    assert_eq!(at(image_at, 0x7_0000), desk.get("xenite.img"));
    let mut seen = 0;
    for domain in Fdt::open(&tree).unwrap().find("/chosen").unwrap().children() {
        for module in domain.children().filter(|node| node.name().starts_with("module@")) {
            let reg = numbers(module.property("reg").unwrap().value);
            let length = usize::try_from(reg[1]).unwrap();
            let file = ["kernel", "other", "ramdisk"]
                .into_iter()
                .find(|file| desk.get(file).len() == length)
                .unwrap();
            assert_eq!(at(reg[0], length), desk.get(file), "{file}");
            assert_eq!(desk.get(&format!("out/boot/{file}")), desk.get(file));
            seen += 1;
        }
    }
    assert_eq!(seen, 4, "three kernels, of which two are one file, and a ramdisk");
}

#[test]
fn the_script_loads_every_file_and_checks_its_length() {
    let desk = Desk::new("script");
    assert_eq!(desk.pack(TWO, "out").status, 0);
    let script = String::from_utf8(desk.get("out/boot/boot.cmd")).unwrap();
    assert_eq!(&desk.get("out/boot/boot.scr")[72..], script.as_bytes());
    for (file, length) in
        [("xenite", 0x7_0000), ("kernel", 0x12_3456), ("other", 0x2_0000), ("ramdisk", 5000)]
    {
        let loaded = format!("${{prefix}}{file} && itest 0x${{filesize}} == {length:#x};");
        assert_eq!(script.matches(&loaded).count(), 1, "{file}:\n{script}");
    }
    assert!(script.lines().last().unwrap().starts_with("booti 0x40600000 - 0x40410000"), "{script}");
    let own = "[u-boot]\nload = \"tftpboot\"\n";
    assert_eq!(desk.pack(&format!("{TWO}{own}"), "out").status, 0);
    assert!(
        String::from_utf8(desk.get("out/boot/boot.cmd")).unwrap().contains("setenv xenite_load 'tftpboot'")
    );
}

/// All files below a folder with their content.
fn everything(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            list.extend(everything(&path));
        } else {
            list.push((entry.file_name().into_string().unwrap(), std::fs::read(path).unwrap()));
        }
    }
    list.sort();
    list
}

#[test]
fn the_same_description_makes_the_same_bytes() {
    let desk = Desk::new("same");
    assert_eq!(desk.pack(TWO, "a").status, 0);
    assert_eq!(desk.pack(TWO, "b").status, 0);
    let [a, b] = ["a", "b"].map(|folder| everything(&desk.folder.join(folder)));
    assert!(a.len() > 8 && a == b);
}

#[test]
fn a_pack_replaces_an_older_one_and_nothing_else() {
    let desk = Desk::new("again");
    assert_eq!(desk.pack(TWO, "out").status, 0);
    assert!(desk.folder.join("out/boot/ramdisk").exists());
    desk.put("out/mine", b"kept");
    let one = "[[domain]]\nname = \"one\"\nkernel = \"kernel\"\nmemory = \"64M\"\ncpus = 1\n";
    assert_eq!(desk.pack(one, "out").status, 0);
    assert!(!desk.folder.join("out/boot/ramdisk").exists());
    assert_eq!(desk.get("out/mine"), b"kept");
    let said = desk.pack(one, ".");
    assert_eq!(said.status, 2);
    assert!(said.err.contains("is not empty and holds no packed system: it is left alone"), "{}", said.err);
    assert_eq!(desk.get("kernel").len(), 0x12_3456);
}

#[test]
fn a_system_for_a_board_alone_has_no_qemu_command() {
    let desk = Desk::new("board");
    assert_eq!(desk.pack(TWO, "out").status, 0);
    let said = desk.xenite(&["run", "out", "--print"]);
    assert_eq!(said.status, 2);
    assert!(said.err.contains("for a board that QEMU does not play"), "{}", said.err);
    let words = "-machine virt,virtualization=on -m 1024";
    assert_eq!(desk.xenite(&["pack", "system.toml", "-o", "out", "--qemu", words]).status, 0);
    let direct = desk.xenite(&["run", "out", "--print"]).out;
    assert!(direct.starts_with(
        "cd out && qemu-system-aarch64 -machine virt,virtualization=on -m 1024 -device loader,"
    ));
    assert!(direct.contains("file=start.bin,addr=0x40400000,force-raw=on,cpu-num=0"), "{direct}");
    let u_boot = desk.xenite(&["run", "out", "--print", "--uboot=mine.bin"]).out;
    assert!(u_boot.contains("-bios mine.bin -drive") && !u_boot.contains("loader"), "{u_boot}");
    let flash = desk.xenite(&["run", "out", "--print", "--flash"]).out;
    assert!(flash.contains("-bios flash.img -chardev"), "{flash}");
    assert_eq!(desk.xenite(&["run", "nowhere"]).status, 2);
}

/// What is wrong with a description, and what must be said of it, in this order.
const WRONG: &[(&str, &[&str])] = &[
    ("[[domain]]\nname = \"a\"\n", &["missing field `kernel`", "system.toml:5:1"]),
    ("domains = 3\n", &["unknown field `domains`, expected one of", "system.toml:5:1"]),
    ("heap = \"64\"\n", &["\"64\" is no size", "system.toml:5:8"]),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"kernel\"\nmemory = 64\ncpus = 1\n",
        &["invalid type: integer `64`", "8:10"],
    ),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"kernel\"\nmemory = \"64M\"\ncpus = 1\nstatic = []\n",
        &["the list is empty"],
    ),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"kernel\"\nmemory = \"64M\"\ncpus = 0\n",
        &["/chosen/a: cpus: is 0", "9:8", "this domain's vCPUs"],
    ),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"none\"\nmemory = \"64M\"\ncpus = 1\n",
        &["none cannot be read", "7:10", "this file"],
    ),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"ramdisk\"\nmemory = \"64M\"\ncpus = 1\n",
        &["module@", "is not a kernel", "7:10", "this kernel"],
    ),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"kernel\"\nmemory = \"2G\"\ncpus = 1\n",
        &["/chosen/a: memory: asks for 2 GiB", "8:10", "this domain's memory"],
    ),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"kernel\"\nmemory = \"2G\"\ncpus = 1\nstatic = \"auto\"\n",
        &["there is no room for 2 GiB", "10:10"],
    ),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"kernel\"\nmemory = \"64M\"\ncpus = 1\ndirect-map = true\n",
        &["/chosen/a: direct-map: needs xen,static-mem", "10:14", "this direct map"],
    ),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"kernel\"\nmemory = \"64M\"\ncpus = 1\nenhanced = true\n",
        &["/chosen/a: xen,enhanced: ", "10:12", "these PV interfaces"],
    ),
    (
        "[[domain]]\nname = \"a\"\nkernel = \"kernel\"\nmemory = \"64M\"\ncpus = 1\nstatic = [{ at = 0x50000000, size = \"64M\" }]\n\
         [[domain]]\nname = \"b\"\nkernel = \"kernel\"\nmemory = \"64M\"\ncpus = 1\nstatic = [{ at = 0x52000000, size = \"64M\" }]\n",
        &[
            "/chosen/b: xen,static-mem: 0x52000000..0x56000000 overlaps",
            "16:10",
            "10 | static",
            "this domain's static memory",
        ],
    ),
    (
        "[[domain]]\nname = \"1\"\nkernel = \"kernel\"\nmemory = \"64M\"\ncpus = 1\n[[domain]]\nname = \"1\"\nkernel = \"kernel\"\n\
         memory = \"64M\"\ncpus = 1\npool = \"p\"\n",
        &["two of the name \"1\"", "the second domain", "\"1\" cannot be a name", "there is no pool \"p\""],
    ),
    (
        "[[channel]]\nname = \"c\"\nends = [\"x\"]\nports = [1, 2, 3]\n",
        &["two ends, not 1", "there is no domain \"x\"", "two ports, not 3"],
    ),
    (
        "[[pool]]\nname = \"p\"\ncpus = [9, \"cpu@7\"]\n",
        &["there is no processor 9", "there is no processor \"cpu@7\""],
    ),
    (
        "[[shared-memory]]\nname = \"much-too-long-name\"\nsize = \"1M\"\nborrowers = []\n",
        &["shared memory cannot have this name", "nobody shares this memory"],
    ),
    ("", &["/chosen: has no domains"]),
];

#[test]
fn what_is_wrong_is_said_at_its_place_and_nothing_is_written() {
    let desk = Desk::new("wrong");
    for (rest, parts) in WRONG {
        let said = desk.pack(rest, "out");
        assert_eq!(said.status, 1, "{rest}{}", said.err);
        let mut text = said.err.as_str();
        for part in *parts {
            let at = text.find(part).unwrap_or_else(|| panic!("{part:?} in\n{rest}\n{}", said.err));
            text = &text[at..];
        }
        assert!(said.err.contains("nothing was written"), "{}", said.err);
        assert!(!desk.folder.join("out").exists(), "{rest}");
    }
}

#[test]
fn a_board_is_said_once_and_bare() {
    let desk = Desk::new("boards");
    let with = |board: &str| {
        desk.put(
            "system.toml",
            format!("[board]\n{board}\n[hypervisor]\nimage = \"xenite.img\"\n").as_bytes(),
        );
        let said = desk.xenite(&["pack", "system.toml", "-o", "out"]);
        assert_eq!(said.status, 1, "{}", said.err);
        said.err
    };
    assert!(with("").contains("it is not said what board this is"));
    assert!(with("machine = \"qemu-virt\"\ntree = \"board.dtb\"").contains("not both"));
    assert!(with("machine = \"pi\"").contains("no machine is known as \"pi\""));
    assert!(with("machine = \"qemu-virt\"\ngic = 4").contains("there is no GICv4"));
    assert!(with("tree = \"board.dtb\"\ncpus = 4").contains("the board's tree says this"));
    assert!(with("tree = \"none.dtb\"").contains("this tree cannot be read"));
    assert!(with("tree = \"ramdisk\"").contains("in the tree of this board"));
    assert!(
        with("tree = \"board.dtb\"\nload-window = { at = 0x40000000, size = \"2M\" }")
            .contains("of RAM in one piece are free")
    );
    assert_eq!(desk.pack(TWO, "out").status, 0);
    assert!(with("tree = \"out/boot/system.dtb\"").contains("describes a system already: /chosen/one"));
}

#[test]
fn an_image_builder_configuration_is_the_same_system_as_a_description() {
    let desk = Desk::new("builder");
    let description = "[[domain]]\nname = \"domU0\"\nkernel = \"kernel\"\nramdisk = \"ramdisk\"\nmemory = \"64M\"\ncpus = 2\n\
                       command-line = \"console=ttyAMA0\"\n\
                       [[domain]]\nname = \"domU1\"\nkernel = \"other\"\nmemory = \"32M\"\ncpus = 1\nvpl011 = false\n\
                       static = [{ at = 0x50000000, size = \"32M\" }]\ndirect-map = true\n";
    desk.put("system.toml", BOARD.replace("image =", "command-line = \"sched=null\"\nimage =").as_bytes());
    let whole = desk.get("system.toml");
    desk.put("system.toml", &[whole, description.as_bytes().to_vec()].concat());
    assert_eq!(desk.xenite(&["pack", "system.toml", "-o", "a"]).status, 0);
    desk.put(
        "config",
        b"# Two domains.\nMEMORY_START=0x40000000\nMEMORY_END=0x80000000\n\nDEVICE_TREE=\"board.dtb\"\nXEN=xenite.img\n\
          XEN_CMD='sched=null'\nNUM_DOMUS=2\nDOMU_KERNEL[0]=\"kernel\" # a kernel\nDOMU_RAMDISK[0]=\"ramdisk\"\n\
          DOMU_MEM[0]=64\nDOMU_VCPUS[0]=2\nDOMU_KERNEL[1]=\"other\"\nDOMU_VPL011[1]=0\n\
          DOMU_STATIC_MEM[1]=\"0x50000000 0x2000000\"\nUBOOT_SOURCE=\"boot.source\"\nUBOOT_SCRIPT=\"boot.scr\"\n",
    );
    let said = desk.xenite(&["pack", "config", "-o", "b"]);
    assert_eq!(said.status, 0, "{}", said.err);
    // The window begins where RAM does, so the files lie 4 MiB lower; nothing else differs.
    let text = |folder: &str| {
        let tree = desk.get(&format!("{folder}/boot/system.dtb"));
        let fdt = Fdt::open(&tree).unwrap();
        let domains = fdt.find("/chosen").unwrap();
        let mut text = String::new();
        for (_, node) in fdt.walk().filter(|(depth, _)| *depth >= 2) {
            for property in node.properties().filter(|property| property.name() != "reg") {
                text.push_str(&format!("{} {:?}\n", property.name(), property.value));
            }
        }
        text + &format!("{:?}", domains.property("xen,xen-bootargs").unwrap().text())
    };
    assert_eq!(text("a"), text("b"));
}

#[test]
fn an_image_builder_configuration_is_refused_at_its_place() {
    let desk = Desk::new("builder-wrong");
    desk.put("config", b"DEVICE_TREE=board.dtb\nXEN=xenite.img\nNUM_DOMUS=1\nDOMU_KERNEL[0]=kernel\nDOMU_COLORS[0]=\"0-3\"\nrm -rf /\n");
    let said = desk.xenite(&["pack", "config", "-o", "out"]);
    assert_eq!(said.status, 1);
    for part in [
        "config:5:17",
        "there is no cache colouring",
        "config:6:1",
        "is not NAME=VALUE",
        "nothing was written: 2 errors",
    ] {
        assert!(said.err.contains(part), "{part}\n{}", said.err);
    }
}

/// The examples of the book, with files of our own in place of theirs.
#[test]
fn the_examples_can_be_packed() {
    let played = Command::new("qemu-system-aarch64").arg("--version").output().is_ok();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/pack");
    let mut count = 0;
    for entry in std::fs::read_dir(examples).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let text = std::fs::read_to_string(entry.path()).unwrap();
        if text.contains("machine = ") && !played {
            continue;
        }
        let desk = Desk::new(&format!("example-{name}"));
        desk.put(&name, text.as_bytes());
        for file in ["xenite-arm64.img", "linux", "linux-dom0"] {
            desk.put(file, &image(0x1_0000 + file.len() * 0x100));
        }
        for file in ["ramdisk.gz", "ramdisk-dom0.gz"] {
            desk.put(file, &[7; 4096]);
        }
        let said = desk.xenite(&["pack", &name, "-o", "out"]);
        assert_eq!(said.status, 0, "{name}: {}", said.err);
        assert!(said.err.is_empty(), "{name}: {}", said.err);
        count += 1;
    }
    assert!(count >= 1);
}

/// The partial tree of the domain `one` in a packed system, and the system's tree.
fn partial(desk: &Desk, folder: &str) -> (Vec<u8>, Vec<u8>) {
    (desk.get(&format!("{folder}/boot/one-devices.dtb")), desk.get(&format!("{folder}/boot/system.dtb")))
}

#[test]
fn devices_are_named_by_their_nodes_and_nobody_writes_an_address() {
    let desk = Desk::new("devices");
    let one = TWO.replace(
        "name = \"one\"",
        "name = \"one\"\ndevices = [\"/pl031@9010000\", \"/virtio_mmio@a003e00\"]",
    );
    let said = desk.pack(&one, "to");
    assert_eq!(said.status, 0, "{}", said.err);
    let (partial, system) = partial(&desk, "to");
    let clock = "/passthrough/pl031@9010000";
    let get =
        |path: &str, name: &str| property(&partial, path, name).unwrap_or_else(|| panic!("{path}: {name}"));
    assert_eq!(numbers(&get(clock, "xen,reg")), [0x901_0000, 0x1000, 0x901_0000]);
    assert_eq!(numbers(&get(clock, "reg")), [0x901_0000, 0x1000]);
    assert_eq!(get(clock, "xen,path"), b"/pl031@9010000\0");
    assert_eq!(get(clock, "interrupt-parent"), get("/gic", "phandle"));
    assert_eq!(get(clock, "clocks"), get("/passthrough/clock-0", "phandle"));
    // A part of a page stays where it is in its page.
    let disk = "/passthrough/virtio_mmio@a003e00";
    assert_eq!(numbers(&get(disk, "xen,reg")), [0xa00_3000, 0x1000, 0xa00_3000]);
    assert_eq!(numbers(&get(disk, "reg")), [0xa00_3e00, 0x200]);
    // Whatever is in that page is kept from dom0, and nothing else.
    for (path, kept) in
        [("/pl031@9010000", true), ("/virtio_mmio@a003000", true), ("/virtio_mmio@a002e00", false)]
    {
        assert_eq!(property(&system, path, "xen,passthrough").is_some(), kept, "{path}");
    }
}

#[test]
fn a_device_that_is_where_a_guest_has_something_else_is_moved_unless_it_is_mapped_directly() {
    let desk = Desk::new("moved-devices");
    let source = Command::new("dtc")
        .args(["-q", "-I", "dtb", "-O", "dts"])
        .arg(desk.folder.join("board.dtb"))
        .output();
    let Ok(source) = source else { return };
    let more = "/ { timer@22000000 { compatible = \"arm,sp804\"; reg = <0 0x22000000 0 0x1000>; interrupts = <0 90 4>; }; };";
    desk.put("board.dts", &[&source.stdout, more.as_bytes()].concat());
    let text = format!("{BOARD}{TWO}").replace("board.dtb", "board.dts");
    let device = "name = \"one\"\ndevices = [\"/timer@22000000\"]";
    for (direct, guest) in [("true", 0x2200_0000), ("false", 0x1000_0000)] {
        let text = text
            .replace("name = \"one\"", device)
            .replace("direct-map = true", &format!("direct-map = {direct}\nvpl011 = false"));
        desk.put("system.toml", text.as_bytes());
        let said = desk.xenite(&["pack", "system.toml", "-o", direct]);
        assert_eq!(said.status, 0, "{}", said.err);
        let (partial, _) = partial(&desk, direct);
        let reg = property(&partial, "/passthrough/timer@22000000", "xen,reg").unwrap();
        assert_eq!(numbers(&reg), [0x2200_0000, 0x1000, guest]);
    }
}

#[test]
fn what_cannot_be_given_away_is_said_at_its_place() {
    let desk = Desk::new("wrong-devices");
    for (device, words) in [
        ("/nowhere", "the board has no node"),
        ("/apb-pclk", "has no registers"),
        ("/pcie@10000000", "hangs on other devices of the board: interrupt-map"),
        ("/pl011@9000000", "is the hypervisor's, or no device"),
    ] {
        let said = desk
            .pack(&TWO.replace("name = \"one\"", &format!("name = \"one\"\ndevices = [\"{device}\"]")), "to");
        assert!(
            said.status == 1 && said.err.contains(words) && said.err.contains("devices ="),
            "{device}: {}",
            said.err
        );
    }
}
