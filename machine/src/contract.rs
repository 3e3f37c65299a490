//! The contract: what a machine must be able to do for the hypervisor above it.
//!
//! A machine is a board with its processors. The hypervisor calls it and is never called by it: a guest
//! that traps, and an interrupt that arrives, are *return values* of [`Machine::run`] and
//! [`Machine::idle`]. Interrupts are masked whenever the hypervisor runs, so nothing here needs to be
//! re-entrant on one processor; every method may be called on several processors at once.
//!
//! Two machines satisfy the contract: `arm64` (the board) and `sim` (closures for guests, a vector for
//! RAM and a clock that is moved by hand).

use alloc::vec::Vec;
use model::arm64::{Registers, SystemRegister, Trap};
use plan::{DeviceInterrupt, GuestMemory, Range};

use crate::frames::{Block, FrameRange, FrameTable, GuestFrame, Held};
use crate::stage2::{Kind, MapError};

/// Index of a physical processor in `plan::Board::cpus`.
pub type CpuIndex = usize;

/// Time in ticks of the system counter.
pub type Ticks = u64;

/// The registers of the loaded vCPU, and its domain's map.
pub type Of<'a, Map> = (&'a Registers, &'a Map);

/// Why [`Machine::run`] or [`Machine::idle`] came back, where the reason is a physical interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Another processor wants this one to look around (see [`Machine::kick`]).
    Kick,
    /// The deadline set by [`Machine::set_deadline`] has passed.
    Deadline,
    /// The running vCPU's virtual timer fired. It stays active until the guest ends it, or
    /// [`Machine::release`] does.
    VirtualTimer,
    /// The list registers need attention.
    Maintenance,
    /// The console has received bytes, or can take more.
    Console,
    /// A device's interrupt, by INTID; active until the guest ends it.
    Device(u32),
}

/// What a guest is to be shown at an address.
#[derive(Debug)]
pub enum Showing<'f> {
    /// RAM of its own.
    Ram(GuestFrame),
    /// A page that the hypervisor shares with it.
    Shared(GuestFrame),
    /// Another domain's RAM.
    Foreign(GuestFrame),
    /// Another domain's RAM by its grant, whose handle stays with whoever made the mapping.
    Granted(Held<'f>),
}

/// What a guest was shown at an address, and cannot reach any more.
#[derive(Debug)]
#[must_use = "the drop of what a guest was shown may set a frame free"]
pub struct Hidden {
    /// What it was.
    pub kind: Kind,
    /// The map's own handle, where it had one.
    pub frame: Option<GuestFrame>,
}

/// What can be done to a naturally aligned word of a guest's memory in one step; the guest's processors
/// take part. Each gives the word as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Reads 32 bits.
    Load32,
    /// Writes 32 bits.
    Store32(u32),
    /// Sets bits of 32.
    Set32(u32),
    /// Clears bits of 32.
    Clear32(u32),
    /// Writes 32 bits where they were `.0`.
    Exchange32(u32, u32),
    /// Reads 64 bits.
    Load64,
    /// Writes 64 bits.
    Store64(u64),
    /// Sets bits of 64.
    Set64(u64),
    /// Clears bits of 64.
    Clear64(u64),
    /// Writes 64 bits where they were `.0`.
    Exchange64(u64, u64),
    /// Writes 16 bits where they were `.0`.
    Exchange16(u16, u16),
    /// Clears bits of 16.
    Clear16(u16),
    /// Writes 8 bits.
    Swap8(u8),
}

impl Word {
    /// Bytes of the word, of which its address is a multiple.
    #[inline(always)]
    pub const fn bytes(self) -> usize {
        match self {
            Word::Swap8(_) => 1,
            Word::Exchange16(..) | Word::Clear16(_) => 2,
            Word::Load32 | Word::Store32(_) | Word::Set32(_) | Word::Clear32(_) | Word::Exchange32(..) => 4,
            Word::Load64 | Word::Store64(_) | Word::Set64(_) | Word::Clear64(_) | Word::Exchange64(..) => 8,
        }
    }
}

/// Maintenance of the data caches for bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheAct {
    /// Write back to the point of coherency.
    Clean,
    /// Write back and drop.
    CleanInvalidate,
}

/// A board with its processors. See the module's text for the rules.
pub trait Machine: Sync + core::fmt::Debug {
    /// A domain's stage 2 map; its drop gives back what it held.
    type GuestMap: Send + Sync + core::fmt::Debug;

    /// Number of list registers of each processor, 1 to 16.
    fn list_registers(&self) -> usize;
    /// Counter frequency in Hz.
    fn frequency(&self) -> u64;
    /// The clock.
    fn now(&self) -> Ticks;

    /// Makes a vCPU's state that of this processor: EL1 registers, FP/SIMD, timer, list registers, map.
    fn load(&self, cpu: CpuIndex, registers: &mut Registers, map: &Self::GuestMap);
    /// Takes the vCPU's state out of this processor again. Undoes `load`.
    fn save(&self, cpu: CpuIndex, registers: &mut Registers);
    /// Enters the loaded guest; returns when it traps or an interrupt arrives.
    fn run(&self, cpu: CpuIndex, registers: &mut Registers) -> Trap;
    /// Copies the hardware's list registers into `registers.lists` (of the loaded vCPU).
    fn read_lists(&self, registers: &mut Registers);
    /// Copies `registers.lists` into the hardware.
    fn write_lists(&self, registers: &Registers);
    /// One of the list registers of the vCPU that is loaded on this processor, as the hardware has it.
    fn read_list(&self, cpu: CpuIndex, place: usize) -> u64;
    /// Writes one of them, which is in use from now on; the others stay.
    fn write_list(&self, cpu: CpuIndex, place: usize, entry: u64);

    /// Copies what taking an exception to EL1 reads and writes (VBAR, ELR, SPSR, ESR, FAR, SCTLR of EL1)
    /// from this processor into `registers.system`, for the loaded vCPU.
    fn read_exception_registers(&self, registers: &mut Registers);
    /// Copies them back.
    fn write_exception_registers(&self, registers: &Registers);

    /// Sleeps until an interrupt is pending. Returns without acknowledging it.
    fn idle(&self, cpu: CpuIndex);
    /// Is an interrupt pending on this processor?
    fn is_interrupted(&self, cpu: CpuIndex) -> bool;
    /// Acknowledges the most urgent pending interrupt; `None` where there is none (any more).
    fn acknowledge(&self, cpu: CpuIndex) -> Option<Interrupt>;

    /// Keeps a device's interrupt out from now on; if it is active it stays so.
    fn silence(&self, intid: u32);
    /// Ends a physical interrupt that no guest will end: a private one of this processor, or a device's.
    fn release(&self, cpu: CpuIndex, intid: u32);

    /// Wakes this processor at `deadline`, or never.
    fn set_deadline(&self, cpu: CpuIndex, deadline: Option<Ticks>);
    /// Interrupts another processor.
    fn kick(&self, cpu: CpuIndex);

    /// The table of all frames that are not the hypervisor's own.
    fn frames(&self) -> &'static FrameTable;

    /// Copies from where the loaded vCPU has something, by its own translation of the address. False where
    /// not all of it is there, is memory, and may be read by the guest's kernel. `KNOWN`: the caller knows the size.
    fn read_guest<const KNOWN: bool>(&self, of: Of<'_, Self::GuestMap>, at: u64, into: &mut [u8]) -> bool;
    /// Copies to where the loaded vCPU wants something. False where not all of it is there, is memory, and
    /// may be written by the guest's kernel; some may have been written.
    fn write_guest<const KNOWN: bool>(&self, of: Of<'_, Self::GuestMap>, at: u64, from: &[u8]) -> bool;
    /// A handle of the frame of RAM where the loaded guest's kernel would write at this address, if it is the domain's
    /// own. Another's must not be held: the guest may give it back at any time, and what is written to it later would
    /// be written to memory that its owner believes to have for itself again.
    fn hold_guest(&self, registers: &Registers, map: &Self::GuestMap, address: u64) -> Option<GuestFrame>;
    /// The guest address behind an address of the loaded vCPU's, for its own reading or writing.
    fn guest_address(
        &self,
        registers: &Registers,
        map: &Self::GuestMap,
        address: u64,
        write: bool,
    ) -> Option<u64>;

    /// A handle of the frame that a domain is shown at `ipa`; what it is; whether the guest may write to it.
    fn frame_at(&self, map: &Self::GuestMap, ipa: u64) -> Option<(GuestFrame, Kind, bool)>;
    /// Does the map show something at `ipa`?
    fn is_shown(&self, map: &Self::GuestMap, ipa: u64) -> bool;
    /// The first guest address at which a map shows something.
    fn first_shown(&self, map: &Self::GuestMap) -> Option<u64>;
    /// Shows a domain a frame, in the place of what was there; but what a grant shows only a grant replaces.
    ///
    /// # Errors
    /// See [`MapError`]; nothing has changed, and what was to be shown is dropped.
    fn show(
        &self,
        map: &Self::GuestMap,
        ipa: u64,
        what: Showing<'_>,
        writable: bool,
    ) -> Result<Option<Hidden>, MapError>;
    /// Shows a domain 2 MiB of its own RAM as one block.
    ///
    /// # Errors
    /// The block, where that cannot be; it can be shown frame by frame.
    fn show_block(&self, map: &Self::GuestMap, ipa: u64, block: Block) -> Result<(), Block>;
    /// Hides what a domain is shown at `ipa`. When this returns no processor reaches it any more.
    ///
    /// # Errors
    /// See [`MapError`]; nothing has changed.
    fn hide(&self, map: &Self::GuestMap, ipa: u64) -> Result<Option<Hidden>, MapError> {
        self.hide_if(map, ipa, Kind::ALL)
    }
    /// The same, if it is of one of these kinds; else nothing happens.
    ///
    /// # Errors
    /// See [`MapError`]; nothing has changed.
    fn hide_if(&self, map: &Self::GuestMap, ipa: u64, kinds: &[Kind]) -> Result<Option<Hidden>, MapError>;
    /// Hides 2 MiB of a domain's own RAM, where they are shown as one block or a part of a larger one.
    fn hide_block(&self, map: &Self::GuestMap, ipa: u64) -> Option<Block>;

    /// Hides the granted frame at host address `host` from a domain that is shown it at `ipa`. False where it
    /// is not (any more).
    fn hide_granted(&self, map: &Self::GuestMap, ipa: u64, host: u64) -> bool;

    /// Copies out of a frame. False where it would pass the frame's end.
    fn read_frame(&self, frame: &GuestFrame, offset: usize, into: &mut [u8]) -> bool;
    /// Copies into a frame. False where it would pass the frame's end.
    fn write_frame(&self, frame: &GuestFrame, offset: usize, from: &[u8]) -> bool;
    /// Copies between frames, from the second to the first. False where it would pass a frame's end.
    fn copy_frame(&self, to: (&GuestFrame, usize), from: (&GuestFrame, usize), bytes: usize) -> bool;
    /// Makes a frame read as zero.
    fn clear_frame(&self, frame: &GuestFrame);
    /// Acts on one word of a frame. `None` where it is not aligned, or passes the frame's end.
    fn word(&self, frame: &GuestFrame, offset: usize, act: Word) -> Option<u64>;
    /// Maintains caches for a part of a frame. False where it would pass the frame's end.
    fn maintain(&self, frame: &GuestFrame, offset: usize, bytes: usize, act: CacheAct) -> bool;

    /// How often the hypervisor has asked for memory of its own since that has been forbidden, and got none.
    fn refused_allocations(&self) -> u64;

    /// Writes as many bytes as the console takes without waiting; returns how many.
    fn console_write(&self, bytes: &[u8]) -> usize;
    /// One received byte.
    fn console_read(&self) -> Option<u8>;
    /// Asks for an [`Interrupt::Console`] when the console can take more bytes, or stops asking.
    fn console_wait(&self, waiting: bool);

    /// Ends the machine.
    fn power_off(&self) -> !;
    /// Starts the machine anew.
    fn reset(&self) -> !;
    /// Faults on purpose, so that its owner sees what a fault of the hypervisor looks like.
    fn fault(&self) -> !;
    /// Stops this processor for ever, the machine staying as it is.
    fn halt(&self) -> !;
}

/// What a machine does while domains are constructed, before any guest runs.
pub trait Construction: Machine {
    /// An empty map for a domain: `table_frames` stage 2 tables, root included; where guests reach the
    /// virtual CPU interface by memory (GICv2) it is at `cpu_interface`.
    ///
    /// # Errors
    /// See [`MapError`].
    fn guest_map(
        &self,
        domain: u16,
        table_frames: usize,
        cpu_interface: u64,
    ) -> Result<Self::GuestMap, MapError>;

    /// Shows RAM to the guest at `ipa`; the domain's map has the frames from now on.
    ///
    /// # Errors
    /// See [`MapError`].
    fn map(&self, map: &mut Self::GuestMap, ipa: u64, frames: FrameRange) -> Result<(), MapError>;

    /// Shows RAM that has an owner to another guest at `ipa`; its map has one of each frame's count from now on.
    ///
    /// # Errors
    /// See [`MapError`]; [`MapError::OutOfRange`] also where a frame has no owner.
    fn map_shared(&self, map: &mut Self::GuestMap, ipa: u64, frames: Range) -> Result<(), MapError>;
    /// Keeps frames out of the hands of whoever asks for free ones, for good: they are no domain's, and any may be
    /// shown them.
    fn set_aside(&self, frames: FrameRange);

    /// Shows the guest registers of the host that it drives itself. Dom0's own tables say what kind of memory its are.
    ///
    /// # Errors
    /// See [`MapError`].
    fn map_device(&self, map: &mut Self::GuestMap, registers: GuestMemory) -> Result<(), MapError>;
    /// Lets a device's interrupt in, as [`Interrupt::Device`] of the calling processor.
    fn route(&self, interrupt: DeviceInterrupt);

    /// Frames as pages that the hypervisor shares with the domain of `map`, which does not see them yet.
    fn share(&self, map: &Self::GuestMap, frames: FrameRange) -> Vec<GuestFrame>;

    /// Makes all frames read as zero. False where they cannot be reached.
    fn clear(&self, frames: &mut FrameRange) -> bool;
    /// Copies bytes of ours into frames. False where they do not fit.
    fn write(&self, frames: &mut FrameRange, offset: u64, bytes: &[u8]) -> bool;
    /// Copies host memory that is not ours into frames. False where it does not fit.
    fn copy(&self, frames: &mut FrameRange, offset: u64, from: Range) -> bool;
    /// Copies host memory that is not ours out. False where it cannot be reached.
    fn read(&self, at: u64, into: &mut [u8]) -> bool;

    /// An identification register of the processors (op0 3, op1 0, CRn 0).
    fn identity(&self, register: SystemRegister) -> u64;
}
