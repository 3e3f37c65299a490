//! Remarks as text in the style of rustc: the words of the hypervisor, the lines of the source with what is meant
//! underlined, the other side of a contradiction, and the hint.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use annotate_snippets::{Annotation, AnnotationKind, Group, Level as Kind, Origin, Renderer, Snippet};

use crate::remark::{Level, Remark, Side, real_property};
use crate::source::{Spot, Spots};

/// A place, and whether it is the property itself.
type Found = (Spot, bool);

/// Writes remarks; keeps the sources that it has read.
pub(crate) struct Printer<'s> {
    spots: &'s Spots,
    /// The files that are named where there is no source: the system's, and the board's or the same.
    files: [String; 2],
    sources: HashMap<PathBuf, String>,
    renderer: Renderer,
}

impl<'s> Printer<'s> {
    pub(crate) fn new([system, board]: [&Path; 2], spots: &'s Spots, with_colours: bool) -> Self {
        let renderer = if with_colours { Renderer::styled() } else { Renderer::plain() };
        let files = [system, board].map(|path| path.display().to_string());
        Self { spots, files, sources: HashMap::new(), renderer }
    }

    /// The text of a remark.
    pub(crate) fn text(&mut self, remark: &Remark) -> String {
        let here = self.found(&remark.node, &remark.property);
        let there = remark.other.as_ref().and_then(|side| self.found(&side.node, &side.property));
        let there = there.filter(|there| here.as_ref() != Some(there));
        for spot in here.iter().chain(&there).map(|(spot, _)| spot) {
            if !self.sources.contains_key(&spot.file) {
                let text = std::fs::read_to_string(&spot.file).unwrap_or_default();
                self.sources.insert(spot.file.clone(), text);
            }
        }
        let level = match remark.level {
            Level::Refused => Kind::ERROR.with_name("refused"),
            Level::Warning => Kind::WARNING,
            Level::Note => Kind::NOTE,
        };
        let mut group = level.primary_title(&remark.title).elements(Vec::<Origin<'_>>::new());
        group = self.excerpts(group, remark, (here.as_ref(), there.as_ref()));
        if there.is_none()
            && let Some(side) = &remark.other
            && (&side.node, &side.property) != (&remark.node, &remark.property)
        {
            group = group.element(Kind::NOTE.message(format!("{}: {}", label(remark), place(side))));
        }
        if !remark.hint.is_empty() {
            group = group.element(Kind::HELP.with_name("hint").message(&remark.hint));
        }
        self.renderer.render(&[group])
    }

    fn found(&self, node: &str, property: &str) -> Option<Found> {
        let (spot, exact) = self.spots.find(node, real_property(self.spots, node, property))?;
        Some((spot.clone(), exact))
    }

    /// Adds the source lines of both sides, in one excerpt if they stand in one file.
    fn excerpts<'a>(
        &'a self,
        group: Group<'a>,
        remark: &Remark,
        (here, there): (Option<&Found>, Option<&Found>),
    ) -> Group<'a> {
        let Some(here) = here else {
            let [system, board] = &self.files;
            let file = if remark.node.starts_with("/chosen") { system } else { board };
            return if remark.level == Level::Note { group } else { group.element(Origin::path(file)) };
        };
        let snippet = |spot: &Spot| {
            let path = spot.file.display().to_string();
            Snippet::source(self.sources.get(&spot.file).map_or("", String::as_str)).path(path)
        };
        let mark = |(spot, exact): &Found, kind: AnnotationKind| -> Annotation<'a> {
            kind.span(spot.span(self.sources.get(&spot.file).map_or("", String::as_str), *exact))
        };
        let first = snippet(&here.0).annotation(mark(here, AnnotationKind::Primary));
        match there {
            None => group.element(first),
            Some(there) => {
                let other = mark(there, AnnotationKind::Context).label(label(remark));
                if there.0.file == here.0.file {
                    group.element(first.annotation(other))
                } else {
                    group.element(first).element(snippet(&there.0).annotation(other))
                }
            }
        }
    }
}

fn place(side: &Side) -> String {
    if side.property.is_empty() { side.node.clone() } else { format!("{}: {}", side.node, side.property) }
}

/// What the other side is to the first.
fn label(remark: &Remark) -> &'static str {
    let labels = [
        ("overlaps", "overlaps this"),
        ("does not point back", "does not point back"),
        ("which", "has it already"),
        ("another module", "the other module"),
        ("has a ramdisk in a module", "the module"),
        ("the node's name says", "the name"),
        ("the ranges have", "asks for this"),
        ("console", "the UART"),
        ("a gap", "the range below"),
        ("another processor's", "the other processor"),
    ];
    let found = labels.iter().find(|(words, _)| remark.reason.contains(words));
    found.map_or("beside this", |(_, label)| label)
}
