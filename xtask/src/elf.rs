//! An ELF for the bare machine: its loadable bytes, its symbols, and writing into it by address.

use std::path::Path;

use anyhow::{Context, Result, bail};
use object::read::elf::{Dyn, ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SymbolKind};

/// An ELF in memory with its table of loadable segments.
#[derive(Debug)]
pub struct Elf {
    bytes: Vec<u8>,
    segments: Vec<Segment>,
}

/// A loadable part of the file.
#[derive(Clone, Copy, Debug)]
struct Segment {
    offset: u64,
    file_size: u64,
    virtual_address: u64,
    physical_address: u64,
}

/// A function of the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Where it is linked.
    pub address: u64,
    /// Its size in bytes; 0 for some that are written in assembly.
    pub size: u64,
    /// Its name as the compiler wrote it.
    pub name: String,
}

impl Elf {
    /// Reads an ELF.
    ///
    /// # Errors
    /// When the file cannot be read or is not a 64-bit ELF.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(bytes).with_context(|| format!("{} is not a 64-bit ELF", file.display()))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self> {
        let elf = ElfFile64::<Endianness>::parse(bytes.as_slice())?;
        let endian = elf.endian();
        let loadable = |header: &&object::elf::ProgramHeader64<Endianness>| {
            header.p_type(endian) == object::elf::PT_LOAD && header.p_filesz(endian) > 0
        };
        let segments = elf.elf_program_headers().iter().filter(loadable).map(|header| Segment {
            offset: header.p_offset(endian),
            file_size: header.p_filesz(endian),
            virtual_address: header.p_vaddr(endian),
            physical_address: header.p_paddr(endian),
        });
        let segments: Vec<Segment> = segments.collect();
        if segments.is_empty() {
            bail!("there is nothing to load in it");
        }
        Ok(Self { bytes, segments })
    }

    /// The whole file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes in memory from the lowest physical address to the last byte that the file has.
    ///
    /// # Errors
    /// When a segment points outside of the file.
    pub fn flatten(&self) -> Result<Vec<u8>> {
        let lowest = self.segments.iter().map(|segment| segment.physical_address).min().unwrap_or(0);
        let mut image = Vec::new();
        for segment in &self.segments {
            let start = usize::try_from(segment.physical_address - lowest)?;
            let from = usize::try_from(segment.offset)?;
            let size = usize::try_from(segment.file_size)?;
            let bytes = self.bytes.get(from..from + size).context("a segment lies outside of the file")?;
            if image.len() < start + size {
                image.resize(start + size, 0);
            }
            image[start..start + size].copy_from_slice(bytes);
        }
        Ok(image)
    }

    /// The address of a symbol.
    ///
    /// # Errors
    /// When there is no such symbol.
    pub fn symbol(&self, name: &str) -> Result<u64> {
        let elf = ElfFile64::<Endianness>::parse(self.bytes.as_slice())?;
        let found = elf.symbols().find(|symbol| symbol.name() == Ok(name));
        found.map(|symbol| symbol.address()).with_context(|| format!("the program has no symbol `{name}`"))
    }

    /// The bytes of a section, if there is one of the name.
    ///
    /// # Errors
    /// When they do not lie in the file.
    pub fn section(&self, name: &str) -> Result<Option<&[u8]>> {
        let elf = ElfFile64::<Endianness>::parse(self.bytes.as_slice())?;
        Ok(elf.section_by_name(name).map(|section| section.data()).transpose()?)
    }

    /// All functions in sections of code, by address, one for each address.
    ///
    /// # Errors
    /// When the symbol table is broken.
    pub fn functions(&self) -> Result<Vec<Function>> {
        self.code(&[SymbolKind::Text])
    }

    /// The same with what assembly has only named.
    ///
    /// # Errors
    /// When the symbol table is broken.
    pub fn labels(&self) -> Result<Vec<Function>> {
        self.code(&[SymbolKind::Text, SymbolKind::Unknown, SymbolKind::Label])
    }

    fn code(&self, kinds: &[SymbolKind]) -> Result<Vec<Function>> {
        let elf = ElfFile64::<Endianness>::parse(self.bytes.as_slice())?;
        let mut functions = Vec::new();
        for symbol in elf.symbols().filter(|symbol| kinds.contains(&symbol.kind())) {
            let Some(section) = symbol.section_index() else { continue };
            if elf.section_by_index(section)?.kind() != object::SectionKind::Text {
                continue;
            }
            let name = symbol.name()?.to_owned();
            // `$x` and `$d` mark code and data for disassemblers.
            if !name.is_empty() && !name.starts_with('$') {
                functions.push(Function { address: symbol.address(), size: symbol.size(), name });
            }
        }
        functions.sort_by(|a, b| (a.address, b.size, &a.name).cmp(&(b.address, a.size, &b.name)));
        functions.dedup_by_key(|function| function.address);
        Ok(functions)
    }

    /// Overwrites bytes at a virtual address.
    ///
    /// # Errors
    /// When the file has no bytes for that address.
    pub fn patch(&mut self, address: u64, new: &[u8]) -> Result<()> {
        let size = u64::try_from(new.len())?;
        let inside = |segment: &&Segment| {
            let end = segment.virtual_address + segment.file_size;
            segment.virtual_address <= address && address + size <= end
        };
        let segment = self.segments.iter().find(inside);
        let segment = segment.with_context(|| format!("the file holds no {size} bytes at {address:#x}"))?;
        let start = usize::try_from(segment.offset + (address - segment.virtual_address))?;
        let place =
            self.bytes.get_mut(start..start + new.len()).context("a segment lies outside of the file")?;
        place.copy_from_slice(new);
        Ok(())
    }
}

/// The names of the libraries that a program or library of 64 bits needs.
///
/// # Errors
/// When the bytes are no such ELF.
pub fn needed(bytes: &[u8]) -> Result<Vec<String>> {
    let elf = ElfFile64::<Endianness>::parse(bytes)?;
    let endian = elf.endian();
    let sections = elf.elf_section_table();
    let Some((entries, strings)) = sections.dynamic(endian, bytes)? else {
        return Ok(Vec::new());
    };
    let strings = sections.strings(endian, bytes, strings)?;
    let mut names = Vec::new();
    for entry in entries.iter().filter(|entry| entry.is_string(endian)) {
        if entry.tag32(endian) == Some(object::elf::DT_NEEDED) {
            names.push(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
        }
    }
    Ok(names)
}
