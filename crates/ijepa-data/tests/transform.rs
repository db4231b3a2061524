//! Random crops and flips against the statistics of torchvision.

use ijepa_data::{Augment, MultiCrop, Purpose, RgbImage8, Transform, random_crop, sample_rng};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/transforms.json");
const DRAWS: u64 = 20_000;

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let square = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>();
    (mean, (square / values.len() as f64).sqrt())
}

#[test]
fn crops_are_distributed_as_torchvisions() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let sizes = golden["random_resized_crop_stats_scale_0p3_1"]
        .as_object()
        .unwrap();
    assert_eq!(sizes.len(), 3);
    for (size, expected) in sizes {
        // PyTorch writes height x width; the image is only its size here.
        let (height, width) = size.split_once('x').unwrap();
        let (height, width) = (height.parse().unwrap(), width.parse().unwrap());
        let crops: Vec<_> = (0..DRAWS)
            .map(|index| {
                let mut rng = sample_rng(0, Purpose::Augment, 0, index);
                random_crop(width, height, [0.3, 1.0], &mut rng)
            })
            .collect();
        let column = |value: &dyn Fn(&ijepa_data::CropRect) -> f64| {
            crops.iter().map(value).collect::<Vec<f64>>()
        };
        let area = column(&|c| (c.width * c.height) as f64 / (width * height) as f64);
        let ratio = column(&|c| (c.width as f64 / c.height as f64).ln());
        let (top, left) = (column(&|c| c.top as f64), column(&|c| c.left as f64));

        // Both samples have 20,000 draws, so a difference of means has a standard error of
        // 0.01 standard deviations; six of them are a false alarm rate of 2e-9 each.
        let check = |what: &str, values: &[f64], key: &str| {
            let (mean, deviation) = moments(values);
            let expected = expected[key].as_f64().unwrap();
            let error = (mean - expected).abs() / deviation;
            assert!(error < 0.06, "{size} {what}: {mean} instead of {expected}");
        };
        check("area", &area, "area_mean");
        check("log ratio", &ratio, "log_ratio_mean");
        check("top", &top, "top_mean");
        check("left", &left, "left_mean");
        for (what, values, key) in [
            ("area", &area, "area_std"),
            ("log ratio", &ratio, "log_ratio_std"),
        ] {
            let (_, deviation) = moments(values);
            let expected = expected[key].as_f64().unwrap();
            assert!(
                (deviation / expected - 1.0).abs() < 0.05,
                "{size} {what}: {deviation}"
            );
        }
        let mut sorted = area.clone();
        sorted.sort_by(f64::total_cmp);
        let quantiles = expected["area_q"].as_array().unwrap();
        for (share, expected) in [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
            .iter()
            .zip(quantiles)
        {
            let found = sorted[(share * DRAWS as f64) as usize];
            let expected = expected.as_f64().unwrap();
            assert!(
                (found - expected).abs() < 0.015,
                "{size} {share}: {found} for {expected}"
            );
        }
    }
}

#[test]
fn crops_of_long_images_fall_back_to_the_centre() {
    let mut rng = sample_rng(0, Purpose::Augment, 0, 0);
    let crop = random_crop(1000, 10, [0.9, 1.0], &mut rng);
    assert_eq!(
        (crop.width, crop.height, crop.top, crop.left),
        (13, 10, 0, 493)
    );
    let crop = random_crop(10, 1000, [0.9, 1.0], &mut rng);
    assert_eq!(
        (crop.width, crop.height, crop.top, crop.left),
        (10, 13, 493, 0)
    );
    let crop = random_crop(1, 1, [0.3, 1.0], &mut rng);
    assert_eq!((crop.width, crop.height), (1, 1));
}

#[test]
fn half_of_the_images_are_mirrored_and_none_without_flip() {
    let mut pixels = vec![0; 8 * 8 * 3];
    for row in pixels.chunks_exact_mut(8 * 3) {
        row[..4 * 3].fill(255);
    }
    let image = RgbImage8::new(8, 8, pixels).unwrap();
    let mirrored = |flip: bool| {
        let augment = Augment {
            size: [8, 8],
            crop_scale: [1.0, 1.0],
            flip,
            ..Augment::default()
        };
        let dark_first = |index: &u64| {
            let mut rng = sample_rng(0, Purpose::Augment, 0, *index);
            augment.apply(&image, &mut rng).unwrap().pixel(0, 4)[0] < 128
        };
        (0..2000).filter(dark_first).count()
    };
    assert_eq!(mirrored(false), 0);
    // Standard deviation 22: six of them are a false alarm rate of 2e-9.
    assert!(mirrored(true).abs_diff(1000) < 134);
}

#[test]
fn colours_change_only_when_asked() {
    let image = RgbImage8::new(8, 8, [200, 100, 50].repeat(64)).unwrap();
    let changed = |color_jitter: f64| {
        let augment = Augment {
            size: [4, 4],
            color_jitter,
            ..Augment::default()
        };
        (0..200u64).any(|index| {
            let mut rng = sample_rng(0, Purpose::Augment, 0, index);
            augment.apply(&image, &mut rng).unwrap().pixel(0, 0) != [200, 100, 50]
        })
    };
    assert!(!changed(0.0));
    assert!(changed(0.5));
}

#[test]
fn views_are_random_crops_one_after_the_other() {
    let pixels: Vec<u8> = (0..40 * 30 * 3).map(|at| (at * 7 % 251) as u8).collect();
    let image = RgbImage8::new(40, 30, pixels).unwrap();
    let global = Augment {
        size: [12, 16],
        flip: true,
        ..Augment::default()
    };
    let local = Augment {
        size: [6, 8],
        crop_scale: [0.05, 0.3],
        ..global.clone()
    };
    let views = MultiCrop {
        global: global.clone(),
        globals: 2,
        local: local.clone(),
        locals: 3,
    };
    views.validate().unwrap();
    let rng = || sample_rng(0, Purpose::Augment, 5, 9);
    let mut numbers = rng();
    let shown = views
        .view(40, 30, &mut numbers)
        .unwrap()
        .of(&image)
        .unwrap();
    let found = views.change(shown.into(), &mut numbers).unwrap();
    assert_eq!([found.height(), found.width()], views.size());

    let mut numbers = rng();
    let each = [&global, &global, &local, &local, &local];
    let expected = each.map(|augment| augment.apply(&image, &mut numbers).unwrap());
    let expected: Vec<u8> = expected
        .iter()
        .flat_map(RgbImage8::pixels)
        .copied()
        .collect();
    assert_eq!(found.bytes()[..], expected);
}
