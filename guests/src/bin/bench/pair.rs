//! Two domains that share a static event channel: the first measures, the second answers.
//!
//! `bench.port=N` is the own end of the channel, `bench.peer=N` the other domain; the first has the word
//! `bench.first`, and waits `bench.first_ms=N` (5) longer than the second, which may begin late among many. Both go
//! through the same phases with the same numbers of rounds, which the words on both command lines must agree on.
#![expect(unsafe_code, reason = "the sequences are assembly")]

use core::arch::asm;

use guests::xen::{EVENT_CHANNEL_OP, SCHED_OP, event};
use guests::{gic, platform, registers, report};

use super::hypercall::{hypercall, on, unmeasured};
use super::interrupts::acknowledged;
use super::{grants, is_wanted, rounds, running, sample, upcall};

/// Milliseconds until the second is asleep.
const SETTLED: u64 = 5;

/// Behind a sleep at label 2 and its interrupt: sleeps again unless there is an event, whose traces it clears. x23 is
/// vcpu_info, x24 the word with the pending bit, x14 scratch.
macro_rules! taken {
    () => {
        "ldrb w14, [x23]
        cbz w14, 2b
        strb wzr, [x23]
        str xzr, [x23, #8]
        str xzr, [x24]"
    };
}

/// The ticks of a round: sends, sleeps, takes the answer.
fn round(argument: &mut event::Words) -> u64 {
    let (start, end): (u64, u64);
    // SAFETY: the hypercall changes x0 to x4 and x16; the words that are cleared belong to the guest and Xen.
    unsafe {
        asm!(
            "isb",
            "mrs x20, cntvct_el0",
            "hvc #0xea1",
            "2: wfi",
            acknowledged!(),
            taken!(),
            "mrs x21, cntvct_el0",
            inout("x0") event::SEND => _, inout("x1") core::ptr::from_mut(argument) => _, inout("x2") 0u64 => _,
            inout("x3") 0u64 => _, inout("x4") 0u64 => _, inout("x16") EVENT_CHANNEL_OP => _,
            out("x14") _, out("x20") start, out("x21") end,
            in("x11") if gic::version() == 2 { gic::interface(0) } else { 0 },
            in("x23") upcall::information(), in("x24") upcall::pending(), options(nostack)
        );
    }
    (end - start).saturating_sub(1)
}

/// Sleeps until an event comes, and takes it.
fn wait() {
    // SAFETY: as above.
    unsafe {
        asm!(
            "2: wfi", acknowledged!(), taken!(), out("x14") _, in("x11") if gic::version() == 2 { gic::interface(0) } else { 0 },
            in("x23") upcall::information(), in("x24") upcall::pending(), options(nostack)
        );
    }
}

pub(super) fn all(port: u32) {
    let peer = platform::number("bench.peer", 2) as u16;
    if !upcall::prepare() {
        return;
    }
    upcall::clear(port);
    upcall::mask(port, false);
    gic::enable(platform::get().events);
    registers::mask_interrupts();
    // A new vcpu_info says that there may be events; with its interrupt pending nobody would sleep.
    super::take();
    if platform::flag("bench.first") {
        super::pause(platform::number("bench.first_ms", SETTLED));
        first(port, peer);
    } else {
        second(port, peer);
    }
    report::check("bench.pair", true);
}

fn first(port: u32, peer: u16) {
    let mut argument = [port, 0, 0, 0];
    sample("evtchn.pingpong_wfi", || round(&mut argument));
    if is_wanted("sched.yield_pair") {
        sample("sched.yield_pair", || hypercall(SCHED_OP, 0, 0, 0));
        event::send(port);
        super::pause(SETTLED);
    }
    sample("evtchn.send_remote", || {
        let ticks = on(EVENT_CHANNEL_OP, event::SEND, &mut argument);
        super::pause(SETTLED);
        ticks
    });
    grants::of_peer(peer);
    event::send(port);
    if is_running_wanted() {
        grants::with_first_of_peer(peer, |page| running::send(port, page));
    }
}

/// Whether both have a processor of their own, and the figure of an event while they run is asked for.
fn is_running_wanted() -> bool {
    platform::flag("bench.two_pcpus") && is_wanted(running::NAME)
}

fn second(port: u32, peer: u16) {
    grants::grant_to(peer);
    if is_wanted("evtchn.pingpong_wfi") {
        for _ in 0..rounds() {
            wait();
            event::send(port);
        }
    }
    if is_wanted("sched.yield_pair") {
        while !upcall::is_pending(port) {
            unmeasured(SCHED_OP, 0, 0, 0);
        }
        wait();
    }
    if is_wanted("evtchn.send_remote") {
        for _ in 0..rounds() {
            wait();
        }
    }
    wait();
    if is_running_wanted() {
        running::receive(port);
    }
}
