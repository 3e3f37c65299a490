//! The one of four guests that is no Linux: it leads their meeting, whose rules are in `protocol.rs`, as domain 4.
//!
//! The others are Debian guests with the program `linux/meet.rs`. There is a phase of `meet.phase_ms=N` (2,000) for each list of
//! those that work. In the first two the leader works, too; in the next two it uses up, again and again, whatever it can get: stage 2
//! tables, memory, ports, grant tables, handles; in the last one it sleeps.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "shared words are reached by address, and work is counted in instructions")]

mod protocol;

use core::sync::atomic::{AtomicU64, Ordering};

use guests::region::Region;
use guests::xen::{self, Pages, event, memory};
use guests::{boot, exhaust, gic, platform, registers, report, timer};

use protocol::{MEMBERS, Meeting, Member, PHASE, PHASES, ROUNDS};

guests::guest!(main, wake);

/// Which member leads.
const LEADER: usize = 3;
/// The phases in which it does not work.
const ATTACKS: core::ops::Range<usize> = 2..4;
const SLEEP: usize = 4;
/// The leader's port to member 0; the others follow.
const FIRST_PORT: u32 = 10;
/// The number of the domain of member 0.
const FIRST_DOMAIN: u16 = 1;

/// The vCPU's account of its time.
static ACCOUNT: Pages<1> = Pages::new();

struct Kernel {
    mail: Region,
    picture: Region,
}

/// Where shared_info is mapped.
fn shared_info() -> usize {
    (xen::free_frame() * xen::PAGE) as usize
}

impl Member for Kernel {
    fn mail(&self, offset: u64) -> &AtomicU64 {
        event::word64(self.mail.word(0, offset))
    }

    fn picture(&self, offset: u64) -> &AtomicU64 {
        event::word64(self.picture.word(1, offset))
    }

    fn ring(&mut self, member: usize) {
        let sent = event::send(FIRST_PORT + member as u32);
        if sent != 0 {
            report::fail(format_args!("meet.ring.{member}"), format_args!("{sent}"));
        }
    }

    fn listen(&mut self) -> usize {
        let mut ports: [u32; MEMBERS - 1] = core::array::from_fn(|member| FIRST_PORT + member as u32);
        let pending = event::word64(shared_info() + event::SHARED_PENDING);
        loop {
            let rung = (0..MEMBERS - 1).find(|member| {
                let bit = 1 << ports[*member];
                pending.fetch_and(!bit, Ordering::SeqCst) & bit != 0
            });
            if let Some(member) = rung {
                return member;
            }
            // SCHEDOP_poll without a deadline.
            let mut request = [ports.as_mut_ptr() as u64, ports.len() as u64, 0];
            xen::op(xen::SCHED_OP, 3, &mut request);
        }
    }
}

fn main() {
    report::equal(
        "meet.shared_info",
        memory::add_to_physmap(memory::SPACE_SHARED_INFO, 0, xen::free_frame()),
        0,
    );
    // The ports are polled and need no interrupt.
    event::word64(shared_info() + event::SHARED_MASK).store(u64::MAX, Ordering::SeqCst);
    boot::interrupts_on();
    gic::enable(platform::get().timers[2]);
    // VCPUOP_register_runstate_memory_area.
    let mut account = ACCOUNT.address();
    report::equal("meet.account", xen::call(xen::VCPU_OP, [5, 0, xen::handle(&mut account), 0, 0]), 0);
    let kernel = Kernel { mail: Region::find("mail"), picture: Region::find("picture") };
    let bytes = kernel.picture.bytes;
    report::check("meet.regions", kernel.mail.bytes > 0 && bytes > 0);
    let mut meeting = Meeting::new(kernel, LEADER);
    meeting.meet();
    report::equal("meet.wrong_pages", meeting.wrong_pages(bytes), 0);
    (0..ROUNDS).for_each(|_| meeting.meet());
    report::pass(format_args!("meet.rounds"));
    for phase in 0..PHASES.len() {
        lead(&mut meeting, phase);
    }
    guests::say!("meet events {:?}", &meeting.events[..MEMBERS - 1]);
    meeting.meet();
}

/// Nanoseconds in which the vCPU could have run, but its processor ran another.
fn waited() -> u64 {
    event::word64(ACCOUNT.address() + 24).load(Ordering::SeqCst)
}

/// The timer's interrupt, which ends a sleep.
fn wake(_cpu: usize) {
    let raw = gic::acknowledge();
    timer::disarm();
    gic::end(raw);
}

/// Has the others work for a phase.
fn lead(meeting: &mut Meeting<Kernel>, phase: usize) {
    let length_ms = platform::number("meet.phase_ms", 2_000);
    meeting.meet();
    let number = phase as u64 + 1;
    for worker in PHASES[phase] {
        while meeting.ready(*worker).load(Ordering::Acquire) != number {}
    }
    let said = |number: u64| meeting.member.mail(PHASE).store(number, Ordering::SeqCst);
    said(number);
    let (start, before) = (registers::counter(), waited());
    let end = start + timer::ticks(length_ms * 1_000);
    let (mut pieces, mut rounds) = (0_u64, 0);
    if ATTACKS.contains(&phase) {
        rounds = attack(end);
    } else if phase == SLEEP {
        timer::sleep(length_ms * 1_000);
    }
    while registers::counter() < end {
        protocol::piece();
        pieces += 1;
    }
    said(0);
    let microseconds = (registers::counter() - start) * 1_000_000 / registers::counter_frequency();
    meeting.meet();
    let waited = (waited() - before) / 1_000;
    guests::say!(
        "meet phase {number} member {LEADER} pieces {pieces} rounds {rounds} in {microseconds} us, {waited} of them waiting"
    );
}

/// A name, and what uses it up in a domain of a number.
type Exhaust = (&'static str, fn(u16) -> Option<u64>);

/// Uses everything up until a time comes; how often.
fn attack(end: u64) -> u64 {
    let own = FIRST_DOMAIN + LEADER as u16;
    let pools: [Exhaust; 5] = [
        ("memory", |_| exhaust::memory()),
        ("tables", exhaust::far_tables),
        ("ports", |_| exhaust::ports()),
        ("grant_frames", |_| exhaust::grant_frames()),
        ("handles", exhaust::handles),
    ];
    let mut first = [None; 5];
    let (mut rounds, mut uneven) = (0, 0);
    while registers::counter() < end {
        for ((_, exhaust), first) in pools.iter().zip(&mut first) {
            let found = exhaust(own);
            uneven += u64::from(*first.get_or_insert(found) != found);
        }
        rounds += 1;
    }
    for ((name, _), first) in pools.iter().zip(first) {
        let count = first.flatten().unwrap_or(0);
        report::check(format_args!("meet.exhausted.{name}"), count > 0);
        guests::say!("meet exhausted {name} {count} rounds {rounds}");
    }
    report::equal("meet.uneven_rounds", uneven, 0);
    rounds
}
