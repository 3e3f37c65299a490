//! The FIFO layout, seen with interrupts masked: control blocks, event words, queues by priority.

use core::sync::atomic::Ordering;

use guests::report;
use guests::xen::event::{self, word32};
use guests::xen::{self, DOMID_SELF};

use crate::layout::{self, CONTROL, IS_FIFO, WORDS, head, ready, upcall_pending, word};
use crate::ports;

pub(super) fn all() {
    control();
    words();
    queue();
    priorities();
    masks();
    strange();
}

fn control_result(name: &str, frame: u64, offset: u32, vcpu: u32) {
    match event::init_control(frame, offset, vcpu) {
        Ok(bits) => report::fact(format_args!("init_control.{name}"), format_args!("{bits} link bits")),
        Err(error) => report::fact(format_args!("init_control.{name}"), error),
    }
}

fn control() {
    let frame = CONTROL.frame(0);
    control_result("third_vcpu", frame, 0, 2);
    control_result("no_vcpu", frame, 0, u32::MAX);
    control_result("offset_4096", frame, 4096, 0);
    control_result("crossing", frame, 4096 - 64, 0);
    control_result("offset_4", frame, 4, 0);
    control_result("hole", xen::free_frame() + 16, 0, 0);
    control_result("device", guests::platform::get().uart.base as u64 / 4096, 0, 0);
    control_result("beyond", 1 << 40, 0, 0);
    let before = event::alloc_unbound(DOMID_SELF, DOMID_SELF).unwrap_or(0);
    control_result("first", frame, 0, 0);
    IS_FIFO.store(true, Ordering::SeqCst);
    control_result("first_again", frame, 0, 0);
    control_result("first_elsewhere", frame, 1024, 0);
    control_result("second", CONTROL.frame(1), 0, 1);
    control_result("second_again", CONTROL.frame(1), 0, 1);
    ports::status(format_args!("fifo.port_made_before"), before);
    report::fact("fifo.ready_at_first", format_args!("{:#x} {:#x}", ready(0), ready(1)));
    let port = event::bind_ipi(0);
    ports::result(format_args!("fifo.before_array.bind_ipi"), port);
    let port = port.unwrap_or(0);
    report::fact("fifo.before_array.set_priority", event::set_priority(port, 3));
    report::fact("fifo.before_array.unmask", event::unmask(port));
    report::fact("fifo.before_array.send", event::send(port));
    report::fact("fifo.before_array.ready", format_args!("{:#x} {}", ready(0), upcall_pending(0)));
    array();
    report::fact("fifo.after_array.word", format_args!("{:#x} {:#x}", word(port), ready(0)));
    take("fifo.after_array.taken");
    report::fact("fifo.before_array.close", event::close(port) + event::close(before));
}

fn array() {
    report::fact("expand_array.hole", event::expand_array(xen::free_frame() + 16));
    report::fact("expand_array.beyond", event::expand_array(1 << 40));
    report::fact("expand_array.device", event::expand_array(guests::platform::get().uart.base as u64 / 4096));
    report::fact("expand_array.first", event::expand_array(WORDS.frame(0)));
    let mut more = 0u32;
    let mut error = 0;
    // All further pages are one: it is never used.
    while error == 0 && more < 200 {
        error = event::expand_array(WORDS.frame(1));
        more += u32::from(error == 0);
    }
    report::fact("expand_array.more", format_args!("{more} then {error}"));
}

fn words() {
    let port = event::bind_ipi(0).unwrap_or(0);
    report::fact("fifo.word.fresh", format_args!("port {port} {:#x}", word(port)));
    report::fact("fifo.word.others", format_args!("{:#x} {:#x} {:#x}", word(0), word(port + 1), word(1023)));
    report::equal("fifo.word.send_fresh", event::send(port), 0);
    state("fifo.word.sent_fresh", port);
    report::equal("fifo.word.unmask", event::unmask(port), 0);
    state("fifo.word.unmasked", port);
    report::equal("fifo.word.send_again", event::send(port), 0);
    state("fifo.word.sent_again", port);
    take("fifo.word.taken");
    state("fifo.word.after", port);
    report::equal("fifo.word.send_once_more", event::send(port), 0);
    report::fact("fifo.word.close", event::close(port));
    state("fifo.word.closed", port);
    let reused = event::bind_ipi(0).unwrap_or(0);
    report::fact("fifo.word.reused", format_args!("port {reused}"));
    state("fifo.word.reused.state", reused);
    take("fifo.word.reused.taken");
    report::equal("fifo.word.reused.close", event::close(reused), 0);
}

fn state(name: &str, port: u32) {
    report::fact(
        name,
        format_args!(
            "word {:#x} ready {:#x} head {} upcall {}",
            word(port),
            ready(0),
            head(0, 7),
            upcall_pending(0)
        ),
    );
}

/// Takes all events of the first vCPU and says in which order they came.
fn take(name: &str) {
    let mut taken = [0u32; 16];
    let mut count = 0;
    layout::drain(0, |port| {
        if let Some(place) = taken.get_mut(count) {
            *place = port;
        }
        count += 1;
    });
    report::fact(name, format_args!("{:?} ready {:#x}", &taken[..count.min(16)], ready(0)));
}

fn make() -> u32 {
    let port = event::bind_ipi(0).unwrap_or(0);
    layout::unmask_quietly(port);
    port
}

/// Three in one queue, in the order of their sending, linked from one to the next.
fn queue() {
    let ports = [make(), make(), make()];
    for port in [ports[1], ports[2], ports[0]] {
        report::equal("fifo.queue.send", event::send(port), 0);
    }
    report::fact("fifo.queue.ready", format_args!("{:#x}", ready(0)));
    report::equal("fifo.queue.head", head(0, 7), ports[1]);
    report::fact("fifo.queue.words", format_args!("{:x?}", ports.map(word)));
    take("fifo.queue.taken");
    report::fact("fifo.queue.words_after", format_args!("{:x?}", ports.map(word)));
    report::equal("fifo.queue.head_after", head(0, 7), 0);
    for port in ports {
        report::equal("fifo.queue.close", event::close(port), 0);
    }
}

fn priorities() {
    let ports = [make(), make(), make(), make(), make()];
    let levels = [15u32, 7, 0, 3, 7];
    for (port, level) in ports.into_iter().zip(levels) {
        report::equal("fifo.priority.set", event::set_priority(port, level), 0);
        report::equal("fifo.priority.send", event::send(port), 0);
    }
    report::fact("fifo.priority.ready", format_args!("{:#x}", ready(0)));
    take("fifo.priority.taken");
    report::fact("fifo.priority.16", event::set_priority(ports[0], 16));
    report::fact("fifo.priority.huge", event::set_priority(ports[0], u32::MAX));
    report::fact("fifo.priority.closed_port", event::set_priority(900, 0));
    report::fact("fifo.priority.no_port", event::set_priority(u32::MAX, 0));
    // While it is in a queue, it stays there; the next time it goes to the new one.
    report::equal("fifo.priority.moving.send", event::send(ports[1]), 0);
    report::equal("fifo.priority.moving.set", event::set_priority(ports[1], 2), 0);
    report::fact("fifo.priority.moving.ready", format_args!("{:#x} {} {}", ready(0), head(0, 7), head(0, 2)));
    report::equal("fifo.priority.moving.send_pending", event::send(ports[1]), 0);
    report::fact(
        "fifo.priority.moving.ready_again",
        format_args!("{:#x} {} {}", ready(0), head(0, 7), head(0, 2)),
    );
    take("fifo.priority.moving.taken");
    report::equal("fifo.priority.moved.send", event::send(ports[1]), 0);
    report::fact("fifo.priority.moved.ready", format_args!("{:#x} {} {}", ready(0), head(0, 7), head(0, 2)));
    take("fifo.priority.moved.taken");
    for port in ports {
        report::equal("fifo.priority.close", event::close(port), 0);
    }
    // A port that is made again begins at the usual priority.
    let again = make();
    report::equal("fifo.priority.fresh.send", event::send(again), 0);
    report::fact("fifo.priority.fresh.ready", format_args!("{again} {:#x}", ready(0)));
    take("fifo.priority.fresh.taken");
    report::equal("fifo.priority.fresh.close", event::close(again), 0);
}

fn masks() {
    let (one, two) = (make(), make());
    layout::mask(one);
    event::send(one);
    event::send(two);
    report::fact("fifo.mask.words", format_args!("{:#x} {:#x} head {}", word(one), word(two), head(0, 7)));
    take("fifo.mask.taken");
    report::fact("fifo.mask.after", format_args!("{:#x}", word(one)));
    report::equal("fifo.mask.unmask", event::unmask(one), 0);
    state("fifo.mask.unmasked", one);
    // Masked while it is in the queue: the guest passes it by.
    layout::mask(one);
    take("fifo.mask.masked_in_queue");
    report::fact("fifo.mask.masked_in_queue.word", format_args!("{:#x}", word(one)));
    report::equal("fifo.mask.unmask_again", event::unmask(one), 0);
    take("fifo.mask.unmasked_again");
    report::equal("fifo.mask.unmask_unmasked", event::unmask(one), 0);
    state("fifo.mask.nothing", one);
    report::equal("fifo.mask.close", event::close(one) + event::close(two), 0);
}

/// Words and heads that a guest has scribbled on.
fn strange() {
    let (one, two, three) = (make(), make(), make());
    // Linked, but in no queue: Xen believes it.
    word32(layout::word_address(one)).fetch_or(event::LINKED, Ordering::SeqCst);
    event::send(one);
    state("fifo.strange.linked_in_no_queue", one);
    word32(layout::word_address(one)).store(0, Ordering::SeqCst);
    layout::clear_upcall(0);
    // A tail whose word the guest has emptied: the next one becomes the head.
    event::send(one);
    word32(layout::word_address(one)).store(0, Ordering::SeqCst);
    event::send(two);
    report::fact(
        "fifo.strange.tail_emptied",
        format_args!("{:#x} {:#x} ready {:#x} head {}", word(one), word(two), ready(0), head(0, 7)),
    );
    take("fifo.strange.tail_emptied.taken");
    // A tail with a link that Xen did not write.
    event::send(one);
    word32(layout::word_address(one)).fetch_or(77, Ordering::SeqCst);
    event::send(two);
    report::fact(
        "fifo.strange.tail_linked",
        format_args!("{:#x} {:#x} ready {:#x} head {}", word(one), word(two), ready(0), head(0, 7)),
    );
    word32(layout::word_address(one)).store(0, Ordering::SeqCst);
    word32(layout::word_address(two)).store(0, Ordering::SeqCst);
    take("fifo.strange.tail_linked.taken");
    // All ready bits set, all heads wrong.
    word32(CONTROL.address()).store(0xffff_ffff, Ordering::SeqCst);
    for priority in 0..16 {
        word32(CONTROL.address() + 8 + priority * 4).store(0xffff_ffff, Ordering::SeqCst);
    }
    event::send(three);
    report::fact(
        "fifo.strange.heads",
        format_args!("{:#x} ready {:#x} head {:#x} {:#x}", word(three), ready(0), head(0, 7), head(0, 6)),
    );
    for offset in (0..72).step_by(4) {
        word32(CONTROL.address() + offset).store(0, Ordering::SeqCst);
    }
    for port in [one, two, three] {
        word32(layout::word_address(port)).store(0, Ordering::SeqCst);
        report::equal("fifo.strange.close", event::close(port), 0);
    }
    layout::settle(0);
}

/// Back to the two-level layout.
pub(super) fn reset() {
    let port = make();
    event::send(port);
    report::fact("reset.fifo", event::reset(DOMID_SELF));
    IS_FIFO.store(false, Ordering::SeqCst);
    report::fact("reset.fifo.words", format_args!("{:#x} ready {:#x}", word(port), ready(0)));
    ports::status(format_args!("reset.fifo.status"), port);
    report::fact("reset.fifo.flag", upcall_pending(0));
    let fresh = event::bind_ipi(0);
    ports::result(format_args!("reset.fifo.fresh"), fresh);
    let fresh = fresh.unwrap_or(0);
    report::fact("reset.fifo.masked", layout::is_masked(fresh));
    layout::unmask_quietly(fresh);
    report::equal("reset.fifo.send", event::send(fresh), 0);
    report::check("reset.fifo.pending_bit", layout::is_pending(fresh));
    report::fact("reset.fifo.selector", format_args!("{:#x}", layout::selector(0)));
    report::equal("reset.fifo.close", event::close(fresh), 0);
    layout::settle(0);
    report::fact("reset.fifo.expand_array", event::expand_array(WORDS.frame(0)));
}
