//! `cargo xtask`, which `./x` calls: every command of the project.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, shows and tests Xenite.
#[derive(Parser)]
#[command(name = "x", bin_name = "./x", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Subcommand)]
enum Commands {
    /// Builds the image: target/xenite-arm64.img, and target/xenite-arm64.elf with symbols.
    Build,
    /// Boots two Debian kernels side by side and leaves you at their console.
    Demo(xtask::demo::Options),
    /// Boots a system of your choice and leaves you at its console.
    Run(xtask::run::Options),
    /// Runs all tests and checks; the last line counts them.
    Test(xtask::test::Options),
    /// Measures Debian's Xen and Xenite with the same guests, in instructions.
    Bench(xtask::bench::Options),
    /// Checks the code without running it: fmt, clippy, tidy and the places that could stop the hypervisor.
    Check,
    /// Checks the rules of the house that neither compiler nor clippy knows.
    Tidy,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Commands::Build => xtask::image::build().map(|_| ()),
        Commands::Demo(options) => xtask::demo::run(&options),
        Commands::Run(options) => xtask::run::run(&options),
        Commands::Test(options) => xtask::test::run(&options),
        Commands::Bench(options) => xtask::bench::run(&options),
        Commands::Check => xtask::check::run(),
        Commands::Tidy => xtask::tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("x: {error:#}");
            ExitCode::FAILURE
        }
    }
}
