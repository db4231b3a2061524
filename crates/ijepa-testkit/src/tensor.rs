//! Tensors for tests and what is in them.

use burn::tensor::{Device, Tensor, TensorData};

/// A number in [-1, 1) that only `seed` and `at` decide.
///
/// Tests run beside each other in one process, where Burn's generator is shared: what one test
/// draws after seeding it depends on what the others draw meanwhile.
pub fn noise(seed: u64, at: usize) -> f32 {
    // SplitMix64 (Steele et al. 2014).
    let mut z = (seed << 32)
        .wrapping_add(at as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// A tensor of [`noise`].
pub fn noise_tensor<const D: usize>(seed: u64, dims: [usize; D], device: &Device) -> Tensor<D> {
    let values: Vec<f32> = (0..dims.iter().product())
        .map(|at| noise(seed, at))
        .collect();
    Tensor::from_data(TensorData::new(values, dims), device)
}

/// All values of a tensor as `f32`, row by row.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_spread_evenly() {
        let drawn: Vec<f32> = (0..10_000).map(|at| noise(3, at)).collect();
        assert!(drawn.iter().all(|value| (-1.0..1.0).contains(value)));
        let mean = drawn.iter().sum::<f32>() / 1e4;
        let variance = drawn.iter().map(|value| value * value).sum::<f32>() / 1e4;
        // Five standard errors.
        assert!(mean.abs() < 0.029, "{mean}");
        assert!((variance - 1.0 / 3.0).abs() < 0.015, "{variance}");
        assert_ne!(noise(3, 0), noise(4, 0));
    }
}
