//! What the device tree says about the machine that the guest runs on.
#![expect(unsafe_code, reason = "the description is written once, before anybody else runs")]

use core::cell::UnsafeCell;

use crate::boot::MAX_CPUS;
use crate::tree::{Property, Tree};

/// A device: where it is and which SPI it raises (INTID).
#[derive(Clone, Copy, Default)]
pub struct Device {
    /// Address of its registers, 0 if there is none.
    pub base: usize,
    /// Bytes of registers.
    pub size: usize,
    /// INTID of its first interrupt, 0 if there is none.
    pub intid: u32,
}

/// The interrupt controller.
#[derive(Clone, Copy, Default)]
pub struct Controller {
    /// 2 or 3; 0 if there is none.
    pub version: u32,
    /// Distributor.
    pub distributor: usize,
    /// GICv2: CPU interface. GICv3: first redistributor region.
    pub second: usize,
    /// Bytes of the second region.
    pub second_size: usize,
}

/// Calls to the firmware go through this instruction.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Conduit {
    /// HVC #0.
    #[default]
    Hvc,
    /// SMC #0.
    Smc,
}

/// The machine.
pub struct Platform {
    /// The tree's own address.
    pub tree: usize,
    /// The UART.
    pub uart: Device,
    /// The interrupt controller.
    pub gic: Controller,
    /// INTIDs of the timers: secure physical, physical, virtual.
    pub timers: [u32; 3],
    /// PSCI's conduit.
    pub conduit: Conduit,
    /// Memory: address and bytes of each bank.
    pub memory: [(u64, u64); 16],
    /// How many banks there are.
    pub banks: usize,
    /// Affinity of each vCPU, as in the tree.
    pub affinities: [u64; MAX_CPUS],
    /// How many vCPUs there are.
    pub cpus: usize,
    /// The command line.
    pub arguments: &'static str,
    /// Whether there is a /hypervisor node.
    pub enhanced: bool,
    /// Where the /hypervisor node lets grant tables be mapped: address and bytes.
    pub grants: (u64, u64),
    /// INTID of the interrupt for events, 0 if there is none.
    pub events: u32,
}

impl Platform {
    const EMPTY: Self = Self {
        tree: 0,
        uart: Device { base: 0, size: 0, intid: 0 },
        gic: Controller { version: 0, distributor: 0, second: 0, second_size: 0 },
        timers: [29, 30, 27],
        conduit: Conduit::Hvc,
        memory: [(0, 0); 16],
        banks: 0,
        affinities: [0; MAX_CPUS],
        cpus: 0,
        arguments: "",
        enhanced: false,
        grants: (0, 0),
        events: 0,
    };

    /// Whether `address` lies in memory.
    #[must_use]
    pub fn is_memory(&self, address: u64) -> bool {
        self.memory[..self.banks].iter().any(|(base, size)| (*base..*base + *size).contains(&address))
    }

    fn take(&mut self, property: &Property<'_>, compatible: &Kind) {
        let node = property.node();
        match (property.name, compatible) {
            ("bootargs", _) if node == "chosen" => self.arguments = property.text(),
            ("method", _) if node == "psci" && property.text() == "smc" => self.conduit = Conduit::Smc,
            ("reg", _) if node.starts_with("memory") => self.take_memory(property),
            ("reg", _) if node.starts_with("cpu@") => {
                if let Some(affinity) = property.number(0, property.cells.0)
                    && self.cpus < MAX_CPUS
                {
                    self.affinities[self.cpus] = affinity;
                    self.cpus += 1;
                }
            }
            ("reg", Kind::Uart) if self.uart.base == 0 => {
                let (base, size) = property.region(0).unwrap_or_default();
                (self.uart.base, self.uart.size) = (base as usize, size as usize);
            }
            ("interrupts", Kind::Uart) if self.uart.intid == 0 => {
                self.uart.intid = property.number(1, 1).unwrap_or(0) as u32 + 32;
            }
            ("interrupts", Kind::Timer) => {
                for (place, intid) in self.timers.iter_mut().enumerate() {
                    *intid = property.number(place * 3 + 1, 1).unwrap_or(0) as u32 + 16;
                }
            }
            ("reg", Kind::Gic(version)) => {
                self.gic.version = *version;
                self.gic.distributor = property.region(0).unwrap_or_default().0 as usize;
                let (base, size) = property.region(1).unwrap_or_default();
                (self.gic.second, self.gic.second_size) = (base as usize, size as usize);
            }
            ("compatible", _) if node == "hypervisor" => self.enhanced = true,
            ("reg", _) if node == "hypervisor" => self.grants = property.region(0).unwrap_or_default(),
            ("interrupts", _) if node == "hypervisor" => {
                self.events = property.number(1, 1).unwrap_or(0) as u32 + 16;
            }
            _ => {}
        }
    }

    fn take_memory(&mut self, property: &Property<'_>) {
        let mut index = 0;
        while let Some(region) = property.region(index)
            && self.banks < self.memory.len()
        {
            self.memory[self.banks] = region;
            self.banks += 1;
            index += 1;
        }
    }
}

/// What a node's `compatible` says it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Other,
    Uart,
    Timer,
    Gic(u32),
}

fn kind(property: &Property<'_>) -> Kind {
    let table = [
        ("arm,sbsa-uart", Kind::Uart),
        ("arm,pl011", Kind::Uart),
        ("arm,armv8-timer", Kind::Timer),
        ("arm,gic-400", Kind::Gic(2)),
        ("arm,cortex-a15-gic", Kind::Gic(2)),
        ("arm,gic-v3", Kind::Gic(3)),
    ];
    table.iter().find(|(name, _)| property.lists(name)).map_or(Kind::Other, |(_, kind)| *kind)
}

struct Shared(UnsafeCell<Platform>);

// SAFETY: written by the first vCPU before it starts any other, only read from then on.
unsafe impl Sync for Shared {}

static PLATFORM: Shared = Shared(UnsafeCell::new(Platform::EMPTY));

/// Reads the tree at `address`. Called once, before any other vCPU runs.
pub(crate) fn discover(address: usize) {
    // SAFETY: the only reference, for `get` is not called before this function returns.
    let platform = unsafe { &mut *PLATFORM.0.get() };
    platform.tree = address;
    let Some(tree) = Tree::at(address) else { return };
    // `compatible` may stand after `reg`: first find the kind of each node of interest, then take its properties.
    tree.walk(|found| {
        if found.name == "compatible" {
            let node_kind = kind(found);
            let path = found.path;
            let own = |other: &Property<'_>| other.path == path;
            if node_kind != Kind::Other {
                tree.walk(|property| {
                    if own(property) {
                        platform.take(property, &node_kind);
                    }
                });
            }
        }
    });
    tree.walk(|property| platform.take(property, &Kind::Other));
}

/// The machine.
#[inline(always)]
#[must_use]
pub fn get() -> &'static Platform {
    // SAFETY: nobody writes after `discover`, which ran before the guest's own code.
    unsafe { &*PLATFORM.0.get() }
}

/// The value of the word `name=value` on the command line.
#[must_use]
pub fn argument(name: &str) -> Option<&'static str> {
    get().arguments.split_ascii_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// The number in the word `name=value` on the command line, or what stands in if there is none.
#[must_use]
pub fn number(name: &str, default: u64) -> u64 {
    argument(name).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Whether the word `name` stands on the command line.
#[must_use]
pub fn flag(name: &str) -> bool {
    get().arguments.split_ascii_whitespace().any(|word| word == name)
}
