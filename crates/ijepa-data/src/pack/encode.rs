//! The bytes of an image as they are packed.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::Packable;
use crate::decode::extension;
use crate::error::{DataError, ImageError};
use crate::fetch::{FetchError, Fetched};
use crate::image::RgbImage8;
use crate::reading::ImageReader;
use crate::resize::{Filter, resize};
use crate::source::Source;

/// Images written anew as JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shrink {
    /// Pixels of the shorter side, at least 1; smaller images keep their size.
    pub short_side: usize,
    /// Of the JPEG, 1 to 100.
    pub quality: u8,
}

pub(super) fn encode(
    reader: &ImageReader,
    source: &dyn Source,
    index: usize,
    shrink: Option<Shrink>,
    stopped: &dyn Fn() -> bool,
) -> Result<Packable, FetchError> {
    let name = source.name(index);
    let (bytes, extension) = match shrink {
        Some(shrink) => reader.read_with_file(source, index, stopped, |image, _| {
            jpeg(image.as_rgb8()?, shrink, &name)
        })?,
        None => reader.fetch(source, index, stopped, |fetched, file| match fetched {
            Fetched::Pixels(image) => png(image.as_rgb8()?, &name),
            Fetched::File => match extension(file) {
                Some(extension) => Ok((file.to_vec(), extension)),
                None => Err(no_image(file, &name)),
            },
        })?,
    };
    Ok(Packable {
        bytes,
        extension,
        label: source.label(index),
        name: match name.rsplit_once(std::path::is_separator) {
            Some((_, file)) => file.to_owned(),
            None => name,
        },
    })
}

/// Why a file of no known kind is no image, in the words of who would decode it.
fn no_image(file: &[u8], name: &str) -> DataError {
    let unknown = || {
        DataError::Image(ImageError::NotRead {
            name: name.to_owned(),
            kind: "of an unknown kind".to_owned(),
        })
    };
    crate::decode::decode(file, name)
        .err()
        .unwrap_or_else(unknown)
}

type Encoded = (Vec<u8>, &'static str);

fn jpeg(image: &RgbImage8, shrink: Shrink, name: &str) -> Result<Encoded, DataError> {
    let short = image.width().min(image.height());
    let scaled = |side: usize| {
        let exact = side as f64 * shrink.short_side as f64 / short as f64;
        (exact.round() as usize).max(1)
    };
    let resized = match short > shrink.short_side {
        true => {
            let (width, height) = (scaled(image.width()), scaled(image.height()));
            Some(resize(image, width, height, Filter::Bicubic, None)?)
        }
        false => None,
    };
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, shrink.quality);
    write(encoder, resized.as_ref().unwrap_or(image), name)?;
    Ok((bytes, "jpg"))
}

fn png(image: &RgbImage8, name: &str) -> Result<Encoded, DataError> {
    let mut bytes = Cursor::new(Vec::new());
    write(PngEncoder::new(&mut bytes), image, name)?;
    Ok((bytes.into_inner(), "png"))
}

fn write(encoder: impl ImageEncoder, image: &RgbImage8, name: &str) -> Result<(), DataError> {
    let (width, height) = (image.width() as u32, image.height() as u32);
    let written = encoder.write_image(image.pixels(), width, height, ExtendedColorType::Rgb8);
    written.map_err(|source| {
        DataError::Image(ImageError::Encode {
            name: name.to_owned(),
            source: Box::new(source),
        })
    })
}
