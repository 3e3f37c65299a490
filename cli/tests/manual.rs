//! What the tool says of itself.

use std::path::PathBuf;
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
