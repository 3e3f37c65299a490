//! The consoles: whole lines, each with its domain; a keyboard that goes from one to the next; a flood that drowns
//! nobody else.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use xtask::qemu::{Prepared, Qemu};
use xtask::system::Domain;

use crate::boot::TINY;
use crate::linux::{LINUX, wait_for_ready};
use crate::{Scenario, Setup};

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("console: Ctrl-A three times goes from guest to guest", switching),
        Scenario::new("console: what is typed for the hypervisor reaches no guest", not_for_guests),
        Scenario::new("console: a guest that floods its console slows only itself", flood),
        Scenario::new("console: ten thousand lines arrive whole and in order", ten_thousand_lines),
        Scenario::new("console: what is typed reaches a tiny guest's UART", typed),
        Scenario::new("console: lines of two guests that flood stay whole", whole_lines),
        Scenario::new("console: a fault of the hypervisor tells where, and stops everything", fault),
    ]
}

/// The keys that move the keyboard on.
const NEXT: &str = "\u{1}\u{1}\u{1}";
/// What a shell is asked: its answer names the guest, the echo of the question does not.
const WHO: &str = "sed 's/.*name=/I-AM-/' /proc/cmdline\r";
const ANSWER: Duration = Duration::from_secs(10);

fn switching(setup: &Setup) -> Result<()> {
    let system = setup.debian(&["xenite.name=anna", "xenite.name=berta"])?;
    let mut machine = Prepared::new(&system)?.start()?;
    wait_for_ready(&mut machine, 2)?;
    find_shell(&mut machine, &["I-AM-anna", "I-AM-berta"], 0)?;
    find_shell(&mut machine, &["I-AM-berta", "I-AM-anna"], 0)?;
    find_shell(&mut machine, &["I-AM-anna", "I-AM-berta"], 0)
}

/// Moves the keyboard on until the wanted guest answers: hypervisor and two guests take turns.
fn find_shell(machine: &mut Qemu, answers: &[&str], wanted: usize) -> Result<()> {
    for _ in 0..4 {
        machine.send(NEXT)?;
        std::thread::sleep(Duration::from_millis(300));
        machine.send(WHO)?;
        if machine.expect_any(answers, ANSWER).is_ok_and(|index| index == wanted) {
            return Ok(());
        }
    }
    bail!("`{}` was never answered; {}", answers[wanted], machine.last_lines())
}

fn not_for_guests(setup: &Setup) -> Result<()> {
    let system = setup.debian(&["xenite.name=anna"])?;
    let mut machine = Prepared::new(&system)?.start()?;
    wait_for_ready(&mut machine, 1)?;
    // One guest and the hypervisor take turns: of two tries in a row exactly one is answered.
    let mut answered = Vec::new();
    for _ in 0..4 {
        machine.send(NEXT)?;
        std::thread::sleep(Duration::from_millis(300));
        machine.send(WHO)?;
        answered.push(machine.expect("I-AM-anna", ANSWER).is_ok());
    }
    let turns = answered.windows(2).all(|pair| pair.first() != pair.last());
    ensure!(turns, "the keyboard did not take turns: {answered:?}; {}", machine.last_lines());
    Ok(())
}

fn flood(setup: &Setup) -> Result<()> {
    let mut system = setup.debian(&["xenite.flood", "xenite.tick"])?;
    system.machine.cpus = 1;
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect_all(&["DOM1: XENITE-FLOOD ", "DOM2: XENITE-READY "], LINUX)?;
    for _ in 0..5 {
        machine.expect("DOM2: XENITE-TICK ", TINY)?;
    }
    Ok(())
}

fn ten_thousand_lines(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    let mut domain = Domain::plain(setup.guest("uart")?, 1, 64);
    domain.kernel.bootargs = Some("uart.flood".to_owned());
    system.domains.push(domain);
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("DONE ", LINUX)?;
    let output = machine.output();
    let numbers =
        output.lines().filter_map(|line| line.split_once("DOM1: flood ")?.1.trim_end().parse::<u32>().ok());
    ensure!(numbers.eq(0..10_000), "lines are missing, broken or out of order: {}", machine.last_lines());
    Ok(())
}

fn typed(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    let mut domain = Domain::plain(setup.guest("uart")?, 1, 64);
    domain.kernel.bootargs = Some("uart.input".to_owned());
    system.domains.push(domain);
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("input?", TINY)?;
    // The keyboard may be the hypervisor's or the guest's at first.
    for _ in 0..3 {
        machine.send(NEXT)?;
        std::thread::sleep(Duration::from_millis(300));
        machine.send("the quick brown fox\r")?;
        if machine.expect("DONE ", ANSWER).is_ok() {
            ensure!(!machine.output().contains("FAIL "), "it read something else: {}", machine.last_lines());
            return Ok(());
        }
    }
    bail!("the guest read nothing; {}", machine.last_lines())
}

fn whole_lines(setup: &Setup) -> Result<()> {
    let system = setup.debian(&["quiet xenite.flood", "quiet xenite.flood"])?;
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect_all(&["DOM1: XENITE-FLOOD ", "DOM2: XENITE-FLOOD "], LINUX)?;
    std::thread::sleep(Duration::from_secs(5));
    let output = machine.output();
    let lines: Vec<&str> = output.lines().filter(|line| line.contains("XENITE-FLOOD")).collect();
    let whole = lines.get(..lines.len().saturating_sub(1)).unwrap_or_default();
    ensure!(whole.len() > 20, "too few lines came: {}", machine.last_lines());
    let bottom = "XENITE-FLOOD 0123456789012345678901234567890123456789";
    for line in whole {
        let text = line.trim_start_matches("(XEN) ");
        let guest = text.strip_prefix("DOM1: ").or_else(|| text.strip_prefix("DOM2: "));
        ensure!(guest == Some(bottom), "a line is not whole: {line}");
    }
    Ok(())
}

/// The key that faults on purpose: registers, a backtrace by names, the version; and no guest goes on.
fn fault(setup: &Setup) -> Result<()> {
    let mut system = setup.system();
    system.machine.cpus = 2;
    for _ in 0..2 {
        let mut domain = Domain::plain(setup.guest("uart")?, 1, 64);
        domain.kernel.bootargs = Some("uart.flood".to_owned());
        system.domains.push(domain);
    }
    system.arguments.push_str(" noreboot");
    let mut machine = Prepared::new(&system)?.start()?;
    machine.expect("DOM2: flood 00100", TINY)?;
    machine.send("C")?;
    machine.expect(
        &format!("Xenite {}: synchronous exception in the hypervisor", env!("CARGO_PKG_VERSION")),
        TINY,
    )?;
    for words in [
        "esr 0x",
        "x30 0x",
        "Backtrace:",
        "machine::arm64::system::fault",
        "hypervisor::",
        "boot_processor",
        "Stopped",
    ] {
        machine.expect(words, TINY)?;
    }
    // What was in the UART's queue may still come; after that nobody writes.
    std::thread::sleep(Duration::from_millis(500));
    let before = machine.output().len();
    std::thread::sleep(Duration::from_secs(1));
    ensure!(machine.output().len() == before, "a guest goes on: {}", machine.last_lines());
    Ok(())
}
