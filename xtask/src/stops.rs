//! Counts the places from which the image could stop: calls of `core`'s and `alloc`'s panicking functions in the
//! objects of the safe crates.
//!
//! The crates are compiled as for the image but without link-time optimisation, so that each has an object file. A
//! relocation against a panicking function is a place; what the optimiser proved impossible is gone by then.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::read::archive::ArchiveFile;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

use crate::command;
use crate::sysroot::{self, TARGET};

/// Most places for each crate.
const LIMITS: [(&str, usize); 4] = [("abi", 0), ("plan", 0), ("model", 0), ("hypervisor", 0)];

/// Functions that stop the hypervisor, by parts of their names.
const STOPS: [&str; 6] =
    ["panic", "_fail", "handle_alloc_error", "handle_error", "capacity_overflow", "unwrap_failed"];

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
    for (name, _) in LIMITS {
        cargo.args(["--package", name]);
    }
    command::run(&mut cargo)?;
    let mut over = 0;
    for (name, limit) in LIMITS {
        let library = folder.join(TARGET).join("release").join(format!("lib{name}.rlib"));
        let places = places(&library)?;
        let count: usize = places.values().sum();
        println!("{name}: {count} places could stop the hypervisor ({limit} at most)");
        if count > limit {
            over += 1;
            for ((function, stop), count) in places {
                println!("    {count} x {stop} in {function}");
            }
        }
    }
    if over == 0 { Ok(()) } else { bail!("{over} crates have more places that could stop than they may") }
}

/// How often each function calls each stop.
fn places(library: &Path) -> Result<BTreeMap<(String, String), usize>> {
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

fn count(file: &object::File<'_>, found: &mut BTreeMap<(String, String), usize>) -> Result<()> {
    for section in file.sections() {
        for (_, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let symbol = file.symbol_by_index(index)?;
            let stop = readable(symbol.name().unwrap_or_default());
            if symbol.is_undefined() && is_stop(&stop) {
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

fn is_stop(name: &str) -> bool {
    (name.starts_with("core::") || name.starts_with("alloc::"))
        && STOPS.iter().any(|stop| name.contains(stop))
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
            "alloc::alloc::handle_alloc_error",
        ] {
            assert!(is_stop(name), "{name}");
        }
        assert!(!is_stop("core::fmt::write"));
        assert!(!is_stop("hypervisor::panic::report"));
    }
}
