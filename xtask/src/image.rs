//! The image: built by cargo, linked to an ELF, given its symbols, and laid down as the bytes that a boot loader loads.
//!
//! `xenite-arm64.elf` keeps what a debugger wants; `xenite-arm64.img` is its loadable part, byte for byte, without the
//! zeroes behind it. The arm64 Image header is part of what is linked.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::elf::Elf;
use crate::sysroot::{self, TARGET, Toolchain};
use crate::{command, paths, symbols};

/// The two files of a built image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The bytes that a boot loader loads.
    pub binary: PathBuf,
    /// The same with symbols.
    pub elf: PathBuf,
}

/// Builds the image.
///
/// # Errors
/// When the tools are missing, the build fails or the ELF has no room for the image's symbols.
pub fn build() -> Result<Image> {
    let toolchain = sysroot::toolchain()?;
    let script = paths::root().join("machine/src/arm64/link.ld");
    let linked = link(&toolchain, "hypervisor", "xenite", &script)?;
    let mut elf = Elf::read(&linked)?;
    let count = symbols::embed(&mut elf)?;
    let image = Image {
        binary: paths::target().join("xenite-arm64.img"),
        elf: paths::target().join("xenite-arm64.elf"),
    };
    let binary = elf.flatten()?;
    write(&image.elf, elf.bytes())?;
    write(&image.binary, &binary)?;
    let kib = binary.len().div_ceil(1024);
    eprintln!("x: {} ({kib} KiB, {count} symbols)", image.binary.display());
    Ok(image)
}

/// Links one program for the bare machine with its linker script and gives the ELF that cargo left.
///
/// # Errors
/// When the build fails.
pub fn link(toolchain: &Toolchain, package: &str, program: &str, script: &Path) -> Result<PathBuf> {
    let folder = toolchain.target_folder("bare");
    let script = versioned(script, &folder)?;
    let mut rustc = toolchain.cargo("rustc");
    rustc.args(["--package", package, "--bin", program]).env("CARGO_TARGET_DIR", &folder);
    rustc.arg("--").arg(format!("-Clink-arg=-T{}", script.display()));
    command::run(&mut rustc)?;
    Ok(folder.join(TARGET).join("release").join(program))
}

/// A copy of a linker script whose name changes with its content, since cargo links anew only when its words change.
fn versioned(script: &Path, folder: &Path) -> Result<PathBuf> {
    let text = std::fs::read(script).with_context(|| format!("cannot read {}", script.display()))?;
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let copy = folder.join(format!("link-{:016x}.ld", hasher.finish()));
    if !copy.exists() {
        write(&copy, &text)?;
    }
    Ok(copy)
}

/// Writes a product so that it appears whole or not at all: a QEMU may be reading the last one.
///
/// # Errors
/// When the file cannot be written.
pub fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().context("a product has no folder")?;
    std::fs::create_dir_all(folder)?;
    let draft = file.with_extension(format!("draft{}", std::process::id()));
    std::fs::write(&draft, bytes).with_context(|| format!("cannot write {}", draft.display()))?;
    std::fs::rename(&draft, file).with_context(|| format!("cannot write {}", file.display()))
}
