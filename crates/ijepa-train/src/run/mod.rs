//! Carrying out a run: the one loop of pretraining, fine-tuning and decoder training.
//!
//! A [`Task`] says what is trained and [`train`] trains it in a [`Folder`], which it locks and
//! fills with tables and checkpoints; [`Observer`]s watch, measure and are told.

mod agreement;
mod basis;
mod clock;
mod differences;
mod earlier;
pub mod files;
mod folder;
mod r#loop;
mod losses;
mod observer;
mod options;
mod row;
mod span;
mod table;
mod tables;
mod task;
mod tensorboard;
mod writer;

pub use differences::described_decoding;
pub use folder::Folder;
pub use r#loop::train;
pub use observer::{Observer, ObserverError, Position, Resumption};
pub use options::{Resume, TrainOptions, TrainSummary};
pub use row::{Columns, PROCESSES, Row};
pub use task::{Gradients, Measured, Rhythm, Task};
