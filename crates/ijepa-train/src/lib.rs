//! Pretraining I-JEPA: recipes, schedules, optimizer, training step, trainer and run directory.

mod adamw;
mod best;
mod clock;
mod device;
mod error;
mod finite;
pub mod flops;
mod gradients;
mod hook;
mod metrics;
mod monitor;
mod options;
mod plan;
pub mod recipe;
mod resolve;
mod resume;
mod run_dir;
pub mod schedule;
mod step;
mod tensorboard;
mod trainer;

pub use adamw::{AdamW, AdamWConfig};
pub use device::{Backend, DeviceError, DeviceSpec};
pub use error::TrainError;
pub use hook::{EpochScores, Hook, HookError, Resumption};
pub use metrics::MetricsRow;
pub use monitor::Monitors;
pub use options::{Resume, TrainOptions, TrainSummary};
pub use plan::PretrainPlan;
pub use recipe::{Recipe, RecipeError};
pub use resolve::ResolveError;
pub use run_dir::RunDir;
pub use schedule::{ScheduleConfig, Schedules};
pub use step::{GroupBatch, Learner, StepOutput, StepSettings};
pub use trainer::pretrain;
