//! A device of the board that a domain drives: whose its registers and its interrupt are, and what its end leaves.

use machine::contract::Machine as _;

use crate::calls::perform_as;
use crate::destruction::destroy;
use crate::uart::{enable_spi, open_v3};
use crate::world::{DEVICE_INTERRUPT, Journal, Setup, System, guest};

/// A system of a domain that drives the device, on its only vCPU, and one that computes.
fn setup() -> Setup {
    let mut setup = Setup::new(2, &[1, 1]);
    setup.domains[0].device = true;
    setup
}

/// The device asks `count` times, each time on another processor; how often a processor was interrupted by it.
fn ask(system: &mut System, count: u64) -> u64 {
    for round in 0..count {
        system.sim().raise((round % 2) as usize, DEVICE_INTERRUPT);
        system.rounds(2);
    }
    (0..2).map(|cpu| system.sim().take_counts(cpu).devices).sum()
}

#[test]
fn its_interrupt_arrives_under_its_number_until_its_domain_ends_and_then_interrupts_nobody() {
    const SYSTEM_OFF: u64 = 0x8400_0008;
    let mut system = setup().construct();
    let taken = Journal::new();
    let notes = taken.clone();
    system.sim().guest(1, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            open_v3(&cpu).await;
            enable_spi(&cpu, DEVICE_INTERRUPT, 0, 0xa0).await;
            for _ in 0..20 {
                let intid = cpu.next_interrupt().await;
                notes.note(intid);
                cpu.end(intid).await;
            }
            let _ = cpu.psci(&[SYSTEM_OFF]).await;
        }
    });
    system.sim().guest(2, 0, |cpu| async move { cpu.compute(1_000_000).await });
    system.start();
    system.rounds(20);
    assert_eq!(ask(&mut system, 20), 20);
    assert_eq!(taken.all(), [DEVICE_INTERRUPT; 20]);
    system.until("the domain has ended", |system| system.output().contains("d1 has powered off"));
    assert_eq!(ask(&mut system, 20), 0);
}

#[test]
fn a_domain_that_is_destroyed_sees_no_device_any_more() {
    let mut system = setup().control(1).construct();
    let (sim, domains) = (system.sim(), [system.domain(1), system.domain(2)]);
    let shown = |id: usize| sim.is_shown(&domains[id - 1].map, guest::DEVICE);
    assert!(shown(1) && !shown(2));
    perform_as(&mut system, 0, move |cpu| async move { while destroy(&cpu, 1).await != 0 {} });
    assert!(!shown(1));
}
