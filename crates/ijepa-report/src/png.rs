//! Pictures as files.

use ijepa_masking::RgbPicture;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

/// `picture` as the bytes of a PNG file.
///
/// # Panics
///
/// Panics if the picture is empty or has not as many pixels as it says.
pub fn png(picture: &RgbPicture) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (width, height) = (picture.width as u32, picture.height as u32);
    PngEncoder::new(&mut bytes)
        .write_image(&picture.pixels, width, height, ExtendedColorType::Rgb8)
        .expect("a picture has as many pixels as it says, and memory takes them all");
    bytes
}
