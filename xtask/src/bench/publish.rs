//! What the documents say of the results: two runs as `docs/bench/run-1.json` and `run-2.json`, and made from them the
//! chart, and the tables between two marks in the README and in `docs/performance.md`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::paths;

use super::results::Results;
use super::scale::Scale;
use super::scenarios::Subject;
use super::{chart, curves, parts, table, targets};

/// The two runs.
const RUNS: [&str; 2] = ["docs/bench/run-1.json", "docs/bench/run-2.json"];
/// The chart.
const CHART: &str = "docs/bench/chart.svg";
/// The curves, and their pictures.
const SCALE: (&str, &str) = ("docs/bench/scale.json", "docs/bench/scale.svg");
/// Where it stands why a target is missed.
const EXPLAINED: &str = "docs/performance.md";
/// Where the curves stand as a table.
const SCALE_TABLE: (&str, &str) = ("docs/performance.md", "scale");

/// A table and where it stands: the file, the word in its marks, and what makes it.
type Block = (&'static str, &'static str, fn(&Results) -> String);

const BLOCKS: [Block; 7] = [
    ("README.md", "figures", table::short),
    ("README.md", "programs", table::programs),
    ("docs/performance.md", "programs", table::programs),
    ("docs/performance.md", "figures", table::complete),
    ("docs/performance.md", "kinds", table::kinds),
    ("docs/performance.md", "targets", targets::table),
    ("docs/performance.md", "parts", parts::table),
];

/// The results that are committed.
///
/// # Errors
/// When they are not there.
pub fn committed() -> Result<Results> {
    Results::read(&paths::root().join(RUNS[0]))
}

/// Writes two runs and all that is made from them. Who is not among the `measured` keeps the figures that are there.
///
/// # Errors
/// When a file cannot be written, or lacks its marks, or other programs measured what is there.
pub fn write(runs: &[Results; 2], measured: &[Subject]) -> Result<()> {
    for (run, file) in runs.iter().zip(RUNS) {
        let file = paths::root().join(file);
        let is_all = Subject::ALL.iter().all(|subject| measured.contains(subject));
        let run = if is_all { run.clone() } else { run.with_earlier(&Results::read(&file)?, measured)? };
        run.write(&file)?;
    }
    render()
}

/// Writes curves and all that is made from them. Curves that were not measured now stay.
///
/// # Errors
/// When a file cannot be written, or lacks its marks, or other programs measured what is there.
pub fn write_scale(scale: &Scale) -> Result<()> {
    let file = paths::root().join(SCALE.0);
    let scale = if file.exists() { scale.with_earlier(&Scale::read(&file)?)? } else { scale.clone() };
    scale.write(&file)?;
    render()
}

/// Writes what is made from the committed runs.
///
/// # Errors
/// When a file cannot be written, or lacks its marks.
pub fn render() -> Result<()> {
    for (file, text) in made()? {
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{}", file.display());
    }
    Ok(())
}

/// Whether the documents say what the committed runs say.
///
/// # Errors
/// When they do not, or the two runs differ, or a curve grows faster than it may, or a missed target is not explained.
pub fn check() -> Result<()> {
    for (file, text) in made()? {
        if std::fs::read_to_string(&file).unwrap_or_default() != text {
            bail!("{} is not what the runs in docs/bench say: ./x bench --render", file.display());
        }
    }
    let text = std::fs::read_to_string(paths::root().join(EXPLAINED)).context(EXPLAINED)?;
    let results = committed()?;
    parts::check(&results)?;
    let unexplained = targets::unexplained(&results, &text);
    ensure!(unexplained.is_empty(), "{EXPLAINED} does not say why these miss their targets: {unexplained:?}");
    Ok(())
}

/// The files that are made from the committed runs.
fn made() -> Result<Vec<(PathBuf, String)>> {
    let results = committed()?;
    let second = Results::read(&paths::root().join(RUNS[1]))?;
    ensure!(results.agrees(&second), "the two runs in docs/bench differ");
    let root = paths::root();
    let mut files = vec![(root.join(CHART), chart::draw(&results))];
    for (name, word, make) in BLOCKS {
        replace(&mut files, (name, word), &make(&results))?;
    }
    // Curves are measured by a run of their own.
    if root.join(SCALE.0).exists() {
        let scale = Scale::read(&root.join(SCALE.0))?;
        scale.check()?;
        files.push((root.join(SCALE.1), curves::draw(&scale)));
        replace(&mut files, SCALE_TABLE, &curves::table(&scale))?;
    }
    Ok(files)
}

/// Replaces what stands between the marks of a word in a file, which is read unless it is among the files already.
fn replace(files: &mut Vec<(PathBuf, String)>, (name, word): (&str, &str), new: &str) -> Result<()> {
    let file = paths::root().join(name);
    if !files.iter().any(|(other, _)| *other == file) {
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        files.push((file.clone(), text));
    }
    for (_, text) in files.iter_mut().filter(|(other, _)| *other == file) {
        *text = replaced(text, word, new).with_context(|| format!("{name} lacks the marks of {word}"))?;
    }
    Ok(())
}

/// A text with what stands between the marks of a word replaced.
fn replaced(text: &str, word: &str, new: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- bench {word}: begin -->\n"), format!("<!-- bench {word}: end -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{new}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let text = "a\n<!-- bench x: begin -->\nold\n<!-- bench x: end -->\nb\n";
        let new = replaced(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- bench x: begin -->\nnew\n<!-- bench x: end -->\nb\n");
        assert!(replaced(text, "y", "new\n").is_none());
    }
}
