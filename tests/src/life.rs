//! Life and death: whatever a guest does to itself, the others keep running.

use std::time::Duration;

use anyhow::{Result, ensure};
use xtask::qemu::{Prepared, Qemu};
use xtask::system::{Domain, System};

use crate::boot::TINY;
use crate::linux::{LINUX, wait_for_ready};
use crate::{Scenario, Setup, own};

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios = by_linux();
    for way in WAYS {
        let name = format!("life: a tiny guest that dies by {way} disturbs nobody");
        scenarios.push(Scenario::new(name, move |setup| dies(setup, way)));
    }
    scenarios
}

fn by_linux() -> Vec<Scenario> {
    vec![
        Scenario::new("life: a guest that powers off leaves its neighbour running", |setup| {
            ends(setup, "xenite.poweroff")
        }),
        Scenario::new("life: a guest that reboots leaves its neighbour running", |setup| {
            ends(setup, "xenite.reboot")
        }),
        Scenario::new("life: a guest whose kernel panics leaves its neighbour running", |setup| {
            ends(setup, "panic=1 xenite.crash")
        }),
        Scenario::new("life: a guest in an endless loop leaves its neighbour its share", endless_loop),
        Scenario::new("life: a guest that jumps into nowhere ends alone", nowhere),
        Scenario::new("life: a guest that is no code ends alone", no_code),
        Scenario::new("life: the machine powers off when the last guest has ended", last_one),
        Scenario::new("life: with noreboot the machine stays when the last guest has ended", noreboot),
    ]
}

/// The ways to die that the guest `death` knows.
const WAYS: [&str; 14] = [
    "off",
    "reset",
    "loop",
    "undefined-vector",
    "wild-store",
    "instruction-abort",
    "stack",
    "wfi-forever",
    "cpu-off-all",
    "smc-flood",
    "hvc-unknown",
    "timer-storm",
    "sgi-storm",
    "trap-storm",
];

/// The neighbour takes interrupts, sends them and shares processors with the dying guest all the while.
fn dies(setup: &Setup, way: &str) -> Result<()> {
    let mut system = setup.system();
    let mut dying = Domain::plain(setup.guest("death")?, 2, 64);
    dying.kernel.bootargs = Some(format!("die={way}"));
    let mut neighbour = Domain::plain(setup.guest("smp")?, 2, 64);
    // How evenly time is shared depends on what else this computer does; that it is shared at all does not.
    neighbour.kernel.bootargs = Some("smp.fair_percent=5".to_owned());
    system.domains = vec![dying, neighbour];
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect_all(&["DOM1: dying ", "DOM2: DONE "], LINUX)?;
    let output = machine.output();
    ensure!(!output.contains("DOM2: FAIL"), "the neighbour was disturbed: {}", machine.last_lines());
    ensure!(!output.contains("DOM1: FAIL"), "the guest did not die: {}", machine.last_lines());
    Ok(())
}

/// Sees that the second domain lives: it writes a line each second of its own time.
fn neighbour_lives(machine: &mut Qemu) -> Result<()> {
    (0..3).try_for_each(|_| machine.expect("DOM2: XENITE-TICK ", TINY))
}

fn ends(setup: &Setup, words: &str) -> Result<()> {
    let system = setup.debian(&[words, "xenite.tick"])?;
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("DOM1: XENITE-READY ", LINUX)?;
    machine.expect("(XEN) d1 has ", TINY)?;
    // The neighbour may still be starting.
    machine.expect("DOM2: XENITE-TICK ", LINUX)?;
    neighbour_lives(&mut machine)
}

fn endless_loop(setup: &Setup) -> Result<()> {
    let mut system = setup.debian(&["xenite.loop", "xenite.tick"])?;
    system.machine.cpus = 1;
    let mut machine = Prepared::new(&system)?.start()?;
    wait_for_ready(&mut machine, 2)?;
    neighbour_lives(&mut machine)
}

/// A system whose first domain is a kernel of a few instructions and whose second is Linux.
fn beside_linux(setup: &Setup, name: &str, code: &[u32]) -> Result<System> {
    let mut system = setup.debian(&["xenite.tick"])?;
    system.domains.insert(0, Domain::plain(own::image(name, code)?, 1, 64));
    Ok(system)
}

fn nowhere(setup: &Setup) -> Result<()> {
    // mov x1, #0x123 << 32; br x1: beyond all that the guest has.
    let system = beside_linux(setup, "nowhere", &[0xd2c0_2461, 0xd61f_0020])?;
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("DOM2: XENITE-READY ", LINUX)?;
    neighbour_lives(&mut machine)?;
    ensure!(machine.output().contains("(XEN) d1 "), "nothing was said of it: {}", machine.last_lines());
    Ok(())
}

fn no_code(setup: &Setup) -> Result<()> {
    let system = beside_linux(setup, "no-code", &[0, 0, 0, 0])?;
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("DOM2: XENITE-READY ", LINUX)?;
    neighbour_lives(&mut machine)
}

fn last_one(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.domains = vec![setup.hello()?, setup.hello()?, setup.hello()?];
    crate::boot::hello_from_all(&system)
}

fn noreboot(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.arguments.push_str(" noreboot");
    system.domains.push(setup.hello()?);
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("DONE 1 passed, 0 failed", TINY)?;
    std::thread::sleep(Duration::from_secs(3));
    ensure!(machine.is_running()?, "the machine ended: {}", machine.last_lines());
    Ok(())
}
