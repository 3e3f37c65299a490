//! What the commands need from the system, and how it gets there.
//!
//! A command names its [`Need`]s. Each is looked for first, so that a machine which has everything is not asked for
//! the network. What is missing on Debian is installed by one `apt-get install` that is announced; elsewhere the
//! whole list is printed and nothing is touched.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::sysroot;

/// U-Boot for QEMU's `virt` machine, as Debian's package lays it.
pub const U_BOOT: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";
/// The oldest QEMU that has all processor models which the tests use.
const QEMU_MAJOR: u32 = 8;
const BACKPORTS: &str = "deb http://deb.debian.org/debian bookworm-backports main\n";
const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/xenite-backports.list";

/// Something that a command cannot do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// A compiler, a `core` and a linker for the bare machine.
    BareMetal,
    /// clippy for the bare machine: of the same version as its compiler.
    BareMetalClippy,
    /// rustfmt and clippy for the host.
    Lints,
    /// `qemu-system-aarch64`.
    Qemu,
    /// `dtc`, the device tree compiler.
    TreeCompiler,
    /// U-Boot for QEMU.
    UBoot,
    /// Xen's public headers, and a C compiler for each architecture that reads them.
    XenHeaders,
    /// apt-get and dpkg-deb, which fetch and unpack Debian's arm64 kernels, and xz for their modules.
    Packages,
    /// mke2fs, which makes a disk out of a folder.
    FileSystems,
}

/// One missing thing: Debian's packages that bring it, and what to do where there are none.
struct Missing {
    packages: &'static [&'static str],
    otherwise: &'static str,
}

/// Sees to it that all needs are met, installing Debian's packages where they are not.
///
/// # Errors
/// When something is missing and cannot be installed; the message lists all that is missing.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let missing = look(needs);
    if missing.is_empty() {
        return Ok(());
    }
    if !is_debian() {
        bail!("{}", list(&missing));
    }
    let mut packages: Vec<&str> = missing.iter().flat_map(|one| one.packages).copied().collect();
    packages.dedup();
    install(&packages).with_context(|| list(&missing))?;
    let left = look(needs);
    if left.is_empty() { Ok(()) } else { bail!("still missing after the installation: {}", list(&left)) }
}

/// The first program of this name on `PATH`.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The linker for the bare machine: the one of the same LLVM as Debian's compiler, else the nearest.
#[must_use]
pub fn linker() -> Option<&'static str> {
    const NAMES: [&str; 8] =
        ["ld.lld-22", "ld.lld-23", "ld.lld-21", "ld.lld-20", "ld.lld-19", "ld.lld-16", "ld.lld", "ld.lld-14"];
    NAMES.into_iter().find(|name| find(name).is_some())
}

/// mke2fs, which lies where only root's `PATH` leads.
#[must_use]
pub fn mke2fs() -> Option<PathBuf> {
    let usual = ["/usr/sbin/mke2fs", "/sbin/mke2fs"].map(PathBuf::from);
    find("mke2fs").or_else(|| usual.into_iter().find(|file| file.is_file()))
}

fn look(needs: &[Need]) -> Vec<Missing> {
    needs.iter().filter_map(|need| missing(*need)).collect()
}

fn missing(need: Need) -> Option<Missing> {
    let lacks = |packages, otherwise| Some(Missing { packages, otherwise });
    match need {
        Need::BareMetal if sysroot::is_installed() => None,
        Need::BareMetal if sysroot::debian_source().is_some() && linker().is_some() => None,
        Need::BareMetal => lacks(
            &["rustc-web", "cargo-web", "rust-web-src", "lld-22"],
            "Rust's bare-metal target: rustup target add aarch64-unknown-none-softfloat",
        ),
        Need::BareMetalClippy if sysroot::is_installed() => None,
        Need::BareMetalClippy if Path::new("/usr/bin/clippy-driver").exists() => None,
        Need::BareMetalClippy => lacks(&["rust-web-clippy"], "clippy: rustup component add clippy"),
        Need::Lints => lints(),
        Need::Qemu if qemu_major().is_some_and(|major| major >= QEMU_MAJOR) => None,
        Need::Qemu => lacks(&["qemu-system-arm"], "QEMU 8 or newer with qemu-system-aarch64"),
        Need::TreeCompiler if find("dtc").is_some() => None,
        Need::TreeCompiler => lacks(&["device-tree-compiler"], "dtc, the device tree compiler"),
        Need::UBoot if Path::new(U_BOOT).exists() => None,
        Need::UBoot => lacks(&["u-boot-qemu"], "U-Boot for QEMU's arm64 virt machine at /usr/lib/u-boot"),
        Need::XenHeaders if has_headers() => None,
        Need::XenHeaders => lacks(
            &["libxen-dev", "gcc", "libc6-dev", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
            "Xen 4.17's public headers at /usr/include/xen, and gcc for x86-64 and for arm64",
        ),
        Need::Packages if ["apt-get", "dpkg-deb", "xz"].iter().all(|tool| find(tool).is_some()) => None,
        Need::Packages => {
            lacks(&["apt", "dpkg", "xz-utils"], "apt-get and dpkg-deb with Debian's archive keys, and xz")
        }
        Need::FileSystems if mke2fs().is_some() => None,
        Need::FileSystems => lacks(&["e2fsprogs"], "mke2fs of e2fsprogs 1.43 or newer"),
    }
}

/// Whether `tests/headers.rs` of `abi` has all that it asks for.
fn has_headers() -> bool {
    let compilers = ["x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc"];
    let files = ["/usr/include/xen/domctl.h", "/usr/aarch64-linux-gnu/include/stdint.h"];
    compilers.iter().all(|name| find(name).is_some()) && files.iter().all(|file| Path::new(file).exists())
}

fn lints() -> Option<Missing> {
    let has = |tool: &str| command::succeeds(command::cargo().args([tool, "--version"]));
    if has("fmt") && has("clippy") {
        return None;
    }
    Some(Missing {
        packages: &["rustfmt-web", "rust-web-clippy"],
        otherwise: "rustfmt and clippy: rustup component add rustfmt clippy",
    })
}

fn qemu_major() -> Option<u32> {
    let said = command::output(command::new("qemu-system-aarch64").arg("--version")).ok()?;
    said.split_whitespace().nth(3)?.split('.').next()?.parse().ok()
}

fn list(missing: &[Missing]) -> String {
    let mut text = String::from("this is missing:");
    for one in missing {
        text.push_str("\n  - ");
        text.push_str(one.otherwise);
        text.push_str("\n      on Debian 12: apt-get install ");
        text.push_str(&one.packages.join(" "));
    }
    text.push_str("\nInstall it and run the command again.");
    text
}

fn release(key: &str) -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim_matches('"').to_owned())
}

fn is_debian() -> bool {
    release("ID").as_deref() == Some("debian")
}

/// `apt-get` with the rights that it needs: through sudo where we are not root.
fn as_root(program: &str) -> std::process::Command {
    let root = command::output(command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = if root { command::new("env") } else { command::new("sudo") };
    if !root {
        command.arg("env");
    }
    command.arg("DEBIAN_FRONTEND=noninteractive").arg(program);
    command
}

/// One installation of all that is missing. QEMU and what belongs to it come from the backports of Debian 12, whose
/// own QEMU is too old.
fn install(packages: &[&str]) -> Result<()> {
    let backports =
        packages.contains(&"qemu-system-arm") && release("VERSION_CODENAME").as_deref() == Some("bookworm");
    eprintln!("x: installing what is missing from Debian: {}", packages.join(" "));
    if backports && !has_backports() {
        eprintln!("x: QEMU comes from bookworm-backports; adding {BACKPORTS_FILE}");
        add_backports()?;
    }
    command::run(as_root("apt-get").args(["update", "-qq"]))?;
    let mut install = as_root("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]);
    for package in packages {
        if backports && *package == "qemu-system-arm" {
            for part in ["qemu-system-arm", "qemu-system-common", "qemu-system-data"] {
                install.arg(format!("{part}/bookworm-backports"));
            }
        } else {
            install.arg(package);
        }
    }
    command::run(&mut install)
}

fn has_backports() -> bool {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let folder = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten();
    files.extend(folder.flatten().map(|entry| entry.path()));
    let counts = |file: &PathBuf| file.extension().is_some_and(|end| end == "list" || end == "sources");
    let active = |line: &str| !line.trim_start().starts_with('#') && line.contains("bookworm-backports");
    let texts =
        files.iter().filter(|file| counts(file)).filter_map(|file| std::fs::read_to_string(file).ok());
    texts.into_iter().any(|text| text.lines().any(active))
}

fn add_backports() -> Result<()> {
    let draft = std::env::temp_dir().join(format!("xenite-backports-{}.list", std::process::id()));
    std::fs::write(&draft, BACKPORTS).context("cannot write the sources of the backports")?;
    let placed = command::run(as_root("install").args(["-m", "644"]).arg(&draft).arg(BACKPORTS_FILE));
    let _ = std::fs::remove_file(&draft);
    placed
}
