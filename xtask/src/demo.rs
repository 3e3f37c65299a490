//! `./x demo`: two unmodified Debian kernels side by side, at a live console or counted by a program.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::packages::Part;
use crate::qemu::{Prepared, Qemu};
use crate::run;
use crate::system::{Domain, Hypervisor, System};
use crate::tools::{self, Need};

/// How the demo is shown.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Waits until both guests say that they are ready, prints what was seen and exits.
    #[arg(long)]
    pub headless: bool,
    /// How long `--headless` waits, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Boots Debian's Xen in place of Xenite, to compare.
    #[arg(long)]
    pub under_xen: bool,
}

/// The number of guests.
const GUESTS: usize = 2;

/// Runs the demo.
///
/// # Errors
/// When something cannot be built, fetched or started, or with `--headless` when a guest is not ready in time.
pub fn run(options: &Options) -> Result<()> {
    tools::ensure(&[Need::BareMetal, Need::Qemu, Need::TreeCompiler, Need::Packages])?;
    let hypervisor = if options.under_xen { Hypervisor::xen()? } else { Hypervisor::xenite()? };
    let mut system = System::new(hypervisor);
    for _ in 0..GUESTS {
        system.domains.push(Domain::debian(Part::Linux6_1, 2, 512, "")?);
    }
    let prepared = Prepared::new(&system)?;
    eprintln!("x: a machine of 2 processors and 2 GiB; two Debian guests of 2 vCPUs and 512 MiB each");
    if options.headless {
        return headless(prepared.start()?, Duration::from_secs(options.timeout));
    }
    run::explain();
    prepared.interact()
}

/// What one guest said of itself.
struct Ready {
    guest: String,
    facts: String,
    seconds: f64,
}

fn headless(mut machine: Qemu, limit: Duration) -> Result<()> {
    let mut seen: Vec<Ready> = Vec::new();
    while seen.len() < GUESTS {
        let left = limit.saturating_sub(machine.elapsed());
        let ready = ready(&mut machine, left)
            .with_context(|| format!("{} of {GUESTS} guests became ready", seen.len()))?;
        if seen.iter().any(|other| other.guest == ready.guest) {
            bail!("{} became ready twice; {}", ready.guest, machine.last_lines());
        }
        seen.push(ready);
    }
    seen.sort_by(|a, b| a.guest.cmp(&b.guest));
    for ready in seen {
        println!("{}: ready after {:.1} s: {}", ready.guest, ready.seconds, ready.facts);
    }
    Ok(())
}

fn ready(machine: &mut Qemu, limit: Duration) -> Result<Ready> {
    let line = machine.expect_whole_line("XENITE-READY ", limit)?;
    let (before, facts) = line.split_once("XENITE-READY ").unwrap_or(("", &line));
    // `DOM1: ` here, `(XEN) DOM1: ` under Xen; the guest in front has no prefix there.
    let guest = before.rsplit("DOM").next().unwrap_or_default().trim_end_matches([':', ' ']);
    let fact = |name: &str| {
        let word = facts.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        word.with_context(|| format!("a guest's greeting lacks `{name}`: {line}"))
    };
    let memory_mib = fact("memory_kib")?.parse::<u64>().context("a guest's memory is no number")? / 1024;
    let facts = format!("Linux {}, {} CPUs, {memory_mib} MiB", fact("kernel")?, fact("cpus")?);
    Ok(Ready { guest: format!("domain {guest}"), facts, seconds: machine.elapsed().as_secs_f64() })
}
