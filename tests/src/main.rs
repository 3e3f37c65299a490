//! The runner of the system tests, which `./x test --system` calls.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match tests::runner::run(&tests::runner::Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}
