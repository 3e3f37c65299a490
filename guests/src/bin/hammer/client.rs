//! A domain that sends messages to dom0 from all its vCPUs.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use guests::xen::{Pages, event};
use guests::{mmio, platform, psci, registers, report, timer};

use super::message::{self, ANSWER, ANSWER_SUM, BOARD, Board, Counts, NUMBER, REFERENCES, SUM};
use super::shared::{
    self, BOUND, CLOSED, CLOSING, CPUS, FINISHED, Lock, OFFERED, RENDEZVOUS, lane_at, wrong,
};

/// Pages of a lane: ring, payload, its answer, board.
const PAGES_OF_LANE: usize = 4;
/// Messages between two changes of the payload's reference.
const PAYLOAD_MESSAGES: u64 = 64;

static COUNTS: Counts = Counts::new();
static MEETING: Pages<1> = Pages::new();
static PAGES: Pages<{ CPUS * PAGES_OF_LANE }> = Pages::new();
static END: AtomicU64 = AtomicU64::new(0);
static LEFT: AtomicUsize = AtomicUsize::new(0);
/// Nobody allocates a port while two vCPUs close one: else the second would close the new one.
static PORTS: Lock = Lock::new();
static PAIRS: [Pair; CPUS / 2] = [const { Pair::new() }; CPUS / 2];

/// Two vCPUs that share a port in some rounds.
struct Pair {
    arrived: AtomicU32,
    port: AtomicU32,
    goes_on: AtomicU32,
    closed: AtomicU32,
}

impl Pair {
    const fn new() -> Self {
        Self {
            arrived: AtomicU32::new(0),
            port: AtomicU32::new(0),
            goes_on: AtomicU32::new(0),
            closed: AtomicU32::new(0),
        }
    }

    /// Both vCPUs come here before either goes on.
    fn meet(&self) {
        let place = self.arrived.fetch_add(1, Ordering::SeqCst) / 2;
        while self.arrived.load(Ordering::SeqCst) / 2 == place {
            shared::give_way();
        }
    }
}

pub(super) fn all() {
    let cpus = platform::get().cpus;
    if !report::equal("cpus", cpus, CPUS) {
        return;
    }
    shared::prepare();
    END.store(
        registers::counter() + timer::ticks(platform::number("hammer.seconds", 120) * 1_000_000),
        Ordering::SeqCst,
    );
    shared::grant(RENDEZVOUS, MEETING.frame(0));
    shared::word(MEETING.address(), 0).store(shared::MAGIC, Ordering::SeqCst);
    let started = (1..cpus).filter(|cpu| psci::start(*cpu, 0) == 0).count();
    report::equal("started", started, cpus - 1);
    run(0);
    while LEFT.load(Ordering::SeqCst) < cpus {
        shared::wait(0, 1_000, || false);
    }
    // Dom0 unmaps the rendezvous page when it has seen that all lanes are finished.
    let mut tries = 0;
    while shared::word(MEETING.address(), 1).load(Ordering::SeqCst) != FINISHED && tries < 20_000 {
        shared::wait(0, 1_000, || false);
        tries += 1;
    }
    report::check("dom0_is_done", tries < 20_000);
    report::equal("wrong", shared::wrongs(), 0);
    COUNTS.say(platform::number("hammer.domain", 0));
}

pub(super) fn run(cpu: usize) {
    shared::listen(cpu);
    let pair = &PAIRS[cpu / 2];
    let mut round = 0;
    loop {
        if cpu.is_multiple_of(2) {
            let goes_on = registers::counter() < END.load(Ordering::SeqCst);
            pair.goes_on.store(u32::from(goes_on), Ordering::SeqCst);
        }
        pair.meet();
        if pair.goes_on.load(Ordering::SeqCst) == 0 {
            break;
        }
        Round::begin(cpu, round).run();
        pair.meet();
        round += 1;
    }
    shared::word(MEETING.address(), lane_at(cpu)).store(FINISHED, Ordering::SeqCst);
    LEFT.fetch_add(1, Ordering::SeqCst);
}

/// One round of a lane.
struct Round {
    cpu: usize,
    round: u32,
    shared: bool,
    /// The lane's first reference in this round.
    first: u32,
    port: u32,
    /// Events of the port before the round.
    events: u32,
}

impl Round {
    fn begin(cpu: usize, round: u32) -> Self {
        let shared = round % 3 == 2;
        let pair = &PAIRS[cpu / 2];
        if !shared || cpu.is_multiple_of(2) {
            let port = PORTS.with(|| event::alloc_unbound(0x7ff0, 0));
            let port = port.unwrap_or_else(|error| panic!("no port: {error}"));
            if shared {
                pair.port.store(port, Ordering::SeqCst);
                pair.closed.store(0, Ordering::SeqCst);
            }
            let waiters = if shared { 3 << (cpu & !1) } else { 1 << cpu };
            let events = shared::watch(port, cpu, waiters);
            if shared {
                pair.meet();
            }
            return Self { cpu, round, shared, first: reference(cpu, round), port, events };
        }
        pair.meet();
        let port = pair.port.load(Ordering::SeqCst);
        Self { cpu, round, shared, first: reference(cpu, round), port, events: 0 }
    }

    fn page(&self, index: usize) -> usize {
        PAGES.address() + (self.cpu * PAGES_OF_LANE + index) * 4096
    }

    fn frame(&self, index: usize) -> u64 {
        PAGES.frame(self.cpu * PAGES_OF_LANE + index)
    }

    fn state(&self, index: usize) -> &'static AtomicU64 {
        shared::word(MEETING.address(), lane_at(self.cpu) + index)
    }

    /// The reference of the payload of a message.
    const fn payload(&self, number: u64) -> u32 {
        self.first + 4 + (number / 2 / PAYLOAD_MESSAGES % 2) as u32
    }

    fn run(&self) {
        self.offer();
        let most = platform::number("hammer.round", 250);
        let mut messages = 0;
        while messages < most && registers::counter() < END.load(Ordering::SeqCst) {
            self.exchange(messages * 2 + 1);
            messages += 1;
        }
        if !self.shared {
            let events = shared::events(self.port).wrapping_sub(self.events);
            if u64::from(events) != messages {
                wrong(format_args!("lane {}: {events} events for {messages} answers", self.cpu));
            }
        }
        self.end(messages);
        COUNTS.rounds.fetch_add(1, Ordering::SeqCst);
    }

    fn offer(&self) {
        shared::word(self.page(0), NUMBER).store(0, Ordering::SeqCst);
        shared::word(self.page(0), ANSWER).store(0, Ordering::SeqCst);
        for index in [0, 2, 3] {
            shared::grant(self.first + index, self.frame(index as usize));
        }
        shared::grant(self.payload(1), self.frame(1));
        self.state(1).store(u64::from(self.port) | u64::from(self.shared) << 32, Ordering::SeqCst);
        self.state(2).store(self.first.into(), Ordering::SeqCst);
        self.state(0).store(OFFERED, Ordering::SeqCst);
        self.until(BOUND);
        if self.shared {
            // The other's board is granted now.
            PAIRS[self.cpu / 2].meet();
        }
    }

    fn until(&self, state: u64) {
        let mut tries = 0;
        while self.state(0).load(Ordering::SeqCst) != state {
            shared::wait(self.cpu, 1_000, || self.state(0).load(Ordering::SeqCst) == state);
            tries += 1;
            assert!(tries < 60_000, "lane {} never came to state {state}", self.cpu);
        }
    }

    /// One message and its answer.
    fn exchange(&self, number: u64) {
        if number > 1 && self.payload(number) != self.payload(number - 2) {
            shared::revoke(self.payload(number - 2));
            shared::grant(self.payload(number), self.frame(1));
        }
        let (bytes, offset) = message::extent(number);
        let words = || (0..u64::from(bytes) / 8).map(|index| message::payload(self.cpu, number, index));
        for (index, word) in words().enumerate() {
            mmio::write64(self.page(1) + usize::from(offset) + index * 8, word);
        }
        let (board_lane, board) = self.board();
        shared::word(board, self.cpu * 2).store(message::payload(self.cpu, number, 1_000), Ordering::SeqCst);
        let sum = message::sum(words());
        let ring = |index: usize| shared::word(self.page(0), index);
        ring(SUM).store(sum, Ordering::SeqCst);
        let references = u64::from(self.payload(number)) | u64::from(self.first + 2) << 32;
        ring(REFERENCES).store(references, Ordering::SeqCst);
        ring(BOARD).store(u64::from(reference(board_lane, self.round) + 3), Ordering::SeqCst);
        let before = shared::events(self.port);
        ring(NUMBER).store(number, Ordering::SeqCst);
        let sent = event::send(self.port);
        if sent != 0 {
            wrong(format_args!("lane {}: message {number} cannot be sent: {sent}", self.cpu));
        }
        let answered = || shared::events(self.port) != before && ring(ANSWER).load(Ordering::SeqCst) > number;
        let came = shared::wait(self.cpu, shared::LOST, answered);
        let (answer, events) = (ring(ANSWER).load(Ordering::SeqCst), shared::events(self.port) - before);
        assert!(came, "lane {}: message {number} has answer {answer} and {events} events", self.cpu);
        self.check(number, sum, answer);
        COUNTS.count(number, sum);
    }

    /// Whose board goes with a message: in a shared round that of the pair's first.
    fn board(&self) -> (usize, usize) {
        let lane = if self.shared { self.cpu & !1 } else { self.cpu };
        (lane, PAGES.address() + (lane * PAGES_OF_LANE + 3) * 4096)
    }

    fn check(&self, number: u64, sum: u64, answer: u64) {
        let (bytes, offset) = message::extent(number);
        let seen_sum = shared::word(self.page(0), ANSWER_SUM).load(Ordering::SeqCst);
        let right = (0..u64::from(bytes) / 8).all(|index| {
            let seen = mmio::read64(self.page(2) + usize::from(offset) + index as usize * 8);
            seen == !message::payload(self.cpu, number, index)
        });
        if (answer, seen_sum, right) != (number + 1, sum, true) {
            let lane = self.cpu;
            wrong(format_args!("lane {lane}: to {number} {answer} {seen_sum:#x} {sum:#x} {right}"));
        }
        if message::board(number) == Board::Written {
            let seen = shared::word(self.board().1, self.cpu * 2 + 1).load(Ordering::SeqCst);
            if seen != message::payload(self.cpu, number, 2_000) {
                wrong(format_args!("lane {}: message {number} left {seen:#x} on the board", self.cpu));
            }
        }
    }

    fn end(&self, messages: u64) {
        let last = self.payload((messages * 2).saturating_sub(1).max(1));
        // The payload goes first, and dom0 must not get it any more.
        shared::revoke(last);
        self.state(3).store(last.into(), Ordering::SeqCst);
        let pair = &PAIRS[self.cpu / 2];
        if self.shared {
            pair.meet();
        }
        let first = self.round % 2 == 1;
        self.state(0).store(CLOSING, Ordering::SeqCst);
        event::send(self.port);
        if first {
            self.close();
        }
        self.until(CLOSED);
        if self.shared {
            pair.meet();
        }
        if !first {
            self.close();
        }
        for index in [0, 2, 3] {
            shared::revoke(self.first + index);
        }
    }

    /// Closes the port. Of two that close one, one must have it.
    fn close(&self) {
        if !self.shared {
            let closed = event::close(self.port);
            if closed != 0 {
                wrong(format_args!("lane {}: port {} cannot be closed: {closed}", self.cpu, self.port));
            }
            return;
        }
        let pair = &PAIRS[self.cpu / 2];
        // The other has sent its last event, too.
        pair.meet();
        let close = || {
            pair.meet();
            let closed = event::close(self.port);
            pair.closed.fetch_add(u32::from(closed == 0), Ordering::SeqCst);
            pair.meet();
        };
        if self.cpu.is_multiple_of(2) {
            PORTS.with(close)
        } else {
            close()
        }
        let closed = pair.closed.load(Ordering::SeqCst);
        if closed != 1 {
            wrong(format_args!("lane {}: port {} was closed {closed} times", self.cpu, self.port));
        }
    }
}

/// The first of a lane's eight references in a round; the next round has others.
const fn reference(lane: usize, round: u32) -> u32 {
    16 + lane as u32 * 16 + round % 2 * 8
}
