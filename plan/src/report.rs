//! What is said about a tree: refusals, which stop boot, and warnings, which do not.
//!
//! The reading goes on behind a fault wherever it can, so that one look shows all of them. Lists are bounded;
//! a tree with more faults than that learns about the rest when the first are mended.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::shape::Warning;

/// Most refusals, and most warnings, that are kept.
pub const MOST_REMARKS: usize = 64;

/// Why boot stops: which node, which property, what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Path of the node; empty where the fault is in the tree as a whole.
    pub node: String,
    /// The property; empty where the fault is in the node as a whole.
    pub property: String,
    /// What is wrong.
    pub reason: String,
    /// What would be right; may be empty.
    pub hint: String,
    /// The other side, where two places of the tree contradict each other.
    pub other: Option<Place>,
}

/// A place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Path of the node.
    pub node: String,
    /// The property; empty where the node as a whole is meant.
    pub property: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = if self.node.is_empty() { "device tree" } else { self.node.as_str() };
        write!(out, "{node}: ")?;
        if !self.property.is_empty() {
            write!(out, "{}: ", self.property)?;
        }
        write!(out, "{}", self.reason)?;
        if self.hint.is_empty() { Ok(()) } else { write!(out, "\n    hint: {}", self.hint) }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node.is_empty() { Ok(()) } else { write!(out, "{}: ", self.node) }?;
        out.write_str(&self.text)
    }
}

/// Where the readers leave what they have to say.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) warnings: Vec<Warning>,
}

impl Report {
    /// Notes a refusal.
    pub(crate) fn refuse(&mut self, node: &str, property: &str, reason: impl Into<String>, hint: &str) {
        self.push([(node, property), ("", "")], reason.into(), hint);
    }

    /// Notes a refusal for a contradiction between two places of the tree, each a node and a property of it. The
    /// second is the one that the first is measured by.
    pub(crate) fn clash(&mut self, places: [(&str, &str); 2], reason: impl Into<String>, hint: &str) {
        self.push(places, reason.into(), hint);
    }

    #[cold]
    #[inline(never)]
    fn push(&mut self, places: [(&str, &str); 2], reason: String, hint: &str) {
        if self.refusals.len() < MOST_REMARKS {
            let [Place { node, property }, other] = places
                .map(|(node, property)| Place { node: String::from(node), property: String::from(property) });
            let other = Some(other).filter(|other| !other.node.is_empty());
            self.refusals.push(Refusal { node, property, reason, hint: String::from(hint), other });
        }
    }

    /// Notes a warning about a node.
    pub(crate) fn warn(&mut self, node: &str, text: &str) {
        self.warn_of(node, "", text);
    }

    /// Notes a warning about a property of a node; the text names it where that helps.
    #[cold]
    #[inline(never)]
    pub(crate) fn warn_of(&mut self, node: &str, property: &str, text: &str) {
        if self.warnings.len() < MOST_REMARKS {
            let (node, property, text) = (String::from(node), String::from(property), String::from(text));
            self.warnings.push(Warning { node, property, text });
        }
    }
}

/// Text of foreign origin made fit for a console: printable ASCII, and not long.
pub(crate) fn quoted(text: &str) -> String {
    let mut clean = String::from("\"");
    for character in text.chars().take(80) {
        clean.push(if character.is_ascii_graphic() || character == ' ' { character } else { '?' });
    }
    clean.push('"');
    clean
}
