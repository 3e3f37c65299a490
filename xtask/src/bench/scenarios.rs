//! What is measured: systems in which the same guests run under Xen, under Xenite, and where it is possible on the bare
//! machine.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::guests::{self, Guest};
use crate::system::{Dom0, Domain, Hypervisor, System};

/// What is at EL2, or that nothing is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// Debian's Xen.
    Xen,
    /// Ours.
    Xenite,
    /// The guest is the machine's kernel, at EL1.
    Bare,
}

impl Subject {
    /// All of them, in the order in which they are run.
    pub const ALL: [Self; 3] = [Self::Xen, Self::Xenite, Self::Bare];

    /// The name, as it stands in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xen => "xen",
            Self::Xenite => "xenite",
            Self::Bare => "bare",
        }
    }
}

/// Both hypervisors.
const BOTH: &[Subject] = &[Subject::Xen, Subject::Xenite];
/// The bare machine too.
const ALL: &[Subject] = &Subject::ALL;
/// What Debian's Xen cannot do.
const OURS: &[Subject] = &[Subject::Xenite];

/// A system and what is made of its figures.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Who runs it.
    pub subjects: &'static [Subject],
    /// Comes behind the names of its figures.
    pub suffix: &'static str,
    /// Physical processors.
    processors: u32,
    /// RAM in MiB.
    memory_mib: u64,
    /// More words for the hypervisor.
    arguments: &'static str,
    /// More words for its guests.
    words: &'static str,
    /// The domains.
    pub domains: Domains,
}

/// Which guests there are.
#[derive(Clone, Copy, Debug)]
pub enum Domains {
    /// The guest that measures operations, with so many vCPUs.
    Bench(u32),
    /// Two of them that share an event channel.
    Pair,
    /// The same, the second in a pool of its own: the other processor with the null scheduler.
    Apart,
    /// The same, both in that pool, and a third that computes for ever in the first.
    Beside,
    /// So many small ones that say when they began.
    Boot(usize),
    /// The same with all memory at places of the owner's choice.
    Placed(usize),
    /// So many that compute all the time, with these words.
    Busy(usize, &'static str),
    /// A dom0 that asks what is free, and so many domains with so many vCPUs.
    Kept(usize, u32),
    /// The same with all memory of the domains, of one vCPU, at places of the owner's choice.
    KeptPlaced(usize),
    /// The guest that measures operations, and a dom0 that asks afterwards what the hypervisor has allocated meanwhile.
    Sealed,
    /// None: the image is looked at as a file.
    None,
}

/// The figures of a pair that needs no grants, which SILO forbids, and does not share a processor.
const EVENTS: &str = "bench.only=evtchn.pingpong_wfi,evtchn.send_remote";

/// What the null scheduler makes different.
const NULL: &str = "bench.only=sched.yield_alone,timer.wfi.entry,sgi.self.entry";

/// The figure of a pair that runs.
const RUNNING: &str = "bench.only=evtchn.static_running";

/// The figures of a pair in two pools.
const APART: &str = "bench.only=evtchn.pingpong_wfi,evtchn.send_remote,evtchn.static_running";

/// The figures of a pair in a pool of its own.
const OWN_POOL: &str = "bench.only=evtchn.pingpong_wfi,sched.yield_pair";

/// All scenarios, in the order in which they are run.
pub const SCENARIOS: [Scenario; 34] = [
    scenario("solo", ALL, Domains::Bench(1)),
    scenario("solo.null", OURS, Domains::Bench(1)).with(".null", "sched=null").only(NULL),
    scenario("smp.1p", BOTH, Domains::Bench(2)),
    scenario("smp.2p", ALL, Domains::Bench(2)).with(".2p", "").on(2, 512),
    scenario("pair.1p", BOTH, Domains::Pair).with("", "xsm=dummy"),
    scenario("pair.2p", BOTH, Domains::Pair).with(".2p", "").on(2, 512).only(EVENTS),
    scenario("pair.1p.silo", BOTH, Domains::Pair).with(".silo", "").only(EVENTS),
    scenario("boot1", BOTH, Domains::Boot(1)).on(1, 1024),
    scenario("boot2", BOTH, Domains::Boot(2)).on(1, 1024),
    scenario("boot4", BOTH, Domains::Boot(4)).on(1, 1024),
    scenario("boot8", BOTH, Domains::Boot(8)).on(1, 1024),
    scenario("spin1.1p", ALL, Domains::Busy(1, "")),
    scenario("spin2.1p", BOTH, Domains::Busy(2, "")),
    scenario("spin4.1p", BOTH, Domains::Busy(4, "")),
    scenario("spin1.1p.null", OURS, Domains::Busy(1, "")).with("", "sched=null"),
    scenario("stream1.1p", ALL, Domains::Busy(1, "compute.stream")),
    scenario("stream2.1p", BOTH, Domains::Busy(2, "compute.stream")),
    scenario("stream4.1p", BOTH, Domains::Busy(4, "compute.stream")),
    scenario("foot0", BOTH, Domains::Kept(0, 1)).on(1, 1024),
    scenario("foot1", BOTH, Domains::Kept(1, 1)).on(1, 1024),
    scenario("foot2", BOTH, Domains::Kept(2, 1)).on(1, 1024),
    scenario("foot4", BOTH, Domains::Kept(4, 1)).on(1, 1024),
    scenario("foot8", BOTH, Domains::Kept(8, 1)).on(1, 1024),
    scenario("foot8.4vcpu", BOTH, Domains::Kept(8, 4)).on(1, 1024),
    scenario("foot0.m4096", BOTH, Domains::Kept(0, 1)).on(1, 4096),
    scenario("image", BOTH, Domains::None),
    scenario("smp.2p.null", OURS, Domains::Bench(2)).with(".2p.null", "sched=null").on(2, 512),
    scenario("pair.2p.null", OURS, Domains::Pair).with(".2p.null", "sched=null").on(2, 512).only(EVENTS),
    scenario("pair.2p.running", BOTH, Domains::Pair).with(".2p", "xsm=dummy").on(2, 512).only(RUNNING),
    scenario("pools", OURS, Domains::Apart).with(".pools", "xsm=dummy").on(2, 512).only(APART),
    scenario("pool", OURS, Domains::Beside).with(".pool", "xsm=dummy").on(2, 512).only(OWN_POOL),
    scenario("boot8.static", OURS, Domains::Placed(8)).on(1, 1024),
    scenario("foot8.static", OURS, Domains::KeptPlaced(8)).on(1, 1024),
    scenario("sealed", OURS, Domains::Sealed),
];

const fn scenario(name: &'static str, subjects: &'static [Subject], domains: Domains) -> Scenario {
    Scenario { name, subjects, suffix: "", processors: 1, memory_mib: 512, arguments: "", words: "", domains }
}

impl Scenario {
    /// A scenario without a name, for a curve.
    #[must_use]
    pub const fn new(domains: Domains, processors: u32, memory_mib: u64) -> Self {
        scenario("", BOTH, domains).on(processors, memory_mib)
    }

    /// RAM of the machine in MiB.
    #[must_use]
    pub const fn memory_mib(&self) -> u64 {
        self.memory_mib
    }

    /// The same with an ending for the names of its figures and more words for the hypervisor.
    const fn with(mut self, suffix: &'static str, arguments: &'static str) -> Self {
        (self.suffix, self.arguments) = (suffix, arguments);
        self
    }

    /// The same with these words for its guests.
    const fn only(mut self, words: &'static str) -> Self {
        self.words = words;
        self
    }

    /// The same on so many processors and so much RAM.
    const fn on(mut self, processors: u32, memory_mib: u64) -> Self {
        (self.processors, self.memory_mib) = (processors, memory_mib);
        self
    }
}

impl Domains {
    /// The words of dom0, if there is one.
    const fn of_dom0(self) -> Option<&'static str> {
        match self {
            Self::Kept(..) | Self::KeptPlaced(_) => Some(""),
            // By then the other has measured all.
            Self::Sealed => Some("kept.sealed bench.sleep_ms=120000"),
            _ => None,
        }
    }

    /// Whose ends are waited for, among so many and a dom0.
    #[must_use]
    pub const fn speakers(self, domains: usize) -> usize {
        match self {
            // Domains beside a dom0 that measures have nothing to say.
            Self::Kept(..) | Self::KeptPlaced(_) => 1,
            Self::Pair | Self::Apart | Self::Beside | Self::Sealed => 2,
            _ => {
                if domains == 0 {
                    1
                } else {
                    domains
                }
            }
        }
    }
}

/// The second processor as a pool with a scheduler.
fn pool(scheduler: &str) -> String {
    format!(
        "/ {{ cpus {{ xenite_cpu1: cpu@1 {{ }}; }}; chosen {{ own_pool: pool {{ compatible = \"xen,cpupool\"; \
         cpupool-cpus = <&xenite_cpu1>; cpupool-sched = \"{scheduler}\"; }}; }}; }};\n"
    )
}

/// Gives each domain memory at a place, one behind the other.
fn placed(mut domains: Vec<Domain>) -> Vec<Domain> {
    for (domain, place) in domains.iter_mut().zip((PLACES..).step_by((DOMAIN_MIB << 20) as usize)) {
        let bytes = DOMAIN_MIB << 20;
        domain.extra = format!("\t\t\txen,static-mem = <0 {place:#x} 0 {bytes:#x}>;\n");
    }
    domains
}

/// What all scenarios are made of.
#[derive(Clone, Debug)]
pub struct Stage {
    guests: Vec<Guest>,
    xen: Option<Hypervisor>,
    xenite: Hypervisor,
}

/// MiB of each domain.
pub const DOMAIN_MIB: u64 = 64;
/// Where memory of the owner's choice begins: above the modules.
const PLACES: u64 = 0x5000_0000;
/// What puts a domain into it.
const IN_POOL: &str = "\t\t\tdomain-cpupool = <&own_pool>;\n";
/// What makes a domain one that takes part in Xen's interface.
pub const ENHANCED: &str = "\t\t\txen,enhanced = \"no-xenstore\";\n";

impl Stage {
    /// Builds ours and the guests, and fetches Xen if it is wanted.
    ///
    /// # Errors
    /// When something cannot be built or fetched.
    pub fn new(with_xen: bool) -> Result<Self> {
        let xen = if with_xen { Some(Hypervisor::xen()?) } else { None };
        Ok(Self { guests: guests::build()?, xen, xenite: Hypervisor::xenite()? })
    }

    /// A stage of what has been built already.
    #[must_use]
    pub const fn ours(guests: Vec<Guest>, xenite: Hypervisor) -> Self {
        Self { guests, xen: None, xenite }
    }

    /// The image of a guest.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn guest(&self, name: &str) -> Result<PathBuf> {
        let found = self.guests.iter().find(|guest| guest.name == name);
        Ok(found.with_context(|| format!("there is no guest `{name}` in guests/src/bin"))?.image.clone())
    }

    /// The file of a hypervisor.
    ///
    /// # Errors
    /// When there is none.
    pub fn hypervisor(&self, subject: Subject) -> Result<Hypervisor> {
        match subject {
            Subject::Xen => self.xen.clone().context("Xen has not been fetched"),
            Subject::Xenite => Ok(self.xenite.clone()),
            Subject::Bare => Ok(Hypervisor::Bare(self.guest("bench")?)),
        }
    }

    /// The system of a scenario; the words come behind those of its guests.
    ///
    /// # Errors
    /// When there is no such guest or hypervisor.
    pub fn system(&self, scenario: &Scenario, subject: Subject, words: &str) -> Result<System> {
        let mut system = System::new(self.hypervisor(subject)?);
        system.machine.cpus = scenario.processors;
        system.machine.memory_mib = scenario.memory_mib;
        system.machine.count_instructions();
        system.arguments = format!("{} {}", system.arguments, scenario.arguments).trim_end().to_owned();
        if let Some(own) = scenario.domains.of_dom0() {
            let words = [own, words].join(" ");
            system.dom0 = Some(Dom0::plain(self.guest("kept")?, DOMAIN_MIB, words.trim()));
        }
        match scenario.domains {
            Domains::Apart => system.overlay = pool("null"),
            Domains::Beside => system.overlay = pool("credit2"),
            _ => {}
        }
        system.domains = self.domains(scenario, words)?;
        if subject == Subject::Bare {
            let domain = system.domains.pop().context("a bare machine runs one guest")?;
            system.hypervisor = Hypervisor::Bare(domain.kernel.file);
            system.machine.virtualization = false;
            let words = domain.kernel.bootargs.unwrap_or_default();
            system.overlay = format!("/ {{ chosen {{ bootargs = \"{words}\"; }}; }};\n");
            system.domains.clear();
        }
        Ok(system)
    }

    fn domains(&self, scenario: &Scenario, words: &str) -> Result<Vec<Domain>> {
        let plain = |guest: &str, cpus, own: &str| -> Result<Domain> {
            let mut domain = Domain::plain(self.guest(guest)?, cpus, DOMAIN_MIB);
            let words = [own, scenario.words, words].join(" ");
            domain.kernel.bootargs = Some(words.split_whitespace().collect::<Vec<_>>().join(" "));
            Ok(domain)
        };
        let several = |count: usize, guest: &str, cpus, own: &str| -> Result<Vec<Domain>> {
            (0..count).map(|_| plain(guest, cpus, own)).collect()
        };
        let processors = if scenario.processors > 1 { "bench.two_pcpus" } else { "" };
        match scenario.domains {
            Domains::Bench(_) | Domains::Sealed => {
                let cpus = if let Domains::Bench(cpus) = scenario.domains { cpus } else { 1 };
                let mut domain = plain("bench", cpus, processors)?;
                domain.extra = ENHANCED.to_owned();
                Ok(vec![domain])
            }
            Domains::Pair | Domains::Apart | Domains::Beside => {
                let mut domains = Vec::new();
                for (own, label, port, other) in [
                    ("bench.port=10 bench.peer=2 bench.first", "first", 10, "second"),
                    ("bench.port=11 bench.peer=1", "second", 11, "first"),
                ] {
                    let mut domain = plain("bench", 1, &[own, processors].join(" "))?;
                    let channel = format!("xen,evtchn = <{port} &{other}>;");
                    let kind = "compatible = \"xen,evtchn-v1\";";
                    domain.extra = format!("{ENHANCED}\t\t\t{label}: evtchn@1 {{ {kind} {channel} }};\n");
                    domains.push(domain);
                }
                if let Domains::Apart | Domains::Beside = scenario.domains {
                    let first = if let Domains::Apart = scenario.domains { 1 } else { 0 };
                    domains.iter_mut().skip(first).for_each(|domain| domain.extra.insert_str(0, IN_POOL));
                }
                if let Domains::Beside = scenario.domains {
                    domains.push(plain("busy", 1, "busy.spins")?);
                }
                Ok(domains)
            }
            Domains::Boot(count) => several(count, "hello", 1, ""),
            Domains::Placed(count) => Ok(placed(several(count, "hello", 1, "")?)),
            Domains::Busy(count, own) => several(count, "compute", 1, own),
            Domains::Kept(count, cpus) => several(count, "still", cpus, ""),
            Domains::KeptPlaced(count) => Ok(placed(several(count, "still", 1, "")?)),
            Domains::None => Ok(Vec::new()),
        }
    }
}
