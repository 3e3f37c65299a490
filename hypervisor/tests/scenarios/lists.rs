//! Lists of calls that lose the page they lie in to one of their own entries.

use abi::errno::Errno;
use abi::grant_table as grant;
use abi::hypercall::{EVENT_CHANNEL_OP, GRANT_TABLE_OP, MEMORY_OP, MULTICALL};
use abi::memory::{XENMEM_DECREASE_RESERVATION, XENMEM_POPULATE_PHYSMAP};
use hypervisor::grant::Wanted;
use hypervisor::memory::{Change, Extent};
use machine::contract::Machine;
use machine::sim::{Cpu, on_processor};
use model::arm64::AccessSize;

use crate::calls::{SELF, accounted, error, hypercall, perform, perform_as, store, store_words};
use crate::grants::{READ_WRITE, flags, page, write_entry};
use crate::world::guest::RAM;
use crate::world::{MIB, Setup, System};

const FAULT: i64 = error(Errno::Fault);
/// What the entries read.
const ARGUMENT: u64 = RAM + MIB;
/// The page that is given away, the first of 2 MiB of RAM.
const PAGE: u64 = RAM + 4 * MIB;
const HOLE: u64 = RAM + 64 * MIB;
/// Where the domains see memory that they share.
const SHARED: u64 = RAM + 128 * MIB;
/// What is in an entry where its result will be.
const NONE: u64 = 0x1234_5678;

const DECREASE: u64 = XENMEM_DECREASE_RESERVATION as u64;
const POPULATE: u64 = XENMEM_POPULATE_PHYSMAP as u64;

/// Lists entries that ask for a port each, but one of them is another call; and its answer.
async fn perform_list(cpu: &Cpu, list: u64, count: u64, (place, call): (u64, [u64; 4])) -> i64 {
    store(cpu, ARGUMENT, &[SELF | SELF << 16]).await;
    for entry in 0..count {
        let [number, arguments @ ..] = if entry == place { call } else { [EVENT_CHANNEL_OP, 6, ARGUMENT, 0] };
        let [a, b, c] = arguments;
        store(cpu, list + entry * 64, &[number, NONE, a, b, c, 0, 0, 0]).await;
    }
    hypercall(cpu, MULTICALL, &[list, count]).await
}

async fn double(cpu: &Cpu, at: u64) -> Option<u64> {
    cpu.try_read(at, AccessSize::Double).await.ok()
}

/// The page goes alone or with the 2 MiB around it, by an entry that lies in it, in front of it or across its
/// beginning, be it the last one or not.
#[test]
fn a_list_ends_with_efault_at_the_entry_that_gives_its_page_away() {
    for (order, count) in [(0, 4), (9, 4), (0, 2), (0, 3)] {
        for ahead in [0, 32, 64, 72, 128] {
            let mut system = Setup::new(1, &[1]).enhanced().construct();
            let (hypervisor, before) = (system.hypervisor, accounted(system.hypervisor));
            let domain = system.domain(1);
            perform(&mut system, move |cpu| async move {
                let what = format!("order {order}, {count} entries, {ahead} bytes ahead");
                cpu.set_vectors(RAM + 0x8000).await;
                let list = PAGE - ahead;
                store(&cpu, ARGUMENT + 64, &[ARGUMENT + 128, 1, order, SELF]).await;
                store(&cpu, ARGUMENT + 128, &[PAGE >> 12]).await;
                cpu.with(move |_| {
                    hypervisor.processors[0].ask();
                    0
                })
                .await;
                let call = [MEMORY_OP, DECREASE, ARGUMENT + 64, 0];
                let answer = perform_list(&cpu, list, count, (1, call)).await;
                assert_eq!(answer, if ahead < 64 * count { FAULT } else { 0 }, "{what}");
                assert_eq!(double(&cpu, PAGE).await, None, "{what}");
                // Those that were done and can be read have their results: the first port, and one extent.
                for (entry, result) in [(0, 0), (1, 1)] {
                    let at = list + entry * 64 + 8;
                    let wanted = (at < PAGE).then_some(result);
                    assert_eq!(double(&cpu, at).await, wanted, "{what}: entry {entry}");
                }
                // Those behind it were not done: only the first has got its port.
                let events = &domain.pv.as_ref().unwrap().events;
                let ports = (1..10).filter(|port| events.lock().channels.used(*port).is_some()).count();
                assert_eq!(ports, 1, "{what}");
                // What comes back in its place has nothing of it.
                assert_eq!(hypercall(&cpu, MEMORY_OP, &[POPULATE, ARGUMENT + 64]).await, 1, "{what}");
                for entry in 0..count {
                    let at = list + entry * 64 + 8;
                    assert!(at < PAGE || double(&cpu, at).await == Some(0), "{what}: entry {entry}");
                }
            });
            assert_eq!(accounted(hypervisor), before);
        }
    }
}

#[test]
fn a_list_in_a_page_of_another_domain_writes_nothing_there_once_an_entry_has_let_go_of_it() {
    for count in [1, 2] {
        let mut system = Setup::new(1, &[1, 1]).enhanced().options("xsm=dummy").construct();
        let (hypervisor, before) = (system.hypervisor, accounted(system.hypervisor));
        let (one, two) = (system.domain(1), system.domain(2));
        write_entry(&system, (one, 8), (2, PAGE >> 12, READ_WRITE));
        let (host, _) = page(&system, one, PAGE >> 12).unwrap();
        perform_as(&mut system, 2, move |cpu| async move {
            let list = ARGUMENT + 0x1000;
            store_words(&cpu, list, &[HOLE as u32, 0, grant::GNTMAP_HOST_MAP, 8, 1, 0, 0, 0]).await;
            let map = [u64::from(grant::GNTTABOP_MAP_GRANT_REF), list, 1];
            assert_eq!(hypercall(&cpu, GRANT_TABLE_OP, &map).await, 0);
            let handle = cpu.read(list + 20).await as u32;
            store_words(&cpu, list, &[HOLE as u32, 0, 0, 0, handle, NONE as u32]).await;
            let call = [GRANT_TABLE_OP, u64::from(grant::GNTTABOP_UNMAP_GRANT_REF), list, 1];
            assert_eq!(perform_list(&cpu, HOLE, count, (0, call)).await, FAULT);
            assert_eq!(cpu.read(list + 20).await & 0xffff, 0, "the status of the entry's own list");
        });
        let mut result = [0; 8];
        assert!(system.sim().peek(host + 8, &mut result));
        assert_eq!(u64::from_le_bytes(result), NONE, "it was not the caller's any more");
        assert_eq!(flags(&system, one, 8), READ_WRITE);
        assert_eq!(two.pv.as_ref().unwrap().events.lock().channels.used(1).map(|_| ()), None);
        assert_eq!(accounted(hypervisor), before);
    }
}

/// What another vCPU of the caller's does while its list is served: it lets go of the page that the list lies in.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The mapping of a grant, whose page is its domain's alone from then on.
    Grant,
    /// The sight of memory that others have, too.
    Shared,
    /// A page of the domain's own.
    Own,
}

/// What is lost, by another processor, and where the list lies; the page is nobody else's before the list has ended.
fn loss(system: &System, loss: Loss) -> (u64, impl FnOnce() + Send + use<>) {
    let (hypervisor, one, two) = (system.hypervisor, system.domain(1), system.domain(2));
    let list = match loss {
        Loss::Grant => HOLE,
        Loss::Shared => SHARED,
        Loss::Own => PAGE,
    };
    let lose = move || {
        let free = hypervisor.machine.frames().free_frames();
        match loss {
            // Its first handle.
            Loss::Grant => hypervisor.unmap_grant(two, 0, HOLE).unwrap(),
            Loss::Shared => hypervisor.hide_in(two, SHARED >> 12).unwrap(),
            Loss::Own => {
                let (change, first) = (Change::Decrease, PAGE >> 12);
                let extent = Extent { change, domain: two.index, first, order: 0 };
                assert!(hypervisor.change_page(extent, u64::MAX));
            }
        }
        assert_eq!(hypervisor.machine.frames().free_frames(), free, "{loss:?}");
    };
    if let Loss::Grant = loss {
        write_entry(system, (one, 8), (2, PAGE >> 12, READ_WRITE));
        let wanted = Wanted { reference: 8, at: HOLE, writable: true };
        assert_eq!(hypervisor.map_grant(two, one, wanted).map(|(handle, _)| handle), Ok(0));
    }
    (list, lose)
}

#[test]
fn what_another_vcpu_gives_back_while_a_list_lies_in_it_is_not_written_any_more() {
    for kind in [Loss::Grant, Loss::Shared, Loss::Own] {
        let mut setup = Setup::new(2, &[1, 1]).enhanced().options("xsm=dummy");
        for (wish, role) in setup.domains.iter_mut().zip(["owner", "borrower"]) {
            wish.shares.push(("memory", Some(role), [RAM + 256 * MIB, SHARED, MIB]));
        }
        let mut system = setup.construct();
        let (hypervisor, before) = (system.hypervisor, accounted(system.hypervisor));
        let (list, lose) = loss(&system, kind);
        let (host, _) = page(&system, system.domain(2), list >> 12).unwrap();
        let lose = std::sync::Mutex::new(Some(lose));
        perform_as(&mut system, 2, move |cpu| {
            let lose = lose.lock().unwrap().take();
            async move {
                cpu.set_vectors(RAM + 0x8000).await;
                // Each entry reads another argument; the page is lost within the second one.
                for entry in 0..4 {
                    store(&cpu, ARGUMENT + entry * 8, &[SELF | SELF << 16]).await;
                    let words = [EVENT_CHANNEL_OP, NONE, 6, ARGUMENT + entry * 8, 0, 0, 0, 0];
                    store(&cpu, list + entry * 64, &words).await;
                }
                let lose = lose.unwrap();
                hypervisor.machine.meanwhile(ARGUMENT + 8, || on_processor(1, lose));
                let answer = hypercall(&cpu, MULTICALL, &[list, 4]).await;
                // A page of its own is the domain's until the list has ended.
                assert_eq!(answer, if let Loss::Own = kind { 0 } else { FAULT }, "{kind:?}");
                assert_eq!(double(&cpu, list).await, None, "{kind:?}: it has lost the page");
            }
        });
        let results = [0, 1, 2, 3].map(|entry| {
            let mut result = [0; 8];
            assert!(system.sim().peek(host + entry * 64 + 8, &mut result));
            u64::from_le_bytes(result)
        });
        let rest = if let Loss::Own = kind { 0 } else { NONE };
        assert_eq!(results, [0, rest, rest, rest], "{kind:?}");
        assert_eq!(accounted(hypervisor), before, "{kind:?}");
    }
}
