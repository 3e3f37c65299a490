//! A domain that makes hypercalls with wild arguments on all its vCPUs, and dies while it does.
//!
//! It spares its own image, so that it lives as long as it should; all else is fair.

use core::sync::atomic::{AtomicU64, Ordering};

use guests::xen::{self, EVENT_CHANNEL_OP, GRANT_TABLE_OP, MEMORY_OP, Pages, grant, memory};
use guests::{platform, psci, registers, report, timer};

use super::shared;

static CALLS: AtomicU64 = AtomicU64::new(0);
static SUCCEEDED: AtomicU64 = AtomicU64::new(0);
static REQUESTS: Pages<{ shared::CPUS }> = Pages::new();

pub(super) fn all() {
    shared::prepare();
    let cpus = platform::get().cpus;
    let started = (1..cpus).filter(|cpu| psci::start(*cpu, 0) == 0).count();
    report::equal("started", started, cpus - 1);
    run(0);
}

pub(super) fn run(cpu: usize) {
    let seconds = platform::number("hammer.seconds", 60);
    let end = registers::counter() + timer::ticks(seconds * 1_000_000);
    let mut dice = Dice(platform::number("hammer.seed", 1) << 8 | cpu as u64 | 0x9e37_79b9 << 32);
    while registers::counter() < end || cpu != 0 {
        let answer = match dice.below(3) {
            0 => events(cpu, &mut dice),
            1 => grants(cpu, &mut dice),
            _ => memories(cpu, &mut dice),
        };
        CALLS.fetch_add(1, Ordering::SeqCst);
        SUCCEEDED.fetch_add(u64::from(answer >= 0), Ordering::SeqCst);
    }
    let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
    guests::say!("dying after {} calls, {} of which succeeded", of(&CALLS), of(&SUCCEEDED));
    // SCHEDOP_shutdown with SHUTDOWN_crash, while the others are in their hypercalls.
    let mut reason = 3u32;
    xen::op(xen::SCHED_OP, 2, &mut reason);
}

/// Random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    /// A domain: mostly one that there is.
    fn domain(&mut self) -> u16 {
        match self.below(8) {
            0..=3 => self.below(4) as u16,
            4 | 5 => xen::DOMID_SELF,
            6 => 0x7ff0 + self.below(16) as u16,
            _ => self.next() as u16,
        }
    }

    /// A number: small, at a border, or wild.
    fn number(&mut self) -> u64 {
        match self.below(6) {
            0..=2 => self.below(80),
            3 => 1 << self.below(64),
            4 => (1u64 << self.below(64)).wrapping_sub(1),
            _ => self.next(),
        }
    }

    /// A frame of its own: the last 16 MiB of the first bank but for the tree, or what is mapped behind it, or wild.
    fn frame(&mut self) -> u64 {
        let (base, size) = platform::get().memory[0];
        match self.below(8) {
            0..=3 => (base + size) / xen::PAGE - 0x1000 + self.below(0xc00),
            4 | 5 => shared::hole() + 16 + self.below(256),
            _ => (base + size) / xen::PAGE + 0x2000 + self.number() % (1 << 40),
        }
    }

    /// Where a request is: mostly where it is, else anywhere that is not memory.
    fn place(&mut self, cpu: usize) -> u64 {
        match self.below(16) {
            0 => self.next() | 1 << 63,
            1 => 0,
            _ => (REQUESTS.address() + cpu * 4096) as u64,
        }
    }
}

fn put(cpu: usize, index: usize, value: u64) {
    shared::word(REQUESTS.address() + cpu * 4096, index).store(value, Ordering::SeqCst);
}

fn events(cpu: usize, dice: &mut Dice) -> i64 {
    let ports = |dice: &mut Dice| dice.number() as u32;
    let first = match dice.below(2) {
        0 => u64::from(dice.domain()) | u64::from(dice.domain()) << 16,
        _ => u64::from(ports(dice)),
    };
    put(cpu, 0, first | u64::from(ports(dice)) << 32);
    put(cpu, 1, dice.number());
    put(cpu, 2, dice.number());
    let command = if dice.below(16) == 0 { dice.number() } else { dice.below(15) };
    xen::call(EVENT_CHANNEL_OP, [command, dice.place(cpu), 0, 0, 0])
}

fn grants(cpu: usize, dice: &mut Dice) -> i64 {
    let command = if dice.below(16) == 0 { dice.number() } else { dice.below(13) };
    let (domain, reference) = (u64::from(dice.domain()), u64::from(dice.number() as u32));
    let words = match command {
        grant::MAP => [dice.frame() * xen::PAGE, dice.number() as u32 as u64 | reference << 32, domain, 0, 0],
        grant::UNMAP => [dice.frame() * xen::PAGE, 0, reference, 0, 0],
        grant::COPY => {
            let source = if dice.below(2) == 0 { dice.frame() } else { reference };
            let far = u64::from(dice.domain()) | dice.below(4200) << 16;
            // Length and flags follow both sides.
            let target = if dice.below(2) == 0 { dice.frame() } else { dice.number() << 20 };
            [source, far, target, domain, dice.below(4200) | dice.below(8) << 16]
        }
        _ => [domain | reference << 32, dice.number(), dice.frame(), dice.number(), dice.number()],
    };
    for (index, word) in words.into_iter().enumerate() {
        put(cpu, index, word);
    }
    // Xen writes the status of each request: more than are in the page would reach the image.
    match dice.below(16) {
        0 => xen::call(GRANT_TABLE_OP, [command, dice.next() | 1 << 63, dice.number(), 0, 0]),
        1 => xen::call(GRANT_TABLE_OP, [command, dice.place(cpu), dice.below(9), 0, 0]),
        _ => xen::call(GRANT_TABLE_OP, [command, dice.place(cpu), 1, 0, 0]),
    }
}

fn memories(cpu: usize, dice: &mut Dice) -> i64 {
    let command = match dice.below(10) {
        0 => dice.number(),
        1 => memory::INCREASE_RESERVATION,
        2 | 3 => memory::DECREASE_RESERVATION,
        4 | 5 => memory::POPULATE_PHYSMAP,
        6 => memory::ADD_TO_PHYSMAP,
        7 => memory::REMOVE_FROM_PHYSMAP,
        8 => memory::EXCHANGE,
        _ => memory::ACQUIRE_RESOURCE,
    };
    let domain = if dice.below(4) == 0 { dice.domain() } else { xen::DOMID_SELF };
    let words = match command & 0x3f {
        memory::ADD_TO_PHYSMAP => {
            let space = dice.below(8) << 32;
            [u64::from(domain) | dice.below(4) << 16 | space, dice.number(), dice.frame(), 0, 0]
        }
        memory::REMOVE_FROM_PHYSMAP => [u64::from(domain), dice.frame(), 0, 0, 0],
        memory::ACQUIRE_RESOURCE => {
            [u64::from(domain) | dice.below(4) << 16, dice.number(), dice.number(), 0, 0]
        }
        _ => {
            let list = (REQUESTS.address() + cpu * 4096 + 2048) as u64;
            for index in 0..8 {
                put(cpu, 256 + index, dice.frame());
            }
            let order = if dice.below(8) == 0 { dice.number() as u32 as u64 } else { 0 };
            [list, dice.below(9), order | dice.number() << 32, u64::from(domain), 0]
        }
    };
    for (index, word) in words.into_iter().enumerate() {
        put(cpu, index, word);
    }
    xen::call(MEMORY_OP, [command, dice.place(cpu), 0, 0, 0])
}
