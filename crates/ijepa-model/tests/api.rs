//! What users of an encoder rely on.

#[cfg(test)]
mod api {
    use burn::{module::Module, tensor::Tensor};
    use ijepa_masking::{MaskRng, MaskSampler, MultiBlockConfig, PatchGrid};
    use ijepa_model::{
        ConfigError, EmaTarget, IJepa, IJepaConfig, InitScheme, Initialization, MaskTensors,
        Normalization, Objective, Pooling, PositionResampling, PredictorConfig, StochasticDepth,
        VisionTransformer, VisionTransformerConfig, VitVariant, checkpoint::named_tensors,
    };
    use ijepa_testkit::{assert_close, device, max_abs_difference, noise_tensor, values};

    fn small() -> VisionTransformerConfig {
        VisionTransformerConfig {
            mlp_ratio: 2.0,
            ..VisionTransformerConfig::new([32, 48], 8, 24, 5, 3)
        }
    }

    fn images(batch: usize) -> Tensor<4> {
        noise_tensor(3, [batch, 3, 32, 48], &device())
    }

    /// Trainable parameters as the reference counts them (spec: table of sizes).
    #[test]
    fn variants_have_the_published_sizes() {
        let expected = [
            ("vit_ti16", 224, 5_486_400),
            ("vit_s16", 224, 21_589_632),
            ("vit_b16", 224, 85_646_592),
            ("vit_l16", 224, 303_098_880),
            ("vit_h14", 224, 630_434_560),
            ("vit_h16", 448, 630_664_960),
            ("vit_g16", 224, 1_011_092_608),
        ];
        assert_eq!(expected.len(), VitVariant::ALL.len());
        for (name, side, parameters) in expected {
            // Weights are lazy, so even the giant takes no memory here.
            let config = VisionTransformerConfig::variant(name)
                .unwrap()
                .with_image_size([side, side]);
            assert_eq!(
                config.init(&device()).num_parameters(),
                parameters,
                "{name}"
            );
        }
        let error = VisionTransformerConfig::variant("vit_x16").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("unknown architecture `vit_x16`, expected one of vit_ti16")
        );
    }

    #[test]
    fn features_come_in_every_shape_users_ask_for() {
        let encoder = small().init(&device());
        let tokens = encoder.forward_features(images(2));
        assert_eq!(tokens.dims(), [2, 24, 24]);
        let map = encoder.forward_map(images(2));
        assert_eq!(map.dims(), [2, 24, 4, 6]);
        let at =
            |row: usize, col: usize| map.clone().slice([1..2, 0..24, row..row + 1, col..col + 1]);
        let token = tokens.clone().slice([1..2, 9..10, 0..24]);
        assert_eq!(values(at(1, 3)), values(token));

        let layers = encoder.forward_intermediates(images(2), None, &[-4, -3, -2, -1], true);
        assert_eq!(layers.len(), 4);
        assert_eq!(values(layers[3].clone()), values(tokens.clone()));
        let pooled = encoder.forward_pooled(images(2), Pooling::Mean);
        assert_eq!(values(pooled.clone()), values(tokens.mean_dim(1)));
        let concat = encoder.forward_pooled(images(2), Pooling::Concat4);
        assert_eq!(concat.dims(), [2, 96]);
        assert_eq!(values(concat.clone().narrow(1, 72, 24)), values(pooled));
        assert_eq!(
            values(concat.narrow(1, 0, 24)),
            values(layers[0].clone().mean_dim(1))
        );
    }

    #[test]
    fn a_frozen_encoder_has_no_gradients() {
        let device = device().autodiff();
        let frozen = small().init(&device).frozen();
        let head = Tensor::<3>::ones([1, 24, 24], &device).require_grad();
        let features = frozen.forward_features(Tensor::from_inner(images(1)));
        let backward = (features * head.clone()).sum().backward();
        assert!(head.grad(&backward).is_some());
        assert!(frozen.norm.gamma.val().grad(&backward).is_none());
    }

    #[test]
    fn positions_are_resampled_to_grids_of_any_shape() {
        let encoder = small().init(&device());
        let wide = encoder
            .clone()
            .with_image_size([16, 80], PositionResampling::SinCos)
            .unwrap();
        assert_eq!((wide.grid().rows(), wide.grid().cols()), (2, 10));
        let fresh = small().with_image_size([16, 80]).init(&device());
        assert_eq!(values(wide.pos_embed.val()), values(fresh.pos_embed.val()));
        // Interpolation keeps a table that is linear in the position linear inside the image.
        let finer = encoder
            .clone()
            .with_image_size([64, 96], PositionResampling::Bicubic)
            .unwrap();
        assert_eq!(finer.pos_embed.val().dims(), [1, 8 * 12, 24]);
        let same = encoder
            .clone()
            .with_image_size([32, 48], PositionResampling::Bicubic)
            .unwrap();
        assert_eq!(
            values(same.pos_embed.val()),
            values(encoder.pos_embed.val())
        );
        assert!(
            encoder
                .with_image_size([33, 48], PositionResampling::Bicubic)
                .is_err()
        );
    }

    fn std(values: &[f32]) -> f64 {
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let square = |v: &f32| (f64::from(*v) - mean).powi(2);
        (values.iter().map(square).sum::<f64>() / values.len() as f64).sqrt()
    }

    fn init_std(init: Initialization, name: &str) -> f64 {
        let config = VisionTransformerConfig {
            embed_dim: 96,
            ..small()
        };
        let tensors = named_tensors(&config.init_with(init, &device()));
        std(&tensors
            .iter()
            .find(|tensor| tensor.name == name)
            .unwrap()
            .read()
            .unwrap())
    }

    #[test]
    fn every_initialisation_has_its_spread() {
        let scheme = |scheme| Initialization {
            scheme,
            ..Default::default()
        };
        let (qkv, proj) = ("blocks.3.attn.qkv.weight", "blocks.3.attn.proj.weight");
        let cases = [
            (scheme(InitScheme::Normal), qkv, 0.02),
            (scheme(InitScheme::Normal), proj, 0.02),
            (scheme(InitScheme::DepthRescaled), qkv, 0.02),
            (scheme(InitScheme::DepthRescaled), proj, 0.02 / 8f64.sqrt()),
            (scheme(InitScheme::FanIn), qkv, 1.0 / 96f64.sqrt()),
            (
                scheme(InitScheme::FanIn),
                "blocks.3.mlp.fc2.weight",
                1.0 / 192f64.sqrt(),
            ),
            (
                scheme(InitScheme::FanIn),
                "patch_embed.proj.weight",
                1.0 / 192f64.sqrt(),
            ),
            (
                Initialization {
                    patch_embed: Some(InitScheme::FanIn),
                    ..Default::default()
                },
                "patch_embed.proj.weight",
                1.0 / 192f64.sqrt(),
            ),
            (
                Initialization {
                    patch_embed: Some(InitScheme::FanIn),
                    ..Default::default()
                },
                qkv,
                0.02,
            ),
        ];
        for (init, name, expected) in cases {
            let found = init_std(init, name);
            assert!(
                (found / expected - 1.0).abs() < 0.05,
                "{init:?} {name}: {found} {expected}"
            );
        }
        let seeded = |seed| {
            let init = Initialization {
                seed,
                ..Default::default()
            };
            named_tensors(&small().init_with(init, &device()))[1]
                .read()
                .unwrap()
        };
        assert_eq!(seeded(1), seeded(1));
        assert_ne!(seeded(1), seeded(2));
    }

    #[test]
    fn drop_path_drops_samples_in_training_only_and_keeps_the_mean() {
        let config = VisionTransformerConfig {
            drop_path: 0.5,
            ..small()
        };
        let encoder = config.init(&device());
        let masks = masks(8);
        let run = |depth: Option<&mut StochasticDepth>| {
            values(encoder.forward_masked(images(8), &masks.contexts, depth))
        };
        let plain = run(None);
        let first = run(Some(&mut StochasticDepth::for_group(0, 1, 2)));
        assert_eq!(first, run(Some(&mut StochasticDepth::for_group(0, 1, 2))));
        assert_ne!(first, run(Some(&mut StochasticDepth::for_group(0, 1, 3))));
        assert_ne!(first, plain);
        // With a rate of zero the random numbers are not even drawn.
        let never = small().init(&device());
        let depth = &mut StochasticDepth::for_group(0, 1, 2);
        let kept = values(never.forward_masked(images(8), &masks.contexts, Some(depth)));
        assert_eq!(kept, plain);
    }

    fn masks(batch: usize) -> MaskTensors {
        let config = MultiBlockConfig {
            min_keep: 2,
            ..Default::default()
        };
        let sampler = config.build(PatchGrid::new(4, 6).unwrap()).unwrap();
        MaskTensors::new(
            &sampler.sample(batch, &mut MaskRng::for_group(0, 0, 0)),
            &device(),
        )
    }

    #[test]
    fn rectangular_images_train_too() {
        let device = device().autodiff();
        let config = IJepaConfig {
            encoder: small(),
            predictor: PredictorConfig::new(12, 1),
        };
        let model = config.init(Initialization::default(), &device);
        let target = EmaTarget::new(&model.encoder);
        let images = Tensor::from_inner(images(4));
        let output = model.forward(images, &masks(4), &target, &Objective::default(), None);
        let backward = output.loss.backward();
        assert!(model.predictor.mask_token.val().grad(&backward).is_some());
        assert!(model.encoder.pos_embed.val().grad(&backward).is_none());
    }

    #[test]
    fn the_target_moves_by_its_momentum_and_positions_stay() {
        let online = |seed| {
            small().init_with(
                Initialization {
                    seed,
                    ..Default::default()
                },
                &device(),
            )
        };
        let mut target = EmaTarget::new(&online(1));
        let before = named_tensors(target.encoder());
        let online = online(2);
        target.update(&online, 0.75);
        let after = named_tensors(target.encoder());
        let read =
            |encoder: &[ijepa_model::checkpoint::NamedTensor], i: usize| encoder[i].read().unwrap();
        assert_eq!(read(&before, 0), read(&after, 0));
        let mixed: Vec<f32> = read(&before, 1)
            .iter()
            .zip(read(&named_tensors(&online), 1))
            .map(|(old, new)| 0.75 * old + 0.25 * new)
            .collect();
        assert!(max_abs_difference(&read(&after, 1), &mixed) < 1e-8);
    }

    #[test]
    fn floats_of_any_number_of_channels_are_normalised_as_they_are() {
        let normalization = Normalization {
            mean: [100.0, -1.0].into(),
            std: [50.0, 2.0].into(),
        };
        let samples = [100.0_f32, 1.0, 300.0, -1.0];
        let bytes = samples.map(f32::to_ne_bytes).concat();
        let images = normalization.float_images(samples.to_vec(), [1, 1, 2], &device());
        assert_eq!(images.dims(), [1, 2, 1, 2]);
        assert_close("samples", &values(images), &[0.0, 4.0, 1.0, 0.0], 1e-6);
        let images = normalization.loaded_images(&bytes, [1, 1, 2], &device());
        assert_close("loaded", &values(images), &[0.0, 4.0, 1.0, 0.0], 1e-6);
        // A byte a sample: 255 is white.
        let bytes = [255, 0, 0, 255];
        let expected = [-1.98, -2.0, 0.5, 1.0];
        let images = normalization.images(&bytes, [1, 1, 2], &device());
        assert_close("bytes", &values(images), &expected, 1e-6);
        let images = normalization.loaded_images(&bytes, [1, 1, 2], &device());
        assert_close("loaded", &values(images), &expected, 1e-6);
    }

    #[test]
    #[should_panic = "16 bytes are no 2 images of 1x2 with 1 channels"]
    fn bytes_of_other_images_are_no_floats() {
        let normalization = Normalization::none(1).unwrap();
        normalization.images(&[0; 16], [2, 1, 2], &device());
    }

    #[test]
    fn bytes_are_normalised_by_channel() {
        let normalization = Normalization {
            mean: [0.0, 0.5, 1.0].into(),
            std: [1.0, 0.5, 0.25].into(),
        };
        let images = normalization.images(&[255, 255, 255, 0, 0, 0], [1, 1, 2], &device());
        assert_eq!(images.dims(), [1, 3, 1, 2]);
        assert_close(
            "pixels",
            &values(images),
            &[1.0, 0.0, 1.0, -1.0, 0.0, -4.0],
            1e-6,
        );
    }

    #[test]
    fn impossible_sizes_are_named() {
        let check = |config: VisionTransformerConfig, message: &str| {
            assert_eq!(config.validate().unwrap_err().to_string(), message);
        };
        check(
            VisionTransformerConfig {
                num_heads: 5,
                ..small()
            },
            "`embed_dim` = 24 is not a multiple of num_heads = 5",
        );
        check(
            VisionTransformerConfig {
                embed_dim: 6,
                ..small()
            },
            "`embed_dim` = 6 is not a multiple of 4, which positions need",
        );
        check(
            VisionTransformerConfig {
                patch_size: 7,
                ..small()
            },
            "image size 32x48 is not a multiple of patch size 7",
        );
        check(
            VisionTransformerConfig {
                depth: 0,
                ..small()
            },
            "`depth` must be at least 1, found 0",
        );
        let predictor = PredictorConfig::new(20, 1);
        assert!(matches!(
            predictor.validate(&small()),
            Err(ConfigError::Heads { .. })
        ));
    }

    #[test]
    #[should_panic(expected = "images must be [batch, 3, 32, 48]")]
    fn images_of_another_size_are_refused() {
        let encoder: VisionTransformer = small().init(&device());
        encoder.forward_features(Tensor::zeros([1, 3, 32, 32], &device()));
    }

    #[test]
    fn a_model_counts_its_parameters() {
        let config = IJepaConfig {
            encoder: small(),
            predictor: PredictorConfig::new(12, 1),
        };
        let IJepa { encoder, predictor } = config.init(Initialization::default(), &device());
        assert_eq!(predictor.num_params(), {
            let (d, p, n) = (24, 12, 24);
            let block = 12 * p * p + 13 * p;
            p + n * p + (d + 1) * p + block + 2 * p + (p + 1) * d
        });
        assert!(encoder.num_parameters() < encoder.num_params());
    }
}
