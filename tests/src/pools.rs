//! Pools of processors, weights and caps, with QEMU counting instructions as its clock: the guests say how many they
//! executed in the same windows of time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::qemu::{Prepared, Qemu};
use xtask::system::{Domain, System};

use crate::{Scenario, Setup};

const LIMIT: Duration = Duration::from_secs(240);
/// Instructions of a window of 100 ms, at 16 ns each.
const WINDOW: u64 = 6_250_000;

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("pools: weights of 1, 2 and 4 and a cap of 25 % hold on one processor", shares),
        Scenario::new("pools: a busy pool does not slow the other", apart),
        Scenario::new("pools: a processor of another kind stays out without hmp-unsafe", kinds),
    ]
}

/// A machine whose clock counts instructions.
fn counted(setup: &Setup, cpus: u32) -> System {
    let mut system = setup.system();
    system.machine.cpus = cpus;
    system.machine.memory_mib = 1024;
    system.machine.count_instructions();
    system
}

/// A guest that measures its pace, with these lines in its node.
fn pace(setup: &Setup, node: &str, words: &str) -> Result<Domain> {
    let mut domain = Domain::plain(setup.guest("pace")?, 1, 64);
    domain.kernel.bootargs = Some(words.to_owned());
    domain.extra = node.to_owned();
    Ok(domain)
}

/// Runs the system to its end.
fn run(system: &System) -> Result<Qemu> {
    let mut machine = Prepared::new(system)?.start()?;
    machine.expect("The last domain has ended", LIMIT)?;
    ensure!(!machine.output().contains("FAIL"), "a guest has failed: {}", machine.last_lines());
    Ok(machine)
}

/// The numbers of a figure of each of the first `count` domains: median, least and most.
fn figures(machine: &Qemu, name: &str, count: usize) -> Result<Vec<[u64; 3]>> {
    let output = machine.output();
    let of_domain = |number: usize| {
        let prefix = format!("DOM{number}: figure {name} ");
        let line = output.lines().find_map(|line| line.split_once(&prefix).map(|(_, rest)| rest));
        let line = line.with_context(|| format!("domain {number} gives no {name}"))?;
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        <[u64; 3]>::try_from(numbers).ok().with_context(|| format!("no three numbers: {line}"))
    };
    (1..=count).map(of_domain).collect()
}

/// Is the value within 5 % of what is expected?
pub(crate) fn is_near(value: u64, expected: u64) -> bool {
    value.abs_diff(expected) * 20 <= expected
}

fn shares(setup: &Setup) -> Result<()> {
    let mut system = counted(setup, 1);
    for (weight, cap) in [(256, 0), (512, 0), (1024, 0), (1024, 25)] {
        let node = format!("\t\t\txenite,sched-weight = <{weight}>;\n\t\t\txenite,sched-cap = <{cap}>;\n");
        system.domains.push(pace(setup, &node, "pace.windows=40")?);
    }
    let machine = run(&system)?;
    let totals: Vec<u64> = figures(&machine, "pace.total", 4)?.into_iter().map(|[total, ..]| total).collect();
    println!("     {totals:?} of {} instructions", 40 * WINDOW);
    let unit = (totals[0] + totals[1] + totals[2]) / 7;
    for (total, weight) in totals.iter().zip([1, 2, 4]) {
        ensure!(is_near(*total, weight * unit), "weights are not kept: {totals:?}");
    }
    let [_, least, most] = figures(&machine, "pace.window", 4)?[3];
    println!("     with a cap of 25 %: {least} to {most} of {WINDOW} in each 100 ms");
    ensure!(is_near(least, WINDOW / 4) && is_near(most, WINDOW / 4), "the cap is not kept");
    let all: u64 = totals.iter().sum();
    ensure!(all * 100 >= 40 * WINDOW * 95, "time is lost: {totals:?}");
    Ok(())
}

/// One guest in a null pool on the second processor, and `others` in the pool of the first.
fn beside(setup: &Setup, others: usize) -> Result<u64> {
    let mut system = counted(setup, 2);
    system.overlay =
        "/ { cpus { xenite_cpu1: cpu@1 { }; }; chosen { quiet: quiet { compatible = \"xen,cpupool\"; \
                      cpupool-cpus = <&xenite_cpu1>; cpupool-sched = \"null\"; }; }; };\n"
            .to_owned();
    let words = "pace.start_ms=2000 pace.windows=60";
    system.domains.push(pace(setup, "\t\t\tdomain-cpupool = <&quiet>;\n", words)?);
    for _ in 0..others {
        system.domains.push(pace(setup, "", words)?);
    }
    let machine = run(&system)?;
    let totals = figures(&machine, "pace.total", others + 1)?;
    for line in ["pool 0: processors 0, scheduler credit2", "pool 1: processors 1, scheduler null"] {
        ensure!(machine.output().contains(line), "boot does not say: {line}");
    }
    let each = totals.iter().skip(1).map(|[total, ..]| *total);
    let all: u64 = each.clone().sum();
    for total in each {
        // QEMU plays one processor after the other, so a turn has more or less of its guest's instructions.
        ensure!(total * others as u64 * 10 >= all * 7, "the crowd does not share evenly: {totals:?}");
    }
    Ok(totals[0][0])
}

fn apart(setup: &Setup) -> Result<()> {
    // Both processors are busy either way, and share QEMU's clock; one that is interrupted often gets less of it, so the
    // other may get more. Where guests of the crowd could come over it would get a third.
    let (calm, crowded) = (beside(setup, 1)?, beside(setup, 5)?);
    println!("     {calm} instructions beside one guest in the other pool, {crowded} beside five");
    ensure!(crowded * 20 >= calm * 19, "the other pool takes instructions: {crowded} of {calm} are left");
    Ok(())
}

fn kinds(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.overlay = "/ { cpus { cpu@1 { compatible = \"arm,cortex-a53\"; }; }; };\n".to_owned();
    for (words, processors) in [("", 1), (" hmp-unsafe=1", 2)] {
        let mut system = system.clone();
        system.arguments.push_str(words);
        system.domains.push(setup.hello()?);
        let mut machine = Prepared::new(&system)?.start()?;
        machine
            .expect("/cpus/cpu@1: is \"arm,cortex-a53\" and the boot processor \"arm,cortex-a57\"", LIMIT)?;
        machine.expect(&format!("{processors} processors"), LIMIT)?;
        machine.expect("ok hello", LIMIT)?;
    }
    Ok(())
}
