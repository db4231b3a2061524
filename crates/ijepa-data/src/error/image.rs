//! What is wrong with an image or what is asked of it.

use super::Cause;

/// An image that cannot be decoded, cut, resized or written as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The pixel buffer does not hold `width * height * 3` bytes, or a side is zero.
    #[error(
        "an RGB image of {width}x{height} (width x height) needs {expected} bytes, found {found}"
    )]
    PixelCount {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// `width * height * 3`, saturated; 0 for an empty image, which is not allowed.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The buffer does not hold a sample for each channel of each pixel, or a side is zero, or
    /// there are not 1 to 16 channels.
    #[error(
        "{found} samples are no image of {}x{} with {} channels (height x width)",
        shape[0], shape[1], shape[2]
    )]
    SampleCount {
        /// `[height, width, channels]`.
        shape: [usize; 3],
        /// Samples given.
        found: usize,
    },
    /// Colours are to be changed of images that are not bytes of red, green and blue.
    #[error(
        "images of {channels} channels in full depth have no colours that can be changed; leave out \
         colour augmentations"
    )]
    NoColors {
        /// Their channels.
        channels: usize,
    },
    /// More samples than any image may have.
    #[error(
        "image `{name}` has {pixels} pixels of {channels} channels, expected at most {most} samples"
    )]
    TooManySamples {
        /// The image's path or id.
        name: String,
        /// Pixels.
        pixels: u64,
        /// Samples of a pixel.
        channels: usize,
        /// Samples allowed.
        most: u64,
    },
    /// The bytes are not an image that can be decoded.
    #[error("cannot decode image `{name}`")]
    Decode {
        /// The image's path or id.
        name: String,
        /// What the decoder said.
        #[source]
        source: Cause,
    },
    /// A mask that is no PNG of class indices.
    #[error(
        "cannot use mask `{name}`: found {found}, expected a PNG of palette places or grey levels of \
         at most 8 bits"
    )]
    Mask {
        /// Its path.
        name: String,
        /// What it is instead.
        found: String,
    },
    /// A map of depths that is no PNG of millimetres.
    #[error("cannot use depths `{name}`: found {found}, expected a PNG of grey levels of 16 bits")]
    Depth {
        /// Its path.
        name: String,
        /// What it is instead.
        found: String,
    },
    /// Pixels that cannot be written as a file of an image, such as a JPEG of a side above 65,535.
    #[error("cannot encode image `{name}`")]
    Encode {
        /// The image's path or id.
        name: String,
        /// What the encoder said.
        #[source]
        source: Cause,
    },
    /// A file of a kind that is known but not read.
    #[error("image `{name}` is {kind}, which is not read")]
    NotRead {
        /// The image's path or id.
        name: String,
        /// What the file is.
        kind: String,
    },
    /// More pixels than any image may have.
    #[error("image `{name}` has {width}x{height} pixels (width x height), expected at most {most}")]
    TooManyPixels {
        /// The image's path or id.
        name: String,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Pixels allowed.
        most: u64,
    },
    /// The image file stops before its end.
    #[error("image `{name}` is truncated: {found} bytes without an end-of-image marker")]
    Truncated {
        /// The image's path or id.
        name: String,
        /// Bytes found.
        found: usize,
    },
    /// A library panicked on a damaged file; the panic was caught.
    #[error("`{name}` is damaged: its decoder gave up ({why})")]
    DecoderPanic {
        /// The file's path or the image's id.
        name: String,
        /// The panic's message.
        why: String,
    },
    /// An output size with a zero side, or one too large to hold.
    #[error("cannot resize to {width}x{height} (width x height)")]
    OutputSize {
        /// Columns asked for.
        width: usize,
        /// Rows asked for.
        height: usize,
    },
    /// A crop box that is empty or not inside the image.
    #[error(
        "crop box (left {left}, top {top}, width {crop_width}, height {crop_height}) does not fit \
         the {width}x{height} image"
    )]
    CropBox {
        /// Left edge, pixels.
        left: f64,
        /// Top edge, pixels.
        top: f64,
        /// Width, pixels.
        crop_width: f64,
        /// Height, pixels.
        crop_height: f64,
        /// Columns of the image.
        width: usize,
        /// Rows of the image.
        height: usize,
    },
    /// An image that must already have the model's size has another one.
    #[error(
        "image is {}x{}, expected {}x{} (height x width); resize it or choose another preprocessing",
        found[0], found[1], expected[0], expected[1]
    )]
    ImageSize {
        /// `[height, width]` wanted.
        expected: [usize; 2],
        /// `[height, width]` of the image.
        found: [usize; 2],
    },
    /// An image has another number of channels than was asked for.
    #[error(
        "image `{name}` has {found} channel{}, expected {expected} (as the model, `data.channels` or \
         `--channels` says)",
        if *found == 1 { "" } else { "s" }
    )]
    Channels {
        /// The image's path or id.
        name: String,
        /// Its channels.
        found: usize,
        /// The channels asked for.
        expected: usize,
    },
}
