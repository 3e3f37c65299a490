//! The curves of `./x bench --scale`: a picture for each, both axes with doublings at even distances, and a table.

use std::fmt::Write as _;

use super::scale::{CURVES, Curve, Points, Scale};
use super::scenarios::Subject;
use super::table::number;

const COLUMNS: usize = 4;
const CELL_WIDTH: f64 = 280.0;
const CELL_HEIGHT: f64 = 210.0;
/// Room around the lines of a cell: left, above, to the right and below.
const ROOM: (f64, f64, f64, f64) = (76.0, 34.0, 14.0, 30.0);
/// Doublings that the vertical axis has at least, so that what is constant looks so.
const LEAST: f64 = 3.0;
const COLOURS: [(Subject, &str, &str); 2] =
    [(Subject::Xen, "#8a8f98", "Xen"), (Subject::Xenite, "#2b7a4b", "Xenite")];

/// The pictures as SVG.
#[must_use]
pub fn draw(scale: &Scale) -> String {
    let is_there = |curve: &&Curve| COLOURS.iter().any(|(who, ..)| points(scale, curve, *who).is_some());
    let curves: Vec<&Curve> = CURVES.iter().filter(is_there).collect();
    let rows = curves.len().div_ceil(COLUMNS);
    let (width, height) = (CELL_WIDTH * COLUMNS as f64, CELL_HEIGHT * rows as f64 + 40.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"DejaVu Sans, Verdana, Helvetica, Arial, sans-serif\" role=\"img\" aria-labelledby=\"t d\">\n\
         <title id=\"t\">How costs grow</title>\n\
         <desc id=\"d\">Boot, events, yields and memory by domains, vCPUs, processors and RAM, under Xen and under Xenite.</desc>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for (index, (_, colour, name)) in COLOURS.into_iter().enumerate() {
        let x = 20.0 + 110.0 * index as f64;
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"14\" width=\"18\" height=\"8\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"23\" font-size=\"13\" fill=\"#22262c\">{name}</text>",
            x + 26.0
        );
    }
    for (index, curve) in curves.into_iter().enumerate() {
        let left = CELL_WIDTH * (index % COLUMNS) as f64;
        let top = CELL_HEIGHT * (index / COLUMNS) as f64 + 40.0;
        text.push_str(&cell(scale, curve, left, top));
    }
    text.push_str("</svg>\n");
    text
}

/// The points of a curve under a subject; none, if it was not measured there.
fn points<'scale>(scale: &'scale Scale, curve: &Curve, subject: Subject) -> Option<&'scale Points> {
    scale.curves.get(curve.name)?.of(subject)
}

fn cell(scale: &Scale, curve: &Curve, left: f64, top: f64) -> String {
    let all = || COLOURS.iter().filter_map(|(subject, ..)| points(scale, curve, *subject)).flatten();
    let log = |value: u64| (value.max(1) as f64).log2();
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
    for (x, y) in all() {
        (low, high) = (low.min(log(*y)), high.max(log(*y)));
        (first, last) = (first.min(log(u64::from(*x))), last.max(log(u64::from(*x))));
    }
    let widening = (LEAST - (high - low)).max(0.0) / 2.0;
    (low, high) = (low - widening - 0.3, high + widening + 0.3);
    let (x0, y0) = (left + ROOM.0, top + ROOM.1);
    let (x1, y1) = (left + CELL_WIDTH - ROOM.2, top + CELL_HEIGHT - ROOM.3);
    let place = |(x, y): (u32, u64)| {
        let across = (log(u64::from(x)) - first) / (last - first).max(1.0);
        (x0 + across * (x1 - x0), y1 - (log(y) - low) / (high - low) * (y1 - y0))
    };
    let mut text = format!(
        "<text x=\"{x0}\" y=\"{}\" font-size=\"13\" font-weight=\"700\" fill=\"#22262c\">{}</text>\n\
         <path d=\"M{x0} {y0}V{y1}H{x1}\" fill=\"none\" stroke=\"#b9b3a4\"/>\n",
        top + 20.0,
        curve.title
    );
    let mut labels = Vec::new();
    for (subject, colour, _) in COLOURS {
        let Some(points) = points(scale, curve, subject) else { continue };
        let line: Vec<String> =
            points.iter().map(|point| place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>",
            line.join(" ")
        );
        for point in [points.first(), points.last()].into_iter().flatten() {
            let y = place(*point).1;
            // What would be written over another number can be read off the table.
            if labels.iter().any(|other: &f64| (other - y).abs() < 10.0) {
                continue;
            }
            labels.push(y);
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{:.1}\" font-size=\"10\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                x0 - 5.0,
                y + 3.0,
                number(point.1)
            );
        }
    }
    for x in all().map(|(x, _)| *x).collect::<std::collections::BTreeSet<_>>() {
        let across = place((x, 1)).0;
        let _ = writeln!(
            text,
            "<text x=\"{across:.1}\" y=\"{}\" font-size=\"10\" text-anchor=\"middle\" fill=\"#4a4f57\">{x}</text>",
            y1 + 14.0
        );
    }
    text
}

/// The points as a table.
#[must_use]
pub fn table(scale: &Scale) -> String {
    let mut text = String::from("| curve | may grow | under | points |\n| --- | --- | --- | --- |\n");
    for curve in &CURVES {
        for (subject, _, name) in COLOURS {
            let Some(points) = points(scale, curve, subject) else { continue };
            let points: Vec<String> = points.iter().map(|(x, y)| format!("{x}: {}", number(*y))).collect();
            let order = format!("{:?}", curve.order).to_lowercase();
            let _ = writeln!(text, "| {} | {order} | {name} | {} |", curve.title, points.join("; "));
        }
    }
    text
}
