//! Files in full depth: any number of channels of 8 or 16 bits or of floats.

use image::{DynamicImage, ImageFormat};
use tiff::decoder::DecodingResult;
use tiff::tags::{PhotometricInterpretation as Photometric, Tag};

use super::npy::Array;
use super::{
    Decoding, Failure, MAX_PIXELS, check_size, decode_common, gif, sixteen, tiff as tiffs,
};
use crate::image::{FloatImage, Image, RgbImage8};

/// Most samples of an image: as f32 they take as many bytes as the largest RGB image.
pub(super) const MAX_SAMPLES: u64 = 3 * MAX_PIXELS / 4;

/// Decodes all of a file to the channels and the depth that `decoding` asks for, and what `hold`
/// makes of its number of pixels, counted in pixels of three bytes.
pub(super) fn decode<H>(
    bytes: &[u8],
    format: Option<ImageFormat>,
    decoding: Decoding,
    hold: impl Fn(u64) -> H,
) -> Result<(Image, H), Failure> {
    let Some(format) = format else {
        return array(&Array::open(bytes)?, decoding, hold);
    };
    let expected = decoding.channels;
    let hold = |pixels: u64, found: usize| {
        check_samples(pixels, found)?;
        Ok::<_, Failure>(hold(as_rgb_pixels(pixels, found)))
    };
    let (image, held) = match format {
        ImageFormat::Tiff => bands(bytes, expected, hold)?,
        ImageFormat::Gif => {
            let [width, height] = gif::size(bytes)?;
            check_size(width, height)?;
            let held = hold(u64::from(width) * u64::from(height), 3)?;
            let image = DynamicImage::from(gif::decode(bytes)?);
            (samples(image, expected)?, held)
        }
        _ => {
            let held = |pixels| hold(pixels, expected);
            let (image, held) = decode_common(bytes, format, decoding.orientation, held)?;
            let held = held?;
            (samples(image, expected)?, held)
        }
    };
    Ok((image.into(), held))
}

fn check_samples(pixels: u64, channels: usize) -> Result<(), Failure> {
    match pixels.saturating_mul(channels as u64) > MAX_SAMPLES {
        true => Err(Failure::TooManySamples { pixels, channels }),
        false => Ok(()),
    }
}

/// So many pixels of three bytes take as much memory as samples that are read and made f32.
fn as_rgb_pixels(pixels: u64, channels: usize) -> u64 {
    const BYTES: u64 = 8;
    (pixels * channels as u64 * BYTES).div_ceil(3)
}

/// How many of the `found` channels are read: all, which are those expected, or grey for colours.
fn channels_read(found: usize, expected: usize) -> Result<usize, Failure> {
    match (found, expected) {
        (1, 3) => Ok(found),
        _ if found == expected => Ok(found),
        _ => Err(Failure::Channels { found, expected }),
    }
}

/// Samples of as many channels as are `expected`, where those `read` are fewer of grey.
fn repeated<T: Copy>(samples: Vec<T>, read: usize, expected: usize) -> Vec<T> {
    match read == expected {
        true => samples,
        false => {
            let samples = samples.into_iter();
            samples
                .flat_map(|it| std::iter::repeat_n(it, expected))
                .collect()
        }
    }
}

/// What an array holds; bytes of colours where these are asked for.
fn array<H>(
    array: &Array<'_>,
    decoding: Decoding,
    hold: impl Fn(u64) -> H,
) -> Result<(Image, H), Failure> {
    let (width, height) = (array.width as usize, array.height as usize);
    let pixels = (width * height) as u64;
    let expected = decoding.channels;
    let read = channels_read(array.channels, expected)?;
    check_samples(pixels, expected)?;
    let held = hold(as_rgb_pixels(pixels, expected));
    if decoding.is_float() {
        let samples = repeated(array.samples(), read, expected);
        let image = floats([height, width], expected, samples)?;
        return Ok((image.into(), held));
    }
    let bytes = match (array.bytes(), array.words()) {
        (Some(bytes), _) => bytes.to_vec(),
        (_, Some(words)) => sixteen::narrow(&words, decoding.sixteen_bit, None),
        _ => {
            return Err(Failure::Unread(
                "a NumPy array of floats, which bytes cannot hold (`sixteen_bit` = keep does)"
                    .to_owned(),
            ));
        }
    };
    let bytes = repeated(bytes, read, expected);
    let image = RgbImage8::new(width, height, bytes).map_err(Failure::broken)?;
    Ok((image.into(), held))
}

fn floats(size: [usize; 2], channels: usize, samples: Vec<f32>) -> Result<FloatImage, Failure> {
    if let Some(at) = samples.iter().position(|sample| !sample.is_finite()) {
        let (pixel, width) = (at / channels, size[1].max(1));
        return Err(Failure::broken(format!(
            "channel {} of row {}, column {} is {}",
            at % channels,
            pixel / width,
            pixel % width,
            samples[at]
        )));
    }
    FloatImage::new(size, channels, samples).map_err(Failure::broken)
}

/// The samples of an image, those of alpha only if they are among the channels asked for, those of
/// grey also as colours.
fn samples(image: DynamicImage, expected: usize) -> Result<FloatImage, Failure> {
    let color = image.color();
    let (found, size) = (
        usize::from(color.channel_count()),
        [image.height(), image.width()],
    );
    let colors = found - usize::from(color.has_alpha());
    let read = match expected == found {
        true => found,
        false => channels_read(colors, expected)?,
    };
    let bytes = image.as_bytes();
    let all: Vec<f32> = match usize::from(color.bytes_per_pixel()) / found {
        1 => bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect(),
        2 => {
            let words = bytes.as_chunks::<2>().0.iter();
            words
                .map(|word| f32::from(u16::from_ne_bytes(*word)) / 65_535.0)
                .collect()
        }
        _ => {
            let samples = bytes.as_chunks::<4>().0.iter();
            samples.map(|sample| f32::from_ne_bytes(*sample)).collect()
        }
    };
    let kept = match read == found {
        true => all,
        false => {
            let pixels = all.chunks_exact(found);
            pixels.flat_map(|pixel| &pixel[..read]).copied().collect()
        }
    };
    let kept = repeated(kept, read, expected);
    floats(size.map(|side| side as usize), expected, kept)
}

/// All samples of a TIFF file, stored pixel by pixel or plane by plane.
fn bands<H>(
    bytes: &[u8],
    expected: usize,
    hold: impl Fn(u64, usize) -> Result<H, Failure>,
) -> Result<(FloatImage, H), Failure> {
    let mut file = tiffs::open(bytes)?;
    let found: Option<u16> = file.find_tag_unsigned(Tag::SamplesPerPixel)?;
    let read = channels_read(usize::from(found.unwrap_or(1)), expected)?;
    let color: Option<u16> = file.find_tag_unsigned(Tag::PhotometricInterpretation)?;
    match color.and_then(Photometric::from_u16) {
        Some(
            Photometric::WhiteIsZero
            | Photometric::BlackIsZero
            | Photometric::RGB
            | Photometric::CMYK,
        )
        | None => {}
        Some(_) => {
            return Err(Failure::Unread(
                "TIFF with a palette or in another space of colours".to_owned(),
            ));
        }
    }
    let is_read = |color: tiff::ColorType| usize::from(color.num_samples()) == read;
    if file.colortype().is_ok_and(is_read) {
        return planes(&mut file, read, expected, hold);
    }
    // Red, green, blue and more: without a meaning, samples are read whatever their number.
    let mut file = tiffs::open(tiffs::as_grey(bytes))?;
    planes(&mut file, read, expected, hold)
}

fn planes<T: AsRef<[u8]>, H>(
    file: &mut tiffs::File<T>,
    channels: usize,
    expected: usize,
    hold: impl Fn(u64, usize) -> Result<H, Failure>,
) -> Result<(FloatImage, H), Failure> {
    let unread = || Failure::Unread("TIFF with other samples than u8, u16, f32 or f64".to_owned());
    let (width, height) = file.dimensions()?;
    let pixels = u64::from(width) * u64::from(height);
    if file.colortype()?.bit_depth() < 8 {
        return Err(unread());
    }
    let held = hold(pixels, expected)?;
    let mut found = DecodingResult::U8(Vec::new());
    let planes = file.read_image_to_buffer(&mut found)?.planes;
    let samples: Vec<f32> = match found {
        DecodingResult::U8(bytes) => bytes.into_iter().map(|it| f32::from(it) / 255.0).collect(),
        DecodingResult::U16(words) => {
            let words = words.into_iter();
            words.map(|word| f32::from(word) / 65_535.0).collect()
        }
        DecodingResult::F32(samples) => samples,
        DecodingResult::F64(samples) => samples.into_iter().map(|it| it as f32).collect(),
        _ => return Err(unread()),
    };
    let pixels = pixels as usize;
    if samples.len() < pixels * channels {
        return Err(Failure::broken("the image is too short"));
    }
    let samples = match planes {
        1 => samples,
        _ => {
            let at = |at: usize| samples[at % channels * pixels + at / channels];
            (0..pixels * channels).map(at).collect()
        }
    };
    let samples = repeated(samples, channels, expected);
    let image = floats([height as usize, width as usize], expected, samples)?;
    Ok((image, held))
}

#[cfg(test)]
mod tests;
