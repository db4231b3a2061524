//! Recipes: every setting of a pretraining run as one strict TOML file.
//!
//! [`Recipe`] holds the settings, [`Recipe::load`] reads a preset or a file,
//! [`Recipe::with_overrides`] changes single keys, [`Recipe::validate`] checks the rules that
//! types cannot express, and [`Recipe::to_toml`] writes every key back.

mod beside;
mod channels;
mod choices;
mod error;
mod image_size;
mod nearest;
mod overrides;
mod parse;
mod preset;
pub mod rules;
mod sections;
mod settings;
mod strict;
mod validate;

pub(crate) use choices::spelt;
pub use choices::{
    DecaySchedule, Decode, InitScheme, Kernels, Loss, MaskMode, MaskStrategy, ObjectiveKind,
    OnCollapse, OnNan, Orientation, PatchEmbedInit, Precision, PredictorContext, Reduce,
    SixteenBit, Target, TargetMasking,
};
pub use error::RecipeError;
pub use image_size::ImageSize;
pub use overrides::diff;
pub use parse::flatten_text;
pub use preset::{preset_names, preset_text};
pub use sections::{
    DataSettings, EmaSettings, Keeping, MaskSettings, ModelSettings, ObjectiveSettings,
    OptimizerSettings, PredictorSettings, Recipe, RunSettings,
};
pub use settings::Settings;
