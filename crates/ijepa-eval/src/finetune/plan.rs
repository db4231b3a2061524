//! Settings with every open question answered.

use ijepa_data::{ClassifierAugment, Decoding, Filter, LoaderConfig, Preprocess, Reading};
use ijepa_model::{
    Classifier, Compute, Normalization, PositionResampling, VisionTransformer,
    VisionTransformerConfig,
};
use ijepa_train::{RecipeError, TrainOptions, WarmupCosine, lr_scale};

use crate::features::ExtractConfig;

use super::{EvalPreprocess, FinetuneData, FinetuneError, FinetuneRecipe, Unfreeze};

/// Largest side whose test images are cut out of larger ones (MAE's fine-tuning).
const LARGEST_CROPPED: usize = 224;

/// Most images of a forward pass of an evaluation.
const EVAL_BATCH: usize = 256;

/// What the trainer carries out: checked, and made for an encoder and data of known size.
#[derive(Debug, Clone, PartialEq)]
pub struct FinetunePlan {
    pub(crate) recipe: FinetuneRecipe,
    /// `[height, width]`.
    pub(crate) image_size: [usize; 2],
    pub(crate) schedule: WarmupCosine,
    pub(crate) steps_per_epoch: u64,
    pub(crate) total_steps: u64,
    /// Of the images.
    pub(crate) channels: usize,
    /// Blocks that stay as they are, with the patch embedding.
    pub(crate) frozen_blocks: Option<usize>,
}

impl FinetunePlan {
    /// Resolves `recipe` for an encoder and its data.
    ///
    /// # Errors
    ///
    /// [`FinetuneError::Colors`] if the encoder takes other images and colours are to be changed,
    /// [`FinetuneError::Recipe`] if the recipe is invalid, [`FinetuneError::Blocks`] if the encoder
    /// has fewer blocks than are to be trained, [`FinetuneError::Rank`] if it is narrower than
    /// low-rank pairs, [`FinetuneError::RankOfNothing`] if no block is to be trained by them,
    /// [`FinetuneError::Batch`] if the data is smaller than one batch.
    pub fn new(
        recipe: FinetuneRecipe,
        encoder: &VisionTransformerConfig,
        data: &FinetuneData,
    ) -> Result<Self, FinetuneError> {
        recipe.validate()?;
        let channels = encoder.in_chans;
        let decoding = Decoding {
            channels,
            ..recipe.data.decoding
        };
        if decoding.is_float() && recipe.data.distortions()?.is_some() {
            return Err(FinetuneError::Colors { channels });
        }
        let (unfreeze, depth) = (recipe.model.unfreeze, encoder.depth);
        if let Unfreeze::Last(found) = unfreeze
            && found > depth
        {
            return Err(FinetuneError::Blocks { found, depth });
        }
        let frozen_blocks = unfreeze.frozen(depth);
        let (found, width) = (recipe.model.lora_rank, encoder.embed_dim);
        if found > width {
            return Err(FinetuneError::Rank { found, width });
        }
        if found > 0 && frozen_blocks == Some(depth) {
            return Err(FinetuneError::RankOfNothing { rank: found });
        }
        let (images, batch_size) = (data.train().len(), recipe.run.batch_size);
        if images < batch_size {
            return Err(FinetuneError::Batch { batch_size, images });
        }
        let steps_per_epoch = (images / batch_size) as u64;
        let optimizer = &recipe.optimizer;
        let scale = lr_scale(optimizer.lr_is_base, batch_size);
        Ok(Self {
            image_size: match recipe.model.image_size {
                0 => encoder.image_size,
                side => [side, side],
            },
            schedule: WarmupCosine {
                lr: optimizer.lr * scale,
                min_lr: optimizer.min_lr,
                warmup_epochs: optimizer.warmup_epochs,
                epochs: optimizer.epochs as f64,
            },
            steps_per_epoch,
            total_steps: steps_per_epoch.saturating_mul(optimizer.epochs as u64),
            channels,
            frozen_blocks,
            recipe,
        })
    }

    /// The settings, every key explicit.
    pub fn recipe(&self) -> &FinetuneRecipe {
        &self.recipe
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// Steps of an epoch; the images that do not fill a last batch are left to other epochs.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Learning rate of the head's update at `step`.
    pub fn lr(&self, step: u64) -> f64 {
        self.schedule.at(step as f64 / self.steps_per_epoch as f64)
    }

    /// Images of a forward pass.
    pub(crate) fn pass_size(&self) -> usize {
        match self.recipe.run.micro_batch {
            0 => self.recipe.run.batch_size,
            size => size,
        }
    }

    /// Forward passes of a step.
    pub(crate) fn passes(&self) -> usize {
        self.recipe.run.batch_size / self.pass_size()
    }

    /// Images of a forward pass of an evaluation.
    fn eval_batch(&self) -> usize {
        self.pass_size().min(EVAL_BATCH)
    }

    /// The classifier of the first step: the encoder with the images' size and drop path of the
    /// recipe, and a norm and a head that know nothing.
    ///
    /// # Errors
    ///
    /// [`FinetuneError::ImageSize`] if the images cannot be cut into the encoder's patches.
    pub fn classifier(
        &self,
        encoder: VisionTransformer,
        normalization: Normalization,
        data: &FinetuneData,
    ) -> Result<Classifier, FinetuneError> {
        let encoder = encoder
            .with_image_size(self.image_size, PositionResampling::Bicubic)?
            .with_drop_path(self.recipe.model.drop_path)?;
        let (classes, seed) = (data.classes().to_vec(), self.recipe.run.seed);
        Ok(Classifier::new(encoder, classes, normalization, seed))
    }

    /// `classifier` with what is not to be trained frozen, and its low-rank pairs if it has any.
    pub(crate) fn trainable(&self, mut classifier: Classifier) -> Classifier {
        let (rank, seed) = (self.recipe.model.lora_rank, self.recipe.run.seed);
        classifier.encoder = match (rank, self.frozen_blocks) {
            (0, None) => classifier.encoder,
            (0, Some(frozen)) => classifier.encoder.with_frozen_blocks(frozen),
            (rank, frozen) => {
                let first = frozen.unwrap_or(0);
                classifier.encoder.with_lora(rank, first, seed)
            }
        };
        classifier
    }

    pub(crate) fn compute(&self) -> Compute {
        let run = &self.recipe.run;
        Compute {
            precision: run.precision,
            kernels: run.kernels,
            recompute: run.activation_checkpointing,
        }
    }

    /// How test images become those of the encoder, for [`evaluate`](super::evaluate).
    pub fn evaluation(&self) -> ExtractConfig {
        let mut config = ExtractConfig {
            preprocess: self.preprocess(),
            batch_size: self.eval_batch(),
            ..ExtractConfig::default()
        };
        config.reading = self.reading(config.reading);
        config
    }

    pub(crate) fn preprocess(&self) -> Preprocess {
        match self.recipe.data.preprocess {
            EvalPreprocess::Auto if self.image_size.iter().any(|&side| side > LARGEST_CROPPED) => {
                Preprocess::Fill
            }
            EvalPreprocess::Auto => Preprocess::Eval,
            EvalPreprocess::As(preprocess) => preprocess,
        }
    }

    /// How training and test images are read, with the channels that the encoder takes.
    pub(crate) fn reading(&self, reading: Reading) -> Reading {
        Reading {
            decoding: Decoding {
                channels: self.channels,
                ..self.recipe.data.decoding
            },
            ..reading
        }
    }

    pub(crate) fn loader(
        &self,
        options: &TrainOptions,
        step: u64,
    ) -> Result<LoaderConfig<ClassifierAugment>, RecipeError> {
        let data = &self.recipe.data;
        let augment = ClassifierAugment {
            flip: data.flip,
            rand_augment: data.distortions()?,
            ..ClassifierAugment::random_crop(self.image_size)
                .with_crop(data.crop_scale, Filter::Bicubic)
        };
        Ok(LoaderConfig {
            seed: self.recipe.run.seed,
            start_step: step,
            workers: options.workers,
            reading: self.reading(options.reading),
            max_bad_fraction: data.max_bad_fraction,
            ..LoaderConfig::new(self.recipe.run.batch_size, augment)
        })
    }
}
