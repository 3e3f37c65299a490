//! The plan as a picture: host memory to scale, each domain's map beside it, who shares what, and what the hypervisor
//! keeps. It is meant for paper: colours are told apart by everybody, and nothing is said by colour alone.

mod colours;
mod guests;
mod heap;
mod host;
mod labels;
mod ladder;

use crate::plan_ledger::{Guest, Ledger, about};
use crate::plan_memory::{Use, bytes_of};
use crate::svg::{Area, Face, GREY, INK, Svg, lines};

const MARGIN: f64 = 28.0;
/// Between cards and between panels.
const GAP: f64 = 16.0;
/// The host's bar is no higher than this for the cards' sake.
const HIGHEST_BAR: f64 = 900.0;
/// And no lower.
const LOWEST_BAR: f64 = 460.0;
/// Warnings that are told in full.
const MOST_WARNINGS: usize = 6;

/// Draws a ledger.
pub(crate) fn draw(ledger: &Ledger) -> String {
    let mut svg = Svg::default();
    let across = across(ledger.domains.len());
    let cards_width = across as f64 * (guests::WIDTH + GAP) - GAP;
    let width = MARGIN * 2.0 + (host::WIDTH + GAP + cards_width).max(ladder::width(ledger));
    let top = title(&mut svg, ledger, width);
    let left = panel(&mut svg, (MARGIN, top), "Host memory, to scale");
    let right = MARGIN + host::WIDTH + GAP;
    let (places, cards_height) = places(&ledger.domains, across);
    panel(&mut svg, (right, top), "What each domain sees");
    for (domain, (column, height)) in ledger.domains.iter().zip(places) {
        guests::draw(&mut svg, domain, (right + column as f64 * (guests::WIDTH + GAP), left + height));
    }
    let mut below = left + cards_height;
    // Where there are few domains, there is room for the ladder below their cards.
    let is_beside = ladder::width(ledger) <= cards_width;
    if is_beside {
        below = links(&mut svg, ledger, (right, below));
    }
    let wanted = (below - left - 40.0).clamp(LOWEST_BAR, HIGHEST_BAR);
    let bar = host::draw(&mut svg, ledger, (MARGIN, left), wanted);
    let mut y = below.max(left + bar + GAP);
    if !is_beside {
        y = links(&mut svg, ledger, (MARGIN, y));
    }
    let (image, heap) = (about(bytes_of(&ledger.memory, Use::Image)), about(ledger.heap.size));
    y = panel(&mut svg, (MARGIN, y), &format!("What the hypervisor keeps: image {image}, heap {heap}"));
    y += heap::draw(&mut svg, ledger, (MARGIN, y), width - MARGIN * 2.0) + GAP;
    y = legend(&mut svg, (MARGIN, y), width);
    y = footer(&mut svg, ledger, (MARGIN, y), width);
    svg.finish((width, y + MARGIN / 2.0), colours::DEFINITIONS, &format!("Plan of {}", ledger.system))
}

/// Draws the panel of links at a place and gives the height at which it ends.
fn links(svg: &mut Svg, ledger: &Ledger, (x, y): (f64, f64)) -> f64 {
    let top = panel(svg, (x, y), "Who has what");
    ladder::explain(svg, (x + 130.0, top - 14.0));
    top + ladder::draw(svg, ledger, (x, top)) + GAP
}

/// How many cards stand side by side.
const fn across(domains: usize) -> usize {
    match domains {
        0..=1 => 1,
        2..=8 => 2,
        9..=12 => 3,
        _ => 4,
    }
}

/// The column and the height at which each domain's card begins, each in the column that is shortest so far; and the height
/// of all.
fn places(domains: &[Guest], across: usize) -> (Vec<(usize, f64)>, f64) {
    let mut ends = vec![0.0_f64; across];
    let mut places = Vec::new();
    for domain in domains {
        let shortest = ends.iter().copied().fold(f64::INFINITY, f64::min);
        let column = ends.iter().position(|end| *end <= shortest).unwrap_or(0);
        places.push((column, shortest));
        if let Some(end) = ends.get_mut(column) {
            *end += guests::height(domain) + GAP;
        }
    }
    (places, ends.iter().copied().fold(0.0, f64::max))
}

fn title(svg: &mut Svg, ledger: &Ledger, width: f64) -> f64 {
    svg.text(
        (MARGIN, MARGIN + 16.0),
        Face::sans(20.0).bold(),
        &format!("What boot makes of {}", ledger.system),
    );
    let banner = ledger.console.first().map_or("", |line| line.trim_start_matches("(XEN) "));
    let ram = ledger.banks.iter().map(|bank| bank.size).sum();
    let text = format!(
        "{banner}. {} processors, {} of RAM, {} domains. Fingerprint of the plan: {}",
        ledger.processors.len(),
        about(ram),
        ledger.domains.len(),
        ledger.fingerprint
    );
    svg.text((MARGIN, MARGIN + 35.0), Face::sans(10.5), &text);
    svg.line(&[(MARGIN, MARGIN + 46.0), (width - MARGIN, MARGIN + 46.0)], INK, 1.0);
    MARGIN + 58.0
}

/// A panel's heading; gives the height at which the panel begins.
fn panel(svg: &mut Svg, (x, y): (f64, f64), text: &str) -> f64 {
    svg.text((x, y + 12.0), Face::sans(13.0).bold(), text);
    y + 26.0
}

/// The mark for what is left out: two short strokes across a column.
fn tear(svg: &mut Svg, (left, right): (f64, f64), middle: f64) {
    let middle_x = f64::midpoint(left, right);
    let area = Area { x: left - 2.0, y: middle - 2.5, width: right - left + 4.0, height: 5.0 };
    svg.rect(area, "#ffffff", "");
    for height in [middle - 2.5, middle + 2.5] {
        let points = [
            (left - 3.0, height + 1.5),
            (f64::midpoint(left, middle_x), height - 1.5),
            (f64::midpoint(right, middle_x), height + 1.5),
            (right + 3.0, height - 1.5),
        ];
        svg.line(&points, INK, 0.8);
    }
}

fn legend(svg: &mut Svg, (x, y): (f64, f64), width: f64) -> f64 {
    let entries = [
        (Use::Image, None, "hypervisor's image"),
        (Use::Heap, None, "hypervisor's heap"),
        (Use::Ram, Some(1), "a domain's RAM, in its colour"),
        (Use::SharedPages, Some(1), "pages that a domain shares with the hypervisor"),
        (Use::SharedMemory, None, "memory that domains share"),
        (Use::Module, None, "device tree; module or plan, free after boot"),
        (Use::Reserved, None, "reserved for firmware or devices"),
        (Use::Free, None, "free"),
    ];
    let mut y = panel(svg, (x, y), "Legend");
    let mut left = x;
    for (purpose, domain, text) in entries {
        let length = 30.0 + text.len() as f64 * 6.0;
        if left + length > width - MARGIN {
            left = x;
            y += 18.0;
        }
        colours::memory(svg, Area { x: left, y, width: 20.0, height: 12.0 }, purpose, domain);
        svg.text((left + 25.0, y + 9.5), Face::sans(9.5), text);
        left += length;
    }
    y + 18.0
}

/// What the picture rests on.
fn footer(svg: &mut Svg, ledger: &Ledger, (x, y): (f64, f64), width: f64) -> f64 {
    let assumed = &ledger.assumed;
    let mut text = vec![format!(
        "Two strokes across a column: addresses are left out there, or memory in the host's bar. \
         What is too small to be seen is one unit high. Sizes are rounded to a tenth. \
         Assumed: image at {:#x}..{:#x}, boot processor {:#x}, {} bits of physical address, {} shared interrupts.",
        assumed.image.base,
        assumed.image.end(),
        assumed.boot_mpidr,
        assumed.physical_bits,
        assumed.spis
    )];
    text.extend(ledger.warnings.iter().take(MOST_WARNINGS).map(|warning| format!("Warning: {warning}.")));
    if let Some(more @ 1..) = ledger.warnings.len().checked_sub(MOST_WARNINGS) {
        text.push(format!("And {more} more warnings."));
    }
    let face = Face::sans(9.0).colour(GREY);
    let mut y = y + 8.0;
    for line in text.iter().flat_map(|text| lines(text, face.fitting(width - MARGIN * 2.0))) {
        y += 12.0;
        svg.text((x, y), face, &line);
    }
    y
}
