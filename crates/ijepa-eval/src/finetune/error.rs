//! Why a run could not start or go on.

use std::path::PathBuf;

use ijepa_data::DataError;
use ijepa_model::{CheckpointError, ConfigError};
use ijepa_train::{RecipeError, TrainError};

use crate::features::ExtractError;

/// A fine-tuning run that stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinetuneError {
    /// The settings cannot be carried out.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The encoder cannot take images of the size asked for.
    #[error("`model.image_size`: {0}")]
    ImageSize(#[from] ConfigError),
    /// Colours are to be changed of images that have none.
    #[error(
        "`data.rand_augment` changes colours of 8 bits, and images of {channels} channels are read as \
         floats; use --set data.rand_augment=none"
    )]
    Colors {
        /// Channels that the encoder takes.
        channels: usize,
    },
    /// More blocks are to be trained than there are.
    #[error("`model.unfreeze` is {found}, expected at most the {depth} blocks of the encoder")]
    Blocks {
        /// Blocks to train.
        found: usize,
        /// Blocks of the encoder.
        depth: usize,
    },
    /// Low-rank pairs would not be of low rank.
    #[error("`model.lora_rank` is {found}, expected at most the width of the encoder, {width}")]
    Rank {
        /// Rank asked for.
        found: usize,
        /// Width of the encoder.
        width: usize,
    },
    /// Low-rank pairs would stand in no block.
    #[error(
        "`model.lora_rank` is {rank}, but `model.unfreeze` = 0 trains no block that could have one"
    )]
    RankOfNothing {
        /// Rank asked for.
        rank: usize,
    },
    /// The data has fewer images than one batch.
    #[error(
        "`run.batch_size` is {batch_size}, expected at most the {images} training images; use --set \
         run.batch_size={}",
        fitting(*.images)
    )]
    Batch {
        /// Images a batch.
        batch_size: usize,
        /// Training images.
        images: usize,
    },
    /// A run would go on as if it had begun with another encoder.
    #[error("`{}` was begun with another encoder; name that one, or another run directory", run.display())]
    OtherEncoder {
        /// The run.
        run: PathBuf,
    },
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Test images cannot be classified.
    #[error(transparent)]
    Evaluate(#[from] ExtractError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The run directory cannot be used, or the run diverged.
    #[error(transparent)]
    Run(#[from] TrainError),
}

/// A batch size that so many images fill; even, as mixing needs it, unless there is one image.
fn fitting(images: usize) -> usize {
    1 << images.max(1).ilog2()
}
