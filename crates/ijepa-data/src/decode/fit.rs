//! Whether images have the channels that are asked for.

use super::{Decoding, decode_as, guard};
use crate::error::{DataError, ImageError};
use crate::fetch::{FetchError, Fetched};
use crate::image::{FloatImage, RgbImage8};
use crate::source::Source;

/// Checks that the first image of `source`, if it can be had, has the channels that `decoding` asks
/// for: a data set and a model that do not fit are better told apart before anything is computed.
///
/// # Errors
///
/// [`ImageError::Channels`] and nothing else; whoever reads the image again says what else is wrong.
pub fn check_channels(source: &dyn Source, decoding: Decoding) -> Result<(), DataError> {
    if source.is_empty() {
        return Ok(());
    }
    let (name, mut buffer) = (source.name(0), Vec::new());
    let mut decode = || match source
        .fetch(0, &mut buffer)
        .map_err(FetchError::into_error)?
    {
        Fetched::Pixels(image) if decoding.is_float() => {
            in_depth(&image, &name, decoding).map(drop)
        }
        Fetched::Pixels(_) => Ok(()),
        Fetched::File => decode_as(&buffer, &name, decoding).map(drop),
    };
    match guard(&name, &mut decode) {
        Ok(Err(error @ DataError::Image(ImageError::Channels { .. }))) => Err(error),
        _ => Ok(()),
    }
}

/// An image that comes as pixels in full depth.
pub(crate) fn in_depth(
    image: &RgbImage8,
    name: &str,
    decoding: Decoding,
) -> Result<FloatImage, DataError> {
    if decoding.channels != 3 {
        return Err(ImageError::Channels {
            name: name.to_owned(),
            found: 3,
            expected: decoding.channels,
        }
        .into());
    }
    let samples = image.pixels().iter().map(|&byte| f32::from(byte) / 255.0);
    FloatImage::new([image.height(), image.width()], 3, samples.collect())
}
