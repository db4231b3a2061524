//! Fine-tuning: an encoder and a new head trained together on labels.

mod batch;
mod checkpoint;
mod data;
mod error;
mod evaluate;
mod layers;
mod learner;
mod plan;
mod recipe;
mod task;
mod unfreeze;
mod validate;

pub use batch::mix_images;
pub use data::FinetuneData;
pub use error::FinetuneError;
pub use evaluate::evaluate;
pub use layers::layer_scale;
pub use learner::soft_cross_entropy;
pub use plan::FinetunePlan;
pub use recipe::{
    DataSettings, EvalPreprocess, FinetuneRecipe, ModelSettings, OptimizerSettings, RunSettings,
};
pub use task::{EpochAccuracy, FinetuneSummary, finetune};
pub use unfreeze::Unfreeze;
