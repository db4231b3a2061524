//! The vectors that images are decoded from.

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use ijepa_data::Source;
use ijepa_eval::{Features, networks_digest, weights_digest};
use ijepa_masking::{MaskGroup, MaskRng, MaskSampler};
use ijepa_model::{IJepa, MaskTensors, Normalization, Pooling, VisionTransformer};
use serde::{Deserialize, Serialize};

use super::{RcdmError, config::BATCH};

/// Least standard deviation that a channel is divided by.
const LEAST_STD: f32 = 1e-6;

/// Where the vectors come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// The mean of an encoder's features over the whole image (paper, figure 7).
    #[default]
    Encoder,
    /// The mean of the predictor's output over one target block, given the context
    /// (paper, figure 6).
    Predictor,
    /// A file with one vector for each image.
    File,
}

impl ConditionKind {
    /// As settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Predictor => "predictor",
            Self::File => "file",
        }
    }
}

/// Turns images into vectors.
pub enum Conditioner {
    /// A frozen encoder.
    Encoder {
        /// Its weights.
        encoder: Box<VisionTransformer>,
        /// Channel statistics that it was trained with.
        normalization: Normalization,
    },
    /// A frozen context encoder with its predictor, and the masks that it predicts behind.
    Predictor {
        /// Both networks.
        networks: Box<IJepa>,
        /// Contexts and target blocks.
        sampler: Box<dyn MaskSampler>,
        /// Channel statistics that they were trained with.
        normalization: Normalization,
    },
    /// Vectors that are known, one for each image of the data.
    File {
        /// The vectors.
        features: Features,
        /// The [`weights_digest`] of the encoder that they are of, if it is known.
        weights: Option<String>,
        /// The names of the images, if they are known, else nothing.
        names: Vec<String>,
    },
}

impl std::fmt::Debug for Conditioner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Conditioner").field(&self.kind()).finish()
    }
}

impl Conditioner {
    /// Where the vectors come from.
    pub fn kind(&self) -> ConditionKind {
        match self {
            Self::Encoder { .. } => ConditionKind::Encoder,
            Self::Predictor { .. } => ConditionKind::Predictor,
            Self::File { .. } => ConditionKind::File,
        }
    }

    /// Width of the vectors.
    pub fn dim(&self) -> usize {
        match self {
            Self::Encoder { encoder, .. } => encoder.embed_dim(),
            Self::Predictor { networks, .. } => {
                let encoder = networks.encoder.config();
                networks.predictor.config().outputs(encoder)
            }
            Self::File { features, .. } => features.dim(),
        }
    }

    /// Sides in pixels, `[height, width]`, of the images that are looked at, if any are.
    pub fn image_size(&self) -> Option<[usize; 2]> {
        match self {
            Self::Encoder { encoder, .. } => Some(encoder.config().image_size),
            Self::Predictor { networks, .. } => Some(networks.encoder.config().image_size),
            Self::File { .. } => None,
        }
    }

    /// A digest of the weights that the vectors are of, if they are known.
    pub fn weights(&self) -> Option<String> {
        match self {
            Self::Encoder { encoder, .. } => Some(weights_digest(encoder)),
            Self::Predictor { networks, .. } => Some(networks_digest(networks)),
            Self::File { weights, .. } => weights.clone(),
        }
    }

    /// Checks that a file has a vector for each image of `source`: as many, and where it names
    /// them, of files of these names, wherever they lie.
    pub(crate) fn check_images(&self, source: &dyn Source) -> Result<(), RcdmError> {
        let Self::File {
            features, names, ..
        } = self
        else {
            return Ok(());
        };
        let (rows, images) = (features.images(), source.len());
        if rows != images {
            return Err(RcdmError::Rows { rows, images });
        }
        for (row, stored) in names.iter().enumerate() {
            let found = source.name(row);
            if file_name(&found) != file_name(stored) {
                let stored = stored.clone();
                return Err(RcdmError::OtherImages { row, stored, found });
            }
        }
        Ok(())
    }

    /// A context and one target block for each of `images`, those of step `step` of a run with
    /// `seed`; none unless the vectors are predicted.
    pub fn masks(&self, images: usize, seed: u64, step: u64) -> Option<MaskGroup> {
        let Self::Predictor { sampler, .. } = self else {
            return None;
        };
        let mut group = sampler.sample(images, &mut MaskRng::for_group(seed, step, 0));
        group.contexts.truncate(1);
        // Blocks of an image are drawn alike, so the first is as good as any.
        group.targets.truncate(1);
        Some(group)
    }

    /// The vectors of some images, all computed at once.
    ///
    /// # Shapes
    ///
    /// - `pixels`: `[batch, height, width, 3]`, of [`image_size`](Self::image_size)
    /// - `indices`: `[batch]`, their numbers in the data
    /// - output: `[batch, dim]`
    ///
    /// # Panics
    ///
    /// Panics if the sizes do not fit or predicted vectors are asked for without masks.
    pub fn vectors(
        &self,
        pixels: &[u8],
        indices: &[u32],
        masks: Option<&MaskGroup>,
        device: &Device,
    ) -> Tensor<2> {
        let images = |normalization: &Normalization, [height, width]: [usize; 2]| {
            normalization.loaded_images(pixels, [indices.len(), height, width], device)
        };
        match self {
            Self::Encoder {
                encoder,
                normalization,
            } => {
                let images = images(normalization, encoder.config().image_size);
                encoder.valid().forward_pooled(images, Pooling::Mean)
            }
            Self::Predictor {
                networks,
                normalization,
                ..
            } => {
                let masks = MaskTensors::new(masks.expect("a prediction needs masks"), device);
                let images = images(normalization, networks.encoder.config().image_size);
                let predicted = networks.valid().predict(images, &masks, None);
                predicted.mean_dim(1).squeeze_dim(1)
            }
            Self::File { features, .. } => {
                let rows = indices
                    .iter()
                    .flat_map(|&index| features.row(index as usize));
                let values: Vec<f32> = rows.copied().collect();
                let shape = [indices.len(), features.dim()];
                Tensor::from_data(TensorData::new(values, shape), device)
            }
        }
    }
}

impl Conditioner {
    /// As [`vectors`](Self::vectors), of any number of images, a batch at a time.
    pub(super) fn vectors_of_many(
        &self,
        pixels: &[u8],
        indices: &[u32],
        masks: Option<&MaskGroup>,
        device: &Device,
    ) -> Tensor<2> {
        let (images, mut batches) = (indices.len(), Vec::new());
        let size = pixels.len() / images.max(1);
        for first in (0..images).step_by(BATCH) {
            let batch = first..images.min(first + BATCH);
            let masks = masks.map(|masks| masks.part(batch.clone()));
            let pixels = &pixels[batch.start * size..batch.end * size];
            batches.push(self.vectors(pixels, &indices[batch], masks.as_ref(), device));
        }
        Tensor::cat(batches, 0)
    }
}

/// The last part of a path of any system.
fn file_name(path: &str) -> Option<&str> {
    path.rsplit(['/', '\\']).next()
}

/// Mean and spread of every channel of the vectors, which a decoder is given standardised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardization {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Standardization {
    /// That of `vectors`, `[images, dim]`; a channel that is always the same becomes zero.
    pub fn of(vectors: Tensor<2>) -> Self {
        let [_, dim] = vectors.dims();
        let values: Vec<f32> = vectors.into_data().iter::<f32>().collect();
        let rows = values.len() / dim;
        let moment = |of: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
            let sum = |channel: usize| {
                let column = values.iter().skip(channel).step_by(dim);
                let terms = column.map(|&value| of(channel, f64::from(value)));
                terms.sum::<f64>() / rows as f64
            };
            (0..dim).map(sum).collect()
        };
        let mean = moment(&|_, value| value);
        let variance = moment(&|channel, value| (value - mean[channel]).powi(2));
        let std = variance.iter().map(|variance| variance.sqrt() as f32);
        Self {
            mean: mean.iter().map(|&mean| mean as f32).collect(),
            std: std.map(|std| std.max(LEAST_STD)).collect(),
        }
    }

    /// Width of the vectors.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Whether vectors as wide as `dim` can be divided by it: files may say anything.
    pub(super) fn fits(&self, dim: usize) -> bool {
        let finite = self.mean.iter().all(|mean| mean.is_finite());
        let positive = self.std.iter().all(|&std| std > 0.0 && std.is_finite());
        [self.mean.len(), self.std.len()] == [dim; 2] && finite && positive
    }

    /// `(vectors - mean) / std`.
    ///
    /// # Shapes
    ///
    /// - `vectors` and output: `[batch, dim]`
    pub fn apply(&self, vectors: Tensor<2>) -> Tensor<2> {
        let device = vectors.device();
        let row =
            |values: &[f32]| -> Tensor<2> { Tensor::<1>::from_floats(values, &device).unsqueeze() };
        (vectors - row(&self.mean)) / row(&self.std)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardised_vectors_have_mean_zero_and_spread_one() {
        let device = ijepa_testkit::device();
        let vectors = Tensor::<2>::from_data([[1.0, 5.0], [3.0, 5.0]], &device);
        let standard = Standardization::of(vectors.clone());
        let values = standard.apply(vectors).into_data();
        assert_eq!(
            values.iter::<f32>().collect::<Vec<_>>(),
            [-1.0, 0.0, 1.0, 0.0]
        );
    }

    #[test]
    fn kinds_have_the_names_of_their_settings() {
        let kinds = [
            ConditionKind::Encoder,
            ConditionKind::Predictor,
            ConditionKind::File,
        ];
        for kind in kinds {
            let spelt = serde_json::to_string(&kind).unwrap();
            assert_eq!(spelt, format!("{:?}", kind.name()));
        }
    }
    #[test]
    fn statistics_of_files_fit_if_every_channel_can_be_divided() {
        let fits = |text: &str| {
            let found: Standardization = serde_json::from_str(text).unwrap();
            found.fits(1)
        };
        assert!(fits(r#"{"mean": [0.5], "std": [2.0]}"#));
        for std in ["[]", "[0.0]", "[-1.0]", "[1.0, 1.0]"] {
            assert!(
                !fits(&format!(r#"{{"mean": [0.5], "std": {std}}}"#)),
                "{std}"
            );
        }
    }
}
