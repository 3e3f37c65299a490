//! What Xen and the guest share, and the upcall's handler, which empties it.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use guests::journal::Journal;
use guests::xen::event::{self, word32, word64};
use guests::xen::{self, Pages, memory};
use guests::{gic, platform, report};

/// vcpu_info of each vCPU, one page each.
static INFORMATION: Pages<2> = Pages::new();
/// FIFO: the control block of each vCPU.
pub(super) static CONTROL: Pages<2> = Pages::new();
/// FIFO: event words.
pub(super) static WORDS: Pages<2> = Pages::new();

/// Whether the layout is the FIFO's.
pub(super) static IS_FIFO: AtomicBool = AtomicBool::new(false);

/// Ports in the order in which they were handled, with the vCPU in the upper half.
pub(super) static HANDLED: Journal = Journal::new();
/// A 1 for each upcall's interrupt, with the vCPU in the upper half.
pub(super) static UPCALLS: Journal = Journal::new();

/// From one interrupt of the timer to the next, once it was armed.
pub(super) const TICK_MICROSECONDS: u64 = 5_000;

/// How often the timer's interrupt came.
pub(super) static TICKS: AtomicU32 = AtomicU32::new(0);

/// How often each port was handled.
static COUNTS: [AtomicU32; 1024] = [const { AtomicU32::new(0) }; 1024];

/// How often a port was handled since the guest began.
pub(super) fn count(port: u32) -> u32 {
    COUNTS.get(port as usize).map_or(0, |count| count.load(Ordering::SeqCst))
}

/// The frame of shared_info.
pub(super) fn shared_frame() -> u64 {
    xen::free_frame()
}

/// The address of shared_info.
pub(super) fn shared() -> usize {
    (shared_frame() * xen::PAGE) as usize
}

pub(super) fn map_shared_info() {
    report::equal("shared_info.map", memory::add_to_physmap(memory::SPACE_SHARED_INFO, 0, shared_frame()), 0);
}

/// Gives a vCPU its vcpu_info, in a page of its own.
pub(super) fn place_information(vcpu: usize) {
    report::equal("vcpu_info.place", try_place_information(vcpu), 0);
}

/// The answer to that.
pub(super) fn try_place_information(vcpu: usize) -> i64 {
    let mut request = [INFORMATION.frame(vcpu), 0];
    xen::call(xen::VCPU_OP, [10, vcpu as u64, xen::handle(&mut request), 0, 0])
}

/// The address of a vCPU's vcpu_info.
pub(super) fn information(vcpu: usize) -> usize {
    INFORMATION.address() + vcpu * 4096
}

/// evtchn_upcall_pending of a vCPU.
pub(super) fn upcall_pending(vcpu: usize) -> u32 {
    word32(information(vcpu)).load(Ordering::SeqCst) & 0xff
}

pub(super) fn clear_upcall(vcpu: usize) {
    word32(information(vcpu)).fetch_and(!0xff, Ordering::SeqCst);
}

/// evtchn_pending_sel of a vCPU.
pub(super) fn selector(vcpu: usize) -> u64 {
    word64(information(vcpu) + 8).load(Ordering::SeqCst)
}

pub(super) fn clear_selector(vcpu: usize) {
    word64(information(vcpu) + 8).store(0, Ordering::SeqCst);
}

fn bit(array: usize, port: u32) -> (usize, u64) {
    (shared() + array + (port / 64 * 8) as usize, 1 << (port % 64))
}

/// Whether a port is pending, in the layout that is in use.
pub(super) fn is_pending(port: u32) -> bool {
    if IS_FIFO.load(Ordering::SeqCst) {
        return word(port) & event::PENDING != 0;
    }
    let (address, mask) = bit(event::SHARED_PENDING, port);
    word64(address).load(Ordering::SeqCst) & mask != 0
}

pub(super) fn is_masked(port: u32) -> bool {
    if IS_FIFO.load(Ordering::SeqCst) {
        return word(port) & event::MASKED != 0;
    }
    let (address, mask) = bit(event::SHARED_MASK, port);
    word64(address).load(Ordering::SeqCst) & mask != 0
}

pub(super) fn clear_pending(port: u32) {
    if IS_FIFO.load(Ordering::SeqCst) {
        word32(word_address(port)).fetch_and(!event::PENDING, Ordering::SeqCst);
        return;
    }
    let (address, mask) = bit(event::SHARED_PENDING, port);
    word64(address).fetch_and(!mask, Ordering::SeqCst);
}

pub(super) fn mask(port: u32) {
    if IS_FIFO.load(Ordering::SeqCst) {
        word32(word_address(port)).fetch_or(event::MASKED, Ordering::SeqCst);
        return;
    }
    let (address, mask) = bit(event::SHARED_MASK, port);
    word64(address).fetch_or(mask, Ordering::SeqCst);
}

/// Takes the mask away without telling Xen.
pub(super) fn unmask_quietly(port: u32) {
    if IS_FIFO.load(Ordering::SeqCst) {
        word32(word_address(port)).fetch_and(!event::MASKED, Ordering::SeqCst);
        return;
    }
    let (address, mask) = bit(event::SHARED_MASK, port);
    word64(address).fetch_and(!mask, Ordering::SeqCst);
}

pub(super) fn word_address(port: u32) -> usize {
    WORDS.address() + port as usize * 4
}

/// The event word of a port.
pub(super) fn word(port: u32) -> u32 {
    word32(word_address(port)).load(Ordering::SeqCst)
}

/// The bits of the control block of a vCPU that say which queues have events.
pub(super) fn ready(vcpu: usize) -> u32 {
    word32(CONTROL.address() + vcpu * 4096).load(Ordering::SeqCst)
}

/// The first port in a queue.
pub(super) fn head(vcpu: usize, priority: usize) -> u32 {
    word32(CONTROL.address() + vcpu * 4096 + 8 + priority * 4).load(Ordering::SeqCst)
}

/// Takes all events of a vCPU and calls `take` for each that is pending and not masked, in order.
pub(super) fn drain(vcpu: usize, mut take: impl FnMut(u32)) {
    clear_upcall(vcpu);
    if IS_FIFO.load(Ordering::SeqCst) {
        let ready_word = word32(CONTROL.address() + vcpu * 4096);
        let mut ready = ready_word.swap(0, Ordering::SeqCst);
        // What is left in a queue whose bit was taken stays in the copy.
        while ready != 0 {
            let priority = ready.trailing_zeros() as usize;
            if !take_one(vcpu, priority, &mut take) {
                ready &= !(1 << priority);
            }
            ready |= ready_word.swap(0, Ordering::SeqCst);
        }
        return;
    }
    let mut words = word64(information(vcpu) + 8).swap(0, Ordering::SeqCst);
    while words != 0 {
        let index = words.trailing_zeros();
        words &= words - 1;
        let place = shared() + event::SHARED_PENDING + index as usize * 8;
        let masks = word64(shared() + event::SHARED_MASK + index as usize * 8).load(Ordering::SeqCst);
        let mut bits = word64(place).load(Ordering::SeqCst) & !masks;
        word64(place).fetch_and(!bits, Ordering::SeqCst);
        while bits != 0 {
            take(index * 64 + bits.trailing_zeros());
            bits &= bits - 1;
        }
    }
}

/// Takes the first event of a queue; whether there are more.
fn take_one(vcpu: usize, priority: usize, take: &mut impl FnMut(u32)) -> bool {
    let head = word32(CONTROL.address() + vcpu * 4096 + 8 + priority * 4);
    let port = head.load(Ordering::SeqCst);
    if port == 0 || port as usize >= 2048 {
        return false;
    }
    let before = word32(word_address(port)).fetch_and(!(event::LINKED | event::LINK), Ordering::SeqCst);
    let next = before & event::LINK;
    head.store(next, Ordering::SeqCst);
    if before & event::PENDING != 0 && before & event::MASKED == 0 {
        clear_pending(port);
        take(port);
    }
    next != 0
}

/// Forgets all that has happened so far on a vCPU.
pub(super) fn settle(vcpu: usize) {
    drain(vcpu, |_| ());
    HANDLED.clear();
    UPCALLS.clear();
}

pub(super) fn irq(cpu: usize) {
    let raw = gic::acknowledge();
    let intid = gic::intid_of(raw);
    if intid == platform::get().events {
        UPCALLS.write((cpu as u32) << 16 | 1);
        drain(cpu, |port| {
            HANDLED.write((cpu as u32) << 16 | port);
            if let Some(count) = COUNTS.get(port as usize) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    if intid == platform::get().timers[2] {
        // Whoever sleeps for the timer may have been too late for this one: the next one comes.
        TICKS.fetch_add(1, Ordering::SeqCst);
        guests::timer::arm(TICK_MICROSECONDS);
    }
    if intid != gic::SPURIOUS {
        gic::end(raw);
    }
}
