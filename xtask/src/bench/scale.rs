//! `./x bench --scale`: how boot, events, scheduling and memory grow with domains, vCPUs, processors and RAM.
//!
//! A curve has a natural order, and grows no faster than that from any point to the next: that is checked for Xenite.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::system::{Domain, Gic, System};

use super::measure::{self, Line};
use super::results::{Each, Programs};
use super::scenarios::{Domains, Scenario, Stage, Subject};

/// How a cost may grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Not at all.
    Constant,
    /// By no more with each doubling than with the doublings before.
    Logarithmic,
    /// By no more for each than for those before.
    Linear,
}

/// What grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Axis {
    Domains,
    Vcpus,
    Processors,
    Gibibytes,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cost {
    /// Until the last domain's first instruction.
    Boot,
    /// There and back between two domains; the others sleep.
    Event,
    /// One change of domains while all yield.
    Yield,
    /// Kept by the hypervisor, in KiB.
    Kept,
}

/// A curve.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    /// Its name in the results.
    pub name: &'static str,
    /// Title of its picture.
    pub title: &'static str,
    /// The largest point under Xen: it has no room for more modules, or cleans all RAM before it rests.
    xen_until: u32,
    /// How it may grow.
    pub order: Order,
    cost: Cost,
    axis: Axis,
    points: &'static [u32],
}

const DOMAINS: &[u32] = &[1, 2, 4, 8, 16, 32];
const PAIRS: &[u32] = &[2, 4, 8, 16, 32];
const VCPUS: &[u32] = &[1, 2, 4, 8, 16, 32, 64, 128];
const FEW: &[u32] = &[1, 2, 4, 8];
const GIBIBYTES: &[u32] = &[1, 2, 4, 8, 16];

/// All curves.
pub const CURVES: [Curve; 9] = [
    curve("boot.domains", "boot by domains", (Cost::Boot, Axis::Domains, DOMAINS), 16, Order::Linear),
    curve("boot.vcpus", "boot by vCPUs", (Cost::Boot, Axis::Vcpus, VCPUS), 128, Order::Linear),
    // Xen's processors wait for each other at boot, and each waits as long as QEMU lets another one run.
    curve("boot.processors", "boot by processors", (Cost::Boot, Axis::Processors, FEW), 0, Order::Linear),
    curve("boot.gibibytes", "boot by GiB", (Cost::Boot, Axis::Gibibytes, GIBIBYTES), 4, Order::Linear),
    curve("event.domains", "ping-pong by domains", (Cost::Event, Axis::Domains, PAIRS), 16, Order::Constant),
    curve("yield.domains", "yield by domains", (Cost::Yield, Axis::Domains, PAIRS), 16, Order::Logarithmic),
    curve("kept.domains", "KiB kept by domains", (Cost::Kept, Axis::Domains, DOMAINS), 16, Order::Linear),
    curve("kept.vcpus", "KiB kept by vCPUs", (Cost::Kept, Axis::Vcpus, VCPUS), 128, Order::Linear),
    curve("kept.gibibytes", "KiB kept by GiB", (Cost::Kept, Axis::Gibibytes, GIBIBYTES), 4, Order::Linear),
];

const fn curve(
    name: &'static str,
    title: &'static str,
    (cost, axis, points): (Cost, Axis, &'static [u32]),
    xen_until: u32,
    order: Order,
) -> Curve {
    Curve { name, title, xen_until, order, cost, axis, points }
}

/// The points of a curve.
pub type Points = Vec<(u32, u64)>;

/// All curves of a run.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Scale {
    /// What was measured with what.
    pub programs: Programs,
    /// Points by curve.
    pub curves: BTreeMap<String, Each<Points>>,
}

/// MiB of each domain, and of a machine with so many.
const DOMAIN_MIB: u64 = 16;
const MACHINE_MIB: u64 = 2048;

/// Measures all curves, each point twice.
///
/// # Errors
/// When a system does not come to its end, or two runs differ.
pub fn run(stage: &Stage, subjects: &[Subject]) -> Result<Scale> {
    let mut scale = Scale { programs: Programs::here()?, curves: BTreeMap::new() };
    for curve in &CURVES {
        let each = scale.curves.entry(curve.name.to_owned()).or_default();
        for subject in subjects.iter().filter(|subject| **subject != Subject::Bare) {
            let ours = *subject == Subject::Xenite;
            let points = curve.points.iter().filter(|point| ours || **point <= curve.xen_until);
            let points = points.map(|point| curve.at(stage, *subject, *point)).collect::<Result<Points>>()?;
            println!("{:<16} {:<7} {points:?}", curve.name, subject.name());
            if !points.is_empty() {
                *each.of_mut(*subject) = Some(points);
            }
        }
    }
    Ok(scale)
}

impl Scale {
    /// Whether the curves of Xenite grow no faster than they may.
    ///
    /// # Errors
    /// When one does not.
    pub fn check(&self) -> Result<()> {
        for curve in &CURVES {
            if let Some(points) = self.curves.get(curve.name).and_then(|each| each.xenite.as_ref()) {
                ensure!(curve.order.holds(points), "{} grows faster than it may: {points:?}", curve.name);
            }
        }
        Ok(())
    }

    /// Reads curves.
    ///
    /// # Errors
    /// When there is no such file, or it holds something else.
    pub fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} holds no curves", file.display()))
    }

    /// Writes curves, one to a line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let curves = self.curves.iter().map(|(name, each)| -> Result<String> {
            Ok(format!("    {}: {}", serde_json::to_string(name)?, serde_json::to_string(each)?))
        });
        let curves = curves.collect::<Result<Vec<String>>>()?.join(",\n");
        let programs = serde_json::to_string_pretty(&self.programs)?.replace('\n', "\n  ");
        let text = format!("{{\n  \"programs\": {programs},\n  \"curves\": {{\n{curves}\n  }}\n}}\n");
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

impl Order {
    /// Whether a curve grows so. What lies within 2 % of a value is no growth, nor is a tenth more of it faster growth.
    #[must_use]
    pub fn holds(self, points: &[(u32, u64)]) -> bool {
        let mut most = 0;
        for (index, pair) in points.windows(2).enumerate() {
            let [(x, y), (next_x, next_y)] = *pair else { continue };
            let growth = next_y.saturating_sub(y);
            let is_growth = growth > y / 50;
            let rate = if self == Self::Linear { growth / u64::from(next_x - x).max(1) } else { growth };
            let is_faster = self == Self::Constant || (index > 0 && rate > most + most / 10);
            if is_growth && is_faster {
                return false;
            }
            most = most.max(rate);
        }
        true
    }
}

impl Curve {
    /// A point, measured twice.
    fn at(&self, stage: &Stage, subject: Subject, x: u32) -> Result<(u32, u64)> {
        let once = || -> Result<u64> {
            let system = self.system(stage, subject, x)?;
            let speakers = if self.cost == Cost::Boot { system.domains.len() } else { 1 };
            self.value(&measure::lines(&system, speakers)?, system.machine.memory_mib, x)
        };
        let [first, second] = super::twice(once).with_context(|| format!("{} at {x}", self.name))?;
        ensure!(first == second, "{} at {x} is not the same twice: {first} and {second}", self.name);
        Ok((x, first))
    }

    fn system(&self, stage: &Stage, subject: Subject, x: u32) -> Result<System> {
        let of = |axis| if self.axis == axis { x } else { 1 };
        let (domains, vcpus) = (of(Axis::Domains) as usize, of(Axis::Vcpus));
        let (kinds, words) = match self.cost {
            Cost::Boot => (Domains::Boot(domains), ""),
            Cost::Event => (Domains::Pair, "bench.only=evtchn.pingpong_wfi"),
            Cost::Yield => (Domains::Bench(1), "bench.only=sched.yield_alone"),
            Cost::Kept => (Domains::Kept(domains, vcpus), ""),
        };
        let memory = u64::from(of(Axis::Gibibytes)) * 1024;
        let memory = if self.axis == Axis::Gibibytes { memory } else { MACHINE_MIB };
        let scenario = Scenario::new(kinds, of(Axis::Processors), memory);
        let mut system = stage.system(&scenario, subject, words)?;
        system.machine.gic = Gic::V3;
        let more = domains.saturating_sub(system.domains.len());
        for _ in 0..more {
            let word = if self.cost == Cost::Yield { "bench.yields" } else { "hello.stays" };
            let guest = if self.cost == Cost::Yield { "bench" } else { "hello" };
            let mut domain = Domain::plain(stage.guest(guest)?, 1, DOMAIN_MIB);
            domain.kernel.bootargs = Some(word.to_owned());
            domain.extra = super::scenarios::ENHANCED.to_owned();
            system.domains.push(domain);
        }
        for domain in &mut system.domains {
            domain.memory_kib = DOMAIN_MIB * 1024;
            domain.cpus = domain.cpus.max(vcpus);
        }
        Ok(system)
    }

    fn value(&self, lines: &[Line], memory_mib: u64, x: u32) -> Result<u64> {
        match self.cost {
            Cost::Boot => measure::all(lines, "boot.first_entry")
                .into_iter()
                .max()
                .context("no guest said when it began"),
            Cost::Event => measure::only(lines, "evtchn.pingpong_wfi"),
            Cost::Yield => Ok(measure::only(lines, "sched.yield_alone")? / u64::from(x)),
            Cost::Kept => {
                let given = measure::only(lines, "free_pages")? + measure::only(lines, "domain_pages")?;
                let kept = (memory_mib * 256).checked_sub(given);
                Ok(kept.context("there is more memory than the machine has")? * 4)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_for_what_grows_no_faster() {
        let line: Points = [1, 2, 4, 8].map(|x| (x, 1_000 + 500 * u64::from(x))).to_vec();
        assert!(Order::Linear.holds(&line));
        assert!(!Order::Constant.holds(&line));
        assert!(!Order::Logarithmic.holds(&line));
        let square: Points = [1, 2, 4, 8].map(|x| (x, 1_000 + 500 * u64::from(x * x))).to_vec();
        assert!(!Order::Linear.holds(&square));
        let logarithm: Points = [1, 2, 4, 8].map(|x: u32| (x, 1_000 + 100 * u64::from(x.ilog2()))).to_vec();
        assert!(Order::Logarithmic.holds(&logarithm));
        assert!(Order::Constant.holds(&[(1, 1_000), (64, 1_010)]));
    }
}
