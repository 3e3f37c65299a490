//! What the desk can be told about the board: the hypervisor's image and the modules as files, and what else only the
//! running hypervisor knows. With all of it the desk's plan is the board's to the last byte.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use plan::Modules;

use crate::desk::number;

/// What is known of the board, beside its tree.
#[derive(Debug, Default, Args)]
pub(crate) struct Known {
    /// The hypervisor's image, for its exact size [default: 2 MiB are assumed]
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// A module's file, to look into; may be repeated [default: kernels are taken for an Image of their size]
    #[arg(long = "module", value_name = "ADDRESS=FILE")]
    pub(crate) modules: Vec<ModuleFile>,
    /// Bits of a physical address [default: 40]
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(32..=52))]
    pub(crate) physical_bits: Option<u8>,
    /// Shared interrupts of the host's interrupt controller [default: 256]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(32..=988))]
    pub(crate) spis: Option<u32>,
}

/// A file, and the address at which a loader will put it.
#[derive(Clone, Debug)]
pub(crate) struct ModuleFile {
    address: u64,
    path: PathBuf,
}

impl FromStr for ModuleFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, path) = text.split_once('=').ok_or("say 0x50000000=linux.img, say")?;
        Ok(Self { address: number(address)?, path: PathBuf::from(path) })
    }
}

/// The modules that can be looked into.
#[derive(Default)]
pub(crate) struct ModuleFiles(Vec<(u64, File)>);

impl fmt::Debug for ModuleFiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.0.iter().map(|(address, _)| address)).finish()
    }
}

impl ModuleFiles {
    /// Opens the files.
    pub(crate) fn open(files: &[ModuleFile]) -> Result<Self, String> {
        let open = |file: &ModuleFile| {
            let opened =
                File::open(&file.path).map_err(|error| format!("{}: {error}", file.path.display()))?;
            Ok((file.address, opened))
        };
        files.iter().map(open).collect::<Result<_, String>>().map(Self)
    }
}

impl Modules for ModuleFiles {
    fn read(&self, at: u64, into: &mut [u8]) -> bool {
        self.0.iter().any(|(address, file)| {
            at.checked_sub(*address).is_some_and(|offset| file.read_exact_at(into, offset).is_ok())
        })
    }
}

impl Known {
    /// Bytes of the image with all that it zeroes for itself: the header of an arm64 Image says so.
    pub(crate) fn image_bytes(&self) -> Result<Option<u64>, String> {
        let Some(path) = &self.image else { return Ok(None) };
        let mut header = [0; 64];
        File::open(path)
            .and_then(|file| file.read_exact_at(&mut header, 0))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let size = header.get(16..24).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
        if header.get(56..60) != Some(b"ARM\x64") || size == 0 {
            return Err(format!("{}: is no arm64 Image, as target/xenite-arm64.img is", path.display()));
        }
        Ok(Some(size))
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, ModuleFile, ModuleFiles};
    use plan::Modules as _;

    fn file(name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("xenite-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_module_is_read_at_its_address_and_nowhere_else() {
        let path = file("module", b"0123456789");
        let module: ModuleFile = format!("0x1000={}", path.display()).parse().unwrap();
        let files = ModuleFiles::open(&[module]).unwrap();
        let mut bytes = [0; 4];
        assert!(files.read(0x1003, &mut bytes) && bytes == *b"3456");
        assert!(!files.read(0xfff, &mut bytes) && !files.read(0x1008, &mut bytes));
        assert!("here=x".parse::<ModuleFile>().is_err() && "x".parse::<ModuleFile>().is_err());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_size_of_an_image_stands_in_its_header() {
        let mut bytes = [0_u8; 64];
        bytes[16..24].copy_from_slice(&0x1d_1000_u64.to_le_bytes());
        let known = |bytes: &[u8]| Known { image: Some(file("image", bytes)), ..Known::default() };
        assert!(known(&bytes).image_bytes().is_err());
        bytes[56..60].copy_from_slice(b"ARM\x64");
        let known = known(&bytes);
        assert_eq!(known.image_bytes(), Ok(Some(0x1d_1000)));
        std::fs::remove_file(known.image.unwrap()).unwrap();
        assert_eq!(Known::default().image_bytes(), Ok(None));
    }
}
