//! Who runs where, and that nobody is disturbed without need.

use crate::uart::open_v3;
use crate::world::guest::VIRTUAL_TIMER;
use crate::world::{Journal, Setup, System, guest};

const CPU_ON: u64 = 0xc400_0003;

/// All vCPUs compute for ever; v0 of a domain switches the others on after so many rounds.
pub(crate) fn computing(setup: &Setup, after: u64) -> System {
    let system = setup.construct();
    for (domain, wish) in (1_u16..).zip(&setup.domains) {
        for index in 0..wish.vcpus as usize {
            let vcpus = u64::from(wish.vcpus);
            system.sim().guest(domain, index, move |cpu| async move {
                cpu.compute(after).await;
                for other in 1..if cpu.index() == 0 { vcpus } else { 1 } {
                    assert_eq!(cpu.psci(&[CPU_ON, other, guest::RAM, 0]).await, 0);
                }
                cpu.compute(u64::MAX).await;
            });
        }
    }
    system.start();
    system
}

#[test]
fn a_vcpu_that_is_alone_is_never_interrupted() {
    for (cpus, vcpus) in [(1, 1), (2, 1), (2, 2), (4, 4), (4, 3)] {
        let mut system = computing(&Setup::new(cpus, &[vcpus]), 0);
        // A time limit of the first moments, when they were not yet apart, may still pass.
        system.rounds(100);
        for cpu in 0..cpus as usize {
            system.sim().take_counts(cpu);
        }
        let before: Vec<u64> = (0..vcpus as usize).map(|index| system.sim().work(1, index)).collect();
        system.rounds(1000);
        for cpu in 0..cpus as usize {
            let counts = system.sim().take_counts(cpu);
            assert_eq!(counts.interrupts(), 0, "{vcpus} vCPUs on {cpus} processors: {counts:?}");
            assert_eq!(counts.deadlines_set, 0);
            assert_eq!(system.sim().deadline(cpu), None);
        }
        for (index, before) in before.into_iter().enumerate() {
            assert_eq!(system.sim().work(1, index) - before, 1000, "v{index} got all the time");
        }
    }
}

#[test]
fn three_vcpus_share_two_processors_fairly() {
    // When the third comes late, the others have long been without a time limit.
    for (seed, after) in [(1, 0), (2, 0), (3, 300), (4, 300), (5, 1_000)] {
        let mut system = computing(&Setup::new(2, &[1, 2]).seed(seed), after);
        system.rounds(after + 100);
        let work = |system: &System| {
            [(1, 0), (2, 0), (2, 1)].map(|(domain, index)| system.sim().work(domain, index))
        };
        let before = work(&system);
        system.rounds(12_000);
        let after = work(&system);
        let shares = [0, 1, 2].map(|index| after[index] - before[index]);
        let total: u64 = shares.iter().sum();
        assert!(total >= 23_500, "time is lost: {total} of 24000 steps");
        for share in shares {
            assert!(share * 300 >= total * 95 && share * 300 <= total * 105, "{shares:?}");
        }
    }
}

#[test]
fn five_vcpus_share_any_number_of_processors_fairly() {
    for cpus in [1, 2, 4] {
        let mut system = computing(&Setup::new(cpus, &[2, 3]), 0);
        system.rounds(10_000);
        let shares: Vec<u64> = [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
            .map(|(domain, index)| system.sim().work(domain, index))
            .to_vec();
        let total: u64 = shares.iter().sum();
        assert!(total >= 9_700 * u64::from(cpus), "time is lost: {shares:?}");
        assert!(
            shares.iter().all(|share| share * 500 >= total * 95 && share * 500 <= total * 105),
            "{shares:?}"
        );
    }
}

#[test]
fn a_sleeper_takes_no_time_from_those_who_compute() {
    let mut system = Setup::new(1, &[1, 1]).construct();
    system.sim().guest(1, 0, |cpu| async move { cpu.compute(u64::MAX).await });
    system.start();
    // A time limit of the first moments, when the other had not yet gone to sleep, may still pass.
    system.rounds(100);
    system.sim().take_counts(0);
    let before = system.sim().work(1, 0);
    system.rounds(1000);
    assert_eq!(system.sim().work(1, 0) - before, 1000);
    assert_eq!(system.sim().take_counts(0).interrupts(), 0);
}

#[test]
fn a_vcpu_that_yields_lets_the_other_go_on() {
    let mut system = Setup::new(1, &[1, 1]).construct();
    let journal = Journal::new();
    for domain in [1, 2_u16] {
        let notes = journal.clone();
        system.sim().guest(domain, 0, move |cpu| {
            let notes = notes.clone();
            async move {
                while notes.len() < 200 {
                    notes.note(cpu.domain());
                    cpu.compute(1).await;
                    cpu.wfe().await;
                }
            }
        });
    }
    system.start();
    system.until("200 entries", |_| journal.len() >= 200);
    let entries = journal.all();
    let turns = entries.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns >= 195, "they alternate: {turns} of 199");
}

#[test]
fn with_the_null_scheduler_each_vcpu_has_a_processor_and_the_last_comer_none() {
    let mut system = computing(&Setup::new(2, &[1, 1, 1]).options("sched=null"), 0);
    system.rounds(10);
    for cpu in 0..2 {
        system.sim().take_counts(cpu);
    }
    let before = [1, 2, 3].map(|domain| system.sim().work(domain, 0));
    system.rounds(1000);
    let after = [1, 2, 3].map(|domain| system.sim().work(domain, 0));
    assert_eq!([0, 1, 2].map(|index| after[index] - before[index]), [1000, 1000, 0]);
    for cpu in 0..2 {
        let counts = system.sim().take_counts(cpu);
        assert_eq!((counts.interrupts(), counts.deadlines_set), (0, 0));
    }
}

#[test]
fn the_null_scheduler_wakes_sleepers_by_interrupt_and_timer() {
    let mut system = Setup::new(2, &[2]).options("sched=null").construct();
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 1, move |cpu| {
        let notes = notes.clone();
        async move {
            open_v3(&cpu).await;
            loop {
                let intid = cpu.next_interrupt().await;
                cpu.end(intid).await;
                notes.note(intid);
            }
        }
    });
    system.sim().guest(1, 0, |cpu| async move {
        open_v3(&cpu).await;
        assert_eq!(cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await, 0);
        cpu.compute(5).await;
        for number in 0..50 {
            let now = cpu.count().await;
            cpu.set_timer(1, now + 300).await;
            assert_eq!(cpu.next_interrupt().await, VIRTUAL_TIMER);
            cpu.set_timer(0, 0).await;
            cpu.end(VIRTUAL_TIMER).await;
            crate::uart::send(&cpu, number % 16, 2).await;
        }
    });
    system.start();
    system.until("all have arrived", |_| journal.len() == 50);
}
