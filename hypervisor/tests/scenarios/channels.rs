//! Static event channels: bound before any guest runs, between domains that could not bind them themselves.

use abi::errno::Errno;
use abi::event_channel::{EVTCHNOP_CLOSE, EVTCHNOP_SEND};
use hypervisor::event::channel::Binding;
use machine::contract::{Machine, Word};
use machine::sim::Cpu;
use model::arm64::gic::Version;

use crate::calls::hypercall;
use crate::uart::open;
use crate::world::{Journal, Setup, System, guest};

const ARGUMENT: u64 = guest::RAM + 0x30_0000;
/// The interrupt of events, among those that belong to a processor.
const UPCALL: u32 = 31;

fn pair(version: Version) -> System {
    Setup::new(2, &[1, 1]).version(version).enhanced().channel((0, 10), (1, 11)).construct()
}

async fn port_op(cpu: &Cpu, command: u32, port: u32) -> i64 {
    cpu.write(ARGUMENT, u64::from(port)).await;
    hypercall(cpu, abi::hypercall::EVENT_CHANNEL_OP, &[u64::from(command), ARGUMENT]).await
}

fn binding(system: &System, id: u16, port: u32) -> Option<Binding> {
    let events = system.domain(id).pv.as_ref().expect("a PV side").events.lock();
    events.channels.used(port).map(|channel| channel.binding)
}

/// Which of the first 64 ports are pending.
fn pending(system: &System, id: u16) -> u64 {
    let page = &system.domain(id).pv.as_ref().expect("a PV side").shared_info;
    let at = abi::arch_arm::SHARED_INFO_EVTCHN_PENDING;
    system.sim().word(page, at, Word::Load64).expect("the page of shared_info")
}

#[test]
fn both_ends_are_bound_at_the_start_and_nothing_else_is() {
    let system = pair(Version::V3);
    assert_eq!(binding(&system, 1, 10), Some(Binding::to(1, 11)));
    assert_eq!(binding(&system, 2, 11), Some(Binding::to(0, 10)));
    for id in [1, 2] {
        let events = system.domain(id).pv.as_ref().unwrap().events.lock();
        let used = (1..1024).filter(|port| events.channels.used(*port).is_some()).count();
        assert_eq!(used, 1);
    }
    assert_eq!((pending(&system, 1), pending(&system, 2)), (0, 0));
}

#[test]
fn an_event_that_is_sent_on_one_side_arrives_on_the_other_and_nowhere_else() {
    for version in [Version::V2, Version::V3] {
        let mut system = pair(version);
        let journal = Journal::new();
        let notes = journal.clone();
        system.sim().guest(2, 0, move |cpu| {
            let notes = notes.clone();
            async move {
                open(&cpu, version).await;
                notes.note((2, 0));
                let intid = cpu.next_interrupt().await;
                notes.note((2, intid & 0x3ff));
                cpu.end(intid).await;
                // The other way.
                assert_eq!(port_op(&cpu, EVTCHNOP_SEND, 11).await, 0);
            }
        });
        let notes = journal.clone();
        system.sim().guest(1, 0, move |cpu| {
            let notes = notes.clone();
            async move {
                open(&cpu, version).await;
                while notes.len() == 0 {
                    cpu.compute(1).await;
                }
                // The number of the other end is no port here.
                assert_eq!(port_op(&cpu, EVTCHNOP_SEND, 11).await, Errno::Inval.result().cast_signed());
                assert_eq!(port_op(&cpu, EVTCHNOP_SEND, 10).await, 0);
                let intid = cpu.next_interrupt().await;
                notes.note((1, intid & 0x3ff));
                cpu.end(intid).await;
            }
        });
        system.start();
        system.until("both have an event", |_| journal.len() == 3);
        assert_eq!(journal.all(), [(2, 0), (2, UPCALL), (1, UPCALL)]);
        assert_eq!((pending(&system, 1), pending(&system, 2)), (1 << 10, 1 << 11));
    }
}

#[test]
fn a_closed_end_leaves_the_other_one_waiting() {
    let mut system = pair(Version::V3);
    let journal = Journal::new();
    let notes = journal.clone();
    system.sim().guest(1, 0, move |cpu| {
        let notes = notes.clone();
        async move {
            notes.note(port_op(&cpu, EVTCHNOP_CLOSE, 10).await);
            notes.note(port_op(&cpu, EVTCHNOP_SEND, 10).await);
        }
    });
    system.start();
    system.until("it is closed", |_| journal.len() == 2);
    assert_eq!(journal.all(), [0, Errno::Inval.result().cast_signed()]);
    assert_eq!((binding(&system, 1, 10), binding(&system, 2, 11)), (None, Some(Binding::Unbound(1))));
}
