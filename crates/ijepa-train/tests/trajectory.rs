//! Twenty steps of the reference, from its initial weights and from its checkpoint, and twenty of
//! a run of our own, the same on every device.

#[cfg(test)]
mod launches;

#[cfg(test)]
mod trajectory {
    use std::{
        path::{Path, PathBuf},
        sync::Arc,
    };

    use burn::{module::Param, tensor::Tensor};
    use ijepa_data::{DataSpec, Source};
    use ijepa_masking::{MaskGroup, PatchGrid, PatchIndices};
    use ijepa_model::{
        Checkpoint, Compute, EmaTarget, IJepaConfig, Initialization, Kernels, Loss, MaskTensors,
        Objective, PredictorConfig, Target, VisionTransformerConfig,
        checkpoint::{
            NamedTensor, OpenOptions, ParameterMapper, TrainingState, map_parameters,
            tensor_from_official,
        },
    };
    use ijepa_testkit::{Golden, device, max_abs_difference};
    use ijepa_train::{
        AdamWConfig, GroupBatch, Learner, PretrainPlan, Recipe, ScheduleConfig, Schedules,
        StepSettings, TrainOptions, pretrain,
        recipe::DecaySchedule,
        run::{Folder, Measured, Observer, Row},
    };

    /// Absolute tolerance of the loss of a step.
    const LOSS_TOLERANCE: f64 = 1e-6;
    /// Absolute tolerance of weights after twenty steps.
    const WEIGHT_TOLERANCE: f64 = 2e-5;

    fn golden_folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
    }

    fn config() -> IJepaConfig {
        let encoder = VisionTransformerConfig::new([32, 32], 8, 48, 3, 3);
        IJepaConfig {
            encoder,
            predictor: PredictorConfig::new(24, 2),
        }
    }

    fn schedules() -> Schedules {
        Schedules::new(ScheduleConfig {
            steps_per_epoch: 5,
            epochs: 4,
            warmup_epochs: 1.0,
            ipe_scale: 1.0,
            start_lr: 2e-4,
            lr: 1e-3,
            final_lr: 1e-6,
            weight_decay: 0.04,
            final_weight_decay: 0.4,
            decay_schedule: DecaySchedule::Cosine,
            ema_start: 0.996,
            ema_end: 1.0,
            anneal: 0.0,
        })
    }

    struct SetWeights<'a> {
        golden: &'a Golden,
        prefix: &'a str,
    }

    impl ParameterMapper for SetWeights<'_> {
        fn map<const D: usize>(
            &mut self,
            name: String,
            param: Param<Tensor<D>>,
        ) -> Param<Tensor<D>> {
            let name = format!("{}{name}", self.prefix);
            let (dims, device) = (param.lazy_shape().dims(), param.lazy_device());
            let values = tensor_from_official(self.golden.f32s(&name), dims, &device);
            let id = param.id;
            param.transform_for_load(values, id)
        }
    }

    fn from_initial_weights(golden: &Golden, compute: Compute) -> Learner {
        let (objective, adamw) = (Objective::default(), AdamWConfig::default());
        let init = Initialization::default();
        let learner = Learner::new(&config(), init, compute, objective, adamw, &device());
        with_initial_weights(learner, golden)
    }

    fn with_initial_weights(mut learner: Learner, golden: &Golden) -> Learner {
        let prefix = "init.";
        learner.model = map_parameters(learner.model, &mut SetWeights { golden, prefix });
        learner.target = EmaTarget::new(&learner.model.encoder);
        learner
    }

    fn masks(golden: &Golden, step: u64) -> MaskGroup {
        let masks = |kind: &str| -> Vec<PatchIndices> {
            let prefix = format!("step{step:02}.{kind}.");
            let mask = |number| {
                let name = format!("{prefix}{number}");
                let patches = golden
                    .i64s(&name)
                    .into_iter()
                    .map(|patch| patch as u32)
                    .collect();
                PatchIndices::new(golden.shape(&name)[1], patches)
            };
            golden.names(&prefix).into_iter().map(mask).collect()
        };
        MaskGroup {
            grid: PatchGrid::new(4, 4).unwrap(),
            contexts: masks("masks_enc"),
            targets: masks("masks_pred"),
            relaxations: 0,
        }
    }

    /// Trains over `steps` of the reference and checks the loss of each.
    fn train(learner: &mut Learner, golden: &Golden, steps: std::ops::Range<u64>) {
        let schedules = schedules();
        let settings = |step| StepSettings {
            lr: schedules.lr(step),
            weight_decay: schedules.weight_decay(step),
            ema: schedules.ema(step),
            clip_grad: 0.0,
            groups_per_pass: 1,
        };
        train_with(learner, golden, steps, settings);
    }

    fn train_with(
        learner: &mut Learner,
        golden: &Golden,
        steps: std::ops::Range<u64>,
        settings: impl Fn(u64) -> StepSettings,
    ) {
        let device = device().autodiff();
        for step in steps {
            let group = GroupBatch {
                images: golden.tensor(&format!("step{step:02}.images"), &device),
                masks: MaskTensors::new(&masks(golden, step), &device),
                seed: None,
            };
            let loss: f32 = learner.step([group], settings(step)).loss.into_scalar();
            let expected = golden.f64s("log.loss")[step as usize];
            let difference = (f64::from(loss) - expected).abs();
            assert!(
                difference < LOSS_TOLERANCE,
                "step {step}: loss {loss}, expected {expected}"
            );
        }
    }

    fn check_final_weights(learner: &Learner, golden: &Golden) {
        let parts = learner.parts();
        let networks = [
            ("encoder", parts.encoder),
            ("predictor", parts.predictor),
            ("target", parts.target_encoder),
        ];
        for (network, tensors) in networks {
            assert_eq!(
                tensors.len(),
                golden.names(&format!("final.{network}.")).len()
            );
            for tensor in tensors {
                let name = format!("final.{network}.{}", tensor.name);
                assert_eq!(tensor.shape, golden.shape(&name), "{name}");
                let found = tensor.read().unwrap();
                let difference = max_abs_difference(&found, &golden.f32s(&name));
                assert!(difference <= WEIGHT_TOLERANCE, "{name}: {difference:.1e}");
            }
        }
    }

    #[test]
    fn twenty_steps_end_where_the_reference_ends() {
        let golden = Golden::load(golden_folder(), "trajectory");
        for kernels in [Kernels::Fused, Kernels::Reference] {
            let compute = Compute {
                kernels,
                ..Compute::default()
            };
            let mut learner = from_initial_weights(&golden, compute);
            train(&mut learner, &golden, 0..20);
            check_final_weights(&learner, &golden);
        }
    }

    /// A masked autoencoder of PyTorch; see `pixels.py` beside the golden file.
    #[test]
    fn steps_of_a_masked_autoencoder_are_those_of_pytorch() {
        let folder = golden_folder().join("../../../ijepa-model/tests/golden");
        let golden = Golden::load(folder, "pixels");
        let number = |key: &str| golden.json[key].as_f64().unwrap();
        let encoder = VisionTransformerConfig {
            image_size: [16, 16],
            patch_size: 4,
            embed_dim: 16,
            depth: 2,
            num_heads: 2,
            ..config().encoder
        };
        let predictor = PredictorConfig::new(12, 2).with_target(Target::Pixels);
        let objective = Objective {
            target: Target::Pixels,
            loss: Loss::Mse,
            ..Objective::default()
        };
        let adamw = AdamWConfig {
            betas: [0, 1].map(|end: usize| golden.json["betas"][end].as_f64().unwrap()),
            eps: number("eps"),
        };
        let settings = StepSettings {
            lr: number("lr"),
            weight_decay: number("weight_decay"),
            ema: number("momentum"),
            clip_grad: 0.0,
            groups_per_pass: 1,
        };
        let (config, init) = (
            IJepaConfig { encoder, predictor },
            Initialization::default(),
        );
        let compute = Compute::default();
        let learner = Learner::new(&config, init, compute, objective, adamw, &device());
        let mut learner = with_initial_weights(learner, &golden);
        train_with(&mut learner, &golden, 0..3, |_| settings);
        check_final_weights(&learner, &golden);
    }

    fn resumed(path: &Path) -> Learner {
        let options = OpenOptions { num_heads: Some(3) };
        let checkpoint = Checkpoint::open_with(path, options).unwrap();
        let (objective, adamw) = (Objective::default(), AdamWConfig::default());
        Learner::from_checkpoint(&checkpoint, Compute::default(), objective, adamw, &device())
            .unwrap()
    }

    #[test]
    fn the_official_checkpoint_continues_to_the_same_end() {
        let golden = Golden::load(golden_folder(), "trajectory");
        let official =
            golden_folder().join("../../../ijepa-model/tests/golden/torch/tiny_ckpt.pth.tar");
        let mut learner = resumed(&official);
        assert_eq!(learner.optimizer.steps(), 10);

        // Through our own format, too: nothing may be lost on the way.
        let folder = tempfile::tempdir().unwrap();
        let native = folder.path().join("step-10");
        let state = TrainingState::default();
        std::fs::create_dir(&native).unwrap();
        learner.snapshot(state).unwrap().write(&native).unwrap();
        let mut reloaded = resumed(&native);

        train(&mut learner, &golden, 10..20);
        check_final_weights(&learner, &golden);
        train(&mut reloaded, &golden, 10..20);
        let bits = |tensors: Vec<NamedTensor>| -> Vec<Vec<u32>> {
            let bits =
                |tensor: NamedTensor| tensor.read().unwrap().iter().map(|v| v.to_bits()).collect();
            tensors.into_iter().map(bits).collect()
        };
        assert_eq!(
            bits(reloaded.parts().encoder),
            bits(learner.parts().encoder)
        );
        assert_eq!(
            bits(reloaded.parts().moments),
            bits(learner.parts().moments)
        );
    }

    /// Everything of a step that could depend on the device, and all randomness that must not.
    const RUN: &[&str] = &[
        "model.embed_dim=32",
        "model.depth=2",
        "model.num_heads=2",
        "model.image_size=24",
        "model.predictor_dim=16",
        "model.predictor_depth=1",
        "model.drop_path=0.1",
        "mask.group_size=8",
        "mask.min_keep=3",
        "mask.length_multiple=4",
        "data.color_jitter=0.5",
        "optimizer.epochs=2",
        "optimizer.steps_per_epoch=10",
        "optimizer.final_weight_decay=0.4",
        "optimizer.weight_decay_schedule=cosine",
        "optimizer.clip_grad=1.0",
        "run.batch_size=8",
        "run.log_every_steps=1",
    ];

    /// Absolute tolerance of a loss on any device.
    const DEVICE_TOLERANCE: f64 = 1e-4;

    #[derive(Default)]
    struct Losses(Vec<f64>);

    impl<L> Observer<L> for Losses {
        fn on_log(&mut self, row: &Row, _: &Measured) {
            self.0.extend(row.get("loss"));
        }
    }

    /// The expected losses were computed on flex; the message of a failure has those found.
    #[test]
    fn twenty_steps_of_a_run_are_the_same_on_every_device() {
        let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
        let recipe = recipe.with_overrides(RUN).unwrap();
        let spec: DataSpec = "scenes:kind=texture,n=160,size=32".parse().unwrap();
        let source: Arc<dyn Source> = spec.open().unwrap();
        let plan = PretrainPlan::new(recipe, source.len()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let run = Folder::open(folder.path()).unwrap();
        let (mut found, options) = (Losses::default(), TrainOptions::default());
        pretrain(&plan, source, &run, &device(), &options, &mut [&mut found]).unwrap();

        let text = std::fs::read_to_string(golden_folder().join("run_losses.json")).unwrap();
        let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected: Vec<f64> = serde_json::from_value(golden["losses"].clone()).unwrap();
        assert_eq!((found.0.len(), expected.len()), (20, 20), "{:?}", found.0);
        let differences = found.0.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let difference = differences.fold(0.0, f64::max);
        println!("largest difference {difference:.1e}");
        assert!(
            difference < DEVICE_TOLERANCE,
            "{difference:.1e}: {:?}",
            found.0
        );
        // Training has changed the losses by far more than the tolerance.
        assert!(expected[0] - expected[19] > 0.05, "{expected:?}");
    }
}
