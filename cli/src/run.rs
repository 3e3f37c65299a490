//! `xenite run`: boots a packed system in QEMU, with the machine's console on ours.
//!
//! `run.toml` in the system's folder says how; QEMU takes this program's place, in that folder.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use serde::{Deserialize, Serialize};

/// The file that says how.
pub(crate) const RUN: &str = "run.toml";
/// Debian's U-Boot for this machine (package u-boot-qemu).
const U_BOOT: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";
/// The console; every key goes to the machine but QEMU's own escape, Ctrl-].
const CONSOLE: [&str; 8] = [
    "-chardev",
    "stdio,id=console,mux=on,signal=off",
    "-serial",
    "chardev:console",
    "-mon",
    "chardev=console",
    "-echr",
    "0x1d",
];

/// Boot a packed system in QEMU
#[derive(Debug, Args)]
#[command(
    after_help = "Every key goes to the machine. Ctrl-A three times moves the keyboard to the next console; Ctrl-] then x ends \
the machine.\n\nExamples:\n  xenite run packed\n  xenite run packed --uboot\n  xenite run packed --print"
)]
pub(crate) struct Run {
    /// The folder that `xenite pack` has made
    folder: PathBuf,
    /// Boot by U-Boot's `booti`, from a disk with the files [default image: Debian's u-boot-qemu]
    #[arg(long, value_name = "IMAGE", num_args = 0..=1, require_equals = true, default_missing_value = U_BOOT)]
    uboot: Option<String>,
    /// Boot the raw image, as flash that the processor starts in
    #[arg(long, conflicts_with = "uboot")]
    flash: bool,
    /// Print the command and run nothing
    #[arg(long)]
    print: bool,
}

/// What `run.toml` holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Running {
    /// What the pack consists of.
    pub(crate) files: Vec<String>,
    /// How QEMU plays it; absent for a board that QEMU does not play.
    pub(crate) qemu: Option<Qemu>,
}

/// QEMU's words.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Qemu {
    pub(crate) program: String,
    pub(crate) machine: Vec<String>,
    /// The files by QEMU's loader.
    pub(crate) direct: Vec<String>,
    /// The files on a disk.
    pub(crate) u_boot: Vec<String>,
    /// The raw image.
    pub(crate) flash: Vec<String>,
}

impl Running {
    /// Reads a folder's `run.toml`.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(RUN);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {}", path.display(), error.message()))
    }

    /// As a file.
    pub(crate) fn to_text(&self) -> String {
        let body = toml::to_string(self).unwrap_or_default();
        format!("# Made by `xenite pack`; `xenite run` reads it.\n{body}")
    }
}

impl Qemu {
    /// The words behind the program's name.
    fn words<'w>(&'w self, way: &[&'w str]) -> Vec<&'w str> {
        self.machine.iter().map(String::as_str).chain(way.iter().copied()).chain(CONSOLE).collect()
    }

    /// A script that does what `xenite run` does.
    pub(crate) fn shell(&self) -> String {
        let join = |words: &[&str]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let texts = |words: &[String]| join(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let mut text = String::from(
            "#!/bin/sh\n# Made by `xenite pack`: boots the system, by U-Boot with --uboot, from flash with --flash.\n",
        );
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "cd \"$(dirname \"$0\")\" || exit\n\
             case \"${{1-}}\" in\n\
             --uboot) set -- -bios {U_BOOT} {} ;;\n\
             --flash) set -- {} ;;\n\
             '') set -- {} ;;\n\
             *) echo \"usage: $0 [--uboot | --flash]\" >&2; exit 2 ;;\n\
             esac\n\
             exec {} {} \"$@\" {}\n",
            texts(&self.u_boot),
            texts(&self.flash),
            texts(&self.direct),
            quoted(&self.program),
            texts(&self.machine),
            join(&CONSOLE),
        );
        text
    }
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=.,/:@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Boots.
pub(crate) fn run(options: &Run) -> ExitCode {
    match start(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenite: {error}");
            ExitCode::from(2)
        }
    }
}

fn start(options: &Run) -> Result<(), String> {
    let running = Running::read(&options.folder)?;
    let qemu = running
        .qemu
        .ok_or("this system is for a board that QEMU does not play; README.txt there says how to load it")?;
    let mut way: Vec<&str> = Vec::new();
    match &options.uboot {
        Some(image) => {
            way.extend(["-bios", image.as_str()]);
            way.extend(qemu.u_boot.iter().map(String::as_str));
        }
        None if options.flash => way.extend(qemu.flash.iter().map(String::as_str)),
        None => way.extend(qemu.direct.iter().map(String::as_str)),
    }
    let words = qemu.words(&way);
    if options.print {
        let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        println!(
            "cd {} && {} {}",
            quoted(&options.folder.to_string_lossy()),
            quoted(&qemu.program),
            line.join(" ")
        );
        return Ok(());
    }
    let error = Command::new(&qemu.program).args(words).current_dir(&options.folder).exec();
    Err(format!("cannot start {}: {error}", qemu.program))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_in_them() {
        assert_eq!(quoted("-device"), "-device");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
