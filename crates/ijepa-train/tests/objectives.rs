//! Runs whose predictor predicts pixels (masked autoencoders, and I-JEPA with other targets), and
//! steps with a predictor that is none of ours.

#[cfg(test)]
mod objectives {
    use std::{path::Path, sync::Arc};

    use burn::{
        module::{Module, Param},
        tensor::Tensor,
    };
    use ijepa_data::{DataSpec, Source};
    use ijepa_masking::MaskRng;
    use ijepa_model::{
        Checkpoint, Compute, IJepa, InitScheme, Initialization, Initializer, MaskTensors, Mlp,
        Objective, Predictor, PredictorContext, StochasticDepth, Target,
        checkpoint::{Format, NamedTensor},
    };
    use ijepa_testkit::{assert_close, device, noise_tensor, run::tensors, tolerance, values};
    use ijepa_train::{
        GroupBatch, Learner, PretrainPlan, Recipe, StepSettings, TrainError, TrainOptions,
        pretrain,
        run::{Folder, Measured, Observer, Row},
    };

    /// As wide as the pixels of a patch are many, so that shapes tell no target from another.
    const TINY: [&str; 13] = [
        "model.embed_dim=48",
        "model.depth=1",
        "model.num_heads=2",
        "model.patch_size=4",
        "model.image_size=24",
        "model.predictor_dim=8",
        "model.predictor_depth=1",
        "mask.group_size=6",
        "mask.min_keep=3",
        "run.batch_size=12",
        "optimizer.steps_per_epoch=4",
        "optimizer.epochs=20",
        "run.log_every_steps=1",
    ];
    const MAE: &str = "objective.kind=mae";
    const PIXELS: &str = "objective.target=pixels";

    #[derive(Default)]
    struct Seen(Vec<(Row, Measured)>);

    impl<L> Observer<L> for Seen {
        fn on_log(&mut self, row: &Row, measured: &Measured) {
            self.0.push((row.clone(), measured.clone()));
        }
    }

    fn train(run: &Path, overrides: &[&str], last: u64) -> Result<Seen, TrainError> {
        let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
        let recipe = recipe.with_overrides(&TINY).unwrap();
        let recipe = recipe.with_overrides(overrides).unwrap();
        let spec: DataSpec = "scenes:kind=texture,n=48,size=32".parse().unwrap();
        let source: Arc<dyn Source> = spec.open().unwrap();
        let plan = PretrainPlan::new(recipe, source.len())?;
        let folder = Folder::open(run)?;
        let options = TrainOptions {
            max_steps: Some(last),
            ..Default::default()
        };
        let mut seen = Seen::default();
        pretrain(
            &plan,
            source,
            &folder,
            &device(),
            &options,
            &mut [&mut seen],
        )?;
        Ok(seen)
    }

    #[test]
    fn a_masked_autoencoder_hides_three_quarters_and_learns() {
        let folder = tempfile::tempdir().unwrap();
        let hot = "optimizer.start_lr=1e-3";
        let Seen(seen) = train(folder.path(), &[MAE, hot], 60).unwrap();
        assert_eq!(seen.len(), 60);
        for (row, measured) in &seen {
            let patches = ["context_patches", "target_patches"].map(|name| row.get(name));
            assert_eq!(patches, [Some(9.0), Some(27.0)]);
            // The monitors look at the encoder: pixels of a patch would have a spread of 1.
            assert!(measured.collapse.is_none(), "{measured:?}");
        }
        let mean = |rows: &[(Row, Measured)]| {
            let ratio = |(_, seen): &(Row, Measured)| seen.monitors.get("loss_ratio").unwrap();
            rows.iter().map(ratio).sum::<f64>() / rows.len() as f64
        };
        let (first, last) = (mean(&seen[..5]), mean(&seen[55..]));
        assert!(last < 0.95 * first, "{first} to {last}");

        // The moving average follows the encoder, for whoever evaluates the run.
        let [encoder, _, target, _] = tensors(folder.path()).try_into().unwrap();
        assert_ne!(encoder, target);
        train(folder.path(), &[MAE, hot, "ema.start=0", "ema.end=0"], 61).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let values = |dict: &Option<ijepa_model::checkpoint::StateDict>| {
            let dict = dict.as_ref().unwrap();
            dict.get("blocks.0.mlp.fc1.weight").unwrap().read().unwrap()
        };
        let [online, average] = [&checkpoint.context_encoder, &checkpoint.target_encoder];
        assert_eq!(values(online), values(average));
    }

    #[test]
    fn runs_of_pixels_resume_bit_for_bit() {
        for objective in [MAE, PIXELS] {
            let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            train(whole.path(), &[objective], 7).unwrap();
            for stop in [1, 4, 7] {
                train(parts.path(), &[objective], stop).unwrap();
            }
            assert_eq!(tensors(parts.path()), tensors(whole.path()), "{objective}");
        }
    }

    /// Changes of predictor and targets, alone and all together.
    const OPTIONS: [&[&str]; 5] = [
        &["predictor.context=shared", "model.predictor_depth=2"],
        &["objective.center_targets=true"],
        &["model.position_noise=0.25"],
        &[
            "predictor.context=shared",
            "model.predictor_depth=2",
            "objective.center_targets=true",
            "model.position_noise=0.25",
            "mask.num_contexts=2",
            "run.micro_batch=12",
        ],
        &["objective.kind=lejepa"],
    ];

    #[test]
    fn options_train_for_twenty_steps_and_resume_bit_for_bit() {
        for options in OPTIONS {
            let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let Seen(seen) = train(whole.path(), options, 20).unwrap();
            let losses: Vec<f64> = seen
                .iter()
                .map(|(row, _)| row.get("loss").unwrap())
                .collect();
            assert!(losses.len() == 20 && losses.iter().all(|loss| loss.is_finite()));
            for stop in [7, 20] {
                train(parts.path(), options, stop).unwrap();
            }
            assert_eq!(tensors(parts.path()), tensors(whole.path()), "{options:?}");
        }
    }

    /// What the options of a run were is read from its checkpoint, and official files refuse it.
    #[test]
    fn options_of_the_predictor_are_kept_with_it() {
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), OPTIONS[3], 1).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let config = checkpoint.predictor_config.clone().unwrap();
        assert_eq!(config.context, PredictorContext::Shared);
        assert!(config.center_targets);
        let mean = checkpoint.predictor.as_ref().unwrap().get("target_mean");
        let mean = mean.unwrap().read().unwrap();
        assert!(mean.iter().any(|&value| value != 0.0));
        let official = folder.path().join("copy.pth.tar");
        let error = checkpoint.save(&official, Format::Official, &device());
        let message = error.unwrap_err().to_string();
        let expected = "`predictor.context` is shared, but only separate is supported";
        assert!(message.ends_with(expected), "{message}");
        let refused = train(folder.path(), &[], 2).map(|_| ()).unwrap_err();
        let expected = "`objective.center_targets` = true, the recipe says false";
        assert!(refused.to_string().ends_with(expected), "{refused}");
    }

    /// `mean <- momentum * mean + (1 - momentum) * mean of all images` of the target encoder before
    /// the step, by hand.
    #[test]
    fn the_running_mean_of_the_targets_follows_all_groups() {
        let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
        let recipe = recipe.with_overrides(&TINY).unwrap();
        let recipe = recipe.with_overrides(OPTIONS[1]).unwrap();
        let plan = PretrainPlan::new(recipe.clone(), 48).unwrap();
        let objective = Objective {
            center_momentum: 0.6,
            ..Objective::default()
        };
        let mut learner = Learner::new(
            plan.model(),
            recipe.initialization(),
            Compute::default(),
            objective,
            Default::default(),
            &device(),
        );
        let (settings, device) = (
            StepSettings {
                lr: 1e-2,
                weight_decay: 0.0,
                ema: 0.5,
                clip_grad: 0.0,
                groups_per_pass: 2,
            },
            device().autodiff(),
        );
        let sampler = recipe.mask_sampler().unwrap();
        let images = |number| noise_tensor::<4>(number, [6, 3, 24, 24], &device);
        let mut expected = Tensor::<3>::zeros([1, 36, 48], &device.clone().inner());
        for step in 0..2u64 {
            let numbers = [3 * step, 3 * step + 1, 3 * step + 2];
            let seen = Tensor::cat(numbers.map(|it| images(it).inner()).to_vec(), 0);
            let seen = learner.target.encoder().forward_features(seen);
            let seen = objective.normed(seen).mean_dim(0);
            expected = expected.mul_scalar(0.6) + seen.mul_scalar(0.4);
            let group = |number| GroupBatch {
                images: images(number),
                masks: MaskTensors::new(
                    &sampler.sample(6, &mut MaskRng::for_group(0, 0, number)),
                    &device,
                ),
                seed: None,
            };
            learner.step(numbers.map(group), settings);
        }
        let mean = learner.model.predictor.target_mean.as_ref().unwrap();
        let (found, expected) = (values(mean.val()), values(expected));
        assert_close("mean", &found, &expected, tolerance(1e-5));
    }

    #[test]
    fn weights_of_another_target_are_refused_although_their_shapes_fit() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |overrides: &[&str]| {
            let error = train(folder.path(), overrides, 3).map(|_| ()).unwrap_err();
            error.to_string()
        };
        train(folder.path(), &[PIXELS], 1).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let target = checkpoint.predictor_config.as_ref().unwrap().target;
        assert_eq!(target, Target::Pixels);
        let message = refused(&[]);
        let expected =
            "was trained with `objective.target` = \"pixels\", the recipe says \"features\"";
        assert!(message.ends_with(expected), "{message}");

        // Nothing but the recipe tells a masked autoencoder from it: its run goes on.
        train(folder.path(), &[MAE], 2).unwrap();

        let copy = folder.path().join("copy");
        checkpoint.save(&copy, Format::Native, &device()).unwrap();
        let copied = Checkpoint::open(&copy).unwrap();
        assert_eq!(copied.predictor_config.as_ref().unwrap().target, target);
        let official = folder.path().join("copy.pth.tar");
        let error = copied
            .save(&official, Format::Official, &device())
            .unwrap_err();
        let message = error.to_string();
        let expected = "`objective.target` is pixels, but only features is supported";
        assert!(message.ends_with(expected), "{message}");
        assert!(!official.exists());
    }

    /// Predicts from the mean of the context and the place of the hidden patch.
    #[derive(Module, Debug)]
    struct MeanAndPlace {
        positions: Param<Tensor<3>>,
        mlp: Mlp,
    }

    impl Predictor for MeanAndPlace {
        fn forward(
            &self,
            context: Tensor<3>,
            masks: &MaskTensors,
            _: Option<&mut StochasticDepth>,
        ) -> Tensor<3> {
            let places = masks.pairs.gather_shared(self.positions.val());
            let mean = context.mean_dim(1).repeat_dim(0, masks.num_targets);
            self.mlp.forward(places + mean, Compute::default())
        }
    }

    #[test]
    fn a_predictor_of_your_own_is_trained_by_the_same_step() {
        let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
        let recipe = recipe.with_overrides(&TINY).unwrap();
        let plan = PretrainPlan::new(recipe.clone(), 48).unwrap();
        let (sizes, device) = (&plan.model().encoder, device().autodiff());
        let init = Initialization {
            scheme: InitScheme::FanIn,
            ..Initialization::default()
        };
        let mut own = Initializer::new(init, &device);
        let predictor = MeanAndPlace {
            positions: own.positions(sizes.grid().unwrap(), 48),
            mlp: Mlp {
                fc1: own.linear(48, 96),
                fc2: own.linear(96, 48),
            },
        };
        let model = IJepa {
            encoder: sizes.init_with(init, &device),
            predictor,
        };
        let mut learner = Learner::of_model(model, Objective::default(), Default::default());
        let read = |tensors: Vec<NamedTensor>| -> Vec<Vec<f32>> {
            tensors
                .iter()
                .map(|tensor| tensor.read().unwrap())
                .collect()
        };
        let before = learner.parts();
        let settings = StepSettings {
            lr: 3e-3,
            weight_decay: 0.0,
            ema: 0.99,
            clip_grad: 1.0,
            groups_per_pass: 2,
        };
        let sampler = recipe.mask_sampler().unwrap();
        let mut step = || {
            let group = |number| GroupBatch {
                images: noise_tensor(number, [6, 3, 24, 24], &device),
                masks: MaskTensors::new(
                    &sampler.sample(6, &mut MaskRng::for_group(0, 0, number)),
                    &device,
                ),
                seed: None,
            };
            learner
                .step([group(0), group(1)], settings)
                .loss
                .into_scalar::<f32>()
        };
        let losses: Vec<f32> = (0..20).map(|_| step()).collect();
        assert!(losses[19] < 0.5 * losses[0], "{losses:?}");
        let after = learner.parts();
        let (encoder, target) = (read(before.encoder), read(before.target_encoder));
        assert_ne!(read(after.encoder)[1..], encoder[1..]);
        assert_ne!(read(after.target_encoder)[1..], target[1..]);
        let (before, after) = (read(before.predictor), read(after.predictor));
        assert_eq!(after[0], before[0], "positions");
        assert!((1..5).all(|number| after[number] != before[number]));
        assert!(after.len() == 5 && learner.optimizer.steps() == 20);
    }

    #[test]
    #[should_panic(expected = "predictor and objective differ in their target")]
    fn a_predictor_of_features_is_not_asked_for_pixels() {
        let device = device().autodiff();
        let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
        let plan = PretrainPlan::new(recipe.with_overrides(&TINY).unwrap(), 48).unwrap();
        let model = plan.model().init(Initialization::default(), &device);
        let objective = Objective {
            target: Target::Pixels,
            ..Objective::default()
        };
        Learner::of_model(model, objective, Default::default());
    }
}
