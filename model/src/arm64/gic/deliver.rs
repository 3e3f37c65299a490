//! From memory into the list registers of a vCPU, and back.

use super::super::list_register::ListRegister;
use super::super::{LIST_REGISTERS, Lists};
use super::interrupt::{ACTIVE, Change, LISTED, NOBODY, Turn};
use super::owed::intid_of;
use super::{Attention, Gic};
use crate::bits::{Ones, index, low_u16};

/// In a [`Choice`] key: pending, not active.
const ONLY_PENDING: u32 = 1 << 24;
/// A key behind every other.
const LAST: u32 = u32::MAX;

/// The most urgent interrupts that a vCPU is owed, as keys of which the lowest goes first: active ones
/// before pending ones (bit 24), then by priority (23:16), then by INTID (15:0).
struct Choice {
    keys: [u32; LIST_REGISTERS],
    /// How many keys there is room for.
    room: usize,
    /// The most urgent of the pending ones.
    pending: u32,
    /// How many candidates there were.
    candidates: usize,
}

impl Choice {
    const fn new(room: usize) -> Self {
        Self { keys: [LAST; LIST_REGISTERS], room, pending: LAST, candidates: 0 }
    }

    /// Keeps `key` if it is among the lowest.
    #[inline]
    fn offer(&mut self, key: u32) {
        self.candidates = self.candidates.saturating_add(1);
        if key >= ONLY_PENDING {
            self.pending = self.pending.min(key);
        }
        let mut carried = key;
        for kept in self.keys.iter_mut().take(self.room) {
            if carried < *kept {
                core::mem::swap(&mut carried, kept);
            }
            if carried == LAST {
                break;
            }
        }
    }

    /// Whether an active interrupt was chosen.
    fn has_active(&self) -> bool {
        self.keys.first().is_some_and(|&first| first < ONLY_PENDING)
    }

    /// The chosen INTIDs. If active interrupts fill every place, the last of them gives way to a pending
    /// one that is more urgent than the first of them; with one list register there is no way to give.
    fn finish(mut self) -> Self {
        let first = self.keys.first().copied().unwrap_or(LAST);
        let more_urgent = self.pending != LAST && self.pending >> 16 & 0xff < first >> 16 & 0xff;
        let last = self.room.checked_sub(1).filter(|&last| last > 0);
        if let Some(key) = last.and_then(|last| self.keys.get_mut(last))
            && more_urgent
            && *key < ONLY_PENDING
        {
            *key = self.pending;
        }
        self
    }
}

impl Gic {
    /// Takes the state of the list registers back into memory and empties them. Whoever folds must
    /// [`refill`](Self::refill), too, and have the list registers written. The returned vCPUs are owed
    /// something by it (this one among them if it is owed anything); [`Gic::take_release`] may have
    /// something.
    pub fn fold(&mut self, vcpu: usize, lists: &mut Lists) -> Attention {
        if lists.used == 0 {
            return Attention::NONE;
        }
        let mut attention = Attention::NONE;
        for place in Ones(u64::from(lists.used)) {
            if let Some(entry) = lists.entries.get_mut(index(place)) {
                let entry = ListRegister(core::mem::take(entry));
                attention |= self.fold_entry(vcpu, entry);
            }
        }
        lists.used = 0;
        lists.underflow = false;
        if let Some(cpu) = self.vcpus.get_mut(vcpu) {
            cpu.dirty = true;
        }
        attention
    }

    #[inline]
    fn fold_entry(&mut self, vcpu: usize, entry: ListRegister) -> Attention {
        let intid = index(entry.intid());
        let Some(interrupt) = self.interrupt_mut(vcpu, intid) else { return Attention::NONE };
        if !interrupt.is(LISTED) || usize::from(interrupt.holder()) != vcpu {
            return Attention::NONE;
        }
        match interrupt.fold(entry) {
            // The usual end of an interrupt: nobody is owed anything.
            Change::Settle if interrupt.wanted_by() == NOBODY => Attention::NONE,
            change => self.follow(vcpu, intid, change),
        }
    }

    /// Fills the list registers with the most urgent of what the vCPU is owed; what they held is folded
    /// first. The returned vCPUs (never this one) are owed something by that.
    pub fn refill(&mut self, vcpu: usize, lists: &mut Lists) -> Attention {
        let attention = self.fold(vcpu, lists).without(vcpu);
        if let Some(cpu) = self.vcpus.get_mut(vcpu) {
            cpu.dirty = false;
            if !cpu.owed.is_empty() {
                self.fill(vcpu, lists);
            }
        }
        attention
    }

    #[inline]
    fn fill(&mut self, vcpu: usize, lists: &mut Lists) {
        let Ok(number) = u8::try_from(vcpu) else { return };
        let turn = Turn { vcpu: number, groups: self.groups, noticed: false };
        if self.vcpus.get(vcpu).is_some_and(|cpu| cpu.owed.at_most(self.list_registers)) {
            self.fill_all(vcpu, lists, turn);
        } else {
            self.fill_chosen(vcpu, lists, turn);
        }
    }

    /// All that is owed fits: the hardware itself finds the most urgent.
    #[inline]
    fn fill_all(&mut self, vcpu: usize, lists: &mut Lists, turn: Turn) {
        let Some(owed) = self.vcpus.get(vcpu).map(|cpu| &cpu.owed) else { return };
        let mut entries = lists.entries.iter_mut();
        let mut bit = 1_u16;
        for place in owed.places() {
            let Some(word) = self.vcpus.get(vcpu).map(|cpu| cpu.owed.word(place)) else { return };
            for number in word {
                let entry = self.list(vcpu, intid_of(place, number), turn);
                if !entry.is_empty() {
                    let Some(free) = entries.next() else { return };
                    *free = entry.0;
                    lists.used |= bit;
                    bit = bit.wrapping_shl(1);
                }
            }
        }
    }

    /// More is owed than fits, unless some of it is in a group that is not forwarded.
    #[cold]
    #[inline(never)]
    fn fill_chosen(&mut self, vcpu: usize, lists: &mut Lists, turn: Turn) {
        let choice = self.choose(vcpu);
        let more = choice.candidates > self.list_registers;
        // The hardware tells when one entry is left. Earlier than that it must tell of every end if there
        // is only one entry, or if pending interrupts wait behind those that lie upon active ones.
        let noticed = more && (self.list_registers == 1 || choice.has_active());
        let turn = Turn { noticed, ..turn };
        let mut bit = 1_u16;
        for (key, entry) in choice.keys.iter().zip(&mut lists.entries) {
            if *key == LAST {
                break;
            }
            *entry = self.list(vcpu, usize::from(low_u16(u64::from(*key))), turn).0;
            lists.used |= bit;
            bit = bit.wrapping_shl(1);
        }
        lists.underflow = more && self.list_registers > 1;
    }

    /// The interrupts that go into the list registers now.
    fn choose(&self, vcpu: usize) -> Choice {
        let mut choice = Choice::new(self.list_registers);
        let Some(cpu) = self.vcpus.get(vcpu) else { return choice };
        for intid in cpu.owed.iter() {
            let Some(interrupt) = self.interrupt(vcpu, intid) else { continue };
            let urgency = u32::from(interrupt.urgency()) << 16 | u32::try_from(intid & 0xffff).unwrap_or(0);
            if interrupt.is(ACTIVE) {
                choice.offer(urgency);
            } else if interrupt.is_forwarded(self.groups) {
                choice.offer(urgency | ONLY_PENDING);
            }
        }
        choice.finish()
    }

    /// Moves an owed interrupt into a list register; the entry is empty, and nothing changes, if it is
    /// only pending and its group is not forwarded.
    #[inline]
    fn list(&mut self, vcpu: usize, intid: usize, turn: Turn) -> ListRegister {
        let name = u32::try_from(intid).unwrap_or(0);
        let Some(interrupt) = self.interrupt_mut(vcpu, intid) else { return ListRegister::default() };
        if !interrupt.is(ACTIVE) && !interrupt.is_forwarded(turn.groups) {
            return ListRegister::default();
        }
        let entry = interrupt.list(name, turn);
        interrupt.set_owed_to(NOBODY);
        if let Some(cpu) = self.vcpus.get_mut(vcpu) {
            cpu.owed.remove(intid);
        }
        entry
    }

    /// Whether an interrupt is there that ends a WFI: pending, enabled, forwarded and not active at the
    /// same time, in the list registers (as last read from the hardware) or owed. The priority mask of
    /// the guest is not looked at.
    pub fn deliverable(&self, vcpu: usize, lists: &Lists) -> bool {
        let mut listed = Ones(u64::from(lists.used)).filter_map(|place| lists.entries.get(index(place)));
        if listed.any(|&entry| entry >> 62 == 1) {
            return true;
        }
        let Some(cpu) = self.vcpus.get(vcpu) else { return false };
        cpu.owed
            .iter()
            .filter_map(|intid| self.interrupt(vcpu, intid))
            .any(|interrupt| !interrupt.is(ACTIVE) && interrupt.is_forwarded(self.groups))
    }
}

/// Whether an entry that is not empty has this INTID.
pub(super) fn holds(lists: &Lists, intid: u32) -> bool {
    Ones(u64::from(lists.used))
        .filter_map(|place| lists.entries.get(index(place)))
        .any(|&entry| ListRegister(entry).intid() == intid && !ListRegister(entry).is_empty())
}
