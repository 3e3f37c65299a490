//! The host's RAM as a bar, to scale, with its owners beside it.
//!
//! All of it has one scale, but for two things that would take the room of the rest: the gap between two banks, and free
//! memory that is larger than all that is used together. Both are broken, and say how large they are.

use super::labels::spread;
use super::{colours, tear};
use crate::plan_ledger::{Ledger, about};
use crate::plan_memory::{Stretch, Use};
use crate::svg::{Area, Face, GREY, INK, Svg, cut};

/// Width of the panel.
pub(crate) const WIDTH: f64 = 560.0;
/// Height of a label.
const LABEL: f64 = 14.0;
/// Height of what is broken.
const BROKEN: f64 = 34.0;
/// The bar's left edge in the panel, and its width.
const BAR: (f64, f64) = (96.0, 72.0);
/// Where a label's address begins, its size ends and its text begins.
const COLUMNS: [f64; 3] = [206.0, 352.0, 362.0];
/// Least height of a stretch that has its name in the bar.
const NAMED: f64 = 13.0;

/// A stretch of the bar.
struct Piece<'l> {
    stretch: &'l Stretch,
    top: f64,
    height: f64,
    is_broken: bool,
}

/// Draws the panel at a place and gives its height. The bar is at least `wanted` high.
pub(crate) fn draw(svg: &mut Svg, ledger: &Ledger, (x, y): (f64, f64), wanted: f64) -> f64 {
    let labels = ledger.memory.len() as f64 * LABEL;
    let height = labels.max(wanted);
    let (pieces, bytes) = lay(ledger, y, height);
    let bottom = pieces.last().map_or(y, |piece| piece.top + piece.height);
    for piece in &pieces {
        bar(svg, x, piece);
    }
    edges(svg, ledger, x, &pieces);
    let middles: Vec<f64> = pieces.iter().map(|piece| piece.top + piece.height / 2.0).collect();
    let places = spread(&middles, LABEL, (y + LABEL / 2.0, bottom - LABEL / 2.0));
    for (piece, (middle, place)) in pieces.iter().zip(middles.iter().zip(&places)) {
        label(svg, x, piece, (*middle, *place));
    }
    let last = places.last().map_or(bottom, |place| place + LABEL);
    let step = ticks(svg, x, &pieces, bytes);
    let text = format!("One mark at the left is {}.", about(step));
    svg.text((x + BAR.0, last.max(bottom) + 14.0), Face::sans(9.0).colour(GREY), &text);
    last.max(bottom) + 20.0 - y
}

/// Marks of the scale beside the bar, every other with its address where there is room; gives their distance in bytes.
fn ticks(svg: &mut Svg, x: f64, pieces: &[Piece<'_>], bytes: f64) -> u64 {
    let step = ((bytes * 20.0) as u64).max(1).next_power_of_two();
    let edge = x + BAR.0;
    for piece in pieces.iter().filter(|piece| !piece.is_broken) {
        let stretch = piece.stretch;
        let mut at = stretch.base.next_multiple_of(step);
        while at < stretch.end() {
            let height = piece.top + (at - stretch.base) as f64 / bytes;
            svg.line(&[(edge - 5.0, height), (edge, height)], INK, 0.8);
            if at.is_multiple_of(step * 2) && !is_near_edge(pieces, height) {
                svg.text((edge - 8.0, height + 3.2), Face::mono(9.0).end().colour(GREY), &format!("{at:#x}"));
            }
            at = at.saturating_add(step);
        }
    }
    step
}

/// A bank begins or ends so near that its address is in the way.
fn is_near_edge(pieces: &[Piece<'_>], height: f64) -> bool {
    let near = |edge: f64| (edge - height).abs() < 16.0;
    let touch = |[one, next]: &[&Piece<'_>; 2]| one.stretch.end() == next.stretch.base;
    let (first, last) = (pieces.first(), pieces.last());
    first.is_some_and(|first| near(first.top))
        || last.is_some_and(|last| near(last.top + last.height))
        || pieces
            .array_windows()
            .any(|[one, next]| !touch(&[one, next]) && (near(one.top + one.height) || near(next.top)))
}

/// Lays the stretches below one another, and says how many bytes one unit of height is.
fn lay(ledger: &Ledger, top: f64, height: f64) -> (Vec<Piece<'_>>, f64) {
    let used: u64 =
        ledger.memory.iter().filter(|stretch| stretch.purpose != Use::Free).map(|one| one.size).sum();
    let is_broken = |stretch: &Stretch| stretch.purpose == Use::Free && stretch.size > used;
    let to_scale: u64 = ledger.memory.iter().filter(|one| !is_broken(one)).map(|one| one.size).sum();
    let broken = ledger.memory.iter().filter(|one| is_broken(one)).count();
    let gaps = ledger.banks.len().saturating_sub(1);
    let left = (height - BROKEN * (broken + gaps) as f64).max(200.0);
    let bytes = to_scale.max(1) as f64 / left;
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    let mut next = top;
    let mut end = ledger.memory.first().map_or(0, |first| first.base);
    for stretch in &ledger.memory {
        if stretch.base != end {
            next += BROKEN;
        }
        let is_broken = is_broken(stretch);
        let height = if is_broken { BROKEN } else { stretch.size as f64 / bytes };
        pieces.push(Piece { stretch, top: next, height, is_broken });
        next += height;
        end = stretch.end();
    }
    (pieces, bytes)
}

fn bar(svg: &mut Svg, x: f64, piece: &Piece<'_>) {
    let stretch = piece.stretch;
    // What is too small to be seen is one unit high.
    let place = Area { x: x + BAR.0, y: piece.top, width: BAR.1, height: piece.height.max(1.0) };
    colours::memory(svg, place, stretch.purpose, stretch.domain);
    if piece.is_broken {
        tear(svg, (place.x, place.x + place.width), piece.top + piece.height / 2.0);
    }
    if piece.height < NAMED {
        return;
    }
    let middle = (x + BAR.0 + BAR.1 / 2.0, piece.top + piece.height / 2.0 + 3.5);
    let white = Face::sans(10.0).bold().middle().colour("#ffffff");
    match (stretch.purpose, stretch.domain) {
        (Use::Ram, Some(id)) => colours::name(svg, middle, id, 10.0),
        (Use::Image, _) => svg.text(middle, white, "image"),
        (Use::Heap, _) => svg.text(middle, white, "heap"),
        _ => {}
    }
}

/// Addresses where banks begin and end, and the gaps between them.
fn edges(svg: &mut Svg, ledger: &Ledger, x: f64, pieces: &[Piece<'_>]) {
    let face = Face::mono(9.0).end();
    let mut above: Option<(u64, f64)> = None;
    for bank in &ledger.banks {
        let inside =
            |piece: &&Piece<'_>| piece.stretch.base >= bank.base && piece.stretch.end() <= bank.end();
        let (Some(first), Some(last)) = (pieces.iter().find(inside), pieces.iter().rfind(inside)) else {
            continue;
        };
        let bottom = last.top + last.height;
        let place = Area { x: x + BAR.0, y: first.top, width: BAR.1, height: bottom - first.top };
        svg.rect(place, "none", INK);
        svg.text((x + BAR.0 - 6.0, first.top + 8.0), face, &format!("{:#x}", bank.base));
        svg.text((x + BAR.0 - 6.0, bottom - 1.0), face, &format!("{:#x}", bank.end()));
        if let Some((end, height)) = above {
            let middle = height + BROKEN / 2.0;
            svg.line(
                &[(x + BAR.0 + BAR.1 / 2.0, height + 2.0), (x + BAR.0 + BAR.1 / 2.0, middle - 7.0)],
                GREY,
                0.8,
            );
            let text = format!("no RAM: {}", about(bank.base.saturating_sub(end)));
            svg.text((x + BAR.0 + BAR.1 / 2.0, middle + 3.0), Face::sans(8.5).middle().colour(GREY), &text);
            svg.line(
                &[(x + BAR.0 + BAR.1 / 2.0, middle + 7.0), (x + BAR.0 + BAR.1 / 2.0, first.top - 2.0)],
                GREY,
                0.8,
            );
        }
        above = Some((bank.end(), bottom));
    }
}

fn label(svg: &mut Svg, x: f64, piece: &Piece<'_>, (middle, place): (f64, f64)) {
    let stretch = piece.stretch;
    let [address, end, text] = COLUMNS.map(|column| x + column);
    let edge = x + BAR.0 + BAR.1;
    svg.line(
        &[(edge, middle), (edge + 8.0, middle), (address - 10.0, place), (address - 4.0, place)],
        GREY,
        0.6,
    );
    let baseline = place + 3.2;
    svg.text((address, baseline), Face::mono(9.0), &format!("{:#x}", stretch.base));
    svg.text((end, baseline), Face::mono(9.0).end(), &about(stretch.size));
    let face = Face::sans(9.5);
    let face = if stretch.purpose == Use::Free { face.colour(GREY) } else { face };
    svg.text((text, baseline), face, &cut(&stretch.label, face.fitting(x + WIDTH - text)));
}
