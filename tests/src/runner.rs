//! Runs scenarios: a line for each, the reasons of failures with it, and the count at the end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;
use xtask::guests;
use xtask::packages::{self, Part};
use xtask::system::Hypervisor;

use crate::{Scenario, Setup, all, compare, record};

/// Boots whole systems in QEMU and watches what their consoles say.
#[derive(Parser, Clone, Debug)]
#[command(name = "tests")]
pub struct Options {
    /// Runs only scenarios whose name contains one of these.
    pub filters: Vec<String>,
    /// Lists the scenarios and runs none.
    #[arg(long)]
    pub list: bool,
    /// Scenarios that run at a time. On two processors one is quickest: vCPUs that wait for each other lose much when
    /// QEMU's threads have to share.
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// Runs the own guests under Debian's Xen too, and compares what they say.
    #[arg(long)]
    pub under_xen: bool,
    /// Puts Debian's Xen in Xenite's place, to try the scenarios themselves; many must fail then.
    #[arg(long)]
    pub subject_xen: bool,
    /// Runs no tests, but records the hypercalls of guests for the fuzzing in `hypervisor/tests`.
    #[arg(long)]
    pub record: bool,
}

/// Runs what the options ask for.
///
/// # Errors
/// When a scenario fails or something cannot be built. Where no scenario has such a name, `./x test` knows whether another
/// test had.
pub fn run(options: &Options) -> Result<()> {
    packages::fetch(&[Part::Linux6_1, Part::Linux6_12, Part::Busybox])?;
    let hypervisor = if options.subject_xen { Hypervisor::xen()? } else { Hypervisor::xenite()? };
    let setup = Setup { hypervisor, guests: guests::build()? };
    if options.record {
        return record::run(&setup, &options.filters);
    }
    let mut scenarios =
        if options.under_xen { compare::scenarios(&setup, &Hypervisor::xen()?) } else { all(&setup) };
    if !options.filters.is_empty() {
        scenarios
            .retain(|scenario| options.filters.iter().any(|filter| scenario.name.contains(filter.as_str())));
    }
    if options.list {
        scenarios.iter().for_each(|scenario| println!("{}", scenario.name));
        return Ok(());
    }
    let failed = run_all(&setup, &scenarios, options.jobs.max(1));
    println!();
    println!("{} passed, {failed} failed", scenarios.len() - failed);
    if failed > 0 { bail!("{failed} of {} system tests failed", scenarios.len()) } else { Ok(()) }
}

/// Runs all and gives the number of those that failed.
fn run_all(setup: &Setup, scenarios: &[Scenario], jobs: usize) -> usize {
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    let print = Mutex::new(());
    let work = || {
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let result = (scenario.run)(setup);
            let seconds = started.elapsed().as_secs_f64();
            let _whole_lines = print.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(()) => println!("ok   {} ({seconds:.1} s)", scenario.name),
                Err(error) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    println!("FAIL {} ({seconds:.1} s)\n  {error:#}", scenario.name);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(work);
        }
    });
    failed.into_inner()
}
