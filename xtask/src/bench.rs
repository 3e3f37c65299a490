//! `./x bench`: the same guests under Debian's Xen, under Xenite and on the bare machine, with instructions as the clock.

pub mod measure;
pub mod results;
pub mod scenarios;

use anyhow::Result;
use clap::Args;

use scenarios::{SCENARIOS, Stage, Subject};

/// What is measured.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The scenarios, by name.
    pub names: Vec<String>,
    /// More words for the guests.
    #[arg(long, default_value = "")]
    pub words: String,
    /// Measures Xenite alone.
    #[arg(long)]
    pub ours: bool,
}

/// Runs it.
///
/// # Errors
/// When something fails.
pub fn run(options: &Options) -> Result<()> {
    let stage = Stage::new(!options.ours)?;
    for scenario in
        SCENARIOS.iter().filter(|scenario| options.names.iter().any(|name| *name == scenario.name))
    {
        for subject in
            scenario.subjects.iter().filter(|scenario| !options.ours || **scenario == Subject::Xenite)
        {
            let started = std::time::Instant::now();
            match measure::measure(&stage, scenario, *subject, &options.words) {
                Ok(figures) => {
                    for (name, figure) in figures {
                        println!("{} {name} {} {} {}", subject.name(), figure.median, figure.min, figure.max);
                    }
                }
                Err(error) => println!("FAIL {error:#}"),
            }
            println!("# {} {} {:.1}s", scenario.name, subject.name(), started.elapsed().as_secs_f64());
        }
    }
    Ok(())
}
