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

fn compare(setup: &Setup, xen: &Hypervisor, variant: &Variant, gic: Gic) -> Result<()> {
    let theirs = own::run(&variant.system(System::new(xen.clone()), setup, gic, "")?)?;
    let ours = own::run(&variant.system(setup.system(), setup, gic, "")?)?;
    let documented =
        std::fs::read_to_string(xtask::paths::root().join("docs/differences.md")).unwrap_or_default();
    let mut report = String::new();
    for (domain, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        let (theirs, ours) = (compared(theirs, &documented), compared(ours, &documented));
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
    if report.is_empty() { Ok(()) } else { bail!("they differ:{report}") }
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
