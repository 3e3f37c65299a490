//! One interrupt of a domain: its configuration and its state as far as it is in memory.
//!
//! An interrupt is either *listed*, that is in a list register of one vCPU (its holder), or all of its
//! state is here. While it is listed the guest may acknowledge and end it unseen, so what is here is
//! only what came *after* the entry was written: a new edge, a new active state, and the wish to drop
//! what the entry says. [`Interrupt::fold`] brings both together, [`Interrupt::list`] parts them again.

use core::mem::replace;

use super::super::list_register::ListRegister;

/// No vCPU.
pub(super) const NOBODY: u8 = 0xff;

/// GICD_ISENABLER.
pub(super) const ENABLED: u16 = 1 << 0;
/// A latched pending state: an edge, an SGI, a physical interrupt, or GICD_ISPENDR.
pub(super) const PENDING: u16 = 1 << 1;
/// The level of the line.
pub(super) const LINE: u16 = 1 << 2;
/// Active.
pub(super) const ACTIVE: u16 = 1 << 3;
/// Triggered by edges; else by the level.
pub(super) const EDGE: u16 = 1 << 4;
/// Group 1.
pub(super) const GROUP1: u16 = 1 << 5;
/// Linked to a physical interrupt, which is active.
pub(super) const LINK: u16 = 1 << 6;
/// In a list register of the holder.
pub(super) const LISTED: u16 = 1 << 7;
/// Routed to any vCPU (GICD_IROUTER.Interrupt_Routing_Mode).
pub(super) const ANY: u16 = 1 << 8;
/// An SGI of a GICv2: pending for each source of its own.
pub(super) const SOURCED: u16 = 1 << 9;
/// The physical interrupt that the link named has to be deactivated by the caller.
pub(super) const RELEASE: u16 = 1 << 10;
/// The pending state of the list register is a latched one: it is not to be forgotten.
const LATCHED: u16 = 1 << 11;
/// The pending state of the list register is void.
const DROP_PENDING: u16 = 1 << 12;
/// The active state of the list register is void.
const DROP_ACTIVE: u16 = 1 << 13;
/// The link is newer than the list register.
const FRESH: u16 = 1 << 14;
/// The end of the list register is noticed.
const NOTICED: u16 = 1 << 15;

/// One interrupt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interrupt {
    flags: u16,
    /// The physical INTID of a linked interrupt; the source of an active SGI of a GICv2.
    link: u16,
    /// Its upper five bits only: list registers need not have more.
    priority: u8,
    /// The priority at which it became active. It stays so until its end, whatever is written meanwhile,
    /// as that is the order in which the guest ends its interrupts.
    active_priority: u8,
    /// The vCPU to which it is routed, or [`NOBODY`].
    target: u8,
    /// The vCPU that has it listed or active; meaningless otherwise.
    holder: u8,
    /// The vCPU in whose set of owed interrupts it stands, or [`NOBODY`].
    owed_to: u8,
    /// An SGI of a GICv2: the sources for which it is pending. An SPI of a GICv2: GICD_ITARGETSR.
    mask: u8,
}

/// What a change asks of the distributor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// To settle who is owed the interrupt now.
    Settle,
    /// The same, and to have the physical interrupt deactivated.
    Release,
}

/// For whom a list register is filled, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// The vCPU.
    pub(super) vcpu: u8,
    /// The groups that the distributor forwards: bit 0 group 0, bit 1 group 1.
    pub(super) groups: u8,
    /// Others wait for the list register, so its end must be noticed.
    pub(super) noticed: bool,
}

impl Interrupt {
    pub(super) const fn new(flags: u16, target: u8, mask: u8) -> Self {
        Self {
            flags,
            link: 0,
            priority: 0,
            active_priority: 0,
            target,
            holder: target,
            owed_to: NOBODY,
            mask,
        }
    }

    #[inline]
    pub(super) const fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    pub(super) const fn set(&mut self, flag: u16) {
        self.flags |= flag;
    }

    #[inline]
    pub(super) const fn clear(&mut self, flag: u16) {
        self.flags &= !flag;
    }

    const fn put(&mut self, flag: u16, yes: bool) {
        if yes { self.set(flag) } else { self.clear(flag) }
    }

    pub(super) const fn priority(&self) -> u8 {
        self.priority
    }

    /// The priority by which its turn comes.
    #[inline]
    pub(super) const fn urgency(&self) -> u8 {
        if self.is(ACTIVE) { self.active_priority } else { self.priority }
    }

    pub(super) const fn target(&self) -> u8 {
        self.target
    }

    pub(super) const fn mask(&self) -> u8 {
        self.mask
    }

    pub(super) const fn holder(&self) -> u8 {
        self.holder
    }

    pub(super) const fn link(&self) -> u16 {
        self.link
    }

    /// The source of an SGI of a GICv2 that is listed or active.
    fn source(&self) -> u8 {
        u8::try_from(self.link & 7).unwrap_or(0)
    }

    /// Sets to whom it is owed; returns to whom it was.
    pub(super) const fn set_owed_to(&mut self, vcpu: u8) -> u8 {
        replace(&mut self.owed_to, vcpu)
    }

    /// Pending, as far as memory knows: latched, or by its level.
    #[inline]
    pub(super) const fn is_pending(&self) -> bool {
        self.is(PENDING) || self.flags & (LINE | EDGE) == LINE
    }

    /// It is enabled and listed, as nothing but a latched pending state, and nothing about it has changed since: one that
    /// was listed as active has the priority of then.
    #[inline]
    pub(super) const fn is_listed_only(&self) -> bool {
        self.flags & !(EDGE | GROUP1 | ANY | LINK) == ENABLED | LISTED | LATCHED
    }

    /// Whether the distributor forwards its group.
    #[inline]
    pub(super) const fn is_forwarded(&self, groups: u8) -> bool {
        groups & (if self.is(GROUP1) { 2 } else { 1 }) != 0
    }

    /// The vCPU in whose list registers it belongs: the one that has it active, else the target if it is
    /// pending and enabled.
    #[inline]
    pub(super) const fn wanted_by(&self) -> u8 {
        if self.is(ACTIVE) {
            self.holder
        } else if self.is(ENABLED) && self.is_pending() {
            self.target
        } else {
            NOBODY
        }
    }

    /// The line has this level now.
    pub(super) const fn set_line(&mut self, high: bool) -> Change {
        if self.is(LINE) == high {
            return Change::None;
        }
        self.put(LINE, high);
        if self.is(EDGE) {
            if !high {
                return Change::None;
            }
            self.set(PENDING);
        } else if high && self.flags & (LISTED | LINK | NOTICED) == LISTED | NOTICED {
            // The level is looked at then.
            return Change::None;
        }
        Change::Settle
    }

    /// The physical interrupt has fired and is active.
    pub(super) const fn inject(&mut self, physical: u16) {
        self.set(PENDING | LINK | FRESH);
        self.clear(RELEASE);
        self.link = physical;
    }

    /// An SGI arrives; the source matters to a GICv2 only.
    #[inline]
    pub(super) fn signal(&mut self, source: u8) {
        self.set(PENDING);
        if self.is(SOURCED) {
            self.mask |= source_bit(source);
        }
    }

    /// These sources no longer make the SGI pending (GICD_CPENDSGIR).
    pub(super) fn retract(&mut self, sources: u8) -> Change {
        let listed = self.is(LISTED);
        if !listed && self.mask & sources == 0 {
            return Change::None;
        }
        self.mask &= !sources;
        self.put(PENDING, self.mask != 0);
        if listed && self.is(LATCHED) && sources & source_bit(self.source()) != 0 {
            self.set(DROP_PENDING);
        }
        Change::Settle
    }

    pub(super) const fn set_enabled(&mut self, yes: bool) -> Change {
        if self.is(ENABLED) == yes {
            return Change::None;
        }
        self.put(ENABLED, yes);
        Change::Settle
    }

    pub(super) const fn set_group1(&mut self, yes: bool) -> Change {
        if self.is(GROUP1) == yes {
            return Change::None;
        }
        self.put(GROUP1, yes);
        Change::Settle
    }

    pub(super) const fn set_edge(&mut self, yes: bool) -> Change {
        if self.is(EDGE) == yes {
            return Change::None;
        }
        self.put(EDGE, yes);
        Change::Settle
    }

    pub(super) const fn set_priority(&mut self, priority: u8) -> Change {
        let priority = priority & 0xf8;
        if self.priority == priority {
            return Change::None;
        }
        self.priority = priority;
        Change::Settle
    }

    /// Routes it to another vCPU; `mask` is what GICD_ITARGETSR reads.
    pub(super) const fn set_target(&mut self, target: u8, mask: u8) -> Change {
        self.mask = mask;
        if self.target == target {
            return Change::None;
        }
        self.target = target;
        Change::Settle
    }

    /// GICD_ISPENDR.
    pub(super) const fn set_pending(&mut self) -> Change {
        if self.is(PENDING) || self.is(SOURCED) {
            return Change::None;
        }
        self.set(PENDING);
        Change::Settle
    }

    /// GICD_ICPENDR. The level of a line is not cleared by it.
    pub(super) const fn clear_pending(&mut self) -> Change {
        if self.is(SOURCED) {
            return Change::None;
        }
        if self.is(LISTED) {
            self.clear(PENDING);
            self.set(DROP_PENDING);
            return Change::Settle;
        }
        if !self.is(PENDING) {
            return Change::None;
        }
        self.clear(PENDING);
        self.unlink_if_gone()
    }

    /// GICD_ISACTIVER.
    pub(super) const fn set_active(&mut self) -> Change {
        if self.is(ACTIVE) {
            return Change::None;
        }
        if !self.is(LISTED) {
            self.holder = self.target;
        }
        self.active_priority = self.priority;
        self.set(ACTIVE);
        Change::Settle
    }

    /// GICD_ICACTIVER.
    pub(super) const fn clear_active(&mut self) -> Change {
        if self.is(LISTED) {
            self.clear(ACTIVE);
            self.set(DROP_ACTIVE);
            return Change::Settle;
        }
        if !self.is(ACTIVE) {
            return Change::None;
        }
        self.clear(ACTIVE);
        self.unlink_if_gone()
    }

    /// A linked interrupt that is neither pending nor active has no use for its link: whoever made it go
    /// away did not deactivate the physical one.
    const fn unlink_if_gone(&mut self) -> Change {
        if self.is(LINK) && !self.is(PENDING) && !self.is(ACTIVE) {
            self.clear(LINK);
            self.set(RELEASE);
            Change::Release
        } else {
            Change::Settle
        }
    }

    /// Takes the state of a list register back into memory.
    pub(super) fn fold(&mut self, entry: ListRegister) -> Change {
        if entry.is_pending() && self.is(LATCHED) && !self.is(DROP_PENDING) {
            self.signal(entry.source());
        }
        if entry.is_active() && !self.is(DROP_ACTIVE) {
            self.set(ACTIVE);
            self.active_priority = entry.priority();
            if self.is(SOURCED) {
                self.link = u16::from(entry.source());
            }
        }
        // The end of a linked entry was the end of the physical interrupt, unless that fired again since.
        if entry.is_empty() && entry.is_linked() && !self.is(FRESH) {
            self.clear(LINK);
        }
        self.clear(LISTED | LATCHED | DROP_PENDING | DROP_ACTIVE | NOTICED);
        self.unlink_if_gone()
    }

    /// Moves to a list register what this vCPU is owed: it has the interrupt active, or the interrupt is
    /// pending for it, enabled and forwarded.
    #[inline(always)]
    pub(super) fn list(&mut self, intid: u32, turn: Turn) -> ListRegister {
        let entry = ListRegister::new(intid, self.urgency()).group1_if(self.is(GROUP1));
        let entry = match self.flags & (LINK | SOURCED | EDGE) {
            EDGE => self.list_edge(entry, turn),
            0 => self.list_level(entry, turn.noticed),
            flags if flags & LINK != 0 => self.list_linked(entry, turn.noticed),
            _ => self.list_sourced(entry, turn.noticed),
        };
        self.flags = self.flags & !(ACTIVE | FRESH) | LISTED;
        self.holder = turn.vcpu;
        entry
    }

    #[inline]
    fn list_edge(&mut self, entry: ListRegister, turn: Turn) -> ListRegister {
        let active = self.is(ACTIVE);
        // Behind an active state that is noticed when it ends, or has another priority, it waits here.
        let pending = !active
            || self.is(PENDING)
                && self.is(ENABLED)
                && self.is_forwarded(turn.groups)
                && self.target == turn.vcpu
                && !turn.noticed
                && self.priority == self.active_priority;
        if pending {
            self.latch();
        }
        entry.active_if(active).pending_if(pending).notify_end_if(turn.noticed || self.is(PENDING))
    }

    /// A level is looked at again at the end, so pending and active are never both set. What was pending for once,
    /// without a level, has no need of that.
    #[inline(always)]
    fn list_level(&mut self, entry: ListRegister, noticed: bool) -> ListRegister {
        let active = self.is(ACTIVE);
        if !active {
            self.latch();
        }
        let noticed = noticed || self.is_pending();
        self.put(NOTICED, noticed);
        entry.active_if(active).pending_if(!active).notify_end_if(noticed)
    }

    /// The list register takes over the latched pending state, if there is one.
    const fn latch(&mut self) {
        if self.is(PENDING) {
            self.clear(PENDING);
            self.set(LATCHED);
        }
    }

    /// A linked entry cannot be pending and active, nor notify its end. Where either is needed the entry
    /// is not linked, and the physical interrupt is released when the end is noticed.
    #[inline(never)]
    fn list_linked(&mut self, entry: ListRegister, noticed: bool) -> ListRegister {
        let active = self.is(ACTIVE);
        let noticed = noticed || active && self.is(PENDING);
        if !active {
            self.latch();
        }
        let entry = entry.active_if(active).pending_if(!active);
        if noticed { entry.notify_end_if(true) } else { entry.linked(self.link) }
    }

    /// One source at a time: the same INTID must not be in two list registers.
    #[inline(never)]
    fn list_sourced(&mut self, entry: ListRegister, noticed: bool) -> ListRegister {
        let active = self.is(ACTIVE);
        let source = if active { self.source() } else { lowest(self.mask) };
        if !active {
            self.mask &= self.mask.wrapping_sub(1);
            self.put(PENDING, self.mask != 0);
            self.set(LATCHED);
            self.link = u16::from(source);
        }
        entry
            .active_if(active)
            .pending_if(!active)
            .from_source(source)
            .notify_end_if(noticed || self.mask != 0)
    }
}

/// The bit of a source vCPU in the mask of an SGI.
fn source_bit(source: u8) -> u8 {
    1_u8.wrapping_shl(u32::from(source & 7))
}

/// The number of the lowest set bit, 0 for none.
fn lowest(mask: u8) -> u8 {
    u8::try_from(mask.trailing_zeros() & 7).unwrap_or(0)
}
