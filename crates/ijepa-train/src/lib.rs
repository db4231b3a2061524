//! Pretraining I-JEPA: recipes, schedules, optimizer and training step; and the loop of any run.

mod adamw;
mod device;
mod error;
mod finite;
pub mod flops;
mod gradients;
mod init;
mod monitor;
mod plan;
mod pretrain;
pub mod ranks;
pub mod recipe;
mod resolve;
pub mod run;
pub mod scaling;
pub mod schedule;
mod scores;
mod sizes;
mod step;

pub use adamw::{AdamW, AdamWConfig, Update};
pub use device::{Backend, DeviceError, DeviceList, DeviceSpec};
pub use error::TrainError;
pub use finite::first_not_finite;
pub use gradients::{SumOfGradients, Summation};
pub use init::Taken;
pub use monitor::Monitors;
pub use plan::PretrainPlan;
pub use pretrain::pretrain;
pub use recipe::{Recipe, RecipeError};
pub use resolve::ResolveError;
pub use run::{Resume, TrainOptions, TrainSummary};
pub use schedule::{ScheduleConfig, Schedules, WarmupCosine, half_cosine, lr_scale};
pub use scores::EpochScores;
pub use sizes::{differing_size, first_different};
pub use step::{GroupBatch, Learner, StepOutput, StepSettings, ViewBatch};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
