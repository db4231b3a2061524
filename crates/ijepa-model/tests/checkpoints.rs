//! Checkpoints of every kind, from one to another and damaged.

#[cfg(test)]
mod checkpoints {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use ijepa_model::{
        Checkpoint, CheckpointError, Normalization, VisionTransformerConfig,
        checkpoint::{
            CheckpointKind, EncoderRole, Format, NamedTensor, OpenOptions, StateDict,
            named_tensors, torch::TorchArchive,
        },
    };
    use ijepa_testkit::device;
    use safetensors::{Dtype, tensor::TensorView};

    fn golden() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
    }

    fn official() -> Checkpoint {
        let path = golden().join("torch/tiny_ckpt.pth.tar");
        Checkpoint::open_with(path, OpenOptions { num_heads: Some(3) }).unwrap()
    }

    fn contents(dict: Option<&StateDict>) -> Vec<(String, Vec<usize>, Vec<u32>)> {
        let mut contents: Vec<_> = dict
            .unwrap()
            .iter()
            .map(|(name, tensor)| {
                let bits = tensor
                    .read()
                    .unwrap()
                    .iter()
                    .map(|value| value.to_bits())
                    .collect();
                (name.to_owned(), tensor.shape().to_vec(), bits)
            })
            .collect();
        contents.sort();
        contents
    }

    fn assert_same(a: &Checkpoint, b: &Checkpoint) {
        let networks = |checkpoint: &Checkpoint| {
            [
                &checkpoint.context_encoder,
                &checkpoint.target_encoder,
                &checkpoint.predictor,
            ]
            .map(|dict| contents(dict.as_ref()))
        };
        assert_eq!(networks(a), networks(b));
        let moments = |checkpoint: &Checkpoint| {
            let moments = checkpoint.moments.as_ref().unwrap();
            (moments.step, contents(Some(&moments.tensors)))
        };
        assert_eq!(moments(a), moments(b));
        assert_eq!(a.config(), b.config());
        assert_eq!((a.state.epoch, a.state.lr), (b.state.epoch, b.state.lr));
    }

    #[test]
    fn an_official_file_holds_everything() {
        let checkpoint = official();
        assert_eq!(checkpoint.kind, CheckpointKind::Official);
        assert_eq!(checkpoint.encoder_config.image_size, [32, 32]);
        assert_eq!(checkpoint.predictor_config.as_ref().unwrap().dim, 24);
        assert_eq!(checkpoint.state.epoch, 2);
        let moments = checkpoint.moments.as_ref().unwrap();
        // 73 parameters, two of them fixed positions, two moments each.
        assert_eq!((moments.step, moments.tensors.len()), (10, 142));
        // Numbered in the order of groups: 14 opens the predictor's decayed group.
        let shape = |name: &str| moments.tensors.get(name).unwrap().shape().to_vec();
        assert_eq!(shape("predictor.mask_token.exp_avg"), [1, 1, 24]);
        assert_eq!(
            shape("encoder.blocks.2.mlp.fc2.weight.exp_avg_sq"),
            [48, 192]
        );
        assert!(moments.tensors.get("encoder.pos_embed.exp_avg").is_none());

        let path = golden().join("torch/tiny_ckpt_step0_with_scaler.pth.tar");
        let first = Checkpoint::open_with(path, OpenOptions { num_heads: Some(3) }).unwrap();
        assert!(first.moments.is_none());
        assert_eq!(first.state.scaler.unwrap().scale, 65536.0);
    }

    #[test]
    fn official_and_native_turn_into_each_other_without_loss() {
        let folder = tempfile::tempdir().unwrap();
        let (native, back) = (
            folder.path().join("native"),
            folder.path().join("back.pth.tar"),
        );
        official().save(&native, Format::Native, &device()).unwrap();
        let opened = Checkpoint::open(&native).unwrap();
        assert_eq!(opened.kind, CheckpointKind::Native);
        assert_same(&opened, &official());
        opened.save(&back, Format::Official, &device()).unwrap();
        let reread = Checkpoint::open_with(&back, OpenOptions { num_heads: Some(3) }).unwrap();
        assert_same(&reread, &official());
        assert_eq!(
            layout(&back),
            layout(&golden().join("torch/tiny_ckpt.pth.tar"))
        );
        assert!(
            official().save(&native, Format::Native, &device()).is_err(),
            "a folder is never overwritten"
        );
    }

    /// Number of a parameter, its shape and the bytes of its first moment.
    type NumberedMoment = (i64, Vec<usize>, Vec<u8>);

    /// Names in order, and which parameter every number of the optimizer belongs to.
    fn layout(path: &Path) -> (Vec<String>, Vec<NumberedMoment>) {
        let archive = TorchArchive::open(path).unwrap();
        let root = archive.root();
        let names = ["encoder", "predictor", "target_encoder"]
            .into_iter()
            .flat_map(|network| root.get(network).unwrap().entries())
            .map(|(name, _)| name.as_str().unwrap().to_owned())
            .collect();
        let state = root.get("opt").unwrap().get("state").unwrap();
        let moments = state.entries().map(|(id, entry)| {
            let moment = entry.get("exp_avg").unwrap().as_tensor().unwrap();
            let bytes = archive.read_tensor(moment).unwrap();
            (id.as_i64().unwrap(), moment.shape.clone(), bytes)
        });
        (names, moments.collect())
    }

    #[test]
    fn a_hugging_face_export_has_the_keys_and_values_of_transformers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hf");
        official()
            .save(&path, Format::HuggingFace(EncoderRole::Context), &device())
            .unwrap();
        let exported = Checkpoint::open(&path).unwrap();
        let saved = Checkpoint::open(golden().join("hf_tiny_saved")).unwrap();
        assert_eq!(
            contents(exported.context_encoder.as_ref()),
            contents(saved.context_encoder.as_ref())
        );
        assert_eq!(exported.encoder_config, saved.encoder_config);
        let names = |path: PathBuf| {
            let bytes = fs::read(path.join("model.safetensors")).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(names(path), names(golden().join("hf_tiny_saved")));
    }

    #[test]
    fn the_other_spelling_of_hugging_face_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let saved = golden().join("hf_tiny_saved");
        let bytes = fs::read(saved.join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let spelled = |name: String| {
            name.replace("encoder.layer.", "layers.")
                .replace("attention.attention.query", "attention.q_proj")
                .replace("attention.attention.key", "attention.k_proj")
                .replace("attention.attention.value", "attention.v_proj")
                .replace("attention.output.dense", "attention.o_proj")
                .replace("intermediate.dense", "mlp.fc1")
                .replace("output.dense", "mlp.fc2")
        };
        let mut tensors: Vec<_> = file
            .tensors()
            .into_iter()
            .map(|(name, view)| (spelled(name), view))
            .collect();
        // A classification model has a prefix and a head.
        tensors
            .iter_mut()
            .for_each(|(name, _)| *name = format!("ijepa.{name}"));
        let head = tensors[0].1.clone();
        tensors.push(("classifier.weight".to_owned(), head));
        let path = folder.path().join("model.safetensors");
        safetensors::serialize_to_file(tensors, None, &path).unwrap();
        fs::copy(saved.join("config.json"), folder.path().join("config.json")).unwrap();
        let opened = Checkpoint::open(folder.path()).unwrap();
        let expected = Checkpoint::open(saved).unwrap();
        assert_eq!(
            contents(opened.context_encoder.as_ref()),
            contents(expected.context_encoder.as_ref())
        );
    }

    fn mismatch(checkpoint: &Checkpoint) -> String {
        let error = checkpoint.encoder(EncoderRole::Context, &device());
        let CheckpointError::Mismatch { mismatch, .. } = error.unwrap_err() else {
            panic!("another error")
        };
        mismatch.lines().join("\n")
    }

    #[test]
    fn everything_that_does_not_fit_is_listed() {
        let mut checkpoint = official();
        checkpoint.encoder_config.depth = 4;
        checkpoint.encoder_config.image_size = [64, 32];
        let message = mismatch(&checkpoint);
        assert!(
            message.contains("missing blocks.3.norm1.weight"),
            "{message}"
        );
        assert!(
            message.contains("missing blocks.3.mlp.fc2.bias"),
            "{message}"
        );
        assert!(
            message.contains("pos_embed has shape [1, 16, 48], expected [1, 32, 48]"),
            "{message}"
        );
        checkpoint.encoder_config = VisionTransformerConfig {
            depth: 2,
            ..official().encoder_config
        };
        assert!(mismatch(&checkpoint).contains("unexpected blocks.2.attn.qkv.weight"));
    }

    fn open_error(path: PathBuf) -> String {
        Checkpoint::open(path).unwrap_err().to_string()
    }

    #[test]
    fn unreadable_checkpoints_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(open_error(at("none")).ends_with("` does not exist"));
        assert!(open_error(folder.path().into()).contains("is no checkpoint: expected a run"));
        let message = open_error(golden().join("torch/tiny_ckpt.pth.tar"));
        assert!(
            message.contains("width 48 is no published one; pass --num-heads"),
            "{message}"
        );

        let good = fs::read(golden().join("hf_tiny_saved/model.safetensors")).unwrap();
        for (name, bytes) in [
            ("short", &good[..5]),
            ("header", &good[..100]),
            ("cut", &good[..good.len() - 1]),
            ("huge", &[0xff; 64][..]),
        ] {
            let path = at(&format!("{name}.safetensors"));
            fs::write(&path, bytes).unwrap();
            assert!(
                open_error(path).contains("is no valid safetensors file"),
                "{name}"
            );
        }
        let native = at("native");
        official().save(&native, Format::Native, &device()).unwrap();
        let state = fs::read_to_string(native.join("state.json")).unwrap();
        let newer = state.replace("\"format_version\": 1", "\"format_version\": 2");
        fs::write(native.join("state.json"), newer).unwrap();
        let message = open_error(native);
        assert!(
            message.ends_with("has format version 2, this version reads up to 1"),
            "{message}"
        );
    }

    /// A folder of `transformers` with another text in one of its files.
    fn hugging_face(file: &str, change: impl Fn(&str) -> String) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(golden().join("hf_tiny_saved")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, change(&text)).unwrap();
        folder
    }

    #[test]
    fn queries_keys_and_values_of_other_shapes_are_not_joined() {
        let bytes = fs::read(golden().join("hf_tiny_saved/model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let key = "encoder.layer.0.attention.attention.key.weight";
        let flat = |(name, view): (String, TensorView<'_>)| {
            let shape = match name == key {
                true => vec![view.shape().iter().product()],
                false => view.shape().to_vec(),
            };
            (name, shape, view.data().to_vec())
        };
        let tensors: Vec<_> = file.tensors().into_iter().map(flat).collect();
        let views = tensors.iter().map(|(name, shape, data)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), data);
            (name, view.unwrap())
        });
        let folder = hugging_face("config.json", str::to_owned);
        let path = folder.path().join("model.safetensors");
        safetensors::serialize_to_file(views, None, &path).unwrap();
        let message = mismatch(&Checkpoint::open(folder.path()).unwrap());
        assert!(message.contains("blocks.0.attn.qkv.weight"), "{message}");
    }

    /// Nothing is allocated for what a file only claims.
    #[test]
    fn sizes_that_no_network_has_are_refused() {
        let most: usize = usize::MAX / 4 * 4;
        for (key, value) in [
            ("num_hidden_layers", most),
            ("hidden_size", most),
            ("image_size", most),
        ] {
            let folder = hugging_face("config.json", |text| {
                let mut config: serde_json::Value = serde_json::from_str(text).unwrap();
                config["patch_size"] = 4.into();
                config["num_attention_heads"] = 1.into();
                config[key] = value.into();
                config.to_string()
            });
            let error = Checkpoint::open(folder.path()).unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains("must be at most"), "{key}: {source}");
        }

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep.safetensors");
        let encoder = official().target_encoder.unwrap();
        let bytes: Vec<(&str, Vec<usize>)> = encoder
            .iter()
            .map(|(name, tensor)| (name, tensor.shape().to_vec()))
            .chain([("blocks.4000000000.norm1.bias", vec![1])])
            .collect();
        let zeros = vec![
            0;
            4 * bytes
                .iter()
                .map(|(_, shape)| shape.iter().product())
                .max()
                .unwrap_or(0)
        ];
        let views = bytes.into_iter().map(|(name, shape)| {
            let len = 4 * shape.iter().product::<usize>();
            (
                name,
                TensorView::new(Dtype::F32, shape, &zeros[..len]).unwrap(),
            )
        });
        safetensors::serialize_to_file(views, None, &path).unwrap();
        let options = OpenOptions { num_heads: Some(3) };
        let error = Checkpoint::open_with(path, options).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "`depth` must be at most 1000, found 4000000001");
    }

    #[test]
    fn preprocessors_scale_and_normalise_as_they_say() {
        let found = |text: &str| {
            let folder = hugging_face("preprocessor_config.json", |_| text.to_owned());
            Checkpoint::open(folder.path()).unwrap().normalization
        };
        let half = r#""image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]"#;
        let of_bytes = Normalization {
            mean: [127.5 / 255.0; 3].into(),
            std: [0.25; 3].into(),
        };
        let scaled = r#""image_mean": [127.5, 127.5, 127.5], "image_std": [63.75, 63.75, 63.75]"#;
        assert_eq!(found("{}"), None);
        assert_eq!(found(&format!("{{{half}}}")), Some(Normalization::HALF));
        let exact = format!(r#"{{{half}, "rescale_factor": 0.00392156862745098}}"#);
        assert_eq!(found(&exact), Some(Normalization::HALF));
        let bytes = format!(r#"{{{scaled}, "do_rescale": false, "rescale_factor": 0.5}}"#);
        assert_eq!(found(&bytes), Some(of_bytes));
        let off = format!(r#"{{{half}, "do_normalize": false}}"#);
        assert_eq!(found(&off), Some(Normalization::NONE));
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hf");
        let mut checkpoint = official();
        checkpoint.target_encoder = None;
        let error = checkpoint
            .save(&path, Format::HuggingFace(EncoderRole::Target), &device())
            .unwrap_err();
        assert!(matches!(error, CheckpointError::Absent { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn loading_sets_every_value() {
        let encoder = official().encoder(EncoderRole::Target, &device()).unwrap();
        let values = |tensors: Vec<NamedTensor>| -> Vec<(String, Vec<u32>)> {
            let bits = |t: &NamedTensor| t.read().unwrap().iter().map(|v| v.to_bits()).collect();
            tensors
                .iter()
                .map(|tensor| (tensor.name.clone(), bits(tensor)))
                .collect()
        };
        let mut loaded = values(named_tensors(&encoder));
        loaded.sort();
        let file = contents(official().target_encoder.as_ref());
        let file: Vec<_> = file
            .into_iter()
            .map(|(name, _, bits)| (name, bits))
            .collect();
        assert_eq!(loaded, file);
    }
}
