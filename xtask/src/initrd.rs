//! The file system that a guest Linux starts with: busybox, a few links, and an `init` that reports for duty.
//!
//! The archive is in cpio's "newc" form: for each file a header of hexadecimal numbers, the name and the bytes, each
//! padded to four bytes. `init` prints one line that a machine can read, does what words on the kernel's command line
//! ask for (see [`INIT`]) and then offers a shell on the console. A guest with PV devices gets the modules for them, and
//! `pv`, which uses them. Dom0's archive only loads modules and goes on to its disk (`rootfs`).

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::modules::{self, Module};
use crate::packages::{self, Part};
use crate::{guests, image, paths};

/// The commands of busybox that a guest's shell finds.
const COMMANDS: [&str; 42] = [
    "awk", "cat", "chmod", "cp", "cttyhack", "cut", "date", "dd", "devmem", "df", "dmesg", "echo", "env",
    "false", "find", "free", "grep", "head", "hostname", "kill", "ln", "ls", "mkdir", "mount", "mv", "nproc",
    "poweroff", "ps", "pwd", "reboot", "rm", "sed", "setsid", "sh", "sleep", "sort", "stty", "tail",
    "taskset", "top", "true", "uname",
];

/// What a guest with PV devices needs besides.
const PV_COMMANDS: [&str; 10] =
    ["crc32", "ifconfig", "insmod", "nc", "ping", "printf", "tee", "umount", "usleep", "wget"];

/// What dom0 needs until it is on its disk.
const DOM0_COMMANDS: [&str; 8] =
    ["cat", "findfs", "insmod", "mount", "sh", "switch_root", "umount", "usleep"];

/// What uses a guest's PV devices.
const PV: &str = include_str!("dom0/pv.sh");

/// What uses the host's devices that a guest drives.
const DEVICES: &str = include_str!("dom0/devices.sh");

/// What runs first in dom0.
const DOM0_INIT: &str = include_str!("dom0/ramdisk.sh");

/// What runs first. Words on the kernel's command line say what follows the greeting: `xenite.poweroff` and
/// `xenite.reboot` end the guest, `xenite.crash` ends its kernel, `xenite.loop` never gives the processor back,
/// `xenite.flood` writes to the console without end, `xenite.tick` writes one line a second beside the shell,
/// `xenite.disk` and `xenite.net=ADDRESS` use a PV disk and a PV network as soon as there is one, `xenite.devices` uses
/// the devices of the host that the guest drives, `xenite.meet=NUMBER` takes part in the meeting of `guests/linux/meet.rs`
/// and ends the guest; before that it waits until the kernel has done what it puts off until after boot, which would take
/// part of what is counted.
const INIT: &str = r#"#!/bin/sh
export PATH=/bin HOME=/ TERM=vt100 PS1='\w # '
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
if [ -e /modules/order ]; then
    while read -r module; do insmod "/modules/$module.ko"; done </modules/order
fi
memory=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
echo "XENITE-READY kernel=$(uname -r) cpus=$(nproc) memory_kib=$memory"
tick() { n=0; while :; do n=$((n + 1)); echo "XENITE-TICK $n"; sleep 1; done; }
# The address of a region that domains share.
shared() {
    for node in /proc/device-tree/reserved-memory/xen-shmem@*; do
        [ "$(cat "$node/xen,id")" != "$1" ] || echo "0x${node##*@}"
    done
}
for word in $(cat /proc/cmdline); do
    case "$word" in
    xenite.tick) tick & ;;
    xenite.disk | xenite.net=*) pv "$word" & ;;
    xenite.devices) devices ;;
    xenite.meet=*) sleep 30; meet "${word#*=}" "$(shared mail)" "$(shared picture)"; poweroff -f ;;
    xenite.poweroff) poweroff -f ;;
    xenite.reboot) reboot -f ;;
    xenite.crash) echo c >/proc/sysrq-trigger ;;
    xenite.loop) while :; do :; done ;;
    xenite.flood) while :; do echo "XENITE-FLOOD 0123456789012345678901234567890123456789"; done ;;
    esac
done
while :; do
    setsid cttyhack sh
    sleep 1
done
"#;

/// Makes the archive, fetching busybox if needed, and gives its path.
///
/// # Errors
/// When busybox cannot be had or the file cannot be written.
pub fn build() -> Result<PathBuf> {
    guest("initrd.gz", &[], &[])
}

/// Makes the archive for a guest with PV devices and this kernel.
///
/// # Errors
/// When busybox or the modules cannot be had or the file cannot be written.
pub fn build_with_pv(kernel: Part) -> Result<PathBuf> {
    packages::fetch(&[kernel])?;
    guest(
        &format!("initrd-pv-{}.gz", kernel.folder()),
        &[("pv", PV.as_bytes())],
        &modules::in_order(&kernel.modules(), &modules::GUEST)?,
    )
}

/// Makes the archive for a guest with this kernel that drives devices of the host.
///
/// # Errors
/// When busybox or the modules cannot be had or the file cannot be written.
pub fn build_with_devices(kernel: Part) -> Result<PathBuf> {
    packages::fetch(&[kernel])?;
    guest(
        &format!("initrd-devices-{}.gz", kernel.folder()),
        &[("devices", DEVICES.as_bytes())],
        &modules::in_order(&kernel.modules(), &modules::DEVICES)?,
    )
}

/// Makes the archive for a guest that meets others by static event channels and shared memory, and may drive devices of the
/// host, for Linux 6.12, the first that lets programs bind to such channels.
///
/// # Errors
/// When busybox or the modules cannot be had, the program does not build, or the file cannot be written.
pub fn build_for_meeting() -> Result<PathBuf> {
    let kernel = Part::Linux6_12;
    packages::fetch(&[kernel])?;
    guest(
        "initrd-meet.gz",
        &[("meet", &guests::linux_program("meet")?), ("devices", DEVICES.as_bytes())],
        &modules::in_order(&kernel.modules(), &[&modules::STATIC[..], &modules::DEVICES].concat())?,
    )
}

/// Makes the archive with which this kernel starts as dom0.
///
/// # Errors
/// When busybox or the modules cannot be had or the file cannot be written.
pub fn build_for_dom0(kernel: Part) -> Result<PathBuf> {
    packages::fetch(&[kernel])?;
    let mut archive = with_busybox(&["disk"], &DOM0_COMMANDS)?;
    archive.add("init", Kind::Program, DOM0_INIT.as_bytes());
    archive.add_modules(&modules::in_order(&kernel.modules(), &modules::DOM0)?);
    archive.write(&format!("initrd-dom0-{}.gz", kernel.folder()))
}

/// An archive with programs of ours and modules, if there are any.
fn guest(name: &str, programs: &[(&str, &[u8])], modules: &[Module]) -> Result<PathBuf> {
    let mut archive = with_busybox(&["mnt"], &COMMANDS)?;
    archive.add("init", Kind::Program, INIT.as_bytes());
    if !modules.is_empty() {
        for command in PV_COMMANDS {
            archive.add(&format!("bin/{command}"), Kind::Link, b"busybox");
        }
        archive.add_modules(modules);
    }
    for (program, bytes) in programs {
        archive.add(&format!("bin/{program}"), Kind::Program, bytes);
    }
    archive.write(name)
}

/// An archive with busybox under some of its names and the usual folders and some more.
fn with_busybox(folders: &[&str], commands: &[&str]) -> Result<Archive> {
    let busybox = packages::fetch(&[Part::Busybox])?;
    let busybox = busybox.first().context("no busybox was fetched")?;
    let busybox = std::fs::read(busybox).context("cannot read busybox")?;
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "tmp"].iter().chain(folders) {
        archive.add(folder, Kind::Folder, &[]);
    }
    archive.add("dev/console", Kind::Console, &[]);
    archive.add("bin/busybox", Kind::Program, &busybox);
    for command in commands {
        archive.add(&format!("bin/{command}"), Kind::Link, b"busybox");
    }
    Ok(archive)
}

/// What an entry of the archive is.
#[derive(Clone, Copy)]
enum Kind {
    Folder,
    Program,
    Link,
    /// The character device 5:1, which the kernel opens for `init`.
    Console,
}

impl Kind {
    /// File type and rights, as `stat` has them.
    const fn mode(self) -> u32 {
        match self {
            Self::Folder => 0o040_755,
            Self::Program => 0o100_755,
            Self::Link => 0o120_777,
            Self::Console => 0o020_600,
        }
    }
}

/// An archive under construction.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds modules and the list of their names in the order in which they load.
    fn add_modules(&mut self, modules: &[Module]) {
        self.add("modules", Kind::Folder, &[]);
        let mut order = String::new();
        for module in modules {
            self.add(&format!("modules/{}.ko", module.name), Kind::Program, &module.bytes);
            order.push_str(&module.name);
            order.push('\n');
        }
        self.add("modules/order", Kind::Program, order.as_bytes());
    }

    /// Packs what was added into a file of this name and gives its path.
    fn write(self, name: &str) -> Result<PathBuf> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&self.finish())?;
        let file = paths::target().join(name);
        image::write(&file, &packed.finish()?)?;
        Ok(file)
    }

    fn add(&mut self, name: &str, kind: Kind, content: &[u8]) {
        let device = if matches!(kind, Kind::Console) { (5, 1) } else { (0, 0) };
        self.entry(name, kind.mode(), device, content);
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        // inode, mode, user, group, links, time, size, device of the file system (2), device (2), name, checksum
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size(content.len()),
            0,
            0,
            device.0,
            device.1,
            size(name.len() + 1),
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_archive_starts_at_a_multiple_of_four() {
        let mut archive = Archive::default();
        archive.add("a", Kind::Program, b"xyz");
        let bytes = archive.finish();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..116], b"xyz\0");
        assert_eq!(&bytes[116..122], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
