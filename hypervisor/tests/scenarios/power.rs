//! Firmware calls: vCPUs that go on and off.

use model::arm64::psci::{
    AFFINITY_OFF, AFFINITY_ON, ALREADY_ON, INVALID_ADDRESS, INVALID_PARAMETERS, UNKNOWN_FUNCTION,
};

use crate::uart::{enable_spi, open_v3, pend_spi};
use crate::world::{Journal, Setup, guest};

const CPU_OFF: u64 = 0x8400_0002;
const CPU_ON: u64 = 0xc400_0003;
const AFFINITY_INFO: u64 = 0xc400_0004;
const CPU_SUSPEND: u64 = 0xc400_0001;

#[test]
fn vcpus_go_on_and_off_and_start_anew_each_time() {
    for cpus in [1, 2, 4] {
        let mut system = Setup::new(cpus, &[3]).construct();
        let (starts, done) = (Journal::new(), Journal::new());
        for index in [1, 2] {
            let notes = starts.clone();
            system.sim().guest(1, index, move |cpu| {
                let notes = notes.clone();
                async move {
                    let start = cpu.start();
                    notes.note((cpu.index(), start.pc, start.x[0], start.pstate, start.system.vmpidr_el2));
                    cpu.compute(300).await;
                    cpu.psci(&[CPU_OFF]).await;
                    panic!("CPU_OFF came back");
                }
            });
        }
        let finished = done.clone();
        system.sim().guest(1, 0, move |cpu| {
            let finished = finished.clone();
            async move {
                let info = async |target| cpu.psci(&[AFFINITY_INFO, target, 0]).await;
                assert_eq!(info(0).await.cast_unsigned(), AFFINITY_ON);
                for round in 0..20 {
                    let target = 1 + round % 2;
                    assert_eq!(info(target).await.cast_unsigned(), AFFINITY_OFF);
                    let entry = guest::RAM + 0x1000 + round * 4;
                    assert_eq!(cpu.psci(&[CPU_ON, target, entry, 0xabc + round]).await, 0);
                    assert_eq!(info(target).await.cast_unsigned(), AFFINITY_ON);
                    assert_eq!(cpu.psci(&[CPU_ON, target, entry, 0]).await, ALREADY_ON);
                    while info(target).await.cast_unsigned() == AFFINITY_ON {
                        cpu.compute(1).await;
                    }
                }
                finished.note(());
            }
        });
        system.start();
        system.until("20 starts", |_| done.len() == 1);
        for (round, start) in (0_u64..).zip(starts.all()) {
            let target = 1 + round % 2;
            let entry = guest::RAM + 0x1000 + round * 4;
            assert_eq!(start, (target as usize, entry, 0xabc + round, 0x1c5, 1 << 31 | target), "{cpus}");
        }
        assert_eq!(starts.len(), 20);
    }
}

#[test]
fn wrong_targets_and_entries_are_refused() {
    let mut system = Setup::new(1, &[2]).construct();
    let done = Journal::new();
    let notes = done.clone();
    system.sim().guest(1, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            for target in [2, 16, 0x100, 1 << 32, u64::MAX] {
                assert_eq!(cpu.psci(&[CPU_ON, target, guest::RAM, 0]).await, INVALID_PARAMETERS);
                assert_eq!(cpu.psci(&[AFFINITY_INFO, target, 0]).await, INVALID_PARAMETERS);
            }
            assert_eq!(cpu.psci(&[AFFINITY_INFO, 1, 1]).await, INVALID_PARAMETERS);
            assert_eq!(cpu.psci(&[CPU_ON, 1, guest::RAM + 2, 0]).await, INVALID_ADDRESS);
            assert_eq!(cpu.psci(&[CPU_ON, 0, guest::RAM, 0]).await, ALREADY_ON);
            // PSCI by SMC is the same PSCI, and an unknown call is nobody's.
            assert_eq!(cpu.smc(0, &[0x8400_0000]).await, Ok(0x1_0001));
            assert_eq!(cpu.smc(0, &[0x1234_5678]).await, Ok(UNKNOWN_FUNCTION));
            cpu.set_vectors(guest::RAM).await;
            assert_eq!(cpu.smc(1, &[0x8400_0000]).await.unwrap_err().syndrome, 1 << 25);
            assert_eq!(cpu.hvc(1, 0, &[0x8400_0000]).await.unwrap_err().syndrome, 1 << 25);
            assert_eq!(cpu.hvc(0xea1, 17, &[0]).await, Ok(4 << 16 | 17));
            assert_eq!(cpu.hvc(0xea1, 9999, &[0]).await, Ok(38_u64.wrapping_neg()));
            notes.note(());
        }
    });
    system.start();
    system.until("all was asked", |_| done.len() == 1);
}

#[test]
fn an_interrupt_that_was_listed_when_its_vcpu_went_off_and_on_in_one_moment_comes() {
    const SPI: u32 = 45;
    let mut system = Setup::new(2, &[2]).construct();
    let (starts, taken) = (Journal::new(), Journal::new());
    let (notes, ends) = (starts.clone(), taken.clone());
    system.sim().guest(1, 1, move |cpu| {
        let (notes, ends) = (notes.clone(), ends.clone());
        async move {
            open_v3(&cpu).await;
            notes.note(());
            if notes.len() == 1 {
                while !cpu.interrupt_pending().await {
                    cpu.compute(1).await;
                }
                cpu.psci(&[CPU_OFF]).await;
            }
            let intid = cpu.next_interrupt().await;
            ends.note(intid);
            cpu.end(intid).await;
        }
    });
    let begun = starts.clone();
    system.sim().guest(1, 0, move |cpu| {
        let begun = begun.clone();
        async move {
            open_v3(&cpu).await;
            assert_eq!(cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await, 0);
            while begun.len() == 0 {
                cpu.compute(1).await;
            }
            enable_spi(&cpu, SPI, 1, 0xa0).await;
            pend_spi(&cpu, SPI).await;
            while cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await != 0 {}
        }
    });
    system.start();
    // One turn of each processor at a time: the one is switched on again before the other has put it aside.
    for _ in 0..10_000 {
        system.turn(0);
        system.turn(1);
    }
    assert_eq!((taken.all(), starts.len()), (vec![SPI], 2));
}

#[test]
fn a_suspended_vcpu_goes_on_with_success_when_an_interrupt_arrives() {
    for cpus in [1, 2] {
        let mut system = Setup::new(cpus, &[1]).construct();
        let done = Journal::new();
        let notes = done.clone();
        system.sim().guest(1, 0, move |cpu| {
            let notes = notes.clone();
            async move {
                open_v3(&cpu).await;
                let now = cpu.count().await;
                cpu.set_timer(1, now + 5_000).await;
                assert_eq!(cpu.psci(&[CPU_SUSPEND, 0, 0]).await, 0);
                notes.note(cpu.count().await - now);
            }
        });
        system.start();
        system.until("it went on", |_| done.len() == 1);
        assert!((5_000..5_300).contains(&done.all()[0]), "{:?}", done.all());
    }
}

#[test]
fn a_domain_whose_last_vcpu_goes_off_has_ended() {
    let mut system = Setup::new(2, &[2, 1]).construct();
    system.sim().guest(1, 0, |cpu| async move {
        assert_eq!(cpu.psci(&[CPU_ON, 1, guest::RAM, 0]).await, 0);
        cpu.psci(&[CPU_OFF]).await;
    });
    system.sim().guest(1, 1, |cpu| async move {
        cpu.compute(10).await;
        cpu.psci(&[CPU_OFF]).await;
    });
    system.start();
    system.rounds(5);
    assert!(system.hypervisor.domains[0].lives());
    system.rounds(20);
    assert!(!system.hypervisor.domains[0].lives());
    assert!(system.output().contains("(XEN) d1 has powered off"), "{}", system.output());
    assert_eq!(system.ended, None);
}
