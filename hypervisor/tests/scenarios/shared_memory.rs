//! Memory whose place the owner of the system has chosen: shared from the start, or a domain's for good. Whoever gives
//! it up, and whoever ends, in whatever order: nobody else ever gets it.

use hypervisor::domain::Controlled;
use machine::contract::Machine;
use machine::sim::Cpu;
use machine::stage2::Kind;
use model::arm64::AccessSize;
use plan::Range;

use crate::world::guest::RAM;
use crate::world::{Journal, MIB, Setup, System};

const MEMORY_OP: u64 = 12;
const DECREASE: u64 = 1;
const CURRENT: u64 = 3;
const POPULATE: u64 = 6;
const MAXIMUM_GPFN: u64 = 14;
const REMOVE: u64 = 15;
const SELF: u64 = 0x7ff0;
const ARGUMENT: u64 = RAM + 0x10_0000;
const LIST: u64 = RAM + 0x10_1000;
/// The region's host address, and where each domain sees it.
const HOST: u64 = RAM + 256 * MIB;
const SEEN: u64 = RAM + 64 * MIB;
const SIZE: u64 = 4 * MIB;
const PAGES: u64 = SIZE >> 12;
/// Where there is nothing.
const HOLE: u64 = RAM + 32 * MIB;
/// Pages of RAM.
const OWN: u64 = 2048;

type Role = Option<&'static str>;

/// Domains that share the region, each at an address of its own.
fn sharing(roles: &[Role], pv: bool) -> Setup {
    let mut setup = Setup::new(2, &vec![1; roles.len()]);
    for (number, (wish, role)) in (0..).zip(setup.domains.iter_mut().zip(roles)) {
        wish.pv = pv;
        wish.shares.push(("region", *role, [HOST, seen(number), SIZE]));
    }
    setup
}

/// Where the domain with this index sees the region.
fn seen(index: u64) -> u64 {
    SEEN + index * 16 * MIB
}

async fn store(cpu: &Cpu, address: u64, value: u64) {
    cpu.try_write(address, AccessSize::Double, value).await.expect("a store");
}

async fn load(cpu: &Cpu, address: u64) -> Option<u64> {
    cpu.try_read(address, AccessSize::Double).await.ok()
}

async fn memory_op(cpu: &Cpu, command: u64, argument: &[u64]) -> i64 {
    for (place, word) in (0_u64..).zip(argument) {
        store(cpu, ARGUMENT + place * 8, *word).await;
    }
    cpu.hvc(0xea1, MEMORY_OP, &[command, ARGUMENT]).await.expect("a call").cast_signed()
}

async fn change(cpu: &Cpu, command: u64, address: u64, order: u64) -> i64 {
    store(cpu, LIST, address >> 12).await;
    memory_op(cpu, command, &[LIST, 1, order, SELF]).await
}

async fn remove(cpu: &Cpu, address: u64) -> i64 {
    memory_op(cpu, REMOVE, &[SELF, address >> 12]).await
}

/// Destroys a domain, as the toolstack would.
fn destroy(system: &mut System, index: usize) {
    let hypervisor = system.hypervisor;
    let domain = &hypervisor.domains[index];
    for _ in 0..20_000 {
        if system.act_as(0, || hypervisor.relinquish(Controlled { domain }, 0)) {
            assert_eq!(domain.map.owned_bytes(), 0);
            return;
        }
        system.round(100);
    }
    panic!("domain {index} does not go");
}

/// Owner and holders of the frame at this host address.
fn record(system: &System, host: u64) -> (Option<u16>, u32) {
    let frame = system.sim().frames().hold(host).expect("somebody's frame");
    // Without this handle.
    (frame.owner(), frame.count() - 1)
}

/// All frames of the region have this owner and so many holders.
fn check_region(system: &System, owner: u16, holders: u32) {
    for number in 0..PAGES {
        assert_eq!(record(system, HOST + number * 4096), (Some(owner), holders), "frame {number}");
    }
}

/// Domain 1 writes a word to each page and all others read it; then all write in turn, and all see it.
fn check_sharing(system: &mut System) {
    let domains = system.hypervisor.domains.len() as u64;
    let (read, turn) = (Journal::new(), Journal::new());
    for index in 0..domains {
        let (read, turn) = (read.clone(), turn.clone());
        system.sim().guest(index as u16 + 1, 0, move |cpu| {
            let (read, turn) = (read.clone(), turn.clone());
            async move {
                let at = seen(index);
                if index == 0 {
                    assert_eq!(load(&cpu, at + 8).await, Some(0), "it comes empty");
                    for page in 0..PAGES {
                        store(&cpu, at + page * 4096, 0x1000 + page).await;
                    }
                    turn.note(());
                }
                while turn.len() == 0 {
                    cpu.compute(1).await;
                }
                for page in 0..PAGES {
                    assert_eq!(load(&cpu, at + page * 4096).await, Some(0x1000 + page));
                }
                store(&cpu, at + 16 + index * 8, index + 1).await;
                read.note(index);
                while read.len() < domains as usize {
                    cpu.compute(1).await;
                }
                for other in 0..domains {
                    assert_eq!(load(&cpu, at + 16 + other * 8).await, Some(other + 1));
                }
                turn.note(());
            }
        });
    }
    system.start();
    system.until("all have seen all", |_| turn.len() == 1 + domains as usize);
}

#[test]
fn what_one_domain_writes_all_that_share_it_read() {
    let owner = Some("owner");
    let borrower = Some("borrower");
    for roles in [&[owner, borrower, borrower][..], &[borrower, owner], &[None, None, None, None]] {
        for pv in [false, true] {
            let mut system = sharing(roles, pv).construct();
            check_sharing(&mut system);
            let holders = roles.len() as u32 + u32::from(roles[0].is_none());
            let owner = roles.iter().position(|role| *role == owner).map_or(0xffd, |owner| owner as u16 + 1);
            check_region(&system, owner, holders);
            for (index, domain) in system.hypervisor.domains.iter().enumerate() {
                let owns = domain.id == owner;
                assert_eq!(domain.frames.current(), OWN + if owns { PAGES } else { 0 });
                let kind = if owns { Kind::Ram } else { Kind::Foreign };
                let (frame, found, writable) =
                    system.sim().frame_at(&domain.map, seen(index as u64)).expect("it is shown");
                assert_eq!((frame.address(), found, writable), (HOST, kind, true));
            }
        }
    }
}

#[test]
fn whoever_is_destroyed_first_nobody_else_gets_the_memory() {
    let orders: [&[usize]; 3] = [&[0, 1, 2], &[2, 1, 0], &[1, 0, 2]];
    for (roles, owner) in [([Some("owner"), Some("borrower"), Some("borrower")], 1), ([None; 3], 0xffd)] {
        for order in orders {
            for pv in [true, false] {
                let mut setup = sharing(&roles, pv);
                // One lives on, so the machine does.
                setup.domains.push(crate::world::Wish::new(1));
                if !pv {
                    // Tables to be taken apart with, which a plain domain has where there is a dom0.
                    setup.domains.iter_mut().for_each(|wish| wish.pool_mib = Some(1));
                }
                let mut system = setup.construct();
                let free = system.sim().frames().free_frames();
                let mut holders = if owner == 1 { 3 } else { 4 };
                check_region(&system, owner, holders);
                for (gone, index) in (1_u64..).zip(order) {
                    destroy(&mut system, *index);
                    // The owner's own count stays when its map is gone.
                    holders -= u32::from(!(owner == 1 && *index == 0));
                    check_region(&system, owner, holders);
                    assert_eq!(system.sim().frames().free_frames(), free + gone * OWN, "{order:?}");
                }
                assert_eq!(holders, 1);
            }
        }
    }
}

/// Runs a program as the first of two domains, and gives the system back.
fn with_program<F>(mut system: System, program: impl Fn(Cpu) -> F + Send + Clone + 'static) -> System
where
    F: Future<Output = ()> + Send + 'static,
{
    let done = Journal::new();
    let told = done.clone();
    system.sim().guest(1, 0, move |cpu| {
        let (done, program) = (told.clone(), program.clone());
        async move {
            cpu.set_vectors(RAM + 0x8000).await;
            program(cpu).await;
            done.note(());
        }
    });
    system.start();
    system.until("the program is done", |_| done.len() == 1);
    system
}

#[test]
fn an_owner_gives_a_shared_page_up_and_gets_the_same_one_back() {
    let system = sharing(&[Some("owner"), Some("borrower")], true).construct();
    let free = system.sim().frames().free_frames();
    let system = with_program(system, move |cpu| async move {
        let at = seen(0);
        assert_eq!(memory_op(&cpu, MAXIMUM_GPFN, &[SELF]).await as u64, (at + SIZE - 1) >> 12);
        for order in [0, 9] {
            store(&cpu, at, 7).await;
            assert_eq!(change(&cpu, DECREASE, at, order).await, 1);
            assert_eq!(load(&cpu, at).await, None);
            // It still counts, so there is no other one in its place, anywhere.
            assert_eq!(memory_op(&cpu, CURRENT, &[SELF]).await as u64, OWN + PAGES);
            assert_eq!(change(&cpu, POPULATE, HOLE, 0).await, 0);
            assert_eq!(change(&cpu, POPULATE, at, order).await, 1);
            assert_eq!(load(&cpu, at).await, Some(0));
        }
        // A page of its other RAM goes and comes as ever.
        assert_eq!(change(&cpu, DECREASE, RAM + 4 * MIB, 0).await, 1);
        assert_eq!(memory_op(&cpu, CURRENT, &[SELF]).await as u64, OWN + PAGES - 1);
        assert_eq!(change(&cpu, POPULATE, RAM + 4 * MIB, 0).await, 1);
        assert_eq!(remove(&cpu, at + 0x1000).await, 0);
        assert_eq!(change(&cpu, DECREASE, at + 0x3000, 0).await, 1);
    });
    assert_eq!(system.sim().frames().free_frames(), free);
    check_region(&system, 1, 2);
    let shown = system.sim().frame_at(&system.hypervisor.domains[0].map, seen(0));
    assert_eq!(shown.expect("it is back").0.address(), HOST);
}

#[test]
fn a_borrower_can_let_go_of_a_page_and_never_give_it_away() {
    for (role, other, owner, holders) in [(Some("borrower"), Some("owner"), 2, 1), (None, None, 0xffd, 2)] {
        let system = sharing(&[role, other], true).construct();
        let free = system.sim().frames().free_frames();
        let system = with_program(system, move |cpu| async move {
            let at = seen(0);
            // What others lend is not its to give.
            assert_eq!(change(&cpu, DECREASE, at, 0).await, 0);
            assert_eq!(load(&cpu, at).await, Some(0));
            assert_eq!(remove(&cpu, at).await, 0);
            assert_eq!(load(&cpu, at).await, None);
            assert_eq!(memory_op(&cpu, CURRENT, &[SELF]).await as u64, OWN);
            assert_eq!(change(&cpu, POPULATE, at, 0).await, 0, "it has all that it may have");
            for page in 1..PAGES {
                assert_eq!(remove(&cpu, at + page * 4096).await, 0);
            }
        });
        assert_eq!(system.sim().frames().free_frames(), free);
        check_region(&system, owner, holders);
    }
}

#[test]
fn static_memory_that_is_given_up_stays_its_domains() {
    let mut setup = Setup::new(1, &[1, 1, 1]).enhanced();
    let place = Range { base: HOST, size: 6 * MIB };
    let second = Range { base: HOST + 16 * MIB, size: 2 * MIB };
    setup.domains[0].static_memory = vec![place, second];
    let system = setup.construct();
    let free = system.sim().frames().free_frames();
    let mut system = with_program(system, move |cpu| async move {
        for (at, order) in [(RAM + 4 * MIB, 9), (RAM + 6 * MIB + 0x5000, 0), (RAM + 6 * MIB, 4)] {
            store(&cpu, at, 7).await;
            assert_eq!(change(&cpu, DECREASE, at, order).await, 1);
            assert_eq!(load(&cpu, at).await, None);
            assert_eq!(change(&cpu, POPULATE, HOLE, 0).await, 0, "only what is at home there comes back");
            assert_eq!(change(&cpu, POPULATE, at, order).await, 1);
            assert_eq!(load(&cpu, at).await, Some(0));
        }
        assert_eq!(change(&cpu, DECREASE, RAM + 4 * MIB, 9).await, 1);
    });
    assert_eq!(system.sim().frames().free_frames(), free);
    let host =
        |at| system.sim().frame_at(&system.hypervisor.domains[0].map, at).map(|(frame, ..)| frame.address());
    assert_eq!(host(RAM + 6 * MIB + 0x5000), Some(second.base + 0x5000));
    assert_eq!(record(&system, HOST + 4 * MIB), (Some(1), 1));
    destroy(&mut system, 0);
    assert_eq!(system.sim().frames().free_frames(), free);
    assert_eq!(record(&system, HOST), (Some(1), 1));
    // The other one's goes back to all.
    destroy(&mut system, 1);
    assert_eq!(system.sim().frames().free_frames(), free + OWN);
}

#[test]
fn a_domain_that_uses_its_pool_up_is_refused_and_the_others_are_not() {
    let mut setup = Setup::new(1, &[1, 1]).enhanced();
    for wish in &mut setup.domains {
        wish.pool_mib = Some(1);
    }
    let mut system = setup.construct();
    let answers = Journal::new();
    for id in [1, 2] {
        let answers = answers.clone();
        system.sim().guest(id, 0, move |cpu| {
            let answers = answers.clone();
            async move {
                cpu.set_vectors(RAM + 0x8000).await;
                if id == 2 {
                    while answers.len() == 0 {
                        cpu.compute(1).await;
                    }
                }
                // Each page at a place of its own takes a table, and one more for each GiB.
                let mut came = 0_u64;
                for number in 0..300 {
                    assert_eq!(change(&cpu, DECREASE, RAM + 4 * MIB + number * 4096, 0).await, 1);
                    let at = 0x2_0000_0000 + number * 2 * MIB;
                    if change(&cpu, POPULATE, at, 0).await == 0 {
                        assert_eq!(load(&cpu, at).await, None);
                        // Back where it was, for which there is a table.
                        assert_eq!(change(&cpu, POPULATE, RAM + 4 * MIB + number * 4096, 0).await, 1);
                        break;
                    }
                    came += 1;
                }
                // A place that is given up has its table for another one.
                assert_eq!(change(&cpu, DECREASE, 0x2_0000_0000, 0).await, 1);
                assert_eq!(change(&cpu, POPULATE, 0x2_0000_0000 + 301 * 2 * MIB, 0).await, 1);
                answers.note(came);
                cpu.compute(u64::MAX).await;
            }
        });
    }
    system.start();
    system.until("both are done", |_| answers.len() == 2);
    let [first, second] = answers.all()[..] else { panic!("two answers") };
    assert!((200..256).contains(&first), "{first} pages at places of their own");
    assert_eq!(first, second, "what one has used up the other one has");
}

#[test]
fn with_a_static_heap_domains_get_no_memory_from_elsewhere() {
    let mut setup = Setup::new(1, &[1, 1]).enhanced();
    let heap = Range { base: RAM + 320 * MIB, size: 32 * MIB };
    setup.static_heap = Some(heap);
    setup.domains[1].static_memory = vec![Range { base: HOST, size: 8 * MIB }];
    let system = setup.construct();
    let hypervisor = system.hypervisor;
    let planned: u64 = system.plan.free.iter().map(|range| range.size >> 12).sum();
    assert_eq!(system.sim().frames().free_frames(), planned);
    // As much as there is.
    hypervisor.domains[0].frames.set_most(1 << 20);
    let system = with_program(system, move |cpu| async move {
        let mut number = 0;
        while change(&cpu, POPULATE, 0x2_0000_0000 + number * 4096, 0).await == 1 {
            number += 1;
        }
        assert!(number > 1000, "{number} frames came");
    });
    assert_eq!(system.sim().frames().free_frames(), 0);
    let map = &hypervisor.domains[0].map;
    for number in 0..planned {
        let (frame, ..) = system.sim().frame_at(map, 0x2_0000_0000 + number * 4096).expect("a frame");
        assert!(heap.contains(&Range { base: frame.address(), size: 4096 }), "{:#x}", frame.address());
    }
}
