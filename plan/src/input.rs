//! What a reading starts from: the tree, where it and the hypervisor lie, a way to look into modules, and
//! what only the running hypervisor knows.

use core::fmt;

use crate::shape::Range;

/// Everything that [`crate::read`] looks at.
pub struct Input<'a> {
    /// The host's flattened device tree.
    pub tree: &'a [u8],
    /// Host-physical place of that blob.
    pub tree_at: Range,
    /// Host-physical place of the hypervisor's image, with what it zeroes for itself.
    pub image: Range,
    /// A way to look into modules.
    pub modules: &'a dyn Modules,
    /// What the tree does not say.
    pub facts: Facts,
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Input")
            .field("tree_at", &self.tree_at)
            .field("image", &self.image)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

/// A way to look into modules, which are foreign bytes in host RAM.
pub trait Modules {
    /// Copies `into.len()` bytes from the host-physical address `at`; false if they cannot be had, as on the
    /// desk. Only bytes of modules that lie wholly in RAM are asked for.
    fn read(&self, at: u64, into: &mut [u8]) -> bool;

    /// The device register of 32 bits at the host-physical address `at`, for what a tree leaves to the device
    /// (the interrupts of a GICv2m frame); `None` if it cannot be had, as on the desk.
    fn register(&self, at: u64) -> Option<u32> {
        let _ = at;
        None
    }
}

/// What only the running hypervisor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// MPIDR_EL1 of the processor that boots.
    pub boot_mpidr: u64,
    /// Bits of a physical address: `ID_AA64MMFR0_EL1.PARange`, decoded.
    pub physical_bits: u8,
    /// Shared peripheral interrupts of the host's interrupt controller; what a domain gets without `nr_spis`.
    pub spis: u32,
    /// What the hypervisor's own objects cost.
    pub sizes: Sizes,
}

/// What the hypervisor's own objects cost, in bytes where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Once, whatever the plan says.
    pub fixed: u64,
    /// For each physical processor.
    pub processor: u64,
    /// For each of them but the first, which has its stack in the image.
    pub stack: u64,
    /// For each vCPU on each of them.
    pub seat: u64,
    /// For each domain, beside its stage 2 tables and its device tree.
    pub domain: u64,
    /// For each vCPU.
    pub vcpu: u64,
    /// For each shared peripheral interrupt of a domain.
    pub spi: u64,
    /// For each domain with PV interfaces, beside `domain`.
    pub pv_domain: u64,
    /// For dom0, beside that.
    pub control_domain: u64,
    /// For each 2 MiB of the host's RAM.
    pub block: u64,
    /// For each stretch of RAM that lies together and is not the hypervisor's.
    pub stretch: u64,
    /// Not bytes but frames: how many pages each domain with PV interfaces may share with the hypervisor (its
    /// shared information page, its grant table and its status frames).
    pub shared_pages: u64,
    /// Bytes at the end of the image that nobody needs once the domains exist: the plan was made there.
    pub planning: u64,
    /// How much memory there is for the plan itself; a plan that would need more is refused. See the crate's
    /// documentation for how it is counted.
    pub boot_heap: u64,
}

impl Sizes {
    /// The sizes of the image as it is built: the desk and the board plan by the same figures. The image
    /// does not build where its objects have outgrown them.
    pub const BUILT: Self = Self {
        fixed: 43 << 10,
        processor: 2 << 10,
        stack: 20 << 10,
        seat: 24,
        domain: 10 << 10,
        vcpu: 4 << 10,
        spi: 12,
        pv_domain: 350 << 10,
        control_domain: 485 << 10,
        block: 2180,
        stretch: 2 << 10,
        shared_pages: 66,
        planning: 1152 << 10,
        boot_heap: 540 << 10,
    };

    /// No size here is larger than the one there.
    #[must_use]
    pub const fn fit(&self, there: &Self) -> bool {
        self.fixed <= there.fixed
            && self.processor <= there.processor
            && self.stack <= there.stack
            && self.seat <= there.seat
            && self.domain <= there.domain
            && self.vcpu <= there.vcpu
            && self.spi <= there.spi
            && self.pv_domain <= there.pv_domain
            && self.control_domain <= there.control_domain
            && self.block <= there.block
            && self.stretch <= there.stretch
            && self.shared_pages <= there.shared_pages
            && self.planning <= there.planning
            && self.boot_heap <= there.boot_heap
    }
}
