//! Rows are features of the images in their order, however many threads compute them.

use burn::tensor::Tensor;
use ijepa_data::Source;
use ijepa_eval::{ExtractConfig, Progress, extract, extract_pixels, extract_with_progress};
use ijepa_model::{Normalization, Pooling};
use ijepa_testkit::{assert_close, device, tolerance};

use crate::{Levels, config, encoder, run};

#[test]
fn rows_are_the_encoders_features_in_the_sources_order() {
    let source = Levels::new(11);
    for pooling in [Pooling::Mean, Pooling::Concat4] {
        let found = run(
            &source,
            &ExtractConfig {
                pooling,
                ..config()
            },
        );
        let encoder = encoder();
        for index in 0..11 {
            let image = source.read(index).unwrap();
            let images = Normalization::IMAGENET.images(image.pixels(), [1, 16, 16], &device());
            let expected: Tensor<2> = encoder.forward_pooled(images, pooling);
            let expected = expected.into_data().try_to_vec::<f32>().unwrap();
            assert_close("row", found.features.row(index), &expected, tolerance(1e-5));
            assert_eq!(found.features.labels()[index], source.label(index));
        }
        assert_eq!(found.indices, (0..11).collect::<Vec<_>>());
        assert!(found.skipped.is_empty());
    }
}

#[test]
fn workers_change_nothing() {
    let mut source = Levels::new(23);
    source.bad.extend([0, 9, 22]);
    let results = [0, 1, 3, 64].map(|workers| {
        run(
            &source,
            &ExtractConfig {
                workers,
                ..config()
            },
        )
    });
    assert!(results.iter().all(|result| result == &results[0]));
    // An autodiff device is for training; features are the same and record nothing.
    let autodiff = device().autodiff();
    let encoder = encoder().config().init(&autodiff);
    assert_eq!(
        extract(&encoder, &source, &config(), &autodiff).unwrap(),
        results[0]
    );
}

#[test]
fn pixels_are_normalised_channel_by_channel() {
    let mut source = Levels::new(3);
    source.bad.insert(1);
    let normalization = Normalization::HALF;
    let found = extract_pixels(
        &source,
        [16, 16],
        &ExtractConfig {
            normalization,
            ..config()
        },
        |_| (),
    );
    let features = found.unwrap().features;
    assert_eq!((features.images(), features.dim()), (2, 3 * 16 * 16));
    // Pixel 1 has bytes 3, 4, 5 above the level of its image.
    for channel in 0..3 {
        let expected = (20.0 + 3.0 + channel as f32) / 255.0 * 2.0 - 1.0;
        assert!((features.row(1)[channel * 256 + 1] - expected).abs() < 1e-6);
    }
}

#[test]
fn progress_counts_images_of_the_source() {
    let mut source = Levels::new(10);
    source.bad.insert(2);
    let mut told = Vec::new();
    let tell = |at: Progress| told.push(at.to_string());
    extract_with_progress(&encoder(), &source, &config(), &device(), tell).unwrap();
    let expected = ["5 of 10 images", "9 of 10 images", "10 of 10 images"];
    assert_eq!(told, expected);
}
