//! `./x test`: checks, tests on the host, systems in QEMU, and the same guests under Debian's Xen. All are run even if
//! some fail; the last line counts them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::tools::{self, Need};
use crate::{check, command};

/// Which tests are run: all, if nothing is said.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only the tests on the host.
    #[arg(long)]
    pub host: bool,
    /// Only whole systems in QEMU.
    #[arg(long)]
    pub system: bool,
    /// Only the own guests, under Debian's Xen and under Xenite: they must say the same.
    #[arg(long)]
    pub under_xen: bool,
    /// Lists the system tests.
    #[arg(long)]
    pub list: bool,
    /// System tests that run at a time.
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// Only tests whose name contains this.
    pub filter: Vec<String>,
}

/// What was counted.
#[derive(Clone, Copy, Default, Debug)]
struct Count {
    passed: usize,
    failed: usize,
}

/// Runs the tests.
///
/// # Errors
/// When one failed, or none was run.
pub fn run(options: &Options) -> Result<()> {
    if options.list {
        return command::run(&mut systems(options, &["--list"]));
    }
    let all = !options.host && !options.system && !options.under_xen;
    let needs =
        [Need::BareMetal, Need::BareMetalClippy, Need::Lints, Need::Qemu, Need::TreeCompiler, Need::UBoot];
    if all {
        tools::ensure(&needs)?;
        tools::ensure(&[Need::Packages])?;
    }
    // A filter may leave nothing that reads the headers.
    if (options.host || all) && options.filter.is_empty() {
        tools::ensure(&[Need::XenHeaders])?;
    }
    let mut total = Count::default();
    if all && options.filter.is_empty() {
        let (passed, failed) = check::run_all()?;
        total = Count { passed, failed };
    }
    if options.host || all {
        let mut cargo = command::cargo();
        total.add(count(cargo.args(["test", "--no-fail-fast"]).args(&options.filter))?);
    }
    if options.system || all {
        total.add(count(&mut systems(options, &[]))?);
    }
    if options.under_xen || all {
        total.add(count(&mut systems(options, &["--under-xen"]))?);
    }
    println!();
    println!("{} passed, {} failed", total.passed, total.failed);
    match total {
        Count { failed: 0, passed: 0 } => bail!("no test has such a name"),
        Count { failed: 0, .. } => Ok(()),
        Count { failed, .. } => bail!("{failed} tests failed"),
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The runner of the system tests.
fn systems(options: &Options, words: &[&str]) -> Command {
    let mut cargo = command::cargo();
    cargo.args(["run", "--quiet", "--package", "tests", "--", "--jobs", &options.jobs.to_string()]);
    cargo.args(words).args(&options.filter);
    cargo
}

/// Runs a runner, shows what it prints but for its own sum, and counts. One that fails without a failed test, for
/// example because it does not build, counts as one.
fn count(runner: &mut Command) -> Result<Count> {
    let mut child = runner.stdout(Stdio::piped()).spawn().context("cannot start the tests")?;
    let mut count = Count::default();
    for line in BufReader::new(child.stdout.take().context("the tests have no output")?).lines() {
        let line = line?;
        match sum(&line) {
            Some((own, part)) => {
                count.add(part);
                if own {
                    continue;
                }
            }
            None if line.ends_with(" ... ok") => continue,
            None => {}
        }
        println!("{line}");
    }
    let passed = child.wait()?.success();
    if !passed && count.failed == 0 {
        count.failed = 1;
    }
    Ok(count)
}

/// The numbers of a line that counts tests: our own runner's (then true) or cargo's for one program.
fn sum(line: &str) -> Option<(bool, Count)> {
    let (own, text) = match line.strip_prefix("test result: ") {
        Some(text) => (false, text.split_once(". ")?.1),
        None => (true, line),
    };
    let mut words = text.split([' ', ',', ';']).filter(|word| !word.is_empty());
    let passed = words.next()?.parse().ok()?;
    if words.next()? != "passed" {
        return None;
    }
    let failed = words.next()?.parse().ok()?;
    (words.next()? == "failed").then_some((own, Count { passed, failed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_from_cargo_and_from_the_own_runner() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out";
        let (own, count) = sum(line).unwrap();
        assert_eq!((own, count.passed, count.failed), (false, 12, 3));
        let (own, count) = sum("7 passed, 1 failed").unwrap();
        assert_eq!((own, count.passed, count.failed), (true, 7, 1));
        assert!(sum("    | DOM1: DONE 3 passed, 0 failed").is_none());
    }
}
