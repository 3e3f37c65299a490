//! The trees of `tests/wrong` on the machine: boot must refuse each in the very words that stand in its head, in which
//! the tool on the desk refuses it, too (`cli/tests/table.rs`).
//!
//! One scenario for all: a boot that is refused takes a moment, and QEMU another.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xtask::qemu::Prepared;
use xtask::system::{Domain, Entry};
use xtask::{paths, tree};

use crate::boot::TINY;
use crate::{Scenario, Setup};

#[path = "../wrong/expected.rs"]
#[expect(clippy::expect_used, reason = "a folder of this repository that is missing is no outcome of a test")]
mod expected;

/// The kernel's size, as the trees have it.
const KERNEL_BYTES: usize = 0x10_0000;

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("refusal: a hundred wrong trees, word for word", all)]
}

fn all(setup: &Setup) -> Result<()> {
    let folder = paths::target().join("made").join("wrong");
    std::fs::create_dir_all(&folder)?;
    let wrong = paths::root().join("tests/wrong");
    for name in ["good.dtsi", "devices.dtsi"] {
        std::fs::copy(wrong.join(name), folder.join(name))?;
    }
    let board = paths::root().join("plan/tests/data/virt-gicv3.bin");
    let mut decompile = xtask::command::new("dtc");
    let board = xtask::command::output(decompile.args(["-q", "-I", "dtb", "-O", "dts"]).arg(&board))?;
    let kernel = kernel(&folder)?;
    let trees = expected::trees(&wrong);
    ensure!(trees.len() >= 160, "there are only {} wrong trees", trees.len());
    let mut faults = Vec::new();
    for tree in &trees {
        let name = tree.file_stem().unwrap_or_default().to_string_lossy();
        if let Err(error) = refuse(setup, (tree, &board), &kernel, &folder) {
            faults.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(faults.is_empty(), "{} of {} trees: {}", faults.len(), trees.len(), faults.join("\n"));
    Ok(())
}

/// A file that is an Image to whoever looks at its header, and is never started.
fn kernel(folder: &Path) -> Result<PathBuf> {
    let mut bytes = vec![0_u8; KERNEL_BYTES];
    bytes[16..24].copy_from_slice(&u64::try_from(KERNEL_BYTES)?.to_le_bytes());
    bytes[0x38..0x3c].copy_from_slice(b"ARM\x64");
    let file = folder.join("kernel");
    std::fs::write(&file, bytes)?;
    Ok(file)
}

fn refuse(setup: &Setup, (path, board): (&Path, &str), kernel: &Path, folder: &Path) -> Result<()> {
    let source = std::fs::read_to_string(path)?;
    let expected = expected::remarks(&source, "refused");
    ensure!(!expected.is_empty(), "its head does not say what is expected");
    let file = folder.join("tree.dtb");
    let merged = format!("{board}\n{}", source.replace("/dts-v1/;", ""));
    tree::compile(&merged, &folder.join("tree.dts"), &file)?;
    let mut system = setup.system();
    system.machine.memory_mib = 1024;
    // The kernel comes to lie where the trees have it; the tree is not the one that is made of this system.
    system.domains.push(Domain::plain(kernel.to_owned(), 1, 64));
    system.entry = Entry::BareWith(std::fs::read(&file)?);
    if let Some(partial) = expected::partial(path, folder) {
        let at = expected::PARTIAL_AT;
        let words = format!("loader,file={},addr={at:#x},force-raw=on", partial.display());
        system.machine.extra.extend(["-device".to_owned(), words]);
    }
    let mut machine = Prepared::new(&system)?.start()?;
    let end = machine.expect_line("Boot stops: ", TINY)?;
    let count = end.split(' ').next().unwrap_or_default().parse::<usize>().context("no number of errors")?;
    let said = said(&machine.output());
    ensure!(
        count == said.len() && expected::agree(&expected, &said),
        "expected\n{}\nbut {count} errors were said\n{}",
        expected.join("\n"),
        said.join("\n")
    );
    Ok(())
}

/// The refusals on the console, each with its hint.
fn said(output: &str) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for line in output.lines() {
        match (line.strip_prefix("(XEN) refused: "), said.last_mut()) {
            (Some(words), _) => said.push(words.to_owned()),
            (None, Some(last)) if line.starts_with("    hint: ") => *last += &format!("\n{line}"),
            _ => {}
        }
    }
    said
}
