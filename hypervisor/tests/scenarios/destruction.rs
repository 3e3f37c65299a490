//! dom0 shows itself pages of domains, and destroys domains in whatever they do: what is dom0's stays as it is, and
//! every frame, port and mapping is accounted for.

use abi::domctl::XEN_DOMCTL_DESTROYDOMAIN;
use abi::errno::Errno;
use abi::event_channel::{EVTCHNOP_ALLOC_UNBOUND, EVTCHNOP_BIND_INTERDOMAIN};
use abi::grant_table as grant;
use abi::hypercall::{EVENT_CHANNEL_OP, GRANT_TABLE_OP, MEMORY_OP, SCHED_OP};
use abi::layout::Handle;
use abi::memory::{
    AddToPhysmapBatch, MemAcquireResource, MemoryReservation, RemoveFromPhysmap, XENMAPSPACE_GMFN_FOREIGN,
    XENMEM_ACQUIRE_RESOURCE, XENMEM_ADD_TO_PHYSMAP_BATCH, XENMEM_DECREASE_RESERVATION,
    XENMEM_POPULATE_PHYSMAP, XENMEM_REMOVE_FROM_PHYSMAP, XENMEM_RESOURCE_GRANT_TABLE,
};
use abi::xen::DOMID_SELF;
use hypervisor::event::channel::Binding;
use hypervisor::hypervisor::Hypervisor;
use hypervisor::memory::{Change, Extent, Outcome, Progress};
use machine::contract::Machine;
use machine::sim::{Cpu, Sim, on_processor};
use model::arm64::AccessSize;
use model::arm64::gic::Version;

use crate::calls::{
    INVAL, accounted, domctl, error, get, hypercall, perform_as, put, relinquish, store, store_words,
};
use crate::grants::{COPY_READ, COPY_WRITE, READ_WRITE, flags, page, write_entry};
use crate::world::guest::{DOM0_RAM, RAM};
use crate::world::{Journal, MIB, Setup, System};

const ARGUMENT: u64 = DOM0_RAM + MIB;
const LISTS: u64 = DOM0_RAM + 2 * MIB;
/// Pages of dom0 that it grants, and whose bytes must stay.
const KEPT: u64 = (DOM0_RAM + 6 * MIB) >> 12;
const GRANTED: u64 = 48;
/// Where dom0 has no memory and shows itself that of others.
const WINDOW: u64 = 0x4300_0000 >> 12;
/// The same of the others.
const ARGUMENT_OF_GUEST: u64 = RAM + MIB;
const LIST_OF_GUEST: u64 = RAM + 3 * MIB;
const OWN: u64 = (RAM + 4 * MIB) >> 12;
const HOLE: u64 = (RAM + 64 * MIB) >> 12;

async fn memory_op<T: abi::layout::Layout>(cpu: &Cpu, at: u64, command: u32, order: &T) -> i64 {
    put(cpu, at, order).await;
    hypercall(cpu, MEMORY_OP, &[u64::from(command), at]).await
}

async fn event(cpu: &Cpu, at: u64, command: u32, words: &[u32]) -> (i64, u64) {
    store_words(cpu, at, words).await;
    let answer = hypercall(cpu, EVENT_CHANNEL_OP, &[u64::from(command), at]).await;
    (answer, cpu.read(at + if command == EVTCHNOP_ALLOC_UNBOUND { 4 } else { 8 }).await)
}

pub(crate) async fn destroy(cpu: &Cpu, domain: u16) -> i64 {
    domctl(cpu, ARGUMENT, (XEN_DOMCTL_DESTROYDOMAIN, domain), &0_u64).await.0
}

async fn double(cpu: &Cpu, at: u64) -> Option<u64> {
    cpu.try_read(at, AccessSize::Double).await.ok()
}

/// Shows dom0 pages of another domain at the window; the error of each.
async fn map_foreign(cpu: &Cpu, owner: u16, pages: &[u64]) -> Vec<i64> {
    let window: Vec<u64> = (0..pages.len() as u64).map(|index| WINDOW + index).collect();
    store(cpu, LISTS, pages).await;
    store(cpu, LISTS + 0x1000, &window).await;
    let order = AddToPhysmapBatch {
        domid: DOMID_SELF,
        space: XENMAPSPACE_GMFN_FOREIGN as u16,
        size: pages.len() as u16,
        u: owner,
        idxs: Handle::new(LISTS),
        gpfns: Handle::new(LISTS + 0x1000),
        errs: Handle::new(LISTS + 0x2000),
    };
    assert_eq!(memory_op(cpu, ARGUMENT, XENMEM_ADD_TO_PHYSMAP_BATCH, &order).await, 0);
    let mut errors = Vec::new();
    for index in 0..pages.len() as u64 {
        errors.push(i64::from(cpu.read(LISTS + 0x2000 + index * 4).await as u32 as i32));
    }
    errors
}

async fn unmap(cpu: &Cpu, gpfn: u64) -> i64 {
    let order = RemoveFromPhysmap { domid: DOMID_SELF, gpfn };
    memory_op(cpu, ARGUMENT, XENMEM_REMOVE_FROM_PHYSMAP, &order).await
}

#[test]
fn pages_that_dom0_shows_itself_outlive_their_domain_until_dom0_lets_go() {
    let mut system = Setup::new(2, &[1, 1]).enhanced().control(1).construct();
    let (hypervisor, before) = (system.hypervisor, accounted(system.hypervisor));
    system.sim().guest(1, 0, |cpu| async move {
        for number in 0..8 {
            store(&cpu, (OWN + number) << 12, &[0x1111 * number]).await;
        }
        cpu.write(RAM + 2 * MIB, 1).await;
        loop {
            cpu.compute(1).await;
        }
    });
    perform_as(&mut system, 0, move |cpu| async move {
        cpu.set_vectors(DOM0_RAM + 0x8000).await;
        cpu.compute(20).await;
        let pages = [OWN, OWN + 1, OWN + 2, OWN + 3, HOLE, u64::MAX, 0x3_8000];
        let errors = map_foreign(&cpu, 1, &pages).await;
        assert_eq!(errors, [0, 0, 0, 0, INVAL, INVAL, INVAL]);
        for (owner, wanted) in [(9, Errno::Srch), (DOMID_SELF, Errno::Inval), (0, Errno::Srch)] {
            assert_eq!(map_foreign(&cpu, owner, &[OWN]).await, [error(wanted)], "{owner}");
        }
        // The last of these has not hidden what was there: it failed.
        assert_eq!(double(&cpu, (WINDOW + 3) << 12).await, Some(0x3333));
        store(&cpu, (WINDOW + 1) << 12, &[77]).await;
        assert_eq!(destroy(&cpu, 1).await, 0);
        assert_eq!(destroy(&cpu, 1).await, error(Errno::Srch), "it is gone");
        assert_eq!(accounted(hypervisor), before - 4, "four are held");
        for (number, value) in [0, 77, 0x2222, 0x3333].into_iter().enumerate() {
            assert_eq!(double(&cpu, (WINDOW + number as u64) << 12).await, Some(value));
        }
        for number in 0..4 {
            assert_eq!(accounted(hypervisor), before - 4 + number);
            assert_eq!(unmap(&cpu, WINDOW + number).await, 0);
            assert_eq!(unmap(&cpu, WINDOW + number).await, error(Errno::NoEnt));
            assert_eq!(double(&cpu, (WINDOW + number) << 12).await, None);
        }
    });
    assert_eq!(accounted(hypervisor), before);
}

#[test]
fn dom0_fills_a_domains_grant_table_and_keeps_the_frame_when_the_domain_goes() {
    let mut system = Setup::new(2, &[1, 1]).enhanced().control(1).construct();
    let (hypervisor, before) = (system.hypervisor, accounted(system.hypervisor));
    let one = system.domain(1);
    perform_as(&mut system, 0, move |cpu| async move {
        cpu.set_vectors(DOM0_RAM + 0x8000).await;
        let ask =
            MemAcquireResource { domid: 1, kind: XENMEM_RESOURCE_GRANT_TABLE as u16, ..Default::default() };
        assert_eq!(memory_op(&cpu, ARGUMENT, XENMEM_ACQUIRE_RESOURCE, &ask).await, 0);
        let most = get::<MemAcquireResource>(&cpu, ARGUMENT).await.nr_frames;
        assert_eq!(most, 64);
        let order = MemAcquireResource { nr_frames: 2, frame_list: Handle::new(LISTS), ..ask };
        store(&cpu, LISTS, &[WINDOW, WINDOW + 1]).await;
        for (wrong, wanted) in [
            (MemAcquireResource { pad: 1, ..order }, Errno::Inval),
            (MemAcquireResource { domid: 9, ..order }, Errno::Srch),
            (MemAcquireResource { kind: 7, ..order }, Errno::OpNotSupp),
            (MemAcquireResource { id: 1, ..order }, Errno::Inval),
            (MemAcquireResource { frame: 63, ..order }, Errno::Inval),
            (MemAcquireResource { frame: u64::MAX, ..order }, Errno::Inval),
            (MemAcquireResource { nr_frames: 0, ..order }, Errno::Inval),
            (MemAcquireResource { frame_list: Handle::new(u64::MAX - 3), ..order }, Errno::Fault),
        ] {
            let answer = memory_op(&cpu, ARGUMENT, XENMEM_ACQUIRE_RESOURCE, &wrong).await;
            assert_eq!(answer, error(wanted), "{wrong:?}");
        }
        assert_eq!(memory_op(&cpu, ARGUMENT, XENMEM_ACQUIRE_RESOURCE, &order).await, 0);
        // As init-dom0less does for the page of xenstore: the domain grants it without knowing.
        let entry = u64::from(READ_WRITE) | OWN << 32;
        store(&cpu, (WINDOW << 12) + 8, &[entry]).await;
        store_words(&cpu, LISTS, &[(WINDOW as u32 + 9) << 12, 0, grant::GNTMAP_HOST_MAP, 1, 1, 0, 0, 0])
            .await;
        let map = [u64::from(grant::GNTTABOP_MAP_GRANT_REF), LISTS, 1];
        assert_eq!(hypercall(&cpu, GRANT_TABLE_OP, &map).await, 0);
        assert_eq!(cpu.read(LISTS + 16).await >> 16, 0, "its status");
        store(&cpu, (WINDOW + 9) << 12, &[4711]).await;
        let handle = cpu.read(LISTS + 20).await as u32;
        // The page is granted and so is held; the table's frames are the hypervisor's.
        assert_eq!(destroy(&cpu, 1).await, 0);
        assert_eq!(accounted(hypervisor), before - 1);
        assert_eq!(double(&cpu, (WINDOW + 9) << 12).await, Some(4711));
        store_words(&cpu, LISTS, &[(WINDOW as u32 + 9) << 12, 0, 0, 0, handle, 0]).await;
        let unmap_grant = [u64::from(grant::GNTTABOP_UNMAP_GRANT_REF), LISTS, 1];
        assert_eq!(hypercall(&cpu, GRANT_TABLE_OP, &unmap_grant).await, 0);
        assert_eq!(cpu.read(LISTS + 20).await & 0xffff, 0, "its status");
        for number in [0, 1] {
            assert_eq!(unmap(&cpu, WINDOW + number).await, 0);
        }
    });
    assert_eq!(accounted(hypervisor), before);
    assert!(one.pv.as_ref().unwrap().grants.is_unused());
    for frame in &one.pv.as_ref().unwrap().grant_frames {
        assert_eq!(frame.count(), 1, "nobody but the hypervisor holds the table");
    }
}

/// What a domain does when it is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    Computes,
    Sleeps,
    Polls,
    /// Gets 2 MiB and gives them back, and is interrupted wherever that is possible.
    ChangesMemory,
    /// Maps dom0's pages and unmaps them.
    Maps,
    /// Has copied them, a long list at a time.
    Copies,
    /// Ends itself at about that time.
    PowersOff,
}

const ALL: [Busy; 7] = [
    Busy::Computes,
    Busy::Sleeps,
    Busy::Polls,
    Busy::ChangesMemory,
    Busy::Maps,
    Busy::Copies,
    Busy::PowersOff,
];

/// Maps all that dom0 grants.
async fn map_all(cpu: &Cpu) {
    for number in 0..GRANTED {
        let at = ((HOLE + number) << 12) as u32;
        let words = [at, 0, grant::GNTMAP_HOST_MAP, 8 + number as u32, 0, 0, 0, 0];
        store_words(cpu, LIST_OF_GUEST + number * 32, &words).await;
    }
    let map = [u64::from(grant::GNTTABOP_MAP_GRANT_REF), LIST_OF_GUEST, GRANTED];
    assert_eq!(hypercall(cpu, GRANT_TABLE_OP, &map).await, 0);
}

async fn unmap_some(cpu: &Cpu, count: u64) {
    for number in 0..count {
        let handle = cpu.read(LIST_OF_GUEST + number * 32 + 20).await as u32;
        let words = [((HOLE + number) << 12) as u32, 0, 0, 0, handle, 0];
        store_words(cpu, LIST_OF_GUEST + 0x1000 + number * 24, &words).await;
    }
    let unmap = [u64::from(grant::GNTTABOP_UNMAP_GRANT_REF), LIST_OF_GUEST + 0x1000, count];
    assert_eq!(hypercall(cpu, GRANT_TABLE_OP, &unmap).await, 0);
}

/// Has the second half of every second page of dom0's written to, and that of the others read, by copies.
async fn copy_all(cpu: &Cpu) {
    for number in 0..GRANTED {
        let (granted, own) =
            ([8 + number as u32, 0, 2048 << 16, 0], [OWN as u32, 0, u32::from(DOMID_SELF), 0]);
        let (from, to, flag) = if number % 2 == 0 { (own, granted, 2) } else { (granted, own, 1) };
        let words = [&from[..], &to[..], &[2048 | flag << 16, 0][..]].concat();
        store_words(cpu, LIST_OF_GUEST + number * 40, &words).await;
    }
    let copy = [u64::from(grant::GNTTABOP_COPY), LIST_OF_GUEST, GRANTED];
    assert_eq!(hypercall(cpu, GRANT_TABLE_OP, &copy).await, 0);
}

async fn change_memory(cpu: &Cpu, hypervisor: &'static Hypervisor<Sim>) {
    store(cpu, LIST_OF_GUEST, &[OWN]).await;
    let order = MemoryReservation {
        extent_start: Handle::new(LIST_OF_GUEST),
        nr_extents: 1,
        extent_order: 9,
        domid: DOMID_SELF,
        ..Default::default()
    };
    for command in [XENMEM_DECREASE_RESERVATION, XENMEM_POPULATE_PHYSMAP] {
        put(cpu, ARGUMENT_OF_GUEST, &order).await;
        cpu.with(move |_| {
            for processor in &hypervisor.processors {
                processor.ask();
            }
            0
        })
        .await;
        hypercall(cpu, MEMORY_OP, &[u64::from(command), ARGUMENT_OF_GUEST]).await;
    }
}

/// Has a mapping of each of dom0's pages and a port to dom0, says so, and is busy from then on.
async fn victim(cpu: Cpu, hypervisor: &'static Hypervisor<Sim>, busy: Busy, ready: Journal<u64>) {
    let (answer, port) =
        event(&cpu, ARGUMENT_OF_GUEST, EVTCHNOP_ALLOC_UNBOUND, &[u32::from(DOMID_SELF), 0]).await;
    assert_eq!(answer, 0);
    map_all(&cpu).await;
    ready.note(port);
    for time in 0_u64.. {
        // A processor does much in a round of the test: once in it will do.
        cpu.compute(1).await;
        match busy {
            Busy::Sleeps => cpu.wfi().await,
            Busy::Polls => poll(&cpu, port).await,
            Busy::ChangesMemory => change_memory(&cpu, hypervisor).await,
            Busy::Maps => {
                unmap_some(&cpu, 1 + time % GRANTED).await;
                map_all(&cpu).await;
            }
            Busy::Copies => copy_all(&cpu).await,
            Busy::PowersOff if time > 5 => drop(cpu.psci(&[0x8400_0008]).await),
            Busy::Computes | Busy::PowersOff => {}
        }
    }
}

async fn poll(cpu: &Cpu, port: u64) {
    cpu.write(LIST_OF_GUEST, port).await;
    store(cpu, ARGUMENT_OF_GUEST, &[LIST_OF_GUEST, 1, 0]).await;
    hypercall(cpu, SCHED_OP, &[3, ARGUMENT_OF_GUEST]).await;
}

/// Binds a port to the domain and the interrupt of dying domains, waits, and destroys the domain.
async fn executioner(cpu: Cpu, wait: u64, ready: Journal<u64>) {
    for number in 0..GRANTED {
        store(&cpu, (KEPT + number) << 12, &[0xabcd << 32 | number]).await;
    }
    while ready.len() == 0 {
        cpu.compute(1).await;
    }
    let bind = [1, ready.all()[0] as u32, 0];
    let (answer, port) = event(&cpu, ARGUMENT, EVTCHNOP_BIND_INTERDOMAIN, &bind).await;
    assert_eq!((answer, port), (0, 1));
    cpu.compute(wait).await;
    assert_eq!(destroy(&cpu, 1).await, 0);
}

fn check_dom0(system: &System, what: &str) {
    let zero = system.domain(0);
    assert!(zero.pv.as_ref().unwrap().grants.is_unused(), "{what}: a grant is in use");
    for number in 0..GRANTED {
        assert_eq!(flags(system, zero, 8 + number as u32), READ_WRITE, "{what}");
        let (host, count) = page(system, zero, KEPT + number).expect("a page");
        assert_eq!((host, count), ((KEPT + number) << 12, 1), "{what}: held by more than its map");
        let mut word = [0; 8];
        assert!(system.sim().peek(host, &mut word));
        assert_eq!(u64::from_le_bytes(word), 0xabcd << 32 | number, "{what}");
    }
    let events = zero.pv.as_ref().unwrap().events.lock();
    let binding = |port| events.channels.used(port).map(|channel| channel.binding);
    assert_eq!(binding(1), Some(Binding::Unbound(1)), "{what}");
}

fn destroy_while(busy: Busy, cpus: u32, seed: u64) {
    let what = format!("{busy:?}, {cpus} processors, seed {seed}");
    let mut system = Setup::new(cpus, &[2, 3]).enhanced().control(1).seed(seed).construct();
    let (hypervisor, before, ready) = (system.hypervisor, accounted(system.hypervisor), Journal::new());
    for number in 0..GRANTED {
        write_entry(&system, (system.domain(0), 8 + number as u32), (1, KEPT + number, READ_WRITE));
    }
    let journal = ready.clone();
    system.sim().guest(1, 0, move |cpu| victim(cpu, hypervisor, busy, journal.clone()));
    let canary = crate::random::canary(&system, 2, Version::V3);
    let wait = system.random.below(30);
    perform_as(&mut system, 0, move |cpu| executioner(cpu, wait, ready.clone()));
    assert_eq!(accounted(hypervisor), before, "{what}: frames are lost");
    check_dom0(&system, &what);
    let gone = &hypervisor.domains[1];
    let pv = gone.pv.as_ref().unwrap();
    assert_eq!((gone.map.owned_bytes(), gone.frames.current(), pv.grants.mappings()), (0, 0, 0), "{what}");
    assert_eq!(pv.events.lock().channels.next_used(0), None, "{what}: a port is left");
    assert!(hypervisor.vcpus[1..3].iter().all(|vcpu| vcpu.progress.lock().is_none()), "{what}");
    let then = canary.seen();
    system.rounds(300);
    let now = canary.seen();
    assert!(now[0] > then[0] && now[1] > then[1], "{what}: {then:?}, then {now:?}");
}

#[test]
fn a_domain_is_destroyed_in_whatever_it_does_and_dom0_keeps_what_is_its() {
    for busy in ALL {
        for cpus in 1..4 {
            for seed in 0..2 {
                destroy_while(busy, cpus, seed);
            }
        }
    }
}

/// Somebody copies from or to a page when its granter is destroyed: the copy ends as it began, and what the granter had
/// is free once it has.
#[test]
fn a_granter_that_dies_in_the_middle_of_a_copy_leaves_its_page_until_the_end_of_it() {
    for how in [COPY_READ, COPY_WRITE] {
        let mut system = Setup::new(2, &[1, 1]).enhanced().options("xsm=dummy").construct();
        let (hypervisor, before) = (system.hypervisor, accounted(system.hypervisor));
        let (one, two) = (system.domain(1), system.domain(2));
        write_entry(&system, (one, 8), (2, OWN, READ_WRITE));
        let (host, _) = page(&system, one, OWN).unwrap();
        let pin = hypervisor.pin(one, 8, (two, how)).unwrap();
        assert!(system.sim().write_frame(&pin.frame, 0, b"in the middle"));
        relinquish(&mut system, one, "a granter");
        assert!(!one.exists() && accounted(hypervisor) == before - 1, "{how:?}");
        // Nobody else gets the page meanwhile, however much is taken.
        let mut taken = Vec::new();
        while let Some(mut block) = system.sim().frames().take(2, 0) {
            taken.extend(block.next());
        }
        assert!(taken.iter().all(|frame| frame.address() != host), "{how:?}");
        drop(taken);
        let mut bytes = [0; 13];
        assert!(pin.frame.address() == host && system.sim().read_frame(&pin.frame, 0, &mut bytes));
        assert_eq!(&bytes, b"in the middle");
        drop(pin);
        assert!(hypervisor.pin(one, 8, (two, how)).is_err(), "no use begins any more");
        assert_eq!(accounted(hypervisor), before, "{how:?}");
        assert!(one.pv.as_ref().unwrap().grants.is_unused());
    }
}

#[test]
fn a_change_of_memory_that_a_destroyed_domain_has_left_in_the_middle_loses_no_frame() {
    // Frames of one block are given back many at a time.
    let (often, seldom) = ([1, 2, 30, 62], [1, 2, 5, 7]);
    for (change, first, after) in [
        (Change::Populate, HOLE, often),
        (Change::Populate, HOLE + 1, often),
        (Change::Decrease, OWN, seldom),
    ] {
        for interruptions in after {
            let what = format!("{change:?} {first:#x}, after {interruptions}");
            let mut system = Setup::new(1, &[1]).enhanced().control(1).construct();
            let (hypervisor, before) = (system.hypervisor, accounted(system.hypervisor));
            let domain = system.domain(1);
            domain.frames.set_most(4096);
            let local = &system.locals[0];
            let mut progress = Progress::new(Extent { change, domain: domain.index, first, order: 9 });
            for _ in 0..interruptions {
                local.processor.ask();
                let outcome = on_processor(0, || hypervisor.work_on(local, progress, u64::MAX));
                let Outcome::Interrupted(left) = outcome else { panic!("{what}: {outcome:?}") };
                progress = left;
            }
            *hypervisor.vcpus[domain.vcpus.start].progress.lock() = Some(progress);
            perform_as(&mut system, 0, |cpu| async move { assert_eq!(destroy(&cpu, 1).await, 0) });
            assert!(hypervisor.vcpus[domain.vcpus.start].progress.lock().is_none(), "{what}");
            assert_eq!((accounted(hypervisor), domain.frames.current()), (before, 0), "{what}");
        }
    }
}
