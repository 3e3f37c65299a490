//! The board as the contract wants it.
#![expect(unsafe_code, reason = "timer registers")]

use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU64, Ordering};

use alloc::vec::Vec;
use model::arm64::{Registers as GuestRegisters, SystemRegister, Trap};
use plan::{DeviceInterrupt, GicRegions, GuestMemory, Plan, Range};

use super::device::Registers;
use super::gic::{Gic, KICK, SPURIOUS};
use super::secondary::NotStarted;
use super::system::{barrier, counter, read, wait_for_interrupt, write};
use super::uart::Uart;
use super::{fault, firmware, foreign, heap, memory, processor, secondary, system, translation};
use crate::contract::{CacheAct, CpuIndex, Hidden, Interrupt, Machine, Of, Showing, Ticks, Word};
use crate::frames::{Block, FrameRange, FrameTable, GuestFrame, NO_DOMAIN};
use crate::lock::{Lock, Rank};
use crate::stage2::{Kind, MapError, Stage2};

/// A domain's stage 2 map and the number by which translation caches know it.
#[derive(Debug)]
pub struct GuestMap {
    /// Never dropped: a processor may still have the map loaded, and what it shows stays a guest's.
    tables: ManuallyDrop<Lock<Stage2>>,
    vmid: u16,
    /// VTTBR_EL2: the root, and the VMID.
    register: u64,
}

/// The board: satisfies [`Machine`].
#[derive(Debug)]
pub struct Board {
    gic: Gic,
    uart: Option<Uart>,
    processors: Vec<u64>,
    console_interrupt: u32,
    maintenance: u32,
    virtual_timer: u32,
    hypervisor_timer: u32,
    frequency: u64,
    native_wait: bool,
    /// Of which kind all processors have to be.
    kind: Option<u64>,
    ipa_bits: u8,
    virtual_interface: Option<Range>,
    frames: &'static FrameTable,
    /// For each processor and VMID: which vCPU of that domain ran there last, as its affinity plus 1.
    residents: Vec<Vec<AtomicU64>>,
}

impl Board {
    pub(crate) fn take(plan: &Plan, frames: &'static FrameTable) -> Result<Board, &'static str> {
        let board = &plan.board;
        let gic =
            Gic::take(&board.gic, board.cpus.len()).ok_or("the interrupt controller cannot be mapped")?;
        if board.psci {
            firmware::found();
        }
        let (GicRegions::V2 { maintenance, .. } | GicRegions::V3 { maintenance, .. }) = &board.gic;
        let uart = board.uart.and_then(|uart| Registers::map(uart.registers)).map(Uart::new);
        let console_interrupt = board.uart.and_then(|uart| uart.interrupt).unwrap_or(SPURIOUS);
        let virtual_interface = match &board.gic {
            GicRegions::V2 { virtual_interface, .. } => Some(*virtual_interface),
            GicRegions::V3 { .. } => None,
        };
        if let Some(uart) = uart
            && console_interrupt < SPURIOUS
        {
            uart.listen();
        }
        let frequency = match read!("cntfrq_el0") {
            0 => board.timer_frequency.map(u64::from).filter(|frequency| *frequency > 0),
            frequency => Some(frequency),
        };
        let frequency =
            frequency.ok_or("CNTFRQ_EL0 is 0, and the timer's node has no clock-frequency instead")?;
        Ok(Board {
            gic,
            uart,
            processors: board.cpus.iter().map(|cpu| cpu.mpidr).collect(),
            console_interrupt,
            maintenance: *maintenance,
            virtual_timer: board.virtual_timer,
            hypervisor_timer: board.hypervisor_timer,
            frequency,
            native_wait: plan.options.native_wfi,
            kind: (!plan.options.hmp_unsafe).then(processor::kind),
            ipa_bits: processor::physical_bits().min(40),
            virtual_interface,
            frames,
            residents: (0..board.cpus.len()).map(|_| residents(plan.domains.len())).collect(),
        })
    }

    /// MPIDR affinities of the processors, in index order.
    pub(crate) fn processors(&self) -> &[u64] {
        &self.processors
    }

    /// May a processor of this kind run guests that others run, too?
    pub(crate) fn admits(&self, kind: u64) -> bool {
        self.kind.is_none_or(|usual| usual == kind)
    }

    /// Sets the calling processor up.
    pub(crate) fn start_processor(&self, index: CpuIndex) {
        processor::start(self.ipa_bits, self.native_wait);
        let own = 1 << KICK | bit(self.maintenance) | bit(self.virtual_timer) | bit(self.hypervisor_timer);
        let mpidr = self.processors.get(index).copied().unwrap_or(0);
        if !self.gic.start_processor(index, mpidr, own) {
            fault::say(format_args!("(XEN) no interrupt controller interface for processor {mpidr:#x}"));
            system::halt();
        }
        if index == 0 && self.console_interrupt < SPURIOUS {
            self.gic.own(DeviceInterrupt { intid: self.console_interrupt, edge: false });
        }
    }

    /// Did another vCPU of this domain run on this processor last? Remembers this one.
    fn is_foreign(&self, cpu: CpuIndex, vmpidr: u64, vmid: u16) -> bool {
        let Some(last) = self.residents.get(cpu).and_then(|row| row.get(usize::from(vmid))) else {
            return true;
        };
        let now = (vmpidr & 0xff_ffff) + 1;
        let foreign = last.load(Ordering::Relaxed) != now;
        last.store(now, Ordering::Relaxed);
        foreign
    }

    /// Starts all other processors into `act`; `failed` hears of those that do not run.
    pub fn start_processors(
        &'static self,
        act: &'static (dyn Fn(CpuIndex) + Sync),
        failed: impl FnMut(CpuIndex, NotStarted),
    ) {
        secondary::start_all(self, act, failed);
    }
}

/// A processor on which nobody has run, with `domains` and no domain 0.
fn residents(domains: usize) -> Vec<AtomicU64> {
    (0..=domains).map(|_| AtomicU64::new(0)).collect()
}

fn bit(intid: u32) -> u32 {
    1_u32.checked_shl(intid).unwrap_or(0)
}

impl Machine for Board {
    type GuestMap = GuestMap;

    fn list_registers(&self) -> usize {
        self.gic.list_registers()
    }

    fn frequency(&self) -> u64 {
        self.frequency
    }

    #[inline]
    fn now(&self) -> Ticks {
        counter()
    }

    fn load(&self, cpu: CpuIndex, registers: &mut GuestRegisters, map: &GuestMap) {
        if registers.timer.in_flight {
            // Before the timer runs, or it would be taken for a new interrupt.
            self.gic.set_private_active(cpu, self.virtual_timer, true);
            barrier!("dsb sy");
        }
        let foreign = self.is_foreign(cpu, registers.system.vmpidr_el2, map.vmid);
        processor::load(registers, map.register, foreign);
        self.gic.load(&mut registers.lists);
    }

    fn save(&self, cpu: CpuIndex, registers: &mut GuestRegisters) {
        self.gic.save(&mut registers.lists);
        processor::save(registers);
        if registers.timer.in_flight {
            self.gic.set_private_active(cpu, self.virtual_timer, false);
        }
    }

    #[inline]
    fn run(&self, _cpu: CpuIndex, registers: &mut GuestRegisters) -> Trap {
        processor::run(registers)
    }

    fn read_lists(&self, registers: &mut GuestRegisters) {
        self.gic.read_lists(&mut registers.lists);
    }

    fn write_lists(&self, registers: &GuestRegisters) {
        self.gic.write_lists(&registers.lists);
    }

    #[inline(always)]
    fn read_list(&self, _cpu: CpuIndex, place: usize) -> u64 {
        self.gic.read_list(place)
    }

    #[inline(always)]
    fn write_list(&self, _cpu: CpuIndex, place: usize, entry: u64) {
        self.gic.write_list(place, entry);
    }

    fn read_exception_registers(&self, registers: &mut GuestRegisters) {
        processor::read_exception_registers(&mut registers.system);
    }

    fn write_exception_registers(&self, registers: &GuestRegisters) {
        processor::write_exception_registers(&registers.system);
    }

    fn idle(&self, _cpu: CpuIndex) {
        wait_for_interrupt();
    }

    fn is_interrupted(&self, _cpu: CpuIndex) -> bool {
        read!("isr_el1") != 0
    }

    fn acknowledge(&self, _cpu: CpuIndex) -> Option<Interrupt> {
        let acknowledged = self.gic.acknowledge();
        let intid = acknowledged & 0xff_ffff & if matches!(self.gic, Gic::V2(_)) { 0x3ff } else { 0xff_ffff };
        if (SPURIOUS..8192).contains(&intid) {
            return None;
        }
        if intid == self.virtual_timer {
            // One that was on its way when another vCPU was put here is nobody's.
            const FIRED: u64 = 0b101;
            if read!("cntv_ctl_el0") & 0b111 != FIRED {
                self.gic.deactivate(acknowledged);
                return None;
            }
            return Some(Interrupt::VirtualTimer);
        }
        let reason = if intid == KICK {
            if fault::ended() {
                system::halt();
            }
            Interrupt::Kick
        } else if intid == self.hypervisor_timer {
            write!("cnthp_ctl_el2", 0);
            barrier!("isb");
            Interrupt::Deadline
        } else if intid == self.maintenance {
            Interrupt::Maintenance
        } else if intid == self.console_interrupt {
            // It says what it is for by its level, which falls when the bytes are read: nothing to clear.
            Interrupt::Console
        } else {
            return Some(Interrupt::Device(intid));
        };
        self.gic.deactivate(acknowledged);
        Some(reason)
    }

    fn silence(&self, intid: u32) {
        self.gic.disown(intid);
    }

    fn release(&self, _cpu: CpuIndex, intid: u32) {
        self.gic.deactivate(intid);
    }

    fn set_deadline(&self, _cpu: CpuIndex, deadline: Option<Ticks>) {
        match deadline {
            Some(ticks) => {
                write!("cnthp_cval_el2", ticks);
                write!("cnthp_ctl_el2", 1);
            }
            None => write!("cnthp_ctl_el2", 0),
        }
        barrier!("isb");
    }

    fn kick(&self, cpu: CpuIndex) {
        self.gic.kick(cpu);
    }

    fn frames(&self) -> &'static FrameTable {
        self.frames
    }

    #[inline]
    fn read_guest<const KNOWN: bool>(&self, (_, map): Of<'_, GuestMap>, at: u64, into: &mut [u8]) -> bool {
        foreign::read_guest::<KNOWN>(self.frames, &map.tables.lock(), at, into)
    }

    #[inline]
    fn write_guest<const KNOWN: bool>(&self, (_, map): Of<'_, GuestMap>, at: u64, from: &[u8]) -> bool {
        foreign::write_guest::<KNOWN>(self.frames, &map.tables.lock(), at, from)
    }

    fn hold_guest(&self, _: &GuestRegisters, map: &GuestMap, address: u64) -> Option<GuestFrame> {
        foreign::hold_guest(self.frames, &map.tables.lock(), map.vmid, address)
    }

    fn guest_address(&self, _: &GuestRegisters, _: &GuestMap, address: u64, write: bool) -> Option<u64> {
        foreign::guest_address(address, write)
    }

    #[inline(always)]
    fn frame_at(&self, map: &GuestMap, ipa: u64) -> Option<(GuestFrame, Kind, bool)> {
        let map = map.tables.lock();
        let shown = map.shown(ipa).filter(|shown| shown.kind != Kind::Device)?;
        Some((self.frames.hold(shown.host)?, shown.kind, shown.writable))
    }

    fn is_shown(&self, map: &GuestMap, ipa: u64) -> bool {
        map.tables.lock().shown(ipa).is_some()
    }

    fn first_shown(&self, map: &GuestMap) -> Option<u64> {
        map.tables.lock().first_shown()
    }

    #[inline(always)]
    fn show(
        &self,
        map: &GuestMap,
        ipa: u64,
        what: Showing<'_>,
        writable: bool,
    ) -> Result<Option<Hidden>, MapError> {
        map.tables.lock().show(self.frames, (ipa, what, writable), |_| processor::flush(map.register))
    }

    fn show_block(&self, map: &GuestMap, ipa: u64, block: Block) -> Result<(), Block> {
        map.tables.lock().show_block(ipa, block, &mut |_| processor::flush(map.register))
    }

    fn hide_if(&self, map: &GuestMap, ipa: u64, kinds: &[Kind]) -> Result<Option<Hidden>, MapError> {
        let mut flush = |_| processor::flush(map.register);
        map.tables.lock().hide(self.frames, (ipa, kinds), &mut flush)
    }

    fn hide_block(&self, map: &GuestMap, ipa: u64) -> Option<Block> {
        map.tables.lock().hide_block(self.frames, ipa, &mut |_| processor::flush(map.register))
    }

    fn hide_granted(&self, map: &GuestMap, ipa: u64, host: u64) -> bool {
        map.tables.lock().hide_granted(ipa, host, &mut |_| processor::flush(map.register))
    }

    #[inline]
    fn read_frame(&self, frame: &GuestFrame, offset: usize, into: &mut [u8]) -> bool {
        foreign::read_frame(frame, offset, into)
    }

    #[inline]
    fn write_frame(&self, frame: &GuestFrame, offset: usize, from: &[u8]) -> bool {
        foreign::write_frame(frame, offset, from)
    }

    fn copy_frame(&self, to: (&GuestFrame, usize), from: (&GuestFrame, usize), bytes: usize) -> bool {
        foreign::copy_frame(to, from, bytes)
    }

    fn clear_frame(&self, frame: &GuestFrame) {
        foreign::clear_frame(frame);
    }

    #[inline(always)]
    fn word(&self, frame: &GuestFrame, offset: usize, act: Word) -> Option<u64> {
        foreign::word(frame, offset, act)
    }

    fn maintain(&self, frame: &GuestFrame, offset: usize, bytes: usize, act: CacheAct) -> bool {
        foreign::maintain(frame, offset, bytes, act)
    }

    fn refused_allocations(&self) -> u64 {
        heap::allocations()
    }

    fn console_write(&self, bytes: &[u8]) -> usize {
        // Once the hypervisor has ended the wire belongs to whoever tells so.
        if fault::ended() {
            return bytes.len();
        }
        self.uart.map_or(bytes.len(), |uart| uart.send(bytes))
    }

    fn console_read(&self) -> Option<u8> {
        self.uart?.receive()
    }

    fn console_wait(&self, waiting: bool) {
        if let Some(uart) = &self.uart
            && self.console_interrupt < SPURIOUS
        {
            uart.wait_for_room(waiting);
        }
    }

    fn power_off(&self) -> ! {
        if firmware::is_there() {
            firmware::power_off();
        }
        system::halt()
    }

    fn reset(&self) -> ! {
        if firmware::is_there() {
            firmware::reset();
        }
        system::halt()
    }

    fn fault(&self) -> ! {
        system::fault()
    }

    fn halt(&self) -> ! {
        system::halt()
    }
}

impl crate::contract::Construction for Board {
    fn guest_map(&self, domain: u16, table_frames: usize, cpu_interface: u64) -> Result<GuestMap, MapError> {
        if domain >= 255 && !processor::wide_vmids() {
            return Err(MapError::OutOfRange);
        }
        let mut tables = Stage2::new(table_frames, self.ipa_bits, translation::physical)?;
        if let Some(virtual_interface) = self.virtual_interface {
            tables.map_device(cpu_interface, Range { base: virtual_interface.base, size: 0x2000 })?;
        }
        // VMID 0 is left out: a processor that has loaded no map yet has it.
        let register = u64::from(domain.wrapping_add(1)) << 48 | tables.root_address();
        let tables = ManuallyDrop::new(Lock::new(Rank::Map, tables));
        Ok(GuestMap { tables, vmid: domain, register })
    }

    fn map(&self, map: &mut GuestMap, ipa: u64, frames: FrameRange) -> Result<(), MapError> {
        self.frames.adopt(&frames, map.vmid);
        map.tables.get_mut().map(ipa, frames)?;
        barrier!("dsb ishst");
        barrier!("isb");
        Ok(())
    }

    fn map_shared(&self, map: &mut GuestMap, ipa: u64, frames: Range) -> Result<(), MapError> {
        map.tables.get_mut().map_shared(self.frames, ipa, frames)?;
        barrier!("dsb ishst");
        barrier!("isb");
        Ok(())
    }

    fn set_aside(&self, frames: FrameRange) {
        self.frames.adopt(&frames, NO_DOMAIN);
    }

    fn map_device(&self, map: &mut GuestMap, registers: GuestMemory) -> Result<(), MapError> {
        map.tables.get_mut().map_registers(map.vmid, registers)
    }

    fn route(&self, interrupt: DeviceInterrupt) {
        self.gic.own(interrupt);
    }

    fn share(&self, map: &GuestMap, frames: FrameRange) -> Vec<GuestFrame> {
        self.frames.adopt_each(frames, map.vmid).collect()
    }

    fn clear(&self, frames: &mut FrameRange) -> bool {
        memory::clear(frames)
    }

    fn write(&self, frames: &mut FrameRange, offset: u64, bytes: &[u8]) -> bool {
        memory::write(frames, offset, bytes)
    }

    fn copy(&self, frames: &mut FrameRange, offset: u64, from: Range) -> bool {
        memory::copy(frames, offset, from)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        memory::read(at, into)
    }

    fn identity(&self, register: SystemRegister) -> u64 {
        super::identity::read(register)
    }
}
