//! `xenite check`: all that boot would refuse, and what is legal but surely not meant, each with the lines of the
//! source that it is about.
//!
//! The refusals are those of `plan`, which is the code that boots. What the tool adds: sources, a board or RAM of the
//! user's choice beneath the system, and advice (see `advice`) that would cost the image space at boot.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use plan::fdt::Fdt;

use crate::System;
use crate::advice;
use crate::desk::Desk;
use crate::diagnose::Printer;
use crate::ram::Ram;
use crate::remark::{FORMAT, Level, Outcome, Remark, Verdict};
use crate::reserved;
use crate::source::{Source, Spots};

/// What `xenite check` is told.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// The board's tree (.dtb or .dts); the system is laid over it and may hold only /chosen
    #[arg(long, value_name = "FILE")]
    board: Option<PathBuf>,
    /// The board's RAM in place of what the tree says: 2G, or banks as in 1G@0x40000000,1G@0x880000000
    #[arg(long, value_name = "SIZE")]
    memory: Option<Ram>,
    /// Write the outcome as JSON (docs/check.md has the form)
    #[arg(long)]
    json: bool,
}

/// Checks a system and says everything about it.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match examine(arguments) {
        Ok((outcome, spots)) => {
            if arguments.json {
                println!("{}", serde_json::to_string_pretty(&outcome).unwrap_or_default());
            } else {
                print(arguments, &outcome, &spots);
            }
            match outcome.verdict {
                Verdict::Good => ExitCode::SUCCESS,
                Verdict::Refused => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("xenite: {}: {error}", arguments.system.system.display());
            ExitCode::from(2)
        }
    }
}

fn examine(arguments: &Arguments) -> Result<(Outcome, Spots), String> {
    let system = &arguments.system;
    let Source { blob, spots } = Source::load(&system.system, arguments.board.as_deref())?;
    let blob = match &arguments.memory {
        Some(ram) => ram.put_into(&blob)?,
        None => blob,
    };
    let desk = Desk::of(blob, system.image_at, system.tree_at)?.knowing(&system.known)?;
    let findings = plan::examine(&desk.input());
    let mut remarks: Vec<Remark> = findings.refusals.iter().map(Remark::of_refusal).collect();
    let is_unseen = |warning: &&plan::Warning| warning.text == plan::UNSEEN;
    remarks.extend(findings.warnings.iter().filter(|warning| !is_unseen(warning)).map(|warning| {
        let remark = Remark::of_warning(warning);
        // What was not looked at is no fault.
        let is_note = warning.text == plan::UNSEEN_DEVICES;
        if is_note { Remark { level: Level::Note, ..remark }.hint("--module ADDRESS=FILE") } else { remark }
    }));
    if let Ok(fdt) = Fdt::open(desk.input().tree) {
        remarks = remarks.into_iter().map(|remark| reserved::named(&fdt, remark)).collect();
        advice::give(&fdt, findings.plan.as_ref(), &mut remarks);
    }
    let unseen = findings.warnings.iter().filter(is_unseen).count();
    if unseen > 0 {
        let text = format!("{} {}", counted(unseen, "kernel"), plan::UNSEEN);
        remarks.push(Remark::new(Level::Note, "", "", text));
    }
    let outcome = Outcome {
        format: FORMAT,
        tool: format!("xenite {}", env!("CARGO_PKG_VERSION")),
        system: system.system.display().to_string(),
        board: arguments.board.as_ref().map(|board| board.display().to_string()),
        verdict: if findings.plan.is_some() { Verdict::Good } else { Verdict::Refused },
        domains: findings.plan.as_ref().map(|plan| plan.domains.len()),
        assumed: desk.assumptions(),
        remarks: remarks.into_iter().map(|remark| remark.located(&spots)).collect(),
    };
    Ok((outcome, spots))
}

fn print(arguments: &Arguments, outcome: &Outcome, spots: &Spots) {
    let with_colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let system = arguments.system.system.as_path();
    let files = [system, arguments.board.as_deref().unwrap_or(system)];
    let mut printer = Printer::new(files, spots, with_colours);
    for remark in &outcome.remarks {
        println!("{}\n", printer.text(remark));
    }
    println!("{}", outcome.assumed);
    let count = |level| outcome.remarks.iter().filter(|remark| remark.level == level).count();
    let warnings = count(Level::Warning);
    match outcome.domains {
        Some(domains) => println!("good: {}, {}", counted(domains, "domain"), counted(warnings, "warning")),
        None => {
            let faults = count(Level::Refused);
            println!("refused: {}, {}", counted(faults, "fault"), counted(warnings, "warning"));
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
