//! The same with a thread for each processor: what happens at the same time happens at the same time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hypervisor::cpu::Local;
use machine::sim::{Cpu, Ended, on_processor};

use crate::uart::{open_v3, say, send};
use crate::world::guest::VIRTUAL_TIMER;
use crate::world::{Journal, Setup, System, guest};

const CPU_ON: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;

/// Runs every processor in its own thread until the machine ends.
pub(crate) fn run(system: &System) {
    let stop = AtomicBool::new(false);
    let hypervisor = system.hypervisor;
    let start = Instant::now();
    system.sim().use_threads(true);
    std::thread::scope(|scope| {
        for cpu in 0..system.locals.len() {
            let stop = &stop;
            scope.spawn(move || {
                let mut local = Local::new(hypervisor, cpu).unwrap();
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    on_processor(cpu, || {
                        while !stop.load(Ordering::Relaxed) {
                            hypervisor.turn(&mut local);
                        }
                    });
                }));
                stop.store(true, Ordering::Relaxed);
                hypervisor.machine.use_threads(false);
                if let Err(payload) = outcome
                    && payload.downcast_ref::<Ended>().is_none()
                {
                    resume_unwind(payload);
                }
            });
        }
        while !stop.load(Ordering::Relaxed) {
            system.sim().advance(20);
            std::thread::sleep(Duration::from_micros(20));
            if start.elapsed() > Duration::from_secs(60) {
                stop.store(true, Ordering::Relaxed);
                system.sim().use_threads(false);
                panic!("the machine does not end: an interrupt or a wake-up is lost\n{}", system.output());
            }
        }
    });
}

/// Switches all on and sends the token off when they are ready: an SGI of group 1 is lost on those who have
/// not configured it.
async fn begin(cpu: &Cpu, vcpus: u64, ready: &Journal<usize>) {
    for other in 1..vcpus {
        assert_eq!(cpu.psci(&[CPU_ON, other, guest::RAM, 0]).await, 0);
    }
    while ready.len() < vcpus as usize {
        cpu.compute(1).await;
    }
    send(cpu, 1, 1 << 1).await;
}

/// A token goes round among the vCPUs by SGI; the one that has it last switches its domain off.
async fn pass_on(cpu: Cpu, vcpus: u64, rounds: u64, [ready, passed]: [Journal<usize>; 2]) {
    let own = cpu.index() as u64;
    open_v3(&cpu).await;
    ready.note(cpu.index());
    if own == 0 {
        begin(&cpu, vcpus, &ready).await;
    }
    for round in 0..rounds {
        let intid = cpu.next_interrupt().await;
        assert_eq!(intid, 1);
        cpu.end(intid).await;
        passed.note(cpu.index());
        if round % 7 == own {
            cpu.compute(own).await;
        }
        if own == 0 && round + 1 == rounds {
            cpu.psci(&[SYSTEM_OFF]).await;
        }
        send(&cpu, 1, 1 << ((own + 1) % vcpus)).await;
    }
}

#[test]
fn no_wake_up_is_lost_between_processors_that_run_at_the_same_time() {
    const ROUNDS: u64 = 3_000;
    for (cpus, vcpus) in [(2, 2), (4, 4), (4, 6), (2, 5)] {
        let system = Setup::new(cpus, &[vcpus]).construct();
        let (ready, journal) = (Journal::new(), Journal::new());
        for index in 0..vcpus as usize {
            let journals = [ready.clone(), journal.clone()];
            system.sim().guest(1, index, move |cpu| pass_on(cpu, u64::from(vcpus), ROUNDS, journals.clone()));
        }
        system.start();
        run(&system);
        let passed = journal.all();
        assert_eq!(passed.len() as u64, ROUNDS * u64::from(vcpus));
        for (step, index) in passed.into_iter().enumerate() {
            assert_eq!(index, (step + 1) % vcpus as usize);
        }
    }
}

#[test]
fn domains_tick_write_and_end_on_four_processors_at_the_same_time() {
    static TICKS: AtomicU64 = AtomicU64::new(0);
    let system = Setup::new(4, &[1, 1, 1, 1, 1, 1]).construct();
    for domain in 1..7_u16 {
        system.sim().guest(domain, 0, |cpu| async move {
            open_v3(&cpu).await;
            for number in 0..40 {
                let now = cpu.count().await;
                cpu.set_timer(1, now + 100 + u64::from(cpu.domain()) * 30).await;
                assert_eq!(cpu.next_interrupt().await, VIRTUAL_TIMER);
                cpu.set_timer(0, 0).await;
                cpu.end(VIRTUAL_TIMER).await;
                TICKS.fetch_add(1, Ordering::Relaxed);
                cpu.compute(number % 3).await;
                say(&cpu, &format!("tick {number}\n")).await;
            }
            cpu.psci(&[SYSTEM_OFF]).await;
        });
    }
    system.start();
    run(&system);
    assert_eq!(TICKS.load(Ordering::Relaxed), 240);
    for domain in 1..7 {
        let prefix = format!("DOM{domain}: tick ");
        let numbers: Vec<String> =
            system.lines().iter().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect();
        assert_eq!(numbers, (0..40).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(system.output().contains(&format!("d{domain} has powered off")));
    }
}
