//! What must be said of the trees in this folder: it stands in the head of each file, word for word, behind a line on
//! what is wrong. `…` stands for figures that depend on how the image was built.
//!
//! Two tests share this file: that of the tool on the desk, and that of the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the trees have a partial device tree, and its size.
pub(crate) const PARTIAL_AT: u64 = 0x4d00_0000;
const PARTIAL_BYTES: &str = "0x1000";

/// The trees of a folder, by their names.
pub(crate) fn trees(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut trees: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    trees.retain(|path| path.extension().is_some_and(|extension| extension == "dts"));
    trees.sort();
    trees
}

/// The partial device tree that goes with a tree, made into a file of a folder; `None` where there is none.
pub(crate) fn partial(tree: &Path, folder: &Path) -> Option<PathBuf> {
    let name = tree.file_name().expect("a tree has a name");
    let source = tree.with_file_name("partial").join(name);
    let blob = folder.join(name).with_extension("partial.dtb");
    let mut make = Command::new("dtc");
    // Some are wrong on purpose.
    make.args(["-q", "-f", "-S", PARTIAL_BYTES, "-I", "dts", "-O", "dtb", "-o"]).arg(&blob).arg(&source);
    source.exists().then(|| {
        assert!(make.output().is_ok_and(|output| output.status.success()), "{}", source.display());
        blob
    })
}

/// All that is to be said with a word such as `refused`, each with its hint on a line of its own.
pub(crate) fn remarks(source: &str, word: &str) -> Vec<String> {
    let head = source.lines().map_while(|line| line.strip_prefix("// "));
    let mut remarks: Vec<String> = Vec::new();
    for line in head.skip(1) {
        match (line.strip_prefix(word).and_then(|rest| rest.strip_prefix(": ")), remarks.last_mut()) {
            (Some(words), _) => remarks.push(words.to_owned()),
            (None, Some(last)) if line.starts_with("    ") => *last += &format!("\n{line}"),
            _ => {}
        }
    }
    remarks
}

/// Whether each text is what is expected, in this order.
pub(crate) fn agree(expected: &[String], said: &[String]) -> bool {
    expected.len() == said.len() && expected.iter().zip(said).all(|(expected, said)| is_like(expected, said))
}

/// Whether a text is another in which `…` stands for anything.
fn is_like(expected: &str, said: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|first| said.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

#[test]
fn an_ellipsis_stands_for_anything() {
    assert!(
        is_like("a … c", "a b c") && is_like("a…", "abc") && is_like("abc", "abc") && is_like("…c", "abc")
    );
    assert!(
        !is_like("a … c", "a b d")
            && !is_like("ab", "abc")
            && !is_like("a…b", "abc")
            && !is_like("b…", "abc")
    );
}
