//! From the words of a recipe to networks, objective and masks.

use std::sync::Arc;

use ijepa_data::{Augment, DataError, LoaderConfig, MultiCrop, Reading, Transform};
use ijepa_masking::{
    MaskError, MaskSampler, MultiBlockConfig, PatchGrid, RandomSampler, Range, RasterizedSampler,
    SingleBlockSampler,
};
use ijepa_model::{
    Compute, ConfigError, IJepaConfig, InitScheme, Initialization, Objective, PredictorConfig,
    VisionTransformerConfig,
};

use crate::recipe::{
    MaskStrategy, ObjectiveKind, PatchEmbedInit, Recipe, RecipeError, rules::ensure,
};

/// Share of the image that the smallest view of LeJEPA shows (the paper, and DINO).
const SMALLEST_VIEW: f64 = 0.05;

/// A recipe that cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The recipe breaks one of its own rules or asks for what this build cannot do.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The sizes make no network.
    #[error("`model` makes no network")]
    Model(#[from] ConfigError),
    /// The masks cannot be sampled.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// Images have more views than can be.
    #[error(transparent)]
    Views(#[from] DataError),
    /// The data has fewer images than one batch.
    #[error(
        "`run.batch_size` = {batch_size} is more than the {images} images of the data; --batch-size \
         {fits} is the largest that fits"
    )]
    BatchTooLarge {
        /// Images a batch.
        batch_size: usize,
        /// Images of the data.
        images: usize,
        /// The largest number of whole mask groups of them.
        fits: usize,
    },
}

impl Recipe {
    /// Sizes of encoder and predictor.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Model`] if they make no network.
    pub fn model_config(&self) -> Result<IJepaConfig, ResolveError> {
        let model = &self.model;
        let image_size = [model.image_size.height, model.image_size.width];
        let mut encoder = match &model.arch {
            Some(arch) => VisionTransformerConfig::variant(arch)?.with_image_size(image_size),
            None => {
                let [patch_size, embed_dim, depth, num_heads] = [
                    model.patch_size,
                    model.embed_dim,
                    model.depth,
                    model.num_heads,
                ]
                .map(Option::unwrap_or_default);
                VisionTransformerConfig::new(image_size, patch_size, embed_dim, depth, num_heads)
            }
        };
        encoder.mlp_ratio = model.mlp_ratio.unwrap_or(encoder.mlp_ratio);
        encoder.in_chans = self.data.channels;
        encoder.drop_path = model.drop_path;
        let predictor = PredictorConfig {
            dim: model.predictor_dim,
            depth: model.predictor_depth,
            target: self.objective.target,
            context: self.predictor.context,
            center_targets: self.objective.center_targets,
        };
        let config = IJepaConfig { encoder, predictor };
        config.validate()?;
        let (blocks, depth) = (self.objective.target_blocks, config.encoder.depth);
        ensure(blocks <= depth, || RecipeError::TargetBlocks {
            blocks,
            depth,
        })?;
        Ok(config)
    }

    /// How images are cropped and coloured, to the size of the model.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Model`] if the sizes make no network.
    pub fn augment(&self) -> Result<Augment, ResolveError> {
        Ok(Augment {
            size: self.model_config()?.encoder.image_size,
            crop_scale: self.data.crop_scale,
            flip: self.data.flip,
            color_jitter: self.data.color_jitter,
        })
    }

    /// The views of LeJEPA; none of other objectives.
    ///
    /// Large ones are as [`augment`](Self::augment) says. Small ones have half of their sides, in
    /// whole patches, and show from a twentieth of the image to the smallest part that a large one
    /// shows.
    ///
    /// # Errors
    ///
    /// As [`augment`](Self::augment), [`ResolveError::Views`] if they are too many.
    pub fn views(&self) -> Result<Option<MultiCrop>, ResolveError> {
        if self.objective.kind.predicts() {
            return Ok(None);
        }
        let (global, encoder) = (self.augment()?, self.model_config()?.encoder);
        let half = |side: usize| side.div_ceil(2 * encoder.patch_size) * encoder.patch_size;
        let [smallest, _] = global.crop_scale;
        let local = Augment {
            size: global.size.map(half),
            crop_scale: [SMALLEST_VIEW.min(smallest), smallest],
            ..global.clone()
        };
        let views = MultiCrop {
            global,
            globals: self.objective.global_views,
            local,
            locals: self.objective.local_views,
        };
        views.validate()?;
        Ok(Some(views))
    }

    /// What images become: the views of LeJEPA, else a crop each.
    ///
    /// # Errors
    ///
    /// As [`augment`](Self::augment).
    pub fn transform(&self) -> Result<Arc<dyn Transform>, ResolveError> {
        Ok(match self.views()? {
            Some(views) => Arc::new(views),
            None => Arc::new(self.augment()?),
        })
    }

    /// Batches of what `transform` makes of images, in the order of a run that begins; `reading`
    /// says how they are read, the recipe how they are decoded.
    pub fn loader<T>(&self, transform: T, reading: Reading) -> LoaderConfig<T> {
        LoaderConfig {
            seed: self.run.seed,
            max_bad_fraction: self.data.max_bad_fraction,
            reading: Reading {
                decoding: self.data.channel_decoding(),
                ..reading
            },
            ..LoaderConfig::new(self.run.batch_size, transform)
        }
    }

    /// Steps of an epoch of `images` training images, if they fill a batch.
    ///
    /// # Errors
    ///
    /// [`ResolveError::BatchTooLarge`].
    pub fn steps_per_epoch(&self, images: usize) -> Result<usize, ResolveError> {
        let batch_size = self.run.batch_size;
        if images >= batch_size {
            return Ok(match self.optimizer.steps_per_epoch {
                0 => images / batch_size,
                steps => steps,
            });
        }
        let group_size = self.mask.group_size.min(images.max(1));
        Err(ResolveError::BatchTooLarge {
            batch_size,
            images,
            fits: images / group_size * group_size,
        })
    }

    /// How initial weights are drawn.
    pub fn initialization(&self) -> Initialization {
        let patch_embed = match self.model.patch_embed_init {
            PatchEmbedInit::Same => None,
            PatchEmbedInit::Normal => Some(InitScheme::Normal),
            PatchEmbedInit::DepthRescaled => Some(InitScheme::DepthRescaled),
            PatchEmbedInit::FanIn => Some(InitScheme::FanIn),
        };
        Initialization {
            scheme: self.model.init,
            patch_embed,
            seed: self.run.seed,
        }
    }

    /// Loss and targets.
    pub fn objective_config(&self) -> Objective {
        Objective {
            target: self.objective.target,
            loss: self.objective.loss,
            target_norm: self.objective.target_norm,
            target_masking: self.objective.target_masking,
            norm_pixels: self.objective.norm_pixels,
            target_blocks: self.objective.target_blocks,
            variance: self.objective.variance,
            covariance: self.objective.covariance,
            sigreg: self.objective.sigreg,
            center_momentum: self.objective.center_momentum,
        }
    }

    /// How the networks are computed.
    pub fn compute(&self) -> Compute {
        Compute {
            precision: self.run.precision,
            kernels: self.run.kernels,
            recompute: self.run.activation_checkpointing,
        }
    }

    /// The mask sampler.
    ///
    /// The strategies of the paper's table 6 take their scale from the paper, and random masks of
    /// a masked autoencoder from its paper; of the keys of `[mask]` they read `group_size`, and
    /// `block` its `target_aspect`.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Mask`] if the masks cannot be sampled, [`ResolveError::Model`] if the
    /// model has no patch grid.
    pub fn mask_sampler(&self) -> Result<Box<dyn MaskSampler>, ResolveError> {
        let grid = self.model_config()?.encoder.grid()?;
        Ok(match self.mask.strategy {
            MaskStrategy::MultiBlock => Box::new(self.multi_block().build(grid)?),
            MaskStrategy::Rasterized => Box::new(RasterizedSampler::new(grid)?),
            MaskStrategy::Block => Box::new(self.single_block(grid)?),
            MaskStrategy::Random => Box::new(RandomSampler::new(grid, self.random_ratio())?),
        })
    }

    fn random_ratio(&self) -> Range {
        match self.objective.kind {
            ObjectiveKind::Jepa | ObjectiveKind::Lejepa => RandomSampler::PAPER_RATIO,
            ObjectiveKind::Mae => RandomSampler::MAE_RATIO,
        }
    }

    fn single_block(&self, grid: PatchGrid) -> Result<SingleBlockSampler, MaskError> {
        let aspect = range(self.mask.target_aspect);
        SingleBlockSampler::new(grid, SingleBlockSampler::PAPER_SCALE, aspect)
    }

    fn multi_block(&self) -> MultiBlockConfig {
        let mask = &self.mask;
        MultiBlockConfig {
            mode: mask.mode,
            length_multiple: mask.length_multiple,
            num_targets: mask.num_targets,
            target_scale: range(mask.target_scale),
            target_aspect: range(mask.target_aspect),
            num_contexts: mask.num_contexts,
            context_scale: range(mask.context_scale),
            min_keep: mask.min_keep,
            allow_overlap: mask.allow_overlap,
        }
    }
}

fn range([min, max]: [f64; 2]) -> Range {
    Range::new(min, max)
}
