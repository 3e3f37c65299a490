//! The oracle: the own guests under Debian's Xen and under Xenite must say the same.
//!
//! Checks and facts are compared, line by line; figures are measured and notes are for people, so these may differ.
//! A line that differs for a good reason is listed in `docs/differences.md`.

use anyhow::{Result, bail};
use xtask::system::{Gic, Hypervisor, System};

use crate::own::{self, Variant};
use crate::{Scenario, Setup};

/// One scenario for each guest and interrupt controller.
#[must_use]
pub fn scenarios(setup: &Setup, xen: &Hypervisor) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for variant in own::variants(&setup.guests).into_iter().filter(Variant::is_compared) {
        for gic in [Gic::V2, Gic::V3] {
            let (variant, xen) = (variant.clone(), xen.clone());
            let name = format!("under-xen: {}", variant.name(gic));
            scenarios.push(Scenario::new(name, move |setup| compare(setup, &xen, &variant, gic)));
        }
    }
    scenarios
}

/// How often Xen may be asked. What it answers to two vCPUs at once is not always the same; it is asked again where
/// it alone has failed a check of its own run. Xenite is asked once.
const ASKED: usize = 6;

/// The system for a comparison. What the guest for the interrupt controller sees of four vCPUs under Xen depends on
/// what else this computer does, unless QEMU counts instructions; without that its own scenarios run it as well.
fn system(base: System, setup: &Setup, variant: &Variant, gic: Gic) -> Result<System> {
    let mut system = variant.system(base, setup, gic, "")?;
    if variant.guest == "gic" {
        system.machine.count_instructions();
    }
    Ok(system)
}

fn compare(setup: &Setup, xen: &Hypervisor, variant: &Variant, gic: Gic) -> Result<()> {
    let documented =
        std::fs::read_to_string(xtask::paths::root().join("docs/differences.md")).unwrap_or_default();
    let ours = own::run(&system(setup.system(), setup, variant, gic)?)?;
    let mut report = String::new();
    for _ in 0..ASKED {
        let theirs = own::run(&system(System::new(xen.clone()), setup, variant, gic)?)?;
        report = differences(&theirs, &ours, &documented);
        let failed = theirs.iter().flatten().any(|line| line.starts_with("FAIL "));
        if report.is_empty() || !failed {
            break;
        }
        println!("     Xen failed a check of its own; it is asked again:{report}");
    }
    if report.is_empty() { Ok(()) } else { bail!("they differ:{report}") }
}

fn differences(theirs: &[Vec<String>], ours: &[Vec<String>], documented: &str) -> String {
    let mut report = String::new();
    for (domain, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        let (theirs, ours) = (compared(theirs, documented), compared(ours, documented));
        for line in theirs.iter().filter(|line| !ours.contains(line)) {
            report.push_str(&format!("\n    domain {}, Xen alone:    {line}", domain + 1));
        }
        for line in ours.iter().filter(|line| !theirs.contains(line)) {
            report.push_str(&format!("\n    domain {}, Xenite alone: {line}", domain + 1));
        }
        if report.is_empty() && theirs != ours {
            report.push_str(&format!("\n    domain {}: the same lines come in another order", domain + 1));
        }
    }
    report
}

/// The checks and facts among a guest's lines, but for those that are known to differ.
fn compared<'lines>(lines: &'lines [String], documented: &str) -> Vec<&'lines String> {
    let counts = |line: &&String| ["ok ", "FAIL ", "fact "].iter().any(|start| line.starts_with(start));
    lines.iter().filter(counts).filter(|line| !is_documented(line, documented)).collect()
}

/// Whether the check or fact of a line is named in the document, between backquotes.
fn is_documented(line: &str, document: &str) -> bool {
    let name = line.split_whitespace().nth(1).unwrap_or_default().trim_end_matches(':');
    document.contains(&format!("`{name}`"))
}
