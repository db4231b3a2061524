//! Whether images have the channels that are asked for.

use std::borrow::Cow;

use super::{Decoding, decode_as, guard};
use crate::error::{DataError, ImageError};
use crate::fetch::{FetchError, Fetched};
use crate::image::{FloatImage, Image};
use crate::source::Source;

/// Checks that the first image of `source`, if it can be had, has the channels that `decoding` asks
/// for: a data set and a model that do not fit are better told apart before anything is computed.
///
/// # Errors
///
/// [`ImageError::Channels`] and nothing else; whoever reads the image again says what else is
/// wrong.
pub fn check_channels(source: &dyn Source, decoding: Decoding) -> Result<(), DataError> {
    if source.is_empty() {
        return Ok(());
    }
    let (name, mut buffer) = (source.name(0), Vec::new());
    let mut decode = || match source
        .fetch(0, &mut buffer)
        .map_err(FetchError::into_error)?
    {
        Fetched::Pixels(image) => as_asked(&image, &name, decoding).map(drop),
        Fetched::File => decode_as(&buffer, &name, decoding).map(drop),
    };
    match guard(&name, &mut decode) {
        Ok(Err(error @ DataError::Image(ImageError::Channels { .. }))) => Err(error),
        _ => Ok(()),
    }
}

/// An image that comes as pixels, as a file of it would be decoded.
pub(crate) fn as_asked<'a>(
    image: &'a Image,
    name: &str,
    decoding: Decoding,
) -> Result<Cow<'a, Image>, DataError> {
    if image.channels() != decoding.channels {
        return Err(DataError::Image(ImageError::Channels {
            name: name.to_owned(),
            found: image.channels(),
            expected: decoding.channels,
        }));
    }
    match (image, decoding.is_float()) {
        (Image::Rgb8(_), false) | (Image::Float(_), true) => Ok(Cow::Borrowed(image)),
        (Image::Rgb8(image), true) => {
            let samples = image.pixels().iter().map(|&byte| f32::from(byte) / 255.0);
            let size = [image.height(), image.width()];
            Ok(Cow::Owned(
                FloatImage::new(size, 3, samples.collect())?.into(),
            ))
        }
        (Image::Float(_), false) => Err(DataError::Image(ImageError::NotRead {
            name: name.to_owned(),
            kind: "of floats, which bytes cannot hold (`sixteen_bit` = keep does)".to_owned(),
        })),
    }
}
