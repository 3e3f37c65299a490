//! An interrupt for the vCPU that runs here goes into a list register at once, where one can take it.
//!
//! That is what nearly all interrupts are: one at a time, for a vCPU that has ended the last one of this kind. Then
//! only one list register has to be looked at and written, and nothing else of the vCPU changes. All other cases
//! (the guest has not ended the last one, something else waits, no place is free, the interrupt is disabled or
//! another vCPU's) go the long way, by [`Gic::refill`].

use super::super::Lists;
use super::super::list_register::ListRegister;
use super::interrupt::{ACTIVE, Change, GROUP1, Interrupt, LISTED, NOBODY, SOURCED, Turn};
use super::{Attention, Gic, SgiGroup, sgi_targets};
use crate::bits::{Ones, index, low_u32};

/// What raises an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raise {
    /// As [`Gic::pulse`]: the INTID.
    Pulse(u32),
    /// As [`Gic::inject_physical`]: the INTID, and the physical one.
    Physical(u32, u32),
    /// As [`Gic::sgi`]: the value written, and the group.
    Sgi(u64, SgiGroup),
}

/// Where a raised interrupt has gone.
#[must_use = "a list register has to be written, or vCPUs have to be refilled"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Into this list register, which is to be written from the vCPU's [`Lists`].
    pub listed: Option<usize>,
    /// What these vCPUs are owed; as for any other change.
    pub attention: Attention,
}

impl Raised {
    const NOTHING: Self = Self { listed: None, attention: Attention::NONE };
}

impl Gic {
    /// Raises an interrupt for, or by, a vCPU that is loaded; `lists` are its own, and `read` reads one of the
    /// hardware's list registers.
    #[inline]
    pub fn raise_running(
        &mut self,
        vcpu: usize,
        raise: Raise,
        lists: &mut Lists,
        read: impl FnOnce(usize) -> u64,
    ) -> Raised {
        let intid = match raise {
            Raise::Pulse(intid) => {
                let intid = index(intid);
                let interrupt = self.line_mut(vcpu, intid);
                if interrupt.is_none_or(|interrupt| interrupt.set_pending() == Change::None) {
                    return Raised::NOTHING;
                }
                intid
            }
            Raise::Physical(intid, physical) => {
                let intid = index(intid);
                let (Some(interrupt), Ok(physical)) = (self.line_mut(vcpu, intid), u16::try_from(physical))
                else {
                    return Raised::NOTHING;
                };
                interrupt.inject(physical);
                intid
            }
            Raise::Sgi(value, group) => {
                if value >> 40 & 1 != 0 || sgi_targets(value) != Attention::of(vcpu) {
                    return Raised { listed: None, attention: self.sgi(vcpu, value, group) };
                }
                let intid = index(low_u32(value >> 24 & 0xf));
                let group1 = group == SgiGroup::Group1;
                match self.interrupt_mut(vcpu, intid).filter(|sgi| sgi.is(GROUP1) == group1) {
                    Some(sgi) => sgi.signal(0),
                    None => return Raised::NOTHING,
                }
                intid
            }
        };
        self.place(vcpu, intid, lists, read)
    }

    /// Puts an interrupt that has just become pending where it belongs.
    #[inline]
    fn place(
        &mut self,
        vcpu: usize,
        intid: usize,
        lists: &mut Lists,
        read: impl FnOnce(usize) -> u64,
    ) -> Raised {
        let settled = self.vcpus.get(vcpu).is_some_and(|cpu| !cpu.dirty && cpu.owed.is_empty());
        let (groups, room) = (self.groups, self.list_registers);
        let number = u8::try_from(vcpu).unwrap_or(NOBODY);
        let turn = Turn { vcpu: number, groups, noticed: false };
        if let Some(interrupt) = self.interrupt_mut(vcpu, intid)
            && settled
            && let Some(place) = free_place(interrupt, intid, number, (lists, room))
        {
            let change = take_back(interrupt, place, lists, read);
            if change == Some(Change::Settle) && is_deliverable(interrupt, turn) {
                let name = u32::try_from(intid).unwrap_or(0);
                if let Some(entry) = lists.entries.get_mut(place) {
                    *entry = interrupt.list(name, turn).0;
                    lists.used |= 1_u16.wrapping_shl(u32::try_from(place).unwrap_or(0));
                }
                return Raised { listed: Some(place), attention: Attention::NONE };
            }
            if let Some(change) = change {
                return Raised { listed: None, attention: self.follow(vcpu, intid, change) };
            }
        }
        Raised { listed: None, attention: self.settle(vcpu, intid) }
    }
}

/// The list register that may take the interrupt: the one that has had it, or one that is free.
#[inline]
fn free_place(
    interrupt: &Interrupt,
    intid: usize,
    vcpu: u8,
    (lists, room): (&Lists, usize),
) -> Option<usize> {
    if !interrupt.is(LISTED) {
        let free = index((!lists.used).trailing_zeros());
        return (free < room).then_some(free);
    }
    if interrupt.holder() != vcpu {
        return None;
    }
    let has_it = |place: &usize| {
        lists.entries.get(*place).is_some_and(|&entry| index(ListRegister(entry).intid()) == intid)
    };
    Ones(u64::from(lists.used)).map(index).find(has_it)
}

/// Takes the interrupt's own list register back into memory, if it was in one and the guest is done with it. `None`
/// if the guest is not.
#[inline]
fn take_back(
    interrupt: &mut Interrupt,
    place: usize,
    lists: &mut Lists,
    read: impl FnOnce(usize) -> u64,
) -> Option<Change> {
    if !interrupt.is(LISTED) {
        return Some(Change::Settle);
    }
    let entry = ListRegister(read(place));
    if !entry.is_empty() {
        return None;
    }
    if let Some(old) = lists.entries.get_mut(place) {
        *old = 0;
        lists.used &= !1_u16.wrapping_shl(u32::try_from(place).unwrap_or(0));
    }
    Some(interrupt.fold(entry))
}

/// Whether a list register of the vCPU can have the interrupt as nothing but pending.
#[inline]
fn is_deliverable(interrupt: &Interrupt, turn: Turn) -> bool {
    !interrupt.is(ACTIVE | SOURCED)
        && interrupt.wanted_by() == turn.vcpu
        && interrupt.is_forwarded(turn.groups)
}
