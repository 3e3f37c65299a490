//! Speed and size, in numbers that do not depend on the computer: QEMU counts instructions as its clock.
//!
//! Each scenario of `./x bench` is run once under Xenite and compared with the figures in `docs/bench`: none may be more
//! than 2 % worse, and none that the README shows may be behind Xen.

use anyhow::{Result, ensure};
use xtask::bench::results::Results;
use xtask::bench::scenarios::{SCENARIOS, Stage, Subject};
use xtask::bench::{baseline, measure, publish};

use crate::{Scenario, Setup};

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let ours = SCENARIOS.iter().filter(|scenario| scenario.subjects.contains(&Subject::Xenite));
    ours.map(|scenario| Scenario::new(format!("speed: {}", scenario.name), |setup| compare(setup, scenario)))
        .collect()
}

fn compare(setup: &Setup, scenario: &xtask::bench::scenarios::Scenario) -> Result<()> {
    let committed = publish::committed()?;
    let stage = Stage::ours(setup.guests.clone(), setup.hypervisor.clone());
    let mut now = Results::default();
    for (name, figure) in measure::measure(&stage, scenario, Subject::Xenite, "")? {
        now.figures.entry(name).or_default().xenite = Some(figure);
    }
    measure::derive(&mut now.figures);
    ensure!(!now.figures.is_empty(), "nothing was measured");
    let unknown: Vec<&String> =
        now.figures.keys().filter(|name| !committed.figures.contains_key(*name)).collect();
    ensure!(unknown.is_empty(), "docs/bench lacks {unknown:?}: ./x bench --publish");
    let worse = baseline::worse(&now, &committed);
    ensure!(worse.is_empty(), "worse than in docs/bench:\n  {}", worse.join("\n  "));
    let behind = baseline::behind(&now, &committed);
    ensure!(behind.is_empty(), "behind Xen:\n  {}", behind.join("\n  "));
    Ok(())
}
