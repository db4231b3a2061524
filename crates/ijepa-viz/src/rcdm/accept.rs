//! Whether a decoder listens to its vectors, measured without eyes.

use burn::tensor::{Device, Tensor};
use ijepa_data::{Purpose, sample_rng};
use ijepa_patches::dot;
use serde::Serialize;

use super::{
    Conditioner, Decoder, RcdmError, Sampling, Shown,
    config::{BATCH, COLORS},
    diffusion::{images_of, noise},
    views::{ViewSizes, to_signed},
};

/// Steps, spread over all, at which errors are measured.
const LEVELS: usize = 20;

/// Three tests of a decoder on images that it was not trained on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Acceptance {
    /// Images looked at.
    pub images: usize,
    /// Images made of each vector.
    pub samples: usize,
    /// Steps from noise to image.
    pub steps: usize,
    /// First test.
    pub noise_error: NoiseError,
    /// Second test; `None` if vectors come from a file.
    pub similarity: Option<Similarity>,
    /// Third test.
    pub variance: Variance,
}

/// Mean squared error of the predicted noise, with the same noise in all three cases. Passed if
/// the true vector makes it smaller than the vector of another image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NoiseError {
    /// Given the image's own vector.
    pub own: f64,
    /// Given another image's.
    pub other: f64,
    /// Given none.
    pub none: f64,
    /// `own < other`.
    pub passed: bool,
}

/// Cosine of the standardised vector of a made image with the one that it was made of. Passed if
/// it is larger than with those that other images were made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Similarity {
    /// With its own, mean.
    pub own: f64,
    /// With the others, mean.
    pub others: f64,
    /// Share of the made images whose nearest vector is their own; one over the images is chance.
    pub nearest_is_own: f64,
    /// `own > others`.
    pub passed: bool,
}

/// Variance of a pixel's value, in `[-1, 1]`, over images made of one vector, mean. Passed if it
/// is smaller than over images made of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Variance {
    /// Made of a vector.
    pub conditional: f64,
    /// Made of nothing.
    pub unconditional: f64,
    /// `conditional < unconditional`.
    pub passed: bool,
}

impl Acceptance {
    /// Whether all tests passed that apply.
    pub fn passed(&self) -> bool {
        let similar = self.similarity.is_none_or(|similarity| similarity.passed);
        self.noise_error.passed && similar && self.variance.passed
    }
}

/// Runs the three tests on the images of `shown`, with `samples` images of each vector.
///
/// Made images are looked at as the originals were, predicted vectors behind the same masks.
///
/// # Errors
///
/// [`RcdmError::TooFew`] with fewer than two images or samples, [`RcdmError::Unreadable`] if damage
/// leaves fewer images, [`RcdmError::Data`] if a made
/// image cannot get the encoder's size.
pub fn accept(
    decoder: &Decoder,
    conditioner: &Conditioner,
    shown: &Shown,
    samples: usize,
    sampling: Sampling,
    device: &Device,
) -> Result<Acceptance, RcdmError> {
    let least = 2;
    let (readable, skipped) = (shown.images(), shown.skipped.len());
    if readable < least && readable + skipped >= least {
        return Err(RcdmError::Unreadable { readable, skipped });
    }
    for (what, found) in [("images", readable), ("images of each vector", samples)] {
        if found < least {
            return Err(RcdmError::TooFew { what, found, least });
        }
    }
    let made = shown.decode(decoder, samples, sampling);
    let unconditional = variance(&shown.decode_nothing(decoder, samples, sampling));
    let conditional = variance(&made);
    Ok(Acceptance {
        images: shown.images(),
        samples,
        steps: sampling.steps,
        noise_error: noise_error(decoder, shown, sampling.seed, device),
        similarity: similarity(decoder, conditioner, shown, &made, device)?,
        variance: Variance {
            conditional,
            unconditional,
            passed: conditional < unconditional,
        },
    })
}

fn noise_error(decoder: &Decoder, shown: &Shown, seed: u64, device: &Device) -> NoiseError {
    let images = shown.images();
    let conditions = &shown.conditions;
    let rest = conditions.clone().narrow(0, 1, images - 1);
    let others = Tensor::cat(vec![rest, conditions.clone().narrow(0, 0, 1)], 0);
    let error = |conditions: &Tensor<2>| mean_error(decoder, shown, conditions, seed, device);
    let (own, other) = (error(conditions), error(&others));
    NoiseError {
        own,
        other,
        none: error(&conditions.zeros_like()),
        passed: own < other,
    }
}

/// Mean squared error over all images and levels.
fn mean_error(
    decoder: &Decoder,
    shown: &Shown,
    conditions: &Tensor<2>,
    seed: u64,
    device: &Device,
) -> f64 {
    let (side, images) = (decoder.config().unet.image_size, shown.images());
    let diffusion = decoder.diffusion();
    let mut sum = 0.0;
    for step in diffusion.spread(LEVELS.min(diffusion.steps())) {
        for first in (0..images).step_by(BATCH) {
            let batch = BATCH.min(images - first);
            let of_image = |image: usize| {
                let purpose = Purpose::DiffusionTraining;
                let mut rng = sample_rng(seed, purpose, step as u64, image as u64);
                noise(&mut rng, side).collect::<Vec<f32>>()
            };
            let values: Vec<f32> = (first..first + batch).flat_map(of_image).collect();
            let noise = images_of(&values, side, device);
            let size = side * side * COLORS;
            let pixels = &shown.pixels[first * size..][..batch * size];
            let originals = to_signed(pixels, side, device);
            let steps = vec![step; batch];
            let noised = diffusion.noised(originals, noise.clone(), &steps);
            let conditions = conditions.clone().narrow(0, first, batch);
            let times = vec![step as f64; batch];
            let velocity = decoder.unet.forward(noised.clone(), &times, conditions);
            let predicted = diffusion.noise_of(noised, velocity, &steps);
            let square = (predicted - noise).square().mean();
            sum += f64::from(square.into_scalar::<f32>()) * batch as f64;
        }
    }
    sum / (images * LEVELS.min(diffusion.steps())) as f64
}

fn similarity(
    decoder: &Decoder,
    conditioner: &Conditioner,
    shown: &Shown,
    made: &[Vec<u8>],
    device: &Device,
) -> Result<Option<Similarity>, RcdmError> {
    let Some(size) = conditioner.image_size() else {
        return Ok(None);
    };
    let side = decoder.config().unet.image_size;
    let wanted = unit_rows(&shown.conditions);
    let (mut own, mut others, mut hits) = (0.0, 0.0, 0);
    for pixels in made {
        let pixels = ViewSizes::resized(pixels, side, size)?;
        let (masks, indices) = (shown.masks.as_ref(), &shown.indices);
        let vectors = conditioner.vectors_of_many(&pixels, indices, masks, device);
        let found = unit_rows(&decoder.config().standardization.apply(vectors));
        for (image, found) in found.iter().enumerate() {
            let cosines: Vec<f64> = wanted.iter().map(|wanted| dot(found, wanted)).collect();
            let rest = cosines
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != image);
            own += cosines[image];
            others += rest.clone().map(|(_, cosine)| cosine).sum::<f64>();
            hits += usize::from(rest.into_iter().all(|(_, &cosine)| cosine < cosines[image]));
        }
    }
    let images = wanted.len();
    let total = (made.len() * images) as f64;
    let (own, others) = (own / total, others / total / (images - 1) as f64);
    Ok(Some(Similarity {
        own,
        others,
        nearest_is_own: hits as f64 / total,
        passed: own > others,
    }))
}

fn unit_rows(vectors: &Tensor<2>) -> Vec<Vec<f64>> {
    let [_, dim] = vectors.dims();
    let values: Vec<f64> = vectors.clone().into_data().iter::<f64>().collect();
    let unit = |row: &[f64]| {
        let norm = dot(row, row).sqrt().max(f64::MIN_POSITIVE);
        row.iter().map(|value| value / norm).collect()
    };
    values.chunks_exact(dim).map(unit).collect()
}

/// Mean over all values of their variance over `made`, each as long as the others; unbiased.
fn variance(made: &[Vec<u8>]) -> f64 {
    let (count, values) = (made.len() as f64, made[0].len());
    let of_value = |at: usize| {
        let value = |image: &Vec<u8>| f64::from(image[at]) / 127.5;
        let mean = made.iter().map(value).sum::<f64>() / count;
        let square = |image: &Vec<u8>| (value(image) - mean).powi(2);
        made.iter().map(square).sum::<f64>() / (count - 1.0)
    };
    (0..values).map(of_value).sum::<f64>() / values as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variance_is_that_over_images_in_units_of_their_range() {
        // Values -1 and 1 of two images: variance 2; and two equal ones: 0.
        assert!((variance(&[vec![0, 9], vec![255, 9]]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn rows_become_units_and_zero_stays_zero() {
        let device = ijepa_testkit::device();
        let rows = unit_rows(&Tensor::from_data([[3.0, 4.0], [0.0, 0.0]], &device));
        assert!((dot(&rows[0], &rows[0]) - 1.0).abs() < 1e-12);
        assert_eq!(rows[1], [0.0, 0.0]);
    }
}
