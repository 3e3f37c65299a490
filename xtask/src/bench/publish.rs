//! What the documents say of the results: two runs as `docs/bench/run-1.json` and `run-2.json`, and made from them the
//! chart, and the tables between two marks in the README and in `docs/performance.md`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::paths;

use super::results::Results;
use super::{chart, table};

/// The two runs.
const RUNS: [&str; 2] = ["docs/bench/run-1.json", "docs/bench/run-2.json"];
/// The chart.
const CHART: &str = "docs/bench/chart.svg";

/// A table and where it stands: the file, the word in its marks, and what makes it.
type Block = (&'static str, &'static str, fn(&Results) -> String);

const BLOCKS: [Block; 5] = [
    ("README.md", "figures", table::short),
    ("README.md", "programs", table::programs),
    ("docs/performance.md", "programs", table::programs),
    ("docs/performance.md", "figures", table::complete),
    ("docs/performance.md", "kinds", table::kinds),
];

/// The results that are committed.
///
/// # Errors
/// When they are not there.
pub fn committed() -> Result<Results> {
    Results::read(&paths::root().join(RUNS[0]))
}

/// Writes two runs and all that is made from them.
///
/// # Errors
/// When a file cannot be written, or lacks its marks.
pub fn write(runs: &[Results; 2]) -> Result<()> {
    for (run, file) in runs.iter().zip(RUNS) {
        run.write(&paths::root().join(file))?;
    }
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
/// When they do not, or the two runs differ.
pub fn check() -> Result<()> {
    for (file, text) in made()? {
        if std::fs::read_to_string(&file).unwrap_or_default() != text {
            bail!("{} is not what the runs in docs/bench say: ./x bench --render", file.display());
        }
    }
    Ok(())
}

/// The files that are made from the committed runs.
fn made() -> Result<Vec<(PathBuf, String)>> {
    let results = committed()?;
    let second = Results::read(&paths::root().join(RUNS[1]))?;
    ensure!(results == second, "the two runs in docs/bench differ");
    let mut files: Vec<(PathBuf, String)> = vec![(paths::root().join(CHART), chart::draw(&results))];
    for (name, word, make) in BLOCKS {
        let file = paths::root().join(name);
        let place = match files.iter().position(|(other, _)| *other == file) {
            Some(place) => place,
            None => {
                let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
                files.push((file, text));
                files.len() - 1
            }
        };
        if let Some((_, text)) = files.get_mut(place) {
            *text =
                replaced(text, word, &make(&results)).with_context(|| format!("{name} lacks its marks"))?;
        }
    }
    Ok(files)
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
