//! Xen's paravirtual interface as a guest on Arm uses it: hypercalls by HVC, and the structures that they take.
//!
//! The layouts are those of Xen's public headers (`xen/xen.h`, `event_channel.h`, `memory.h`, `grant_table.h`, `vcpu.h`,
//! `sched.h`). A structure that a hypercall reads or writes is given by its virtual address; frames are numbers of
//! 4 KiB pages of guest-physical memory.
#![expect(
    unsafe_code,
    reason = "hypercalls are an instruction, and pages that Xen shares are reached by address"
)]

use core::arch::asm;
use core::cell::UnsafeCell;

/// Hypercall: control of the platform.
pub const PLATFORM_OP: u64 = 7;
/// Hypercall: memory reservation and physical map.
pub const MEMORY_OP: u64 = 12;
/// Hypercall: several at once.
pub const MULTICALL: u64 = 13;
/// Hypercall: version and features.
pub const XEN_VERSION: u64 = 17;
/// Hypercall: the hypervisor's console.
pub const CONSOLE_IO: u64 = 18;
/// Hypercall: grant tables.
pub const GRANT_TABLE_OP: u64 = 20;
/// Hypercall: assists.
pub const VM_ASSIST: u64 = 21;
/// Hypercall: vCPUs.
pub const VCPU_OP: u64 = 24;
/// Hypercall: security modules.
pub const XSM_OP: u64 = 27;
/// Hypercall: the scheduler.
pub const SCHED_OP: u64 = 29;
/// Hypercall: event channels.
pub const EVENT_CHANNEL_OP: u64 = 32;
/// Hypercall: physical devices.
pub const PHYSDEV_OP: u64 = 33;
/// Hypercall: parameters of a domain.
pub const HVM_OP: u64 = 34;
/// Hypercall: control of the system.
pub const SYSCTL: u64 = 35;
/// Hypercall: control of domains.
pub const DOMCTL: u64 = 36;
/// Hypercall: messages between domains.
pub const ARGO_OP: u64 = 39;
/// Hypercall: device models.
pub const DM_OP: u64 = 41;
/// Hypercall: the hypervisor's file system.
pub const HYPFS_OP: u64 = 42;

/// No such call.
pub const ENOSYS: i64 = -38;
/// A buffer that cannot be reached.
pub const EFAULT: i64 = -14;

/// The caller's own domain.
pub const DOMID_SELF: u16 = 0x7ff0;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Makes the hypercall `number` with up to five arguments; x0 after it.
pub fn call(number: u64, arguments: [u64; 5]) -> i64 {
    let [x0, x1, x2, x3, x4] = arguments;
    let result: i64;
    // SAFETY: Xen changes x16 and the arguments' registers at most; what it writes is the memory that the caller
    // names, which a guest takes from its own statics or from pages that Rust does not own.
    unsafe {
        asm!("hvc #0xea1", inout("x16") number => _, inout("x0") x0 => result, inout("x1") x1 => _,
             inout("x2") x2 => _, inout("x3") x3 => _, inout("x4") x4 => _, options(nostack));
    }
    result
}

/// Makes the hypercall `number` with a sub-operation and the address of its structure.
pub fn op<T>(number: u64, command: u64, argument: &mut T) -> i64 {
    call(number, [command, core::ptr::from_mut(argument) as u64, 0, 0, 0])
}

/// Makes the hypercall `number` with a sub-operation and a bare address.
pub fn op_at(number: u64, command: u64, address: u64) -> i64 {
    call(number, [command, address, 0, 0, 0])
}

/// The address of something as a handle in a structure.
pub fn handle<T>(target: &mut T) -> u64 {
    core::ptr::from_mut(target) as u64
}

/// Whether Xen's hypercalls are answered: the tree says so.
#[must_use]
pub fn is_there() -> bool {
    crate::platform::get().enhanced
}

/// A page of own memory for what the hypervisor and the guest share, or that is given away and taken back.
#[repr(C, align(4096))]
pub struct Pages<const COUNT: usize>(UnsafeCell<[[u64; 512]; COUNT]>);

// SAFETY: reached by volatile accesses alone.
unsafe impl<const COUNT: usize> Sync for Pages<COUNT> {}

impl<const COUNT: usize> Pages<COUNT> {
    /// Pages of zeroes.
    #[must_use]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([[0; 512]; COUNT]))
    }

    /// The address of the first.
    #[must_use]
    pub fn address(&self) -> usize {
        self.0.get() as usize
    }

    /// The frame of page `index`.
    #[must_use]
    pub fn frame(&self, index: usize) -> u64 {
        self.address() as u64 / PAGE + index as u64
    }
}

impl<const COUNT: usize> Default for Pages<COUNT> {
    fn default() -> Self {
        Self::new()
    }
}

/// The first frame behind all memory of the guest, rounded up to 2 MiB, where it may map what it likes.
#[must_use]
pub fn free_frame() -> u64 {
    let platform = crate::platform::get();
    let (base, size) = platform.memory[0];
    ((base + size) / PAGE).next_multiple_of(512) + 0x1000
}

/// XENMEM_add_to_physmap and the like.
pub mod memory {
    /// XENMEM_increase_reservation.
    pub const INCREASE_RESERVATION: u64 = 0;
    /// XENMEM_decrease_reservation.
    pub const DECREASE_RESERVATION: u64 = 1;
    /// XENMEM_maximum_ram_page.
    pub const MAXIMUM_RAM_PAGE: u64 = 2;
    /// XENMEM_current_reservation.
    pub const CURRENT_RESERVATION: u64 = 3;
    /// XENMEM_maximum_reservation.
    pub const MAXIMUM_RESERVATION: u64 = 4;
    /// XENMEM_populate_physmap.
    pub const POPULATE_PHYSMAP: u64 = 6;
    /// XENMEM_add_to_physmap.
    pub const ADD_TO_PHYSMAP: u64 = 7;
    /// XENMEM_exchange.
    pub const EXCHANGE: u64 = 11;
    /// XENMEM_maximum_gpfn.
    pub const MAXIMUM_GPFN: u64 = 14;
    /// XENMEM_remove_from_physmap.
    pub const REMOVE_FROM_PHYSMAP: u64 = 15;
    /// XENMEM_add_to_physmap_batch.
    pub const ADD_TO_PHYSMAP_BATCH: u64 = 23;
    /// XENMEM_acquire_resource.
    pub const ACQUIRE_RESOURCE: u64 = 28;

    /// XENMAPSPACE_shared_info.
    pub const SPACE_SHARED_INFO: u32 = 0;
    /// XENMAPSPACE_grant_table.
    pub const SPACE_GRANT_TABLE: u32 = 1;

    /// xen_memory_reservation.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct Reservation {
        /// Handle of the frame numbers.
        pub extents: u64,
        /// How many.
        pub count: u64,
        /// Size of each: two to the power of this, in pages.
        pub order: u32,
        /// XENMEMF_ flags.
        pub flags: u32,
        /// Whose reservation.
        pub domain: u16,
    }

    /// xen_add_to_physmap.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct AddToPhysmap {
        /// Whose map.
        pub domain: u16,
        /// Pages, for one of the spaces.
        pub size: u16,
        /// The space.
        pub space: u32,
        /// What of the space.
        pub index: u64,
        /// Where to.
        pub frame: u64,
    }

    /// xen_add_to_physmap_batch.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct AddToPhysmapBatch {
        /// Whose map.
        pub domain: u16,
        /// The space.
        pub space: u16,
        /// How many.
        pub size: u16,
        /// The foreign domain for that space, else 0.
        pub extra: u16,
        /// Handle of 64-bit indices.
        pub indices: u64,
        /// Handle of 64-bit frame numbers.
        pub frames: u64,
        /// Handle of 32-bit answers.
        pub errors: u64,
    }

    /// xen_remove_from_physmap.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct RemoveFromPhysmap {
        /// Whose map.
        pub domain: u16,
        /// Which frame.
        pub frame: u64,
    }

    /// xen_memory_exchange.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct Exchange {
        /// What is given.
        pub given: Reservation,
        /// What is taken.
        pub taken: Reservation,
        /// How many were exchanged.
        pub exchanged: u64,
    }

    /// xen_mem_acquire_resource.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct AcquireResource {
        /// Whose.
        pub domain: u16,
        /// The kind.
        pub kind: u16,
        /// Which of the kind.
        pub id: u32,
        /// How many frames.
        pub count: u32,
        /// Zero.
        pub pad: u32,
        /// The first.
        pub frame: u64,
        /// Handle of frame numbers.
        pub frames: u64,
    }

    /// Maps a page of a space into the caller's own physical map.
    pub fn add_to_physmap(space: u32, index: u64, frame: u64) -> i64 {
        let mut request = AddToPhysmap { domain: super::DOMID_SELF, size: 0, space, index, frame };
        super::op(super::MEMORY_OP, ADD_TO_PHYSMAP, &mut request)
    }

    /// Takes a frame out of the caller's own physical map.
    pub fn remove_from_physmap(frame: u64) -> i64 {
        let mut request = RemoveFromPhysmap { domain: super::DOMID_SELF, frame };
        super::op(super::MEMORY_OP, REMOVE_FROM_PHYSMAP, &mut request)
    }

    /// populate_physmap or decrease_reservation of the caller's own memory.
    pub fn reserve(command: u64, extents: &mut [u64], order: u32) -> i64 {
        let mut request = Reservation {
            extents: extents.as_mut_ptr() as u64,
            count: extents.len() as u64,
            order,
            flags: 0,
            domain: super::DOMID_SELF,
        };
        super::op(super::MEMORY_OP, command, &mut request)
    }
}

/// Event channels.
pub mod event {
    use core::sync::atomic::{AtomicU32, AtomicU64};

    /// EVTCHNOP_bind_interdomain.
    pub const BIND_INTERDOMAIN: u64 = 0;
    /// EVTCHNOP_bind_virq.
    pub const BIND_VIRQ: u64 = 1;
    /// EVTCHNOP_bind_pirq.
    pub const BIND_PIRQ: u64 = 2;
    /// EVTCHNOP_close.
    pub const CLOSE: u64 = 3;
    /// EVTCHNOP_send.
    pub const SEND: u64 = 4;
    /// EVTCHNOP_status.
    pub const STATUS: u64 = 5;
    /// EVTCHNOP_alloc_unbound.
    pub const ALLOC_UNBOUND: u64 = 6;
    /// EVTCHNOP_bind_ipi.
    pub const BIND_IPI: u64 = 7;
    /// EVTCHNOP_bind_vcpu.
    pub const BIND_VCPU: u64 = 8;
    /// EVTCHNOP_unmask.
    pub const UNMASK: u64 = 9;
    /// EVTCHNOP_reset.
    pub const RESET: u64 = 10;
    /// EVTCHNOP_init_control.
    pub const INIT_CONTROL: u64 = 11;
    /// EVTCHNOP_expand_array.
    pub const EXPAND_ARRAY: u64 = 12;
    /// EVTCHNOP_set_priority.
    pub const SET_PRIORITY: u64 = 13;

    /// The event word's bit: pending.
    pub const PENDING: u32 = 1 << 31;
    /// The event word's bit: masked.
    pub const MASKED: u32 = 1 << 30;
    /// The event word's bit: in a queue.
    pub const LINKED: u32 = 1 << 29;
    /// The event word's link to the next port.
    pub const LINK: u32 = (1 << 17) - 1;

    /// shared_info: pending bits.
    pub const SHARED_PENDING: usize = 48;
    /// shared_info: mask bits.
    pub const SHARED_MASK: usize = SHARED_PENDING + 512;
    /// shared_info: version of the wall clock, its seconds, nanoseconds and the seconds' upper half.
    pub const SHARED_WALL_CLOCK: usize = SHARED_MASK + 512;

    /// The word of memory at an address that Xen shares.
    #[must_use]
    pub fn word64(address: usize) -> &'static AtomicU64 {
        // SAFETY: the callers name aligned words of pages that live as long as the guest.
        unsafe { AtomicU64::from_ptr(address as *mut u64) }
    }

    /// As [`word64`], 32 bits.
    #[must_use]
    pub fn word32(address: usize) -> &'static AtomicU32 {
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(address as *mut u32) }
    }

    /// evtchn_status.
    #[derive(Clone, Copy, Debug, Default)]
    #[repr(C)]
    pub struct Status {
        /// Whose.
        pub domain: u16,
        /// Which.
        pub port: u32,
        /// EVTCHNSTAT_.
        pub status: u32,
        /// Which vCPU it notifies.
        pub vcpu: u32,
        /// The union's first word.
        pub one: u32,
        /// The union's second word.
        pub two: u32,
    }

    /// Two words, for all operations with no more than that, whatever their names are.
    pub type Words = [u32; 4];

    fn with(command: u64, words: &mut Words) -> i64 {
        super::op(super::EVENT_CHANNEL_OP, command, words)
    }

    /// The answer of a call that gives a port: the port, or the error.
    fn port(answer: i64, port: u32) -> Result<u32, i64> {
        if answer == 0 { Ok(port) } else { Err(answer) }
    }

    /// alloc_unbound.
    pub fn alloc_unbound(domain: u16, remote: u16) -> Result<u32, i64> {
        let mut words = [u32::from(domain) | u32::from(remote) << 16, 0, 0, 0];
        let answer = with(ALLOC_UNBOUND, &mut words);
        port(answer, words[1])
    }

    /// bind_interdomain.
    pub fn bind_interdomain(remote: u16, remote_port: u32) -> Result<u32, i64> {
        let mut words = [u32::from(remote), remote_port, 0, 0];
        let answer = with(BIND_INTERDOMAIN, &mut words);
        port(answer, words[2])
    }

    /// bind_virq.
    pub fn bind_virq(virq: u32, vcpu: u32) -> Result<u32, i64> {
        let mut words = [virq, vcpu, 0, 0];
        let answer = with(BIND_VIRQ, &mut words);
        port(answer, words[2])
    }

    /// bind_ipi.
    pub fn bind_ipi(vcpu: u32) -> Result<u32, i64> {
        let mut words = [vcpu, 0, 0, 0];
        let answer = with(BIND_IPI, &mut words);
        port(answer, words[1])
    }

    /// An operation that takes a port alone.
    pub fn on(command: u64, port: u32) -> i64 {
        with(command, &mut [port, 0, 0, 0])
    }

    /// send.
    pub fn send(port: u32) -> i64 {
        on(SEND, port)
    }

    /// close.
    pub fn close(port: u32) -> i64 {
        on(CLOSE, port)
    }

    /// unmask.
    pub fn unmask(port: u32) -> i64 {
        on(UNMASK, port)
    }

    /// bind_vcpu.
    pub fn bind_vcpu(port: u32, vcpu: u32) -> i64 {
        with(BIND_VCPU, &mut [port, vcpu, 0, 0])
    }

    /// set_priority.
    pub fn set_priority(port: u32, priority: u32) -> i64 {
        with(SET_PRIORITY, &mut [port, priority, 0, 0])
    }

    /// reset.
    pub fn reset(domain: u16) -> i64 {
        with(RESET, &mut [u32::from(domain), 0, 0, 0])
    }

    /// status.
    pub fn status(domain: u16, port: u32) -> Result<Status, i64> {
        let mut status = Status { domain, port, ..Status::default() };
        let answer = super::op(super::EVENT_CHANNEL_OP, STATUS, &mut status);
        if answer == 0 { Ok(status) } else { Err(answer) }
    }

    /// init_control; the number of link bits.
    pub fn init_control(frame: u64, offset: u32, vcpu: u32) -> Result<u8, i64> {
        let mut request = [frame, u64::from(offset) | u64::from(vcpu) << 32, 0];
        let answer = super::op(super::EVENT_CHANNEL_OP, INIT_CONTROL, &mut request);
        if answer == 0 { Ok(request[2] as u8) } else { Err(answer) }
    }

    /// expand_array.
    pub fn expand_array(frame: u64) -> i64 {
        let mut frame = frame;
        super::op(super::EVENT_CHANNEL_OP, EXPAND_ARRAY, &mut frame)
    }
}

/// Grant tables, version 1.
pub mod grant {
    /// GNTTABOP_map_grant_ref.
    pub const MAP: u64 = 0;
    /// GNTTABOP_unmap_grant_ref.
    pub const UNMAP: u64 = 1;
    /// GNTTABOP_setup_table.
    pub const SETUP_TABLE: u64 = 2;
    /// GNTTABOP_transfer.
    pub const TRANSFER: u64 = 4;
    /// GNTTABOP_copy.
    pub const COPY: u64 = 5;
    /// GNTTABOP_query_size.
    pub const QUERY_SIZE: u64 = 6;
    /// GNTTABOP_unmap_and_replace.
    pub const UNMAP_AND_REPLACE: u64 = 7;
    /// GNTTABOP_set_version.
    pub const SET_VERSION: u64 = 8;
    /// GNTTABOP_get_status_frames.
    pub const GET_STATUS_FRAMES: u64 = 9;
    /// GNTTABOP_get_version.
    pub const GET_VERSION: u64 = 10;
    /// GNTTABOP_swap_grant_ref.
    pub const SWAP_GRANT_REF: u64 = 11;
    /// GNTTABOP_cache_flush.
    pub const CACHE_FLUSH: u64 = 12;

    /// GTF_permit_access.
    pub const PERMIT_ACCESS: u16 = 1;
    /// GTF_accept_transfer.
    pub const ACCEPT_TRANSFER: u16 = 2;
    /// GTF_transitive.
    pub const TRANSITIVE: u16 = 3;
    /// GTF_readonly.
    pub const READ_ONLY: u16 = 4;
    /// GTF_reading.
    pub const READING: u16 = 8;
    /// GTF_writing.
    pub const WRITING: u16 = 16;
    /// GTF_sub_page.
    pub const SUB_PAGE: u16 = 256;

    /// GNTMAP_device_map.
    pub const DEVICE_MAP: u32 = 1;
    /// GNTMAP_host_map.
    pub const HOST_MAP: u32 = 2;
    /// GNTMAP_readonly.
    pub const MAP_READ_ONLY: u32 = 4;

    /// GNTCOPY_source_gref.
    pub const SOURCE_REFERENCE: u16 = 1;
    /// GNTCOPY_dest_gref.
    pub const TARGET_REFERENCE: u16 = 2;

    /// A status that no call leaves behind.
    pub const UNTOUCHED: i16 = 0x5a5a;

    /// gnttab_map_grant_ref.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct Map {
        /// Where to, in bytes.
        pub address: u64,
        /// GNTMAP_ flags.
        pub flags: u32,
        /// The reference.
        pub reference: u32,
        /// Who granted.
        pub domain: u16,
        /// GNTST_.
        pub status: i16,
        /// What to unmap it with.
        pub handle: u32,
        /// The address for devices.
        pub device_address: u64,
    }

    /// gnttab_unmap_grant_ref.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct Unmap {
        /// Where it is mapped.
        pub address: u64,
        /// The address for devices.
        pub device_address: u64,
        /// The handle.
        pub handle: u32,
        /// GNTST_.
        pub status: i16,
    }

    /// One side of a copy.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct Side {
        /// A reference, or a frame.
        pub what: u64,
        /// Whose.
        pub domain: u16,
        /// From which byte on.
        pub offset: u16,
    }

    /// gnttab_copy.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct Copy {
        /// Where from.
        pub source: Side,
        /// Where to.
        pub target: Side,
        /// Bytes.
        pub length: u16,
        /// GNTCOPY_ flags.
        pub flags: u16,
        /// GNTST_.
        pub status: i16,
    }

    /// gnttab_query_size.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct QuerySize {
        /// Whose.
        pub domain: u16,
        /// Frames that there are.
        pub frames: u32,
        /// The most that there can be.
        pub most: u32,
        /// GNTST_.
        pub status: i16,
    }

    /// gnttab_setup_table.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct SetupTable {
        /// Whose.
        pub domain: u16,
        /// Frames that there should be.
        pub frames: u32,
        /// GNTST_.
        pub status: i16,
        /// Handle of frame numbers.
        pub list: u64,
    }

    /// gnttab_cache_flush.
    #[derive(Clone, Copy, Debug)]
    #[repr(C)]
    pub struct CacheFlush {
        /// An address, or a reference.
        pub what: u64,
        /// From which byte on.
        pub offset: u16,
        /// Bytes.
        pub length: u16,
        /// GNTTAB_CACHE_ flags.
        pub operation: u32,
    }

    /// Makes the operation on an array of structures.
    pub fn ask<T>(command: u64, requests: &mut [T]) -> i64 {
        let (address, count) = (requests.as_mut_ptr() as u64, requests.len() as u64);
        super::call(super::GRANT_TABLE_OP, [command, address, count, 0, 0])
    }
}
