//! Debian's kernels as guests: each kernel with 1, 2 and 4 vCPUs on either interrupt controller.

use std::time::Duration;

use anyhow::{Result, ensure};
use xtask::packages::Part;
use xtask::qemu::{Prepared, Qemu};
use xtask::system::{Domain, Gic};

use crate::{Scenario, Setup};

/// How long Linux may take to come up, on a busy computer that plays other machines at the same time.
pub const LINUX: Duration = Duration::from_secs(180);

const V6_1: (Part, &str) = (Part::Linux6_1, "6.1.");
const V6_12: (Part, &str) = (Part::Linux6_12, "6.12.");

/// The scenarios: two guests in each machine, so that six machines hold all twelve combinations.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let pairs = [(V6_1, 1, V6_12, 4), (V6_1, 2, V6_12, 2), (V6_1, 4, V6_12, 1)];
    let mut scenarios = Vec::new();
    for gic in [Gic::V2, Gic::V3] {
        for (first, first_cpus, second, second_cpus) in pairs {
            let name = format!(
                "linux: {}x on {first_cpus} and {}x on {second_cpus} vCPUs boot with GICv{}",
                first.1,
                second.1,
                gic.version()
            );
            scenarios.push(Scenario::new(name, move |setup| {
                pair(setup, gic, &[(first, first_cpus), (second, second_cpus)])
            }));
        }
    }
    scenarios
}

fn pair(setup: &Setup, gic: Gic, guests: &[((Part, &str), u32)]) -> Result<()> {
    let mut system = setup.system();
    system.machine.gic = gic;
    for ((part, _), cpus) in guests {
        system.domains.push(Domain::debian(*part, *cpus, 512, "")?);
    }
    let mut machine = Prepared::new(&system)?.start()?;
    let ready = wait_for_ready(&mut machine, guests.len())?;
    for (index, ((_, version), cpus)) in guests.iter().enumerate() {
        let domain = index + 1;
        let line = ready.iter().find(|line| line.contains(&format!("DOM{domain}: ")));
        let facts = format!("kernel={version}");
        ensure!(line.is_some_and(|line| line.contains(&facts)), "domain {domain} is not {facts}: {ready:?}");
        let facts = format!(" cpus={cpus} ");
        ensure!(line.is_some_and(|line| line.contains(&facts)), "domain {domain} has not{facts}: {ready:?}");
    }
    Ok(())
}

/// Waits for the greetings of so many guests and gives their lines.
///
/// # Errors
/// When one does not come in time.
pub fn wait_for_ready(machine: &mut Qemu, guests: usize) -> Result<Vec<String>> {
    (0..guests).map(|_| machine.expect_whole_line("XENITE-READY ", LINUX)).collect()
}
