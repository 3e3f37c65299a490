//! `xenite guest-tree` as its users call it, on the examples of the documents. Whether a guest finds the same is asked
//! of a guest, in the tests of whole systems.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plan::fdt::{Fdt, Node};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(name)
}

fn guest_tree(system: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xenite"));
    command.arg("guest-tree").arg(example(system)).args(arguments).output().unwrap()
}

/// All of a tree, a line for each node and property.
fn flat(node: &Node<'_>, path: &str, into: &mut Vec<String>) {
    let path = format!("{path}/{}", node.name());
    into.push(path.clone());
    into.extend(node.properties().map(|property| format!("{path}:{} {:?}", property.name(), property.value)));
    node.children().for_each(|child| flat(&child, &path, into));
}

fn lines(blob: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    flat(&Fdt::open(blob).unwrap().root(), "", &mut lines);
    lines
}

#[test]
fn the_source_of_a_tree_is_compiled_to_the_same_tree() {
    for domain in ["0", "domU1", "2", "/chosen/domU3"] {
        let blob = guest_tree("mixed.dts", &[domain, "--dtb"]);
        assert!(blob.status.success(), "{}", String::from_utf8_lossy(&blob.stderr));
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guest.dts");
        let written = guest_tree("mixed.dts", &[domain, "-o", file.to_str().unwrap()]);
        assert!(written.status.success() && written.stdout.is_empty());
        let compiled =
            Command::new("dtc").args(["-q", "-I", "dts", "-O", "dtb"]).arg(&file).output().unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        assert_eq!(lines(&compiled.stdout), lines(&blob.stdout), "domain {domain}");
    }
}

#[test]
fn each_domain_has_its_own_tree() {
    let text = |domain| String::from_utf8(guest_tree("mixed.dts", &[domain]).stdout).unwrap();
    assert!(text("1").starts_with("/* What domain 1 (/chosen/domU1) finds at 0x48000000. */\n/dts-v1/;\n"));
    assert!(text("domU1").contains("cpu@1 {") && !text("domU2").contains("cpu@1 {"));
    assert!(text("0").contains("virtio_mmio@a000000 {") && !text("1").contains("virtio"));
    assert!(text("3").contains("memory@b8000000 {"));
}

#[test]
fn a_domain_that_is_not_there_is_named_beside_those_that_are() {
    let output = guest_tree("demo.dts", &["domU7"]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors
            .ends_with("xenite: there is no domain domU7; there are 1 (/chosen/domU1), 2 (/chosen/domU2)\n"),
        "{errors}"
    );
    assert_eq!(guest_tree("demo.dts", &["1", "-o", "/nowhere/tree.dts"]).status.code(), Some(2));
}
