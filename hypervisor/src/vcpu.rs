//! A virtual processor: its registers, and the flags by which others reach it.
//!
//! The registers belong to the processor that runs it: that one holds their lock for as long as they are
//! loaded. Everybody else sets a flag and, where it matters now, kicks that processor.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use machine::contract::{CpuIndex, Ticks};
use machine::lock::{Lock, Rank};
use model::arm64::Registers;
use model::arm64::timer::PhysicalTimer;

use crate::memory::Progress;
use crate::pool::Seat;
use crate::runstate::Runstate;
use crate::schedule::{Affinity, VcpuId};
use crate::timer::{NO_CPU, restored, stored};

/// What the running processor owns.
#[derive(Debug)]
pub struct State {
    /// Registers of the guest.
    pub registers: Registers,
    /// The emulated physical timer.
    pub physical_timer: PhysicalTimer,
    /// The emulated timer's interrupt line, as the interrupt controller knows it.
    pub physical_line: bool,
    /// When a poll for events ends (`SCHEDOP_poll`).
    pub poll_deadline: Option<Ticks>,
}

impl State {
    /// Has one of its timers something to say to its interrupt controller?
    #[inline]
    pub fn is_due(&self, now: Ticks) -> bool {
        let timer = &self.registers.timer;
        timer.in_flight || timer.output(now) || self.physical_timer.output(now) != self.physical_line
    }

    /// When the emulated timer's line will rise, if it is low.
    pub fn pending_physical_deadline(&self) -> Option<Ticks> {
        if self.physical_line { None } else { self.physical_timer.deadline() }
    }
}

/// Where a vCPU starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Guest address of its first instruction.
    pub entry: u64,
    /// X0.
    pub argument: u64,
}

/// Whether a vCPU is on, in the sense of PSCI.
#[derive(Debug)]
pub struct Power {
    state: AtomicU8,
    /// The orders for the processor that runs it first.
    start: Lock<Start>,
}

impl Power {
    const OFF: u8 = 0;
    const ORDERED: u8 = 1;
    const ON: u8 = 2;

    /// Of a vCPU that is off.
    pub const fn off() -> Self {
        let start = Start { entry: 0, argument: 0 };
        Power { state: AtomicU8::new(Self::OFF), start: Lock::new(Rank::Power, start) }
    }

    /// It is neither on nor about to be.
    #[inline]
    pub fn is_off(&self) -> bool {
        self.state.load(Ordering::Acquire) == Self::OFF
    }

    /// Switches it on, to start there. False, and nothing happens, where it is on already.
    pub fn switch_on(&self, start: Start) -> bool {
        let mut place = self.start.lock();
        let was_off = self.is_off();
        if was_off {
            *place = start;
            self.state.store(Self::ORDERED, Ordering::Release);
        }
        was_off
    }

    /// Switches it off.
    pub fn switch_off(&self) {
        self.state.store(Self::OFF, Ordering::Release);
    }

    /// Where it is to start, if it has been switched on and nobody has asked yet.
    #[inline]
    pub fn take_orders(&self) -> Option<Start> {
        if self.state.load(Ordering::Acquire) != Self::ORDERED {
            return None;
        }
        let start = *self.start.lock();
        self.state.store(Self::ON, Ordering::Release);
        Some(start)
    }
}

/// What a vCPU was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told(u8);

impl Told {
    const INTERRUPTS: u8 = 1;
    const UPCALL: u8 = 2;

    /// Somebody else has changed its interrupts.
    #[inline]
    pub fn of_interrupts(self) -> bool {
        self.0 & Self::INTERRUPTS != 0
    }

    /// Its event interrupt is to be raised.
    #[inline]
    pub fn of_upcall(self) -> bool {
        self.0 & Self::UPCALL != 0
    }
}

/// A vCPU polls for more than one port.
pub const POLLS_FOR_ANY: u32 = u32::MAX;

/// One virtual processor.
#[derive(Debug)]
pub struct Vcpu {
    /// Its number in the machine.
    pub id: VcpuId,
    /// Index of its domain.
    pub domain: usize,
    /// Its number in the domain.
    pub index: usize,
    /// Its number in its pool.
    pub seat: Seat,
    /// Its state; see the module's text.
    pub state: Lock<State>,
    /// Where it may run, as the toolstack has said; processors as the machine numbers them.
    pub affinity: Lock<Affinity>,
    /// On or off.
    pub power: Power,
    /// An extent of memory that it has left in the middle.
    pub progress: Lock<Option<Progress>>,
    /// How long it has been doing what.
    pub runstate: Lock<Runstate>,
    /// The port for which it polls; [`POLLS_FOR_ANY`], or 0 for none.
    poll: AtomicU32,
    /// What the processor that runs it is to look at.
    news: AtomicU8,
    blocked: AtomicBool,
    running_on: AtomicU32,
    deadline_on: AtomicU32,
    last_on: AtomicU32,
    /// It could run, but its domain is paused.
    held: AtomicBool,
}

impl Vcpu {
    /// A vCPU that is off, as of `now`.
    pub fn new(
        id: VcpuId,
        (domain, index): (usize, usize),
        seat: Seat,
        registers: Registers,
        now: Ticks,
    ) -> Self {
        Vcpu {
            id,
            domain,
            index,
            seat,
            state: Lock::new(
                Rank::Registers,
                State {
                    registers,
                    physical_timer: PhysicalTimer::default(),
                    physical_line: false,
                    poll_deadline: None,
                },
            ),
            affinity: Lock::new(Rank::Power, Affinity::FREE),
            power: Power::off(),
            progress: Lock::new(Rank::Power, None),
            runstate: Lock::new(Rank::Runstate, Runstate::new(now)),
            poll: AtomicU32::new(0),
            news: AtomicU8::new(0),
            blocked: AtomicBool::new(false),
            running_on: AtomicU32::new(NO_CPU),
            deadline_on: AtomicU32::new(NO_CPU),
            last_on: AtomicU32::new(0),
            held: AtomicBool::new(false),
        }
    }

    /// Polls for a port, or for [`POLLS_FOR_ANY`].
    pub fn start_poll(&self, port: u32) {
        self.poll.store(port, Ordering::SeqCst);
    }

    /// Does it poll for this port?
    pub fn polls_for(&self, port: u32) -> bool {
        let polled = self.poll.load(Ordering::SeqCst);
        polled != 0 && (polled == POLLS_FOR_ANY || polled == port)
    }

    /// Ends a poll; whether there was one.
    pub fn end_poll(&self) -> bool {
        self.poll.load(Ordering::SeqCst) != 0 && self.poll.swap(0, Ordering::SeqCst) != 0
    }

    /// Says that its interrupt controller has news. Answers with the processor that runs it.
    pub fn call(&self) -> Option<CpuIndex> {
        self.tell(Told::INTERRUPTS)
    }

    /// Says that its event interrupt is to be raised, which is left to the processor that runs it: now, or next.
    pub fn owe_upcall(&self) -> Option<CpuIndex> {
        self.tell(Told::UPCALL)
    }

    #[inline]
    fn tell(&self, news: u8) -> Option<CpuIndex> {
        self.news.fetch_or(news, Ordering::SeqCst);
        restored(self.running_on.load(Ordering::SeqCst))
    }

    /// Is there news? What comes from another processor in this moment comes with an interrupt.
    #[inline]
    pub fn is_called(&self) -> bool {
        self.news.load(Ordering::Relaxed) != 0
    }

    /// What news there is; forgets it.
    #[inline]
    pub fn take_news(&self) -> Told {
        Told(if self.news.load(Ordering::SeqCst) == 0 { 0 } else { self.news.swap(0, Ordering::SeqCst) })
    }

    /// Is on its way to sleep, or asleep, from now on.
    pub fn block(&self) {
        self.blocked.store(true, Ordering::SeqCst);
    }

    /// Ends that; answers whether it was so. Exactly one caller hears yes.
    pub fn unblock(&self) -> bool {
        self.blocked.load(Ordering::SeqCst) && self.blocked.swap(false, Ordering::SeqCst)
    }

    /// Is it on its way to sleep, or asleep?
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::SeqCst)
    }

    /// Is loaded on `cpu`, or on none.
    pub fn set_running_on(&self, cpu: Option<CpuIndex>) {
        self.running_on.store(cpu.map_or(NO_CPU, stored), Ordering::SeqCst);
        if let Some(cpu) = cpu {
            self.last_on.store(stored(cpu), Ordering::Relaxed);
        }
    }

    /// The processor that it was loaded on last.
    pub fn last_on(&self) -> CpuIndex {
        restored(self.last_on.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// It could run, but is held back.
    pub fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// It is held back no longer; whether it was.
    pub fn let_go(&self) -> bool {
        self.held.load(Ordering::SeqCst) && self.held.swap(false, Ordering::SeqCst)
    }

    /// The processor that it is loaded on.
    pub fn running_on(&self) -> Option<CpuIndex> {
        restored(self.running_on.load(Ordering::SeqCst))
    }

    /// The processor whose queue holds its deadline; `None` from now on.
    pub fn take_deadline(&self) -> Option<CpuIndex> {
        if self.deadline_on.load(Ordering::Relaxed) == NO_CPU {
            return None;
        }
        restored(self.deadline_on.swap(NO_CPU, Ordering::AcqRel))
    }

    /// Its deadline is in this processor's queue.
    pub fn set_deadline_on(&self, cpu: CpuIndex) {
        self.deadline_on.store(stored(cpu), Ordering::Release);
    }
}
