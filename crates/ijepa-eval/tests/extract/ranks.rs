//! Ranks that extract together, each its share of the batches.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use ijepa_data::Source;
use ijepa_eval::{Error, ExtractError, embed, embed_together, extract, extract_together};
use ijepa_testkit::{assert_close, device, tolerance};
use ijepa_train::{
    TrainError,
    ranks::{Ranks, threads},
};

use crate::{Levels, config, encoder, run};

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
            (&encoder, "target"),
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
                let encoder = (&encoder, "target");
                embed_together(ranks, encoder, &source, &config, &device, &out, |_| ()).unwrap()
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
