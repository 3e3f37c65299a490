//! Colours and patterns that can be told apart in print and by colour-blind readers (after Okabe and Ito), with the
//! names always beside them.

use crate::plan_memory::Use;
use crate::svg::{Area, Face, Svg};

/// Colour of dom0.
const DOM0: (&str, bool) = ("#bbbbbb", false);
/// Colours of domains, and whether white text reads better on them. They come again with a pattern over them.
const DOMAINS: [(&str, bool); 7] = [
    ("#56b4e9", false),
    ("#e69f00", false),
    ("#009e73", true),
    ("#f0e442", false),
    ("#cc79a7", false),
    ("#0072b2", true),
    ("#d55e00", true),
];

/// Patterns over the colours: nothing for the first seven domains, then these.
const PATTERNS: [&str; 3] = ["url(#stripes)", "url(#dots)", "url(#grid)"];

/// What the patterns are.
pub(crate) const DEFINITIONS: &str = r##"<pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse">
<path d="M0,6 L6,0" stroke="#000000" stroke-opacity="0.45" stroke-width="1"/></pattern>
<pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse">
<circle cx="3" cy="3" r="1" fill="#000000" fill-opacity="0.5"/></pattern>
<pattern id="grid" width="6" height="6" patternUnits="userSpaceOnUse">
<path d="M0,3 H6 M3,0 V6" stroke="#000000" stroke-opacity="0.35" stroke-width="0.8"/></pattern>
<pattern id="cross" width="6" height="6" patternUnits="userSpaceOnUse">
<path d="M0,0 L6,6 M0,6 L6,0" stroke="#444444" stroke-width="0.8"/></pattern>
<pattern id="grain" width="5" height="5" patternUnits="userSpaceOnUse">
<circle cx="1.5" cy="1.5" r="0.8" fill="#333333"/></pattern>
<pattern id="back" width="6" height="6" patternUnits="userSpaceOnUse">
<path d="M0,0 L6,6" stroke="#000000" stroke-opacity="0.55" stroke-width="1.2"/></pattern>
"##;

/// Colour of the hypervisor's image.
pub(crate) const IMAGE: &str = "#1b2a41";
/// Colour of its heap.
pub(crate) const HEAP: &str = "#6b7f9e";

/// A domain's colour, and how often all colours were used before it.
fn entry(domain: u16) -> ((&'static str, bool), usize) {
    let Some(place) = usize::from(domain).checked_sub(1) else { return (DOM0, 0) };
    (DOMAINS.get(place % DOMAINS.len()).copied().unwrap_or(DOM0), place / DOMAINS.len())
}

/// Colour of text on a domain's colour.
fn ink(domain: u16) -> &'static str {
    if entry(domain).0.1 { "#ffffff" } else { "#000000" }
}

/// Fills a place with a domain's colour and pattern.
pub(crate) fn domain(svg: &mut Svg, place: Area, id: u16, stroke: &str) {
    let ((colour, _), round) = entry(id);
    svg.rect(place, colour, stroke);
    if let Some(pattern) = round.checked_sub(1).and_then(|round| PATTERNS.get(round % PATTERNS.len())) {
        svg.rect(place, pattern, "");
    }
}

/// A domain's name, in the middle of its colour.
pub(crate) fn name(svg: &mut Svg, (x, y): (f64, f64), id: u16, size: f64) {
    let ((colour, _), round) = entry(id);
    let text = format!("d{id}");
    if round > 0 {
        // A pattern would run through the letters.
        let width = (text.len() as f64 + 0.6) * size * 0.66;
        let area = Area { x: x - width / 2.0, y: y - size * 0.9, width, height: size * 1.1 };
        svg.rect(area, colour, "");
    }
    svg.text((x, y), Face::sans(size).bold().middle().colour(ink(id)), &text);
}

/// Fills a place as RAM in this use.
pub(crate) fn memory(svg: &mut Svg, place: Area, purpose: Use, id: Option<u16>) {
    const EDGE: &str = "#333333";
    match purpose {
        Use::Image => svg.rect(place, IMAGE, EDGE),
        Use::Heap => svg.rect(place, HEAP, EDGE),
        Use::Ram => domain(svg, place, id.unwrap_or(0), EDGE),
        Use::SharedPages => {
            domain(svg, place, id.unwrap_or(0), EDGE);
            svg.rect(place, "url(#back)", "");
        }
        Use::SharedMemory => svg.rect(place, "#f3dcef", EDGE),
        Use::DeviceTree | Use::Module | Use::Planning => {
            svg.rect(place, "#f4f1ea", EDGE);
            svg.rect(place, "url(#grain)", "");
        }
        Use::Reserved => {
            svg.rect(place, "#dddddd", EDGE);
            svg.rect(place, "url(#cross)", "");
        }
        Use::Free => svg.rect(place, "#ffffff", EDGE),
        Use::Unused => svg.rect(place, "#dddddd", EDGE),
    }
}
