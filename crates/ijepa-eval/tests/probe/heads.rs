//! Heads side by side on features of overlapping classes, and what is reported of them.

use std::collections::BTreeSet;

use ijepa_eval::{
    Features, LogisticConfig, Pools, ProbeConfig, ProbeReport, Protocol, logistic, probe,
};
use ijepa_testkit::device;

use crate::{CLASSES, overlapping, quick};

fn run(config: &ProbeConfig) -> ProbeReport {
    probe(
        &overlapping(1, 600),
        &overlapping(2, 200),
        config,
        &device(),
    )
    .unwrap()
}

#[test]
fn every_protocol_learns_and_the_best_head_is_the_best() {
    for protocol in [
        Protocol::Quick,
        Protocol::VisslIn1k,
        Protocol::VisslCifar100,
    ] {
        let mut config = ProbeConfig {
            batch_size: 100,
            ..protocol.config()
        };
        // Published for batches of 16384: few steps, each of them large.
        if protocol == Protocol::VisslIn1k {
            config.lrs.iter_mut().for_each(|lr| *lr *= 164.0);
        }
        let report = run(&config);
        let heads = if config.pools == Pools::Both { 2 } else { 1 };
        let grid = config.norms.len() * config.lrs.len() * config.weight_decays.len();
        assert_eq!(report.heads.len(), heads * grid, "{protocol:?}");
        // Chance is 17 %; classes overlap, so nothing is right everywhere.
        assert!(
            (50.0..99.0).contains(&report.top1),
            "{protocol:?}: {report:?}"
        );
        assert!(report.top5 > report.top1);
        let most = report
            .heads
            .iter()
            .map(|head| head.top1)
            .fold(0.0, f64::max);
        assert_eq!(report.top1, most);
        let best = report.heads.iter().find(|head| head.top1 == most).unwrap();
        assert_eq!(best.head, report.best);
        assert_eq!(
            (report.train_images, report.test_images, report.classes),
            (600, 200, CLASSES)
        );
    }
}

#[test]
fn a_report_has_the_promised_keys() {
    let json = serde_json::to_value(run(&quick())).unwrap();
    let keys = |value: &serde_json::Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let head = ["pool", "batch_norm", "lr", "weight_decay"];
    assert_eq!(keys(&json["best"]), set(&head));
    assert_eq!(
        keys(&json["heads"][0]),
        set(&[&head[..], &["top1", "top5", "loss"]].concat())
    );
    let all = [
        "top1",
        "top5",
        "best",
        "heads",
        "train_images",
        "test_images",
    ];
    assert!(keys(&json).is_superset(&set(&all)), "{json}");
    assert_eq!(json["best"]["batch_norm"], "mae");
}

#[test]
fn the_seed_decides_everything() {
    let config = quick();
    let first = run(&config);
    assert_eq!(first, run(&config));
    let other = ProbeConfig { seed: 1, ..config };
    assert_ne!(first.heads, run(&other).heads);
}

#[test]
fn a_head_that_diverges_is_wrong_and_disturbs_nobody() {
    let alone = ProbeConfig {
        lrs: vec![0.03],
        ..quick()
    };
    let both = ProbeConfig {
        lrs: vec![0.03, 1e38],
        ..quick()
    };
    let (alone, both) = (run(&alone), run(&both));
    assert_eq!(alone.heads[0], both.heads[0]);
    assert_eq!((both.heads[1].top1, both.heads[1].loss), (0.0, None));
    let all = ProbeConfig {
        lrs: vec![1e38, 2e38],
        ..quick()
    };
    // Also where there is no later step whose loss would show it.
    let once = ProbeConfig {
        batch_size: 600,
        epochs: 1,
        ..all.clone()
    };
    for config in [all, once] {
        let (train, test) = (overlapping(1, 600), overlapping(2, 200));
        let error = probe(&train, &test, &config, &device()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "all 2 heads diverged with learning rates 1e38, 2e38; use smaller ones"
        );
    }
}

#[test]
fn both_poolings_are_the_features_and_their_last_quarter() {
    let quarter = |features: &Features| {
        let rows = (0..features.images()).flat_map(|image| features.row(image)[12..].to_vec());
        Features::new(4, rows.collect(), features.labels().to_vec()).unwrap()
    };
    let (train, test) = (overlapping(1, 300), overlapping(2, 100));
    let with = |pools, train: &Features, test: &Features| {
        let config = ProbeConfig { pools, ..quick() };
        probe(train, test, &config, &device()).unwrap().heads
    };
    let both = with(Pools::Both, &train, &test);
    let mean = with(Pools::Mean, &quarter(&train), &quarter(&test));
    assert_eq!(both[..mean.len()], mean);
    let config = LogisticConfig {
        penalties: vec![0.1, 1.0],
        ..LogisticConfig::default()
    };
    let report = logistic(&train, &test, &config, &device()).unwrap();
    assert_eq!(report.heads.len(), 4);
    // The larger penalty first, whatever the order it was asked in.
    assert!(report.heads[0].head.weight_decay > report.heads[1].head.weight_decay);
    assert!(report.top1 > 50.0, "{report:?}");
}
