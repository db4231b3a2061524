//! Recipes and schedules of I-JEPA pretraining.

pub mod recipe;
pub mod schedule;

pub use recipe::{Recipe, RecipeError};
pub use schedule::{ScheduleConfig, Schedules};
