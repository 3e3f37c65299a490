//! `xenite check` and the tables of trees: `tests/wrong`, which boot refuses in the same words (`tests/src/wrong.rs`),
//! and `tests/odd`, which it would boot.

use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../tests/wrong/expected.rs"]
mod expected;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Checks a tree over QEMU's board and gives the exit status and all remarks of a level, as boot would print them.
fn check(tree: &Path, level: &str) -> (i32, Vec<String>) {
    let board = repository().join("plan/tests/data/virt-gicv3.bin");
    let mut command = Command::new(env!("CARGO_BIN_EXE_xenite"));
    command.args(["check", "--json", "--tree-at", "0x48000000", "--board"]).arg(board).arg(tree);
    if let Some(partial) = expected::partial(tree, Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        command.arg("--module").arg(format!("{:#x}={}", expected::PARTIAL_AT, partial.display()));
    }
    let output = command.output().unwrap();
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}: {}", tree.display(), String::from_utf8_lossy(&output.stderr)));
    let text = |remark: &serde_json::Value, name: &str| remark[name].as_str().unwrap().to_owned();
    let said = |remark: &serde_json::Value| {
        let mut said = text(remark, "node");
        if said.is_empty() {
            said = "device tree".to_owned();
        }
        said += ": ";
        if level == "refused" && !text(remark, "property").is_empty() {
            said += &(text(remark, "property") + ": ");
        }
        said += &text(remark, "reason");
        let hint = text(remark, "hint");
        if hint.is_empty() { said } else { format!("{said}\n    hint: {hint}") }
    };
    let remarks = outcome["remarks"].as_array().unwrap().iter();
    let remarks = remarks.filter(|remark| remark["level"] == level).map(said).collect();
    (output.status.code().unwrap(), remarks)
}

/// Every tree of the folder must lead to the status and to exactly the remarks in its head.
fn check_all(folder: &str, level: &str, status: i32, least: usize) {
    if Command::new("dtc").arg("--version").output().is_err() {
        return;
    }
    let trees = expected::trees(&repository().join("tests").join(folder));
    assert!(trees.len() >= least, "there are only {} trees", trees.len());
    let mut faults = Vec::new();
    for tree in trees {
        let expected = expected::remarks(&std::fs::read_to_string(&tree).unwrap(), level);
        assert!(!expected.is_empty(), "{}: its head does not say what is expected", tree.display());
        let (found, said) = check(&tree, level);
        if found != status || !expected::agree(&expected, &said) {
            let (name, expected, said) = (tree.display(), expected.join("\n"), said.join("\n"));
            faults.push(format!("{name}: status {found}, expected\n{expected}\nsaid\n{said}\n"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_wrong_tree_is_refused_word_for_word() {
    check_all("wrong", "refused", 1, 160);
}

#[test]
fn every_odd_tree_is_warned_of_word_for_word() {
    check_all("odd", "warning", 0, 15);
}

#[test]
fn the_good_system_beneath_them_is_good() {
    if Command::new("dtc").arg("--version").output().is_err() {
        return;
    }
    let good = std::fs::read_to_string(repository().join("tests/wrong/good.dtsi")).unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("good.dts");
    std::fs::write(&path, format!("/dts-v1/;\n{good}")).unwrap();
    assert_eq!(check(&path, "warning"), (0, Vec::new()));
    assert_eq!(check(&path, "refused"), (0, Vec::new()));
}
