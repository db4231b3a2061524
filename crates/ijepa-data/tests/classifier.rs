//! Transforms for training on labels: what they do to an image, and in the loader.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use ijepa_data::{
    Augment, Batch, ClassifierAugment, DataError, DataSpec, Distortion, Filter, Framing,
    ImageError, Loader, LoaderConfig, Purpose, RandAugment, RgbImage8, SampleRng, Transform, View,
    crop_resize, random_crop_of_ratio, resize, sample_rng,
};

fn rng(index: u64) -> SampleRng {
    sample_rng(3, Purpose::Augment, 0, index)
}

/// Different values everywhere, so that any crop, mirror or kernel shows.
fn image() -> RgbImage8 {
    let pixels = (0..40 * 30 * 3).map(|i| (i * 37 % 251) as u8).collect();
    RgbImage8::new(40, 30, pixels).unwrap()
}

fn mirrored(mut image: RgbImage8) -> RgbImage8 {
    image.flip_horizontal();
    image
}

#[test]
fn crops_are_bicubic_of_the_given_scale_and_mirrored_half_of_the_time() {
    let augment = ClassifierAugment::random_crop([24, 20]);
    let mut flips = 0u32;
    for index in 0..400 {
        let found = augment.apply(&image(), &mut rng(index)).unwrap();
        let rect = random_crop_of_ratio(40, 30, [0.08, 1.0], [0.75, 4.0 / 3.0], &mut rng(index));
        let cut = crop_resize(&image(), rect, 20, 24, Filter::Bicubic).unwrap();
        let flipped = found == mirrored(cut.clone());
        assert!(flipped || found == cut, "image {index}");
        flips += u32::from(flipped);
    }
    // Standard deviation 10: six of them are a false alarm rate of 2e-9.
    assert!(flips.abs_diff(200) < 60, "{flips}");
}

#[test]
fn crops_keep_to_their_ratio() {
    for index in 0..500 {
        let rect = random_crop_of_ratio(400, 400, [0.1, 0.3], [2.0, 3.0], &mut rng(index));
        let ratio = rect.width as f64 / rect.height as f64;
        let area = (rect.width * rect.height) as f64 / 160_000.0;
        // Sides are rounded to whole pixels.
        assert!(
            (1.97..3.03).contains(&ratio) && (0.098..0.302).contains(&area),
            "{rect:?}"
        );
    }
}

#[test]
fn squashing_keeps_everything_in_view() {
    let augment = ClassifierAugment::squash([24, 24]);
    let squashed = resize(&image(), 24, 24, Filter::Bilinear, None).unwrap();
    let found: Vec<RgbImage8> = (0..50)
        .map(|index| augment.apply(&image(), &mut rng(index)).unwrap())
        .collect();
    assert!(found.contains(&squashed) && found.contains(&mirrored(squashed.clone())));
    let known = |it: &RgbImage8| *it == squashed || *it == mirrored(squashed.clone());
    assert!(found.iter().all(known));
}

#[test]
fn rand_augment_comes_last_and_distorts_as_its_sample_says() {
    let policy = RandAugment::default();
    let plain = ClassifierAugment {
        flip: false,
        framing: Framing::Squash {
            filter: Filter::Bicubic,
        },
        ..ClassifierAugment::random_crop([24, 24])
    };
    let augment = ClassifierAugment {
        rand_augment: Some(policy),
        ..plain.clone()
    };
    let mut changed = 0;
    for index in 0..100 {
        // Without crop and flip, the policy's numbers are the first of the stream.
        let distortions: Vec<Distortion> = policy.sample(&mut rng(index));
        let mut expected = plain.apply(&image(), &mut rng(index)).unwrap();
        let before = expected.clone();
        for distortion in distortions {
            distortion.apply(&mut expected);
        }
        changed += usize::from(expected != before);
        assert!(augment.apply(&image(), &mut rng(index)).unwrap() == expected);
    }
    // A quarter of the images draw no operation.
    assert!((50..95).contains(&changed), "{changed}");
}

fn config<T>(augment: T, workers: usize, start_step: u64) -> LoaderConfig<T> {
    LoaderConfig {
        seed: 5,
        start_step,
        workers,
        max_bad_fraction: 0.5,
        ..LoaderConfig::new(8, augment)
    }
}

fn loader<T: Transform + 'static>(config: LoaderConfig<T>) -> Loader {
    let scenes: DataSpec = "scenes:n=20,size=32".parse().unwrap();
    Loader::new(scenes.open().unwrap(), config).unwrap()
}

#[test]
fn the_loader_applies_it_alike_for_any_workers_and_start() {
    let augment = ClassifierAugment {
        rand_augment: Some(RandAugment::default()),
        ..ClassifierAugment::random_crop([16, 24])
    };
    let expected: Vec<Batch> = loader(config(augment.clone(), 0, 0))
        .take(4)
        .map(Result::unwrap)
        .collect();
    assert_eq!(expected[0].images.len(), 8 * 16 * 24 * 3);
    assert_ne!(expected[0].images, expected[2].images);
    let parallel = loader(config(augment.clone(), 3, 0)).take(4);
    assert!(parallel.map(Result::unwrap).eq(expected.iter().cloned()));
    let resumed = loader(config(augment, 2, 2)).take(2);
    assert!(
        resumed
            .map(Result::unwrap)
            .eq(expected[2..].iter().cloned())
    );
}

#[test]
fn pretraining_crops_have_not_changed() {
    // The sum over the bytes of the first batches, from before there were other transforms.
    let mut sum = 0u64;
    for batch in loader(config(
        Augment {
            size: [24, 24],
            flip: true,
            ..Augment::default()
        },
        2,
        0,
    ))
    .take(2)
    {
        for (place, &value) in (1..).zip(&batch.unwrap().images) {
            sum = sum.wrapping_add(place * u64::from(value));
        }
    }
    assert_eq!(sum, 25_051_353_146);
}

/// A transform that lies about its size.
#[derive(Debug)]
struct Liar;

impl Transform for Liar {
    fn size(&self) -> [usize; 2] {
        [16, 16]
    }

    fn view(&self, width: usize, height: usize, _: &mut SampleRng) -> Result<View, DataError> {
        Ok(View::whole(width, height))
    }
}

#[test]
fn a_transform_of_another_size_never_reaches_a_batch() {
    let error = loader(config(Liar, 1, 0)).next_batch().unwrap_err();
    assert!(
        matches!(&error, DataError::TooManyBad { why, .. } if why.starts_with("image is 32x32")),
        "{error}"
    );
}

#[test]
fn fields_out_of_range_are_named() {
    let check = |framing, expected: &str| {
        let augment = ClassifierAugment {
            framing,
            ..ClassifierAugment::random_crop([16, 16])
        };
        assert_eq!(augment.validate().unwrap_err().to_string(), expected);
    };
    let crop = |scale, ratio| Framing::RandomCrop {
        scale,
        ratio,
        filter: Filter::Bicubic,
    };
    check(
        crop([0.0, 1.0], [1.0, 1.0]),
        "bad value `[0, 1]` for `scale`, expected [min, max] with 0 < min <= max <= 1",
    );
    check(
        crop([0.5, 1.0], [2.0, 1.0]),
        "bad value `[2, 1]` for `ratio`, expected [min, max] with 0 < min <= max",
    );
    let augment = ClassifierAugment {
        rand_augment: Some(RandAugment {
            magnitude: 11.0,
            ..RandAugment::default()
        }),
        ..ClassifierAugment::random_crop([16, 16])
    };
    let scenes: DataSpec = "scenes:n=20,size=32".parse().unwrap();
    let error = Loader::new(scenes.open().unwrap(), config(augment, 0, 0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bad value `11` for `m`, expected a number from 0 to 10"
    );
    let empty = ClassifierAugment::squash([0, 16]);
    assert!(matches!(
        empty.validate(),
        Err(DataError::Image(ImageError::OutputSize { .. }))
    ));
}
