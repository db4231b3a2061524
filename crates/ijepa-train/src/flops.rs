//! Floating-point operations by formula: a multiplication and an addition count as two.
//!
//! Only matrix products are counted, as is usual: element-wise work is a per cent or two.

use ijepa_data::Augment;
use ijepa_model::{IJepaConfig, PredictorContext, Target, TargetMasking, VisionTransformerConfig};

use crate::{recipe::Recipe, resolve::ResolveError};

/// Tokens of one image in a training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepTokens {
    /// Context blocks.
    pub contexts: usize,
    /// Visible patches of a context block.
    pub context: usize,
    /// Target blocks.
    pub targets: usize,
    /// Patches of a target block.
    pub target: usize,
}

/// A block of width `dim` on `tokens` tokens that see each other. Sizes are numbers of any size, as
/// recipes and the tables of runs may have them.
fn block(tokens: f64, dim: f64, hidden: f64) -> f64 {
    layers(tokens, dim, hidden) + attention(tokens, tokens, dim)
}

/// What a block of width `dim` does with each token: queries, keys and values, and what follows.
fn layers(tokens: f64, dim: f64, hidden: f64) -> f64 {
    2.0 * tokens * 3.0 * dim * dim + after_attention(tokens, dim, hidden)
}

/// The last projection of an attention and the MLP.
fn after_attention(tokens: f64, dim: f64, hidden: f64) -> f64 {
    2.0 * tokens * (dim * dim + 2.0 * dim * hidden)
}

/// The two products of an attention with its scores.
fn attention(queries: f64, keys: f64, dim: f64) -> f64 {
    4.0 * queries * keys * dim
}

/// The patch projection of an encoder on `tokens` patches.
fn patch_embed(config: &VisionTransformerConfig, tokens: usize) -> f64 {
    2.0 * tokens as f64 * config.patch_pixels() as f64 * config.embed_dim as f64
}

/// Operations of an encoder's forward pass on `tokens` patches of one image.
pub fn encoder_forward(config: &VisionTransformerConfig, tokens: usize) -> f64 {
    let (dim, hidden) = (config.embed_dim as f64, config.hidden_dim() as f64);
    let block = block(tokens as f64, dim, hidden);
    patch_embed(config, tokens) + config.depth as f64 * block
}

/// Widths of a predictor: its own, that of its MLPs, and those of what it takes and gives.
fn predictor_widths(config: &IJepaConfig) -> [f64; 4] {
    let IJepaConfig { encoder, predictor } = config;
    let [inputs, outputs] = [encoder.embed_dim, predictor.outputs(encoder)];
    [predictor.dim, predictor.hidden_dim(), inputs, outputs].map(|width| width as f64)
}

/// Operations of a predictor's forward pass on one context block and all target blocks; of the
/// context its last block computes queries, keys and values only.
fn predictor_forward(config: &IJepaConfig, tokens: StepTokens) -> f64 {
    let predictor = &config.predictor;
    let sizes = [tokens.context, tokens.targets, tokens.target];
    let [context, targets, target] = sizes.map(|size| size as f64);
    let [dim, hidden, inputs, outputs] = predictor_widths(config);
    let sequence = context + target;
    let (contexts, seen, block) = match predictor.context {
        PredictorContext::Separate => {
            let block = targets * block(sequence, dim, hidden);
            (targets, sequence, block)
        }
        PredictorContext::Shared => {
            let layers = layers(context + targets * target, dim, hidden);
            let seen = attention(context, context, dim);
            let seeing = attention(targets * target, sequence, dim);
            (1.0, context, layers + seen + seeing)
        }
    };
    let ends = (contexts * context * inputs + targets * target * outputs) * dim;
    let unread = after_attention(context, dim, hidden) + attention(context, seen, dim);
    2.0 * ends + predictor.depth as f64 * block - contexts * unread
}

/// Operations of a training step for one image: the backward pass costs two forward passes (one
/// for the patch projection, whose input needs no gradient), the target encoder has none, sees all
/// patches or by `masking` those of each target block, and does not run at all where pixels are
/// predicted; recomputation is not counted.
pub fn step(config: &IJepaConfig, masking: TargetMasking, tokens: StepTokens) -> f64 {
    let encoder = &config.encoder;
    let target_encoder = match (config.predictor.target, masking) {
        (Target::Pixels, _) => 0.0,
        (Target::Features, TargetMasking::Output) => {
            let patches = encoder.grid().map_or(0, |grid| grid.num_patches());
            encoder_forward(encoder, patches)
        }
        (Target::Features, TargetMasking::Input) => {
            tokens.targets as f64 * encoder_forward(encoder, tokens.target)
        }
    };
    let context =
        3.0 * encoder_forward(encoder, tokens.context) - patch_embed(encoder, tokens.context);
    let contexts = tokens.contexts as f64;
    target_encoder + contexts * (context + 3.0 * predictor_forward(config, tokens))
}

/// Operations of a step of LeJEPA for one view of so many patches: as [`step`], the encoder and the
/// projector's one token.
fn view_step(config: &IJepaConfig, patches: usize) -> f64 {
    let IJepaConfig { encoder, predictor } = config;
    let [dim, hidden, inputs, outputs] = predictor_widths(config);
    let blocks = predictor.depth as f64 * block(1.0, dim, hidden);
    let projector = 2.0 * dim * (inputs + outputs) + blocks;
    3.0 * (encoder_forward(encoder, patches) + projector) - patch_embed(encoder, patches)
}

/// Patches of `patch_size` pixels of a view.
pub(crate) fn patches(view: &Augment, patch_size: usize) -> usize {
    view.size.iter().map(|side| side / patch_size).product()
}

/// Operations of a step of `recipe` for one image with these tokens, which views do not need.
///
/// # Errors
///
/// [`ResolveError`] if the recipe makes no network.
pub fn recipe_step(recipe: &Recipe, tokens: StepTokens) -> Result<f64, ResolveError> {
    let config = recipe.model_config()?;
    let Some(views) = recipe.views()? else {
        return Ok(step(&config, recipe.objective.target_masking, tokens));
    };
    let side = config.encoder.patch_size;
    let cost = |views: usize, of| views as f64 * view_step(&config, patches(of, side));
    Ok(cost(views.globals, &views.global) + cost(views.locals, &views.local))
}

#[cfg(test)]
mod tests {
    use ijepa_model::PredictorConfig;

    use super::*;

    const OUTPUT: TargetMasking = TargetMasking::Output;

    /// 17.6 GFLOP multiply-adds are 4.4 GMAC: the usual figures for ViT-B/16 and ViT-S/16 (which
    /// count a class token).
    #[test]
    fn encoders_cost_what_is_published() {
        let gflop = |name: &str| {
            let config = VisionTransformerConfig::variant(name).unwrap();
            encoder_forward(&config, 196) / 1e9
        };
        assert!((gflop("vit_s16") - 9.2).abs() < 0.1, "{}", gflop("vit_s16"));
        assert!(
            (gflop("vit_b16") - 35.0).abs() < 0.3,
            "{}",
            gflop("vit_b16")
        );
    }

    #[test]
    fn pixels_need_no_target_encoder_and_another_last_layer() {
        let encoder = VisionTransformerConfig::variant("vit_s16").unwrap();
        let step_of = |target| {
            let predictor = PredictorConfig::new(384, 6).with_target(target);
            let encoder = encoder.clone();
            let tokens = StepTokens {
                contexts: 1,
                context: 49,
                targets: 1,
                target: 147,
            };
            step(&IJepaConfig { encoder, predictor }, OUTPUT, tokens)
        };
        // 768 pixels instead of 384 features, forward and twice backward.
        let last_layer = 3.0 * 2.0 * 147.0 * 384.0 * (768.0 - 384.0);
        let expected = step_of(Target::Features) - encoder_forward(&encoder, 196) + last_layer;
        assert!((step_of(Target::Pixels) - expected).abs() < 1.0);
    }

    #[test]
    fn the_last_block_of_a_predictor_computes_predictions_only() {
        let (config, tokens) = usual();
        let cost = |context, depth| {
            let predictor = PredictorConfig {
                context,
                ..PredictorConfig::new(384, depth)
            };
            let encoder = config.encoder.clone();
            predictor_forward(&IJepaConfig { encoder, predictor }, tokens)
        };
        // Widths of 384 and four targets of 40 patches beside 80 of the context.
        let (square, each) = (2.0 * 384.0 * 384.0, 4.0 * 384.0);
        let [after, ends] = [9.0 * square, (80.0 + 40.0) * square];
        for (context, contexts, seen) in [
            (PredictorContext::Separate, 4.0, 120.0),
            (PredictorContext::Shared, 1.0, 80.0),
        ] {
            let tokens = contexts * 80.0 + 160.0;
            let seeing = 160.0 * 120.0 * each;
            let last = tokens * 3.0 * square + 160.0 * after + seeing;
            let ends = match context {
                PredictorContext::Separate => 4.0 * ends,
                PredictorContext::Shared => (80.0 + 160.0) * square,
            };
            assert!((cost(context, 1) / (ends + last) - 1.0).abs() < 1e-12);
            let whole = last + contexts * 80.0 * (after + seen * each);
            let added = cost(context, 3) - cost(context, 2);
            assert!((added / whole - 1.0).abs() < 1e-12);
        }
    }

    /// The context's tokens are computed once instead of four times.
    #[test]
    fn a_shared_context_halves_the_predictor() {
        let encoder = VisionTransformerConfig::variant("vit_b16").unwrap();
        let tokens = StepTokens {
            contexts: 1,
            context: 80,
            targets: 4,
            target: 36,
        };
        let cost = |context| {
            let predictor = PredictorConfig {
                context,
                ..PredictorConfig::new(384, 6)
            };
            let encoder = encoder.clone();
            predictor_forward(&IJepaConfig { encoder, predictor }, tokens)
        };
        let ratio = cost(PredictorContext::Shared) / cost(PredictorContext::Separate);
        let tokens_alone: f64 = (80.0 + 4.0 * 36.0) / (4.0 * (80.0 + 36.0));
        assert!((ratio - tokens_alone).abs() < 0.02, "{ratio}");
    }

    #[test]
    fn views_cost_three_passes_each_and_no_target_encoder() {
        let encoder = VisionTransformerConfig::variant("vit_s16").unwrap();
        let predictor = PredictorConfig::new(384, 6);
        let config = IJepaConfig { encoder, predictor };
        let passes = |patches| 3.0 * encoder_forward(&config.encoder, patches);
        let found = 2.0 * view_step(&config, 196) + view_step(&config, 49);
        let ratio = found / (2.0 * passes(196) + passes(49));
        assert!((0.98..1.02).contains(&ratio), "{ratio}");
        let lejepa = Recipe::default()
            .with_overrides(&["objective.kind=lejepa"])
            .unwrap();
        let tokens = StepTokens {
            contexts: 1,
            context: 0,
            targets: 0,
            target: 0,
        };
        let of_recipe = recipe_step(&lejepa, tokens).unwrap();
        let view = |patches| view_step(&lejepa.model_config().unwrap(), patches);
        assert_eq!(of_recipe, 2.0 * view(256) + 6.0 * view(64));
    }

    #[test]
    fn numbers_of_any_size_are_multiplied() {
        let config = IJepaConfig {
            encoder: VisionTransformerConfig::variant("vit_s16").unwrap(),
            predictor: PredictorConfig::new(384, 6),
        };
        let tokens = StepTokens {
            contexts: usize::MAX,
            context: usize::MAX,
            targets: usize::MAX,
            target: usize::MAX,
        };
        assert!(step(&config, OUTPUT, tokens) > 1e60);
    }

    /// ViT-S/16, and what an image of it may be.
    fn usual() -> (IJepaConfig, StepTokens) {
        let config = IJepaConfig {
            encoder: VisionTransformerConfig::variant("vit_s16").unwrap(),
            predictor: PredictorConfig::new(384, 6),
        };
        let tokens = StepTokens {
            contexts: 1,
            context: 80,
            targets: 4,
            target: 40,
        };
        (config, tokens)
    }

    #[test]
    fn targets_masked_at_the_input_cost_their_own_patches() {
        let (config, tokens) = usual();
        let saved = step(&config, OUTPUT, tokens) - step(&config, TargetMasking::Input, tokens);
        let encoder = |patches| encoder_forward(&config.encoder, patches);
        let expected = encoder(196) - 4.0 * encoder(40);
        assert!((saved / expected - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_step_grows_with_every_count() {
        let (config, tokens) = usual();
        let base = step(&config, OUTPUT, tokens);
        // More than the target encoder and three forward passes of the context encoder.
        assert!(base > encoder_forward(&config.encoder, 196));
        for larger in [
            StepTokens {
                contexts: 2,
                ..tokens
            },
            StepTokens {
                context: 81,
                ..tokens
            },
            StepTokens {
                targets: 5,
                ..tokens
            },
            StepTokens {
                target: 41,
                ..tokens
            },
        ] {
            assert!(step(&config, OUTPUT, larger) > base, "{larger:?}");
        }
    }
}
