//! A vCPU of the simulated machine as it executes its program.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use model::arm64::{AccessSize, Registers, SystemRegister, Trap};

use super::mark::{stamp, words};
use super::program::{Answer, Cpu, Exception, Program, Request, Slot, Start};
use super::trap::{fetch_abort, synchronous, with};

/// Offset of the vector for synchronous exceptions from EL1 with its own stack.
const VECTOR: u64 = 0x200;

/// What the last trap was, and so what the hypervisor may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum After {
    /// Nothing: a physical interrupt.
    Nothing,
    /// The instruction is done.
    Step,
    /// And this register was loaded.
    Load(usize),
    /// X0 to X3 are results.
    Call,
    /// The program's branch to nowhere; it comes back to this address.
    Jump(u64),
    /// Anything.
    Anything,
}

/// HVC's immediate of Xen's calls, which a guest may be made to repeat.
const HYPERCALL: u16 = 0xea1;

/// What must be found again.
#[derive(Clone, Debug)]
struct Before {
    after: After,
    x: [u64; 31],
    pc: u64,
    pstate: u64,
    /// Where the program goes on if nothing happens to it.
    next: u64,
    system: [u64; 26],
    vector: [[u64; 2]; 32],
}

/// What of a processor a step of a guest can touch.
pub(super) struct Surroundings<'a> {
    pub(super) registers: &'a mut Registers,
    pub(super) loaded: &'a mut super::processor::Loaded,
    pub(super) machine: &'a super::Sim,
    /// The processor's virtual timer interrupt is active.
    pub(super) timer_active: &'a mut bool,
    /// The guest used up its time.
    pub(super) spent: &'a mut bool,
}

/// What a step came to.
pub(super) enum Outcome {
    /// On with the next.
    Go,
    Trap(Trap),
    /// The guest computes, or waits without a trap.
    Time,
}

/// What a guest does for longer than a step, without leaving the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    No,
    /// It computes for so many more steps.
    Computes(u64),
    ComputesUntilInterrupt,
    /// In a WFI that does not trap.
    Waits,
}

type Factory = Box<dyn FnMut(Cpu) -> Program + Send>;

pub(super) struct Guest {
    domain: u16,
    index: usize,
    factory: Factory,
    program: Option<Program>,
    slot: Arc<Mutex<Slot>>,
    before: Option<Before>,
    /// An exception is to be taken, but its vector cannot be fetched.
    lost: bool,
    /// Its last call was one of Xen's.
    hypercall: bool,
    /// It executes that once more.
    again: bool,
    busy: Busy,
    /// WFI traps every other time where it need not.
    waits: u64,
    pub(super) work: u64,
    pub(super) loaded: bool,
}

impl Guest {
    pub(super) fn new(domain: u16, index: usize, factory: Factory) -> Self {
        Guest {
            domain,
            index,
            factory,
            program: None,
            slot: Arc::default(),
            before: None,
            lost: false,
            hypercall: false,
            again: false,
            busy: Busy::No,
            waits: 0,
            work: 0,
            loaded: false,
        }
    }

    fn name(&self) -> String {
        format!("d{}v{}", self.domain, self.index)
    }

    /// Begins to run again: starts the program where there is none, else looks at what became of the
    /// last trap.
    pub(super) fn resume(&mut self, around: &mut Surroundings<'_>) {
        if self.program.is_none() {
            self.begin(around);
            return;
        }
        if self.again || self.is_again(around) {
            return;
        }
        let Some(before) = self.before.take() else { return };
        if before.after == After::Anything {
            self.answer(Ok(0));
            return;
        }
        let vector = around.loaded.system.vbar_el1.wrapping_add(VECTOR);
        let taken = around.registers.pc == vector && around.loaded.system.elr_el1 == before.pc;
        if before.after != After::Nothing && taken {
            self.take_exception(around, &before);
            return;
        }
        self.compare(around, &before);
        match before.after {
            After::Load(target) => {
                let value = around.registers.x[target];
                self.answer(Ok(value));
            }
            After::Call => self.answer(Ok(around.registers.x[0])),
            After::Step => self.answer(Ok(0)),
            After::Jump(_) => panic!("{}: a fetch from nowhere had no consequence", self.name()),
            After::Nothing | After::Anything => {}
        }
    }

    /// It was let back to the instruction that called: it will call again, with the arguments that it has now.
    fn is_again(&mut self, around: &Surroundings<'_>) -> bool {
        let back = |before: &Before| before.after == After::Call && around.registers.pc == before.pc;
        self.again = self.hypercall && self.before.as_ref().is_some_and(back);
        if self.again {
            self.before = None;
        }
        self.again
    }

    fn begin(&mut self, around: &mut Surroundings<'_>) {
        self.slot = Arc::default();
        self.before = None;
        self.busy = Busy::No;
        self.lost = false;
        self.again = false;
        let start = Start {
            pc: around.registers.pc,
            pstate: around.registers.pstate,
            x: around.registers.x,
            system: around.loaded.system.clone(),
            timer_offset: around.loaded.timer.offset,
        };
        let cpu =
            Cpu { slot: self.slot.clone(), domain: self.domain, index: self.index, start: Arc::new(start) };
        self.program = Some((self.factory)(cpu));
        // Values that a mix-up would be seen by.
        for (number, x) in around.registers.x.iter_mut().enumerate() {
            *x = stamp(self.domain, self.index, number);
        }
        for (number, v) in around.loaded.vector.v.iter_mut().enumerate() {
            *v = [stamp(self.domain, self.index, 100 + number), stamp(self.domain, self.index, 200 + number)];
        }
        around.loaded.system.tpidr_el1 = stamp(self.domain, self.index, 300);
        around.loaded.system.sp_el1 = stamp(self.domain, self.index, 301);
        around.loaded.system.ttbr0_el1 = stamp(self.domain, self.index, 302);
    }

    fn take_exception(&mut self, around: &mut Surroundings<'_>, before: &Before) {
        let system = &around.loaded.system;
        assert_eq!(around.registers.x, before.x, "{}: an exception changed registers", self.name());
        assert_eq!(system.spsr_el1, before.pstate, "{}: SPSR_EL1", self.name());
        assert_eq!(
            around.registers.pstate & 0x3df,
            0x3c5,
            "{}: an exception leads to EL1 with all masked",
            self.name()
        );
        let exception = Exception { syndrome: system.esr_el1, address: system.far_el1 };
        if !around.loaded.fetches(around.registers.pc) {
            self.lost = true;
            return;
        }
        // What the guest's handler does: over the instruction, and back.
        around.registers.pstate = system.spsr_el1;
        around.registers.pc = match before.after {
            After::Jump(back) => back,
            _ => system.elr_el1.wrapping_add(4),
        };
        self.answer(Err(exception));
    }

    /// The registers are as they were but for what the trap was for.
    fn compare(&self, around: &Surroundings<'_>, before: &Before) {
        let name = self.name();
        assert_eq!(around.registers.pc, before.next, "{name}: pc after {:?}", before.after);
        assert_eq!(around.registers.pstate, before.pstate, "{name}: pstate after {:?}", before.after);
        assert_eq!(
            words(&around.loaded.system),
            before.system,
            "{name}: system registers after {:?}",
            before.after
        );
        assert_eq!(
            around.loaded.vector.v, before.vector,
            "{name}: vector registers after {:?}",
            before.after
        );
        for (number, (now, then)) in around.registers.x.iter().zip(&before.x).enumerate() {
            let free = match before.after {
                After::Load(target) => number == target,
                After::Call => number < 4,
                _ => false,
            };
            assert!(
                free || now == then,
                "{name}: x{number} is {now:#x} and was {then:#x} after {:?}",
                before.after
            );
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.slot.lock().expect("a slot").answer = Some(answer);
    }

    /// A physical interrupt, or the end of its time: it will go on as if nothing had been.
    pub(super) fn interrupted(&mut self, around: &Surroundings<'_>) {
        self.remember(around, After::Nothing, around.registers.pc, around.registers.pc);
    }

    fn remember(&mut self, around: &Surroundings<'_>, after: After, pc: u64, next: u64) {
        self.before = Some(Before {
            after,
            x: around.registers.x,
            pc,
            pstate: around.registers.pstate,
            next,
            system: words(&around.loaded.system),
            vector: around.loaded.vector.v,
        });
    }

    /// One step of the program.
    pub(super) fn step(&mut self, around: &mut Surroundings<'_>) -> Outcome {
        if self.lost {
            let pc = around.registers.pc;
            self.remember(around, After::Anything, pc, pc);
            return Outcome::Trap(fetch_abort(pc));
        }
        if core::mem::take(&mut self.again) {
            return self.enter(around, HYPERCALL);
        }
        if self.busy != Busy::No {
            return self.be_busy(around);
        }
        match self.next_request() {
            Request::Compute { steps } => {
                self.busy = Busy::Computes(steps);
                self.be_busy(around)
            }
            Request::ComputeUntilInterrupt => {
                self.busy = Busy::ComputesUntilInterrupt;
                self.be_busy(around)
            }
            Request::Wfi => self.wait(around),
            Request::Pending => self.go(u64::from(around.loaded.interface.pending())),
            Request::Acknowledge => {
                let intid = around.loaded.interface.acknowledge();
                self.go(u64::from(intid))
            }
            Request::End { intid } => {
                if let Some(physical) = around.loaded.interface.end(intid) {
                    around.machine.ended(physical, around.timer_active);
                }
                self.go(0)
            }
            Request::With(act) => {
                let value = with(around, act);
                self.go(value)
            }
            other => self.trap(around, other),
        }
    }

    /// One more step of what it is busy with; false where it has come to its end. `pending`: an interrupt
    /// is signalled to it.
    pub(super) fn goes_on(&mut self, pending: bool) -> bool {
        match self.busy {
            Busy::No | Busy::Computes(0) => return false,
            Busy::Computes(left) => self.busy = Busy::Computes(left - 1),
            Busy::ComputesUntilInterrupt | Busy::Waits if pending => return false,
            Busy::ComputesUntilInterrupt => {}
            Busy::Waits => return true,
        }
        self.work += 1;
        true
    }

    fn be_busy(&mut self, around: &mut Surroundings<'_>) -> Outcome {
        if self.goes_on(around.loaded.interface.pending()) {
            *around.spent = true;
            return Outcome::Time;
        }
        self.busy = Busy::No;
        self.go(0)
    }

    fn go(&mut self, value: u64) -> Outcome {
        self.answer(Ok(value));
        Outcome::Go
    }

    /// What the program wants next; one that has ended waits for ever.
    fn next_request(&mut self) -> Request {
        if let Some(request) = self.slot.lock().expect("a slot").request.take() {
            return request;
        }
        let program = self.program.as_mut().expect("a program");
        match program.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(()) => {
                self.program = Some(Box::pin(std::future::pending()));
                Request::Wfi
            }
            Poll::Pending => self.slot.lock().expect("a slot").request.take().unwrap_or(Request::Wfi),
        }
    }

    /// WFI traps where it would wait, and now and then where it would not.
    fn wait(&mut self, around: &mut Surroundings<'_>) -> Outcome {
        let pending = around.loaded.interface.pending();
        self.waits += 1;
        if pending && (around.machine.native_wait || self.waits & 1 == 0) {
            return self.go(0);
        }
        if around.machine.native_wait {
            self.busy = Busy::Waits;
            return self.be_busy(around);
        }
        self.stop(around, After::Step, 0x01, 0x1e0_0000)
    }

    /// Traps at the instruction.
    fn stop(&mut self, around: &Surroundings<'_>, after: After, class: u64, iss: u64) -> Outcome {
        let pc = around.registers.pc;
        self.remember(around, after, pc, pc.wrapping_add(4));
        Outcome::Trap(synchronous(class, iss))
    }

    fn trap(&mut self, around: &mut Surroundings<'_>, request: Request) -> Outcome {
        match request {
            Request::Call { secure, immediate, arguments, number } => {
                self.call(around, (secure, immediate), &arguments, number)
            }
            Request::Wfe => self.stop(around, After::Step, 0x01, 0x1e0_0001),
            Request::Access { address, size, store } => self.access(around, address, size, store),
            Request::Register { register, write } => self.register(around, register, write),
            Request::Jump { address } => {
                if around.loaded.fetches(address) {
                    return self.go(0);
                }
                let back = around.registers.pc;
                around.registers.pc = address;
                self.remember(around, After::Jump(back), address, address);
                Outcome::Trap(fetch_abort(address))
            }
            Request::Raw { trap } => {
                self.remember(around, After::Anything, 0, 0);
                Outcome::Trap(trap)
            }
            _ => Outcome::Go,
        }
    }

    fn call(
        &mut self,
        around: &mut Surroundings<'_>,
        (secure, immediate): (bool, u16),
        arguments: &[u64],
        number: u64,
    ) -> Outcome {
        around.registers.x[..arguments.len()].copy_from_slice(arguments);
        around.registers.x[16] = number;
        let function = arguments.first().copied().unwrap_or(0);
        if immediate == 0 && (function & 0xffff_ffff == 0x8400_0002 || function & 0xffff_ffff == 1) {
            // CPU_OFF: what starts here next is something new.
            self.program = None;
        }
        self.hypercall = !secure && immediate == HYPERCALL;
        if secure {
            return self.stop(around, After::Call, 0x17, u64::from(immediate));
        }
        self.enter(around, immediate)
    }

    /// HVC.
    fn enter(&mut self, around: &mut Surroundings<'_>, immediate: u16) -> Outcome {
        let pc = around.registers.pc;
        around.registers.pc = pc.wrapping_add(4);
        self.remember(around, After::Call, pc, pc.wrapping_add(4));
        Outcome::Trap(synchronous(0x16, u64::from(immediate)))
    }

    fn access(
        &mut self,
        around: &mut Surroundings<'_>,
        address: u64,
        size: AccessSize,
        store: Option<u64>,
    ) -> Outcome {
        if let Some(value) = around.loaded.memory(around.machine, address, size, store) {
            around.registers.pc = around.registers.pc.wrapping_add(4);
            return self.go(value);
        }
        let target = self.target();
        if let Some(value) = store {
            around.registers.x[target] = value;
        }
        let width = match size {
            AccessSize::Byte => 0,
            AccessSize::Half => 1,
            AccessSize::Word => 2,
            AccessSize::Double => 3,
        };
        let sixty_four = u64::from(size == AccessSize::Double) << 15;
        // No permission, or no translation, of level 3.
        let status = if around.loaded.shows(address) { 0xf } else { 7 };
        let iss = 1 << 24
            | width << 22
            | (target as u64) << 16
            | sixty_four
            | u64::from(store.is_some()) << 6
            | status;
        let after = if store.is_some() { After::Step } else { After::Load(target) };
        match self.stop(around, after, 0x24, iss) {
            Outcome::Trap(trap) => {
                Outcome::Trap(Trap { fault_address: address, fault_page: address & !0xfff, ..trap })
            }
            other => other,
        }
    }

    fn register(
        &mut self,
        around: &mut Surroundings<'_>,
        register: SystemRegister,
        write: Option<u64>,
    ) -> Outcome {
        let target = self.target();
        if let Some(value) = write {
            around.registers.x[target] = value;
        }
        let number = u64::from(register.bits());
        let iss = (number >> 14 & 3) << 20
            | (number & 7) << 17
            | (number >> 11 & 7) << 14
            | (number >> 7 & 0xf) << 10
            | (target as u64) << 5
            | (number >> 3 & 0xf) << 1
            | u64::from(write.is_none());
        let after = if write.is_some() { After::Step } else { After::Load(target) };
        self.stop(around, after, 0x18, iss)
    }

    /// A general register, another one each time.
    fn target(&mut self) -> usize {
        self.waits += 1;
        (self.waits % 31) as usize
    }
}
