//! `./x bench --scale`: how boot, events, scheduling and memory grow with domains, vCPUs, processors and RAM.
//!
//! A curve has a natural order, and grows no faster than that from its highest point to any later one: that is checked
//! for Xenite, here and by `./x tidy` for the curves that are committed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::system::{Domain, Gic, System};

use super::measure::{self, Line};
use super::results::{Each, Programs, fill};
use super::scenarios::{Domains, ENHANCED, Scenario, Stage, Subject};

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
    /// There and back between two domains; all others sleep.
    Event,
    /// One change of vCPUs while all yield.
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
    /// How it may grow.
    pub order: Order,
    cost: Cost,
    axis: Axis,
}

/// All curves: a row of the picture for each cost, a column for each of what grows.
pub const CURVES: [Curve; 16] = [
    curve("boot.domains", "boot by domains", Cost::Boot, Axis::Domains, Order::Linear),
    curve("boot.vcpus", "boot by vCPUs", Cost::Boot, Axis::Vcpus, Order::Linear),
    curve("boot.processors", "boot by processors", Cost::Boot, Axis::Processors, Order::Linear),
    curve("boot.gibibytes", "boot by GiB", Cost::Boot, Axis::Gibibytes, Order::Linear),
    curve("event.domains", "ping-pong by domains", Cost::Event, Axis::Domains, Order::Constant),
    curve("event.vcpus", "ping-pong by vCPUs", Cost::Event, Axis::Vcpus, Order::Constant),
    curve("event.processors", "ping-pong by processors", Cost::Event, Axis::Processors, Order::Constant),
    curve("event.gibibytes", "ping-pong by GiB", Cost::Event, Axis::Gibibytes, Order::Constant),
    curve("yield.domains", "yield by domains", Cost::Yield, Axis::Domains, Order::Logarithmic),
    curve("yield.vcpus", "yield by vCPUs", Cost::Yield, Axis::Vcpus, Order::Logarithmic),
    curve("yield.processors", "yield by processors", Cost::Yield, Axis::Processors, Order::Constant),
    curve("yield.gibibytes", "yield by GiB", Cost::Yield, Axis::Gibibytes, Order::Constant),
    curve("kept.domains", "KiB kept by domains", Cost::Kept, Axis::Domains, Order::Linear),
    curve("kept.vcpus", "KiB kept by vCPUs", Cost::Kept, Axis::Vcpus, Order::Linear),
    curve("kept.processors", "KiB kept by processors", Cost::Kept, Axis::Processors, Order::Linear),
    curve("kept.gibibytes", "KiB kept by GiB", Cost::Kept, Axis::Gibibytes, Order::Linear),
];

const fn curve(name: &'static str, title: &'static str, cost: Cost, axis: Axis, order: Order) -> Curve {
    Curve { name, title, order, cost, axis }
}

/// The curves of these names, or of names that begin so up to a dot; all, if nothing is said.
///
/// # Errors
/// When there is none of a name.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Curve>> {
    let is_meant = |curve: &Curve, name: &str| {
        let rest = curve.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || name.ends_with('.'))
    };
    for name in names {
        let is_there = CURVES.iter().any(|curve| is_meant(curve, name));
        ensure!(is_there, "there is no curve `{name}`: ./x bench --scale --list");
    }
    let is_wanted = |curve: &&Curve| names.is_empty() || names.iter().any(|name| is_meant(curve, name));
    Ok(CURVES.iter().filter(is_wanted).collect())
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
/// The most vCPUs of a domain under Xen, whose tree for it has 4 KiB.
const XEN_VCPUS: u32 = 32;
/// The vCPUs of a domain that is there for company, whose tree has more in it.
const COMPANY_VCPUS: u32 = 16;

/// Measures curves, each point twice.
///
/// # Errors
/// When a system does not come to its end, or two runs differ.
pub fn run(stage: &Stage, curves: &[&Curve], subjects: &[Subject]) -> Result<Scale> {
    let mut scale = Scale { programs: Programs::here()?, curves: BTreeMap::new() };
    for curve in curves {
        let each = scale.curves.entry(curve.name.to_owned()).or_default();
        for subject in subjects.iter().filter(|subject| curve.is_of(**subject)) {
            let points = curve
                .points_of(*subject)
                .map(|point| curve.at(stage, *subject, point))
                .collect::<Result<Points>>()?;
            println!("{:<16} {:<7} {points:?}", curve.name, subject.name());
            *each.of_mut(*subject) = Some(points);
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

    /// The same with all that was not measured now from earlier curves.
    ///
    /// # Errors
    /// When those were measured with other programs.
    pub fn with_earlier(&self, then: &Self) -> Result<Self> {
        let mut all = self.clone();
        fill(&mut all.curves, &then.curves, |name, _| CURVES.iter().any(|curve| curve.name == name));
        if all.curves != self.curves {
            all.programs = all.programs.with_earlier(&then.programs)?;
        }
        Ok(all)
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
    /// Whether a curve grows so: no point is more than 2 % above where the steepest growth before it, for each or for
    /// each doubling, would lead from the highest.
    #[must_use]
    pub fn holds(self, points: &[(u32, u64)]) -> bool {
        let Some((&first, rest)) = points.split_first() else { return true };
        let (mut highest, mut steepest) = (first, None);
        for &(x, y) in rest {
            let steps = match self {
                Self::Constant => 0.0,
                Self::Logarithmic => (f64::from(x) / f64::from(highest.0)).log2(),
                Self::Linear => f64::from(x - highest.0),
            };
            let expected = steepest.map(|rate: f64| highest.1 as f64 + rate * steps);
            if let Some(expected) = expected.or((self == Self::Constant).then_some(first.1 as f64))
                && y as f64 > expected * 1.02
            {
                return false;
            }
            if self != Self::Constant && y > highest.1 {
                let rate = (y - highest.1) as f64 / steps;
                steepest = Some(rate.max(steepest.unwrap_or(0.0)));
                highest = (x, y);
            }
        }
        true
    }
}

impl Curve {
    /// The points of a subject. Xen finds no room for a domain's tree of more vCPUs.
    fn points_of(&self, subject: Subject) -> impl Iterator<Item = u32> {
        let is_whole = matches!(self.cost, Cost::Boot | Cost::Kept) && self.axis == Axis::Vcpus;
        let last = if is_whole && subject == Subject::Xen { XEN_VCPUS } else { u32::MAX };
        self.points().filter(move |x| *x <= last)
    }

    /// Whether a subject has it. A bare machine has no domains. Xen's processors wait for each other at boot, and each as
    /// long as QEMU lets another one run, which says nothing of Xen.
    fn is_of(&self, subject: Subject) -> bool {
        match subject {
            Subject::Xen => self.name != "boot.processors",
            Subject::Xenite => true,
            Subject::Bare => false,
        }
    }

    /// The points along its axis. Two take part in an event, and in a change of domains or vCPUs.
    fn points(&self) -> impl Iterator<Item = u32> {
        let last = match self.axis {
            Axis::Domains => 64,
            Axis::Vcpus => 128,
            Axis::Processors => 8,
            Axis::Gibibytes => 16,
        };
        let are_two = match self.cost {
            Cost::Boot | Cost::Kept => false,
            Cost::Event => self.axis != Axis::Gibibytes,
            Cost::Yield => matches!(self.axis, Axis::Domains | Axis::Vcpus),
        };
        let first = if are_two { 2 } else { 1 };
        (0..32).map(|doublings| 1 << doublings).filter(move |x| (first..=last).contains(x))
    }

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
        let (domains, vcpus) = (of(Axis::Domains), of(Axis::Vcpus));
        let (kinds, words) = match self.cost {
            Cost::Boot => (Domains::Boot(domains as usize), ""),
            Cost::Event => (Domains::Pair, "bench.first_ms=4000 bench.only=evtchn.pingpong_wfi"),
            Cost::Yield => (Domains::Bench(1), "bench.only=sched.yield_alone"),
            // Dom0 is one of the domains; otherwise there is one beside it.
            Cost::Kept => {
                (Domains::Kept(if self.axis == Axis::Domains { domains as usize - 1 } else { 1 }, vcpus), "")
            }
        };
        let memory = if self.axis == Axis::Gibibytes { u64::from(x) * 1024 } else { MACHINE_MIB };
        let scenario = Scenario::new(kinds, of(Axis::Processors), memory);
        let mut system = stage.system(&scenario, subject, words)?;
        system.machine.gic = Gic::V3;
        self.populate(stage, &mut system, domains, vcpus)?;
        system.domains.iter_mut().for_each(|domain| domain.memory_kib = DOMAIN_MIB * 1024);
        Ok(system)
    }

    /// Adds domains, or vCPUs in domains that Xen can have as well, until there are so many of them in all. They have no words, because Xen has not
    /// room for those of many.
    fn populate(&self, stage: &Stage, system: &mut System, domains: u32, vcpus: u32) -> Result<()> {
        let company = match self.cost {
            Cost::Boot | Cost::Kept => {
                system.domains.iter_mut().for_each(|domain| domain.cpus = vcpus);
                return Ok(());
            }
            Cost::Event => "still",
            Cost::Yield => "busy",
        };
        let there = system.domains.len() as u32;
        let mut add = |cpus| -> Result<()> {
            let mut domain = Domain::plain(stage.guest(company)?, cpus, DOMAIN_MIB);
            domain.extra = ENHANCED.to_owned();
            system.domains.push(domain);
            Ok(())
        };
        (there..domains).try_for_each(|_| add(1))?;
        let more = vcpus.saturating_sub(there);
        (0..more).step_by(COMPANY_VCPUS as usize).try_for_each(|first| add((more - first).min(COMPANY_VCPUS)))
    }

    fn value(&self, lines: &[Line], memory_mib: u64, x: u32) -> Result<u64> {
        match self.cost {
            Cost::Boot => measure::all(lines, "boot.first_entry")
                .into_iter()
                .max()
                .context("no guest said when it began"),
            Cost::Event => measure::only(lines, "evtchn.pingpong_wfi"),
            Cost::Yield => {
                let round = measure::only(lines, "sched.yield_alone")?;
                let is_shared = matches!(self.axis, Axis::Domains | Axis::Vcpus);
                Ok(if is_shared { round / u64::from(x) } else { round })
            }
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
        // Each step is less than 2 %, all of them together are not.
        assert!(!Order::Constant.holds(&[(1, 1_000), (2, 1_015), (4, 1_030), (8, 1_045)]));
    }

    #[test]
    fn a_dip_makes_what_follows_it_no_faster() {
        assert!(Order::Logarithmic.holds(&[(2, 1_780), (4, 1_885), (8, 1_963), (16, 1_900), (32, 2_086)]));
        assert!(!Order::Logarithmic.holds(&[(2, 1_780), (4, 1_885), (8, 1_963), (16, 1_900), (32, 2_286)]));
    }

    #[test]
    fn a_name_means_a_curve_or_the_start_of_some() {
        let count = |name: &str| chosen(&[name.to_owned()]).map(|curves| curves.len());
        assert_eq!(count("boot.domains").unwrap(), 1);
        assert_eq!(count("boot").unwrap(), 4);
        assert_eq!(chosen(&[]).unwrap().len(), CURVES.len());
        assert!(count("boo").is_err());
    }
}
