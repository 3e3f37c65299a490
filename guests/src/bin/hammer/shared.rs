//! What all roles share: the upcall and its counts, sleeping until something is true, grants, and the rendezvous.
//!
//! Every port counts its events. A port belongs to one vCPU, and in shared rounds to a second one; whichever vCPU takes
//! an event wakes these by an SGI, since with the two-level layout one vCPU may take what was meant for another.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use guests::xen::event::{self, word32, word64};
use guests::xen::grant::{self, HOST_MAP, Map, READING, UNTOUCHED, Unmap, WRITING};
use guests::xen::{self, Pages, memory};
use guests::{boot, gic, mmu, platform, registers, report, timer};

/// The most vCPUs that a domain uses.
pub(super) const CPUS: usize = 4;
/// The reference of the page that tells the server where everything is.
pub(super) const RENDEZVOUS: u32 = 8;
/// The first word of that page.
pub(super) const MAGIC: u64 = 0x6861_6d6d_6572_2031;
/// Microseconds after which somebody who sleeps for an event thinks that it was lost.
pub(super) const LOST: u64 = 15_000_000;
/// Failures of one kind are many: so many are printed.
const PRINTED: u32 = 20;
/// The SGI that wakes a vCPU whose event was taken by another.
const WAKE: u32 = 1;

/// States of a lane, in its first word of the rendezvous page.
pub(super) const OFFERED: u64 = 1;
pub(super) const BOUND: u64 = 2;
pub(super) const CLOSING: u64 = 3;
pub(super) const CLOSED: u64 = 4;
pub(super) const FINISHED: u64 = 5;

static INFORMATION: Pages<CPUS> = Pages::new();
static EVENTS: [AtomicU32; 1024] = [const { AtomicU32::new(0) }; 1024];
/// For each port a bit for each vCPU that waits for it.
static WAITERS: [AtomicU32; 1024] = [const { AtomicU32::new(0) }; 1024];
static TICKS: [AtomicU32; CPUS] = [const { AtomicU32::new(0) }; CPUS];
static WRONG: AtomicU32 = AtomicU32::new(0);

/// A lock for a few instructions, which gives its turn to others while it waits.
pub(super) struct Lock(AtomicBool);

impl Lock {
    pub(super) const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    pub(super) fn with<T>(&self, work: impl FnOnce() -> T) -> T {
        while self.0.swap(true, Ordering::SeqCst) {
            give_way();
        }
        let result = work();
        self.0.store(false, Ordering::SeqCst);
        result
    }
}

/// SCHEDOP_yield.
pub(super) fn give_way() {
    xen::call(xen::SCHED_OP, [0; 5]);
}

/// Something is not as it must be. The first of these are printed.
pub(super) fn wrong(what: core::fmt::Arguments<'_>) {
    if WRONG.fetch_add(1, Ordering::SeqCst) < PRINTED {
        report::fail(format_args!("hammer"), what);
    }
}

/// How much was wrong.
pub(super) fn wrongs() -> u32 {
    WRONG.load(Ordering::SeqCst)
}

/// A frame behind all memory, where a domain may map what it likes.
pub(super) fn hole() -> u64 {
    let platform = platform::get();
    let end = platform.memory[..platform.banks].iter().map(|(base, size)| base + size).max().unwrap_or(0);
    (end / xen::PAGE).next_multiple_of(512) + 0x1000
}

/// Maps what the domain shares with Xen, before any other vCPU runs.
pub(super) fn prepare() {
    let platform = platform::get();
    let gib = (hole() * xen::PAGE) >> 30;
    let banks = &platform.memory[..platform.banks];
    if !banks.iter().any(|(base, size)| (base >> 30..=(base + size - 1) >> 30).contains(&gib)) {
        mmu::set_block(gib as usize, mmu::Block::Normal);
    }
    report::equal("shared_info", memory::add_to_physmap(memory::SPACE_SHARED_INFO, 0, hole()), 0);
    report::equal("grant_table", memory::add_to_physmap(memory::SPACE_GRANT_TABLE, 0, hole() + 1), 0);
}

/// Lets events in on this vCPU.
pub(super) fn listen(cpu: usize) {
    let mut request = [INFORMATION.frame(cpu), 0];
    let placed = xen::call(xen::VCPU_OP, [10, cpu as u64, xen::handle(&mut request), 0, 0]);
    report::equal(format_args!("vcpu_info.{cpu}"), placed, 0);
    boot::interrupts_on();
    for intid in [WAKE, platform::get().events, platform::get().timers[2]] {
        gic::enable(intid);
    }
}

fn shared_word(array: usize, index: u32) -> usize {
    hole() as usize * 4096 + array + index as usize * 8
}

/// Begins to count a port's events; the bits of `waiters` say which vCPUs it wakes. The count so far.
pub(super) fn watch(port: u32, owner: usize, waiters: u32) -> u32 {
    WAITERS[port as usize].store(waiters, Ordering::SeqCst);
    let bound = event::bind_vcpu(port, owner as u32);
    if bound != 0 {
        wrong(format_args!("port {port} cannot be bound to vCPU {owner}: {bound}"));
    }
    let before = events(port);
    event::unmask(port);
    before
}

/// How many events of a port were taken.
pub(super) fn events(port: u32) -> u32 {
    EVENTS[port as usize].load(Ordering::SeqCst)
}

fn drain(cpu: usize) {
    let information = INFORMATION.address() + cpu * 4096;
    word32(information).fetch_and(!0xff, Ordering::SeqCst);
    let mut words = word64(information + 8).swap(0, Ordering::SeqCst);
    while words != 0 {
        let index = words.trailing_zeros();
        words &= words - 1;
        let masks = word64(shared_word(event::SHARED_MASK, index)).load(Ordering::SeqCst);
        // Another vCPU may look at the same word: what it has taken is not ours.
        let mut bits = word64(shared_word(event::SHARED_PENDING, index)).fetch_and(masks, Ordering::SeqCst);
        bits &= !masks;
        while bits != 0 {
            let port = (index * 64 + bits.trailing_zeros()) as usize;
            bits &= bits - 1;
            if port >= EVENTS.len() {
                continue;
            }
            EVENTS[port].fetch_add(1, Ordering::SeqCst);
            let waiters = WAITERS[port].load(Ordering::SeqCst) & !(1 << cpu);
            for other in (0..CPUS).filter(|other| waiters >> other & 1 != 0) {
                gic::send_sgi(WAKE, gic::Target::Cpu(other));
            }
        }
    }
}

pub(super) fn irq(cpu: usize) {
    let raw = gic::acknowledge();
    let intid = gic::intid_of(raw);
    if intid == gic::SPURIOUS {
        return;
    }
    if intid == platform::get().events {
        drain(cpu);
    }
    if intid == platform::get().timers[2] {
        timer::disarm();
        TICKS[cpu].fetch_add(1, Ordering::SeqCst);
    }
    gic::end(raw);
}

/// Sleeps until something holds, for at most `microseconds`; whether it holds.
pub(super) fn wait(cpu: usize, microseconds: u64, mut condition: impl FnMut() -> bool) -> bool {
    let ticks = TICKS[cpu].load(Ordering::SeqCst);
    let mut armed = false;
    loop {
        // Interrupts are masked from the look to the sleep, so that no event falls in between.
        registers::mask_interrupts();
        if condition() {
            break;
        }
        if !armed {
            timer::arm(microseconds);
            armed = true;
        }
        registers::wfi();
        registers::unmask_interrupts();
        if TICKS[cpu].load(Ordering::SeqCst) != ticks {
            return condition();
        }
    }
    timer::disarm();
    registers::unmask_interrupts();
    true
}

/// A word of a page.
pub(super) fn word(page: usize, index: usize) -> &'static core::sync::atomic::AtomicU64 {
    word64(page + index % 512 * 8)
}

/// The first word of a lane in a rendezvous page.
pub(super) const fn lane_at(lane: usize) -> usize {
    8 + lane * 8
}

fn entry(reference: u32) -> usize {
    (hole() + 1) as usize * 4096 + reference as usize * 8
}

/// Grants a frame to dom0, for reading and writing.
pub(super) fn grant(reference: u32, frame: u64) {
    word32(entry(reference) + 4).store(frame as u32, Ordering::SeqCst);
    word32(entry(reference)).store(u32::from(grant::PERMIT_ACCESS), Ordering::SeqCst);
}

/// Takes a grant back. Nobody must have it in use.
pub(super) fn revoke(reference: u32) {
    let flags = word32(entry(reference)).swap(0, Ordering::SeqCst);
    if flags & u32::from(READING | WRITING) != 0 {
        wrong(format_args!("reference {reference} is still in use: {flags:#x}"));
    }
}

/// Maps a reference of a domain at a frame: the handle, or the status.
pub(super) fn map(domain: u16, reference: u32, flags: u32, frame: u64) -> Result<u32, i16> {
    let mut request = [Map {
        address: frame * xen::PAGE,
        flags: flags | HOST_MAP,
        reference,
        domain,
        status: UNTOUCHED,
        handle: 0,
        device_address: 0,
    }];
    grant::ask(grant::MAP, &mut request);
    if request[0].status == 0 { Ok(request[0].handle) } else { Err(request[0].status) }
}

/// Takes a mapping back.
pub(super) fn unmap(handle: u32, frame: u64) {
    let mut request = [Unmap { address: frame * xen::PAGE, device_address: 0, handle, status: UNTOUCHED }];
    grant::ask(grant::UNMAP, &mut request);
    if request[0].status != 0 {
        wrong(format_args!("handle {handle} cannot be unmapped: {}", request[0].status));
    }
}
