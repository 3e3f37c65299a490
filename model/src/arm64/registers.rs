//! A vCPU's registers while it does not run, and the raw facts of a trap.
//!
//! The layout is `repr(C)` because the entry path of `machine` reaches the general registers by offset.
//! The rest is moved when a vCPU is put on a processor or taken off it.
use crate::bits::{Ones, index};

/// The state of a vCPU that is its own on whatever processor it runs.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Registers {
    /// X0 to X30.
    pub x: [u64; 31],
    /// Where it continues (ELR_EL2).
    pub pc: u64,
    /// Its processor state (SPSR_EL2).
    pub pstate: u64,
    /// EL1 and EL0 system registers.
    pub system: SystemRegisters,
    /// Its virtual timer.
    pub timer: VirtualTimer,
    /// List registers and CPU interface.
    pub lists: Lists,
    /// FP/SIMD registers.
    pub vector: VectorRegisters,
}

impl Default for Registers {
    /// All zero.
    fn default() -> Self {
        Registers {
            x: [0; 31],
            pc: 0,
            pstate: 0,
            system: SystemRegisters::default(),
            timer: VirtualTimer::default(),
            lists: Lists::default(),
            vector: VectorRegisters { v: [[0; 2]; 32] },
        }
    }
}

impl Registers {
    /// Sets all to zero, in its place.
    pub fn clear(&mut self) {
        let Registers { x, pc, pstate, system, timer, lists, vector } = self;
        *x = [0; 31];
        (*pc, *pstate) = (0, 0);
        *system = SystemRegisters::default();
        *timer = VirtualTimer::default();
        *lists = Lists::default();
        vector.v = [[0; 2]; 32];
    }
}

/// System registers of EL1 and EL0 that a guest writes without a trap.
#[derive(Clone, Debug, Default)]
#[repr(C)]
#[expect(missing_docs, reason = "the fields bear the architecture's own names (Arm ARM, D17)")]
pub struct SystemRegisters {
    pub vmpidr_el2: u64,
    pub sctlr_el1: u64,
    pub ttbr0_el1: u64,
    pub ttbr1_el1: u64,
    pub tcr_el1: u64,
    pub mair_el1: u64,
    pub amair_el1: u64,
    pub vbar_el1: u64,
    pub esr_el1: u64,
    pub far_el1: u64,
    pub afsr0_el1: u64,
    pub afsr1_el1: u64,
    pub contextidr_el1: u64,
    pub tpidr_el0: u64,
    pub tpidrro_el0: u64,
    pub tpidr_el1: u64,
    pub cpacr_el1: u64,
    pub par_el1: u64,
    pub cntkctl_el1: u64,
    pub csselr_el1: u64,
    pub sp_el0: u64,
    pub sp_el1: u64,
    pub elr_el1: u64,
    pub spsr_el1: u64,
    pub fpcr: u64,
    pub fpsr: u64,
}

/// The virtual timer (CNTV) of a vCPU that does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct VirtualTimer {
    /// CNTV_CTL_EL0: bit 0 enable, bit 1 mask, bit 2 condition met (read only).
    pub control: u64,
    /// CNTV_CVAL_EL0, in virtual counter ticks.
    pub compare: u64,
    /// CNTVOFF_EL2: physical count minus virtual count; the domain's, the same for all its vCPUs.
    pub offset: u64,
    /// The timer's physical interrupt is active on behalf of this vCPU: delivered, or about to be, and
    /// not yet ended by the guest.
    pub in_flight: bool,
}

/// The most list registers that any GIC implementation has (ICH_VTR_EL2.ListRegs + 1).
pub const LIST_REGISTERS: usize = 16;

/// The virtual CPU interface of a vCPU: list registers in the GICv3 encoding (ICH_LR<n>_EL2), whatever
/// the host's controller is, and the interface's own registers.
///
/// Encoding: state 63:62 (1 pending, 2 active, 3 both), HW 61, Group 60, priority 55:48, pINTID 44:32
/// (with HW = 0: bit 41 asks for a maintenance interrupt at EOI, and for an SGI of a GICv2 guest
/// bits 34:32 hold the source vCPU), vINTID 31:0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Lists {
    /// ICH_LR<n>_EL2; zero where unused.
    pub entries: [u64; LIST_REGISTERS],
    /// Bit n: entry n was not empty when it was last written. The machine moves these only.
    pub used: u16,
    /// Ask for a maintenance interrupt as soon as at most one entry is valid (ICH_HCR_EL2.UIE): more
    /// interrupts are owed than fit.
    pub underflow: bool,
    /// More interrupts are owed than there is room for.
    pub more: bool,
    /// An entry was active when the list registers were filled.
    pub had_active: bool,
    /// ICH_VMCR_EL2 (GICv3) or GICH_VMCR (GICv2), as the host has it.
    pub vmcr: u64,
    /// ICH_AP0R<n>_EL2; for GICv2 the first holds GICH_APR.
    pub active_group0: [u64; 4],
    /// ICH_AP1R<n>_EL2.
    pub active_group1: [u64; 4],
}

impl Lists {
    /// An interrupt is pending in them, as last read from the hardware, and not active at the same time.
    #[inline]
    pub fn has_pending(&self) -> bool {
        self.used != 0 && self.used_entries().any(|entry| entry >> 62 == 1)
    }

    /// An entry is active, as last read from the hardware or written to it.
    #[inline]
    pub(crate) fn has_active(&self) -> bool {
        self.used_entries().any(|entry| entry >> 63 != 0)
    }

    #[inline]
    pub(crate) fn used_entries(&self) -> impl Iterator<Item = u64> {
        Ones(u64::from(self.used)).filter_map(|place| self.entries.get(index(place)).copied())
    }
}

/// V0 to V31.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct VectorRegisters {
    /// Low word first.
    pub v: [[u64; 2]; 32],
}

/// What made the processor leave the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A synchronous exception; the syndrome says which.
    Synchronous,
    /// A physical interrupt is pending.
    Interrupt,
    /// A system error (SError) that the guest caused.
    SystemError,
}

/// What the processor said when the guest trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The kind of exception.
    pub cause: Cause,
    /// ESR_EL2.
    pub syndrome: u64,
    /// FAR_EL2: the faulting virtual address; only valid for aborts.
    pub fault_address: u64,
    /// The faulting IPA's page (HPFAR_EL2 shifted to an address); only valid for stage 2 aborts.
    pub fault_page: u64,
}
