//! `xenite guest-tree`: the device tree that a domain will get, as source or as the very blob.
//!
//! A tree does not say what its values are. As `dtc` does, the source shows texts where all bytes are text, cells where
//! there are whole ones, and bytes else; `dtc` makes the same values of it again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use plan::fdt::{Fdt, Node};
use plan::{Domain, Plan};

use crate::plan_command::print;

/// Which tree, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// The domain: its id, or the name of its node ("domU1"); dom0 is 0
    domain: String,
    /// Write into this file and not to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the blob, byte for byte as the guest finds it, and not its source
    #[arg(long)]
    dtb: bool,
}

impl Wanted {
    /// Writes the tree of the domain that is wanted.
    pub(crate) fn write(&self, plan: &Plan) -> Result<(), String> {
        let domain = find(plan, &self.domain)?;
        let bytes = if self.dtb { domain.tree.clone() } else { source(domain)?.into_bytes() };
        match &self.output {
            Some(file) => std::fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display())),
            None => print(&bytes),
        }
    }
}

/// A domain by its id, its path, or the last name of that.
fn find<'p>(plan: &'p Plan, name: &str) -> Result<&'p Domain, String> {
    let is_it = |domain: &&Domain| {
        let last = Path::new(&domain.path).file_name().and_then(|last| last.to_str());
        name == domain.id.to_string() || name == domain.path || domain.id != 0 && Some(name) == last
    };
    plan.domains.iter().find(is_it).ok_or_else(|| {
        let known: Vec<String> =
            plan.domains.iter().map(|one| format!("{} ({})", one.id, one.path)).collect();
        format!("there is no domain {name}; there are {}", known.join(", "))
    })
}

/// The tree of a domain as source.
fn source(domain: &Domain) -> Result<String, String> {
    let fdt = Fdt::open(&domain.tree).map_err(|error| format!("the tree of {}: {error}", domain.path))?;
    let mut out =
        format!("/* What domain {} ({}) finds at {:#x}. */\n", domain.id, domain.path, domain.tree_at);
    out.push_str("/dts-v1/;\n");
    for (base, size) in fdt.reservations() {
        put(&mut out, format_args!("/memreserve/ {base:#x} {size:#x};"));
    }
    out.push('\n');
    node(&mut out, &fdt.root(), 0);
    Ok(out)
}

/// Writing to a string does not fail.
fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}");
}

fn node(out: &mut String, this: &Node<'_>, depth: usize) {
    let indent = "\t".repeat(depth);
    let name = if depth == 0 { "/" } else { this.name() };
    put(out, format_args!("{indent}{name} {{"));
    for property in this.properties() {
        match value(property.value) {
            None => put(out, format_args!("{indent}\t{};", property.name())),
            Some(value) => put(out, format_args!("{indent}\t{} = {value};", property.name())),
        }
    }
    for child in this.children() {
        out.push('\n');
        node(out, &child, depth + 1);
    }
    put(out, format_args!("{indent}}};"));
}

/// A value as source; `None` where it has no bytes.
fn value(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    if let Some(texts) = texts(bytes) {
        let quoted = |text: &&[u8]| {
            let text = String::from_utf8_lossy(text).replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{text}\"")
        };
        return Some(texts.iter().map(quoted).collect::<Vec<String>>().join(", "));
    }
    let (cells, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        let cells: Vec<String> =
            cells.iter().map(|cell| format!("{:#x}", u32::from_be_bytes(*cell))).collect();
        return Some(format!("<{}>", cells.join(" ")));
    }
    Some(format!("[{}]", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<String>>().join(" ")))
}

/// The texts of a value that is nothing else: printable, none empty, each with its NUL.
fn texts(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let texts: Vec<&[u8]> = bytes.strip_suffix(&[0])?.split(|byte| *byte == 0).collect();
    let is_text = |text: &&[u8]| !text.is_empty() && text.iter().all(|byte| (0x20..0x7f).contains(byte));
    texts.iter().all(is_text).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_value_is_texts_or_cells_or_bytes_or_nothing() {
        assert_eq!(value(b""), None);
        assert_eq!(value(b"arm,psci-1.0\0arm,psci\0").unwrap(), "\"arm,psci-1.0\", \"arm,psci\"");
        assert_eq!(value(b"say \"\\\"\0").unwrap(), "\"say \\\"\\\\\\\"\"");
        assert_eq!(value(&[0, 0, 0, 2, 0xff, 0, 0, 1]).unwrap(), "<0x2 0xff000001>");
        assert_eq!(value(&[1, 2, 3]).unwrap(), "[01 02 03]");
        assert_eq!(value(b"a\0\0b\0").unwrap(), "[61 00 00 62 00]");
    }
}
