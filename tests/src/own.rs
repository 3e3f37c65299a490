//! The own guest kernels, each in the systems that it is written for.
//!
//! A guest checks what it sees and prints one line for each check; how its lines are written and what it wants stands
//! in `guests/README.md`.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::guests::Guest;
use xtask::qemu::Prepared;
use xtask::system::{Domain, Gic, System};

use crate::{Scenario, Setup};

/// How long a guest may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A guest and the system that it runs in.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The guest's name.
    pub guest: Cow<'static, str>,
    /// What is special, for the name of the scenario.
    what: &'static str,
    /// Its vCPUs.
    cpus: u32,
    /// Physical processors.
    processors: u32,
    /// Words on the command line of each domain that runs it: one domain for each.
    words: &'static [&'static str],
    /// Whether the domains have Xen's paravirtual interface.
    enhanced: bool,
    /// More lines for the node of each domain.
    nodes: &'static [&'static str],
    /// More words for the hypervisor.
    arguments: &'static str,
}

/// One domain with no words of its own.
const ONE: &[&str] = &[""];

/// The variants of the guests that want more than the usual, which is two vCPUs on two processors.
const VARIANTS: [Variant; 20] = [
    variant("hello", "", (1, 2), ONE),
    variant("timer", " with one vCPU", (1, 2), ONE),
    variant("timer", " with two vCPUs on one processor", (2, 1), ONE),
    variant("gic", "", (2, 2), ONE),
    variant("gic", " with four vCPUs", (4, 2), ONE),
    variant("smp", " with four vCPUs on two processors", (4, 2), ONE),
    variant("smp", " with four vCPUs on one processor", (4, 1), ONE),
    variant("smp", " with sixteen vCPUs", (16, 2), &["smp.laps=5 smp.ticks=10"]),
    variant("registers", "", (2, 2), ONE),
    variant(
        "registers",
        " beside another on one processor",
        (2, 1),
        &["registers.seed=1", "registers.seed=2"],
    ),
    variant("uart", "", (1, 2), ONE),
    variant("isolation", " beside another", (2, 2), &["isolation.quiet", "isolation.quiet"]),
    variant("hypercalls", "", (2, 2), ONE).enhanced(),
    variant("events", "", (2, 2), ONE).enhanced(),
    variant("events", " on one processor", (2, 1), ONE).enhanced(),
    variant("events", " between two domains", (1, 2), &["events.port=10 events.first", "events.port=11"])
        .enhanced()
        .with_nodes(&[
            "\t\t\tfirst: evtchn@1 { compatible = \"xen,evtchn-v1\"; xen,evtchn = <10 &second>; };\n",
            "\t\t\tsecond: evtchn@1 { compatible = \"xen,evtchn-v1\"; xen,evtchn = <11 &first>; };\n",
        ]),
    variant("memory", "", (1, 2), ONE).enhanced(),
    variant("grants", "", (1, 2), ONE).enhanced(),
    variant(
        "grants",
        " kept apart",
        (1, 2),
        &["grants.peer=2 grants.refused", "grants.peer=1 grants.refused"],
    )
    .enhanced(),
    variant("grants", " between two domains", (1, 2), &["grants.peer=2", "grants.peer=1"])
        .enhanced()
        .with_arguments("xsm=dummy"),
];

/// A guest with so many vCPUs on so many processors.
const fn variant(
    guest: &'static str,
    what: &'static str,
    (cpus, processors): (u32, u32),
    words: &'static [&'static str],
) -> Variant {
    Variant {
        guest: Cow::Borrowed(guest),
        what,
        cpus,
        processors,
        words,
        enhanced: false,
        nodes: &[],
        arguments: "",
    }
}

/// Guests that do not come to an end by themselves, only measure, or need dom0.
const SPECIAL: [&str; 11] =
    ["bench", "busy", "death", "compute", "kept", "pace", "hammer", "meet", "pool", "shared", "still"];

/// All variants of the guests that there are.
#[must_use]
pub fn variants(guests: &[Guest]) -> Vec<Variant> {
    let mut variants = Vec::new();
    for guest in guests.iter().filter(|guest| !SPECIAL.contains(&guest.name.as_str())) {
        let before = variants.len();
        variants.extend(VARIANTS.into_iter().filter(|variant| variant.guest == guest.name));
        if variants.len() == before {
            variants.push(Variant { guest: Cow::Owned(guest.name.clone()), ..variant("", "", (2, 2), ONE) });
        }
    }
    variants
}

impl Variant {
    /// The same with Xen's paravirtual interface.
    const fn enhanced(mut self) -> Self {
        self.enhanced = true;
        self
    }

    /// The same with more words for the hypervisor.
    const fn with_arguments(mut self, arguments: &'static str) -> Self {
        self.arguments = arguments;
        self
    }

    /// The same with more lines for the node of each domain.
    const fn with_nodes(mut self, nodes: &'static [&'static str]) -> Self {
        self.nodes = nodes;
        self
    }

    /// Whether Xen runs it too: with few vCPUs, since these runs cost double.
    #[must_use]
    pub const fn is_compared(&self) -> bool {
        self.cpus <= 8
    }

    /// The name of the scenario.
    #[must_use]
    pub fn name(&self, gic: Gic) -> String {
        format!("{}{}, GICv{}", self.guest, self.what, gic.version())
    }

    /// The system that it runs in; the extra words come behind its own.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn system(&self, mut system: System, setup: &Setup, gic: Gic, extra: &str) -> Result<System> {
        system.machine.gic = gic;
        system.machine.cpus = self.processors;
        if ["smp", "timer"].contains(&&*self.guest) {
            // They measure time, which the load of this computer must not disturb: QEMU's own timers fall behind its
            // counter when its main thread is not let run.
            system.machine.count_instructions();
        }
        let image = setup.guest(&self.guest)?;
        if !self.arguments.is_empty() {
            system.arguments = format!("{} {}", system.arguments, self.arguments);
        }
        for (index, words) in self.words.iter().enumerate() {
            let mut domain = Domain::plain(image.clone(), self.cpus, 64);
            domain.kernel.bootargs = Some(format!("{words} {extra}").trim().to_owned());
            // The guest for the interrupt controller wants shared interrupts that nobody uses.
            domain.extra = "\t\t\tnr_spis = <96>;\n".to_owned();
            if self.enhanced {
                domain.extra.push_str("\t\t\txen,enhanced = \"no-xenstore\";\n");
            }
            domain.extra.push_str(self.nodes.get(index).copied().unwrap_or_default());
            system.domains.push(domain);
        }
        Ok(system)
    }
}

/// The scenarios.
#[must_use]
pub fn scenarios(setup: &Setup) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for variant in variants(&setup.guests) {
        for gic in [Gic::V2, Gic::V3] {
            if variant.cpus > 8 && gic == Gic::V2 {
                continue;
            }
            let variant = variant.clone();
            scenarios.push(Scenario::new(format!("guest: {}", variant.name(gic)), move |setup| {
                // What Xen gets wrong is checked too.
                let system = variant.system(setup.system(), setup, gic, "strict")?;
                let said = run(&system)?;
                let failed: Vec<&String> =
                    said.iter().flatten().filter(|line| line.starts_with("FAIL ")).collect();
                ensure!(failed.is_empty(), "{} checks failed: {failed:#?}", failed.len());
                Ok(())
            }));
        }
    }
    scenarios
}

/// Runs the domains of a system until all are done, and gives the lines of each without their prefixes.
///
/// # Errors
/// When one does not come to its end.
pub fn run(system: &System) -> Result<Vec<Vec<String>>> {
    let mut machine = Prepared::new(system)?.start()?;
    for _ in &system.domains {
        machine.expect_line("DONE ", LIMIT)?;
    }
    let output = machine.output();
    let mut all = Vec::new();
    for domain in 1..=system.domains.len() {
        let prefix = format!("DOM{domain}: ");
        let lines = output.lines().filter_map(|line| line.split_once(&prefix));
        let said: Vec<String> = lines.map(|(_, text)| text.trim_end().to_owned()).collect();
        let done = said.iter().find_map(|line| line.strip_prefix("DONE ")).context("a guest is not done")?;
        let checks = said.iter().filter(|line| line.starts_with("ok ") || line.starts_with("FAIL ")).count();
        let counted: usize = done.split([' ', ',']).filter_map(|word| word.parse::<usize>().ok()).sum();
        ensure!(
            checks == counted && checks > 0,
            "domain {domain} counted {counted} checks, but printed {checks}"
        );
        all.push(said);
    }
    Ok(all)
}

/// An image of a few instructions, in the folder of made things.
///
/// # Errors
/// When it cannot be written.
pub fn image(name: &str, code: &[u32]) -> Result<PathBuf> {
    let mut bytes = Vec::new();
    // b to the code behind the header; no offset; 4 KiB pages at any place; the magic at 0x38.
    bytes.extend(0x1400_0010_u32.to_le_bytes());
    bytes.resize(16, 0);
    bytes.extend(0x1_0000_u64.to_le_bytes());
    bytes.extend(0b1010_u64.to_le_bytes());
    bytes.resize(0x38, 0);
    bytes.extend(b"ARM\x64");
    bytes.resize(64, 0);
    bytes.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    bytes.resize(4096, 0);
    let file = xtask::paths::target().join("made").join(name).with_extension("img");
    xtask::image::write(&file, &bytes)?;
    Ok(file)
}
