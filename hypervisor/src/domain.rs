//! A domain: what its vCPUs share.

use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use machine::contract::{Machine, Ticks};
use machine::lock::Lock;
use model::arm64::gic::Gic;
use plan::Share;

use crate::console::DomainConsole;
use crate::home::Homes;
use crate::pool::Seat;
use crate::pv::Pv;

/// Stages of a domain for the toolstack: it is there; it is being destroyed; it has been.
const ALIVE: u8 = 0;
const DYING: u8 = 1;
const GONE: u8 = 2;

/// Sixteen bytes by which a toolstack knows a domain (`xen_domain_handle_t`).
#[derive(Debug, Default)]
pub struct Name {
    halves: [AtomicU64; 2],
}

impl Name {
    /// The bytes.
    pub fn get(&self) -> [u8; 16] {
        let [first, second] = &self.halves;
        let both =
            u128::from(first.load(Ordering::Relaxed)) | u128::from(second.load(Ordering::Relaxed)) << 64;
        both.to_le_bytes()
    }

    /// Changes them.
    pub fn set(&self, bytes: [u8; 16]) {
        let both = u128::from_le_bytes(bytes);
        let [first, second] = &self.halves;
        first.store(u64::try_from(both & u128::from(u64::MAX)).unwrap_or(0), Ordering::Relaxed);
        second.store(u64::try_from(both >> 64).unwrap_or(0), Ordering::Relaxed);
    }
}

/// Why a domain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum End {
    /// It switched itself off.
    PowerOff = 1,
    /// It asked for a restart.
    Reboot = 2,
    /// It did what it must not, or cannot go on.
    Crash = 3,
    /// Its watchdog was not fed.
    Watchdog = 4,
}

impl End {
    /// The reason that a toolstack reads (`SHUTDOWN_*`).
    pub fn reason(self) -> u32 {
        match self {
            End::PowerOff => abi::sched::SHUTDOWN_POWEROFF,
            End::Reboot => abi::sched::SHUTDOWN_REBOOT,
            End::Crash => abi::sched::SHUTDOWN_CRASH,
            End::Watchdog => abi::sched::SHUTDOWN_WATCHDOG,
        }
    }

    /// What follows from a reason that the domain, or another for it, has given (`SHUTDOWN_*`).
    pub fn of_reason(reason: u32) -> Self {
        match reason {
            abi::sched::SHUTDOWN_POWEROFF => End::PowerOff,
            abi::sched::SHUTDOWN_REBOOT => End::Reboot,
            _ => End::Crash,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::PowerOff => "powered off",
            End::Reboot => "asked for a restart, which needs a toolstack: it stays off",
            End::Crash => "crashed",
            End::Watchdog => "not fed its watchdog",
        })
    }
}

/// One guest.
#[derive(Debug)]
pub struct Domain<M: Machine> {
    /// Domain id.
    pub id: u16,
    /// Its index among the domains.
    pub index: usize,
    /// Numbers of its vCPUs.
    pub vcpus: Range<usize>,
    /// Its pool, and its number there.
    pub seat: Seat,
    share: AtomicU32,
    /// Where it sees its devices.
    pub layout: plan::Layout,
    /// INTIDs of its virtual timer's interrupt and of its physical timer's.
    pub timers: [u32; 2],
    /// Its interrupt controller.
    pub interrupts: Lock<Gic>,
    /// Its UART and the line that it is writing; `None` without `vpl011`.
    pub console: Option<Lock<DomainConsole>>,
    /// Its memory.
    pub map: M::GuestMap,
    /// Its PV interfaces, if the owner gave it some.
    pub pv: Option<Pv>,
    /// Every frame of its RAM has the same guest and host address.
    pub direct_map: bool,
    /// Frames that are its own for good.
    pub homes: Homes,
    /// Frames of RAM that it has, and that it may have.
    pub frames: Reservation,
    top: AtomicU64,
    /// It has a UART, which `console` is behind; else it has the hypervisor's console by hypercalls.
    pub has_uart: bool,
    /// Timers that end it unless it feeds them.
    pub watchdogs: Watchdogs,
    /// How many lines of the hypervisor it may still cause.
    pub lines: Allowance,
    /// vCPUs that are on.
    pub online: AtomicUsize,
    end: AtomicU8,
    /// Whether it is being destroyed, or has been.
    stage: AtomicU8,
    paused: AtomicBool,
    /// What the toolstack calls it.
    pub handle: Name,
    /// What it said why it would end (`SCHEDOP_shutdown_code`).
    reason: AtomicU32,
}

/// A share as one word.
fn packed(share: Share) -> u32 {
    u32::from(share.weight) | u32::from(share.cap) << 16
}

/// Number of the last frame of a range.
fn last_frame(base: u64, size: u64) -> Option<u64> {
    (base.checked_add(size)? >> 12).checked_sub(1)
}

/// A domain that the holder may control: made by whoever has checked that, and passed to what needs it.
#[derive(Debug)]
pub struct Controlled<'d, M: Machine> {
    /// The domain.
    pub domain: &'d Domain<M>,
}

impl<M: Machine> Clone for Controlled<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for Controlled<'_, M> {}

impl<M: Machine> Domain<M> {
    /// A domain that lives.
    pub fn new(
        plan: &plan::Domain,
        (index, first_vcpu, seat): (usize, usize, Seat),
        interrupts: Lock<Gic>,
        console: Option<Lock<DomainConsole>>,
        (map, pv): (M::GuestMap, Option<Pv>),
    ) -> Self {
        let owned = plan.shared.iter().filter(|share| share.is_owner).map(|share| &share.memory);
        let ram = plan.memory.iter().chain(owned);
        let frames = ram.fold(0_u64, |sum, piece| sum.saturating_add(piece.size >> 12));
        let seen = plan.memory.iter().chain(plan.shared.iter().map(|share| &share.memory));
        let last = seen.filter_map(|piece| last_frame(piece.guest, piece.size)).max();
        Domain {
            id: plan.id,
            index,
            vcpus: first_vcpu..first_vcpu.saturating_add(usize::from(plan.vcpus)),
            seat,
            share: AtomicU32::new(packed(plan.share)),
            layout: plan.layout,
            timers: plan.timers,
            interrupts,
            console,
            map,
            pv,
            direct_map: plan.direct_map,
            homes: Homes::new(plan),
            frames: Reservation::new(frames),
            top: AtomicU64::new(last.unwrap_or(0)),
            has_uart: plan.vpl011,
            watchdogs: Watchdogs::default(),
            reason: AtomicU32::new(0),
            stage: AtomicU8::new(ALIVE),
            paused: AtomicBool::new(false),
            handle: Name::default(),
            lines: Allowance::new(),
            online: AtomicUsize::new(0),
            end: AtomicU8::new(0),
        }
    }

    /// Its share of its pool.
    pub fn share(&self) -> Share {
        let [a, b, c, d] = self.share.load(Ordering::Relaxed).to_le_bytes();
        Share { weight: u16::from_le_bytes([a, b]), cap: u16::from_le_bytes([c, d]) }
    }

    /// Notes another one.
    pub fn set_share(&self, share: Share) {
        self.share.store(packed(share), Ordering::Relaxed);
    }

    /// It is there for the toolstack: it has not been destroyed.
    pub fn exists(&self) -> bool {
        self.stage.load(Ordering::Acquire) != GONE
    }

    /// It is being destroyed.
    pub fn is_dying(&self) -> bool {
        self.stage.load(Ordering::Acquire) == DYING
    }

    /// It is being destroyed from now on.
    pub fn begin_to_die(&self) {
        let _ = self.stage.compare_exchange(ALIVE, DYING, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// It has been destroyed.
    pub fn vanish(&self) {
        self.stage.store(GONE, Ordering::Release);
    }

    /// Somebody has paused it.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Pauses it, or ends that; whether that was news.
    pub fn set_paused(&self, paused: bool) -> bool {
        self.paused.swap(paused, Ordering::SeqCst) != paused
    }

    /// It controls the others: dom0.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.id == 0
    }

    /// The right of `caller` to control this domain, if it has it: dom0 has it over all domains.
    pub fn controlled_by(&self, caller: &Domain<M>) -> Option<Controlled<'_, M>> {
        caller.is_control().then_some(Controlled { domain: self })
    }

    /// The largest number of a frame that it ever was shown.
    pub fn top(&self) -> u64 {
        self.top.load(Ordering::Relaxed)
    }

    /// It is shown a frame with this number.
    pub fn note_top(&self, number: Option<u64>) {
        if let Some(number) = number.filter(|number| *number > self.top()) {
            self.top.fetch_max(number, Ordering::Relaxed);
        }
    }

    /// Takes note of why it says that it will end.
    pub fn note_reason(&self, reason: u32) {
        self.reason.store(reason, Ordering::Relaxed);
    }

    /// It has not ended.
    #[inline]
    pub fn lives(&self) -> bool {
        self.end.load(Ordering::Acquire) == 0
    }

    /// Ends it. True for the one caller that did.
    pub fn finish(&self, end: End) -> bool {
        let code = match end {
            End::PowerOff => 1,
            End::Reboot => 2,
            End::Crash => 3,
            End::Watchdog => 4,
        };
        self.end.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Why it ended, if it has.
    pub fn end(&self) -> Option<End> {
        match self.end.load(Ordering::Acquire) {
            0 => None,
            1 => Some(End::PowerOff),
            2 => Some(End::Reboot),
            4 => Some(End::Watchdog),
            _ => Some(End::Crash),
        }
    }
}

/// A domain's watchdogs: each a deadline, or 0 where it does not run.
#[derive(Debug, Default)]
pub struct Watchdogs {
    deadlines: [AtomicU64; 2],
}

impl Watchdogs {
    /// Starts one that does not run; its index.
    pub fn start(&self, deadline: Ticks) -> Option<usize> {
        let start = |slot: &AtomicU64| {
            slot.compare_exchange(0, deadline.max(1), Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        self.deadlines.iter().position(start)
    }

    /// Puts the deadline of one that runs off; false where it does not.
    pub fn feed(&self, index: usize, deadline: Ticks) -> bool {
        self.deadlines.get(index).is_some_and(|slot| {
            let feed = |now: Ticks| (now != 0).then_some(deadline.max(1));
            slot.fetch_update(Ordering::AcqRel, Ordering::Relaxed, feed).is_ok()
        })
    }

    /// Stops one; false where it does not run.
    pub fn stop(&self, index: usize) -> bool {
        self.deadlines.get(index).is_some_and(|slot| slot.swap(0, Ordering::AcqRel) != 0)
    }

    /// The earliest deadline.
    pub fn earliest(&self) -> Option<Ticks> {
        self.deadlines.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|deadline| *deadline != 0).min()
    }
}

/// How much RAM a domain has.
#[derive(Debug)]
pub struct Reservation {
    current: AtomicU64,
    most: AtomicU64,
}

impl Reservation {
    fn new(frames: u64) -> Self {
        Reservation { current: AtomicU64::new(frames), most: AtomicU64::new(frames) }
    }

    /// Frames that it has.
    pub fn current(&self) -> u64 {
        self.current.load(Ordering::Relaxed)
    }

    /// Frames that it may have.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Lets it have so many.
    pub fn set_most(&self, frames: u64) {
        self.most.store(frames, Ordering::Relaxed);
    }

    /// Counts frames that it gets; false where that were too many.
    pub fn add(&self, frames: u64) -> bool {
        let more = |current: u64| current.checked_add(frames).filter(|sum| *sum <= self.most());
        self.current.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).is_ok()
    }

    /// Counts frames that it has given back.
    pub fn subtract(&self, frames: u64) {
        let less = |current: u64| Some(current.saturating_sub(frames));
        let _ = self.current.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
    }
}

/// How often something may happen: so many times at once, then once a second.
#[derive(Debug)]
pub struct Allowance {
    left: AtomicU32,
    since: AtomicU64,
}

impl Allowance {
    const AT_ONCE: u32 = 16;

    fn new() -> Self {
        Allowance { left: AtomicU32::new(Self::AT_ONCE), since: AtomicU64::new(0) }
    }

    /// May it happen now?
    pub fn allow(&self, now: Ticks, second: Ticks) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        if now.wrapping_sub(since) >= second {
            self.since.store(now, Ordering::Relaxed);
            let more = self.left.load(Ordering::Relaxed).saturating_add(1).min(Self::AT_ONCE);
            self.left.store(more, Ordering::Relaxed);
        }
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}
