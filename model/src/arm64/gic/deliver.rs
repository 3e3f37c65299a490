//! From memory into the list registers of a vCPU, and back.

use super::super::list_register::ListRegister;
use super::super::{LIST_REGISTERS, Lists};
use super::interrupt::{ACTIVE, Change, LISTED, NOBODY, Turn};
use super::owed::intid_of;
use super::{Attention, Gic, VirtualCpu};
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
    #[inline]
    pub fn fold(&mut self, vcpu: usize, lists: &mut Lists) -> Attention {
        if lists.used == 0 { Attention::NONE } else { self.fold_used(vcpu, lists) }
    }

    #[inline(never)]
    fn fold_used(&mut self, vcpu: usize, lists: &mut Lists) -> Attention {
        let mut attention = Attention::NONE;
        for place in Ones(u64::from(lists.used)) {
            if let Some(entry) = lists.entries.get_mut(index(place)) {
                let entry = ListRegister(core::mem::take(entry));
                let intid = index(entry.intid());
                if let Some(change) = self.fold_entry((vcpu, intid), entry) {
                    attention |= self.follow(vcpu, intid, change);
                }
            }
        }
        lists.used = 0;
        (lists.underflow, lists.more) = (false, false);
        if let Some(cpu) = self.vcpus.get_mut(vcpu) {
            cpu.dirty = true;
        }
        attention
    }

    /// Takes one entry back; the change is to be followed if there is one.
    #[inline]
    fn fold_entry(&mut self, (vcpu, intid): (usize, usize), entry: ListRegister) -> Option<Change> {
        let interrupt = self.interrupt_mut(vcpu, intid)?;
        if !interrupt.is(LISTED) || usize::from(interrupt.holder()) != vcpu {
            return None;
        }
        let change = interrupt.fold(entry);
        // The usual end of an interrupt: nobody is owed anything.
        (change != Change::Settle || interrupt.wanted_by() != NOBODY).then_some(change)
    }

    /// Fills the list registers with the most urgent of what the vCPU is owed; what they held is folded
    /// first. The returned vCPUs (never this one) are owed something by that.
    #[inline]
    pub fn refill(&mut self, vcpu: usize, lists: &mut Lists) -> Attention {
        let attention = self.fold(vcpu, lists);
        if let Some(cpu) = self.vcpus.get_mut(vcpu) {
            cpu.dirty = false;
            if !cpu.owed.is_empty() {
                self.fill(vcpu, lists);
            }
        }
        lists.had_active = lists.has_active();
        if attention.is_empty() { attention } else { attention.without(vcpu) }
    }

    #[inline(never)]
    fn fill(&mut self, vcpu: usize, lists: &mut Lists) {
        let (Ok(number), Some(cpu)) = (u8::try_from(vcpu), self.vcpus.get(vcpu)) else { return };
        let turn = Turn { vcpu: number, groups: self.groups, noticed: false };
        let Some(intid) = cpu.owed.only() else { return self.fill_many(vcpu, lists, turn) };
        let [first, ..] = &mut lists.entries;
        *first = self.list(vcpu, intid, turn).0;
        lists.used = u16::from(*first != 0);
    }

    #[inline(never)]
    fn fill_many(&mut self, vcpu: usize, lists: &mut Lists, turn: Turn) {
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
                let entry = self.list_one(vcpu, intid_of(place, number), turn);
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
            *entry = self.list_one(vcpu, usize::from(low_u16(u64::from(*key))), turn).0;
            lists.used |= bit;
            bit = bit.wrapping_shl(1);
        }
        (lists.underflow, lists.more) = (more && self.list_registers > 1, more);
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
    #[inline(always)]
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

    /// The same, for where there are several.
    #[inline(never)]
    fn list_one(&mut self, vcpu: usize, intid: usize, turn: Turn) -> ListRegister {
        self.list(vcpu, intid, turn)
    }

    /// Whether an interrupt is there that ends a WFI: pending, enabled, forwarded and not active at the
    /// same time, in the list registers (as last read from the hardware) or owed. The priority mask of
    /// the guest is not looked at.
    #[inline]
    pub fn deliverable(&self, vcpu: usize, lists: &Lists) -> bool {
        lists.has_pending()
            || self.vcpus.get(vcpu).is_some_and(|cpu| !cpu.owed.is_empty() && self.has_deliverable(vcpu, cpu))
    }

    #[inline(never)]
    fn has_deliverable(&self, vcpu: usize, cpu: &VirtualCpu) -> bool {
        cpu.owed
            .iter()
            .filter_map(|intid| self.interrupt(vcpu, intid))
            .any(|interrupt| !interrupt.is(ACTIVE) && interrupt.is_forwarded(self.groups))
    }
}

/// Whether an entry that is not empty has this INTID.
pub(super) fn holds(lists: &Lists, intid: u32) -> bool {
    lists.used_entries().map(ListRegister).any(|entry| entry.intid() == intid && !entry.is_empty())
}
