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
mod foreign;
mod guest;
mod hardware;
mod interface;
mod mark;
mod memory;
mod processor;
mod program;
pub mod spin;
mod trap;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use model::arm64::LIST_REGISTERS;
use plan::{GicRegions, Plan, Range, RangeSet};

use crate::contract::{CpuIndex, Interrupt, Ticks};
use crate::frames::{FramePool, FrameTable};
use guest::{Guest, Surroundings};
pub use interface::SPURIOUS;
pub use memory::{Memory, UNTOUCHED};
use processor::Processor;
pub use processor::{Counts, GuestMap};
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

/// Interrupts of devices, which all processors share.
#[derive(Default)]
struct Lines {
    /// Whoever has taken one has not ended it.
    active: BTreeSet<u32>,
    /// They are kept out.
    silent: BTreeSet<u32>,
}

/// The machine.
pub struct Sim {
    processors: Vec<Mutex<Processor>>,
    memory: Mutex<Memory>,
    guests: Mutex<Guests>,
    wire: Mutex<Wire>,
    lines: Mutex<Lines>,
    clock: AtomicU64,
    /// Each processor has a thread of its own.
    threads: AtomicBool,
    list_registers: usize,
    native_wait: bool,
    ipa_bits: u8,
    virtual_timer: u32,
    virtual_interface: Option<Range>,
    frames: &'static FrameTable,
    refused: AtomicU64,
    meanwhile: Mutex<Option<Meanwhile>>,
}

/// What happens when the hypervisor is about to read at this guest address.
type Meanwhile = (u64, Box<dyn FnOnce() + Send>);

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
        let pool = FramePool::new(&ram.into_vec());
        let frames = Box::leak(Box::new(FrameTable::try_new(&pool).expect("memory")));
        let sim = Sim {
            processors: plan.board.cpus.iter().map(|_| Mutex::default()).collect(),
            memory: Mutex::new(memory),
            guests: Mutex::default(),
            wire: Mutex::default(),
            lines: Mutex::default(),
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
            frames,
            refused: AtomicU64::new(0),
            meanwhile: Mutex::default(),
        };
        (sim, pool)
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

    /// Says that the hypervisor has asked for memory of its own and got none: here nobody keeps it from having some.
    pub fn refuse_allocation(&self) {
        self.refused.fetch_add(1, Ordering::SeqCst);
    }

    /// When the hypervisor is next about to read for a guest at this address of its, something else happens first: what
    /// another processor does in the middle of a call.
    pub fn meanwhile(&self, address: u64, act: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().expect("what happens") = Some((address, Box::new(act)));
    }

    fn let_happen(&self, address: u64) {
        let due = self.meanwhile.lock().expect("what happens").take_if(|(at, _)| *at == address);
        if let Some((_, act)) = due {
            act();
        }
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
        if self.pending(&processor, cpu).is_some() {
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

    /// A test acts as this processor: it does not sleep, and has its loop before it.
    pub fn rouse(&self, cpu: CpuIndex) {
        self.processor(cpu).asleep = false;
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

    /// Nobody will ask for what the console has shown so far.
    pub fn forget_output(&self) {
        self.wire.lock().expect("the wire").output = Vec::new();
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

    /// Whose each frame is.
    pub fn frame_table(&self) -> &'static FrameTable {
        self.frames
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
        } else {
            assert!(self.lines().active.remove(&physical), "{physical} is ended, and was not active");
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().expect("the lines")
    }

    /// The most urgent physical interrupt of a processor.
    fn pending(&self, processor: &Processor, cpu: CpuIndex) -> Option<Interrupt> {
        let device = || {
            let lines = self.lines();
            let can = |intid: &&u32| !lines.active.contains(intid) && !lines.silent.contains(intid);
            processor.devices.iter().find(can).map(|intid| Interrupt::Device(*intid))
        };
        processor.pending(self.time(), self.console_interrupts(cpu)).or_else(device)
    }

    /// The list registers agree with the physical interrupts.
    fn check_links(&self, processor: &Processor) {
        let Some(loaded) = &processor.loaded else { return };
        for physical in loaded.interface.linked() {
            let active = if physical == self.virtual_timer {
                processor.timer_active
            } else {
                self.lines().active.contains(&physical)
            };
            assert!(active, "a list register is linked to {physical}, which is not active");
        }
    }
}

impl Sim {
    /// Is a physical interrupt pending, while the vCPU of `processor` is in other hands?
    fn is_interrupted(&self, processor: &Processor, around: &Surroundings<'_>, cpu: CpuIndex) -> bool {
        let now = self.time();
        let timer = !*around.timer_active && around.loaded.timer_line(now);
        let own = timer || around.loaded.interface.maintenance();
        own || self.pending(processor, cpu).is_some()
    }
}
