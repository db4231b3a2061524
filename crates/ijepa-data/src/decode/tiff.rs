//! TIFF files that the image library leaves to others: palettes, YCbCr, and grey with alpha.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageBuffer, RgbImage};
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{PhotometricInterpretation, Tag};
use tiff::{ColorType, TiffError};

use super::{FREE_BYTES, Failure, MAX_PIXELS, check_size};

/// A tag that DNG files have in their first directory.
const DNG_VERSION: Tag = Tag::Unknown(50_706);
/// The colours of a camera's sensor, one a pixel.
const COLOR_FILTER_ARRAY: u16 = 32_803;
const GREY: u16 = 1;
/// Samples of colours and alpha.
const MOST_SAMPLES: usize = 4;
/// Bytes that a decoder takes for a value of an entry that is no text.
const VALUE: usize = size_of::<tiff::decoder::ifd::Value>();

/// Decodes a TIFF file with a palette, in YCbCr or of grey with alpha, turned as it asks; `None`
/// for other colours.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<DynamicImage>, Failure> {
    let is_mosaic = |color: Value| {
        let word = bytes.get(color.at..color.at + 2);
        word == Some(&color.word(COLOR_FILTER_ARRAY))
    };
    if directory_value(bytes, Tag::PhotometricInterpretation).is_some_and(is_mosaic)
        || directory_value(bytes, DNG_VERSION).is_some()
    {
        return Err(Failure::Unread("camera raw (TIFF)".to_owned()));
    }
    let mut file = open(bytes)?;
    let color: Option<u16> = file.find_tag_unsigned(Tag::PhotometricInterpretation)?;
    let samples: Option<u16> = file.find_tag_unsigned(Tag::SamplesPerPixel)?;
    let samples = usize::from(samples.unwrap_or(1));
    let color = color.and_then(PhotometricInterpretation::from_u16);
    let mut image: DynamicImage = match color {
        Some(PhotometricInterpretation::RGBPalette) => {
            palette(bytes, &file.get_tag_u16_vec(Tag::ColorMap)?)?.into()
        }
        Some(PhotometricInterpretation::YCbCr) => ycbcr(&mut file)?.into(),
        Some(PhotometricInterpretation::BlackIsZero) if samples == 2 => grey(&mut file)?,
        _ if samples > MOST_SAMPLES => {
            return Err(Failure::Channels {
                found: samples,
                expected: 3,
            });
        }
        _ => return Ok(None),
    };
    let orientation: Option<u8> = file.find_tag_unsigned(Tag::Orientation)?;
    if let Some(orientation) = orientation.and_then(Orientation::from_exif) {
        image.apply_orientation(orientation);
    }
    Ok(Some(image))
}

/// A TIFF file in memory.
pub(super) type File<T> = Decoder<Cursor<T>>;

pub(super) fn open<T: AsRef<[u8]>>(bytes: T) -> Result<File<T>, Failure> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = 3 * MAX_PIXELS as usize;
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    let mut file = Decoder::new(Cursor::new(bytes))?.with_limits(limits);
    let (width, height) = file.dimensions()?;
    check_size(width, height)?;
    Ok(file)
}

/// Columns and rows of a file in any colours.
pub(super) fn size(bytes: &[u8]) -> Result<(u32, u32), Failure> {
    check_entries(bytes)?;
    Ok(Decoder::new(Cursor::new(bytes))?.dimensions()?)
}

/// Reads the indices as if they were levels of grey, and looks them up in `map`: 16-bit reds, then
/// greens, then blues.
fn palette(bytes: &[u8], map: &[u16]) -> Result<RgbImage, Failure> {
    let mut file = open(as_grey(bytes))?;
    let (width, height) = file.dimensions()?;
    let (ColorType::Gray(bits @ (1 | 2 | 4 | 8)), DecodingResult::U8(indices)) =
        (file.colortype()?, file.read_image()?)
    else {
        return Err(Failure::Unread("TIFF with an uncommon palette".to_owned()));
    };
    let colors = 1 << bits;
    if map.len() < 3 * colors {
        return Err(Failure::broken("the palette is too short"));
    }
    // Rows begin at whole bytes; pixels fill a byte from its high end.
    let row = (width as usize * usize::from(bits)).div_ceil(8);
    let index = |x: u32, y: u32| {
        let bit = x as usize * usize::from(bits);
        let byte = indices[y as usize * row + bit / 8];
        usize::from(byte >> (8 - usize::from(bits) - bit % 8)) & (colors - 1)
    };
    if indices.len() < row * height as usize {
        return Err(Failure::broken("the image is too short"));
    }
    Ok(RgbImage::from_fn(width, height, |x, y| {
        let color = index(x, y);
        image::Rgb([0, 1, 2].map(|channel| (map[channel * colors + color] >> 8) as u8))
    }))
}

/// The file with samples that mean levels of grey, whatever they are.
pub(super) fn as_grey(bytes: &[u8]) -> Vec<u8> {
    let mut grey = bytes.to_vec();
    if let Some(color) = directory_value(bytes, Tag::PhotometricInterpretation) {
        grey[color.at..color.at + 2].copy_from_slice(&color.word(GREY));
    }
    grey
}

/// Converts as JPEG files are, from the full range.
fn ycbcr(file: &mut File<&[u8]>) -> Result<RgbImage, Failure> {
    let (width, height) = file.dimensions()?;
    let planes = file.image_buffer_layout()?.planes;
    let (ColorType::YCbCr(8), 1, DecodingResult::U8(mut pixels)) =
        (file.colortype()?, planes, file.read_image()?)
    else {
        return Err(Failure::Unread(
            "TIFF in an uncommon kind of YCbCr".to_owned(),
        ));
    };
    for pixel in pixels.as_chunks_mut::<3>().0 {
        let [luma, blue, red] = pixel.map(f32::from);
        let (blue, red) = (blue - 128.0, red - 128.0);
        *pixel = [
            luma + 1.402 * red,
            luma - 0.344_136 * blue - 0.714_136 * red,
            luma + 1.772 * blue,
        ]
        .map(|level| level.round() as u8);
    }
    RgbImage::from_raw(width, height, pixels)
        .ok_or_else(|| Failure::broken("the image is too short"))
}

/// The grey of pixels of grey and alpha.
fn grey(file: &mut File<&[u8]>) -> Result<DynamicImage, Failure> {
    let (width, height) = file.dimensions()?;
    let pixels = width as usize * height as usize;
    let bits = file.colortype()?.bit_depth();
    let mut samples = DecodingResult::U8(Vec::new());
    let planes = file.read_image_to_buffer(&mut samples)?.planes;
    let every = if planes == 1 { 2 } else { 1 };
    let image: Option<DynamicImage> = match (bits, samples) {
        (8, DecodingResult::U8(levels)) => {
            let grey = levels.into_iter().step_by(every).take(pixels).collect();
            GrayImage::from_raw(width, height, grey).map(Into::into)
        }
        (16, DecodingResult::U16(levels)) => {
            let grey = levels.into_iter().step_by(every).take(pixels).collect();
            ImageBuffer::from_raw(width, height, grey).map(DynamicImage::ImageLuma16)
        }
        _ => {
            let kind = "TIFF of grey and alpha with other samples than u8 or u16";
            return Err(Failure::Unread(kind.to_owned()));
        }
    };
    image.ok_or_else(|| Failure::broken("the image is too short"))
}

/// Where the value of an entry of a directory stands in the file.
struct Value {
    at: usize,
    little_endian: bool,
}

impl Value {
    fn word(&self, value: u16) -> [u8; 2] {
        match self.little_endian {
            true => value.to_le_bytes(),
            false => value.to_be_bytes(),
        }
    }
}

/// The first directory of a TIFF or a BigTIFF file.
struct Directory<'a> {
    bytes: &'a [u8],
    little_endian: bool,
    is_big: bool,
}

impl<'a> Directory<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut directory = Self {
            bytes,
            little_endian: bytes.starts_with(b"II"),
            is_big: false,
        };
        directory.is_big = directory.number(2, 2) == Some(43);
        directory
    }

    fn number(&self, at: usize, length: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(length)?)?;
        let add = |sum: usize, &byte: &u8| sum << 8 | usize::from(byte);
        Some(match self.little_endian {
            true => bytes.iter().rev().fold(0, add),
            false => bytes.iter().fold(0, add),
        })
    }

    /// Where its entries stand: a tag and a type of 2 bytes, a count, a value.
    fn places(&self) -> impl Iterator<Item = usize> {
        // BigTIFF has numbers of 8 bytes for 4 and for the 2 of the count.
        let (start, count, entry) = match self.is_big {
            true => (self.number(8, 8), 8, 20),
            false => (self.number(4, 4), 2, 12),
        };
        let entries = start.and_then(|start| {
            let entries = self.number(start, count)?.min(self.bytes.len() / entry);
            Some((start.checked_add(count)?, entries))
        });
        let (first, entries) = entries.unwrap_or((0, 0));
        (0..entries).filter_map(move |index| first.checked_add(index * entry))
    }

    /// Bytes of a number of values, and of an address.
    fn long(&self) -> usize {
        if self.is_big { 8 } else { 4 }
    }
}

/// Refuses entries of more values than the file has bytes, for which a decoder would make more room
/// than a header may take; of others it does not matter whether they are whole.
pub(super) fn check_entries(bytes: &[u8]) -> Result<(), Failure> {
    const TEXT: usize = 2;
    let directory = Directory::of(bytes);
    let long = directory.long();
    let is_beyond = |at: usize| -> Option<bool> {
        let is_text = directory.number(at.checked_add(2)?, 2)? == TEXT;
        let count = directory.number(at.checked_add(4)?, long)?;
        let room = count.saturating_mul(if is_text { 1 } else { VALUE });
        Some(count > bytes.len() && room > FREE_BYTES as usize)
    };
    match directory.places().filter_map(is_beyond).any(|is| is) {
        true => Err(Failure::broken("an entry is longer than the file")),
        false => Ok(()),
    }
}

/// Finds an entry of the first directory.
fn directory_value(bytes: &[u8], tag: Tag) -> Option<Value> {
    let directory = Directory::of(bytes);
    let number = |at: usize, length: usize| directory.number(at, length);
    let little_endian = directory.little_endian;
    let value = 4 + directory.long();
    let mut found = directory.places();
    let at = found.find(|&at| number(at, 2) == Some(usize::from(tag.to_u16())));
    let at = at?.checked_add(value)?;
    bytes.get(at..at.checked_add(4)?)?;
    // A short number stands in the first two bytes; a long one in big-endian order does not.
    const LONG: usize = 4;
    let is_long = number(at - value + 2, 2)? == LONG;
    let at = at + if is_long && !little_endian { 2 } else { 0 };
    Some(Value { at, little_endian })
}

impl From<TiffError> for Failure {
    fn from(cause: TiffError) -> Self {
        match cause {
            TiffError::UnsupportedError(kind) => Self::Unread(format!("TIFF ({kind})")),
            cause => Self::broken(cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::super::{decode, size};
    use super::*;

    /// A directory of one entry of so many values of a type where the number of columns should be.
    fn announcing(kind: u8, values: u32) -> Vec<u8> {
        let mut file = b"II*\0\x08\0\0\0\x01\0\0\x01".to_vec();
        file.extend([kind, 0]);
        file.extend(values.to_le_bytes());
        file.extend([0; 8]);
        file
    }

    #[test]
    fn entries_take_no_more_room_than_headers_may() {
        const FREE: u32 = FREE_BYTES as u32;
        for (kind, most) in [(2, FREE), (4, FREE / VALUE as u32)] {
            let within = announcing(kind, most);
            assert!(check_entries(&within).is_ok() && decode(&within, "a").is_err());
            let beyond = announcing(kind, most + 1);
            let cause = decode(&beyond, "a").unwrap_err();
            let cause = cause.source().unwrap().to_string();
            assert_eq!(cause, "an entry is longer than the file");
            assert_eq!(size(&beyond), None);
        }
        // Those of BigTIFF.
        let mut big = b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x01\x02\0".to_vec();
        big.extend([0xff; 8]);
        big.extend([0; 8]);
        assert!(check_entries(&big).is_err());
    }
}
