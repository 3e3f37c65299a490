//! memory_op: frames come and go, none is lost, and none is seen by two.

use std::collections::BTreeSet;

use abi::errno::Errno;
use abi::hypercall::MEMORY_OP;
use abi::memory as op;
use hypervisor::hypervisor::Hypervisor;
use hypervisor::memory::{Change, Extent, Outcome, Progress};
use machine::contract::Machine;
use machine::sim::{Cpu, Sim, on_processor};
use machine::stage2::Kind;
use model::arm64::AccessSize;

use crate::calls::{INVAL, SELF, accounted, error, hypercall, perform, store};
use crate::world::guest::RAM;
use crate::world::{Journal, MIB, Random, Setup, System};

const DECREASE: u64 = op::XENMEM_DECREASE_RESERVATION as u64;
const CURRENT: u64 = op::XENMEM_CURRENT_RESERVATION as u64;
const POPULATE: u64 = op::XENMEM_POPULATE_PHYSMAP as u64;
const ADD: u64 = op::XENMEM_ADD_TO_PHYSMAP as u64;
const REMOVE: u64 = op::XENMEM_REMOVE_FROM_PHYSMAP as u64;
/// Where a program puts what it passes.
const ARGUMENT: u64 = RAM + 0x10_0000;
const LIST: u64 = RAM + 0x10_1000;
/// Frames of the 2 MiB that are played with, and of a place without memory.
const OWN: u64 = (RAM + 4 * MIB) >> 12;
const HOLE: u64 = (RAM + 64 * MIB) >> 12;
const BUSY: i64 = error(Errno::Busy);

fn setup(cpus: u32, domains: usize) -> Setup {
    Setup::new(cpus, &vec![1; domains]).enhanced()
}

async fn load(cpu: &Cpu, frame: u64) -> Option<u64> {
    cpu.try_read(frame << 12, AccessSize::Double).await.ok()
}

async fn memory_op(cpu: &Cpu, command: u64, argument: &[u64]) -> i64 {
    store(cpu, ARGUMENT, argument).await;
    hypercall(cpu, MEMORY_OP, &[command, ARGUMENT]).await
}

async fn change(cpu: &Cpu, command: u64, frames: &[u64], order: u64) -> i64 {
    store(cpu, LIST, frames).await;
    memory_op(cpu, command, &[LIST, frames.len() as u64, order, SELF]).await
}

async fn add(cpu: &Cpu, space: u64, index: u64, frame: u64) -> i64 {
    memory_op(cpu, ADD, &[SELF | space << 32, index, frame]).await
}

async fn remove(cpu: &Cpu, frame: u64) -> i64 {
    memory_op(cpu, REMOVE, &[SELF, frame]).await
}

/// Runs one program to its end.
fn run(system: &mut System, done: &Journal<u16>, count: usize) {
    system.start();
    system.until("the programs are done", |_| done.len() == count);
}

#[test]
fn memory_that_comes_back_is_empty_and_memory_that_is_gone_is_gone() {
    let mut system = setup(1, 1).construct();
    let before = accounted(system.hypervisor);
    perform(&mut system, |cpu| async move {
        cpu.set_vectors(RAM + 0x8000).await;
        for (order, frame) in [(0, OWN + 3), (9, OWN), (4, OWN + 16), (1, OWN + 33)] {
            store(&cpu, frame << 12, &[0x1234]).await;
            assert_eq!(change(&cpu, DECREASE, &[frame], order).await, 1);
            assert_eq!(load(&cpu, frame).await, None);
            assert_eq!(memory_op(&cpu, CURRENT, &[SELF]).await, 2048 - (1 << order));
            assert_eq!(change(&cpu, DECREASE, &[frame], order).await, 0);
            assert_eq!(change(&cpu, POPULATE, &[frame], order).await, 1);
            assert_eq!(load(&cpu, frame).await, Some(0));
            assert_eq!(load(&cpu, frame + (1 << order) - 1).await, Some(0));
        }
        assert_eq!(change(&cpu, POPULATE, &[HOLE], 0).await, 0, "no more than it may have");
        assert_eq!(change(&cpu, DECREASE, &[OWN, OWN + 1, HOLE, OWN + 2], 0).await, 2);
        assert_eq!(change(&cpu, POPULATE, &[HOLE, HOLE + 1, HOLE + 2], 0).await, 2);
        assert_eq!(memory_op(&cpu, CURRENT, &[SELF]).await, 2048);
        // Whoever says that he has done some already is believed.
        assert_eq!(change(&cpu, DECREASE | 1 << 6, &[HOLE, HOLE + 1], 0).await, 2);
        assert_eq!(load(&cpu, HOLE).await, Some(0));
    });
    assert_eq!(accounted(system.hypervisor), before);
}

#[test]
fn pages_of_the_hypervisor_are_shown_once_and_never_become_memory() {
    let mut system = setup(1, 1).construct();
    let before = accounted(system.hypervisor);
    perform(&mut system, |cpu| async move {
        cpu.set_vectors(RAM + 0x8000).await;
        for (space, index) in [(0, 0), (1, 0), (1, 63)] {
            assert_eq!(add(&cpu, space, index, HOLE).await, 0);
            assert_eq!(add(&cpu, space, index, HOLE + 1).await, BUSY);
            assert_eq!(add(&cpu, space, index, HOLE).await, BUSY);
            assert_eq!(change(&cpu, DECREASE, &[HOLE], 0).await, 1, "the mapping goes");
            assert_eq!(memory_op(&cpu, CURRENT, &[SELF]).await, 2048, "the page does not");
            assert_eq!(add(&cpu, space, index, HOLE + 1).await, 0);
            assert_eq!(remove(&cpu, HOLE + 1).await, 0);
            assert_eq!(remove(&cpu, HOLE + 1).await, error(Errno::NoEnt));
        }
        for (space, index) in [(0, 1), (1, 64), (1, 1 << 31), (1, u64::MAX)] {
            assert_eq!(add(&cpu, space, index, HOLE).await, INVAL);
        }
        // One in the middle of a block that is given back.
        assert_eq!(change(&cpu, DECREASE, &[OWN + 300], 0).await, 1);
        assert_eq!(add(&cpu, 1, 7, OWN + 300).await, 0);
        assert_eq!(change(&cpu, DECREASE, &[OWN], 9).await, 1);
        assert_eq!(memory_op(&cpu, CURRENT, &[SELF]).await, 2048 - 512);
    });
    assert_eq!(accounted(system.hypervisor), before);
}

/// Has the processor something else to do before its guest's next call?
async fn disturb(cpu: &Cpu, hypervisor: &'static Hypervisor<Sim>) {
    cpu.with(|_| {
        for processor in &hypervisor.processors {
            processor.ask();
        }
        0
    })
    .await;
}

/// Frames of a domain as it believes to have them, and how many it has lost.
struct Belief {
    own: BTreeSet<u64>,
    lost: u64,
}

impl Belief {
    async fn populate(&mut self, cpu: &Cpu, first: u64, order: u64) {
        let pages = 1_u64 << order;
        if change(cpu, POPULATE, &[first], order).await != 1 {
            return;
        }
        for frame in first..first + pages {
            self.lost += u64::from(!self.own.insert(frame));
            assert_eq!(load(cpu, frame).await, Some(0), "a page that it has got is empty");
            store(cpu, frame << 12, &[u64::from(cpu.domain()) << 32 | frame]).await;
        }
    }

    async fn decrease(&mut self, cpu: &Cpu, first: u64, order: u64) {
        let pages = 1_u64 << order;
        let done = change(cpu, DECREASE, &[first], order).await == 1;
        let there = (first..first + pages).take_while(|frame| self.own.contains(frame)).count() as u64;
        assert_eq!(done, there == pages, "{first:#x} {order}");
        for frame in first..first + there {
            self.own.remove(&frame);
        }
    }

    async fn check(&self, cpu: &Cpu) {
        let count = memory_op(cpu, CURRENT, &[SELF]).await;
        assert_eq!(count, 1536 + self.own.len() as i64 + self.lost as i64);
        for frame in &self.own {
            assert_eq!(load(cpu, *frame).await, Some(u64::from(cpu.domain()) << 32 | frame));
        }
    }
}

async fn balloon(cpu: Cpu, hypervisor: &'static Hypervisor<Sim>, mut random: Random, done: Journal<u16>) {
    cpu.set_vectors(RAM + 0x8000).await;
    let mut belief = Belief { own: BTreeSet::new(), lost: 0 };
    belief.own.extend(OWN..OWN + 512);
    for frame in &belief.own {
        store(&cpu, frame << 12, &[u64::from(cpu.domain()) << 32 | frame]).await;
    }
    for step in 0..60 {
        let order = random.pick(&[0, 0, 1, 3, 9, 9]);
        let place = random.pick(&[OWN, HOLE, HOLE + 512]) + (random.below(512) >> order << order);
        if random.chance(2) {
            disturb(&cpu, hypervisor).await;
        }
        match random.below(5) {
            0 | 1 => belief.populate(&cpu, place, order).await,
            2 | 3 => belief.decrease(&cpu, place, order).await,
            _ => {
                let there = belief.own.remove(&place);
                assert_eq!(remove(&cpu, place).await == 0, there);
                belief.lost += u64::from(there);
            }
        }
        if step % 8 == 0 {
            belief.check(&cpu).await;
        }
    }
    belief.check(&cpu).await;
    done.note(cpu.domain());
}

#[test]
fn whatever_two_domains_do_no_frame_is_lost_and_none_has_another_ones_bytes() {
    for seed in 0..12 {
        let mut system = setup(1 + seed as u32 % 2, 2).seed(seed).construct();
        let (hypervisor, done) = (system.hypervisor, Journal::new());
        for domain in 1..3 {
            let done = done.clone();
            let random = Random(seed << 8 | u64::from(domain));
            system.sim().guest(domain, 0, move |cpu| balloon(cpu, hypervisor, random.clone(), done.clone()));
        }
        let before = accounted(hypervisor);
        run(&mut system, &done, 2);
        assert_eq!(accounted(hypervisor), before, "seed {seed}");
        let mut hosts = BTreeSet::new();
        for domain in &hypervisor.domains {
            for frame in (RAM >> 12)..HOLE + 1024 {
                let shown = domain.map.shown(frame << 12).filter(|shown| shown.kind == Kind::Ram);
                assert!(shown.is_none_or(|shown| hosts.insert(shown.host)), "a frame is shown twice");
            }
        }
    }
}

/// Works on an extent with an interruption wherever one is possible; how many there were.
fn work(system: &System, extent: Extent, give_up_after: usize) -> (usize, bool) {
    let (hypervisor, local) = (system.hypervisor, &system.locals[0]);
    let mut progress = Progress::new(extent);
    for interruptions in 0_usize.. {
        local.processor.ask();
        if interruptions == give_up_after {
            progress = progress.abandoned();
        }
        match on_processor(0, || hypervisor.work_on(local, progress, u64::MAX)) {
            Outcome::Done => return (interruptions, true),
            Outcome::Failed => return (interruptions, false),
            Outcome::Interrupted(left) => progress = left,
        }
    }
    unreachable!("it comes to an end");
}

#[test]
fn a_large_extent_makes_way_often_and_goes_on_where_it_was() {
    let system = setup(1, 1).construct();
    let domain = &system.hypervisor.domains[0];
    let before = accounted(system.hypervisor);
    let free = system.hypervisor.machine.frames().free_frames();
    let extent = |change, first| Extent { change, domain: 0, first, order: 9 };
    for (change, first, at_least) in [
        // One after the other they are cleared and shown; frames of one block are given back many at a time.
        (Change::Decrease, OWN, 7),
        (Change::Populate, OWN, 63),
        (Change::Decrease, OWN, 7),
        // Not as one block.
        (Change::Populate, HOLE + 1, 127),
        (Change::Decrease, HOLE + 1, 63),
    ] {
        let (interruptions, done) = work(&system, extent(change, first), usize::MAX);
        assert!(done && interruptions >= at_least, "{change:?} {first:#x}: {interruptions}");
    }
    assert_eq!(domain.frames.current(), 1536);
    // Given up at any time, it leaves nothing behind but what it has shown.
    for after in [1, 30, 64, 65, 100] {
        let (_, done) = work(&system, extent(Change::Populate, HOLE + 1), after);
        assert!(!done);
        let shown = domain.map.owned_bytes() >> 12;
        assert_eq!(domain.frames.current(), shown);
        assert_eq!(accounted(system.hypervisor), before);
        while work(&system, Extent { order: 0, ..extent(Change::Decrease, HOLE + 1) }, usize::MAX).1 {
            let next = (1..512).find(|page| domain.map.shown((HOLE + 1 + page) << 12).is_some());
            let Some(next) = next else { break };
            for page in next..512 {
                let one = Extent { order: 0, ..extent(Change::Decrease, HOLE + 1 + page) };
                work(&system, one, usize::MAX);
            }
        }
        assert_eq!(domain.frames.current(), 1536);
        assert_eq!(system.hypervisor.machine.frames().free_frames(), free + 512);
    }
}
