//! Where the instructions of an operation are: how many of those that Xenite executes for it stand in which of its source files,
//! so that a figure can be explained, and what it cannot do without be told from the rest.
//!
//! The plugin that counts kinds tells the address of each instruction of the sample that is in the middle; what the compiler
//! knows of the image (DWARF) says which line of which file it comes from. What was inlined counts where it was written.
//! What comes from the language's own libraries counts for the file that uses it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use anyhow::{Context, Result, ensure};

use crate::elf::{Elf, Function};
use crate::tree;

use super::figures::FIGURES;
use super::kinds::{self, Traced};
use super::results::Results;
use super::scenarios::{Domains, SCENARIOS, Scenario, Stage, Subject};
use super::table::number;

/// Instructions by source file.
pub type Parts = BTreeMap<String, u64>;

/// Scenarios and the figures in them. What begins with a sleep is traced from its end on.
const TRACED: [(&str, &[&str]); 5] = [
    (
        "solo",
        &["hvc.xen_version", "sched.yield_alone", "timer.wfi.entry", "mem.populate_4k", "mem.populate_2m"],
    ),
    ("smp.1p", &["psci.cpu_on.entry"]),
    ("pair.1p", &["evtchn.pingpong_wfi", "sched.yield_pair"]),
    ("pair.2p.running", &["evtchn.static_running"]),
    ("boot1", &["boot1.last_entry"]),
];
/// Crates of the image.
const CRATES: [&str; 5] = ["abi", "hypervisor", "machine", "model", "plan"];
/// The part of an operation, one in so many, below which a file is not shown by its name.
const SMALL: u64 = 50;

/// The parts of the figures that are traced, or of those of them that the names mean.
///
/// # Errors
/// When a scenario does not come to its end, or the image does not say where its instructions come from.
pub fn measure(stage: &Stage, plugin: &Path, names: &[String]) -> Result<BTreeMap<String, Parts>> {
    let elf = Elf::read(&stage.hypervisor(Subject::Xenite)?.file().with_extension("elf"))?;
    let mut source = Source::new(&elf)?;
    let mut all = BTreeMap::new();
    for (name, figures) in TRACED {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
        let scenario = scenario.with_context(|| format!("there is no scenario {name}"))?;
        for figure in figures {
            let full = format!("{figure}{}", scenario.suffix);
            let row = FIGURES.iter().find(|row| row.name == full);
            let row = row.with_context(|| format!("there is no figure {full}"))?;
            if !names.is_empty() && !names.iter().any(|name| row.is_meant_by(name)) {
                continue;
            }
            let path = path(stage, scenario, plugin, figure)?;
            all.insert(full, source.parts(&path)?);
        }
    }
    Ok(all)
}

/// The addresses of all instructions of a figure.
fn path(stage: &Stage, scenario: &Scenario, plugin: &Path, figure: &str) -> Result<Vec<u64>> {
    let is_boot = matches!(scenario.domains, Domains::Boot(_));
    let mode = match figure {
        _ if is_boot => "boot=on",
        "timer.wfi.entry" => "wake=on",
        _ => "wake=off",
    };
    let words = if is_boot { String::new() } else { format!("bench.only={figure}") };
    let Traced { addresses, .. } = kinds::trace(stage, (scenario, Subject::Xenite), (plugin, mode), &words)?;
    let [line] = addresses.lines().collect::<Vec<_>>()[..] else {
        anyhow::bail!("the plugin has not traced {figure} alone");
    };
    let path =
        line.split_whitespace().map(|word| u64::from_str_radix(word, 16)).collect::<Result<Vec<u64>, _>>()?;
    ensure!(!path.is_empty(), "nothing happens in {figure}");
    Ok(path)
}

/// What an image says of its instructions.
struct Source<'elf> {
    context: addr2line::Context<EndianSlice<'elf, LittleEndian>>,
    /// Where the image is linked.
    base: u64,
    functions: Vec<Function>,
    known: HashMap<u64, String>,
}

impl<'elf> Source<'elf> {
    fn new(elf: &'elf Elf) -> Result<Self> {
        let section = |id: SectionId| -> Result<_> {
            Ok(EndianSlice::new(elf.section(id.name())?.unwrap_or_default(), LittleEndian))
        };
        let context = addr2line::Context::from_dwarf(Dwarf::load(section)?)?;
        Ok(Self { context, base: elf.symbol("_start")?, functions: elf.labels()?, known: HashMap::new() })
    }

    /// The instructions at these addresses by file.
    fn parts(&mut self, path: &[u64]) -> Result<Parts> {
        let mut parts = Parts::new();
        for address in path {
            // Until its own translation is on, the image runs where it was loaded.
            let address = if *address < self.base { address - tree::IMAGE + self.base } else { *address };
            *parts.entry(self.file(address)?).or_default() += 1;
        }
        Ok(parts)
    }

    /// The file that an instruction was written in; the function, where that is all that is known, as of assembly.
    fn file(&mut self, address: u64) -> Result<String> {
        if let Some(file) = self.known.get(&address) {
            return Ok(file.clone());
        }
        let mut frames = self.context.find_frames(address).skip_all_loads()?;
        let mut found = None;
        while let (None, Some(frame)) = (&found, frames.next()?) {
            found = frame.location.and_then(|place| place.file).and_then(own).map(str::to_owned);
        }
        let file = found.unwrap_or_else(|| {
            let behind = self.functions.partition_point(|function| function.address <= address);
            let function = behind.checked_sub(1).and_then(|index| self.functions.get(index));
            function.map_or_else(String::new, |function| {
                format!("{:#}", rustc_demangle::demangle(&function.name))
            })
        });
        self.known.insert(address, file.clone());
        Ok(file)
    }
}

/// A file of ours as its path from the root on.
fn own(file: &str) -> Option<&str> {
    let start = |name: &&str| file.rfind(&format!("{name}/src/"));
    CRATES.iter().find_map(start).map(|start| &file[start..])
}

/// What the documents say of a trap: so many instructions for leaving a guest and entering it again.
const TRAP: (u64, [&str; 2]) = (48, ["enter_guest", "vectors"]);

/// Whether a trap is what the documents say.
///
/// # Errors
/// When it is not.
pub fn check(results: &Results) -> Result<()> {
    let Some(parts) = results.parts.get("hvc.xen_version") else { return Ok(()) };
    let sum: u64 = TRAP.1.iter().filter_map(|name| parts.get(*name)).sum();
    ensure!(sum == TRAP.0, "the documents say that a trap is {} instructions, but it is {sum}", TRAP.0);
    Ok(())
}

/// The parts as a table: the files with most instructions first, those with few together.
#[must_use]
pub fn table(results: &Results) -> String {
    let mut text =
        String::from("| figure | instructions of Xenite | where they stand |\n| --- | --- | --- |\n");
    for (name, parts) in &results.parts {
        let all: u64 = parts.values().sum();
        let mut rows: Vec<(&String, &u64)> =
            parts.iter().filter(|(_, count)| **count * SMALL >= all).collect();
        rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown: u64 = rows.iter().map(|(_, count)| **count).sum();
        let mut files: Vec<String> =
            rows.iter().map(|(file, count)| format!("`{file}` {}", number(**count))).collect();
        if shown < all {
            files.push(format!("others {}", number(all - shown)));
        }
        let _ = writeln!(text, "| `{name}` | {} | {} |", number(all), files.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_from_the_root_on_and_those_of_others_are_not() {
        assert_eq!(own("/a/hypervisor/src/cpu.rs"), Some("hypervisor/src/cpu.rs"));
        assert_eq!(own("plan/src/lib.rs"), Some("plan/src/lib.rs"));
        assert_eq!(own("/rustc/library/core/src/option.rs"), None);
    }

    #[test]
    fn files_with_few_instructions_stand_together() {
        let mut results = Results::default();
        let parts = [("a", 900), ("b", 1_000), ("c", 30)].map(|(file, count)| (file.to_owned(), count));
        results.parts.insert("x".to_owned(), Parts::from(parts));
        assert!(table(&results).ends_with("| `x` | 1,930 | `b` 1,000, `a` 900, others 30 |\n"));
    }
}
