//! From samples of 16 bits to samples of 8.

use super::SixteenBit;

/// Turns `samples` into bytes; `significant` are the bits that the file claims to have.
pub(super) fn narrow(samples: &[u16], how: SixteenBit, significant: Option<u8>) -> Vec<u8> {
    match how {
        // What keeps all bits does not come here.
        SixteenBit::HighByte | SixteenBit::Keep => {
            samples.iter().map(|&sample| (sample >> 8) as u8).collect()
        }
        SixteenBit::Scale => {
            let largest = samples.iter().copied().max().unwrap_or(0);
            let bits = (16 - largest.leading_zeros()).max(significant.map_or(8, u32::from));
            let white = (1u32 << bits.clamp(8, 16)) - 1;
            let level = |&sample: &u16| ((u32::from(sample) * 255 + white / 2) / white) as u8;
            samples.iter().map(level).collect()
        }
    }
}

/// The largest number of significant bits that the `sBIT` chunk of a PNG file names.
pub(super) fn significant_bits(png: &[u8]) -> Option<u8> {
    const SIGNATURE: usize = 8;
    let mut rest = png.get(SIGNATURE..)?;
    loop {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (kind, tail) = tail.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        match kind {
            // It comes before the pixels, and 16-bit pictures have no palette.
            b"IDAT" | b"IEND" => return None,
            b"sBIT" => return tail.get(..length)?.iter().copied().max(),
            // A checksum follows the data.
            _ => rest = tail.get(length.checked_add(4)?..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_follows_the_range() {
        let scaled = |samples: &[u16], bits| narrow(samples, SixteenBit::Scale, bits);
        assert_eq!(scaled(&[0, 2048, 4095], None), [0, 128, 255]);
        assert_eq!(scaled(&[0, 4096], None), [0, 128]);
        assert_eq!(scaled(&[255, 3], None), [255, 3]);
        assert_eq!(scaled(&[1000], Some(12)), [62]);
        // Samples beyond what the file claims decide.
        assert_eq!(scaled(&[65535, 4095], Some(12)), [255, 16]);
        assert_eq!(scaled(&[65535], Some(200)), [255]);
        assert_eq!(
            narrow(&[0x7fff, 0x00ff], SixteenBit::HighByte, None),
            [0x7f, 0]
        );
    }

    #[test]
    fn significant_bits_are_found_before_the_pixels() {
        let png = |chunks: &[(&[u8; 4], &[u8])]| {
            let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
            for (kind, data) in chunks {
                bytes.extend((data.len() as u32).to_be_bytes());
                bytes.extend(*kind);
                bytes.extend(*data);
                bytes.extend([0; 4]);
            }
            bytes
        };
        let header = (b"IHDR", &[0; 13][..]);
        let named = png(&[header, (b"sBIT", &[10, 12, 11])]);
        assert_eq!(significant_bits(&named), Some(12));
        let late = png(&[header, (b"IDAT", &[1]), (b"sBIT", &[12])]);
        assert_eq!(significant_bits(&late), None);
        for length in 0..named.len() - 4 {
            assert_eq!(significant_bits(&named[..length]), None, "{length}");
        }
    }
}
