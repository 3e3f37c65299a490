//! `public/trace.h`: the trace's buffers, one for each processor, and classes of events. A record is a word with the
//! event in bits 27:0, the number of further words in 30:28, and in bit 31 whether two words of cycles come first.

use crate::layout::{constants, layout};

constants! {
    /// `TRACE_EXTRA_MAX`: most words of an event.
    pub TRACE_EXTRA_MAX: u32 = 7;
    /// `TRACE_EXTRA_SHIFT`: the place of their number.
    pub TRACE_EXTRA_SHIFT: u32 = 28;
    /// `TRC_HD_CYCLE_FLAG`: cycles come first.
    pub TRC_HD_CYCLE_FLAG: u32 = 0x8000_0000;

    // Classes, with all subclasses.
    /// `TRC_GEN`: about the trace.
    pub TRC_GEN: u32 = 0x0001_f000;
    /// `TRC_SCHED`: scheduling.
    pub TRC_SCHED: u32 = 0x0002_f000;
    /// `TRC_DOM0OP`: the toolstack.
    pub TRC_DOM0OP: u32 = 0x0004_f000;
    /// `TRC_HVM`: traps of HVM guests.
    pub TRC_HVM: u32 = 0x0008_f000;
    /// `TRC_MEM`: memory.
    pub TRC_MEM: u32 = 0x0010_f000;
    /// `TRC_PV`: traps of PV guests.
    pub TRC_PV: u32 = 0x0020_f000;
    /// `TRC_SHADOW`: shadow page tables.
    pub TRC_SHADOW: u32 = 0x0040_f000;
    /// `TRC_HW`: hardware.
    pub TRC_HW: u32 = 0x0080_f000;
    /// `TRC_GUEST`: guests' own.
    pub TRC_GUEST: u32 = 0x0800_f000;
    /// `TRC_ALL`: all classes.
    pub TRC_ALL: u32 = 0x0fff_f000;

    // Subclasses.
    /// `TRC_SCHED_MIN`: runstates only.
    pub TRC_SCHED_MIN: u32 = 0x0002_1000;
    /// `TRC_SCHED_CLASS`: a scheduler's own.
    pub TRC_SCHED_CLASS: u32 = 0x0002_2000;
    /// `TRC_SCHED_VERBOSE`: all else of scheduling.
    pub TRC_SCHED_VERBOSE: u32 = 0x0002_8000;
    /// `TRC_DOM0_DOMOPS`: domains come and go.
    pub TRC_DOM0_DOMOPS: u32 = 0x0004_1000;
    /// `TRC_HVM_ENTRYEXIT`: into a guest and out.
    pub TRC_HVM_ENTRYEXIT: u32 = 0x0008_1000;
    /// `TRC_HVM_HANDLER`: what was done there.
    pub TRC_HVM_HANDLER: u32 = 0x0008_2000;
    /// `TRC_HW_PM`: power.
    pub TRC_HW_PM: u32 = 0x0080_1000;
    /// `TRC_HW_IRQ`: interrupts.
    pub TRC_HW_IRQ: u32 = 0x0080_2000;

    // Events.
    /// `TRC_LOST_RECORDS`: records were lost.
    pub TRC_LOST_RECORDS: u32 = 0x0001_f001;
    /// `TRC_TRACE_WRAP_BUFFER`: the buffer begins anew.
    pub TRC_TRACE_WRAP_BUFFER: u32 = 0x0001_f002;
    /// `TRC_TRACE_CPU_CHANGE`: records of another processor follow.
    pub TRC_TRACE_CPU_CHANGE: u32 = 0x0001_f003;
    /// `TRC_SCHED_RUNSTATE_CHANGE`: another runstate.
    pub TRC_SCHED_RUNSTATE_CHANGE: u32 = 0x0002_1001;
    /// `TRC_SCHED_CONTINUE_RUNNING`: the same vCPU goes on.
    pub TRC_SCHED_CONTINUE_RUNNING: u32 = 0x0002_1002;
    /// `TRC_SCHED_DOM_ADD`: a vCPU is there.
    pub TRC_SCHED_DOM_ADD: u32 = 0x0002_8001;
    /// `TRC_SCHED_DOM_REM`: a vCPU is gone.
    pub TRC_SCHED_DOM_REM: u32 = 0x0002_8002;
    /// `TRC_SCHED_SLEEP`: a vCPU must not run.
    pub TRC_SCHED_SLEEP: u32 = 0x0002_8003;
    /// `TRC_SCHED_WAKE`: a vCPU may run.
    pub TRC_SCHED_WAKE: u32 = 0x0002_8004;
    /// `TRC_SCHED_YIELD`: a vCPU lets others run.
    pub TRC_SCHED_YIELD: u32 = 0x0002_8005;
    /// `TRC_SCHED_BLOCK`: a vCPU waits.
    pub TRC_SCHED_BLOCK: u32 = 0x0002_8006;
    /// `TRC_SCHED_SHUTDOWN`: a domain stops.
    pub TRC_SCHED_SHUTDOWN: u32 = 0x0002_8007;
    /// `TRC_SCHED_SWITCH`: from one vCPU to another.
    pub TRC_SCHED_SWITCH: u32 = 0x0002_800a;
    /// `offsetof(struct t_info, mfn_offset)`: where the processors' lists of frames are told: an offset each,
    /// in words of 32 bits.
    pub T_INFO_MFN_OFFSET as "offsetof(struct t_info, mfn_offset)": usize = 2;
}

layout! {
    /// `struct t_buf`: a buffer's head; records follow.
    pub struct TBuf: "struct t_buf", 8 {
        /// The reader is here.
        0 => pub cons: u32,
        /// The writer is here.
        4 => pub prod: u32,
    }

    /// `struct t_info`: the head of the page that says where the buffers are.
    pub struct TInfo: "struct t_info", 2 {
        /// Pages of each buffer.
        0 => pub tbuf_size: u16,
    }
}
