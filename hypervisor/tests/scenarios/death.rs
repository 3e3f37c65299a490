//! The end of a guest, in whatever state its vCPUs are, while others go on.

use machine::sim::{Cpu, Ended};
use model::arm64::{Cause, Trap};

use crate::uart::{open_v3, say};
use crate::world::guest::{NOWHERE, VIRTUAL_TIMER};
use crate::world::{Journal, ROUND, Setup, System, guest};

const CPU_ON: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;

/// How a domain ends.
#[derive(Clone, Copy, Debug)]
enum Way {
    Off,
    Reset,
    Vectors,
    SystemError,
    Unexpected,
}

const WAYS: [(Way, &str); 5] = [
    (Way::Off, "d1 has powered off"),
    (Way::Reset, "d1 has asked for a restart"),
    (Way::Vectors, "its exception vectors at 0x10000200 cannot be fetched"),
    (Way::SystemError, "v0: system error"),
    (Way::Unexpected, "unexpected exception of class 0x3f"),
];

async fn die(cpu: &Cpu, way: Way) {
    let mut trap = Trap { cause: Cause::SystemError, syndrome: 0xbe00_0000, fault_address: 0, fault_page: 0 };
    match way {
        Way::Off => drop(cpu.psci(&[SYSTEM_OFF]).await),
        Way::Reset => drop(cpu.psci(&[SYSTEM_RESET]).await),
        Way::Vectors => {
            cpu.set_vectors(NOWHERE).await;
            let _ = cpu.jump(NOWHERE + 0x10_0000).await;
        }
        Way::SystemError => cpu.raw(trap).await,
        Way::Unexpected => {
            trap = Trap { cause: Cause::Synchronous, syndrome: 0x3f << 26, ..trap };
            cpu.raw(trap).await;
        }
    }
    panic!("{way:?} came back");
}

/// What the other vCPUs of the dying domain do.
#[derive(Clone, Copy, Debug)]
enum State {
    Computes,
    Sleeps,
    SleepsWithTimer,
    Writes,
    HandlesInterrupts,
    IsOff,
}

const STATES: [State; 6] = [
    State::Computes,
    State::Sleeps,
    State::SleepsWithTimer,
    State::Writes,
    State::HandlesInterrupts,
    State::IsOff,
];

async fn be(cpu: Cpu, state: State) {
    open_v3(&cpu).await;
    match state {
        State::Computes => cpu.compute(u64::MAX).await,
        State::Sleeps | State::IsOff => {}
        State::SleepsWithTimer => loop {
            let now = cpu.count().await;
            cpu.set_timer(1, now + 700).await;
            cpu.next_interrupt().await;
            cpu.set_timer(0, 0).await;
            cpu.end(VIRTUAL_TIMER).await;
        },
        State::Writes => loop {
            say(&cpu, "some words and no end ").await;
        },
        State::HandlesInterrupts => loop {
            crate::uart::send(&cpu, 3, 1 << cpu.index()).await;
            let intid = cpu.next_interrupt().await;
            cpu.compute(1).await;
            cpu.end(intid).await;
        },
    }
}

/// Domain 1 (three vCPUs) ends after a while; domain 2 (one vCPU) ticks and computes.
fn with_a_dying_domain(cpus: u32, way: Way, state: State) -> (System, Journal<u64>) {
    let system = Setup::new(cpus, &[3, 1]).seed(u64::from(cpus)).construct();
    for index in 1..3 {
        system.sim().guest(1, index, move |cpu| be(cpu, state));
    }
    system.sim().guest(1, 0, move |cpu| async move {
        if !matches!(state, State::IsOff) {
            for target in 1..3 {
                cpu.psci(&[CPU_ON, target, guest::RAM, 0]).await;
            }
        }
        cpu.compute(30).await;
        say(&cpu, "last wor").await;
        die(&cpu, way).await;
    });
    let ticks = Journal::new();
    let notes = ticks.clone();
    system.sim().guest(2, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            open_v3(&cpu).await;
            loop {
                let now = cpu.count().await;
                cpu.set_timer(1, now + 500).await;
                assert_eq!(cpu.next_interrupt().await, VIRTUAL_TIMER);
                cpu.set_timer(0, 0).await;
                cpu.end(VIRTUAL_TIMER).await;
                cpu.compute(1).await;
                notes.note(cpu.count().await - now);
            }
        }
    });
    system.start();
    (system, ticks)
}

#[test]
fn a_domain_ends_in_every_state_of_its_vcpus_and_another_goes_on() {
    for (way, words) in WAYS {
        for state in STATES {
            for cpus in [1, 2, 4] {
                let (mut system, ticks) = with_a_dying_domain(cpus, way, state);
                system.until("it ends", |system| !system.hypervisor.domains[0].lives());
                system.round(ROUND);
                assert!(system.output().contains(words), "{way:?}, {state:?}: {}", system.output());
                if !matches!(state, State::Writes) {
                    assert!(
                        system.output().contains("DOM1: last wor\r\n"),
                        "its last words: {}",
                        system.output()
                    );
                }
                let work: Vec<u64> = (0..3).map(|index| system.sim().work(1, index)).collect();
                let before = ticks.len();
                for _ in 0..100 {
                    system.round(ROUND);
                    for cpu in 0..cpus as usize {
                        let loaded = system.sim().loaded(cpu);
                        assert!(
                            loaded.is_none_or(|(domain, _)| domain == 2),
                            "{way:?}, {state:?}: {loaded:?}"
                        );
                    }
                }
                let after: Vec<u64> = (0..3).map(|index| system.sim().work(1, index)).collect();
                assert_eq!(work, after, "{way:?}, {state:?}: a dead vCPU works");
                assert!(ticks.len() >= before + 13, "{way:?}, {state:?}, {cpus}: the other one is slow");
                assert!(ticks.all()[before + 1..].iter().all(|late| *late <= 500 + 3 * ROUND));
                assert_eq!(system.ended, None);
            }
        }
    }
}

#[test]
fn the_end_of_the_last_domain_is_the_end_of_the_machine() {
    for cpus in [1, 2, 4] {
        let mut system = Setup::new(cpus, &[2, 1]).construct();
        for domain in [1, 2_u16] {
            system.sim().guest(domain, 0, |cpu| async move {
                if cpu.domain() == 1 {
                    cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await;
                }
                cpu.compute(10 * u64::from(cpu.domain())).await;
                cpu.psci(&[SYSTEM_OFF]).await;
            });
        }
        system.sim().guest(1, 1, |cpu| async move { cpu.compute(u64::MAX).await });
        system.start();
        system.until("the machine ends", |system| system.ended.is_some());
        assert_eq!(system.ended, Some(Ended::PowerOff));
        let output = system.output();
        assert!(output.ends_with("(XEN) The last domain has ended: power off\r\n"), "{output}");
    }
}

#[test]
fn with_noreboot_the_machine_stays_on_and_idle() {
    let mut system = Setup::new(2, &[1]).options("noreboot").construct();
    system.sim().guest(1, 0, |cpu| async move {
        cpu.psci(&[SYSTEM_OFF]).await;
    });
    system.start();
    system.rounds(50);
    assert_eq!(system.ended, None);
    assert!(system.output().contains("the machine stays on"), "{}", system.output());
    // It still answers to who types.
    system.sim().type_in(b"q");
    system.rounds(3);
    assert!(system.output().contains("d1: has powered off"), "{}", system.output());
    system.sim().type_in(b"R");
    system.rounds(3);
    assert_eq!(system.ended, Some(Ended::Reset));
}

#[test]
fn what_is_typed_to_a_dead_domain_harms_nobody() {
    let mut system = Setup::new(1, &[1, 1]).construct();
    system.sim().guest(1, 0, |cpu| async move {
        cpu.compute(20).await;
        cpu.psci(&[SYSTEM_OFF]).await;
    });
    system.sim().guest(2, 0, |cpu| async move { cpu.compute(u64::MAX).await });
    system.start();
    system.sim().type_in(&[1; 3]);
    system.rounds(10);
    assert!(system.output().contains("Serial input to DOM1"));
    system.until("it ends", |system| !system.hypervisor.domains[0].lives());
    system.sim().type_in(&[b'x'; 100]);
    system.rounds(20);
    system.sim().type_in(&[1; 3]);
    system.rounds(10);
    assert!(system.output().contains("Serial input to DOM2"), "{}", system.output());
}

#[test]
fn all_domains_that_end_in_the_same_round_end_once_each() {
    for seed in 0..20 {
        let mut system = Setup::new(4, &[1, 1, 1, 1]).seed(seed).construct();
        for domain in 1..5 {
            system.sim().guest(domain, 0, |cpu| async move {
                cpu.compute(3).await;
                cpu.psci(&[SYSTEM_OFF]).await;
            });
        }
        system.start();
        system.until("the machine ends", |system| system.ended.is_some());
        for domain in 1..5 {
            let words = format!("d{domain} has powered off");
            assert_eq!(system.output().matches(&words).count(), 1, "{}", system.output());
        }
    }
}
