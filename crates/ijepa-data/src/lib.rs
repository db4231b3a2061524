//! Images from disk to bytes for I-JEPA.
mod color;
mod decode;
mod error;
mod image;
mod loader;
mod order;
mod preprocess;
mod resize;
mod rng;
mod source;
mod spec;
mod transform;

pub use decode::decode;
pub use error::{Cause, DataError};
pub use image::RgbImage8;
pub use loader::{Batch, Loader, LoaderConfig, Skipped};
pub use order::epoch_order;
pub use preprocess::{Normalization, Preprocess, to_chw_f32};
pub use resize::{CropBox, CropRect, Filter, crop, crop_resize, resize};
pub use rng::{Purpose, sample_rng};
pub use source::{
    Background, CifarSource, FolderSource, IMAGE_EXTENSIONS, ParquetSource, SceneKind, SceneLabels,
    ScenesConfig, ScenesSource, Source,
};
pub use spec::DataSpec;
pub use transform::{Augment, random_crop};
