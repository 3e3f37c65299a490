//! `public/hvm/ioreq.h`: pages in which a device model is told of accesses, and answers them. C has bit fields in
//! them; where those are is proven apart.

use crate::layout::{constants, layout};

constants! {
    /// `IOREQ_READ`: dir: from the device.
    pub IOREQ_READ: u8 = 1;
    /// `IOREQ_WRITE`: dir: to the device.
    pub IOREQ_WRITE: u8 = 0;

    // The low four bits of `flags`.
    /// `STATE_IOREQ_NONE`: no request.
    pub STATE_IOREQ_NONE: u8 = 0;
    /// `STATE_IOREQ_READY`: a request waits.
    pub STATE_IOREQ_READY: u8 = 1;
    /// `STATE_IOREQ_INPROCESS`: it is being served.
    pub STATE_IOREQ_INPROCESS: u8 = 2;
    /// `STATE_IORESP_READY`: the answer waits.
    pub STATE_IORESP_READY: u8 = 3;

    // type.
    /// `IOREQ_TYPE_PIO`: a port.
    pub IOREQ_TYPE_PIO: u8 = 0;
    /// `IOREQ_TYPE_COPY`: memory.
    pub IOREQ_TYPE_COPY: u8 = 1;
    /// `IOREQ_TYPE_PCI_CONFIG`: PCI's configuration space.
    pub IOREQ_TYPE_PCI_CONFIG: u8 = 2;
    /// `IOREQ_TYPE_TIMEOFFSET`: the wall clock has been set.
    pub IOREQ_TYPE_TIMEOFFSET: u8 = 7;
    /// `IOREQ_TYPE_INVALIDATE`: mappings are no longer valid.
    pub IOREQ_TYPE_INVALIDATE: u8 = 8;
    /// `IOREQ_BUFFER_SLOT_NUM`: buffered requests.
    pub IOREQ_BUFFER_SLOT_NUM: usize = 511;
    /// `offsetof(struct ioreq, _pad0) + 2`: where `flags` with the state is.
    pub IOREQ_STATE as "offsetof(struct ioreq, _pad0) + 2": usize = 30;
    /// `offsetof(struct buffered_iopage, read_pointer)`: where the model reads next.
    pub BUFFERED_IOPAGE_READ_POINTER as "offsetof(struct buffered_iopage, read_pointer)": usize = 0;
    /// `offsetof(struct buffered_iopage, write_pointer)`: where the next one goes.
    pub BUFFERED_IOPAGE_WRITE_POINTER as "offsetof(struct buffered_iopage, write_pointer)": usize = 4;
    /// `offsetof(struct buffered_iopage, buf_ioreq)`: where the requests are.
    pub BUFFERED_IOPAGE_BUF_IOREQ as "offsetof(struct buffered_iopage, buf_ioreq)": usize = 8;
}

layout! {
    /// `struct ioreq`: an access, one for each vCPU.
    pub struct Ioreq: "struct ioreq", 32 {
        /// Where.
        0 => pub addr: u64,
        /// What, or the guest's address of it.
        8 => pub data: u64,
        /// How often.
        16 => pub count: u32,
        /// Bytes.
        20 => pub size: u32,
        /// The port by which the model answers.
        24 => pub vp_eport: u32,
        /// C's padding.
        28 => pub pad0 as "_pad0": u16,
        /// State (4 bits), data_is_ptr, dir, df.
        30 => pub flags as "": u8,
        /// `IOREQ_TYPE_*`.
        31 => pub kind as "type": u8,
    }

    /// `struct buf_ioreq`: a write that nobody waits for.
    pub struct BufIoreq: "struct buf_ioreq", 8 {
        /// Type in bits 7:0, dir in bit 9, the size's power of two in 11:10, the address in 31:12.
        0 => pub word as "": u32,
        /// What.
        4 => pub data: u32,
    }
}

/// Bits of [`Ioreq::flags`]: the state.
pub const IOREQ_STATE_MASK: u8 = 0xf;
/// Bit of [`Ioreq::flags`]: `data` is the address of the data.
pub const IOREQ_DATA_IS_PTR: u8 = 1 << 4;
/// Number of the bit of [`Ioreq::flags`] that is [`IOREQ_READ`] or [`IOREQ_WRITE`].
pub const IOREQ_DIR_SHIFT: u8 = 5;
/// Bit of [`Ioreq::flags`]: addresses descend.
pub const IOREQ_DF: u8 = 1 << 6;
