//! Hypercalls as guests' programs make them, and what all scenarios ask of the hypervisor behind its back.

use abi::domctl::{DOMCTL_U, XEN_DOMCTL_INTERFACE_VERSION};
use abi::errno::Errno;
use abi::hypercall::{DOMCTL, SYSCTL};
use abi::layout::Layout;
use abi::sysctl::{SYSCTL_U, XEN_SYSCTL_INTERFACE_VERSION};
use hypervisor::domain::{Controlled, Domain};
use hypervisor::hypervisor::Hypervisor;
use machine::contract::Machine;
use machine::sim::{Cpu, Sim};
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

/// Writes a structure of the interface.
pub(crate) async fn put<T: Layout>(cpu: &Cpu, at: u64, value: &T) {
    for (index, byte) in (0..).zip(value.to_bytes().as_ref()) {
        cpu.try_write(at + index, AccessSize::Byte, u64::from(*byte)).await.expect("a store");
    }
}

/// Reads one.
pub(crate) async fn get<T: Layout>(cpu: &Cpu, at: u64) -> T {
    let mut bytes = T::zeroed();
    for (index, byte) in (0..).zip(bytes.as_mut()) {
        *byte = cpu.try_read(at + index, AccessSize::Byte).await.expect("a load") as u8;
    }
    T::from_bytes(&bytes)
}

/// Makes a domctl whose frame is at an address; its answer, and its own structure afterwards.
pub(crate) async fn domctl<T: Layout>(
    cpu: &Cpu,
    at: u64,
    (command, domain): (u32, u16),
    own: &T,
) -> (i64, T) {
    store_words(cpu, at, &[command, XEN_DOMCTL_INTERFACE_VERSION, u32::from(domain), 0]).await;
    put(cpu, at + DOMCTL_U as u64, own).await;
    let answer = hypercall(cpu, DOMCTL, &[at]).await;
    (answer, get(cpu, at + DOMCTL_U as u64).await)
}

/// The same for a sysctl.
pub(crate) async fn sysctl<T: Layout>(cpu: &Cpu, at: u64, command: u32, own: &T) -> (i64, T) {
    store_words(cpu, at, &[command, XEN_SYSCTL_INTERFACE_VERSION]).await;
    put(cpu, at + SYSCTL_U as u64, own).await;
    let answer = hypercall(cpu, SYSCTL, &[at]).await;
    (answer, get(cpu, at + SYSCTL_U as u64).await)
}

/// Runs one program of domain 1 to its end.
pub(crate) fn perform<F: Future<Output = ()> + Send + 'static>(
    system: &mut System,
    program: impl Fn(Cpu) -> F + Send + 'static,
) {
    perform_as(system, 1, program);
}

/// Runs one program of a domain to its end, while the others run whatever they were given.
pub(crate) fn perform_as<F: Future<Output = ()> + Send + 'static>(
    system: &mut System,
    domain: u16,
    program: impl Fn(Cpu) -> F + Send + 'static,
) {
    let done = Journal::new();
    let journal = done.clone();
    system.sim().guest(domain, 0, move |cpu| {
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
    while !system.act_as(0, || hypervisor.relinquish(Controlled { domain }, 0)) {
        system.round(100);
        steps += 1;
        assert!(steps < 20_000, "{what}: d{} does not go", domain.id);
    }
    assert_eq!(domain.map.owned_bytes(), 0);
}
