//! A whole system to boot: the machine that QEMU plays, the hypervisor on it, and the domains in its device tree.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::packages::{self, Part};
use crate::{command, image, initrd, rootfs};

/// The interrupt controller of the machine, which is also what its guests see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gic {
    /// GICv2: eight processors at most.
    V2,
    /// GICv3.
    V3,
}

impl Gic {
    /// As QEMU counts.
    #[must_use]
    pub const fn version(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

/// The machine that QEMU plays.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its interrupt controller.
    pub gic: Gic,
    /// The model of its processors, by QEMU's name.
    pub cpu: String,
    /// The number of physical processors.
    pub cpus: u32,
    /// RAM in MiB.
    pub memory_mib: u64,
    /// Whether the processors have EL2.
    pub virtualization: bool,
    /// Disks and network cards.
    pub devices: Vec<Device>,
    /// Serial lines behind the console's, as QEMU calls what they lead to. The board has a UART for one.
    pub serials: Vec<String>,
    /// More words for QEMU.
    pub extra: Vec<String>,
}

/// How a device is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bus {
    /// One of the machine's virtio-mmio windows.
    Mmio,
    /// A PCI function.
    Pci,
}

/// A virtio device of the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Device {
    /// A disk with the bytes of a file. What the machine writes is forgotten when it ends.
    Disk(PathBuf, Bus),
    /// A network card. The network behind it answers at 10.0.2.2 and leads nowhere.
    Network(Bus),
}

impl Device {
    /// QEMU's words for it; the number tells it from the others.
    fn words(&self, number: usize) -> [String; 4] {
        let kind = |bus: &Bus| match bus {
            Bus::Mmio => "device",
            Bus::Pci => "pci",
        };
        match self {
            Self::Disk(file, bus) => [
                "-drive".to_owned(),
                format!("if=none,file={},format=raw,snapshot=on,id=device{number}", file.display()),
                "-device".to_owned(),
                format!("virtio-blk-{},drive=device{number}", kind(bus)),
            ],
            Self::Network(bus) => [
                "-netdev".to_owned(),
                format!("user,restrict=on,id=device{number}"),
                "-device".to_owned(),
                // Nothing starts from the network, so that the card needs no program for it, which QEMU may lack.
                format!(
                    "virtio-net-{},netdev=device{number}{}",
                    kind(bus),
                    if *bus == Bus::Pci { ",romfile=" } else { "" }
                ),
            ],
        }
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            gic: Gic::V3,
            cpu: "cortex-a57".to_owned(),
            cpus: 2,
            memory_mib: 2048,
            virtualization: true,
            devices: Vec::new(),
            serials: Vec::new(),
            extra: Vec::new(),
        }
    }
}

impl Machine {
    /// Makes QEMU count instructions as its clock: 16 ns each, and idle time passes at once. What is measured then is
    /// the same on every computer, whatever else runs there.
    pub fn count_instructions(&mut self) {
        self.extra.extend(["-icount".to_owned(), "shift=4,sleep=off".to_owned()]);
    }

    /// QEMU with this machine; `machine_option` is one more option of `-machine`, such as `dumpdtb=FILE`.
    #[must_use]
    pub fn qemu(&self, machine_option: &str) -> Command {
        let virtualization = if self.virtualization { "on" } else { "off" };
        let mut board = format!("virt,virtualization={virtualization},gic-version={}", self.gic.version());
        if !machine_option.is_empty() {
            board.push(',');
            board.push_str(machine_option);
        }
        let mut qemu = command::new("qemu-system-aarch64");
        qemu.args(["-machine", &board, "-cpu", &self.cpu, "-smp", &self.cpus.to_string()]);
        qemu.args(["-m", &self.memory_mib.to_string(), "-display", "none", "-nic", "none"]).args(&self.extra);
        for (number, device) in self.devices.iter().enumerate() {
            qemu.args(device.words(number));
        }
        qemu
    }

    /// QEMU's words for the serial lines, the console's first.
    #[must_use]
    pub fn serial_words(&self, console: &str) -> Vec<String> {
        let lines = std::iter::once(console).chain(self.serials.iter().map(String::as_str));
        lines.flat_map(|line| ["-serial".to_owned(), line.to_owned()]).collect()
    }
}

/// The program at EL2.
#[derive(Clone, Debug)]
pub enum Hypervisor {
    /// Ours.
    Xenite(PathBuf),
    /// Debian's Xen, to compare with.
    Xen(PathBuf),
    /// None: this guest is the machine's kernel.
    Bare(PathBuf),
}

impl Hypervisor {
    /// Builds ours.
    ///
    /// # Errors
    /// When it does not build.
    pub fn xenite() -> Result<Self> {
        Ok(Self::Xenite(image::build()?.binary))
    }

    /// Fetches Xen.
    ///
    /// # Errors
    /// When the package cannot be had.
    pub fn xen() -> Result<Self> {
        packages::fetch(&[Part::Xen])?;
        Ok(Self::Xen(Part::Xen.path()))
    }

    /// The file to load.
    #[must_use]
    pub const fn file(&self) -> &PathBuf {
        match self {
            Self::Xenite(file) | Self::Xen(file) | Self::Bare(file) => file,
        }
    }
}

/// A piece of memory that the boot loader fills: a kernel or an initial file system.
#[derive(Clone, Debug)]
pub struct Module {
    /// The file with its bytes.
    pub file: PathBuf,
    /// The words for the kernel, where this is one.
    pub bootargs: Option<String>,
}

/// A `xen,domain` node.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Virtual processors.
    pub cpus: u32,
    /// RAM in KiB.
    pub memory_kib: u64,
    /// The kernel.
    pub kernel: Module,
    /// The initial file system, if any.
    pub ramdisk: Option<Module>,
    /// The partial device tree with what it is given of the host, if anything.
    pub devices: Option<Module>,
    /// More lines for the node in the syntax of device-tree sources.
    pub extra: String,
}

impl Domain {
    /// A Debian guest with our `init`; the words come behind `console=ttyAMA0` on its command line.
    ///
    /// # Errors
    /// When its packages cannot be had.
    pub fn debian(kernel: Part, cpus: u32, memory_mib: u64, words: &str) -> Result<Self> {
        packages::fetch(&[kernel])?;
        let bootargs = format!("console=ttyAMA0 {words}").trim_end().to_owned();
        Ok(Self {
            cpus,
            memory_kib: memory_mib * 1024,
            kernel: Module { file: kernel.path(), bootargs: Some(bootargs) },
            ramdisk: Some(Module { file: initrd::build()?, bootargs: None }),
            devices: None,
            extra: String::new(),
        })
    }

    /// A Debian guest that drives devices of the host and says what came of it; the file is its partial device tree.
    ///
    /// # Errors
    /// When its packages cannot be had.
    pub fn debian_with_devices(kernel: Part, devices: PathBuf) -> Result<Self> {
        let mut domain = Self::debian(kernel, 1, 256, "xenite.devices")?;
        domain.ramdisk = Some(Module { file: initrd::build_with_devices(kernel)?, bootargs: None });
        domain.devices = Some(Module { file: devices, bootargs: None });
        Ok(domain)
    }

    /// A Debian guest that takes part in Xen's interface and has the drivers of PV devices.
    ///
    /// # Errors
    /// When its packages cannot be had.
    pub fn debian_enhanced(kernel: Part, cpus: u32, memory_mib: u64, words: &str) -> Result<Self> {
        let mut domain = Self::debian(kernel, cpus, memory_mib, words)?;
        domain.ramdisk = Some(Module { file: initrd::build_with_pv(kernel)?, bootargs: None });
        domain.extra = "\t\t\txen,enhanced;\n".to_owned();
        Ok(domain)
    }

    /// A guest that is one image and needs nothing else.
    #[must_use]
    pub fn plain(kernel: PathBuf, cpus: u32, memory_mib: u64) -> Self {
        Self {
            cpus,
            memory_kib: memory_mib * 1024,
            kernel: Module { file: kernel, bootargs: None },
            ramdisk: None,
            devices: None,
            extra: String::new(),
        }
    }
}

/// The domain that has the machine's devices and rules over the others.
#[derive(Clone, Debug)]
pub struct Dom0 {
    /// RAM in MiB.
    pub memory_mib: u64,
    /// The kernel.
    pub kernel: Module,
    /// The initial file system, if any.
    pub ramdisk: Option<Module>,
}

impl Dom0 {
    /// Debian with Xen's tools on a disk ([`rootfs`]), which the machine must have; the words come behind those for the
    /// console and the disk on the kernel's command line.
    ///
    /// # Errors
    /// When its packages cannot be had.
    pub fn debian(kernel: Part, memory_mib: u64, words: &str) -> Result<Self> {
        packages::fetch(&[kernel])?;
        let bootargs = format!("console=hvc0 root=LABEL={} {words}", rootfs::LABEL).trim_end().to_owned();
        Ok(Self {
            memory_mib,
            kernel: Module { file: kernel.path(), bootargs: Some(bootargs) },
            ramdisk: Some(Module { file: initrd::build_for_dom0(kernel)?, bootargs: None }),
        })
    }

    /// One image that needs nothing else, with these words on its command line.
    #[must_use]
    pub fn plain(kernel: PathBuf, memory_mib: u64, words: &str) -> Self {
        Self { memory_mib, kernel: Module { file: kernel, bootargs: Some(words.to_owned()) }, ramdisk: None }
    }
}

/// A whole system.
#[derive(Clone, Debug)]
pub struct System {
    /// The machine.
    pub machine: Machine,
    /// What runs at EL2.
    pub hypervisor: Hypervisor,
    /// The hypervisor's command line.
    pub arguments: String,
    /// Dom0, if there is one.
    pub dom0: Option<Dom0>,
    /// The domains.
    pub domains: Vec<Domain>,
    /// More device-tree source, laid over the tree as it is made here.
    pub overlay: String,
    /// How the machine gets to the hypervisor.
    pub entry: Entry,
}

/// How the machine gets to the hypervisor's first instruction.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Entry {
    /// QEMU is the boot loader. It writes the machine's memory and the module of no kernel into the tree.
    #[default]
    Kernel,
    /// Four instructions of ours are the boot loader, and the tree arrives as it was made.
    Bare,
    /// The same, with these bytes in place of the tree.
    BareWith(Vec<u8>),
    /// U-Boot loads the files from a disk and calls `booti`.
    UBoot,
}

impl System {
    /// A system with the default machine and no domains.
    #[must_use]
    pub fn new(hypervisor: Hypervisor) -> Self {
        Self {
            machine: Machine::default(),
            hypervisor,
            arguments: "console=dtuart dtuart=/pl011@9000000 guest_loglvl=all".to_owned(),
            dom0: None,
            domains: Vec::new(),
            overlay: String::new(),
            entry: Entry::default(),
        }
    }
}
