//! Pretraining I-JEPA: recipes, schedules, optimizer and the training step.

mod adamw;
mod device;
mod gradients;
pub mod recipe;
mod resolve;
pub mod schedule;
mod step;

pub use adamw::{AdamW, AdamWConfig};
pub use device::{Backend, DeviceError, DeviceSpec};
pub use recipe::{Recipe, RecipeError};
pub use resolve::ResolveError;
pub use schedule::{ScheduleConfig, Schedules};
pub use step::{GroupBatch, Learner, StepOutput, StepSettings};
