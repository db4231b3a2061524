//! Probes from end to end, on features and on images.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ijepa_data::{DataError, DataSpec, FetchError, Fetched, Mask, Source};
use ijepa_eval::{
    CacheError, DenseConfig, Error, ExtractConfig, Extracted, FeatureCache, Features,
    LogisticConfig, Pools, ProbeConfig, ProbeReport, Protocol, Segmented, check_masks, dense,
    extract, logistic, probe, probe_augmented,
};
use ijepa_model::{Pooling, VisionTransformer, VisionTransformerConfig};
use ijepa_testkit::{Replaced, device, noise};

const CLASSES: usize = 6;

/// Overlapping classes, far from the origin and stretched unevenly.
fn overlapping(seed: u64, images: usize) -> Features {
    let dim = 16;
    let value = |at: usize| {
        let (image, column) = (at / dim, at % dim);
        let centre = noise(99, image % CLASSES * dim + column);
        3.0 + (column as f32 + 0.2) * (0.5 * centre + noise(seed, at))
    };
    let labels = (0..images).map(|image| Some((image % CLASSES) as u32));
    Features::new(
        dim,
        (0..images * dim).map(value).collect(),
        labels.collect(),
    )
    .unwrap()
}

fn labelled(labels: &[Option<u32>]) -> Features {
    let values = (0..labels.len() * 4).map(|at| noise(3, at)).collect();
    Features::new(4, values, labels.to_vec()).unwrap()
}

fn quick() -> ProbeConfig {
    ProbeConfig {
        batch_size: 64,
        ..Protocol::Quick.config()
    }
}

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
        lrs: vec![1e38],
        ..quick()
    };
    let error = probe(&overlapping(1, 600), &overlapping(2, 200), &all, &device()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "all 1 heads diverged; use smaller learning rates"
    );
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

#[test]
fn labels_that_teach_nothing_are_refused() {
    let fine = labelled(&[Some(0), Some(1), Some(1)]);
    let check = |train: &[Option<u32>], test: &Features, message: &str| {
        let train = labelled(train);
        let error = probe(&train, test, &quick(), &device()).unwrap_err();
        assert_eq!(error.to_string(), message);
        let config = LogisticConfig {
            pools: Pools::Given,
            ..LogisticConfig::default()
        };
        let error = logistic(&train, test, &config, &device()).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    check(
        &[Some(0), None, None],
        &fine,
        "2 of 3 training images have no label, the first is image 1",
    );
    check(
        &[Some(0), Some(4_000_000_000)],
        &fine,
        "2 training images for 4000000001 classes, expected at least one a class",
    );
    check(
        &[Some(0), Some(0)],
        &fine,
        "test image 1 has label 1, which no training image has",
    );
    let narrow = Features::new(2, vec![0.0; 4], vec![Some(0); 2]).unwrap();
    let message = "training features have 4 values, test features 2; extract both alike";
    check(&[Some(0)], &narrow, message);
}

#[test]
fn configurations_out_of_range_are_refused() {
    let check = |change: &dyn Fn(&mut ProbeConfig), message: &str| {
        let mut config = quick();
        change(&mut config);
        let features = overlapping(1, 30);
        let error = probe(&features, &features, &config, &device()).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    check(
        &|c| c.lrs.clear(),
        "no learning rate is given, expected at least one",
    );
    check(
        &|c| c.lrs = vec![-1.0],
        "learning rate is -1, expected a number above 0",
    );
    check(&|c| c.epochs = 0, "epochs is 0, expected at least 1");
    check(
        &|c| c.weight_decays = vec![f64::NAN],
        "weight decay is NaN, expected a number of at least 0",
    );
    let odd = Features::new(5, vec![0.5; 10], vec![Some(0); 2]).unwrap();
    let config = ProbeConfig {
        pools: Pools::Both,
        ..quick()
    };
    let error = probe(&odd, &odd, &config, &device())
        .unwrap_err()
        .to_string();
    let expected = "5 features an image are no last four layers; extract them with concat4 pooling";
    assert_eq!(error, expected);
}

fn encoder() -> VisionTransformer {
    let config = VisionTransformerConfig {
        image_size: [16, 16],
        patch_size: 8,
        in_chans: 3,
        embed_dim: 24,
        depth: 4,
        num_heads: 2,
        mlp_ratio: 2.0,
        drop_path: 0.0,
        layer_norm_eps: 1e-6,
    };
    config.init(&device())
}

fn scenes(spec: &str) -> Arc<dyn Source> {
    spec.parse::<DataSpec>().unwrap().open().unwrap().into()
}

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
    assert_eq!(found.batch_size, 24);
    assert_eq!(found, run(0, Protocol::VisslCifar100));
    assert_ne!(found.heads, run(0, Protocol::ClevrCount).heads);
    assert!(found.heads.iter().all(|head| head.loss.is_some()));
}

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
        (first, false)
    );

    let other = scenes("scenes:n=20,size=16,seed=1");
    let pooled = ExtractConfig {
        pooling: Pooling::Concat4,
        ..config
    };
    let trained = VisionTransformer::clone(&encoder).with_image_size([24, 16], Default::default());
    let changes = [
        take(&encoder, other.as_ref(), &config),
        take(&encoder, source.as_ref(), &pooled),
        take(&trained.unwrap(), source.as_ref(), &config),
    ];
    assert!(changes.into_iter().all(|change| change.unwrap().1));

    for entry in std::fs::read_dir(folder.path().join("kept")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let error = take(&encoder, source.as_ref(), &config).unwrap_err();
    assert!(
        matches!(error, Error::Cache(CacheError::Damaged { .. })),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.ends_with(
            "are damaged (its checksum is another); delete the file to compute them again"
        ),
        "{text}"
    );
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

/// Images of 16 patches, one of which, the one that is marked, shows the class; all others show
/// others. Also their means.
fn marked(seed: u64, images: usize) -> [Features; 2] {
    const WIDTH: usize = CLASSES + 2;
    let (mut tokens, mut means) = (Vec::new(), Vec::new());
    let labels: Vec<_> = (0..images)
        .map(|image| Some((image % CLASSES) as u32))
        .collect();
    for image in 0..images {
        let draw = |at: usize, below: usize| {
            let share = f64::from(noise(seed, image * 64 + at)).rem_euclid(1.0);
            (share * below as f64) as usize
        };
        let place = draw(0, 16);
        let mut mean = [0.0; WIDTH];
        for patch in 0..16 {
            let is_marked = patch == place;
            let shown = match is_marked {
                true => image % CLASSES,
                false => draw(1 + patch, CLASSES),
            };
            let mut token = [0.0; WIDTH];
            token[shown] = 2.0;
            token[CLASSES] = if is_marked { 2.0 } else { 0.0 };
            token[CLASSES + 1] = noise(seed + 1, image * 16 + patch);
            mean.iter_mut()
                .zip(token)
                .for_each(|(sum, value)| *sum += value / 16.0);
            tokens.extend(token);
        }
        means.extend(mean);
    }
    let features = |dim, values| Features::new(dim, values, labels.clone()).unwrap();
    [features(16 * WIDTH, tokens), features(WIDTH, means)]
}

#[test]
fn an_attentive_head_finds_the_patch_that_matters_and_the_mean_does_not() {
    let ([tokens, means], [test_tokens, test_means]) = (marked(1, 480), marked(5, 120));
    let config = ProbeConfig {
        pools: Pools::Attentive {
            tokens: 16,
            num_heads: 2,
        },
        lrs: vec![3e-3, 1e-2],
        batch_size: 32,
        epochs: 12,
        ..Protocol::Attentive.config()
    };
    let attentive = probe(&tokens, &test_tokens, &config, &device()).unwrap();
    let mean = probe(&means, &test_means, &quick(), &device()).unwrap();
    assert!(attentive.top1 > 95.0, "{attentive:?}");
    assert!(mean.top1 < 60.0, "{mean:?}");
    assert_eq!(attentive.heads.len(), 2);

    let refused = |change: &dyn Fn(&mut ProbeConfig), message: &str| {
        let mut config = config.clone();
        change(&mut config);
        let error = probe(&tokens, &test_tokens, &config, &device()).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    };
    let shape = |tokens, num_heads| Pools::Attentive { tokens, num_heads };
    refused(
        &|it| it.pools = shape(15, 2),
        "128 features an image are not 15 tokens",
    );
    refused(
        &|it| it.pools = shape(16, 3),
        "16 tokens for 3 attention heads",
    );
    refused(&|it| it.pools = shape(0, 1), "not 0 tokens");
    refused(&|it| it.pools = Pools::Given, "learn by AdamW");
    refused(&|it| it.norms = quick().norms, "without batch norms");
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

/// Images of 3 x 4 patches that show their classes, and masks of the same.
#[derive(Debug)]
struct Masked {
    seed: u64,
    images: usize,
    classes: usize,
}

impl Masked {
    fn class(&self, image: usize, patch: usize) -> usize {
        let share = f64::from(noise(self.seed, image * 12 + patch)).rem_euclid(1.0);
        (share * self.classes as f64) as usize
    }

    /// One value for each class, 1 where the patch shows it.
    fn extracted(&self) -> Extracted {
        let value = |at: usize| {
            let (patch, column) = (at / self.classes % 12, at % self.classes);
            let shown = self.class(at / self.classes / 12, patch) == column;
            if shown { 1.0 } else { 0.0 }
        };
        let dim = 12 * self.classes;
        let values = (0..self.images * dim).map(value).collect();
        Extracted {
            features: Features::new(dim, values, vec![None; self.images]).unwrap(),
            indices: (0..self.images).collect(),
            skipped: Vec::new(),
        }
    }
}

impl Source for Masked {
    fn len(&self) -> usize {
        self.images
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn name(&self, index: usize) -> String {
        format!("masked-{index}")
    }

    fn fetch(&self, _: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        unreachable!("features are given")
    }

    /// The upper left pixel is ignored.
    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        let class = |patch| match patch {
            0 => Mask::IGNORED,
            _ => self.class(index, patch) as u8,
        };
        Ok(Some(Mask::new([3, 4], (0..12).map(class).collect())))
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

#[test]
fn a_dense_probe_learns_what_patches_show() {
    let set = |seed, images, classes| Masked {
        seed,
        images,
        classes,
    };
    let config = DenseConfig {
        grid: [3, 4],
        size: [3, 4],
        lrs: vec![1e-6, 0.1],
        weight_decays: vec![0.0],
        batch_size: 16,
        epochs: 10,
        seed: 0,
    };
    let run = |train: &Masked, test: &Masked, config: &DenseConfig| {
        let (learned, tested) = (train.extracted(), test.extracted());
        let of = |extracted, source| Segmented { extracted, source };
        let (train, test) = (of(&learned, train), of(&tested, test));
        dense(train, test, config, &device(), |_| ())
    };
    let (train, test) = (set(1, 64, 4), set(2, 10, 4));
    let found = run(&train, &test, &config).unwrap();
    assert_eq!((found.classes, found.best.lr), (4, 0.1));
    assert_eq!((found.miou, found.pixel_accuracy), (100.0, 100.0));
    assert!(found.heads[0].miou < 100.0, "{found:?}");
    assert_eq!(run(&train, &test, &config).unwrap(), found);

    let message = |error: &dyn std::error::Error| error.to_string();
    let odd = DenseConfig {
        grid: [5, 2],
        ..config.clone()
    };
    let error = run(&train, &test, &odd).unwrap_err();
    assert!(message(&error).contains("48 features an image are not 10 patches"));
    let none = DenseConfig {
        lrs: Vec::new(),
        ..config.clone()
    };
    assert!(message(&run(&train, &test, &none).unwrap_err()).contains("no learning rate"));
    let (few, many) = (set(1, 64, 2), set(2, 10, 2));
    let found = run(&few, &many, &config).unwrap();
    assert_eq!((found.classes, found.miou), (2, 100.0));
    let plain = scenes("scenes:n=3,size=16");
    let plain = Replaced::with_files(plain, |_| None);
    let error = check_masks(&train, &plain).unwrap_err();
    assert!(message(&error).contains("has no mask"), "{error}");
}
