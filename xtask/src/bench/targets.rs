//! What was aimed at before it was measured, and whether it is reached. Where it is not, docs/performance.md says why: each such
//! figure stands there in a paragraph of its own, which `./x tidy` asks for.

use std::fmt::Write as _;

use super::results::Results;
use super::table::number;

/// Figures and the most that they should be.
const TARGETS: [(&str, u64); 33] = [
    ("hvc.xen_version", 150),
    ("hvc.bad_number", 130),
    ("hvc.multicall8", 700),
    ("sysreg.id_aa64mmfr0", 130),
    ("mmio.gicd_typer_rd", 180),
    ("mmio.vpl011_fr_rd", 200),
    ("psci.version", 140),
    ("psci.cpu_on.entry", 1_800),
    ("sgi.self.entry", 350),
    ("timer.busy.entry", 350),
    ("timer.wfi.entry", 900),
    ("evtchn.self_ipi.entry", 420),
    ("evtchn.send_masked", 250),
    ("evtchn.pingpong_wfi", 2_800),
    ("evtchn.static_running.2p", 900),
    ("sched.yield_alone", 400),
    ("sched.yield_pair", 1_800),
    ("mem.decrease_4k", 900),
    ("mem.populate_4k", 900),
    ("mem.decrease_2m", 60_000),
    ("irqlate.worst", 4_000),
    ("gnttab.map_self", 700),
    ("gnttab.unmap_self", 700),
    ("gnttab.copy4k_ref_frame", 1_300),
    ("boot1.last_entry", 3_000_000),
    ("boot.each_further", 1_200_000),
    ("boot8.static.last_entry", 12_000_000),
    ("foot0.hyp_kib", 4 << 10),
    ("foot0.m4096.hyp_kib", 10 << 10),
    ("foot.per_domain_kib", 300),
    ("foot.per_static_domain_kib", 300),
    ("spin1.1p.overhead_ppm", 50),
    ("seal.allocations", 0),
];

/// The figures of which Xenite has results, with what they should be and what they are.
fn rows(results: &Results) -> impl Iterator<Item = (&'static str, u64, u64)> {
    TARGETS
        .iter()
        .filter_map(|(name, limit)| Some((*name, *limit, results.figures.get(*name)?.xenite?.median)))
}

/// All of them as a table.
#[must_use]
pub fn table(results: &Results) -> String {
    let mut text = String::from("| figure | aimed at | Xenite | |\n| --- | --- | --- | --- |\n");
    for (name, limit, value) in rows(results) {
        let comment = if value <= limit { "reached" } else { "**not reached**" };
        let _ = writeln!(text, "| `{name}` | {} | {} | {comment} |", number(limit), number(value));
    }
    text
}

/// The figures that miss their targets and have no paragraph of their own in the text, which begins with their names.
#[must_use]
pub fn unexplained(results: &Results, text: &str) -> Vec<&'static str> {
    let is_explained = |name: &str| {
        text.lines().filter(|line| line.starts_with("**`")).any(|line| {
            let names = line.split("**").nth(1).unwrap_or_default();
            names.split('`').any(|word| word == name)
        })
    };
    let missed = rows(results).filter(|(_, limit, value)| value > limit).map(|(name, ..)| name);
    missed.filter(|name| !is_explained(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::figures::FIGURES;
    use super::super::results::{Each, Figure};
    use super::*;

    fn results(value: u64) -> Results {
        let mut results = Results::default();
        let each = Each { xenite: Some(Figure::exact(value)), ..Each::default() };
        results.figures.insert("psci.version".to_owned(), each);
        results
    }

    #[test]
    fn each_target_is_that_of_a_figure() {
        for (name, _) in TARGETS {
            assert!(FIGURES.iter().any(|row| row.name == name), "{name}");
        }
    }

    #[test]
    fn what_misses_its_target_needs_a_paragraph_that_begins_with_its_name() {
        assert!(unexplained(&results(140), "").is_empty());
        assert_eq!(unexplained(&results(141), "psci.version"), ["psci.version"]);
        assert_eq!(unexplained(&results(141), "a\n**`psci.version`**: because\n"), [""; 0]);
        assert_eq!(unexplained(&results(141), "**`smccc.version`, `psci.version`** need\n"), [""; 0]);
    }

    #[test]
    fn a_table_says_what_is_reached() {
        assert!(table(&results(140)).ends_with("| `psci.version` | 140 | 140 | reached |\n"));
        assert!(table(&results(141)).ends_with("| `psci.version` | 140 | 141 | **not reached** |\n"));
    }
}
