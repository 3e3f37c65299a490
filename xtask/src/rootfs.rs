//! Dom0's disk: a Debian user space with Xen's tools, as small as it can be.
//!
//! The programs come from Debian's packages, the libraries are those that they say they need, busybox does the rest, and
//! three scripts of ours (`dom0/`) start it all. mke2fs makes an ext4 file system of the folder, without a mount and
//! without being root. The disk's name holds a digest of all that went into it, so that it is made once.
//!
//! Debian's `init-dom0less` of 4.17 has a fault: it writes a xenstore node whose path ends in a slash, which xenstored
//! refuses. One byte of the copy on the disk is changed.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::packages::{self, Part, Whole};
use crate::{command, elf, paths, tools};

/// The label of the disk's file system, by which dom0 finds it.
pub const LABEL: &str = "xenite-root";
/// Large enough for what is on it and for the PV disks of two guests.
const SIZE: &str = "256M";

/// Debian's packages of which something is on the disk.
const PACKAGES: [&str; 34] = [
    "bash",
    "iproute2",
    "libblkid1",
    "libbpf1",
    "libbsd0",
    "libc6",
    "libcap2",
    "libelf1",
    "libfdt1",
    "libgcc-s1",
    "libmd0",
    "libmnl0",
    "libpcre2-8-0",
    "libselinux1",
    "libsmartcols1",
    "libtinfo6",
    "libuuid1",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxenhypfs1",
    "libxenmisc4.17",
    "libxenstore4",
    "libxentoolcore1",
    "libxentoollog1",
    "libyajl2",
    "mount",
    "util-linux",
    "xen-utils-4.17",
    "xen-utils-common",
    "xenstore-utils",
    "zlib1g",
];

/// The programs; what they need comes with them. libgcc is needed by no file and yet by threads that are cancelled.
const PROGRAMS: [&str; 15] = [
    "bin/bash",
    "bin/ip",
    "sbin/losetup",
    "usr/bin/flock",
    "usr/bin/xenstore",
    "usr/lib/xen-4.17/bin/init-dom0less",
    "usr/lib/xen-4.17/bin/libxl-save-helper",
    "usr/lib/xen-4.17/bin/xen-diag",
    "usr/lib/xen-4.17/bin/xen-init-dom0",
    "usr/lib/xen-4.17/bin/xenconsole",
    "usr/lib/xen-4.17/bin/xenconsoled",
    "usr/lib/xen-4.17/bin/xenstored",
    "usr/lib/xen-4.17/bin/xl",
    "usr/sbin/xenhypfs",
    "lib/aarch64-linux-gnu/libgcc_s.so.1",
];

/// Folders that are copied as they are.
const FOLDERS: [&str; 2] = ["etc/xen", "usr/lib/xen-common"];
/// Where libraries are, in the order in which they are looked for.
const LIBRARIES: [&str; 2] = ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"];

/// The names under which busybox is there.
const BUSYBOX: [&str; 73] = [
    "[", "awk", "basename", "cat", "chmod", "cp", "cttyhack", "cut", "date", "dd", "df", "dirname", "dmesg",
    "echo", "env", "expr", "false", "find", "free", "grep", "halt", "head", "hostname", "httpd", "hwclock",
    "id", "kill", "killall", "ln", "logger", "ls", "lsmod", "crc32", "mkdir", "mke2fs", "mount", "mv", "nc",
    "nproc", "ping", "poweroff", "printf", "ps", "pwd", "readlink", "reboot", "rm", "sed", "seq", "setsid",
    "sh", "sleep", "sort", "stat", "stty", "sync", "tail", "taskset", "tee", "test", "timeout", "top",
    "touch", "tr", "true", "udhcpc", "umount", "uname", "uniq", "usleep", "wc", "wget", "which",
];

/// The names under which `xenstore` is there.
const XENSTORE: [&str; 8] = ["chmod", "exists", "list", "ls", "read", "rm", "watch", "write"];
/// What Debian starts by a wrapper that looks for the running version of Xen.
const WRAPPED: [&str; 4] = ["xen-diag", "xenconsoled", "xenstored", "xl"];

/// Our files on the disk: the name, the content and whether it is a program.
const OURS: [(&str, &str, bool); 5] = [
    ("init", include_str!("dom0/init.sh"), true),
    ("bin/typed", include_str!("dom0/typed.sh"), true),
    ("bin/services", include_str!("dom0/services.sh"), true),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", false),
    ("etc/group", "root:x:0:\n", false),
];

/// Links by their names and where they lead.
const LINKS: [(&str, &str); 3] = [
    ("lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu/ld-linux-aarch64.so.1"),
    ("var/run", "/run"),
    ("var/lock", "/run/lock"),
];

/// Makes dom0's disk, unless there is one of the same parts, and gives the path of its image.
///
/// # Errors
/// When a package cannot be had, a file is not where Debian had it, or mke2fs fails.
pub fn disk() -> Result<PathBuf> {
    let packages = packages::fetch_whole(&PACKAGES)?;
    packages::fetch(&[Part::Busybox])?;
    let folder = paths::target().join("dom0");
    let image = folder.join(format!("disk-{:016x}.img", digest(&packages)?));
    if image.exists() {
        return Ok(image);
    }
    tools::ensure(&[tools::Need::FileSystems])?;
    let _ = std::fs::remove_dir_all(&folder);
    let root = folder.join("root");
    std::fs::create_dir_all(&root)?;
    Stage { root: root.clone(), packages }.fill()?;
    let draft = image.with_extension("draft");
    let mut make = command::new(tools::mke2fs().context("there is no mke2fs")?);
    make.args(["-q", "-t", "ext4", "-L", LABEL, "-E", "root_owner=0:0", "-d"]);
    command::output(make.arg(&root).arg(&draft).arg(SIZE))?;
    std::fs::remove_dir_all(&root)?;
    std::fs::rename(&draft, &image).context("cannot keep dom0's disk")?;
    Ok(image)
}

/// A digest of all that goes into the disk.
fn digest(packages: &[Whole]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for package in packages {
        package.archive.hash(&mut hasher);
    }
    std::fs::metadata(Part::Busybox.path())?.len().hash(&mut hasher);
    (PROGRAMS, FOLDERS, BUSYBOX.as_slice(), XENSTORE, WRAPPED).hash(&mut hasher);
    (OURS, LINKS, LABEL, SIZE).hash(&mut hasher);
    // How the parts are put together is in this file.
    include_str!("rootfs.rs").hash(&mut hasher);
    Ok(hasher.finish())
}

/// The folder that becomes the disk.
struct Stage {
    root: PathBuf,
    packages: Vec<Whole>,
}

impl Stage {
    fn fill(&self) -> Result<()> {
        for folder in ["dev", "disk", "proc", "root", "run", "sys", "tmp", "usr/sbin", "var/lib/xen"] {
            std::fs::create_dir_all(self.root.join(folder))?;
        }
        self.programs()?;
        for folder in FOLDERS {
            self.copy_folder(folder)?;
        }
        self.write("bin/busybox", &std::fs::read(Part::Busybox.path())?, true)?;
        for name in BUSYBOX {
            self.link(&format!("bin/{name}"), "busybox")?;
        }
        for name in XENSTORE {
            self.link(&format!("usr/bin/xenstore-{name}"), "xenstore")?;
        }
        for name in WRAPPED {
            self.link(&format!("usr/sbin/{name}"), "../lib/xen-common/bin/xen-utils-wrapper")?;
        }
        for (name, target) in LINKS {
            self.link(name, target)?;
        }
        for (name, content, program) in OURS {
            self.write(name, content.as_bytes(), program)?;
        }
        Ok(())
    }

    /// Copies the programs and all libraries that they need, and what those need.
    fn programs(&self) -> Result<()> {
        let mut pending: Vec<String> = PROGRAMS.into_iter().map(str::to_owned).collect();
        while let Some(name) = pending.pop() {
            if self.root.join(&name).exists() {
                continue;
            }
            let mut bytes = std::fs::read(self.find(&name)?)?;
            for library in elf::needed(&bytes).with_context(|| format!("cannot read {name}"))? {
                pending.push(self.library(&library)?);
            }
            if name.ends_with("/init-dom0less") {
                correct(&mut bytes)?;
            }
            self.write(&name, &bytes, true)?;
        }
        Ok(())
    }

    /// A file in one of the packages.
    fn find(&self, name: &str) -> Result<PathBuf> {
        let places = self.packages.iter().map(|package| package.folder.join(name));
        places.into_iter().find(|file| file.exists()).with_context(|| format!("no package has {name}"))
    }

    fn library(&self, name: &str) -> Result<String> {
        let names = LIBRARIES.map(|folder| format!("{folder}/{name}"));
        let found = names.into_iter().find(|name| self.find(name).is_ok());
        found.with_context(|| format!("no package has the library {name}"))
    }

    /// Copies a folder from the package that has it.
    fn copy_folder(&self, name: &str) -> Result<()> {
        let from = self.find(name)?;
        std::fs::create_dir_all(self.root.join(name))?;
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.copy_folder(&inner)?;
            } else if kind.is_symlink() {
                self.link(&inner, &std::fs::read_link(entry.path())?.to_string_lossy())?;
            } else {
                let program = entry.metadata()?.permissions().mode() & 0o100 != 0;
                self.write(&inner, &std::fs::read(entry.path())?, program)?;
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8], program: bool) -> Result<()> {
        let file = self.place(name)?;
        std::fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        let mode = if program { 0o755 } else { 0o644 };
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    fn link(&self, name: &str, target: &str) -> Result<()> {
        let place = self.place(name)?;
        symlink(target, &place).with_context(|| format!("cannot make {}", place.display()))
    }

    fn place(&self, name: &str) -> Result<PathBuf> {
        let file = self.root.join(name);
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
        Ok(file)
    }
}

/// Takes the slash from the end of the path that `init-dom0less` writes.
fn correct(program: &mut [u8]) -> Result<()> {
    const WRONG: &[u8] = b"/availability/\0";
    let places: Vec<usize> = (0..program.len()).filter(|at| program[*at..].starts_with(WRONG)).collect();
    ensure!(places.len() < 2, "init-dom0less has its wrong path more than once");
    let Some(place) = places.first() else {
        bail!("init-dom0less has no wrong path: Debian may have mended it, and then this need not");
    };
    program[place + WRONG.len() - 2] = 0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slash_at_the_end_of_the_path_and_nothing_else_is_taken() {
        let mut program = b"a\0cpu/%u/availability/\0b/".to_vec();
        correct(&mut program).unwrap();
        assert_eq!(program, b"a\0cpu/%u/availability\0\0b/");
        assert!(correct(&mut program).is_err());
    }
}
