//! Image files of every kind, whole and in part, as every choice there is.

#![no_main]

use ijepa_data::{
    CropRect, DataError, Decode, Decoding, FetchError, Fetched, Filter, ImageReader, Orientation,
    Reading, SixteenBit, Source, View, decode_as, extension, size,
};
use ijepa_fuzz::{FREE, check};
use libfuzzer_sys::fuzz_target;

/// What decoding may take beside the pixels and the file, and pixels of an image that is decoded.
const BESIDE: usize = 64 << 20;
const MOST_PIXELS: u64 = 1 << 18;
/// Bytes of a pixel on its way: 16 channels of floats, and what they are made of.
const PIXEL: u64 = 16 * 8;

/// Bytes before the file that say what is made of it.
const CHOICES: usize = 8;

fuzz_target!(|input: &[u8]| {
    let Some((choices, file)) = input.split_first_chunk::<CHOICES>() else {
        return;
    };
    let mut pixels = 0;
    check(file, FREE + BESIDE, 32, || {
        let _ = extension(file);
        pixels = size(file).map_or(0, |[width, height]| width.saturating_mul(height));
    });
    if pixels <= MOST_PIXELS {
        let free = FREE + BESIDE + (pixels * PIXEL) as usize;
        check(file, free, 32, || decode(*choices, file));
    }
});

fn decode([channels, how, part @ ..]: [u8; CHOICES], file: &[u8]) {
    let decoding = Decoding {
        decode: [Decode::Exact, Decode::Fast][usize::from(how & 1)],
        orientation: [Orientation::Ignore, Orientation::Exif][usize::from(how >> 1 & 1)],
        sixteen_bit: [SixteenBit::HighByte, SixteenBit::Scale, SixteenBit::Keep]
            [usize::from(how >> 2) % 3],
        channels: usize::from(channels % 17),
    };
    if let Ok(image) = decode_as(file, "input", decoding) {
        let pixels = image.width() * image.height();
        assert_eq!(image.bytes().len(), pixels * decoding.pixel_bytes());
    }
    let reader = ImageReader::new(Reading {
        decoding,
        ..Reading::default()
    });
    let view = |width, height| Ok::<_, DataError>(view(part, width, height));
    if let Ok(shown) = reader.read(&Only(file.to_vec()), 0, &|| false, view) {
        assert!(shown.width() <= 256 && shown.height() <= 256);
    }
}

/// A part of an image of this size, also one that leaves it.
fn view([top, left, height, width, size, side]: [u8; 6], columns: usize, rows: usize) -> View {
    let share = |part: u8, whole: usize| usize::from(part) * whole / 200;
    View {
        part: CropRect {
            top: share(top, rows),
            left: share(left, columns),
            height: share(height, rows),
            width: share(width, columns),
        },
        size: [size.into(), side.into()],
        filter: Filter::Bilinear,
        kept: None,
    }
}

/// A source of one image.
#[derive(Debug)]
struct Only(Vec<u8>);

impl Source for Only {
    fn len(&self) -> usize {
        1
    }

    fn name(&self, _: usize) -> String {
        "input".to_owned()
    }

    fn fetch(&self, _: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        buffer.clone_from(&self.0);
        Ok(Fetched::File)
    }
}
