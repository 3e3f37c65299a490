//! A tree on the desk, and what is assumed of the board that will read it.

use std::path::Path;
use std::process::Command;

use plan::fdt::{Cells, Fdt};
use plan::{Facts, Input, Range, Sizes};

use crate::plan_desk::{Known, ModuleFiles};

/// Bytes that the image is assumed to take, with all that it zeroes for itself.
const IMAGE_BYTES: u64 = 2 << 20;
/// How far above the start of RAM a loader puts an arm64 Image without text offset.
const IMAGE_OFFSET: u64 = 2 << 20;

/// A tree, and the assumptions that go with it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) blob: Vec<u8>,
    pub(crate) image: Range,
    tree_at: Range,
    pub(crate) facts: Facts,
    modules: ModuleFiles,
}

/// A number as the command line has it: decimal, or hexadecimal behind `0x`.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("{error} (an address is 0x40200000, say)"))
}

impl Desk {
    /// Reads a tree from a file; a `.dts` is compiled first.
    pub(crate) fn load(path: &Path, image_at: Option<u64>, tree_at: Option<u64>) -> Result<Self, String> {
        let blob = if path.extension().is_some_and(|extension| extension == "dts") {
            compile(path)?
        } else {
            std::fs::read(path).map_err(|error| error.to_string())?
        };
        Self::of(blob, image_at, tree_at)
    }

    /// A tree, and what is assumed where nothing is said.
    pub(crate) fn of(blob: Vec<u8>, image_at: Option<u64>, tree_at: Option<u64>) -> Result<Self, String> {
        let image_at = image_at.unwrap_or_else(|| first_ram(&blob).saturating_add(IMAGE_OFFSET));
        let image = Range::new(image_at, IMAGE_BYTES).ok_or("the image's address is too high")?;
        let size = u64::try_from(blob.len()).unwrap_or(u64::MAX).max(1);
        // Without a word about it the tree shares the image's place, and so is in nobody's way.
        let tree_at =
            Range::new(tree_at.unwrap_or(image_at), size).ok_or("the tree's address is too high")?;
        let facts = Facts { boot_mpidr: first_cpu(&blob), physical_bits: 40, spis: 256, sizes: Sizes::BUILT };
        Ok(Self { blob, image, tree_at, facts, modules: ModuleFiles::default() })
    }

    /// The same with what is known of the board in place of what was assumed.
    pub(crate) fn knowing(self, known: &Known) -> Result<Self, String> {
        let image = match known.image_bytes()? {
            Some(size) => Range::new(self.image.base, size).ok_or("the image's address is too high")?,
            None => self.image,
        };
        let facts = Facts {
            physical_bits: known.physical_bits.unwrap_or(self.facts.physical_bits),
            spis: known.spis.unwrap_or(self.facts.spis),
            ..self.facts
        };
        Ok(Self { image, facts, modules: ModuleFiles::open(&known.modules)?, ..self })
    }

    /// The assumptions, in a line.
    pub(crate) fn assumptions(&self) -> String {
        format!(
            "assumed: image at {}, boot processor {:#x}, {} bits of physical address, {} host SPIs",
            self.image, self.facts.boot_mpidr, self.facts.physical_bits, self.facts.spis
        )
    }

    /// What the plan is made from.
    pub(crate) fn input(&self) -> Input<'_> {
        Input {
            tree: &self.blob,
            tree_at: self.tree_at,
            image: self.image,
            modules: &self.modules,
            facts: self.facts,
        }
    }

    /// Where the tree lies, if anything was said about it.
    pub(crate) fn tree_at(&self) -> Option<Range> {
        Some(self.tree_at).filter(|tree| tree.base != self.image.base)
    }
}

pub(crate) fn compile(path: &Path) -> Result<Vec<u8>, String> {
    let output = Command::new("dtc")
        .args(["-q", "-@", "-I", "dts", "-O", "dtb"])
        .arg(path)
        .output()
        .map_err(|error| format!("a .dts needs dtc (Debian: device-tree-compiler): {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("dtc: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
    }
}

/// Start of the lowest RAM bank; 0 where there is none, which the plan then says.
fn first_ram(blob: &[u8]) -> u64 {
    let Ok(fdt) = Fdt::open(blob) else { return 0 };
    let root = fdt.root();
    let cells = root.cells(Cells::DEFAULT);
    root.children()
        .filter(|node| node.property("device_type").and_then(|value| value.text()) == Some("memory"))
        .filter_map(|node| {
            node.property("reg")?.reg(cells)?.filter(|(_, size)| *size > 0).map(|(base, _)| base).min()
        })
        .min()
        .unwrap_or(0)
}

/// MPIDR of the first enabled processor.
pub(crate) fn first_cpu(blob: &[u8]) -> u64 {
    let Ok(fdt) = Fdt::open(blob) else { return 0 };
    let Some(cpus) = fdt.find("/cpus") else { return 0 };
    let cells = cpus.cells(fdt.root().cells(Cells::DEFAULT));
    let cells = Cells { size: 0, ..cells };
    cpus.children()
        .filter(|node| node.name().starts_with("cpu@") && node.is_enabled())
        .find_map(|node| node.property("reg")?.reg(cells)?.next())
        .map_or(0, |(mpidr, _)| mpidr)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn addresses_are_decimal_or_hexadecimal() {
        assert_eq!(number("0x40200000"), Ok(0x4020_0000));
        assert_eq!(number("4096"), Ok(4096));
        assert!(number("here").is_err() && number("0x").is_err());
    }
}
