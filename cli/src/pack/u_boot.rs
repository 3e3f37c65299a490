//! The U-Boot script: loads every file to its place and calls `booti`.
//!
//! The script is wrapped in U-Boot's legacy image header: 64 bytes, big-endian, with two CRC-32 sums, as U-Boot's
//! `include/image.h` documents it. No tool of U-Boot's is needed.

use std::fmt::Write as _;

use super::description::{Description, Spanned};
use super::files::{Files, IMAGE, TREE};
use super::place::Places;

/// The script as text.
pub(crate) fn script(description: &Description, files: &Files, places: &Places, tree: &[u8]) -> String {
    let load = description.u_boot.as_ref().and_then(|loader| loader.load.as_ref());
    let mut text = String::from(
        "# Made by xenite pack. Loads a system and starts it; xenite_load may say how to load.\n",
    );
    match load.map(Spanned::get_ref) {
        Some(load) => {
            let _ = writeln!(text, "test -n \"${{xenite_load}}\" || setenv xenite_load '{load}'");
        }
        None => text.push_str(
            "if test -z \"${xenite_load}\"; then\n  \
             if test -z \"${devtype}\"; then\n    \
             echo 'xenite: say how to load: setenv xenite_load \"load mmc 0:1\", or tftpboot, or the like'\n    \
             exit\n  fi\n  \
             setenv xenite_load \"load ${devtype} ${devnum}:${distro_bootpart}\"\nfi\n",
        ),
    }
    let mut one = |name: &str, at: u64, bytes: u64| {
        // What is loaded must be what was packed, to the byte, since the tree says how long it is.
        let _ = writeln!(
            text,
            "if ${{xenite_load}} {at:#x} ${{prefix}}{name} && itest 0x${{filesize}} == {bytes:#x}; then true; else\n  \
             echo 'xenite: {name} is missing, or is not the file that was packed'\n  exit\nfi"
        );
    };
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    one(IMAGE, places.image, length(&files.image));
    one(TREE, places.tree, length(tree));
    for (module, (_, at)) in files.modules.iter().zip(&places.modules) {
        one(&module.name, *at, module.bytes());
    }
    // The tree stays where it was loaded, for everything is placed around it, and no command line is put into it.
    text.push_str("setenv fdt_high 0xffffffffffffffff\nsetenv bootargs\n");
    let _ = writeln!(text, "booti {:#x} - {:#x}", places.image, places.tree);
    text
}

/// A script in U-Boot's header.
pub(crate) fn wrap(script: &str) -> Vec<u8> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    // A script is a list of files with one entry: its size, then the zero that ends the list.
    let mut content = size(script.as_bytes()).to_be_bytes().to_vec();
    content.extend(0_u32.to_be_bytes());
    content.extend(script.as_bytes());
    let mut header = Vec::new();
    // The time is zero, so that the same system is the same file.
    for field in [0x2705_1956, 0, 0, size(&content), 0, 0, checksum(&content)] {
        header.extend(u32::to_be_bytes(field));
    }
    // Linux, arm64, script, not compressed; then 32 bytes of a name.
    header.extend([5, 22, 6, 0]);
    header.extend(b"xenite system");
    header.resize(64, 0);
    let own = checksum(&header);
    header[4..8].copy_from_slice(&own.to_be_bytes());
    header.extend(content);
    header
}

/// CRC-32 as in IEEE 802.3, bit by bit: scripts are short.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_one_that_everybody_checks_with() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum(b""), 0);
    }

    #[test]
    fn a_wrapped_script_has_a_header_whose_sums_are_right() {
        let wrapped = wrap("echo hello\n");
        let field = |at: usize| u32::from_be_bytes(wrapped[at..at + 4].try_into().unwrap());
        assert_eq!(field(0), 0x2705_1956);
        assert_eq!(field(12), u32::try_from(wrapped.len() - 64).unwrap());
        assert_eq!(field(24), checksum(&wrapped[64..]));
        let mut header = wrapped[..64].to_vec();
        header[4..8].fill(0);
        assert_eq!(field(4), checksum(&header));
        assert_eq!(field(64), 11);
        assert_eq!(field(68), 0);
        assert_eq!(&wrapped[72..], b"echo hello\n");
    }
}
