//! How often a classifier is right.

use burn::{module::Module, tensor::Device};
use ijepa_data::{Skipped, Source};
use ijepa_model::Classifier;

use crate::{
    accuracy::{Accuracy, Hits, place},
    features::{ExtractConfig, ExtractError, Features, collect, values},
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
    let logits = collect(source, size, config, |_| (), compute)?;
    Ok((accuracy(&logits.features), logits.skipped))
}

/// Accuracy in percent of `logits`, `[images, classes]`, among the images with a label.
///
/// Of equal logits the one of the lower class counts as larger.
pub fn accuracy(logits: &Features) -> Accuracy {
    let mut hits = Hits::default();
    for (image, label) in logits.labels().iter().enumerate() {
        if let Some(label) = label {
            hits.count(place(logits.row(image), *label as usize));
        }
    }
    hits.accuracy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_of_the_label_decides_and_ties_go_to_lower_classes() {
        let values = [
            [6.0, 5.0, 4.0, 3.0, 2.0, 1.0],
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            [6.0, 5.0, 4.0, 3.0, 2.0, 1.0],
        ];
        let labels = vec![Some(0), Some(4), Some(5), None];
        let logits = Features::new(6, values.concat(), labels).unwrap();
        let found = accuracy(&logits);
        assert_eq!((found.top1, found.top5), (100.0 / 3.0, 200.0 / 3.0));
    }
}
