//! GICv3 (Arm IHI 0069): distributor and redistributors by memory, the rest by system registers.
#![expect(unsafe_code, reason = "the interface is system registers")]

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use alloc::vec::Vec;
use model::arm64::Lists;
use plan::{DeviceInterrupt, Range};

use super::device::Registers;
use super::gic::{KICK, PRIORITY, SPURIOUS, configure};
use super::system::{barrier, mpidr, read, write};

mod distributor {
    pub(super) const CONTROL: usize = 0x0000;
    pub(super) const TYPE: usize = 0x0004;
    pub(super) const GROUP: usize = 0x0080;
    pub(super) const SET_ENABLE: usize = 0x0100;
    pub(super) const CLEAR_ENABLE: usize = 0x0180;
    pub(super) const CLEAR_PENDING: usize = 0x0280;
    pub(super) const CLEAR_ACTIVE: usize = 0x0380;
    pub(super) const PRIORITY: usize = 0x0400;
    pub(super) const ROUTE: usize = 0x6000;
    /// Affinity routing, group 1 on.
    pub(super) const ON: u32 = 1 << 4 | 1 << 1;
    pub(super) const WRITE_PENDING: u32 = 1 << 31;
}

mod redistributor {
    pub(super) const TYPE: usize = 0x0008;
    pub(super) const WAKER: usize = 0x0014;
    pub(super) const SLEEP: u32 = 1 << 1;
    pub(super) const ASLEEP: u32 = 1 << 2;
    pub(super) const FRAMES: usize = 0x2_0000;
    const SGI: usize = 0x1_0000;
    pub(super) const GROUP: usize = SGI + 0x0080;
    pub(super) const SET_ENABLE: usize = SGI + 0x0100;
    pub(super) const CLEAR_ENABLE: usize = SGI + 0x0180;
    pub(super) const CLEAR_PENDING: usize = SGI + 0x0280;
    pub(super) const SET_ACTIVE: usize = SGI + 0x0300;
    pub(super) const CLEAR_ACTIVE: usize = SGI + 0x0380;
    pub(super) const PRIORITY: usize = SGI + 0x0400;
}

/// How long a register may take to change, in reads.
const PATIENCE: u32 = 1_000_000;

/// The driver.
#[derive(Debug)]
pub(crate) struct GicV3 {
    pub(super) distributor: Registers,
    redistributors: Vec<Registers>,
    /// Distance of two redistributors where the tree states it.
    stride: usize,
    processors: Vec<Processor>,
}

/// What is known of a processor once it has started.
#[derive(Debug, Default)]
struct Processor {
    mpidr: AtomicU64,
    /// Region (plus 1) and offset of its redistributor.
    region: AtomicUsize,
    offset: AtomicUsize,
}

impl GicV3 {
    pub(crate) fn take(distributor: Range, regions: &[Range], stride: u64, cpus: usize) -> Option<Self> {
        let mut redistributors = Vec::new();
        for region in regions {
            redistributors.push(Registers::map(*region)?);
        }
        let gic = GicV3 {
            distributor: Registers::map(distributor)?,
            redistributors,
            stride: usize::try_from(stride).ok()?,
            processors: (0..cpus).map(|_| Processor::default()).collect(),
        };
        gic.distributor.write(distributor::CONTROL, 0);
        gic.wait();
        let lines = 32 * ((gic.distributor.read(distributor::TYPE) & 0x1f) as usize + 1);
        for word in (1..lines.min(1024) / 32).map(|word| word * 4) {
            gic.distributor.write(distributor::CLEAR_ENABLE + word, !0);
            gic.distributor.write(distributor::CLEAR_PENDING + word, !0);
            gic.distributor.write(distributor::CLEAR_ACTIVE + word, !0);
            gic.distributor.write(distributor::GROUP + word, !0);
        }
        gic.wait();
        gic.distributor.write(distributor::CONTROL, distributor::ON);
        gic.wait();
        Some(gic)
    }

    fn wait(&self) {
        for _ in 0..PATIENCE {
            if self.distributor.read(distributor::CONTROL) & distributor::WRITE_PENDING == 0 {
                return;
            }
        }
    }

    pub(crate) fn start_processor(&self, cpu: usize, mpidr: u64, enabled: u32) -> bool {
        let Some((region, offset)) = self.find(mpidr) else { return false };
        let Some(processor) = self.processors.get(cpu) else { return false };
        processor.mpidr.store(mpidr, Ordering::Release);
        processor.offset.store(offset, Ordering::Release);
        processor.region.store(region + 1, Ordering::Release);
        let Some(own) = self.redistributor(cpu) else { return false };
        own.write(redistributor::WAKER, own.read(redistributor::WAKER) & !redistributor::SLEEP);
        for _ in 0..PATIENCE {
            if own.read(redistributor::WAKER) & redistributor::ASLEEP == 0 {
                break;
            }
        }
        own.write(redistributor::CLEAR_ENABLE, !0);
        own.write(redistributor::CLEAR_PENDING, !0);
        own.write(redistributor::CLEAR_ACTIVE, !0);
        own.write(redistributor::GROUP, !0);
        for word in 0..8 {
            own.write(redistributor::PRIORITY + word * 4, PRIORITY);
        }
        own.write(redistributor::SET_ENABLE, enabled);
        Self::start_interface();
        true
    }

    fn start_interface() {
        // Without Enable: a guest that tries to leave the system registers traps.
        write!("icc_sre_el2", 0x7);
        barrier!("isb");
        write!("icc_sre_el1", 0x7);
        // A priority that firmware left active would hold everything back.
        write!("icc_ap0r0_el1", 0);
        write!("icc_ap1r0_el1", 0);
        write!("icc_pmr_el1", 0xff);
        write!("icc_bpr1_el1", 0);
        write!("icc_ctlr_el1", 1 << 1);
        write!("icc_igrpen1_el1", 1);
        write_all_lists(&Lists::default(), read!("ich_vtr_el2"));
        barrier!("isb");
    }

    /// The redistributor of the processor with this affinity: region and offset.
    fn find(&self, mpidr: u64) -> Option<(usize, usize)> {
        let affinity = (mpidr & 0xff_ffff) | (mpidr >> 8 & 0xff00_0000);
        for (index, region) in self.redistributors.iter().enumerate() {
            let mut offset = 0;
            while offset + redistributor::FRAMES <= region.size() {
                let kind = region.read_wide(offset + redistributor::TYPE);
                if kind >> 32 == affinity {
                    return Some((index, offset));
                }
                if kind & 1 << 4 != 0 {
                    break;
                }
                // With virtual LPIs a redistributor has two more frames.
                let own = if kind & 1 << 1 != 0 { 2 * redistributor::FRAMES } else { redistributor::FRAMES };
                offset += own.max(self.stride);
            }
        }
        None
    }

    fn redistributor(&self, cpu: usize) -> Option<Registers> {
        let processor = self.processors.get(cpu)?;
        let region = processor.region.load(Ordering::Acquire).checked_sub(1)?;
        let offset = processor.offset.load(Ordering::Acquire);
        self.redistributors.get(region)?.part(offset, redistributor::FRAMES)
    }

    pub(crate) fn list_registers(&self) -> usize {
        list_registers(read!("ich_vtr_el2"))
    }

    pub(crate) fn own(&self, interrupt: DeviceInterrupt) {
        let intid = interrupt.intid as usize;
        let shift = (intid % 4) * 8;
        let offset = distributor::PRIORITY + (intid & !3);
        let old = self.distributor.read(offset);
        self.distributor.write(offset, old & !(0xff << shift) | (PRIORITY & 0xff) << shift);
        configure(&self.distributor, interrupt);
        self.distributor.write_wide(distributor::ROUTE + intid * 8, mpidr());
        self.distributor.write(distributor::SET_ENABLE + intid / 32 * 4, 1 << (intid % 32));
        self.wait();
    }

    #[inline]
    pub(crate) fn acknowledge(&self) -> u32 {
        let intid = read!("icc_iar1_el1") as u32;
        // What the sender of a call has written is read after it, and not before.
        barrier!("dsb sy");
        if intid < SPURIOUS {
            write!("icc_eoir1_el1", u64::from(intid));
        }
        intid
    }

    #[inline]
    pub(crate) fn deactivate(&self, intid: u32) {
        write!("icc_dir_el1", u64::from(intid));
    }

    pub(crate) fn set_private_active(&self, cpu: usize, intid: u32, active: bool) {
        let register = if active { redistributor::SET_ACTIVE } else { redistributor::CLEAR_ACTIVE };
        if let Some(own) = self.redistributor(cpu) {
            own.write(register, 1 << (intid & 31));
        }
    }

    pub(crate) fn kick(&self, cpu: usize) {
        let Some(processor) = self.processors.get(cpu) else { return };
        let mpidr = processor.mpidr.load(Ordering::Acquire);
        let [level0, level1, level2, _, level3, ..] = mpidr.to_le_bytes().map(u64::from);
        let target = level3 << 48 | (level0 >> 4) << 44 | level2 << 32 | level1 << 16 | 1 << (level0 & 15);
        barrier!("dsb ish");
        write!("icc_sgi1r_el1", target | u64::from(KICK) << 24);
        barrier!("isb");
    }

    #[inline(always)]
    pub(crate) fn read_list(&self, place: usize) -> u64 {
        read_list(place)
    }

    #[inline(always)]
    pub(crate) fn write_list(&self, place: usize, entry: u64) {
        write_list(place, entry);
    }

    pub(crate) fn read_lists(&self, lists: &mut Lists) {
        each_used_list(lists, |entry, register| *entry = register.read());
    }

    pub(crate) fn write_lists(&self, lists: &Lists) {
        write_all_lists(lists, read!("ich_vtr_el2"));
    }

    /// No list register is in use: [`Self::save`] and the start have cleared them.
    #[inline]
    pub(crate) fn load(&self, lists: &mut Lists) {
        write!("ich_vmcr_el2", lists.vmcr);
        let kind = read!("ich_vtr_el2");
        active_registers(kind, |bits| {
            write!("ich_ap0r0_el2", lists.active_group0[0]);
            write!("ich_ap1r0_el2", lists.active_group1[0]);
            if bits >= 6 {
                write!("ich_ap0r1_el2", lists.active_group0[1]);
                write!("ich_ap1r1_el2", lists.active_group1[1]);
            }
            if bits >= 7 {
                write!("ich_ap0r2_el2", lists.active_group0[2]);
                write!("ich_ap0r3_el2", lists.active_group0[3]);
                write!("ich_ap1r2_el2", lists.active_group1[2]);
                write!("ich_ap1r3_el2", lists.active_group1[3]);
            }
        });
        each_used_list(lists, |entry, register| register.write(*entry));
        write_control(lists);
    }

    pub(crate) fn save(&self, lists: &mut Lists) {
        each_used_list(lists, |entry, register| {
            *entry = register.read();
            register.write(0);
        });
        lists.vmcr = read!("ich_vmcr_el2");
        active_registers(read!("ich_vtr_el2"), |bits| {
            lists.active_group0[0] = read!("ich_ap0r0_el2");
            lists.active_group1[0] = read!("ich_ap1r0_el2");
            if bits >= 6 {
                lists.active_group0[1] = read!("ich_ap0r1_el2");
                lists.active_group1[1] = read!("ich_ap1r1_el2");
            }
            if bits >= 7 {
                lists.active_group0[2] = read!("ich_ap0r2_el2");
                lists.active_group0[3] = read!("ich_ap0r3_el2");
                lists.active_group1[2] = read!("ich_ap1r2_el2");
                lists.active_group1[3] = read!("ich_ap1r3_el2");
            }
        });
        write!("ich_hcr_el2", 1);
    }
}

/// Calls `act` with the number of preemption bits, which says how many active registers there are. `kind` is ICH_VTR_EL2.
#[inline]
fn active_registers(kind: u64, act: impl FnOnce(u64)) {
    act((kind >> 26 & 7) + 1);
}

/// One arm for each list register: their names are part of the instruction.
macro_rules! each_list {
    ($index:expr, $access:ident; $($number:literal $name:literal),*) => {
        match $index {
            $($number => $access!($name),)*
            _ => Default::default(),
        }
    };
    ($index:expr, $access:ident) => {
        each_list!($index, $access; 0 "ich_lr0_el2", 1 "ich_lr1_el2", 2 "ich_lr2_el2", 3 "ich_lr3_el2",
            4 "ich_lr4_el2", 5 "ich_lr5_el2", 6 "ich_lr6_el2", 7 "ich_lr7_el2", 8 "ich_lr8_el2",
            9 "ich_lr9_el2", 10 "ich_lr10_el2", 11 "ich_lr11_el2", 12 "ich_lr12_el2", 13 "ich_lr13_el2",
            14 "ich_lr14_el2", 15 "ich_lr15_el2")
    };
}

/// One list register by its number; with a number that the compiler knows it is one instruction.
struct ListRegister(usize);

impl ListRegister {
    #[inline(always)]
    fn read(&self) -> u64 {
        each_list!(self.0, read)
    }

    #[inline(always)]
    fn write(&self, value: u64) {
        macro_rules! put {
            ($name:literal) => {
                write!($name, value)
            };
        }
        each_list!(self.0, put)
    }
}

/// Does something with each list register that is in use. They are taken from the lowest on, so that most often one of
/// the first four is the last.
#[inline]
fn each_used_list(lists: &mut Lists, act: impl Fn(&mut u64, ListRegister)) {
    let [first, second, third, fourth, rest @ ..] = &mut lists.entries;
    let used = lists.used;
    for (index, entry) in [first, second, third, fourth].into_iter().enumerate() {
        if used >> index == 0 {
            return;
        }
        if used >> index & 1 != 0 {
            act(entry, ListRegister(index));
        }
    }
    for (index, entry) in (4..).zip(rest).filter(|(index, _)| used >> index & 1 != 0) {
        act(entry, ListRegister(index));
    }
}

#[inline(always)]
fn read_list(index: usize) -> u64 {
    ListRegister(index).read()
}

/// How many there are, by ICH_VTR_EL2.
#[inline]
fn list_registers(kind: u64) -> usize {
    (kind & 0x1f) as usize + 1
}

/// Writes all list registers that there are by ICH_VTR_EL2: four are there nearly always, and written without looking.
#[inline]
fn write_all_lists(lists: &Lists, kind: u64) {
    let count = list_registers(kind);
    let [first, second, third, fourth, rest @ ..] = &lists.entries;
    if count < 4 {
        for (index, entry) in lists.entries.iter().enumerate().take(count) {
            write_list(index, *entry);
        }
    } else {
        write!("ich_lr0_el2", *first);
        write!("ich_lr1_el2", *second);
        write!("ich_lr2_el2", *third);
        write!("ich_lr3_el2", *fourth);
        for (index, entry) in (4..count).zip(rest) {
            write_list(index, *entry);
        }
    }
    write_control(lists);
}

#[inline]
fn write_control(lists: &Lists) {
    write!("ich_hcr_el2", 1 | u64::from(lists.underflow) << 1);
}

#[inline(always)]
fn write_list(index: usize, value: u64) {
    ListRegister(index).write(value);
}
