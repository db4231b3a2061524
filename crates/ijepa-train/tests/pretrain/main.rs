//! Whole runs of the trainer on rendered images.

#[cfg(test)]
mod ranks;

#[cfg(test)]
mod pretrain {
    use std::{
        fs,
        path::Path,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    use ijepa_data::{DataSpec, Source};
    use ijepa_masking::MaskRng;
    use ijepa_model::{Checkpoint, MaskTensors, Normalization};
    use ijepa_testkit::{device, max_abs_difference};
    use ijepa_train::{
        EpochScores, GroupBatch, Learner, PretrainPlan, Recipe, Resume, StepSettings, TrainError,
        TrainOptions, TrainSummary, pretrain,
        run::{Columns, Folder, Measured, Observer, ObserverError, Position, Resumption, Row},
    };

    const TINY: [&str; 12] = [
        "model.embed_dim=16",
        "model.depth=1",
        "model.num_heads=2",
        "model.image_size=24",
        "model.predictor_dim=8",
        "model.predictor_depth=1",
        "mask.group_size=6",
        "mask.min_keep=3",
        "mask.length_multiple=4",
        "run.batch_size=12",
        "optimizer.steps_per_epoch=4",
        "run.log_every_steps=3",
    ];

    fn recipe(overrides: &[&str]) -> Recipe {
        let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
        recipe
            .with_overrides(&TINY)
            .unwrap()
            .with_overrides(overrides)
            .unwrap()
    }

    fn source() -> Arc<dyn Source> {
        let spec: DataSpec = "scenes:kind=texture,n=48,size=32".parse().unwrap();
        Arc::from(spec.open().unwrap())
    }

    fn train(
        run: &Path,
        recipe: Recipe,
        options: &TrainOptions,
    ) -> Result<TrainSummary, TrainError> {
        let source = source();
        let plan = PretrainPlan::new(recipe, source.len())?;
        let folder = Folder::open(run)?;
        Ok(pretrain(&plan, source, &folder, &device(), options, &mut [])?.0)
    }

    fn until(step: u64) -> TrainOptions {
        TrainOptions {
            max_steps: Some(step),
            ..Default::default()
        }
    }

    /// Rows of metrics.csv without the three columns of times.
    fn rows(run: &Path) -> Vec<Vec<String>> {
        let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
        text.lines()
            .map(|line| {
                let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
                cells.drain(9..12);
                cells
            })
            .collect()
    }

    fn weights(run: &Path) -> Vec<Vec<u8>> {
        ["encoder", "predictor", "target_encoder", "optimizer"]
            .map(|part| {
                fs::read(
                    run.join("checkpoints/latest")
                        .join(format!("{part}.safetensors")),
                )
            })
            .map(Result::unwrap)
            .to_vec()
    }

    #[test]
    fn a_run_leaves_everything_its_directory_promises() {
        let folder = tempfile::tempdir().unwrap();
        let summary = train(folder.path(), recipe(&[]), &until(8)).unwrap();
        assert_eq!((summary.steps, summary.images), (8, 96));
        assert!(summary.loss_last.is_finite());
        assert!(summary.signals.get("feature_std") > Some(0.05));
        let rows = rows(folder.path());
        assert_eq!(rows[0][..4], ["epoch", "step", "images", "loss"]);
        let steps: Vec<&str> = rows[1..].iter().map(|row| row[1].as_str()).collect();
        assert_eq!(steps, ["0", "3", "6"]);
        assert_eq!(rows[3][..3], ["1", "6", "84"]);

        let saved = fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
        assert_eq!(
            Recipe::from_toml(&saved, "recipe.toml").unwrap(),
            recipe(&[])
        );
        let events = fs::read_dir(folder.path()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("events.out.tfevents")
        });
        assert_eq!(events.count(), 1);
        // Two checkpoints of two epochs are kept, and the newest opens as any checkpoint does.
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(
            (checkpoint.state.step, checkpoint.state.epoch),
            (Some(8), 2)
        );
        assert!(folder.path().join("checkpoints/step-4").is_dir());
    }

    #[test]
    fn a_run_that_is_told_to_stop_before_its_first_step_begins_later() {
        let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        train(whole.path(), recipe(&[]), &until(2)).unwrap();
        let options = until(2);
        options.stop.store(true, Ordering::Relaxed);
        let summary = train(stopped.path(), recipe(&[]), &options).unwrap();
        assert_eq!((summary.steps, summary.interrupted), (0, true));
        let summary = train(stopped.path(), recipe(&[]), &until(2)).unwrap();
        assert_eq!((summary.steps, summary.interrupted), (2, false));
        assert_eq!(weights(stopped.path()), weights(whole.path()));
    }

    #[test]
    fn resuming_anywhere_reproduces_the_uninterrupted_run_bit_for_bit() {
        let whole = tempfile::tempdir().unwrap();
        train(whole.path(), recipe(&[]), &until(10)).unwrap();
        for workers in [0, 1, 2, 4] {
            let parts = tempfile::tempdir().unwrap();
            for stop in [1, 4, 5, 10] {
                let options = TrainOptions {
                    workers,
                    ..until(stop)
                };
                train(parts.path(), recipe(&[]), &options).unwrap();
            }
            assert_eq!(rows(parts.path()), rows(whole.path()), "{workers} workers");
            assert_eq!(
                weights(parts.path()),
                weights(whole.path()),
                "{workers} workers"
            );
        }
    }

    /// Four groups of three in one, two and four passes, and as one big graph.
    #[test]
    fn accumulation_equals_the_one_large_batch() {
        let recipe = recipe(&["mask.group_size=3", "mask.length_multiple=1"]);
        let plan = PretrainPlan::new(recipe.clone(), 48).unwrap();
        let device = device().autodiff();
        let sampler = recipe.mask_sampler().unwrap();
        let source = source();
        let group = |group: u64| {
            let pixels: Vec<u8> = (0..3)
                .flat_map(|i| {
                    let image = source.read(group as usize * 3 + i).unwrap();
                    ijepa_data::resize(&image, 24, 24, ijepa_data::Filter::Bilinear, None)
                        .unwrap()
                        .into_pixels()
                })
                .collect();
            let masks = sampler.sample(3, &mut MaskRng::for_group(0, 0, group));
            GroupBatch {
                images: Normalization::IMAGENET.images(&pixels, [3, 24, 24], &device),
                masks: MaskTensors::new(&masks, &device),
                seed: None,
            }
        };
        let learner = || {
            Learner::new(
                plan.model(),
                recipe.initialization(),
                recipe.compute(),
                recipe.objective_config(),
                Default::default(),
                &ijepa_testkit::device(),
            )
        };
        let stepped = |groups_per_pass| {
            let settings = StepSettings {
                lr: 1e-3,
                weight_decay: 0.1,
                ema: 0.9,
                clip_grad: 0.0,
                groups_per_pass,
            };
            let mut learner = learner();
            let output = learner.step((0..4).map(group), settings);
            let encoder = learner.parts().encoder;
            let weights: Vec<f32> = encoder.iter().flat_map(|t| t.read().unwrap()).collect();
            (weights, output.loss.into_scalar::<f32>())
        };
        let (large, loss) = stepped(4);
        for groups_per_pass in [1, 2] {
            let (weights, split_loss) = stepped(groups_per_pass);
            assert!(
                max_abs_difference(&weights, &large) <= 2e-6,
                "{groups_per_pass}"
            );
            assert!((loss - split_loss).abs() <= 1e-6);
        }
        // The loss is the mean over groups, each of which counts the same.
        let learner = learner();
        let mean: f32 = (0..4)
            .map(|number| {
                let GroupBatch { images, masks, .. } = group(number);
                let (model, target) = (&learner.model, &learner.target);
                let output = model.forward(images, &masks, target, &learner.objective, None);
                output.loss.into_scalar::<f32>() / 4.0
            })
            .sum();
        assert!((loss - mean).abs() <= 1e-6, "{loss} {mean}");
    }

    #[test]
    fn a_second_process_and_a_second_run_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let held = Folder::open(folder.path()).unwrap();
        let error = Folder::open(folder.path()).unwrap_err();
        assert!(matches!(error, TrainError::InUse { .. }), "{error}");
        drop(held);
        train(folder.path(), recipe(&[]), &until(1)).unwrap();
        let never = TrainOptions {
            resume: Resume::Never,
            ..until(2)
        };
        let error = train(folder.path(), recipe(&[]), &never).unwrap_err();
        assert!(matches!(error, TrainError::Exists { .. }), "{error}");
        let error = train(folder.path(), recipe(&["model.depth=2"]), &until(2)).unwrap_err();
        assert!(matches!(error, TrainError::OtherRecipe { .. }), "{error}");
    }

    #[test]
    fn divergence_names_the_step_and_the_tensor() {
        let folder = tempfile::tempdir().unwrap();
        let hot = recipe(&[
            "optimizer.lr=1e38",
            "optimizer.start_lr=1e38",
            "run.log_every_steps=1",
        ]);
        match train(folder.path(), hot, &until(8)).unwrap_err() {
            TrainError::Diverged { step, tensor } => {
                assert!(step > 0, "{step}");
                assert!(tensor.starts_with("gradient of "), "{tensor}");
            }
            other => panic!("{other}"),
        }
    }

    #[derive(Default)]
    struct Resumed(Option<Resumption>);

    impl<L> Observer<L> for Resumed {
        fn on_resume(&mut self, from: &Resumption) {
            assert_eq!(self.0.replace(from.clone()), None);
        }
    }

    #[test]
    fn a_resumed_run_says_what_it_does_differently_and_does_it() {
        let folder = tempfile::tempdir().unwrap();
        let resume = |overrides: &[&str], last: u64| {
            let (source, mut resumed) = (source(), Resumed::default());
            let plan = PretrainPlan::new(recipe(overrides), source.len()).unwrap();
            let (run, options) = (Folder::open(folder.path()).unwrap(), until(last));
            let observers: &mut [&mut dyn Observer<_>] = &mut [&mut resumed];
            pretrain(&plan, source, &run, &device(), &options, observers).unwrap();
            resumed.0
        };
        assert_eq!(resume(&[], 2), None);
        let unchanged = |step| {
            let changed = Vec::new();
            Some(Resumption { step, changed })
        };
        // What is only kept of a run may change without a word.
        let kept = [
            "run.keep_last=1",
            "run.log_every_steps=1",
            "run.kernels=reference",
        ];
        assert_eq!(resume(&kept, 3), unchanged(2));
        assert_eq!(resume(&[], 4), unchanged(3));
        let changes = [
            "optimizer.lr=0.5",
            "optimizer.warmup_epochs=0",
            "ema.start=0.25",
            "mask.num_targets=2",
            "objective.loss=mse",
            "data.flip=false",
            "run.batch_size=6",
            "run.seed=9",
            "run.log_every_steps=1",
        ];
        let from = resume(&changes, 5).unwrap();
        let changed: Vec<String> = from
            .changed
            .iter()
            .map(|(key, old, new)| format!("{key} {old} -> {new}"))
            .collect();
        assert_eq!(from.step, 4);
        assert_eq!(
            changed,
            [
                "data.flip true -> false",
                "ema.start 0.995 -> 0.25",
                "mask.num_targets 4 -> 2",
                "objective.loss \"smooth_l1\" -> \"mse\"",
                "optimizer.lr 0.001 -> 0.5",
                "optimizer.warmup_epochs 0.8 -> 0.0",
                "run.batch_size 12 -> 6",
                "run.seed 0 -> 9",
            ]
        );
        let last = rows(folder.path()).pop().unwrap();
        let lr: f64 = last[4].parse().unwrap();
        assert!(last[1] == "4" && lr > 0.3, "{last:?}");
    }

    #[derive(Default)]
    struct Counter {
        logs: usize,
        measured: Vec<Position>,
        told: Vec<Row>,
    }

    impl Observer<Learner> for Counter {
        fn on_log(&mut self, row: &Row, measured: &Measured) {
            assert!(row.get("loss") > Some(0.0));
            assert!(measured.monitors.get("loss_ratio") > Some(0.0));
            self.logs += 1;
        }

        fn measure(
            &mut self,
            at: &Position,
            _: &Learner,
            _: &AtomicBool,
        ) -> Result<Columns, ObserverError> {
            self.measured.push(*at);
            Ok(Columns::from(EpochScores {
                knn: Some(12.5),
                ..Default::default()
            }))
        }

        fn on_scores(&mut self, scores: &Row) {
            self.told.push(scores.clone());
        }
    }

    #[test]
    fn observers_see_every_log_every_epoch_and_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let source = source();
        let plan = PretrainPlan::new(recipe(&[]), source.len()).unwrap();
        let run = Folder::open(folder.path()).unwrap();
        let mut counter = Counter::default();
        let options = until(9);
        let observers: &mut [&mut dyn Observer<_>] = &mut [&mut counter];
        let (summary, _) = pretrain(&plan, source, &run, &device(), &options, observers).unwrap();
        let at = |step, epochs| Position {
            step,
            images: 12 * step,
            epochs,
        };
        assert_eq!(counter.logs, 3);
        assert_eq!(counter.measured, [at(0, 0), at(4, 1), at(8, 2), at(9, 2)]);
        assert_eq!(counter.told, summary.evaluations);
        assert_eq!(summary.scores().get("knn"), Some(12.5));
        let epochs = fs::read_to_string(folder.path().join("epochs.csv")).unwrap();
        let rows: Vec<&str> = epochs.lines().collect();
        assert!(rows[0].starts_with("epoch,step,rankme,knn,probe,"));
        let expected = [
            ",0,,12.5,,,,,,",
            "0,4,,12.5,,,,,,",
            "1,8,,12.5,,,,,,",
            ",9,,12.5,,,,,,",
        ];
        assert_eq!(rows[1..], expected);
    }
}
