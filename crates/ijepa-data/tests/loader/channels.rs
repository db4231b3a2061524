//! Images of other channels than three.

use std::sync::Arc;

use ijepa_data::{
    Augment, Batch, DataError, Decoding, Fetched, FloatImage, ImageError, Loader, LoaderConfig,
    Reading, check_channels,
};

use crate::fake::Fake;

/// Arrays of 16 x 20 pixels of `channels` u8, of which one says that it has one less.
fn arrays(channels: usize) -> Fake {
    Fake::new(24, move |index, buffer| {
        let channels = channels - usize::from(index == 5);
        let shape = format!("(16, 20, {channels})");
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
        buffer.clear();
        buffer.extend(b"\x93NUMPY\x01\x00v\x00");
        buffer.extend(format!("{header:<117}\n").bytes());
        buffer.extend((0..16 * 20 * channels).map(|at| (index * 10 + at % channels) as u8));
        Ok(Fetched::File)
    })
}

/// The same in memory.
fn pixels(channels: usize) -> Fake {
    Fake::new(24, move |index, _| {
        let channels = channels - usize::from(index == 5);
        let sample = |at: usize| (index * 10 + at % channels) as f32 / 255.0;
        let samples = (0..16 * 20 * channels).map(sample).collect();
        Ok(Fetched::Pixels(
            FloatImage::new([16, 20], channels, samples)?.into(),
        ))
    })
}

fn of_five(augment: Augment, workers: usize) -> LoaderConfig {
    let decoding = Decoding {
        channels: 5,
        ..Decoding::default()
    };
    LoaderConfig {
        seed: 3,
        workers,
        max_bad_fraction: 0.1,
        reading: Reading {
            decoding,
            ..Reading::default()
        },
        ..LoaderConfig::new(8, augment)
    }
}

#[test]
fn batches_of_other_channels_are_floats_whoever_makes_them() {
    let augment = Augment {
        size: [8, 10],
        flip: true,
        ..Augment::default()
    };
    let batches = |source: Fake, workers| {
        let source = Arc::new(source);
        let mut loader = Loader::new(source, of_five(augment.clone(), workers)).unwrap();
        let batches: Vec<Batch> = (0..6).map(|_| loader.next_batch().unwrap()).collect();
        assert_eq!(loader.skipped().len(), 1);
        let why = &loader.skipped()[0].why;
        assert!(why.contains("has 4 channels, expected 5"), "{why}");
        batches
    };
    let found = batches(arrays(5), 0);
    assert!(found == batches(arrays(5), 3));
    // Those that lie in memory are as those of files.
    assert!(found == batches(pixels(5), 2));
    for batch in &found {
        assert_eq!(batch.images.len(), 8 * 8 * 10 * 5 * 4);
        let samples = batch.images.as_chunks::<4>().0.iter();
        let samples: Vec<f32> = samples.map(|it| f32::from_ne_bytes(*it)).collect();
        for (place, image) in samples.chunks_exact(8 * 10 * 5).enumerate() {
            let first = batch.indices[place] * 10;
            for (at, sample) in image.iter().enumerate() {
                let expected = (first + at as u32 % 5) as f32 / 255.0;
                assert!((sample - expected).abs() < 1e-5, "{sample} {expected}");
            }
        }
    }
}

#[test]
fn colours_of_other_channels_are_not_changed_and_other_channels_are_told_apart() {
    let augment = Augment {
        color_jitter: 0.5,
        ..Augment::default()
    };
    let source = Arc::new(arrays(5));
    let error = Loader::new(source, of_five(augment, 0)).unwrap_err();
    assert!(matches!(
        error,
        DataError::Image(ImageError::NoColors { channels: 5 })
    ));

    let five = of_five(Augment::default(), 0).reading.decoding;
    let check = |channels, decoding| check_channels(&arrays(channels), decoding);
    assert!(check(5, five).is_ok() && check(3, Decoding::default()).is_ok());
    for (channels, decoding, expected) in [(3, five, 5), (5, Decoding::default(), 3)] {
        let error = check(channels, decoding).unwrap_err();
        let is = |found: usize, wanted: usize| (found, wanted) == (channels, expected);
        assert!(
            matches!(error, DataError::Image(ImageError::Channels { found, expected, .. }) if is(found, expected)),
            "{error}"
        );
    }
    let error = check_channels(&pixels(5), Decoding::default()).unwrap_err();
    assert!(matches!(
        error,
        DataError::Image(ImageError::Channels { found: 5, .. })
    ));
    let error = check_channels(&Fake::levels(2), five).unwrap_err();
    assert!(matches!(
        error,
        DataError::Image(ImageError::Channels { found: 3, .. })
    ));
    // Bytes are no place for floats.
    let mut loader = Loader::new(
        Arc::new(pixels(3)),
        LoaderConfig {
            max_bad_fraction: 1.0,
            ..LoaderConfig::new(8, Augment::default())
        },
    )
    .unwrap();
    assert!(loader.next_batch().is_err());
    let why = &loader.skipped()[0].why;
    assert!(why.contains("of floats, which bytes cannot hold"), "{why}");
    // Grey files have always been.
    assert!(check_channels(&Fake::files(), Decoding::default()).is_ok());
}
