//! What the hypervisor's objects cost: the plan reckons the heap by these sizes, and the image does not build where
//! its objects have outgrown what the plan has of them.

use machine::contract::Construction;
use machine::frames::FrameTable;
use model::arm64::gic::Gic;
use plan::Sizes;

use crate::console::{Console, DomainConsole};
use crate::construct::INTERRUPTS;
use crate::domain::Domain;
use crate::event::{CONTROL_PORTS, DOMAIN_PORTS, Events};
use crate::grant::{CONTROL_MAPPINGS, DOMAIN_MAPPINGS, GrantTable};
use crate::heap::IndexedHeap;
use crate::hypervisor::{Hypervisor, Processor};
use crate::pool::Pool;
use crate::vcpu::Vcpu;

/// What the hypervisor's objects cost, which the plan's budget must cover (`plan::Sizes::BUILT`).
#[expect(clippy::as_conversions, clippy::arithmetic_side_effects, reason = "evaluated while compiling")]
pub const fn sizes<M: Construction>() -> Sizes {
    // Rounding, and what the allocator cannot use, beside each object.
    const SLACK: usize = 1024;
    // With what the alignment of a page may cost.
    const STACK: usize = 20 << 10;
    const WORDS: usize = plan::LONGEST_COMMAND_LINE_BYTES;
    const DEVICES: usize = size_of::<Option<u16>>() * INTERRUPTS;
    // A concatenated root may need one table more to be aligned.
    const SPARE_TABLE: usize = 4096;
    const PV: usize = GrantTable::bytes(DOMAIN_MAPPINGS) + Events::bytes(0, DOMAIN_PORTS);
    const CONTROL: usize = GrantTable::bytes(CONTROL_MAPPINGS) + Events::bytes(0, CONTROL_PORTS);
    Sizes {
        fixed: (size_of::<Hypervisor<M>>() + WORDS + Console::BYTES + DEVICES + SLACK) as u64,
        processor: (size_of::<Processor>() + Pool::BYTES_PER_PROCESSOR + SLACK) as u64,
        stack: STACK as u64,
        // Its deadline, and who of the domain ran there last.
        seat: (IndexedHeap::BYTES_PER_MEMBER + size_of::<u64>()) as u64,
        domain: (size_of::<Domain<M>>() + size_of::<DomainConsole>() + 3 * SLACK + SPARE_TABLE) as u64,
        vcpu: (size_of::<Vcpu>() + Gic::BYTES_PER_VCPU + Pool::BYTES_PER_VCPU + Events::bytes(1, 0) + SLACK)
            as u64,
        spi: Gic::BYTES_PER_SPI as u64,
        pv_domain: (PV + SLACK) as u64,
        control_domain: (CONTROL - PV) as u64,
        block: FrameTable::BYTES_PER_BLOCK as u64,
        stretch: FrameTable::BYTES_PER_RANGE as u64,
        shared_pages: Sizes::BUILT.shared_pages,
        planning: 0,
        boot_heap: 0,
    }
}
