//! Interrupts on their way: between vCPUs, to sleepers, in numbers, and on the move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use machine::sim::Cpu;
use model::arm64::gic::Version;

use crate::uart::{enable_spi, open, open_v3, pend_spi, route_spi, send, signal};
use crate::world::{Journal, Setup, System, guest};

const CPU_ON: u64 = 0xc400_0003;

/// Notes every interrupt that arrives, computing or sleeping in between.
async fn receive(cpu: Cpu, version: Version, sleeps: bool, journal: Journal<(usize, u32)>) {
    open(&cpu, version).await;
    journal.note((cpu.index(), 999));
    loop {
        if !sleeps {
            cpu.compute_until_interrupt().await;
        }
        let intid = cpu.next_interrupt().await;
        journal.note((cpu.index(), intid & 0x3ff));
        cpu.end(intid).await;
    }
}

/// v0 sends SGIs 1 to 8 to v0 and v1, each when the last has arrived.
fn exchange(cpus: u32, version: Version, sleeps: bool) -> (System, Journal<(usize, u32)>) {
    let system = Setup::new(cpus, &[2]).version(version).construct();
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 1, move |cpu| receive(cpu, version, sleeps, notes.clone()));
    let notes = journal.clone();
    system.sim().guest(1, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            open(&cpu, version).await;
            assert_eq!(cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await, 0);
            while notes.len() == 0 {
                cpu.compute(1).await;
            }
            for intid in 1..9 {
                let before = notes.len();
                signal(&cpu, version, intid, 1 << (intid & 1)).await;
                if intid & 1 == 0 {
                    let acknowledged = cpu.next_interrupt().await;
                    notes.note((0, acknowledged & 0x3ff));
                    cpu.end(acknowledged).await;
                }
                while notes.len() == before {
                    cpu.compute(1).await;
                }
            }
        }
    });
    system.start();
    (system, journal)
}

#[test]
fn an_sgi_reaches_its_sender_a_running_and_a_sleeping_vcpu_exactly_once() {
    for version in [Version::V2, Version::V3] {
        for cpus in [1, 2, 4] {
            for sleeps in [false, true] {
                let (mut system, journal) = exchange(cpus, version, sleeps);
                system.until("all SGIs have arrived", |_| journal.len() == 9);
                system.rounds(20);
                let expected: Vec<(usize, u32)> =
                    [(1, 999)].into_iter().chain((1..9).map(|intid| (intid as usize & 1, intid))).collect();
                assert_eq!(journal.all(), expected, "{version:?}, {cpus} processors, sleeps: {sleeps}");
            }
        }
    }
}

#[test]
fn an_sgi_reaches_a_vcpu_that_runs_elsewhere_within_the_round() {
    let (mut system, journal) = exchange(2, Version::V3, false);
    system.until("the first has arrived", |_| journal.len() == 2);
    let start = system.sim().time();
    system.until("all SGIs have arrived", |_| journal.len() == 9);
    let rounds = (system.sim().time() - start) / crate::world::ROUND;
    assert!(rounds <= 16, "{rounds} rounds for 7 SGIs");
}

#[test]
fn no_sgi_leaves_its_domain() {
    for cpus in [1, 2, 4] {
        let mut system = Setup::new(cpus, &[1, 2]).construct();
        let journal = Journal::new();
        for index in [0, 1] {
            let notes = journal.clone();
            system.sim().guest(2, index, move |cpu| {
                let notes = notes.clone();
                async move {
                    open_v3(&cpu).await;
                    if cpu.index() == 0 {
                        cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await;
                    }
                    cpu.compute_until_interrupt().await;
                    notes.note(cpu.index());
                }
            });
        }
        system.sim().guest(1, 0, |cpu| async move {
            open_v3(&cpu).await;
            for intid in 0..16 {
                send(&cpu, intid, 0xffff).await;
                send(&cpu, intid, 1 << 40).await;
                cpu.compute(1).await;
            }
        });
        system.start();
        system.rounds(300);
        assert_eq!(journal.len(), 0);
        assert!(system.sim().work(2, 1) > 10);
    }
}

#[test]
fn more_interrupts_than_list_registers_arrive_once_each_and_by_priority() {
    for (list_registers, edge) in
        [(1, false), (2, false), (4, false), (16, false), (1, true), (2, true), (4, true), (16, true)]
    {
        let mut system = Setup::new(1, &[1]).list_registers(list_registers).construct();
        let journal = Journal::new();
        let notes = journal.clone();
        system.sim().guest(1, 0, move |cpu| {
            let notes = notes.clone();
            async move {
                open_v3(&cpu).await;
                cpu.write(guest::DISTRIBUTOR, 0).await;
                for word in 2..9 {
                    let configuration = if edge { 0xaaaa_aaaa } else { 0 };
                    cpu.write(guest::DISTRIBUTOR + 0xc00 + word * 4, configuration).await;
                }
                for intid in 40..140_u32 {
                    enable_spi(&cpu, intid, 0, u64::from(intid * 37 % 31) << 3).await;
                    pend_spi(&cpu, intid).await;
                }
                cpu.write(guest::DISTRIBUTOR, 2).await;
                loop {
                    let intid = cpu.next_interrupt().await;
                    notes.note((intid * 37 % 31, intid));
                    cpu.end(intid).await;
                }
            }
        });
        system.start();
        system.until("all have arrived", |_| journal.len() >= 100);
        system.rounds(5);
        let mut expected: Vec<(u32, u32)> = (40..140).map(|intid| (intid * 37 % 31, intid)).collect();
        expected.sort_unstable();
        assert_eq!(journal.all(), expected, "{list_registers} list registers, edges: {edge}");
    }
}

#[test]
fn a_more_urgent_interrupt_preempts_an_active_one() {
    let mut system = Setup::new(1, &[1]).list_registers(2).construct();
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            open_v3(&cpu).await;
            for (intid, priority) in [(50, 0xc0), (51, 0x80), (52, 0x40), (53, 0xe0)] {
                enable_spi(&cpu, intid, 0, priority).await;
            }
            let mut active = Vec::new();
            for intid in [50, 51, 53, 52] {
                pend_spi(&cpu, intid).await;
                if cpu.interrupt_pending().await {
                    active.push(cpu.acknowledge().await);
                }
            }
            notes.note(active.clone());
            // Ends come in the reverse order; then the least urgent has its turn.
            for intid in active.into_iter().rev() {
                assert!(!cpu.interrupt_pending().await);
                cpu.end(intid).await;
            }
            notes.note(vec![cpu.next_interrupt().await]);
        }
    });
    system.start();
    system.until("all have arrived", |_| journal.len() == 2);
    assert_eq!(journal.all(), [vec![50, 51, 52], vec![53]]);
}

#[test]
fn an_spi_on_the_move_between_two_vcpus_is_neither_lost_nor_doubled() {
    for (cpus, seed) in [(1, 1), (2, 2), (2, 3), (2, 4), (2, 5), (4, 6), (4, 7), (4, 8)] {
        let mut system = Setup::new(cpus, &[2]).seed(seed).construct();
        let taken = Arc::new(AtomicU64::new(0));
        let done = Journal::new();
        let count = taken.clone();
        system.sim().guest(1, 1, move |cpu| {
            let count = count.clone();
            async move {
                open_v3(&cpu).await;
                loop {
                    // For a while it does not listen: what is in its list registers can move on.
                    cpu.with(|insight| std::mem::take(insight.vmcr)).await;
                    cpu.compute(seed % 3).await;
                    cpu.open_interface().await;
                    let intid = cpu.next_interrupt().await;
                    assert_eq!(intid, 45);
                    cpu.compute(seed % 2).await;
                    count.fetch_add(1, Ordering::SeqCst);
                    cpu.end(intid).await;
                }
            }
        });
        let (count, notes) = (taken.clone(), done.clone());
        system.sim().guest(1, 0, move |cpu| move_about(cpu, count.clone(), notes.clone()));
        system.start();
        system.until("it has moved 300 times", |_| done.len() == 1);
        system.rounds(20);
        assert_eq!(taken.load(Ordering::SeqCst), 300, "{cpus} processors");
    }
}

async fn to_and_fro(cpu: &Cpu, number: u64) {
    for step in 0..number % 5 {
        route_spi(cpu, 45, (number + step) & 1).await;
    }
}

/// Takes what arrives here until somebody has taken one more than `number`.
async fn until_taken(cpu: &Cpu, taken: &AtomicU64, number: u64) {
    while taken.load(Ordering::SeqCst) == number {
        if cpu.interrupt_pending().await {
            let intid = cpu.acknowledge().await;
            assert_eq!(intid, 45);
            taken.fetch_add(1, Ordering::SeqCst);
            cpu.end(intid).await;
        }
        cpu.compute(1).await;
    }
}

/// Makes SPI 45 pending 300 times, each time when the last has arrived, and routes it to and fro.
async fn move_about(cpu: Cpu, taken: Arc<AtomicU64>, done: Journal<()>) {
    open_v3(&cpu).await;
    assert_eq!(cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await, 0);
    enable_spi(&cpu, 45, 1, 0xa0).await;
    for number in 0..300_u64 {
        route_spi(&cpu, 45, number & 1).await;
        pend_spi(&cpu, 45).await;
        cpu.compute(number % 3).await;
        to_and_fro(&cpu, number).await;
        until_taken(&cpu, &taken, number).await;
    }
    done.note(());
    loop {
        let intid = cpu.next_interrupt().await;
        taken.fetch_add(1, Ordering::SeqCst);
        cpu.end(intid).await;
    }
}

#[test]
fn an_interrupt_of_a_device_that_nobody_owns_harms_nobody() {
    let mut system = Setup::new(2, &[1]).construct();
    system.sim().guest(1, 0, |cpu| async move { cpu.compute(1_000_000).await });
    system.start();
    for round in 0..100 {
        system.sim().raise(round % 2, 100);
        system.rounds(1);
    }
    assert_eq!(system.sim().take_counts(0).devices + system.sim().take_counts(1).devices, 100);
    assert!(system.sim().work(1, 0) >= 95);
}

#[test]
fn a_wait_with_an_interrupt_pending_ends_at_once() {
    for options in ["", "vwfi=native"] {
        for version in [Version::V2, Version::V3] {
            let mut system = Setup::new(1, &[1]).version(version).options(options).construct();
            let journal = Journal::new();
            let notes = journal.clone();
            system.sim().guest(1, 0, move |cpu| {
                let notes = notes.clone();
                async move {
                    open(&cpu, version).await;
                    signal(&cpu, version, 9, 1).await;
                    for _ in 0..6 {
                        cpu.wfi().await;
                        cpu.psci(&[0xc400_0001, 0, 0]).await;
                    }
                    notes.note(cpu.acknowledge().await);
                }
            });
            system.start();
            system.rounds(2);
            assert_eq!(journal.all(), [9], "{version:?}, {options}");
        }
    }
}
