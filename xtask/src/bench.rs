//! `./x bench`: the same guests under Debian's Xen, under Xenite and on the bare machine, with instructions as the clock.
//!
//! A scenario (`scenarios`) is a system; its guests print figures (`measure`), which `figures` names and explains. Each
//! scenario is run twice, and figures that differ are no figures. `kinds` counts what kinds of instructions an operation
//! is made of, `parts` where they stand. The rest shows: `table`, `chart`, `curves`, `targets`, and `publish` for what
//! the documents say.

pub mod baseline;
pub mod chart;
pub mod curves;
pub mod figures;
pub mod kinds;
pub mod measure;
pub mod parts;
pub mod publish;
pub mod results;
pub mod scale;
pub mod scenarios;
pub mod table;
pub mod targets;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};
use clap::Args;

use crate::tools::{self, Need};

use figures::FIGURES;
use measure::Figures;
use results::{Programs, Results};
use scale::Curve;
use scenarios::{SCENARIOS, Scenario, Stage, Subject};

/// What is measured, and where the results go.
#[derive(Args, Clone, Default, Debug)]
pub struct Options {
    /// Figures, the start of their names up to a dot, or scenarios; all, if nothing is said.
    pub names: Vec<String>,
    /// Writes the results into a file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Compares with an earlier run and fails if a figure of Xenite is more than 2 % worse.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Draws the chart, or the curves, into a file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Measures Xenite alone.
    #[arg(long)]
    pub ours: bool,
    /// Measures Xen and the bare machine alone.
    #[arg(long, conflicts_with = "ours")]
    pub theirs: bool,
    /// Counts kinds of instructions too, which a run of all figures does anyway.
    #[arg(long)]
    pub kinds: bool,
    /// Tells in which files Xenite's instructions for some operations stand, which a run of all figures does anyway.
    #[arg(long)]
    pub parts: bool,
    /// Measures how costs grow with domains, vCPUs, processors and RAM, and nothing else; names are those of curves then.
    #[arg(long, conflicts_with_all = ["baseline", "kinds", "parts"])]
    pub scale: bool,
    /// Lists the names of all figures, or of all curves.
    #[arg(long)]
    pub list: bool,
    /// Writes the results into docs/bench, and the tables and the chart of the documents. What is not measured now, with
    /// `--ours` or `--theirs`, stays as it was.
    #[arg(long)]
    pub publish: bool,
    /// Makes the tables and the chart of the documents again, of the results in docs/bench.
    #[arg(long)]
    pub render: bool,
}

/// Measures what the options ask for.
///
/// # Errors
/// When something cannot be built or run, two runs differ, or a figure is worse than it was.
pub fn run(options: &Options) -> Result<()> {
    if options.list {
        list(options.scale);
        return Ok(());
    }
    if options.render {
        return publish::render();
    }
    let is_whole = options.names.is_empty();
    ensure!(is_whole || options.scale || !options.publish, "what is published is a run of all figures");
    let (curves, scenarios) = if options.scale {
        (scale::chosen(&options.names)?, Vec::new())
    } else {
        (Vec::new(), chosen(&options.names)?)
    };
    let baseline = options.baseline.as_deref().map(Results::read).transpose()?;
    tools::ensure(&[Need::BareMetal, Need::Qemu, Need::TreeCompiler])?;
    let subjects = options.subjects();
    let stage = Stage::new(subjects.contains(&Subject::Xen))?;
    if options.scale {
        return scaled(&stage, &curves, options);
    }
    let mut runs = measure_twice(&stage, &scenarios, subjects)?;
    if is_whole || options.kinds {
        let plugin = kinds::build()?;
        let counted = twice(|| kinds::count(&stage, &scenarios, subjects, &plugin))?;
        for (results, kinds) in runs.iter_mut().zip(counted) {
            results.kinds = kinds;
        }
    }
    if (is_whole || options.parts) && subjects.contains(&Subject::Xenite) {
        let plugin = kinds::build()?;
        let parts = twice(|| parts::measure(&stage, &plugin, &options.names))?;
        for (results, parts) in runs.iter_mut().zip(parts) {
            results.parts = parts;
        }
    }
    for results in &mut runs {
        results.programs = Programs::here()?;
        finish(results, options)?;
    }
    ensure!(runs[0].agrees(&runs[1]), "two runs differ");
    report(&runs, options)?;
    let worse = baseline.map(|then| baseline::worse(&runs[0], &then)).unwrap_or_default();
    ensure!(worse.is_empty(), "worse than the baseline:\n  {}", worse.join("\n  "));
    Ok(())
}

impl Options {
    /// Who is measured.
    const fn subjects(&self) -> &'static [Subject] {
        match (self.ours, self.theirs) {
            (true, _) => &[Subject::Xenite],
            (_, true) => &[Subject::Xen, Subject::Bare],
            _ => &Subject::ALL,
        }
    }
}

/// Prints the names of all figures, or of all curves.
fn list(curves: bool) {
    if curves {
        scale::CURVES.iter().for_each(|curve| println!("{:<32} {}", curve.name, curve.title));
    } else {
        FIGURES.iter().for_each(|row| println!("{:<32} {}: {}", row.name, row.unit, row.meaning));
    }
}

/// Measures curves and puts them where they are wanted.
fn scaled(stage: &Stage, curves: &[&Curve], options: &Options) -> Result<()> {
    let scale = scale::run(stage, curves, options.subjects())?;
    if let Some(file) = &options.json {
        scale.write(file)?;
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, curves::draw(&scale))?;
    }
    if options.publish {
        publish::write_scale(&scale)?;
    }
    scale.check()
}

/// Prints the results and puts them where they are wanted.
fn report(runs: &[Results; 2], options: &Options) -> Result<()> {
    let results = &runs[0];
    print!("{}", table::plain(results));
    if !results.kinds.is_empty() {
        print!("{}", table::plain_kinds(results));
    }
    if !results.parts.is_empty() {
        print!("{}", parts::table(results));
    }
    if let Some(file) = &options.json {
        results.write(file)?;
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, chart::draw(results))?;
    }
    if options.publish {
        publish::write(runs, options.subjects())?;
    }
    Ok(())
}

/// The scenarios that figures of these names are made of.
fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    for name in names {
        ensure!(
            FIGURES.iter().any(|row| row.is_meant_by(name)),
            "there is no figure `{name}`: ./x bench --list"
        );
    }
    let rows =
        FIGURES.iter().filter(|row| names.is_empty() || names.iter().any(|name| row.is_meant_by(name)));
    let wanted: BTreeSet<&str> = rows.flat_map(|row| row.scenarios.split(' ')).collect();
    Ok(SCENARIOS.iter().filter(|scenario| wanted.contains(scenario.name)).collect())
}

/// Does something twice at a time: what else this computer does makes no difference to what is measured.
fn twice<T: Send>(once: impl Fn() -> Result<T> + Sync) -> Result<[T; 2]> {
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(&once);
        (once(), other.join())
    });
    Ok([first?, second.map_err(|_| anyhow!("a thread stopped"))??])
}

/// Runs each scenario twice under each subject.
///
/// # Errors
/// When one does not come to its end, or the two runs of it differ.
pub fn measure_twice(stage: &Stage, scenarios: &[&Scenario], subjects: &[Subject]) -> Result<[Results; 2]> {
    let mut runs = [Results::default(), Results::default()];
    for scenario in scenarios {
        for subject in subjects.iter().filter(|subject| scenario.subjects.contains(subject)) {
            eprintln!("x: {} under {}", scenario.name, subject.name());
            let both = same_twice(stage, scenario, *subject)?;
            for (results, figures) in runs.iter_mut().zip(both) {
                for (name, figure) in figures {
                    *results.figures.entry(name).or_default().of_mut(*subject) = Some(figure);
                }
            }
        }
    }
    runs.iter_mut().for_each(|results| measure::derive(&mut results.figures));
    Ok(runs)
}

/// How often a scenario is run twice, if its figures differ on a computer that has much else to do.
const ATTEMPTS: usize = 3;

/// The figures of two runs that agree.
fn same_twice(stage: &Stage, scenario: &Scenario, subject: Subject) -> Result<[Figures; 2]> {
    let mut reasons = Vec::new();
    for _ in 0..ATTEMPTS {
        let both = twice(|| measure::measure(stage, scenario, subject, ""))?;
        let [first, second] = &both;
        let mut names = first.keys().chain(second.keys());
        let differs = names.find(|name| match (first.get(*name), second.get(*name)) {
            (Some(first), Some(second)) => !first.agrees(second),
            _ => true,
        });
        let Some(name) = differs else { return Ok(both) };
        let reason =
            format!("{name} under {}: {:?} and {:?}", subject.name(), first.get(name), second.get(name));
        eprintln!("x: not the same twice: {reason}");
        reasons.push(reason);
    }
    bail!("figures differ between two runs: {}", reasons.join("; "))
}

/// Keeps what was asked for; the table must have all that there is, and a whole run all that the table has.
fn finish(results: &mut Results, options: &Options) -> Result<()> {
    for name in results.figures.keys() {
        ensure!(FIGURES.iter().any(|row| row.name == name), "the table of figures lacks {name}");
    }
    if options.names.is_empty() {
        for (row, subject) in
            FIGURES.iter().flat_map(|row| options.subjects().iter().map(move |who| (row, who)))
        {
            let has = results.figures.get(row.name).is_some_and(|each| each.of(*subject).is_some());
            ensure!(has || !row.is_of(*subject), "nobody measured {} under {}", row.name, subject.name());
        }
    }
    let is_wanted = |name: &str| {
        let mut rows = FIGURES.iter().filter(|row| row.name == name);
        options.names.is_empty() || rows.any(|row| options.names.iter().any(|name| row.is_meant_by(name)))
    };
    results.figures.retain(|name, _| is_wanted(name));
    results.kinds.retain(|name, _| is_wanted(name));
    Ok(())
}
