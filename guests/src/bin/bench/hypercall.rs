//! The hypercall whose ticks are measured, and hypercalls that ask for nothing but an answer.
#![expect(unsafe_code, reason = "the sequence is assembly")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use guests::xen::{self, SCHED_OP, XEN_VERSION, event};

use super::{sample, upcall};

/// A hypercall by number and three arguments, measured or not; its ticks.
pub(super) type Call = fn(u64, u64, u64, u64) -> u64;

/// multicall_entry: number, result, six arguments.
pub(super) type Entry = [u64; 8];

/// How many measured calls were refused.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Counts a call that was refused: its ticks would be those of the refusal.
pub(super) fn refuse_unless(granted: bool) {
    if !granted {
        REFUSED.fetch_add(1, Ordering::SeqCst);
    }
}

/// How many were refused.
pub(super) fn refused() -> u64 {
    REFUSED.load(Ordering::SeqCst)
}

/// The ticks that a hypercall takes.
pub(super) fn hypercall(number: u64, x0: u64, x1: u64, x2: u64) -> u64 {
    let (start, end): (u64, u64);
    let answer: i64;
    // SAFETY: Xen changes x16 and the arguments' registers at most; what it writes belongs to the caller.
    unsafe {
        asm!(
            "isb", "mrs x20, cntvct_el0", "hvc #0xea1", "mrs x21, cntvct_el0",
            out("x20") start, out("x21") end,
            inout("x0") x0 => answer, inout("x1") x1 => _, inout("x2") x2 => _, inout("x3") 0u64 => _,
            inout("x4") 0u64 => _, inout("x16") number => _, options(nostack)
        );
    }
    refuse_unless(answer >= 0);
    (end - start).saturating_sub(1)
}

/// The same call, not measured: what must be before or after one that is.
pub(super) fn unmeasured(number: u64, x0: u64, x1: u64, x2: u64) -> u64 {
    refuse_unless(xen::call(number, [x0, x1, x2, 0, 0]) >= 0);
    0
}

/// The ticks of a hypercall with a sub-operation and one structure.
pub(super) fn on<T>(number: u64, command: u64, argument: &mut T) -> u64 {
    hypercall(number, command, core::ptr::from_mut(argument) as u64, 1)
}

/// A list of calls that lies in one page, wherever the stack is.
#[repr(align(512))]
struct List([Entry; 8]);

pub(super) fn all() {
    let entry: Entry = [XEN_VERSION, 0, 0, 0, 0, 0, 0, 0];
    for (name, count) in [("hvc.multicall1", 1u64), ("hvc.multicall8", 8)] {
        let mut list = List([entry; 8]);
        sample(name, || hypercall(xen::MULTICALL, list.0.as_mut_ptr() as u64, count, 0));
    }
    let mut extraversion = [0u64; 2];
    sample("hvc.extraversion", || on(XEN_VERSION, 1, &mut extraversion));
    // hvm_get_param of the callback's interrupt; the domain is the caller.
    let mut parameter = [u64::from(xen::DOMID_SELF), 0];
    sample("hvc.hvm_get_param", || on(xen::HVM_OP, 1, &mut parameter));
}

/// What puts a vCPU to sleep but finds a reason not to: an event that is pending.
pub(super) fn not_asleep(port: u32) {
    upcall::set(port);
    let mut ports = [u64::from(port)];
    let mut poll = [core::ptr::from_mut(&mut ports) as u64, 1, 0];
    sample("sched.poll_ready", || on(SCHED_OP, 3, &mut poll));
    upcall::mask(port, false);
    upcall::clear(port);
    sample("sched.block_pending", || {
        event::send(port);
        let ticks = hypercall(SCHED_OP, 1, 0, 0);
        upcall::clear(port);
        ticks
    });
}
