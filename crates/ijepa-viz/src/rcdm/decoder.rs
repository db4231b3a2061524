//! A trained decoder and its file.

use std::{collections::HashMap, fs, path::Path};

use burn::tensor::{Device, Tensor};
use ijepa_data::{Decoding, Purpose, sample_rng};
use ijepa_model::{
    CheckpointError,
    checkpoint::{ModuleFile, TensorFile, run_folder},
};
use serde::{Deserialize, Serialize};

use super::{
    ConditionKind, Conditioner, Diffusion, RcdmError, Standardization, Unet, UnetConfig,
    config::BATCH,
    diffusion::{images_of, noise, per_image},
    views::to_bytes,
};

/// Metadata key under which a file carries everything but weights.
const CONFIG_METADATA: &str = "ijepa_rcdm";
/// Version of the files that are written.
const FORMAT_VERSION: u32 = 1;

/// What the files of every version say.
#[derive(Deserialize)]
struct Versioned {
    format_version: u32,
}

/// What a decoder is beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Version of the file.
    pub format_version: u32,
    /// Sizes of the network.
    pub unet: UnetConfig,
    /// What vectors it was trained on.
    pub condition: ConditionKind,
    /// Their statistics.
    pub standardization: Standardization,
    /// A digest of the weights that they are of, if they are known.
    #[serde(default)]
    pub weights: Option<String>,
    /// How the files of its images became pixels.
    #[serde(default)]
    pub decoding: Decoding,
}

impl DecoderConfig {
    /// A decoder of vectors with these statistics, of images that are decoded as usual.
    pub fn new(
        unet: UnetConfig,
        condition: ConditionKind,
        standardization: Standardization,
    ) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            unet,
            condition,
            standardization,
            weights: None,
            decoding: Decoding::default(),
        }
    }
}

/// Makes images of vectors (RCDM, Bordes et al. 2022; I-JEPA, appendix E).
#[derive(Debug, Clone)]
pub struct Decoder {
    /// The moving average of the trained network.
    pub unet: Unet,
    config: DecoderConfig,
    diffusion: Diffusion,
}

/// How images are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Steps from noise to image, of the 1000 that it was trained with.
    pub steps: usize,
    /// Seed of the noise.
    pub seed: u64,
}

impl Default for Sampling {
    /// 100 steps, as published.
    fn default() -> Self {
        Self {
            steps: 100,
            seed: 0,
        }
    }
}

impl Decoder {
    /// Name of the file in a checkpoint folder.
    pub const FILE: &str = "decoder.safetensors";

    /// A decoder with weights of its own.
    pub fn new(unet: Unet, config: DecoderConfig) -> Self {
        Self {
            unet,
            config,
            diffusion: Diffusion::default(),
        }
    }

    /// What it is beside its weights.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The noise that it takes away.
    pub fn diffusion(&self) -> &Diffusion {
        &self.diffusion
    }

    /// Weights and configuration, as one file.
    pub fn file(&self) -> TensorFile {
        let config = serde_json::to_string(&self.config).expect("it is plain data");
        let metadata = HashMap::from([(CONFIG_METADATA.to_owned(), config)]);
        TensorFile::of_module(Self::FILE, &self.unet, metadata)
    }

    /// Loads a decoder from its file, a checkpoint folder or a run directory.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Absent`] if the file does not describe a decoder,
    /// [`CheckpointError::Version`] if a newer version wrote it, [`CheckpointError::Mismatch`] if
    /// its weights are others, other variants if it cannot be read.
    pub fn from_pretrained(
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, CheckpointError> {
        let path = &run_folder::file(path.as_ref(), Self::FILE, "decoder")?;
        let absent = |what| CheckpointError::Absent {
            path: path.into(),
            what,
        };
        let file = ModuleFile::open(path)?;
        let config = file.metadata.get(CONFIG_METADATA);
        let config = config.ok_or_else(|| absent("decoder"))?;
        let json = |source| CheckpointError::Json {
            path: path.into(),
            source,
        };
        let Versioned { format_version } = serde_json::from_str(config).map_err(json)?;
        let (found, supported) = (format_version, FORMAT_VERSION);
        if found > supported {
            let path = path.into();
            return Err(CheckpointError::Version {
                path,
                found,
                supported,
            });
        }
        let config: DecoderConfig = serde_json::from_str(config).map_err(json)?;
        let fits = config.standardization.fits(config.unet.condition_dim);
        if config.unet.validate().is_err() || !fits {
            return Err(absent("decoder whose sizes fit together"));
        }
        // No network is made that the file cannot hold, at two bytes a value.
        let bytes = fs::metadata(path).map_or(0, |file| file.len());
        if config.unet.least_values() > bytes / 2 {
            return Err(absent("decoder of the sizes that it says"));
        }
        let unet = file.load(config.unet.init(0, device), "decoder")?;
        Ok(Self::new(unet, config))
    }

    /// Checks that this decoder was trained on vectors like those of `conditioner`.
    ///
    /// # Errors
    ///
    /// [`RcdmError::Width`], [`RcdmError::Kind`] or [`RcdmError::OtherWeights`].
    pub fn check(&self, conditioner: &Conditioner) -> Result<(), RcdmError> {
        let (expected, found) = (self.config.unet.condition_dim, conditioner.dim());
        if expected != found {
            return Err(RcdmError::Width { expected, found });
        }
        let (trained, found) = (self.config.condition, conditioner.kind());
        // A file holds what `ijepa embed` took from an encoder.
        let predicted = |kind| kind == ConditionKind::Predictor;
        if predicted(trained) != predicted(found) {
            return Err(RcdmError::Kind {
                trained: trained.name(),
                found: found.name(),
            });
        }
        match (&self.config.weights, conditioner.weights()) {
            (Some(trained), Some(found)) if *trained != found => Err(RcdmError::OtherWeights),
            _ => Ok(()),
        }
    }

    /// Makes one image of each vector.
    ///
    /// An image is a function of its vector, the sampling and its number alone: images of the
    /// same number begin with the same noise, whatever they are made beside.
    ///
    /// # Shapes
    ///
    /// - `conditions`: `[images, condition_dim]`, standardised; zero for an image of nothing
    /// - `numbers`: `[images]`
    /// - output: `[images, size, size, 3]`, bytes
    ///
    /// # Panics
    ///
    /// Panics if the shapes do not fit or there are fewer steps than are asked for.
    pub fn sample(&self, conditions: Tensor<2>, numbers: &[u64], sampling: Sampling) -> Vec<u8> {
        let mut pixels = Vec::new();
        for (batch, numbers) in numbers.chunks(BATCH).enumerate() {
            let conditions = conditions.clone().narrow(0, batch * BATCH, numbers.len());
            pixels.extend(to_bytes(self.sample_batch(conditions, numbers, sampling)));
        }
        pixels
    }

    fn sample_batch(
        &self,
        conditions: Tensor<2>,
        numbers: &[u64],
        sampling: Sampling,
    ) -> Tensor<4> {
        let (side, device) = (self.config.unet.image_size, conditions.device());
        let steps = self.diffusion.spread(sampling.steps);
        let fresh = |turn: usize| -> Tensor<4> {
            let of_image = |&number: &u64| {
                let purpose = Purpose::DiffusionSample;
                let mut rng = sample_rng(sampling.seed, purpose, turn as u64, number);
                noise(&mut rng, side).collect::<Vec<f32>>()
            };
            let values: Vec<f32> = numbers.iter().flat_map(of_image).collect();
            images_of(&values, side, &device)
        };
        let mut images = fresh(0);
        for (turn, &step) in steps.iter().enumerate() {
            let times = vec![step as f64; numbers.len()];
            let predicted = self
                .unet
                .forward(images.clone(), &times, conditions.clone());
            let before = steps.get(turn + 1).copied();
            let noise = match before {
                Some(_) => fresh(turn + 1),
                // The last step adds none.
                None => per_image(vec![0.0; numbers.len()], &device),
            };
            images = self
                .diffusion
                .denoised(images, predicted, noise, step, before);
        }
        images
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_describes_no_network_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Decoder::FILE);
        let device = ijepa_testkit::device();
        let sizes = UnetConfig {
            image_size: 4,
            channels: 8,
            multipliers: vec![1],
            attention: Vec::new(),
            groups: 4,
            ..UnetConfig::px32(1)
        };
        let unet = sizes.init(0, &device);
        let statistics = Standardization::of(Tensor::<2>::from_data([[1.0], [2.0]], &device));
        let config = DecoderConfig::new(sizes, ConditionKind::File, statistics);
        let good = serde_json::to_value(&config).unwrap();
        let read = |config: &serde_json::Value| {
            let metadata = HashMap::from([(CONFIG_METADATA.to_owned(), config.to_string())]);
            ModuleFile::save(&path, &unet, metadata).unwrap();
            Decoder::from_pretrained(&path, &device)
        };
        assert_eq!(read(&good).unwrap().config(), &config);
        let [mut newer, mut wide, mut deep, mut large, mut huge] = [(); 5].map(|()| good.clone());
        newer["format_version"] = serde_json::json!(2);
        newer["new"] = serde_json::json!(true);
        let error = read(&newer).unwrap_err();
        assert!(matches!(error, CheckpointError::Version { .. }), "{error}");
        wide["standardization"]["std"] = serde_json::json!([]);
        deep["unet"]["res_blocks"] = serde_json::json!(65);
        large["unet"]["image_size"] = serde_json::json!(1025);
        huge["unet"]["channels"] = serde_json::json!(65536);
        for config in [wide, deep, large, huge] {
            let error = read(&config).unwrap_err();
            assert!(matches!(error, CheckpointError::Absent { .. }), "{error}");
        }
    }
}
