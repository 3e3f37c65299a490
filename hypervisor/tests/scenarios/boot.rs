//! From a device tree to first instructions.

use model::arm64::AccessSize;
use model::arm64::gic::Version;

use crate::uart::say;
use crate::world::{Journal, KERNEL, MIB, RAMDISK, Setup, System, guest};

fn two_domains(cpus: u32, version: Version) -> System {
    let mut setup = Setup::new(cpus, &[1, 2]).version(version);
    setup.domains[1].ramdisk = true;
    setup.domains[1].memory = 16 * MIB;
    setup.construct()
}

#[test]
fn two_domains_reach_their_first_instructions_with_registers_as_the_contract_has_them() {
    for version in [Version::V2, Version::V3] {
        for cpus in [1, 2, 4] {
            let mut system = two_domains(cpus, version);
            let journal = Journal::new();
            for domain in [1, 2] {
                let journal = journal.clone();
                system.sim().guest(domain, 0, move |cpu| {
                    let journal = journal.clone();
                    async move { journal.note((cpu.domain(), cpu.start().clone())) }
                });
            }
            system.start();
            system.rounds(3);
            let starts = journal.all();
            assert_eq!(starts.len(), 2);
            for (domain, start) in starts {
                let planned = &system.plan.domains[usize::from(domain) - 1];
                assert_eq!(start.pc, guest::RAM);
                assert_eq!(start.pstate, 0x1c5);
                assert_eq!(start.x[0], planned.tree_at);
                assert_eq!(start.x[1..], [0; 30]);
                assert_eq!(start.system.sctlr_el1, 0x00c5_0078);
                assert_eq!(start.system.vmpidr_el2, 0x8000_0000);
                assert_eq!(start.system.vbar_el1, 0);
            }
        }
    }
}

#[test]
fn memory_arrives_zeroed_and_holds_kernel_tree_and_ramdisk_where_the_plan_has_them() {
    let mut system = two_domains(1, Version::V3);
    let planned = system.plan.domains[1].clone();
    let (tree, ramdisk) = (planned.tree.clone(), planned.ramdisk.unwrap());
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(2, 0, move |cpu| {
        let (notes, tree) = (notes.clone(), tree.clone());
        async move {
            let tree_at = cpu.start().x[0];
            for (offset, byte) in (0..).zip(&tree) {
                assert_eq!(cpu.try_read(tree_at + offset, AccessSize::Byte).await, Ok(u64::from(*byte)));
            }
            for offset in (0..RAMDISK.size).step_by(7) {
                let byte = cpu.try_read(ramdisk.guest + offset, AccessSize::Byte).await;
                assert_eq!(byte, Ok(offset % 241), "ramdisk at {offset:#x}");
            }
            for offset in 0x40..KERNEL.size {
                let byte = cpu.try_read(guest::RAM + offset, AccessSize::Byte).await;
                assert_eq!(byte, Ok(offset % 251), "kernel at {offset:#x}");
            }
            for address in (guest::RAM + KERNEL.size..guest::RAM + 16 * MIB).step_by(1021) {
                let used = address >= tree_at && address < tree_at + tree.len() as u64
                    || address >= ramdisk.guest && address < ramdisk.guest + RAMDISK.size;
                if !used {
                    assert_eq!(cpu.try_read(address, AccessSize::Byte).await, Ok(0), "{address:#x}");
                }
            }
            notes.note(());
        }
    });
    system.start();
    system.until("all memory is read", |_| journal.len() == 1);
}

#[test]
fn what_one_domain_writes_no_other_reads() {
    let mut system = two_domains(2, Version::V3);
    let journal = Journal::new();
    for domain in [1_u16, 2] {
        let journal = journal.clone();
        system.sim().guest(domain, 0, move |cpu| {
            let journal = journal.clone();
            async move {
                let secret = 0x1000 * u64::from(cpu.domain());
                cpu.write(guest::RAM + 0x70_0000, secret).await;
                cpu.compute(20).await;
                assert_eq!(cpu.read(guest::RAM + 0x70_0000).await, secret);
                cpu.set_vectors(guest::RAM).await;
                // Behind its own memory there is nothing, and nothing of the host's shows at its address.
                for address in [guest::NOWHERE, 0x900_0000, 0x4100_0000, 0x4700_0000, 1 << 39, (1 << 40) - 4]
                {
                    let outcome = cpu.try_read(address, AccessSize::Word).await;
                    assert_eq!(outcome.unwrap_err().address, address);
                    assert!(cpu.try_write(address, AccessSize::Word, 1).await.is_err());
                }
                journal.note(cpu.domain());
            }
        });
    }
    system.start();
    system.until("both have looked", |_| journal.len() == 2);
}

#[test]
fn a_domain_without_vpl011_has_nothing_at_its_address() {
    let mut setup = Setup::new(1, &[1, 1]);
    setup.domains[1].uart = false;
    let mut system = setup.construct();
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 0, |cpu| async move { say(&cpu, "hello\n").await });
    system.sim().guest(2, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            cpu.set_vectors(guest::RAM).await;
            notes.note(cpu.try_write(guest::UART, AccessSize::Word, 65).await.is_err());
        }
    });
    system.start();
    system.until("it has tried", |_| journal.len() == 1);
    assert_eq!(journal.all(), [true]);
    assert!(system.output().contains("DOM1: hello\r\n"), "{}", system.output());
}

#[test]
fn construction_uses_exactly_the_frames_and_tables_of_the_plan() {
    for version in [Version::V2, Version::V3] {
        let system = two_domains(2, version);
        for (domain, planned) in system.hypervisor.domains.iter().zip(&system.plan.domains) {
            assert_eq!(domain.map.tables_used() as u32, planned.table_frames);
            let bytes: u64 = planned.memory.iter().map(|piece| piece.size).sum();
            assert_eq!(domain.map.owned_bytes(), bytes);
            for piece in &planned.memory {
                for offset in (0..piece.size).step_by(4096) {
                    assert_eq!(domain.map.translate(piece.guest + offset), Some((piece.host + offset, true)));
                }
            }
        }
    }
}
