//! The whole method: context encoder, predictor and objective.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize};

use crate::{
    compute::Compute,
    config::ConfigError,
    drop_path::{GroupSeed, StochasticDepth},
    ema::EmaTarget,
    encoder::{VisionTransformer, VisionTransformerConfig},
    init::Initialization,
    objective::{Objective, Target, TargetMasking, normalize_features, normalize_pixels},
    patch_embed::patchify,
    predictor::{Predictor, PredictorConfig, VisionTransformerPredictor},
    tokens::{MaskTensors, TokenIndices},
};

/// Sizes of encoder and predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IJepaConfig {
    /// Sizes of the encoder.
    pub encoder: VisionTransformerConfig,
    /// Sizes of the predictor.
    pub predictor: PredictorConfig,
}

impl IJepaConfig {
    /// Checks every rule that [`init`](Self::init) relies on.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.encoder.validate()?;
        self.predictor.validate(&self.encoder)
    }

    /// Networks with initial weights; pass an autodiff device to train them.
    ///
    /// # Panics
    ///
    /// Panics if [`validate`](Self::validate) fails.
    pub fn init(&self, init: Initialization, device: &Device) -> IJepa {
        IJepa {
            encoder: self.encoder.init_with(init, device),
            predictor: self.predictor.init(&self.encoder, init, device),
        }
    }
}

/// The trained networks of I-JEPA (paper figure 3); the target encoder is an [`EmaTarget`] beside
/// them, so that it can never receive a gradient.
///
/// ```no_run
/// use burn::tensor::{Device, Tensor};
/// use ijepa_masking::{MaskRng, MaskSampler, MultiBlockConfig};
/// use ijepa_model::{
///     EmaTarget, IJepaConfig, MaskTensors, Objective, PredictorConfig, VisionTransformerConfig,
/// };
///
/// let device = Device::flex();
/// let encoder = VisionTransformerConfig::variant("vit_ti16")?;
/// let masks = MultiBlockConfig::default().build(encoder.grid()?)?;
/// let masks = MaskTensors::new(&masks.sample(2, &mut MaskRng::for_group(0, 0, 0)), &device);
/// let config = IJepaConfig { encoder, predictor: PredictorConfig::new(96, 1) };
/// let model = config.init(Default::default(), &device.clone().autodiff());
/// let target = EmaTarget::new(&model.encoder);
/// let images = Tensor::ones([2, 3, 224, 224], &device).autodiff();
/// let output = model.forward(images, &masks, &target, &Objective::default(), None);
/// let gradients = output.loss.backward();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct IJepa<P: Predictor + Module = VisionTransformerPredictor> {
    /// Context encoder.
    pub encoder: VisionTransformer,
    /// Predictor.
    pub predictor: P,
}

/// The loss of one mask group and what it was computed from.
#[derive(Debug)]
pub struct IJepaOutput {
    /// What is minimised, `[1]`: the distance between prediction and targets, and the terms of the
    /// objective beside it.
    pub loss: Tensor<1>,
    /// The distance alone, `[1]`; without autodiff.
    pub distance: Tensor<1>,
    /// What was to be predicted, `[targets * contexts * batch, kept_target, outputs]`; without
    /// autodiff.
    pub targets: Tensor<3>,
    /// Features of the context blocks, `[contexts * batch, kept_context, embed_dim]`.
    pub context: Tensor<3>,
}

impl IJepa {
    /// Sizes of both networks.
    pub fn config(&self) -> IJepaConfig {
        IJepaConfig {
            encoder: self.encoder.config().clone(),
            predictor: self.predictor.config().clone(),
        }
    }

    /// The same networks computed in another way.
    pub fn with_compute(self, compute: Compute) -> Self {
        Self {
            encoder: self.encoder.with_compute(compute),
            predictor: self.predictor.with_compute(compute),
        }
    }
}

impl<P: Predictor> IJepa<P> {
    /// Predicts the target blocks from the context blocks.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - output: `[targets * contexts * batch, kept_target, outputs]`
    pub fn predict(
        &self,
        images: Tensor<4>,
        masks: &MaskTensors,
        mut depth: Option<&mut StochasticDepth>,
    ) -> Tensor<3> {
        let context = self
            .encoder
            .forward_masked(images, &masks.contexts, depth.as_deref_mut());
        self.predictor.forward(context, masks, depth)
    }

    /// Targets, context, prediction and loss of one mask group: what training differentiates.
    ///
    /// `seed` is that of drop path and SIGReg; without, no branch is dropped.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    ///
    /// # Panics
    ///
    /// Panics if the predictor predicts something else than the objective asks for, or if the
    /// objective has SIGReg and there is no `seed`.
    pub fn forward(
        &self,
        images: Tensor<4>,
        masks: &MaskTensors,
        target: &EmaTarget,
        objective: &Objective,
        seed: Option<GroupSeed>,
    ) -> IJepaOutput {
        self.assert_predicts(objective.target);
        let targets = objective.targets(target, images.clone(), masks);
        let drops = self.encoder.config().drop_path > 0.0;
        let mut depth = seed.filter(|_| drops).map(GroupSeed::depth);
        let context = self
            .encoder
            .forward_masked(images, &masks.contexts, depth.as_mut());
        let predicted = self
            .predictor
            .forward(context.clone(), masks, depth.as_mut());
        let constants = match predicted.is_autodiff() {
            true => targets.clone().autodiff(),
            false => targets.clone(),
        };
        let distance = objective.loss.forward(predicted, constants);
        let sketch = seed.map(GroupSeed::sketch);
        let loss = match objective.terms(&context, sketch.as_ref()) {
            Some(terms) => distance.clone() + terms,
            None => distance.clone(),
        };
        IJepaOutput {
            loss,
            distance: distance.without_autodiff(),
            targets,
            context,
        }
    }

    /// That the predictor predicts `target`: widths can agree by chance, as in ViT-B/16.
    ///
    /// # Panics
    ///
    /// Panics unless it does.
    pub fn assert_predicts(&self, target: Target) {
        assert_eq!(
            self.predictor.target(),
            target,
            "predictor and objective differ in their target"
        );
    }
}

impl Objective {
    /// What the predictor is to match; nothing is recorded for gradients.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - output: `[targets * contexts * batch, kept_target, outputs]`; pixels are ordered by
    ///   colour, row and column
    pub fn targets(&self, target: &EmaTarget, images: Tensor<4>, masks: &MaskTensors) -> Tensor<3> {
        let images = images.without_autodiff();
        match self.target {
            Target::Features => self.target_features(target, images, masks),
            Target::Pixels => {
                let patch_size = target.encoder().config().patch_size;
                let patches = masks.pairs.gather(patchify(images, patch_size));
                if self.norm_pixels {
                    normalize_pixels(patches)
                } else {
                    patches
                }
            }
        }
    }

    fn target_features(
        &self,
        target: &EmaTarget,
        images: Tensor<4>,
        masks: &MaskTensors,
    ) -> Tensor<3> {
        let features = match self.target_masking {
            TargetMasking::Output => masks.pairs.gather(self.seen(target, images, None)),
            TargetMasking::Input => {
                masks.once_per_context(self.seen(target, images, Some(&masks.targets)))
            }
        };
        // Every token is normed by itself, so norming the picked ones is enough.
        self.normed(features)
    }

    /// Features of the kept patches, or of all, from the blocks that are predicted.
    fn seen(
        &self,
        target: &EmaTarget,
        images: Tensor<4>,
        kept: Option<&TokenIndices>,
    ) -> Tensor<3> {
        let encoder = target.encoder();
        if self.target_blocks == 1 {
            return match kept {
                Some(kept) => encoder.forward_masked(images, kept, None),
                None => encoder.forward_features(images),
            };
        }
        let last: Vec<isize> = (1..=self.target_blocks as isize)
            .map(|block| -block)
            .collect();
        let blocks = encoder.forward_intermediates(images, kept, &last, false);
        let sum = blocks
            .into_iter()
            .map(normalize_features)
            .reduce(|sum, block| sum + block);
        sum.expect("at least one block is predicted") / self.target_blocks as f64
    }

    /// Features of the target encoder as the predictor is to match them: layer-normed over their
    /// width if the objective says so.
    ///
    /// # Shapes
    ///
    /// - `features` and output: `[batch, tokens, embed_dim]`
    pub fn normed(&self, features: Tensor<3>) -> Tensor<3> {
        if self.target_norm {
            normalize_features(features)
        } else {
            features
        }
    }
}
