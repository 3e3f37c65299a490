//! Event channels and grants under load: two domains of four vCPUs each send numbered messages to dom0, an own kernel
//! too, and all three count. Both ends must have counted the same, also while a third domain attacks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::qemu::{Prepared, Qemu};
use xtask::system::{Dom0, Domain, Gic, System};

use crate::{Scenario, Setup};

/// The environment variable that makes the runs longer, in seconds.
const SECONDS: &str = "XENITE_HAMMER_SECONDS";
/// The domains that send messages.
const CLIENTS: usize = 2;
/// The vCPUs of each, and of dom0.
const CPUS: u32 = 4;
/// What must be equal at both ends, in the order in which it is printed.
const COUNTED: [&str; 5] = ["messages", "bytes", "boards", "rounds", "sums"];
/// The fewest hypercalls that an attack is made of.
const ATTACK: u64 = 1_000;

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(20);
    let mut scenarios = Vec::new();
    for (gic, attacked) in [(Gic::V3, false), (Gic::V2, false), (Gic::V3, true)] {
        let beside = if attacked { " beside an attacker that dies" } else { "" };
        let name = format!(
            "hammer: eight vCPUs and dom0 count the same messages for {seconds} seconds{beside}, GICv{}",
            gic.version()
        );
        scenarios.push(Scenario::new(name, move |setup| hammer(setup, gic, seconds, attacked)));
    }
    scenarios
}

fn system(setup: &Setup, gic: Gic, seconds: u64, attacked: bool) -> Result<System> {
    let image = setup.guest("hammer")?;
    let mut system = setup.system();
    system.machine.gic = gic;
    system.arguments.push_str(&format!(" dom0_max_vcpus={CPUS}"));
    system.dom0 =
        Some(Dom0::plain(image.clone(), 128, &format!("hammer.role=server hammer.clients={CLIENTS}")));
    let mut add = |cpus, words: String| {
        let mut domain = Domain::plain(image.clone(), cpus, 64);
        domain.kernel.bootargs = Some(words);
        domain.extra = "\t\t\txen,enhanced = \"no-xenstore\";\n".to_owned();
        system.domains.push(domain);
    };
    for number in 1..=CLIENTS {
        add(CPUS, format!("hammer.role=client hammer.domain={number} hammer.seconds={seconds}"));
    }
    if attacked {
        add(2, format!("hammer.role=attacker hammer.seconds={}", seconds / 2));
    }
    Ok(system)
}

fn hammer(setup: &Setup, gic: Gic, seconds: u64, attacked: bool) -> Result<()> {
    let mut machine = Prepared::new(&system(setup, gic, seconds, attacked)?)?.start()?;
    let limit = Duration::from_secs(seconds + 90);
    if attacked {
        let line = machine.expect_line("dying after ", limit)?;
        let calls: u64 = line.split(' ').next().unwrap_or_default().parse().context("no number of calls")?;
        ensure!(calls >= ATTACK, "the attack was of {calls} hypercalls only");
        println!("     attack: {}", line.trim_end());
    }
    for _ in 0..=CLIENTS {
        machine.expect("DONE ", limit)?;
    }
    machine.expect_end(limit)?;
    compare(&machine, seconds)
}

/// Compares what clients and dom0 have counted.
fn compare(machine: &Qemu, seconds: u64) -> Result<()> {
    let output = machine.output();
    let failed: Vec<&str> = output.lines().filter(|line| line.contains("FAIL ")).collect();
    ensure!(failed.is_empty(), "{} checks failed: {failed:#?}", failed.len());
    for client in 1..=CLIENTS {
        let mark = format!("counts of {client}: ");
        let said = |by_client: bool| {
            let mut lines = output.lines().filter_map(|line| line.split_once(&mark));
            let counts = lines.find(|(before, _)| before.contains("DOM") == by_client);
            counts.map(|(_, counts)| counts.trim()).context("an end has not said what it counted")
        };
        let (sent, answered) = (said(true)?, said(false)?);
        ensure!(sent == answered, "domain {client} counted {sent}, dom0 {answered}");
        let words: Vec<&str> = sent.split(' ').collect();
        for (pair, name) in words.chunks(2).zip(COUNTED) {
            ensure!(pair.first() == Some(&name) && pair.get(1) != Some(&"0"), "nothing was counted: {sent}");
        }
        let messages: u64 = words.get(1).unwrap_or(&"").parse().context("no number of messages")?;
        println!("     domain {client}: {sent}; {} messages per second", messages / seconds.max(1));
    }
    Ok(())
}
