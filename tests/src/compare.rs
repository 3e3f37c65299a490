//! The oracle: the own guests under Debian's Xen and under Xenite must say the same.
//!
//! Checks and facts are compared, line by line; figures are measured and notes are for people, so these may differ.
//! A line that differs for a good reason is listed in `docs/differences.md`.

use anyhow::{Result, bail};
use xtask::guests::Guest;
use xtask::system::{Gic, Hypervisor, System};

use crate::{Scenario, Setup, own};

/// One scenario for each guest and interrupt controller.
#[must_use]
pub fn scenarios(setup: &Setup, xen: &Hypervisor) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for guest in &setup.guests {
        for gic in [Gic::V2, Gic::V3] {
            let (guest, xen) = (guest.clone(), xen.clone());
            let name = format!("under-xen: {} with GICv{}", guest.name, gic.version());
            scenarios.push(Scenario::new(name, move |setup| compare(setup, &xen, &guest, gic)));
        }
    }
    scenarios
}

fn compare(setup: &Setup, xen: &Hypervisor, guest: &Guest, gic: Gic) -> Result<()> {
    let theirs = own::run(&own::system(System::new(xen.clone()), guest, gic))?;
    let ours = own::run(&own::system(setup.system(), guest, gic))?;
    let documented =
        std::fs::read_to_string(xtask::paths::root().join("docs/differences.md")).unwrap_or_default();
    let compared = |lines: Vec<String>| -> Vec<String> {
        let counts = |line: &String| ["ok ", "FAIL ", "fact "].iter().any(|start| line.starts_with(start));
        let kept = |line: &String| !is_documented(line, &documented);
        lines.into_iter().filter(|line| counts(line) && kept(line)).collect()
    };
    let (theirs, ours) = (compared(theirs), compared(ours));
    let mut report = String::new();
    for line in theirs.iter().filter(|line| !ours.contains(line)) {
        report.push_str(&format!("\n    Xen alone:    {line}"));
    }
    for line in ours.iter().filter(|line| !theirs.contains(line)) {
        report.push_str(&format!("\n    Xenite alone: {line}"));
    }
    if report.is_empty() && theirs != ours {
        report.push_str("\n    the same lines come in another order");
    }
    if report.is_empty() { Ok(()) } else { bail!("they differ:{report}") }
}

/// Whether the check or fact of a line is named in the document, between backquotes.
fn is_documented(line: &str, document: &str) -> bool {
    let name = line.split_whitespace().nth(1).unwrap_or_default().trim_end_matches(':');
    document.contains(&format!("`{name}`"))
}
