//! A guest with Linux at the meeting of four, whose rules are in `src/bin/meet/protocol.rs`: `meet NUMBER MAIL PICTURE`,
//! with the addresses of the two shared regions; 0 for one that it has not got.
//!
//! Nothing but Linux's own interfaces: `/dev/xen/evtchn` binds to the event channels that the owner has made
//! (`IOCTL_EVTCHN_BIND_STATIC`, Linux 6.6), and `/dev/mem` shows memory that is no RAM of the guest's. There is no C
//! library; a program is a few system calls (arm64, `asm-generic/unistd.h`).
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "system calls, and memory that the kernel maps")]

#[path = "../src/bin/meet/protocol.rs"]
mod protocol;

use core::arch::{asm, global_asm};
use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

use protocol::{MEMBERS, Meeting, Member, PAGE, PHASE, PHASES, ROUNDS};

/// Who writes the picture, and which of the guests with Linux reads it.
const WRITER: usize = 0;
const READER: usize = 1;

const IOCTL: usize = 29;
const OPENAT: usize = 56;
const READ: usize = 63;
const WRITE: usize = 64;
const EXIT: usize = 93;
const MMAP: usize = 222;
/// IOCTL_EVTCHN_NOTIFY and IOCTL_EVTCHN_BIND_STATIC, both with a structure of one port.
const NOTIFY: usize = 0x0004_4504;
const BIND_STATIC: usize = 0x0004_4507;
const READ_WRITE: usize = 2;
/// PROT_READ and PROT_WRITE, and MAP_SHARED.
const PROTECTION: usize = 3;
const SHARED: usize = 1;
/// Bytes of each region, as the owner has made them.
const MAIL_BYTES: usize = 0x1000;
const PICTURE_BYTES: usize = 0x40_0000;
/// The port to member 0; the others follow.
const FIRST_PORT: u32 = 10;

global_asm!(".globl _start", "_start:", "mov x0, sp", "and sp, x0, #-16", "b linux_start");

fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [x0, x1, x2, x3, x4, x5] = arguments;
    let result: isize;
    // SAFETY: the kernel changes memory that the caller names and x0, and the callers name their own.
    unsafe {
        asm!("svc #0", in("x8") number, inout("x0") x0 => result, in("x1") x1, in("x2") x2, in("x3") x3, in("x4") x4,
             in("x5") x5, options(nostack));
    }
    result
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        call(WRITE, [1, text.as_ptr() as usize, text.len(), 0, 0, 0]);
        Ok(())
    }
}

/// Says a line and ends the program, where a call has failed.
fn must(what: &str, answer: isize) -> usize {
    usize::try_from(answer).unwrap_or_else(|_| {
        let _ = writeln!(Console, "FAIL {what}: {answer}");
        exit(1)
    })
}

fn exit(status: usize) -> ! {
    call(EXIT, [status, 0, 0, 0, 0, 0]);
    loop {
        core::hint::spin_loop();
    }
}

fn open(path: &CStr) -> usize {
    // AT_FDCWD does not matter for a whole path.
    must("open", call(OPENAT, [0, path.as_ptr() as usize, READ_WRITE, 0, 0, 0]))
}

/// Where a region is mapped.
fn map(memory: usize, address: usize, bytes: usize) -> usize {
    must("mmap", call(MMAP, [0, bytes, PROTECTION, SHARED, memory, address]))
}

struct Linux {
    events: usize,
    mail: usize,
    picture: usize,
}

/// A word of a region.
fn word(region: usize, offset: u64) -> &'static AtomicU64 {
    // SAFETY: the regions are mapped until the program ends, and their words are aligned.
    unsafe { AtomicU64::from_ptr((region + offset as usize) as *mut u64) }
}

impl Member for Linux {
    fn mail(&self, offset: u64) -> &AtomicU64 {
        word(self.mail, offset)
    }

    fn picture(&self, offset: u64) -> &AtomicU64 {
        word(self.picture, offset)
    }

    fn ring(&mut self, member: usize) {
        let port = FIRST_PORT + member as u32;
        must("ring", call(IOCTL, [self.events, NOTIFY, &raw const port as usize, 0, 0, 0]));
    }

    fn listen(&mut self) -> usize {
        let mut port = 0_u32;
        must("listen", call(READ, [self.events, &raw mut port as usize, 4, 0, 0, 0]));
        // Writing the port unmasks it.
        must("unmask", call(WRITE, [self.events, &raw const port as usize, 4, 0, 0, 0]));
        port.wrapping_sub(FIRST_PORT) as usize
    }
}

#[unsafe(no_mangle)]
extern "C" fn linux_start(stack: *const *const c_char) -> ! {
    let number = |index: usize| {
        let place = stack.wrapping_add(1 + index);
        // SAFETY: the kernel lays the count of words and the words here; those that are missing are a null.
        let word = unsafe { *place };
        if word.is_null() {
            return 0;
        }
        // SAFETY: each is a text that ends with a zero.
        let text = unsafe { CStr::from_ptr(word) }.to_str().unwrap_or("");
        let digits = text.strip_prefix("0x").unwrap_or(text);
        usize::from_str_radix(digits, 16).unwrap_or(0)
    };
    let me = number(1);
    let events = open(c"/dev/xen/evtchn");
    for member in (0..MEMBERS).filter(|member| *member != me) {
        let port = FIRST_PORT + member as u32;
        must("bind", call(IOCTL, [events, BIND_STATIC, &raw const port as usize, 0, 0, 0]));
    }
    let memory = open(c"/dev/mem");
    let mail = map(memory, number(2), MAIL_BYTES);
    let picture = if number(3) == 0 { 0 } else { map(memory, number(3), PICTURE_BYTES) };
    attend(&mut Meeting::new(Linux { events, mail, picture }, me), me);
    exit(0)
}

fn attend(meeting: &mut Meeting<Linux>, me: usize) {
    let bytes = PICTURE_BYTES as u64;
    if me == WRITER {
        let dirty = write_picture(meeting, bytes);
        let _ = writeln!(Console, "meet wrote {} pages, {dirty} did not come empty", bytes / PAGE);
    }
    meeting.meet();
    if me == READER {
        let _ = writeln!(Console, "meet read {} pages, {} wrong", bytes / PAGE, meeting.wrong_pages(bytes));
    }
    (0..ROUNDS).for_each(|_| meeting.meet());
    for (phase, workers) in (1..).zip(PHASES) {
        meeting.meet();
        let pieces = if workers.contains(&me) { work(meeting, me, phase) } else { 0 };
        meeting.meet();
        let _ = writeln!(Console, "meet phase {phase} member {me} pieces {pieces}");
    }
    let _ = writeln!(Console, "meet events {:?}", meeting.events);
    meeting.meet();
}

/// Fills the picture; pages that did not come empty.
fn write_picture(meeting: &Meeting<Linux>, bytes: u64) -> usize {
    let dirty = meeting.words(bytes).filter(|(word, _)| word.load(Ordering::Relaxed) != 0).count();
    meeting.words(bytes).for_each(|(word, pattern)| word.store(pattern, Ordering::Release));
    dirty
}

/// Works until the leader says that the phase is over; how many pieces were done.
fn work(meeting: &Meeting<Linux>, me: usize, phase: u64) -> u64 {
    let said = || meeting.member.mail(PHASE).load(Ordering::SeqCst);
    meeting.ready(me).store(phase, Ordering::Release);
    while said() != phase {}
    let mut pieces = 0;
    while said() == phase {
        protocol::piece();
        pieces += 1;
    }
    pieces
}

#[panic_handler]
fn panic(information: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Console, "FAIL panic: {information}");
    exit(1)
}
