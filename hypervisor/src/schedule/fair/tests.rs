//! The fair scheduler against plain ideas of who may run and how much each should get.

use super::*;
use proptest::prelude::*;

const SLICE: Ticks = 1_000;

/// Processors that do what the scheduler says, and a plain idea of who can run.
struct Rig {
    fair: Fair,
    now: Ticks,
    running: Vec<Option<VcpuId>>,
    until: Vec<Option<Ticks>>,
    called: Vec<bool>,
    runnable: Vec<bool>,
    /// Woken while it ran: its next sleep ends at once, as any sleep may.
    woken: Vec<bool>,
    ran: Vec<Ticks>,
}

impl Rig {
    fn new(vcpus: usize, cpus: usize) -> Self {
        Rig {
            fair: Fair::try_new(&vec![1; vcpus], cpus, SLICE).unwrap(),
            now: 1_000_000,
            running: vec![None; cpus],
            until: vec![None; cpus],
            called: vec![false; cpus],
            runnable: vec![false; vcpus],
            woken: vec![false; vcpus],
            ran: vec![0; vcpus],
        }
    }

    fn wake(&mut self, vcpu: VcpuId) {
        self.runnable[vcpu as usize] = true;
        self.woken[vcpu as usize] = self.running.contains(&Some(vcpu));
        if let Some(cpu) = self.fair.wake(vcpu, self.now) {
            self.called[cpu] = true;
        }
    }

    /// A processor asks; what it is told must make sense.
    fn ask(&mut self, cpu: CpuIndex, leaving: Leaving) {
        self.called[cpu] = false;
        if let Some(vcpu) = self.running[cpu].take() {
            self.woken[vcpu as usize] = false;
        }
        let choice = self.fair.choose(cpu, leaving, self.now);
        if let Some(vcpu) = choice.vcpu {
            assert!(self.runnable[vcpu as usize], "vCPU {vcpu} sleeps and was chosen");
            assert!(!self.running.contains(&Some(vcpu)), "vCPU {vcpu} runs on two processors");
        } else {
            assert_eq!(self.waiting(), 0, "processor {cpu} is idle while somebody waits");
            assert_eq!(choice.until, None);
        }
        self.running[cpu] = choice.vcpu;
        self.until[cpu] = choice.until;
        if let Some(other) = choice.call {
            assert_ne!(other, cpu);
            self.called[other] = true;
        }
    }

    /// What runs on the processor goes to sleep.
    fn block(&mut self, cpu: CpuIndex) {
        if let Some(vcpu) = self.running[cpu] {
            self.runnable[vcpu as usize] = self.woken[vcpu as usize];
            self.ask(cpu, Leaving::Blocked);
        }
    }

    /// All processors that were called ask, until none is.
    fn settle(&mut self) {
        for _ in 0..100 {
            match self.called.iter().position(|called| *called) {
                Some(cpu) => self.ask(cpu, Leaving::Runnable),
                None => return,
            }
        }
        panic!("processors call each other for ever");
    }

    /// vCPUs that can run and do not.
    fn waiting(&self) -> usize {
        let runs = |vcpu: &usize| self.running.contains(&Some(*vcpu as VcpuId));
        (0..self.runnable.len()).filter(|vcpu| self.runnable[*vcpu] && !runs(vcpu)).count()
    }

    /// Time passes; limits that have come are kept.
    fn pass(&mut self, ticks: Ticks) {
        for _ in 0..ticks / 10 {
            self.now += 10;
            for vcpu in self.running.iter().flatten() {
                self.ran[*vcpu as usize] += 10;
            }
            for cpu in 0..self.running.len() {
                if self.until[cpu].is_some_and(|until| until <= self.now) {
                    self.ask(cpu, Leaving::Runnable);
                }
            }
            self.settle();
        }
    }

    fn start_all(&mut self) {
        for vcpu in 0..self.runnable.len() as VcpuId {
            self.wake(vcpu);
        }
        self.settle();
    }
}

#[test]
fn a_vcpu_that_is_alone_has_no_time_limit() {
    let mut rig = Rig::new(2, 2);
    rig.start_all();
    rig.pass(5_000);
    assert_eq!(rig.until, [None, None]);
    assert_eq!(rig.ran, [5_000, 5_000]);
}

#[test]
fn time_is_shared_by_weight() {
    let mut rig = Rig::new(3, 1);
    rig.fair.set_share(1, Share { weight: 512, cap: 0 });
    rig.fair.set_share(2, Share { weight: 128, cap: 0 });
    rig.start_all();
    rig.pass(700_000);
    for (ran, expected) in rig.ran.iter().zip([200_000, 400_000, 100_000]) {
        assert!(ran.abs_diff(expected) <= 2 * SLICE, "{:?}", rig.ran);
    }
}

#[test]
fn equal_vcpus_get_equal_time_on_any_number_of_processors() {
    for (vcpus, cpus) in [(2, 1), (3, 2), (5, 2), (5, 4), (7, 4), (9, 4)] {
        let mut rig = Rig::new(vcpus, cpus);
        rig.start_all();
        rig.pass(1_000_000);
        let expected = 1_000_000 * cpus as u64 / vcpus as u64;
        for ran in &rig.ran {
            assert!(ran.abs_diff(expected) <= 3 * SLICE, "{vcpus} on {cpus}: {:?}", rig.ran);
        }
    }
}

#[test]
fn a_long_sleep_earns_a_quick_turn_and_no_hoard() {
    let mut rig = Rig::new(2, 1);
    rig.wake(0);
    rig.settle();
    rig.pass(1_000_000);
    rig.wake(1);
    rig.settle();
    assert_eq!(rig.running, [Some(1)], "it runs at once");
    let before = rig.ran[0];
    rig.pass(20 * SLICE);
    let other = rig.ran[0] - before;
    assert!(other >= 8 * SLICE, "the other one had {other} ticks of {}", 20 * SLICE);
}

#[test]
fn who_ran_alone_before_it_slept_does_not_wait_for_who_slept_meanwhile() {
    let mut rig = Rig::new(2, 1);
    rig.wake(0);
    rig.settle();
    rig.pass(1_000_000);
    rig.block(0);
    rig.wake(1);
    rig.settle();
    rig.wake(0);
    rig.settle();
    let before = rig.ran[0];
    rig.pass(20 * SLICE);
    let own = rig.ran[0] - before;
    assert!(own >= 8 * SLICE, "it had {own} ticks of {}", 20 * SLICE);
}

#[test]
fn a_vcpu_that_yields_lets_all_others_go_first() {
    let mut rig = Rig::new(3, 1);
    rig.start_all();
    let first = rig.running[0].unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        rig.ask(0, Leaving::Yielding);
        seen.push(rig.running[0].unwrap());
        rig.pass(10);
    }
    assert!(!seen.contains(&first) && seen[0] != seen[1], "{first}, then {seen:?}");
}

#[test]
fn a_wake_up_on_the_way_to_sleep_is_not_lost() {
    let mut rig = Rig::new(1, 1);
    rig.start_all();
    rig.wake(0);
    rig.ask(0, Leaving::Blocked);
    assert_eq!(rig.running, [Some(0)]);
    rig.block(0);
    assert_eq!(rig.running, [None]);
}

#[test]
fn numbers_that_it_was_not_made_for_are_ignored() {
    let mut fair = Fair::try_new(&[1], 1, SLICE).unwrap();
    assert_eq!(fair.wake(1, 0), None);
    assert_eq!(fair.wake(VcpuId::MAX, 0), None);
    assert_eq!(fair.choose(0, Leaving::Blocked, 0), Choice::default());
    fair.set_share(7, Share { weight: 3, cap: 0 });
    assert_eq!(fair.wake(0, 0), Some(0));
    assert_eq!(fair.choose(0, Leaving::Runnable, 0).vcpu, Some(0));
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Step {
    Wake(VcpuId),
    Block(CpuIndex),
    Yield(CpuIndex),
    /// It is woken on its way to sleep.
    Race(CpuIndex),
    /// A processor that was called answers.
    Answer(CpuIndex),
    Pass(Ticks),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u32..6).prop_map(Step::Wake),
        (0_usize..3).prop_map(Step::Block),
        (0_usize..3).prop_map(Step::Yield),
        (0_usize..3).prop_map(Step::Race),
        (0_usize..3).prop_map(Step::Answer),
        (1_u64..300).prop_map(|tens| Step::Pass(tens * 10)),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_forgotten_or_chosen_twice_and_no_processor_idles_in_vain(list in steps(), cpus in 1_usize..4) {
        let mut rig = Rig::new(6, cpus);
        for step in list {
            match step {
                Step::Wake(vcpu) => rig.wake(vcpu),
                Step::Block(cpu) if cpu < cpus => rig.block(cpu),
                Step::Yield(cpu) if cpu < cpus && rig.running[cpu].is_some() => rig.ask(cpu, Leaving::Yielding),
                Step::Race(cpu) if cpu < cpus => {
                    if let Some(vcpu) = rig.running[cpu] {
                        rig.wake(vcpu);
                        rig.ask(cpu, Leaving::Blocked);
                    }
                }
                Step::Answer(cpu) if cpu < cpus && rig.called[cpu] => rig.ask(cpu, Leaving::Runnable),
                Step::Pass(ticks) => rig.pass(ticks),
                _ => {}
            }
        }
        rig.settle();
        // Who waits, waits because everybody is busy, and will have a turn.
        if rig.waiting() > 0 {
            prop_assert!(rig.running.iter().all(Option::is_some));
            prop_assert!(rig.until.iter().all(Option::is_some), "{:?}", rig.until);
        }
        let before = rig.ran.clone();
        rig.pass(20 * SLICE);
        for (vcpu, (now, then)) in rig.ran.iter().zip(before).enumerate() {
            prop_assert_eq!(*now > then, rig.runnable[vcpu], "vCPU {}", vcpu);
        }
    }
}
