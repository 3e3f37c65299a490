//! Hostile guests with a plan: each does what was the end of another hypervisor. `docs/security.md` says which.

use std::sync::atomic::{AtomicU64, Ordering};

use abi::errno::Errno;
use abi::hypercall::{
    CONSOLE_IO, EVENT_CHANNEL_OP, GRANT_TABLE_OP, MEMORY_OP, MULTICALL, VCPU_OP, XEN_VERSION,
};
use machine::contract::Machine;
use machine::lock::Rank;
use machine::sim::{Cpu, spin};
use model::arm64::AccessSize;

use crate::calls::{INVAL, SELF, accounted, error, hypercall, perform, relinquish, store};
use crate::world::guest::RAM;
use crate::world::{Journal, MIB, Setup};

const CPU_ON: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;
const ARGUMENT: u64 = RAM + MIB;
const LIST: u64 = RAM + 2 * MIB;
const PAGES: u64 = RAM + 5 * MIB;
const HOLE: u64 = RAM + 64 * MIB;

async fn call(cpu: &Cpu, number: u64, command: u64, words: &[u64]) -> i64 {
    let at = ARGUMENT + cpu.index() as u64 * 0x1000;
    store(cpu, at, words).await;
    hypercall(cpu, number, &[command, at, 1]).await
}

async fn event(cpu: &Cpu, command: u64, words: &[u64]) -> i64 {
    call(cpu, EVENT_CHANNEL_OP, command, words).await
}

/// One step of a vCPU: 0 ends queues, 1 begins and extends them, 2 binds and sends. What it is answered.
async fn step(cpu: &Cpu, time: u64) -> Vec<i64> {
    let (port, vcpu) = (1 + time % 4, time % 3);
    let page = (PAGES >> 12) + time % 16;
    let calls: &[(u64, [u64; 3])] = match cpu.index() {
        0 => &[(10, [SELF, 0, 0])],
        1 => &[(11, [page, vcpu << 32, 0]), (12, [page + 32, 0, 0]), (13, [port | (time % 16) << 32, 0, 0])],
        _ => &[
            (7, [vcpu, 0, 0]),
            (4, [port, 0, 0]),
            (9, [port, 0, 0]),
            (8, [port | vcpu << 32, 0, 0]),
            (3, [port, 0, 0]),
        ],
    };
    let mut answers = Vec::new();
    for (command, words) in calls {
        answers.push(event(cpu, *command, words).await);
    }
    answers
}

/// Does so many times, at the same time as the others.
async fn race(cpu: Cpu, ended: &'static AtomicU64) {
    if cpu.index() == 0 {
        for other in 1..3 {
            cpu.psci(&[CPU_ON, other, RAM, 0]).await;
        }
    }
    for time in 0..1_500 {
        for answer in step(&cpu, time).await {
            let known = [Errno::Acces, Errno::Inval, Errno::NoSpc, Errno::NoSys, Errno::OpNotSupp].map(error);
            assert!(answer == 0 || known.contains(&answer), "v{}: {answer}", cpu.index());
        }
    }
    if ended.fetch_add(1, Ordering::SeqCst) == 2 {
        cpu.psci(&[SYSTEM_OFF]).await;
    }
}

#[test]
fn queues_begin_and_end_while_others_send() {
    static ENDED: AtomicU64 = AtomicU64::new(0);
    let system = Setup::new(3, &[3]).enhanced().construct();
    let hypervisor = system.hypervisor;
    for index in 0..3 {
        system.sim().guest(1, index, |cpu| race(cpu, &ENDED));
    }
    system.start();
    crate::threads::run(&system);
    let domain = &hypervisor.domains[0];
    let events = &domain.pv.as_ref().unwrap().events;
    loop {
        let next = events.lock().channels.next_used(0);
        let Some(port) = next else { break };
        assert_eq!(hypervisor.close(domain, port), Ok(()));
    }
    events.lock().forget_queues();
    for page in 0..48 {
        let (frame, ..) = system.sim().frame_at(&domain.map, PAGES + page * 0x1000).unwrap();
        assert_eq!(frame.count(), 2, "page {page} is held by more than the map and this test");
    }
}

#[test]
fn a_refused_control_call_takes_no_lock_but_the_callers_own_map() {
    const RANKS: [Rank; 9] = [
        Rank::Bindings,
        Rank::Grants,
        Rank::Mappings,
        Rank::Events,
        Rank::Interrupts,
        Rank::Power,
        Rank::Scheduler,
        Rank::Console,
        Rank::Frames,
    ];
    let taken = || RANKS.map(spin::times_taken);
    let mut system = Setup::new(1, &[1, 1]).enhanced().construct();
    perform(&mut system, move |cpu| async move {
        for (number, version) in [(36, 0x15_u64), (35, 0x15), (7, 0x0300_0000)] {
            for operation in 0..96 {
                store(&cpu, ARGUMENT, &[version | operation << 32, 2, 0, 0]).await;
                let before = taken();
                let answer = hypercall(&cpu, number, &[ARGUMENT]).await;
                assert!(answer < 0, "{number} {operation}: {answer}");
                assert_eq!(taken(), before, "{number} {operation}");
            }
        }
    });
}

#[test]
fn no_call_goes_on_for_more_than_a_stretch() {
    const COUNT: u64 = 640;
    let mut system = Setup::new(1, &[1, 1]).enhanced().construct();
    let runs = Journal::new();
    let noted = runs.clone();
    system.sim().take_counts(0);
    perform(&mut system, move |cpu| {
        let runs = noted.clone();
        async move {
            for (number, arguments, least) in [
                (MULTICALL, [LIST, COUNT, 0], COUNT / 16),
                (GRANT_TABLE_OP, [5, LIST, COUNT], COUNT / 16),
                (GRANT_TABLE_OP, [0, LIST, COUNT], COUNT / 16),
                (EVENT_CHANNEL_OP, [10, ARGUMENT, 0], COUNT / 32),
                (CONSOLE_IO, [0, 64 * COUNT, LIST], 64 * COUNT / 512),
            ] {
                if number == EVENT_CHANNEL_OP {
                    for _ in 0..COUNT {
                        assert_eq!(event(&cpu, 7, &[0, 0]).await, 0);
                    }
                    store(&cpu, ARGUMENT, &[SELF]).await;
                }
                // As multicalls these ask for the version; as copies and mappings they are refused one by one.
                for entry in 0..COUNT {
                    store(&cpu, LIST + entry * 64, &[XEN_VERSION, 0, 0, 0, 0, 0, 0, 0]).await;
                }
                assert_eq!(hypercall(&cpu, number, &arguments).await, 0, "{number}");
                runs.note(least);
            }
        }
    });
    let all: u64 = runs.all().into_iter().sum();
    assert!(system.sim().take_counts(0).runs >= all, "calls that do all at once");
}

#[test]
fn pages_of_the_hypervisor_are_no_place_for_events_or_times() {
    let mut system = Setup::new(1, &[2]).enhanced().construct();
    perform(&mut system, |cpu| async move {
        for (space, index) in [(0, 0), (1, 0), (1, 9)] {
            let frame = HOLE >> 12;
            assert_eq!(call(&cpu, MEMORY_OP, 7, &[SELF | space << 32, index, frame]).await, 0);
            assert_eq!(event(&cpu, 11, &[frame, 0, 0]).await, INVAL);
            store(&cpu, ARGUMENT, &[frame, 0]).await;
            assert_eq!(hypercall(&cpu, VCPU_OP, &[10, 1, ARGUMENT]).await, INVAL);
            assert_eq!(call(&cpu, MEMORY_OP, 15, &[SELF, frame]).await, 0);
        }
        assert_eq!(event(&cpu, 11, &[PAGES >> 12, 0, 0]).await, 0);
        assert_eq!(call(&cpu, MEMORY_OP, 7, &[SELF | 1 << 32, 3, HOLE >> 12]).await, 0);
        assert_eq!(event(&cpu, 12, &[HOLE >> 12]).await, INVAL);
    });
}

#[test]
fn what_a_guest_is_shown_anew_is_empty() {
    let mut system = Setup::new(1, &[1]).enhanced().construct();
    perform(&mut system, |cpu| async move {
        for index in [0, 1, 31, 63] {
            let frame = (HOLE >> 12) + index;
            assert_eq!(call(&cpu, MEMORY_OP, 7, &[SELF | 1 << 32, index, frame]).await, 0);
            for at in (0..4096).step_by(8) {
                assert_eq!(cpu.try_read((frame << 12) + at, AccessSize::Double).await, Ok(0));
            }
        }
        // A control block is written whole, whatever was there.
        store(&cpu, PAGES, &[u64::MAX; 16]).await;
        assert_eq!(event(&cpu, 11, &[PAGES >> 12, 8, 0]).await, 0);
        for word in 1..10 {
            assert_eq!(cpu.try_read(PAGES + word * 8, AccessSize::Double).await, Ok(0));
        }
        for word in [0, 10, 11] {
            assert_eq!(cpu.try_read(PAGES + word * 8, AccessSize::Double).await, Ok(u64::MAX), "{word}");
        }
    });
}

#[test]
fn a_forged_continuation_is_worth_no_more_than_a_call() {
    let mut system = Setup::new(1, &[1]).enhanced().construct();
    let before = accounted(system.hypervisor);
    perform(&mut system, |cpu| async move {
        cpu.set_vectors(RAM + 0x8000).await;
        for operation in 0..64 {
            for start in [1, 2, 1 << 20, 1 << 57, (1 << 58) - 1] {
                store(&cpu, LIST, &[HOLE >> 12]).await;
                let answer = call(&cpu, MEMORY_OP, operation | start << 6, &[LIST, 1, 0, SELF]).await;
                // Extents that are said to be done are; nothing else is.
                assert!(answer <= 0 || answer == start.cast_signed(), "{operation} {start:#x}: {answer}");
                assert_eq!(call(&cpu, MEMORY_OP, 3, &[SELF]).await, 2048, "{operation} {start:#x}");
            }
        }
        // A reset that goes on is a reset; no list of grants goes on but by its own arguments.
        assert_eq!(event(&cpu, 7, &[0, 0]).await, 0);
        assert_eq!(event(&cpu, 14, &[SELF]).await, 0);
        assert_eq!(event(&cpu, 4, &[1]).await, INVAL);
        for command in [0, 1, 5, 7, 11] {
            assert_eq!(call(&cpu, GRANT_TABLE_OP, command | 1 << 20, &[0; 5]).await, INVAL);
        }
        // The same in a list.
        store(&cpu, LIST, &[MEMORY_OP, 0, 1 | 7 << 6, ARGUMENT, 0, 0, 0, 0]).await;
        store(&cpu, LIST + 64, &[MULTICALL, 0, LIST, 1, 0, 0, 0, 0]).await;
        store(&cpu, ARGUMENT, &[LIST, 1, 0, SELF]).await;
        assert_eq!(hypercall(&cpu, MULTICALL, &[LIST, 2]).await, 0);
        assert_eq!(cpu.try_read(LIST + 8, AccessSize::Double).await, Ok(7));
        assert_eq!(cpu.try_read(LIST + 72, AccessSize::Double).await, Ok(INVAL.cast_unsigned()));
        assert_eq!(call(&cpu, MEMORY_OP, 3, &[SELF]).await, 2048);
    });
    assert_eq!(accounted(system.hypervisor), before);
}

#[test]
fn a_list_that_is_interrupted_in_an_entry_or_between_two_keeps_the_arguments_that_are_not_its() {
    let mut system = Setup::new(1, &[1]).enhanced().construct();
    let (hypervisor, done) = (system.hypervisor, Journal::new());
    let journal = done.clone();
    system.sim().guest(1, 0, move |cpu| {
        let journal = journal.clone();
        async move {
            // First an extent of 2 MiB, then more entries than are served at a stretch.
            store(&cpu, PAGES, &[(RAM + 6 * MIB) >> 12]).await;
            store(&cpu, ARGUMENT, &[PAGES, 1, 9, SELF]).await;
            store(&cpu, LIST, &[MEMORY_OP, 0, 1, ARGUMENT, 0, 0, 0, 0]).await;
            for entry in 1..40 {
                store(&cpu, LIST + entry * 64, &[XEN_VERSION, 0, 0, 0, 0, 0, 0, 0]).await;
            }
            cpu.with(|_| {
                hypervisor.processors[0].ask();
                0
            })
            .await;
            assert_eq!(hypercall(&cpu, MULTICALL, &[LIST, 40, 0x22, 0x33, 0x44]).await, 0);
            assert_eq!(cpu.try_read(LIST + 8, AccessSize::Double).await, Ok(1), "the extent is done");
            journal.note(());
        }
    });
    system.start();
    let mut seen = Vec::new();
    for _ in 0..1_000 {
        system.turn(0);
        let Some(current) = &system.locals[0].current else { continue };
        let registers = &current.state.registers;
        let [at, left, others @ ..] = [0, 1, 2, 3, 4].map(|number| registers.general(number));
        if registers.general(16) == MULTICALL && (LIST..LIST + 40 * 64).contains(&at) && done.len() == 0 {
            assert_eq!((others, at), ([0x22, 0x33, 0x44], LIST + (40 - left) * 64));
            seen.push((left, hypervisor.vcpus[0].progress.lock().is_some()));
        }
    }
    // A turn may pass without the guest.
    seen.dedup();
    assert_eq!(done.len(), 1);
    assert_eq!(seen, [(40, true), (24, false), (8, false)]);
}

#[test]
fn a_destroyed_domain_holds_no_page_that_it_chose_for_its_events_and_times() {
    let mut system = Setup::new(1, &[1, 1]).enhanced().construct();
    let (hypervisor, before) = (system.hypervisor, accounted(system.hypervisor));
    perform(&mut system, |cpu| async move {
        for (operation, page) in [(10, PAGES >> 12), (5, PAGES + 0x1000)] {
            store(&cpu, ARGUMENT, &[page, 0]).await;
            assert_eq!(hypercall(&cpu, VCPU_OP, &[operation, 0, ARGUMENT]).await, 0);
        }
        assert_eq!(event(&cpu, 11, &[(PAGES >> 12) + 2, 0, 0]).await, 0);
        assert_eq!(event(&cpu, 12, &[(PAGES >> 12) + 3]).await, 0);
    });
    let domain = &hypervisor.domains[0];
    relinquish(&mut system, domain, "what it chose");
    assert_eq!(accounted(hypervisor), before);
}
