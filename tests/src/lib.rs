//! Whole systems in QEMU: a device tree, guests, and what the consoles must say.
//!
//! A [`Scenario`] is a name and a function that boots a system and watches its console; it fails by giving an error.
//! [`all`] is the table of all scenarios, [`runner`] runs them. No scenario runs in `cargo test`: they take minutes and
//! need QEMU, so they have a command of their own, `./x test --system`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xtask::guests::Guest;
use xtask::packages::Part;
use xtask::system::{Domain, Hypervisor, System};

pub mod boards;
pub mod boot;
pub mod compare;
pub mod console;
pub mod devices;
pub mod dom0;
pub mod hammer;
pub mod life;
pub mod linux;
pub mod own;
pub mod pack;
pub mod plan;
pub mod pools;
pub mod proof;
pub mod record;
pub mod refusals;
pub mod runner;
pub mod services;
pub mod speed;
pub mod statics;
pub mod wrong;

/// What every scenario starts from.
#[derive(Debug)]
pub struct Setup {
    /// The hypervisor under test.
    pub hypervisor: Hypervisor,
    /// The own guest kernels.
    pub guests: Vec<Guest>,
}

impl Setup {
    /// A system with the default machine and no domains yet.
    #[must_use]
    pub fn system(&self) -> System {
        System::new(self.hypervisor.clone())
    }

    /// A system of Debian guests with Linux 6.1, one vCPU and 256 MiB each; one for each list of words.
    ///
    /// # Errors
    /// When the kernel cannot be had.
    pub fn debian(&self, words: &[&str]) -> Result<System> {
        let mut system = self.system();
        for words in words {
            system.domains.push(Domain::debian(Part::Linux6_1, 1, 256, words)?);
        }
        Ok(system)
    }

    /// The image of an own guest.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn guest(&self, name: &str) -> Result<PathBuf> {
        let found = self.guests.iter().find(|guest| guest.name == name);
        Ok(found.with_context(|| format!("there is no guest `{name}` in guests/src/bin"))?.image.clone())
    }

    /// The smallest guest as a domain of one vCPU and 64 MiB.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn hello(&self) -> Result<Domain> {
        Ok(Domain::plain(self.guest("hello")?, 1, 64))
    }
}

/// What a scenario does.
pub type Test = dyn Fn(&Setup) -> Result<()> + Send + Sync;

/// A test of a whole system.
pub struct Scenario {
    /// The name, by which it is chosen.
    pub name: String,
    /// The test.
    pub run: Box<Test>,
}

impl Scenario {
    /// A scenario of a name and a function.
    pub fn new(name: impl Into<String>, run: impl Fn(&Setup) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// The scenarios of dom0 and of Debian's services in it.
#[must_use]
pub fn dom0_scenarios() -> Vec<Scenario> {
    let mut scenarios = dom0::scenarios();
    scenarios.extend(services::scenarios());
    scenarios
}

/// All scenarios, those for the own guests made for the guests that there are.
#[must_use]
pub fn all(setup: &Setup) -> Vec<Scenario> {
    let mut scenarios = boot::scenarios();
    scenarios.extend(refusals::scenarios());
    scenarios.extend(wrong::scenarios());
    scenarios.extend(own::scenarios(setup));
    scenarios.extend(pack::scenarios());
    scenarios.extend(plan::scenarios());
    scenarios.extend(boards::scenarios());
    scenarios.extend(linux::scenarios());
    scenarios.extend(life::scenarios());
    scenarios.extend(console::scenarios());
    scenarios.extend(dom0_scenarios());
    scenarios.extend(hammer::scenarios());
    scenarios.extend(statics::scenarios());
    scenarios.extend(devices::scenarios());
    scenarios.extend(pools::scenarios());
    scenarios.extend(proof::scenarios());
    scenarios.extend(speed::scenarios());
    scenarios
}
