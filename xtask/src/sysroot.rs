//! A compiler and a `core` for the bare machine.
//!
//! rustup's `aarch64-unknown-none-softfloat` is taken where it is installed. Otherwise `core`, `alloc` and
//! `compiler_builtins` are built once from Debian's `rust-web-src` by the compiler of the same version, and laid in
//! `target/sysroot/<key>`; the key is a hash of what the compiler says of itself, so an upgrade builds them anew.
//! From then on the image is built by plain stable cargo.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::{paths, tools};

/// The target that the image and the guests are built for. Without floating point: the hypervisor must not disturb
/// the vector registers of the guest that it interrupts.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";

/// How `core` and `alloc` are built: with bitcode, which link-time optimisation needs.
const CORE_FLAGS: &str = "-Cembed-bitcode=yes";

/// How our own bare-metal crates are built: a fault's backtrace follows frame pointers.
/// The linker mends what Cortex-A53 would take wrongly (843419).
const BARE_FLAGS: &str = "-Cforce-frame-pointers=yes -Clink-arg=--fix-cortex-a53-843419";

/// How to build for the bare machine.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Debian's own sysroot built by us, or nothing where rustup's target is used.
    sysroot: Option<PathBuf>,
}

impl Toolchain {
    /// A cargo command for the bare machine: subcommand, target and environment are set.
    #[must_use]
    pub fn cargo(&self, subcommand: &str) -> Command {
        let Some(sysroot) = &self.sysroot else {
            let mut cargo = command::cargo();
            cargo.args([subcommand, "--release", "--target", TARGET]);
            cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_RUSTFLAGS", BARE_FLAGS);
            return cargo;
        };
        let mut cargo = command::new(DEBIAN_CARGO);
        cargo
            .args([subcommand, "--release", "--target", TARGET])
            .env("RUSTC", DEBIAN_RUSTC)
            .env("PATH", debian_first())
            .env("CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_LINKER", tools::linker().unwrap_or("ld.lld"))
            .env(
                "CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_RUSTFLAGS",
                format!("--sysroot={} {BARE_FLAGS}", sysroot.display()),
            );
        cargo
    }

    /// The folder of the build for a purpose. Debian's and rustup's compilers do not share one: each would throw away
    /// the work of the other.
    #[must_use]
    pub fn target_folder(&self, purpose: &str) -> PathBuf {
        paths::target().join(purpose)
    }
}

/// Whether the compiler in use has the bare target installed.
#[must_use]
pub fn is_installed() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = command::output(command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]));
    asked.is_ok_and(|folder| has_core(Path::new(folder.trim())))
}

/// Debian's sources of `core` with a compiler and a cargo beside them, if they are installed and of one version.
#[must_use]
pub fn debian_source() -> Option<PathBuf> {
    let source = Path::new(DEBIAN_SOURCE);
    let complete =
        [source, Path::new(DEBIAN_RUSTC), Path::new(DEBIAN_CARGO)].iter().all(|file| file.exists());
    complete.then(|| source.to_path_buf())
}

/// The toolchain for the bare machine, building its `core` if that has not been done yet.
///
/// # Errors
/// When nothing on this system can build for the bare machine, or the build of `core` fails.
pub fn toolchain() -> Result<Toolchain> {
    tools::ensure(&[tools::Need::BareMetal])?;
    if is_installed() {
        return Ok(Toolchain { sysroot: None });
    }
    let version = command::output(command::new(DEBIAN_RUSTC).arg("-vV"))?;
    let mut hasher = DefaultHasher::new();
    (version, CORE_FLAGS).hash(&mut hasher);
    let sysroot = paths::target().join("sysroot").join(format!("{:016x}", hasher.finish()));
    if !has_core(&libraries(&sysroot)) {
        build_core(&sysroot).context("cannot build Rust's core library for the bare machine")?;
    }
    Ok(Toolchain { sysroot: Some(sysroot) })
}

fn libraries(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(TARGET).join("lib")
}

fn has_core(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .any(|name| is_library(&name, "core"))
}

fn is_library(file: &str, name: &str) -> bool {
    let stem = file.strip_prefix("lib").and_then(|rest| rest.strip_prefix(name));
    stem.is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".rlib"))
}

/// `PATH` with Debian's programs first, so that cargo finds the clippy that belongs to Debian's compiler.
fn debian_first() -> std::ffi::OsString {
    let mut path = std::ffi::OsString::from("/usr/bin:");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

/// Builds an empty crate together with `core` and `alloc`, and takes the libraries out of its build folder. The
/// switch for building them is unstable, so the stable compiler is told to accept it, here and nowhere else.
fn build_core(sysroot: &Path) -> Result<()> {
    let scratch = sysroot.with_extension("build");
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(scratch.join("src"))?;
    let manifest = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(scratch.join("Cargo.toml"), manifest)?;
    std::fs::write(scratch.join("src/lib.rs"), "#![no_std]\n")?;
    eprintln!("x: building Rust's core library for {TARGET}, once (about half a minute)");
    command::run(
        command::new(DEBIAN_CARGO)
            .current_dir(&scratch)
            .args(["build", "--release", "-Zbuild-std=core,alloc", "--target", TARGET])
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", CORE_FLAGS)
            .env("CARGO_TARGET_DIR", scratch.join("target")),
    )?;
    let made = scratch.join("target").join(TARGET).join("release/deps");
    let draft = sysroot.with_extension("draft");
    let _ = std::fs::remove_dir_all(&draft);
    std::fs::create_dir_all(libraries(&draft))?;
    for name in ["core", "alloc", "compiler_builtins"] {
        take_library(&made, &libraries(&draft), name)?;
    }
    // The finished folder appears at once, so that a build which is stopped half-way leaves nothing that looks whole.
    std::fs::rename(&draft, sysroot)?;
    let _ = std::fs::remove_dir_all(&scratch);
    Ok(())
}

fn take_library(from: &Path, to: &Path, name: &str) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if is_library(&entry.file_name().to_string_lossy(), name) {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            return Ok(());
        }
    }
    bail!("the build left no library `{name}` in {}", from.display())
}
