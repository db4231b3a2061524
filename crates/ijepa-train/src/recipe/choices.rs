//! Values that are picked from a list.

use serde::{Deserialize, Serialize};

/// Named encoder architectures that `model.arch` accepts; the number is the patch side in pixels.
pub const ARCHES: &[&str] = &[
    "vit_ti16", "vit_s16", "vit_b16", "vit_l16", "vit_h14", "vit_h16", "vit_g16",
];

macro_rules! choice {
    (
        $(#[$attribute:meta])*
        $name:ident { $($(#[$variant_attribute:meta])* $variant:ident = $text:literal,)+ }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_attribute])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value as recipes spell it, in declaration order.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The value as recipes spell it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

choice! {
    /// Standard deviation of the initial weights of both networks.
    Init {
        /// 0.02 everywhere, which is what the reference trains from.
        #[default]
        Normal = "normal",
        /// 0.02, with the last layer of both branches of block `l` (from 1) divided by `sqrt(2 l)`.
        DepthRescaled = "depth_rescaled",
        /// `1 / sqrt(fan_in)` for every linear layer.
        FanIn = "fan_in",
    }
}

choice! {
    /// Standard deviation of the initial patch embedding.
    PatchEmbedInit {
        /// As `model.init`.
        #[default]
        Same = "same",
        /// 0.02.
        Normal = "normal",
        /// 0.02: the patch embedding lies outside the blocks that are rescaled.
        DepthRescaled = "depth_rescaled",
        /// `1 / sqrt(fan_in)`.
        FanIn = "fan_in",
    }
}

choice! {
    /// Pretraining method.
    ObjectiveKind {
        /// Prediction of target representations from a context (I-JEPA).
        #[default]
        Jepa = "jepa",
        /// Masked autoencoder (He et al. 2022), the baseline.
        Mae = "mae",
    }
}

choice! {
    /// What the predictor predicts.
    Target {
        /// Patch representations of the target encoder.
        #[default]
        Features = "features",
        /// Pixels of the target patches (paper, Table 7).
        Pixels = "pixels",
    }
}

choice! {
    /// Where the target blocks are cut out (paper, Table 11).
    TargetMasking {
        /// From the output of the target encoder, which sees the whole image.
        #[default]
        Output = "output",
        /// From its input: one target-encoder pass for each block.
        Input = "input",
    }
}

choice! {
    /// Distance between prediction and target.
    Loss {
        /// Smooth L1 with beta 1, mean over all elements: the reference code.
        #[default]
        SmoothL1 = "smooth_l1",
        /// Squared L2 distance summed over a block's patches and averaged over blocks: the paper.
        L2 = "l2",
        /// Mean squared error over all elements.
        Mse = "mse",
        /// Mean absolute error over all elements.
        L1 = "l1",
    }
}

choice! {
    /// How context and targets are chosen (paper, Table 6).
    MaskStrategy {
        /// Several target blocks; the context is one large block without them.
        #[default]
        MultiBlock = "multi_block",
        /// One quadrant is the context, the other three are targets.
        Rasterized = "rasterized",
        /// One target block; the context is its complement.
        Block = "block",
        /// A random set of target patches; the context is its complement.
        Random = "random",
    }
}

choice! {
    /// Rules of the multi-block sampler.
    MaskMode {
        /// Those of the reference code, all quirks included.
        #[default]
        Official = "official",
        /// Blocks reach every row and column; scale and aspect ratio are independent.
        Uniform = "uniform",
    }
}

choice! {
    /// How images are decoded and resized.
    Decode {
        /// Pixels as the reference's image library gives them.
        #[default]
        Exact = "exact",
        /// Reduced-size decoding, close to but not equal to the exact pixels.
        Fast = "fast",
    }
}

choice! {
    /// Course of the weight decay over a run.
    DecaySchedule {
        /// Half a cosine from the first to the last value: the reference code.
        #[default]
        Cosine = "cosine",
        /// A straight line from the first to the last value: the paper.
        Linear = "linear",
        /// The first value throughout; `optimizer.final_weight_decay` is not used.
        Constant = "constant",
    }
}

choice! {
    /// Number format of forward passes; weights and optimizer state are always f32.
    Precision {
        /// 32-bit floats.
        F32 = "f32",
        /// Brain floats with 16 bits.
        #[default]
        Bf16 = "bf16",
    }
}

choice! {
    /// Implementation of the operations that have a kernel; results agree within rounding.
    Kernels {
        /// Fused operations with gradients of their own.
        #[default]
        Fused = "fused",
        /// Burn's elementary operations.
        Reference = "reference",
    }
}

choice! {
    /// Reaction to representations that collapse.
    OnCollapse {
        /// Log a warning and go on.
        #[default]
        Warn = "warn",
        /// End the run with an error after a checkpoint.
        Stop = "stop",
    }
}

/// The values that the string at `key` may take; `None` where `key` is not a string.
pub(super) fn names_of(key: &str) -> Option<&'static [&'static str]> {
    Some(match key {
        "model.arch" => ARCHES,
        "model.init" => Init::NAMES,
        "model.patch_embed_init" => PatchEmbedInit::NAMES,
        "objective.kind" => ObjectiveKind::NAMES,
        "objective.target" => Target::NAMES,
        "objective.target_masking" => TargetMasking::NAMES,
        "objective.loss" => Loss::NAMES,
        "mask.strategy" => MaskStrategy::NAMES,
        "mask.mode" => MaskMode::NAMES,
        "data.decode" => Decode::NAMES,
        "optimizer.weight_decay_schedule" => DecaySchedule::NAMES,
        "run.precision" => Precision::NAMES,
        "run.kernels" => Kernels::NAMES,
        "run.on_collapse" => OnCollapse::NAMES,
        _ => return None,
    })
}
