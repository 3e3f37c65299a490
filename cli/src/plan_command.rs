//! `xenite plan`: what boot will do, as text, as JSON, and as a picture.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use plan::Plan;

use crate::desk::Desk;
use crate::picture;
use crate::plan_ledger::Ledger;
use crate::plan_text;

/// How the plan is told.
#[derive(Debug, Args)]
pub(crate) struct Form {
    /// Print JSON in place of text; docs/plan.schema.json says what is in it
    #[arg(long)]
    json: bool,
    /// Draw a picture into this file, and print nothing but warnings
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    svg: Option<PathBuf>,
}

impl Form {
    /// Standard output is for a program: nothing but the plan may go there.
    pub(crate) const fn is_for_programs(&self) -> bool {
        self.json
    }

    /// Tells a plan.
    pub(crate) fn tell(&self, plan: &Plan, desk: &Desk, system: &Path) -> Result<(), String> {
        let name = system.file_name().map_or_else(|| system.to_string_lossy(), |name| name.to_string_lossy());
        let ledger = Ledger::new(plan, desk, &name);
        if let Some(file) = &self.svg {
            let drawn = picture::draw(&ledger);
            return std::fs::write(file, drawn).map_err(|error| format!("{}: {error}", file.display()));
        }
        if self.json {
            let text = serde_json::to_string_pretty(&ledger).map_err(|error| error.to_string())?;
            print(format!("{text}\n").as_bytes())
        } else {
            print(plan_text::write(&ledger).as_bytes())
        }
    }
}

/// Writes to standard output; a reader that has seen enough and is gone is no fault.
pub(crate) fn print(bytes: &[u8]) -> Result<(), String> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schemars::schema_for;

    use crate::plan_ledger::Ledger;

    #[test]
    fn the_schema_in_the_documents_is_that_of_the_ledger() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/plan.schema.json");
        let schema = serde_json::to_string_pretty(&schema_for!(Ledger)).unwrap() + "\n";
        if std::env::var_os("XENITE_REWRITE").is_some() {
            std::fs::write(&path, &schema).unwrap();
        }
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            known == schema,
            "docs/plan.schema.json is old: XENITE_REWRITE=1 cargo test -p xenite writes it"
        );
    }
}
