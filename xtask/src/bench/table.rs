//! Results as text: for the console, and as tables of Markdown.

use std::fmt::Write as _;

use super::figures::{FIGURES, Row};
use super::kinds::{COLUMNS, COSTLY, Kinds};
use super::results::{Each, Figure, Results};

/// What is shown where there is no value.
const NOTHING: &str = "-";

/// A number with its thousands apart.
#[must_use]
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn median(figure: Option<&Figure>) -> String {
    figure.map_or_else(|| NOTHING.to_owned(), |figure| number(figure.median))
}

/// How many times as much as under Xenite it is under Xen, in hundredths.
#[must_use]
pub fn ratio(each: &Each<Figure>) -> Option<u64> {
    let (xen, xenite) = (each.xen?.median, each.xenite?.median);
    (xen * 100 + xenite / 2).checked_div(xenite)
}

/// The ratio as text: one decimal from ten on, else two.
fn times(each: &Each<Figure>) -> String {
    match ratio(each) {
        Some(ratio) if ratio >= 1_000 => format!("{}.{}", ratio / 100, ratio % 100 / 10),
        Some(ratio) => format!("{}.{:02}", ratio / 100, ratio % 100),
        None => NOTHING.to_owned(),
    }
}

/// The rows of the table that the results have a figure for.
fn rows(results: &Results) -> impl Iterator<Item = (&'static Row, &Each<Figure>)> {
    FIGURES.iter().filter_map(|row| Some((row, results.figures.get(row.name)?)))
}

/// The table for the console.
#[must_use]
pub fn plain(results: &Results) -> String {
    let mut text = format!(
        "{:<32} {:>11} {:>11} {:>7} {:>7}  unit, meaning\n",
        "figure", "Xen", "Xenite", "times", "bare"
    );
    for (row, each) in rows(results) {
        let (xen, xenite, bare) =
            (median(each.xen.as_ref()), median(each.xenite.as_ref()), median(each.bare.as_ref()));
        let (name, times, unit, meaning) = (row.name, times(each), row.unit, row.meaning);
        let _ = writeln!(text, "{name:<32} {xen:>11} {xenite:>11} {times:>7} {bare:>7}  {unit}: {meaning}");
    }
    text
}

/// The kinds for the console: operations of which Xenite has more of a costly kind, and how many have not. Without Xen all
/// that Xenite has.
#[must_use]
pub fn plain_kinds(results: &Results) -> String {
    let mut text = String::new();
    let mut good = 0;
    for (name, xen, xenite) in compared(results) {
        let worse = xenite.worse_than(xen);
        if worse.is_empty() {
            good += 1;
        }
        for kind in worse {
            let of = |kinds: &Kinds| kinds.of(kind);
            let _ = writeln!(text, "{name}: {} of {kind}, Xen {}", of(xenite), of(xen));
        }
    }
    if compared(results).next().is_some() {
        let _ = writeln!(text, "{good} operations have no more of any costly kind than under Xen");
        return text;
    }
    for (name, each) in &results.kinds {
        let Some(kinds) = &each.xenite else { continue };
        let costly = COLUMNS.iter().skip(COSTLY).map(|kind| (kind, kinds.of(kind)));
        let costly = costly.filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} of {kind}"));
        let _ = writeln!(text, "{name}: {}", costly.collect::<Vec<_>>().join(", "));
    }
    text
}

/// Operations whose kinds were counted under both.
fn compared(results: &Results) -> impl Iterator<Item = (&str, &Kinds, &Kinds)> {
    FIGURES.iter().filter_map(|row| {
        let each = results.kinds.get(row.name)?;
        Some((row.name, each.xen.as_ref()?, each.xenite.as_ref()?))
    })
}

/// The table for the README: what it shows of the figures.
#[must_use]
pub fn short(results: &Results) -> String {
    let mut text = String::from("| | unit | Xen | Xenite | times |\n| --- | --- | --- | --- | --- |\n");
    for (row, each) in rows(results).filter(|(row, _)| row.shown) {
        let (xen, xenite) = (median(each.xen.as_ref()), median(each.xenite.as_ref()));
        let _ = writeln!(text, "| {} | {} | {xen} | {xenite} | {} |", row.meaning, row.unit, times(each));
    }
    text
}

/// All figures.
#[must_use]
pub fn complete(results: &Results) -> String {
    let mut text = String::from(
        "| figure | what is measured | unit | Xen | Xenite | times | bare |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (row, each) in rows(results) {
        let (xen, xenite, bare) =
            (median(each.xen.as_ref()), median(each.xenite.as_ref()), median(each.bare.as_ref()));
        let (name, meaning, unit, times) = (row.name, row.meaning, row.unit, times(each));
        let _ = writeln!(text, "| `{name}` | {meaning} | {unit} | {xen} | {xenite} | {times} | {bare} |");
    }
    text
}

/// All operations by costly kinds, Xen's number before Xenite's; where Xenite has more, it is bold.
#[must_use]
pub fn kinds(results: &Results) -> String {
    let costly = COLUMNS.get(COSTLY..).unwrap_or_default();
    let mut text =
        format!("| operation | {} |\n|{}\n", costly.join(" | "), " --- |".repeat(costly.len() + 1));
    for (name, xen, xenite) in compared(results) {
        let cells = costly.iter().map(|kind| match (xen.of(kind), xenite.of(kind)) {
            (xen, xenite) if xenite > xen => format!("{xen} **{xenite}**"),
            (xen, xenite) => format!("{xen} {xenite}"),
        });
        let _ = writeln!(text, "| `{name}` | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    text
}

/// What was measured with what, as a sentence.
#[must_use]
pub fn programs(results: &Results) -> String {
    let programs = &results.programs;
    format!(
        "Xen is Debian's `{}`, Xenite is {}; `{}`, {}.\n",
        programs.xen, programs.xenite, programs.method, programs.qemu
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(number(7), "7");
        assert_eq!(number(1_234), "1,234");
        assert_eq!(number(123_456_789), "123,456,789");
    }

    #[test]
    fn a_ratio_to_nothing_is_none() {
        let each = Each { xen: Some(Figure::exact(417)), xenite: Some(Figure::exact(160)), bare: None };
        assert_eq!(times(&each), "2.61");
        let each = Each { xenite: Some(Figure::exact(0)), ..each };
        assert_eq!(times(&each), NOTHING);
    }
}
