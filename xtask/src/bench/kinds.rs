//! Kinds of instructions: a count alone would reward the wrong thing, since a barrier or an access to a system register
//! costs far more than an addition. A plugin for QEMU (`kinds.c`) counts them while a guest measures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{command, image, paths};

use super::measure::{self, Line};
use super::results::Each;
use super::scenarios::{Scenario, Stage, Subject};

/// The plugin's columns behind the number of samples, in its order.
pub const COLUMNS: [&str; 13] = [
    "alu",
    "branch",
    "load",
    "store",
    "exclusive",
    "sysreg",
    "gicreg",
    "isb",
    "dsb",
    "dmb",
    "tlbi_at",
    "cache",
    "trap",
];
/// The first of those that are costly.
pub const COSTLY: usize = 4;
/// The plugin.
const SOURCE: &str = include_str!("kinds.c");
/// The scenarios in which kinds are counted, and words for their guests.
const COUNTED: [(&str, &str); 3] =
    [("solo", ""), ("pair.1p", ""), ("smp.1p", "bench.only=psci.cpu_on.call,psci.cpu_on.entry")];
/// Samples of each figure.
const SAMPLES: u64 = 20;
/// The figure that is the sum of two measured calls.
const SUM: &str = "evtchn.bind_close";
/// What a hypercall is beside the hypervisor's part: the instruction itself.
const OWN: u64 = 1;

/// Instructions of the hypervisor for one operation, by kind.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Kinds(pub Vec<u64>);

impl Kinds {
    /// All kinds together.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many of a kind.
    #[must_use]
    pub fn of(&self, kind: &str) -> u64 {
        let mut both = COLUMNS.iter().zip(&self.0);
        both.find(|(name, _)| **name == kind).map_or(0, |(_, count)| *count)
    }

    /// The kinds of which this has more than the other, among the costly ones.
    #[must_use]
    pub fn worse_than(&self, other: &Self) -> Vec<&'static str> {
        let both = COLUMNS.iter().zip(self.0.iter().zip(&other.0)).skip(COSTLY);
        both.filter(|(_, (own, other))| own > other).map(|(name, _)| *name).collect()
    }
}

/// Counts kinds in those of the scenarios that have some, under those hypervisors that are subjects.
///
/// # Errors
/// When QEMU does not load the plugin, or it and the clock disagree.
pub fn count(
    stage: &Stage,
    scenarios: &[&Scenario],
    subjects: &[Subject],
    plugin: &Path,
) -> Result<BTreeMap<String, Each<Kinds>>> {
    let mut all: BTreeMap<String, Each<Kinds>> = BTreeMap::new();
    for (scenario, words) in COUNTED {
        let Some(scenario) = scenarios.iter().find(|other| other.name == scenario) else { continue };
        let wanted = [Subject::Xen, Subject::Xenite].into_iter().filter(|subject| subjects.contains(subject));
        for subject in wanted {
            for (name, kinds) in run(stage, (scenario, subject), plugin, words)? {
                *all.entry(name).or_default().of_mut(subject) = Some(kinds);
            }
        }
    }
    Ok(all)
}

/// Compiles the plugin, unless it has been.
///
/// # Errors
/// When it does not build.
pub fn build() -> Result<PathBuf> {
    let folder = paths::target().join("made");
    let (source, plugin) = (folder.join("kinds.c"), folder.join("kinds.so"));
    let is_built = plugin.exists() && std::fs::read_to_string(&source).is_ok_and(|text| text == SOURCE);
    if !is_built {
        let _ = std::fs::remove_file(&plugin);
        image::write(&source, SOURCE.as_bytes())?;
        let mut compiler = command::new("cc");
        compiler.args(["-O2", "-Wall", "-shared", "-fPIC", "-o"]).arg(&plugin).arg(&source);
        command::run(&mut compiler).context("the plugin for QEMU does not build; it needs a C compiler")?;
    }
    Ok(plugin)
}

/// What a scenario said, and what the plugin wrote meanwhile.
pub(super) struct Traced {
    lines: Vec<Line>,
    /// A line for each figure: samples, and instructions by kind.
    counted: String,
    /// A line for each figure: the address of each instruction, if the mode asks for that.
    pub(super) addresses: String,
}

/// Runs a scenario with the plugin; `where` in its mode makes it write addresses.
pub(super) fn trace(
    stage: &Stage,
    (scenario, subject): (&Scenario, Subject),
    (plugin, mode): (&Path, &str),
    words: &str,
) -> Result<Traced> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file =
        |what: &str| paths::target().join("made").join(format!("{what}-{}-{number}.txt", std::process::id()));
    let (out, path) = (file("kinds"), file("where"));
    // Every guest sees its image at 0x4000_0000, and neither hypervisor is there.
    let mut plugin = format!("{},from=0x40000000,to=0x40200000,out={}", plugin.display(), out.display());
    if !mode.is_empty() {
        plugin = format!("{plugin},{mode},where={}", path.display());
    }
    let mut system = stage.system(scenario, subject, &format!("bench.samples={SAMPLES} {words}"))?;
    system.machine.extra.extend(["-plugin".to_owned(), plugin]);
    let lines = measure::lines(&system, scenario.domains.speakers(system.domains.len()))?;
    let counted = std::fs::read_to_string(&out).context("the plugin has written nothing")?;
    let addresses = std::fs::read_to_string(&path).unwrap_or_default();
    let _ = (std::fs::remove_file(&out), std::fs::remove_file(&path));
    Ok(Traced { lines, counted, addresses })
}

/// The kinds of each figure of a scenario.
fn run(
    stage: &Stage,
    system: (&Scenario, Subject),
    plugin: &Path,
    words: &str,
) -> Result<Vec<(String, Kinds)>> {
    let Traced { lines, counted, .. } = trace(stage, system, (plugin, ""), words)?;
    // Those that are the worst of many calls are not made of samples.
    let names = lines.iter().filter(|line| !line.1.ends_with(".worst"));
    ensure!(names.clone().count() == counted.lines().count(), "the plugin did not count all figures");
    let mut all = Vec::new();
    for ((_, name, figure), line) in names.zip(counted.lines()) {
        let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let (samples, totals) = numbers.split_first().context("the plugin wrote an empty line")?;
        if name == SUM {
            continue;
        }
        ensure!(*samples == SAMPLES, "the plugin saw {samples} samples of {name}, not {SAMPLES}");
        ensure!(totals.len() == COLUMNS.len(), "the plugin has other columns");
        let kinds = Kinds(totals.to_vec());
        if name.starts_with("hvc.") {
            let (plugin, clock) = (kinds.all(), figure.median - OWN);
            ensure!(plugin == clock, "{name}: the plugin counts {plugin} instructions, the clock {clock}");
        }
        // The end of a sample is the handler's first instruction, so that the first would be the same again; the others
        // are parts of calls, as long as the point at which the interrupt finds them.
        if !name.ends_with(".eoi") && !name.starts_with("irqlate.") {
            all.push((name.clone(), kinds));
        }
    }
    Ok(all)
}
