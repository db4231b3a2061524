//! What the batches hold.

use std::sync::Arc;

use ijepa_data::{
    Augment, Batch, ClassifierAugment, Fetched, Loader, LoaderConfig, RandAugment, RgbImage8,
    Transform, epoch_order,
};

use crate::fake::Fake;
use crate::{batches, config};

#[test]
fn batches_hold_the_images_that_they_name() {
    for (step, batch) in batches(Fake::levels(20), config(2, 0), 5)
        .into_iter()
        .enumerate()
    {
        assert_eq!((batch.step, batch.epoch), (step as u64, step as u64 / 2));
        let order = epoch_order(3, batch.epoch, 20);
        let first = step % 2 * 8;
        assert_eq!(batch.indices, order[first..first + 8]);
        assert_eq!(batch.images.len(), 8 * 6 * 5 * 3);
        for (image, index) in batch.images.chunks_exact(6 * 5 * 3).zip(&batch.indices) {
            assert!(
                image
                    .chunks_exact(3)
                    .all(|pixel| pixel[1..] == [*index as u8; 2])
            );
        }
    }
}

#[test]
fn content_is_the_same_for_any_number_of_workers() {
    let bad = || Fake::with_bad(50, [4, 5, 31]);
    let expected = batches(bad(), config(0, 0), 20);
    for workers in [1, 2, 4, 13] {
        assert!(
            batches(bad(), config(workers, 0), 20) == expected,
            "{workers} workers"
        );
    }
    let other_seed = LoaderConfig {
        seed: 4,
        ..config(0, 0)
    };
    assert!(batches(bad(), other_seed, 20) != expected);
}

#[test]
fn a_resumed_run_equals_the_tail_of_a_full_one() {
    let full = batches(Fake::levels(50), config(2, 0), 15);
    for start in [1, 6, 7, 12] {
        let tail = batches(Fake::levels(50), config(2, start), 15 - start as usize);
        assert!(tail == full[start as usize..], "from step {start}");
    }
}

#[test]
fn epochs_differ_in_order_and_crops() {
    let all = batches(Fake::levels(8), config(0, 0), 2);
    assert_ne!(all[0].indices, all[1].indices);
    let image = |batch: &Batch, index: u32| {
        let place = batch
            .indices
            .iter()
            .position(|&found| found == index)
            .unwrap();
        batch.images[place * 90..(place + 1) * 90].to_vec()
    };
    let same = (0..8)
        .filter(|&index| image(&all[0], index) == image(&all[1], index))
        .count();
    assert!(
        same < 4,
        "{same} of 8 images had the same crop in both epochs"
    );
}

/// Files of many sizes and images that need no decoding, some of them damaged.
fn mixed() -> Fake {
    Fake::new(40, |index, buffer| {
        let (width, height) = (5 + index * 7 % 60, 3 + index * 13 % 50);
        let level = |at: usize| (at * (index + 3) % 251) as u8;
        let pixels: Vec<u8> = (0..width * height * 3).map(level).collect();
        if index.is_multiple_of(3) {
            return Ok(Fetched::Pixels(
                RgbImage8::new(width, height, pixels)?.into(),
            ));
        }
        *buffer = [format!("P6 {width} {height} 255\n").as_bytes(), &pixels].concat();
        // Three of the files stop too early.
        buffer.truncate(buffer.len() - usize::from(index % 16 == 1));
        Ok(Fetched::File)
    })
}

#[test]
fn batches_have_not_changed() {
    fn hash<T: Transform + 'static>(augment: T, workers: usize) -> String {
        let config = LoaderConfig {
            seed: 11,
            start_step: 1,
            workers,
            max_bad_fraction: 0.1,
            ..LoaderConfig::new(16, augment)
        };
        let mut hash = blake3::Hasher::new();
        for batch in Loader::new(Arc::new(mixed()), config).unwrap().take(4) {
            let batch = batch.unwrap();
            hash.update(&batch.images);
            hash.update(format!("{:?}", (batch.step, batch.epoch, batch.indices)).as_bytes());
        }
        hash.finalize().to_hex()[..16].to_owned()
    }
    let coloured = Augment {
        size: [24, 20],
        flip: true,
        color_jitter: 0.7,
        ..Augment::default()
    };
    let distorted = ClassifierAugment {
        rand_augment: Some(RandAugment::default()),
        ..ClassifierAugment::random_crop([20, 24])
    };
    for workers in [0, 3] {
        assert_eq!(
            [
                hash(
                    Augment {
                        size: [24, 24],
                        ..Augment::default()
                    },
                    workers
                ),
                hash(coloured.clone(), workers),
                hash(distorted.clone(), workers),
                hash(ClassifierAugment::squash([16, 16]), workers),
            ],
            [
                "6342c430dafc9c81",
                "d9db97d9025ac0cc",
                "0b47e7c58b6bc111",
                "90a9c560bd8dc04b"
            ]
        );
    }
}
