//! The own guest kernels, built for the bare machine and laid down as images: `target/guests/NAME.img`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::elf::Elf;
use crate::sysroot::{self, TARGET};
use crate::{command, image, paths};

/// A built guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guest {
    /// Its name: that of its file in `guests/src/bin`.
    pub name: String,
    /// Its image.
    pub image: PathBuf,
}

/// Builds all guests, sorted by name.
///
/// # Errors
/// When one does not build.
pub fn build() -> Result<Vec<Guest>> {
    let toolchain = sysroot::toolchain()?;
    let folder = toolchain.target_folder("bare");
    let mut cargo = toolchain.cargo("build");
    command::run(cargo.args(["--package", "guests", "--bins"]).env("CARGO_TARGET_DIR", &folder))?;
    let built = folder.join(TARGET).join("release");
    let mut guests = Vec::new();
    for name in names()? {
        let image = paths::target().join("guests").join(&name).with_extension("img");
        image::write(&image, &Elf::read(&built.join(&name))?.flatten()?)?;
        guests.push(Guest { name, image });
    }
    Ok(guests)
}

/// Builds the program of a name in `guests/linux`, which runs under Linux without any library, and gives its bytes.
///
/// # Errors
/// When it does not build.
pub fn linux_program(name: &str) -> Result<Vec<u8>> {
    let toolchain = sysroot::toolchain()?;
    let folder = toolchain.target_folder("bare");
    let mut cargo = toolchain.cargo("build");
    command::run(cargo.args(["--package", "guests", "--example", name]).env("CARGO_TARGET_DIR", &folder))?;
    let file = folder.join(TARGET).join("release/examples").join(name);
    std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}

fn names() -> Result<Vec<String>> {
    let folder = paths::root().join("guests/src/bin");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let single = path.extension().is_some_and(|end| end == "rs");
        if single || path.join("main.rs").exists() {
            names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}
