//! `xenite`, the owner's tool on the desk: says what a hypervisor would make of a device tree, before any
//! board is involved.
//!
//! It runs the very code that runs at boot (`plan`), so it refuses in the same words. What only a board
//! knows is assumed (see `desk`), and the assumptions are printed.
//!
//! Exit status: 0 good, 1 refused, 2 wrong usage or a file that cannot be read.

mod desk;
mod picture;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use desk::Desk;

/// The owner's tool for Xenite systems.
#[derive(Debug, Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what is wrong or odd about a system
    Check(System),
    /// Show who gets which memory
    Plan(System),
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
}

fn main() -> ExitCode {
    let command = Command::parse();
    let (Action::Check(system) | Action::Plan(system)) = &command.action;
    let desk = match Desk::load(&system.system, system.image_at, system.tree_at) {
        Ok(desk) => desk,
        Err(error) => {
            eprintln!("xenite: {}: {error}", system.system.display());
            return ExitCode::from(2);
        }
    };
    let findings = plan::examine(&desk.input());
    for refusal in &findings.refusals {
        println!("refused: {refusal}");
    }
    for warning in &findings.warnings {
        println!("warning: {warning}");
    }
    let Some(plan) = &findings.plan else {
        println!("refused: {} faults, {} warnings", findings.refusals.len(), findings.warnings.len());
        return ExitCode::FAILURE;
    };
    match command.action {
        Action::Check(_) => {
            println!("good: {} domains, {} warnings", plan.domains.len(), plan.warnings.len());
        }
        Action::Plan(_) => print!("{}", picture::draw(plan, &desk)),
    }
    ExitCode::SUCCESS
}
