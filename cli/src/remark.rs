//! What `xenite check` has to say, as data: what `--json` writes and `docs/check.schema.json` describes.

use plan::{Place, Refusal, Warning};
use schemars::JsonSchema;
use serde::Serialize;

use crate::source::Spots;

/// The version of the form.
pub(crate) const FORMAT: u32 = 1;

/// The outcome of a check.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outcome {
    /// The version of this form: 1. It changes when a field changes its meaning or goes.
    pub(crate) format: u32,
    /// Name and version of the tool.
    pub(crate) tool: String,
    /// The system's file, as it was given.
    pub(crate) system: String,
    /// The board's file, if one was given.
    pub(crate) board: Option<String>,
    pub(crate) verdict: Verdict,
    /// How many domains boot would make, dom0 included; null if the system is refused.
    pub(crate) domains: Option<usize>,
    /// What only a board knows and is assumed here.
    pub(crate) assumed: String,
    /// Refusals first, then warnings, then notes.
    pub(crate) remarks: Vec<Remark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// Boot would do all of it.
    Good,
    /// Boot would stop before any guest runs.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Boot stops for it; the words are the hypervisor's.
    Refused,
    /// Legal, but surely not meant.
    Warning,
    /// What was not looked at.
    Note,
}

/// One thing to say.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Remark {
    pub(crate) level: Level,
    /// Path of the node; empty where the tree as a whole is meant.
    pub(crate) node: String,
    /// The property; empty where the node as a whole is meant.
    pub(crate) property: String,
    /// What is wrong.
    pub(crate) reason: String,
    /// What would be right; may be empty.
    pub(crate) hint: String,
    /// The other side of a contradiction.
    pub(crate) other: Option<Side>,
    /// Where the property, or else its node, stands; null without a source.
    pub(crate) place: Option<Position>,
    /// The line that the hypervisor would print.
    #[serde(skip)]
    pub(crate) title: String,
}

/// The other side of a contradiction.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Side {
    /// Path of the node.
    pub(crate) node: String,
    /// The property; empty where the node as a whole is meant.
    pub(crate) property: String,
    /// Where it stands; null without a source.
    pub(crate) place: Option<Position>,
}

/// A place in a source file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Position {
    pub(crate) file: String,
    /// The first line, from 1.
    pub(crate) line: usize,
    /// The first column, in bytes, from 1.
    pub(crate) column: usize,
    /// The last line.
    pub(crate) end_line: usize,
    /// The column behind the last byte.
    pub(crate) end_column: usize,
}

fn position(spots: &Spots, node: &str, property: &str) -> Option<Position> {
    let (spot, _) = spots.find(node, real_property(spots, node, property))?;
    Some(Position {
        file: spot.file.display().to_string(),
        line: spot.start.0,
        column: spot.start.1,
        end_line: spot.end.0,
        end_column: spot.end.1,
    })
}

/// The property that carries what a complaint is about: an option of the command line stands in it.
pub(crate) fn real_property<'p>(spots: &Spots, node: &str, property: &'p str) -> &'p str {
    let is_there = |name: &&str| spots.find(node, name).is_some_and(|(_, exact)| exact);
    match property {
        "dom0_mem" => ["xen,xen-bootargs", "bootargs"].into_iter().find(is_there).unwrap_or(property),
        _ => property,
    }
}

impl Remark {
    /// A remark of the tool's own.
    pub(crate) fn new(level: Level, node: &str, property: &str, reason: String) -> Self {
        let head = if node.is_empty() { String::new() } else { format!("{node}: ") };
        Self {
            level,
            node: node.to_owned(),
            property: property.to_owned(),
            title: head + &reason,
            reason,
            hint: String::new(),
            other: None,
            place: None,
        }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    pub(crate) fn beside(self, node: &str, property: &str) -> Self {
        let other = Side { node: node.to_owned(), property: property.to_owned(), place: None };
        Self { other: Some(other), ..self }
    }

    pub(crate) fn of_refusal(refusal: &Refusal) -> Self {
        let bare = Refusal { hint: String::new(), ..refusal.clone() };
        let remark = Self::new(Level::Refused, &refusal.node, &refusal.property, refusal.reason.clone());
        let remark = Self { title: bare.to_string(), ..remark }.hint(&refusal.hint);
        match &refusal.other {
            Some(Place { node, property }) => remark.beside(node, property),
            None => remark,
        }
    }

    pub(crate) fn of_warning(warning: &Warning) -> Self {
        Self::new(Level::Warning, &warning.node, &warning.property, warning.text.clone())
    }

    /// The remark with the places of both sides.
    pub(crate) fn located(self, spots: &Spots) -> Self {
        let place = position(spots, &self.node, &self.property);
        let other =
            self.other.map(|side| Side { place: position(spots, &side.node, &side.property), ..side });
        Self { place, other, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    /// With `XENITE_WRITE_SCHEMA` in the environment the file is written instead.
    #[test]
    fn the_schema_in_the_documents_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/check.schema.json");
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Outcome)).unwrap() + "\n";
        if std::env::var_os("XENITE_WRITE_SCHEMA").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema);
    }
}
