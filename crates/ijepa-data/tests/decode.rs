//! Decoding: every format, Pillow's conversions to RGB, and files that are damaged.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::Cursor;

use ijepa_data::{DataError, Decoding, Orientation, RgbImage8, SixteenBit, decode, decode_as};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, RgbImage};
use image::{Rgb, Rgba, RgbaImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;

/// Files and what Pillow makes of them; `golden/files.py` says how.
const GOLDEN: &[u8] = include_bytes!("golden/files.safetensors");

const FORMATS: [ImageFormat; 7] = [
    ImageFormat::Gif,
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::Bmp,
    ImageFormat::Pnm,
    ImageFormat::WebP,
    ImageFormat::Tiff,
];

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A picture with smooth and busy parts, 23 x 17.
fn picture() -> RgbImage {
    RgbImage::from_fn(23, 17, |x, y| {
        Rgb([(x * 11) as u8, (y * 15) as u8, (x * y * 3 % 256) as u8])
    })
}

#[test]
fn every_format_is_decoded() {
    for format in FORMATS {
        let decoded = decode(&encode(picture(), format), "picture").unwrap();
        assert_eq!((decoded.width(), decoded.height()), (23, 17), "{format:?}");
        // A GIF has 256 colours.
        if !matches!(format, ImageFormat::Jpeg | ImageFormat::Gif) {
            assert_eq!(
                decoded.pixels(),
                picture().as_raw().as_slice(),
                "{format:?}"
            );
        }
    }
}

#[test]
fn conversion_to_rgb_is_pillows() {
    let check = |image: DynamicImage, expected: [u8; 3]| {
        let decoded = decode(&encode(image, ImageFormat::Png), "pixel").unwrap();
        assert_eq!(decoded.pixel(0, 0), expected);
    };
    check(GrayImage::from_pixel(2, 2, Luma([77])).into(), [77; 3]);
    check(
        GrayAlphaImage::from_pixel(2, 2, image::LumaA([77, 3])).into(),
        [77; 3],
    );
    check(
        RgbaImage::from_pixel(2, 2, Rgba([10, 20, 30, 0])).into(),
        [10, 20, 30],
    );
    // 0x7fff rounds to 128 but its high byte, which Pillow keeps of colours, is 127. Of grey,
    // Pillow makes white of all that is above 255, which would be a white picture.
    check(
        DynamicImage::ImageLuma16(ImageBuffer::from_pixel(2, 2, Luma([0x7fff]))),
        [127; 3],
    );
    let wide = ImageBuffer::from_pixel(2, 2, Rgb([0x7fffu16, 0xffff, 0x01ff]));
    check(DynamicImage::ImageRgb16(wide), [127, 255, 1]);
    let wide = ImageBuffer::from_pixel(2, 2, Rgba([0x7fffu16, 0xffff, 0x01ff, 0]));
    check(DynamicImage::ImageRgba16(wide), [127, 255, 1]);
}

#[test]
fn palettes_are_looked_up() {
    // A 1x1 BMP of 8 bits a pixel whose only palette entry is blue 7, green 8, red 9.
    let mut bmp = b"BM".to_vec();
    for word in [62u32, 0, 58, 40, 1, 1, 1 | 8 << 16, 0, 4, 0, 0, 1, 0] {
        bmp.extend(word.to_le_bytes());
    }
    bmp.extend([7, 8, 9, 0, 0, 0, 0, 0]);
    assert_eq!(decode(&bmp, "palette.bmp").unwrap().pixel(0, 0), [9, 8, 7]);
}

#[test]
fn a_truncated_file_is_an_error() {
    for format in FORMATS {
        let bytes = encode(picture(), format);
        for length in 0..bytes.len() * 9 / 10 {
            let result = decode(&bytes[..length], "cut");
            assert!(
                result.is_err(),
                "{format:?} cut to {length} of {} bytes",
                bytes.len()
            );
        }
    }
    let jpeg = encode(picture(), ImageFormat::Jpeg);
    let error = decode(&jpeg[..jpeg.len() - 2], "cut.jpg").unwrap_err();
    assert!(matches!(error, DataError::Truncated { found, .. } if found == jpeg.len() - 2));
}

#[test]
fn a_thumbnails_end_marker_does_not_count() {
    let jpeg = encode(picture(), ImageFormat::Jpeg);
    let mut with_thumbnail = jpeg[..2].to_vec();
    with_thumbnail.extend([0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9]);
    with_thumbnail.extend(&jpeg[2..]);
    assert!(decode(&with_thumbnail, "whole.jpg").is_ok());
    let cut = &with_thumbnail[..with_thumbnail.len() - 40];
    assert!(matches!(
        decode(cut, "cut.jpg"),
        Err(DataError::Truncated { .. })
    ));
}

#[test]
fn flipped_bits_never_panic() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for format in FORMATS {
        let bytes = encode(picture(), format);
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..rng.random_range(1..6) {
                // Headers decide sizes, so half of the damage goes there.
                let end = if rng.random() {
                    64.min(bytes.len())
                } else {
                    bytes.len()
                };
                damaged[rng.random_range(0..end)] ^= 1 << rng.random_range(0..8);
            }
            if let Ok(image) = decode(&damaged, "damaged") {
                assert_eq!(image.pixels().len(), image.width() * image.height() * 3);
            }
        }
    }
}

#[test]
fn a_small_file_cannot_ask_for_gigabytes() {
    let side = 30_000u32;
    let ppm = format!("P6 {side} {side} 255\n").into_bytes();
    let too_many = |file: &[u8]| {
        let error = decode(file, "huge").unwrap_err();
        assert!(
            matches!(error, DataError::TooManyPixels { width, height, .. }
                if [width, height] == [side; 2]),
            "{error}"
        );
    };
    too_many(&ppm);

    let mut png = encode(picture(), ImageFormat::Png);
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    too_many(&png);
    let mut gif = encode(picture(), ImageFormat::Gif);
    gif[6..10].fill(0x75);
    let error = decode(&gif, "huge.gif").unwrap_err();
    assert!(matches!(error, DataError::TooManyPixels { .. }), "{error}");
}

fn golden(name: &str) -> (Vec<usize>, Vec<u8>) {
    let golden = SafeTensors::deserialize(GOLDEN).unwrap();
    let tensor = golden.tensor(name).unwrap();
    (tensor.shape().to_vec(), tensor.data().to_vec())
}

/// The largest difference of levels between a decoded file and what Pillow makes of it.
fn worst(found: &RgbImage8, expected: &str) -> u8 {
    let (shape, expected) = golden(expected);
    assert_eq!(shape, [found.height(), found.width(), 3]);
    let pairs = found.pixels().iter().zip(&expected);
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn files_become_pillows_pixels() {
    let mut found = String::new();
    let mut too_far = false;
    for (name, tolerance) in PILLOW {
        let (_, file) = golden(&format!("{name}|file"));
        let image = decode(&file, name).unwrap();
        let worst = worst(&image, &format!("{name}|rgb"));
        too_far |= worst > tolerance;
        found += &format!("{name}: {worst} of {tolerance}\n");
    }
    assert!(!too_far, "{found}");
}

/// Files, and the difference of levels that is allowed: none but where numbers are rounded.
const PILLOW: [(&str, u8); 27] = [
    ("jpeg_420", 3),
    ("jpeg_422", 3),
    ("jpeg_444", 2),
    ("jpeg_progressive", 3),
    ("jpeg_grey", 1),
    ("jpeg_cmyk", 1),
    ("jpeg_turned", 3),
    ("png_turned", 0),
    ("webp_turned", 0),
    ("png_palette", 0),
    ("gif", 0),
    ("gif_grey", 0),
    ("gif_small_frame", 0),
    ("gif_animated", 0),
    ("tiff_palette", 0),
    ("tiff_palette_lzw", 0),
    ("tiff_bit", 0),
    ("tiff_big", 0),
    ("tiff_big_palette", 0),
    ("tiff_zstd", 0),
    ("tiff_lzw", 0),
    ("tiff_deflate", 0),
    ("tiff_packbits", 0),
    ("tiff_jpeg", 3),
    ("tiff_ycbcr", 1),
    ("tiff_cmyk", 0),
    ("tiff_turned", 0),
];

#[test]
fn grey_of_sixteen_bits_keeps_its_high_byte_where_pillow_clips() {
    let (_, file) = golden("png_grey_16|file");
    let image = decode(&file, "grey.png").unwrap();
    let (_, clipped) = golden("png_grey_16|rgb");
    for (at, level) in clipped.into_iter().enumerate() {
        let (row, column) = (at / 3 / image.width(), at / 3 % image.width());
        let sample = row * 7000 + column * 331;
        assert_eq!(usize::from(level), sample.min(255));
        assert_eq!(usize::from(image.pixels()[at]), sample >> 8);
    }
}

#[test]
fn orientation_is_obeyed_on_demand() {
    let upright = Decoding {
        orientation: Orientation::Exif,
        ..Decoding::default()
    };
    for (name, tolerance) in [
        ("jpeg_turned", 3),
        ("png_turned", 0),
        ("webp_turned", 0),
        ("tiff_turned", 0),
    ] {
        let (_, file) = golden(&format!("{name}|file"));
        let image = decode_as(&file, name, upright).unwrap();
        let image = image.into_rgb8().unwrap();
        let worst = worst(&image, &format!("{name}|turned"));
        assert!(worst <= tolerance, "{name}: {worst}");
    }
}

#[test]
fn a_large_flat_picture_in_a_small_file_is_read() {
    let (_, file) = golden("webp_flat|file");
    let image = decode(&file, "flat.webp").unwrap();
    assert_eq!((image.width(), image.height()), (2700, 2700));
    assert_eq!(image.pixel(2699, 2699), [7, 80, 200]);
}

#[test]
fn twelve_bits_are_stretched_on_demand() {
    let image = ImageBuffer::from_fn(3, 1, |x, _| Luma([[0u16, 2048, 4095][x as usize]]));
    let png = encode(DynamicImage::ImageLuma16(image), ImageFormat::Png);
    let levels = |sixteen_bit| {
        let decoding = Decoding {
            sixteen_bit,
            ..Decoding::default()
        };
        let image = decode_as(&png, "twelve.png", decoding).unwrap();
        let image = image.into_rgb8().unwrap();
        [0, 1, 2].map(|x| image.pixel(x, 0)[0])
    };
    assert_eq!(levels(SixteenBit::HighByte), [0, 8, 15]);
    assert_eq!(levels(SixteenBit::Scale), [0, 128, 255]);
    // Alpha says nothing about the range.
    let clear = ImageBuffer::from_pixel(1, 1, Rgba([4095u16, 0, 2048, 65535]));
    let png = encode(DynamicImage::ImageRgba16(clear), ImageFormat::Png);
    let scaled = Decoding {
        sixteen_bit: SixteenBit::Scale,
        ..Decoding::default()
    };
    let clear = decode_as(&png, "clear.png", scaled).unwrap();
    let pixel = clear.into_rgb8().unwrap().pixel(0, 0);
    assert_eq!(pixel, [255, 0, 128]);
}

#[test]
fn other_kinds_are_named() {
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    let error = decode(heic, "phone.jpg").unwrap_err();
    let expected = "image `phone.jpg` is HEIC, which is not read";
    assert_eq!(error.to_string(), expected);
    // JPEG as it was before the sixth version of TIFF.
    let mut old = encode(picture(), ImageFormat::Tiff);
    let compression = old
        .windows(8)
        .position(|entry| entry == [3, 1, 3, 0, 1, 0, 0, 0]);
    old[compression.unwrap() + 8] = 6;
    let error = decode(&old, "old.tif").unwrap_err().to_string();
    assert!(
        error.starts_with("image `old.tif` is ") && error.contains("JPEG"),
        "{error}"
    );
}

#[test]
fn messages_name_the_image() {
    let error = decode(b"plain text", "train/notes.jpg").unwrap_err();
    assert_eq!(error.to_string(), "cannot decode image `train/notes.jpg`");
    let error = decode(b"\xff\xd8\xff\xe0", "a.jpg").unwrap_err();
    assert_eq!(
        error.to_string(),
        "image `a.jpg` is truncated: 4 bytes without an end-of-image marker"
    );
}

/// The checksum of a PNG chunk, without which the changed header would be refused for it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            0xedb8_8320 ^ (crc >> 1)
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[cfg(feature = "turbojpeg")]
mod parts {
    use ijepa_data::{
        CropRect, Decode, FetchError, Fetched, Filter, ImageReader, Reading, Source, View,
    };

    use super::*;

    /// JPEG files and what Pillow makes of parts of them; `golden/jpeg.py` says how.
    const GOLDEN: &[u8] = include_bytes!("golden/jpeg.safetensors");

    /// One file.
    #[derive(Debug)]
    struct File<'a>(&'a [u8]);

    impl Source for File<'_> {
        fn len(&self) -> usize {
            1
        }

        fn label(&self, _: usize) -> Option<u32> {
            None
        }

        fn name(&self, _: usize) -> String {
            "file".to_owned()
        }

        fn fetch(&self, _: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
            *buffer = self.0.to_vec();
            Ok(Fetched::File)
        }

        fn classes(&self) -> &[String] {
            &[]
        }
    }

    fn read(bytes: &[u8], decode: Decode, view: View) -> Result<RgbImage8, FetchError> {
        let decoding = Decoding {
            decode,
            ..Decoding::default()
        };
        let reader = ImageReader::new(Reading {
            decoding,
            ..Reading::default()
        });
        let image = reader.read(&File(bytes), 0, &|| false, |_, _| Ok(view))?;
        Ok(image.into_rgb8().unwrap())
    }

    fn view(rect: [usize; 4], size: [usize; 2]) -> View {
        let [left, top, width, height] = rect;
        let part = CropRect {
            top,
            left,
            height,
            width,
        };
        View {
            part,
            size,
            filter: Filter::Bilinear,
            kept: None,
        }
    }

    #[test]
    fn resized_parts_are_pillows_within_one_level() {
        let golden = SafeTensors::deserialize(GOLDEN).unwrap();
        let mut cases = 0;
        for (name, expected) in golden.tensors() {
            let Some((kind, rect)) = name.split_once('|') else {
                continue;
            };
            let rect: Vec<usize> = rect.split(',').map(|side| side.parse().unwrap()).collect();
            let file = golden.tensor(kind).unwrap();
            let view = view(
                rect.try_into().unwrap(),
                [expected.shape()[0], expected.shape()[1]],
            );
            let found = read(file.data(), Decode::Exact, view).unwrap();
            let pairs = found.pixels().iter().zip(expected.data());
            let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= 1, "{name} differs by {worst}");
            cases += 1;
        }
        assert_eq!(cases, 30);
    }

    #[test]
    fn parts_have_the_pixels_of_the_whole() {
        let golden = SafeTensors::deserialize(GOLDEN).unwrap();
        for kind in ["444", "422", "420", "progressive", "restarts", "grey"] {
            let file = golden.tensor(kind).unwrap();
            let whole = decode(file.data(), kind).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            for _ in 0..200 {
                let [left, top] = [149, 117].map(|side| rng.random_range(0..side));
                let [width, height] =
                    [149 - left, 117 - top].map(|most| rng.random_range(1..=most));
                let view = view([left, top, width, height], [height, width]);
                let found = read(file.data(), Decode::Exact, view).unwrap();
                assert!(found == view.of(&whole).unwrap(), "{kind} {view:?}");
            }
        }
    }

    #[test]
    fn fast_parts_are_near_the_exact_ones_and_exact_where_nothing_can_be_left_out() {
        let golden = SafeTensors::deserialize(GOLDEN).unwrap();
        for (rect, size, scaled) in [
            ([8, 5, 120, 104], [26, 30], true),
            ([8, 5, 120, 104], [13, 15], true),
            ([33, 0, 116, 117], [9, 11], true),
            ([33, 1, 59, 70], [30, 30], false),
        ] {
            for kind in ["444", "422", "420", "progressive", "grey"] {
                let file = golden.tensor(kind).unwrap();
                let view = view(rect, size);
                let exact = read(file.data(), Decode::Exact, view).unwrap();
                let fast = read(file.data(), Decode::Fast, view).unwrap();
                let pairs = exact.pixels().iter().zip(fast.pixels());
                let sum: u32 = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
                let mean = f64::from(sum) / exact.pixels().len() as f64;
                assert!(mean < 4.0, "{kind} {view:?}: {mean} levels");
                assert_eq!(exact != fast, scaled, "{kind} {view:?}");
            }
        }
    }

    #[test]
    fn what_the_library_warns_of_is_judged_as_in_other_builds() {
        let golden = SafeTensors::deserialize(GOLDEN).unwrap();
        let mut file = golden.tensor("420").unwrap().data().to_vec();
        // Bytes that belong to nothing, before the end of the image.
        let end = file.len() - 2;
        file.splice(end..end, [0xff, 0xc7, 0x12, 0x34]);
        let view = view([0, 0, 149, 117], [20, 20]);
        assert!(read(&file, Decode::Exact, view).is_ok());
        let outside = self::view([140, 0, 10, 10], [4, 4]);
        assert!(matches!(
            read(&file, Decode::Exact, outside),
            Err(FetchError::Corrupt(DataError::CropBox { .. }))
        ));
    }
}
