//! Members unpacked, and damaged ones refused.

use super::*;

fn sample(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect()
}

/// A gzip file with every optional field of the header.
fn pack(content: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 4 | 8 | 16 | 2, 1, 2, 3, 4, 0, 3];
    file.extend([3, 0, 9, 9, 9]);
    file.extend(b"Image\0comment\0");
    file.extend([0xaa, 0xbb]);
    file.extend(miniz_oxide::deflate::compress_to_vec(content, 6));
    file.extend(crc32(0, content).to_le_bytes());
    file.extend((content.len() as u32).to_le_bytes());
    file
}

/// Unpacks with reads of at most `step` bytes.
fn unpack(file: &[u8], step: usize) -> (Result<u64, GzipError>, Vec<u8>) {
    let (mut rest, mut out) = (file, Vec::new());
    let mut input = |into: &mut [u8]| {
        let count = rest.len().min(into.len()).min(step);
        into[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        count
    };
    let mut output = |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        true
    };
    let result = Inflater::new().unpack(&mut input, &mut output);
    (result, out)
}

#[test]
fn the_checksum_is_that_of_the_standard() {
    assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
}

#[test]
fn files_of_any_size_come_out_as_they_went_in() {
    for length in [0, 1, 63, 64, 4096, WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1, 300_000] {
        let content = sample(length);
        let file = pack(&content);
        for step in [1, 7, 4096] {
            let (result, out) = unpack(&file, step);
            assert_eq!(result, Ok(length as u64));
            assert!(out == content, "{length} bytes in steps of {step}");
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let file = pack(&sample(5000));
    for length in 0..file.len() {
        let (result, _) = unpack(&file[..length], 4096);
        assert_eq!(result, Err(GzipError::Truncated), "{length} of {}", file.len());
    }
}

#[test]
fn wrong_sums_are_noticed() {
    let mut file = pack(&sample(5000));
    let end = file.len();
    file[end - 5] ^= 1;
    assert_eq!(unpack(&file, 4096).0, Err(GzipError::Checksum));
    file[end - 5] ^= 1;
    file[end - 1] ^= 1;
    assert_eq!(unpack(&file, 4096).0, Err(GzipError::Length));
    assert_eq!(unpack(b"\x1f\x8b\x08\xe0\0\0\0\0\0\0\0\0", 64).0, Err(GzipError::NotGzip));
}

#[test]
fn no_changed_byte_stops_the_unpacker_and_none_passes_for_the_original() {
    let content = sample(600);
    let file = pack(&content);
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let (result, out) = unpack(&damaged, 512);
            assert!(result.is_err() || out == content, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn output_can_be_stopped_and_the_inflater_used_again() {
    let file = pack(&sample(100_000));
    let mut inflater = Inflater::default();
    for _ in 0..2 {
        let mut rest = &file[..];
        let mut input = |into: &mut [u8]| {
            let count = rest.len().min(into.len());
            into[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            count
        };
        assert_eq!(inflater.unpack(&mut input, &mut |_| false), Err(GzipError::Stopped));
    }
}
