//! Networks, one picture, and what they make of it.

use burn::{
    module::Module,
    tensor::{Device, ExecutionError, Tensor},
};
use ijepa_masking::{
    MaskError, MaskGroup, MaskMode, MaskRng, MaskSampler, MultiBlockConfig, MultiBlockSampler,
    PatchGrid,
};
use ijepa_model::{
    Checkpoint, CheckpointError, IJepa, MaskTensors, Normalization, Objective, Target,
    TargetBlocksError, VisionTransformer, checkpoint::EncoderRole,
};
use ijepa_patches::{Colors, cosine_map, mean_row};
use serde::Deserialize;

/// A model that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Its networks do not fit, or there is one too few.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Images too small for masks.
    #[error(transparent)]
    Masks(#[from] MaskError),
    /// It does not say what its predictor was trained to do.
    #[error("`state.json` has no sizes of encoder and predictor")]
    NoSizes,
    /// Its encoders take images of so many channels, which are no colours.
    #[error("the encoder takes images of {0} channels, expected red, green and blue")]
    Channels(usize),
    /// Its predictor predicts no features.
    #[error("the predictor predicts pixels, which are not shown")]
    PredictsPixels,
    /// Its recipe cannot be read.
    #[error("the recipe in `state.json`")]
    Recipe(#[from] toml::de::Error),
    /// It has a projector where the others have a predictor.
    #[error("it was trained with LeJEPA, which predicts no hidden blocks")]
    Projector,
    /// The mean of more blocks is predicted than the encoder has, or of none.
    #[error(transparent)]
    TargetBlocks(#[from] TargetBlocksError),
    /// Bytes that are no picture of the model's size.
    #[error("{found} bytes are no picture of {width}x{height} in red, green, blue and alpha")]
    Picture {
        /// Bytes given.
        found: usize,
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// A block that the masks do not have.
    #[error("there is no block {block}, the masks have {blocks}")]
    Block {
        /// The block asked for, counted from 0.
        block: usize,
        /// Blocks of the masks.
        blocks: usize,
    },
    /// The device does not give what it was to compute.
    #[error(transparent)]
    Device(#[from] ExecutionError),
}

/// What a recipe says of the features that are predicted.
#[derive(Deserialize)]
#[serde(default)]
struct Predicted {
    kind: String,
    target_norm: bool,
    target_blocks: usize,
}

impl Default for Predicted {
    fn default() -> Self {
        let Objective {
            target_norm,
            target_blocks,
            ..
        } = Objective::default();
        Self {
            kind: "jepa".to_owned(),
            target_norm,
            target_blocks,
        }
    }
}

/// The objective that the predictor of a checkpoint learned.
fn objective(recipe: Option<&str>) -> Result<Objective, WebError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Recipe {
        objective: Predicted,
    }
    let recipe: Recipe = recipe.map_or(Ok(Recipe::default()), toml::from_str)?;
    let Predicted {
        kind,
        target_norm,
        target_blocks,
    } = recipe.objective;
    if kind == "lejepa" {
        return Err(WebError::Projector);
    }
    Ok(Objective {
        target_norm,
        target_blocks,
        ..Objective::default()
    })
}

/// Encoder, target encoder and predictor.
#[derive(Debug)]
pub struct Model {
    networks: IJepa,
    target: VisionTransformer,
    normalization: Normalization,
    objective: Objective,
    sampler: MultiBlockSampler,
    device: Device,
}

/// A picture and what does not depend on a block.
#[derive(Debug)]
pub struct Picture {
    images: Tensor<4>,
    /// Target features, layer-normed as the predictor is to match them, `[patches, dim]`.
    features: Vec<f32>,
    /// First principal components of the features, a colour each patch.
    pub colors: Colors,
}

/// What the predictor makes of a hidden block.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Cosine of the mean prediction and the target features of every patch, `[patches]`.
    pub mean: Vec<f64>,
    /// For each patch of the block the patch of the whole picture that is most like its prediction.
    pub nearest: Vec<usize>,
}

impl Model {
    /// Opens a checkpoint.
    ///
    /// # Errors
    ///
    /// A [`WebError`] if its networks do not fit, it lacks one, they take no colours or predict no
    /// features of hidden blocks.
    pub fn open(checkpoint: &Checkpoint, device: &Device) -> Result<Self, WebError> {
        // Sizes can be told from tensors, but not what the context of a predictor sees.
        if checkpoint.state.model.is_none() {
            return Err(WebError::NoSizes);
        }
        if checkpoint.encoder_config.in_chans != 3 {
            return Err(WebError::Channels(checkpoint.encoder_config.in_chans));
        }
        let networks = checkpoint.networks(device)?.no_grad();
        if networks.predictor.config().target == Target::Pixels {
            return Err(WebError::PredictsPixels);
        }
        let target = checkpoint.encoder(EncoderRole::Target, device)?.no_grad();
        let recipe = checkpoint.state.recipe.as_deref();
        let objective = objective(recipe)?;
        objective.check_blocks(target.config().depth)?;
        Ok(Self {
            networks,
            sampler: sampler(target.grid())?,
            target,
            normalization: checkpoint.normalization.unwrap_or(Normalization::IMAGENET),
            objective,
            device: device.clone(),
        })
    }

    /// The grid of patches.
    pub fn grid(&self) -> PatchGrid {
        self.target.grid()
    }

    /// `[height, width]` of the pictures that it takes, in pixels.
    pub fn image_size(&self) -> [usize; 2] {
        self.target.config().image_size
    }

    /// Encodes a picture.
    ///
    /// # Shapes
    ///
    /// - `rgba`: `[height, width, 4]`, bytes; alpha is left out
    ///
    /// # Errors
    ///
    /// [`WebError::Picture`] if there are more or fewer bytes, [`WebError::Device`] if the device fails.
    pub async fn look(&self, rgba: &[u8]) -> Result<Picture, WebError> {
        let [height, width] = self.image_size();
        if rgba.len() != height * width * 4 {
            let found = rgba.len();
            return Err(WebError::Picture {
                found,
                width,
                height,
            });
        }
        let rgb: Vec<u8> = rgba
            .chunks_exact(4)
            .flat_map(|pixel| &pixel[..3])
            .copied()
            .collect();
        let images = self
            .normalization
            .images(&rgb, [1, height, width], &self.device);
        let features = self.objective.features(&self.target, images.clone());
        let features = values(features).await?;
        Ok(Picture {
            images,
            colors: Colors::of(&features, self.target.embed_dim()),
            features,
        })
    }

    /// Masks number `number`: one context and four blocks to predict.
    pub fn masks(&self, number: u64) -> MaskGroup {
        self.sampler
            .sample(1, &mut MaskRng::for_group(0, number, 0))
    }

    /// Predicts block `block` of the masks from their context, and finds what that is like.
    ///
    /// # Errors
    ///
    /// [`WebError::Block`] if there is no such block, [`WebError::Device`] if the device fails.
    pub async fn predict(
        &self,
        picture: &Picture,
        masks: &MaskGroup,
        block: usize,
    ) -> Result<Prediction, WebError> {
        let blocks = masks.targets.len();
        let target = masks
            .targets
            .get(block)
            .ok_or(WebError::Block { block, blocks })?;
        let one = MaskGroup {
            grid: masks.grid,
            contexts: masks.contexts.clone(),
            targets: vec![target.clone()],
            relaxations: 0,
        };
        let masks = MaskTensors::new(&one, &self.device);
        let predicted = self.networks.predict(picture.images.clone(), &masks, None);
        let predicted = values(predicted).await?;
        let dim = self.target.embed_dim();
        let mean: Vec<f32> = mean_row(&predicted, dim)
            .into_iter()
            .map(|value| value as f32)
            .collect();
        let nearest = predicted
            .chunks_exact(dim)
            .map(|row| largest(&cosine_map(row, &picture.features)))
            .collect();
        Ok(Prediction {
            mean: cosine_map(&mean, &picture.features),
            nearest,
        })
    }
}

/// The values of a tensor. In a browser the GPU gives them only to who lets go of the thread.
pub(crate) async fn values(tensor: Tensor<3>) -> Result<Vec<f32>, ExecutionError> {
    let data = tensor.into_data_async().await?;
    Ok(data.iter::<f32>().collect())
}

/// The paper's masks, by the rules without quirks, which fit small grids too.
fn sampler(grid: PatchGrid) -> Result<MultiBlockSampler, MaskError> {
    let masks = MultiBlockConfig {
        mode: MaskMode::Uniform,
        min_keep: 1,
        ..MultiBlockConfig::default()
    };
    masks.build(grid)
}

/// Where the largest of some values is.
fn largest(values: &[f64]) -> usize {
    let places = 0..values.len();
    places
        .max_by(|&a, &b| values[a].total_cmp(&values[b]))
        .unwrap_or(0)
}
