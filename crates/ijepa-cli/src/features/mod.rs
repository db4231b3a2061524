//! Which features a command computes or reads.

mod encoder;
mod pair;

pub(crate) use encoder::{
    EncoderChoice, LoadedEncoder, Normalize, Pixels, WeightsArgs, warn_of_decoding,
};
pub(crate) use pair::{Images, Look, Pair, PairArgs, skipped_json, skipped_text};
