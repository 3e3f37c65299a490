//! U-Boot as the boot loader, as a board would do it: a disk with files and a script that ends in `booti`.
//!
//! The script is wrapped in U-Boot's legacy image header, 64 bytes, big-endian, with two checksums.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use flate2::Crc;

use crate::system::System;
use crate::tools::{self, Need, U_BOOT};
use crate::tree::{TREE, Tree};

/// Where U-Boot is told to load the hypervisor: a multiple of 2 MiB away from U-Boot's own data.
const IMAGE: u64 = 0x4400_0000;

/// Lays the files of a system on a disk in a folder and gives QEMU that disk and U-Boot.
///
/// # Errors
/// When U-Boot is missing or a file cannot be laid.
pub fn prepare(system: &System, tree: &Tree, folder: &Path, qemu: &mut Command) -> Result<()> {
    tools::ensure(&[Need::UBoot])?;
    let disk = folder.join("disk");
    std::fs::create_dir_all(&disk)?;
    let mut script = String::new();
    let mut load = |file: &Path, name: &str, address: u64| -> Result<()> {
        std::fs::copy(file, disk.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        writeln!(script, "load virtio 0:1 {address:#x} {name} || reset")?;
        Ok(())
    };
    load(system.hypervisor.file(), "image", IMAGE)?;
    load(&tree.file, "tree", TREE)?;
    for (index, module) in tree.modules.iter().enumerate() {
        load(&module.file, &format!("module{index}"), module.address)?;
    }
    writeln!(script, "booti {IMAGE:#x} - {TREE:#x}")?;
    std::fs::write(disk.join("boot.scr"), wrap(script.as_bytes())?)?;
    qemu.args(["-bios", U_BOOT, "-drive"]);
    qemu.arg(format!("if=none,file=fat:rw:{},format=raw,id=disk", disk.display()));
    qemu.args(["-device", "virtio-blk-device,drive=disk"]);
    Ok(())
}

/// A script in U-Boot's legacy image header.
fn wrap(script: &[u8]) -> Result<Vec<u8>> {
    // A script is a list of files with one entry: its size, then the zero that ends the list.
    let mut content = u32::try_from(script.len())?.to_be_bytes().to_vec();
    content.extend(0_u32.to_be_bytes());
    content.extend(script);
    let mut header = Vec::new();
    for field in [0x2705_1956, 0, 0, u32::try_from(content.len())?, 0, 0, checksum(&content)] {
        header.extend(u32::to_be_bytes(field));
    }
    // Linux, arm64, script, not compressed; then 32 bytes of a name.
    header.extend([5, 22, 6, 0]);
    header.resize(64, 0);
    let own = checksum(&header);
    header[4..8].copy_from_slice(&own.to_be_bytes());
    header.extend(content);
    Ok(header)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
