//! Devices of the host in the hands of domains: Debian's kernels drive them with the drivers that they have.
//!
//! A partial device tree is written as its owner would write it, from the host's nodes. What each guest then does with
//! its devices stands in `xtask/src/dom0/devices.sh`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use xtask::packages::Part;
use xtask::qemu::{Prepared, Qemu};
use xtask::system::{Bus, Device, Domain, Gic, System};
use xtask::{command, paths, tools, tree};

use crate::dom0::Dom0;
use crate::linux::LINUX;
use crate::{Scenario, Setup, dom0};

/// How long a guest may take with its devices.
const LIMIT: Duration = Duration::from_secs(60);

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("devices: one guest has a disk and the clock, the other a UART, with GICv3", |setup| {
            without_dom0(setup, Gic::V3, Part::Linux6_12)
        }),
        Scenario::new("devices: one guest has a disk and the clock, the other a UART, with GICv2", |setup| {
            without_dom0(setup, Gic::V2, Part::Linux6_1)
        }),
        Scenario::new("devices: the clock is a guest's and not dom0's", with_dom0),
        Scenario::new(
            "devices: what a device asks of a guest that has ended costs nobody time",
            after_the_end,
        ),
    ]
}

/// A node of a partial tree for a device with one page of registers, which the guest sees where the host does.
fn node(path: &str, base: u64, spi: u32, properties: &str) -> String {
    let page = base & !0xfff;
    let size = if page == base { 0x1000 } else { 0x200 };
    let name = path.trim_start_matches('/');
    format!(
        "\t\t{name} {{ xen,path = \"{path}\"; xen,reg = <0 {page:#x} 0 0x1000 0 {page:#x}>;\n\
         \t\t\txen,force-assign-without-iommu; reg = <0 {base:#x} 0 {size:#x}>;\n\
         \t\t\tinterrupts = <0 {spi} 4>; interrupt-parent = <&gic>;\n\t\t\t{properties} }};\n"
    )
}

/// Clocks that drivers of the board's PL devices ask for.
const OSCILLATOR: &str = "\t\toscillator: oscillator { compatible = \"fixed-clock\"; #clock-cells = <0>; \
                          clock-frequency = <24000000>; };\n";

fn clock() -> String {
    let properties = "compatible = \"arm,pl031\", \"arm,primecell\"; clocks = <&oscillator>; \
                      clock-names = \"apb_pclk\";";
    OSCILLATOR.to_owned() + &node("/pl031@9010000", 0x901_0000, 2, properties)
}

fn uart() -> String {
    let properties = "compatible = \"arm,pl011\", \"arm,primecell\"; clocks = <&oscillator &oscillator>; \
                      clock-names = \"uartclk\", \"apb_pclk\";";
    OSCILLATOR.to_owned() + &node("/pl011@9040000", 0x904_0000, 8, properties)
}

/// The paths of the last eight windows for virtio devices, which share a page; QEMU's first device is in the last.
fn windows() -> Vec<(String, u64, u32)> {
    let window = |number: u32| {
        let base = 0xa00_0000 + u64::from(number) * 0x200;
        (format!("/virtio_mmio@{base:x}"), base, 16 + number)
    };
    (24..32).map(window).collect()
}

fn disk() -> String {
    let windows = windows();
    let nodes = windows.iter().map(|(path, base, spi)| {
        node(path, *base, *spi, "compatible = \"virtio,mmio\"; dma-coherent;")
            .replace(" 4>; interrupt", " 1>; interrupt")
    });
    nodes.collect()
}

/// A partial tree with these nodes, as a file of this name. Without the alias Linux would call the UART, which comes first
/// in the guest's tree, ttyAMA0, and its console ttyAMA1.
fn partial(name: &str, nodes: &[String]) -> Result<PathBuf> {
    let folder = paths::target().join("made");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("devices-{name}.dtb"));
    let source = format!(
        "/dts-v1/;\n/ {{\n\t#address-cells = <2>;\n\t#size-cells = <2>;\n\
         \tgic: gic {{ #interrupt-cells = <3>; interrupt-controller; }};\n\
         \taliases {{ serial1 = \"/passthrough/pl011@9040000\"; }};\n\
         \tpassthrough {{\n\t\tcompatible = \"simple-bus\"; ranges; #address-cells = <2>; #size-cells = <2>;\n{}\t}};\n}};\n",
        nodes.concat()
    );
    tree::compile(&source, &file.with_extension("dts"), &file)?;
    Ok(file)
}

/// Marks nodes of the host as kept from dom0.
fn kept<'p>(paths: impl IntoIterator<Item = &'p str>) -> String {
    paths.into_iter().map(|path| format!("&{{{path}}} {{ xen,passthrough; }};\n")).collect()
}

/// A disk with a file system and a file.
pub(crate) fn file_system() -> Result<PathBuf> {
    tools::ensure(&[tools::Need::FileSystems])?;
    let folder = paths::target().join("made").join("disk");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("file"), "of-the-host\n")?;
    let image = folder.with_extension("img");
    let _ = std::fs::remove_file(&image);
    let mut make = command::new(tools::mke2fs().context("there is no mke2fs")?);
    make.args(["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d"]);
    command::output(make.arg(&folder).arg(&image).arg("64M"))?;
    Ok(image)
}

/// The numbers and words behind a mark, by their names.
fn field(line: &str, name: &str) -> Result<String> {
    let found = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Ok(found.with_context(|| format!("no {name} in: {line}"))?.to_owned())
}

pub(crate) fn check_clock(line: &str) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    check_time(line, now - 120..now + 120)
}

/// The clock has rung, and tells a time among these.
pub(crate) fn check_time(line: &str, times: Range<u64>) -> Result<()> {
    ensure!(field(line, "name")? == "rtc-pl031", "another clock: {line}");
    let told: u64 = field(line, "time")?.parse()?;
    ensure!(times.contains(&told), "the clock tells {told}, which is not in {times:?}");
    ensure!(field(line, "rings")? == "1", "the alarm did not ring: {line}");
    Ok(())
}

pub(crate) fn check_disk(line: &str) -> Result<()> {
    ensure!(field(line, "file")? == "of-the-host", "another disk: {line}");
    ensure!(field(line, "wrote")? == field(line, "read")?, "the disk changed what was written: {line}");
    Ok(())
}

/// The board's second UART, whose line leads to a socket.
fn add_line(system: &mut System, name: &str) -> PathBuf {
    let socket = std::env::temp_dir().join(format!("xenite-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&socket);
    system.machine.serials.push(format!("unix:{},server=on,wait=off", socket.display()));
    socket
}

/// Talks to the guest behind the line.
fn talk(line: &UnixStream) -> Result<()> {
    line.set_read_timeout(Some(LINUX))?;
    let mut lines = BufReader::new(line).lines();
    let mut next = || lines.next().context("the line has ended")?.context("nothing comes over the line");
    while next()?.trim() != "XENITE-LINE" {}
    writeln!(&mut &*line, "over-the-line")?;
    let heard = next()?;
    ensure!(heard.trim() == "XENITE-HEARD over-the-line", "the guest answers: {heard}");
    Ok(())
}

/// Two guests without a dom0: one is mapped directly, since its disk reads and writes memory by the host's addresses.
fn without_dom0(setup: &Setup, gic: Gic, kernel: Part) -> Result<()> {
    let mut system = setup.system();
    system.machine.gic = gic;
    system.machine.devices.push(Device::Disk(file_system()?, Bus::Mmio));
    let socket = add_line(&mut system, "two-guests");
    let mut first = Domain::debian_with_devices(kernel, partial("disk-and-clock", &[clock(), disk()])?)?;
    first.extra = "\t\t\txen,static-mem = <0 0x80000000 0 0x10000000>;\n\t\t\tdirect-map;\n".to_owned();
    let second = Domain::debian_with_devices(kernel, partial("uart", &[uart()])?)?;
    system.domains = vec![first, second];
    let windows = windows();
    let virtio = windows.iter().map(|(path, ..)| path.as_str());
    system.overlay = kept(virtio.chain(["/pl031@9010000", "/pl011@9040000"]));
    let mut machine = Prepared::new(&system)?.start()?;
    let line = connect(&mut machine, &socket)?;
    talk(&line).with_context(|| machine.last_lines())?;
    for _ in 0..2 {
        machine.expect("XENITE-DEVICES-DONE", LINUX)?;
    }
    let output = machine.output();
    let said = |mark: &str| output.lines().find(|line| line.contains(mark)).context(format!("no {mark}"));
    let (clock, disk) = (said("XENITE-CLOCK ")?, said("XENITE-DISK ")?);
    check_clock(clock)?;
    check_disk(disk)?;
    ensure!(
        clock.contains("DOM1: ") && disk.contains("DOM1: "),
        "the other domain has them: {clock}, {disk}"
    );
    ensure!(said("XENITE-UART heard=over-the-line")?.contains("DOM2: "), "the other domain has the UART");
    std::fs::remove_file(socket)?;
    Ok(())
}

/// Connects to a machine's line as soon as it is there.
fn connect(machine: &mut Qemu, socket: &std::path::Path) -> Result<UnixStream> {
    machine.expect("(XEN) ", LIMIT)?;
    UnixStream::connect(socket).with_context(|| format!("nobody is at {}", socket.display()))
}

/// Dom0 has all devices but the clock, a guest has that.
fn with_dom0(setup: &Setup) -> Result<()> {
    let mut system = dom0::debian(setup, Part::Linux6_1, Bus::Pci)?;
    system.domains.push(Domain::debian_with_devices(Part::Linux6_1, partial("clock", &[clock()])?)?);
    system.overlay = kept(["/pl031@9010000"]);
    let mut dom0 = Dom0::start(&system)?;
    let clocks = dom0.ask("ls /sys/class/rtc | wc -l")?;
    ensure!(clocks.trim() == "0", "dom0 has {clocks} clocks");
    // It may have told the time before dom0 was ready.
    while !dom0.machine.output().contains("XENITE-DEVICES-DONE") {
        dom0.machine.expect("DOM1: ", LIMIT)?;
    }
    let output = dom0.machine.output();
    check_clock(output.lines().find(|line| line.contains("XENITE-CLOCK ")).context("no clock")?)?;
    Ok(())
}

/// A guest gives itself up while its UART is open. What comes over the line then asks for it for ever; on the only
/// processor another guest must not notice.
fn after_the_end(setup: &Setup) -> Result<()> {
    let mut system = setup.debian(&["xenite.tick"])?;
    system.machine.cpus = 1;
    let socket = add_line(&mut system, "after-the-end");
    let mut second = Domain::debian_with_devices(Part::Linux6_1, partial("uart", &[uart()])?)?;
    second.kernel.bootargs = Some("console=ttyAMA0 panic=1 xenite.devices xenite.crash".to_owned());
    system.domains.push(second);
    system.overlay = kept(["/pl011@9040000"]);
    let mut machine = Prepared::new(&system)?.start()?;
    let line = connect(&mut machine, &socket)?;
    talk(&line).with_context(|| machine.last_lines())?;
    machine.expect("d2 has asked for a restart", LINUX)?;
    writeln!(&mut &line, "is anybody there")?;
    for _ in 0..5 {
        machine.expect("XENITE-TICK ", LIMIT)?;
    }
    std::fs::remove_file(socket)?;
    Ok(())
}
