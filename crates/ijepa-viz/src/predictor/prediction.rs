//! Predictions of a block and the numbers that say how good they are.

use burn::{module::Module, tensor::Device};
use ijepa_eval::{ExtractError, Features, PickedImage, image_tensor};
use ijepa_masking::{MaskGroup, PatchGrid};
use ijepa_model::{MaskTensors, Target};
use ijepa_patches::{cosine_map, mean, mean_row, rank, separation};
use serde::Serialize;

use super::{Networks, PredictionConfig};
use crate::{error::VizError, frame::range};

/// How good the prediction of a block in one image is.
///
/// The features predicted for the block's patches are compared with the target features of the
/// whole image. A predictor that knows nothing has the cosines everywhere alike, places in the
/// middle and a separation of 0.5.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Number of the image in its source.
    pub index: usize,
    /// Name of the image in its source.
    pub path: String,
    /// Patches that the context encoder saw.
    pub context: Vec<u32>,
    /// Patches of the block.
    pub block: Vec<u32>,
    /// Mean cosine of predicted patches and the target features at their own places.
    pub cosine_own: f64,
    /// Mean cosine of predicted patches and the target features outside of the block.
    pub cosine_elsewhere: f64,
    /// Mean cosine of predicted patches and the target features at their places in the other
    /// images: what position alone explains. `None` if there is no other image.
    pub cosine_other_images: Option<f64>,
    /// Mean place of a predicted patch's own position among all patches of the image by cosine, 1
    /// for the nearest.
    pub rank: f64,
    /// That place by chance: the middle of all patches.
    pub rank_chance: f64,
    /// The mean prediction of the block.
    pub mean: MeanPrediction,
    /// The prediction of its middle patch.
    pub patch: PatchPrediction,
}

/// The mean of the features predicted for a block.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeanPrediction {
    /// Its cosine with the target features of every patch, `[patches]`.
    #[serde(skip)]
    pub map: Vec<f64>,
    /// The least and the largest of them: the darkest and lightest colour of the panel.
    pub range: [f64; 2],
    /// Their mean inside of the block.
    pub cosine_block: f64,
    /// Their mean outside.
    pub cosine_elsewhere: f64,
    /// How often a patch of the block is more alike than one outside: 0.5 by chance, 1 at best.
    pub separation: f64,
}

/// The feature predicted for one patch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PatchPrediction {
    /// Row of the patch.
    pub row: usize,
    /// Column of the patch.
    pub col: usize,
    /// Its cosine with the target features of every patch, `[patches]`.
    #[serde(skip)]
    pub map: Vec<f64>,
    /// The least and the largest of them: the darkest and lightest colour of the panel.
    pub range: [f64; 2],
    /// Its cosine with the target features of its own place.
    pub cosine_own: f64,
    /// Place of its own position among all patches by cosine, 1 for the nearest.
    pub rank: f64,
    #[serde(skip)]
    pub(super) number: u32,
}

/// Means over several images; see [`Prediction`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictionMeans {
    /// Mean of [`Prediction::cosine_own`].
    pub cosine_own: f64,
    /// Mean of [`Prediction::cosine_elsewhere`].
    pub cosine_elsewhere: f64,
    /// Mean of [`Prediction::cosine_other_images`].
    pub cosine_other_images: Option<f64>,
    /// Mean of [`Prediction::rank`].
    pub rank: f64,
    /// The same by chance.
    pub rank_chance: f64,
    /// Mean of [`MeanPrediction::separation`].
    pub separation: f64,
}

impl PredictionMeans {
    pub(super) fn of(predictions: &[Prediction]) -> Self {
        let over = |value: fn(&Prediction) -> f64| mean(predictions.iter().map(value));
        let others = predictions
            .iter()
            .filter_map(|prediction| prediction.cosine_other_images);
        let others: Vec<f64> = others.collect();
        Self {
            cosine_own: over(|prediction| prediction.cosine_own),
            cosine_elsewhere: over(|prediction| prediction.cosine_elsewhere),
            cosine_other_images: (!others.is_empty()).then(|| mean(others)),
            rank: over(|prediction| prediction.rank),
            rank_chance: over(|prediction| prediction.rank_chance),
            separation: over(|prediction| prediction.mean.separation),
        }
    }
}

/// Predicted and true features of several images.
pub(super) struct Predicted {
    grid: PatchGrid,
    images: Vec<Described>,
    /// `[images * kept, dim]`.
    predicted: Features,
    /// `[images * patches, dim]`.
    truth: Features,
}

/// What an image is called and how it is masked.
struct Described {
    index: usize,
    path: String,
    context: Vec<u32>,
    block: Vec<u32>,
}

/// Predicts the block of every image and computes the features it should have.
pub(super) fn predict(
    networks: &Networks,
    images: &[PickedImage],
    masks: &MaskGroup,
    config: &PredictionConfig,
    device: &Device,
) -> Result<Predicted, VizError> {
    if networks.model.predictor.config().target == Target::Pixels {
        return Err(VizError::PredictsPixels);
    }
    config
        .objective
        .check_blocks(networks.target.config().depth)?;
    let grid = networks.target.grid();
    assert_eq!(masks.grid, grid, "the masks are for another grid");
    let (target, targets) = (config.target, masks.targets.len());
    let targets = masks
        .targets
        .get(target)
        .ok_or(VizError::Target { target, targets })?;
    let contexts = &masks.contexts[0];
    assert_eq!(targets.images(), images.len(), "one mask per image");
    if config.extract.batch_size == 0 {
        return Err(ExtractError::BatchSize.into());
    }
    let device = device.clone().without_autodiff();
    let (model, encoder) = (networks.model.valid(), networks.target.valid());
    let (mut predicted, mut truth): (Vec<f32>, Vec<f32>) = Default::default();
    for (number, batch) in images.chunks(config.extract.batch_size).enumerate() {
        let rows = number * config.extract.batch_size..;
        let rows = rows.start..rows.start + batch.len();
        let group = MaskGroup {
            grid,
            contexts: vec![contexts.part(rows.clone())],
            targets: vec![targets.part(rows)],
            relaxations: 0,
        };
        let input = image_tensor(batch, &config.extract, &device);
        let block = model.predict(input.clone(), &MaskTensors::new(&group, &device), None);
        let whole = config.objective.features(&encoder, input);
        predicted.extend(block.into_data().iter::<f32>());
        truth.extend(whole.into_data().iter::<f32>());
    }
    let features = |values: Vec<f32>| {
        let rows = values.len() / encoder.embed_dim();
        Features::new(encoder.embed_dim(), values, vec![None; rows]).map_err(ExtractError::from)
    };
    let describe = |(number, image): (usize, &PickedImage)| Described {
        index: image.index,
        path: image.name.clone(),
        context: contexts.row(number).to_vec(),
        block: targets.row(number).to_vec(),
    };
    Ok(Predicted {
        grid,
        predicted: features(predicted)?,
        truth: features(truth)?,
        images: images.iter().enumerate().map(describe).collect(),
    })
}

impl Predicted {
    /// The mean prediction and the prediction of the middle patch of each image in turn,
    /// `[images * 2, dim]`.
    pub(super) fn queries(&self) -> Vec<f32> {
        let both = |image: usize| {
            let middle = self.middle(image);
            [
                self.mean_prediction(image),
                self.predicted(image, middle).to_vec(),
            ]
        };
        let rows = (0..self.images.len()).flat_map(both);
        rows.flatten().collect()
    }

    /// What was found, image by image.
    pub(super) fn predictions(&self) -> Vec<Prediction> {
        (0..self.images.len())
            .map(|image| self.prediction(image))
            .collect()
    }

    fn prediction(&self, image: usize) -> Prediction {
        let described = &self.images[image];
        let block = &described.block;
        let maps: Vec<Vec<f64>> = (0..block.len())
            .map(|at| cosine_map(self.predicted(image, at), self.truth(image)))
            .collect();
        let own = |at: usize| maps[at][block[at] as usize];
        let ranks = maps
            .iter()
            .zip(block)
            .map(|(map, &patch)| rank(map, patch as usize));
        let outside = |map: &Vec<f64>| mean(outside(map, block));
        let middle = self.middle(image);
        let place = block[middle] as usize;
        Prediction {
            index: described.index,
            path: described.path.clone(),
            context: described.context.clone(),
            block: block.clone(),
            cosine_own: mean((0..block.len()).map(own)),
            cosine_elsewhere: mean(maps.iter().map(outside)),
            cosine_other_images: self.cosine_other_images(image),
            rank: mean(ranks),
            rank_chance: (self.grid.num_patches() + 1) as f64 / 2.0,
            mean: self.of_mean(image),
            patch: PatchPrediction {
                row: place / self.grid.cols(),
                col: place % self.grid.cols(),
                range: range(&maps[middle]),
                cosine_own: own(middle),
                rank: rank(&maps[middle], place),
                map: maps[middle].clone(),
                number: block[middle],
            },
        }
    }

    fn of_mean(&self, image: usize) -> MeanPrediction {
        let block = &self.images[image].block;
        let map = cosine_map(&self.mean_prediction(image), self.truth(image));
        let inside: Vec<f64> = block.iter().map(|&patch| map[patch as usize]).collect();
        let outside: Vec<f64> = outside(&map, block).collect();
        MeanPrediction {
            range: range(&map),
            cosine_block: mean(inside.iter().copied()),
            cosine_elsewhere: mean(outside.iter().copied()),
            separation: separation(&inside, &outside),
            map,
        }
    }

    fn cosine_other_images(&self, image: usize) -> Option<f64> {
        let others = (0..self.images.len()).filter(|&other| other != image);
        let cosines: Vec<f64> = others
            .flat_map(|other| {
                let block = self.images[image].block.iter().enumerate();
                block.map(move |(at, &patch)| {
                    let patches = self.grid.num_patches();
                    let truth = self.truth.row(other * patches + patch as usize);
                    cosine_map(self.predicted(image, at), truth)[0]
                })
            })
            .collect();
        (!cosines.is_empty()).then(|| mean(cosines))
    }

    /// Target features of an image, `[patches, dim]`.
    fn truth(&self, image: usize) -> &[f32] {
        let len = self.grid.num_patches() * self.truth.dim();
        &self.truth.values()[image * len..][..len]
    }

    /// The feature predicted for patch number `at` of the block of an image.
    fn predicted(&self, image: usize, at: usize) -> &[f32] {
        self.predicted
            .row(image * self.images[image].block.len() + at)
    }

    fn mean_prediction(&self, image: usize) -> Vec<f32> {
        let block = 0..self.images[image].block.len();
        let rows: Vec<f32> = block
            .flat_map(|at| self.predicted(image, at))
            .copied()
            .collect();
        let mean = mean_row(&rows, self.predicted.dim());
        mean.into_iter().map(|value| value as f32).collect()
    }

    /// Which patch of the block is nearest to the mean of their places.
    fn middle(&self, image: usize) -> usize {
        let block = &self.images[image].block;
        let cols = self.grid.cols();
        let places: Vec<[f64; 2]> = block
            .iter()
            .map(|&patch| [patch as usize / cols, patch as usize % cols].map(|at| at as f64))
            .collect();
        let centre = [0, 1].map(|axis| mean(places.iter().map(|place| place[axis])));
        let distance = |at: usize| (places[at][0] - centre[0]).hypot(places[at][1] - centre[1]);
        let nearest = (0..block.len()).min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        nearest.expect("a block has a patch")
    }
}

/// The values of the patches that are not in `block`.
fn outside<'a>(map: &'a [f64], block: &'a [u32]) -> impl Iterator<Item = f64> + 'a {
    let patches = map.iter().enumerate();
    patches
        .filter(|(patch, _)| !block.contains(&(*patch as u32)))
        .map(|(_, &value)| value)
}
