//! Images made of representations: a diffusion model that is told what an encoder or a predictor
//! says (RCDM, Bordes et al. 2022; I-JEPA, figures 6 to 8 and appendix E).
//!
//! What all images made of one vector have in common is what the vector holds; what differs, it
//! does not.
//!
//! - A [`Conditioner`] turns images into vectors: the mean of an encoder's features, the mean of a
//!   predictor's output over a target block, or the rows of a file.
//! - [`train_decoder`] trains a [`Decoder`] on them, as a [`DecoderRecipe`] says.
//! - [`Shown::decode`] makes images, [`decoded_grid`] shows them, [`accept`] tests whether they
//!   follow their vectors.

mod accept;
mod checkpoint;
mod condition;
mod config;
mod decoder;
mod diffusion;
mod error;
mod grid;
mod layers;
mod learner;
mod recipe;
mod shown;
mod task;
mod unet;
mod views;

pub use accept::{Acceptance, NoiseError, Similarity, Variance, accept};
pub use condition::{ConditionKind, Conditioner, Standardization};
pub use config::UnetConfig;
pub use decoder::{Decoder, DecoderConfig, Sampling};
pub use diffusion::Diffusion;
pub use error::RcdmError;
pub use grid::decoded_grid;
pub use layers::{Conv3x3, GroupNorm, MapAttention, ResBlock};
pub use recipe::{DataSettings, DecoderRecipe, DecoderSettings, OptimizerSettings, RunSettings};
pub use shown::Shown;
pub use task::train_decoder;
pub use unet::{Stage, Unet};
