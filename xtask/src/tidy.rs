//! `./x tidy`: the rules of the house that neither compiler nor clippy knows.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::bench::publish;
use crate::hypercalls;
use crate::paths;
use crate::source::{self, Source, has_word};

/// The crates of the image.
pub const IMAGE: [&str; 5] = ["abi", "plan", "model", "machine", "hypervisor"];
/// Which of our crates a crate may depend on; a crate that is not here, on none.
const EDGES: [(&str, &[&str]); 5] = [
    ("hypervisor", &["abi", "plan", "model", "machine"]),
    ("machine", &["model", "plan"]),
    ("cli", &["plan", "abi"]),
    ("guests", &["abi"]),
    ("tests", &["xtask"]),
];
const MEMBERS: [&str; 9] =
    ["abi", "plan", "model", "machine", "hypervisor", "cli", "guests", "tests", "xtask"];
/// Most lines of a file, its tests apart.
const FILE_LINES: usize = 500;
/// Most lines of code in the image for Arm64, tests apart, and the interface's data in `abi`.
const IMAGE_LINES: usize = 25_000;
/// Most files of the image that name an architecture or system by `cfg`.
const CFG_FILES: usize = 3;
/// Names that say nothing of what is in a file.
const EMPTY_NAMES: [&str; 4] = ["mod", "utils", "common", "helpers"];
/// Endings of files in which white space at the end of a line is a mistake.
const TEXT: [&str; 8] = ["rs", "toml", "md", "s", "ld", "sh", "yml", "dts"];

/// Checks all rules.
///
/// # Errors
/// When a rule is broken; each place has been printed then.
pub fn run() -> Result<()> {
    let sources = source::all(&paths::root())?;
    let mut broken = Vec::new();
    for source in &sources {
        manifest(source, &mut broken);
        names(source, &mut broken);
        words(source, &mut broken);
        rust(source, &mut broken);
    }
    architecture(&sources, &mut broken);
    unsafe_areas(&sources, &mut broken);
    hypercalls::check(&sources, &mut broken);
    size(&sources, &mut broken);
    if let Err(error) = publish::check() {
        broken.push(format!("{error:#}"));
    }
    for place in &broken {
        println!("{place}");
    }
    if broken.is_empty() { Ok(()) } else { bail!("tidy: {} rules are broken", broken.len()) }
}

/// Edges between crates, lints, and no features in the image.
fn manifest(source: &Source, broken: &mut Vec<String>) {
    let Some(room) = source.path.strip_suffix("/Cargo.toml").filter(|room| MEMBERS.contains(room)) else {
        return;
    };
    let allowed = EDGES.iter().find(|(from, _)| *from == room).map_or(&[][..], |(_, to)| to);
    let mut section = "";
    for (index, line) in source.text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if section.contains("dependencies") && MEMBERS.contains(&name) && !allowed.contains(&name) {
            broken.push(format!("{}:{}: `{room}` must not depend on `{name}`", source.path, index + 1));
        }
    }
    if !source.text.contains("[lints]\nworkspace = true") {
        broken.push(format!("{}: lacks `[lints] workspace = true`", source.path));
    }
    if IMAGE.contains(&room) && source.text.contains("[features]") {
        broken.push(format!("{}: the image has no features", source.path));
    }
}

fn names(source: &Source, broken: &mut Vec<String>) {
    let parts = source.path.trim_end_matches(".rs").split('/');
    if source.is_rust() && parts.into_iter().any(|part| EMPTY_NAMES.contains(&part)) {
        broken.push(format!("{}: the name says nothing of what is in it", source.path));
    }
}

/// Promises for later, and white space that nobody sees.
fn words(source: &Source, broken: &mut Vec<String>) {
    let ending = source.path.rsplit('.').next().unwrap_or_default();
    if !TEXT.contains(&ending) && source.path != "x" {
        return;
    }
    for (index, line) in source.text.lines().enumerate() {
        let at = format!("{}:{}", source.path, index + 1);
        if line.ends_with([' ', '\t']) {
            broken.push(format!("{at}: white space at the end of the line"));
        }
        // Put together here, so that this file does not break its own rule.
        for word in [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()] {
            if has_word(line, &word) {
                broken.push(format!("{at}: `{word}`: do it, or open an issue"));
            }
        }
    }
}

/// What a file of Rust must and must not have.
fn rust(source: &Source, broken: &mut Vec<String>) {
    if !source.is_rust() {
        return;
    }
    if !begins_with_purpose(&source.text) {
        broken.push(format!("{}: does not begin with `//!` and what it is for", source.path));
    }
    let lines = source.without_tests().lines().count();
    if !source.is_test() && lines > FILE_LINES {
        broken.push(format!("{}: {lines} lines, {FILE_LINES} are a sitting", source.path));
    }
    if ["machine", "guests"].contains(&source.room()) {
        return;
    }
    for (index, line) in source.code().lines().enumerate() {
        let entry = source.room() == "hypervisor" && line.contains("unsafe(no_mangle)");
        if has_word(line, "unsafe") && !entry {
            broken.push(format!("{}:{}: unsafe code lives in `machine`", source.path, index + 1));
        }
    }
}

/// Whether `//!` is the first thing in a file, behind attributes of the whole file.
fn begins_with_purpose(text: &str) -> bool {
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if inside || line.starts_with("#![") {
            inside = !line.ends_with(']');
        } else if !line.is_empty() {
            return line.starts_with("//! ");
        }
    }
    false
}

fn architecture(sources: &[Source], broken: &mut Vec<String>) {
    let names_it = |source: &&Source| {
        source.is_rust() && IMAGE.contains(&source.room()) && !source.is_test() && {
            let code = source.code();
            has_word(&code, "target_arch") || has_word(&code, "target_os")
        }
    };
    let files: Vec<&str> = sources.iter().filter(names_it).map(|source| source.path.as_str()).collect();
    if files.len() > CFG_FILES {
        let count = files.len();
        broken.push(format!("{count} files name the architecture, {CFG_FILES} may: {}", files.join(", ")));
    }
}

/// `docs/unsafe.md` names exactly the files of `machine` that have unsafe code.
fn unsafe_areas(sources: &[Source], broken: &mut Vec<String>) {
    let opened = |source: &&Source| {
        source.is_rust() && source.room() == "machine" && source.text.contains("expect(unsafe_code")
            || source.room() == "machine" && source.text.contains("expect(\n    unsafe_code")
    };
    let areas: BTreeSet<&str> = sources.iter().filter(opened).map(|source| source.path.as_str()).collect();
    let book = sources.iter().find(|source| source.path == "docs/unsafe.md");
    let listed: BTreeSet<&str> = book.map_or_else(BTreeSet::new, |book| {
        let words =
            book.text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"/._-".contains(letter));
        words.filter(|word| word.starts_with("machine/") && word.ends_with(".rs")).collect()
    });
    for area in areas.difference(&listed) {
        broken.push(format!("docs/unsafe.md: lacks {area}, which has unsafe code"));
    }
    for area in listed.difference(&areas) {
        broken.push(format!("docs/unsafe.md: lists {area}, which has no unsafe code"));
    }
}

fn size(sources: &[Source], broken: &mut Vec<String>) {
    let image = sources.iter().filter(|source| source.is_rust() && IMAGE.contains(&source.room()));
    let image = image.filter(|source| source.room() != "abi");
    let code = image.filter(|source| !source.is_test() && !is_simulated(source)).map(Source::code);
    let lines: usize = code.map(|code| code.lines().filter(|line| !line.trim().is_empty()).count()).sum();
    eprintln!("x: the image has {lines} lines of code ({IMAGE_LINES} at most)");
    if lines > IMAGE_LINES {
        broken.push(format!("the image has {lines} lines of code, {IMAGE_LINES} at most"));
    }
}

/// Whether a file belongs to the simulated machine, which exists on hosts only and is in no image.
fn is_simulated(source: &Source) -> bool {
    source.path == "machine/src/sim.rs" || source.path.starts_with("machine/src/sim/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn an_edge_that_the_architecture_does_not_have_is_found() {
        let mut broken = Vec::new();
        let text = "[lints]\nworkspace = true\n[dependencies]\nmachine.workspace = true\n";
        manifest(&source("plan/Cargo.toml", text), &mut broken);
        assert_eq!(broken, ["plan/Cargo.toml:4: `plan` must not depend on `machine`"]);
        broken.clear();
        manifest(&source("hypervisor/Cargo.toml", text), &mut broken);
        assert!(broken.is_empty(), "{broken:?}");
    }

    #[test]
    fn unsafe_code_outside_of_machine_is_found_and_its_lint_is_not() {
        let mut broken = Vec::new();
        rust(
            &source("plan/src/a.rs", "//! A.\n#![forbid(unsafe_code)]\nfn f() { unsafe { g() } }\n"),
            &mut broken,
        );
        assert_eq!(broken, ["plan/src/a.rs:3: unsafe code lives in `machine`"]);
    }

    #[test]
    fn a_purpose_may_stand_behind_attributes_of_the_file() {
        assert!(begins_with_purpose("#![cfg_attr(\n    not(test),\n    no_std\n)]\n//! Purpose.\n"));
        assert!(!begins_with_purpose("use core::fmt;\n//! Late.\n"));
    }

    #[test]
    fn the_list_of_unsafe_areas_must_be_complete_and_no_longer_than_that() {
        let sources = [
            source("docs/unsafe.md", "`machine/src/old.rs`: gone"),
            source("machine/src/new.rs", "#![expect(unsafe_code, reason = \"r\")]"),
        ];
        let mut broken = Vec::new();
        unsafe_areas(&sources, &mut broken);
        assert_eq!(broken.len(), 2, "{broken:?}");
    }
}
