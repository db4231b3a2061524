//! Features of a whole data set, streamed into a file.

mod encoder;
mod extract;
mod files;
mod images;
mod npy;
mod pair;
mod parquet_file;
mod parquet_table;
mod safetensors_file;
mod sink;

pub(crate) use encoder::{EncoderChoice, LoadedEncoder, Normalize, WeightsArgs};
pub(crate) use extract::{Extract, Extracted, Pool};
pub(crate) use files::read_features;
pub(crate) use pair::{Images, Look, Pair, PairArgs, skipped_json, skipped_text};
pub(crate) use sink::FileKind;
