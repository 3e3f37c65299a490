//! The virtual CPU interface of a simulated processor: list registers that a guest acknowledges and ends.
//!
//! Source: IHI 0069, chapter 6 (virtual interrupt handling). Priorities have five bits. Both versions of
//! the controller are this one; a guest of a GICv2 acknowledges either group.

use model::arm64::list_register::ListRegister;
use model::arm64::{LIST_REGISTERS, Lists};

/// What an acknowledge answers where nothing is pending.
pub const SPURIOUS: u32 = 1023;

/// The hardware's side of [`Lists`].
#[derive(Clone, Debug)]
pub(super) struct Interface {
    entries: [u64; LIST_REGISTERS],
    /// How many list registers there are.
    count: usize,
    underflow: bool,
    pub(super) vmcr: u64,
    /// Active priorities: bit n for priority 8 n, of group 0 and of group 1.
    active: [u64; 2],
}

impl Interface {
    pub(super) fn new(count: usize) -> Self {
        Interface { entries: [0; LIST_REGISTERS], count, underflow: false, vmcr: 0, active: [0; 2] }
    }

    pub(super) fn load(&mut self, lists: &Lists) {
        self.vmcr = lists.vmcr;
        self.active = [lists.active_group0[0], lists.active_group1[0]];
        // What the guest had ended when it last ran may stand there still.
        self.put(lists);
    }

    pub(super) fn save(&self, lists: &mut Lists) {
        self.read(lists);
        lists.vmcr = self.vmcr;
        lists.active_group0 = [self.active[0], 0, 0, 0];
        lists.active_group1 = [self.active[1], 0, 0, 0];
    }

    pub(super) fn read(&self, lists: &mut Lists) {
        for (index, entry) in lists.entries.iter_mut().enumerate() {
            if lists.used >> index & 1 != 0 {
                *entry = self.entries[index];
            }
        }
    }

    pub(super) fn write(&mut self, lists: &Lists) {
        for (index, word) in lists.entries.iter().enumerate() {
            let empty = *word != 0 && ListRegister(*word).is_empty();
            assert!(!empty, "list register {index} is written empty: {word:#x}");
        }
        self.put(lists);
    }

    fn put(&mut self, lists: &Lists) {
        self.check(lists);
        self.entries = lists.entries;
        self.underflow = lists.underflow;
    }

    pub(super) fn read_one(&self, place: usize) -> u64 {
        self.entries[place]
    }

    pub(super) fn write_one(&mut self, place: usize, entry: u64) {
        assert!(!ListRegister(entry).is_empty(), "list register {place} is written empty: {entry:#x}");
        self.entries[place] = entry;
        self.check_entries(&self.entries);
    }

    /// What the architecture, or the contract, forbids.
    fn check(&self, lists: &Lists) {
        for (index, word) in lists.entries.iter().enumerate() {
            let used = lists.used >> index & 1 != 0;
            assert_eq!(
                used,
                *word != 0,
                "list register {index} holds {word:#x} and is marked {used}: {lists:x?}"
            );
        }
        self.check_entries(&lists.entries);
    }

    /// What may not be in the list registers together; an entry that is neither pending nor active is in none.
    fn check_entries(&self, entries: &[u64; LIST_REGISTERS]) {
        let mut virtual_intids = Vec::new();
        let mut physical_intids = Vec::new();
        for (index, word) in entries.iter().enumerate() {
            let entry = ListRegister(*word);
            if entry.is_empty() {
                continue;
            }
            assert!(index < self.count, "there is no list register {index}");
            assert!(entry.intid() < 1020, "list register {index} has a strange INTID: {word:#x}");
            assert!(
                !virtual_intids.contains(&entry.intid()),
                "an INTID is in two list registers: {entries:x?}"
            );
            virtual_intids.push(entry.intid());
            if entry.is_linked() {
                let both = entry.is_pending() && entry.is_active();
                assert!(!both, "a linked entry is pending and active: {word:#x}");
                assert!(
                    !physical_intids.contains(&entry.physical()),
                    "a physical INTID is linked twice: {entries:x?}"
                );
                physical_intids.push(entry.physical());
            }
        }
    }

    /// Physical INTIDs of entries that are linked.
    pub(super) fn linked(&self) -> impl Iterator<Item = u32> {
        self.entries
            .iter()
            .map(|word| ListRegister(*word))
            .filter(|entry| entry.is_linked() && !entry.is_empty())
            .map(|entry| u32::from(entry.physical()))
    }

    /// Is a maintenance interrupt signalled?
    pub(super) fn maintenance(&self) -> bool {
        let valid = self.entries.iter().filter(|word| !ListRegister(**word).is_empty()).count();
        let ended = |word: &u64| ListRegister(*word).is_empty() && ListRegister(*word).notifies_end();
        self.underflow && valid <= 1 || self.entries.iter().any(ended)
    }

    /// The list register whose interrupt is signalled to the guest.
    fn signalled(&self) -> Option<usize> {
        let running = (self.active[0] | self.active[1]).trailing_zeros() << 3;
        let mask = (self.vmcr >> 24 & 0xff) as u32;
        let forwarded = |entry: &ListRegister| self.vmcr & (if entry.is_group1() { 2 } else { 1 }) != 0;
        (0..self.count)
            .map(|index| (index, ListRegister(self.entries[index])))
            .filter(|(_, entry)| entry.is_pending() && !entry.is_active() && forwarded(entry))
            .min_by_key(|(index, entry)| (entry.priority(), *index))
            .filter(|(_, entry)| {
                u32::from(entry.priority()) < mask && u32::from(entry.priority() & 0xf8) < running
            })
            .map(|(index, _)| index)
    }

    pub(super) fn pending(&self) -> bool {
        self.signalled().is_some()
    }

    /// ICV_IAR: the INTID, and for an SGI of a GICv2 its source in bits 12:10.
    pub(super) fn acknowledge(&mut self) -> u32 {
        let Some(index) = self.signalled() else { return SPURIOUS };
        let entry = ListRegister(self.entries[index]);
        self.entries[index] = self.entries[index] & !(1 << 62) | 1 << 63;
        self.active[usize::from(entry.is_group1())] |= 1 << (entry.priority() >> 3);
        let source = if entry.is_linked() || entry.intid() > 15 { 0 } else { u32::from(entry.source()) };
        entry.intid() | source << 10
    }

    /// ICV_EOIR with EOImode 0: priority drop and deactivation. The physical interrupt to deactivate, if
    /// the entry is linked.
    pub(super) fn end(&mut self, acknowledged: u32) -> Option<u32> {
        let lowest = self.active[0] | self.active[1];
        let highest_priority = lowest & lowest.wrapping_neg();
        self.active = self.active.map(|bits| bits & !highest_priority);
        let intid = acknowledged & 0x3ff;
        let is_it =
            |word: &&mut u64| ListRegister(**word).intid() == intid && ListRegister(**word).is_active();
        let word = self.entries.iter_mut().find(is_it)?;
        *word &= !(1 << 63);
        let entry = ListRegister(*word);
        entry.is_linked().then(|| u32::from(entry.physical()))
    }
}
