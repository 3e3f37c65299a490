//! The fair scheduler against plain ideas of who may run and how much each should get.

use super::*;
use proptest::prelude::*;

const SLICE: Ticks = 1_000;

/// Processors that do what the scheduler says, and a plain idea of who can run.
struct Rig {
    fair: Fair,
    now: Ticks,
    running: Vec<Option<VcpuId>>,
    until: Vec<Ticks>,
    called: Vec<bool>,
    runnable: Vec<bool>,
    /// Woken while it ran: its next sleep ends at once, as any sleep may.
    woken: Vec<bool>,
    ran: Vec<Ticks>,
    affinity: Vec<Affinity>,
}

impl Rig {
    fn new(vcpus: usize, cpus: usize) -> Self {
        Self::of_domains(&vec![1; vcpus], cpus)
    }

    /// Domains of so many vCPUs each.
    fn of_domains(domains: &[usize], cpus: usize) -> Self {
        let vcpus = domains.iter().sum();
        Rig {
            fair: Fair::try_new(domains, cpus, SLICE).unwrap(),
            now: 1_000_000,
            running: vec![None; cpus],
            until: vec![NEVER; cpus],
            called: vec![false; cpus],
            runnable: vec![false; vcpus],
            woken: vec![false; vcpus],
            ran: vec![0; vcpus],
            affinity: vec![Affinity::FREE; vcpus],
        }
    }

    fn bind(&mut self, vcpu: VcpuId, hard: u128, soft: u128) {
        let affinity = Affinity { hard: CpuSet(hard), soft: CpuSet(soft) };
        self.affinity[vcpu as usize] = affinity;
        if let Some(cpu) = self.fair.set_affinity(vcpu, affinity, self.now).unwrap() {
            self.called[cpu] = true;
        }
    }

    fn share(&mut self, domain: usize, weight: u16, cap: u16) {
        self.fair.set_share(domain, Share { weight, cap });
        // Who runs is to ask, as the hypervisor sees to.
        for cpu in 0..self.running.len() {
            self.called[cpu] |= self.running[cpu].is_some();
        }
    }

    /// vCPUs that wait for their domain's budget.
    fn parked(&self, vcpu: usize) -> bool {
        self.fair.crowd.parked.contains(vcpu as VcpuId)
    }

    /// vCPUs that can run on this processor, wait, and have a budget.
    fn waiting_for(&self, cpu: CpuIndex) -> Vec<usize> {
        let runs = |vcpu: &usize| self.running.contains(&Some(*vcpu as VcpuId));
        let all = 0..self.runnable.len();
        let waits = all.filter(|vcpu| self.runnable[*vcpu] && !runs(vcpu) && !self.parked(*vcpu));
        waits.filter(|vcpu| self.affinity[*vcpu].hard.contains(cpu)).collect()
    }

    fn wake(&mut self, vcpu: VcpuId) {
        self.runnable[vcpu as usize] = true;
        self.woken[vcpu as usize] = self.running.contains(&Some(vcpu));
        match self.fair.wake(vcpu, self.now) {
            Some(Call { cpu, by: 0 }) => self.called[cpu] = true,
            Some(Call { cpu, by }) => self.until[cpu] = self.until[cpu].min(by),
            None => {}
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
            assert!(self.affinity[vcpu as usize].hard.contains(cpu), "vCPU {vcpu} may not run on {cpu}");
            assert!(self.runnable[vcpu as usize], "vCPU {vcpu} sleeps and was chosen");
            assert!(!self.running.contains(&Some(vcpu)), "vCPU {vcpu} runs on two processors");
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
                None => return self.check(),
            }
        }
        panic!("processors call each other for ever");
    }

    /// Nobody idles while somebody could run there, and nobody waits for one who has no limit.
    fn check(&self) {
        for cpu in 0..self.running.len() {
            let waiting = self.waiting_for(cpu);
            if !waiting.is_empty() {
                assert!(self.running[cpu].is_some(), "processor {cpu} is idle while {waiting:?} wait");
                assert!(self.until[cpu] != NEVER, "{waiting:?} wait for processor {cpu}, which has no limit");
            }
        }
        if (0..self.runnable.len()).any(|vcpu| self.parked(vcpu)) {
            let (_, at) = self.fair.crowd.parked.first().unwrap();
            let minded = self.until.iter().any(|until| *until <= at);
            assert!(minded, "nobody asks at {at}: {:?}", self.until);
        }
    }

    /// Time passes; limits that have come are kept.
    fn pass(&mut self, ticks: Ticks) {
        for _ in 0..ticks / 10 {
            self.now += 10;
            for vcpu in self.running.iter().flatten() {
                self.ran[*vcpu as usize] += 10;
            }
            for cpu in 0..self.running.len() {
                if self.until[cpu] <= self.now {
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
    assert_eq!(rig.until, [NEVER, NEVER]);
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
fn who_yields_asks_only_where_somebody_waits_or_the_processor_was_called() {
    let mut rig = Rig::new(2, 1);
    rig.wake(0);
    assert!(!rig.fair.is_alone(0), "it was called");
    rig.settle();
    assert!(rig.fair.is_alone(0));
    rig.wake(1);
    assert!(!rig.fair.is_alone(0), "somebody waits");
    rig.ask(0, Leaving::Yielding);
    assert_eq!(rig.running, [Some(1)]);
    rig.block(0);
    assert!(rig.fair.is_alone(0) && !rig.fair.is_alone(1));
}

#[test]
fn who_has_a_limit_asks_when_it_yields_even_where_nobody_waits_any_more() {
    let mut rig = Rig::new(3, 2);
    rig.start_all();
    // All have begun: the third waits for two processors with a limit, until one of those sleeps whom it waits for.
    rig.pass(SLICE * 4);
    rig.block(1);
    assert!(!rig.fair.crowd.has_waiting() && rig.running.iter().all(Option::is_some));
    assert!(!rig.fair.is_alone(0), "the limit is taken back by whoever asks");
    rig.ask(0, Leaving::Yielding);
    assert!(rig.fair.is_alone(0));
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
fn who_began_late_on_a_processor_of_its_own_is_no_further_behind_than_others() {
    let mut rig = Rig::new(3, 2);
    rig.wake(0);
    rig.settle();
    rig.pass(20 * SLICE);
    // Nobody has looked at the first since, and nobody looks at both before the third comes.
    rig.wake(1);
    rig.settle();
    rig.pass(20 * SLICE);
    rig.wake(2);
    rig.settle();
    let before = rig.ran.clone();
    rig.pass(30 * SLICE);
    for vcpu in 0..3 {
        let part = rig.ran[vcpu] - before[vcpu];
        assert!((18 * SLICE..=22 * SLICE).contains(&part), "{vcpu}: {part} of {before:?}, {:?}", rig.ran);
    }
}

#[test]
fn who_has_only_just_begun_goes_on_for_a_moment_without_being_asked() {
    let mut fair = Fair::try_new(&[1, 1], 1, SLICE).unwrap();
    assert_eq!(fair.wake(0, 0), Some(Call::now(0)));
    assert_eq!(fair.choose(0, Leaving::Blocked, 10).vcpu, Some(0));
    // For a first turn the moment is short.
    assert_eq!(fair.wake(1, 20), Some(Call { cpu: 0, by: 10 + (SLICE >> 5) }));
    // It sleeps before that time: the other one has the processor to itself.
    assert_eq!(fair.choose(0, Leaving::Blocked, 30), Choice { vcpu: Some(1), ..Choice::default() });
    assert_eq!(fair.wake(0, 40), Some(Call { cpu: 0, by: 30 + SLICE / 8 }));
    assert_eq!(fair.choose(0, Leaving::Blocked, 50), Choice { vcpu: Some(0), ..Choice::default() });
    // The next one comes too late for that.
    assert_eq!(fair.wake(1, 50 + SLICE / 8), Some(Call::now(0)));
    let mut fair = Fair::try_new(&[1, 1, 1], 2, SLICE).unwrap();
    for vcpu in [0, 1] {
        let cpu = fair.wake(vcpu, 0).unwrap().cpu;
        assert_eq!(fair.choose(cpu, Leaving::Blocked, 0).vcpu, Some(vcpu));
    }
    // Another processor might be free sooner: then the one that is asked has to see to that.
    assert_eq!(fair.wake(2, 1).map(|call| call.by), Some(0));
}

#[test]
fn numbers_that_it_was_not_made_for_are_ignored() {
    let mut fair = Fair::try_new(&[1], 1, SLICE).unwrap();
    assert_eq!(fair.wake(1, 0), None);
    assert_eq!(fair.wake(VcpuId::MAX, 0), None);
    assert_eq!(fair.choose(0, Leaving::Blocked, 0), Choice::default());
    fair.set_share(7, Share { weight: 3, cap: 0 });
    assert_eq!(fair.wake(0, 0), Some(Call::now(0)));
    assert_eq!(fair.choose(0, Leaving::Runnable, 0).vcpu, Some(0));
}

/// Twenty periods: as long as a cap is to be kept within.
const WINDOW: Ticks = 25 * SLICE;

/// What each vCPU runs in so many ticks.
fn run(rig: &mut Rig, ticks: Ticks) -> Vec<Ticks> {
    let before = rig.ran.clone();
    rig.pass(ticks);
    rig.ran.iter().zip(before).map(|(now, then)| now - then).collect()
}

#[test]
fn weights_of_one_two_and_four_are_kept_within_a_hundredth() {
    for cpus in [1, 2] {
        // With twice the processors, twice the vCPUs; else the heaviest would be worth more than one.
        let mut rig = Rig::of_domains(&[cpus; 3], cpus);
        for (domain, weight) in [256, 512, 1024].into_iter().enumerate() {
            rig.share(domain, weight, 0);
        }
        rig.start_all();
        let ran = run(&mut rig, 700_000);
        for (vcpu, ran) in ran.iter().enumerate() {
            let expected = 100_000 << (vcpu / cpus);
            assert!(ran.abs_diff(expected) * 100 <= 4 * expected, "{vcpu} on {cpus}: {ran} of {expected}");
        }
    }
}

#[test]
fn the_least_and_the_largest_weight_are_kept_too() {
    let mut rig = Rig::new(2, 1);
    rig.share(0, 1, 0);
    rig.share(1, 65_535, 0);
    rig.start_all();
    let ran = run(&mut rig, 65_536 * 2_000);
    assert!(ran[0].abs_diff(2_000) <= 1_000, "{ran:?}");
}

#[test]
fn a_cap_is_kept_in_each_window_whether_the_processor_is_free_or_not() {
    for others in 0..3_usize {
        for cap in [1, 10, 25, 50, 90] {
            let mut rig = Rig::new(others + 1, 1);
            rig.share(0, 65_535, cap);
            rig.start_all();
            rig.pass(3_170);
            for _ in 0..20 {
                let ran = run(&mut rig, WINDOW);
                let expected = WINDOW * u64::from(cap) / 100;
                let most = WINDOW * 5 / 100;
                // A heavy domain gets all that its cap leaves it.
                assert!(
                    ran[0].abs_diff(expected) <= most,
                    "{cap} % beside {others}: {} of {expected}",
                    ran[0]
                );
                if others > 0 {
                    let total: Ticks = ran.iter().sum();
                    assert!(total + 100 >= WINDOW, "time is lost: {total} of {WINDOW}");
                }
            }
        }
    }
}

#[test]
fn in_the_long_run_a_cap_is_exact() {
    for (cap, vcpus, cpus) in [(25, 1, 1), (25, 3, 2), (150, 3, 3), (250, 4, 4), (33, 4, 4)] {
        let mut rig = Rig::of_domains(&[vcpus], cpus);
        rig.share(0, 256, cap);
        rig.start_all();
        let total: Ticks = run(&mut rig, 2_000_000).iter().sum();
        let expected = 2_000_000 / 100 * u64::from(cap);
        assert!(
            total.abs_diff(expected) * 100 <= expected,
            "{cap} % of {vcpus} on {cpus}: {total} of {expected}"
        );
    }
}

#[test]
fn a_cap_that_nobody_has_sets_no_limit_and_one_that_is_lifted_none_any_more() {
    let mut rig = Rig::new(1, 1);
    rig.share(0, 256, 50);
    rig.start_all();
    rig.pass(10 * SLICE);
    rig.share(0, 256, 0);
    rig.pass(10 * SLICE);
    assert_eq!(rig.until, [NEVER]);
    assert_eq!(run(&mut rig, 5_000), [5_000]);
    rig.share(0, 256, 20);
    rig.settle();
    let ran = run(&mut rig, 100_000);
    assert!(ran[0].abs_diff(20_000) <= 1_000, "{ran:?}");
}

#[test]
fn who_sleeps_and_wakes_while_its_domain_has_no_budget_gets_no_more_for_it() {
    let mut rig = Rig::new(2, 1);
    rig.share(0, 256, 20);
    rig.start_all();
    for _ in 0..4_000 {
        rig.pass(50);
        if rig.running[0] == Some(0) {
            rig.block(0);
        }
        rig.wake(0);
        rig.settle();
    }
    assert!(rig.ran[0] <= 200_000 / 5 * 105 / 100, "{:?}", rig.ran);
    // It leaves most of its turns early.
    assert!(rig.ran[0] >= 200_000 / 10, "{:?}", rig.ran);
}

#[test]
fn what_is_bound_runs_there_and_shares_that_processor_alone() {
    let mut rig = Rig::new(4, 2);
    // Two of different weights on the first processor, two on the second.
    for (vcpu, hard, weight) in [(0, 1, 256), (1, 1, 768), (2, 2, 256), (3, 2, 256)] {
        rig.bind(vcpu, hard, u128::MAX);
        rig.share(vcpu as usize, weight, 0);
    }
    rig.start_all();
    let ran = run(&mut rig, 400_000);
    for (ran, expected) in ran.iter().zip([100_000, 300_000, 200_000, 200_000]) {
        assert!(ran.abs_diff(expected) <= 3 * SLICE, "{:?}", rig.ran);
    }
}

#[test]
fn a_binding_takes_effect_at_once_and_ends_when_it_is_lifted() {
    let mut rig = Rig::new(2, 2);
    rig.start_all();
    let there = rig.running.iter().position(|running| *running == Some(1)).unwrap();
    let other = 1 - there;
    rig.bind(1, 1 << other, u128::MAX);
    rig.settle();
    rig.pass(20 * SLICE);
    let total: Ticks = rig.ran.iter().sum();
    assert!(total >= 39 * SLICE, "the free one has not left when its turn has ended: {:?}", rig.ran);
    assert_eq!(rig.running[other], Some(1));
    rig.bind(0, 1 << other, u128::MAX);
    rig.settle();
    let ran = run(&mut rig, 20 * SLICE);
    assert!(ran.iter().all(|ran| ran.abs_diff(10 * SLICE) <= 2 * SLICE), "{ran:?}");
    rig.bind(0, u128::MAX, u128::MAX);
    rig.settle();
    // At the latest when the other one's turn ends.
    rig.pass(2 * SLICE);
    assert_eq!(run(&mut rig, 5 * SLICE), [5 * SLICE, 5 * SLICE]);
}

#[test]
fn what_prefers_a_processor_goes_there_when_it_is_idle_and_elsewhere_when_not() {
    let mut rig = Rig::new(3, 2);
    rig.bind(0, u128::MAX, 2);
    rig.wake(0);
    rig.settle();
    assert_eq!(rig.running, [None, Some(0)]);
    rig.wake(1);
    rig.settle();
    rig.bind(1, u128::MAX, 2);
    rig.settle();
    assert_eq!(rig.running, [Some(1), Some(0)], "its preference is taken");
    rig.block(1);
    rig.bind(1, u128::MAX, 2);
    rig.settle();
    rig.pass(SLICE);
    assert_eq!(rig.running, [None, Some(1)], "and free again");
}

#[test]
fn who_joins_those_of_another_processor_takes_no_more_than_its_part_there() {
    let mut rig = Rig::new(5, 2);
    rig.bind(0, 1, u128::MAX);
    for vcpu in 1..4 {
        rig.bind(vcpu, 2, u128::MAX);
    }
    (0..4).for_each(|vcpu| rig.wake(vcpu));
    rig.settle();
    rig.pass(1_000_000);
    // Its virtual time has gone three times as fast as that of the others.
    rig.wake(4);
    rig.settle();
    let ran = run(&mut rig, 100 * SLICE);
    assert!(ran.iter().all(|ran| *ran >= 20 * SLICE), "{ran:?}");
    rig.bind(0, 2, u128::MAX);
    rig.settle();
    let ran = run(&mut rig, 100 * SLICE);
    assert!(ran.iter().all(|ran| *ran >= 15 * SLICE), "{ran:?}");
}

#[test]
fn what_is_heavier_than_a_processor_saves_nothing_up() {
    let mut rig = Rig::new(4, 2);
    rig.share(0, 65_535, 0);
    (0..3).for_each(|vcpu| rig.wake(vcpu));
    rig.settle();
    rig.pass(1_000_000);
    rig.share(0, 256, 0);
    rig.wake(3);
    rig.settle();
    let ran = run(&mut rig, 200 * SLICE);
    assert!(ran.iter().all(|ran| ran.abs_diff(100 * SLICE) <= 6 * SLICE), "{ran:?}");
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
    /// A domain gets another share: which one, weight, cap.
    Share(usize, u16, u16),
    /// A vCPU is bound: which one, where it may, where it had better.
    Bind(VcpuId, u128, u128),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u32..6).prop_map(Step::Wake),
        (0_usize..3).prop_map(Step::Block),
        (0_usize..3).prop_map(Step::Yield),
        (0_usize..3).prop_map(Step::Race),
        (0_usize..3).prop_map(Step::Answer),
        (1_u64..300).prop_map(|tens| Step::Pass(tens * 10)),
        (0_usize..4, 64_u16..1_025, prop_oneof![Just(0), 5_u16..300])
            .prop_map(|(domain, weight, cap)| Step::Share(domain, weight, cap)),
        (0_u32..6, 1_u128..8, 1_u128..8).prop_map(|(vcpu, hard, soft)| Step::Bind(vcpu, hard, soft)),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_forgotten_or_chosen_twice_and_no_processor_idles_in_vain(list in steps(), cpus in 1_usize..4) {
        // Two domains have two vCPUs.
        let mut rig = Rig::of_domains(&[2, 1, 2, 1], cpus);
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
                Step::Share(domain, weight, cap) => rig.share(domain, weight, cap),
                // The owner of a pool of few processors names one that is there.
                Step::Bind(vcpu, hard, soft) => rig.bind(vcpu, hard | 1 << (hard % cpus as u128), soft),
                _ => {}
            }
        }
        rig.settle();
        // Whoever can run has its turn within a time that the weights explain.
        let before = rig.ran.clone();
        rig.pass(400 * SLICE);
        for (vcpu, (now, then)) in rig.ran.iter().zip(before).enumerate() {
            prop_assert_eq!(*now > then, rig.runnable[vcpu], "vCPU {}", vcpu);
        }
    }
}

#[test]
fn those_who_begin_together_have_short_turns_until_each_has_had_one() {
    let mut fair = Fair::try_new(&[1; 4], 1, SLICE).unwrap();
    for vcpu in 0..4 {
        fair.wake(vcpu, 0);
    }
    let (mut now, mut leaving, mut seen) = (0, Leaving::Blocked, Vec::new());
    for turn in 0..4 {
        let choice = fair.choose(0, leaving, now);
        assert_eq!(choice.until - now, if turn < 3 { SLICE >> 5 } else { SLICE }, "turn {turn}");
        seen.extend(choice.vcpu);
        (now, leaving) = (choice.until, Leaving::Runnable);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3]);
}

/// One thing that is said to a scheduler.
#[derive(Clone, Copy, Debug)]
enum Word {
    Wake(VcpuId),
    Choose(CpuIndex, Leaving),
    Bind(VcpuId, u128),
    Share(usize, u16, u16),
}

fn word() -> impl Strategy<Value = Word> {
    use Leaving::{Blocked, Runnable, Yielding};
    let leaving = prop::sample::select(vec![Runnable, Yielding, Blocked]);
    prop_oneof![
        12 => (0u32..4).prop_map(Word::Wake),
        16 => (0usize..3, leaving).prop_map(|(cpu, leaving)| Word::Choose(cpu, leaving)),
        2 => (0u32..4, prop_oneof![Just(7), 1u128..8]).prop_map(|(vcpu, hard)| Word::Bind(vcpu, hard)),
        1 => (0usize..3, 1u16..600, prop::sample::select(vec![0, 0, 30, 80])).prop_map(|(d, w, c)| Word::Share(d, w, c)),
    ]
}

/// All that decides what it will do.
fn state(fair: &Fair) -> String {
    let Fair { crowd, processors, warden, pace, plain } = fair;
    let entries = (0..4).map(|vcpu| crowd.get(vcpu).copied()).collect::<Vec<_>>();
    let waiting = crowd.queue.members().collect::<std::collections::BTreeSet<_>>();
    let queue = (waiting, crowd.queue.first(), crowd.parked.first(), crowd.time);
    format!("{entries:?} {queue:?} {:?} {processors:?} {warden:?} {pace:?} {plain}", crowd.groups)
}

proptest! {
    #[test]
    fn the_quick_ways_do_what_the_long_ones_do(
        cpus in 1usize..4,
        words in prop::collection::vec((word(), 0u64..SLICE), 0..200),
    ) {
        let [mut quick, mut long] = [(); 2].map(|()| Fair::try_new(&[1, 1, 2], cpus, SLICE).unwrap());
        let mut now = 0;
        for (word, later) in words {
            now += later * later / SLICE / 2;
            match word {
                Word::Wake(vcpu) => prop_assert_eq!(quick.wake(vcpu, now), long.wake_any(vcpu, now)),
                Word::Choose(cpu, leaving) if cpu < cpus => {
                    prop_assert_eq!(quick.choose(cpu, leaving, now), long.choose_any(cpu, leaving, now));
                }
                Word::Choose(..) => {}
                Word::Bind(vcpu, hard) => {
                    let affinity = Affinity { hard: CpuSet(hard), soft: CpuSet::ALL };
                    let affinity = if hard == 7 { Affinity::FREE } else { affinity };
                    let said = quick.set_affinity(vcpu, affinity, now);
                    prop_assert_eq!(said, long.set_affinity(vcpu, affinity, now));
                }
                Word::Share(domain, weight, cap) => {
                    for fair in [&mut quick, &mut long] {
                        fair.set_share(domain, Share { weight, cap });
                    }
                }
            }
            long.note_plain();
            prop_assert_eq!(state(&quick), state(&long));
        }
    }

    #[test]
    fn who_rests_is_given_to_nobody_else_before_its_processor_has_asked(
        words in prop::collection::vec((word(), 0u64..SLICE), 0..300),
    ) {
        let mut fair = Fair::try_new(&[1, 1, 2], 3, SLICE).unwrap();
        let (mut now, mut rests) = (0, [None; 3]);
        for (word, later) in words {
            now += later;
            match word {
                Word::Wake(vcpu) => {
                    let woken = fair.wake(vcpu, now);
                    if let Some(cpu) = rests.iter().position(|resting| *resting == Some(vcpu)) {
                        // Said again it changes nothing.
                        prop_assert!(woken.is_none_or(|call| call == Call::now(cpu)));
                    }
                }
                Word::Choose(cpu, leaving) => {
                    let ran = fair.processors.all[cpu].running.or(rests[cpu].take());
                    let choice = fair.choose(cpu, leaving, now);
                    prop_assert!(!choice.rests || choice.vcpu.is_none() && ran.is_some());
                    prop_assert!(choice.vcpu.is_none_or(|vcpu| !rests.contains(&Some(vcpu))));
                    rests[cpu] = ran.filter(|_| choice.rests);
                }
                Word::Bind(vcpu, hard) => {
                    let affinity = Affinity { hard: CpuSet(hard), soft: CpuSet::ALL };
                    let _ = fair.set_affinity(vcpu, affinity, now);
                }
                Word::Share(domain, weight, cap) => fair.set_share(domain, Share { weight, cap }),
            }
        }
    }
}
