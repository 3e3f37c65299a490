//! The registers that distributor and redistributor have alike: a bit, two bits or a byte for each of a
//! row of interrupts.

use super::interrupt::{ACTIVE, Change, EDGE, ENABLED, GROUP1, Interrupt, NOBODY, SOURCED};
use super::{Answer, Attention, Gic, PRIVATE, SGIS, Version};
use crate::arm64::AccessSize;
use crate::bits::{Ones, bit, index, low_u8};

/// A register's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
    Priority,
    Target,
    Configuration,
    /// IGRPMODR and NSACR: read as zero, writes are ignored.
    Dead,
}

/// An access to such a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) kind: Kind,
    /// The first INTID that it covers.
    pub(super) first: usize,
    /// How many it covers.
    pub(super) count: usize,
}

impl Row {
    /// The access at this offset, if it is one to such a register in a width that it has.
    #[inline]
    pub(super) fn at(offset: u64, size: AccessSize) -> Option<Self> {
        let word = size == AccessSize::Word && offset & 3 == 0;
        let byte = size == AccessSize::Byte || word;
        let (kind, base, per_byte, allowed) = match offset {
            0x080..0x400 => (one_bit(offset), offset & !0x7f, 8, word),
            0x400..0x800 => (Kind::Priority, 0x400, 1, byte),
            0x800..0xc00 => (Kind::Target, 0x800, 1, byte),
            0xc00..0xd00 => (Kind::Configuration, 0xc00, 4, word),
            0xd00..0xd80 => (Kind::Dead, 0xd00, 8, word),
            0xe00..0xf00 => (Kind::Dead, 0xe00, 4, word),
            _ => return None,
        };
        let first = usize::try_from(offset.wrapping_sub(base).wrapping_mul(per_byte)).ok()?;
        let count = usize::try_from(size.bytes().wrapping_mul(per_byte)).ok()?;
        allowed.then_some(Self { kind, first, count })
    }

    /// Whether it covers SGIs and PPIs.
    pub(super) const fn is_private(self) -> bool {
        self.first < PRIVATE
    }
}

const fn one_bit(offset: u64) -> Kind {
    match offset >> 7 {
        1 => Kind::Group,
        2 => Kind::SetEnable,
        3 => Kind::ClearEnable,
        4 => Kind::SetPending,
        5 => Kind::ClearPending,
        6 => Kind::SetActive,
        _ => Kind::ClearActive,
    }
}

impl Gic {
    /// What such a register reads, as this vCPU sees it.
    #[inline(never)]
    pub(super) fn read_row(&self, vcpu: usize, row: Row) -> Answer {
        let interrupts = self.row(vcpu, row);
        Answer::of(match row.kind {
            Kind::Group => bits(interrupts, |interrupt| interrupt.is(GROUP1)),
            Kind::SetEnable | Kind::ClearEnable => bits(interrupts, |interrupt| interrupt.is(ENABLED)),
            Kind::SetPending | Kind::ClearPending => bits(interrupts, Interrupt::is_pending),
            Kind::SetActive | Kind::ClearActive => bits(interrupts, |interrupt| interrupt.is(ACTIVE)),
            Kind::Configuration => interrupts
                .iter()
                .rev()
                .fold(0, |word, interrupt| word << 2 | u64::from(interrupt.is(EDGE)) << 1),
            Kind::Priority => bytes(interrupts, Interrupt::priority),
            Kind::Target if row.is_private() => {
                let own = low_u8(1_u64.wrapping_shl(u32::try_from(vcpu & 7).unwrap_or(0)));
                bytes(interrupts, |_| own)
            }
            Kind::Target => bytes(interrupts, Interrupt::mask),
            Kind::Dead => 0,
        })
    }

    /// The interrupts that a register covers, as far as they exist.
    #[inline]
    fn row(&self, vcpu: usize, row: Row) -> &[Interrupt] {
        let (all, first) = match row.first.checked_sub(PRIVATE) {
            None => (self.vcpus.get(vcpu).map_or(&[][..], |cpu| &cpu.private), row.first),
            Some(first) => (&self.shared[..], first),
        };
        let rest = all.get(first..).unwrap_or(&[]);
        rest.get(..row.count).unwrap_or(rest)
    }

    /// A write to such a register by this vCPU.
    pub(super) fn write_row(&mut self, vcpu: usize, row: Row, value: u64) -> Attention {
        match row.kind {
            Kind::Group => {
                self.write_each(vcpu, row, |interrupt, place| interrupt.set_group1(bit(value, place)))
            }
            Kind::Configuration => self.write_each(vcpu, row, |interrupt, place| {
                interrupt.set_edge(bit(value, place.wrapping_shl(1) | 1))
            }),
            Kind::Priority => self.write_each(vcpu, row, |interrupt, place| {
                interrupt.set_priority(low_u8(value.wrapping_shr(place.wrapping_shl(3))))
            }),
            Kind::Target => self.write_targets(vcpu, row, value),
            Kind::SetEnable => self.write_ones(vcpu, row, value, |interrupt| interrupt.set_enabled(true)),
            Kind::ClearEnable => self.write_ones(vcpu, row, value, |interrupt| {
                if interrupt.is(SOURCED) { Change::None } else { interrupt.set_enabled(false) }
            }),
            Kind::SetPending => self.write_ones(vcpu, row, value, Interrupt::set_pending),
            Kind::ClearPending => self.write_ones(vcpu, row, value, Interrupt::clear_pending),
            Kind::SetActive => self.write_ones(vcpu, row, value, Interrupt::set_active),
            Kind::ClearActive => self.write_ones(vcpu, row, value, Interrupt::clear_active),
            Kind::Dead => Attention::NONE,
        }
    }

    /// GICD_ITARGETSR: the interrupt goes to the first vCPU of its list. Those of SGIs and PPIs are fixed.
    fn write_targets(&mut self, vcpu: usize, row: Row, value: u64) -> Attention {
        if row.is_private() || self.version == Version::V3 {
            return Attention::NONE;
        }
        let present = self.present();
        self.write_each(vcpu, row, |interrupt, place| {
            let mask = low_u8(value.wrapping_shr(place.wrapping_shl(3))) & present;
            let target = match mask {
                0 => NOBODY,
                mask => u8::try_from(mask.trailing_zeros()).unwrap_or(NOBODY),
            };
            interrupt.set_target(target, mask)
        })
    }

    /// Changes the interrupts whose bits are set.
    fn write_ones(
        &mut self,
        vcpu: usize,
        row: Row,
        value: u64,
        change: impl Fn(&mut Interrupt) -> Change,
    ) -> Attention {
        let mut attention = Attention::NONE;
        for place in Ones(value & 0xffff_ffff) {
            attention |= self.change(vcpu, row.first.wrapping_add(index(place)), &change);
        }
        attention
    }

    /// Changes all interrupts of a register; the SGIs' configuration is fixed.
    fn write_each(
        &mut self,
        vcpu: usize,
        row: Row,
        change: impl Fn(&mut Interrupt, u32) -> Change,
    ) -> Attention {
        if row.kind == Kind::Configuration && row.first < SGIS {
            return Attention::NONE;
        }
        let mut attention = Attention::NONE;
        for place in 0..u32::try_from(row.count).unwrap_or(0) {
            let intid = row.first.wrapping_add(index(place));
            attention |= self.change(vcpu, intid, |interrupt| change(interrupt, place));
        }
        attention
    }

    #[inline]
    fn change(
        &mut self,
        vcpu: usize,
        intid: usize,
        change: impl FnOnce(&mut Interrupt) -> Change,
    ) -> Attention {
        match self.interrupt_mut(vcpu, intid) {
            Some(interrupt) => {
                let change = change(interrupt);
                self.follow(vcpu, intid, change)
            }
            None => Attention::NONE,
        }
    }
}

/// One bit for each interrupt, the first lowest.
#[inline]
fn bits(interrupts: &[Interrupt], is_set: impl Fn(&Interrupt) -> bool) -> u64 {
    let shift_in = |word, interrupt| word << 1 | u64::from(is_set(interrupt));
    // Four at a stretch, without a loop's steps between them.
    let (fours, rest) = interrupts.as_chunks::<4>();
    let word = rest.iter().rev().fold(0, shift_in);
    fours.iter().rev().fold(word, |word, four| four.iter().rev().fold(word, shift_in))
}

/// One byte for each interrupt, the first lowest.
#[inline]
fn bytes(interrupts: &[Interrupt], byte: impl Fn(&Interrupt) -> u8) -> u64 {
    interrupts.iter().rev().fold(0, |word, interrupt| word << 8 | u64::from(byte(interrupt)))
}
