//! The head of a raw image: an arm64 Image of its own that puts everything in its place and starts the hypervisor.
//!
//! Its instructions stand in `start.s`. They are kept assembled, since an owner's desk has no assembler for Arm.

use super::place::Places;

/// `start.s`, assembled, with zeroes where the addresses go.
#[rustfmt::skip]
const WORDS: [u32; 92] = [
    0x1400_0018, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_000a, 0x0000_0000,
    0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x644d_5241, 0x0000_0000,
    0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000, 0x0000_0000,
    0x10ff_fd05, 0x58ff_fee6, 0x58ff_ff07, 0xeb06_00bf, 0x5400_0720, 0xeb06_00a8, 0xda88_2508, 0xeb07_011f,
    0x5400_0242, 0xeb06_00bf, 0x9a86_80a9, 0x8b07_0129, 0x10ff_fd8a, 0x1000_06eb, 0xcb0a_012c, 0x1000_016d,
    0x8b0c_01ad, 0xf840_854e, 0xf800_852e, 0xeb0b_015f, 0x54ff_ffa3, 0xd503_3f9f, 0xd508_751f, 0xd503_3f9f,
    0xd503_3fdf, 0xd61f_01a0, 0xd53b_0028, 0xd350_4d08, 0xd280_0089, 0x9ac8_2129, 0x8b07_00cb, 0xaa06_03ea,
    0xd50b_7e2a, 0x8b09_014a, 0xeb0b_015f, 0x54ff_ffa3, 0xd503_3f9f, 0xeb06_00bf, 0x5400_00e3, 0xaa06_03ea,
    0xa8c1_04a0, 0xa881_0540, 0xeb0b_015f, 0x54ff_ffa3, 0x1400_0007, 0x8b07_00a5, 0xaa0b_03ea, 0xa9ff_04a0,
    0xa9bf_0540, 0xeb06_015f, 0x54ff_ffa8, 0xd503_3f9f, 0xaa06_03ea, 0xd50b_7e2a, 0x8b09_014a, 0xeb0b_015f,
    0x54ff_ffa3, 0xd503_3f9f, 0xd508_751f, 0xd503_3f9f, 0xd503_3fdf, 0x58ff_f7e0, 0x58ff_f804, 0xaa1f_03e1,
    0xaa1f_03e2, 0xaa1f_03e3, 0xd61f_0080, 0xd503_201f,
];

/// Offset of the header's `image_size`.
const IMAGE_SIZE_AT: usize = 16;
/// Offset of the four numbers: base, size, tree, entry.
const NUMBERS_AT: usize = 64;

/// The head of the raw image whose parts lie at these places.
pub(crate) fn head(places: &Places) -> Vec<u8> {
    let mut bytes: Vec<u8> = WORDS.into_iter().flat_map(u32::to_le_bytes).collect();
    bytes[IMAGE_SIZE_AT..IMAGE_SIZE_AT + 8].copy_from_slice(&places.bytes.to_le_bytes());
    let numbers = [places.start, places.bytes, places.tree, places.image];
    for (field, number) in bytes[NUMBERS_AT..].chunks_exact_mut(8).zip(numbers) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_words_are_what_the_source_assembles_to() {
        let folder = std::env::temp_dir();
        let [object, binary] =
            ["o", "bin"].map(|end| folder.join(format!("xenite-start-{}.{end}", std::process::id())));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/pack/start.s");
        let run = |program: &str, words: &[&std::ffi::OsStr]| Command::new(program).args(words).status();
        match run("aarch64-linux-gnu-as", &["-o".as_ref(), object.as_os_str(), source.as_ref()]) {
            // The tests' list of tools has it; who has it not can only trust.
            Err(_) => return,
            Ok(status) => assert!(status.success()),
        }
        let words = ["-O".as_ref(), "binary".as_ref(), object.as_os_str(), binary.as_os_str()];
        assert!(run("aarch64-linux-gnu-objcopy", &words).unwrap().success());
        let assembled = std::fs::read(&binary).unwrap();
        [object, binary].iter().for_each(|file| drop(std::fs::remove_file(file)));
        let kept: Vec<u8> = WORDS.into_iter().flat_map(u32::to_le_bytes).collect();
        assert_eq!(kept, assembled);
    }

    #[test]
    fn the_head_is_an_arm64_image_that_covers_everything() {
        let places = Places {
            start: 0x4040_0000,
            bytes: 0x123_0000,
            tree: 0x4041_0000,
            image: 0x4060_0000,
            ..Places::default()
        };
        let head = head(&places);
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        assert_eq!(&head[0x38..0x3c], b"ARM\x64");
        assert_eq!(number(16), 0x123_0000);
        assert_eq!(
            [number(64), number(72), number(80), number(88)],
            [0x4040_0000, 0x123_0000, 0x4041_0000, 0x4060_0000]
        );
    }
}
