//! What the predictor says about a hidden block, and what that is like.

mod draw;
mod nearest;
mod networks;
mod prediction;

use std::{
    fs,
    path::{self, PathBuf},
};

use burn::tensor::Device;
use ijepa_data::Source;
use ijepa_eval::{ExtractConfig, PickedImage};
use ijepa_masking::{MaskGroup, RgbPicture};
use ijepa_model::Objective;
use serde::Serialize;

pub use nearest::{NearPatch, nearest_patches};
pub use networks::Networks;
pub use prediction::{MeanPrediction, PatchPrediction, Prediction, PredictionMeans};

use crate::{error::VizError, frame::Frame};
use draw::Pencil;

/// How predictions are made and shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PredictionConfig {
    /// How images reach the encoders; the pooling is not used.
    pub extract: ExtractConfig,
    /// What the predictor was trained to match.
    pub objective: Objective,
    /// Which target block of the masks is predicted, counted from 0.
    pub target: usize,
    /// Pixels of the picture for each pixel of an image; `None`: panels about 224 pixels wide.
    pub scale: Option<usize>,
}

/// Where to look for patches that predictions are like.
#[derive(Debug, Clone, Copy)]
pub struct NeighbourSearch<'a> {
    /// The images.
    pub source: &'a dyn Source,
    /// Patches to find for each query, at most one an image.
    pub count: usize,
}

/// The nearest patches of a data set, nearest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Neighbours {
    /// To the mean prediction of the block.
    pub mean: Vec<NearPatch>,
    /// To the prediction of its middle patch.
    pub patch: Vec<NearPatch>,
}

/// Predictions of one block in each of several images.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictorPicture {
    /// One row per image.
    pub picture: RgbPicture,
    /// What was predicted, in the order of the images.
    pub predictions: Vec<Prediction>,
    /// Means of their numbers.
    pub mean: PredictionMeans,
    /// What that is like, in the same order; empty without a search.
    pub neighbours: Vec<Neighbours>,
}

/// Draws what the predictor makes of a hidden block (paper §3 and figure 6, without a decoder).
///
/// Each row shows the image; what the context encoder sees of it; the cosine between the mean
/// predicted feature of the block and the target features of every patch of the whole image; the
/// same for the predicted feature of the middle patch of the block, which is marked; and, with a
/// search, patches of other images with their surroundings (the image itself, of the same file or
/// name, is left out): above those nearest to the mean, below those nearest to the middle patch.
/// The block is outlined in green. Maps span their own range.
///
/// `masks` has a row per image; of its contexts the first is used, of its targets that of the
/// configuration. `progress` is told how many images of the search are done.
///
/// # Errors
///
/// [`VizError::PredictsPixels`] or [`VizError::TargetBlocks`] if what is predicted cannot be
/// compared with the encoder's features, [`VizError::Target`] if the masks have no such target,
/// [`VizError::Scale`] if panels would be absurdly large, [`VizError::Extract`] if there is no
/// image, a batch is to have none, the networks give values that are not finite, or the search has
/// no readable image.
///
/// # Panics
///
/// Panics if the masks are for another grid or number of images.
pub fn predictor(
    networks: &Networks,
    images: &[PickedImage],
    masks: &MaskGroup,
    search: Option<NeighbourSearch<'_>>,
    config: &PredictionConfig,
    device: &Device,
    progress: impl FnMut(usize),
) -> Result<PredictorPicture, VizError> {
    let sizes = networks.target.config();
    let frame = Frame::new(sizes, config.scale)?;
    let predicted = prediction::predict(networks, images, masks, config, device)?;
    let neighbours = match search {
        Some(search) => {
            // One more than asked for, since an image may meet itself.
            let count = search.count + 1;
            let found = nearest_patches(
                &networks.target,
                &predicted.queries(),
                NeighbourSearch { count, ..search },
                config,
                device,
                progress,
            )?;
            of_others(found, images, search.count)
        }
        None => Vec::new(),
    };
    let predictions = predicted.predictions();
    let pencil = Pencil {
        frame,
        patch_size: sizes.patch_size,
        image_size: sizes.image_size,
        extract: &config.extract,
    };
    let source = search.map(|search| search.source);
    Ok(PredictorPicture {
        picture: pencil.picture(images, &predictions, &neighbours, source)?,
        mean: PredictionMeans::of(&predictions),
        predictions,
        neighbours,
    })
}

/// The first `count` patches of other images, from lists for mean and middle patch of each image
/// in turn.
fn of_others(lists: Vec<Vec<NearPatch>>, images: &[PickedImage], count: usize) -> Vec<Neighbours> {
    let mut lists = lists.into_iter();
    let mut next = |image: &PickedImage| {
        let list = lists.next().unwrap_or_default().into_iter();
        let own = place(&image.name);
        let others = list.filter(|patch| place(&patch.path) != own);
        others.take(count).collect()
    };
    let both = |image| Neighbours {
        mean: next(image),
        patch: next(image),
    };
    images.iter().map(both).collect()
}

/// Where the file of this name is, however it is written; names of other things are alike if their
/// images are.
fn place(name: &str) -> PathBuf {
    let there = fs::canonicalize(name).or_else(|_| path::absolute(name));
    there.unwrap_or_else(|_| name.into())
}
