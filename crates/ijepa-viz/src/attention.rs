//! Attention maps of an encoder.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use ijepa_eval::{ExtractConfig, ExtractError, PickedImage, image_tensor};
use ijepa_masking::{PatchGrid, RgbPicture};
use ijepa_model::VisionTransformer;
use serde::Serialize;

use crate::{
    error::VizError,
    frame::{BLUE, Frame, range},
    grid::patch_at,
};

/// Which attention is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionConfig {
    /// How images reach the encoder; the pooling is not used.
    pub extract: ExtractConfig,
    /// Block of the encoder, counted from 0; `None`: the last.
    pub layer: Option<usize>,
    /// Heads to show, counted from 0; empty: all.
    pub heads: Vec<usize>,
    /// Row and column of the patch whose attention is shown; `None`: the mean over all patches.
    pub query: Option<[usize; 2]>,
    /// Pixels of the picture for each pixel of an image; `None`: panels about 224 pixels wide.
    pub scale: Option<usize>,
}

impl Default for AttentionConfig {
    /// All heads of the last block, mean over the queries.
    fn default() -> Self {
        Self {
            extract: ExtractConfig::default(),
            layer: None,
            heads: Vec::new(),
            query: None,
            scale: None,
        }
    }
}

/// Attention maps of several images.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionPicture {
    /// One row per image: the image, the mean over all heads, each head.
    pub picture: RgbPicture,
    /// The block that was looked at.
    pub layer: usize,
    /// The maps.
    pub images: Vec<ImageAttention>,
}

/// Attention within one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageAttention {
    /// Number of the image in its source.
    pub index: usize,
    /// Name of the image in its source.
    pub path: String,
    /// Mean over all heads, also those that are not shown.
    pub mean: AttentionMap,
    /// The heads that are shown.
    pub heads: Vec<HeadAttention>,
}

/// Attention of one head.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadAttention {
    /// Its number, counted from 0.
    pub head: usize,
    /// Where it looks.
    #[serde(flatten)]
    pub map: AttentionMap,
}

/// How much each patch is attended to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttentionMap {
    /// The weight of each patch over that of even attention, `[patches]`, mean 1.
    #[serde(skip)]
    pub values: Vec<f64>,
    /// The least and the largest of them: the darkest and lightest colour of the panel.
    pub range: [f64; 2],
    /// Mean distance between a query and what it attends to, in patches (Dosovitskiy et al. 2021,
    /// figure 7, there in pixels).
    pub distance: f64,
    /// Number of patches over which even attention would be as spread out: the exponential of the
    /// mean entropy of a query's weights.
    pub patches_attended: f64,
}

/// Draws how much each patch is attended to in one block of the encoder.
///
/// I-JEPA has no class token, so the map is the mean of the attention weights over the patches
/// that ask, or the weights of one of them. Every panel spans its own range.
///
/// # Errors
///
/// [`VizError::Layer`], [`VizError::Head`] or [`VizError::Patch`] if the encoder has no such
/// block, head or patch, [`VizError::Scale`] if panels would be absurdly large,
/// [`VizError::Extract`] if there is no image or a batch is to have none,
/// [`VizError::Attention`] if the encoder gives weights that are not finite.
///
/// # Panics
///
/// Panics if the images have not the size of the encoder's.
pub fn attention(
    encoder: &VisionTransformer,
    images: &[PickedImage],
    config: &AttentionConfig,
    device: &Device,
) -> Result<AttentionPicture, VizError> {
    let sizes = encoder.config();
    let (depth, heads, grid) = (sizes.depth, sizes.num_heads, encoder.grid());
    let layer = config.layer.unwrap_or(depth - 1);
    if layer >= depth {
        return Err(VizError::Layer { layer, depth });
    }
    if let Some(&head) = config.heads.iter().find(|&&head| head >= heads) {
        return Err(VizError::Head { head, heads });
    }
    let frame = Frame::new(sizes, config.scale)?;
    let query = config
        .query
        .map(|place| patch_at(grid, place))
        .transpose()?;
    if images.is_empty() {
        return Err(ExtractError::Images { found: 0 }.into());
    }
    if config.extract.batch_size == 0 {
        return Err(ExtractError::BatchSize.into());
    }
    let shown = match config.heads.is_empty() {
        true => (0..heads).collect(),
        false => config.heads.clone(),
    };
    let (encoder, device) = (encoder.valid(), device.clone().without_autodiff());
    let mut maps = Vec::with_capacity(images.len());
    for batch in images.chunks(config.extract.batch_size) {
        let input = image_tensor(batch, &config.extract, &device);
        let mut weights = encoder.attention_weights(input, None, &[layer as isize]);
        let weights = weights.remove(0);
        maps.extend(maps_of(batch, weights, &shown, grid, query)?);
    }
    let rows = images.iter().zip(&maps);
    let rows = rows.map(|(image, maps)| row(image, maps, &frame, query));
    Ok(AttentionPicture {
        picture: RgbPicture::sheet(&rows.collect::<Vec<_>>()),
        layer,
        images: maps,
    })
}

/// Maps of the mean over all heads and of the heads `shown`, of every image of a batch.
fn maps_of(
    batch: &[PickedImage],
    weights: Tensor<4>,
    shown: &[usize],
    grid: PatchGrid,
    query: Option<u32>,
) -> Result<Vec<ImageAttention>, VizError> {
    let mean = Weights::new(weights.clone().mean_dim(1), grid);
    let weights = Weights::new(weights, grid);
    weights.check(batch)?;
    let of_head = |number: usize, head: usize| HeadAttention {
        head,
        map: weights.map(number, head, query),
    };
    let of_image = |(number, image): (usize, &PickedImage)| ImageAttention {
        index: image.index,
        path: image.name.clone(),
        mean: mean.map(number, 0, query),
        heads: shown.iter().map(|&head| of_head(number, head)).collect(),
    };
    Ok(batch.iter().enumerate().map(of_image).collect())
}

/// The image and its maps, the patch that asks marked in each.
fn row(
    image: &PickedImage,
    maps: &ImageAttention,
    frame: &Frame,
    query: Option<u32>,
) -> Vec<RgbPicture> {
    let of_heads = maps.heads.iter().map(|head| &head.map);
    let panels = [&maps.mean].into_iter().chain(of_heads);
    let panels = panels.map(|map| frame.map(&map.values));
    let row = [frame.panel(&image.picture())].into_iter().chain(panels);
    let mut row: Vec<RgbPicture> = row.collect();
    for panel in &mut row {
        frame.outline(panel, query.as_slice(), BLUE);
    }
    row
}

/// Attention weights of a few images on the host.
struct Weights {
    values: Vec<f32>,
    heads: usize,
    grid: PatchGrid,
}

impl Weights {
    /// # Shapes
    ///
    /// - `weights`: `[batch, heads, patches, patches]`
    fn new(weights: Tensor<4>, grid: PatchGrid) -> Self {
        let heads = weights.dims()[1];
        let values = weights.into_data().iter::<f32>().collect();
        Self {
            values,
            heads,
            grid,
        }
    }

    /// Names the first image with a weight that is no number.
    fn check(&self, batch: &[PickedImage]) -> Result<(), VizError> {
        let Some(at) = self.values.iter().position(|weight| !weight.is_finite()) else {
            return Ok(());
        };
        let of_image = self.values.len() / batch.len();
        let path = batch[at / of_image].name.clone();
        Err(VizError::Attention { path })
    }

    /// The map of one head for one query, or for all of them.
    fn map(&self, image: usize, head: usize, query: Option<u32>) -> AttentionMap {
        let patches = self.grid.num_patches();
        let first = (image * self.heads + head) * patches * patches;
        let queries = match query {
            Some(query) => query as usize..query as usize + 1,
            None => 0..patches,
        };
        let share = 1.0 / queries.len() as f64;
        let mut values = vec![0.0; patches];
        let (mut distance, mut entropy) = (0.0, 0.0);
        for query in queries {
            let row = &self.values[first + query * patches..][..patches];
            for (patch, &weight) in row.iter().enumerate() {
                let weight = f64::from(weight);
                values[patch] += share * weight * patches as f64;
                distance += share * weight * self.distance(query, patch);
                if weight > 0.0 {
                    entropy -= share * weight * weight.ln();
                }
            }
        }
        AttentionMap {
            range: range(&values),
            values,
            distance,
            patches_attended: entropy.exp(),
        }
    }

    /// Between the centres of two patches, in patches.
    fn distance(&self, a: usize, b: usize) -> f64 {
        let cols = self.grid.cols();
        let down = (a / cols).abs_diff(b / cols) as f64;
        let across = (a % cols).abs_diff(b % cols) as f64;
        down.hypot(across)
    }
}
