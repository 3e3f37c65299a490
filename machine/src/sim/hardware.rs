//! The simulated machine as the contract wants it.

use std::sync::atomic::Ordering;

use model::arm64::{Cause, Registers, Trap, VectorRegisters};

use super::guest::{Outcome, Surroundings};
use super::interface::Interface;
use super::processor::Loaded;
use super::{Ended, FREQUENCY, GuestMap, POISON, Sim, spin};
use crate::contract::{CacheAct, CpuIndex, Hidden, Interrupt, Machine, Of, Showing, Ticks, Word};
use crate::frames::{Block, FRAME_BYTES, FrameTable, GuestFrame};
use crate::stage2::{Kind, MapError};

/// Pending and active of a list register.
const STATES: u64 = 3 << 62;

impl Machine for Sim {
    type GuestMap = GuestMap;

    fn list_registers(&self) -> usize {
        self.list_registers
    }

    fn frequency(&self) -> u64 {
        FREQUENCY
    }

    fn now(&self) -> Ticks {
        self.time()
    }

    fn load(&self, cpu: CpuIndex, registers: &mut Registers, map: &GuestMap) {
        let mut processor = self.own(cpu);
        assert!(processor.loaded.is_none(), "a vCPU is loaded on top of another");
        let mpidr = registers.system.vmpidr_el2;
        let index = ((mpidr >> 8 & 0xff) << 4 | mpidr & 0xf) as usize;
        let guest = self.guest_of(map.domain, index);
        let before = std::mem::replace(&mut guest.lock().expect("a guest").loaded, true);
        assert!(!before, "d{}v{index} is loaded on two processors", map.domain);
        assert!(!processor.timer_active, "the virtual timer's interrupt was left active");
        processor.timer_active = registers.timer.in_flight;
        let mut interface = Interface::new(self.list_registers);
        interface.load(&registers.lists);
        let system = registers.system.clone();
        registers.system = Default::default();
        registers.system.vmpidr_el2 = mpidr;
        registers.system.vbar_el1 = POISON;
        registers.system.sctlr_el1 = POISON;
        let vector = std::mem::replace(&mut registers.vector, VectorRegisters { v: [[POISON; 2]; 32] });
        processor.loaded = Some(Loaded {
            at: std::ptr::from_ref(registers).addr(),
            guest,
            domain: map.domain,
            index,
            system,
            vector,
            timer: registers.timer,
            interface,
            tables: map.tables.clone(),
        });
        registers.timer.compare = POISON;
        registers.timer.control = POISON;
        processor.asleep = false;
        processor.counts.loads += 1;
        self.check_links(&processor);
    }

    fn save(&self, cpu: CpuIndex, registers: &mut Registers) {
        let mut processor = self.own(cpu);
        processor.loaded(registers);
        let loaded = processor.loaded.take().expect("no vCPU is loaded");
        loaded.guest.lock().expect("a guest").loaded = false;
        loaded.interface.save(&mut registers.lists);
        registers.system = loaded.system;
        registers.vector = loaded.vector;
        registers.timer.compare = loaded.timer.compare;
        registers.timer.control = loaded.timer.control;
        if registers.timer.in_flight {
            processor.timer_active = false;
        }
        assert!(!processor.timer_active, "the virtual timer's interrupt is active, and nobody knows");
    }

    fn run(&self, cpu: CpuIndex, registers: &mut Registers) -> Trap {
        const INTERRUPT: Trap =
            Trap { cause: Cause::Interrupt, syndrome: 0, fault_address: 0, fault_page: 0 };
        let mut own = self.own(cpu);
        own.loaded(registers);
        own.counts.runs += 1;
        let mut loaded = own.loaded.take().expect("no vCPU is loaded");
        let guest = loaded.guest.clone();
        let mut guest = guest.lock().expect("a guest");
        let mut timer_active = own.timer_active;
        let mut spent = false;
        let mut around = Surroundings {
            registers,
            loaded: &mut loaded,
            machine: self,
            timer_active: &mut timer_active,
            spent: &mut spent,
        };
        guest.resume(&mut around);
        let trap = loop {
            if self.is_interrupted(&own, &around, cpu) {
                guest.interrupted(&around);
                break INTERRUPT;
            }
            match guest.step(&mut around) {
                Outcome::Go => {}
                Outcome::Trap(trap) => break trap,
                Outcome::Time if self.threads.load(Ordering::SeqCst) => {
                    drop(own);
                    std::thread::yield_now();
                    own = self.own(cpu);
                }
                Outcome::Time => {
                    guest.interrupted(&around);
                    break INTERRUPT;
                }
            }
        };
        own.loaded = Some(loaded);
        own.timer_active = timer_active;
        own.spent |= spent;
        // The guest may have changed their states: who wants to know reads them.
        for (index, entry) in registers.lists.entries.iter_mut().enumerate() {
            if registers.lists.used >> index & 1 != 0 {
                *entry ^= STATES;
            }
        }
        trap
    }

    fn read_lists(&self, registers: &mut Registers) {
        let mut processor = self.processor(spin::processor());
        let lists = &mut registers.lists.clone();
        processor.loaded(registers).interface.read(lists);
        registers.lists = *lists;
    }

    fn write_lists(&self, registers: &Registers) {
        let mut processor = self.processor(spin::processor());
        processor.loaded(registers).interface.write(&registers.lists);
        self.check_links(&processor);
    }

    fn read_list(&self, cpu: CpuIndex, place: usize) -> u64 {
        self.own(cpu).loaded.as_ref().expect("no vCPU is loaded").interface.read_one(place)
    }

    fn write_list(&self, cpu: CpuIndex, place: usize, entry: u64) {
        let mut processor = self.own(cpu);
        processor.loaded.as_mut().expect("no vCPU is loaded").interface.write_one(place, entry);
        self.check_links(&processor);
    }

    fn read_exception_registers(&self, registers: &mut Registers) {
        let mut processor = self.processor(spin::processor());
        let hardware = &processor.loaded(registers).system;
        registers.system.sctlr_el1 = hardware.sctlr_el1;
        registers.system.vbar_el1 = hardware.vbar_el1;
        registers.system.esr_el1 = hardware.esr_el1;
        registers.system.far_el1 = hardware.far_el1;
        registers.system.elr_el1 = hardware.elr_el1;
        registers.system.spsr_el1 = hardware.spsr_el1;
    }

    fn write_exception_registers(&self, registers: &Registers) {
        let mut processor = self.processor(spin::processor());
        let hardware = &mut processor.loaded(registers).system;
        hardware.esr_el1 = registers.system.esr_el1;
        hardware.far_el1 = registers.system.far_el1;
        hardware.elr_el1 = registers.system.elr_el1;
        hardware.spsr_el1 = registers.system.spsr_el1;
    }

    fn idle(&self, cpu: CpuIndex) {
        self.own(cpu).counts.idles += 1;
        loop {
            let mut processor = self.own(cpu);
            if self.pending(&processor, cpu).is_some() {
                return;
            }
            if !self.threads.load(Ordering::SeqCst) {
                processor.spent = true;
                processor.asleep = true;
                return;
            }
            drop(processor);
            std::thread::yield_now();
        }
    }

    fn is_interrupted(&self, cpu: CpuIndex) -> bool {
        self.pending(&self.own(cpu), cpu).is_some()
    }

    fn acknowledge(&self, cpu: CpuIndex) -> Option<Interrupt> {
        let mut processor = self.own(cpu);
        let interrupt = self.pending(&processor, cpu)?;
        processor.acknowledge(interrupt);
        if let Interrupt::Device(intid) = interrupt {
            self.lines().active.insert(intid);
        }
        processor.asleep = false;
        if interrupt == Interrupt::Console {
            self.wire.lock().expect("the wire").acknowledge();
        }
        Some(interrupt)
    }

    fn silence(&self, intid: u32) {
        self.lines().silent.insert(intid);
    }

    fn release(&self, cpu: CpuIndex, intid: u32) {
        let mut processor = self.own(cpu);
        self.lines().active.remove(&intid);
        if intid == self.virtual_timer {
            processor.timer_active = false;
        }
    }

    fn set_deadline(&self, cpu: CpuIndex, deadline: Option<Ticks>) {
        let mut processor = self.own(cpu);
        processor.deadline = deadline;
        processor.counts.deadlines_set += u64::from(deadline.is_some());
    }

    fn kick(&self, cpu: CpuIndex) {
        self.processor(cpu).kicked = true;
    }

    fn refused_allocations(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    fn console_write(&self, bytes: &[u8]) -> usize {
        self.wire.lock().expect("the wire").send(bytes)
    }

    fn console_read(&self) -> Option<u8> {
        self.wire.lock().expect("the wire").receive()
    }

    fn console_wait(&self, waiting: bool) {
        self.wire.lock().expect("the wire").wanted = waiting;
    }

    fn power_off(&self) -> ! {
        std::panic::resume_unwind(Box::new(Ended::PowerOff))
    }

    fn reset(&self) -> ! {
        std::panic::resume_unwind(Box::new(Ended::Reset))
    }

    fn fault(&self) -> ! {
        std::panic::resume_unwind(Box::new(Ended::Halt))
    }

    fn halt(&self) -> ! {
        std::panic::resume_unwind(Box::new(Ended::Halt))
    }

    fn frames(&self) -> &'static FrameTable {
        self.frames
    }

    fn read_guest<const KNOWN: bool>(
        &self,
        (registers, map): Of<'_, GuestMap>,
        at: u64,
        into: &mut [u8],
    ) -> bool {
        self.let_happen(at);
        self.check_loaded(registers, map);
        self.foreign_read(map, at, into)
    }

    fn write_guest<const KNOWN: bool>(
        &self,
        (registers, map): Of<'_, GuestMap>,
        at: u64,
        from: &[u8],
    ) -> bool {
        self.check_loaded(registers, map);
        self.foreign_write(map, at, from)
    }

    fn hold_guest(&self, registers: &Registers, map: &GuestMap, address: u64) -> Option<GuestFrame> {
        self.check_loaded(registers, map);
        let tables = map.tables.lock();
        let shown = tables.shown(address).filter(|shown| shown.writable)?;
        self.frames.hold_own(map.domain, shown.host)
    }

    fn guest_address(&self, registers: &Registers, map: &GuestMap, address: u64, _: bool) -> Option<u64> {
        self.check_loaded(registers, map);
        Some(address)
    }

    fn frame_at(&self, map: &GuestMap, ipa: u64) -> Option<(GuestFrame, Kind, bool)> {
        let map = map.tables.lock();
        let shown = map.shown(ipa).filter(|shown| shown.kind != Kind::Device)?;
        Some((self.frames.hold(shown.host)?, shown.kind, shown.writable))
    }

    fn is_shown(&self, map: &GuestMap, ipa: u64) -> bool {
        map.shown(ipa).is_some()
    }

    fn first_shown(&self, map: &GuestMap) -> Option<u64> {
        map.tables.lock().first_shown()
    }

    fn show(
        &self,
        map: &GuestMap,
        ipa: u64,
        what: Showing<'_>,
        writable: bool,
    ) -> Result<Option<Hidden>, MapError> {
        map.tables.lock().show(self.frames, (ipa, what, writable), |_| ())
    }

    fn show_block(&self, map: &GuestMap, ipa: u64, block: Block) -> Result<(), Block> {
        map.tables.lock().show_block(ipa, block, &mut |_| ())
    }

    fn hide_if(&self, map: &GuestMap, ipa: u64, kinds: &[Kind]) -> Result<Option<Hidden>, MapError> {
        map.tables.lock().hide(self.frames, (ipa, kinds), &mut |_| ())
    }

    fn hide_block(&self, map: &GuestMap, ipa: u64) -> Option<Block> {
        map.tables.lock().hide_block(self.frames, ipa, &mut |_| ())
    }

    fn hide_granted(&self, map: &GuestMap, ipa: u64, host: u64) -> bool {
        map.tables.lock().hide_granted(ipa, host, &mut |_| ())
    }

    fn read_frame(&self, frame: &GuestFrame, offset: usize, into: &mut [u8]) -> bool {
        self.frame_read(frame, offset, into)
    }

    fn write_frame(&self, frame: &GuestFrame, offset: usize, from: &[u8]) -> bool {
        self.frame_write(frame, offset, from)
    }

    fn copy_frame(&self, to: (&GuestFrame, usize), from: (&GuestFrame, usize), bytes: usize) -> bool {
        let mut between = vec![0; bytes.min(FRAME_BYTES)];
        bytes <= FRAME_BYTES
            && self.frame_read(from.0, from.1, &mut between)
            && self.frame_write(to.0, to.1, &between)
    }

    fn clear_frame(&self, frame: &GuestFrame) {
        self.frame_write(frame, 0, &[0; FRAME_BYTES]);
    }

    fn word(&self, frame: &GuestFrame, offset: usize, act: Word) -> Option<u64> {
        self.frame_word(frame, offset, act)
    }

    fn maintain(&self, _: &GuestFrame, offset: usize, bytes: usize, _: CacheAct) -> bool {
        offset.checked_add(bytes).is_some_and(|end| end <= FRAME_BYTES)
    }
}
