//! A board, its boot, and the hands that drive its processors.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use hypervisor::construct::construct;
use hypervisor::cpu::Local;
use hypervisor::domain::Domain;
use hypervisor::hypervisor::Hypervisor;
use hypervisor::sizes::sizes;
use machine::sim::{Ended, Memory, Sim, on_processor};
use model::arm64::gic::Version;
use plan::fdt::Writer;
use plan::gzip::Inflater;
use plan::{Facts, Input, Plan, Range};

pub(crate) const MIB: u64 = 1 << 20;
const RAM: Range = Range { base: 0x4000_0000, size: 512 * MIB };
const IMAGE: Range = Range { base: RAM.base + 2 * MIB, size: 512 << 10 };
const TREE_AT: u64 = RAM.base + 64 * MIB;
pub(crate) const KERNEL: Range = Range { base: RAM.base + 128 * MIB, size: 0x5123 };
/// A partial tree, by which a domain gets the board's device.
const PARTIAL_AT: u64 = RAM.base + 140 * MIB;
/// The device's registers, and its interrupt.
pub(crate) const DEVICE: Range = Range { base: 0xa00_0000, size: 0x1000 };
pub(crate) const DEVICE_INTERRUPT: u32 = 92;
pub(crate) const RAMDISK: Range = Range { base: RAM.base + 136 * MIB, size: 0x2_0077 };
/// Phandles of the first processor and the first pool.
const CPU_PHANDLES: u32 = 0x700;
const POOL_PHANDLES: u32 = 0x800;
/// Ticks of a round, unless a test wants others: a tenth of a millisecond.
pub(crate) const ROUND: u64 = 100;
/// Turns of a processor in a round, at most.
const TURNS: usize = 256;

/// Where guests see things.
pub(crate) mod guest {
    pub(crate) const RAM: u64 = 0x4000_0000;
    /// Where dom0 has its 16 MiB, which is where they are.
    pub(crate) const DOM0_RAM: u64 = 0x4100_0000;
    pub(crate) const NOWHERE: u64 = 0x1000_0000;
    /// Where a domain sees the board's device.
    pub(crate) const DEVICE: u64 = 0x2000_0000;
    pub(crate) const UART: u64 = 0x2200_0000;
    pub(crate) const UART_INTERRUPT: u32 = 32;
    pub(crate) const DISTRIBUTOR: u64 = 0x300_1000;
    pub(crate) const REDISTRIBUTOR: u64 = 0x302_0000;
    pub(crate) const VIRTUAL_TIMER: u32 = 27;
    pub(crate) const PHYSICAL_TIMER: u32 = 30;
}

/// Numbers that look random, the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What a domain is to have.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) vcpus: u32,
    pub(crate) uart: bool,
    pub(crate) ramdisk: bool,
    pub(crate) memory: u64,
    /// It has PV interfaces.
    pub(crate) pv: bool,
    /// Ends of static event channels: port, own phandle, the peer's.
    pub(crate) ends: Vec<[u32; 3]>,
    /// Memory that it shares: name, role (if any), host address, guest address, size.
    pub(crate) shares: Vec<(&'static str, Option<&'static str>, [u64; 3])>,
    /// Its memory's place in the host.
    pub(crate) static_memory: Vec<Range>,
    /// MiB of its pool of stage 2 tables.
    pub(crate) pool_mib: Option<u32>,
    /// Its pool, as an index of the setup's; none: the first one.
    pub(crate) pool: Option<u32>,
    /// Weight and cap.
    pub(crate) share: [u32; 2],
    /// It drives the board's device.
    pub(crate) device: bool,
}

impl Wish {
    pub(crate) fn new(vcpus: u32) -> Self {
        let (ends, pool, share) = (Vec::new(), None, [256, 0]);
        Wish {
            vcpus,
            uart: true,
            ramdisk: false,
            memory: 8 * MIB,
            pv: false,
            ends,
            shares: Vec::new(),
            static_memory: Vec::new(),
            pool_mib: None,
            pool,
            share,
            device: false,
        }
    }
}

/// What a system is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) version: Version,
    pub(crate) cpus: u32,
    pub(crate) list_registers: usize,
    pub(crate) options: String,
    pub(crate) domains: Vec<Wish>,
    /// vCPUs of dom0, if there is one.
    pub(crate) control: Option<u32>,
    /// Processors and schedulers of pools.
    pub(crate) pools: Vec<(Vec<u32>, &'static str)>,
    pub(crate) seed: u64,
    /// The only memory for what has no place of its own.
    pub(crate) static_heap: Option<Range>,
}

impl Setup {
    /// A GICv3 board with so many processors and domains of so many vCPUs.
    pub(crate) fn new(cpus: u32, vcpus: &[u32]) -> Self {
        Setup {
            version: Version::V3,
            cpus,
            list_registers: 4,
            options: String::new(),
            domains: vcpus.iter().map(|vcpus| Wish::new(*vcpus)).collect(),
            control: None,
            pools: Vec::new(),
            seed: 1,
            static_heap: None,
        }
    }

    /// A pool of these processors, for the domains with these indexes.
    pub(crate) fn pool(mut self, cpus: &[u32], scheduler: &'static str, domains: &[usize]) -> Self {
        for domain in domains {
            self.domains[*domain].pool = Some(self.pools.len() as u32);
        }
        self.pools.push((cpus.to_vec(), scheduler));
        self
    }

    /// A domain's weight and cap.
    pub(crate) fn share(mut self, domain: usize, weight: u32, cap: u32) -> Self {
        self.domains[domain].share = [weight, cap];
        self
    }

    pub(crate) fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    pub(crate) fn options(mut self, options: &str) -> Self {
        self.options = options.into();
        self
    }

    pub(crate) fn list_registers(mut self, count: usize) -> Self {
        self.list_registers = count;
        self
    }

    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// All domains have PV interfaces.
    pub(crate) fn enhanced(mut self) -> Self {
        self.domains.iter_mut().for_each(|domain| domain.pv = true);
        self
    }

    /// There is a dom0 of so many vCPUs. Domains with PV interfaces then have xenstore, too.
    pub(crate) fn control(mut self, vcpus: u32) -> Self {
        self.control = Some(vcpus);
        self
    }

    /// A static event channel between two ports of domains (indexes).
    pub(crate) fn channel(mut self, one: (usize, u32), other: (usize, u32)) -> Self {
        let known: usize = self.domains.iter().map(|domain| domain.ends.len()).sum();
        let first = 0x100 + known as u32;
        self.domains[one.0].ends.push([one.1, first, first + 1]);
        self.domains[other.0].ends.push([other.1, first + 1, first]);
        self
    }

    fn tree(&self) -> Vec<u8> {
        let mut tree = Writer::new();
        tree.begin("");
        tree.property_u32("#address-cells", 2);
        tree.property_u32("#size-cells", 2);
        tree.property_u32("interrupt-parent", 1);
        tree.property_text("compatible", "xenite,sim");
        tree.begin("memory@40000000");
        tree.property_text("device_type", "memory");
        tree.property_u64s("reg", &[RAM.base, RAM.size]);
        tree.end();
        self.processors(&mut tree);
        self.devices(&mut tree);
        tree.begin("chosen");
        tree.property_text("stdout-path", "/pl011@9000000");
        let dom0 = self
            .control
            .map_or(String::new(), |vcpus| format!(" dom0_mem=16M dom0_max_vcpus={vcpus}-{vcpus}"));
        tree.property_text("xen,xen-bootargs", &format!("{}{dom0}", self.options));
        if self.control.is_some() {
            tree.property_u32("#address-cells", 2);
            tree.property_u32("#size-cells", 2);
            write_kernel(&mut tree);
        }
        if let Some(range) = self.static_heap {
            tree.property_u64s("xen,static-heap", &[range.base, range.size]);
        }
        for (number, (cpus, scheduler)) in self.pools.iter().enumerate() {
            tree.begin(&format!("pool{number}"));
            tree.property_text("compatible", "xen,cpupool");
            tree.property_u32("phandle", POOL_PHANDLES + number as u32);
            let phandles: Vec<u32> = cpus.iter().map(|cpu| CPU_PHANDLES + cpu).collect();
            tree.property_cells("cpupool-cpus", &phandles);
            tree.property_text("cpupool-sched", scheduler);
            tree.end();
        }
        for (number, domain) in self.domains.iter().enumerate() {
            write_domain(&mut tree, number, domain, self.control.is_some());
        }
        tree.end();
        tree.finish()
    }

    fn processors(&self, tree: &mut Writer) {
        tree.begin("cpus");
        tree.property_u32("#address-cells", 1);
        tree.property_u32("#size-cells", 0);
        for cpu in 0..self.cpus {
            tree.begin(&format!("cpu@{cpu}"));
            tree.property_text("device_type", "cpu");
            tree.property_text("compatible", "arm,cortex-a57");
            tree.property_text("enable-method", "psci");
            tree.property_u32("reg", cpu);
            tree.property_u32("phandle", CPU_PHANDLES + cpu);
            tree.end();
        }
        tree.end();
        tree.begin("psci");
        tree.property_texts("compatible", &["arm,psci-1.0", "arm,psci-0.2"]);
        tree.property_text("method", "smc");
        tree.end();
        tree.begin("timer");
        tree.property_text("compatible", "arm,armv8-timer");
        tree.property_cells("interrupts", &[1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]);
        tree.end();
    }

    fn devices(&self, tree: &mut Writer) {
        tree.begin("intc@8000000");
        tree.property_u32("phandle", 1);
        tree.property_u32("#interrupt-cells", 3);
        tree.property_empty("interrupt-controller");
        tree.property_cells("interrupts", &[1, 9, 4]);
        match self.version {
            Version::V3 => {
                tree.property_text("compatible", "arm,gic-v3");
                tree.property_u64s("reg", &[0x800_0000, 0x1_0000, 0x80a_0000, 0xf6_0000]);
            }
            Version::V2 => {
                tree.property_text("compatible", "arm,gic-400");
                let bases = [0x800_0000, 0x1000, 0x801_0000, 0x2000, 0x803_0000, 0x1000, 0x804_0000, 0x2000];
                tree.property_u64s("reg", &bases);
            }
        }
        tree.end();
        tree.begin("pl011@9000000");
        tree.property_texts("compatible", &["arm,pl011", "arm,primecell"]);
        tree.property_u64s("reg", &[0x900_0000, 0x1000]);
        tree.property_cells("interrupts", &[0, 1, 4]);
        tree.end();
        if self.domains.iter().any(|domain| domain.device) {
            tree.begin("device@a000000");
            tree.property_u64s("reg", &[DEVICE.base, DEVICE.size]);
            tree.property_cells("interrupts", &[0, DEVICE_INTERRUPT - 32, 4]);
            tree.property_empty("xen,passthrough");
            tree.end();
        }
    }

    /// The partial tree: the guest sees the device elsewhere.
    fn partial() -> Vec<u8> {
        let mut tree = Writer::new();
        tree.begin("");
        tree.property_u32("#address-cells", 2);
        tree.property_u32("#size-cells", 2);
        tree.begin("passthrough");
        tree.begin("device");
        tree.property_text("xen,path", "/device@a000000");
        tree.property_u64s("xen,reg", &[DEVICE.base, DEVICE.size, guest::DEVICE]);
        tree.property_empty("xen,force-assign-without-iommu");
        tree.finish()
    }

    /// The files that the loader left.
    fn files() -> Memory {
        let mut memory = Memory::new(&[RAM]);
        let mut kernel: Vec<u8> = (0..KERNEL.size).map(|at| (at % 251) as u8).collect();
        kernel[8..16].copy_from_slice(&0_u64.to_le_bytes());
        kernel[16..24].copy_from_slice(&0x8000_u64.to_le_bytes());
        kernel[0x38..0x3c].copy_from_slice(b"ARM\x64");
        assert!(memory.write(KERNEL.base, &kernel));
        let ramdisk: Vec<u8> = (0..RAMDISK.size).map(|at| (at % 241) as u8).collect();
        assert!(memory.write(RAMDISK.base, &ramdisk));
        assert!(memory.write(PARTIAL_AT, &Self::partial()));
        memory
    }

    /// Boots as the board does, up to the moment before the domains start.
    pub(crate) fn construct(&self) -> System {
        let tree = self.tree();
        let mut memory = Self::files();
        let tree_at = Range { base: TREE_AT, size: tree.len() as u64 };
        assert!(memory.write(TREE_AT, &tree));
        let sizes = plan::Sizes { boot_heap: 8 << 20, ..sizes::<Sim>() };
        let facts = Facts { boot_mpidr: 0x8000_0000, physical_bits: 40, spis: 224, sizes };
        let input = Input { tree: &tree, tree_at, image: IMAGE, modules: &memory, facts };
        let plan = plan::read(&input).unwrap_or_else(|refusals| panic!("refused: {refusals:?}"));
        let (sim, frames) = Sim::new(&plan, memory, self.list_registers, &[IMAGE, tree_at]);
        let hypervisor = construct(sim, (frames, Some(Inflater::new())), &plan)
            .unwrap_or_else(|failure| panic!("{failure}"));
        // It lives as long as the test: processors borrow it.
        let hypervisor: &'static Hypervisor<Sim> = Box::leak(Box::new(hypervisor));
        hypervisor.console().use_interrupts();
        let locals =
            (0..plan.board.cpus.len()).map(|cpu| Local::new(hypervisor, cpu).expect("a processor")).collect();
        System { hypervisor, plan, locals, random: Random(self.seed), ended: None, turns: 0 }
    }
}

fn write_kernel(tree: &mut Writer) {
    tree.begin("kernel");
    tree.property_texts("compatible", &["multiboot,kernel", "multiboot,module"]);
    tree.property_u64s("reg", &[KERNEL.base, KERNEL.size]);
    tree.property_text("bootargs", "a kernel's line");
    tree.end();
}

fn write_domain(tree: &mut Writer, number: usize, domain: &Wish, xenstore: bool) {
    tree.begin(&format!("domU{}", number + 1));
    tree.property_text("compatible", "xen,domain");
    tree.property_u32("#address-cells", 2);
    tree.property_u32("#size-cells", 2);
    tree.property_u64("memory", domain.memory >> 10);
    tree.property_u32("cpus", domain.vcpus);
    if let Some(pool) = domain.pool {
        tree.property_u32("domain-cpupool", POOL_PHANDLES + pool);
    }
    tree.property_u32("xenite,sched-weight", domain.share[0]);
    tree.property_u32("xenite,sched-cap", domain.share[1]);
    if domain.pv {
        tree.property_text("xen,enhanced", if xenstore { "enabled" } else { "no-xenstore" });
    }
    if domain.uart {
        tree.property_empty("vpl011");
    }
    if !domain.static_memory.is_empty() {
        let ranges = domain.static_memory.iter();
        let numbers: Vec<u64> = ranges.flat_map(|range| [range.base, range.size]).collect();
        tree.property_u64s("xen,static-mem", &numbers);
    }
    if let Some(mib) = domain.pool_mib {
        tree.property_u32("xen,domain-p2m-mem-mb", mib);
    }
    write_kernel(tree);
    if domain.ramdisk {
        tree.begin("ramdisk");
        tree.property_texts("compatible", &["multiboot,ramdisk", "multiboot,module"]);
        tree.property_u64s("reg", &[RAMDISK.base, RAMDISK.size]);
        tree.end();
    }
    if domain.device {
        tree.begin("devices");
        tree.property_texts("compatible", &["multiboot,device-tree", "multiboot,module"]);
        tree.property_u64s("reg", &[PARTIAL_AT, Setup::partial().len() as u64]);
        tree.end();
    }
    for [port, own, peer] in &domain.ends {
        tree.begin(&format!("evtchn@{port}"));
        tree.property_text("compatible", "xen,evtchn-v1");
        tree.property_u32("phandle", *own);
        tree.property_cells("xen,evtchn", &[*port, *peer]);
        tree.end();
    }
    for (id, role, place) in &domain.shares {
        tree.begin(&format!("shm@{:x}", place[1]));
        tree.property_text("compatible", "xen,domain-shared-memory-v1");
        tree.property_text("xen,shm-id", id);
        tree.property_u64s("xen,shared-mem", place);
        if let Some(role) = role {
            tree.property_text("role", role);
        }
        tree.end();
    }
    tree.end();
}

/// A system that runs.
pub(crate) struct System {
    pub(crate) hypervisor: &'static Hypervisor<Sim>,
    pub(crate) plan: Plan,
    pub(crate) locals: Vec<Local<'static, Sim>>,
    pub(crate) random: Random,
    pub(crate) ended: Option<Ended>,
    /// Turns so far.
    pub(crate) turns: u64,
}

impl System {
    pub(crate) fn sim(&self) -> &'static Sim {
        &self.hypervisor.machine
    }

    /// A domain by its id.
    pub(crate) fn domain(&self, id: u16) -> &'static Domain<Sim> {
        self.hypervisor.domain_of(id).expect("a domain")
    }

    /// Lets the domains start.
    pub(crate) fn start(&self) {
        self.hypervisor.prepare_domains(&self.plan);
        self.hypervisor.start_domains();
    }

    /// One turn of a processor.
    pub(crate) fn turn(&mut self, cpu: usize) {
        if self.ended.is_some() {
            return;
        }
        self.turns += 1;
        let (hypervisor, local) = (self.hypervisor, &mut self.locals[cpu]);
        let outcome = catch_unwind(AssertUnwindSafe(|| on_processor(cpu, || hypervisor.turn(local))));
        if let Err(payload) = outcome {
            match payload.downcast_ref::<Ended>() {
                Some(ended) => self.ended = Some(*ended),
                None => resume_unwind(payload),
            }
        }
    }

    /// Acts as a processor that goes on with its loop afterwards: it asks for no interrupt of its own.
    pub(crate) fn act_as<R>(&self, cpu: usize, act: impl FnOnce() -> R) -> R {
        self.sim().rouse(cpu);
        on_processor(cpu, act)
    }

    /// Each processor, in some order, until it has nothing to do; then the clock moves.
    pub(crate) fn round(&mut self, ticks: u64) {
        let mut order: Vec<usize> = (0..self.locals.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.random.below(last as u64 + 1) as usize);
        }
        for cpu in order {
            // Nobody looks at flags while a guest runs: who wants something sends an interrupt.
            if self.ended.is_none() && self.sim().goes_on(cpu) {
                continue;
            }
            for _ in 0..TURNS {
                self.turn(cpu);
                if self.ended.is_some() || self.sim().take_spent(cpu) {
                    break;
                }
            }
        }
        self.sim().advance(ticks);
    }

    pub(crate) fn rounds(&mut self, count: u64) {
        for _ in 0..count {
            self.round(ROUND);
        }
    }

    /// Rounds until something is the case, which it must become within 20,000 rounds.
    pub(crate) fn until(&mut self, what: &str, mut is: impl FnMut(&System) -> bool) {
        for _ in 0..20_000 {
            if is(self) {
                return;
            }
            assert!(
                self.ended.is_none() || is(self),
                "{what}: not before the machine ended\n{}",
                self.output()
            );
            self.round(ROUND);
        }
        panic!("{what}: not within two seconds\n{}", self.output());
    }

    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.sim().output()).into_owned()
    }

    /// The lines of the console.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output().split("\r\n").map(str::to_owned).collect()
    }
}

/// What programs write down for their test.
#[derive(Debug)]
pub(crate) struct Journal<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Journal(self.0.clone())
    }
}

impl<T: Clone> Journal<T> {
    pub(crate) fn new() -> Self {
        Journal(Arc::new(Mutex::new(Vec::new())))
    }

    pub(crate) fn note(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
