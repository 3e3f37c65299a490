//! Event channels.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// EVTCHNOP_bind_interdomain.
pub const BIND_INTERDOMAIN: u64 = 0;
/// EVTCHNOP_bind_virq.
pub const BIND_VIRQ: u64 = 1;
/// EVTCHNOP_bind_pirq.
pub const BIND_PIRQ: u64 = 2;
/// EVTCHNOP_close.
pub const CLOSE: u64 = 3;
/// EVTCHNOP_send.
pub const SEND: u64 = 4;
/// EVTCHNOP_status.
pub const STATUS: u64 = 5;
/// EVTCHNOP_alloc_unbound.
pub const ALLOC_UNBOUND: u64 = 6;
/// EVTCHNOP_bind_ipi.
pub const BIND_IPI: u64 = 7;
/// EVTCHNOP_bind_vcpu.
pub const BIND_VCPU: u64 = 8;
/// EVTCHNOP_unmask.
pub const UNMASK: u64 = 9;
/// EVTCHNOP_reset.
pub const RESET: u64 = 10;
/// EVTCHNOP_init_control.
pub const INIT_CONTROL: u64 = 11;
/// EVTCHNOP_expand_array.
pub const EXPAND_ARRAY: u64 = 12;
/// EVTCHNOP_set_priority.
pub const SET_PRIORITY: u64 = 13;

/// The event word's bit: pending.
pub const PENDING: u32 = 1 << 31;
/// The event word's bit: masked.
pub const MASKED: u32 = 1 << 30;
/// The event word's bit: in a queue.
pub const LINKED: u32 = 1 << 29;
/// The event word's link to the next port.
pub const LINK: u32 = (1 << 17) - 1;

/// shared_info: pending bits.
pub const SHARED_PENDING: usize = 48;
/// shared_info: mask bits.
pub const SHARED_MASK: usize = SHARED_PENDING + 512;
/// shared_info: version of the wall clock, its seconds, nanoseconds and the seconds' upper half.
pub const SHARED_WALL_CLOCK: usize = SHARED_MASK + 512;

/// The word of memory at an address that Xen shares.
#[must_use]
pub fn word64(address: usize) -> &'static AtomicU64 {
    // SAFETY: the callers name aligned words of pages that live as long as the guest.
    unsafe { AtomicU64::from_ptr(address as *mut u64) }
}

/// As [`word64`], 32 bits.
#[must_use]
pub fn word32(address: usize) -> &'static AtomicU32 {
    // SAFETY: as above.
    unsafe { AtomicU32::from_ptr(address as *mut u32) }
}

/// evtchn_status.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Status {
    /// Whose.
    pub domain: u16,
    /// Which.
    pub port: u32,
    /// EVTCHNSTAT_.
    pub status: u32,
    /// Which vCPU it notifies.
    pub vcpu: u32,
    /// The union's first word.
    pub one: u32,
    /// The union's second word.
    pub two: u32,
}

/// Two words, for all operations with no more than that, whatever their names are.
pub type Words = [u32; 4];

fn with(command: u64, words: &mut Words) -> i64 {
    super::op(super::EVENT_CHANNEL_OP, command, words)
}

/// The answer of a call that gives a port: the port, or the error.
fn port(answer: i64, port: u32) -> Result<u32, i64> {
    if answer == 0 { Ok(port) } else { Err(answer) }
}

/// alloc_unbound.
pub fn alloc_unbound(domain: u16, remote: u16) -> Result<u32, i64> {
    let mut words = [u32::from(domain) | u32::from(remote) << 16, 0, 0, 0];
    let answer = with(ALLOC_UNBOUND, &mut words);
    port(answer, words[1])
}

/// bind_interdomain.
pub fn bind_interdomain(remote: u16, remote_port: u32) -> Result<u32, i64> {
    let mut words = [u32::from(remote), remote_port, 0, 0];
    let answer = with(BIND_INTERDOMAIN, &mut words);
    port(answer, words[2])
}

/// bind_virq.
pub fn bind_virq(virq: u32, vcpu: u32) -> Result<u32, i64> {
    let mut words = [virq, vcpu, 0, 0];
    let answer = with(BIND_VIRQ, &mut words);
    port(answer, words[2])
}

/// bind_ipi.
pub fn bind_ipi(vcpu: u32) -> Result<u32, i64> {
    let mut words = [vcpu, 0, 0, 0];
    let answer = with(BIND_IPI, &mut words);
    port(answer, words[1])
}

/// An operation that takes a port alone.
pub fn on(command: u64, port: u32) -> i64 {
    with(command, &mut [port, 0, 0, 0])
}

/// send.
pub fn send(port: u32) -> i64 {
    on(SEND, port)
}

/// close.
pub fn close(port: u32) -> i64 {
    on(CLOSE, port)
}

/// unmask.
pub fn unmask(port: u32) -> i64 {
    on(UNMASK, port)
}

/// bind_vcpu.
pub fn bind_vcpu(port: u32, vcpu: u32) -> i64 {
    with(BIND_VCPU, &mut [port, vcpu, 0, 0])
}

/// set_priority.
pub fn set_priority(port: u32, priority: u32) -> i64 {
    with(SET_PRIORITY, &mut [port, priority, 0, 0])
}

/// reset.
pub fn reset(domain: u16) -> i64 {
    with(RESET, &mut [u32::from(domain), 0, 0, 0])
}

/// status.
pub fn status(domain: u16, port: u32) -> Result<Status, i64> {
    let mut status = Status { domain, port, ..Status::default() };
    let answer = super::op(super::EVENT_CHANNEL_OP, STATUS, &mut status);
    if answer == 0 { Ok(status) } else { Err(answer) }
}

/// init_control; the number of link bits.
pub fn init_control(frame: u64, offset: u32, vcpu: u32) -> Result<u8, i64> {
    let mut request = [frame, u64::from(offset) | u64::from(vcpu) << 32, 0];
    let answer = super::op(super::EVENT_CHANNEL_OP, INIT_CONTROL, &mut request);
    if answer == 0 { Ok(request[2] as u8) } else { Err(answer) }
}

/// expand_array.
pub fn expand_array(frame: u64) -> i64 {
    let mut frame = frame;
    super::op(super::EVENT_CHANNEL_OP, EXPAND_ARRAY, &mut frame)
}
