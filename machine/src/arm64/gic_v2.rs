//! GICv2 with virtualization extensions (Arm IHI 0048B).
#![expect(unsafe_code, reason = "a barrier before an interrupt is sent")]

use core::sync::atomic::{AtomicU8, Ordering};

use alloc::vec::Vec;
use model::arm64::Lists;
use model::arm64::list_register::ListRegister;
use plan::{DeviceInterrupt, Range};

use super::device::Registers;
use super::gic::{KICK, PRIORITY, SPURIOUS, configure};
use super::system::barrier;

mod distributor {
    pub(super) const CONTROL: usize = 0x000;
    pub(super) const TYPE: usize = 0x004;
    pub(super) const SET_ENABLE: usize = 0x100;
    pub(super) const CLEAR_ENABLE: usize = 0x180;
    pub(super) const CLEAR_PENDING: usize = 0x280;
    pub(super) const SET_ACTIVE: usize = 0x300;
    pub(super) const CLEAR_ACTIVE: usize = 0x380;
    pub(super) const PRIORITY: usize = 0x400;
    pub(super) const TARGETS: usize = 0x800;
    pub(super) const SOFTWARE: usize = 0xf00;
}

mod interface {
    pub(super) const CONTROL: usize = 0x00;
    pub(super) const PRIORITY_MASK: usize = 0x04;
    pub(super) const BINARY_POINT: usize = 0x08;
    pub(super) const ACKNOWLEDGE: usize = 0x0c;
    pub(super) const END: usize = 0x10;
    pub(super) const DEACTIVATE: usize = 0x1000;
    /// Enable, and end in two steps (EOImodeNS).
    pub(super) const ON: u32 = 1 | 1 << 9;
}

mod control {
    pub(super) const CONTROL: usize = 0x00;
    pub(super) const TYPE: usize = 0x04;
    pub(super) const MACHINE: usize = 0x08;
    pub(super) const ACTIVE: usize = 0xf0;
    pub(super) const LIST: usize = 0x100;
    pub(super) const ENABLE: u32 = 1;
    pub(super) const UNDERFLOW: u32 = 1 << 1;
}

/// The driver.
#[derive(Debug)]
pub(crate) struct GicV2 {
    pub(super) distributor: Registers,
    interface: Registers,
    control: Registers,
    /// Each processor's bit in target lists.
    targets: Vec<AtomicU8>,
}

impl GicV2 {
    pub(crate) fn take(regions: [Range; 3], cpus: usize) -> Option<Self> {
        let [distributor, interface, control] = regions;
        let gic = GicV2 {
            distributor: Registers::map(distributor)?,
            interface: Registers::map(interface)?,
            control: Registers::map(control)?,
            targets: (0..cpus).map(|_| AtomicU8::new(0)).collect(),
        };
        gic.distributor.write(distributor::CONTROL, 0);
        let lines = gic.lines();
        for word in (1..lines / 32).map(|word| word * 4) {
            gic.distributor.write(distributor::CLEAR_ENABLE + word, !0);
            gic.distributor.write(distributor::CLEAR_PENDING + word, !0);
            gic.distributor.write(distributor::CLEAR_ACTIVE + word, !0);
        }
        gic.distributor.write(distributor::CONTROL, 1);
        Some(gic)
    }

    fn lines(&self) -> usize {
        32 * ((self.distributor.read(distributor::TYPE) & 0x1f) as usize + 1)
    }

    pub(crate) fn start_processor(&self, cpu: usize, _mpidr: u64, enabled: u32) -> bool {
        let own = (self.distributor.read(distributor::TARGETS) & 0xff) as u8;
        let Some(target) = self.targets.get(cpu) else { return false };
        // A controller of one processor answers 0.
        target.store(if own == 0 { 1 } else { own }, Ordering::Release);
        self.distributor.write(distributor::CLEAR_ENABLE, !0);
        self.distributor.write(distributor::CLEAR_PENDING, !0);
        self.distributor.write(distributor::CLEAR_ACTIVE, !0);
        for word in 0..8 {
            self.distributor.write(distributor::PRIORITY + word * 4, PRIORITY);
        }
        self.distributor.write(distributor::SET_ENABLE, enabled);
        self.interface.write(interface::PRIORITY_MASK, 0xff);
        self.interface.write(interface::BINARY_POINT, 0);
        self.interface.write(interface::CONTROL, interface::ON);
        self.write_lists(&Lists::default());
        true
    }

    pub(crate) fn list_registers(&self) -> usize {
        (self.control.read(control::TYPE) & 0x3f) as usize + 1
    }

    pub(crate) fn own(&self, interrupt: DeviceInterrupt) {
        let intid = interrupt.intid as usize;
        let target = self.distributor.read(distributor::TARGETS) & 0xff;
        let shift = (intid % 4) * 8;
        configure(&self.distributor, interrupt);
        set_byte(&self.distributor, distributor::TARGETS + (intid & !3), shift, target.max(1));
        set_byte(&self.distributor, distributor::PRIORITY + (intid & !3), shift, PRIORITY & 0xff);
        self.distributor.write(distributor::SET_ENABLE + intid / 32 * 4, 1 << (intid % 32));
    }

    #[inline]
    pub(crate) fn acknowledge(&self) -> u32 {
        let acknowledged = self.interface.read(interface::ACKNOWLEDGE);
        // What the sender of a call has written is read after it, and not before.
        barrier!("dsb sy");
        if acknowledged & 0x3ff < SPURIOUS {
            self.interface.write(interface::END, acknowledged);
        }
        acknowledged
    }

    #[inline]
    pub(crate) fn deactivate(&self, acknowledged: u32) {
        self.interface.write(interface::DEACTIVATE, acknowledged);
    }

    pub(crate) fn set_private_active(&self, _cpu: usize, intid: u32, active: bool) {
        let register = if active { distributor::SET_ACTIVE } else { distributor::CLEAR_ACTIVE };
        self.distributor.write(register, 1 << (intid & 31));
    }

    pub(crate) fn kick(&self, cpu: usize) {
        barrier!("dsb ish");
        let target = self.targets.get(cpu).map_or(0, |target| target.load(Ordering::Acquire));
        self.distributor.write(distributor::SOFTWARE, u32::from(target) << 16 | KICK);
    }

    #[inline]
    pub(crate) fn read_list(&self, place: usize) -> u64 {
        ListRegister::from_gicv2(self.control.read(list_at(place))).0
    }

    #[inline]
    pub(crate) fn write_list(&self, place: usize, entry: u64) {
        self.control.write(list_at(place), ListRegister(entry).to_gicv2());
    }

    pub(crate) fn read_lists(&self, lists: &mut Lists) {
        self.each_used_list(lists, |index, entry| *entry = self.read_list(index));
    }

    /// Does something with each list register that is in use.
    fn each_used_list(&self, lists: &mut Lists, act: impl Fn(usize, &mut u64)) {
        let mut used = lists.used;
        while used != 0 {
            let index = used.trailing_zeros() as usize;
            used &= used - 1;
            if let Some(entry) = lists.entries.get_mut(index) {
                act(index, entry);
            }
        }
    }

    pub(crate) fn write_lists(&self, lists: &Lists) {
        for (index, entry) in lists.entries.iter().enumerate().take(self.list_registers()) {
            self.write_list(index, *entry);
        }
        self.write_control(lists);
    }

    fn write_control(&self, lists: &Lists) {
        let underflow = if lists.underflow { control::UNDERFLOW } else { 0 };
        self.control.write(control::CONTROL, control::ENABLE | underflow);
    }

    /// No list register is in use: [`Self::save`] and the start have cleared them.
    pub(crate) fn load(&self, lists: &mut Lists) {
        self.control.write(control::MACHINE, lists.vmcr as u32);
        self.control.write(control::ACTIVE, lists.active_group0[0] as u32);
        self.each_used_list(lists, |index, entry| self.write_list(index, *entry));
        self.write_control(lists);
    }

    pub(crate) fn save(&self, lists: &mut Lists) {
        self.each_used_list(lists, |index, entry| {
            *entry = self.read_list(index);
            self.write_list(index, 0);
        });
        lists.vmcr = u64::from(self.control.read(control::MACHINE));
        lists.active_group0[0] = u64::from(self.control.read(control::ACTIVE));
        self.control.write(control::CONTROL, control::ENABLE);
    }
}

fn set_byte(registers: &Registers, offset: usize, shift: usize, value: u32) {
    let old = registers.read(offset);
    registers.write(offset, old & !(0xff << shift) | value << shift);
}

/// Where a list register is. A wild place is out of the registers' range, and neither read nor written.
#[inline]
fn list_at(place: usize) -> usize {
    control::LIST.wrapping_add(place.wrapping_mul(4))
}
