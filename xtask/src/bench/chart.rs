//! The chart of the README: for each figure a bar for Xen, and in it the part that Xenite needs.

use std::fmt::Write as _;

use super::figures::FIGURES;
use super::results::Results;
use super::table::number;

const WIDTH: u64 = 960;
const ROW: u64 = 22;
const TOP: u64 = 64;
/// Where bars begin, and how long that of Xen is.
const LEFT: u64 = 250;
const BAR: u64 = 480;

/// The chart as SVG.
#[must_use]
pub fn draw(results: &Results) -> String {
    let rows: Vec<_> = FIGURES
        .iter()
        .filter(|row| row.shown)
        .filter_map(|row| {
            let each = results.figures.get(row.name)?;
            Some((row, each.xen?.median, each.xenite?.median))
        })
        .filter(|(_, xen, _)| *xen > 0)
        .collect();
    let height = TOP + ROW * rows.len() as u64 + 24;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"DejaVu Sans, Verdana, Helvetica, Arial, sans-serif\" role=\"img\" aria-labelledby=\"t d\">\n\
         <title id=\"t\">Xenite beside Xen</title>\n\
         <desc id=\"d\">For each figure a bar as long as what Xen needs, and in it the part that Xenite needs.</desc>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"26\" font-size=\"16\" font-weight=\"700\" fill=\"#22262c\">What Xenite needs of what Xen needs</text>\n\
         <text x=\"20\" y=\"46\" font-size=\"12\" fill=\"#4a4f57\">Shorter is better. Numbers: Xenite / Xen, \
         in instructions where no other unit is given.</text>\n"
    );
    for (index, (row, xen, xenite)) in rows.into_iter().enumerate() {
        let y = TOP + ROW * index as u64;
        let own = (xenite * BAR / xen).clamp(1, BAR * 3 / 2);
        let colour = if xenite <= xen { "#2b7a4b" } else { "#b4451f" };
        let unit = if row.unit == "instructions" { "" } else { row.unit };
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" font-size=\"12\" text-anchor=\"end\" fill=\"#22262c\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{}\" width=\"{BAR}\" height=\"14\" fill=\"#dfe3e8\"/>\
             <rect x=\"{LEFT}\" y=\"{}\" width=\"{own}\" height=\"14\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\" font-size=\"12\" fill=\"#4a4f57\">{} / {} {unit}</text>",
            LEFT - 10,
            y + 12,
            row.name,
            y,
            y,
            LEFT + BAR + 10,
            y + 12,
            number(xenite),
            number(xen),
        );
    }
    text.push_str("</svg>\n");
    text
}
