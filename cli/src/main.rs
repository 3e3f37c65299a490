//! `xenite`, the owner's tool on the desk: says what a hypervisor would make of a device tree, before any
//! board is involved.
//!
//! It runs the very code that runs at boot (`plan`), so it refuses in the same words. What only a board
//! knows is assumed (see `desk`), and the assumptions are printed.
//!
//! Exit status: 0 good, 1 refused, 2 wrong usage or a file that cannot be read.

mod advice;
mod check;
mod desk;
mod diagnose;
mod guest_tree;
mod manual;
mod pack;
mod picture;
mod plan_command;
mod plan_desk;
mod plan_devices;
mod plan_ledger;
mod plan_memory;
mod plan_text;
mod ram;
mod remark;
mod reserved;
mod run;
mod source;
mod svg;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use desk::Desk;

/// The owner's tool for Xenite systems.
#[derive(Debug, Parser)]
#[command(version, after_help = manual::EXAMPLES)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what is wrong or odd about a system
    #[command(after_help = manual::CHECK)]
    Check(check::Arguments),
    /// Show what boot will do: as text, as JSON, or as a picture
    #[command(after_help = manual::PLAN)]
    Plan {
        #[command(flatten)]
        system: System,
        #[command(flatten)]
        form: plan_command::Form,
    },
    /// Write the device tree that a domain will get
    #[command(after_help = manual::GUEST_TREE)]
    GuestTree {
        #[command(flatten)]
        system: System,
        #[command(flatten)]
        wanted: guest_tree::Wanted,
    },
    /// Print what a shell needs to complete this tool's words
    #[command(after_help = manual::COMPLETIONS)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write this tool's manual pages
    #[command(after_help = manual::MANUAL)]
    Manual(manual::Pages),
    Pack(pack::Pack),
    Run(run::Run),
}

/// A system: a host device tree with domains in /chosen.
#[derive(Debug, Args)]
struct System {
    /// The tree: a .dtb, or a .dts (dtc compiles it)
    system: PathBuf,
    /// Where the hypervisor's image will lie [default: 2 MiB above the start of RAM]
    #[arg(long, value_name = "ADDRESS", value_parser = desk::number)]
    image_at: Option<u64>,
    /// Where the device tree will lie [default: nowhere that matters]
    #[arg(long, value_name = "ADDRESS", value_parser = desk::number)]
    tree_at: Option<u64>,
    #[command(flatten)]
    known: plan_desk::Known,
}

fn main() -> ExitCode {
    let command = Command::parse();
    let system = match &command.action {
        Action::Check(arguments) => return check::run(arguments),
        Action::Plan { system, .. } | Action::GuestTree { system, .. } => system,
        Action::Completions { shell } => {
            manual::complete(*shell, Command::command());
            return ExitCode::SUCCESS;
        }
        Action::Pack(options) => return pack::run(options),
        Action::Run(options) => return run::run(options),
        Action::Manual(pages) => return ended(pages.write(Command::command())),
    };
    let desk = Desk::load(&system.system, system.image_at, system.tree_at);
    let desk = match desk.and_then(|desk| desk.knowing(&system.known)) {
        Ok(desk) => desk,
        Err(error) => {
            eprintln!("xenite: {}: {error}", system.system.display());
            return ExitCode::from(2);
        }
    };
    let findings = plan::examine(&desk.input());
    let say = |line: String| match &command.action {
        Action::GuestTree { .. } => eprintln!("{line}"),
        Action::Plan { form, .. } if form.is_for_programs() => eprintln!("{line}"),
        _ => println!("{line}"),
    };
    findings.refusals.iter().for_each(|refusal| say(format!("refused: {refusal}")));
    findings.warnings.iter().for_each(|warning| say(format!("warning: {warning}")));
    let Some(plan) = &findings.plan else {
        let (refusals, warnings) = (findings.refusals.len(), findings.warnings.len());
        say(format!("refused: {refusals} faults, {warnings} warnings"));
        return ExitCode::FAILURE;
    };
    match &command.action {
        Action::Plan { form, .. } => return ended(form.tell(plan, &desk, &system.system)),
        Action::GuestTree { wanted, .. } => return ended(wanted.write(plan)),
        _ => {}
    }
    ExitCode::SUCCESS
}

/// The end of a command that may not be able to write.
fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenite: {error}");
            ExitCode::from(2)
        }
    }
}
