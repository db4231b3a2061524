//! The predictor: from context features to the features or pixels of target blocks.

use burn::{
    module::{Module, ModuleDisplay, Param},
    nn::{LayerNorm, Linear},
    tensor::{Device, Tensor},
};
use ijepa_masking::PatchGrid;
use serde::{Deserialize, Serialize};

use crate::{
    block::{Block, BlockConfig, Pass},
    compute::Compute,
    config::{ConfigError, check_depth, check_network, check_positions},
    drop_path::StochasticDepth,
    encoder::VisionTransformerConfig,
    init::{Initialization, Initializer, LAYER_NORM_EPSILON, lazy_parameter},
    objective::Target,
    pos_embed::{PositionResampling, resampled},
    tokens::MaskTensors,
};

/// Hidden width of the predictor's MLPs over its width.
const MLP_RATIO: usize = 4;

/// What predicts target blocks from context blocks: [`VisionTransformerPredictor`] is that of the
/// paper, and [`IJepa`](crate::IJepa) takes any other.
///
/// The training step of `ijepa-train` takes any too; checkpoints, recipes and `pretrain` know the
/// paper's only. A predictor of your own is saved with
/// [`ModuleFile`](crate::checkpoint::ModuleFile). The example `custom_predictor` trains one.
pub trait Predictor: Module + ModuleDisplay + Sync {
    /// Predicts every target block from every context block.
    ///
    /// Each pair of target and context is a row of its own.
    ///
    /// # Shapes
    ///
    /// - `context`: `[contexts * batch, kept_context, embed_dim]`, mask-major, as the encoder gives
    ///   it for `masks.contexts`; `repeat_dim(0, masks.num_targets)` makes a row of each pair
    /// - output: `[targets * contexts * batch, kept_target, outputs]`, the patches of
    ///   `masks.pairs`; row `(target * contexts + context) * batch + image`
    fn forward(
        &self,
        context: Tensor<3>,
        masks: &MaskTensors,
        depth: Option<&mut StochasticDepth>,
    ) -> Tensor<3>;

    /// What it predicts; with features `outputs` is the encoder's width.
    fn target(&self) -> Target {
        Target::Features
    }

    /// The running mean of the targets of every patch, `[1, patches, embed_dim]`, that it adds to
    /// what it predicts, if it has one.
    fn target_mean(&self) -> Option<&Param<Tensor<3>>> {
        None
    }

    /// Replaces the running mean, if it has one.
    fn set_target_mean(&mut self, _: Tensor<3>) {}
}

/// What the tokens of a context block see in the predictor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictorContext {
    /// Each other and the target block to predict: they are computed once for each target block
    /// (the paper).
    #[default]
    Separate,
    /// Each other only: they are computed once and their keys and values shared by all target
    /// blocks, as a prefix is (Raffel et al. 2020, section 3.2.1, "prefix LM").
    Shared,
}

/// Sizes of a predictor; the rest follows from its encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictorConfig {
    /// Token width; 384 in the paper.
    pub dim: usize,
    /// Number of blocks; 6 for ViT-B, 12 for L and H, 16 for G.
    pub depth: usize,
    /// What it predicts; files without it hold predictors of features.
    #[serde(default)]
    pub target: Target,
    /// What the context sees.
    #[serde(default)]
    pub context: PredictorContext,
    /// Whether it predicts targets less their running mean at each patch.
    #[serde(default)]
    pub center_targets: bool,
}

impl PredictorConfig {
    /// A predictor of features.
    pub fn new(dim: usize, depth: usize) -> Self {
        Self {
            dim,
            depth,
            target: Target::Features,
            context: PredictorContext::Separate,
            center_targets: false,
        }
    }

    /// The same predictor of something else.
    pub fn with_target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Values that it predicts of a patch: the encoder's width, or all colours of all pixels.
    pub fn outputs(&self, encoder: &VisionTransformerConfig) -> usize {
        match self.target {
            Target::Features => encoder.embed_dim,
            Target::Pixels => encoder.patch_pixels(),
        }
    }

    /// Hidden width of the MLPs.
    pub fn hidden_dim(&self) -> usize {
        MLP_RATIO * self.dim
    }

    /// Checks every rule that [`init`](Self::init) relies on.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn validate(&self, encoder: &VisionTransformerConfig) -> Result<(), ConfigError> {
        check_network("predictor_dim", self.dim, encoder.num_heads)?;
        check_positions("patches * predictor_dim", encoder.grid()?, self.dim)?;
        check_depth("predictor_depth", self.depth)
    }

    /// A predictor for `encoder`, with as many heads as the encoder has.
    ///
    /// # Panics
    ///
    /// Panics if [`validate`](Self::validate) fails or the encoder's configuration is invalid.
    pub fn init(
        &self,
        encoder: &VisionTransformerConfig,
        init: Initialization,
        device: &Device,
    ) -> VisionTransformerPredictor {
        if let Err(error) = self.validate(encoder).and(encoder.validate()) {
            panic!("{error}");
        }
        let grid = encoder
            .grid()
            .expect("a validated configuration has a grid");
        let mut init = Initializer::predictor(init, device);
        let blocks = BlockConfig {
            dim: self.dim,
            num_heads: encoder.num_heads,
            hidden_dim: self.hidden_dim(),
            depth: self.depth,
            drop_path: 0.0,
            layer_norm_eps: LAYER_NORM_EPSILON,
        };
        VisionTransformerPredictor {
            mask_token: init.token(self.dim),
            predictor_pos_embed: init.positions(grid, self.dim),
            predictor_embed: init.linear(encoder.embed_dim, self.dim),
            predictor_blocks: blocks.init(&mut init),
            predictor_norm: init.layer_norm(self.dim, LAYER_NORM_EPSILON),
            predictor_proj: init.linear(self.dim, self.outputs(encoder)),
            target_mean: self.center_targets.then(|| {
                let shape = [1, grid.num_patches(), self.outputs(encoder)];
                let zeros = move |device: &Device| Tensor::zeros(shape, device);
                lazy_parameter(shape, device, zeros).set_require_grad(false)
            }),
            config: self.clone(),
            compute: Compute::default(),
        }
    }
}

/// A narrow ViT that predicts the features or pixels of target patches from context features and
/// positions (paper §3, "Prediction").
///
/// With pixels, one context and all other patches as the target it is the decoder of a masked
/// autoencoder (He et al. 2022, §3), which predicts what its loss reads and nothing else.
///
/// Field names are the keys of the official checkpoints.
#[derive(Module, Debug)]
pub struct VisionTransformerPredictor {
    /// Learned token of a patch to predict, `[1, 1, dim]`.
    pub mask_token: Param<Tensor<3>>,
    /// Fixed sine-cosine positions, `[1, patches, dim]`.
    pub predictor_pos_embed: Param<Tensor<3>>,
    /// From encoder width to predictor width.
    pub predictor_embed: Linear,
    /// Transformer blocks.
    pub predictor_blocks: Vec<Block>,
    /// Final norm.
    pub predictor_norm: LayerNorm,
    /// From predictor width to what is predicted.
    pub predictor_proj: Linear,
    /// Running mean of the targets, `[1, patches, outputs]`, where they are centred: it is added to
    /// what is predicted.
    pub target_mean: Option<Param<Tensor<3>>>,
    #[module(skip)]
    config: PredictorConfig,
    #[module(skip)]
    compute: Compute,
}

impl VisionTransformerPredictor {
    /// Sizes of this predictor.
    pub fn config(&self) -> &PredictorConfig {
        &self.config
    }

    /// How it is computed.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// The same predictor computed in another way.
    pub fn with_compute(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// The same predictor for another patch grid: its positions are resampled.
    pub fn with_grid(
        mut self,
        from: PatchGrid,
        to: PatchGrid,
        resampling: PositionResampling,
    ) -> Self {
        self.predictor_pos_embed = resampled(self.predictor_pos_embed, from, to, resampling);
        let mean = |mean| resampled(mean, from, to, PositionResampling::Bicubic);
        self.target_mean = self.target_mean.map(mean);
        self
    }

    /// What its network makes of every token alone, without positions: the projector of LeJEPA.
    ///
    /// # Shapes
    ///
    /// - `x`: `[rows, 1, embed_dim]`
    /// - output: `[rows, 1, outputs]`
    pub(crate) fn project(&self, x: Tensor<3>) -> Tensor<3> {
        let mut pass = Pass {
            compute: self.compute,
            ..Pass::default()
        };
        let mut x = self.compute.linear(&self.predictor_embed, x);
        for block in &self.predictor_blocks {
            x = block.forward(x, &mut pass);
        }
        self.outputs(x)
    }

    /// The final norm and what is predicted.
    fn outputs(&self, x: Tensor<3>) -> Tensor<3> {
        let normed = self
            .compute
            .layer_norm(&self.predictor_norm, LAYER_NORM_EPSILON, x);
        self.compute.linear(&self.predictor_proj, normed)
    }

    /// Tokens of the patches to predict: the mask token at their places, which
    /// [`with_position_noise`](MaskTensors::with_position_noise) makes uncertain.
    fn queries(&self, masks: &MaskTensors) -> Tensor<3> {
        let positions = self.predictor_pos_embed.val();
        let queries = masks.pairs.gather_shared(positions) + self.mask_token.val();
        let Some(noise) = &masks.noise else {
            return queries;
        };
        let weight = self.predictor_embed.weight.val();
        let no_bias = Tensor::zeros([self.config.dim], &weight.device());
        queries + self.compute.affine(noise.clone(), weight, no_bias)
    }

    /// The target blocks after all blocks of a predictor whose context sees itself only.
    ///
    /// Of block `l` with context tokens `C` and the tokens `T` of one target block,
    /// `C <- block(queries C; keys and values C)` and `T <- block(queries T; keys and values C, T)`,
    /// where the keys and values of `C` are computed once for all target blocks. The last block
    /// leaves `C` alone.
    fn after_shared_context(
        &self,
        mut context: Tensor<3>,
        mut queries: Tensor<3>,
        num_targets: usize,
    ) -> Tensor<3> {
        let (compute, first) = (self.compute, context.dims()[1]);
        let last = self.predictor_blocks.len() - 1;
        for (index, block) in self.predictor_blocks.iter().enumerate() {
            let seen = block.qkv(context.clone(), compute);
            let own = block.qkv(queries.clone(), compute);
            let all = Tensor::cat(vec![seen.clone().repeat_dim(0, num_targets), own], 1);
            queries = block.finish(queries, first, all, compute);
            if index < last {
                context = block.finish(context, 0, seen, compute);
            }
        }
        queries
    }

    /// The target blocks after all blocks of the paper's predictor.
    fn after_separate_contexts(
        &self,
        context: Tensor<3>,
        queries: Tensor<3>,
        num_targets: usize,
        depth: Option<&mut StochasticDepth>,
    ) -> Tensor<3> {
        let mut pass = Pass {
            compute: self.compute,
            mask: None,
            depth,
        };
        let context_tokens = context.dims()[1];
        let context = context.repeat_dim(0, num_targets);
        let mut x = Tensor::cat(vec![context, queries], 1);
        let (last, blocks) = self
            .predictor_blocks
            .split_last()
            .expect("a predictor has blocks");
        for block in blocks {
            x = block.forward(x, &mut pass);
        }
        // Only the predictions are read, so the last block computes nothing else.
        last.forward_from(context_tokens, x, &mut pass)
    }
}

impl Predictor for VisionTransformerPredictor {
    /// Each pair of target and context is a sequence of its own, so target blocks never see each
    /// other; within a block all tokens do.
    fn forward(
        &self,
        context: Tensor<3>,
        masks: &MaskTensors,
        depth: Option<&mut StochasticDepth>,
    ) -> Tensor<3> {
        let positions = self.predictor_pos_embed.val();
        let embedded = self.compute.linear(&self.predictor_embed, context);
        let context = embedded + masks.contexts.gather_shared(positions);
        let (queries, targets) = (self.queries(masks), masks.num_targets);
        let queries = match self.config.context {
            PredictorContext::Separate => {
                self.after_separate_contexts(context, queries, targets, depth)
            }
            PredictorContext::Shared => self.after_shared_context(context, queries, targets),
        };
        let predicted = self.outputs(queries);
        match &self.target_mean {
            Some(mean) => predicted + masks.pairs.gather_shared(mean.val()),
            None => predicted,
        }
    }

    fn target(&self) -> Target {
        self.config.target
    }

    fn target_mean(&self) -> Option<&Param<Tensor<3>>> {
        self.target_mean.as_ref()
    }

    fn set_target_mean(&mut self, mean: Tensor<3>) {
        let like = |old: Tensor<3>| match old.is_autodiff() {
            true => Tensor::from_inner(mean),
            false => mean,
        };
        self.target_mean = self.target_mean.take().map(|old| old.map(like));
    }
}
