//! Values that are picked from a list: enums of the model, of the masks and of training.

use std::fmt::Display;

use serde::{
    Deserialize, Serialize,
    de::{self, value::MapDeserializer},
};

pub use ijepa_data::{Decode, Orientation, SixteenBit};
pub use ijepa_masking::MaskMode;
pub use ijepa_model::{
    InitScheme, Kernels, Loss, Precision, PredictorContext, Target, TargetMasking,
};

/// Standard deviation of the initial patch embedding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchEmbedInit {
    /// As `model.init`.
    #[default]
    Same,
    /// 0.02.
    Normal,
    /// 0.02: the patch embedding lies outside the blocks that are rescaled.
    DepthRescaled,
    /// `1 / sqrt(fan_in)`.
    FanIn,
}

/// Pretraining method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// Prediction of target representations from a context (I-JEPA).
    #[default]
    Jepa,
    /// Masked autoencoder (He et al. 2022), the baseline.
    Mae,
    /// Views that agree under SIGReg (Balestriero and LeCun 2025), without masks, target encoder or
    /// predictor: what more knowledge about images is worth.
    Lejepa,
}

impl ObjectiveKind {
    /// Whether parts of an image are predicted behind masks; of LeJEPA views are compared.
    pub fn predicts(self) -> bool {
        self != Self::Lejepa
    }
}

/// How context and targets are chosen (paper, Table 6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskStrategy {
    /// Several target blocks; the context is one large block without them.
    #[default]
    MultiBlock,
    /// One quadrant is the context, the other three are targets.
    Rasterized,
    /// One target block; the context is its complement.
    Block,
    /// A random set of target patches; the context is its complement.
    Random,
}

/// Course of the weight decay over a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecaySchedule {
    /// Half a cosine from the first to the last value: the reference code.
    #[default]
    Cosine,
    /// A straight line from the first to the last value: the paper.
    Linear,
    /// The first value throughout; `optimizer.final_weight_decay` is not used.
    Constant,
}

/// Order in which the gradients of the passes of a step are added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// `exact` on CPUs, `fast` on GPUs.
    #[default]
    Auto,
    /// In a fixed tree: the weights have the same bits on any number of processes.
    Exact,
    /// As they come; on several processes in the order that their communication prefers.
    Fast,
}

/// Reaction to representations that collapse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCollapse {
    /// Log a warning and go on.
    #[default]
    Warn,
    /// End the run with an error after a checkpoint.
    Stop,
}

/// Reaction to a gradient that is not finite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNan {
    /// End the run with an error; the last checkpoint stays.
    #[default]
    Stop,
    /// Leave the step out and go on, with a warning.
    Skip,
}

/// A value as recipes spell it.
pub(crate) fn spelt(value: &impl Serialize) -> String {
    let value = toml::Value::try_from(value).expect("choices are strings");
    value.as_str().unwrap_or_default().to_owned()
}

/// The values that the enum at `section.key` of the settings `S` may take.
pub(super) fn variants_of<'de, S: Deserialize<'de>>(
    section: &'de str,
    key: &'de str,
) -> Option<&'static [&'static str]> {
    let inner = MapDeserializer::new([(key, "?")].into_iter());
    let outer = MapDeserializer::<_, Refused>::new([(section, inner)].into_iter());
    S::deserialize(outer).err()?.0
}

/// Why a value was refused: those that an enum has, if it was to be one of them.
#[derive(Debug, thiserror::Error)]
#[error("another value")]
struct Refused(Option<&'static [&'static str]>);

impl de::Error for Refused {
    fn custom<T: Display>(_: T) -> Self {
        Self(None)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(Some(expected))
    }
}
