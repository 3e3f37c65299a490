//! An interrupt for the vCPU that runs here goes into a list register at once, where one can take it.
//!
//! That is what nearly all interrupts are: one at a time, for a vCPU that has ended the last one of this kind. Then
//! only one list register has to be looked at and written, and nothing else of the vCPU changes. All other cases
//! (the guest has not ended the last one, something else waits, no place is free, the interrupt is disabled or
//! another vCPU's) go the long way, by [`Gic::refill`].

use super::super::Lists;
use super::super::list_register::ListRegister;
use super::interrupt::{ACTIVE, Change, GROUP1, Interrupt, LINK, LISTED, NOBODY, SOURCED, Turn};
use super::{Attention, Gic, PRIVATE, SGIS, SgiGroup, sgi_targets};
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

impl Gic {
    /// Raises an interrupt for, or by, a vCPU that is loaded or about to be. `lists` are its own, `read` reads one of the
    /// hardware's list registers (or what was saved of it), `write` writes one. The returned vCPUs are owed something; none where a list register has the
    /// interrupt now.
    #[inline(always)]
    pub fn raise_running(
        &mut self,
        vcpu: usize,
        raise: Raise,
        lists: &mut Lists,
        (read, write): (impl Fn(&Lists, usize) -> u64, impl FnOnce(usize, u64)),
    ) -> Attention {
        let intid = match raise {
            Raise::Pulse(intid) | Raise::Physical(intid, _) if index(intid) < SGIS => return Attention::NONE,
            Raise::Pulse(intid) | Raise::Physical(intid, _) => index(intid),
            Raise::Sgi(value, group) if value >> 40 & 1 != 0 || sgi_targets(value) != Attention::of(vcpu) => {
                return self.sgi(vcpu, value, group);
            }
            Raise::Sgi(value, _) => index(low_u32(value >> 24 & 0xf)),
        };
        let Some(cpu) = self.vcpus.get_mut(vcpu) else { return Attention::NONE };
        // Otherwise something else is to change in the list registers, or waits for one.
        let alone = !cpu.dirty && cpu.owed.is_empty();
        let interrupt = match intid.checked_sub(PRIVATE) {
            None => cpu.private.get_mut(intid),
            Some(spi) => self.shared.get_mut(spi),
        };
        let Some(interrupt) = interrupt else { return Attention::NONE };
        let turn = Turn { vcpu: u8::try_from(vcpu).unwrap_or(NOBODY), groups: self.groups, noticed: false };
        if alone
            && interrupt.is_repeated(raise, turn)
            && let Some(place) = place_of(intid, lists)
            && let Some(again) = ListRegister(read(lists, place)).again(matches!(raise, Raise::Physical(..)))
        {
            if let Some(entry) = lists.entries.get_mut(place) {
                *entry = again.0;
            }
            write(place, again.0);
            return Attention::NONE;
        }
        self.raise_anew((vcpu, intid), (raise, alone), lists, (read, write))
    }

    /// The same for what cannot be the last one's entry again.
    #[inline(never)]
    fn raise_anew(
        &mut self,
        (vcpu, intid): (usize, usize),
        (raise, alone): (Raise, bool),
        lists: &mut Lists,
        (read, write): (impl Fn(&Lists, usize) -> u64, impl FnOnce(usize, u64)),
    ) -> Attention {
        let turn = Turn { vcpu: u8::try_from(vcpu).unwrap_or(NOBODY), groups: self.groups, noticed: false };
        let room = self.list_registers;
        let Some(interrupt) = self.interrupt_mut(vcpu, intid) else { return Attention::NONE };
        if !interrupt.raise(raise) {
            return Attention::NONE;
        }
        let place = free_place(interrupt, intid, turn.vcpu, (lists, room)).filter(|_| alone);
        let change = place.map_or(Some(Change::Settle), |place| take_back(interrupt, place, lists, read));
        if let Some(place) = place
            && change == Some(Change::Settle)
            && is_deliverable(interrupt, turn)
            && let Some(entry) = lists.entries.get_mut(place)
        {
            let listed = interrupt.list(u32::try_from(intid).unwrap_or(0), turn).0;
            *entry = listed;
            lists.used |= bit_of(place);
            write(place, listed);
            return Attention::NONE;
        }
        self.long_way(vcpu, intid, change.unwrap_or(Change::Settle))
    }

    #[cold]
    #[inline(never)]
    fn long_way(&mut self, vcpu: usize, intid: usize, change: Change) -> Attention {
        self.follow(vcpu, intid, change)
    }
}

impl Interrupt {
    /// Whether it is in a list register of the vCPU and nothing has changed since: if the guest has ended it, the same
    /// entry will do again.
    #[inline(always)]
    fn is_repeated(&self, raise: Raise, turn: Turn) -> bool {
        let same = match raise {
            Raise::Pulse(_) => !self.is(LINK),
            Raise::Physical(_, physical) => self.is(LINK) && u32::from(self.link()) == physical,
            Raise::Sgi(_, group) => !self.is(LINK) && self.is(GROUP1) == (group == SgiGroup::Group1),
        };
        same && self.is_listed_only()
            && self.holder() == turn.vcpu
            && self.target() == turn.vcpu
            && self.is_forwarded(turn.groups)
    }

    /// Becomes pending as asked; false where that changes nothing.
    #[inline(always)]
    fn raise(&mut self, raise: Raise) -> bool {
        match raise {
            Raise::Pulse(_) => return self.set_pending() != Change::None,
            Raise::Physical(_, physical) => match u16::try_from(physical) {
                Ok(physical) => self.inject(physical),
                Err(_) => return false,
            },
            Raise::Sgi(_, group) if self.is(GROUP1) == (group == SgiGroup::Group1) => self.signal(0),
            Raise::Sgi(..) => return false,
        }
        true
    }
}

/// The list register that may take the interrupt: the one that has had it, or one that is free.
#[inline(always)]
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
    place_of(intid, lists)
}

impl Lists {
    /// Raises an interrupt of a vCPU that is not loaded, as the last one's entry again, where its interrupts have not
    /// changed since the lists were filled. False, and nothing happens, where that does not do: then it is to be raised by
    /// [`Gic::raise_running`].
    #[inline(always)]
    pub fn repeat(&mut self, intid: u32) -> bool {
        // What was listed as active has the priority of then.
        let as_filled = !self.more && !self.had_active && index(intid) >= SGIS;
        let place = place_of(index(intid), self).filter(|_| as_filled);
        let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) else { return false };
        let again = ListRegister(*entry).again(false);
        if let Some(again) = again {
            *entry = again.0;
        }
        again.is_some()
    }
}

/// The list register that has the interrupt.
#[inline(always)]
fn place_of(intid: usize, lists: &Lists) -> Option<usize> {
    let has_it = |place: &usize| {
        lists.entries.get(*place).is_some_and(|&entry| index(ListRegister(entry).intid()) == intid)
    };
    Ones(u64::from(lists.used)).map(index).find(has_it)
}

/// Takes the interrupt's own list register back into memory, if it was in one and the guest is done with it. `None`
/// if the guest is not.
#[inline(always)]
fn take_back(
    interrupt: &mut Interrupt,
    place: usize,
    lists: &mut Lists,
    read: impl Fn(&Lists, usize) -> u64,
) -> Option<Change> {
    if !interrupt.is(LISTED) {
        return Some(Change::Settle);
    }
    let entry = ListRegister(read(lists, place));
    if !entry.is_empty() {
        return None;
    }
    if let Some(old) = lists.entries.get_mut(place) {
        *old = 0;
        lists.used &= !bit_of(place);
    }
    Some(interrupt.fold(entry))
}

/// Whether a list register of the vCPU can have the interrupt as nothing but pending.
#[inline(always)]
fn is_deliverable(interrupt: &Interrupt, turn: Turn) -> bool {
    !interrupt.is(ACTIVE | SOURCED)
        && interrupt.wanted_by() == turn.vcpu
        && interrupt.is_forwarded(turn.groups)
}

/// A list register's bit in [`Lists::used`].
#[inline]
fn bit_of(place: usize) -> u16 {
    1_u16.wrapping_shl(u32::try_from(place).unwrap_or(0))
}
