//! Machines of different sizes and makes.

use xtask::packages::Part;
use xtask::qemu::Prepared;
use xtask::system::{Domain, Gic};

use crate::boot::{TINY, hello_from_all};
use crate::linux::wait_for_ready;
use crate::{Scenario, Setup};
use anyhow::Result;

const MODELS: [&str; 6] = ["cortex-a53", "cortex-a57", "cortex-a72", "cortex-a76", "neoverse-n1", "max"];

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for model in MODELS {
        scenarios
            .push(Scenario::new(format!("board: tiny guests on {model}"), move |setup| tiny(setup, model)));
    }
    for model in ["cortex-a53", "cortex-a76", "max"] {
        scenarios.push(Scenario::new(format!("board: Linux on {model}"), move |setup| linux(setup, model)));
    }
    for (cpus, gic) in [(1, Gic::V2), (2, Gic::V2), (8, Gic::V2), (1, Gic::V3), (4, Gic::V3), (8, Gic::V3)] {
        let name = format!("board: {cpus} processors with GICv{}", gic.version());
        scenarios.push(Scenario::new(name, move |setup| processors(setup, cpus, gic)));
    }
    for memory_mib in [512, 16384] {
        let name = format!("board: {memory_mib} MiB of memory");
        scenarios.push(Scenario::new(name, move |setup| memory(setup, memory_mib)));
    }
    scenarios
}

fn tiny(setup: &Setup, model: &str) -> Result<()> {
    let mut system = setup.system();
    system.machine.cpu = model.to_owned();
    system.domains = vec![setup.hello()?, setup.hello()?];
    hello_from_all(&system)
}

fn linux(setup: &Setup, model: &str) -> Result<()> {
    let mut system = setup.debian(&["xenite.poweroff"])?;
    system.machine.cpu = model.to_owned();
    let mut machine = Prepared::new(&system)?.start()?;
    wait_for_ready(&mut machine, 1)?;
    machine.expect_end(TINY)
}

/// More vCPUs than processors in each case but the last.
fn processors(setup: &Setup, cpus: u32, gic: Gic) -> Result<()> {
    let mut system = setup.system();
    system.machine.cpus = cpus;
    system.machine.gic = gic;
    for _ in 0..2 {
        system.domains.push(Domain::debian(Part::Linux6_1, 4, 256, "xenite.poweroff")?);
    }
    let mut machine = Prepared::new(&system)?.start()?;
    wait_for_ready(&mut machine, 2)?;
    machine.expect_end(TINY)
}

/// A guest takes most of a small machine, and several times the memory below 4 GiB of a large one is not touched.
fn memory(setup: &Setup, memory_mib: u64) -> Result<()> {
    let mut system = setup.system();
    system.machine.memory_mib = memory_mib;
    let guest_mib = if memory_mib < 1024 { 320 } else { 3584 };
    system.domains.push(Domain::debian(Part::Linux6_1, 1, guest_mib, "xenite.poweroff")?);
    let mut machine = Prepared::new(&system)?.start()?;
    wait_for_ready(&mut machine, 1)?;
    machine.expect_end(TINY)
}
