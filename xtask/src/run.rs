//! `./x run`: boots a system of one's own choice and leaves the user at its console.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::packages::Part;
use crate::qemu::Prepared;
use crate::system::{Domain, Entry, Gic, Hypervisor, Machine, System};

/// A kernel of Debian's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Kernel {
    /// Linux 6.1, Debian 12's own.
    #[value(name = "6.1")]
    V6_1,
    /// Linux 6.12, in Debian's small build for virtual machines.
    #[value(name = "6.12")]
    V6_12,
}

impl Kernel {
    const fn part(self) -> Part {
        match self {
            Self::V6_1 => Part::Linux6_1,
            Self::V6_12 => Part::Linux6_12,
        }
    }
}

/// The way into the hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Loader {
    /// QEMU's own.
    Qemu,
    /// U-Boot with `booti`.
    UBoot,
    /// Four instructions that hand over the tree as it was made.
    Bare,
}

/// What to boot.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Physical processors.
    #[arg(long, default_value_t = 2)]
    pub cpus: u32,
    /// RAM of the machine in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub memory: u64,
    /// Version of the interrupt controller.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=3))]
    pub gic: u32,
    /// Model of the processors, by QEMU's name.
    #[arg(long, value_name = "MODEL", default_value = "cortex-a57")]
    pub cpu: String,
    /// More words for the hypervisor's command line.
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    pub append: String,
    /// Number of domains.
    #[arg(long, default_value_t = 2)]
    pub domains: u32,
    /// Virtual processors of each domain.
    #[arg(long, default_value_t = 2)]
    pub vcpus: u32,
    /// RAM of each domain in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub domain_memory: u64,
    /// Debian's kernel for the domains.
    #[arg(long, value_enum, default_value = "6.1")]
    pub kernel: Kernel,
    /// A kernel file for the domains in place of Debian's; it gets no initial file system.
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// More words for each guest's command line.
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    pub guest_append: String,
    /// The boot loader.
    #[arg(long, value_enum, default_value = "qemu")]
    pub loader: Loader,
    /// A file of device-tree source that is laid over the tree.
    #[arg(long, value_name = "FILE")]
    pub overlay: Option<PathBuf>,
    /// More words for QEMU, such as "-d int" or "-s -S".
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    pub qemu: String,
    /// Boots Debian's Xen in place of Xenite, to compare.
    #[arg(long)]
    pub under_xen: bool,
    /// Prints QEMU's command line before it starts.
    #[arg(long)]
    pub verbose: bool,
}

/// Boots the system and leaves the user at its console.
///
/// # Errors
/// When something cannot be built, fetched or started.
pub fn run(options: &Options) -> Result<()> {
    let prepared = Prepared::new(&system(options)?)?;
    if options.verbose {
        eprintln!("x: {}", prepared.line());
    }
    explain();
    prepared.interact()
}

/// The system that the options describe.
///
/// # Errors
/// When something cannot be built or fetched, or an option makes no sense.
pub fn system(options: &Options) -> Result<System> {
    let hypervisor = if options.under_xen { Hypervisor::xen()? } else { Hypervisor::xenite()? };
    let mut system = System::new(hypervisor);
    system.machine = Machine {
        gic: if options.gic == 2 { Gic::V2 } else { Gic::V3 },
        cpu: options.cpu.clone(),
        cpus: options.cpus,
        memory_mib: options.memory,
        extra: options.qemu.split_whitespace().map(str::to_owned).collect(),
        ..Machine::default()
    };
    if options.gic == 2 && options.cpus > 8 {
        bail!("a machine with GICv2 has 8 processors at most; use --gic 3");
    }
    if !options.append.is_empty() {
        system.arguments = format!("{} {}", system.arguments, options.append);
    }
    system.entry = match options.loader {
        Loader::Qemu => Entry::Kernel,
        Loader::UBoot => Entry::UBoot,
        Loader::Bare => Entry::Bare,
    };
    if let Some(file) = &options.overlay {
        system.overlay =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    for _ in 0..options.domains {
        let domain = match &options.image {
            Some(file) => Domain::plain(std::path::absolute(file)?, options.vcpus, options.domain_memory),
            None => Domain::debian(
                options.kernel.part(),
                options.vcpus,
                options.domain_memory,
                &options.guest_append,
            )?,
        };
        system.domains.push(domain);
    }
    Ok(system)
}

/// Says how to use the console and how to leave it.
pub fn explain() {
    eprintln!();
    eprintln!("    Ctrl-A three times    to the next console: hypervisor, domain 1, domain 2, ...");
    eprintln!("    Ctrl-] then x         ends the machine and comes back to this shell");
    eprintln!();
}
