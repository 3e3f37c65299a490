//! A card for each domain: what it sees at which guest address, and where that is in the host.
//!
//! Devices and windows are as high as their names; RAM is higher, and what lies in it stands at its place. A break
//! stands where guest addresses are left out.

use super::labels::spread;
use super::{colours, tear};
use crate::plan_ledger::{Guest, GuestPlace, Interface, PlaceKind, about};
use crate::plan_memory::Use;
use crate::svg::{Area, Face, GREY, INK, Svg, cut, lines};

/// Width of a card.
pub(crate) const WIDTH: f64 = 358.0;
const HEADER: f64 = 38.0;
const LINE: f64 = 14.0;
/// Height of a device.
const DEVICE: f64 = 17.0;
const BREAK: f64 = 11.0;
/// Height of RAM with nothing in it, and what each thing in it adds.
const RAM: (f64, f64) = (34.0, 17.0);
/// The column's left edge in the card, and its width.
const COLUMN: (f64, f64) = (92.0, 52.0);
/// Where texts begin.
const TEXT: f64 = 164.0;
/// Places of one kind that are drawn one by one where more follow one another.
const MOST: usize = 10;

/// What is drawn in one piece.
struct Row<'g> {
    base: u64,
    end: u64,
    kind: PlaceKind,
    host: Option<u64>,
    /// The host's devices that it has.
    devices: &'g [String],
    /// How many places it stands for.
    count: usize,
    /// What lies in it.
    inside: Vec<&'g GuestPlace>,
}

impl Row<'_> {
    fn height(&self) -> f64 {
        match self.kind {
            PlaceKind::Ram => RAM.0 + RAM.1 * self.inside.len() as f64,
            _ => DEVICE,
        }
    }
}

/// The rows of a card.
fn rows<'g>(domain: &'g Guest) -> Vec<Row<'g>> {
    let mut rows: Vec<Row<'g>> = Vec::new();
    let outside: Vec<&'g GuestPlace> = domain.map.iter().filter(|place| !place.kind.is_in_ram()).collect();
    for run in outside.chunk_by(|one, other| one.kind == other.kind) {
        let row = |places: &[&'g GuestPlace]| {
            let first = places.first()?;
            let end = places.last()?.end();
            Some(Row {
                base: first.base,
                devices: &first.devices,
                end,
                kind: first.kind,
                host: first.host,
                count: places.len(),
                inside: Vec::new(),
            })
        };
        let alone = if run.len() > MOST { MOST - 1 } else { run.len() };
        let (each, together) = run.split_at(alone);
        rows.extend(each.chunks(1).filter_map(row));
        rows.extend(row(together));
    }
    for row in rows.iter_mut().filter(|row| row.kind == PlaceKind::Ram) {
        let inside =
            |place: &&GuestPlace| place.kind.is_in_ram() && (row.base..row.end).contains(&place.base);
        row.inside = domain.map.iter().filter(inside).collect();
    }
    rows
}

/// The texts below the map.
fn notes(domain: &Guest) -> Vec<String> {
    let text = format!("INTID {}", domain.interrupt_words());
    let mut notes = lines(&text, Face::sans(8.5).fitting(WIDTH - 20.0));
    if notes.len() > 3 {
        notes.truncate(2);
        notes.push(format!("\u{2026} {} interrupts in all", domain.interrupts.len()));
    }
    notes
}

/// Height of a domain's card.
pub(crate) fn height(domain: &Guest) -> f64 {
    let rows = rows(domain);
    let breaks = rows.array_windows().filter(|[one, other]| one.end != other.base).count();
    let map: f64 = rows.iter().map(Row::height).sum();
    HEADER + 10.0 + map + BREAK * breaks as f64 + 12.0 + notes(domain).len() as f64 * 11.0 + 6.0
}

/// Draws a card at a place.
pub(crate) fn draw(svg: &mut Svg, domain: &Guest, (x, y): (f64, f64)) {
    svg.rect(Area { x, y, width: WIDTH, height: height(domain) }, "#ffffff", GREY);
    header(svg, domain, (x, y));
    let mut top = y + HEADER + 10.0;
    let mut end = None;
    for row in rows(domain) {
        if end.is_some_and(|end| end != row.base) {
            let column = (x + COLUMN.0, x + COLUMN.0 + COLUMN.1);
            tear(svg, column, top + BREAK / 2.0);
            top += BREAK;
        }
        draw_row(svg, domain, &row, (x, top));
        top += row.height();
        end = Some(row.end);
    }
    for note in notes(domain) {
        top += 11.0;
        svg.text((x + 10.0, top + 6.0), Face::sans(8.5).colour(GREY), &note);
    }
}

fn header(svg: &mut Svg, domain: &Guest, (x, y): (f64, f64)) {
    colours::domain(svg, Area { x, y, width: 40.0, height: HEADER }, domain.id, GREY);
    colours::name(svg, (x + 20.0, y + 24.0), domain.id, 13.0);
    let title = Face::sans(11.5).bold();
    let role = if domain.id == 0 { "dom0" } else { domain.path.as_str() };
    svg.text((x + 48.0, y + 16.0), title, &cut(role, title.fitting(WIDTH - 58.0)));
    let plural = if domain.vcpus == 1 { "" } else { "s" };
    let mut facts = format!("{} vCPU{plural}, {} of RAM", domain.vcpus, about(domain.memory));
    if domain.direct_map {
        facts.push_str(", direct map");
    }
    match domain.pv {
        Interface::None => {}
        Interface::NoXenstore => facts.push_str(", PV"),
        Interface::Xenstore => facts.push_str(", PV with xenstore"),
    }
    let face = Face::sans(9.5);
    svg.text((x + 48.0, y + 30.0), face, &cut(&facts, face.fitting(WIDTH - 58.0)));
}

fn draw_row(svg: &mut Svg, domain: &Guest, row: &Row<'_>, (x, top): (f64, f64)) {
    let area = Area { x: x + COLUMN.0, y: top, width: COLUMN.1, height: row.height() };
    match row.kind {
        PlaceKind::Ram => colours::memory(svg, area, Use::Ram, Some(domain.id)),
        PlaceKind::SharedMemory => colours::memory(svg, area, Use::SharedMemory, None),
        PlaceKind::HostDevice => svg.rect(area, "#d9e2ec", INK),
        PlaceKind::GrantWindow | PlaceKind::Extended => {
            svg.rect(area, "#ffffff", INK);
            svg.rect(area, "url(#stripes)", "");
        }
        _ => svg.rect(area, "#eef0f2", INK),
    }
    svg.text((x + COLUMN.0 - 6.0, top + 10.5), Face::mono(9.0).end(), &format!("{:#x}", row.base));
    let words = row.kind.words();
    let bytes = about(row.end.saturating_sub(row.base));
    let text = match (row.count, row.host) {
        (2.., _) if row.kind == PlaceKind::Ram => format!("RAM in {} more pieces, {bytes}", row.count),
        (2.., _) => format!("{} more: {words}", row.count),
        (_, Some(host)) if row.kind == PlaceKind::Ram && host == row.base => {
            format!("{bytes} RAM, at the host's")
        }
        (_, Some(host)) if row.kind == PlaceKind::Ram => format!("{bytes} RAM: host {host:#x}"),
        _ => match row.devices {
            [] => format!("{words}, {bytes}"),
            [one] => format!("{}, {bytes}", last(one)),
            [one, rest @ ..] => format!("{} + {}, {bytes}", last(one), rest.len()),
        },
    };
    let mut wanted = vec![top + 8.5];
    let length = row.end.saturating_sub(row.base).max(1) as f64;
    let at = |place: &GuestPlace| top + row.height() * (place.base.saturating_sub(row.base) as f64 / length);
    wanted.extend(row.inside.iter().map(|place| at(place)));
    let places = spread(&wanted, LINE, (top + 8.5, top + row.height() - LINE / 2.0));
    let mut texts = vec![text];
    texts.extend(row.inside.iter().map(|place| inside(place)));
    for ((place, text), middle) in places.iter().zip(&texts).zip(&wanted) {
        leader(svg, x, (*middle, *place));
        let face = Face::sans(9.5);
        svg.text((x + TEXT, place + 3.3), face, &cut(text, face.fitting(WIDTH - TEXT - 4.0)));
    }
    for place in &row.inside {
        let height = (row.height() * place.size as f64 / length).max(1.5);
        let area = Area { x: x + COLUMN.0 + 16.0, y: at(place), width: COLUMN.1 - 16.0, height };
        svg.rect(area, "#ffffff", INK);
        if place.kind != PlaceKind::Kernel {
            svg.rect(area, "url(#grain)", "");
        }
    }
}

/// The last name of a path.
fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What lies in RAM, in words.
fn inside(place: &GuestPlace) -> String {
    format!("{} {:#x}", place.kind.words(), place.base)
}

fn leader(svg: &mut Svg, x: f64, (middle, place): (f64, f64)) {
    let edge = x + COLUMN.0 + COLUMN.1;
    svg.line(
        &[(edge, middle), (edge + 4.0, middle), (x + TEXT - 7.0, place), (x + TEXT - 3.0, place)],
        GREY,
        0.6,
    );
}
