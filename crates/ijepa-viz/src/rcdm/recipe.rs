//! Every setting of a decoder's training as strict TOML.

use ijepa_data::Decoding;
use ijepa_train::{
    AdamWConfig, RecipeError,
    recipe::{
        Keeping, Settings,
        rules::{BELOW_ONE, built, count, counts, integer, not_negative, shares, within},
    },
};
use serde::{Deserialize, Serialize};

use super::{ConditionKind, RcdmError, UnetConfig};

/// Name and text of the settings that come with the crate: sizes of images.
const PRESETS: &[(&str, &str)] = &[
    ("32", "[decoder]\nsize = 32\nmultipliers = [1, 2, 2]\n"),
    ("64", "[decoder]\nsize = 64\nmultipliers = [1, 2, 2, 4]\n"),
];

/// Every setting of a decoder's training; by default for images of 32 pixels.
///
/// ```
/// use ijepa_train::recipe::Settings;
/// use ijepa_viz::rcdm::DecoderRecipe;
///
/// let recipe = DecoderRecipe::preset("64")?.with_overrides(&["optimizer.lr=5e-4"])?;
/// assert_eq!((recipe.decoder.size, recipe.optimizer.lr), (64, 5e-4));
/// # Ok::<(), ijepa_train::RecipeError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderRecipe {
    /// The network and what it decodes.
    pub decoder: DecoderSettings,
    /// Training images.
    pub data: DataSettings,
    /// AdamW and the moving average.
    pub optimizer: OptimizerSettings,
    /// Batches, logging and checkpoints.
    pub run: RunSettings,
}

/// The network and what it decodes: `[decoder]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderSettings {
    /// Where vectors come from.
    pub condition: ConditionKind,
    /// Share of the training images that are decoded from no vector (zero) instead of theirs, so
    /// that one network also makes images of nothing.
    pub condition_dropout: f64,
    /// Side of the images, pixels.
    pub size: usize,
    /// Channels at full size.
    pub channels: usize,
    /// Factor of the channels at each size.
    pub multipliers: Vec<usize>,
    /// Residual blocks at each size.
    pub res_blocks: usize,
    /// Sides of the maps that get attention.
    pub attention: Vec<usize>,
    /// Attention heads.
    pub heads: usize,
    /// Groups of every norm.
    pub groups: usize,
}

impl Default for DecoderSettings {
    fn default() -> Self {
        let sizes = UnetConfig::px32(1);
        Self {
            condition: ConditionKind::Encoder,
            condition_dropout: 0.1,
            size: sizes.image_size,
            channels: sizes.channels,
            multipliers: sizes.multipliers,
            res_blocks: sizes.res_blocks,
            attention: sizes.attention,
            heads: sizes.heads,
            groups: sizes.groups,
        }
    }
}

/// Training images: `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSettings {
    /// Whether half of the images are mirrored; never if vectors come from a file.
    pub flip: bool,
    /// How files become pixels: `decode`, `orientation` and `sixteen_bit`, as in pretraining.
    #[serde(flatten)]
    pub decoding: Decoding,
    /// Share of the images that may be unreadable, rounded up to whole images.
    pub max_bad_fraction: f64,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            flip: true,
            decoding: Decoding::default(),
            max_bad_fraction: 0.01,
        }
    }
}

/// AdamW and the moving average: `[optimizer]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OptimizerSettings {
    /// Learning rate of all steps.
    pub lr: f64,
    /// Weight decay of parameters of more than one dimension.
    pub weight_decay: f64,
    /// Constants of AdamW.
    #[serde(flatten)]
    pub adam: AdamWConfig,
    /// Momentum of the moving average of the weights, which makes the images.
    pub ema: f64,
    /// Steps of the run.
    pub steps: usize,
}

impl Default for OptimizerSettings {
    /// As published, but for a shorter run with a shorter average.
    fn default() -> Self {
        Self {
            lr: 1e-4,
            weight_decay: 0.0,
            adam: AdamWConfig::default(),
            ema: 0.999,
            steps: 10_000,
        }
    }
}

/// Batches, logging and checkpoints: `[run]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    /// Images of a step.
    pub batch_size: usize,
    /// Seed of weights, order, mirrors, masks and noise.
    pub seed: u64,
    /// Rows of `metrics.csv` and checkpoints.
    #[serde(flatten)]
    pub keeping: Keeping,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            batch_size: 64,
            seed: 0,
            keeping: Keeping {
                checkpoint_every_steps: 1000,
                keep_last: 1,
                ..Keeping::default()
            },
        }
    }
}

impl DecoderRecipe {
    /// Checks every rule and reports the first that is broken.
    ///
    /// # Errors
    ///
    /// [`RcdmError::Recipe`] or [`RcdmError::Sizes`].
    pub fn validate(&self) -> Result<(), RcdmError> {
        self.validate_numbers()?;
        self.unet(1).validate()
    }

    fn validate_numbers(&self) -> Result<(), RecipeError> {
        let (optimizer, run) = (&self.optimizer, &self.run);
        built(self.data.decoding)?;
        shares([
            ("decoder.condition_dropout", self.decoder.condition_dropout),
            ("data.max_bad_fraction", self.data.max_bad_fraction),
        ])?;
        not_negative([
            ("optimizer.lr", optimizer.lr),
            ("optimizer.weight_decay", optimizer.weight_decay),
        ])?;
        optimizer.adam.validate()?;
        within("optimizer.ema", optimizer.ema, 0.0..1.0, BELOW_ONE)?;
        counts([
            ("optimizer.steps", optimizer.steps),
            ("run.batch_size", run.batch_size),
        ])?;
        run.keeping.validate()?;
        // There are no epochs.
        count(
            "run.checkpoint_every_steps",
            run.keeping.checkpoint_every_steps,
        )?;
        integer("run.seed", run.seed)
    }

    /// Sizes of the network for vectors of `condition_dim` values.
    pub fn unet(&self, condition_dim: usize) -> UnetConfig {
        let decoder = self.decoder.clone();
        UnetConfig {
            image_size: decoder.size,
            channels: decoder.channels,
            multipliers: decoder.multipliers,
            res_blocks: decoder.res_blocks,
            attention: decoder.attention,
            heads: decoder.heads,
            groups: decoder.groups,
            condition_dim,
        }
    }
}

impl Settings for DecoderRecipe {
    const FILE: &'static str = ijepa_train::run::files::DECODER;

    fn every_key() -> Self {
        Self::default()
    }

    fn presets() -> &'static [(&'static str, &'static str)] {
        PRESETS
    }

    fn words_for(key: &str) -> Option<String> {
        match key {
            "decoder.multipliers" | "decoder.attention" => Some("whole numbers".to_owned()),
            "optimizer.betas" => Some("two numbers".to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_the_networks_of_their_sizes() {
        let unet = |name| DecoderRecipe::preset(name).unwrap().unet(96);
        assert_eq!(unet("32"), UnetConfig::px32(96));
        assert_eq!(unet("64"), UnetConfig::px64(96));
    }

    #[test]
    fn broken_rules_are_named() {
        let error = |change: &str| {
            let recipe = DecoderRecipe::default().with_overrides(&[change]).unwrap();
            recipe.validate().unwrap_err().to_string()
        };
        assert_eq!(
            error("optimizer.ema=1.0"),
            "`optimizer.ema` is 1, expected 0 or more and less than 1"
        );
        assert_eq!(
            error("decoder.size=30"),
            "`[decoder]`: `size` must be divisible by 2 for each multiplier but the first"
        );
        assert_eq!(
            error("decoder.size=2097152"),
            "`[decoder]`: `size` may be at most 1024"
        );
        assert_eq!(
            error("decoder.multipliers=[1,9000000000000000000]"),
            "`[decoder]`: no size may have more than 65536 channels"
        );
        assert_eq!(
            error("decoder.groups=5"),
            "`[decoder]`: `groups` must divide the channels at every size"
        );
    }
}
