//! kNN against a brute-force implementation in f64.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use ijepa_eval::{Accuracy, Features, KnnConfig, KnnReport, knn};
use ijepa_testkit::{device, noise};

/// Features of `classes` overlapping classes, far from the origin.
fn random(seed: u64, images: usize, dim: usize, classes: u32) -> Features {
    let label = |image: usize| (image as u32).wrapping_mul(2_654_435_761) % classes;
    let value = |at: usize| {
        let (image, column) = (at / dim, at % dim);
        let centre = noise(99, label(image) as usize * dim + column);
        3.0 + 0.4 * centre + noise(seed, at)
    };
    let values = (0..images * dim).map(value).collect();
    let labels = (0..images).map(|image| Some(label(image))).collect();
    Features::new(dim, values, labels).unwrap()
}

fn label(features: &Features, image: usize) -> u32 {
    features.labels()[image].unwrap()
}

/// The protocol word by word: every similarity, a full sort, a vote per class.
fn brute_force(train: &Features, test: &Features, config: &KnnConfig, k: usize) -> Accuracy {
    let dim = train.dim();
    let mut mean = vec![0.0; dim];
    if config.center {
        for (at, &value) in train.values().iter().enumerate() {
            mean[at % dim] += f64::from(value) / train.images() as f64;
        }
    }
    let unit = |features: &Features, image: usize| -> Vec<f64> {
        let row = features.row(image).iter().zip(&mean);
        let row: Vec<f64> = row.map(|(&value, mean)| f64::from(value) - mean).collect();
        let norm = row
            .iter()
            .map(|value| value * value)
            .sum::<f64>()
            .sqrt()
            .max(1e-12);
        row.into_iter().map(|value| value / norm).collect()
    };
    let keys: Vec<Vec<f64>> = (0..train.images())
        .map(|image| unit(train, image))
        .collect();
    let (mut top1, mut top5) = (0, 0);
    for image in 0..test.images() {
        let query = unit(test, image);
        let cosine = |key: &Vec<f64>| key.iter().zip(&query).map(|(a, b)| a * b).sum::<f64>();
        let mut nearest: Vec<(usize, f64)> = keys.iter().map(cosine).enumerate().collect();
        nearest.sort_by(|a, b| b.1.total_cmp(&a.1));
        let mut votes = vec![(0u32, 0.0); 100];
        for (class, vote) in votes.iter_mut().enumerate() {
            vote.0 = class as u32;
        }
        for (index, similarity) in &nearest[..k] {
            votes[label(train, *index) as usize].1 += (similarity / config.temperature).exp();
        }
        votes.retain(|vote| vote.1 > 0.0);
        votes.sort_by(|a, b| b.1.total_cmp(&a.1));
        let place = votes.iter().position(|vote| vote.0 == label(test, image));
        top1 += usize::from(place == Some(0));
        top5 += usize::from(place.is_some_and(|place| place < 5));
    }
    let percent = |count| 100.0 * count as f64 / test.images() as f64;
    Accuracy {
        top1: percent(top1),
        top5: percent(top5),
    }
}

fn run(train: &Features, test: &Features, config: &KnnConfig) -> KnnReport {
    knn(train, test, config, &device()).unwrap()
}

#[test]
fn accuracies_equal_brute_force_for_every_k_and_block() {
    let train = random(1, 403, 19, 12);
    let test = random(2, 101, 19, 12);
    for center in [false, true] {
        for temperature in [0.07, 1.0] {
            let mut config = KnnConfig {
                ks: vec![1, 10, 403, 20, 10],
                temperature,
                center,
                ..KnnConfig::default()
            };
            let reports = [[512, 8192], [1, 403], [7, 13], [101, 1], [100, 402]].map(|block| {
                config.block = block;
                run(&train, &test, &config)
            });
            assert!(reports.iter().all(|report| report == &reports[0]));
            let report = &reports[0];
            assert_eq!((report.train_images, report.test_images), (403, 101));
            assert_eq!(
                report.k.keys().copied().collect::<Vec<_>>(),
                [1, 10, 20, 403]
            );
            for (&k, found) in &report.k {
                assert_eq!(*found, brute_force(&train, &test, &config, k), "k {k}");
            }
            // Neither solved nor hopeless, or the comparison would show nothing.
            assert!((15.0..95.0).contains(&report.k[&20].top1), "{report:?}");
        }
    }
}

/// Checks neighbours against brute force where f32 cannot tell similarities apart.
fn check_close_similarities(train: &Features, test: &Features) {
    let ks = vec![1, 5, 20];
    for block in [[512, 8192], [7, 100]] {
        let config = KnnConfig {
            ks: ks.clone(),
            block,
            ..KnnConfig::default()
        };
        for (&k, found) in &run(train, test, &config).k {
            assert_eq!(*found, brute_force(train, test, &config, k), "k {k}");
        }
    }
}

#[test]
fn a_large_mean_hides_no_neighbour() {
    let shifted = |features: Features| {
        let values = features.values().iter().map(|value| value + 3e4);
        let labels = features.labels().to_vec();
        Features::new(features.dim(), values.collect(), labels).unwrap()
    };
    let train = shifted(random(1, 3000, 19, 12));
    check_close_similarities(&train, &shifted(random(2, 101, 19, 12)));
}

#[test]
fn images_that_are_nearly_equal_are_told_apart() {
    let dim = 19;
    let nearly = |seed: u64, images: usize| {
        let value = |at: usize| {
            let (image, column) = (at / dim, at % dim);
            noise(7, image % 3 * dim + column) + 1e-4 * noise(seed, at)
        };
        let values = (0..images * dim).map(value).collect();
        let labels = (0..images).map(|image| Some(image as u32 % 12)).collect();
        Features::new(dim, values, labels).unwrap()
    };
    check_close_similarities(&nearly(1, 900), &nearly(2, 60));
}

#[test]
fn centring_changes_the_outcome() {
    let (train, test) = (random(1, 403, 19, 12), random(2, 101, 19, 12));
    let accuracy = |center| {
        let config = KnnConfig {
            ks: vec![20],
            center,
            ..KnnConfig::default()
        };
        run(&train, &test, &config).k[&20]
    };
    assert_ne!(accuracy(false), accuracy(true));
}

#[test]
fn separable_classes_are_classified_without_error() {
    let separable = |seed: u64, images: usize| {
        let value = |at: usize| {
            let own = at % 8 == (at / 8) % 8;
            0.2 * noise(seed, at) + if own { 5.0 } else { 0.0 }
        };
        let labels = (0..images).map(|image| Some((image % 8) as u32)).collect();
        Features::new(8, (0..images * 8).map(value).collect(), labels).unwrap()
    };
    let config = KnnConfig {
        ks: vec![1, 20],
        ..KnnConfig::default()
    };
    let report = run(&separable(5, 400), &separable(6, 80), &config);
    for accuracy in report.k.values() {
        assert_eq!(
            *accuracy,
            Accuracy {
                top1: 100.0,
                top5: 100.0
            }
        );
    }
}

#[test]
fn of_equally_similar_images_the_first_votes() {
    // A collapsed encoder: all features are the same, and so are all similarities.
    let constant = |labels: &[u32]| {
        let labels: Vec<_> = labels.iter().copied().map(Some).collect();
        Features::new(5, vec![0.3; 5 * labels.len()], labels).unwrap()
    };
    let labels: Vec<u32> = (0..300)
        .map(|image| if image < 3 { 7 } else { 1 })
        .collect();
    let test = constant(&[7, 1, 9]);
    for (center, block) in [(false, [512, 8192]), (true, [2, 11]), (false, [1, 300])] {
        let config = KnnConfig {
            ks: vec![3, 10],
            center,
            block,
            ..KnnConfig::default()
        };
        let report = run(&constant(&labels), &test, &config);
        let third = 100.0 / 3.0;
        assert_eq!(
            report.k[&3],
            Accuracy {
                top1: third,
                top5: third
            }
        );
        assert_eq!(
            report.k[&10],
            Accuracy {
                top1: third,
                top5: 200.0 / 3.0
            }
        );
    }
}

#[test]
fn lengths_of_features_do_not_matter() {
    let (train, test) = (random(1, 150, 6, 5), random(2, 40, 6, 5));
    let scaled = |features: &Features, scale: fn(usize) -> f32| {
        let values = features.values().iter().enumerate();
        let values = values.map(|(at, value)| value * scale(at / 6)).collect();
        Features::new(6, values, features.labels().to_vec()).unwrap()
    };
    let config = KnnConfig {
        ks: vec![10],
        ..KnnConfig::default()
    };
    let power = |image: usize| (2.0f32).powi(image as i32 % 60 - 30);
    assert_eq!(
        run(&train, &test, &config),
        run(&scaled(&train, power), &scaled(&test, power), &config)
    );
}

#[test]
fn the_report_has_the_keys_that_scripts_read() {
    let features = random(1, 30, 4, 3);
    let config = KnnConfig {
        ks: vec![1, 20],
        ..KnnConfig::default()
    };
    let json = serde_json::to_value(run(&features, &features, &config)).unwrap();
    assert_eq!(
        (json["train_images"].as_u64(), json["test_images"].as_u64()),
        (Some(30), Some(30))
    );
    assert_eq!(json["k"]["1"]["top1"], 100.0);
    assert_eq!(json["k"]["20"]["top5"], 100.0);
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_facts() {
    let features = random(1, 30, 4, 3);
    let check = |train: &Features, test: &Features, config: KnnConfig, message: &str| {
        let error = knn(train, test, &config, &device()).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    let ks = |ks: &[usize]| KnnConfig {
        ks: ks.to_vec(),
        ..KnnConfig::default()
    };
    let with = |change: fn(&mut KnnConfig)| {
        let mut config = ks(&[5]);
        change(&mut config);
        config
    };
    let cases = [
        (
            ks(&[]),
            "no number of neighbours is given, expected at least one k",
        ),
        (ks(&[3, 0]), "k is 0, expected at least 1"),
        (
            ks(&[10, 31]),
            "k is 31, but there are only 30 training images; use a smaller k",
        ),
        (
            with(|c| c.temperature = 0.0),
            "temperature is 0, expected a number above 0",
        ),
        (
            with(|c| c.temperature = f64::NAN),
            "temperature is NaN, expected a number above 0",
        ),
        (
            with(|c| c.block = [4, 0]),
            "block is 4x0, expected at least 1x1 (test x training images)",
        ),
    ];
    for (config, message) in cases {
        check(&features, &features, config, message);
    }
    let wide = random(1, 30, 30, 3);
    check(
        &wide,
        &wide,
        with(|c| c.whiten = true),
        "whitening takes more training images than features have values, and there are 30 for 30",
    );
    check(
        &features,
        &random(1, 30, 5, 3),
        ks(&[5]),
        "training features have 4 values, test features 5; extract both alike",
    );
    let mut labels = features.labels().to_vec();
    (labels[4], labels[9]) = (None, None);
    let unlabelled = Features::new(4, features.values().to_vec(), labels).unwrap();
    check(
        &unlabelled,
        &features,
        ks(&[5]),
        "2 of 30 training images have no label, the first is image 4",
    );
    check(
        &features,
        &unlabelled,
        ks(&[5]),
        "2 of 30 test images have no label, the first is image 4",
    );
}
