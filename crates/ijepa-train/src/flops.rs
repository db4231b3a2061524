//! Floating-point operations by formula: a multiplication and an addition count as two.
//!
//! Only matrix products are counted, as is usual: element-wise work is a per cent or two.

use ijepa_model::{IJepaConfig, Target, VisionTransformerConfig};

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

/// A block of width `dim` on `tokens` tokens: four projections of the attention, its two products
/// with the scores, and the MLP.
fn block(tokens: usize, dim: usize, hidden: usize) -> f64 {
    let (tokens, dim, hidden) = (tokens as f64, dim as f64, hidden as f64);
    2.0 * tokens * (4.0 * dim * dim + 2.0 * dim * hidden) + 4.0 * tokens * tokens * dim
}

/// The patch projection of an encoder on `tokens` patches.
fn patch_embed(config: &VisionTransformerConfig, tokens: usize) -> f64 {
    2.0 * (tokens * config.patch_pixels() * config.embed_dim) as f64
}

/// Operations of an encoder's forward pass on `tokens` patches of one image.
pub fn encoder_forward(config: &VisionTransformerConfig, tokens: usize) -> f64 {
    let block = block(tokens, config.embed_dim, config.hidden_dim());
    patch_embed(config, tokens) + config.depth as f64 * block
}

/// Operations of a predictor's forward pass on one pair of context and target block.
fn predictor_forward(config: &IJepaConfig, tokens: StepTokens) -> f64 {
    let IJepaConfig { encoder, predictor } = config;
    let dim = predictor.dim;
    let (inputs, outputs) = (encoder.embed_dim, predictor.outputs(encoder));
    let ends = (tokens.context * inputs + tokens.target * outputs) * dim;
    let sequence = tokens.context + tokens.target;
    2.0 * ends as f64 + predictor.depth as f64 * block(sequence, dim, 4 * dim)
}

/// Operations of a training step for one image: the backward pass costs two forward passes (one
/// for the patch projection, whose input needs no gradient), the target encoder has none and does
/// not run at all where pixels are predicted, and recomputation is not counted.
pub fn step(config: &IJepaConfig, tokens: StepTokens) -> f64 {
    let encoder = &config.encoder;
    let target_encoder = match config.predictor.target {
        Target::Features => {
            let patches = encoder.grid().map_or(0, |grid| grid.num_patches());
            encoder_forward(encoder, patches)
        }
        Target::Pixels => 0.0,
    };
    let context =
        3.0 * encoder_forward(encoder, tokens.context) - patch_embed(encoder, tokens.context);
    let pairs = (tokens.contexts * tokens.targets) as f64;
    target_encoder
        + tokens.contexts as f64 * context
        + 3.0 * pairs * predictor_forward(config, tokens)
}

#[cfg(test)]
mod tests {
    use ijepa_model::PredictorConfig;

    use super::*;

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
            step(&IJepaConfig { encoder, predictor }, tokens)
        };
        // 768 pixels instead of 384 features, forward and twice backward.
        let last_layer = 3.0 * 2.0 * 147.0 * 384.0 * (768.0 - 384.0);
        let expected = step_of(Target::Features) - encoder_forward(&encoder, 196) + last_layer;
        assert!((step_of(Target::Pixels) - expected).abs() < 1.0);
    }

    #[test]
    fn a_step_grows_with_every_count() {
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
        let base = step(&config, tokens);
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
            assert!(step(&config, larger) > base, "{larger:?}");
        }
    }
}
