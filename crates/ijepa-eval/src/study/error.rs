//! Why variants cannot be compared.

use std::path::PathBuf;

use ijepa_data::suggestion;
use ijepa_model::files::FileError;
use ijepa_train::{RecipeError, ResolveError, TrainError};

use crate::Error;

/// A study that stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// There is nothing of what is needed at least once.
    #[error("a study needs at least one {what}")]
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
    /// A seed would count twice.
    #[error("seed {seed} is given twice")]
    SameSeed {
        /// The seed.
        seed: u64,
    },
    /// No variant has this name.
    #[error("no variant is called `{found}`{}; there are {}", suggestion(near.as_deref()), known.join(", "))]
    UnknownVariant {
        /// The name.
        found: String,
        /// The one that was probably meant.
        near: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// A run has fewer images than a step in each of its epochs takes, by the images of the study or
    /// by its share of what is equal.
    #[error(
        "variant `{name}` takes {least} images for a step in each epoch, and {images} are fewer; give \
         more images or minutes, or change optimizer.epochs or run.batch_size"
    )]
    FewImages {
        /// The first such variant.
        name: String,
        /// Images of its run.
        images: u64,
        /// What it takes.
        least: u64,
    },
    /// A variant cannot be carried out.
    #[error("variant `{name}`")]
    Variant {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: ResolveError,
    },
    /// Nobody knows how long the variants would take.
    #[error("variant `{name}` diverges while it is timed; say how many minutes a run has")]
    NoPace {
        /// The first variant.
        name: String,
    },
    /// A folder holds results of something else.
    #[error(
        "`{}` holds a run with {key} = {found}, this one has {expected}; choose another folder",
        path.display()
    )]
    OtherRun {
        /// The folder.
        path: PathBuf,
        /// What differs.
        key: String,
        /// Its value there.
        found: String,
        /// Its value now.
        expected: String,
    },
    /// A run cannot be judged where it has already gone on.
    #[error(
        "`{}` is at step {step} and was never judged at step {until}; choose another folder",
        path.display()
    )]
    TooFar {
        /// Its folder.
        path: PathBuf,
        /// Its completed steps.
        step: u64,
        /// The steps after which it was to be judged.
        until: u64,
    },
    /// What earlier calls found cannot be read.
    #[error("`{}` is damaged; remove it, and what it says is measured again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A kept recipe cannot be read.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A run failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A run cannot be judged.
    #[error(transparent)]
    Eval(#[from] Error),
    /// A result cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A run was told to stop; it has a checkpoint.
    #[error("interrupted after step {step} of `{}`", run.display())]
    Interrupted {
        /// Its completed steps.
        step: u64,
        /// Its directory.
        run: PathBuf,
    },
}
