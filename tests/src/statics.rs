//! Static configuration: what the owner has fixed is so, with dom0 and without, and nothing is allocated afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::qemu::{Prepared, Qemu};
use xtask::system::{Dom0, Domain, System};

use crate::{Scenario, Setup};

/// How long a system of own guests may take.
const LIMIT: Duration = Duration::from_secs(180);
/// KiB that the hypervisor keeps for a static guest of 64 MiB with one vCPU, and with how many it is measured.
const GUEST_KIB: u64 = 300;
const GUESTS: u64 = 8;
const ENHANCED: &str = "\t\t\txen,enhanced = \"no-xenstore\";\n";
/// Where the region lies in the host, and where guests see it.
const REGION: u64 = 0x7000_0000;
const SEEN: u64 = 0x5000_0000;

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("static: one writes memory that three share, its owner and its borrowers", |setup| {
            shares(setup, [Some("owner"), Some("borrower"), Some("borrower")])
        }),
        Scenario::new("static: one writes memory that three share and nobody owns", |setup| {
            shares(setup, [None; 3])
        }),
        Scenario::new("static: dom0 writes memory that it shares with two domains", dom0_shares),
        Scenario::new("static: several domains without dom0, all that they have fixed", all_fixed),
        Scenario::new("static: whoever uses its pool of tables up slows nobody", pools),
        Scenario::new("static: memory that the hypervisor keeps for a guest", kept_for_a_guest),
        Scenario::new("static: the sealed heap refuses nothing while guests do all that they can", sealed),
    ]
}

/// A node for the region at this guest address.
fn node(role: Option<&str>, guest: u64) -> String {
    let role = role.map_or(String::new(), |role| format!(" role = \"{role}\";"));
    format!(
        "\t\t\tshm@{guest:x} {{ compatible = \"xen,domain-shared-memory-v1\"; xen,shm-id = \"one\";{role} \
         xen,shared-mem = <0 {REGION:#x} 0 {guest:#x} 0 0x400000>; }};\n"
    )
}

/// A guest with these words, of 64 MiB and one vCPU.
fn guest(setup: &Setup, name: &str, words: &str) -> Result<Domain> {
    let mut domain = Domain::plain(setup.guest(name)?, 1, 64);
    domain.kernel.bootargs = Some(words.to_owned());
    Ok(domain)
}

/// Waits until so many guests are done, none of which may have failed a check.
fn all_done(machine: &mut Qemu, count: usize) -> Result<()> {
    for _ in 0..count {
        machine.expect("DONE ", LIMIT)?;
    }
    let output = machine.output();
    let failed: Vec<&str> = output.lines().filter(|line| line.contains("FAIL ")).collect();
    ensure!(failed.is_empty(), "{} checks failed: {failed:#?}", failed.len());
    Ok(())
}

fn run(system: &System, count: usize) -> Result<()> {
    let mut machine = Prepared::new(system)?.start()?;
    all_done(&mut machine, count)?;
    machine.expect_end(LIMIT)
}

/// The first domain writes. An owner gives a page up and gets it back.
fn sharing(setup: &Setup, roles: [Option<&str>; 3]) -> Result<System> {
    let mut system = setup.system();
    for (index, role) in (0_u64..).zip(roles) {
        let again = if role == Some("owner") { " shared.again" } else { "" };
        let words =
            if index == 0 { format!("shared.readers=2{again}") } else { format!("shared.index={index}") };
        let mut domain = guest(setup, "shared", &words)?;
        domain.extra = if index == 0 { ENHANCED.to_owned() } else { String::new() };
        domain.extra.push_str(&node(role, SEEN + index * 0x100_0000));
        system.domains.push(domain);
    }
    Ok(system)
}

fn shares(setup: &Setup, roles: [Option<&str>; 3]) -> Result<()> {
    run(&sharing(setup, roles)?, 3)
}

fn dom0_shares(setup: &Setup) -> Result<()> {
    let mut system = sharing(setup, [None, Some("borrower"), Some("borrower")])?;
    system.domains.remove(0);
    system.dom0 = Some(Dom0::plain(setup.guest("shared")?, 128, "shared.readers=2"));
    system.overlay = format!("/ {{ chosen {{\n{}\t}}; }};\n", node(Some("owner"), REGION));
    let mut machine = Prepared::new(&system)?.start()?;
    // Dom0's end is the machine's, so the readers may not get to theirs.
    machine.expect("ok shared.answer_of_1", LIMIT)?;
    machine.expect("ok shared.answer_of_2", LIMIT)?;
    machine.expect_end(LIMIT)?;
    let output = machine.output();
    ensure!(!output.contains("FAIL "), "a check failed; {}", machine.last_lines());
    Ok(())
}

/// Memory in two ranges, one mapped directly; a heap; pools; shared memory; an event channel.
fn all_fixed(setup: &Setup) -> Result<()> {
    let mut system = sharing(setup, [Some("owner"), Some("borrower"), Some("borrower")])?;
    let channel = |label: &str, port: u32, peer: &str| {
        format!(
            "\t\t\t{label}: evtchn@1 {{ compatible = \"xen,evtchn-v1\"; xen,evtchn = <{port} &{peer}>; }};\n"
        )
    };
    let places = [
        "\t\t\txen,static-mem = <0 0x80000000 0 0x3000000 0 0x90000000 0 0x1000000>;\n",
        "\t\t\txen,static-mem = <0 0x88000000 0 0x4000000>;\n\t\t\tdirect-map;\n",
        "\t\t\txen,static-mem = <0 0x8d000000 0 0x1000000 0 0xa0000000 0 0x3000000>;\n",
        "\t\t\txen,static-mem = <0 0xa8000000 0 0x4000000>;\n",
        "\t\t\txen,static-mem = <0 0xb0000000 0 0x4000000>;\n",
    ];
    for (port, words) in [(10, "events.port=10 events.first"), (11, "events.port=11")] {
        let mut domain = guest(setup, "events", words)?;
        let (own, peer) = if port == 10 { ("first", "second") } else { ("second", "first") };
        domain.extra = format!("{ENHANCED}{}", channel(own, port, peer));
        system.domains.push(domain);
    }
    for (domain, place) in system.domains.iter_mut().zip(places) {
        domain.extra = format!("{place}\t\t\txen,domain-p2m-mem-mb = <1>;\n{}", domain.extra);
    }
    system.overlay = "/ { chosen { xen,static-heap = <0 0x60000000 0 0x1000000>; }; };\n".to_owned();
    run(&system, 5)
}

/// Two that use up what they have, and two that work beside them.
fn pools(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    let mut memory = guest(setup, "memory", "strict")?;
    memory.extra = ENHANCED.to_owned();
    let mut smp = Domain::plain(setup.guest("smp")?, 2, 64);
    smp.kernel.bootargs = Some("smp.fair_percent=5".to_owned());
    system.domains = vec![memory, smp];
    for mib in [1, 2] {
        let mut domain = guest(setup, "pool", &format!("pool.seconds=5 pool.tables={}", mib * 256))?;
        domain.extra = format!("{ENHANCED}\t\t\txen,domain-p2m-mem-mb = <{mib}>;\n");
        system.domains.push(domain);
    }
    run(&system, 4)
}

/// All that guests can do, and then a look at the count of what the heap has refused.
fn sealed(setup: &Setup) -> Result<()> {
    const QUIET: &str = "isolation.quiet";
    const GUESTS: [(&str, &str, u32); 8] = [
        ("hypercalls", "", 2),
        ("events", "", 2),
        ("memory", "", 1),
        ("grants", "", 1),
        ("isolation", QUIET, 2),
        ("psci", "", 2),
        ("gic", "", 2),
        ("uart", "", 1),
    ];
    for (name, words, cpus) in GUESTS {
        let mut system = setup.system();
        system.arguments.push_str(" noreboot");
        let mut domain = guest(setup, name, words)?;
        domain.cpus = cpus;
        domain.extra = format!("\t\t\tnr_spis = <96>;\n{ENHANCED}");
        system.domains.push(domain);
        let mut machine = Prepared::new(&system)?.start()?;
        all_done(&mut machine, 1)?;
        machine.expect("the machine stays on", LIMIT)?;
        machine.send("m")?;
        let line = machine.expect_line("heap: sealed, ", LIMIT)?;
        let refused = line.split(' ').next().context("the line has no number")?;
        ensure!(refused == "0", "{name}: the heap has refused {refused} requests");
    }
    Ok(())
}

/// What the heap grows by with each guest that has memory of the host of its own.
fn kept_for_a_guest(setup: &Setup) -> Result<()> {
    let each = (heap_kib(setup, GUESTS)? - heap_kib(setup, 1)?).div_ceil(GUESTS - 1);
    println!("     {each} KiB for each static guest (limit {GUEST_KIB})");
    ensure!(each <= GUEST_KIB, "{each} KiB are kept for a static guest; the limit is {GUEST_KIB}");
    Ok(())
}

/// KiB of the heap with so many static guests, as boot says.
fn heap_kib(setup: &Setup, guests: u64) -> Result<u64> {
    let mut system = setup.system();
    system.machine.memory_mib = 1024;
    for number in 0..guests {
        let mut domain = setup.hello()?;
        let base = 0x6000_0000 + number * 0x400_0000;
        domain.extra = format!("\t\t\txen,static-mem = <0 {base:#x} 0 0x4000000>;\n");
        system.domains.push(domain);
    }
    let mut machine = Prepared::new(&system)?.start()?;
    let line = machine.expect_line("kept by the hypervisor: ", LIMIT)?;
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.last().copied().with_context(|| format!("the line has no sizes: {line}"))
}
