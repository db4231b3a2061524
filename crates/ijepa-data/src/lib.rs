//! Images from disk to bytes for I-JEPA: sources, decoding, crops, deterministic loading.
//!
//! ```
//! use ijepa_data::{Augment, DataSpec, Loader, LoaderConfig};
//!
//! // Rendered images need no download; a folder would be "folder:imagenet/train".
//! let spec: DataSpec = "scenes:kind=texture,n=256,size=32".parse()?;
//! let config = LoaderConfig {
//!     workers: 2,
//!     ..LoaderConfig::new(32, Augment { size: [24, 24], ..Augment::default() })
//! };
//! let mut loader = Loader::new(spec.open()?, config)?;
//! let batch = loader.next_batch()?;
//! assert_eq!(batch.images.len(), 32 * 24 * 24 * 3); // [batch, height, width, 3]
//! # Ok::<(), ijepa_data::DataError>(())
//! ```
//!
//! # Overview
//!
//! - A [`DataSpec`] is the text that names a data set; opening it gives a [`Source`], an ordered
//!   list of images with names and labels that any thread reads by index.
//! - For evaluation, [`Preprocess`] gives an image the model's size and [`to_chw_f32`] turns it
//!   into normalised numbers. Sizes and crops are Pillow's and torchvision's, within one grey
//!   level.
//! - For pretraining, a [`Loader`] delivers shuffled batches of random crops ([`Augment`]). What
//!   step `n` contains is a function of the seed and `n` alone: worker threads, timing and
//!   resuming change nothing.
//! - For probes and fine-tuning, the loader takes a [`ClassifierAugment`] (random crops, mirrors,
//!   [`RandAugment`]) or any other [`Transform`]; [`RandomErasing`] and [`MixingConfig`] decide
//!   what happens to the numbers afterwards.
//!
//! Pixels are 8-bit RGB, rows from the top ([`RgbImage8`]), or 1 to 16 channels of f32 in full
//! depth ([`FloatImage`]) where [`Decoding`] asks for them. The crate knows no tensors, no devices
//! and no models.
//!
//! # Damaged and hostile files
//!
//! Anything read from disk can be truncated or made up. Decoding returns a [`DataError`] that
//! names the image, never panics, and allocates nothing for pixels before their number is known
//! to be allowed. The
//! [`Loader`] leaves out images that cannot be read, lists them, and stops only when there are
//! too many.
//!
//! # Not supported
//!
//! JPEG decoders differ by a few grey levels, so decoded photographs are not bit-equal to Pillow's.
//! Compressed tar files have no places that an image could be read from.

mod color;
mod decode;
mod depth;
mod error;
mod fetch;
mod fingerprint;
mod image;
mod loader;
mod mask;
mod nearest;
mod npy;
mod order;
mod pack;
mod pixel_map;
mod preprocess;
mod reading;
mod rect;
mod resize;
mod rng;
mod source;
mod spec;
mod statistics;
mod transform;
mod verify;
mod view;
mod words;

pub use decode::{
    Decode, Decoding, JPEG_DECODER, Orientation, SixteenBit, check_channels, decode, decode_as,
    decode_view, extension, size,
};
pub use depth::Depth;
pub use error::{Cause, DataError, ImageError};
pub use fetch::{FetchError, Fetched};
pub use fingerprint::{Fingerprint, framed};
pub use image::{FloatImage, Image, MAX_CHANNELS, RgbImage8};
pub use loader::{Batch, Loader, LoaderConfig, Skipped, csv_cell, default_workers};
pub use mask::Mask;
pub use nearest::{near, suggestion, unlikeness};
pub use npy::{NpyArray, NpyError};
pub use order::{Layout, epoch_order, evenly_spread, sample};
pub use pack::{PackConfig, PackError, PackFormat, Packed, Shrink, pack};
pub use preprocess::{Preprocess, to_chw_f32};
pub use reading::{Costs, ImageReader, Reading, Retry, in_order};
pub use rect::{CropBox, CropRect, crop};
pub use resize::{Filter, crop_resize, resize};
pub use rng::{Purpose, SampleRng, normal, sample_rng, unit};
pub use source::{
    Background, CifarSource, ConcatSource, FolderForm, FolderSource, IMAGE_EXTENSIONS, IndexCache,
    Kept, ListedSource, ParquetSource, SceneKind, SceneLabels, ScenesConfig, ScenesSource, Source,
    TarSource, VocSource, distinct_classes,
};
pub use spec::DataSpec;
pub use statistics::{Spread, Statistics, StatisticsConfig};
pub use transform::{
    Augment, ClassifierAugment, Distortion, Framing, Mixing, MixingConfig, MultiCrop, RandAugment,
    RandomErasing, Transform, affine, random_crop, random_crop_of_ratio, rotate,
};
pub use verify::verify;
pub use view::View;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
