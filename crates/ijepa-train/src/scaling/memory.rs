//! How much memory pretraining takes, estimated from sizes.

use ijepa_data::MultiCrop;
use ijepa_masking::{MaskReport, MaskRng};
use ijepa_model::{
    Compute, IJepaConfig, Kernels, PredictorConfig, PredictorContext, Target,
    VisionTransformerConfig,
};
use serde::Serialize;

use crate::{flops::patches, recipe::Recipe, resolve::ResolveError};

/// Mask groups whose longest masks the activations are counted for.
const GROUPS: usize = 8;
/// Bytes of a value; activations in bf16 take half, but gradients of norms and sums do not.
const VALUE: usize = size_of::<f32>();

/// Bytes that a step of a recipe needs, to within a factor of about two.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryEstimate {
    /// Trainable values of encoder and predictor.
    pub parameters: usize,
    /// Encoder, predictor and target encoder.
    pub weights_bytes: usize,
    /// Gradients of encoder and predictor.
    pub gradients_bytes: usize,
    /// Both Adam moments of encoder and predictor.
    pub moments_bytes: usize,
    /// What the backward pass of one forward pass keeps.
    pub activations_bytes: usize,
    /// Images of that forward pass.
    pub micro_batch: usize,
    /// Sum of all.
    pub total_bytes: usize,
}

impl MemoryEstimate {
    /// The estimate for `recipe` on one device.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] if it makes no network or no masks.
    pub fn of(recipe: &Recipe) -> Result<Self, ResolveError> {
        let config = recipe.model_config()?;
        let encoder = encoder_parameters(&config.encoder);
        let parameters = trainable(&config);
        let micro_batch = recipe.images_per_pass();
        let weights_bytes = (parameters + encoder) * VALUE;
        let gradients_bytes = parameters * VALUE;
        let moments_bytes = 2 * parameters * VALUE;
        let of_image = activations(recipe, &config)?.saturating_mul(VALUE);
        let activations_bytes = of_image.saturating_mul(micro_batch);
        let fixed_bytes = weights_bytes + gradients_bytes + moments_bytes;
        Ok(Self {
            parameters,
            weights_bytes,
            gradients_bytes,
            moments_bytes,
            activations_bytes,
            micro_batch,
            total_bytes: fixed_bytes.saturating_add(activations_bytes),
        })
    }

    /// All bytes of one of `devices` devices that share the moments (ZeRO-1, Rajbhandari et al.
    /// 2020).
    pub fn sharded_bytes(&self, devices: usize) -> usize {
        self.total_bytes - self.moments_bytes + self.moments_bytes.div_ceil(devices)
    }
}

/// Trainable values of encoder and predictor.
pub(super) fn trainable(config: &IJepaConfig) -> usize {
    let IJepaConfig { encoder, predictor } = config;
    encoder_parameters(encoder) + predictor_parameters(encoder, predictor)
}

/// Weights and biases of a block of width `dim`: two norms, attention and MLP.
fn block_parameters(dim: usize, hidden: usize) -> usize {
    4 * dim + (3 * dim * dim + 3 * dim) + (dim * dim + dim) + (2 * dim * hidden + hidden + dim)
}

fn encoder_parameters(config: &VisionTransformerConfig) -> usize {
    let dim = config.embed_dim;
    let patch = config.patch_pixels() * dim + dim;
    patch + config.depth * block_parameters(dim, config.hidden_dim()) + 2 * dim
}

fn predictor_parameters(encoder: &VisionTransformerConfig, config: &PredictorConfig) -> usize {
    let (inputs, outputs, dim) = (encoder.embed_dim, config.outputs(encoder), config.dim);
    let ends = (inputs * dim + dim) + dim + 2 * dim + (dim * outputs + outputs);
    ends + config.depth * block_parameters(dim, config.hidden_dim())
}

/// Values that one image leaves behind for the backward pass, and those of the widest running
/// block: of the target encoder, which leaves none, or without one of encoder or predictor.
fn activations(recipe: &Recipe, config: &IJepaConfig) -> Result<usize, ResolveError> {
    if let Some(views) = recipe.views()? {
        return Ok(activations_of_views(recipe, config, &views));
    }
    let sampler = recipe.mask_sampler()?;
    let masks = MaskReport::draw(
        sampler.as_ref(),
        recipe.mask_group_size(),
        GROUPS,
        recipe.run.seed,
    );
    let (context, target) = (masks.context_size.max, masks.target_size.max);
    let IJepaConfig { encoder, predictor } = config;
    let (heads, depth) = (encoder.num_heads, encoder.depth);
    let compute = recipe.compute();
    let kept = |tokens, dim, hidden| kept_values(compute, tokens, dim, hidden, heads);
    let of_encoder = |tokens| kept(tokens, encoder.embed_dim, encoder.hidden_dim());
    let of_predictor = |tokens| kept(tokens, predictor.dim, predictor.hidden_dim());
    // While a block runs, forward or backward, all of its own results are there.
    let running = |tokens, dim, hidden| all_values(tokens, dim, hidden, heads);
    let encoding = |tokens| running(tokens, encoder.embed_dim, encoder.hidden_dim());
    let image = sampler.sample(1, &mut MaskRng::for_group(recipe.run.seed, 0, 0));
    let (contexts, targets) = (image.contexts.len(), image.targets.len());
    let widest = match predictor.target {
        Target::Features => encoding(sampler.grid().num_patches()),
        Target::Pixels => {
            let predicting = running(context + target, predictor.dim, predictor.hidden_dim());
            (contexts * encoding(context)).max(contexts * targets * predicting)
        }
    };
    let predicting = match predictor.context {
        PredictorContext::Separate => targets * of_predictor(context + target),
        // Operation by operation, and keys and values of the context once for each target block.
        PredictorContext::Shared => {
            let tokens = context + targets * target;
            let kept = tokens * (9 * predictor.dim + 2 * predictor.hidden_dim());
            kept + 3 * targets * context * predictor.dim
        }
    };
    Ok(contexts * (depth * of_encoder(context) + predictor.depth * predicting) + widest)
}

/// The same of LeJEPA: all views go through the encoder, and the large ones run together.
fn activations_of_views(recipe: &Recipe, config: &IJepaConfig, views: &MultiCrop) -> usize {
    let VisionTransformerConfig {
        patch_size,
        embed_dim,
        depth,
        num_heads,
        ..
    } = config.encoder;
    let hidden = config.encoder.hidden_dim();
    let [large, small] = [&views.global, &views.local].map(|it| patches(it, patch_size));
    let kept = |tokens| kept_values(recipe.compute(), tokens, embed_dim, hidden, num_heads);
    let running = views.globals * all_values(large, embed_dim, hidden, num_heads);
    depth * (views.globals * kept(large) + views.locals * kept(small)) + running
}

/// Values that a block keeps for the backward pass on `tokens` tokens.
fn kept_values(compute: Compute, tokens: usize, dim: usize, hidden: usize, heads: usize) -> usize {
    match compute.kernels {
        Kernels::Reference => all_values(tokens, dim, hidden, heads),
        // The input alone.
        Kernels::Fused if compute.recompute => tokens * dim,
        // Input, queries, keys and values, attention output, stream between the branches, hidden
        // layer.
        Kernels::Fused => tokens * (6 * dim + hidden),
    }
}

/// Values that a block computes: inputs and outputs of its norms, projections and activation
/// function, and the attention weights before and after the softmax.
fn all_values(tokens: usize, dim: usize, hidden: usize, heads: usize) -> usize {
    tokens * (9 * dim + 2 * hidden) + 2 * heads * tokens * tokens
}

#[cfg(test)]
mod tests {
    use ijepa_model::Initialization;
    use ijepa_testkit::device;

    use super::*;

    #[test]
    fn counted_parameters_are_those_of_the_networks() {
        for target in ["features", "pixels"] {
            check_parameters(&format!("objective.target={target}"));
        }
    }

    fn check_parameters(target: &str) {
        let recipe = Recipe::preset("scenes_vit_nano").unwrap();
        let recipe = recipe.with_overrides(&[target]).unwrap();
        let IJepaConfig { encoder, predictor } = recipe.model_config().unwrap();
        let network = encoder.init(&device());
        assert_eq!(encoder_parameters(&encoder), network.num_parameters());
        let network = predictor.init(&encoder, Initialization::default(), &device());
        let tensors = ijepa_model::checkpoint::named_tensors(&network);
        let trainable = tensors
            .iter()
            .filter(|tensor| !tensor.name.ends_with("pos_embed"))
            .map(|tensor| tensor.shape.iter().product::<usize>());
        assert_eq!(
            predictor_parameters(&encoder, &predictor),
            trainable.sum::<usize>()
        );
    }

    #[test]
    fn the_published_model_has_its_published_size() {
        let huge = VisionTransformerConfig::variant("vit_h14").unwrap();
        // ViT-H/14 without class token and classifier.
        assert_eq!(encoder_parameters(&huge), 630_434_560);
    }

    #[test]
    fn memory_grows_with_the_batch_and_the_model() {
        let estimate = |overrides: &[&str]| {
            let recipe = Recipe::preset("scenes_vit_nano").unwrap();
            MemoryEstimate::of(&recipe.with_overrides(overrides).unwrap()).unwrap()
        };
        let plain = estimate(&["run.batch_size=64", "mask.group_size=64"]);
        let larger = [
            "run.batch_size=64",
            "mask.group_size=64",
            "run.kernels=reference",
        ];
        assert!(estimate(&larger).activations_bytes > plain.activations_bytes);
        let checkpointing = "run.activation_checkpointing=true";
        let smaller = estimate(&["run.batch_size=64", "mask.group_size=64", checkpointing]);
        assert!(smaller.activations_bytes < plain.activations_bytes / 2);
        let half = estimate(&["run.batch_size=32", "mask.group_size=32"]);
        assert!(half.activations_bytes < plain.activations_bytes);
        assert_eq!(half.weights_bytes, plain.weights_bytes);
        // With a narrow predictor nothing takes as much as the target encoder, which sees all
        // patches.
        let narrow = |target| estimate(&["model.predictor_dim=16", target]).activations_bytes;
        assert!(narrow("objective.target=pixels") < narrow("objective.target=features"));
        assert_eq!(plain.gradients_bytes, 4 * plain.parameters);
        assert_eq!(plain.moments_bytes, 8 * plain.parameters);
        let sum = plain.weights_bytes + plain.gradients_bytes + plain.moments_bytes;
        assert_eq!(plain.total_bytes, sum + plain.activations_bytes);
    }
}
