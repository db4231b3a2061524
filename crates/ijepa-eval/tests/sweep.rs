//! Sweeps: what is trained, for how long, and that nothing is trained twice.

#[cfg(test)]
mod sweeps {
    use std::{fs, path::Path, sync::Arc};

    use ijepa_data::{DataSpec, Preprocess, Source};
    use ijepa_eval::{
        ExtractConfig,
        sweep::{Outcome, SweepConfig, SweepError, SweepReport, Task, sweep},
    };
    use ijepa_testkit::device;
    use ijepa_train::{Recipe, TrainOptions};
    use serde_json::Value;

    const TINY: [&str; 9] = [
        "model.embed_dim=16",
        "model.depth=1",
        "model.image_size=24",
        "model.predictor_dim=8",
        "model.predictor_depth=1",
        "mask.group_size=6",
        "mask.min_keep=3",
        "mask.length_multiple=4",
        "run.batch_size=6",
    ];

    fn open(spec: &str) -> Arc<dyn Source> {
        Arc::from(spec.parse::<DataSpec>().unwrap().open().unwrap())
    }

    fn config(variants: &[&str]) -> SweepConfig {
        let recipe = Recipe::preset("scenes_vit_nano").unwrap();
        SweepConfig {
            recipe: recipe.with_overrides(&TINY).unwrap(),
            variants: variants.iter().map(|text| text.parse().unwrap()).collect(),
            seeds: vec![0, 1],
            images: Some(192),
            halving: None,
            extract: ExtractConfig::default(),
        }
    }

    fn run(config: &SweepConfig, out: &Path) -> Result<SweepReport, SweepError> {
        run_with(config, "scenes:n=48,size=24", &["texture", "shape"], out)
    }

    fn run_with(
        config: &SweepConfig,
        data: &str,
        tasks: &[&str],
        out: &Path,
    ) -> Result<SweepReport, SweepError> {
        let scenes =
            |kind: &&str, n, seed| open(&format!("scenes:kind={kind},n={n},size=24,seed={seed}"));
        let task = |kind: &&str| Task {
            train: (kind.to_string(), scenes(kind, 40, 1)),
            test: (format!("{kind}/test"), scenes(kind, 20, 2)),
        };
        let tasks: Vec<Task> = tasks.iter().map(task).collect();
        let (data, options) = ((data.to_owned(), open(data)), TrainOptions::default());
        sweep(config, &data, &tasks, out, &device(), &options, &mut |_| ())
    }

    #[test]
    fn every_variant_sees_the_same_images_with_every_seed() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&["base:", "large: run.batch_size=12 mask.group_size=12"]);
        let report = run(&config, folder.path()).unwrap();
        assert_eq!(report.tasks, ["texture", "shape"]);
        let steps = [32, 16];
        for (variant, steps) in report.variants.iter().zip(steps) {
            for (trial, seed) in variant.trials.iter().zip([0, 1]) {
                assert_eq!(
                    (trial.seed, trial.steps, trial.images),
                    (seed, steps, 192),
                    "{trial:?}"
                );
                assert_eq!((trial.knn.len(), trial.knn_at_start.len()), (2, 2));
            }
            let [a, b] = &variant.trials[..] else {
                panic!("two seeds");
            };
            assert_ne!(a.loss, b.loss);
            let gain = variant.gain[1].unwrap();
            let mean = (a.knn[1] - a.knn_at_start[1] + b.knn[1] - b.knn_at_start[1]) / 2.0;
            assert!((gain.mean - mean).abs() < 1e-9);
        }
        assert_eq!(report.variants[0].difference, [None, None]);
        assert!(report.variants[1].difference.iter().all(Option::is_some));
        let table = report.to_string();
        assert!(
            table.starts_with("| variant | seeds | images | texture, % |"),
            "{table}"
        );
        assert_eq!(table.lines().count(), 4, "{table}");
    }

    #[test]
    fn what_is_finished_is_not_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = run(&config(&["base:"]), folder.path()).unwrap();
        let metrics = folder.path().join("base-seed0/metrics.csv");
        fs::write(&metrics, "untouched").unwrap();
        let both = run(&config(&["base:", "optimizer.lr=2e-3"]), folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&metrics).unwrap(), "untouched");
        assert_eq!(both.variants.len(), 2);
        let row = |report: &SweepReport| report.to_string().lines().nth(2).map(str::to_owned);
        assert_eq!(row(&both), row(&first));
    }

    #[test]
    fn a_folder_of_other_results_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (base, scenes) = (config(&["base:"]), "scenes:n=48,size=24");
        run_with(&base, scenes, &["texture"], folder.path()).unwrap();

        let changed = SweepConfig {
            recipe: base.recipe.with_overrides(&["optimizer.lr=2e-3"]).unwrap(),
            ..config(&["new:", "base:"])
        };
        let squashed = SweepConfig {
            extract: ExtractConfig {
                preprocess: Preprocess::Squash,
                ..base.extract
            },
            ..base.clone()
        };
        for (config, data, tasks, key) in [
            (&changed, scenes, &["texture"][..], "optimizer.lr"),
            (&squashed, scenes, &["texture"], "features"),
            (&base, "scenes:n=60,size=24", &["texture"], "data"),
            (&base, scenes, &["texture", "shape"], "tasks"),
        ] {
            let error = run_with(config, data, tasks, folder.path()).unwrap_err();
            let SweepError::OtherRun(other) = &error else {
                panic!("{error}");
            };
            assert_eq!(other.key, key, "{error}");
        }
        // Nor was anything trained before.
        assert!(!folder.path().join("new-seed0").exists());
    }

    #[test]
    fn halving_trains_the_best_to_the_end_and_the_others_less() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&[
            "base:",
            "optimizer.lr=1e-4",
            "optimizer.lr=2e-4",
            "optimizer.lr=5e-4",
        ]);
        config.halving = Some(2);
        config.seeds = vec![0];
        let report = run(&config, folder.path()).unwrap();
        let mut steps: Vec<u64> = report
            .variants
            .iter()
            .map(|row| row.trials[0].steps)
            .collect();
        let last = report.variants.iter().max_by_key(|row| row.trials[0].steps);
        let last = last.unwrap().name.clone();
        steps.sort_unstable();
        assert_eq!(steps, [8, 8, 16, 32]);

        // The one that went to the end was among the best two after a quarter of the way.
        let quarter = |name: &str| -> f64 {
            let path = folder.path().join(format!("{name}-seed0/scores.json"));
            let scores: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            scores["reports"]["8"]["knn"][0].as_f64().unwrap()
        };
        let names = config.variants.iter().map(|variant| &variant.name);
        let better = names.filter(|name| quarter(name) > quarter(&last)).count();
        assert!(better < 2, "{last} went on, {better} were better");
    }

    #[test]
    fn a_run_that_diverges_is_a_result() {
        let folder = tempfile::tempdir().unwrap();
        let hot = "hot: optimizer.lr=1e30 optimizer.start_lr=1e30 optimizer.warmup_epochs=0";
        let report = run(&config(&["base:", hot]), folder.path()).unwrap();
        let hot = &report.variants[1];
        assert!(
            matches!(hot.trials[0].outcome, Outcome::Diverged(_)),
            "{hot:?}"
        );
        assert!(hot.trials[0].knn.is_empty() && hot.difference[0].is_none());
        assert!(report.to_string().contains("2 diverged"), "{report}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |config: &SweepConfig| {
            let error = run(config, folder.path()).unwrap_err();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
            error.to_string()
        };
        assert_eq!(refused(&config(&[])), "a sweep needs at least one variant");
        assert_eq!(
            refused(&config(&["a b: run.seed=1", "a/b: run.seed=2"])),
            "two variants are called `a_b`"
        );
        let unknown = refused(&config(&["base:", "wrong: optimizer.learning=1"]));
        assert_eq!(unknown, "variant `wrong`");
        let halving = SweepConfig {
            halving: Some(1),
            ..config(&["base:"])
        };
        assert_eq!(
            refused(&halving),
            "halving by 1 drops nothing, expected at least 2"
        );
        let no_seed = SweepConfig {
            seeds: Vec::new(),
            ..config(&["base:"])
        };
        assert_eq!(refused(&no_seed), "a sweep needs at least one seed");

        let labelled = |spec: &str| (String::new(), open(&format!("scenes:size=24,{spec}")));
        let (data, options) = (labelled("n=48"), TrainOptions::default());
        let (config, out) = (config(&["base:"]), folder.path());
        for (train, test, expected) in [
            (
                "kind=texture,n=40",
                "kind=shape,n=40",
                "in the training data and",
            ),
            ("n=19", "n=40", "only 19 training images"),
        ] {
            let task = Task {
                train: labelled(train),
                test: labelled(test),
            };
            let found = sweep(
                &config,
                &data,
                &[task],
                out,
                &device(),
                &options,
                &mut |_| (),
            );
            let error = found.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(fs::read_dir(out).unwrap().count(), 0, "{error}");
        }
    }
}
