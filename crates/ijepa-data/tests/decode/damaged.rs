//! Files that are cut, changed, hostile or something else.

use ijepa_data::{DataError, ImageError, decode};
use image::ImageFormat;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{FORMATS, encode, picture};

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
    assert!(
        matches!(error, DataError::Image(ImageError::Truncated { found, .. }) if found == jpeg.len() - 2)
    );
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
        Err(DataError::Image(ImageError::Truncated { .. }))
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
            matches!(error, DataError::Image(ImageError::TooManyPixels { width, height, .. })
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
    assert!(
        matches!(error, DataError::Image(ImageError::TooManyPixels { .. })),
        "{error}"
    );
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
