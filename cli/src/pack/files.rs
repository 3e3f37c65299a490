//! The files of a system: read whole, each once, with the names that they get beside the script.

use std::path::{Path, PathBuf};

use super::complaint::Complaint;
use super::description::{Description, Spanned};

/// Where an arm64 Image says how much memory it takes, and where its magic number stands.
const IMAGE_SIZE_AT: usize = 16;
const MAGIC_AT: usize = 0x38;

/// A file that a domain gets.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its path as the description has it.
    pub(crate) source: PathBuf,
    /// Its name in the folder.
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
}

impl Module {
    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.content.len()).unwrap_or(u64::MAX)
    }
}

/// All files.
#[derive(Debug)]
pub(crate) struct Files {
    /// The hypervisor.
    pub(crate) image: Vec<u8>,
    /// Bytes that it takes in memory.
    pub(crate) image_bytes: u64,
    /// Kernels and ramdisks in the order of the description.
    pub(crate) modules: Vec<Module>,
}

impl Files {
    /// The bytes of a file of the description.
    pub(crate) fn of(&self, path: &Path) -> Option<&[u8]> {
        self.modules.iter().find(|module| module.source == path).map(|module| module.content.as_slice())
    }
}

/// Reads all files; paths are relative to `folder`.
pub(crate) fn read(description: &Description, folder: &Path) -> Result<Files, Vec<Complaint>> {
    let mut complaints = Vec::new();
    let mut content = |path: &Spanned<PathBuf>| {
        let whole = folder.join(path.get_ref());
        let found = match std::fs::read(&whole) {
            Ok(content) if content.is_empty() => Err("is empty".to_owned()),
            Ok(content) => Ok(content),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        found
            .map_err(|error| {
                complaints.push(Complaint::new(
                    format!("{} {error}", whole.display()),
                    path.span(),
                    "this file",
                ));
            })
            .ok()
    };
    let image = content(&description.hypervisor.image).unwrap_or_default();
    let mut modules: Vec<Module> = Vec::new();
    for path in paths(description) {
        if modules.iter().any(|module| module.source == *path.get_ref()) {
            continue;
        }
        let Some(content) = content(path) else { continue };
        let name = free_name(path.get_ref(), &modules);
        modules.push(Module { source: path.get_ref().clone(), name, content });
    }
    let span = description.hypervisor.image.span();
    let image_bytes = match image_size(&image) {
        Some(bytes) => bytes,
        None if image.is_empty() => 0,
        None => {
            let complaint =
                Complaint::new("the hypervisor is no arm64 Image", span, "has no magic number at byte 0x38");
            complaints.push(complaint.help("target/xenite-arm64.img, which ./x build makes"));
            0
        }
    };
    if complaints.is_empty() { Ok(Files { image, image_bytes, modules }) } else { Err(complaints) }
}

/// Every path of a kernel, a ramdisk or a partial tree.
fn paths(description: &Description) -> Vec<&Spanned<PathBuf>> {
    let dom0 = description.dom0.iter().map(Spanned::get_ref);
    let mut paths: Vec<&Spanned<PathBuf>> =
        dom0.flat_map(|dom0| std::iter::once(&dom0.kernel).chain(dom0.ramdisk.as_ref())).collect();
    let domains = description.domains.iter();
    paths.extend(domains.flat_map(|domain| {
        std::iter::once(&domain.kernel).chain(domain.ramdisk.as_ref()).chain(domain.device_tree.as_ref())
    }));
    paths
}

/// Bytes in memory of an arm64 Image (Linux, Documentation/arch/arm64/booting.rst).
fn image_size(image: &[u8]) -> Option<u64> {
    image.get(MAGIC_AT..)?.starts_with(b"ARM\x64").then_some(())?;
    let size = u64::from_le_bytes(*image.get(IMAGE_SIZE_AT..)?.first_chunk()?);
    Some(size.max(u64::try_from(image.len()).ok()?))
}

/// A name that a FAT file system and U-Boot's shell take, and that no other file has.
pub(crate) fn free_name(path: &Path, others: &[Module]) -> String {
    let base = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let clean: String = base
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '_' })
        .collect();
    let taken = |name: &str| {
        OWN_NAMES.contains(&name.to_ascii_lowercase().as_str())
            || others.iter().any(|other| other.name.eq_ignore_ascii_case(name))
    };
    if !taken(&clean) {
        return clean;
    }
    (2_u32..).map(|number| format!("{number}-{clean}")).find(|name| !taken(name)).unwrap_or(clean)
}

/// Names of what we put beside them.
pub(crate) const OWN_NAMES: [&str; 4] = [SCRIPT, SCRIPT_SOURCE, IMAGE, TREE];
/// The script as U-Boot takes it.
pub(crate) const SCRIPT: &str = "boot.scr";
/// The script as one reads it.
pub(crate) const SCRIPT_SOURCE: &str = "boot.cmd";
/// The hypervisor.
pub(crate) const IMAGE: &str = "xenite";
/// The system's tree.
pub(crate) const TREE: &str = "system.dtb";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_a_loader_and_unlike_each_other() {
        let mut modules = Vec::new();
        for (path, name) in [
            ("a/Image", "Image"),
            ("b/image", "2-image"),
            ("vmlinuz 6.1+x", "vmlinuz_6.1_x"),
            ("boot.scr", "2-boot.scr"),
            ("c/IMAGE", "3-IMAGE"),
        ] {
            let found = free_name(Path::new(path), &modules);
            assert_eq!(found, name);
            modules.push(Module { source: path.into(), name: found, content: Vec::new() });
        }
    }

    #[test]
    fn an_image_takes_what_its_header_says_or_its_file_has() {
        let mut image = vec![0; 64];
        assert_eq!(image_size(&image), None);
        image[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(b"ARM\x64");
        assert_eq!(image_size(&image), Some(64));
        image[IMAGE_SIZE_AT] = 0xff;
        assert_eq!(image_size(&image), Some(255));
        assert_eq!(image_size(b"short"), None);
    }
}
