//! Heads on images that are encoded anew in every epoch.

use std::sync::Arc;

use ijepa_data::{DataError, Skipped};
use ijepa_eval::{ExtractConfig, Pools, ProbeConfig, Protocol, extract, probe_augmented};
use ijepa_model::Pooling;
use ijepa_testkit::{Replaced, device};

use crate::{encoder, scenes};

#[test]
fn augmented_images_are_others_in_every_epoch_but_the_same_for_all_workers() {
    let encoder = encoder();
    let test = scenes("scenes:kind=texture,n=20,size=16,seed=2");
    let run = |workers, protocol: Protocol| {
        let extraction = ExtractConfig {
            pooling: Pooling::Concat4,
            batch_size: 12,
            workers,
            ..ExtractConfig::default()
        };
        let test = extract(&encoder, test.as_ref(), &extraction, &device())
            .unwrap()
            .features;
        let config = ProbeConfig {
            batch_size: 30,
            epochs: 2,
            ..protocol.config()
        };
        probe_augmented(
            &encoder,
            scenes("scenes:kind=texture,n=60,size=16,seed=1"),
            protocol.augment([16, 16]).unwrap(),
            &test,
            (&config, &extraction),
            &device(),
            |_| (),
        )
        .unwrap()
    };
    let found = run(2, Protocol::VisslCifar100);
    assert_eq!(found.batch_size, 30);
    assert_eq!(found, run(0, Protocol::VisslCifar100));
    assert_ne!(found.heads, run(0, Protocol::ClevrCount).heads);
    assert!(found.heads.iter().all(|head| head.loss.is_some()));
}

#[test]
fn attentive_heads_on_images_do_not_depend_on_workers() {
    let encoder = encoder();
    let run = |workers| {
        let extraction = ExtractConfig {
            pooling: Pooling::Tokens,
            batch_size: 12,
            workers,
            ..ExtractConfig::default()
        };
        let test = scenes("scenes:kind=texture,n=20,size=16,seed=2");
        let test = extract(&encoder, test.as_ref(), &extraction, &device()).unwrap();
        assert_eq!(test.features.dim(), 4 * 24);
        let config = ProbeConfig {
            pools: Pools::attentive(&encoder),
            batch_size: 24,
            epochs: 2,
            ..Protocol::Attentive.config()
        };
        probe_augmented(
            &encoder,
            scenes("scenes:kind=texture,n=60,size=16,seed=1"),
            Protocol::Attentive.augment([16, 16]).unwrap(),
            &test.features,
            (&config, &extraction),
            &device(),
            |_| (),
        )
        .unwrap()
    };
    let found = run(2);
    assert_eq!(found, run(0));
    assert!(found.heads.iter().all(|head| head.loss.is_some()));
}

#[test]
fn training_images_that_cannot_be_read_are_told() {
    let encoder = encoder();
    let extraction = ExtractConfig::default();
    let test = scenes("scenes:kind=texture,n=20,size=16,seed=2");
    let test = extract(&encoder, test.as_ref(), &extraction, &device()).unwrap();
    let train = scenes("scenes:kind=texture,n=100,size=16,seed=1");
    let first = train.name(3);
    let damaged = Replaced::new(train, move |index, _| {
        let name = first.clone();
        (index == 3).then(|| Err(DataError::MissingImage { name }.into()))
    });
    let config = ProbeConfig {
        batch_size: 50,
        epochs: 1,
        ..Protocol::VisslCifar100.config()
    };
    let found = probe_augmented(
        &encoder,
        Arc::new(damaged),
        Protocol::VisslCifar100.augment([16, 16]).unwrap(),
        &test.features,
        (&config, &extraction),
        &device(),
        |_| (),
    );
    let indices = |skipped: &[Skipped]| skipped.iter().map(|it| it.index).collect::<Vec<_>>();
    assert_eq!(indices(&found.unwrap().skipped), [3]);
}
