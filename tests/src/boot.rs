//! The ways into the hypervisor, and what it does with what it finds there.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use xtask::packages::Part;
use xtask::qemu::Prepared;
use xtask::system::{Domain, Entry, Module, System};

use crate::linux::wait_for_ready;
use crate::{Scenario, Setup};

/// How long a system of tiny guests may take.
pub const TINY: Duration = Duration::from_secs(60);

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("boot: the banner comes first and the last guest's end powers off", banner),
        Scenario::new("boot: U-Boot's booti starts it", u_boot),
        Scenario::new("boot: entered at EL1 it says so and stops", entered_at_el1),
        Scenario::new("boot: a gzip'd kernel is unpacked", gzip),
        Scenario::new("boot: one kernel serves several domains", shared_kernel),
        Scenario::new("boot: an unknown option is named in a warning", unknown_option),
        Scenario::new("boot: maxcpus=1 uses one processor of four", maxcpus),
        Scenario::new("boot: two banks of memory with a hole between them", two_banks),
        Scenario::new("boot: reserved memory is left alone", reserved_memory),
        Scenario::new("boot: a domain in static memory above 4 GiB", static_memory_above_4_gib),
        Scenario::new(
            "boot: a domain mapped directly sees its memory at the machine's addresses",
            direct_map,
        ),
    ]
}

/// Boots a system of tiny guests and waits until each is done and the machine powers off.
///
/// # Errors
/// When that does not happen.
pub fn hello_from_all(system: &System) -> Result<()> {
    let mut machine = Prepared::new(system)?.start()?;
    for _ in &system.domains {
        machine.expect("DONE 1 passed, 0 failed", TINY)?;
    }
    machine.expect_end(TINY)
}

fn banner(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.domains.push(setup.hello()?);
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("Xenite ", TINY)?;
    let before = machine.output();
    let first = before.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    ensure!(first.contains("Xenite "), "the first line is not the banner: {first}");
    machine.expect("DOM1: hello from a guest of 1 vCPUs", TINY)?;
    machine.expect("DOM1: DONE 1 passed, 0 failed", TINY)?;
    machine.expect_end(TINY)
}

fn u_boot(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.entry = Entry::UBoot;
    system.domains.push(setup.hello()?);
    system.domains.push(Domain::debian(Part::Linux6_1, 1, 256, "xenite.poweroff")?);
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect_all(&["DOM1: DONE 1 passed, 0 failed", "XENITE-READY "], Duration::from_secs(240))?;
    machine.expect_end(TINY)
}

fn entered_at_el1(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.machine.virtualization = false;
    system.domains.push(setup.hello()?);
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("EL1", TINY)?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(!machine.output().contains("hello"), "a guest ran: {}", machine.last_lines());
    Ok(())
}

fn gzip(setup: &Setup) -> Result<()> {
    let folder = xtask::paths::target().join("made");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("linux-6.1.gz");
    let kernel = xtask::packages::fetch(&[Part::Linux6_1])?;
    let kernel = std::fs::read(kernel.first().context("no kernel was fetched")?)?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&kernel)?;
    xtask::image::write(&file, &packed.finish()?)?;
    let mut system = setup.debian(&["xenite.poweroff"])?;
    for domain in &mut system.domains {
        domain.kernel.file.clone_from(&file);
    }
    let mut machine = Prepared::new(&system)?.start()?;
    wait_for_ready(&mut machine, 1)?;
    machine.expect_end(TINY)
}

fn shared_kernel(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    for _ in 0..4 {
        system.domains.push(setup.hello()?);
    }
    hello_from_all(&system)
}

fn unknown_option(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.arguments.push_str(" nonsense=7");
    system.domains.push(setup.hello()?);
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("nonsense", TINY)?;
    machine.expect("DONE 1 passed, 0 failed", TINY)
}

fn maxcpus(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.machine.cpus = 4;
    system.arguments.push_str(" maxcpus=1");
    system.domains = vec![setup.hello()?, setup.hello()?];
    hello_from_all(&system)
}

/// QEMU writes the memory of the machine into a tree that it loads, so these trees go past it.
fn two_banks(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.entry = Entry::Bare;
    system.machine.memory_mib = 3072;
    system.overlay = "
/ {
    memory@40000000 { reg = <0 0x40000000 0 0x20000000>, <0 0x80000000 0 0x30000000>; };
};
"
    .to_owned();
    system.domains =
        vec![setup.hello()?, setup.hello()?, Domain::debian(Part::Linux6_1, 2, 700, "xenite.poweroff")?];
    let mut machine = Prepared::new(&system)?.start()?;
    machine
        .expect_all(&["DOM1: DONE 1 passed", "DOM2: DONE 1 passed", "XENITE-READY "], crate::linux::LINUX)?;
    machine.expect_end(TINY)
}

fn reserved_memory(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.overlay = "
/ {
    reserved-memory {
        #address-cells = <2>;
        #size-cells = <2>;
        ranges;
        firmware@50000000 { reg = <0 0x50000000 0 0x10000000>; no-map; };
        secrets@b0000000 { reg = <0 0xb0000000 0 0x01000000>; };
    };
};
"
    .to_owned();
    system.domains = vec![setup.hello()?, setup.hello()?];
    hello_from_all(&system)
}

fn static_memory_above_4_gib(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.machine.memory_mib = 8192;
    let mut domain = Domain::debian(Part::Linux6_1, 1, 256, "xenite.poweroff")?;
    domain.extra = "\t\t\txen,static-mem = <0x1 0x80000000 0x0 0x10000000>;\n".to_owned();
    system.domains.push(domain);
    let mut machine = Prepared::new(&system)?.start()?;
    wait_for_ready(&mut machine, 1)?;
    machine.expect_end(TINY)
}

fn direct_map(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    let mut domain = Domain::debian(Part::Linux6_1, 1, 256, "xenite.poweroff")?;
    domain.extra = "\t\t\tdirect-map;\n\t\t\txen,static-mem = <0x0 0x90000000 0x0 0x10000000>;\n".to_owned();
    // The file system reads where the kernel found its memory.
    let words = domain.kernel.bootargs.take().unwrap_or_default();
    domain.kernel = Module { bootargs: Some(format!("{words} earlycon")), ..domain.kernel };
    system.domains.push(domain);
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("[mem 0x0000000090000000-0x000000009fffffff]", crate::linux::LINUX)?;
    wait_for_ready(&mut machine, 1)?;
    machine.expect_end(TINY)
}
