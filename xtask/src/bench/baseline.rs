//! Comparison with an earlier run: no figure of Xenite may be more than 2 % worse.

use super::figures::FIGURES;
use super::results::{Figure, Results};

/// The part of a figure, one in so many, by which it may be worse.
const ALLOWED: u64 = 50;

/// What is worse, a line for each figure; a figure that only one of the two has is not compared.
#[must_use]
pub fn worse(now: &Results, then: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, each) in &now.figures {
        let earlier = then.figures.get(name).and_then(|each| each.xenite);
        if let (Some(now), Some(then)) = (each.xenite, earlier)
            && is_worse(now, then)
        {
            lines.push(format!("{name}: {} instead of {}", now.median, then.median));
        }
    }
    lines
}

/// Figures that the README shows and of which Xenite needs more than Xen does in an earlier run, a line for each.
#[must_use]
pub fn behind(now: &Results, xen: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    for row in FIGURES.iter().filter(|row| row.shown) {
        let own = now.figures.get(row.name).and_then(|each| each.xenite);
        let other = xen.figures.get(row.name).and_then(|each| each.xen);
        if let (Some(own), Some(other)) = (own, other)
            && own.median > other.median
        {
            lines.push(format!("{}: {}, Xen {}", row.name, own.median, other.median));
        }
    }
    lines
}

/// A single instruction is no loss, even of a figure of few.
fn is_worse(now: Figure, then: Figure) -> bool {
    now.median > then.median.saturating_add((then.median / ALLOWED).max(1))
}

#[cfg(test)]
mod tests {
    use super::super::results::Each;
    use super::*;

    fn results(value: u64) -> Results {
        let mut results = Results::default();
        let each = Each { xenite: Some(Figure::exact(value)), ..Each::default() };
        results.figures.insert("a".to_owned(), each);
        results
    }

    #[test]
    fn a_figure_that_the_readme_shows_must_not_be_behind_xen() {
        let of = |own, other| {
            let mut results = Results::default();
            let each = Each { xen: Some(Figure::exact(other)), xenite: Some(Figure::exact(own)), bare: None };
            results.figures.insert("hvc.xen_version".to_owned(), each);
            results
        };
        assert!(behind(&of(417, 417), &of(160, 417)).is_empty());
        assert_eq!(behind(&of(418, 0), &of(160, 417)), ["hvc.xen_version: 418, Xen 417"]);
    }

    #[test]
    fn more_than_two_in_a_hundred_is_worse() {
        assert!(worse(&results(1_020), &results(1_000)).is_empty());
        assert_eq!(worse(&results(1_021), &results(1_000)), ["a: 1021 instead of 1000"]);
        assert!(worse(&results(1), &results(0)).is_empty());
        assert!(worse(&results(500), &results(1_000)).is_empty());
    }
}
