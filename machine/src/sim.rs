//! The simulated machine: asynchronous functions for guests, a map for RAM, a clock that is moved by hand.
//!
//! It satisfies the same contract as the board, so the whole hypervisor runs on it in `cargo test`, with as
//! many processors as a test likes, driven in any order from one thread, or each by its own. It is strict
//! where hardware is silent: a vCPU that is loaded twice, list registers that the architecture forbids,
//! registers that are read without having been asked for, a lock that is taken in the wrong order, all end
//! the test that made them.
//!
//! A processor that is driven says so with [`on_processor`]. An [`Interrupt`] is a level or a latch as on
//! the board; the interrupt controller has one priority and prefers the lowest INTID.

mod construction;
mod guest;
mod interface;
mod mark;
mod memory;
mod processor;
mod program;
pub mod spin;
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use model::arm64::{Cause, LIST_REGISTERS, Registers, Trap, VectorRegisters};
use plan::{GicRegions, Plan, Range, RangeSet};

use crate::contract::{CpuIndex, Interrupt, Machine, Ticks};
use crate::frames::FramePool;
use guest::{Guest, Outcome, Surroundings};
use interface::Interface;
pub use interface::SPURIOUS;
pub use memory::{Memory, UNTOUCHED};
pub use processor::{Counts, GuestMap};
use processor::{Loaded, Processor};
pub use program::{Cpu, Exception, Insight, Start};
use wire::Wire;

/// How the machine ended: the payload with which a test's thread is unwound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Switched off.
    PowerOff,
    /// Started anew.
    Reset,
    /// A processor was stopped for ever.
    Halt,
}

/// What registers hold that were not asked for.
const POISON: u64 = 0xdead_dead_dead_dead;
/// Ticks of the clock in a second.
pub const FREQUENCY: u64 = 1_000_000;

/// vCPUs by domain id and number.
type Guests = HashMap<(u16, usize), Arc<Mutex<Guest>>>;

/// The machine.
pub struct Sim {
    processors: Vec<Mutex<Processor>>,
    memory: Mutex<Memory>,
    guests: Mutex<Guests>,
    wire: Mutex<Wire>,
    clock: AtomicU64,
    /// Each processor has a thread of its own.
    threads: AtomicBool,
    list_registers: usize,
    native_wait: bool,
    ipa_bits: u8,
    virtual_timer: u32,
    virtual_interface: Option<Range>,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("processors", &self.processors.len()).finish_non_exhaustive()
    }
}

/// Lets this thread be a processor for as long as `act` takes.
pub fn on_processor<R>(cpu: CpuIndex, act: impl FnOnce() -> R) -> R {
    struct Back(CpuIndex);
    impl Drop for Back {
        fn drop(&mut self) {
            spin::become_processor(self.0);
        }
    }
    let _back = Back(spin::become_processor(cpu));
    act()
}

impl Sim {
    /// The machine that a plan was made for, and the frames that domains can have. `image` and `tree` are
    /// the hypervisor's and the device tree's.
    pub fn new(plan: &Plan, memory: Memory, list_registers: usize, taken: &[Range]) -> (Sim, FramePool) {
        let mut ram = RangeSet::new();
        plan.board.memory.iter().for_each(|bank| ram.insert(*bank));
        for range in plan.board.reserved.iter().chain([&plan.heap]).chain(taken) {
            ram.remove(range.outward(crate::frames::FRAME_SIZE));
        }
        let sim = Sim {
            processors: plan.board.cpus.iter().map(|_| Mutex::default()).collect(),
            memory: Mutex::new(memory),
            guests: Mutex::default(),
            wire: Mutex::default(),
            clock: AtomicU64::new(1_000_000),
            threads: AtomicBool::new(false),
            list_registers: list_registers.clamp(1, LIST_REGISTERS),
            native_wait: plan.options.native_wfi,
            ipa_bits: plan.ipa_bits,
            virtual_timer: plan.board.virtual_timer,
            virtual_interface: match plan.board.gic {
                GicRegions::V2 { virtual_interface, .. } => Some(virtual_interface),
                GicRegions::V3 { .. } => None,
            },
        };
        (sim, FramePool::new(&ram.into_vec()))
    }

    /// Gives a vCPU its program, which begins anew each time that the vCPU is switched on. Without one a
    /// vCPU waits for ever.
    pub fn guest<P, F>(&self, domain: u16, index: usize, mut program: P)
    where
        P: FnMut(Cpu) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let guest = Guest::new(domain, index, Box::new(move |cpu| Box::pin(program(cpu))));
        self.guests.lock().expect("guests").insert((domain, index), Arc::new(Mutex::new(guest)));
    }

    fn guest_of(&self, domain: u16, index: usize) -> Arc<Mutex<Guest>> {
        let wait = || Arc::new(Mutex::new(Guest::new(domain, index, Box::new(|_| Box::pin(async {})))));
        self.guests.lock().expect("guests").entry((domain, index)).or_insert_with(wait).clone()
    }

    /// Steps that a vCPU has computed.
    pub fn work(&self, domain: u16, index: usize) -> u64 {
        self.guest_of(domain, index).lock().expect("a guest").work
    }

    /// The time.
    pub fn time(&self) -> Ticks {
        self.clock.load(Ordering::SeqCst)
    }

    /// Moves the clock.
    pub fn advance(&self, ticks: Ticks) {
        self.clock.fetch_add(ticks, Ordering::SeqCst);
    }

    /// While each processor has a thread of its own, it stays in a guest that computes, or asleep, until an
    /// interrupt is pending; else it comes back so that others can be driven.
    pub fn use_threads(&self, yes: bool) {
        self.threads.store(yes, Ordering::SeqCst);
    }

    /// What happened on a processor since the last time that this was asked.
    pub fn take_counts(&self, cpu: CpuIndex) -> Counts {
        std::mem::take(&mut self.processor(cpu).counts)
    }

    /// Has the processor nothing more to do before the clock moves on? (It slept, or its guest computed.)
    /// Forgets it.
    pub fn take_spent(&self, cpu: CpuIndex) -> bool {
        std::mem::take(&mut self.processor(cpu).spent)
    }

    /// Lets a processor go on with what it can do without the hypervisor: it sleeps, or its guest computes,
    /// or waits in an instruction that does not trap. False where it has to take a turn: its guest has come
    /// to an end of that, or a physical interrupt is pending.
    pub fn goes_on(&self, cpu: CpuIndex) -> bool {
        let processor = self.processor(cpu);
        if processor.pending(self.time(), self.console_interrupts(cpu)).is_some() {
            return false;
        }
        if processor.asleep {
            return true;
        }
        processor.loaded.as_ref().is_some_and(|loaded| {
            let pending = loaded.interface.pending();
            loaded.guest.lock().expect("a guest").goes_on(pending)
        })
    }

    /// Domain id and number of the vCPU that is loaded on a processor.
    pub fn loaded(&self, cpu: CpuIndex) -> Option<(u16, usize)> {
        self.processor(cpu).loaded.as_ref().map(|loaded| (loaded.domain, loaded.index))
    }

    /// What the processor's timer is set to.
    pub fn deadline(&self, cpu: CpuIndex) -> Option<Ticks> {
        self.processor(cpu).deadline
    }

    /// Types on the console.
    pub fn type_in(&self, bytes: &[u8]) {
        self.wire.lock().expect("the wire").type_in(bytes);
    }

    /// All that the console has shown.
    pub fn output(&self) -> Vec<u8> {
        self.wire.lock().expect("the wire").output.clone()
    }

    /// The console's FIFO takes so many bytes at most, and empties by [`Sim::carry`] only.
    pub fn limit_console(&self, depth: usize) {
        self.wire.lock().expect("the wire").depth = Some(depth);
    }

    /// So many bytes leave the console's FIFO.
    pub fn carry(&self, count: usize) {
        self.wire.lock().expect("the wire").carry(count);
    }

    /// A device of the board raises its interrupt, which is routed to this processor.
    pub fn raise(&self, cpu: CpuIndex, intid: u32) {
        self.processor(cpu).devices.insert(intid);
    }

    /// Host memory, as nobody but a test sees it. False where it is no RAM.
    pub fn peek(&self, at: u64, into: &mut [u8]) -> bool {
        self.memory.lock().expect("memory").read(at, into)
    }

    fn processor(&self, cpu: CpuIndex) -> MutexGuard<'_, Processor> {
        self.processors.get(cpu).expect("a processor").lock().expect("a processor")
    }

    /// The calling processor.
    fn own(&self, cpu: CpuIndex) -> MutexGuard<'_, Processor> {
        assert_eq!(cpu, spin::processor(), "a processor acts for another one");
        self.processor(cpu)
    }

    fn console_interrupts(&self, cpu: CpuIndex) -> bool {
        cpu == 0 && self.wire.lock().expect("the wire").interrupts()
    }

    /// A guest has ended a linked interrupt.
    fn ended(&self, physical: u32, timer_active: &mut bool) {
        if physical == self.virtual_timer {
            *timer_active = false;
        }
    }

    /// The list registers agree with the physical interrupts.
    fn check_links(&self, processor: &Processor) {
        let Some(loaded) = &processor.loaded else { return };
        for physical in loaded.interface.linked() {
            let active = physical != self.virtual_timer || processor.timer_active;
            assert!(active, "a list register is linked to {physical}, which is not active");
        }
    }
}

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
        // The guest may have changed them: who wants to know reads them.
        for (index, entry) in registers.lists.entries.iter_mut().enumerate() {
            if registers.lists.used >> index & 1 != 0 {
                *entry = POISON;
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
            assert!(processor.loaded.is_none(), "a processor sleeps with a vCPU loaded");
            if processor.pending(self.time(), self.console_interrupts(cpu)).is_some() {
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

    fn acknowledge(&self, cpu: CpuIndex) -> Option<Interrupt> {
        let mut processor = self.own(cpu);
        let interrupt = processor.pending(self.time(), self.console_interrupts(cpu))?;
        processor.acknowledge(interrupt);
        processor.asleep = false;
        if interrupt == Interrupt::Console {
            self.wire.lock().expect("the wire").acknowledge();
        }
        Some(interrupt)
    }

    fn release(&self, cpu: CpuIndex, intid: u32) {
        let mut processor = self.own(cpu);
        processor.active_devices.remove(&intid);
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
}

impl Sim {
    /// Is a physical interrupt pending, while the vCPU of `processor` is in other hands?
    fn is_interrupted(&self, processor: &Processor, around: &Surroundings<'_>, cpu: CpuIndex) -> bool {
        let now = self.time();
        let timer = !*around.timer_active && around.loaded.timer_line(now);
        let own = timer || around.loaded.interface.maintenance();
        own || processor.pending(now, self.console_interrupts(cpu)).is_some()
    }
}
