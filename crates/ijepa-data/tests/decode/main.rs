//! Decoding: every format, Pillow's conversions to RGB, and files that are damaged.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod damaged;
mod formats;
#[cfg(feature = "turbojpeg")]
mod parts;
mod pillow;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

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
