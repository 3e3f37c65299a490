//! The proof of the static configuration: a system in which everything is fixed, packed from a description, in which three Debian guests
//! and one own kernel meet, without dom0. Before, one of the Debian guests uses the board's clock, another a disk, with the
//! drivers that their kernels have.
//!
//! `guests/src/bin/meet/protocol.rs` has the rules of their meeting. QEMU's clock counts instructions, so that what they get
//! done in the same time does not depend on the computer.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xtask::tools::{self, Need};

use crate::pack::Packed;
use crate::pools::is_near;
use crate::{Scenario, Setup, devices};

/// How long the whole may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Guests at the meeting, and which of them is the own kernel, which leads.
const MEMBERS: usize = 4;
const LEADER: usize = 3;
/// Phases of the meeting: one guest works beside the leader; all do; nobody does while the leader uses up what it can get; all do
/// while it does that; and all do while the leader sleeps.
const PHASES: usize = 5;
/// Instructions of a piece of work, and nanoseconds of each on QEMU's clock.
const PIECE: u64 = 10_000;
const INSTRUCTION_NS: u64 = 16;
/// What the board's clock may tell, in seconds since 1970: the ten minutes from 2031-05-07 11:13:17, where it starts as the
/// description says.
const TIMES: Range<u64> = 1_935_918_797..1_935_919_397;
/// The description, with paths in place of `@...@`.
const SYSTEM: &str = include_str!("proof.toml");

/// The scenarios.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let name = "proof: three Debian guests and an own kernel, packed, all of it fixed, drive devices, meet and keep their pace";
    let by_u_boot =
        "proof: the same packed system from files by U-Boot's boot.scr boots as the desk foretells";
    vec![Scenario::new(name, whole), Scenario::new(by_u_boot, from_files)]
}

fn from_files(setup: &Setup) -> Result<()> {
    tools::ensure(&[Need::UBoot])?;
    let packed = Packed::new(setup, "system.toml", SYSTEM, &[])?;
    let desk = packed.plan()?;
    let mut machine = packed.run(&["--uboot"])?;
    machine.expect_all(&["DOM1: XENITE-READY ", "DOM2: XENITE-READY ", "DOM3: XENITE-READY "], LIMIT)?;
    machine.expect("DOM4: ok meet.rounds", LIMIT)?;
    let output = machine.output();
    foretold(&desk, &output)?;
    driven(&output)
}

fn whole(setup: &Setup) -> Result<()> {
    let packed = Packed::new(setup, "system.toml", SYSTEM, &[])?;
    let desk = packed.plan()?;
    let mut machine = packed.run(&[])?;
    machine.expect("the machine stays on", LIMIT)?;
    machine.send("m")?;
    let sealed = machine.expect_line("heap: sealed, ", LIMIT)?;
    let output = machine.output();
    let failed: Vec<&str> = output.lines().filter(|line| line.contains("FAIL ")).collect();
    ensure!(failed.is_empty(), "{failed:#?}; {}", machine.last_lines());
    ensure!(sealed.starts_with("0 requests"), "the heap was asked for more: {sealed}");
    foretold(&desk, &output)?;
    driven(&output)?;
    shared(&output)?;
    paces(&output)
}

/// What the desk says of the boot, boot has said.
fn foretold(desk: &str, output: &str) -> Result<()> {
    let foretold: Vec<&str> = desk.lines().map(str::trim).filter(|line| line.starts_with("(XEN) ")).collect();
    ensure!(
        foretold.iter().any(|line| line.contains("fingerprint")),
        "the desk gives no fingerprint: {desk}"
    );
    let said: Vec<&str> = output.lines().map(str::trim).filter(|line| line.starts_with("(XEN) ")).collect();
    ensure!(
        said.starts_with(&foretold),
        "the desk said {foretold:#?}, boot {:#?}",
        said.get(..foretold.len())
    );
    Ok(())
}

/// The first guest has told the time of the board's clock and heard it ring, the third has used the disk.
fn driven(output: &str) -> Result<()> {
    let said = |start: &str| {
        let line = output.lines().find(|line| line.starts_with(start));
        line.with_context(|| format!("nobody says: {start}"))
    };
    devices::check_time(said("DOM1: XENITE-CLOCK ")?, TIMES)?;
    devices::check_disk(said("DOM3: XENITE-DISK ")?)
}

/// One has written the picture, two have read it; each has heard from each other one.
fn shared(output: &str) -> Result<()> {
    let said = [
        "DOM1: meet wrote 1024 pages, 0 did not come empty",
        "DOM2: meet read 1024 pages, 0 wrong",
        "DOM4: ok meet.wrong_pages",
        "DOM4: ok meet.rounds",
    ];
    for line in said {
        ensure!(output.contains(line), "nobody says: {line}");
    }
    for member in 0..MEMBERS {
        let events = numbers(output, member, "meet events ")?;
        let heard = events.iter().filter(|count| **count > 0).count();
        ensure!(heard == MEMBERS - 1, "member {member} has heard of {heard} others: {events:?}");
    }
    Ok(())
}

/// The numbers in what a member says behind some words.
fn numbers(output: &str, member: usize, words: &str) -> Result<Vec<u64>> {
    let start = format!("DOM{}: {words}", member + 1);
    let rest = output.lines().find_map(|line| line.strip_prefix(&start));
    let rest = rest.with_context(|| format!("member {member} does not say `{words}`"))?;
    Ok(rest.split(|letter: char| !letter.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect())
}

/// A phase of the meeting: pieces of work that each member has done, the leader's rounds of using everything up, and microseconds: of
/// all, and of those in which the leader's processor ran another guest.
#[derive(Debug)]
struct Phase {
    pieces: [u64; MEMBERS],
    rounds: u64,
    all: u64,
    waited: u64,
}

impl Phase {
    fn read(output: &str, number: usize) -> Result<Phase> {
        let line = |member| numbers(output, member, &format!("meet phase {number} member {member} pieces "));
        let [last, rounds, all, waited] = line(LEADER)?[..] else {
            bail!("the leader does not count phase {number}")
        };
        let mut pieces = [last; MEMBERS];
        for (member, pieces) in pieces[..LEADER].iter_mut().enumerate() {
            *pieces = line(member)?.first().copied().context("a line without its number")?;
        }
        ensure!(all > 0, "a phase without a length");
        Ok(Phase { pieces, rounds, all, waited })
    }

    /// Instructions that both processors had for all: QEMU plays one after the other, and counts them on one clock.
    fn instructions(&self) -> u64 {
        self.all * 1_000 / INSTRUCTION_NS
    }

    /// Those of them that were work.
    fn work(&self) -> u64 {
        self.pieces.iter().sum::<u64>() * PIECE
    }
}

/// Weights hold, one pool's load does not slow the other, nor does whoever uses up all that it can get.
fn paces(output: &str) -> Result<()> {
    let phases = (1..=PHASES).map(|number| Phase::read(output, number)).collect::<Result<Vec<_>>>()?;
    let [one, all, attack, beside, alone] = &phases[..] else { bail!("other phases: {phases:?}") };
    for phase in &phases {
        println!("     {phase:?}: {} instructions, {} of work", phase.instructions(), phase.work());
        ensure!(phase.waited * 100 <= phase.all, "the leader has to wait for its processor: {phase:?}");
    }
    // Whoever works there, the rest is Linux's ticks, the hypervisor's changes between its guests, and no more.
    for phase in [one, all, alone] {
        ensure!(phase.work() * 100 >= phase.instructions() * 95, "instructions are lost: {phase:?}");
    }
    // What the leader takes by using everything up is what that takes where nobody else does anything, and what is left is as
    // much work as where the leader sleeps. Who had to wait for a lock that it holds would lack more.
    let lost = (alone.instructions() - alone.work()) * beside.instructions() / alone.instructions();
    let taken = attack.instructions() * beside.rounds / attack.rounds.max(1);
    let (known, there) = (beside.work() + lost + taken, beside.instructions());
    println!("     beside the attack: {} of work, {lost} lost, {taken} taken, of {there}", beside.work());
    ensure!(
        beside.rounds > 0 && known.abs_diff(there) * 100 <= there,
        "the attack costs others more than it takes"
    );
    for phase in [beside, alone] {
        let unit = phase.pieces[..LEADER].iter().sum::<u64>() / 7;
        let kept = phase.pieces.iter().zip([1, 2, 4]).all(|(done, weight)| is_near(*done, weight * unit));
        ensure!(kept, "weights of 1, 2 and 4 are not kept: {phase:?}");
    }
    Ok(())
}
