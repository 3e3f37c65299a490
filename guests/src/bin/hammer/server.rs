//! Dom0, which answers the messages of the clients' vCPUs.
//!
//! Each vCPU of dom0 serves the lanes of its own number, one of each client. Two lanes that share a port share dom0's
//! end of it as well: whoever comes first binds it, whoever goes last closes it.

use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use guests::xen::grant::{self, Copy, MAP_READ_ONLY, SOURCE_REFERENCE, Side, TARGET_REFERENCE, UNTOUCHED};
use guests::xen::{DOMID_SELF, Pages, event};
use guests::{mmio, platform, psci, report};

use super::message::{self, ANSWER, ANSWER_SUM, BOARD, Board, Counts, NUMBER, REFERENCES, SUM};
use super::shared::{
    self, BOUND, CLOSED, CLOSING, CPUS, FINISHED, LOST, Lock, OFFERED, RENDEZVOUS, lane_at, wrong,
};

/// The most clients.
const CLIENTS: usize = 2;
/// Frames behind those of shared_info and the grant table, from which on dom0 maps.
const MAPPED: u64 = 16;

static COUNTS: [Counts; CLIENTS] = [const { Counts::new() }; CLIENTS];
static BUFFERS: Pages<CPUS> = Pages::new();
static ENDS: [End; CLIENTS * CPUS / 2] = [const { End::new() }; CLIENTS * CPUS / 2];
static LEFT: AtomicUsize = AtomicUsize::new(0);
/// Events that brought no message: each port has one when it is bound.
static EMPTY: AtomicU64 = AtomicU64::new(0);

/// Dom0's end of a port that two lanes share.
struct End {
    lock: Lock,
    used: AtomicU32,
    port: AtomicU32,
}

impl End {
    const fn new() -> Self {
        Self { lock: Lock::new(), used: AtomicU32::new(0), port: AtomicU32::new(0) }
    }
}

/// A lane of a client, as the vCPU that serves it knows it.
struct Lane {
    client: usize,
    lane: usize,
    finished: bool,
    bound: bool,
    shared: bool,
    port: u32,
    /// Events of the port that were looked at.
    seen: u32,
    /// The number of the last message.
    last: u64,
    /// The handle of the ring.
    ring: u32,
}

pub(super) fn all() {
    let cpus = platform::get().cpus;
    if !report::equal("cpus", cpus, CPUS) {
        return;
    }
    shared::prepare();
    let clients = clients();
    let mut handles = [0; CLIENTS];
    for (client, handle) in handles.iter_mut().enumerate().take(clients) {
        *handle = find(client);
    }
    let started = (1..cpus).filter(|cpu| psci::start(*cpu, 0) == 0).count();
    report::equal("started", started, cpus - 1);
    run(0);
    while LEFT.load(Ordering::SeqCst) < cpus {
        shared::wait(0, 1_000, || false);
    }
    for (client, handle) in handles.iter().enumerate().take(clients) {
        shared::word(meeting(client), 1).store(FINISHED, Ordering::SeqCst);
        shared::unmap(*handle, frame(client, 0));
    }
    report::equal("wrong", shared::wrongs(), 0);
    for (client, counts) in COUNTS.iter().enumerate().take(clients) {
        counts.say(client as u64 + 1);
    }
    guests::say!("note events_without_a_message {}", EMPTY.load(Ordering::SeqCst));
    // The machine ends with dom0: the others finish their lines.
    shared::wait(0, platform::number("hammer.linger_ms", 5_000) * 1_000, || false);
}

fn clients() -> usize {
    (platform::number("hammer.clients", CLIENTS as u64) as usize).min(CLIENTS)
}

/// Tries the client's rendezvous page until it is granted.
fn find(client: usize) -> u32 {
    loop {
        match shared::map(client as u16 + 1, RENDEZVOUS, 0, frame(client, 0)) {
            Ok(handle) if shared::word(meeting(client), 0).load(Ordering::SeqCst) == shared::MAGIC => {
                return handle;
            }
            Ok(handle) => shared::unmap(handle, frame(client, 0)),
            Err(_) => guests::timer::spin(1_000),
        }
    }
}

/// Where a page of a client is mapped: its rendezvous page is the first.
fn frame(client: usize, index: usize) -> u64 {
    shared::hole() + MAPPED + (client * 32 + index) as u64
}

fn meeting(client: usize) -> usize {
    frame(client, 0) as usize * 4096
}

pub(super) fn run(cpu: usize) {
    shared::listen(cpu);
    let mut lanes = [Lane::new(0, cpu), Lane::new(1, cpu)];
    let lanes = &mut lanes[..clients()];
    loop {
        let mut busy = false;
        for lane in lanes.iter_mut() {
            busy |= lane.step();
        }
        if lanes.iter().all(|lane| lane.finished) {
            break;
        }
        if busy {
            continue;
        }
        // A client's offer comes without an event.
        let looks = lanes.iter().any(|lane| !lane.finished && !lane.bound);
        let woken = shared::wait(cpu, if looks { 1_000 } else { LOST }, || lanes.iter().any(Lane::has_work));
        if !woken && !looks {
            wrong(format_args!("vCPU {cpu} heard nothing for {LOST} us"));
        }
    }
    LEFT.fetch_add(1, Ordering::SeqCst);
}

impl Lane {
    const fn new(client: usize, lane: usize) -> Self {
        Self {
            client,
            lane,
            finished: false,
            bound: false,
            shared: false,
            port: 0,
            seen: 0,
            last: 0,
            ring: 0,
        }
    }

    const fn domain(&self) -> u16 {
        self.client as u16 + 1
    }

    fn state(&self, index: usize) -> &'static AtomicU64 {
        shared::word(meeting(self.client), lane_at(self.lane) + index)
    }

    fn ring(&self, index: usize) -> &'static AtomicU64 {
        shared::word(frame(self.client, 1 + self.lane) as usize * 4096, index)
    }

    fn wrong(&self, what: core::fmt::Arguments<'_>) {
        wrong(format_args!("domain {} lane {}: {what}", self.domain(), self.lane));
    }

    fn has_work(&self) -> bool {
        if self.bound {
            return shared::events(self.port) != self.seen;
        }
        !self.finished && [OFFERED, FINISHED].contains(&self.state(0).load(Ordering::SeqCst))
    }

    /// Does what is to be done; whether there was anything.
    fn step(&mut self) -> bool {
        if !self.has_work() {
            return false;
        }
        if !self.bound {
            match self.state(0).load(Ordering::SeqCst) {
                FINISHED => self.finished = true,
                _ => self.bind(),
            }
            return true;
        }
        self.seen = shared::events(self.port);
        let number = self.ring(NUMBER).load(Ordering::SeqCst);
        if number != self.last {
            if number != self.last + if self.last == 0 { 1 } else { 2 } {
                self.wrong(format_args!("message {number} comes after {}", self.last));
            }
            self.last = number;
            self.answer(number);
        } else if self.state(0).load(Ordering::SeqCst) == CLOSING {
            self.close();
        } else {
            EMPTY.fetch_add(1, Ordering::SeqCst);
        }
        true
    }

    fn end(&self) -> &'static End {
        &ENDS[self.client * CPUS / 2 + self.lane / 2]
    }

    fn bind(&mut self) {
        let word = self.state(1).load(Ordering::SeqCst);
        let (remote, first) = (word as u32, self.state(2).load(Ordering::SeqCst) as u32);
        self.shared = word >> 32 != 0;
        let ring = shared::map(self.domain(), first, 0, frame(self.client, 1 + self.lane));
        self.ring = ring.unwrap_or_else(|status| panic!("ring {first} cannot be mapped: {status}"));
        let bind = || {
            let bound = event::bind_interdomain(self.domain(), remote);
            let port = bound.unwrap_or_else(|error| panic!("port {remote} cannot be bound: {error}"));
            let waiters = if self.shared { 3 << (self.lane & !1) } else { 1 << self.lane };
            shared::watch(port, self.lane, waiters);
            port
        };
        let end = self.end();
        self.port = if self.shared {
            end.lock.with(|| {
                if end.used.fetch_add(1, Ordering::SeqCst) == 0 {
                    end.port.store(bind(), Ordering::SeqCst);
                }
                end.port.load(Ordering::SeqCst)
            })
        } else {
            bind()
        };
        self.seen = shared::events(self.port);
        self.last = 0;
        self.bound = true;
        self.state(0).store(BOUND, Ordering::SeqCst);
    }

    fn answer(&self, number: u64) {
        let references = self.ring(REFERENCES).load(Ordering::SeqCst);
        let (bytes, offset) = message::extent(number);
        let buffer = BUFFERS.address() + self.lane * 4096;
        let theirs = |reference: u32| Side { what: reference.into(), domain: self.domain(), offset };
        let ours = Side { what: BUFFERS.frame(self.lane), domain: DOMID_SELF, offset: 0 };
        self.copy(theirs(references as u32), ours, bytes, SOURCE_REFERENCE);
        let mut right = true;
        let sum = message::sum((0..u64::from(bytes) / 8).map(|index| {
            let address = buffer + index as usize * 8;
            let word = mmio::read64(address);
            right &= word == message::payload(self.lane, number, index);
            mmio::write64(address, !word);
            word
        }));
        if !right || sum != self.ring(SUM).load(Ordering::SeqCst) {
            self.wrong(format_args!("the payload of message {number} is not what it should be"));
        }
        self.copy(ours, theirs((references >> 32) as u32), bytes, TARGET_REFERENCE);
        self.board(number);
        self.ring(ANSWER_SUM).store(sum, Ordering::SeqCst);
        self.ring(ANSWER).store(number + 1, Ordering::SeqCst);
        COUNTS[self.client].count(number, sum);
        let sent = event::send(self.port);
        if sent != 0 {
            self.wrong(format_args!("answer to {number} cannot be sent: {sent}"));
        }
    }

    fn copy(&self, source: Side, target: Side, length: u16, flags: u16) {
        let mut request = [Copy { source, target, length, flags, status: UNTOUCHED }];
        grant::ask(grant::COPY, &mut request);
        if request[0].status != 0 {
            self.wrong(format_args!("copy of kind {flags}: {}", request[0].status));
        }
    }

    fn board(&self, number: u64) {
        let how = message::board(number);
        if how == Board::Unused {
            return;
        }
        let frame = frame(self.client, 9 + self.lane);
        let reference = self.ring(BOARD).load(Ordering::SeqCst) as u32;
        let flags = if how == Board::Read { MAP_READ_ONLY } else { 0 };
        let handle = match shared::map(self.domain(), reference, flags, frame) {
            Ok(handle) => handle,
            Err(status) => return self.wrong(format_args!("board {reference}: {status}")),
        };
        let page = frame as usize * 4096;
        let seen = shared::word(page, self.lane * 2).load(Ordering::SeqCst);
        if seen != message::payload(self.lane, number, 1_000) {
            self.wrong(format_args!("the board of message {number} says {seen:#x}"));
        }
        if how == Board::Written {
            let mark = message::payload(self.lane, number, 2_000);
            shared::word(page, self.lane * 2 + 1).store(mark, Ordering::SeqCst);
        }
        shared::unmap(handle, frame);
    }

    fn close(&mut self) {
        let stale = self.state(3).load(Ordering::SeqCst) as u32;
        let place = frame(self.client, 9 + self.lane);
        if let Ok(handle) = shared::map(self.domain(), stale, 0, place) {
            self.wrong(format_args!("reference {stale} was revoked but can be mapped"));
            shared::unmap(handle, place);
        }
        shared::unmap(self.ring, frame(self.client, 1 + self.lane));
        let close = || {
            let closed = event::close(self.port);
            if closed != 0 {
                self.wrong(format_args!("port {} cannot be closed: {closed}", self.port));
            }
        };
        let end = self.end();
        if self.shared {
            end.lock.with(|| {
                if end.used.fetch_sub(1, Ordering::SeqCst) == 1 {
                    close();
                }
            });
        } else {
            close();
        }
        self.bound = false;
        COUNTS[self.client].rounds.fetch_add(1, Ordering::SeqCst);
        self.state(0).store(CLOSED, Ordering::SeqCst);
    }
}
