//! Features that were kept on disk, and when they are computed again.

use std::time::{Duration, SystemTime};

use ijepa_data::{Orientation, Preprocess, Source};
use ijepa_eval::{Error, ExtractConfig, FeatureCache, extract};
use ijepa_model::{Normalization, Pooling, Precision, VisionTransformer};
use ijepa_testkit::device;

use crate::{encoder, scenes};

#[test]
fn features_come_back_from_the_cache_until_something_changes() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path().join("kept"));
    let config = ExtractConfig::default();
    let (encoder, device) = (encoder(), device());
    let source = scenes("scenes:n=20,size=16");
    let take = |encoder: &VisionTransformer, source: &dyn Source, config: &ExtractConfig| {
        let mut computed = false;
        let found = cache.extract(encoder, source, config, &device, |_| computed = true);
        found.map(|extracted| (extracted, computed))
    };
    let (first, computed) = take(&encoder, source.as_ref(), &config).unwrap();
    assert!(computed);
    assert_eq!(
        first,
        extract(&encoder, source.as_ref(), &config, &device).unwrap()
    );
    assert_eq!(
        take(&encoder, source.as_ref(), &config).unwrap(),
        (first.clone(), false)
    );

    // Batches change no feature.
    let batches = ExtractConfig {
        batch_size: 7,
        ..config
    };
    assert!(!take(&encoder, source.as_ref(), &batches).unwrap().1);

    let other = scenes("scenes:n=20,size=16,seed=1");
    let pooled = ExtractConfig {
        pooling: Pooling::Concat4,
        ..config
    };
    let resized = VisionTransformer::clone(&encoder).with_image_size([24, 16], Default::default());
    let mut trained = encoder.clone();
    trained.norm.gamma = trained.norm.gamma.map(|gamma| gamma * 2.0);
    let bf16 = encoder.clone().with_precision(Precision::Bf16);
    let squashed = ExtractConfig {
        preprocess: Preprocess::Squash,
        ..config
    };
    let normalized = ExtractConfig {
        normalization: Normalization::HALF,
        ..config
    };
    let mut turned = config;
    turned.reading.decoding.orientation = Orientation::Exif;
    let changes = [
        take(&encoder, other.as_ref(), &config),
        take(&encoder, source.as_ref(), &pooled),
        take(&encoder, source.as_ref(), &squashed),
        take(&encoder, source.as_ref(), &normalized),
        take(&encoder, source.as_ref(), &turned),
        take(&resized.unwrap(), source.as_ref(), &config),
        take(&trained, source.as_ref(), &config),
        take(&bf16, source.as_ref(), &config),
    ];
    for (change, found) in changes.into_iter().enumerate() {
        assert!(found.unwrap().1, "{change}");
    }

    for entry in std::fs::read_dir(folder.path().join("kept")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    // What is damaged is computed and kept again.
    for is_damaged in [true, false] {
        let (again, computed) = take(&encoder, source.as_ref(), &config).unwrap();
        assert_eq!(computed, is_damaged);
        assert_eq!(again, first);
    }
}

/// Where root may write no file either.
#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_takes_no_file_is_refused_before_anything_is_computed() {
    let cache = FeatureCache::new("/proc/self");
    let (source, config) = (scenes("scenes:n=20,size=16"), ExtractConfig::default());
    let tell = |_| panic!("an image was looked at");
    let found = cache.extract(&encoder(), source.as_ref(), &config, &device(), tell);
    assert!(matches!(found, Err(Error::Cache(_))), "{found:?}");
}

#[test]
fn cached_features_of_a_file_that_was_overwritten_are_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path().join("kept"));
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let draw = |number: u8, level: u8| {
        let mut image = b"P6 16 16 255\n".to_vec();
        image.resize(image.len() + 16 * 16 * 3, level);
        let path = images.join(format!("{number:02}.ppm"));
        std::fs::write(&path, &image).unwrap();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(level.into());
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(changed).unwrap();
    };
    (0..20).for_each(|number| draw(number, number));
    let source = scenes(&format!("folder:{}", images.display()));
    let (encoder, device) = (encoder(), device());
    let take = || {
        let (mut computed, config) = (false, ExtractConfig::default());
        let tell = |_| computed = true;
        let found = cache.extract(&encoder, source.as_ref(), &config, &device, tell);
        (found.unwrap().features, computed)
    };
    let (old, _) = take();
    assert_eq!(take(), (old.clone(), false));
    draw(4, 200);
    let (new, computed) = take();
    assert!(computed);
    assert_eq!(old.row(3), new.row(3));
    assert_ne!(old.row(4), new.row(4));
}
