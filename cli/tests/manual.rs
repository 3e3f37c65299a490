//! What the tool says of itself, and what the documents say of what it reads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn xenite(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_xenite")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that the tool's own help lists.
fn commands() -> Vec<String> {
    let help = xenite(&["--help"]);
    let (_, rest) = help.split_once("Commands:\n").unwrap();
    let (list, _) = rest.split_once("\n\n").unwrap();
    let names = list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    names.filter(|name| name != "help").collect()
}

#[test]
fn the_help_of_every_command_has_examples_that_call_it() {
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let help = xenite(&[&command, "--help"]);
        let (_, examples) =
            help.split_once("Examples:\n").unwrap_or_else(|| panic!("{command} has no examples"));
        assert!(examples.contains(&format!("xenite {command}")), "{examples}");
    }
}

#[test]
fn every_command_has_a_page_and_is_in_the_completions() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("man1");
    xenite(&["manual", "-o", folder.to_str().unwrap()]);
    let shells = ["bash", "elvish", "fish", "powershell", "zsh"].map(|shell| xenite(&["completions", shell]));
    for command in commands() {
        let page = std::fs::read_to_string(folder.join(format!("xenite-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains("Examples:"), "{page}");
        for words in &shells {
            assert!(words.contains(&command), "{command} in {words}");
        }
    }
    let page = xenite(&["manual"]);
    assert!(page.contains(".TH xenite 1"), "{page}");
    assert_eq!(page, std::fs::read_to_string(folder.join("xenite.1")).unwrap());
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_property_of_xen_or_ours_that_is_read_is_in_the_page_of_the_device_tree() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(repository.join("docs/device-tree.md")).unwrap();
    let mut names: BTreeSet<String> = plan::DOMAIN_PROPERTIES.iter().map(|name| (*name).to_owned()).collect();
    names.remove("linux,phandle");
    for file in files(&repository.join("plan/src")) {
        let text = std::fs::read_to_string(file).unwrap();
        let literals = text.split('"').skip(1).step_by(2);
        let is_name = |text: &&str| {
            ["xen,", "xenite,", "cpupool-", "domain-", "multiboot,"]
                .iter()
                .any(|start| text.starts_with(start))
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b",-".contains(&byte))
        };
        names.extend(literals.filter(is_name).map(str::to_owned));
    }
    assert!(names.len() > 40, "only {names:?} were found");
    let missing: Vec<&String> = names.iter().filter(|name| !page.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/device-tree.md does not have {missing:?}");
}
