//! The results of a run: the figures of each subject, and with which programs they were measured; as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::packages::Part;
use crate::{command, tools};

use super::figures::FIGURES;
use super::kinds::Kinds;
use super::parts::Parts;
use super::scenarios::Subject;

/// A figure of several samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The value of the sample in the middle, which is what is compared.
    pub median: u64,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

impl Figure {
    /// A figure that was measured once.
    #[must_use]
    pub const fn exact(value: u64) -> Self {
        Self { median: value, min: value, max: value }
    }

    /// Whether two runs agree. Into which sample a periodic tick of the hypervisor falls, and with it the largest and the
    /// smallest, may depend on the host: QEMU's threads share the moment at which it skips idle time.
    #[must_use]
    pub const fn agrees(&self, other: &Self) -> bool {
        self.median == other.median
    }
}

/// Something of each subject that has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Each<T> {
    /// Under Debian's Xen.
    #[serde(skip_serializing_if = "Option::is_none", default = "none")]
    pub xen: Option<T>,
    /// Under Xenite.
    #[serde(skip_serializing_if = "Option::is_none", default = "none")]
    pub xenite: Option<T>,
    /// On the bare machine.
    #[serde(skip_serializing_if = "Option::is_none", default = "none")]
    pub bare: Option<T>,
}

const fn none<T>() -> Option<T> {
    None
}

impl<T> Each<T> {
    /// That of a subject.
    #[must_use]
    pub const fn of(&self, subject: Subject) -> Option<&T> {
        match subject {
            Subject::Xen => self.xen.as_ref(),
            Subject::Xenite => self.xenite.as_ref(),
            Subject::Bare => self.bare.as_ref(),
        }
    }

    /// The place for that of a subject.
    pub const fn of_mut(&mut self, subject: Subject) -> &mut Option<T> {
        match subject {
            Subject::Xen => &mut self.xen,
            Subject::Xenite => &mut self.xenite,
            Subject::Bare => &mut self.bare,
        }
    }
}

/// Fills what a run lacks from an earlier one, as far as that is wanted.
pub fn fill<T: Clone>(
    now: &mut BTreeMap<String, Each<T>>,
    then: &BTreeMap<String, Each<T>>,
    is_wanted: impl Fn(&str, Subject) -> bool,
) {
    for (name, each) in then {
        for subject in Subject::ALL.into_iter().filter(|subject| is_wanted(name, *subject)) {
            if let Some(value) = each.of(subject) {
                now.entry(name.clone()).or_default().of_mut(subject).get_or_insert_with(|| value.clone());
            }
        }
    }
}

impl<T> Default for Each<T> {
    fn default() -> Self {
        Self { xen: None, xenite: None, bare: None }
    }
}

/// What was measured with what.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Programs {
    /// QEMU's own words for its version.
    pub qemu: String,
    /// The package of Debian's Xen.
    pub xen: String,
    /// Xenite's version.
    pub xenite: String,
    /// QEMU's words that make instructions the clock, and the processor.
    pub method: String,
}

/// The results of a run.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Results {
    /// What was measured with what.
    pub programs: Programs,
    /// Figures by name.
    pub figures: BTreeMap<String, Each<Figure>>,
    /// Kinds of instructions by operation.
    #[serde(default)]
    pub kinds: BTreeMap<String, Each<Kinds>>,
    /// Where Xenite's instructions for some operations stand.
    #[serde(default)]
    pub parts: BTreeMap<String, Parts>,
}

impl Programs {
    /// The programs of this system.
    ///
    /// # Errors
    /// When QEMU does not say its version.
    pub fn here() -> Result<Self> {
        tools::ensure(&[tools::Need::Qemu])?;
        let said = command::output(command::new("qemu-system-aarch64").arg("--version"))?;
        let xen = std::fs::read_to_string(Part::Xen.path().with_file_name("package")).unwrap_or_default();
        Ok(Self {
            qemu: said.lines().next().unwrap_or_default().to_owned(),
            xen: xen.trim().to_owned(),
            xenite: env!("CARGO_PKG_VERSION").to_owned(),
            method: "-icount shift=4,sleep=off -cpu cortex-a57, GICv3".to_owned(),
        })
    }
}

impl Programs {
    /// The programs of figures of which a part was measured earlier.
    ///
    /// # Errors
    /// When other programs measured that part, so that the two do not belong together.
    pub fn with_earlier(self, then: &Self) -> Result<Self> {
        let same = self.qemu == then.qemu && self.method == then.method;
        let xen = if self.xen.is_empty() { then.xen.clone() } else { self.xen.clone() };
        ensure!(same && xen == then.xen, "docs/bench was measured with other programs: measure all again");
        Ok(Self { xen, ..self })
    }
}

impl Results {
    /// The same with the figures of those who are not among the `measured` from an earlier run.
    ///
    /// # Errors
    /// When that was made with other programs.
    pub fn with_earlier(&self, then: &Self, measured: &[Subject]) -> Result<Self> {
        let mut all = self.clone();
        all.programs = all.programs.with_earlier(&then.programs)?;
        let is_wanted =
            |name: &str, subject| !measured.contains(&subject) && FIGURES.iter().any(|row| row.name == name);
        fill(&mut all.figures, &then.figures, is_wanted);
        fill(&mut all.kinds, &then.kinds, is_wanted);
        if !measured.contains(&Subject::Xenite) {
            all.parts.clone_from(&then.parts);
        }
        Ok(all)
    }

    /// Whether two runs have the same figures and kinds.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        let medians = |results: &Self| -> Vec<(String, Each<u64>)> {
            let median = |figure: Figure| figure.median;
            let each = |each: &Each<Figure>| Each {
                xen: each.xen.map(median),
                xenite: each.xenite.map(median),
                bare: each.bare.map(median),
            };
            results.figures.iter().map(|(name, figures)| (name.clone(), each(figures))).collect()
        };
        let rest = |results: &Self| (results.programs.clone(), results.kinds.clone(), results.parts.clone());
        rest(self) == rest(other) && medians(self) == medians(other)
    }

    /// Reads results.
    ///
    /// # Errors
    /// When there is no such file, or it holds something else.
    pub fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} holds no results", file.display()))
    }

    /// Writes results, a figure to a line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, self.text()?).with_context(|| format!("cannot write {}", file.display()))
    }

    fn text(&self) -> Result<String> {
        let programs = serde_json::to_string_pretty(&self.programs)?.replace('\n', "\n  ");
        let (figures, kinds, parts) = (lines(&self.figures)?, lines(&self.kinds)?, lines(&self.parts)?);
        Ok(format!(
            "{{\n  \"programs\": {programs},\n  \"figures\": {figures},\n  \"kinds\": {kinds},\n  \"parts\": {parts}\n}}\n"
        ))
    }
}

/// A map with an entry to a line.
fn lines<T: Serialize>(map: &BTreeMap<String, T>) -> Result<String> {
    let line = |(name, value): (&String, &T)| -> Result<String> {
        Ok(format!("    {}: {}", serde_json::to_string(name)?, serde_json::to_string(value)?))
    };
    let lines = map.iter().map(line).collect::<Result<Vec<String>>>()?;
    Ok(if lines.is_empty() { "{}".to_owned() } else { format!("{{\n{}\n  }}", lines.join(",\n")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_again_stays_and_what_is_does_not() {
        let with = |xen: u64, xenite: u64| {
            let mut results = Results::default();
            let each =
                Each { xen: Some(Figure::exact(xen)), xenite: Some(Figure::exact(xenite)), bare: None };
            results.figures.insert("hvc.xen_version".to_owned(), each.clone());
            results.figures.insert("no.such_figure".to_owned(), each);
            results
        };
        let (then, mut now) = (with(417, 160), Results::default());
        let own = Each { xenite: Some(Figure::exact(132)), ..Each::default() };
        now.figures.insert("hvc.xen_version".to_owned(), own);
        let all = now.with_earlier(&then, &[Subject::Xenite]).unwrap();
        let mut expected = with(417, 132);
        expected.figures.remove("no.such_figure");
        assert_eq!(all, expected);
        now.programs.qemu = "another".to_owned();
        assert!(now.with_earlier(&then, &[Subject::Xenite]).is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut results = Results::default();
        let each = Each { xen: Some(Figure::exact(7)), ..Each::default() };
        results.figures.insert("a.b".to_owned(), each);
        let text = results.text().unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
        assert!(text.contains("\"a.b\": {\"xen\":{\"median\":7,\"min\":7,\"max\":7}}"), "{text}");
    }
}
