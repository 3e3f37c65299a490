//! What the tool says of itself: shell completions and manual pages, made of the very definition of its commands.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;

/// Below the help of the whole.
pub(crate) const EXAMPLES: &str = "\
Examples:
  xenite check system.dts
  xenite plan system.dts --svg system.svg
  xenite guest-tree system.dts domU1
  xenite pack system.toml -o packed
  xenite run packed

Exit status: 0 good, 1 refused, 2 wrong usage or a file that cannot be read.";

/// Below the help of `check`.
pub(crate) const CHECK: &str = "\
Examples:
  xenite check system.dts                       refusals and warnings with the lines of the source
  xenite check chosen.dts --board virt.dtb      domains alone, over the board's tree
  xenite check system.dts --memory 2G --json    with other RAM, for programs
  xenite check system.dtb --image-at 0x40200000 --tree-at 0x48000000";

/// Below the help of `plan`.
pub(crate) const PLAN: &str = "\
Examples:
  xenite plan system.dts                       who owns what, as text
  xenite plan system.dts --json | jq .memory   the same for programs
  xenite plan system.dts --svg system.svg      the same as a picture

With the image, the modules and the places at which a loader puts them, the plan is the board's to the last byte, and
its fingerprint is the one that boot prints:
  xenite plan system.dtb --tree-at 0x48000000 --image xenite-arm64.img \\
      --module 0x4a000000=linux.img --module 0x4c000000=initrd.gz";

/// Below the help of `guest-tree`.
pub(crate) const GUEST_TREE: &str = "\
Examples:
  xenite guest-tree system.dts domU1
  xenite guest-tree system.dts 0 -o dom0.dts
  xenite guest-tree system.dts 2 --dtb -o guest.dtb";

/// Below the help of `completions`.
pub(crate) const COMPLETIONS: &str = "\
Examples:
  xenite completions bash > ~/.local/share/bash-completion/completions/xenite
  xenite completions fish > ~/.config/fish/completions/xenite.fish
  xenite completions zsh > ~/.zfunc/_xenite";

/// Below the help of `manual`.
pub(crate) const MANUAL: &str = "\
Examples:
  xenite manual | man -l -
  xenite manual -o ~/.local/share/man/man1";

/// Where manual pages go.
#[derive(Debug, Args)]
pub(crate) struct Pages {
    /// Write a page for each command into this folder: xenite.1, xenite-check.1, ... [default: the tool's own page, to
    /// standard output]
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// Prints what a shell must know to complete the tool's words.
pub(crate) fn complete(shell: Shell, mut command: clap::Command) {
    clap_complete::generate(shell, &mut command, "xenite", &mut std::io::stdout());
}

impl Pages {
    /// Writes the pages.
    pub(crate) fn write(&self, command: clap::Command) -> Result<(), String> {
        match &self.output {
            None => clap_mangen::Man::new(command.disable_help_subcommand(true))
                .render(&mut std::io::stdout())
                .map_err(|error| error.to_string()),
            Some(folder) => all(folder, command),
        }
    }
}

fn all(folder: &Path, command: clap::Command) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command, folder).map_err(failed)
}
