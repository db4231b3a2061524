//! Why variants cannot be compared.

use std::{io, path::PathBuf};

use ijepa_train::{RecipeError, ResolveError, TrainError};

use super::OtherRun;
use crate::Error;

/// A sweep that stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// There is nothing of what is needed at least once.
    #[error("a sweep needs at least one {what}")]
    Nothing {
        /// What is missing.
        what: &'static str,
    },
    /// Nothing would ever be dropped.
    #[error("halving by {found} drops nothing, expected at least 2")]
    Halving {
        /// The factor.
        found: usize,
    },
    /// Two variants would share their folders.
    #[error("two variants are called `{name}`")]
    SameName {
        /// Their name.
        name: String,
    },
    /// A variant cannot be carried out.
    #[error("variant `{name}`")]
    Variant {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<SweepError>,
    },
    /// A folder holds results of something else.
    #[error(transparent)]
    OtherRun(#[from] OtherRun),
    /// A recipe breaks its rules.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A recipe cannot be carried out.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A run failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Features cannot be judged.
    #[error(transparent)]
    Eval(#[from] Error),
    /// A result cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A run was told to stop; it has a checkpoint.
    #[error("interrupted after step {step} of `{}`", run.display())]
    Interrupted {
        /// Its completed steps.
        step: u64,
        /// Its directory.
        run: PathBuf,
    },
}
