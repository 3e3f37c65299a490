//! Xen's paravirtual interface as a guest on Arm uses it: hypercalls by HVC, and the structures that they take.
//!
//! The layouts are those of Xen's public headers (`xen/xen.h`, `event_channel.h`, `memory.h`, `grant_table.h`, `vcpu.h`,
//! `sched.h`). A structure that a hypercall reads or writes is given by its virtual address; frames are numbers of
//! 4 KiB pages of guest-physical memory.
#![expect(
    unsafe_code,
    reason = "hypercalls are an instruction, and pages that Xen shares are reached by address"
)]

pub mod event;
pub mod grant;
pub mod memory;

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
