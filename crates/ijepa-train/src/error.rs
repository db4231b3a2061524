//! Why a run could not start or go on.

use std::path::PathBuf;

use ijepa_data::DataError;
use ijepa_model::{CheckpointError, files::FileError};

use crate::resolve::ResolveError;

/// A run that stopped.
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
    #[error(transparent)]
    Io(#[from] FileError),
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
    /// The directory holds another run than that of the checkpoint.
    #[error(
        "`{}` holds another run than that of `{}`; choose another directory",
        run.display(), path.display()
    )]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// The run directory.
        run: PathBuf,
    },
    /// The directory holds a run of another kind.
    #[error(
        "`{}` holds a run that {found} describes, this one would be described by {settings}; \
         choose another directory",
        path.display()
    )]
    OtherKind {
        /// The run directory.
        path: PathBuf,
        /// Settings that it has.
        found: String,
        /// Settings that it would have.
        settings: &'static str,
    },
    /// The directory has checkpoints, but does not say which of them its run is at.
    #[error(
        "`{}` does not say where its run is: `latest` is missing, and no complete checkpoint goes \
         with the rows of the run; name one with --resume",
        path.display()
    )]
    Unclear {
        /// The folder of checkpoints.
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
    /// There are more processes than passes in a step.
    #[error(
        "a step has {passes} passes, which {ranks} processes cannot share; start fewer of them, or \
         make batches larger, or what a pass is smaller: run.micro_batch, of pretraining also \
         mask.group_size"
    )]
    FewPasses {
        /// Passes of a step.
        passes: usize,
        /// Processes that were started.
        ranks: usize,
    },
    /// The processes were not started alike.
    #[error("process {rank} has other {what} than process 0: `{found}` instead of `{expected}`")]
    RanksDiffer {
        /// The first process that differs.
        rank: usize,
        /// What is different.
        what: &'static str,
        /// The first line of it that differs.
        found: String,
        /// That line in process 0.
        expected: String,
    },
    /// Another process of the run failed, and says why.
    #[error("process {rank} failed")]
    OtherRank {
        /// The first process that failed.
        rank: usize,
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
    /// An observer could not measure what is trained.
    #[error("an evaluation during training failed")]
    Evaluation(#[source] Box<dyn std::error::Error + Send + Sync>),
}
