//! Why a run could not start or go on.

use std::{io, path::PathBuf};

use ijepa_data::DataError;
use ijepa_model::CheckpointError;

use crate::resolve::ResolveError;

/// A pretraining run that stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The recipe cannot be carried out.
    #[error(transparent)]
    Recipe(#[from] ResolveError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run directory cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another process trains in the same directory.
    #[error("`{}` is in use by another process", path.display())]
    InUse {
        /// The run directory.
        path: PathBuf,
    },
    /// The directory holds a run and resuming was ruled out.
    #[error("`{}` already holds a run; resume it, or choose another directory", path.display())]
    Exists {
        /// The run directory.
        path: PathBuf,
    },
    /// The checkpoint is of a run with another recipe.
    #[error("`{}` was trained with `{key}` = {found}, the recipe says {expected}", path.display())]
    OtherRecipe {
        /// The checkpoint.
        path: PathBuf,
        /// The first key that differs and matters.
        key: String,
        /// Value of the checkpoint.
        found: String,
        /// Value of the recipe.
        expected: String,
    },
    /// A number stopped being one.
    #[error("diverged at step {step}: {tensor} is not finite")]
    Diverged {
        /// The step.
        step: u64,
        /// The first tensor found that is not finite.
        tensor: String,
    },
    /// The features are the same for every image, and the recipe says to stop then.
    #[error("collapsed at step {step}: {reason}")]
    Collapsed {
        /// The step.
        step: u64,
        /// What the monitors saw.
        reason: String,
    },
    /// A hook failed.
    #[error("an evaluation during training failed")]
    Hook(#[source] Box<dyn std::error::Error + Send + Sync>),
}
