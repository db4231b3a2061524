//! Probes from end to end, on features and on images.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod attentive;
mod cache;
mod dense;
mod heads;
mod images;
mod refused;

use std::sync::Arc;

use ijepa_data::{DataSpec, Source};
use ijepa_eval::{Features, ProbeConfig, Protocol};
use ijepa_model::{VisionTransformer, VisionTransformerConfig};
use ijepa_testkit::{device, noise};

const CLASSES: usize = 6;

/// Overlapping classes, far from the origin and stretched unevenly.
fn overlapping(seed: u64, images: usize) -> Features {
    let dim = 16;
    let value = |at: usize| {
        let (image, column) = (at / dim, at % dim);
        let centre = noise(99, image % CLASSES * dim + column);
        3.0 + (column as f32 + 0.2) * (0.5 * centre + noise(seed, at))
    };
    let labels = (0..images).map(|image| Some((image % CLASSES) as u32));
    Features::new(
        dim,
        (0..images * dim).map(value).collect(),
        labels.collect(),
    )
    .unwrap()
}

fn quick() -> ProbeConfig {
    ProbeConfig {
        batch_size: 64,
        ..Protocol::Quick.config()
    }
}

fn encoder() -> VisionTransformer {
    let config = VisionTransformerConfig {
        mlp_ratio: 2.0,
        ..VisionTransformerConfig::new([16, 16], 8, 24, 4, 2)
    };
    config.init(&device())
}

fn scenes(spec: &str) -> Arc<dyn Source> {
    spec.parse::<DataSpec>().unwrap().open().unwrap()
}
