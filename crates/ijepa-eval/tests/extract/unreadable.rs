//! Images that cannot be read, for now or at all.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ijepa_data::{DataError, DataSpec, FetchError, Fetched, Reading, Retry, Source};
use ijepa_eval::{ExtractError, Progress, embed, extract, natural_size, read_features};
use ijepa_testkit::{assert_close, device, tolerance};

use crate::{Levels, config, encoder, run};

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
fn a_file_holds_what_extraction_gives_without_images_whose_decoder_panics() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = Levels::new(11);
    source.bad.insert(3);
    source.panics.extend([0, 10]);
    let expected = run(&source, &config());
    // What is beside an array has its name as it was given.
    #[cfg(unix)]
    std::os::unix::fs::symlink("elsewhere.npy", folder.path().join("link.npy")).unwrap();
    for name in ["a.safetensors", "a.npy", "a.parquet", "link.npy"] {
        let out = folder.path().join(name);
        let mut told = Vec::new();
        let tell = |at: Progress| told.push(at.done);
        let written = embed(
            (&encoder(), "target"),
            &source,
            &config(),
            &device(),
            &out,
            tell,
        )
        .unwrap();
        assert_eq!((written.shape, told), (vec![8, 24], vec![6, 10]), "{name}");
        assert_eq!(written.skipped, expected.skipped, "{name}");
        let stored = read_features(&out).unwrap();
        assert_eq!(stored.features, expected.features, "{name}");
        assert_eq!(stored.classes, ["dark", "light"], "{name}");
        assert_eq!(stored.pool.as_deref(), Some("mean"), "{name}");
        assert_eq!(stored.encoder.as_deref(), Some("target"), "{name}");
    }
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
    assert_eq!(
        natural_size(&source, 224, Reading::default()).unwrap(),
        [16, 16]
    );
    assert_eq!(
        natural_size(&source, 8, Reading::default()).unwrap(),
        [8, 8]
    );
    source.bad.insert(2);
    let error = natural_size(&source, 224, Reading::default()).unwrap_err();
    assert!(matches!(
        error,
        ExtractError::NothingReadable { images: 3, .. }
    ));
}
