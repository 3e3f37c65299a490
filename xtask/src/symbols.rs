//! The table by which the image names the functions of its own backtraces.
//!
//! The linker script leaves room between `__symbols_start` and `__symbols_end`. After linking, the names and places of
//! all functions are written there, little-endian: magic, count, then for each function its offset from `_start` and
//! the offset of its name from the start of the table, then the names, each ended by a zero byte.

use anyhow::{Context, Result};

use crate::elf::{Elf, Function};

/// "XNSY", read as a little-endian number.
const MAGIC: u32 = 0x584e_5359;

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
    let (mut table, count) = fit(&functions, base, room)?;
    if count < functions.len() {
        let lost = functions.len() - count;
        eprintln!("x: warning: {lost} small functions have no name in the image: {room} bytes are too few");
    }
    table.resize(room, 0);
    elf.patch(start, &table)?;
    Ok(count)
}

/// The table within so many bytes: with full names, else with short ones, else without the smallest functions.
fn fit(functions: &[Function], base: u64, room: usize) -> Result<(Vec<u8>, usize)> {
    let full: Vec<(Function, String)> = named(functions, |name| name);
    let table = lay(&full, base)?;
    if table.len() <= room {
        return Ok((table, full.len()));
    }
    let mut short = named(functions, |name| without_generics(&name));
    loop {
        let table = lay(&short, base)?;
        if table.len() <= room || short.is_empty() {
            return Ok((table, short.len()));
        }
        // Larger steps while far away: each try lays the whole table.
        let excess = (table.len() - room).div_ceil(64).min(short.len());
        let mut sizes: Vec<u64> = short.iter().map(|(function, _)| function.size).collect();
        sizes.sort_unstable();
        let limit = sizes.get(excess - 1).copied().unwrap_or(0);
        let mut left = excess;
        short.retain(|(function, _)| {
            let drop = function.size <= limit && left > 0;
            left -= usize::from(drop);
            !drop
        });
    }
}

fn named(functions: &[Function], change: impl Fn(String) -> String) -> Vec<(Function, String)> {
    let readable = |function: &Function| format!("{:#}", rustc_demangle::demangle(&function.name));
    functions.iter().map(|function| (function.clone(), change(readable(function)))).collect()
}

fn lay(functions: &[(Function, String)], base: u64) -> Result<Vec<u8>> {
    let mut table = Vec::new();
    table.extend(MAGIC.to_le_bytes());
    table.extend(u32::try_from(functions.len())?.to_le_bytes());
    let mut name_offset = 8 + 8 * functions.len();
    for (function, name) in functions {
        let offset = function.address.checked_sub(base);
        let offset = offset.with_context(|| format!("`{name}` lies before `_start`"))?;
        table.extend(u32::try_from(offset)?.to_le_bytes());
        table.extend(u32::try_from(name_offset)?.to_le_bytes());
        name_offset += name.len() + 1;
    }
    for (_, name) in functions {
        table.extend(name.as_bytes());
        table.push(0);
    }
    Ok(table)
}

/// A name without the arguments of its generics: `a::b<c>::d` becomes `a::b::d`. A name that starts with `<`, the
/// type of a method, keeps that part's text without the brackets.
fn without_generics(name: &str) -> String {
    let mut short = String::new();
    let mut depth = 0_usize;
    let mut kept = 0_usize;
    let mut last = ' ';
    for letter in name.chars() {
        match letter {
            '<' if depth == kept && (short.is_empty() || last == ' ') => {
                depth += 1;
                kept += 1;
            }
            '<' => depth += 1,
            '>' if last == '-' => short.push(letter),
            '>' => {
                depth = depth.saturating_sub(1);
                kept = kept.min(depth);
            }
            _ if depth == kept => short.push(letter),
            _ => {}
        }
        last = letter;
    }
    // What a turbofish leaves behind: `f::<T>` is now `f::`.
    short.replace("::::", "::").trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(address: u64, size: u64, name: &str) -> Function {
        Function { address, size, name: name.to_owned() }
    }

    #[test]
    fn a_table_holds_offsets_from_the_start_and_names_ended_by_zero() {
        let functions = [function(0x1000, 4, "_start"), function(0x1010, 8, "main")];
        let (table, count) = fit(&functions, 0x1000, 1024).unwrap();
        assert_eq!(count, 2);
        assert_eq!(&table[..8], b"YSNX\x02\0\0\0");
        assert_eq!(&table[8..24], b"\0\0\0\0\x18\0\0\0\x10\0\0\0\x1f\0\0\0");
        assert_eq!(&table[24..], b"_start\0main\0");
    }

    #[test]
    fn a_table_that_does_not_fit_loses_its_smallest_functions_first() {
        let functions: Vec<Function> = (0..100)
            .map(|index| function(index * 64, index % 10, "name_of_thirty_letters_or_near"))
            .collect();
        let (table, count) = fit(&functions, 0, 2048).unwrap();
        assert!(table.len() <= 2048);
        assert!((40..53).contains(&count), "{count} functions were kept");
        let offset =
            |entry: usize| u32::from_le_bytes(table[8 + entry * 8..12 + entry * 8].try_into().unwrap());
        assert!((0..count).all(|entry| (offset(entry) / 64) % 10 >= 4), "a large function was dropped");
    }

    #[test]
    fn a_short_name_keeps_the_path_and_drops_the_arguments() {
        assert_eq!(without_generics("a::b<c::D<E>>::f"), "a::b::f");
        assert_eq!(without_generics("<a::B<C> as d::E<F>>::g"), "a::B as d::E::g");
        assert_eq!(without_generics("a::f::<T>"), "a::f");
        assert_eq!(without_generics("plain"), "plain");
    }
}
