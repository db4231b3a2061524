//! Encoded bytes to RGB pixels, as Pillow's `Image.open(...).convert("RGB")` gives them, or to
//! channels in full depth.

mod channels;
mod fit;
mod gif;
mod kind;
mod npy;
mod options;
mod sixteen;
mod tiff;
#[cfg(feature = "turbojpeg")]
mod turbo;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation as Turn;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

pub(crate) use fit::as_asked;
pub use fit::check_channels;
pub use kind::extension;
use kind::format_of;
pub(crate) use kind::unread_kind;
pub use options::{Decode, Decoding, Orientation, SixteenBit};

use crate::error::{Cause, DataError, ImageError};
use crate::image::{Image, RgbImage8};
use crate::npy::is_array;
use crate::view::{Part, View};

/// What decodes JPEG files: `libjpeg-turbo` with the Cargo feature `turbojpeg`, else `zune-jpeg`.
/// Their pixels differ by a few grey levels.
pub const JPEG_DECODER: &str = match cfg!(feature = "turbojpeg") {
    true => "libjpeg-turbo",
    false => "zune-jpeg",
};

/// Pixels that no image may pass, 179 million: where Pillow refuses to open one, too.
pub(crate) const MAX_PIXELS: u64 = 2 * (1 << 30) / 4 / 3;
/// Pixels a side.
const MAX_SIDE: u32 = 65_535;
/// Bytes that a header and the state of a decoder may take beside the pixels and the file.
const FREE_BYTES: u64 = 64 << 20;

/// Decodes an image file as it is by default, see [`decode_as`].
///
/// # Errors
///
/// As [`decode_as`].
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
    decode_as(bytes, name, Decoding::default())?.into_rgb8()
}

/// Decodes a JPEG, PNG, GIF, BMP, PNM, WebP or TIFF file or an array of NumPy, recognised by its
/// first bytes.
///
/// As bytes of colours, grey becomes three equal channels, palettes are looked up, alpha is dropped
/// without blending, and of animations the first frame is taken. `decoding` says what becomes of
/// 16-bit samples and of pictures that a camera took on its side. `name` is the image's path or id
/// and only appears in errors.
///
/// In full depth ([`Decoding::is_float`]) the file must have the channels asked for; alpha may be
/// one of them or is dropped, and grey is repeated where three are asked for. Samples of 8 and 16
/// bits are divided by 255 and 65,535, floats stay as they are. TIFF files are not turned, and
/// those with a palette or in YCbCr are not read. Arrays of NumPy are `[height, width]` or
/// `[height, width, channels]`, in C order, of u8, u16, f32 or f64.
/// An image has at most 134,217,727 samples then.
///
/// A damaged file never panics, and nothing is allocated for pixels before the header's size was
/// checked: an image has at most 178,956,970 pixels, however small or large its file.
/// JPEG files without an end-of-image marker count as truncated.
///
/// # Errors
///
/// [`ImageError::Truncated`], [`ImageError::Decode`], also for a sample that is no finite number,
/// [`ImageError::NotRead`] for files of another kind, [`ImageError::Channels`] if there are others
/// than were asked for, [`ImageError::TooManyPixels`] or [`ImageError::DecoderPanic`].
pub fn decode_as(bytes: &[u8], name: &str, decoding: Decoding) -> Result<Image, DataError> {
    let whole = |width, height| Ok(View::whole(width, height));
    Ok(decode_part(bytes, name, decoding, |_| (), whole)?.image)
}

/// As [`decode_as`], the part that `choose` wants of an image with so many columns and rows; with
/// [`Decode::Fast`] no more of a JPEG than that takes.
///
/// # Errors
///
/// As [`decode_as`] and `choose`, [`ImageError::OutputSize`] and [`ImageError::CropBox`] if the
/// image has no such part.
pub fn decode_view(
    bytes: &[u8],
    name: &str,
    decoding: Decoding,
    choose: impl FnMut(usize, usize) -> Result<View, DataError>,
) -> Result<Image, DataError> {
    decode_part(bytes, name, decoding, |_| (), choose)?.shown()
}

/// The pixels for the part that `choose` wants of an image with so many columns and rows, as
/// [`decode_as`] decodes them; all pixels where no fewer can be had. `hold` is told their number
/// before they are made.
pub(crate) fn decode_part<H>(
    bytes: &[u8],
    name: &str,
    decoding: Decoding,
    hold: impl Fn(u64) -> H,
    mut choose: impl FnMut(usize, usize) -> Result<View, DataError>,
) -> Result<Part<H>, DataError> {
    let failed = |failure: Failure| failure.of(name);
    if let Some(kind) = unread_kind(bytes) {
        return Err(failed(Failure::Unread(kind.to_owned())));
    }
    let format = match is_array(bytes) {
        true => None,
        false => Some(format_of(bytes).map_err(|cause| failed(Failure::broken(cause)))?),
    };
    if format == Some(ImageFormat::Jpeg) && !has_end_of_image(bytes) {
        return Err(DataError::Image(ImageError::Truncated {
            name: name.to_owned(),
            found: bytes.len(),
        }));
    }
    if format == Some(ImageFormat::Tiff) {
        tiff::check_entries(bytes).map_err(failed)?;
    }
    let Some(format) = format.filter(|_| !decoding.is_float()) else {
        let decode = || channels::decode(bytes, format, decoding, hold);
        let (image, held) = guard(name, decode)?.map_err(failed)?;
        let view = choose(image.width(), image.height())?;
        return Ok(Part::whole(image, view, held));
    };
    let chosen: Option<View> = None;
    #[cfg(feature = "turbojpeg")]
    let chosen = match turbo::Jpeg::open(bytes, format, decoding.orientation) {
        Some(jpeg) => {
            check_size(jpeg.width as u32, jpeg.height as u32).map_err(failed)?;
            let view = choose(jpeg.width, jpeg.height)?;
            if let Some(part) = jpeg.decode(view, decoding.decode, &hold) {
                return Ok(part);
            }
            Some(view)
        }
        None => chosen,
    };
    let decode = || read(bytes, format, decoding, hold);
    let (image, held) = guard(name, decode)?.map_err(failed)?;
    let view = match chosen {
        Some(view) => view,
        None => choose(image.width(), image.height())?,
    };
    Ok(Part::whole(image.into(), view, held))
}

/// Decodes all of a file, and what `hold` makes of its number of pixels.
fn read<H>(
    bytes: &[u8],
    format: ImageFormat,
    decoding: Decoding,
    hold: impl Fn(u64) -> H,
) -> Result<(RgbImage8, H), Failure> {
    let orientation = decoding.orientation;
    let (image, held) = match format {
        ImageFormat::Gif | ImageFormat::Tiff => {
            // What does not say its size may have any.
            let held = hold(size(bytes).map_or(u64::MAX, |[width, height]| width * height));
            let special = match format {
                ImageFormat::Gif => Some(gif::decode(bytes)?.into()),
                _ => tiff::decode(bytes)?,
            };
            match special {
                Some(image) => (image, held),
                None => (decode_common(bytes, format, orientation, |_| ())?.0, held),
            }
        }
        _ => decode_common(bytes, format, orientation, hold)?,
    };
    let significant = || (format == ImageFormat::Png).then(|| sixteen::significant_bits(bytes));
    let narrow =
        |samples: &[u16]| sixteen::narrow(samples, decoding.sixteen_bit, significant().flatten());
    let (width, height) = (image.width() as usize, image.height() as usize);
    let image = RgbImage8::new(width, height, rgb(image, narrow)).map_err(Failure::broken)?;
    Ok((image, held))
}

/// Decodes what the image library does as it should.
fn decode_common<H>(
    bytes: &[u8],
    format: ImageFormat,
    orientation: Orientation,
    hold: impl Fn(u64) -> H,
) -> Result<(DynamicImage, H), Failure> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    let beside = FREE_BYTES + 2 * bytes.len() as u64;
    limits.max_alloc = Some(beside);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let held = hold(u64::from(width) * u64::from(height));
    // The pixels, and as much for those of a part that is not yet converted.
    limits.max_alloc = Some(beside + 2 * decoder.total_bytes());
    decoder.set_limits(limits)?;
    // Pillow turns TIFF files always; a broken note about it spoils no picture.
    let turn = match format == ImageFormat::Tiff || orientation == Orientation::Exif {
        true => decoder.orientation().unwrap_or(Turn::NoTransforms),
        false => Turn::NoTransforms,
    };
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(turn);
    Ok((image, held))
}

fn check_size(width: u32, height: u32) -> Result<(), Failure> {
    match u64::from(width) * u64::from(height) > MAX_PIXELS {
        true => Err(Failure::TooManyPixels { width, height }),
        false => Ok(()),
    }
}

/// Why a file is no image, whatever its name.
enum Failure {
    /// A file of a kind that is read does not follow its rules.
    Broken(Cause),
    /// A file of another kind, by name.
    Unread(String),
    TooManyPixels {
        width: u32,
        height: u32,
    },
    TooManySamples {
        pixels: u64,
        channels: usize,
    },
    Channels {
        found: usize,
        expected: usize,
    },
}

impl Failure {
    fn broken(cause: impl Into<Cause>) -> Self {
        Self::Broken(cause.into())
    }

    fn of(self, name: &str) -> DataError {
        let name = name.to_owned();
        match self {
            Self::Broken(source) => DataError::Image(ImageError::Decode { name, source }),
            Self::Unread(kind) => DataError::Image(ImageError::NotRead { name, kind }),
            Self::TooManyPixels { width, height } => DataError::Image(ImageError::TooManyPixels {
                name,
                width,
                height,
                most: MAX_PIXELS,
            }),
            Self::TooManySamples { pixels, channels } => {
                DataError::Image(ImageError::TooManySamples {
                    name,
                    pixels,
                    channels,
                    most: channels::MAX_SAMPLES,
                })
            }
            Self::Channels { found, expected } => DataError::Image(ImageError::Channels {
                name,
                found,
                expected,
            }),
        }
    }
}

impl From<image::ImageError> for Failure {
    fn from(cause: image::ImageError) -> Self {
        match cause {
            image::ImageError::Unsupported(kind) => {
                Self::Unread(format!("of another kind ({kind})"))
            }
            cause => Self::broken(cause),
        }
    }
}

/// Columns and rows that the header of an image file announces; none if it announces none.
pub fn size(bytes: &[u8]) -> Option<[u64; 2]> {
    if is_array(bytes) {
        let array = npy::Array::open(bytes).ok()?;
        return Some([array.width, array.height].map(u64::from));
    }
    let format = format_of(bytes).ok()?;
    let dimensions = || match format {
        ImageFormat::Gif => gif::size(bytes).ok(),
        ImageFormat::Tiff => tiff::size(bytes).ok().map(Into::into),
        _ => {
            let reader = ImageReader::with_format(Cursor::new(bytes), format);
            reader.into_dimensions().ok().map(Into::into)
        }
    };
    let [width, height] = guard("", dimensions).ok().flatten()?;
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
        DataError::Image(ImageError::DecoderPanic {
            name: name.to_owned(),
            why: why.replace('\n', " "),
        })
    })
}

/// Drops alpha, repeats grey and makes bytes of samples of 16 bits by `narrow`.
fn rgb(image: DynamicImage, narrow: impl Fn(&[u16]) -> Vec<u8>) -> Vec<u8> {
    match image {
        DynamicImage::ImageRgb16(buffer) => narrow(&buffer),
        DynamicImage::ImageRgba16(_) => narrow(&image.into_rgb16()),
        DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA16(_) => {
            let grey = narrow(&image.into_luma16());
            grey.into_iter().flat_map(|level| [level; 3]).collect()
        }
        other => other.into_rgb8().into_raw(),
    }
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
