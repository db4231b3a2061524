//! The whole method: context encoder, predictor and objective.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use serde::{Deserialize, Serialize};

use crate::{
    compute::Compute,
    config::ConfigError,
    drop_path::StochasticDepth,
    ema::EmaTarget,
    encoder::{VisionTransformer, VisionTransformerConfig},
    init::Initialization,
    objective::{Objective, Target, TargetMasking, normalize_features, normalize_pixels},
    patch_embed::patchify,
    predictor::{Predictor, PredictorConfig},
    tokens::MaskTensors,
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
#[derive(Module, Debug)]
pub struct IJepa {
    /// Context encoder.
    pub encoder: VisionTransformer,
    /// Predictor.
    pub predictor: Predictor,
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

    /// Predicts the target blocks from the context blocks.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, 3, height, width]`, normalised
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

    /// The loss of one mask group.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, 3, height, width]`, normalised
    /// - output: `[1]`
    ///
    /// # Panics
    ///
    /// Panics if the predictor predicts something else than the objective asks for.
    pub fn loss(
        &self,
        images: Tensor<4>,
        masks: &MaskTensors,
        target: &EmaTarget,
        objective: &Objective,
        depth: Option<&mut StochasticDepth>,
    ) -> Tensor<1> {
        self.assert_predicts(objective.target);
        let targets = objective.targets(target, images.clone(), masks);
        let predicted = self.predict(images, masks, depth);
        let targets = if predicted.is_autodiff() {
            Tensor::from_inner(targets)
        } else {
            targets
        };
        objective.loss.forward(predicted, targets)
    }

    /// That the predictor predicts `target`: widths can agree by chance, as in ViT-B/16.
    ///
    /// # Panics
    ///
    /// Panics unless it does.
    pub fn assert_predicts(&self, target: Target) {
        let found = self.predictor.config().target;
        assert_eq!(
            found, target,
            "predictor and objective differ in their target"
        );
    }
}

impl Objective {
    /// What the predictor is to match; nothing is recorded for gradients.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, 3, height, width]`, normalised
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
        let encoder = target.encoder();
        let features = match self.target_masking {
            TargetMasking::Output => masks.pairs.gather(encoder.forward_features(images)),
            TargetMasking::Input => {
                masks.once_per_context(encoder.forward_masked(images, &masks.targets, None))
            }
        };
        // Every token is normed by itself, so norming the picked ones is enough.
        self.normed(features)
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
