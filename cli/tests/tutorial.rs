//! The tutorial of `docs/static-configuration.md`, followed word by word as far as a desk goes: what it says to type is typed, what it
//! says to write is written, and what it says that one will see is compared, but for figures.
//!
//! Files that are built or fetched elsewhere have stand-ins, and so have `./x demo`, `cargo install` and a QEMU that would boot:
//! `xenite run` prints its command instead. Without QEMU, whose tree is the board's, there is nothing to follow.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a block of the page is for.
#[derive(Debug)]
enum Step<'p> {
    /// Commands.
    Type(&'p str),
    /// A piece of `system.toml`.
    Write(&'p str),
    /// A command, and what it says.
    See(&'p str, &'p str),
}

/// The steps of the tutorial, in order.
fn steps(page: &str) -> Vec<Step<'_>> {
    let start = page.find("## From a board tree to a running system").unwrap();
    let end = page.find("## The description").unwrap();
    let mut steps = Vec::new();
    // Text and blocks take turns.
    for block in page[start..end].split("\n```").skip(1).step_by(2) {
        let (kind, body) = block.split_once('\n').unwrap();
        match (kind, body.strip_prefix("$ ")) {
            ("sh", _) => steps.push(Step::Type(body)),
            ("toml", _) => steps.push(Step::Write(body)),
            (_, Some(seen)) => {
                let (command, said) = seen.split_once('\n').unwrap();
                steps.push(Step::See(command, said));
            }
            _ => {}
        }
    }
    steps
}

/// A home with a clone of the repository that has what the tutorial takes from it, and programs in place of others.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial");
        let _ = std::fs::remove_dir_all(&home);
        let program = |name: &str, text: &str| {
            let file = home.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
            let made = Command::new("chmod").arg("+x").arg(&file).status().unwrap();
            assert!(made.success());
        };
        program("xenite/x", "[ \"$*\" = \"demo --headless\" ]");
        program("bin/cargo", "[ \"$*\" = \"install --path cli\" ]");
        let xenite = env!("CARGO_BIN_EXE_xenite");
        let run = "case \"$*\" in run*--print | [!r]*) ;; *) set -- \"$@\" --print ;; esac";
        program("bin/xenite", &format!("{run}\nexec {xenite} \"$@\""));
        for (name, bytes) in [("xenite-arm64.img", 0x7_0000), ("packages/linux-6.1/file", 0x12_3456)] {
            let file = home.join("xenite/target").join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, image(bytes)).unwrap();
        }
        std::fs::write(home.join("xenite/target/initrd.gz"), [0x5a; 5000]).unwrap();
        std::fs::create_dir_all(home.join("xenite/cli")).unwrap();
        Self(home)
    }

    /// Types commands in the folder of the tutorial, or at home as long as there is none.
    fn shell(&self, commands: &str) -> (bool, String) {
        let folder = self.0.join("house");
        let mut shell = Command::new("sh");
        shell.args(["-ec", commands]).current_dir(if folder.exists() { &folder } else { &self.0 });
        let path = format!("{}:{}", self.0.join("bin").display(), std::env::var("PATH").unwrap());
        let output = shell.env("HOME", &self.0).env("PATH", path).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.success(), said.concat())
    }
}

/// An arm64 Image of so many bytes.
fn image(bytes: usize) -> Vec<u8> {
    let mut image = vec![0; bytes];
    image[16..24].copy_from_slice(&u64::try_from(bytes).unwrap().to_le_bytes());
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    image
}

/// A text without its figures, since stand-ins have other sizes.
fn without_figures(text: &str) -> String {
    let words =
        text.split_whitespace().map(|word| if word.starts_with(char::is_numeric) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_tutorial_can_be_followed_word_by_word() {
    if Command::new("qemu-system-aarch64").arg("--version").output().is_err() {
        return;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/static-configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let steps = steps(&page);
    assert!(steps.len() >= 16, "the page has only {} steps", steps.len());
    let home = Home::new();
    let system = home.0.join("house/system.toml");
    let mut description = String::new();
    for step in &steps {
        match step {
            Step::Type(commands) => {
                let (went_well, said) = home.shell(commands);
                assert!(went_well, "{commands}\n{said}");
            }
            Step::Write(piece) => {
                description = std::fs::read_to_string(&system).unwrap_or_default();
                description.push('\n');
                description.push_str(piece);
                std::fs::write(&system, &description).unwrap();
            }
            Step::See(command, expected) => {
                // What is shown of a description that was spoilt has a text of its own.
                let (went_well, said) = home.shell(command);
                assert!(went_well, "{command}\n{said}");
                assert_eq!(without_figures(&said), without_figures(expected), "{command}");
            }
        }
    }
    assert!(description.contains("[[shared-memory]]") && description.contains("[[pool]]"), "{description}");
    let readme = std::fs::read_to_string(home.0.join("house/packed/README.txt")).unwrap();
    let line = readme.lines().find(|line| line.contains("control at 0x100000000, sensors at ")).unwrap();
    let (host, sensors) = line.trim().trim_start_matches("host ").split_once("..").unwrap();
    assert!(sensors.ends_with(&format!("sensors at {host}")), "{line}");
    for name in ["packed/boot/boot.scr", "packed/flash.img", "plan.txt", "house.svg"] {
        assert!(home.0.join("house").join(name).exists(), "{name} was not made");
    }
}

#[test]
fn the_example_of_the_book_is_the_tutorials_first_description() {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = std::fs::read_to_string(documents.join("static-configuration.md")).unwrap();
    let example = std::fs::read_to_string(documents.join("examples/pack/two-guests.toml")).unwrap();
    let steps = steps(&page);
    let first = steps.iter().find_map(|step| if let Step::Write(piece) = step { Some(*piece) } else { None });
    let (_, example) = example.split_once("\n\n").unwrap();
    assert_eq!(first.unwrap().trim(), example.trim());
}
