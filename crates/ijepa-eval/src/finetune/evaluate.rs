//! How often a classifier is right.

use burn::{module::Module, tensor::Device};
use ijepa_data::{Skipped, Source};
use ijepa_model::Classifier;

use crate::{
    accuracy::{Accuracy, Hits, place},
    features::{ExtractConfig, ExtractError, stream, values},
};

/// Accuracy of `classifier` on the labelled images of `source`, and the images that could not be
/// read.
///
/// The configuration says how images are read; its pooling and normalisation are not used, those
/// of the classifier are.
///
/// # Errors
///
/// An [`ExtractError`] as [`extract`](crate::extract()), also if logits are not finite.
pub fn evaluate(
    classifier: &Classifier,
    source: &dyn Source,
    config: &ExtractConfig,
    device: &Device,
) -> Result<(Accuracy, Vec<Skipped>), ExtractError> {
    let size @ [height, width] = classifier.encoder.config().image_size;
    let classifier = classifier.valid();
    let device = device.clone().without_autodiff();
    let compute = |pixels: &[u8], images: usize| {
        let shape = [images, height, width];
        let images = classifier.normalization().images(pixels, shape, &device);
        values(classifier.forward(images))
    };
    let mut hits = Hits::default();
    let count = |logits: Vec<f32>, indices: &[usize]| {
        let rows = logits.chunks_exact(logits.len() / indices.len());
        for (row, &index) in rows.zip(indices) {
            if let Some(label) = source.label(index) {
                hits.count(place(row, label as usize));
            }
        }
        Ok::<_, ExtractError>(())
    };
    let skipped = stream(source, size, config, |_| (), compute, count)?;
    Ok((hits.accuracy(), skipped))
}
