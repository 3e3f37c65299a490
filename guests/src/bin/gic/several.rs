//! Interrupts between vCPUs: SGIs to one, to all others, SPIs routed and routed anew, sleepers.

use core::sync::atomic::Ordering;

use guests::{gic, psci, registers, report, timer};

use super::{FIRST_SPI, JOURNALS, LEAVE, RAW, SLEEP, journal_is, start_others};

const A: u32 = FIRST_SPI;

pub(super) fn all() {
    let cpus = start_others();
    for sgi in 0..16 {
        gic::enable(sgi);
    }
    for journal in &JOURNALS {
        journal.clear();
    }
    for (name, sleep) in [("running", 0), ("sleeping", 1)] {
        SLEEP.store(sleep, Ordering::SeqCst);
        wake_all(cpus);
        timer::spin(2_000);
        sgis(name, cpus);
        spis(name, cpus);
        counted(name, cpus);
    }
    LEAVE.store(1, Ordering::SeqCst);
    wake_all(cpus);
    for cpu in 1..cpus {
        report::check("others.off", psci::wait_off(cpu, 1_000_000));
    }
    to_nobody();
}

/// An SGI to each, so that whoever sleeps looks around; the journals do not remember it.
fn wake_all(cpus: usize) {
    gic::send_sgi(8, gic::Target::Others);
    for journal in &JOURNALS[1..cpus] {
        timer::wait_for(1_000_000, || journal.count() > 0);
        journal.clear();
    }
    JOURNALS[0].clear();
}

fn sgis(name: &str, cpus: usize) {
    for (cpu, raw) in RAW[..cpus].iter().enumerate().skip(1) {
        for sgi in [0u32, 6, 15] {
            gic::send_sgi(sgi, gic::Target::Cpu(cpu));
            journal_is(name, cpu, &[sgi]);
            if gic::version() == 2 {
                report::equal("sgi.source", raw.load(Ordering::SeqCst) >> 10 & 7, 0);
            }
        }
    }
    gic::send_sgi(4, gic::Target::Others);
    for cpu in 1..cpus {
        journal_is("sgi.to_all_others", cpu, &[4]);
    }
    report::equal("sgi.to_all_others_leaves_out_the_sender", JOURNALS[0].count(), 0);
    gic::send_sgi(4, gic::Target::Own);
    journal_is("sgi.to_self_while_others_run", 0, &[4]);
    for journal in &JOURNALS[1..cpus] {
        report::equal("sgi.to_self_reaches_nobody_else", journal.count(), 0);
    }
}

fn spis(name: &str, cpus: usize) {
    gic::enable(A);
    for cpu in (0..cpus).chain((0..cpus).rev()) {
        gic::route(A, cpu);
        gic::set_pending(A);
        journal_is(&name_of(name), cpu, &[A]);
        for other in (0..cpus).filter(|other| *other != cpu) {
            report::equal("spi.comes_to_one_only", JOURNALS[other].count(), 0);
        }
    }
    // Routed anew while it is pending but not enabled.
    gic::disable(A);
    gic::route(A, 1);
    gic::set_pending(A);
    gic::route(A, 0);
    gic::enable(A);
    timer::spin(2_000);
    let (first, second) = (JOURNALS[0].count(), JOURNALS[1].count());
    report::equal("spi.routed_while_pending_comes_once", first + second, 1);
    report::strict("spi.routed_while_pending_comes_to_the_new_target", first == 1);
    JOURNALS[0].clear();
    JOURNALS[1].clear();
    gic::route(A, 0);
    gic::disable(A);
}

fn name_of(name: &str) -> Name {
    if name == "sleeping" { Name("spi.routed_to_a_sleeper") } else { Name("spi.routed") }
}

struct Name(&'static str);

impl core::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        self.0
    }
}

/// Each SGI waits for the one before: none is lost, none comes twice.
fn counted(name: &str, cpus: usize) {
    const ROUNDS: usize = 100;
    for (cpu, journal) in JOURNALS[..cpus].iter().enumerate().skip(1) {
        let mut lost = 0;
        for _ in 0..ROUNDS {
            journal.clear();
            gic::send_sgi(11, gic::Target::Cpu(cpu));
            lost += usize::from(!timer::wait_for(1_000_000, || journal.count() > 0));
            lost += usize::from(!journal.is(&[11]));
        }
        report::equal(format_args!("sgi.hundred_to_vcpu_{cpu}_{name}"), lost, 0);
        journal.clear();
    }
}

/// SGIs to vCPUs that are off or do not exist harm nobody.
fn to_nobody() {
    JOURNALS[0].clear();
    gic::send_sgi(1, gic::Target::Cpu(1));
    gic::send_sgi(1, gic::Target::Others);
    timer::spin(2_000);
    report::equal("sgi.to_nobody_reaches_nobody", JOURNALS[0].count(), 0);
    if gic::version() == 3 {
        // The second vCPU of a cluster that does not exist, and the seventeenth of this one.
        for whom in [2u64, 2 | 0x77 << 16, 2 | 0xff << 32, 2 | 0xff << 48, 2 | 1 << 44] {
            registers::gic_send_sgi(whom | 1 << 24);
        }
    } else {
        guests::mmio::write32(gic::distributor(gic::SGIR), 0x0080_0001);
    }
    timer::spin(2_000);
    report::equal("sgi.to_nowhere_reaches_nobody", JOURNALS[0].count(), 0);
    gic::send_sgi(1, gic::Target::Own);
    journal_is("sgi.to_self_afterwards", 0, &[1]);
}
