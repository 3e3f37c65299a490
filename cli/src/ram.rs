//! The board's RAM as the command line gives it: `--memory 2G`, or with addresses `1G@0x40000000,1G@0x880000000`.
//!
//! The tree is written again with these banks as its only memory node, which keeps the first one's name where it can.

use std::str::FromStr;

use plan::fdt::{Cells, Fdt, Node, Writer};

/// RAM by banks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ram(Vec<Bank>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bank {
    size: u64,
    /// Where it begins; without a word about it, where the tree's first bank does.
    base: Option<u64>,
}

impl FromStr for Ram {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let banks: Option<Vec<Bank>> = text.split(',').map(bank).collect();
        let banks =
            banks.ok_or("a size is 2G or 512M, say, a bank 1G@0x40000000, and commas stand between banks")?;
        match banks.as_slice() {
            [_] => Ok(Self(banks)),
            _ if banks.iter().all(|bank| bank.base.is_some()) => Ok(Self(banks)),
            _ => Err("several banks need their addresses: 1G@0x40000000,1G@0x880000000".to_owned()),
        }
    }
}

fn bank(text: &str) -> Option<Bank> {
    let (size, base) = match text.split_once('@') {
        Some((size, base)) => (size, Some(u64::from_str_radix(base.trim_start_matches("0x"), 16).ok()?)),
        None => (text, None),
    };
    let shift = match size.chars().last()?.to_ascii_uppercase() {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return None,
    };
    let number: u64 = size[..size.len() - 1].parse().ok()?;
    let size = number.checked_mul(1 << shift).filter(|size| *size > 0)?;
    base.unwrap_or(0).checked_add(size)?;
    Some(Bank { size, base })
}

impl Ram {
    /// The tree with this RAM in place of its own.
    pub(crate) fn put_into(&self, blob: &[u8]) -> Result<Vec<u8>, String> {
        // What is no tree is refused in the plan's words.
        let Ok(fdt) = Fdt::open(blob) else { return Ok(blob.to_vec()) };
        let root = fdt.root();
        let cells = root.cells(Cells::DEFAULT);
        let first = root.children().find(is_memory);
        let first_base = first.and_then(|node| node.property("reg")?.reg(cells)?.map(|(base, _)| base).min());
        let mut reg = Vec::new();
        for bank in &self.0 {
            let base = bank.base.or(first_base);
            let base =
                base.ok_or("the tree has no memory node: say where its RAM begins, as in 2G@0x40000000")?;
            let words = [(cells.address, base), (cells.size, bank.size)];
            for (count, number) in words {
                match count {
                    1 => reg.extend(
                        u32::try_from(number).map_err(|_| "too large for the root's cells")?.to_be_bytes(),
                    ),
                    2 => reg.extend(number.to_be_bytes()),
                    _ => {
                        return Err(
                            "the root's #address-cells and #size-cells are neither 1 nor 2".to_owned()
                        );
                    }
                }
            }
        }
        let base = self.0.first().and_then(|bank| bank.base).or(first_base).unwrap_or(0);
        let name = first
            .filter(|_| first_base == Some(base))
            .map_or_else(|| format!("memory@{base:x}"), |node| node.name().to_owned());
        let mut writer = Writer::new();
        fdt.reservations().for_each(|(base, size)| writer.reserve(base, size));
        writer.begin("");
        root.properties().for_each(|property| writer.property(property.name(), property.value));
        writer.begin(&name);
        writer.property_text("device_type", "memory");
        writer.property("reg", &reg);
        writer.end();
        root.children().filter(|node| !is_memory(node)).for_each(|node| copy(&node, &mut writer));
        Ok(writer.finish())
    }
}

fn is_memory(node: &Node<'_>) -> bool {
    node.property("device_type").and_then(|kind| kind.text()) == Some("memory")
}

fn copy(node: &Node<'_>, writer: &mut Writer) {
    writer.begin(node.name());
    node.properties().for_each(|property| writer.property(property.name(), property.value));
    node.children().for_each(|child| copy(&child, writer));
    writer.end();
}

#[cfg(test)]
mod tests {
    use super::{Bank, Ram};

    #[test]
    fn sizes_have_units_and_banks_may_have_addresses() {
        let bank = |size, base| Bank { size, base };
        assert_eq!("2G".parse(), Ok(Ram(vec![bank(2 << 30, None)])));
        assert_eq!("512m@0x40000000".parse(), Ok(Ram(vec![bank(512 << 20, Some(0x4000_0000))])));
        let two = Ram(vec![bank(1 << 30, Some(0x4000_0000)), bank(2 << 40, Some(0x8_8000_0000))]);
        assert_eq!("1G@40000000,2T@0x880000000".parse(), Ok(two));
        for wrong in ["", "2", "G", "0G", "1G,1G", "1G@", "1G@x", "99999999T@0xffffffffffffffff"] {
            assert!(wrong.parse::<Ram>().is_err(), "{wrong}");
        }
    }
}
