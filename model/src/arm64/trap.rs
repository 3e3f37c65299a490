//! From what the processor said ([`Trap`]) to what the guest wants ([`Exit`]).
//!
//! Sources: Arm ARM (DDI 0487), ESR_EL2 and its ISS encodings. After HVC the guest's PC already points
//! behind the instruction. In every other synchronous case it points at the instruction, and whoever
//! emulates that must also call [`super::exception::advance`].

use super::{Cause, Registers, SystemRegister, Trap};
use crate::bits::{bit, low_u8, low_u16};

/// What the guest wants, or what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A physical interrupt is pending; the guest did nothing.
    Interrupt,
    /// The guest caused a system error (SError).
    SystemError {
        /// ESR_EL2.
        syndrome: u64,
    },
    /// HVC.
    Hypercall {
        /// The instruction's immediate.
        immediate: u16,
    },
    /// SMC. The PC still points at it.
    SecureCall {
        /// The instruction's immediate.
        immediate: u16,
    },
    /// WFI: nothing to do until an interrupt is pending.
    Wfi,
    /// WFE, or one of the waits with timeout: nothing to do for the moment.
    Wfe,
    /// MRS, MSR or a system instruction.
    SystemRegister(SystemRegisterAccess),
    /// A load or store where stage 2 maps nothing: a device, or a mistake.
    Mmio(MmioAccess),
    /// A load or store that cannot be emulated.
    DataAbort {
        /// Where; page from the trap, offset from the virtual address.
        ipa: u64,
        /// Why.
        reason: AbortReason,
        /// Whether it was a store.
        write: bool,
    },
    /// An instruction fetch that failed at stage 2.
    InstructionAbort {
        /// Where; page from the trap, offset from the virtual address.
        ipa: u64,
        /// Why.
        reason: AbortReason,
    },
    /// A trap that only AArch32 code causes. At EL0, what the guest gets is an undefined instruction.
    Aarch32 {
        /// ESR_EL2.EC.
        class: u8,
    },
    /// An instruction of a feature that the guest does not have: undefined for it.
    Undefined {
        /// ESR_EL2.EC.
        class: u8,
    },
    /// An exception that should not arrive at EL2 as the guest is set up: the end of the guest.
    Unexpected {
        /// ESR_EL2.EC.
        class: u8,
    },
}

/// A trapped MRS or MSR: its syndrome (ESR_EL2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemRegisterAccess(pub u64);

impl SystemRegisterAccess {
    /// Which register (or system instruction).
    #[inline]
    pub const fn register(self) -> SystemRegister {
        SystemRegister::from_syndrome(self.0)
    }

    /// The general register; 31 is XZR.
    #[inline]
    pub fn target(self) -> u8 {
        low_u8(self.0 >> 5) & 0x1f
    }

    /// MSR.
    #[inline]
    pub const fn write(self) -> bool {
        !bit(self.0, 0)
    }
}

/// The width of an access to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessSize {
    /// 8 bits.
    Byte,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
    /// 64 bits.
    Double,
}

impl AccessSize {
    /// Its number of bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
            Self::Double => 8,
        }
    }

    /// All ones in its width.
    pub const fn mask(self) -> u64 {
        match self {
            Self::Byte => 0xff,
            Self::Half => 0xffff,
            Self::Word => 0xffff_ffff,
            Self::Double => u64::MAX,
        }
    }

    /// From ISS.SAS.
    const fn from_syndrome(syndrome: u64) -> Self {
        match syndrome >> 22 & 3 {
            0 => Self::Byte,
            1 => Self::Half,
            2 => Self::Word,
            _ => Self::Double,
        }
    }
}

/// A trapped load or store with a valid syndrome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioAccess {
    /// Where.
    pub ipa: u64,
    /// ESR_EL2.
    pub syndrome: u64,
}

impl MmioAccess {
    /// How wide.
    #[inline]
    pub const fn size(self) -> AccessSize {
        AccessSize::from_syndrome(self.syndrome)
    }

    /// A store.
    #[inline]
    pub const fn write(self) -> bool {
        self.syndrome & WRITE != 0
    }

    /// The general register; 31 is XZR.
    #[inline]
    fn target(self) -> u8 {
        low_u8(self.syndrome >> 16) & 0x1f
    }

    /// What a store writes, cut to its width.
    #[inline]
    pub fn value(self, registers: &Registers) -> u64 {
        registers.general(self.target()) & self.size().mask()
    }

    /// Ends a load: puts `value`, which is no wider than the access, into the target register, extended as the
    /// instruction says.
    #[inline]
    pub fn complete(self, registers: &mut Registers, value: u64) {
        let value = if self.syndrome & SIGN_EXTEND != 0 { self.signed(value) } else { value };
        registers.set_general(self.target(), value);
    }

    /// `value` with its sign, in the target register's width.
    #[cold]
    fn signed(self, value: u64) -> u64 {
        let sign = self.size().mask() ^ self.size().mask() >> 1;
        let wide = (value ^ sign).wrapping_sub(sign);
        if self.syndrome & SIXTY_FOUR != 0 { wide } else { wide & 0xffff_ffff }
    }
}

/// Why an access cannot be emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// Stage 2 maps nothing there, and the instruction is of a kind that the syndrome does not describe.
    NoSyndrome,
    /// Stage 2 maps nothing there.
    Translation,
    /// Cache maintenance where stage 2 maps nothing.
    CacheMaintenance,
    /// The guest's page table lies where there is no memory, or none of its own.
    TableWalk,
    /// The page is there but not for this.
    Permission,
    /// The access flag of the stage 2 entry is clear.
    AccessFlag,
    /// The address is wider than the machine.
    AddressSize,
    /// The bus answered with an error.
    External,
    /// An unaligned access to device memory.
    Alignment,
    /// The TLB found two translations.
    TlbConflict,
    /// An atomic or exclusive access to memory that cannot do it.
    Atomic,
    /// Another fault status code.
    Other(u8),
}

impl AbortReason {
    /// The reason in a few words, for a report.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoSyndrome => "no memory there, and an instruction that cannot be emulated",
            Self::Translation => "no memory there",
            Self::CacheMaintenance => "cache maintenance where no memory is",
            Self::TableWalk => "a page table where no memory is",
            Self::Permission => "no permission",
            Self::AccessFlag => "access flag fault",
            Self::AddressSize => "address too wide",
            Self::External => "external abort",
            Self::Alignment => "unaligned access to device memory",
            Self::TlbConflict => "TLB conflict",
            Self::Atomic => "atomic access to memory that has none",
            Self::Other(_) => "unknown fault status",
        }
    }

    /// From a fault status code (ISS.DFSC or IFSC).
    const fn from_status(status: u8) -> Self {
        match status & 0x3f {
            0x00..=0x03 | 0x29 => Self::AddressSize,
            0x04..=0x07 | 0x2b => Self::Translation,
            0x08..=0x0b => Self::AccessFlag,
            0x0c..=0x0f => Self::Permission,
            0x10 | 0x13..=0x18 | 0x1b..=0x1f => Self::External,
            0x21 => Self::Alignment,
            0x30 => Self::TlbConflict,
            0x31 | 0x35 => Self::Atomic,
            other => Self::Other(other),
        }
    }
}

/// ISS.S1PTW: the fault hit the walk of the guest's own tables.
const TABLE_WALK: u64 = 1 << 7;
/// ISS.WnR of a data abort.
const WRITE: u64 = 1 << 6;
/// ISS.CM of a data abort.
const CACHE_MAINTENANCE: u64 = 1 << 8;
/// ISS.SSE of a data abort: the load extends the sign of what it loads.
const SIGN_EXTEND: u64 = 1 << 21;
/// ISS.SF of a data abort: the general register is 64 bits wide.
const SIXTY_FOUR: u64 = 1 << 15;
/// ISS.ISV of a data abort.
const VALID: u64 = 1 << 24;

impl Trap {
    /// What the guest wants.
    pub fn decode(&self) -> Exit {
        match self.cause {
            Cause::Synchronous => {
                self.frequent().unwrap_or_else(|| self.rare(low_u8(self.syndrome >> 26) & 0x3f))
            }
            Cause::Interrupt => Exit::Interrupt,
            Cause::SystemError => Exit::SystemError { syndrome: self.syndrome },
        }
    }

    /// What comes most, where the caller can see it: calls, system registers, devices.
    #[inline]
    pub fn frequent(&self) -> Option<Exit> {
        match (self.cause, self.syndrome >> 26 & 0x3f) {
            (Cause::Synchronous, 0x16) => Some(Exit::Hypercall { immediate: low_u16(self.syndrome) }),
            (Cause::Synchronous, 0x18) => Some(Exit::SystemRegister(SystemRegisterAccess(self.syndrome))),
            (Cause::Synchronous, 0x24) if self.is_plain() => Some(Exit::Mmio(self.mmio())),
            (Cause::Synchronous, 0x01) => Some(self.wait()),
            _ => None,
        }
    }

    fn rare(&self, class: u8) -> Exit {
        match class {
            0x24 => self.data_abort(),
            0x17 => Exit::SecureCall { immediate: low_u16(self.syndrome) },
            0x20 => Exit::InstructionAbort { ipa: self.ipa(), reason: self.abort_reason() },
            0x03..=0x06 | 0x08 | 0x0c | 0x11..=0x13 | 0x28 | 0x38 | 0x3a => Exit::Aarch32 { class },
            // Unknown, FP/SIMD, PAC, LS64 and the like, 128-bit registers, SVE, ERET, TSTART, SME, MOPS,
            // GCS: features that the identity registers do not show.
            0x00 | 0x07 | 0x09 | 0x0a | 0x14 | 0x19 | 0x1a | 0x1b | 0x1d | 0x27 | 0x2d => {
                Exit::Undefined { class }
            }
            class => Exit::Unexpected { class },
        }
    }

    const fn wait(&self) -> Exit {
        // TI: 0 WFI, 1 WFE, 2 WFIT, 3 WFET. A wait with timeout may end early, so it never blocks.
        if self.syndrome & 3 == 0 { Exit::Wfi } else { Exit::Wfe }
    }

    const fn ipa(&self) -> u64 {
        self.fault_page & !0xfff | self.fault_address & 0xfff
    }

    const fn abort_reason(&self) -> AbortReason {
        if self.syndrome & TABLE_WALK != 0 {
            return AbortReason::TableWalk;
        }
        AbortReason::from_status(low_u8(self.syndrome))
    }

    /// Whether a data abort is a translation fault of level 0 to 3 with a valid syndrome, not on a table walk.
    #[inline]
    const fn is_plain(&self) -> bool {
        self.syndrome & (VALID | CACHE_MAINTENANCE | TABLE_WALK | 0x3c) == VALID | 0x04
    }

    fn data_abort(&self) -> Exit {
        let reason = match self.abort_reason() {
            AbortReason::Translation if self.syndrome & CACHE_MAINTENANCE != 0 => {
                AbortReason::CacheMaintenance
            }
            AbortReason::Translation if self.syndrome & VALID == 0 => AbortReason::NoSyndrome,
            AbortReason::Translation => return Exit::Mmio(self.mmio()),
            other => other,
        };
        Exit::DataAbort { ipa: self.ipa(), reason, write: self.syndrome & WRITE != 0 }
    }

    #[inline]
    const fn mmio(&self) -> MmioAccess {
        MmioAccess { ipa: self.ipa(), syndrome: self.syndrome }
    }
}

impl Registers {
    /// X0 to X30 by number; 31 (XZR) and above read as zero.
    #[inline]
    pub fn general(&self, number: u8) -> u64 {
        self.x.get(usize::from(number)).copied().unwrap_or(0)
    }

    /// Writes X0 to X30 by number; a write to 31 (XZR) or above is lost.
    #[inline]
    pub fn set_general(&mut self, number: u8, value: u64) {
        if let Some(register) = self.x.get_mut(usize::from(number)) {
            *register = value;
        }
    }
}

#[cfg(test)]
mod tests;
