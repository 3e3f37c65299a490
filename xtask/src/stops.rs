//! Counts the places from which the image could stop: calls of `core`'s and `alloc`'s panicking functions in the
//! objects of the safe crates.
//!
//! The crates are compiled as for the image but without link-time optimisation, so that each has an object file. A
//! relocation against a panicking function is a place; what the optimiser proved impossible is gone by then. Places
//! that stop only when memory runs out are counted apart: those are allowed where domains are constructed, from a heap
//! whose size was computed for them, and nowhere else.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::read::archive::ArchiveFile;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

use crate::command;
use crate::paths;
use crate::sysroot::{self, TARGET, Toolchain};

/// For each crate the most places that could stop it, and the most that could when memory runs out.
const LIMITS: [(&str, usize, usize); 4] =
    [("abi", 0, 0), ("plan", 0, 78), ("model", 0, 4), ("hypervisor", 0, 8)];

/// For what becomes code only in the program: places that could stop it.
const IMAGE_STOPS: usize = 0;

/// Functions that stop the hypervisor, by parts of their names.
const STOPS: [&str; 3] = ["panic", "_fail", "unwrap_failed"];
/// Functions that stop it when memory runs out.
const MEMORY: [&str; 3] = ["handle_alloc_error", "handle_error", "capacity_overflow"];

/// Counts the places in each crate and prints them.
///
/// # Errors
/// When a crate has more places than it may, or does not build.
pub fn run() -> Result<()> {
    let toolchain = sysroot::toolchain()?;
    let folder = toolchain.target_folder("bare-stops");
    let mut cargo = toolchain.cargo("build");
    cargo.arg("--lib").env("CARGO_TARGET_DIR", &folder);
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    for (name, ..) in LIMITS {
        cargo.args(["--package", name]);
    }
    command::run(&mut cargo)?;
    let mut over = 0;
    for (name, stops, memory) in LIMITS {
        let library = folder.join(TARGET).join("release").join(format!("lib{name}.rlib"));
        let places = places(&library)?;
        over += usize::from(judge(name, "could stop the hypervisor", &places, (&STOPS, stops)));
        over += usize::from(judge(name, "could when memory runs out", &places, (&MEMORY, memory)));
    }
    over += usize::from(judge_image(&toolchain, &folder)?);
    if over == 0 { Ok(()) } else { bail!("{over} counts of places that could stop are above their limits") }
}

/// Counts the hypervisor's own functions in the program's object: what is generic over the machine becomes code only
/// there. Functions of `machine` that were inlined into them count, too.
fn judge_image(toolchain: &Toolchain, folder: &Path) -> Result<bool> {
    const OWN: [&str; 2] = ["hypervisor::", "xenite::"];
    let mut rustc = toolchain.cargo("rustc");
    rustc.args(["--package", "hypervisor", "--bin", "xenite"]).env("CARGO_TARGET_DIR", folder);
    rustc.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    let script = paths::root().join("machine/src/arm64/link.ld");
    rustc.arg("--").arg("--emit=obj").arg(format!("-Clink-arg=-T{}", script.display()));
    command::run(&mut rustc)?;
    let objects = std::fs::read_dir(folder.join(TARGET).join("release/deps"))?;
    let newest = objects
        .flatten()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("xenite-") && name.ends_with(".o")
        })
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    let object = newest.context("the program has no object file")?.path();
    let bytes = std::fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
    let mut places = BTreeMap::new();
    count(&object::File::parse(bytes.as_slice())?, &mut places)?;
    places.retain(|(function, _), _| OWN.iter().any(|own| function.contains(own)));
    Ok(judge("the loop and what it calls", "could stop the hypervisor", &places, (&STOPS, IMAGE_STOPS)))
}

/// How often each function (the first name) calls each stop (the second).
type Places = BTreeMap<(String, String), usize>;

/// Prints the count of one kind, and its places where there are more than the limit; true then.
fn judge(name: &str, what: &str, places: &Places, (kind, limit): (&[&str], usize)) -> bool {
    let counted: Vec<_> = places.iter().filter(|((_, stop), _)| is_one_of(stop, kind)).collect();
    let count: usize = counted.iter().map(|(_, count)| **count).sum();
    println!("{name}: {count} places {what} ({limit} at most)");
    if count > limit {
        for ((function, stop), count) in counted {
            println!("    {count} x {stop} in {function}");
        }
    }
    count > limit
}

fn places(library: &Path) -> Result<Places> {
    let bytes = std::fs::read(library).with_context(|| format!("cannot read {}", library.display()))?;
    let archive = ArchiveFile::parse(bytes.as_slice())?;
    let mut found = BTreeMap::new();
    for member in archive.members() {
        let member = member?;
        if member.name().ends_with(b".o") {
            count(&object::File::parse(member.data(bytes.as_slice())?)?, &mut found)?;
        }
    }
    Ok(found)
}

fn count(file: &object::File<'_>, found: &mut Places) -> Result<()> {
    for section in file.sections() {
        for (_, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let symbol = file.symbol_by_index(index)?;
            let stop = readable(symbol.name().unwrap_or_default());
            if symbol.is_undefined() && (is_one_of(&stop, &STOPS) || is_one_of(&stop, &MEMORY)) {
                // Each function has a section of its own, named after it.
                let name = section.name().unwrap_or_default();
                let name = name.strip_prefix(".text.").unwrap_or(name);
                *found.entry((readable(name.trim_start_matches("unlikely.")), stop)).or_insert(0) += 1;
            }
        }
    }
    Ok(())
}

fn readable(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// Whether a function is one of `core`'s or `alloc`'s with such a part in its name.
fn is_one_of(name: &str, kind: &[&str]) -> bool {
    (name.starts_with("core::") || name.starts_with("alloc::")) && kind.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_stops_are_known_by_name() {
        for name in [
            "core::panicking::panic_fmt",
            "core::panicking::panic_bounds_check",
            "core::option::unwrap_failed",
            "core::slice::index::slice_index_fail",
        ] {
            assert!(is_one_of(name, &STOPS), "{name}");
        }
        assert!(is_one_of("alloc::alloc::handle_alloc_error", &MEMORY));
        assert!(!is_one_of("core::fmt::write", &STOPS));
        assert!(!is_one_of("hypervisor::panic::report", &STOPS));
    }
}
