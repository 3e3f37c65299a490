//! Sleepers that rest: they stay on their processor, and leave it as soon as anybody wants one of the two.

use abi::domctl::vcpu::{Vcpuaffinity, XEN_VCPUAFFINITY_HARD};
use abi::domctl::{XEN_DOMCTL_PAUSEDOMAIN, XEN_DOMCTL_SETVCPUAFFINITY, XEN_DOMCTL_UNPAUSEDOMAIN};
use abi::layout::{Handle, Layout};
use abi::xen::XenctlBitmap;
use machine::sim::{Counts, Cpu};
use model::arm64::SystemRegister;

use crate::calls::{domctl, perform_as, store};
use crate::destruction::destroy;
use crate::uart::open_v3;
use crate::world::guest::{DOM0_RAM, PHYSICAL_TIMER, VIRTUAL_TIMER};
use crate::world::{Journal, MIB, ROUND, Setup, System};

const FRAME: u64 = DOM0_RAM + MIB;
const BITS: u64 = DOM0_RAM + 2 * MIB;

/// Sleeps until its timer fires, for ever.
async fn doze(cpu: Cpu, intid: u32, journal: Journal<u64>) {
    open_v3(&cpu).await;
    loop {
        let due = cpu.count().await + 5 * ROUND;
        if intid == VIRTUAL_TIMER {
            cpu.set_timer(1, due).await;
        } else {
            cpu.msr(SystemRegister::CNTP_CVAL_EL0, due + cpu.start().timer_offset).await.unwrap();
            cpu.msr(SystemRegister::CNTP_CTL_EL0, 1).await.unwrap();
        }
        assert_eq!(cpu.next_interrupt().await, intid);
        journal.note(cpu.count().await.saturating_sub(due));
        if intid == PHYSICAL_TIMER {
            cpu.msr(SystemRegister::CNTP_CTL_EL0, 0).await.unwrap();
        }
        cpu.end(intid).await;
    }
}

/// Domain 1 dozes; what its processors did while it woke a hundred times.
fn dozing(system: &mut System, intid: u32) -> Counts {
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 0, move |cpu| doze(cpu, intid, notes.clone()));
    system.start();
    system.until("it has begun", |_| journal.len() > 3);
    system.sim().take_counts(0);
    let before = journal.len();
    system.until("100 ticks", |_| journal.len() > before + 100);
    assert!(journal.all().into_iter().all(|late| late < 2 * ROUND), "{:?}", journal.all());
    system.sim().take_counts(0)
}

#[test]
fn a_sleeper_stays_where_it_is_while_nobody_else_wants_the_processor() {
    for intid in [VIRTUAL_TIMER, PHYSICAL_TIMER] {
        let counts = dozing(&mut Setup::new(1, &[1]).construct(), intid);
        assert!(counts.loads == 0 && counts.idles >= 100, "{intid}: {counts:?}");
        let hardware = u64::from(intid == VIRTUAL_TIMER) * 100;
        assert!(counts.virtual_timers >= hardware, "{intid}: {counts:?}");
    }
}

#[test]
fn a_sleeper_makes_way_for_another_that_wakes_and_comes_back_in_time() {
    for intid in [VIRTUAL_TIMER, PHYSICAL_TIMER] {
        let mut system = Setup::new(1, &[1, 1]).construct();
        system.sim().guest(2, 0, |cpu| doze(cpu, VIRTUAL_TIMER, Journal::new()));
        let counts = dozing(&mut system, intid);
        assert!(counts.loads > 50, "{counts:?}");
    }
}

async fn order<T: Layout>(cpu: &Cpu, command: u32, own: &T) {
    assert_eq!(domctl(cpu, FRAME, (command, 1), own).await.0, 0, "{command}");
}

/// Lets domain 1 run on these processors only.
async fn bind(cpu: &Cpu, processors: u64) {
    store(cpu, BITS, &[processors, 0]).await;
    let map = XenctlBitmap { bitmap: Handle::new(BITS), nr_bits: 64 };
    let wish = Vcpuaffinity { vcpu: 0, flags: XEN_VCPUAFFINITY_HARD, cpumap_hard: map, cpumap_soft: map };
    order(cpu, XEN_DOMCTL_SETVCPUAFFINITY, &wish).await;
}

#[test]
fn a_sleeper_can_be_paused_moved_and_destroyed_where_it_rests() {
    for seed in 0..20 {
        let mut system = Setup::new(3, &[1]).enhanced().control(1).seed(seed).construct();
        let journal = Journal::new();
        let (notes, all) = (journal.clone(), system.hypervisor);
        system.sim().guest(1, 0, move |cpu| doze(cpu, VIRTUAL_TIMER, notes.clone()));
        perform_as(&mut system, 0, move |cpu| {
            let journal = journal.clone();
            async move {
                let ticks = async |rounds| {
                    let before = journal.len();
                    cpu.compute(rounds).await;
                    journal.len() - before
                };
                assert!(ticks(100).await > 5);
                for turn in 0..20 {
                    order(&cpu, XEN_DOMCTL_PAUSEDOMAIN, &0_u64).await;
                    cpu.compute(2).await;
                    assert_eq!(ticks(30).await, 0, "it is paused");
                    bind(&cpu, 1 << (turn % 3)).await;
                    order(&cpu, XEN_DOMCTL_UNPAUSEDOMAIN, &0_u64).await;
                    assert!(ticks(40).await > 2, "it goes on");
                    bind(&cpu, 1 << ((turn + 1) % 3)).await;
                    assert!(ticks(40 + turn).await > 2, "it goes on elsewhere");
                }
                while destroy(&cpu, 1).await != 0 {}
                assert_eq!(ticks(100).await, 0, "it is gone");
                assert!(all.vcpus.iter().skip(1).all(|vcpu| vcpu.running_on().is_none()));
            }
        });
    }
}
