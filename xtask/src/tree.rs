//! The device tree of a system, and where its parts lie in memory.
//!
//! QEMU tells its own tree for the machine; the domains are written behind it as device-tree source, and `dtc` makes
//! one tree of both, since it merges nodes of one path. Kernels and file systems lie above the place where QEMU puts
//! the tree; a file that several domains use lies there once.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::system::{Domain, Machine, Module, System};

/// Where the machine's RAM begins.
pub const RAM: u64 = 0x4000_0000;
/// Where the hypervisor is loaded: where QEMU loads a kernel.
pub const IMAGE: u64 = RAM + 0x20_0000;
/// Where the tree lies when we lay it: where QEMU would, at 128 MiB.
pub const TREE: u64 = RAM + 0x800_0000;
/// Where the first module lies.
const MODULES: u64 = RAM + 0xa00_0000;

/// A file and its place in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The file.
    pub file: PathBuf,
    /// Its physical address.
    pub address: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// A device tree and the modules that it names.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The tree in its binary form.
    pub file: PathBuf,
    /// The modules.
    pub modules: Vec<Placed>,
}

/// Makes the tree of a system in a folder.
///
/// # Errors
/// When QEMU or dtc fails, or a module's file cannot be read.
pub fn build(system: &System, folder: &Path) -> Result<Tree> {
    let modules = place(system)?;
    let mut source = machine_source(&system.machine, folder)?;
    source.push_str(&chosen(system, &modules)?);
    source.push_str(&system.overlay);
    let file = folder.join("system.dtb");
    compile(&source, &folder.join("system.dts"), &file)?;
    Ok(Tree { file, modules })
}

/// Makes a binary tree of device-tree source.
///
/// # Errors
/// When dtc refuses the source; its words are in the message.
pub fn compile(source: &str, source_file: &Path, file: &Path) -> Result<()> {
    std::fs::write(source_file, source).with_context(|| format!("cannot write {}", source_file.display()))?;
    let mut dtc = command::new("dtc");
    dtc.args(["-q", "-I", "dts", "-O", "dtb", "-o"]).arg(file).arg(source_file);
    command::output(&mut dtc).map(|_| ())
}

/// QEMU's own tree of the machine as source.
fn machine_source(machine: &Machine, folder: &Path) -> Result<String> {
    let blob = folder.join("machine.dtb");
    let mut qemu = machine.qemu(&format!("dumpdtb={}", blob.display()));
    // What the lines lead to is not there yet, and need not be.
    let lines = Machine { serials: vec!["null".to_owned(); machine.serials.len()], ..Machine::default() };
    command::output(qemu.args(lines.serial_words("null")))?;
    command::output(command::new("dtc").args(["-q", "-I", "dtb", "-O", "dts"]).arg(&blob))
}

/// Gives each file its place, one behind the other with room for a kernel's zeroes.
fn place(system: &System) -> Result<Vec<Placed>> {
    let mut placed: Vec<Placed> = Vec::new();
    let mut next = MODULES;
    let dom0 = system.dom0.iter().flat_map(|dom0| [Some(&dom0.kernel), dom0.ramdisk.as_ref()]);
    let others = system
        .domains
        .iter()
        .flat_map(|domain| [Some(&domain.kernel), domain.ramdisk.as_ref(), domain.devices.as_ref()]);
    for module in dom0.chain(others).flatten() {
        if placed.iter().any(|other| other.file == module.file) {
            continue;
        }
        let facts = std::fs::metadata(&module.file);
        let size = facts.with_context(|| format!("cannot read {}", module.file.display()))?.len();
        if size == 0 {
            bail!("{} is empty", module.file.display());
        }
        placed.push(Placed { file: module.file.clone(), address: next, size });
        next = (next + size).next_multiple_of(0x20_0000);
    }
    Ok(placed)
}

fn chosen(system: &System, modules: &[Placed]) -> Result<String> {
    let mut text = String::from("\n/ {\n\tchosen {\n\t\t#address-cells = <2>;\n\t\t#size-cells = <2>;\n");
    let dom0_memory = system.dom0.as_ref().map(|dom0| format!(" dom0_mem={}M", dom0.memory_mib));
    writeln!(text, "\t\txen,xen-bootargs = \"{}{}\";", system.arguments, dom0_memory.unwrap_or_default())?;
    if let Some(dom0) = &system.dom0 {
        module_node(&mut text, "multiboot,kernel", &dom0.kernel, modules)?;
        if let Some(ramdisk) = &dom0.ramdisk {
            module_node(&mut text, "multiboot,ramdisk", ramdisk, modules)?;
        }
    }
    for (index, domain) in system.domains.iter().enumerate() {
        domain_node(&mut text, index + 1, domain, modules)?;
    }
    text.push_str("\t};\n};\n");
    Ok(text)
}

fn domain_node(text: &mut String, number: usize, domain: &Domain, modules: &[Placed]) -> Result<()> {
    writeln!(text, "\t\tdomU{number} {{\n\t\t\tcompatible = \"xen,domain\";")?;
    writeln!(text, "\t\t\t#address-cells = <2>;\n\t\t\t#size-cells = <2>;")?;
    writeln!(
        text,
        "\t\t\tcpus = <{}>;\n\t\t\tmemory = {};\n\t\t\tvpl011;",
        domain.cpus,
        cells(domain.memory_kib)
    )?;
    text.push_str(&domain.extra);
    module_node(text, "multiboot,kernel", &domain.kernel, modules)?;
    if let Some(ramdisk) = &domain.ramdisk {
        module_node(text, "multiboot,ramdisk", ramdisk, modules)?;
    }
    if let Some(devices) = &domain.devices {
        module_node(text, "multiboot,device-tree", devices, modules)?;
    }
    text.push_str("\t\t};\n");
    Ok(())
}

fn module_node(text: &mut String, kind: &str, module: &Module, modules: &[Placed]) -> Result<()> {
    let placed = modules.iter().find(|placed| placed.file == module.file).context("a module has no place")?;
    writeln!(
        text,
        "\t\t\tmodule@{:x} {{\n\t\t\t\tcompatible = \"{kind}\", \"multiboot,module\";",
        placed.address
    )?;
    writeln!(
        text,
        "\t\t\t\treg = {} ;",
        cells(placed.address).replace('>', "") + &cells(placed.size).replace('<', " ")
    )?;
    if let Some(bootargs) = &module.bootargs {
        writeln!(text, "\t\t\t\tbootargs = \"{bootargs}\";")?;
    }
    text.push_str("\t\t\t};\n");
    Ok(())
}

/// A number as two cells.
fn cells(number: u64) -> String {
    format!("<{:#x} {:#x}>", number >> 32, number & 0xffff_ffff)
}
