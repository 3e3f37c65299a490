//! Runs a scenario under one subject and makes figures of what its guests print.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::qemu::Prepared;
use crate::system::System;

use super::results::{Each, Figure};
use super::scenarios::{DOMAIN_MIB, Domains, Scenario, Stage, Subject};

/// How long a scenario may take on this computer.
const LIMIT: Duration = Duration::from_secs(600);
/// Ticks of a second, which are as many instructions.
const SECOND: u64 = 62_500_000;

/// Figures by name.
pub type Figures = BTreeMap<String, Figure>;

/// A line of a guest: which domain said it (0 if there is no telling), the figure's name, and its values.
pub type Line = (u32, String, Figure);

/// The figures of a scenario under a subject; the words come behind those of its guests.
///
/// # Errors
/// When a guest does not come to its end, or says that something failed.
pub fn measure(stage: &Stage, scenario: &Scenario, subject: Subject, words: &str) -> Result<Figures> {
    if let Domains::None = scenario.domains {
        return image(stage, subject);
    }
    let system = stage.system(scenario, subject, words)?;
    let speakers = scenario.domains.speakers(system.domains.len());
    let lines =
        lines(&system, speakers).with_context(|| format!("{} under {}", scenario.name, subject.name()))?;
    let figures = match scenario.domains {
        Domains::Boot(_) | Domains::Placed(_) => boot(scenario, &lines),
        Domains::Busy(..) => busy(scenario, &lines),
        Domains::Kept(count, _) | Domains::KeptPlaced(count) => kept(scenario, count, &lines),
        Domains::Sealed => sealed(&lines),
        Domains::Bench(_) | Domains::Pair | Domains::Apart | Domains::Beside | Domains::None => {
            let suffixed = |(_, name, figure): &Line| (format!("{name}{}", scenario.suffix), *figure);
            Ok(lines.iter().map(suffixed).collect())
        }
    };
    figures.with_context(|| format!("{} under {}", scenario.name, subject.name()))
}

/// What the guests of a system print as figures, of which so many come to an end.
///
/// # Errors
/// When a guest does not come to its end, or says that something failed.
pub fn lines(system: &System, speakers: usize) -> Result<Vec<Line>> {
    let mut machine = Prepared::new(system)?.start()?;
    for _ in 0..speakers {
        if machine.expect_any(&["DONE ", "Boot stops", "Panic on CPU"], LIMIT)? != 0 {
            bail!("the hypervisor refuses the system: {}", machine.last_lines());
        }
        let passed = machine.expect_line(" passed, ", LIMIT)?;
        ensure!(passed.starts_with("0 failed"), "a guest failed: {}", machine.last_lines());
    }
    machine.output().lines().filter_map(|line| parse(line).transpose()).collect()
}

/// A line of the console, if it has a figure.
fn parse(line: &str) -> Result<Option<Line>> {
    let Some((before, rest)) = line.split_once("figure ") else { return Ok(None) };
    let domain =
        before.rsplit("DOM").next().and_then(|text| text.split(':').next()?.parse().ok()).unwrap_or(0);
    let mut words = rest.split_whitespace();
    let name = words.next().context("a figure has no name")?.to_owned();
    let mut number = || -> Result<u64> {
        let word = words.next().with_context(|| format!("a figure has not three values: {line}"))?;
        word.parse().with_context(|| format!("a figure is no number: {line}"))
    };
    let figure = Figure { median: number()?, min: number()?, max: number()? };
    Ok(Some((domain, name, figure)))
}

/// The medians of all lines with this name.
#[must_use]
pub fn all(lines: &[Line], name: &str) -> Vec<u64> {
    lines.iter().filter(|line| line.1 == name).map(|line| line.2.median).collect()
}

/// The median of the line with this name.
///
/// # Errors
/// When there is none, or more than one.
pub fn only(lines: &[Line], name: &str) -> Result<u64> {
    match all(lines, name)[..] {
        [value] => Ok(value),
        _ => bail!("there is not one figure `{name}`"),
    }
}

/// When the first and the last domain began.
fn boot(scenario: &Scenario, lines: &[Line]) -> Result<Figures> {
    let entries = all(lines, "boot.first_entry");
    let (Some(first), Some(last)) = (entries.iter().min(), entries.iter().max()) else {
        bail!("no guest said when it began");
    };
    let name = scenario.name;
    Ok(BTreeMap::from([
        (format!("{name}.first_entry"), Figure::exact(*first)),
        (format!("{name}.last_entry"), Figure::exact(*last)),
    ]))
}

/// What the hypervisor took of the time in which the domains computed, in parts per million of their instructions.
fn busy(scenario: &Scenario, lines: &[Line]) -> Result<Figures> {
    let (starts, ends) = (all(lines, "compute.start"), all(lines, "compute.end"));
    let (Some(start), Some(end)) = (starts.iter().min(), ends.iter().max()) else {
        bail!("no guest computed");
    };
    let executed: u64 = all(lines, "compute.executed").iter().sum();
    ensure!(executed > 0, "nothing was executed");
    let stolen = (end - start).saturating_sub(executed);
    let name = scenario.name;
    Ok(BTreeMap::from([
        (format!("{name}.overhead_ppm"), Figure::exact(stolen * 1_000_000 / executed)),
        (format!("{name}.steal_per_s"), Figure::exact(stolen * SECOND / (end - start))),
    ]))
}

/// What of the machine's memory no domain has and nobody can have.
fn kept(scenario: &Scenario, count: usize, lines: &[Line]) -> Result<Figures> {
    let pages = scenario.memory_mib() * 256;
    let (free, domains) = (only(lines, "free_pages")?, only(lines, "domain_pages")?);
    ensure!(only(lines, "domains")? == count as u64 + 1, "there are not {count} domains beside dom0");
    let given = (count as u64 + 1) * DOMAIN_MIB * 256;
    ensure!(domains == given, "domains have {domains} pages and not the {given} that they were given");
    ensure!(only(lines, "unclean_pages")? == 0, "there are pages that are not yet clean");
    let kept = pages.checked_sub(free + domains).context("there is more memory than the machine has")?;
    Ok(BTreeMap::from([(format!("{}.hyp_kib", scenario.name), Figure::exact(kept * 4))]))
}

/// How often the hypervisor has asked for memory of its own since that was sealed, while a guest did all that it measures.
fn sealed(lines: &[Line]) -> Result<Figures> {
    ensure!(!all(lines, "gnttab.query_size").is_empty(), "the guest has not come to the last of its figures");
    Ok(BTreeMap::from([("seal.allocations".to_owned(), Figure::exact(only(lines, "seal.allocations")?))]))
}

/// Bytes of the image as a file and in memory, the latter as its header says.
fn image(stage: &Stage, subject: Subject) -> Result<Figures> {
    let file = stage.hypervisor(subject)?.file().clone();
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let size =
        bytes.get(16..24).and_then(|field| field.try_into().ok()).context("the image has no header")?;
    Ok(BTreeMap::from([
        ("image.file".to_owned(), Figure::exact(bytes.len() as u64)),
        ("image.memory".to_owned(), Figure::exact(u64::from_le_bytes(size))),
    ]))
}

/// Adds what follows from figures that are there.
pub fn derive(figures: &mut BTreeMap<String, Each<Figure>>) {
    for subject in [Subject::Xen, Subject::Xenite, Subject::Bare] {
        let value = |name: &str| figures.get(name)?.of(subject).map(|figure| figure.median);
        let each = |last, first, count| Some(value(last)?.saturating_sub(value(first)?) / count);
        let waits = figures.iter().filter(|(name, _)| name.starts_with("irqlate."));
        let derived = [
            ("irqlate.worst", waits.filter_map(|(_, each)| Some(each.of(subject)?.max)).max()),
            ("boot.each_further", each("boot8.last_entry", "boot1.last_entry", 7)),
            ("foot.per_domain_kib", each("foot8.hyp_kib", "foot0.hyp_kib", 8)),
            ("foot.per_static_domain_kib", each("foot8.static.hyp_kib", "foot0.hyp_kib", 8)),
            ("foot.per_vcpu_kib", each("foot8.4vcpu.hyp_kib", "foot8.hyp_kib", 24)),
        ];
        for (name, value) in derived {
            if let Some(value) = value {
                *figures.entry(name.to_owned()).or_default().of_mut(subject) = Some(Figure::exact(value));
            }
        }
    }
}
