//! What is measured of images.

use std::fs;

use ijepa_data::{
    DataError, FolderSource, PackError, PackFormat, Reading, RgbImage8, SixteenBit, Source,
    Statistics, StatisticsConfig, pack,
};
use tempfile::TempDir;

use crate::{config, photos, spoil};

#[test]
fn statistics_are_those_of_the_images() {
    let root = photos();
    let bad = spoil(root.path());
    let source = FolderSource::open(root.path()).unwrap();
    let config = StatisticsConfig {
        most: usize::MAX,
        seed: 0,
        reading: Reading::default(),
        workers: 2,
    };
    let found = Statistics::of(&source, config, |_| ()).unwrap();
    assert_eq!(
        (found.images, found.measured, found.bad.len()),
        (14, 11, bad.len())
    );
    let classes: Vec<usize> = found.classes.values().copied().collect();
    assert_eq!((classes, found.unlabelled), (vec![5, 6, 3], 0));
    assert_eq!(
        (found.width.min, found.width.max, found.width.median),
        (8.0, 12.0, 12.0)
    );
    assert!((found.aspect.min - 8.0 / 12.0).abs() < 1e-12);
    let kinds: Vec<_> = found
        .kinds
        .iter()
        .map(|(kind, count)| (*kind, *count))
        .collect();
    assert_eq!(kinds, [("bmp", 3), ("jpg", 4), ("png", 4)]);
    assert_eq!(found.grey, 1);
    // Each image is of one colour, so the deviation is that between images.
    let reds: Vec<f64> = (0..14)
        .filter_map(|index| source.read(index).ok())
        .map(|image: RgbImage8| f64::from(image.pixel(0, 0)[0]) / 255.0)
        .collect();
    let mean = reds.iter().sum::<f64>() / 11.0;
    let variance = reds.iter().map(|red| (red - mean).powi(2)).sum::<f64>() / 11.0;
    assert!((found.mean[0] - mean).abs() < 2e-3, "{:?}", found.mean);
    assert!(
        (found.std[0] - variance.sqrt()).abs() < 2e-3,
        "{:?}",
        found.std
    );
    assert_eq!((found.sheet.width(), found.sheet.height()), (396, 296));

    let mut deep = config;
    deep.reading.decoding.sixteen_bit = SixteenBit::Keep;
    let deep = Statistics::of(&source, deep, |_| ()).unwrap();
    assert_eq!(deep.grey, found.grey);

    let again = StatisticsConfig {
        workers: 0,
        ..config
    };
    assert_eq!(Statistics::of(&source, again, |_| ()).unwrap(), found);
    let some = |seed| {
        let config = StatisticsConfig {
            most: 5,
            seed,
            ..config
        };
        let found = Statistics::of(&source, config, |_| ()).unwrap();
        assert_eq!((found.images, found.measured + found.bad.len()), (14, 5));
        found.mean
    };
    assert_eq!(some(1), some(1));
    assert_ne!(some(1), some(2));
}

#[test]
fn a_set_without_a_single_image_has_no_statistics() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("a.png"), "no image").unwrap();
    let source = FolderSource::open(root.path()).unwrap();
    let config = StatisticsConfig {
        most: 9,
        seed: 0,
        reading: Reading::default(),
        workers: 1,
    };
    let error = Statistics::of(&source, config, |_| ()).unwrap_err();
    assert!(
        matches!(error, DataError::NothingReadable { images: 1, .. }),
        "{error}"
    );
    let out = root.path().join("out");
    let error = pack(&source, &out, &self::config(PackFormat::Tar), |_| ()).unwrap_err();
    assert!(
        matches!(error, PackError::Data(DataError::NothingReadable { .. })),
        "{error}"
    );
    assert!(!out.exists());
}
