//! Whether a device computes what it should.

use burn::tensor::{Device, ExecutionError};
use ijepa_model::{Initialization, Normalization, VisionTransformerConfig};

use crate::model::values;

/// How far features may be off; they have a variance of 1.
const TOLERANCE: f32 = 1e-2;

/// Whether a device gives the features of a small encoder that the CPU gives. In a browser it is
/// known only after a computation that a GPU refuses kernels.
pub async fn computes(device: &Device) -> bool {
    let found = features(device).await;
    let expected = features(&Device::flex()).await;
    match (found, expected) {
        (Ok(found), Ok(expected)) => found
            .iter()
            .zip(&expected)
            .all(|(found, expected)| (found - expected).abs() < TOLERANCE),
        _ => false,
    }
}

/// Features of a pattern, by weights that are the same on every device.
async fn features(device: &Device) -> Result<Vec<f32>, ExecutionError> {
    const SIDE: usize = 16;
    let config = VisionTransformerConfig::new([SIDE; 2], 4, 64, 1, 2);
    let encoder = config.init_with(Initialization::default(), device);
    let pattern: Vec<u8> = (0..SIDE * SIDE * 3).map(|at| (at * 37) as u8).collect();
    let images = Normalization::IMAGENET.images(&pattern, [1, SIDE, SIDE], device);
    values(encoder.forward_features(images)).await
}
