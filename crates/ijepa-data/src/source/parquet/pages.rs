//! A look at the page headers of a column before a library trusts them.

use std::io::{self, Read};

use brotli_decompressor::Decompressor;
use parquet::basic::Compression;

use super::thrift::{Compact, I32, MAX_DEPTH, STRUCT};

/// Decoded bytes that any page may have, and those that one byte of it justifies beyond.
///
/// Snappy cannot pass 22 to 1, LZ4 255 and Deflate 1032, whatever is announced. Zstandard and
/// Brotli write a page of one value, which is a megabyte as a rule, in a few bytes.
fn justified(codec: Compression) -> (u64, u64) {
    match codec {
        Compression::UNCOMPRESSED | Compression::SNAPPY => (4096, 64),
        _ => (16 << 20, 1032),
    }
}

/// A page that announces more than it can hold, or holds more than it announces.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadPage {
    /// The header cannot be read, or the page leaves the column.
    Broken,
    /// A size, and the largest that is possible.
    TooLarge { found: u64, possible: u64 },
}

/// Walks over the pages of a column chunk, and counts the bytes that they are when they are
/// decoded.
///
/// The Parquet library allocates, and fills, as many bytes as a page header announces: up to
/// 2 GiB for a file of a few bytes. Of Brotli it decodes whatever there is, without end, so pages
/// of Brotli are decoded here first, and nothing of them is kept.
pub(super) fn check(chunk: &[u8], codec: Compression) -> Result<usize, BadPage> {
    let (free, expansion) = justified(codec);
    let (mut rest, mut decoded) = (Compact(chunk), 0usize);
    while !rest.0.is_empty() {
        let header = PageHeader::read(&mut rest).ok_or(BadPage::Broken)?;
        let page = rest.take(header.compressed).ok_or(BadPage::Broken)?;
        let possible = (header.compressed as u64).saturating_mul(expansion) + free;
        if header.uncompressed > possible {
            return Err(BadPage::TooLarge {
                found: header.uncompressed,
                possible,
            });
        }
        if matches!(codec, Compression::BROTLI(_)) {
            header.check_brotli(page)?;
        }
        decoded = decoded.saturating_add(header.uncompressed as usize);
    }
    Ok(decoded)
}

/// The sizes in a page header, in bytes.
#[derive(Default)]
struct PageHeader {
    uncompressed: u64,
    compressed: usize,
    /// What is never compressed, at the beginning.
    levels: u64,
}

impl PageHeader {
    fn read(from: &mut Compact<'_>) -> Option<Self> {
        const UNCOMPRESSED_SIZE: u64 = 2;
        const COMPRESSED_SIZE: u64 = 3;
        const DATA_PAGE_V2: u64 = 8;
        let mut header = Self::default();
        let mut field = 0;
        while let Some(kind) = from.field(&mut field)? {
            match (field, kind) {
                (UNCOMPRESSED_SIZE, I32) => header.uncompressed = from.size()?,
                (COMPRESSED_SIZE, I32) => header.compressed = from.size()?.try_into().ok()?,
                (DATA_PAGE_V2, STRUCT) => header.levels = Self::uncompressed_levels(from)?,
                _ => from.skip(kind, MAX_DEPTH)?,
            }
        }
        Some(header)
    }

    /// The bytes that a page of the second version does not compress: those of its levels, or all.
    fn uncompressed_levels(from: &mut Compact<'_>) -> Option<u64> {
        const DEFINITION_LEVELS: u64 = 5;
        const REPETITION_LEVELS: u64 = 6;
        const IS_COMPRESSED: u64 = 7;
        const FALSE: u8 = 2;
        let (mut field, mut levels) = (0, 0u64);
        while let Some(kind) = from.field(&mut field)? {
            match (field, kind) {
                (DEFINITION_LEVELS | REPETITION_LEVELS, I32) => {
                    levels = levels.saturating_add(from.size()?);
                }
                (IS_COMPRESSED, FALSE) => levels = u64::MAX,
                _ => from.skip(kind, MAX_DEPTH)?,
            }
        }
        Some(levels)
    }

    /// Refuses a page that decodes to more than it announces.
    fn check_brotli(&self, page: &[u8]) -> Result<(), BadPage> {
        const BUFFER: usize = 4096;
        let levels = usize::try_from(self.levels).unwrap_or(usize::MAX);
        let compressed = page.get(levels..).unwrap_or_default();
        let most = self.uncompressed.saturating_sub(self.levels);
        let mut decoded = Decompressor::new(compressed, BUFFER).take(most + 1);
        // The library reports what cannot be decoded.
        match io::copy(&mut decoded, &mut io::sink()) {
            Ok(found) if found > most => Err(BadPage::TooLarge {
                found,
                possible: most,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_snappy(chunk: &[u8]) -> Result<usize, BadPage> {
        check(chunk, Compression::SNAPPY)
    }

    /// A data page header announcing the two sizes, each below 64 or written as a varint.
    fn header(uncompressed: &[u8], compressed: &[u8]) -> Vec<u8> {
        // Field 1 (type) is 0; field 5 is a structure with a list of two booleans and a text.
        let rest = [0x2c, 0x19, 0x21, 1, 2, 0x18, 2, b'h', b'i', 0x00, 0x00];
        [
            &[0x15, 0x00, 0x15],
            uncompressed,
            &[0x15],
            compressed,
            &rest,
        ]
        .concat()
    }

    #[test]
    fn honest_pages_pass_one_after_another() {
        let mut chunk = header(&[20], &[6]);
        chunk.extend([1, 2, 3]);
        chunk.extend(header(&[0], &[0]));
        assert_eq!(check_snappy(&chunk), Ok(10));
        assert_eq!(check_snappy(&[]), Ok(0));
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let mut chunk = header(&[0xfe, 0xff, 0xff, 0xff, 0x0f], &[2]);
        chunk.push(7);
        let found = i32::MAX as u64;
        assert_eq!(
            check_snappy(&chunk),
            Err(BadPage::TooLarge {
                found,
                possible: 64 + 4096
            })
        );
        assert_eq!(check_snappy(&header(&[2], &[2])), Err(BadPage::Broken));
        assert_eq!(check_snappy(&header(&[1], &[0])), Err(BadPage::Broken));
    }

    /// A megabyte of zeros.
    const BROTLI: [u8; 14] = [91, 255, 255, 143, 127, 2, 32, 30, 11, 4, 114, 239, 31, 0];

    #[test]
    fn brotli_of_more_than_is_announced_is_refused() {
        let codec = Compression::BROTLI(Default::default());
        let of = |announced: u64, levels: &[u8]| {
            // Zigzag, seven bits a byte, of which all but the last have the eighth.
            let bits = |shift: u32| ((2 * announced) >> shift) as u8 & 0x7f;
            let size = [bits(0) | 0x80, bits(7) | 0x80, bits(14) | 0x80, bits(21)];
            let compressed = 2 * (BROTLI.len() + levels.len()) as u8;
            let mut page = [&[0x15, 6, 0x15], &size[..], &[0x15, compressed]].concat();
            // Field 8 has the bytes of definition levels in field 5.
            page.extend([0x5c, 0x55, 2 * levels.len() as u8, 0, 0]);
            page.extend_from_slice(levels);
            page.extend(BROTLI);
            check(&page, codec)
        };
        assert_eq!(of(1 << 20, &[]), Ok(1 << 20));
        assert_eq!(of((1 << 20) + 3, &[1, 1, 1]), Ok((1 << 20) + 3));
        let (found, possible) = (1 << 20, (1 << 20) - 1);
        assert_eq!(
            of(possible, &[]),
            Err(BadPage::TooLarge { found, possible })
        );
        let refused = Err(BadPage::TooLarge { found, possible });
        assert_eq!(of(possible + 3, &[1, 1, 1]), refused);
        assert_eq!(
            of(9, &[]),
            Err(BadPage::TooLarge {
                found: 10,
                possible: 9
            })
        );
    }

    #[test]
    fn every_truncation_and_endless_nesting_are_refused() {
        let whole = header(&[2], &[0]);
        for length in 1..whole.len() {
            assert_eq!(
                check_snappy(&whole[..length]),
                Err(BadPage::Broken),
                "{length}"
            );
        }
        assert_eq!(check_snappy(&[0x1c; 100]), Err(BadPage::Broken));
        assert_eq!(check_snappy(&[0xff; 100]), Err(BadPage::Broken));
    }
}
