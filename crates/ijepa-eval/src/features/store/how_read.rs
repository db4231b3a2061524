//! How images became the pixels whose features a file has.

use ijepa_data::{Decoding, Preprocess};
use ijepa_model::{Normalization, VisionTransformer};
use serde::{Deserialize, Serialize};

use crate::ExtractConfig;

/// Widths and heights of images, at which different margins show.
const USUAL: [[usize; 2]; 4] = [[500, 375], [333, 500], [640, 640], [1000, 90]];

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

    /// Whether the same pixels come of images of usual sizes.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let named_alike = Self {
            preprocess: other.preprocess.clone(),
            ..self.clone()
        };
        let views = |how: &str| {
            let how = how.parse::<Preprocess>().ok();
            let view = |&[width, height]: &[usize; 2]| {
                how.and_then(|how| how.view(width, height, self.image_size).ok())
            };
            USUAL.iter().map(view).collect::<Vec<_>>()
        };
        let seen = views(&self.preprocess);
        let same = seen.iter().all(Option::is_some) && seen == views(&other.preprocess);
        named_alike == *other && (self.preprocess == other.preprocess || same)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_that_cut_out_the_same_are_alike() {
        let read = |preprocess: &str, side: usize| HowRead {
            image_size: [side; 2],
            preprocess: preprocess.to_owned(),
            normalization: Normalization::IMAGENET,
            decoding: Decoding::default(),
            channels: 3,
        };
        // As a folder for `transformers` says it: 55 pixels of which 48 are kept.
        let of_folder = format!("crop:{}", 55.0 / 48.0);
        assert!(read("eval", 48).is_like(&read(&of_folder, 48)));
        assert!(!read("eval", 224).is_like(&read(&of_folder, 224)));
        assert!(!read("eval", 48).is_like(&read("squash", 48)));
        assert!(!read("eval", 48).is_like(&read("eval", 56)));
        assert!(read("none", 48).is_like(&read("none", 48)));
    }
}
