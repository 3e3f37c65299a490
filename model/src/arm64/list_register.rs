//! An entry of the list registers, in the encoding of GICv3 and, for a host with a GICv2, as GICH_LR.
//!
//! Sources: IHI 0069 (ICH_LR&lt;n&gt;_EL2) and IHI 0048 (GICH_LRn). The hypervisor knows the first form only
//! (see [`super::Lists`]); the machine converts where it has to.

use crate::bits::{bit, low_u8, low_u16, low_u32};

/// A list register. Zero is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListRegister(pub u64);

/// State, bit 62: pending.
const PENDING: u64 = 1 << 62;
/// State, bit 63: active.
const ACTIVE: u64 = 1 << 63;
/// The interrupt is linked to a physical one.
const HARDWARE: u64 = 1 << 61;
/// Group 1.
const GROUP1: u64 = 1 << 60;
/// Where not linked: a maintenance interrupt at the end of the interrupt.
const END: u64 = 1 << 41;

impl ListRegister {
    /// An entry for this INTID with this priority, neither pending nor active.
    #[inline]
    pub fn new(intid: u32, priority: u8) -> Self {
        Self(u64::from(intid) | u64::from(priority) << 48)
    }

    /// The same, pending if `yes`.
    #[inline]
    pub const fn pending_if(self, yes: bool) -> Self {
        if yes { Self(self.0 | PENDING) } else { self }
    }

    /// The same, active if `yes`.
    #[inline]
    pub const fn active_if(self, yes: bool) -> Self {
        if yes { Self(self.0 | ACTIVE) } else { self }
    }

    /// The same, in group 1 if `yes`.
    #[inline]
    pub const fn group1_if(self, yes: bool) -> Self {
        if yes { Self(self.0 | GROUP1) } else { self }
    }

    /// The same, with a maintenance interrupt at its end if `yes`. Not for linked entries.
    #[inline]
    pub const fn notify_end_if(self, yes: bool) -> Self {
        if yes { Self(self.0 | END) } else { self }
    }

    /// The same, linked to this physical INTID: its end in the guest is the end of the physical one.
    #[inline]
    pub fn linked(self, physical: u16) -> Self {
        Self(self.0 | HARDWARE | u64::from(physical & 0x1fff) << 32)
    }

    /// The same, an SGI of a GICv2 from this vCPU.
    #[inline]
    pub fn from_source(self, vcpu: u8) -> Self {
        Self(self.0 | u64::from(vcpu & 7) << 32)
    }

    /// The virtual INTID.
    #[inline]
    pub const fn intid(self) -> u32 {
        low_u32(self.0)
    }

    /// Its priority.
    pub const fn priority(self) -> u8 {
        low_u8(self.0 >> 48)
    }

    /// Pending, or pending and active.
    #[inline]
    pub const fn is_pending(self) -> bool {
        self.0 & PENDING != 0
    }

    /// Active, or pending and active.
    #[inline]
    pub const fn is_active(self) -> bool {
        self.0 & ACTIVE != 0
    }

    /// Linked to a physical interrupt.
    #[inline]
    pub const fn is_linked(self) -> bool {
        self.0 & HARDWARE != 0
    }

    /// In group 1.
    pub const fn is_group1(self) -> bool {
        self.0 & GROUP1 != 0
    }

    /// Asks for a maintenance interrupt at its end.
    pub const fn notifies_end(self) -> bool {
        !self.is_linked() && self.0 & END != 0
    }

    /// Neither pending nor active.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 & (PENDING | ACTIVE) == 0
    }

    /// The same interrupt, pending again: of an entry that has ended, is linked or not as said, and whose end was nobody
    /// else's to notice.
    #[inline]
    pub(crate) const fn again(self, linked: bool) -> Option<Self> {
        let expected = if linked { HARDWARE } else { 0 };
        let changed = if linked { PENDING | ACTIVE | HARDWARE } else { PENDING | ACTIVE | HARDWARE | END };
        if self.0 & changed == expected { Some(Self(self.0 | PENDING)) } else { None }
    }

    /// The physical INTID of a linked entry.
    pub const fn physical(self) -> u16 {
        low_u16(self.0 >> 32) & 0x1fff
    }

    /// The source vCPU of an SGI of a GICv2.
    #[inline]
    pub const fn source(self) -> u8 {
        low_u8(self.0 >> 32) & 7
    }

    /// As GICH_LRn: HW 31, Grp1 30, state 29:28, priority 27:23 (its upper five bits), physical INTID
    /// 19:10, or EOI 19 and CPUID 12:10, virtual INTID 9:0.
    pub fn to_gicv2(self) -> u32 {
        let entry = self.0;
        let mut word = entry >> 62 << 28 | (entry >> 51 & 0x1f) << 23 | entry & 0x3ff;
        word |= u64::from(self.is_linked()) << 31 | u64::from(self.is_group1()) << 30;
        word |= if self.is_linked() {
            (entry >> 32 & 0x3ff) << 10
        } else {
            u64::from(self.notifies_end()) << 19 | (entry >> 32 & 7) << 10
        };
        low_u32(word)
    }

    /// From GICH_LRn.
    pub fn from_gicv2(word: u32) -> Self {
        let word = u64::from(word);
        let mut entry = (word >> 28 & 3) << 62 | (word >> 23 & 0x1f) << 51 | word & 0x3ff;
        if bit(word, 30) {
            entry |= GROUP1;
        }
        if bit(word, 31) {
            entry |= HARDWARE | (word >> 10 & 0x3ff) << 32;
        } else {
            entry |= (word >> 10 & 7) << 32 | (word >> 19 & 1) << 41;
        }
        Self(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fields_lie_where_the_gicv3_manual_has_them() {
        let timer = ListRegister::new(27, 0xa0).pending_if(true).group1_if(true).linked(27);
        assert_eq!(timer.0, 0x70a0_001b_0000_001b);
        let uart = ListRegister::new(32, 0x80).active_if(true).notify_end_if(true);
        assert_eq!(uart.0, 0x8080_0200_0000_0020);
        let sgi = ListRegister::new(3, 0).pending_if(true).active_if(true).from_source(5);
        assert_eq!(sgi.0, 0xc000_0005_0000_0003);
    }

    #[test]
    fn the_fields_lie_where_the_gicv2_manual_has_them() {
        let timer = ListRegister::new(27, 0xa0).pending_if(true).group1_if(true).linked(27);
        assert_eq!(timer.to_gicv2(), 0xda00_6c1b);
        let uart = ListRegister::new(32, 0x80).active_if(true).notify_end_if(true);
        assert_eq!(uart.to_gicv2(), 0x2808_0020);
        let sgi = ListRegister::new(3, 0xf8).pending_if(true).active_if(true).from_source(5);
        assert_eq!(sgi.to_gicv2(), 0x3f80_1403);
    }

    #[test]
    fn a_linked_entry_never_notifies_its_end() {
        // Bit 41 belongs to the physical INTID there.
        let entry = ListRegister::new(27, 0).pending_if(true).linked(0x3ff);
        assert!(!entry.notifies_end());
        assert_eq!(entry.physical(), 0x3ff);
        assert_eq!(ListRegister::from_gicv2(entry.to_gicv2()), entry);
    }

    proptest! {
        #[test]
        fn an_entry_survives_the_way_through_a_gicv2(
            intid in 0_u32..1020, priority in 0_u8..32, state in 0_u64..4, group1: bool, linked: bool,
            physical in 0_u16..1020, source in 0_u8..8, end: bool,
        ) {
            let entry = ListRegister::new(intid, priority << 3)
                .pending_if(state & 1 != 0)
                .active_if(state & 2 != 0)
                .group1_if(group1);
            let entry = if linked { entry.linked(physical) } else { entry.from_source(source).notify_end_if(end) };
            prop_assert_eq!(ListRegister::from_gicv2(entry.to_gicv2()), entry);
            prop_assert_eq!(entry.intid(), intid);
            prop_assert_eq!(entry.priority(), priority << 3);
            prop_assert_eq!(entry.is_empty(), state == 0);
        }

        #[test]
        fn any_word_is_taken(word: u32, entry: u64) {
            let back = ListRegister::from_gicv2(word).to_gicv2();
            prop_assert_eq!(ListRegister::from_gicv2(back), ListRegister::from_gicv2(word));
            let _ = ListRegister(entry).to_gicv2();
        }
    }
}
