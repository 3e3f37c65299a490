//! Modules of Debian's kernels: which of them our file systems carry, and in which order they load.
//!
//! A kernel's package has thousands of modules. Those that dom0 or a guest may need are kept beside the kernel, with all
//! that they depend on and without compression. A module names what it depends on in its section `.modinfo`; what one
//! kernel has as a module another has built in, and then there is nothing to load.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection};

use crate::command;

/// What dom0 loads: drivers for QEMU's devices, the disk's file system, and Xen's interfaces and backends.
pub const DOM0: [&str; 16] = [
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "crc32c_generic",
    "ext4",
    "loop",
    "bridge",
    "qemu_fw_cfg",
    "xen_blkback",
    "xen_netback",
    "xen_gntdev",
    "xen_gntalloc",
    "xen_evtchn",
    "xen_privcmd",
    "xenfs",
];

/// What a guest with PV devices loads.
pub const GUEST: [&str; 4] = ["crc32c_generic", "ext4", "xen_blkfront", "xen_netfront"];

/// What a guest that drives devices of the host loads.
pub const DEVICES: [&str; 4] = ["virtio_mmio", "virtio_blk", "crc32c_generic", "ext4"];

/// What a guest with static event channels loads.
pub const STATIC: [&str; 1] = ["xen_evtchn"];

/// The list of what was wanted, in the folder of kept modules.
const LIST: &str = "wanted";
/// The list of what the kernel has built in, in the same place.
const BUILT_IN: &str = "builtin";

/// A module to load.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
}

fn wanted() -> Vec<&'static str> {
    // A guest with devices needs nothing that dom0 does not.
    DOM0.into_iter().chain(GUEST).collect()
}

/// Whether a folder holds what is wanted today.
#[must_use]
pub fn are_kept(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join(LIST)).is_ok_and(|list| list == wanted().join("\n"))
}

/// Copies the wanted modules, and those that they depend on, from an unpacked `lib/modules` to a folder.
///
/// # Errors
/// When one is neither there nor built in, or cannot be read.
pub fn keep(unpacked: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let files = files_below(unpacked)?;
    let list = files.iter().find(|file| file.ends_with("modules.builtin"));
    let list = std::fs::read_to_string(list.context("the kernel has no list of what is built in")?)?;
    let built_in: Vec<String> = list.lines().filter_map(|line| name_of(Path::new(line))).collect();
    let files: BTreeMap<String, PathBuf> =
        files.into_iter().filter_map(|file| Some((name_of(&file)?, file))).collect();
    let mut pending: Vec<String> = wanted().into_iter().map(str::to_owned).collect();
    while let Some(name) = pending.pop() {
        let place = folder.join(format!("{name}.ko"));
        if built_in.contains(&name) || place.exists() {
            continue;
        }
        let file = files.get(&name).with_context(|| format!("the kernel has no module {name}"))?;
        let bytes = read(file)?;
        pending.extend(dependencies(&bytes).with_context(|| format!("cannot read module {name}"))?);
        std::fs::write(place, bytes)?;
    }
    std::fs::write(folder.join(BUILT_IN), built_in.join("\n"))?;
    std::fs::write(folder.join(LIST), wanted().join("\n"))?;
    Ok(())
}

/// The modules to load for some names, each behind those that it depends on.
///
/// # Errors
/// When one was not kept or cannot be read.
pub fn in_order(folder: &Path, names: &[&str]) -> Result<Vec<Module>> {
    let built_in = std::fs::read_to_string(folder.join(BUILT_IN)).context("no modules were kept")?;
    let built_in: Vec<&str> = built_in.lines().collect();
    let mut order = Vec::new();
    for name in names {
        add(folder, &built_in, name, &mut order)?;
    }
    Ok(order)
}

fn add(folder: &Path, built_in: &[&str], name: &str, order: &mut Vec<Module>) -> Result<()> {
    if built_in.contains(&name) || order.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let bytes = std::fs::read(folder.join(format!("{name}.ko")))
        .with_context(|| format!("module {name} was not kept"))?;
    for dependency in dependencies(&bytes)? {
        add(folder, built_in, &dependency, order)?;
    }
    order.push(Module { name: name.to_owned(), bytes });
    Ok(())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

/// The name of a module's file as other modules write it.
fn name_of(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let name = name.strip_suffix(".ko").or_else(|| name.strip_suffix(".ko.xz"))?;
    Some(name.replace('-', "_"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let mut plain = file.to_path_buf();
    if file.extension().is_some_and(|end| end == "xz") {
        command::run(command::new("xz").arg("--decompress").arg(file))?;
        plain.set_extension("");
    }
    std::fs::read(&plain).with_context(|| format!("cannot read {}", plain.display()))
}

/// The names of the modules that a module depends on.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let elf = ElfFile64::<Endianness>::parse(module)?;
    let section = elf.section_by_name(".modinfo").context("it has no .modinfo")?;
    let text = String::from_utf8_lossy(section.data()?);
    let Some(names) = text.split('\0').find_map(|line| line.strip_prefix("depends=")) else {
        bail!("it does not say what it depends on");
    };
    Ok(names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_one_name_whatever_its_file_is_called() {
        for file in ["a/xen-blkback.ko", "a/xen_blkback.ko.xz"] {
            assert_eq!(name_of(Path::new(file)).as_deref(), Some("xen_blkback"));
        }
        assert_eq!(name_of(Path::new("modules.builtin")), None);
    }
}
