//! Masks on the device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use ijepa_masking::{MaskGroup, PatchIndices, stream};
use rand_distr::{Distribution, StandardNormal};

use crate::drop_path::GroupSeed;

/// Which tokens to keep of every image, for several masks an image.
///
/// Rows are mask-major: row `mask * batch + image` belongs to mask `mask` of image `image`.
#[derive(Debug, Clone)]
pub struct TokenIndices {
    /// Patch numbers, `[rows * kept]`.
    patches: Tensor<1, Int>,
    /// Token numbers in the flattened batch, `[rows * kept]`.
    tokens: Tensor<1, Int>,
    rows: usize,
    kept: usize,
    /// Images that the masks are of.
    batch: usize,
    /// Patches of each image.
    num_patches: usize,
}

impl TokenIndices {
    /// Moves `masks`, all of the same length and of images with `num_patches` patches, to the
    /// device.
    ///
    /// # Panics
    ///
    /// Panics if there is no mask, their lengths or numbers of images differ, or a patch is none
    /// of `num_patches`.
    pub fn new(masks: &[PatchIndices], num_patches: usize, device: &Device) -> Self {
        Self::repeated(masks, 1, num_patches, device)
    }

    /// As [`new`](Self::new), with every mask `times` times in a row.
    fn repeated(masks: &[PatchIndices], times: usize, num_patches: usize, device: &Device) -> Self {
        let kept = masks.first().expect("at least one mask").kept();
        let batch = masks[0].images();
        assert!(
            masks
                .iter()
                .all(|mask| mask.kept() == kept && mask.images() == batch),
            "all masks of a group have one length"
        );
        let mut all = masks.iter().flat_map(|mask| mask.as_slice());
        if let Some(patch) = all.find(|&&patch| patch as usize >= num_patches) {
            panic!("a mask keeps patch {patch} of images with {num_patches} patches");
        }
        let masks: Vec<&PatchIndices> = masks
            .iter()
            .flat_map(|mask| std::iter::repeat_n(mask, times))
            .collect();
        let patches = masks
            .iter()
            .flat_map(|mask| mask.as_slice())
            .map(|&patch| patch as i32);
        let tokens = masks.iter().flat_map(|mask| {
            let image = move |index: usize| (index / kept * num_patches) as i32;
            mask.as_slice()
                .iter()
                .enumerate()
                .map(move |(i, &patch)| image(i) + patch as i32)
        });
        let upload = |values: Vec<i32>| {
            let len = values.len();
            Tensor::from_data(TensorData::new(values, [len]), device)
        };
        Self {
            patches: upload(patches.collect()),
            tokens: upload(tokens.collect()),
            rows: masks.len() * batch,
            kept,
            batch,
            num_patches,
        }
    }

    /// Number of tokens kept of each image.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Picks the kept tokens of every image; hidden patches are dropped, never zeroed (paper §3).
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, dim]`
    /// - output: `[masks * batch, kept, dim]`
    ///
    /// # Panics
    ///
    /// Panics unless the masks are of as many images with as many patches.
    pub fn gather(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, dim] = x.dims();
        assert_eq!(
            [self.batch, self.num_patches],
            [batch, tokens],
            "images and patches of the masks and of the features"
        );
        self.select(x.reshape([batch * tokens, dim]), &self.tokens)
    }

    /// Picks the kept rows of a table that all images share.
    ///
    /// # Shapes
    ///
    /// - `table`: `[1, tokens, dim]`
    /// - output: `[masks * batch, kept, dim]`
    ///
    /// # Panics
    ///
    /// Panics unless the masks are of images with as many patches.
    pub fn gather_shared(&self, table: Tensor<3>) -> Tensor<3> {
        let tokens = table.dims()[1];
        assert_eq!(
            self.num_patches, tokens,
            "patches of the masks and of the table"
        );
        self.select(table.squeeze_dim(0), &self.patches)
    }

    fn select(&self, rows: Tensor<2>, indices: &Tensor<1, Int>) -> Tensor<3> {
        let dim = rows.dims()[1];
        let indices = if rows.is_autodiff() == indices.is_autodiff() {
            indices.clone()
        } else if rows.is_autodiff() {
            Tensor::from_inner(indices.clone())
        } else {
            indices.clone().inner()
        };
        rows.select(0, indices).reshape([self.rows, self.kept, dim])
    }
}

/// A mask group on the device, in the orders that encoder, predictor and objective need.
#[derive(Debug, Clone)]
pub struct MaskTensors {
    /// `[contexts * batch, kept]`.
    pub contexts: TokenIndices,
    /// `[targets * batch, kept]`.
    pub targets: TokenIndices,
    /// Targets once for each context: `[targets * contexts * batch, kept]`.
    pub pairs: TokenIndices,
    /// Context blocks of each image.
    pub num_contexts: usize,
    /// Target blocks of each image.
    pub num_targets: usize,
    /// How far the predictor is misled about the places of the pairs, in directions of the encoder's
    /// width: `[targets * contexts * batch, kept, embed_dim]`.
    pub noise: Option<Tensor<3>>,
}

impl MaskTensors {
    /// Moves a group to the device.
    pub fn new(group: &MaskGroup, device: &Device) -> Self {
        let num_patches = group.grid.num_patches();
        let num_contexts = group.contexts.len();
        Self {
            contexts: TokenIndices::new(&group.contexts, num_patches, device),
            targets: TokenIndices::new(&group.targets, num_patches, device),
            pairs: TokenIndices::repeated(&group.targets, num_contexts, num_patches, device),
            num_contexts,
            num_targets: group.targets.len(),
            noise: None,
        }
    }

    /// The same masks, with the predictor uncertain about the places of the target patches:
    /// stochastic positional embeddings (StoP, Bar et al. 2024, section 4).
    ///
    /// Where the token of patch `j` is `m + p_j` with the mask token `m` and the position `p_j`, it
    /// becomes `m + p_j + A n_j`, with a normal `n_j` of `embed_dim` values of this `variance` for
    /// each token and with `A` the weight that embeds the context, so that training cannot shrink
    /// the noise without shrinking what it sees. The paper's best variance is 0.25; 0 changes nothing.
    pub fn with_position_noise(
        mut self,
        variance: f64,
        embed_dim: usize,
        seed: GroupSeed,
        device: &Device,
    ) -> Self {
        if variance == 0.0 {
            return self;
        }
        let shape = [self.pairs.rows, self.pairs.kept, embed_dim];
        let GroupSeed { seed, step, group } = seed;
        let mut rng = stream(seed, step, group, b"position");
        let deviation = variance.sqrt() as f32;
        let values = StandardNormal.sample_iter(&mut rng);
        let values = values.map(|value: f32| deviation * value);
        let values: Vec<f32> = values.take(shape.iter().product()).collect();
        self.noise = Some(Tensor::from_data(TensorData::new(values, shape), device));
        self
    }

    /// Repeats the rows of each target for each context.
    ///
    /// # Shapes
    ///
    /// - `x`: `[targets * batch, kept, dim]`
    /// - output: `[targets * contexts * batch, kept, dim]`
    pub(crate) fn once_per_context(&self, x: Tensor<3>) -> Tensor<3> {
        let [rows, kept, dim] = x.dims();
        let batch = rows / self.num_targets;
        x.reshape([self.num_targets, 1, batch, kept * dim])
            .repeat_dim(1, self.num_contexts)
            .reshape([rows * self.num_contexts, kept, dim])
    }
}
