//! Data, settings and encoders of which there are no features.

use ijepa_data::{DataSpec, Source};
use ijepa_eval::{ExtractConfig, ExtractError, embed, extract};
use ijepa_model::{Normalization, Pooling, VisionTransformerConfig};
use ijepa_testkit::device;

use crate::{Levels, config, encoder};

#[test]
fn what_cannot_be_extracted_is_refused_with_the_facts() {
    let check = |source: &dyn Source, config: ExtractConfig, message: &str| {
        for workers in [0, 2] {
            let config = ExtractConfig { workers, ..config };
            let error = extract(&encoder(), source, &config, &device()).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    };
    check(
        &Levels::new(0),
        config(),
        "the data has 0 images, expected 1 to 4294967295",
    );
    check(
        &Levels::new(2),
        ExtractConfig {
            batch_size: 0,
            ..config()
        },
        "batch size is 0, expected at least 1",
    );
    let mut source = Levels::new(3);
    source.bad.extend(0..3);
    check(
        &source,
        config(),
        "none of the 3 images can be read; the first is `level-0` (`level-0` has no image)",
    );
    let scenes = "scenes:n=4,size=32"
        .parse::<DataSpec>()
        .unwrap()
        .open()
        .unwrap();
    let error = extract(&encoder(), scenes.as_ref(), &config(), &device()).unwrap_err();
    assert!(matches!(
        error,
        ExtractError::NothingReadable { images: 4, .. }
    ));
    assert!(
        error.to_string().contains("image is 32x32, expected 16x16"),
        "{error}"
    );

    let mut shallow = encoder().config().clone();
    shallow.depth = 3;
    let concat = ExtractConfig {
        pooling: Pooling::Concat4,
        ..config()
    };
    let error = extract(
        &shallow.init(&device()),
        &Levels::new(2),
        &concat,
        &device(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "concat4 pooling needs 4 layers, the encoder has 3; use mean pooling"
    );
}

#[test]
fn features_of_diverged_weights_are_refused() {
    let mut encoder = encoder();
    encoder.norm.gamma = encoder.norm.gamma.map(|gamma| gamma * f32::NAN);
    let error = extract(&encoder, &Levels::new(2), &config(), &device()).unwrap_err();
    assert!(matches!(error, ExtractError::NotFinite { .. }));
    assert_eq!(
        error.to_string(),
        "value 0 of `level-0` is NaN; the weights have probably diverged"
    );
}

#[test]
fn images_with_features_that_are_not_finite_are_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.npy");
    // The pixel statistics make the channels of all images but the black ones overflow.
    let config = ExtractConfig {
        normalization: Normalization {
            mean: [0.0; 3].into(),
            std: [1e-40; 3].into(),
        },
        ..config()
    };
    let mut source = Levels::new(9);
    source.black.extend([0, 1, 2, 3, 4, 6]);
    let error = embed(
        (&encoder(), "target"),
        &source,
        &config,
        &device(),
        &out,
        |_| (),
    )
    .unwrap_err();
    let text = error.to_string();
    assert!(text.contains(" of `level-5` is NaN; "), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn encoders_of_other_channels_are_refused_before_anything_is_read() {
    let grey = VisionTransformerConfig {
        in_chans: 1,
        ..encoder().config().clone()
    };
    let (grey, source) = (grey.init(&device()), Levels::new(3));
    let expected = "the encoder takes images of 1 channels, they are read with 3 and normalised by \
                    statistics of 3";
    let error = extract(&grey, &source, &config(), &device()).unwrap_err();
    assert_eq!(error.to_string(), expected);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.npy");
    for pooling in [Pooling::Mean, Pooling::Tokens] {
        let how = ExtractConfig {
            pooling,
            ..config()
        };
        let error = embed((&grey, "target"), &source, &how, &device(), &out, |_| ()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert!(!out.exists());
}

#[test]
fn a_file_stays_if_the_list_beside_it_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("x.npy");
    std::fs::write(&out, "before").unwrap();
    std::fs::create_dir(folder.path().join("x.npy.skipped.csv")).unwrap();
    let images = Levels::new(2);
    let error = embed(
        (&encoder(), "target"),
        &images,
        &config(),
        &device(),
        &out,
        |_| (),
    )
    .unwrap_err();
    assert!(error.to_string().contains("x.npy.skipped.csv"), "{error}");
    assert_eq!(std::fs::read_to_string(out).unwrap(), "before");
}
