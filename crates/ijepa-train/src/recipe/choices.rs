//! Values that are picked from a list: enums of the model, of the masks and of training.

use std::cell::Cell;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        Error as _, IntoDeserializer, Visitor,
        value::{Error, MapDeserializer},
    },
    forward_to_deserialize_any,
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

/// A value as recipes spell it.
pub(super) fn spelt(value: &impl Serialize) -> String {
    let value = toml::Value::try_from(value).expect("choices are strings");
    value.as_str().unwrap_or_default().to_owned()
}

/// The values that the enum at `section.key` of the settings `S` may take.
pub(super) fn variants_of<'de, S: Deserialize<'de>>(
    section: &'de str,
    key: &'de str,
) -> Option<&'static [&'static str]> {
    let found = Cell::new(None);
    let inner = MapDeserializer::new([(key, Probe(&found))].into_iter());
    let _ = S::deserialize(MapDeserializer::<_, Error>::new(
        [(section, inner)].into_iter(),
    ));
    found.get()
}

/// In place of a value, notes which variants are asked for.
struct Probe<'a>(&'a Cell<Option<&'static [&'static str]>>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.set(Some(variants));
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for Probe<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
