//! Extraction: order, labels, images that cannot be read.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use burn::tensor::Tensor;
use ijepa_data::{DataError, DataSpec, FetchError, Fetched, Preprocess, Retry, RgbImage8, Source};
use ijepa_eval::{
    Error, ExtractConfig, ExtractError, Extracted, Progress, embed, embed_together, extract,
    extract_pixels, extract_together, extract_with_progress, natural_size, read_features,
};
use ijepa_model::{Normalization, Pooling, VisionTransformer, VisionTransformerConfig};
use ijepa_testkit::{assert_close, device, tolerance};
use ijepa_train::{
    TrainError,
    ranks::{Ranks, threads},
};

/// Images of one grey level, ten times their index; some cannot be read.
#[derive(Debug)]
struct Levels {
    len: usize,
    bad: HashSet<usize>,
    panics: HashSet<usize>,
    black: HashSet<usize>,
    classes: [String; 2],
}

impl Levels {
    fn new(len: usize) -> Self {
        Self {
            len,
            bad: HashSet::new(),
            panics: HashSet::new(),
            black: HashSet::new(),
            classes: ["dark", "light"].map(str::to_owned),
        }
    }
}

impl Source for Levels {
    fn len(&self) -> usize {
        self.len
    }

    fn label(&self, index: usize) -> Option<u32> {
        (!index.is_multiple_of(5)).then_some(index as u32 * 3)
    }

    fn name(&self, index: usize) -> String {
        format!("level-{index}")
    }

    fn fetch(&self, index: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        // Early images are slow, so that threads finish out of order.
        std::thread::sleep(Duration::from_millis((index as u64 * 7) % 5));
        assert!(!self.panics.contains(&index), "no such level");
        if self.bad.contains(&index) {
            return Err(DataError::MissingImage {
                name: self.name(index),
            }
            .into());
        }
        let level = |at: usize| match self.black.contains(&index) {
            true => 0,
            false => (index * 10 + at % 7) as u8,
        };
        let pixels = (0..16 * 16 * 3).map(level).collect();
        Ok(Fetched::Pixels(RgbImage8::new(16, 16, pixels)?))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

fn encoder() -> VisionTransformer {
    let config = VisionTransformerConfig {
        image_size: [16, 16],
        patch_size: 8,
        in_chans: 3,
        embed_dim: 24,
        depth: 4,
        num_heads: 2,
        mlp_ratio: 2.0,
        drop_path: 0.0,
        layer_norm_eps: 1e-6,
    };
    config.init(&device())
}

fn config() -> ExtractConfig {
    ExtractConfig {
        preprocess: Preprocess::None,
        batch_size: 4,
        ..ExtractConfig::default()
    }
}

fn run(source: &dyn Source, config: &ExtractConfig) -> Extracted {
    extract(&encoder(), source, config, &device()).unwrap()
}

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
fn images_that_cannot_be_read_are_left_out_and_listed() {
    let mut source = Levels::new(10);
    source.bad.extend([0, 3]);
    source.panics.insert(6);
    let found = run(&source, &config());
    assert_eq!(found.indices, [1, 2, 4, 5, 7, 8, 9]);
    let labels: Vec<_> = found
        .indices
        .iter()
        .map(|&index| source.label(index))
        .collect();
    assert_eq!(found.features.labels(), labels);
    let skipped: Vec<_> = found
        .skipped
        .iter()
        .map(|s| (s.index, s.path.as_str()))
        .collect();
    assert_eq!(skipped, [(0, "level-0"), (3, "level-3"), (6, "level-6")]);
    assert_eq!(found.skipped[1].why, "`level-3` has no image");
    assert_eq!(
        found.skipped[2].why,
        "`level-6` is damaged: its decoder gave up (no such level)"
    );

    let whole = run(&Levels::new(10), &config());
    for (row, &index) in found.indices.iter().enumerate() {
        let expected = whole.features.row(index);
        assert_close("row", found.features.row(row), expected, tolerance(1e-5));
    }
}

#[test]
fn a_truncated_file_in_a_folder_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        let path = folder.path().join(class);
        std::fs::create_dir(&path).unwrap();
        let mut image = b"P6 16 16 255\n".to_vec();
        image.resize(image.len() + 16 * 16 * 3, 90);
        std::fs::write(path.join("a.ppm"), &image).unwrap();
        image.truncate(if class == "cat" { 100 } else { image.len() });
        std::fs::write(path.join("b.ppm"), &image).unwrap();
    }
    let spec = format!("folder:{}", folder.path().display());
    let source = spec.parse::<DataSpec>().unwrap().open().unwrap();
    let found = run(source.as_ref(), &config());
    assert_eq!(found.features.labels(), [Some(0), Some(1), Some(1)]);
    assert_eq!(found.skipped.len(), 1);
    assert!(found.skipped[0].path.ends_with("b.ppm"));
    assert!(!found.skipped[0].why.is_empty());
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
fn a_file_holds_what_extraction_gives_without_images_whose_decoder_panics() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = Levels::new(11);
    source.bad.insert(3);
    source.panics.extend([0, 10]);
    let expected = run(&source, &config());
    for name in ["a.safetensors", "a.npy", "a.parquet"] {
        let out = folder.path().join(name);
        let mut told = Vec::new();
        let tell = |at: Progress| told.push(at.done);
        let written = embed(&encoder(), &source, &config(), &device(), &out, tell).unwrap();
        assert_eq!((written.shape, told), (vec![8, 24], vec![6, 10]), "{name}");
        assert_eq!(written.skipped, expected.skipped, "{name}");
        let stored = read_features(&out).unwrap();
        assert_eq!(stored.features, expected.features, "{name}");
        assert_eq!(stored.classes, ["dark", "light"], "{name}");
        assert_eq!(stored.pool.as_deref(), Some("mean"), "{name}");
    }
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
    let error = embed(&encoder(), &source, &config, &device(), &out, |_| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(" of `level-5` is NaN; "), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Images of which every request fails first, and one cannot be had at all.
#[derive(Debug)]
struct Flaky {
    images: Levels,
    asked: AtomicU32,
    gone: Option<usize>,
}

impl Source for Flaky {
    fn len(&self) -> usize {
        self.images.len
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.images.name(index)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        match self.gone == Some(index) || asked.is_multiple_of(2) {
            true => Err(DataError::Read {
                path: self.name(index).into(),
                source: std::io::Error::from_raw_os_error(5),
            }
            .into()),
            false => self.images.fetch(index, buffer),
        }
    }

    fn classes(&self) -> &[String] {
        self.images.classes()
    }
}

#[test]
fn storage_that_fails_for_now_is_asked_again_and_no_image_left_out_for_it() {
    let mut images = Levels::new(11);
    images.bad.insert(3);
    let expected = run(&images, &config());
    let mut source = Flaky {
        images,
        asked: AtomicU32::new(0),
        gone: None,
    };
    for workers in [0, 3] {
        let mut config = config();
        config.workers = workers;
        config.reading.retry = Retry {
            retries: 100,
            first_pause: Duration::ZERO,
        };
        source.gone = None;
        assert_eq!(run(&source, &config), expected);
        source.gone = Some(7);
        let error = extract(&encoder(), &source, &config, &device()).unwrap_err();
        let gave_up = matches!(
            error,
            ExtractError::Data(DataError::GaveUp { attempts: 101, .. })
        );
        assert!(gave_up, "{error}");
    }
}

#[test]
fn the_first_readable_image_says_how_large_pixels_are_compared() {
    let mut source = Levels::new(3);
    source.panics.insert(0);
    source.bad.insert(1);
    assert_eq!(natural_size(&source, 224).unwrap(), [16, 16]);
    assert_eq!(natural_size(&source, 8).unwrap(), [8, 8]);
    source.bad.insert(2);
    let error = natural_size(&source, 224).unwrap_err();
    assert!(matches!(
        error,
        ExtractError::NothingReadable { images: 3, .. }
    ));
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
        let error = embed(&grey, &source, &how, &device(), &out, |_| ()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert!(!out.exists());
}

/// What `each` rank of `size` returns.
fn on_ranks<T: Send>(size: usize, each: impl Fn(&dyn Ranks) -> T + Sync) -> Vec<T> {
    let each = &each;
    std::thread::scope(|scope| {
        let ranks = threads(size).into_iter();
        let ranks: Vec<_> = ranks
            .map(|ranks| scope.spawn(move || each(ranks.as_ref())))
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Six batches, the last one not full, also for more ranks than batches.
#[test]
fn ranks_extract_together_what_one_extracts() {
    let source: Arc<dyn Source> = Arc::new(Levels::new(23));
    let (encoder, config) = (encoder(), config());
    let alone = run(source.as_ref(), &config);
    let folder = tempfile::tempdir().unwrap();
    for ending in ["safetensors", "npy", "parquet"] {
        let path = |name: &str| folder.path().join(format!("{name}.{ending}"));
        let path_alone = path("alone");
        embed(
            &encoder,
            source.as_ref(),
            &config,
            &device(),
            &path_alone,
            |_| (),
        )
        .unwrap();
        let bytes = fs::read(&path_alone).unwrap();
        for size in [1, 2, 5, 7] {
            let out = path(&size.to_string());
            let embedded = on_ranks(size, |ranks| {
                let device = device();
                embed_together(ranks, &encoder, &source, &config, &device, &out, |_| ()).unwrap()
            });
            assert_eq!(embedded.iter().flatten().count(), 1);
            let embedded = embedded[0].as_ref().unwrap();
            assert_eq!(embedded.shape, [23, 24]);
            assert_eq!(embedded.skipped, alone.skipped);
            assert!(fs::read(&out).unwrap() == bytes, "{ending} of {size}");
        }
    }
    for size in [1, 2, 5, 7] {
        let found = on_ranks(size, |ranks| {
            let extract = |part: &dyn Source| Ok(extract(&encoder, part, &config, &device())?);
            extract_together(ranks, &source, config.batch_size, extract).unwrap()
        });
        let [Some(first), others @ ..] = &found[..] else {
            panic!("rank 0 has the features");
        };
        assert_eq!(first, &alone, "{size}");
        assert!(others.iter().all(Option::is_none));
    }
}

/// Batches have other images then than on one rank, which changes rounding.
#[test]
fn ranks_leave_out_the_images_that_one_leaves_out() {
    let source: Arc<dyn Source> = Arc::new(Levels {
        bad: HashSet::from([1, 6, 20, 22]),
        ..Levels::new(23)
    });
    let (encoder, config) = (encoder(), config());
    let alone = run(source.as_ref(), &config);
    let found = on_ranks(3, |ranks| {
        let extract = |part: &dyn Source| Ok(extract(&encoder, part, &config, &device())?);
        extract_together(ranks, &source, config.batch_size, extract).unwrap()
    });
    let found = found[0].as_ref().unwrap();
    assert_eq!(found.indices, alone.indices);
    assert_eq!(found.skipped, alone.skipped);
    assert_eq!(found.features.labels(), alone.features.labels());
    let (values, expected) = (found.features.values(), alone.features.values());
    assert_close("features", values, expected, tolerance(1e-5));
}

#[test]
fn a_share_that_cannot_be_extracted_ends_all_ranks() {
    let source: Arc<dyn Source> = Arc::new(Levels {
        bad: (4..8).collect(),
        ..Levels::new(8)
    });
    let found = on_ranks(2, |ranks| {
        let extract = |part: &dyn Source| Ok(extract(&encoder(), part, &config(), &device())?);
        extract_together(ranks, &source, 4, extract).unwrap_err()
    });
    let [first, second] = &found[..] else {
        panic!("two ranks");
    };
    let other = matches!(first, Error::Ranks(TrainError::OtherRank { rank: 1 }));
    assert!(other, "{first}");
    let own = matches!(second, Error::Extract(ExtractError::NothingReadable { .. }));
    assert!(own, "{second}");
}
