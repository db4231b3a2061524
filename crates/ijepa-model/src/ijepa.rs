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
    /// Mean over the images of the targets of every patch, `[1, patches, embed_dim]`, if the
    /// predictor centres them; without autodiff.
    pub target_mean: Option<Tensor<3>>,
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
        let (targets, target_mean) = match self.predictor.target_mean() {
            Some(_) => {
                let (targets, mean) = objective.targets_and_mean(target, images.clone(), masks);
                (targets, Some(mean))
            }
            None => (objective.targets(target, images.clone(), masks), None),
        };
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
            target_mean,
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

    /// As [`targets`](Self::targets), with the mean over the images of the target of every patch,
    /// `[1, patches, embed_dim]`.
    ///
    /// # Panics
    ///
    /// Panics unless targets are features of whole images.
    pub fn targets_and_mean(
        &self,
        target: &EmaTarget,
        images: Tensor<4>,
        masks: &MaskTensors,
    ) -> (Tensor<3>, Tensor<3>) {
        let whole = (Target::Features, TargetMasking::Output);
        let found = (self.target, self.target_masking);
        assert_eq!(found, whole, "only features of whole images are centred");
        let features = self.features(target.encoder(), images.without_autodiff());
        (masks.pairs.gather(features.clone()), features.mean_dim(0))
    }

    /// Features of every patch as they are predicted, `[batch, patches, embed_dim]`, of the target
    /// encoder and images as [`targets`](Self::targets) takes them.
    pub fn features(&self, encoder: &VisionTransformer, images: Tensor<4>) -> Tensor<3> {
        self.normed(self.seen(encoder, images, None))
    }

    fn target_features(
        &self,
        target: &EmaTarget,
        images: Tensor<4>,
        masks: &MaskTensors,
    ) -> Tensor<3> {
        let encoder = target.encoder();
        let features = match self.target_masking {
            TargetMasking::Output => masks.pairs.gather(self.seen(encoder, images, None)),
            TargetMasking::Input => {
                masks.once_per_context(self.seen(encoder, images, Some(&masks.targets)))
            }
        };
        // Every token is normed by itself, so norming the picked ones is enough.
        self.normed(features)
    }

    /// Features of the kept patches, or of all, from the blocks that are predicted.
    fn seen(
        &self,
        encoder: &VisionTransformer,
        images: Tensor<4>,
        kept: Option<&TokenIndices>,
    ) -> Tensor<3> {
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

#[cfg(test)]
mod tests {
    use ijepa_masking::{MaskRng, MaskSampler, MultiBlockConfig};
    use ijepa_testkit::{device, noise_tensor};

    use super::*;
    use crate::passes;

    #[test]
    fn several_contexts_share_one_pass_of_the_target_encoder() {
        let encoder = VisionTransformerConfig {
            embed_dim: 8,
            depth: 1,
            num_heads: 2,
            ..VisionTransformerConfig::variant("vit_ti16").expect("it is one")
        };
        let config = IJepaConfig {
            encoder: encoder.with_image_size([96, 96]),
            predictor: PredictorConfig::new(8, 1),
        };
        let model = config.init(Initialization::default(), &device());
        let target = EmaTarget::new(&model.encoder);
        let images = noise_tensor(1, [2, 3, 96, 96], &device());
        for num_contexts in [1, 3] {
            let masks = MultiBlockConfig {
                num_contexts,
                min_keep: 2,
                ..MultiBlockConfig::default()
            };
            let sampler = masks.build(model.encoder.grid()).expect("they fit");
            let masks = sampler.sample(2, &mut MaskRng::for_group(0, 0, 0));
            let masks = MaskTensors::new(&masks, &device());
            passes::take();
            let objective = Objective::default();
            let output = model.forward(images.clone(), &masks, &target, &objective, None);
            assert_eq!(passes::take(), 2, "each image once");
            assert_eq!(output.context.dims()[0], 2 * num_contexts);
            assert_eq!(output.targets.dims()[0], 4 * 2 * num_contexts);
        }
    }
}
