//! What a device can do at best: the fastest of its large matrix products.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use ijepa_model::Precision;

/// Sides of the square matrices; larger ones are tried while a product takes less than [`LONG`].
const SIDES: [usize; 5] = [512, 1024, 2048, 4096, 8192];
/// A product that needs no larger one to be measured well.
const LONG: Duration = Duration::from_millis(20);
/// Products of a size, the first of which only warms up.
const REPEATS: usize = 6;

/// Operations a second of the fastest product of random square matrices in `precision`.
pub(super) fn matmul_flops(device: &Device, precision: Precision) -> f64 {
    let dtype = match precision {
        Precision::F32 => FloatDType::F32,
        Precision::Bf16 | Precision::Int8 => FloatDType::BF16,
    };
    let mut best = 0.0;
    for side in SIDES {
        let random = || {
            let noise = Distribution::Normal(0.0, 1.0);
            Tensor::<2>::random([side, side], noise, device).cast(dtype)
        };
        let (a, b) = (random(), random());
        let product = || {
            let start = Instant::now();
            let product = a.clone().matmul(b.clone());
            // Reading one value waits for all of them.
            std::hint::black_box(product.slice([0..1, 0..1]).into_data());
            start.elapsed()
        };
        product();
        let fastest = (1..REPEATS).map(|_| product()).min().unwrap_or(LONG);
        best = f64::max(best, 2.0 * (side as f64).powi(3) / fastest.as_secs_f64());
        if fastest >= LONG {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use ijepa_testkit::device;

    use super::*;

    #[test]
    fn a_device_multiplies_faster_than_by_hand_and_slower_than_any_chip() {
        let flops = matmul_flops(&device(), Precision::F32);
        assert!((1e7..1e16).contains(&flops), "{flops:e} a second");
    }
}
