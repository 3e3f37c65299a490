//! A domain: what its vCPUs share.

use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use machine::contract::{Machine, Ticks};
use machine::lock::Lock;
use model::arm64::gic::Gic;

use crate::console::DomainConsole;

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
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::PowerOff => "powered off",
            End::Reboot => "asked for a restart, which needs a toolstack: it stays off",
            End::Crash => "crashed",
        })
    }
}

/// One guest.
#[derive(Debug)]
pub struct Domain<M: Machine> {
    /// Domain id.
    pub id: u16,
    /// Numbers of its vCPUs.
    pub vcpus: Range<usize>,
    /// Where it sees its devices.
    pub layout: plan::Layout,
    /// Its interrupt controller.
    pub interrupts: Lock<Gic>,
    /// Its UART and the line that it is writing; `None` without `vpl011`.
    pub console: Option<Lock<DomainConsole>>,
    /// Its memory.
    pub map: M::GuestMap,
    /// How many lines of the hypervisor it may still cause.
    pub lines: Allowance,
    /// vCPUs that are on.
    pub online: AtomicUsize,
    end: AtomicU8,
}

impl<M: Machine> Domain<M> {
    /// A domain that lives.
    pub fn new(
        plan: &plan::Domain,
        first_vcpu: usize,
        interrupts: Lock<Gic>,
        console: Option<Lock<DomainConsole>>,
        map: M::GuestMap,
    ) -> Self {
        Domain {
            id: plan.id,
            vcpus: first_vcpu..first_vcpu.saturating_add(usize::from(plan.vcpus)),
            layout: plan.layout,
            interrupts,
            console,
            map,
            lines: Allowance::new(),
            online: AtomicUsize::new(0),
            end: AtomicU8::new(0),
        }
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
        };
        self.end.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Why it ended, if it has.
    pub fn end(&self) -> Option<End> {
        match self.end.load(Ordering::Acquire) {
            0 => None,
            1 => Some(End::PowerOff),
            2 => Some(End::Reboot),
            _ => Some(End::Crash),
        }
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
