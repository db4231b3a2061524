//! Checkpoints of every kind, from one to another and damaged.

#[cfg(test)]
mod checkpoints {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use ijepa_model::{
        Checkpoint, CheckpointError, VisionTransformerConfig,
        checkpoint::{
            CheckpointKind, EncoderRole, Format, NamedTensor, OpenOptions, StateDict,
            named_tensors, torch::TorchArchive,
        },
    };
    use ijepa_testkit::device;

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
        official().save(&native, Format::Native).unwrap();
        let opened = Checkpoint::open(&native).unwrap();
        assert_eq!(opened.kind, CheckpointKind::Native);
        assert_same(&opened, &official());
        opened.save(&back, Format::Official).unwrap();
        let reread = Checkpoint::open_with(&back, OpenOptions { num_heads: Some(3) }).unwrap();
        assert_same(&reread, &official());
        assert_eq!(
            layout(&back),
            layout(&golden().join("torch/tiny_ckpt.pth.tar"))
        );
        assert!(
            official().save(&native, Format::Native).is_err(),
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
            .save(&path, Format::HuggingFace(EncoderRole::Context))
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
        checkpoint
            .encoder(EncoderRole::Context, &device())
            .unwrap_err()
            .to_string()
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
        assert!(open_error(at("none")).contains("is no checkpoint: nothing"));
        assert!(open_error(folder.path().into()).contains("a folder without either"));
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
        official().save(&native, Format::Native).unwrap();
        let state = fs::read_to_string(native.join("state.json")).unwrap();
        let newer = state.replace("\"format_version\": 1", "\"format_version\": 2");
        fs::write(native.join("state.json"), newer).unwrap();
        let message = open_error(native);
        assert!(
            message.ends_with("has format version 2, this version reads up to 1"),
            "{message}"
        );
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hf");
        let mut checkpoint = official();
        checkpoint.target_encoder = None;
        let error = checkpoint
            .save(&path, Format::HuggingFace(EncoderRole::Target))
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
