//! How images became the pixels whose features a file has.

use ijepa_data::{Decoding, Preprocess};
use ijepa_model::{Normalization, VisionTransformer};
use serde::{Deserialize, Serialize};

use crate::ExtractConfig;

/// All that decides what an encoder sees of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HowRead {
    /// `[height, width]`.
    pub(crate) image_size: [usize; 2],
    /// As [`Preprocess`] is written.
    preprocess: String,
    normalization: Normalization,
    decoding: Decoding,
    channels: usize,
}

impl HowRead {
    pub(crate) fn new(config: &ExtractConfig, encoder: &VisionTransformer) -> Self {
        let decoding = config.reading.decoding;
        Self {
            image_size: encoder.config().image_size,
            preprocess: config.preprocess.to_string(),
            normalization: config.normalization,
            decoding,
            channels: decoding.channels,
        }
    }

    /// `config` with images read so.
    pub(crate) fn apply(&self, mut config: ExtractConfig) -> Result<ExtractConfig, String> {
        let preprocess = self.preprocess.parse::<Preprocess>();
        config.preprocess = preprocess.map_err(|error| error.to_string())?;
        config.normalization = self.normalization;
        config.reading.decoding = Decoding {
            channels: self.channels,
            ..self.decoding
        };
        match self.decoding.decode.is_built() {
            true => Ok(config),
            false => Err(format!(
                "its images were decoded `{}`, which needs the Cargo feature `turbojpeg`",
                self.decoding.decode
            )),
        }
    }
}
