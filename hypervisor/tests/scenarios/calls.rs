//! Hypercalls as guests' programs make them, and what all scenarios ask of the hypervisor behind its back.

use abi::errno::Errno;
use hypervisor::domain::{Controlled, Domain};
use hypervisor::hypervisor::Hypervisor;
use machine::contract::Machine;
use machine::sim::{Cpu, Sim, on_processor};
use model::arm64::AccessSize;

use crate::world::{Journal, System};

/// The calling domain, as an argument.
pub(crate) const SELF: u64 = abi::xen::DOMID_SELF as u64;
pub(crate) const INVAL: i64 = error(Errno::Inval);

/// An error as a guest reads it.
pub(crate) const fn error(errno: Errno) -> i64 {
    -(errno as i64)
}

/// Makes a hypercall; its answer.
pub(crate) async fn hypercall(cpu: &Cpu, number: u64, arguments: &[u64]) -> i64 {
    cpu.hvc(0xea1, number, arguments).await.expect("a hypercall").cast_signed()
}

/// Writes words of 64 bits.
pub(crate) async fn store(cpu: &Cpu, at: u64, words: &[u64]) {
    for (index, word) in (0..).zip(words) {
        cpu.try_write(at + index * 8, AccessSize::Double, *word).await.expect("a store");
    }
}

/// Writes words of 32 bits.
pub(crate) async fn store_words(cpu: &Cpu, at: u64, words: &[u32]) {
    for (index, word) in (0..).zip(words) {
        cpu.write(at + index * 4, u64::from(*word)).await;
    }
}

/// Runs one program of domain 1 to its end.
pub(crate) fn perform<F: Future<Output = ()> + Send + 'static>(
    system: &mut System,
    program: impl Fn(Cpu) -> F + Send + 'static,
) {
    let done = Journal::new();
    let journal = done.clone();
    system.sim().guest(1, 0, move |cpu| {
        let (program, journal) = (program(cpu), journal.clone());
        async move {
            program.await;
            journal.note(1);
        }
    });
    system.start();
    system.until("the program is done", |_| done.len() == 1);
}

/// Frames that are free, or that a domain is shown as its own.
pub(crate) fn accounted(hypervisor: &Hypervisor<Sim>) -> u64 {
    let shown = hypervisor.domains.iter().map(|domain| domain.map.owned_bytes() >> 12).sum::<u64>();
    hypervisor.machine.frames().free_frames() + shown
}

/// Takes a domain away, as the toolstack would, in the middle of whatever it does.
pub(crate) fn relinquish(system: &mut System, domain: &Domain<Sim>, what: &str) {
    let hypervisor = system.hypervisor;
    let mut steps = 0;
    while !on_processor(0, || hypervisor.relinquish(Controlled { domain }, 0)) {
        system.round(100);
        steps += 1;
        assert!(steps < 20_000, "{what}: d{} does not go", domain.id);
    }
    assert_eq!(domain.map.owned_bytes(), 0);
}
