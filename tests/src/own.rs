//! The own guest kernels, each alone on a machine with either interrupt controller.
//!
//! A guest checks what it sees and prints one line for each check; how they are written stands in `guests/README.md`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use xtask::guests::Guest;
use xtask::qemu::Prepared;
use xtask::system::{Domain, Gic, System};

use crate::{Scenario, Setup};

/// How long a guest may take.
const LIMIT: Duration = Duration::from_secs(120);

/// What a guest needs that differs from the usual.
struct Shape {
    name: &'static str,
    cpus: u32,
    memory_mib: u64,
}

/// Two vCPUs and 64 MiB, if a guest is not named here.
const SHAPES: [Shape; 1] = [Shape { name: "hello", cpus: 1, memory_mib: 64 }];

/// The scenarios.
#[must_use]
pub fn scenarios(setup: &Setup) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for guest in &setup.guests {
        for gic in [Gic::V2, Gic::V3] {
            let name = format!("guest: {} with GICv{}", guest.name, gic.version());
            let guest = guest.clone();
            scenarios.push(Scenario::new(name, move |setup| {
                let said = run(&system(setup.system(), &guest, gic))?;
                let failed: Vec<&String> = said.iter().filter(|line| line.starts_with("FAIL ")).collect();
                ensure!(failed.is_empty(), "{} checks failed: {failed:#?}", failed.len());
                Ok(())
            }));
        }
    }
    scenarios
}

/// A system with a guest as its only domain.
#[must_use]
pub fn system(mut system: System, guest: &Guest, gic: Gic) -> System {
    let shape = SHAPES.iter().find(|shape| shape.name == guest.name);
    let (cpus, memory_mib) = shape.map_or((2, 64), |shape| (shape.cpus, shape.memory_mib));
    system.machine.gic = gic;
    system.domains = vec![Domain::plain(guest.image.clone(), cpus, memory_mib)];
    system
}

/// Runs the only domain of a system until it is done, and gives its lines without their prefixes.
///
/// # Errors
/// When it does not come to its end.
pub fn run(system: &System) -> Result<Vec<String>> {
    let mut machine = Prepared::new(system)?.start()?;
    let done = machine.expect_line("DONE ", LIMIT)?;
    let output = machine.output();
    let said = output
        .lines()
        .filter_map(|line| line.split_once("DOM1: "))
        .map(|(_, text)| text.trim_end().to_owned());
    let said: Vec<String> = said.collect();
    let checks = said.iter().filter(|line| line.starts_with("ok ") || line.starts_with("FAIL ")).count();
    let counted: usize = done.split_whitespace().filter_map(|word| word.parse::<usize>().ok()).sum();
    ensure!(
        checks == counted && checks > 0,
        "the guest counted {counted} checks but printed {checks}: {done}"
    );
    Ok(said)
}

/// An image of a few instructions, in the folder of made things.
///
/// # Errors
/// When it cannot be written.
pub fn image(name: &str, code: &[u32]) -> Result<PathBuf> {
    let mut bytes = Vec::new();
    // b to the code behind the header; no offset; 4 KiB pages at any place; the magic at 0x38.
    bytes.extend(0x1400_0010_u32.to_le_bytes());
    bytes.resize(16, 0);
    bytes.extend(0x1_0000_u64.to_le_bytes());
    bytes.extend(0b1010_u64.to_le_bytes());
    bytes.resize(0x38, 0);
    bytes.extend(b"ARM\x64");
    bytes.resize(64, 0);
    bytes.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    bytes.resize(4096, 0);
    let file = xtask::paths::target().join("made").join(name).with_extension("img");
    xtask::image::write(&file, &bytes)?;
    Ok(file)
}
