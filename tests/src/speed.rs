//! Speed and size, in numbers that do not depend on the computer: QEMU counts instructions as its clock.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::qemu::Prepared;
use xtask::system::{Domain, System};

use crate::{Scenario, Setup};

/// Instructions from reset to the first instruction of a guest of 64 MiB on a machine of 1 GiB.
const FIRST_GUEST: u64 = 4_000_000;
/// Instructions for each further such guest.
const NEXT_GUEST: u64 = 1_500_000;
/// Bytes of the image.
const IMAGE: u64 = 512 * 1024;
/// KiB of 1 GiB that no domain can have.
const KEPT_KIB: u64 = 6 * 1024;
/// Parts per million that a compute loop may lose to the hypervisor.
const OVERHEAD_PPM: u64 = 100;
/// Instructions of paravirtual operations, in the order in which the guest measures them. `docs/performance.md` says what
/// each one is.
const OPERATIONS: [(&str, u64); 11] = [
    ("hvc.xen_version", 170),
    ("hvc.bad_number", 150),
    ("hvc.multicall8", 2_310),
    ("evtchn.send_masked", 402),
    ("evtchn.self_ipi.entry", 964),
    ("mem.decrease_4k", 1_200),
    ("mem.populate_4k", 1_564),
    ("mem.decrease_2m", 110_300),
    ("gnttab.map_self", 1_410),
    ("gnttab.unmap_self", 900),
    ("gnttab.copy4k_ref_frame", 1_813),
];
/// Static guests of 64 MiB with one vCPU.
const STATIC_GUESTS: usize = 8;
/// KiB that the hypervisor keeps for each of them.
const STATIC_GUEST_KIB: u64 = 300;
const LIMIT: Duration = Duration::from_secs(120);

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("speed: instructions until the first guest runs", first_guest),
        Scenario::new("speed: instructions for each further guest", further_guests),
        Scenario::new("speed: memory that the hypervisor keeps for a static guest", static_guest_memory),
        Scenario::new("speed: a guest alone on its processor computes undisturbed", undisturbed),
        Scenario::new("speed: PV operations", operations),
        Scenario::new("speed: size of the image", image_size),
        Scenario::new("speed: memory that the hypervisor keeps", kept_memory),
    ]
}

/// A machine of one processor whose clock counts instructions.
fn counted(setup: &Setup) -> System {
    let mut system = setup.system();
    system.machine.cpus = 1;
    system.machine.memory_mib = 1024;
    system.machine.count_instructions();
    system
}

/// The counter that each of so many guests read at its first instruction; one tick is one instruction.
fn first_instructions(setup: &Setup, guests: usize) -> Result<Vec<u64>> {
    let mut system = counted(setup);
    for _ in 0..guests {
        system.domains.push(setup.hello()?);
    }
    counts_of(&system)
}

fn counts_of(system: &System) -> Result<Vec<u64>> {
    let mut machine = Prepared::new(system)?.start()?;
    let mut counts = Vec::new();
    for _ in &system.domains {
        let figures = machine.expect_line("figure boot.first_entry ", LIMIT)?;
        let median = figures.split_whitespace().next().context("a figure has no number")?;
        counts.push(median.parse().with_context(|| format!("a figure is no number: {figures}"))?);
    }
    Ok(counts)
}

fn first_guest(setup: &Setup) -> Result<()> {
    let counts = first_instructions(setup, 1)?;
    let count = counts.first().copied().context("the guest gave no figure")?;
    println!("     {count} instructions until the first guest runs (limit {FIRST_GUEST})");
    ensure!(
        count <= FIRST_GUEST,
        "{count} instructions until the first guest runs; the limit is {FIRST_GUEST}"
    );
    Ok(())
}

fn further_guests(setup: &Setup) -> Result<()> {
    let last = |guests| -> Result<u64> {
        first_instructions(setup, guests)?.into_iter().max().context("no guest gave a figure")
    };
    let each = last(4)?.saturating_sub(last(1)?) / 3;
    println!("     {each} instructions for each further guest (limit {NEXT_GUEST})");
    ensure!(each <= NEXT_GUEST, "{each} instructions for each further guest; the limit is {NEXT_GUEST}");
    Ok(())
}

/// So many guests, each with memory of the host that is its own.
fn static_system(setup: &Setup, guests: usize) -> Result<System> {
    let mut system = counted(setup);
    for number in 0..guests {
        let mut domain = setup.hello()?;
        let base = 0x6000_0000 + number * 0x400_0000;
        domain.extra = format!("\t\t\txen,static-mem = <0 {base:#x} 0 0x4000000>;\n");
        system.domains.push(domain);
    }
    Ok(system)
}

fn static_guest_memory(setup: &Setup) -> Result<()> {
    let [_, one] = kept(&static_system(setup, 1)?)?;
    let [_, all] = kept(&static_system(setup, STATIC_GUESTS)?)?;
    let each = (all - one).div_ceil(STATIC_GUESTS as u64 - 1);
    println!("     {each} KiB for each static guest (limit {STATIC_GUEST_KIB})");
    ensure!(
        each <= STATIC_GUEST_KIB,
        "{each} KiB are kept for a static guest; the limit is {STATIC_GUEST_KIB}"
    );
    Ok(())
}

/// What the hypervisor takes from a guest that computes alone on its processor.
fn undisturbed(setup: &Setup) -> Result<()> {
    let mut system = counted(setup);
    system.domains.push(Domain::plain(setup.guest("compute")?, 1, 64));
    let mut machine = Prepared::new(&system)?.start()?;
    let figures = machine.expect_line("figure compute.overhead_ppm ", LIMIT)?;
    let overhead: u64 = figures.split_whitespace().next().context("a figure has no number")?.parse()?;
    println!("     {overhead} parts per million (limit {OVERHEAD_PPM})");
    ensure!(overhead <= OVERHEAD_PPM, "{overhead} parts per million are lost; the limit is {OVERHEAD_PPM}");
    Ok(())
}

/// What operations of the paravirtual interface cost. All are measured before the first one fails the test.
fn operations(setup: &Setup) -> Result<()> {
    let mut system = counted(setup);
    let mut domain = Domain::plain(setup.guest("bench")?, 1, 64);
    domain.extra = "\t\t\txen,enhanced = \"no-xenstore\";\n".to_owned();
    system.domains.push(domain);
    let mut machine = Prepared::new(&system)?.start()?;
    let mut above = Vec::new();
    for (name, limit) in OPERATIONS {
        let figures = machine.expect_line(&format!("figure {name} "), LIMIT)?;
        let median = figures.split_whitespace().next().context("a figure has no number")?;
        let median: u64 = median.parse().with_context(|| format!("a figure is no number: {figures}"))?;
        println!("     {median} instructions: {name} (limit {limit})");
        if median > limit {
            above.push(format!("{name} takes {median} instructions, {limit} at most"));
        }
    }
    ensure!(above.is_empty(), "{}", above.join("; "));
    Ok(())
}

fn image_size(setup: &Setup) -> Result<()> {
    let size = std::fs::metadata(setup.hypervisor.file())?.len();
    ensure!(size <= IMAGE, "the image has {size} bytes; the limit is {IMAGE}");
    Ok(())
}

/// Image and heap, with one domain of 64 MiB on 1 GiB.
fn kept_memory(setup: &Setup) -> Result<()> {
    let mut system = counted(setup);
    system.domains.push(setup.hello()?);
    let kept: u64 = kept(&system)?.iter().sum();
    println!("     {kept} KiB kept (limit {KEPT_KIB})");
    ensure!(kept <= KEPT_KIB, "{kept} KiB are kept; the limit is {KEPT_KIB}");
    Ok(())
}

/// KiB of image and heap, as boot says.
fn kept(system: &System) -> Result<[u64; 2]> {
    let mut machine = Prepared::new(system)?.start()?;
    let line = machine.expect_line("kept by the hypervisor: ", LIMIT)?;
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [image, heap] = numbers[..] else { anyhow::bail!("the line has not two sizes: {line}") };
    Ok([image, heap])
}
