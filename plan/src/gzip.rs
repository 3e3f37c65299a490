//! Unpacks a gzip'd kernel, chunk by chunk.
//!
//! RFC 1952 around RFC 1951. The working memory is one inflater: a window of 32 KiB and the decoder's tables.
//! Checksum and length are checked at the end, so a caller that has written the output somewhere must not
//! use it before [`Inflater::unpack`] has returned `Ok`.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

const WINDOW_BYTES: usize = 32 << 10;
const CHUNK_BYTES: usize = 4096;
/// Most bytes of a header field that is skipped (an original file name, a comment, an extra field).
const LONGEST_FIELD_BYTES: usize = 65_536;

/// Why a file could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GzipError {
    /// It does not begin with gzip's magic number, or uses another method or unknown flags.
    NotGzip,
    /// It ends too early.
    Truncated,
    /// The compressed data make no sense.
    Corrupt,
    /// The unpacked bytes have another checksum than the file states.
    Checksum,
    /// The unpacked length is another one than the file states.
    Length,
    /// The caller took no more output.
    Stopped,
}

impl fmt::Display for GzipError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NotGzip => "not a gzip file",
            Self::Truncated => "the gzip file ends too early",
            Self::Corrupt => "the gzip data are corrupt",
            Self::Checksum => "the gzip checksum is wrong",
            Self::Length => "the gzip length is wrong",
            Self::Stopped => "the output was stopped",
        })
    }
}

/// The remainders of the 256 byte values, for CRC-32 as RFC 1952 defines it.
const CRC_TABLE: [u32; 256] = crc_table();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler only"
)]
const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            remainder = (remainder >> 1) ^ (0xedb8_8320 & (remainder & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
}

/// Continues the CRC-32 of a text (0 for an empty one) over `bytes`.
#[must_use]
pub fn crc32(before: u32, bytes: &[u8]) -> u32 {
    let mut crc = !before;
    for byte in bytes {
        let [low, ..] = crc.to_le_bytes();
        crc = CRC_TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0) ^ (crc >> 8);
    }
    !crc
}

/// Working memory for unpacking; may be used again and again.
pub struct Inflater {
    state: Box<DecompressorOxide>,
    window: Vec<u8>,
    chunk: Vec<u8>,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Inflater").finish_non_exhaustive()
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

/// The bytes of a file as they come, one chunk at a time.
struct Source<'a> {
    read: &'a mut dyn FnMut(&mut [u8]) -> usize,
    chunk: &'a mut [u8],
    at: usize,
    end: usize,
}

impl Source<'_> {
    /// What is there and not yet taken; reads on if that is nothing. Empty at the end of the file.
    fn fill(&mut self) -> &[u8] {
        if self.at >= self.end {
            self.at = 0;
            self.end = (self.read)(self.chunk).min(self.chunk.len());
        }
        self.chunk.get(self.at..self.end).unwrap_or(&[])
    }

    fn take(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    fn byte(&mut self) -> Result<u8, GzipError> {
        let byte = *self.fill().first().ok_or(GzipError::Truncated)?;
        self.take(1);
        Ok(byte)
    }

    fn skip(&mut self, count: usize) -> Result<(), GzipError> {
        for _ in 0..count {
            self.byte()?;
        }
        Ok(())
    }

    fn skip_text(&mut self) -> Result<(), GzipError> {
        for _ in 0..LONGEST_FIELD_BYTES {
            if self.byte()? == 0 {
                return Ok(());
            }
        }
        Err(GzipError::NotGzip)
    }

    fn number(&mut self) -> Result<u32, GzipError> {
        let bytes = [self.byte()?, self.byte()?, self.byte()?, self.byte()?];
        Ok(u32::from_le_bytes(bytes))
    }

    /// The member header, RFC 1952, 2.3.
    fn header(&mut self) -> Result<(), GzipError> {
        let start = [self.byte()?, self.byte()?, self.byte()?];
        let flags = self.byte()?;
        if start != [0x1f, 0x8b, 8] || flags & 0xe0 != 0 {
            return Err(GzipError::NotGzip);
        }
        self.skip(6)?;
        if flags & 4 != 0 {
            let length = u16::from_le_bytes([self.byte()?, self.byte()?]);
            self.skip(usize::from(length))?;
        }
        if flags & 8 != 0 {
            self.skip_text()?;
        }
        if flags & 16 != 0 {
            self.skip_text()?;
        }
        if flags & 2 != 0 {
            self.skip(2)?;
        }
        Ok(())
    }
}

impl Inflater {
    /// Takes the working memory.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Box::default(), window: vec![0; WINDOW_BYTES], chunk: vec![0; CHUNK_BYTES] }
    }

    /// Unpacks one gzip member. `input` fills the buffer that it is given and returns how many bytes it put
    /// there, 0 at the end of the file; `output` is given the unpacked bytes in order and returns whether it
    /// wants more. Gives the number of unpacked bytes.
    ///
    /// # Errors
    /// See [`GzipError`]; what was given to `output` before is then worth nothing.
    pub fn unpack(
        &mut self,
        input: &mut dyn FnMut(&mut [u8]) -> usize,
        output: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<u64, GzipError> {
        let mut source = Source { read: input, chunk: &mut self.chunk, at: 0, end: 0 };
        source.header()?;
        self.state.init();
        let (mut crc, mut length, mut at) = (0, 0_u64, 0_usize);
        loop {
            let input = source.fill();
            let flags = if input.is_empty() { 0 } else { TINFL_FLAG_HAS_MORE_INPUT };
            let (status, taken, made) = decompress(&mut self.state, input, &mut self.window, at, flags);
            source.take(taken);
            let bytes = self.window.get(at..at.saturating_add(made)).ok_or(GzipError::Corrupt)?;
            crc = crc32(crc, bytes);
            length = length.saturating_add(u64::try_from(made).unwrap_or(0));
            if !bytes.is_empty() && !output(bytes) {
                return Err(GzipError::Stopped);
            }
            at = at.saturating_add(made) & WINDOW_BYTES.wrapping_sub(1);
            match status {
                TINFLStatus::Done => break,
                TINFLStatus::HasMoreOutput | TINFLStatus::NeedsMoreInput => {}
                TINFLStatus::FailedCannotMakeProgress => return Err(GzipError::Truncated),
                _ => return Err(GzipError::Corrupt),
            }
        }
        if source.number()? != crc {
            return Err(GzipError::Checksum);
        }
        if u64::from(source.number()?) != length & 0xffff_ffff {
            return Err(GzipError::Length);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
