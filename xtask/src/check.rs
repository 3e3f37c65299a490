//! `./x check`: all that can be said of the code without running it.

use anyhow::{Result, bail};

use crate::sysroot;
use crate::tools::{self, Need};
use crate::{command, stops, tidy};

/// The crates that are compiled for the bare machine.
const BARE: [&str; 6] = ["abi", "plan", "model", "machine", "hypervisor", "guests"];

/// A check: its name and what it does.
type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 5] = [
    ("fmt", format),
    ("clippy on the host", clippy_host),
    ("clippy on the bare machine", clippy_bare),
    ("tidy", tidy::run),
    ("stops", stops::run),
];

/// Runs all checks, each even if another failed.
///
/// # Errors
/// When one failed.
pub fn run() -> Result<()> {
    let (_, failed) = run_all()?;
    if failed == 0 { Ok(()) } else { bail!("{failed} checks failed") }
}

/// Runs all checks and gives the numbers of those that passed and failed.
///
/// # Errors
/// When the tools are missing.
pub fn run_all() -> Result<(usize, usize)> {
    tools::ensure(&[Need::BareMetal, Need::BareMetalClippy, Need::Lints])?;
    let mut failed = 0;
    for (name, check) in CHECKS {
        match check() {
            Ok(()) => println!("ok   check: {name}"),
            Err(error) => {
                failed += 1;
                println!("FAIL check: {name}\n  {error:#}");
            }
        }
    }
    Ok((CHECKS.len() - failed, failed))
}

fn format() -> Result<()> {
    command::run(command::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy_host() -> Result<()> {
    command::run(command::cargo().args(["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"]))
}

fn clippy_bare() -> Result<()> {
    let toolchain = sysroot::toolchain()?;
    let mut clippy = toolchain.cargo("clippy");
    clippy
        .args(["--quiet", "--lib", "--bins", "--examples"])
        .env("CARGO_TARGET_DIR", toolchain.target_folder("bare"));
    for name in BARE {
        clippy.args(["--package", name]);
    }
    command::run(clippy.args(["--", "-D", "warnings"]))
}
