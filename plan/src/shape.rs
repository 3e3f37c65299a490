//! What a plan says: the shapes that the rest of the house reads.
//!
//! Everything here is an answer, never a question: references are indexes, addresses are chosen,
//! sizes are final. `plan::read` is the only maker of these values; `machine` takes the hardware that
//! they name and `hypervisor` constructs the domains that they describe.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A range of host-physical addresses in bytes; never empty, never wraps.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// First byte.
    pub base: u64,
    /// Length in bytes, at least 1.
    pub size: u64,
}

/// All that boot will do, decided before anything is touched.
#[derive(Clone, Debug, Hash)]
pub struct Plan {
    /// What the board has.
    pub board: Board,
    /// What the hypervisor's command line asked for.
    pub options: Options,
    /// Memory that the hypervisor keeps for itself, beside its image: one range, 2 MiB aligned, or 64 KiB with
    /// `static_heap`.
    pub heap: Range,
    /// `xen,static-heap`: only in these ranges lies what has no place of its owner's choice. Empty: in all of RAM.
    pub static_heap: Vec<Range>,
    /// The end of the image, in whole frames, if it becomes free when the domains are constructed. With `static_heap` it
    /// stays the hypervisor's.
    pub planning: Option<Range>,
    /// The domains: dom0 first, if there is one, then the others in device-tree order. `Domain::id` is the index
    /// if the first is dom0, else the index plus 1.
    pub domains: Vec<Domain>,
    /// Pools of processors, by id; there is at least one, and the first has the boot processor.
    pub pools: Vec<Pool>,
    /// Event channels that are there before any guest runs.
    pub channels: Vec<Channel>,
    /// Memory that domains share (`xen,domain-shared-memory-v1`).
    pub shared: Vec<SharedRegion>,
    /// What is legal but surely not meant (an unknown option, for example).
    pub warnings: Vec<Warning>,
    /// How the hypervisor's memory is spent, line by line.
    pub budget: Vec<BudgetLine>,
    /// Host RAM that nobody owns: neither reserved, nor the hypervisor's, nor a domain's, nor needed for
    /// construction (`boot_only`). Sorted.
    pub free: Vec<Range>,
    /// RAM that holds modules and the host's device tree, in whole frames: needed until the domains are
    /// constructed. Then modules are free, or nobody's with `static_heap`; the tree stays as it is. Sorted.
    pub boot_only: Vec<Range>,
    /// RAM outside of `static_heap` that is nobody's. Sorted.
    pub idle: Vec<Range>,
    /// Bits of a guest address: 32 to 40. With 40, stage 2 starts with two concatenated level 1 tables.
    pub ipa_bits: u8,
}

/// The hardware that the hypervisor drives, as the host device tree describes it.
#[derive(Clone, Debug, Hash)]
pub struct Board {
    /// RAM banks, sorted, merged, in whole 4 KiB frames.
    pub memory: Vec<Range>,
    /// Ranges of RAM that belong to firmware or devices (`/memreserve/`, `/reserved-memory`). Sorted.
    pub reserved: Vec<Range>,
    /// The processors, boot processor first, then in device-tree order, after `maxcpus=`.
    pub cpus: Vec<Processor>,
    /// `compatible` of the first cpu node, NUL-separated as in the tree; guests get a copy.
    pub cpu_compatible: Vec<u8>,
    /// `clock-frequency` of the first cpu node, if it has one; guests get a copy.
    pub cpu_frequency: Option<u32>,
    /// `clock-frequency` of the timer node, if it has one.
    pub timer_frequency: Option<u32>,
    /// The interrupt controller.
    pub gic: GicRegions,
    /// INTID of the virtual timer's private interrupt (27 on nearly every board).
    pub virtual_timer: u32,
    /// INTID of the hypervisor's own timer's private interrupt (26).
    pub hypervisor_timer: u32,
    /// INTIDs of the secure and the non-secure physical timer's private interrupts (29 and 30); dom0 sees its own
    /// timers at the host's numbers.
    pub physical_timers: [u32; 2],
    /// The console.
    pub uart: Option<Pl011>,
    /// Firmware calls PSCI by SMC. False: there is no PSCI node, so one processor only, no power-off.
    pub psci: bool,
}

/// One physical processor.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Processor {
    /// Affinity bits of MPIDR_EL1, as `reg` of the cpu node gives them.
    pub mpidr: u64,
}

/// The host's interrupt controller, by architecture version.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub enum GicRegions {
    /// GICv2 with virtualization extensions: `reg` entries 0 to 3.
    V2 {
        /// Distributor.
        distributor: Range,
        /// Physical CPU interface, for the hypervisor.
        cpu_interface: Range,
        /// Virtual interface control (list registers).
        control: Range,
        /// Virtual CPU interface, mapped into guests.
        virtual_interface: Range,
        /// Maintenance interrupt's INTID (25).
        maintenance: u32,
    },
    /// GICv3: distributor and redistributor regions.
    V3 {
        /// Distributor.
        distributor: Range,
        /// Redistributor regions, in tree order.
        redistributors: Vec<Range>,
        /// `redistributor-stride`, or 0 where the tree gives none.
        stride: u64,
        /// Maintenance interrupt's INTID (25).
        maintenance: u32,
    },
}

/// An Arm PL011 UART.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Pl011 {
    /// Its registers.
    pub registers: Range,
    /// INTID of its interrupt, if the node has one.
    pub interrupt: Option<u32>,
}

/// The hypervisor's command line, parsed. Names are those of Xen 4.17.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Options {
    /// All its words, as they stand in the tree.
    pub words: String,
    /// `noreboot`: after a fatal error or the last domain's end the machine stays as it is.
    pub noreboot: bool,
    /// `sched=`: the scheduler of every pool whose node names no other.
    pub scheduler: Scheduler,
    /// `hmp-unsafe`: processors that are not like the boot processor are used, too.
    pub hmp_unsafe: bool,
    /// `maxcpus=`: at most so many processors; already applied to `Board::cpus`.
    pub max_cpus: Option<u32>,
    /// `console_timestamps`: hypervisor lines carry the time since boot.
    pub console_timestamps: bool,
    /// `loglvl=` as the lowest level printed: 0 error, 1 warning, 2 info, 3 debug. Default 2.
    pub log_level: u8,
    /// `guest_loglvl=` likewise, for lines that a guest causes. Default 1.
    pub guest_log_level: u8,
    /// `conswitch=<char>`: the control character that moves the input focus when typed three times,
    /// as its byte (Ctrl-A is 1). `None` where it was switched off with `conswitch=` a backquote.
    pub console_switch: Option<u8>,
    /// `vwfi=native`: WFI and WFE are not trapped.
    pub native_wfi: bool,
    /// `ext_regions=`: domains with PV interfaces are told which guest addresses they may fill with other
    /// domains' pages. Default on.
    pub ext_regions: bool,
    /// `xsm=`: who may talk to whom.
    pub xsm: Xsm,
    /// `dom0_mem=`: dom0's memory in bytes, within its bounds.
    pub dom0_memory: Option<u64>,
    /// `dom0_max_vcpus=`: the fewest and the most vCPUs of dom0.
    pub dom0_vcpus: Option<(u16, u16)>,
}

/// How domains are kept apart (Xen's security modules).
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Xsm {
    /// `silo`, the default: a domain shares memory and events with dom0 and the hypervisor only.
    Silo,
    /// `dummy`: domains may also share with one another.
    Dummy,
}

/// How vCPUs share processors.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Scheduler {
    /// `credit2` (also `credit`, the default): preemptive and fair by weight.
    Fair,
    /// `null`: every vCPU has a processor of its own.
    Null,
}

impl Scheduler {
    /// The scheduler of this name, if there is one.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name {
            "credit" | "credit2" => Some(Scheduler::Fair),
            "null" => Some(Scheduler::Null),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scheduler::Fair => "credit2",
            Scheduler::Null => "null",
        }
    }
}

/// Processors with a scheduler of their own: a vCPU never leaves the pool of its domain.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Pool {
    /// Path of its `xen,cpupool` node; empty for the pool of all processors that no node names.
    pub path: String,
    /// Who runs where in it.
    pub scheduler: Scheduler,
    /// Its processors, as indexes in `Board::cpus`, ascending; at least one.
    pub cpus: Vec<usize>,
}

impl Pool {
    /// The numbers of its processors, for a reader: `0-2,5`.
    #[must_use]
    pub fn numbers(&self) -> Numbers<'_> {
        Numbers(&self.cpus)
    }
}

/// Ascending numbers, which are written without need of memory.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'n>(&'n [usize]);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if(|next| last.checked_add(1) == Some(*next)) {
                last = next;
            }
            write!(out, "{comma}{first}")?;
            if last != first {
                write!(out, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

/// How much processor time a domain gets beside others (Xen's credit2).
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Share {
    /// Each of its vCPUs gets time in proportion to this, where several wait for one processor.
    pub weight: u16,
    /// The most that all of its vCPUs together get, in percent of one processor; 0 for no limit.
    pub cap: u16,
}

impl Default for Share {
    fn default() -> Self {
        Share { weight: 256, cap: 0 }
    }
}

/// One guest, down to the last address.
#[derive(Clone, Debug, Hash)]
pub struct Domain {
    /// Domain id: 0 for dom0, from 1 on for the others.
    pub id: u16,
    /// Path of its node, `/chosen/domU1`; dom0's is `/chosen`.
    pub path: String,
    /// Number of vCPUs, 1 to 128.
    pub vcpus: u16,
    /// `vpl011` is there.
    pub vpl011: bool,
    /// `direct-map` is there: every bank has `guest == host`.
    pub direct_map: bool,
    /// Its RAM is memory of the host that its owner has chosen (`xen,static-mem`), and so nobody else's, ever.
    pub is_static: bool,
    /// Number of shared peripheral interrupts of its interrupt controller: a multiple of 32, at most 960.
    pub spis: u16,
    /// RAM, in guest order. Several entries may follow one another in guest space (a guest bank made of
    /// several host ranges).
    pub memory: Vec<GuestMemory>,
    /// What it sees of [`Plan::shared`], in guest order.
    pub shared: Vec<SharedView>,
    /// Where the guest sees its interrupt controller and UART.
    pub layout: Layout,
    /// The kernel image and where it goes.
    pub kernel: Kernel,
    /// The initial ramdisk and where it goes.
    pub ramdisk: Option<Placed>,
    /// Guest address of the device tree.
    pub tree_at: u64,
    /// The device tree, complete.
    pub tree: Vec<u8>,
    /// Number of 4 KiB stage 2 table frames that the map of this domain needs, root included; with PV interfaces
    /// also those that changes at run time may need.
    pub table_frames: u32,
    /// Interrupts (INTIDs) of its virtual and its physical non-secure timer as the guest knows them.
    pub timers: [u32; 2],
    /// `xen,enhanced`: it has event channels, grants and the other PV interfaces.
    pub pv: Option<Pv>,
    /// The host's devices that it drives: dom0 has those that are kept for nobody else, another domain those of its
    /// partial device tree, if it has one.
    pub hardware: Option<Hardware>,
    /// Its pool, as an index in `Plan::pools`; dom0's is the first.
    pub pool: usize,
    /// Its share of that pool's time.
    pub share: Share,
}

/// Devices of the host that a domain drives itself.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Hardware {
    /// What the domain sees of them, in guest order: whole frames, none of which is the hypervisor's or another domain's.
    /// Dom0's have the host's addresses and are merged. Beside registers there is RAM that `/reserved-memory` keeps for
    /// devices, so for dom0 stage 2 must let the guest choose the memory's type, as Xen does.
    pub mmio: Vec<GuestMemory>,
    /// Shared interrupts that the domain receives under the same number. Sorted.
    pub interrupts: Vec<DeviceInterrupt>,
}

/// A shared interrupt of a device.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceInterrupt {
    /// Its INTID, 32 and more.
    pub intid: u32,
    /// It is signalled by an edge and not by a level.
    pub edge: bool,
}

impl DeviceInterrupt {
    /// The shared interrupt of this number, with the flags of its specifier.
    pub(crate) fn shared(number: u32, flags: u32) -> Self {
        Self { intid: number.saturating_add(32), edge: flags & 0xf != 0 && flags & 0xc == 0 }
    }
}

/// What a domain with PV interfaces has beside memory and processors.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Pv {
    /// It talks to xenstore.
    pub xenstore: bool,
    /// Guest addresses where it may put its grant table; nothing is mapped there at boot.
    pub grant_window: Range,
    /// Guest addresses that it may fill with other domains' pages: nothing is mapped there at boot. At least
    /// 64 MiB each, 2 MiB aligned, sorted.
    pub extended: Vec<Range>,
    /// The private interrupt (an INTID) that says that an event has come.
    pub event_interrupt: u32,
    /// Host frames for the pages that the hypervisor and the guest share: `Sizes::shared_pages` of them.
    pub pages: Range,
}

/// Memory that several domains see from their first instruction on. It is never anybody else's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SharedRegion {
    /// `xen,shm-id`: its name for the owner, and for guests in their trees.
    pub id: String,
    /// Where it lies.
    pub host: Range,
    /// The domain whose RAM it counts as, as its index in `Plan::domains`; `None` for memory of no domain's.
    pub owner: Option<usize>,
}

/// A domain's view of a [`SharedRegion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedView {
    /// Which one, as its index in `Plan::shared`.
    pub region: usize,
    /// Where the domain sees it.
    pub memory: GuestMemory,
    /// The domain is its owner.
    pub is_owner: bool,
}

/// A static event channel (`xen,evtchn-v1`): two ports that are bound to each other.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Channel {
    /// Its ends, in the order of the tree; both may be of one domain, but are never the same port.
    pub ends: [ChannelEnd; 2],
}

/// One end of a static event channel.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct ChannelEnd {
    /// The domain, as its index in `Plan::domains`; it has PV interfaces.
    pub domain: usize,
    /// Its port: from 1 to `MOST_DOMAIN_PORTS`, or `MOST_DOM0_PORTS` for dom0; no other end has it.
    pub port: u32,
}

/// A piece of guest RAM.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct GuestMemory {
    /// Guest address (IPA) of its first byte, 4 KiB aligned.
    pub guest: u64,
    /// Host address, 4 KiB aligned; congruent to `guest` modulo 2 MiB (or 1 GiB) wherever possible.
    pub host: u64,
    /// Bytes, a multiple of 4 KiB.
    pub size: u64,
}

/// Guest addresses of the virtual devices (`public/arch-arm.h`, or the host's for a direct map).
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Layout {
    /// GICD.
    pub distributor: u64,
    /// GICC (GICv2, 0x2000 bytes) or the GICR region (GICv3, 0x2_0000 for each vCPU).
    pub cpu_interface: u64,
    /// Bytes of that region as the guest's tree states them.
    pub cpu_interface_size: u64,
    /// The SBSA UART's page.
    pub uart: u64,
    /// The UART's interrupt (an INTID, 32 and more).
    pub uart_interrupt: u32,
}

/// A module's bytes and their place in the guest.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Placed {
    /// Where boot finds them, host-physical.
    pub module: Range,
    /// Guest address.
    pub guest: u64,
    /// Bytes that they take there.
    pub size: u64,
}

/// A kernel's place, and how to unpack it.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Kernel {
    /// Source and destination; `size` is the unpacked size.
    pub placed: Placed,
    /// The module is gzip'd.
    pub gzip: bool,
    /// Guest address of the first instruction.
    pub entry: u64,
}

/// A remark that does not stop boot.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Warning {
    /// Path of the node; empty where the tree as a whole is meant.
    pub node: String,
    /// The property, as far as one can be named.
    pub property: String,
    /// One line, without a full stop.
    pub text: String,
}

/// One line of the hypervisor's memory budget.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct BudgetLine {
    /// What it is for, for example `stage 2 tables of domain 1`.
    pub what: String,
    /// Bytes.
    pub bytes: u64,
}
