//! vCPUs of two domains at the same event channels and the same grants, each processor with a thread of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use abi::event_channel as event;
use abi::grant_table as grant;
use abi::hypercall::{EVENT_CHANNEL_OP, GRANT_TABLE_OP, MEMORY_OP};
use abi::memory::{XENMEM_DECREASE_RESERVATION, XENMEM_POPULATE_PHYSMAP};
use hypervisor::memory::SharedPage;
use machine::contract::Machine;
use machine::sim::{Cpu, on_processor};

use crate::calls::{SELF, accounted, hypercall, store, store_words};
use crate::grants::{READ_WRITE, flags};
use crate::hostile::audit_ports;
use crate::world::guest::RAM;
use crate::world::{MIB, Random, Setup, System};

const CPU_ON: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;
/// Rounds of each vCPU, at least: it goes on until all have had as many, or the last one would have no race.
const ROUNDS: u64 = 6_000;
/// Where each vCPU has its structures.
const OWN: u64 = RAM + MIB;
const TABLE: u64 = 0x3800_0000;
/// Where grants are mapped.
const HOLE: u64 = 0x9000_0000;
/// The pages that are granted, and as many that are not.
const PAGES: u64 = (RAM + 4 * MIB) >> 12;
const REFERENCES: u64 = 4;

/// Domains 1 and 2 with two vCPUs each, who may talk to each other, on a processor for each vCPU.
fn setup() -> System {
    Setup::new(4, &[2, 2]).enhanced().options("xsm=dummy").construct()
}

/// Runs a step for each vCPU of two domains, over and over, all at the same time.
fn race<F>(system: &System, step: impl Fn(Cpu, u64, u64) -> F + Send + Sync + Copy + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let [ready, ended]: &'static [AtomicU64; 2] = Box::leak(Box::default());
    for (domain, index) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        system.sim().guest(domain, index, move |cpu| async move {
            cpu.set_vectors(RAM + 0x8000).await;
            if index == 0 {
                cpu.psci(&[CPU_ON, 1, RAM, 0]).await;
            }
            let mut random = Random(u64::from(domain) << 8 | index as u64);
            let mut rounds = 0;
            while rounds < ROUNDS || ready.load(Ordering::SeqCst) < 4 {
                step(cpu.clone(), OWN + index as u64 * 0x1_0000, random.next()).await;
                rounds += 1;
                ready.fetch_add(u64::from(rounds == ROUNDS), Ordering::SeqCst);
            }
            // Whoever says it first switches its domain off.
            ended.fetch_add(1, Ordering::SeqCst);
            while ended.load(Ordering::SeqCst) < 4 {
                cpu.compute(1).await;
            }
            cpu.psci(&[SYSTEM_OFF]).await;
        });
    }
    system.start();
    crate::threads::run(system);
}

/// How often two ends were joined.
static BOUND: AtomicU64 = AtomicU64::new(0);

async fn port_step(cpu: Cpu, at: u64, chance: u64) {
    let (port, other) = (1 + (chance >> 8) % 3, u64::from(3 - cpu.domain()));
    let (command, words): (u32, [u64; 2]) = match chance % 8 {
        0 => (event::EVTCHNOP_ALLOC_UNBOUND, [SELF | other << 16, 0]),
        1 | 2 => (event::EVTCHNOP_BIND_INTERDOMAIN, [other | port << 32, 0]),
        3 => (event::EVTCHNOP_CLOSE, [port, 0]),
        4 => (event::EVTCHNOP_BIND_VCPU, [port | (chance >> 16 & 1) << 32, 0]),
        5 => (event::EVTCHNOP_UNMASK, [port, 0]),
        _ => (event::EVTCHNOP_SEND, [port, 0]),
    };
    store(&cpu, at, &words).await;
    let answer = hypercall(&cpu, EVENT_CHANNEL_OP, &[u64::from(command), at]).await;
    assert!((-100..=0).contains(&answer), "{cpu:?}: {command} {answer}");
    BOUND.fetch_add(u64::from(answer == 0 && command == event::EVTCHNOP_BIND_INTERDOMAIN), Ordering::Relaxed);
    // More than three would be no race.
    let made = cpu.read(at + if command == event::EVTCHNOP_ALLOC_UNBOUND { 4 } else { 8 }).await;
    if answer == 0 && command < 2 && made > 3 {
        store(&cpu, at, &[made]).await;
        hypercall(&cpu, EVENT_CHANNEL_OP, &[u64::from(event::EVTCHNOP_CLOSE), at]).await;
    }
}

#[test]
fn two_domains_bind_close_and_send_on_the_same_ports_at_the_same_time() {
    let system = setup();
    race(&system, port_step);
    assert_ne!(BOUND.load(Ordering::Relaxed), 0, "no two ends were joined");
    for domain in &system.hypervisor.domains {
        audit_ports(system.hypervisor, domain.index, "race");
    }
    for domain in &system.hypervisor.domains {
        let events = &domain.pv.as_ref().unwrap().events;
        loop {
            let next = events.lock().channels.next_used(0);
            let Some(port) = next else { break };
            assert_eq!(on_processor(0, || system.hypervisor.close(domain, port)), Ok(()));
        }
    }
}

/// How often that was tried, and how often it succeeded.
static MAPPED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static COPIED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

fn note([tried, succeeded]: &[AtomicU64; 2], success: bool) {
    tried.fetch_add(1, Ordering::Relaxed);
    succeeded.fetch_add(u64::from(success), Ordering::Relaxed);
}

/// Maps, writes, and unmaps.
async fn map_once(cpu: &Cpu, at: u64, (reference, chance): (u64, u64)) {
    let place = ((HOLE >> 12) + (chance >> 24) % 4) << 12;
    let how = grant::GNTMAP_HOST_MAP | if chance.is_multiple_of(3) { grant::GNTMAP_READONLY } else { 0 };
    store_words(cpu, at, &[place as u32, 0, how, reference as u32, 1, 0, 0, 0]).await;
    hypercall(cpu, GRANT_TABLE_OP, &[u64::from(grant::GNTTABOP_MAP_GRANT_REF), at, 1]).await;
    let mapped = cpu.read(at + 16).await >> 16 == 0;
    note(&MAPPED, mapped);
    if mapped {
        // It may be gone meanwhile, but not for others.
        let _ = cpu.try_write(place, model::arm64::AccessSize::Double, chance).await;
        let handle = cpu.read(at + 20).await as u32;
        store_words(cpu, at, &[place as u32, 0, 0, 0, handle, 0]).await;
        hypercall(cpu, GRANT_TABLE_OP, &[u64::from(grant::GNTTABOP_UNMAP_GRANT_REF), at, 1]).await;
        assert_eq!(cpu.read(at + 20).await & 0xffff, 0, "what is mapped can be unmapped");
    }
}

/// Copies some bytes to a granted page, or from it.
async fn copy_once(cpu: &Cpu, at: u64, (reference, chance): (u64, u64)) {
    let (granted, own) = ([reference as u32, 0, 1, 0], [PAGES as u32 + 9, 0, SELF as u32, 0]);
    let (from, to, flag) = if chance.is_multiple_of(2) { (own, granted, 2) } else { (granted, own, 1) };
    store_words(cpu, at, &[&from[..], &to[..], &[64 | flag << 16, 0]].concat()).await;
    hypercall(cpu, GRANT_TABLE_OP, &[u64::from(grant::GNTTABOP_COPY), at, 1]).await;
    note(&COPIED, cpu.read(at + 36).await & 0xffff == 0);
}

/// The domain that grants changes its entries and its memory under the eyes of the other one, which maps and copies.
async fn grant_step(cpu: Cpu, at: u64, chance: u64) {
    let (reference, page) = ((chance >> 8) % REFERENCES, PAGES + (chance >> 16) % 6);
    match (cpu.domain(), cpu.index()) {
        (1, 0) => {
            let flags = [READ_WRITE, READ_WRITE | grant::GTF_READONLY, 0, READ_WRITE][chance as usize % 4];
            // The hypervisor's marks are in the same word, and a guest may well write over them.
            store(&cpu, TABLE + reference * 8, &[u64::from(flags) | 2 << 16 | page << 32]).await;
        }
        (1, _) => {
            let command = [XENMEM_DECREASE_RESERVATION, XENMEM_POPULATE_PHYSMAP][chance as usize % 2];
            store(&cpu, at, &[at + 0x100, 1, 0, SELF]).await;
            store(&cpu, at + 0x100, &[page]).await;
            hypercall(&cpu, MEMORY_OP, &[u64::from(command), at]).await;
        }
        (_, 0) => map_once(&cpu, at, (reference, chance)).await,
        _ => copy_once(&cpu, at, (reference, chance)).await,
    }
}

#[test]
fn a_domain_changes_its_grants_and_its_memory_while_another_one_maps_and_copies() {
    let system = setup();
    let hypervisor = system.hypervisor;
    hypervisor.show_page(system.domain(1), SharedPage::GrantTable(0), TABLE >> 12).unwrap();
    // A page that it gets in the place of another one counts for itself.
    system.domain(1).frames.set_most(8 * 1024);
    let before = accounted(hypervisor);
    race(&system, grant_step);
    for what in [&MAPPED, &COPIED] {
        let [tried, succeeded] = what.each_ref().map(|count| count.load(Ordering::Relaxed));
        assert!((1..tried).contains(&succeeded), "no race: {succeeded} of {tried}");
    }
    let grants = [1, 2].map(|id| &system.domain(id).pv.as_ref().unwrap().grants);
    assert!(grants.iter().all(|grants| grants.is_unused() && grants.mappings() == 0));
    assert_eq!(accounted(hypervisor), before, "a frame is held by nobody");
    for reference in 0..REFERENCES {
        let left = flags(&system, system.domain(1), reference as u32);
        assert!(left & grant::GTF_TYPE_MASK <= READ_WRITE, "{left:#x}");
    }
    for number in PAGES..PAGES + 10 {
        if let Some((frame, ..)) = system.sim().frame_at(&system.domain(1).map, number << 12) {
            assert_eq!(frame.count(), 2, "held by more than the map and this test");
        }
    }
}
