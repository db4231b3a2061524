//! Processes that share every batch.

use std::ops::Range;
use std::sync::Arc;

use ijepa_data::{Batch, DataError, Loader, LoaderConfig, Skipped};

use crate::fake::Fake;
use crate::{batches, config};

/// The batches of processes that share every batch, put together, and what each of them skips once
/// it knows what the others do.
fn shared(
    source: &dyn Fn() -> Fake,
    parts: &[Range<usize>],
    count: usize,
) -> (Vec<Batch>, Vec<Vec<Skipped>>) {
    let start = |places: &Range<usize>| {
        let places = Some(places.clone());
        let config = LoaderConfig {
            places,
            ..config(2, 0)
        };
        Loader::new(Arc::new(source()), config).unwrap()
    };
    let mut loaders: Vec<Loader> = parts.iter().map(start).collect();
    let mut whole = Vec::new();
    for _ in 0..count {
        let known = loaders[0].skipped().len();
        let shares: Vec<Batch> = loaders
            .iter_mut()
            .map(|it| it.next_batch().unwrap())
            .collect();
        let firsts: Vec<usize> = shares.iter().map(|share| share.first).collect();
        assert_eq!(
            firsts,
            parts.iter().map(|places| places.start).collect::<Vec<_>>()
        );
        let found: Vec<Skipped> = loaders
            .iter()
            .flat_map(|it| it.skipped()[known..].to_vec())
            .collect();
        for loader in &mut loaders {
            loader.add_skipped(found.clone()).unwrap();
        }
        whole.push(Batch {
            images: shares
                .iter()
                .flat_map(|share| share.images.clone())
                .collect(),
            indices: shares
                .iter()
                .flat_map(|share| share.indices.clone())
                .collect(),
            ..shares[0].clone()
        });
    }
    (
        whole,
        loaders
            .iter()
            .map(|loader| loader.skipped().to_vec())
            .collect(),
    )
}

#[test]
fn processes_that_share_batches_deliver_what_one_delivers() {
    let source = || Fake::with_bad(50, [4, 5, 31]);
    let expected = batches(source(), config(0, 0), 20);
    let mut alone = Loader::new(Arc::new(source()), config(0, 0)).unwrap();
    alone
        .by_ref()
        .take(20)
        .for_each(|batch| drop(batch.unwrap()));
    for parts in [vec![0..4, 4..8], vec![0..3, 3..4, 4..8]] {
        let (found, skipped) = shared(&source, &parts, 20);
        assert!(found == expected, "{parts:?}");
        for skipped in skipped {
            let sorted = |skipped: &[Skipped]| {
                let mut indices: Vec<u32> = skipped.iter().map(|image| image.index).collect();
                indices.sort_unstable();
                indices
            };
            assert_eq!(sorted(&skipped), sorted(alone.skipped()), "{parts:?}");
        }
    }
}

#[test]
fn unreadable_images_of_all_processes_are_counted_together() {
    let bad = |indices: Range<u32>| {
        indices
            .map(|index| Skipped {
                index,
                path: format!("image {index}"),
                why: "no such file".to_owned(),
            })
            .collect::<Vec<_>>()
    };
    let mut loader = Loader::new(Arc::new(Fake::levels(50)), config(0, 0)).unwrap();
    loader.add_skipped(bad(0..5)).unwrap();
    // The same ones again are no more of them.
    loader.add_skipped(bad(2..5)).unwrap();
    assert!(loader.next_batch().is_ok());
    let error = loader.add_skipped(bad(7..8)).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::TooManyBad {
                bad: 6,
                allowed: 5,
                ..
            }
        ),
        "{error}"
    );
    assert!(loader.next_batch().is_err());
}
