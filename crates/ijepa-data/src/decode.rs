//! Encoded bytes to RGB pixels, as Pillow's `Image.open(...).convert("RGB")` gives them.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{DynamicImage, ImageFormat, ImageReader, Limits};

use crate::error::DataError;
use crate::image::RgbImage8;

/// Bytes any image may take while it is decoded, however small its file.
const FREE_BYTES: u64 = 16 << 20;
/// Decoded bytes that one byte of a file can justify; Deflate cannot pass 1032 to 1.
const BYTES_PER_FILE_BYTE: u64 = 2048;
/// Bytes that no image may pass: the size where Pillow suspects a decompression bomb.
const MAX_BYTES: u64 = 3 * 178_956_970;
/// Pixels a side.
const MAX_SIDE: u32 = 65_535;

/// Decodes a JPEG, PNG, BMP, PNM, WebP or TIFF file, recognised by its first bytes.
///
/// Grey becomes three equal channels, palettes are looked up, alpha is dropped without blending,
/// and of 16-bit samples the high byte is kept. Orientation tags are ignored, as by the official
/// data pipeline. `name` is the image's path or id and only appears in errors.
///
/// A damaged file never panics, and memory is bounded by the file's own size: headers that
/// announce far more pixels than the file can hold are refused before anything is allocated.
/// JPEG files without an end-of-image marker count as truncated.
///
/// # Errors
///
/// [`DataError::Truncated`], [`DataError::Decode`] or [`DataError::DecoderPanic`].
///
/// # Examples
///
/// ```
/// let image = ijepa_data::decode(b"P6 2 1 255\n\xff\0\0\0\0\xff", "two pixels")?;
/// assert_eq!((image.width(), image.height()), (2, 1));
/// assert!(ijepa_data::decode(b"no image", "notes.txt").is_err());
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
pub fn decode(bytes: &[u8], name: &str) -> Result<RgbImage8, DataError> {
    let format = image::guess_format(bytes).map_err(|cause| decode_error(name, cause))?;
    if format == ImageFormat::Jpeg && !has_end_of_image(bytes) {
        return Err(DataError::Truncated {
            name: name.to_owned(),
            found: bytes.len(),
        });
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    let justified = (bytes.len() as u64).saturating_mul(BYTES_PER_FILE_BYTE);
    limits.max_alloc = Some((FREE_BYTES + justified).min(MAX_BYTES));

    let decoded = guard(name, || {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits);
        reader.decode().map(into_rgb)
    })?;
    let (width, height, pixels) = decoded.map_err(|cause| decode_error(name, cause))?;
    RgbImage8::new(width, height, pixels)
}

/// Columns and rows that the header of an image file announces; none if it announces none.
pub fn size(bytes: &[u8]) -> Option<[u64; 2]> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let dimensions = || reader.ok()?.into_dimensions().ok();
    let [width, height] = guard("", dimensions).ok().flatten()?.into();
    Some([u64::from(width), u64::from(height)])
}

/// Runs a third-party decoder and turns its panic into an error.
///
/// Decoders index by values read from the file; the rare one that misses a check must cost one
/// image of a long run, not the run.
pub(crate) fn guard<T>(name: &str, work: impl FnOnce() -> T) -> Result<T, DataError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let why = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (None, Some(text)) => text.clone(),
            (None, None) => "no reason given".to_owned(),
        };
        DataError::DecoderPanic {
            name: name.to_owned(),
            why: why.replace('\n', " "),
        }
    })
}

fn decode_error(name: &str, cause: image::ImageError) -> DataError {
    DataError::Decode {
        name: name.to_owned(),
        source: Box::new(cause),
    }
}

fn into_rgb(image: DynamicImage) -> (usize, usize, Vec<u8>) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    // The library rounds 16-bit samples to the nearest level; Pillow keeps their high byte.
    let high = |sample: u16| (sample >> 8) as u8;
    let pixels = match image {
        DynamicImage::ImageRgb16(buffer) => buffer.into_raw().into_iter().map(high).collect(),
        DynamicImage::ImageRgba16(buffer) => buffer
            .pixels()
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]].map(high))
            .collect(),
        DynamicImage::ImageLuma16(buffer) => buffer
            .into_raw()
            .into_iter()
            .flat_map(|grey| [high(grey); 3])
            .collect(),
        DynamicImage::ImageLumaA16(buffer) => buffer
            .pixels()
            .flat_map(|pixel| [high(pixel[0]); 3])
            .collect(),
        other => other.into_rgb8().into_raw(),
    };
    (width, height, pixels)
}

/// Whether a JPEG's compressed data is followed by an end-of-image marker.
///
/// The decoder paints what is missing grey and reports success; without this check a half-copied
/// file would silently become training data. Thumbnails inside header segments have markers of
/// their own, so the headers are stepped over by their lengths.
fn has_end_of_image(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let mut at = 2;
    while let Some(&[marker_start, marker]) = bytes.get(at..at + 2) {
        if marker_start != 0xff {
            // Stray bytes between segments are tolerated by every decoder.
            at += 1;
        } else if marker == START_OF_SCAN {
            return bytes[at..]
                .windows(2)
                .rev()
                .any(|pair| pair == END_OF_IMAGE);
        } else if marker == 0xff || marker == 0 || marker == 1 || (0xd0..=0xd8).contains(&marker) {
            at += if marker == 0xff { 1 } else { 2 };
        } else if let Some(&[high, low]) = bytes.get(at + 2..at + 4) {
            at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
        } else {
            return false;
        }
    }
    false
}
