//! Systems that the owner's tool has packed: `xenite pack` chooses the addresses, `xenite run` boots the result by each way
//! that a pack has.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xtask::packages::{self, Part};
use xtask::qemu::{self, Qemu};
use xtask::tools::{self, Need};
use xtask::{command, initrd, paths, rootfs};

use crate::boot::TINY;
use crate::linux::LINUX;
use crate::{Scenario, Setup, devices};

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let whole = |name: &str, way: &'static [&'static str]| {
        Scenario::new(name, move |setup: &Setup| two_and_debian(setup, way))
    };
    vec![
        whole("pack: two own guests with a channel and a Debian guest boot from QEMU's loader", &[]),
        whole("pack: the same from files by U-Boot's boot.scr and booti", &["--uboot"]),
        whole("pack: the same from flash", &["--flash"]),
        Scenario::new("pack: a guest drives devices that were named by their nodes", with_devices),
        Scenario::new("pack: dom0 from a disk beside a static guest with PV interfaces", with_dom0),
        Scenario::new(
            "pack: the raw image is started by U-Boot's booti as its folder's README says",
            raw_by_u_boot,
        ),
        Scenario::new("pack: a raw image that was loaded elsewhere moves itself to its place", moved),
        Scenario::new(
            "pack: a board's tree and an ImageBuilder configuration boot a domain mapped directly",
            image_builder,
        ),
    ]
}

/// A packed system in its folder.
pub(crate) struct Packed {
    xenite: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Packed {
    /// Packs a description; the words `@IMAGE@`, `@EVENTS@`, `@HELLO@`, `@LINUX@` and the like in it become paths of files.
    pub(crate) fn new(setup: &Setup, name: &str, description: &str, words: &[&str]) -> Result<Self> {
        tools::ensure(&[Need::Qemu, Need::TreeCompiler])?;
        command::run(command::cargo().args(["build", "--quiet", "--package", "xenite"]))?;
        let xenite = paths::target().join("debug/xenite");
        let linux = packages::fetch(&[Part::Linux6_1])?;
        let files = [
            ("@IMAGE@", setup.hypervisor.file().clone()),
            ("@EVENTS@", setup.guest("events")?),
            ("@HELLO@", setup.guest("hello")?),
            ("@LINUX@", linux.first().context("no kernel was fetched")?.clone()),
            ("@RAMDISK@", initrd::build()?),
            ("@DEVICES@", initrd::build_with_devices(Part::Linux6_1)?),
            ("@DISK@", devices::file_system()?),
            ("@LINUX_6_12@", Part::Linux6_12.path()),
            ("@MEET@", setup.guest("meet")?),
            ("@MEET_RAMDISK@", initrd::build_for_meeting()?),
        ];
        let text = files
            .iter()
            .fold(description.to_owned(), |text, (word, file)| text.replace(word, &file.to_string_lossy()));
        let folder = qemu::scratch()?;
        let file = folder.join(name);
        std::fs::write(&file, text)?;
        let mut pack = command::new(&xenite);
        pack.arg("pack").arg(&file).arg("-o").arg(folder.join("packed")).args(words);
        command::output(&mut pack)?;
        Ok(Self { xenite, folder })
    }

    /// What the desk says of the packed system, by the command that its README has.
    pub(crate) fn plan(&self) -> Result<String> {
        let packed = self.folder.join("packed");
        let text = std::fs::read_to_string(packed.join("README.txt"))?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("xenite plan "));
        let mut plan = command::new(&self.xenite);
        plan.current_dir(packed).arg("plan").args(line.context("the README has no command")?.split(' '));
        command::output(&mut plan)
    }

    /// Boots it.
    pub(crate) fn run(self, words: &[&str]) -> Result<Qemu> {
        let mut run = command::new(&self.xenite);
        run.arg("run").arg(self.folder.join("packed")).args(words);
        Qemu::watch(&run, self.folder)
    }
}

const TWO_AND_DEBIAN: &str = r#"
[board]
machine = "qemu-virt"
memory = "1G"
cpus = 2

[hypervisor]
image = "@IMAGE@"
command-line = "guest_loglvl=all"

[[domain]]
name = "first"
kernel = "@EVENTS@"
command-line = "events.port=1 events.first"
memory = "64M"
cpus = 1
static = "auto"
enhanced = "no-xenstore"

[[domain]]
name = "second"
kernel = "@EVENTS@"
command-line = "events.port=7"
memory = "64M"
cpus = 1
static = [{ size = "48M" }, { size = "16M" }]
enhanced = "no-xenstore"

[[domain]]
name = "debian"
kernel = "@LINUX@"
ramdisk = "@RAMDISK@"
command-line = "console=ttyAMA0 xenite.poweroff"
memory = "256M"
cpus = 1
static = "auto"
direct-map = true

[[channel]]
name = "bell"
ends = ["first", "second"]
ports = [1, 7]
"#;

const WITH_DEVICES: &str = r#"
[board]
machine = "qemu-virt"
qemu = ["-drive", "if=none,file=@DISK@,format=raw,snapshot=on,id=disk", "-device", "virtio-blk-device,drive=disk"]

[hypervisor]
image = "@IMAGE@"

[[domain]]
name = "debian"
kernel = "@LINUX@"
ramdisk = "@DEVICES@"
command-line = "console=ttyAMA0 xenite.devices xenite.poweroff"
memory = "256M"
cpus = 1
static = "auto"
direct-map = true
devices = ["/pl031@9010000", "/virtio_mmio@a003e00"]
"#;

fn with_devices(setup: &Setup) -> Result<()> {
    let mut machine = Packed::new(setup, "system.toml", WITH_DEVICES, &[])?.run(&[])?;
    devices::check_clock(&machine.expect_line("XENITE-CLOCK ", LINUX)?)?;
    devices::check_disk(&machine.expect_line("XENITE-DISK ", LINUX)?)?;
    machine.expect_end(LINUX)
}

fn two_and_debian(setup: &Setup, way: &[&str]) -> Result<()> {
    if way.contains(&"--uboot") {
        tools::ensure(&[Need::UBoot])?;
    }
    let mut machine = Packed::new(setup, "system.toml", TWO_AND_DEBIAN, &[])?.run(way)?;
    machine.expect_all(&["DOM1: DONE ", "DOM2: DONE ", "XENITE-READY "], LINUX)?;
    // Lines come whole, but what is read of them may end anywhere.
    machine.expect("\n", LINUX)?;
    let output = machine.output();
    for domain in ["DOM1", "DOM2"] {
        let line = output.lines().find(|line| line.starts_with(&format!("{domain}: DONE ")));
        let good =
            line.is_some_and(|line| line.ends_with(" passed, 0 failed") && !line.contains(" 0 passed"));
        anyhow::ensure!(good, "{domain} ended with {line:?}; {}", machine.last_lines());
    }
    machine.expect_end(TINY)
}

const WITH_DOM0: &str = r#"
[board]
machine = "qemu-virt"
memory = "2G"
gic = 2
qemu = ["-drive", "if=none,file=@DISK@,format=raw,snapshot=on,id=disk", "-device", "virtio-blk-device,drive=disk"]

[hypervisor]
image = "@IMAGE@"
command-line = "guest_loglvl=all"

[dom0]
kernel = "@LINUX@"
ramdisk = "@DOM0_RAMDISK@"
command-line = "console=hvc0 root=LABEL=@LABEL@ panic=1 xenite.typed"
memory = "512M"
cpus = 2

[[domain]]
name = "guest"
kernel = "@HELLO@"
memory = "64M"
cpus = 1
static = [{ size = "32M" }, { size = "32M" }]
enhanced = true

[[channel]]
name = "bell"
ends = ["dom0", "guest"]
"#;

fn with_dom0(setup: &Setup) -> Result<()> {
    let description = WITH_DOM0
        .replace("@DISK@", &rootfs::disk()?.to_string_lossy())
        .replace("@DOM0_RAMDISK@", &initrd::build_for_dom0(Part::Linux6_1)?.to_string_lossy())
        .replace("@LABEL@", rootfs::LABEL);
    let mut machine = Packed::new(setup, "system.toml", &description, &[])?.run(&[])?;
    machine.expect_all(&["DOM1: DONE 1 passed, 0 failed", "XENITE-DOM0-READY ", "XENITE-TYPE\n"], LINUX)?;
    let output = machine.output();
    let ready = output.lines().find(|line| line.contains("XENITE-DOM0-READY ")).unwrap_or_default();
    anyhow::ensure!(ready.contains(" cpus=2 ") && ready.ends_with("xen=control_d"), "dom0 says {ready}");
    machine.send("poweroff -f\n")?;
    machine.expect_end(TINY)
}

/// A system of one tiny guest.
fn tiny(setup: &Setup) -> Result<Packed> {
    let description = TWO_AND_DEBIAN.split("[[domain]]").next().unwrap_or_default().to_owned()
        + "[[domain]]\nname = \"one\"\nkernel = \"@HELLO@\"\nmemory = \"64M\"\ncpus = 1\n";
    Packed::new(setup, "system.toml", &description, &[])
}

/// The machine of that system, with what it starts.
fn machine(words: &[&str]) -> std::process::Command {
    let mut qemu = command::new("qemu-system-aarch64");
    qemu.args([
        "-machine",
        "virt,virtualization=on,gic-version=3",
        "-cpu",
        "cortex-a57",
        "-smp",
        "2",
        "-m",
        "1024",
    ]);
    qemu.args(["-display", "none", "-nic", "none", "-serial", "stdio", "-monitor", "none"]).args(words);
    qemu
}

/// Where a raw image must lie.
fn place(image: &Path) -> Result<u64> {
    let bytes = std::fs::read(image)?;
    let field = bytes.get(64..72).context("the image has no head")?;
    Ok(u64::from_le_bytes(field.try_into()?))
}

/// The raw image, half a MiB above its place, where the two overlap.
fn moved(setup: &Setup) -> Result<()> {
    let packed = tiny(setup)?;
    let image = packed.folder.join("packed/flash.img");
    let place = place(&image)? + 0x8_0000;
    let load = format!("loader,file={},addr={place:#x},force-raw=on,cpu-num=0", image.display());
    let mut machine = Qemu::watch(&machine(&["-device", &load]), packed.folder)?;
    machine.expect("DOM1: DONE 1 passed, 0 failed", TINY)?;
    machine.expect_end(TINY)
}

/// The raw image in the second flash of the machine, from which U-Boot copies it to its place.
fn raw_by_u_boot(setup: &Setup) -> Result<()> {
    tools::ensure(&[Need::UBoot])?;
    let packed = tiny(setup)?;
    let image = packed.folder.join("packed/flash.img");
    let place = place(&image)?;
    let size = std::fs::metadata(&image)?.len();
    // Flash has one size.
    let flash = packed.folder.join("flash");
    std::fs::copy(&image, &flash)?;
    std::fs::OpenOptions::new().write(true).open(&flash)?.set_len(FLASH_BYTES)?;
    let drive = format!("if=pflash,unit=1,format=raw,readonly=on,file={}", flash.display());
    let words = ["-bios", tools::U_BOOT, "-drive", &drive];
    let mut machine = Qemu::watch(&machine(&words), packed.folder)?;
    machine.expect("Hit any key to stop autoboot", TINY)?;
    machine.send(" ")?;
    machine.expect("=> ", TINY)?;
    machine.send(&format!(
        "cp.b {SECOND_FLASH:#x} {place:#x} {size:#x}; booti {place:#x} - ${{fdtcontroladdr}}\n"
    ))?;
    machine.expect("DOM1: DONE 1 passed, 0 failed", TINY)?;
    machine.expect_end(TINY)
}

/// The second flash of QEMU's machine, and its size.
const SECOND_FLASH: u64 = 0x400_0000;
const FLASH_BYTES: u64 = 64 << 20;

/// The words that make QEMU the board of the configuration.
const BOARD: &str =
    "-machine virt,virtualization=on,gic-version=2 -cpu cortex-a53 -smp 2 -m 1024 -display none -nic none";

const CONFIGURATION: &str = r#"
MEMORY_START="0x40000000"
MEMORY_END="0x60000000"
DEVICE_TREE="board.dtb"
XEN="@IMAGE@"
XEN_CMD="console=dtuart guest_loglvl=all"
NUM_DOMUS=2
DOMU_KERNEL[0]="@HELLO@"
DOMU_CMD[0]=""
DOMU_MEM[0]=64
DOMU_KERNEL[1]="@LINUX@"
DOMU_RAMDISK[1]="@RAMDISK@"
DOMU_CMD[1]="console=ttyAMA0 xenite.poweroff"
DOMU_STATIC_MEM[1]="0x60000000 0x10000000"
UBOOT_SOURCE="boot.source"
UBOOT_SCRIPT="boot.scr"
"#;

fn image_builder(setup: &Setup) -> Result<()> {
    let boards = qemu::scratch()?;
    let tree = dump(&boards)?;
    let text = CONFIGURATION.replace("board.dtb", &tree.to_string_lossy());
    let mut machine = Packed::new(setup, "config", &text, &["--qemu", BOARD])?.run(&["--flash"])?;
    machine.expect_all(&["DOM1: DONE 1 passed, 0 failed", "XENITE-READY "], LINUX)?;
    machine.expect_end(TINY)?;
    std::fs::remove_dir_all(boards).context("the board's folder is gone")
}

/// The tree of the board, as its maker would give it.
fn dump(folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("board.dtb");
    let words = BOARD.replace("gic-version=2", &format!("gic-version=2,dumpdtb={}", tree.display()));
    command::output(command::new("qemu-system-aarch64").args(words.split_whitespace()))?;
    Ok(tree)
}
