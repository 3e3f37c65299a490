//! Timers: the virtual one in hardware, the physical one emulated, and the queue of those who sleep.

use machine::sim::Cpu;
use model::arm64::SystemRegister;

use crate::uart::open_v3;
use crate::world::guest::{PHYSICAL_TIMER, VIRTUAL_TIMER};
use crate::world::{Journal, ROUND, Setup, guest};

const CPU_ON: u64 = 0xc400_0003;

/// How a vCPU spends the time until its timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Sleeps,
    Computes,
}

async fn set(cpu: &Cpu, intid: u32, due: u64) {
    if intid == VIRTUAL_TIMER {
        cpu.set_timer(1, due).await;
    } else {
        // The physical count is the virtual one plus the domain's offset.
        cpu.msr(SystemRegister::CNTP_CVAL_EL0, due + cpu.start().timer_offset).await.unwrap();
        cpu.msr(SystemRegister::CNTP_CTL_EL0, 1).await.unwrap();
    }
}

async fn clear(cpu: &Cpu, intid: u32) {
    if intid == VIRTUAL_TIMER {
        cpu.set_timer(0, 0).await;
    } else {
        assert_eq!(cpu.mrs(SystemRegister::CNTP_CTL_EL0).await, Ok(5));
        cpu.msr(SystemRegister::CNTP_CTL_EL0, 0).await.unwrap();
    }
}

/// Notes by how many ticks each interrupt of its timer is late.
async fn tick(cpu: Cpu, intid: u32, times: u64, meanwhile: Meanwhile, journal: Journal<(usize, u64)>) {
    open_v3(&cpu).await;
    for number in 0..times {
        let due = cpu.count().await + 130 + number * 61 % 700 + cpu.index() as u64 * 7;
        set(&cpu, intid, due).await;
        if meanwhile == Meanwhile::Computes {
            cpu.compute_until_interrupt().await;
        }
        assert_eq!(cpu.next_interrupt().await, intid);
        let now = cpu.count().await;
        assert!(now >= due, "{cpu:?}: the timer fired {} ticks early", due - now);
        journal.note((cpu.index(), now - due));
        clear(&cpu, intid).await;
        cpu.end(intid).await;
        assert!(!cpu.interrupt_pending().await, "{cpu:?}: an interrupt of a timer that is off");
    }
}

fn alone(intid: u32, meanwhile: Meanwhile) {
    for cpus in [1, 2, 4] {
        let mut system = Setup::new(cpus, &[1]).construct();
        let journal = Journal::new();
        let notes = journal.clone();
        system.sim().guest(1, 0, move |cpu| tick(cpu, intid, 200, meanwhile, notes.clone()));
        system.start();
        system.until("200 ticks", |_| journal.len() == 200);
        let latest = journal.all().into_iter().map(|(_, late)| late).max().unwrap();
        assert!(latest < 2 * ROUND, "{meanwhile:?}, {cpus} processors: {latest} ticks late");
    }
}

#[test]
fn the_virtual_timer_wakes_a_sleeper_in_time() {
    alone(VIRTUAL_TIMER, Meanwhile::Sleeps);
}

#[test]
fn the_virtual_timer_interrupts_a_guest_that_computes() {
    alone(VIRTUAL_TIMER, Meanwhile::Computes);
}

#[test]
fn the_physical_timer_wakes_a_sleeper_in_time() {
    alone(PHYSICAL_TIMER, Meanwhile::Sleeps);
}

#[test]
fn the_physical_timer_interrupts_a_guest_that_computes() {
    alone(PHYSICAL_TIMER, Meanwhile::Computes);
}

#[test]
fn many_sleepers_on_few_processors_all_wake_in_time() {
    for cpus in [1, 2, 4] {
        let mut system = Setup::new(cpus, &[3, 3]).seed(u64::from(cpus)).construct();
        let journal = Journal::new();
        for (domain, index) in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
            let notes = journal.clone();
            let intid = if index == 1 { PHYSICAL_TIMER } else { VIRTUAL_TIMER };
            system.sim().guest(domain, index, move |cpu| {
                let notes = notes.clone();
                async move {
                    if cpu.index() == 0 {
                        cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await;
                        cpu.psci(&[CPU_ON, 2, guest::RAM, 0]).await;
                    }
                    tick(cpu, intid, 100, Meanwhile::Sleeps, notes).await;
                }
            });
        }
        system.start();
        system.until("600 ticks", |_| journal.len() == 600);
        let latest = journal.all().into_iter().map(|(_, late)| late).max().unwrap();
        assert!(latest < 3 * ROUND, "{cpus} processors: {latest} ticks late");
    }
}

#[test]
fn a_sleeper_whose_timer_is_due_runs_although_others_compute() {
    for cpus in [1, 2] {
        let mut system = Setup::new(cpus, &[1, 1, 1, 1]).construct();
        let journal = Journal::new();
        let notes = journal.clone();
        system.sim().guest(1, 0, move |cpu| tick(cpu, VIRTUAL_TIMER, 100, Meanwhile::Sleeps, notes.clone()));
        for domain in 2..5 {
            system.sim().guest(domain, 0, |cpu| async move { cpu.compute(1_000_000).await });
        }
        system.start();
        system.until("100 ticks", |_| journal.len() == 100);
        let latest = journal.all().into_iter().map(|(_, late)| late).max().unwrap();
        // A slice of 4 ms for the one who is running, at most.
        assert!(latest <= 4_000 + 3 * ROUND, "{cpus} processors: {latest} ticks late");
    }
}

#[test]
fn a_timer_that_is_not_set_anew_fires_again_after_its_end() {
    let mut system = Setup::new(1, &[1]).construct();
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            open_v3(&cpu).await;
            cpu.set_timer(1, 0).await;
            for _ in 0..5 {
                let intid = cpu.next_interrupt().await;
                assert!(!cpu.interrupt_pending().await, "while it is active it is not pending");
                cpu.compute(2).await;
                notes.note(intid);
                cpu.end(intid).await;
            }
        }
    });
    system.start();
    system.until("five of them", |_| journal.len() == 5);
    assert_eq!(journal.all(), [VIRTUAL_TIMER; 5]);
}

#[test]
fn a_timer_interrupt_that_the_guest_clears_instead_of_ending_it_comes_again() {
    let mut system = Setup::new(1, &[1]).construct();
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            open_v3(&cpu).await;
            for round in 0..10 {
                cpu.set_timer(1, 0).await;
                cpu.compute_until_interrupt().await;
                // GICR_ICENABLER0 or nothing, then GICR_ICPENDR0: gone without an end.
                let own = guest::REDISTRIBUTOR + 0x1_0000;
                cpu.set_timer(0, 0).await;
                if round & 1 != 0 {
                    cpu.write(own + 0x180, 1 << VIRTUAL_TIMER).await;
                }
                cpu.write(own + 0x280, 1 << VIRTUAL_TIMER).await;
                cpu.write(own + 0x100, 1 << VIRTUAL_TIMER).await;
                assert!(!cpu.interrupt_pending().await, "round {round}");
                cpu.set_timer(1, 0).await;
                let intid = cpu.next_interrupt().await;
                cpu.set_timer(0, 0).await;
                cpu.end(intid).await;
                notes.note(intid);
            }
        }
    });
    system.start();
    system.until("ten of them", |_| journal.len() == 10);
    assert_eq!(journal.all(), [VIRTUAL_TIMER; 10]);
}

#[test]
fn a_timer_that_is_stopped_before_its_interrupt_is_taken_is_pending_no_more_after_a_sleep() {
    let mut system = Setup::new(1, &[1]).construct();
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            open_v3(&cpu).await;
            let own = guest::REDISTRIBUTOR + 0x1_0000;
            for _ in 0..3 {
                cpu.set_timer(1, 0).await;
                cpu.compute_until_interrupt().await;
                // GICR_ICENABLER0: the interrupt waits where nobody takes it.
                cpu.write(own + 0x180, 1 << VIRTUAL_TIMER).await;
                cpu.set_timer(0, 0).await;
                let due = cpu.count().await + 500;
                set(&cpu, PHYSICAL_TIMER, due).await;
                notes.note(cpu.next_interrupt().await);
                clear(&cpu, PHYSICAL_TIMER).await;
                cpu.end(PHYSICAL_TIMER).await;
                cpu.write(own + 0x100, 1 << VIRTUAL_TIMER).await;
                assert!(!cpu.interrupt_pending().await, "its line is low");
                // The physical one was given back: it can fire again.
                cpu.set_timer(1, 0).await;
                notes.note(cpu.next_interrupt().await);
                cpu.set_timer(0, 0).await;
                cpu.end(VIRTUAL_TIMER).await;
            }
        }
    });
    system.start();
    system.until("three rounds", |_| journal.len() == 6);
    assert_eq!(journal.all(), [PHYSICAL_TIMER, VIRTUAL_TIMER].repeat(3));
}

#[test]
fn a_timer_that_fires_while_its_vcpu_waits_for_a_processor_is_not_lost() {
    let mut system = Setup::new(1, &[1, 1]).construct();
    let journal = Journal::new();
    for domain in [1, 2] {
        let notes = journal.clone();
        system
            .sim()
            .guest(domain, 0, move |cpu| tick(cpu, VIRTUAL_TIMER, 50, Meanwhile::Computes, notes.clone()));
    }
    system.start();
    system.until("100 ticks", |_| journal.len() == 100);
}

#[test]
fn a_wait_that_does_not_trap_ends_by_its_timer() {
    let mut system = Setup::new(2, &[1, 1]).options("vwfi=native").construct();
    let journal = Journal::new();
    for domain in [1, 2] {
        let notes = journal.clone();
        system
            .sim()
            .guest(domain, 0, move |cpu| tick(cpu, VIRTUAL_TIMER, 50, Meanwhile::Sleeps, notes.clone()));
    }
    system.start();
    system.until("100 ticks", |_| journal.len() == 100);
    let latest = journal.all().into_iter().map(|(_, late)| late).max().unwrap();
    assert!(latest < 2 * ROUND, "{latest} ticks late");
}

#[test]
fn the_deadline_of_a_sleeper_that_was_woken_by_another_disturbs_nobody() {
    let mut system = Setup::new(2, &[2]).construct();
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 1, move |cpu| {
        let notes = notes.clone();
        async move {
            open_v3(&cpu).await;
            let now = cpu.count().await;
            cpu.set_timer(1, now + 50_000).await;
            notes.note(cpu.next_interrupt().await);
            cpu.set_timer(0, 0).await;
            notes.note(0);
            cpu.compute(u64::MAX).await;
        }
    });
    let notes = journal.clone();
    system.sim().guest(1, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            open_v3(&cpu).await;
            assert_eq!(cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await, 0);
            cpu.compute(100).await;
            crate::uart::send(&cpu, 2, 2).await;
            notes.note(0);
            cpu.compute(u64::MAX).await;
        }
    });
    system.start();
    system.until("it was woken", |_| journal.len() == 3);
    assert!(journal.all().contains(&2));
    system.rounds(100);
    for cpu in 0..2 {
        system.sim().take_counts(cpu);
    }
    system.rounds(1_000);
    for cpu in 0..2 {
        let counts = system.sim().take_counts(cpu);
        assert_eq!((counts.interrupts(), counts.deadlines_set), (0, 0), "{counts:?}");
    }
}
