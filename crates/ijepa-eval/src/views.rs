//! Features of masked views of images, and what they say without labels.

use burn::tensor::{Device, Tensor};
use ijepa_data::{Source, evenly_spread};
use ijepa_masking::{MaskRng, MaskSampler};
use ijepa_model::{TokenIndices, VisionTransformer};
use ijepa_patches::dot;

use crate::features::{ExtractConfig, ExtractError, Features, collect, on_images, values};
use crate::linalg::LEAST_NORM;

/// Features compared in pairs at most, spread over the set: the number of pairs is its square.
const MOST_PAIRED: usize = 1024;

/// Mean features of the visible patches of `views` contexts of every image, side by side.
///
/// The contexts of view `v` of batch `b` are the first ones of group `b` of step `v` of a run
/// with seed 0, so every encoder is measured on the same views. Images that cannot be read are
/// left out.
///
/// # Shapes
///
/// - features: `[images, views * embed_dim]`
///
/// # Errors
///
/// As [`extract`](crate::extract).
///
/// # Panics
///
/// Panics if the sampler is for another patch grid than the encoder's.
pub fn masked_views(
    encoder: &VisionTransformer,
    source: &dyn Source,
    sampler: &dyn MaskSampler,
    views: usize,
    config: &ExtractConfig,
    device: &Device,
) -> Result<Features, ExtractError> {
    let grid = encoder.grid();
    assert_eq!(
        sampler.grid(),
        grid,
        "the sampler is for another patch grid"
    );
    let mut batch = 0;
    let of_batch = |encoder: &VisionTransformer, images: Tensor<4>| {
        let view = |step: usize| -> Tensor<3> {
            let rng = &mut MaskRng::for_group(0, step as u64, batch);
            let masks = sampler.sample(images.dims()[0], rng);
            let device = images.device();
            let kept = TokenIndices::new(&masks.contexts[..1], grid.num_patches(), &device);
            let tokens = encoder.forward_masked(images.clone(), &kept, None);
            tokens.mean_dim(1)
        };
        let views: Vec<Tensor<3>> = (0..views).map(view).collect();
        batch += 1;
        values(Tensor::cat(views, 1))
    };
    let compute = on_images(encoder, config, device, of_batch);
    let size = encoder.config().image_size;
    Ok(collect(source, size, config, |_| (), compute)?.features)
}

/// Mean squared distance of two views of an image, as unit features (Wang and Isola 2020, with
/// exponent 2): 0 if all views of an image agree, 2 if they are unrelated.
///
/// # Panics
///
/// Panics if the width of the features of [`masked_views`] is no multiple of `views`, at least 2.
pub fn alignment(features: &Features, views: usize) -> f64 {
    assert!(
        views >= 2 && features.dim().is_multiple_of(views),
        "{views} views"
    );
    let dim = features.dim() / views;
    let of_image = |image: usize| {
        let units: Vec<Vec<f64>> = features.row(image).chunks_exact(dim).map(unit).collect();
        let mut sum = 0.0;
        for (number, a) in units.iter().enumerate() {
            sum += units[..number].iter().map(|b| distance(a, b)).sum::<f64>();
        }
        sum / (views * (views - 1) / 2) as f64
    };
    (0..features.images()).map(of_image).sum::<f64>() / features.images() as f64
}

/// Logarithm of the mean of `exp(-2 |u - v|^2)` over pairs of unit features (Wang and Isola 2020):
/// 0 if all are the same, about -4 if they are spread evenly over a sphere of many dimensions.
///
/// Of more than 1024 features, as many are compared, spread evenly over the set.
pub fn uniformity(features: &Features) -> f64 {
    let images = evenly_spread(features.images(), MOST_PAIRED);
    let units: Vec<Vec<f64>> = images.iter().map(|&it| unit(features.row(it))).collect();
    let mut sum = 0.0;
    for (number, a) in units.iter().enumerate() {
        let potential = |b: &Vec<f64>| f64::exp(-2.0 * distance(a, b));
        sum += units[..number].iter().map(potential).sum::<f64>();
    }
    let count = units.len();
    let pairs = (count * count.saturating_sub(1) / 2).max(1) as f64;
    if count > 1 { (sum / pairs).ln() } else { 0.0 }
}

fn unit(row: &[f32]) -> Vec<f64> {
    let row: Vec<f64> = row.iter().map(|&value| f64::from(value)).collect();
    let norm = dot(&row, &row).sqrt().max(LEAST_NORM);
    row.into_iter().map(|value| value / norm).collect()
}

/// Squared distance of two unit vectors, or of a zero vector from one.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    (dot(a, a) + dot(b, b) - 2.0 * dot(a, b)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(dim: usize, values: Vec<f32>) -> Features {
        let images = values.len() / dim;
        Features::new(dim, values, vec![None; images]).unwrap()
    }

    #[test]
    fn alignment_is_the_distance_between_directions() {
        // Two views in 2 dimensions: equal up to length, and at right angles.
        let same = features(4, vec![1.0, 0.0, 7.0, 0.0]);
        let apart = features(4, vec![1.0, 0.0, 0.0, 2.0]);
        assert!(alignment(&same, 2).abs() < 1e-12);
        assert!((alignment(&apart, 2) - 2.0).abs() < 1e-12);
        // Three views, one of them opposite: distances 0, 4 and 4.
        let three = features(3, vec![1.0, 2.0, -1.0]);
        assert!((alignment(&three, 3) - 8.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn uniformity_is_zero_for_one_direction_and_low_for_many() {
        let one = features(2, vec![1.0, 1.0, 3.0, 3.0, 0.5, 0.5]);
        assert!(uniformity(&one).abs() < 1e-12);
        // Four axes of a plane: of six pairs four are at right angles and two opposite.
        let axes = features(2, vec![1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0]);
        let expected = ((4.0 * (-4.0f64).exp() + 2.0 * (-8.0f64).exp()) / 6.0).ln();
        assert!((uniformity(&axes) - expected).abs() < 1e-12);
        assert_eq!(uniformity(&features(2, vec![1.0, 0.0])), 0.0);
        // Many features are thinned: half of these are the one direction, half another.
        let many = features(
            1,
            (0..4096)
                .map(|i| if i < 2048 { 1.0 } else { -1.0 })
                .collect(),
        );
        assert!((uniformity(&many) - 0.5f64.ln()).abs() < 2e-3);
    }
}
