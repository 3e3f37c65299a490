//! The table by which the image names the functions of its own backtraces.
//!
//! The linker script leaves room between `__symbols_start` and `__symbols_end`. After linking, the names and places of
//! all functions are written there, little-endian: magic, count, 128 pairs of bytes, for each function its offset from
//! `_start`, and in the same order the packed names, each ended by a zero byte.
//!
//! Packed is a name by putting a byte from 128 on for the pair of bytes that is the most frequent in all names, again
//! and again: the first pair for 128, and so on. A pair can so be made of earlier ones. That takes less than half the room.

use anyhow::{Context, Result, ensure};

use crate::elf::{Elf, Function};

/// "XNSP", read as a little-endian number.
const MAGIC: u32 = 0x5053_4e58;
/// The byte that stands for the first pair.
const FIRST_PAIR: u8 = 128;

/// Writes the table into the ELF and gives the number of functions in it.
///
/// # Errors
/// When the ELF lacks one of the three symbols, or the room is outside of its file.
pub fn embed(elf: &mut Elf) -> Result<usize> {
    let start = elf.symbol("__symbols_start")?;
    let end = elf.symbol("__symbols_end")?;
    let base = elf.symbol("_start")?;
    let room = usize::try_from(end.checked_sub(start).context("`__symbols_end` lies before its start")?)?;
    let functions = elf.functions()?;
    let (mut table, count) = fit(functions.clone(), base, room)?;
    if count < functions.len() {
        let lost = functions.len() - count;
        eprintln!("x: warning: {lost} small functions have no name in the image: {room} bytes are too few");
    }
    table.resize(room, 0);
    elf.patch(start, &table)?;
    Ok(count)
}

/// The table within so many bytes: without the smallest functions where there are too many.
fn fit(mut functions: Vec<Function>, base: u64, room: usize) -> Result<(Vec<u8>, usize)> {
    loop {
        let table = lay(&functions, base)?;
        if table.len() <= room {
            return Ok((table, functions.len()));
        }
        ensure!(!functions.is_empty(), "{room} bytes are too few for any name");
        // Larger steps while far away: each try lays the whole table.
        let excess = (table.len() - room).div_ceil(64).min(functions.len());
        let mut sizes: Vec<u64> = functions.iter().map(|function| function.size).collect();
        sizes.sort_unstable();
        let limit = sizes.get(excess - 1).copied().unwrap_or(0);
        let mut left = excess;
        functions.retain(|function| {
            let drop = function.size <= limit && left > 0;
            left -= usize::from(drop);
            !drop
        });
    }
}

fn lay(functions: &[Function], base: u64) -> Result<Vec<u8>> {
    let mut table = Vec::new();
    table.extend(MAGIC.to_le_bytes());
    table.extend(u32::try_from(functions.len())?.to_le_bytes());
    let mut names = Vec::new();
    for function in functions {
        let name = format!("{:#}", rustc_demangle::demangle(&function.name));
        names.extend(name.chars().map(|letter| if letter.is_ascii() { letter as u8 } else { b'?' }));
        names.push(0);
    }
    let (names, pairs) = pack(names);
    table.extend(pairs.as_flattened());
    for function in functions {
        let offset = function.address.checked_sub(base);
        let offset = offset.with_context(|| format!("`{}` lies before `_start`", function.name))?;
        table.extend(u32::try_from(offset)?.to_le_bytes());
    }
    table.extend(names);
    Ok(table)
}

/// Packs names that are ended by zeros; and the pairs that the bytes from [`FIRST_PAIR`] on stand for.
fn pack(mut names: Vec<u8>) -> (Vec<u8>, [[u8; 2]; 128]) {
    let mut pairs = [[0; 2]; 128];
    for (code, pair) in (FIRST_PAIR..=u8::MAX).zip(&mut pairs) {
        let mut counts = vec![0_u32; 1 << 16];
        for two in names.array_windows::<2>().filter(|two| !two.contains(&0)) {
            counts[usize::from(u16::from_be_bytes(*two))] += 1;
        }
        let best = (0..=u16::MAX).zip(counts).max_by_key(|(_, count)| *count);
        let Some((found, 2..)) = best else { break };
        *pair = found.to_be_bytes();
        let mut packed = Vec::with_capacity(names.len());
        let mut rest = names.as_slice();
        while let Some((first, behind)) = rest.split_first() {
            let is_pair = rest.starts_with(pair);
            packed.push(if is_pair { code } else { *first });
            rest = if is_pair { &rest[2..] } else { behind };
        }
        names = packed;
    }
    (names, pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(address: u64, size: u64, name: &str) -> Function {
        Function { address, size, name: name.to_owned() }
    }

    fn spell(byte: u8, pairs: &[u8], name: &mut String) {
        match byte.checked_sub(FIRST_PAIR) {
            None => name.push(char::from(byte)),
            Some(pair) => {
                let at = 2 * usize::from(pair);
                pairs[at..at + 2].iter().for_each(|part| spell(*part, pairs, name));
            }
        }
    }

    /// Offsets and names, as the image reads them.
    fn unpack(table: &[u8]) -> Vec<(u32, String)> {
        assert_eq!(&table[..4], b"XNSP");
        let word = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().unwrap());
        let count = word(4) as usize;
        let (pairs, names) = (&table[8..264], &table[264 + 4 * count..]);
        let names = names.split(|byte| *byte == 0).map(|packed| {
            let mut name = String::new();
            packed.iter().for_each(|byte| spell(*byte, pairs, &mut name));
            name
        });
        (0..count).map(|index| word(264 + 4 * index)).zip(names).collect()
    }

    #[test]
    fn a_table_holds_offsets_from_the_start_and_names() {
        let functions = [function(0x1000, 4, "_start"), function(0x1010, 8, "main")];
        let (table, count) = fit(functions.to_vec(), 0x1000, 1024).unwrap();
        assert_eq!(count, 2);
        assert_eq!(unpack(&table), [(0, "_start".to_owned()), (0x10, "main".to_owned())]);
    }

    #[test]
    fn names_that_are_alike_take_little_room_and_come_out_whole() {
        let functions: Vec<Function> = (0..500_u64)
            .map(|index| function(index * 64, 64, &format!("hypervisor::hypercall::number_{index}")))
            .collect();
        let table = lay(&functions, 0).unwrap();
        let length: usize = functions.iter().map(|function| function.name.len()).sum();
        assert!(table.len() < 264 + 4 * 500 + length / 3, "{} bytes", table.len());
        let names: Vec<String> = unpack(&table).into_iter().map(|(_, name)| name).collect();
        assert!(names.iter().zip(&functions).all(|(name, function)| *name == function.name));
    }

    #[test]
    fn a_table_that_does_not_fit_loses_its_smallest_functions_first() {
        let functions: Vec<Function> = (0..100)
            .map(|index| function(index * 64, index % 10, &format!("{:x}", index * 0x9e37_79b9_7f4a)))
            .collect();
        let whole = lay(&functions, 0).unwrap().len();
        let (table, count) = fit(functions, 0, whole * 2 / 3).unwrap();
        assert!(table.len() <= whole * 2 / 3);
        assert!((40..=60).contains(&count), "{count} functions were kept");
        assert!(
            unpack(&table).iter().all(|(offset, _)| (offset / 64) % 10 >= 4),
            "a large function was dropped"
        );
    }
}
