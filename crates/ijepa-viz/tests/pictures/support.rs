//! Small networks, rendered images, and looking at panels.

use std::sync::Arc;

use burn::{module::Param, tensor::Tensor};
use ijepa_data::{DataSpec, Preprocess, Reading, Source};
use ijepa_eval::{ExtractConfig, Picked, pick_images};
use ijepa_masking::{Block, MaskGroup, RgbPicture};
use ijepa_model::{
    IJepaConfig, InitScheme, Initialization, Normalization, PredictorConfig, Target,
    VisionTransformerConfig,
};
use ijepa_testkit::device;
use ijepa_viz::{
    NeighbourSearch, Networks, PredictionConfig, PredictorPicture, VizError, block_masks, predictor,
};

/// Pixels around panels, as every picture has them.
pub(crate) const GAP: usize = 8;
/// A panel of 24x32 pixels, each of them enlarged twice.
pub(crate) const PANEL: [usize; 2] = [64, 48];
pub(crate) const GREEN: [u8; 3] = [0, 200, 90];
pub(crate) const BLUE: [u8; 3] = [70, 180, 255];
pub(crate) const HIDDEN: [u8; 3] = [225, 225, 228];

/// Three rows of four patches.
pub(crate) fn networks() -> Networks {
    networks_predicting(Target::Features)
}

pub(crate) fn networks_predicting(target: Target) -> Networks {
    let encoder = VisionTransformerConfig {
        mlp_ratio: 2.0,
        ..VisionTransformerConfig::new([24, 32], 8, 12, 2, 3)
    };
    let predictor = PredictorConfig::new(12, 1).with_target(target);
    let init = Initialization {
        scheme: InitScheme::FanIn,
        ..Initialization::default()
    };
    let model = IJepaConfig { encoder, predictor }.init(init, &device());
    let mut target = model.encoder.clone();
    // Features of an even norm would be normed already.
    let scales = (0..12).map(|channel| 0.5 + channel as f32 / 4.0);
    let scales = Tensor::<1>::from_floats(scales.collect::<Vec<_>>().as_slice(), &device());
    target.norm.gamma = Param::from_tensor(scales);
    Networks { model, target }
}

pub(crate) fn source(n: usize, seed: u64) -> Arc<dyn Source> {
    let spec = format!("scenes:kind=texture,n={n},size=32,background=color,seed={seed}");
    spec.parse::<DataSpec>().unwrap().open().unwrap()
}

pub(crate) fn images(n: usize) -> Picked {
    let indices: Vec<usize> = (0..n).collect();
    pick_images(
        source(8, 0).as_ref(),
        &indices,
        Preprocess::Squash,
        [24, 32],
        Reading::default(),
    )
    .unwrap()
}

pub(crate) fn extract() -> ExtractConfig {
    ExtractConfig {
        preprocess: Preprocess::Squash,
        normalization: Normalization::HALF,
        batch_size: 2,
        workers: 1,
        ..ExtractConfig::default()
    }
}

/// Panel `[column, row]` of a picture whose panels have one size.
pub(crate) fn panel(picture: &RgbPicture, [column, row]: [usize; 2]) -> RgbPicture {
    let [width, height] = PANEL;
    let mut panel = RgbPicture::white(width, height);
    for y in 0..height {
        for x in 0..width {
            let place = [
                GAP + column * (width + GAP) + x,
                GAP + row * (height + GAP) + y,
            ];
            panel.fill([x, y], [1, 1], picture.pixel(place));
        }
    }
    panel
}

/// The middle of a patch of a panel, which no outline covers.
pub(crate) fn middle(panel: &RgbPicture, patch: usize) -> [u8; 3] {
    panel.pixel([patch % 4 * 16 + 8, patch / 4 * 16 + 8])
}

/// Whether the upper left corner of a patch of a panel has this colour.
pub(crate) fn corner(panel: &RgbPicture, patch: usize) -> [u8; 3] {
    panel.pixel([patch % 4 * 16, patch / 4 * 16])
}

pub(crate) fn close(found: &[f64], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, &expected) in found.iter().zip(expected) {
        assert!(
            (found - f64::from(expected)).abs() < 1e-4,
            "{found} {expected}"
        );
    }
}

pub(crate) fn masks(images: usize) -> MaskGroup {
    let block = Block {
        top: 1,
        left: 1,
        height: 2,
        width: 2,
    };
    block_masks(networks().target.grid(), block, images).unwrap()
}

pub(crate) fn predict(n: usize, search: Option<NeighbourSearch<'_>>) -> PredictorPicture {
    predict_with(&networks(), n, search).unwrap()
}

pub(crate) fn predict_with(
    networks: &Networks,
    n: usize,
    search: Option<NeighbourSearch<'_>>,
) -> Result<PredictorPicture, VizError> {
    let config = PredictionConfig {
        extract: extract(),
        scale: Some(2),
        ..PredictionConfig::default()
    };
    let picked = images(n);
    let (images, masks) = (&picked.images, &masks(n));
    predictor(networks, images, masks, search, &config, &device(), |_| ())
}
