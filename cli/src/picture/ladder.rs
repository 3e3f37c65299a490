//! Who shares what: a column for the hypervisor and each domain, and a rung for each thing that has owners or ends.
//!
//! Rungs never cross, so any number of links can be read; a further kind of link is a further group of rungs.

use super::colours;
use crate::plan_devices::{Kind, Owner, kinds};
use crate::plan_ledger::{Ledger, spans};
use crate::svg::{Area, Face, GREY, INK, Svg, cut};

/// Height of a rung.
const RUNG: f64 = 17.0;
/// Width of the texts before the columns.
const TEXTS: f64 = 434.0;
const HEADER: f64 = 26.0;

/// A rung: its texts, and the columns that it ends in, with what stands there.
struct Rung {
    name: String,
    detail: String,
    ends: Vec<(usize, String)>,
}

/// Width of a column.
fn column(ledger: &Ledger) -> f64 {
    match ledger.domains.len() {
        0..=10 => 62.0,
        11..=20 => 46.0,
        _ => 40.0,
    }
}

/// Width of the panel.
pub(crate) fn width(ledger: &Ledger) -> f64 {
    TEXTS + column(ledger) * (ledger.domains.len() + 2) as f64
}

/// Draws the panel at a place and gives its height.
pub(crate) fn draw(svg: &mut Svg, ledger: &Ledger, (x, y): (f64, f64)) -> f64 {
    let groups = [
        ("CPU pools", pools(ledger)),
        ("Event channels", channels(ledger)),
        ("Devices and interrupts", devices(ledger)),
    ];
    let rungs: usize =
        groups.iter().filter(|(_, rungs)| !rungs.is_empty()).map(|(_, rungs)| rungs.len() + 1).sum();
    let height = HEADER + rungs as f64 * RUNG + 8.0;
    columns(svg, ledger, (x, y), height);
    let mut top = y + HEADER;
    for (title, rungs) in groups.iter().filter(|(_, rungs)| !rungs.is_empty()) {
        svg.text((x, top + 12.0), Face::sans(10.5).bold(), title);
        top += RUNG;
        for rung in rungs {
            draw_rung(svg, rung, (x, top), column(ledger));
            top += RUNG;
        }
    }
    height
}

fn columns(svg: &mut Svg, ledger: &Ledger, (x, y): (f64, f64), height: f64) {
    let width = column(ledger);
    let mut names = vec![("Xenite".to_owned(), None)];
    names.extend(ledger.domains.iter().map(|domain| (format!("d{}", domain.id), Some(domain.id))));
    names.push(("nobody".to_owned(), None));
    for (position, (name, id)) in names.iter().enumerate() {
        let left = x + TEXTS + width * position as f64;
        let middle = left + width / 2.0;
        svg.line(&[(middle, y + 18.0), (middle, y + height)], "#b8bcc2", 0.8);
        let area = Area { x: left + 3.0, y, width: width - 6.0, height: 18.0 };
        let size = if width < 50.0 { 8.5 } else { 10.0 };
        if let Some(id) = id {
            colours::domain(svg, area, *id, INK);
            colours::name(svg, (middle, y + 12.8), *id, size);
            continue;
        }
        let (fill, ink) = if position == 0 { (colours::IMAGE, "#ffffff") } else { ("#ffffff", INK) };
        svg.rect(area, fill, INK);
        svg.text((middle, y + 12.8), Face::sans(size).bold().middle().colour(ink), name);
    }
}

fn draw_rung(svg: &mut Svg, rung: &Rung, (x, top): (f64, f64), width: f64) {
    let height = top + RUNG / 2.0;
    let face = Face::sans(9.5);
    let name = cut(&rung.name, face.fitting(200.0));
    svg.text((x + 10.0, height + 3.3), face, &name);
    let face = Face::mono(8.5);
    svg.text((x + 214.0, height + 3.3), face, &cut(&rung.detail, face.fitting(TEXTS - 224.0)));
    let middle = |column: usize| x + TEXTS + width * (column as f64 + 0.5);
    let ends: Vec<f64> = rung.ends.iter().map(|(column, _)| middle(*column)).collect();
    let first = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let last = ends.iter().copied().fold(0.0, f64::max);
    svg.line(&[(x + TEXTS - 6.0, height), (first.min(last), height)], "#d0d3d8", 0.5);
    if first < last {
        svg.line(&[(first, height), (last, height)], INK, 1.4);
    }
    for (column, text) in &rung.ends {
        svg.dot((middle(*column), height), 3.8, INK);
        svg.text((middle(*column) + 6.0, height - 2.2), Face::mono(8.0), text);
    }
}

/// The column of a domain.
fn of(ledger: &Ledger, id: u16) -> usize {
    ledger.domains.iter().position(|domain| domain.id == id).map_or(0, |position| position + 1)
}

fn pools(ledger: &Ledger) -> Vec<Rung> {
    let rung = |pool: &crate::plan_ledger::Pool| Rung {
        name: pool.name.clone(),
        detail: format!("{}, processors {}", pool.scheduler, spans(&pool.processors)),
        ends: pool.domains.iter().map(|id| (of(ledger, *id), String::new())).collect(),
    };
    ledger.pools.iter().map(rung).collect()
}

fn channels(ledger: &Ledger) -> Vec<Rung> {
    let rung = |channel: &crate::plan_ledger::Channel| {
        let [one, other] = channel.ends.each_ref();
        Rung {
            name: format!("d{} to d{}", one.domain, other.domain),
            detail: format!("ports {} and {}", one.port, other.port),
            ends: [one, other].map(|end| (of(ledger, end.domain), end.port.to_string())).into(),
        }
    };
    ledger.channels.iter().map(rung).collect()
}

fn devices(ledger: &Ledger) -> Vec<Rung> {
    let rung = |kind: Kind| {
        let column = match kind.owner {
            Owner::Hypervisor => 0,
            Owner::Domain(id) => of(ledger, id),
            Owner::Nobody => ledger.domains.len() + 1,
        };
        Rung { name: kind.name, detail: kind.detail, ends: vec![(column, String::new())] }
    };
    kinds(&ledger.devices).into_iter().map(rung).collect()
}

/// What the dots mean.
pub(crate) fn explain(svg: &mut Svg, (x, y): (f64, f64)) {
    let text =
        "A dot is an owner or an end, with its port; a line joins those who share or reach each other.";
    svg.text((x, y), Face::sans(9.0).colour(GREY), text);
}
