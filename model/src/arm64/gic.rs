//! The interrupt controller that a guest sees: GICv2 or GICv3, one security state, no LPIs.
//!
//! One [`Gic`] is shared by the vCPUs of a domain, under the domain's interrupt lock. Guests reach it by
//! MMIO ([`Gic::read`], [`Gic::write`]) and by SGI registers ([`Gic::sgi`]); lines and physical interrupts
//! come in by [`Gic::set_line`] and [`Gic::inject_physical`]; and interrupts go out through the list
//! registers of a vCPU ([`Gic::fold`], [`Gic::refill`], or [`Gic::raise_running`] for one at a time). The CPU
//! interface itself is the hardware's.
//!
//! # Who owns the state
//! What is in a list register belongs to the hardware: the guest acknowledges and ends it without a trap.
//! All else is here. An interrupt is *owed* to a vCPU as long as it should be in a list register of that
//! vCPU and is not. Any change of an interrupt that is in a list register marks the vCPU that holds it,
//! which then folds its list registers back and fills them anew by the new state; so a change never has
//! to know what the guest did meanwhile, and nothing is lost or delivered twice. GICD_ISPENDR and
//! GICD_ISACTIVER read what is in memory: that is exact for a vCPU that folds before such an access (see
//! [`Gic::wants_fold`]), while an interrupt that another running vCPU has in a list register reads as
//! neither pending (unless its line is high) nor active. So does one that a vCPU took along in its list registers when it was last
//! put aside.
//!
//! # The order of delivery
//! Active interrupts go first, most urgent first, because their end can only be seen in a list register;
//! then pending ones by priority and INTID. A pending interrupt that is more urgent than every active one
//! gets a place in any case. If more are owed than fit, [`Lists::underflow`](super::Lists) asks for an
//! interrupt before the list registers run dry.
//!
//! # Physical interrupts
//! A linked interrupt is active at the host's controller until its end in the guest deactivates it. If it
//! goes away without that end (the guest clears its pending or active state), [`Gic::take_release`] says
//! so, and the caller deactivates it. If the guest has it disabled it waits, active at the host.
//!
//! Sources: IHI 0069 (GICv3), IHI 0048 (GICv2).

mod attention;
mod bank;
mod deliver;
mod direct;
mod distributor;
mod interrupt;
mod owed;
mod redistributor;

use alloc::vec::Vec;

use super::affinity;
use super::system_register::SgiGroup;
use crate::bits::index;
pub use attention::{Attention, Iter as AttentionIter};
pub use direct::Raise;
use interrupt::{Change, EDGE, ENABLED, Interrupt, LINK, LISTED, NOBODY, RELEASE, SOURCED};
use owed::Owed;

/// SGIs and PPIs of a vCPU.
const PRIVATE: usize = 32;
/// SGIs of a vCPU.
const SGIS: usize = 16;
/// The most SPIs: INTIDs end at 1019.
pub const MOST_SPIS: usize = 988;
/// The most vCPUs of a GICv2.
pub const MOST_VCPUS_V2: usize = 8;

/// Which controller the guest sees; the host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// GICv2: distributor, and the CPU interface in memory.
    V2,
    /// GICv3: distributor, redistributors, system registers.
    V3,
}

/// Why a controller cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// Not enough memory.
    OutOfMemory,
    /// No vCPU, or more than this version can have.
    Vcpus,
    /// More SPIs than there are INTIDs.
    Spis,
}

/// Which frame of registers a guest accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The distributor.
    Distributor,
    /// The two frames (128 KiB) of this vCPU's redistributor, whoever accesses them.
    Redistributor(usize),
}

/// The answer to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the guest reads.
    pub value: u64,
    /// False: there is no such register, or not in this width; the value is zero.
    pub known: bool,
}

/// The outcome of a write.
#[must_use = "vCPUs may have to be refilled"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The vCPUs that this concerns. [`Gic::take_release`] may have something for them, too.
    pub attention: Attention,
    /// False: there is no such register, or not in this width; nothing was done.
    pub known: bool,
}

/// What belongs to one vCPU.
#[derive(Clone, Debug)]
struct VirtualCpu {
    private: [Interrupt; PRIVATE],
    owed: Owed,
    /// The list registers are to be folded and filled before the next entry.
    dirty: bool,
    /// Some private interrupt may have a physical one to release.
    releases: bool,
}

/// The interrupt controller of a domain.
#[derive(Clone, Debug)]
pub struct Gic {
    version: Version,
    list_registers: usize,
    /// GICD_TYPER.
    kind: u64,
    /// GICD_CTLR: bit 0 forwards group 0, bit 1 group 1.
    groups: u8,
    vcpus: Vec<VirtualCpu>,
    everybody: Attention,
    shared: Vec<Interrupt>,
    /// Some SPI may have a physical one to release.
    shared_releases: bool,
}

impl Gic {
    /// Memory that a controller takes for each vCPU, in bytes.
    pub const BYTES_PER_VCPU: usize = size_of::<VirtualCpu>();
    /// Memory that a controller takes for each SPI, in bytes.
    pub const BYTES_PER_SPI: usize = size_of::<Interrupt>();

    /// A controller as after reset, with all the memory that it will ever have. `spis` is rounded up to a
    /// multiple of 32 and cut at [`MOST_SPIS`]; `list_registers` is the host's number, 1 to 16.
    pub fn try_new(
        version: Version,
        vcpus: usize,
        spis: usize,
        list_registers: usize,
    ) -> Result<Self, BuildError> {
        let most = if version == Version::V2 { MOST_VCPUS_V2 } else { affinity::VCPUS };
        if vcpus == 0 || vcpus > most {
            return Err(BuildError::Vcpus);
        }
        if spis > MOST_SPIS {
            return Err(BuildError::Spis);
        }
        let spis = spis.checked_next_multiple_of(32).unwrap_or(MOST_SPIS).min(MOST_SPIS);
        let mut all = Vec::new();
        all.try_reserve_exact(vcpus).map_err(|_| BuildError::OutOfMemory)?;
        all.extend((0..vcpus).map(|vcpu| VirtualCpu::new(version, vcpu)));
        let mut shared = Vec::new();
        shared.try_reserve_exact(spis).map_err(|_| BuildError::OutOfMemory)?;
        shared.resize(spis, Interrupt::new(0, 0, u8::from(version == Version::V2)));
        let list_registers = list_registers.clamp(1, super::LIST_REGISTERS);
        Ok(Self {
            version,
            list_registers,
            kind: distributor::kind(version, vcpus, spis),
            groups: 0,
            vcpus: all,
            everybody: Attention::first(vcpus),
            shared,
            shared_releases: false,
        })
    }

    /// Which controller it is.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// An SGI, from a write of ICC_SGI1R_EL1 (group 1), ICC_SGI0R_EL1 or ICC_ASGI1R_EL1 (group 0) by
    /// vCPU `from`. Only for a GICv3. Targets that do not exist are ignored.
    #[inline(never)]
    pub fn sgi(&mut self, from: usize, value: u64, group: SgiGroup) -> Attention {
        let everybody = self.everybody;
        let targets =
            if value >> 40 & 1 != 0 { everybody.without(from) } else { sgi_targets(value).and(everybody) };
        let intid = value >> 24 & 0xf;
        let intid = usize::try_from(intid).unwrap_or(0);
        let group1 = group == SgiGroup::Group1;
        let mut attention = Attention::NONE;
        for vcpu in targets {
            if self.interrupt(vcpu, intid).is_some_and(|sgi| sgi.is(interrupt::GROUP1) == group1) {
                attention |= self.signal(vcpu, intid, 0);
            }
        }
        attention
    }

    /// The line of a PPI (of this vCPU) or of an SPI (of whatever vCPU) has this level now. An
    /// edge-triggered interrupt becomes pending when its line rises, a level-sensitive one is pending
    /// while it is high.
    pub fn set_line(&mut self, intid: u32, vcpu: usize, high: bool) -> Attention {
        let intid = index(intid);
        match self.line_mut(vcpu, intid) {
            Some(interrupt) => match interrupt.set_line(high) {
                Change::None => Attention::NONE,
                Change::Settle | Change::Release => self.settle(vcpu, intid),
            },
            None => Attention::NONE,
        }
    }

    /// A PPI of this vCPU, or an SPI, becomes pending and stays so until it is taken, whatever its line: as by
    /// GICD_ISPENDR.
    pub fn pulse(&mut self, vcpu: usize, intid: u32) -> Attention {
        let intid = index(intid);
        match self.line_mut(vcpu, intid).map(Interrupt::set_pending) {
            Some(Change::Settle | Change::Release) => self.settle(vcpu, intid),
            Some(Change::None) | None => Attention::NONE,
        }
    }

    /// The physical interrupt behind a PPI of this vCPU, or behind an SPI, has fired and is active: the
    /// virtual one becomes pending, and its end in the guest will deactivate `physical`.
    pub fn inject_physical(&mut self, vcpu: usize, intid: u32, physical: u32) -> Attention {
        let intid = index(intid);
        let (Some(interrupt), Ok(physical)) = (self.line_mut(vcpu, intid), u16::try_from(physical)) else {
            return Attention::NONE;
        };
        interrupt.inject(physical);
        self.settle(vcpu, intid)
    }

    /// The line behind a linked interrupt has gone low before the guest took it: it is not pending any more, and
    /// [`Gic::take_release`] has its physical interrupt. What the guest has taken stays.
    pub fn withdraw_physical(&mut self, vcpu: usize, intid: u32) {
        let intid = index(intid);
        let Some(interrupt) = self.line_mut(vcpu, intid) else { return };
        if interrupt.is(LINK) && !interrupt.is(LISTED) && !interrupt.is(interrupt::ACTIVE) {
            let change = interrupt.clear_pending();
            // Nobody but this vCPU was owed it.
            let _ = self.follow(vcpu, intid, change);
        }
    }

    /// Whether the physical interrupt behind this one is still active on the guest's behalf: delivered,
    /// or about to be, and not ended. `lists` are the vCPU's own, as last read from the hardware.
    pub fn physical_in_flight(&self, vcpu: usize, intid: u32, lists: &super::Lists) -> bool {
        let Some(interrupt) = self.interrupt(vcpu, index(intid)).filter(|found| found.is(LINK)) else {
            return false;
        };
        interrupt.is(interrupt::PENDING)
            || interrupt.is(interrupt::ACTIVE)
            || interrupt.is(LISTED) && deliver::holds(lists, intid)
    }

    /// A physical INTID that the caller has to deactivate, because the guest made the virtual interrupt
    /// go away without ending it; of this vCPU's PPIs first (on the processor where it runs, or ran
    /// last), then of any SPI. To be called until there is none after each [`Gic::refill`]; whatever makes
    /// an interrupt go away has its vCPU refilled.
    #[inline]
    pub fn take_release(&mut self, vcpu: usize) -> Option<u32> {
        let cpu = self.vcpus.get_mut(vcpu)?;
        if !cpu.releases && !self.shared_releases {
            return None;
        }
        let found = take_release(&mut cpu.private);
        cpu.releases = found.is_some();
        found.or_else(|| {
            let found = take_release(&mut self.shared);
            self.shared_releases = found.is_some();
            found
        })
    }

    /// Whether [`Gic::take_release`] may have something.
    #[inline]
    pub fn has_release(&self, vcpu: usize) -> bool {
        self.shared_releases || self.vcpus.get(vcpu).is_some_and(|cpu| cpu.releases)
    }

    /// Whether the list registers of this vCPU are to be folded and filled before it enters the guest.
    #[inline]
    pub fn needs_refill(&self, vcpu: usize) -> bool {
        self.vcpus.get(vcpu).is_some_and(|cpu| cpu.dirty)
    }

    #[inline]
    fn interrupt(&self, vcpu: usize, intid: usize) -> Option<&Interrupt> {
        match intid.checked_sub(PRIVATE) {
            None => self.vcpus.get(vcpu)?.private.get(intid),
            Some(spi) => self.shared.get(spi),
        }
    }

    #[inline]
    fn interrupt_mut(&mut self, vcpu: usize, intid: usize) -> Option<&mut Interrupt> {
        match intid.checked_sub(PRIVATE) {
            None => self.vcpus.get_mut(vcpu)?.private.get_mut(intid),
            Some(spi) => self.shared.get_mut(spi),
        }
    }

    /// An interrupt that can have a line: no SGI.
    fn line_mut(&mut self, vcpu: usize, intid: usize) -> Option<&mut Interrupt> {
        if intid < SGIS { None } else { self.interrupt_mut(vcpu, intid) }
    }

    #[inline]
    fn signal(&mut self, vcpu: usize, intid: usize, source: u8) -> Attention {
        match self.interrupt_mut(vcpu, intid) {
            Some(interrupt) => {
                interrupt.signal(source);
                self.settle(vcpu, intid)
            }
            None => Attention::NONE,
        }
    }

    /// Brings the sets of owed interrupts up to date after a change of this one, and marks whom it
    /// concerns.
    #[inline]
    fn settle(&mut self, vcpu: usize, intid: usize) -> Attention {
        let Some(interrupt) = self.interrupt_mut(vcpu, intid) else { return Attention::NONE };
        if interrupt.is(LISTED) {
            let holder = interrupt.holder();
            return self.mark(holder);
        }
        let wanted_by = interrupt.wanted_by();
        let owed_to = interrupt.set_owed_to(wanted_by);
        if owed_to == wanted_by {
            return self.mark(wanted_by);
        }
        if owed_to != NOBODY
            && let Some(cpu) = self.vcpus.get_mut(usize::from(owed_to))
        {
            cpu.owed.remove(intid);
        }
        match self.vcpus.get_mut(usize::from(wanted_by)) {
            Some(cpu) => {
                cpu.owed.insert(intid);
                cpu.dirty = true;
                Attention::of_number(wanted_by)
            }
            None => Attention::NONE,
        }
    }

    /// The list registers of this vCPU no longer hold what they should.
    #[inline]
    fn mark(&mut self, vcpu: u8) -> Attention {
        match self.vcpus.get_mut(usize::from(vcpu)) {
            Some(cpu) => {
                cpu.dirty = true;
                Attention::of_number(vcpu)
            }
            None => Attention::NONE,
        }
    }

    /// Does what a change asks for.
    #[inline(never)]
    fn follow(&mut self, vcpu: usize, intid: usize, change: Change) -> Attention {
        match change {
            Change::None => Attention::NONE,
            Change::Settle => self.settle(vcpu, intid),
            Change::Release => self.settle(vcpu, intid) | self.note_release(vcpu, intid),
        }
    }

    /// A physical interrupt is to be deactivated: by the vCPU whose private interrupt it is, by the one at
    /// hand for an SPI. It refills, so that it passes by [`Gic::take_release`] on its way to the guest.
    fn note_release(&mut self, vcpu: usize, intid: usize) -> Attention {
        let Some(cpu) = self.vcpus.get_mut(vcpu) else { return Attention::NONE };
        if intid >= PRIVATE {
            self.shared_releases = true;
        } else {
            cpu.releases = true;
        }
        cpu.dirty = true;
        Attention::of(vcpu)
    }
}

impl VirtualCpu {
    fn new(version: Version, vcpu: usize) -> Self {
        let number = u8::try_from(vcpu).unwrap_or(NOBODY);
        let sgi = match version {
            // The SGIs of a GICv2 are always enabled.
            Version::V2 => EDGE | SOURCED | ENABLED,
            Version::V3 => EDGE,
        };
        let mut private = [Interrupt::new(0, number, 0); PRIVATE];
        for interrupt in private.iter_mut().take(SGIS) {
            *interrupt = Interrupt::new(sgi, number, 0);
        }
        Self { private, owed: Owed::default(), dirty: false, releases: false }
    }
}

/// The vCPUs in the target list of ICC_SGI1R_EL1: Aff3 55:48, RS 47:44, Aff2 39:32, Aff1 23:16, list 15:0.
#[inline]
fn sgi_targets(value: u64) -> Attention {
    const MUST_BE_ZERO: u64 = 0x00ff_f0ff_0000_0000;
    let cluster = value >> 16 & 0xff;
    if value & MUST_BE_ZERO != 0 || cluster > 7 {
        return Attention::NONE;
    }
    let shift = u32::try_from(cluster << 4).unwrap_or(0);
    Attention(u128::from(value & 0xffff).wrapping_shl(shift))
}

/// The physical INTID of the first interrupt that has one to release.
fn take_release(interrupts: &mut [Interrupt]) -> Option<u32> {
    let interrupt = interrupts.iter_mut().find(|interrupt| interrupt.is(RELEASE))?;
    interrupt.clear(RELEASE);
    Some(u32::from(interrupt.link()))
}

#[cfg(test)]
mod tests;
