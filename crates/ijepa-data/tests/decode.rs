//! Decoding: every format, Pillow's conversions to RGB, and files that are damaged.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::Cursor;

use ijepa_data::{DataError, decode};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, RgbImage};
use image::{Rgb, Rgba, RgbaImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FORMATS: [ImageFormat; 6] = [
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
        if format != ImageFormat::Jpeg {
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
    // 0x7fff rounds to 128 but its high byte, which Pillow keeps, is 127.
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
    assert!(matches!(
        decode(&ppm, "huge.ppm"),
        Err(DataError::Decode { .. })
    ));

    let mut png = encode(picture(), ImageFormat::Png);
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let error = decode(&png, "huge.png").unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.to_lowercase().contains("limit"), "{cause}");
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
