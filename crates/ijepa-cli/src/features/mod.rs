//! Features of a whole data set, streamed into a file.

mod encoder;
mod extract;
mod files;
mod images;
mod npy;
mod parquet_file;
mod safetensors_file;
mod sink;

pub(crate) use encoder::{EncoderChoice, LoadedEncoder, WeightsArgs};
pub(crate) use extract::{Extract, Extracted, Pool};
pub(crate) use files::read_features;
pub(crate) use sink::FileKind;
