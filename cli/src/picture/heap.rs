//! The hypervisor's own memory, line by line, with bars that compare the lines.

use super::colours;
use crate::plan_ledger::{Ledger, about};
use crate::plan_memory::{Use, bytes_of};
use crate::svg::{Area, Face, Svg, cut};

/// Width of a column of lines.
const COLUMN: f64 = 470.0;
const LINE: f64 = 14.0;
/// Where a line's text begins, its size ends, and its bar begins; and the longest bar.
const PLACES: [f64; 3] = [0.0, 330.0, 340.0];
const LONGEST: f64 = 110.0;

/// Draws the panel at a place, at most so wide, and gives its height.
pub(crate) fn draw(svg: &mut Svg, ledger: &Ledger, (x, y): (f64, f64), width: f64) -> f64 {
    let mut lines: Vec<(&str, u64)> =
        vec![("the image, with its stacks and tables", bytes_of(&ledger.memory, Use::Image))];
    lines.extend(ledger.heap.budget.iter().map(|line| (line.what.as_str(), line.bytes)));
    lines.push(("spare, by rounding up the heap", ledger.heap.spare));
    let columns = ((width / COLUMN) as usize).clamp(1, 4).min(lines.len().div_ceil(8));
    let rows = lines.len().div_ceil(columns.max(1));
    let most = lines.iter().map(|(_, bytes)| *bytes).max().unwrap_or(1).max(1) as f64;
    for (position, (what, bytes)) in lines.iter().enumerate() {
        let left = x + COLUMN * (position / rows.max(1)) as f64;
        let top = y + LINE * (position % rows.max(1)) as f64;
        let [text, end, bar] = PLACES.map(|place| left + place);
        let face = Face::sans(9.5);
        svg.text((text, top + 10.5), face, &cut(what, face.fitting(250.0)));
        svg.text((end, top + 10.5), Face::mono(9.0).end(), &about(*bytes));
        let length = LONGEST * *bytes as f64 / most;
        let colour = if position == 0 { colours::IMAGE } else { colours::HEAP };
        let colour = if position + 1 == lines.len() { "#ffffff" } else { colour };
        svg.rect(
            Area { x: bar, y: top + 3.0, width: length.max(0.5), height: LINE - 5.0 },
            colour,
            "#333333",
        );
    }
    rows as f64 * LINE
}
