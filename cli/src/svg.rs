//! A writer of SVG: rectangles, lines, circles and text, in the order in which they are drawn.
//!
//! Numbers have one decimal and nothing depends on a clock or a font that is there, so one plan is one file, byte for byte.

use std::fmt::Write as _;

/// Text in the running face.
const SANS: &str = "DejaVu Sans, Verdana, Arial, sans-serif";
/// Addresses and sizes, one below the other.
const MONO: &str = "DejaVu Sans Mono, Menlo, Consolas, monospace";
/// Colour of text and lines where nothing else is said.
pub(crate) const INK: &str = "#1a1a1a";
/// Colour of what is said by the way.
pub(crate) const GREY: &str = "#5f6368";

/// A picture under way.
#[derive(Debug, Default)]
pub(crate) struct Svg {
    body: String,
}

/// A rectangle's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Face {
    size: f64,
    mono: bool,
    bold: bool,
    anchor: &'static str,
    colour: &'static str,
}

impl Face {
    /// Running text of a size.
    pub(crate) const fn sans(size: f64) -> Self {
        Self { size, mono: false, bold: false, anchor: "start", colour: INK }
    }

    /// Addresses.
    pub(crate) const fn mono(size: f64) -> Self {
        Self { mono: true, ..Self::sans(size) }
    }

    pub(crate) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// Ends at its place.
    pub(crate) const fn end(self) -> Self {
        Self { anchor: "end", ..self }
    }

    /// Has its middle at its place.
    pub(crate) const fn middle(self) -> Self {
        Self { anchor: "middle", ..self }
    }

    pub(crate) const fn colour(self, colour: &'static str) -> Self {
        Self { colour, ..self }
    }

    /// How many characters of it go into a width, by the widest of the fonts, on average.
    pub(crate) fn fitting(&self, width: f64) -> usize {
        let each = self.size * if self.mono { 0.603 } else { 0.57 };
        (width / each).max(0.0) as usize
    }
}

/// Cuts a text to what fits, with an ellipsis.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['\u{2026}']).collect()
}

/// Breaks a text at spaces into lines of at most so many characters.
pub(crate) fn lines(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, most)),
        }
    }
    lines
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Svg {
    /// Writing to a string does not fail.
    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.body, "{line}");
    }

    /// A rectangle with a fill and, where `stroke` is not empty, an edge.
    pub(crate) fn rect(&mut self, place: Area, fill: &str, stroke: &str) {
        let Area { x, y, width, height } = place;
        let edge = if stroke.is_empty() {
            String::new()
        } else {
            format!(r#" stroke="{stroke}" stroke-width="0.7""#)
        };
        self.put(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"{edge}/>"#
        ));
    }

    /// A line through points.
    pub(crate) fn line(&mut self, points: &[(f64, f64)], stroke: &str, width: f64) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{stroke}" stroke-width="{width:.1}"/>"#,
            points.join(" ")
        ));
    }

    /// A circle: filled, or hollow where `is_hollow`.
    pub(crate) fn dot(&mut self, (x, y): (f64, f64), radius: f64, fill: &str) {
        self.put(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="{fill}" stroke="{INK}" stroke-width="0.9"/>"#
        ));
    }

    /// A text with its baseline at a height.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), face: Face, text: &str) {
        let Face { size, mono, bold, anchor, colour } = face;
        let family = if mono { r#" class="mono""# } else { "" };
        let weight = if bold { r#" font-weight="bold""# } else { "" };
        let anchor = if anchor == "start" { String::new() } else { format!(r#" text-anchor="{anchor}""#) };
        let colour = if colour == INK { String::new() } else { format!(r#" fill="{colour}""#) };
        self.put(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}"{family}{weight}{anchor}{colour}>{}</text>"#,
            escape(text)
        ));
    }

    /// The whole file: so wide and high, with a title and a description for those who do not see it.
    pub(crate) fn finish(self, (width, height): (f64, f64), definitions: &str, title: &str) -> String {
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}"
 role="img" font-family="{SANS}" fill="{INK}">
<title>{}</title>
<style>.mono {{ font-family: {MONO}; }}</style>
<defs>
{definitions}</defs>
<rect width="100%" height="100%" fill="#ffffff"/>
{}</svg>
"##,
            escape(title),
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Face, Svg, cut, lines};

    #[test]
    fn text_is_cut_and_broken_to_what_fits() {
        assert_eq!(cut("hypervisor", 10), "hypervisor");
        assert_eq!(cut("hypervisor", 5), "hype\u{2026}");
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(Face::mono(10.0).fitting(61.0), 10);
    }

    #[test]
    fn what_markup_would_take_for_its_own_is_escaped() {
        let mut svg = Svg::default();
        svg.text((1.0, 2.0), Face::sans(9.0), "<a & \"b\">");
        assert!(svg.finish((1.0, 1.0), "", "t").contains(">&lt;a &amp; &quot;b&quot;&gt;</text>"));
    }
}
