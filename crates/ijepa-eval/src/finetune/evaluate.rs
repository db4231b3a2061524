//! How often a classifier is right.

use burn::{module::Module, tensor::Device};
use ijepa_data::{Skipped, Source};
use ijepa_model::Classifier;

use crate::{
    Error,
    accuracy::{Accuracy, Hits, place},
    features::{ExtractConfig, ExtractError, stream, values},
    labels::check_classified,
};

/// Accuracy of `classifier` on the labelled images of `source`, in percent (no number if not one of
/// them can be read), and the images that could not be read.
///
/// The configuration says how images are read
/// ([`FinetunePlan::evaluation`](super::FinetunePlan::evaluation) of a run is that of its own
/// accuracies); its pooling and normalisation are not used, those of the classifier are.
///
/// # Errors
///
/// [`Error::Labels`] if no image has a label or one has a label beyond the classes of the classifier;
/// [`Error::Extract`] as [`extract`](crate::extract()), also if logits are not finite.
pub fn evaluate(
    classifier: &Classifier,
    source: &dyn Source,
    config: &ExtractConfig,
    device: &Device,
) -> Result<(Accuracy, Vec<Skipped>), Error> {
    check_classified(source, classifier.classes().len())?;
    Ok(evaluate_checked(classifier, source, config, device)?)
}

/// As [`evaluate`], of labels that are known to go with the classifier.
pub(super) fn evaluate_checked(
    classifier: &Classifier,
    source: &dyn Source,
    config: &ExtractConfig,
    device: &Device,
) -> Result<(Accuracy, Vec<Skipped>), ExtractError> {
    let size @ [height, width] = classifier.encoder.config().image_size;
    let classifier = classifier.valid();
    let config = ExtractConfig {
        normalization: classifier.normalization(),
        ..*config
    };
    config.check_channels(classifier.encoder.config().in_chans)?;
    let device = device.clone().without_autodiff();
    let compute = |pixels: &[u8], images: usize| {
        let shape = [images, height, width];
        let images = classifier
            .normalization()
            .loaded_images(pixels, shape, &device);
        values(classifier.forward(images))
    };
    let mut hits = Hits::default();
    let count = |logits: Vec<f32>, indices: &[usize]| {
        let labels = indices.iter().map(|&index| source.label(index));
        count_rows(&mut hits, &logits, labels);
        Ok::<_, ExtractError>(())
    };
    let skipped = stream(source, size, &config, |_| (), compute, count)?;
    Ok((hits.accuracy(), skipped))
}

/// Counts the rows of `logits`, `[images, classes]`, that have a label.
///
/// Of equal logits the one of the lower class counts as larger.
fn count_rows(hits: &mut Hits, logits: &[f32], labels: impl ExactSizeIterator<Item = Option<u32>>) {
    let rows = logits.chunks_exact(logits.len() / labels.len());
    for (row, label) in rows.zip(labels) {
        if let Some(label) = label {
            hits.count(place(row, label as usize));
        }
    }
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
        let labels = [Some(0), Some(4), Some(5), None];
        let mut hits = Hits::default();
        count_rows(&mut hits, &values.concat(), labels.into_iter());
        let found = hits.accuracy();
        assert_eq!((found.top1, found.top5), (100.0 / 3.0, 200.0 / 3.0));
    }
}
