//! Pools of processors, weights, caps and affinities, on whole systems.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hypervisor::schedule::{Affinity, CpuSet};
use model::arm64::gic::Version;

use crate::random::{Canary, compute, listen, tick};
use crate::scheduling::computing;
use crate::uart::open_v3;
use crate::world::guest::VIRTUAL_TIMER;
use crate::world::{Random, Setup, System};

/// Rounds of a hundred milliseconds.
const WINDOW: u64 = 1_000;

/// What a vCPU of each domain has worked.
fn work(system: &System, count: u16) -> Vec<u64> {
    (1..=count).map(|domain| system.sim().work(domain, 0)).collect()
}

/// What the first vCPU of each domain works in so many rounds.
fn works(system: &mut System, count: u16, rounds: u64) -> Vec<u64> {
    let before = work(system, count);
    system.rounds(rounds);
    work(system, count).iter().zip(before).map(|(now, then)| now - then).collect()
}

fn near(value: u64, expected: u64, percent: u64) -> bool {
    value.abs_diff(expected) * 100 <= expected * percent
}

/// No processor runs a vCPU of another pool.
fn assert_boundaries(system: &System) {
    for (cpu, processor) in system.hypervisor.processors.iter().enumerate() {
        if let Some((domain, index)) = system.sim().loaded(cpu) {
            let home = system.hypervisor.domains[usize::from(domain) - 1].seat.pool;
            assert_eq!(home, processor.seat.pool, "v{index} of domain {domain} runs on processor {cpu}");
        }
    }
}

#[test]
fn weights_of_one_two_and_four_share_a_processor_within_a_twentieth() {
    let setup = Setup::new(1, &[1, 1, 1]).share(0, 256, 0).share(1, 512, 0).share(2, 1024, 0);
    let mut system = computing(&setup, 0);
    system.rounds(500);
    let shares = works(&mut system, 3, 14_000);
    for (share, expected) in shares.iter().zip([2_000, 4_000, 8_000]) {
        assert!(near(*share, expected, 5), "{shares:?}");
    }
}

#[test]
fn a_cap_of_a_quarter_is_kept_in_each_tenth_of_a_second() {
    for others in [0_u16, 1, 2] {
        let vcpus = vec![1; usize::from(others) + 1];
        let mut system = computing(&Setup::new(1, &vcpus).share(0, 1024, 25), 0);
        system.rounds(137);
        for _ in 0..20 {
            let shares = works(&mut system, others + 1, WINDOW);
            assert!(near(shares[0], WINDOW / 4, 5), "beside {others}: {shares:?}");
            let total: u64 = shares.iter().sum();
            assert!(others == 0 || total * 100 >= WINDOW * 95, "time is lost: {shares:?}");
        }
    }
}

#[test]
fn a_cap_is_the_whole_domains_on_however_many_processors() {
    let setup = Setup::new(4, &[4]).share(0, 256, 150);
    let mut system = computing(&setup, 0);
    system.rounds(200);
    let all = |system: &System| (0..4).map(|index| system.sim().work(1, index)).sum::<u64>();
    for _ in 0..10 {
        let before = all(&system);
        system.rounds(WINDOW);
        let used = all(&system) - before;
        assert!(near(used, WINDOW * 3 / 2, 5), "{used}");
    }
}

#[test]
fn without_caps_nobody_who_is_alone_in_its_pool_is_interrupted() {
    let setup = Setup::new(4, &[1, 1, 2]).pool(&[2, 3], "null", &[2]);
    let mut system = computing(&setup, 0);
    system.rounds(100);
    (0..4).for_each(|cpu| {
        system.sim().take_counts(cpu);
    });
    assert_eq!(works(&mut system, 3, 1_000), [1_000; 3]);
    for cpu in 0..4 {
        let counts = system.sim().take_counts(cpu);
        assert_eq!((counts.interrupts(), counts.deadlines_set), (0, 0), "processor {cpu}");
    }
}

#[test]
fn a_pool_that_is_overrun_takes_nothing_from_the_other() {
    // Seven vCPUs on processors 1 and 3, two on 0 and 2.
    for scheduler in ["credit2", "null"] {
        let setup =
            Setup::new(4, &[3, 4, 1, 1]).pool(&[3, 1], "credit2", &[0, 1]).pool(&[0, 2], scheduler, &[2, 3]);
        let mut system = computing(&setup, 0);
        system.rounds(300);
        let before = work(&system, 4);
        let crowd = |system: &System| {
            let each = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (2, 3)];
            each.map(|(domain, index)| system.sim().work(domain, index))
        };
        let crowd_before = crowd(&system);
        for _ in 0..7_000 {
            system.rounds(1);
            assert_boundaries(&system);
        }
        let after = work(&system, 4);
        assert_eq!([after[2] - before[2], after[3] - before[3]], [7_000; 2], "{scheduler}");
        for (now, then) in crowd(&system).iter().zip(crowd_before) {
            assert!(near(now - then, 2_000, 5), "{scheduler}: {} of 2000", now - then);
        }
    }
}

#[test]
fn an_affinity_holds_and_is_changed_under_load() {
    let mut system = computing(&Setup::new(3, &[1, 1, 1, 1]), 0);
    let hypervisor = system.hypervisor;
    let bind = |vcpu: usize, hard: u128| {
        let affinity = Affinity { hard: CpuSet(hard), soft: CpuSet::ALL };
        let now = hypervisor.machine.time();
        let pool = &hypervisor.pools[0];
        if let Some(cpu) = pool.set_affinity(hypervisor.vcpus[vcpu].seat, affinity, now).unwrap() {
            hypervisor.call(cpu, usize::MAX);
        }
    };
    bind(0, 0b100);
    bind(1, 0b100);
    system.rounds(200);
    let shares = works(&mut system, 4, 4_000);
    for (share, expected) in shares.iter().zip([2_000, 2_000, 4_000, 4_000]) {
        assert!(near(*share, expected, 5), "{shares:?}");
    }
    for round in 0..2_000 {
        if round % 10 == 0 {
            let vcpu = system.random.below(4) as usize;
            let hard = 1 + system.random.below(7);
            bind(vcpu, u128::from(hard));
        }
        system.rounds(1);
    }
    (0..4).for_each(|vcpu| bind(vcpu, u128::MAX));
    system.rounds(200);
    let shares = works(&mut system, 4, 12_000);
    assert!(shares.iter().all(|share| near(*share, 9_000, 5)), "{shares:?}");
}

#[test]
fn with_the_null_scheduler_a_vcpu_moves_to_a_free_processor_only() {
    let mut system = computing(&Setup::new(3, &[1, 1]).options("sched=null"), 0);
    system.rounds(10);
    let hypervisor = system.hypervisor;
    let home = |domain: u16| {
        (0..3).find(|cpu| system.sim().loaded(*cpu) == Some((domain, 0))).expect("it runs somewhere")
    };
    let (first, second) = (home(1), home(2));
    let free = 3 - first - second;
    let bind = |vcpu: usize, cpu: usize| {
        let affinity = Affinity { hard: CpuSet::of(cpu), soft: CpuSet::ALL };
        let asks = hypervisor.pools[0].set_affinity(hypervisor.vcpus[vcpu].seat, affinity, 0)?;
        if let Some(cpu) = asks {
            hypervisor.call(cpu, usize::MAX);
        }
        Ok::<bool, hypervisor::schedule::Taken>(asks.is_some())
    };
    assert!(bind(0, second).is_err());
    assert_eq!(bind(0, first), Ok(false));
    assert_eq!(bind(0, free), Ok(true));
    system.rounds(10);
    assert_eq!(system.sim().loaded(free), Some((1, 0)));
    assert_eq!(system.sim().loaded(first), None);
    assert_eq!(bind(1, first), Ok(true));
    system.rounds(10);
    assert_eq!(system.sim().loaded(first), Some((2, 0)));
    assert_eq!(works(&mut system, 2, 500), [500, 500]);
}

/// A vCPU that computes, sleeps, and wakes by its timer, by chance.
fn restless(system: &System, domain: u16, index: usize, vcpus: u64, mut random: Random) {
    system.sim().guest(domain, index, move |cpu| {
        let mut random = Random(random.next());
        async move {
            open_v3(&cpu).await;
            for other in 1..if cpu.index() == 0 { vcpus } else { 1 } {
                cpu.psci(&[0xc400_0003, other, crate::world::guest::RAM, 0]).await;
            }
            loop {
                cpu.compute(random.below(40)).await;
                match random.below(3) {
                    0 => cpu.wfe().await,
                    1 => {
                        let due = cpu.count().await + random.below(3_000);
                        cpu.set_timer(1, due).await;
                        assert_eq!(cpu.next_interrupt().await, VIRTUAL_TIMER);
                        cpu.set_timer(0, 0).await;
                        cpu.end(VIRTUAL_TIMER).await;
                    }
                    _ => {}
                }
            }
        }
    });
}

/// A story: pools by chance, domains by chance, shares and affinities that change; one pool has a canary.
fn story(seed: u64) {
    let mut random = Random(seed);
    let restless_pool = random.pick(&["credit2", "credit2", "null"]);
    let (one, two) = (1 + random.below(4) as u32, 1 + random.below(3) as u32);
    let setup = Setup::new(5, &[one, two, 3]).pool(&[1, 3, 4], restless_pool, &[0, 1]).seed(seed);
    let cap = random.pick(&[0, 30, 120]);
    let mut system = setup.share(0, 1 + random.below(2_000) as u32, cap).construct();
    for (domain, vcpus) in [(1, one), (2, two)] {
        for index in 0..vcpus as usize {
            restless(&system, domain, index, u64::from(vcpus), Random(random.next()));
        }
    }
    let canary = Arc::new(Canary::default());
    let own = canary.clone();
    system.sim().guest(3, 0, move |cpu| tick(cpu, own.clone(), Version::V3));
    system.sim().guest(3, 1, compute);
    let own = canary.clone();
    system.sim().guest(3, 2, move |cpu| listen(cpu, own.clone(), Version::V3));
    system.start();
    let hypervisor = system.hypervisor;
    for _ in 0..10 {
        let ticks = canary.ticks.load(Ordering::Relaxed);
        let worked = system.sim().work(3, 1);
        let used = total(&system, one);
        for _ in 0..400 {
            let passed = 1 + system.random.below(200);
            system.round(passed);
            assert_boundaries(&system);
            if system.random.chance(20) {
                let vcpu = &hypervisor.vcpus[system.random.below(u64::from(one + two)) as usize];
                let hard = CpuSet(1 << system.random.pick(&[1, 3, 4]) | u128::from(system.random.below(32)));
                let soft = CpuSet(u128::from(system.random.below(32)));
                let (now, pool) = (hypervisor.machine.time(), &hypervisor.pools[vcpu.seat.pool]);
                if let Ok(Some(cpu)) = pool.set_affinity(vcpu.seat, Affinity { hard, soft }, now) {
                    hypervisor.call(cpu, usize::MAX);
                }
            }
        }
        assert!(canary.ticks.load(Ordering::Relaxed) > ticks, "seed {seed}: the canary stands still");
        // Three vCPUs on two processors, and one of them sleeps nearly always.
        let work = system.sim().work(3, 1) - worked;
        assert!(work >= 380, "seed {seed}: {work} of 400 steps of work");
        assert!(total(&system, one) > used, "seed {seed}: the restless stand still");
    }
}

fn total(system: &System, vcpus: u32) -> u64 {
    let one: u64 = (0..vcpus as usize).map(|index| system.sim().work(1, index)).sum();
    one + system.sim().work(2, 0)
}

#[test]
fn whatever_happens_in_one_pool_the_boundaries_hold_and_the_other_keeps_its_pace() {
    let first = crate::random::from_environment("XENITE_STORM_SEED", 1);
    for seed in first * 1_000..first * 1_000 + 40 {
        story(seed);
    }
}
