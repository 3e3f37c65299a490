//! What a guest is on the simulated machine: an asynchronous function.
//!
//! The function runs on a vCPU that it knows as a [`Cpu`]. Each `await` of one of its methods is one
//! instruction, or a few; the machine carries it out when the vCPU runs, and traps where the real one
//! would. In between the function holds no registers, so the machine can check that all those of the
//! vCPU survive whatever the hypervisor does.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use model::arm64::{AccessSize, SystemRegister, SystemRegisters, Trap, VectorRegisters, VirtualTimer};

/// An exception that the guest took to EL1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// ESR_EL1.
    pub syndrome: u64,
    /// FAR_EL1.
    pub address: u64,
}

/// How a vCPU started.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its first instruction.
    pub pc: u64,
    /// Its processor state.
    pub pstate: u64,
    /// X0 to X30.
    pub x: [u64; 31],
    /// Its system registers.
    pub system: SystemRegisters,
    /// CNTVOFF_EL2.
    pub timer_offset: u64,
}

/// The registers that are loaded, for [`Cpu::with`].
#[derive(Debug)]
pub struct Insight<'a> {
    /// X0 to X30.
    pub x: &'a mut [u64; 31],
    /// Where it continues.
    pub pc: &'a mut u64,
    /// Its processor state.
    pub pstate: &'a mut u64,
    /// System registers.
    pub system: &'a mut SystemRegisters,
    /// FP/SIMD registers.
    pub vector: &'a mut VectorRegisters,
    /// The virtual timer.
    pub timer: &'a mut VirtualTimer,
    /// The virtual interface's ICH_VMCR.
    pub vmcr: &'a mut u64,
    /// The physical count.
    pub now: u64,
}

/// What [`Cpu::with`] does.
pub(super) type Act = Box<dyn FnOnce(&mut Insight<'_>) -> u64 + Send>;

/// What a program asks of its vCPU.
pub(super) enum Request {
    /// HVC (or SMC) with X0 to X16.
    Call {
        secure: bool,
        immediate: u16,
        arguments: Vec<u64>,
        number: u64,
    },
    Wfi,
    Wfe,
    Access {
        address: u64,
        size: AccessSize,
        store: Option<u64>,
    },
    Register {
        register: SystemRegister,
        write: Option<u64>,
    },
    /// A branch to somewhere, and back.
    Jump {
        address: u64,
    },
    Raw {
        trap: Trap,
    },
    Compute {
        steps: u64,
    },
    ComputeUntilInterrupt,
    Pending,
    Acknowledge,
    End {
        intid: u32,
    },
    With(Act),
}

pub(super) type Answer = Result<u64, Exception>;

/// Where program and vCPU meet.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) request: Option<Request>,
    pub(super) answer: Option<Answer>,
}

pub(super) type Program = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The vCPU that a program runs on.
#[derive(Clone)]
pub struct Cpu {
    pub(super) slot: Arc<Mutex<Slot>>,
    pub(super) domain: u16,
    pub(super) index: usize,
    pub(super) start: Arc<Start>,
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "d{}v{}", self.domain, self.index)
    }
}

/// One instruction under way.
struct Ask<'a> {
    slot: &'a Mutex<Slot>,
    request: Option<Request>,
}

impl Future for Ask<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        let request = self.request.take();
        let mut slot = self.slot.lock().expect("a slot");
        if request.is_some() {
            slot.request = request;
            return Poll::Pending;
        }
        slot.answer.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Cpu {
    /// The domain's id.
    pub fn domain(&self) -> u16 {
        self.domain
    }

    /// The vCPU's number in its domain.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How it started.
    pub fn start(&self) -> &Start {
        &self.start
    }

    async fn ask(&self, request: Request) -> Answer {
        Ask { slot: &self.slot, request: Some(request) }.await
    }

    async fn value(&self, request: Request) -> u64 {
        self.ask(request).await.unwrap_or_else(|exception| panic!("{self:?} took {exception:x?}"))
    }

    /// HVC with this immediate, X0 and up from `arguments`, X16 `number`; X0 afterwards.
    ///
    /// # Errors
    /// The exception that the guest took instead.
    pub async fn hvc(&self, immediate: u16, number: u64, arguments: &[u64]) -> Result<u64, Exception> {
        self.ask(Request::Call { secure: false, immediate, arguments: arguments.to_vec(), number }).await
    }

    /// SMC, likewise.
    ///
    /// # Errors
    /// The exception that the guest took instead.
    pub async fn smc(&self, immediate: u16, arguments: &[u64]) -> Result<u64, Exception> {
        self.ask(Request::Call { secure: true, immediate, arguments: arguments.to_vec(), number: 0 }).await
    }

    /// A call of PSCI by HVC #0.
    pub async fn psci(&self, arguments: &[u64]) -> i64 {
        self.hvc(0, 0, arguments).await.expect("PSCI").cast_signed()
    }

    /// WFI.
    pub async fn wfi(&self) {
        self.value(Request::Wfi).await;
    }

    /// WFE.
    pub async fn wfe(&self) {
        self.value(Request::Wfe).await;
    }

    /// A load.
    ///
    /// # Errors
    /// The exception that the guest took instead.
    pub async fn try_read(&self, address: u64, size: AccessSize) -> Result<u64, Exception> {
        self.ask(Request::Access { address, size, store: None }).await
    }

    /// A store.
    ///
    /// # Errors
    /// The exception that the guest took instead.
    pub async fn try_write(&self, address: u64, size: AccessSize, value: u64) -> Result<(), Exception> {
        self.ask(Request::Access { address, size, store: Some(value) }).await.map(|_| ())
    }

    /// A load of 32 bits that succeeds.
    pub async fn read(&self, address: u64) -> u64 {
        self.value(Request::Access { address, size: AccessSize::Word, store: None }).await
    }

    /// A store of 32 bits that succeeds.
    pub async fn write(&self, address: u64, value: u64) {
        self.value(Request::Access { address, size: AccessSize::Word, store: Some(value) }).await;
    }

    /// MRS of a register that traps.
    ///
    /// # Errors
    /// The exception that the guest took instead.
    pub async fn mrs(&self, register: SystemRegister) -> Result<u64, Exception> {
        self.ask(Request::Register { register, write: None }).await
    }

    /// MSR of a register that traps.
    ///
    /// # Errors
    /// The exception that the guest took instead.
    pub async fn msr(&self, register: SystemRegister, value: u64) -> Result<(), Exception> {
        self.ask(Request::Register { register, write: Some(value) }).await.map(|_| ())
    }

    /// A branch to an address, and back if there are instructions.
    ///
    /// # Errors
    /// The exception that the guest took instead.
    pub async fn jump(&self, address: u64) -> Result<(), Exception> {
        self.ask(Request::Jump { address }).await.map(|_| ())
    }

    /// Makes the processor say this. Nothing is checked or put right afterwards.
    pub async fn raw(&self, trap: Trap) {
        let _ = self.ask(Request::Raw { trap }).await;
    }

    /// Computes for so many steps, each of which counts as work and takes until the clock moves on.
    pub async fn compute(&self, steps: u64) {
        self.value(Request::Compute { steps }).await;
    }

    /// Computes until an interrupt is signalled.
    pub async fn compute_until_interrupt(&self) {
        self.value(Request::ComputeUntilInterrupt).await;
    }

    /// ISR_EL1: is an interrupt signalled?
    pub async fn interrupt_pending(&self) -> bool {
        self.value(Request::Pending).await != 0
    }

    /// ICC_IAR1_EL1 or GICC_IAR.
    pub async fn acknowledge(&self) -> u32 {
        u32::try_from(self.value(Request::Acknowledge).await).expect("an INTID")
    }

    /// ICC_EOIR1_EL1 or GICC_EOIR.
    pub async fn end(&self, intid: u32) {
        self.value(Request::End { intid }).await;
    }

    /// Waits for an interrupt and acknowledges it.
    pub async fn next_interrupt(&self) -> u32 {
        loop {
            let intid = self.acknowledge().await;
            if intid < 1020 || intid >> 10 != 0 {
                return intid;
            }
            self.wfi().await;
        }
    }

    /// Whatever can be done to the registers without a trap.
    pub async fn with(&self, act: impl FnOnce(&mut Insight<'_>) -> u64 + Send + 'static) -> u64 {
        self.value(Request::With(Box::new(act))).await
    }

    /// Opens the virtual CPU interface for both groups and all priorities.
    pub async fn open_interface(&self) {
        self.with(|insight| {
            *insight.vmcr = 0xff << 24 | 3;
            0
        })
        .await;
    }

    /// VBAR_EL1.
    pub async fn set_vectors(&self, address: u64) {
        self.with(move |insight| {
            insight.system.vbar_el1 = address;
            0
        })
        .await;
    }

    /// CNTV_CVAL_EL0 and CNTV_CTL_EL0.
    pub async fn set_timer(&self, control: u64, compare: u64) {
        self.with(move |insight| {
            insight.timer.control = control & 3;
            insight.timer.compare = compare;
            0
        })
        .await;
    }

    /// CNTVCT_EL0.
    pub async fn count(&self) -> u64 {
        self.with(|insight| insight.now.wrapping_sub(insight.timer.offset)).await
    }
}
